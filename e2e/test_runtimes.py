"""Node.js, custom servers, several Pythons; shared volumes."""

import json
import os
import subprocess

import pytest

from cloud import fc, refusal, unique
from server import ROOT, until


@pytest.mark.parametrize("files, handler", [
    ({"index.js": "exports.handler = async (event, context) => ({ got: event.toString(), id: context.requestId });\n"}, "index.handler"),
    ({"index.js": "exports.handler = (event, context, callback) => callback(null, { got: event.toString(), id: context.requestId });\n"}, "index.handler"),
    ({"lib/main.mjs": "export const run = async (event, context) => ({ got: event.toString(), id: context.requestId });\n"}, "lib/main.run"),
], ids=["async", "callback", "module"])
def test_node(cloud, files, handler):
    name = unique("node")
    cloud.create(name, files, runtime="nodejs20", handler=handler)
    reply = cloud.invoke(name, "hi", tail=True)
    assert reply.json == {"got": "hi", "id": reply.headers["x-fc-request-id"]}


def test_node_errors(cloud):
    name = unique("nodebad")
    cloud.create(name, {"index.js": """
        exports.handler = (event, context, callback) => {
          const how = event.toString();
          console.log('about to', how);
          if (how === 'handled') callback(new Error('handled'));
          else if (how === 'throw') throw new TypeError('thrown');
          else if (how === 'later') setTimeout(() => { throw new Error('later'); }, 5);
          else process.exit(4);
        };
        """}, runtime="nodejs20")
    reply = cloud.invoke(name, "handled", tail=True)
    assert reply.error_type == "HandledInvocationError" and reply.json["errorMessage"] == "handled"
    assert "about to handled" in reply.log
    reply = cloud.invoke(name, "throw")
    assert reply.error_type == "UnhandledInvocationError" and reply.json["errorMessage"] == "thrown"
    for how in ("later", "exit"):
        assert cloud.invoke(name, how).error_type == "UnhandledInvocationError"


@pytest.mark.parametrize("runtime", ["python3.9", "python3.10", "python3.12"])
def test_python_names(cloud, runtime):
    """A newer 3.x may stand in for an older name, and GetFunction says so."""
    name = unique("py")
    if runtime not in {item["name"] for item in cloud.v1("GET", "/runtimes")["items"]}:
        def attempt():
            cloud.create(name, "def handler(event, context):\n    return 1\n", runtime=runtime)
            return cloud.invoke(name)
        assert runtime in refusal(attempt).message, "what this machine lacks is named"
        return
    cloud.create(name, "import sys\ndef handler(event, context):\n    return list(sys.version_info[:2])\n",
                 runtime=runtime)
    found = cloud.invoke(name).json
    wanted = [int(part) for part in runtime.removeprefix("python").split(".")]
    raw = cloud.request("GET", f"/2023-03-30/functions/{name}").json
    assert found == wanted or (found > wanted and raw["runtimeBehind"])


SERVER = '''
import http.server, json, os, socketserver, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    at_once, most, lock = 0, 0, threading.Lock()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, extra, answer = 200, {}, body
        if self.path == "/invoke":
            how = body.decode()
            print("FC Invoke Start RequestId:", self.headers["x-fc-request-id"], flush=True)
            if how == "about":
                answer = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                                     "port": os.environ.get("FC_CUSTOM_LISTEN_PORT"), "cwd": os.getcwd()}).encode()
            elif how == "fail":
                extra, answer = {"x-fc-status": "404"}, b"as asked"
            elif how == "leave":
                os._exit(9)
            elif how == "together":
                with Handler.lock:
                    Handler.at_once += 1
                    Handler.most = max(Handler.most, Handler.at_once)
                deadline = time.monotonic() + 10
                while Handler.most < 3 and time.monotonic() < deadline:
                    time.sleep(0.01)
                with Handler.lock:
                    Handler.at_once -= 1
                answer = str(Handler.most).encode()
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

Server(("0.0.0.0", int(os.environ.get("FC_CUSTOM_LISTEN_PORT", "9000"))), Handler).serve_forever()
'''


@pytest.fixture(scope="module")
def custom(cloud):
    name = unique("custom")
    cloud.create(name, {"server.py": SERVER, "bootstrap": "#!/bin/sh\nexec /usr/bin/python3 /code/server.py\n"},
                 runtime="custom.debian12", handler="none", instance_concurrency=10, task_mode=True, retries=0)
    return name


def test_a_server_of_ones_own(cloud, custom):
    assert cloud.invoke(custom, "hello").body == b"hello"
    reply = cloud.invoke(custom, "about", tail=True)
    assert reply.headers["x-fc-instance-id"].startswith("c-") and "x-fc-log-result" in reply.headers
    assert int(reply.headers["x-fc-invocation-duration"]) < 30_000
    assert float(reply.headers["x-fc-max-memory-usage"]) > 0
    about = reply.json
    assert about["path"] == "/invoke" and about["headers"]["x-fc-control-path"] == "/invoke"
    assert about["headers"]["content-type"] == "application/octet-stream"
    assert about["headers"]["x-fc-function-name"] == custom
    reply = cloud.invoke(custom, "fail")
    assert (reply.status, reply.body) == (200, b"as asked") and reply.error_type
    done = cloud.ended(custom, cloud.submit(custom, "a task"))
    assert (done.status, done.return_payload) == ("Succeeded", "a task")
    assert cloud.ended(custom, cloud.submit(custom, "fail")).status == "Failed"
    reply = cloud.invoke(custom, "leave")
    assert reply.error_type and "exited unexpectedly" in reply.text
    assert cloud.invoke(custom, "again").body == b"again"


def test_one_instance_serves_several(cloud, custom):
    ids = [cloud.submit(custom, "together") for _ in range(3)]
    assert {cloud.ended(custom, task_id).return_payload for task_id in ids} == {"3"}


def test_a_command_and_a_port(cloud):
    name = unique("port")
    cloud.create(name, {"server.py": SERVER}, runtime="custom", handler="none",
                 custom_runtime_config=fc.CustomRuntimeConfig(
                     command=["/usr/bin/python3"], args=["/code/server.py"], port=9123))
    assert cloud.invoke(name, "about").json["port"] == "9123"


def test_a_server_that_does_not_start(cloud):
    name = unique("nostart")
    cloud.create(name, {"bootstrap": "#!/bin/sh\necho no luck\nexit 3\n"}, runtime="custom", handler="none")
    error = refusal(lambda: cloud.invoke(name))
    assert (error.status_code, error.code) == (412, "FunctionNotStarted")
    assert "code 3" in error.message and "no luck" in error.message
    name = unique("noentry")
    cloud.create(name, {"readme": "nothing to start"}, runtime="custom", handler="none")
    assert refusal(lambda: cloud.invoke(name)).code == "FunctionNotStarted"


def test_functions_share_a_volume(cloud):
    shared = unique("shared").replace("-", "_")
    for user, writer, reader in ((0, unique("w"), unique("r")), (10003, unique("w"), unique("r"))):
        nas = fc.NASConfig(user_id=user, group_id=user, mount_points=[
            fc.NASMountConfig(server_addr=f"volume:{shared}/{user}", mount_dir="/mnt/shared")])
        cloud.create(writer, """
            def handler(event, context):
                with open("/mnt/shared/file", "wb") as file:
                    return file.write(event)
            """, nas_config=nas)
        cloud.create(reader, {"index.js": """
            exports.handler = async () => require('fs').readFileSync('/mnt/shared/file');
            """}, runtime="nodejs20", nas_config=nas)
        assert cloud.invoke(writer, "through the volume").json == 18
        assert cloud.invoke(reader).body == b"through the volume"


OWNERS = """
    import json, os, stat

    def handler(event, context):
        asked = json.loads(event or b"{}")
        refused = None
        try:
            if "write" in asked:
                with open("/mnt/v/" + asked["write"], "w") as file:
                    file.write(str(os.getuid()))
                os.chmod("/mnt/v/" + asked["write"], asked.get("mode", 0o644))
            if "read" in asked:
                open("/mnt/v/" + asked["read"]).read()
        except OSError as error:
            refused = error.strerror
        seen = {name: os.stat("/mnt/v/" + name) for name in os.listdir("/mnt/v")}
        status = open("/proc/self/status").read()
        return {"me": [os.getuid(), os.getgid()], "refused": refused, "groups": os.getgroups(),
                "capabilities": [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")],
                "owners": {name: [found.st_uid, found.st_gid] for name, found in seen.items()}}
    """


def test_owners_on_a_volume_are_as_stated(cloud):
    """`userId` and `groupId` are who a function is inside, and who owns what it makes on a shared volume."""
    volume, names = unique("owners"), {}
    for stated in ((0, 0), (1234, 4321), (1234, 99), (77, 4321)):
        names[stated] = unique("owner")
        nas = fc.NASConfig(user_id=stated[0], group_id=stated[1], mount_points=[
            fc.NASMountConfig(server_addr=f"volume:{volume}", mount_dir="/mnt/v")])
        cloud.create(names[stated], OWNERS, nas_config=nas)
    # Once each, so that every one knows the others; then anew, as a changed configuration starts them.
    for n, (stated, name) in enumerate(names.items()):
        seen = cloud.invoke(name, {"write": f"f{n}", "mode": 0o640}).json
        assert seen["me"] == list(stated) and seen["refused"] is None, seen
        assert seen["owners"][f"f{n}"] == list(stated) and seen["capabilities"] == ["0" * 16], seen
    owners = {f"f{n}": list(stated) for n, stated in enumerate(names)}
    for name in names.values():
        cloud.update(name, environment_variables={"ANEW": "1"})
    assert cloud.invoke(names[1234, 99]).json["owners"] == owners, "each file's owner is seen as it was stated"
    assert cloud.invoke(names[1234, 99], {"read": "f1"}).json["refused"] is None, "the same user"
    assert cloud.invoke(names[77, 4321], {"read": "f1"}).json["refused"] is None, "the same group"
    assert cloud.invoke(names[77, 4321], {"read": "f2"}).json["refused"] == "Permission denied", "neither"


def test_volumes_of_accounts_are_apart(cloud):
    name, volume = unique("apart"), unique("v")
    other = cloud.as_role("admin", account=cloud.account(unique("tenant")))
    nas = fc.NASConfig(user_id=0, group_id=0, mount_points=[
        fc.NASMountConfig(server_addr=f"volume:{volume}", mount_dir="/mnt/v")])
    code = """
        import os
        def handler(event, context):
            if event:
                open("/mnt/v/" + event.decode(), "w").close()
            return sorted(os.listdir("/mnt/v"))
        """
    for one in (cloud, other):
        one.create(name, code, nas_config=nas)
    assert cloud.invoke(name, "mine").json == ["mine"]
    assert other.invoke(name).json == []


@pytest.mark.parametrize("address", ["host:/etc", "host:/root", "nas.example:/x", "volume:../x"])
def test_other_directories_are_not_mounted(cloud, address):
    name = unique("nas")
    nas = fc.NASConfig(user_id=0, group_id=0, mount_points=[
        fc.NASMountConfig(server_addr=address, mount_dir="/mnt/v")])
    try:
        cloud.create(name, "def handler(e, c):\n    return 'in'\n", nas_config=nas)
        reply = cloud.invoke(name)
    except Exception as error:
        assert error.code in ("InvalidArgument", "FunctionNotStarted"), error
    else:
        assert reply.error_type and b"in" != reply.body, json.dumps(reply.text)


@pytest.fixture(scope="module")
def programs(place):
    """The example's two programs, as packages."""
    made = {}
    for language, command in {"go": ["go", "build", "-o"], "rust": ["rustc", "--edition", "2021", "-O", "-o"]}.items():
        program = place / f"poll-{language}"
        source = "." if language == "go" else "main.rs"
        subprocess.run([*command, str(program), source], cwd=ROOT / "examples/poll" / language, check=True,
                       env=os.environ | {"CGO_ENABLED": "0"})
        made[language] = {"main": program.read_bytes()}
    return made


@pytest.mark.parametrize("language", ["go", "rust"])
def test_a_program_that_polls(cloud, programs, language):
    name = unique(language)
    cloud.create(name, programs[language], runtime="go1", handler="main", task_mode=True, retries=1)
    first = cloud.invoke(name, "one two\n", tail=True)
    assert first.json["words"] == 2 and first.json["requestId"] == first.headers["x-fc-request-id"]
    assert f"{first.json['requestId']}: 8 bytes" in first.log
    raw = cloud.request("GET", f"/2023-03-30/functions/{name}").json
    assert raw["runtimeBehind"] == "the package's own program"
    failed = cloud.invoke(name, "fail")
    assert failed.error_type == "UnhandledInvocationError" and failed.json["errorMessage"] == "as asked"
    panic = cloud.invoke(name, "panic")
    assert panic.error_type == "UnhandledInvocationError" and panic.json["errorMessage"] == "as asked, too"
    frame = panic.json["stackTrace"][0]
    assert set(frame) == {"path", "line", "label"} and frame["line"] > 0
    assert cloud.invoke(name, "again").json["words"] == 1, "on another instance"
    done = cloud.ended(name, cloud.submit(name, "a task of five words"))
    assert done.status == "Succeeded" and json.loads(done.return_payload)["words"] == 5
    assert cloud.ended(name, cloud.submit(name, "fail")).status == "Failed"
    assert len({i.instance_id for i in cloud.sdk.list_instances(name, fc.ListInstancesRequest()).body.instances}) >= 1


def test_a_programs_hooks(cloud, programs):
    name = unique("gohooks")
    cloud.create(name, programs["go"], runtime="go1", handler="main", instance_lifecycle_config=fc.InstanceLifecycleConfig(
        initializer=fc.LifecycleHook(handler="unused", timeout=5), pre_stop=fc.LifecycleHook(handler="unused", timeout=5)))
    assert cloud.invoke(name, "x").json["ready"] is True
    cloud.update(name, timeout=31)

    def stopped():
        return any("stopping" in line["text"] for line in cloud.v1("GET", "/logs", function=name)["items"])
    until(stopped, "PreStop has run")


def test_a_program_that_is_missing_or_no_program(cloud):
    name = unique("noprogram")
    cloud.create(name, {"other": "x"}, runtime="go1", handler="main")
    assert "/code/main is not exist" in refusal(lambda: cloud.invoke(name)).message
    name = unique("odd")
    cloud.create(name, {"main": "no program"}, runtime="go1", handler="main")
    assert "exec format error" in refusal(lambda: cloud.invoke(name)).message
    with_dots = refusal(lambda: cloud.create(unique("dots"), {"main": ""}, runtime="go1", handler="../usr/bin/env"))
    assert with_dots.code == "InvalidArgument"


def test_bash(cloud):
    name = unique("bash")
    script = """
        #!/usr/bin/env bash
        event=$(cat)
        echo "working on $event" >&2
        case $event in
          fail) echo "no luck" >&2; exit 3 ;;
          *) printf '%s|%s|%s|%s' "$event" "$FC_REQUEST_ID" "$FC_FUNCTION_NAME" "$PWD" ;;
        esac
        """
    cloud.create(name, {"main.sh": script.strip()}, runtime="bash", handler="main.sh", task_mode=True, retries=0)
    reply = cloud.invoke(name, "hello", tail=True)
    assert reply.text == f"hello|{reply.headers['x-fc-request-id']}|{name}|/code"
    assert "working on hello" in reply.log
    failed = cloud.invoke(name, "fail", tail=True)
    assert failed.error_type == "UnhandledInvocationError"
    assert failed.json["errorMessage"] == "working on fail\nno luck" and failed.json["exitCode"] == 3
    assert failed.log.rstrip().endswith("Error: Unhandled function error")
    assert cloud.ended(name, cloud.submit(name, "a task")).return_payload.startswith("a task|")
    assert cloud.ended(name, cloud.submit(name, "fail")).status == "Failed"
    bad = unique("badbash")
    cloud.create(bad, {"main.sh": "if true; then"}, runtime="bash", handler="main.sh")
    assert cloud.invoke(bad).json["errorType"] == "UserCodeSyntaxError"


JAVA = """
package example;
import com.aliyun.fc.runtime.*;
import java.io.*;
import java.util.*;
public class App implements StreamRequestHandler, FunctionInitializer {
  private static String ready = "no";
  public void initialize(Context context) { ready = context.getRequestId(); }
  public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
    context.getLogger().info("streaming");
    int next;
    while ((next = in.read()) >= 0) out.write(next);
    out.write(("|" + context.getRequestId() + "|" + ready).getBytes("UTF-8"));
  }
  public Map<String, Object> pojo(Map<String, Object> event, Context context) {
    if (event.containsKey("fail"))
      throw new IllegalStateException("bad state", new RuntimeException("the cause"));
    if (event.containsKey("exit")) System.exit(3);
    event.put("memory", context.getFunctionParam().getMemoryLimitInMB());
    return event;
  }
}
"""


@pytest.fixture(scope="module")
def java_classes(place):
    home = place / "java"
    home.mkdir()
    (home / "App.java").write_text(JAVA)
    jar = ROOT / "runtimes/java/stint-runtime.jar"
    subprocess.run(["javac", "--release", "8", "-Xlint:-options", "-cp", str(jar), "-d", str(home), "App.java"],
                   cwd=home, check=True)
    return {"example/App.class": (home / "example/App.class").read_bytes()}


def test_java(cloud, java_classes):
    name = unique("java")
    cloud.create(name, java_classes, runtime="java11", handler="example.App::handleRequest", memory_size=512, cpu=0.5,
                 instance_lifecycle_config=fc.InstanceLifecycleConfig(
                     initializer=fc.LifecycleHook(handler="example.App::initialize", timeout=20)))
    reply = cloud.invoke(name, "hi", tail=True)
    request_id = reply.headers["x-fc-request-id"]
    assert reply.text == f"hi|{request_id}|{request_id}"
    assert f"{request_id} [INFO] streaming" in reply.log
    assert "java" in cloud.request("GET", f"/2023-03-30/functions/{name}").json["runtimeBehind"]


def test_java_objects_and_errors(cloud, java_classes):
    name = unique("pojo")
    cloud.create(name, java_classes, runtime="java8", handler="example.App::pojo", memory_size=512, cpu=0.5)
    assert cloud.invoke(name, {"a": [1, "ü"]}).json == {"a": [1, "ü"], "memory": 512}
    failed = cloud.invoke(name, {"fail": True})
    assert failed.error_type == "UnhandledInvocationError"
    error = failed.json
    assert (error["errorType"], error["errorMessage"]) == ("java.lang.IllegalStateException", "bad state")
    assert error["errorCause"]["errorMessage"] == "the cause"
    assert error["stackTrace"][0].startswith("example.App.pojo(App.java:")
    assert "exited unexpectedly" in cloud.invoke(name, {"exit": True}).text
    missing = unique("nojava")
    cloud.create(missing, java_classes, runtime="java11", handler="example.Absent::run", memory_size=512, cpu=0.5)
    assert cloud.invoke(missing).json["errorType"] == "ImportModuleError"
