"""The Java shim alone: its jar is checked in, the functions of this test are compiled by the JDK."""
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from poll import PollTest, ROOT

JAR = os.path.join(ROOT, "java", "stint-runtime.jar")
#: Every Java machine of this computer, or the one in the path.
MACHINES = sorted({os.path.realpath(path) for path in glob.glob("/usr/lib/jvm/*/bin/java")}) or ["java"]

SOURCES = {
    "example/App.java": """
        package example;
        import com.aliyun.fc.runtime.*;
        import java.io.*;
        public class App implements StreamRequestHandler, FunctionInitializer, PreStopHandler {
          private String ready = "not ready";
          public void initialize(Context context) { ready = "ready in " + context.getRequestId(); }
          public void preStop(Context context) { System.out.println("stopping " + ready); }
          public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            System.out.println("plain line");
            context.getLogger().warn("logged line");
            byte[] buffer = new byte[1 << 16];
            for (int n; (n = in.read(buffer)) > 0;) out.write(buffer, 0, n);
            out.write(("|" + ready).getBytes("UTF-8"));
          }
          public void broken(InputStream in, OutputStream out, Context context) throws IOException {
            try { Integer.parseInt("x"); } catch (NumberFormatException cause) {
              throw new IOException("something is wrong", cause);
            }
          }
          public void exits(InputStream in, OutputStream out, Context context) { System.exit(9); }
          public static String plain(String text) { return text.toUpperCase(); }
          public byte[] bytes(byte[] event) { return event; }
        }""",
    "example/About.java": """
        package example;
        import com.aliyun.fc.runtime.*;
        import java.util.*;
        public class About implements PojoRequestHandler<Map<String, Object>, Map<String, Object>> {
          public Map<String, Object> handleRequest(Map<String, Object> event, Context c) {
            Map<String, Object> out = new LinkedHashMap<>();
            out.put("event", event);
            out.put("requestId", c.getRequestId());
            out.put("key", c.getExecutionCredentials().getAccessKeyId());
            out.put("name", c.getFunctionParam().getFunctionName());
            out.put("memory", c.getFunctionParam().getMemoryLimitInMB());
            out.put("millis", c.getFunctionParam().getExecTimeLimitInMillis());
            out.put("qualifier", c.getService().getQualifier());
            out.put("retries", c.getRetryCount());
            out.put("baggages", c.getTracing().getSpanBaggages());
            return out;
          }
        }""",
    "example/Beans.java": """
        package example;
        import java.util.*;
        public class Beans {
          public enum Color { RED, GREEN }
          public static class Item { public int count; private String name; public List<Double> sizes;
            public String getName() { return name; } public void setName(String name) { this.name = name; } }
          public static class Order { private List<Item> items; private Color color; private boolean paid;
            public Map<String, Item> byName; public long[] ids; public Integer nothing;
            public List<Item> getItems() { return items; } public void setItems(List<Item> i) { items = i; }
            public Color getColor() { return color; } public void setColor(Color c) { color = c; }
            public boolean isPaid() { return paid; } public void setPaid(boolean p) { paid = p; } }
          public interface MyContext { String getRequestId(); int getMemoryLimitInMB(); }
          public Order handle(Order order, MyContext context) {
            if (context.getMemoryLimitInMB() != 512) throw new IllegalStateException();
            for (Item item : order.getItems()) item.count++;
            return order;
          }
        }""",
}


@functools.lru_cache(maxsize=None)
def compiled():
    """The classes of the sources, once, as files for a package."""
    out = tempfile.mkdtemp(prefix="stint-java-")
    try:
        for name, text in SOURCES.items():
            path = os.path.join(out, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as source:
                source.write(text)
        sources = [os.path.join(out, name) for name in SOURCES]
        subprocess.run(["javac", "--release", "8", "-Xlint:-options", "-cp", JAR, "-d", out] + sources, check=True)
        files = {}
        for path in glob.glob(out + "/**/*.class", recursive=True):
            with open(path, "rb") as file:
                files[os.path.relpath(path, out)] = file.read()
        return files
    finally:
        shutil.rmtree(out)


class JavaTest(PollTest):
    java = MACHINES[0]

    def shim(self, handler, **env):
        self.argv = [self.java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData",
                     "-cp", JAR, "stint.runtime.Main"]
        return self.start(compiled(), handler, **env)

    def test_streams_and_hooks(self):
        shim = self.shim("example.App::handleRequest")
        every = bytes(range(256)) * 4096
        self.assertEqual(shim.invoke(every), ("response", every + b"|not ready"))
        self.assertEqual(shim.invoke(kind="1", hook="example.App::initialize", request="r-1"), ("response", b""))
        self.assertEqual(shim.invoke(b"x", request="r-2"), ("response", b"x|ready in r-1"))
        self.assertEqual(shim.invoke(kind="2", hook="example.App::preStop")[0], "response")
        said = shim.output()
        self.assertEqual(said.count("plain line\n"), 2)
        self.assertRegex(said, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} r-2 \[WARN\] logged line\n")
        self.assertTrue(said.endswith("stopping ready in r-1\n"), said)

    def test_every_machine_runs_it(self):
        for self.java in MACHINES:
            shim = self.shim("example.App::plain")
            self.assertEqual(shim.invoke("grüße".encode()), ("response", "GRÜSSE".encode()), self.java)

    def test_the_context(self):
        shim = self.shim("example.About::handleRequest")
        call, body = shim.invoke(b'{"a": [1, 2.5, "\\u00fc\\n", true, null]}', request="r-9", x_fc_access_key_id="AK",
                                 x_fc_retry_count="2", x_fc_qualifier="prod")
        self.assertEqual((call, json.loads(body)), ("response", {
            "event": {"a": [1, 2.5, "ü\n", True, None]}, "requestId": "r-9", "key": "AK", "name": "f",
            "memory": 512, "millis": 60000, "qualifier": "prod", "retries": 2, "baggages": {}}))

    def test_beans(self):
        shim = self.shim("example.Beans::handle")
        order = {"items": [{"name": "a", "count": 1, "sizes": [1, 2.5], "unknown": 0}], "color": "GREEN", "paid": True,
                 "byName": {"b": {"name": "b", "count": 7, "sizes": None}}, "ids": [1, 2 ** 40]}
        call, body = shim.invoke(json.dumps(order).encode())
        del order["items"][0]["unknown"]
        order["items"][0]["count"] = 2
        self.assertEqual((call, json.loads(body)), ("response", order | {"nothing": None}))
        for event, words in [(b"{", "is not JSON"), (b'{"color": "BLUE"}', "BLUE is no"), (b"[1]", "is no example.Beans")]:
            call, body = shim.invoke(event)
            self.assertEqual(call, "error")
            self.assertIn(words, json.loads(body)["errorMessage"])

    def test_bytes_and_text(self):
        shim = self.shim("example.App::bytes")
        self.assertEqual(shim.invoke(b"\xff\x00"), ("response", b"\xff\x00"))

    def test_a_throw_has_upstreams_form(self):
        shim = self.shim("example.App::broken")
        call, body = shim.invoke()
        error = json.loads(body)
        self.assertEqual((call, error["errorMessage"], error["errorType"]), ("error", "something is wrong", "java.io.IOException"))
        self.assertTrue(all(isinstance(frame, str) for frame in error["stackTrace"]))
        self.assertTrue(error["stackTrace"][0].startswith("example.App.broken("), error)
        self.assertNotIn("stint.runtime", body.decode())
        cause = error["errorCause"]
        self.assertEqual(cause["errorType"], "java.lang.NumberFormatException")
        self.assertIn("x", cause["errorMessage"])
        self.assertIn("Caused by: java.lang.NumberFormatException", shim.output())
        self.assertEqual(shim.invoke()[0], "error", "it serves on")

    def test_code_that_cannot_be_loaded(self):
        for handler, kind, message in [
            ("example.Absent::handleRequest", "ImportModuleError", "Unable to import module 'example.Absent'"),
            ("example.App::absent", "HandlerNotFound", "Handler 'absent' is missing on module 'example.App'"),
            ("example.App", "HandlerNotFound", "Bad handler 'example.App'"),
        ]:
            shim = self.shim(handler)
            call, body = shim.answer()
            error = json.loads(body)
            self.assertEqual((call, error["errorType"]), ("error", kind))
            self.assertTrue(error["errorMessage"].startswith(message), error)
            self.assertEqual(shim.process.wait(20), 1)

    def test_levels_filter_the_log(self):
        shim = self.shim("example.App::handleRequest", ALIYUN_FC_LOG_LEVEL="error")
        shim.invoke()
        self.assertFalse(re.search("logged line", shim.output()))


if __name__ == "__main__":
    unittest.main()
