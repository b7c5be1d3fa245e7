"""The Python shim alone. Run with `python3 -m unittest discover -s runtimes/tests`."""
import json
import os
import re
import signal
import sys
import time
import unittest

from channel import ROOT, ShimTest, other_interpreters


class PythonTest(ShimTest):
    argv = ["/usr/bin/python3", "-S", "-s", "-B", os.path.join(ROOT, "python", "bootstrap.py")]

    def test_returns_become_bytes(self):
        code = """
        import json
        def handler(event, context):
            return eval(event.decode())
        """
        shim = self.start({"index.py": code})
        self.assertEqual(shim.receive()[0], 16)
        cases = [(b"b'raw'", b"raw"), (b"'\xc3\xbc'", "ü".encode()), (b"{'a': [1]}", b'{"a": [1]}'), (b"None", b"null")]
        for event, expected in cases:
            kind, head, body = shim.invoke(event)
            self.assertEqual((kind, body), (20, expected))
            self.assertGreater(int(head[1]), 1000)
        kind, _, body = shim.invoke(b"object()")
        self.assertEqual(kind, 21)
        self.assertEqual(json.loads(body)["errorType"], "TypeError")
        self.assertEqual(shim.close(), 0)

    def test_one_that_waited_is_like_a_fresh_one(self):
        code = """
        import json, logging, os, subprocess, sys, time
        def handler(event, context):
            logging.info("into the log")
            child = subprocess.check_output(["/usr/bin/env"]).decode().split()
            return {"argv": len(sys.argv), "env": dict(os.environ), "child": sorted(child), "hour": time.localtime(0).tm_hour}
        """
        env = {"OWN": "ü=1", "TZ": "Asia/Shanghai", "PATH": "/usr/bin"}
        shim = self.start({"index.py": code}, env=env)
        self.assertEqual(shim.receive()[0], 16)
        kind, _, body = shim.invoke()
        answer = json.loads(body)
        self.assertEqual((kind, answer["argv"], answer["env"], answer["hour"]), (20, 1, env, 8))
        self.assertEqual(answer["child"], sorted("%s=%s" % pair for pair in env.items()))
        self.assertIn("req-1 [INFO] into the log", shim.output())
        shim.close()

    def test_what_was_loaded_ahead_does_not_hide_the_functions_own(self):
        files = {"index.py": "import base64, json\ndef handler(e, c):\n    return base64.mine + json.dumps([1])\n",
                 "base64.py": "mine = 'own'\n"}
        shim = self.start(files, env={})
        self.assertEqual(shim.receive()[0], 16)
        self.assertEqual(shim.invoke()[2], b"own[1]")
        shim.close()

    def test_large_bodies_pass_both_ways(self):
        shim = self.start({"index.py": "def handler(event, context):\n    return event + event"})
        self.assertEqual(shim.receive()[0], 16)
        event = bytes(range(256)) * 40000
        kind, _, body = shim.invoke(event)
        self.assertEqual((kind, len(body)), (20, 2 * len(event)))
        self.assertEqual(body, event + event)
        shim.close()

    def test_context(self):
        code = """
        def handler(event, context):
            c = context
            return [c.request_id, c.credentials.access_key_id, c.function.name, c.function.handler, c.function.memory,
                    c.function.timeout, c.service.qualifier, c.region, c.account_id, c.retry_count,
                    c.tracing.span_context, c.stint.task_id, c.stint.idempotency_key]
        """
        shim = self.start({"index.py": code}, function_name="f", region="local", account_id="42", access_key_id="AK")
        self.assertEqual(shim.receive()[0], 16)
        _, _, body = shim.invoke(request="r-9", task="t-9", retries="2", key="k-9", qualifier="prod")
        self.assertEqual(json.loads(body), [
            "r-9", "AK", "f", "index.handler", 512, 60, "prod", "local", "42", 2, "", "t-9", "k-9"])
        shim.close()

    def test_a_raise_has_upstreams_form(self):
        code = "def handler(event, context):\n    raise Exception('something is wrong')\n"
        shim = self.start({"index.py": code})
        shim.receive()
        kind, head, body = shim.invoke()
        self.assertEqual((kind, head[2]), (21, "U"))
        file = 'File "%s"' % os.path.join(shim.home.name, "index.py")
        self.assertEqual(json.loads(body), {
            "errorMessage": "something is wrong", "errorType": "Exception",
            "stackTrace": [[file, "line 2", "in handler", "raise Exception('something is wrong')"]]})
        self.assertIn("Traceback (most recent call last)", shim.output())
        self.assertEqual(shim.invoke()[0], 21, "the instance serves on")
        shim.close()

    def test_code_that_cannot_be_loaded(self):
        cases = [
            ("import nothing_like_this", "index.handler", "ImportModuleError", "Unable to import module 'index'"),
            ("def handler(:", "index.handler", "UserCodeSyntaxError", "Syntax error in module 'index'"),
            ("x = 1", "index.handler", "HandlerNotFound", "Handler 'handler' is missing on module 'index'"),
            ("x = 1", "handler", "HandlerNotFound", "Bad handler 'handler'"),
            ("x = 1", "absent.handler", "ImportModuleError", "Unable to import module 'absent'"),
            ("1 / 0", "index.handler", "ZeroDivisionError", "division by zero"),
        ]
        for code, handler, kind, message in cases:
            shim = self.start({"index.py": code}, handler=handler)
            got, _, body = shim.receive()
            self.assertEqual(got, 17, handler)
            error = json.loads(body)
            self.assertEqual(error["errorType"], kind)
            self.assertTrue(error["errorMessage"].startswith(message), error)
            shim.close()

    def test_handlers_in_directories(self):
        files = {"deep/er/mod.py": "def go(event, context):\n    return 'deep'"}
        for handler in ["deep/er/mod.go", "deep.er.mod.go"]:
            shim = self.start(files, handler=handler)
            self.assertEqual(shim.receive()[0], 16)
            self.assertEqual(shim.invoke()[2], b"deep")
            shim.close()

    def test_hooks(self):
        code = """
        seen = []
        def init(context):
            seen.append(context.request_id)
        def stop(context):
            print('stopping', context.request_id)
        def bad(context):
            raise ValueError('no')
        def handler(event, context):
            return seen
        """
        shim = self.start({"index.py": code}, initializer="index.init", pre_stop="index.stop")
        shim.receive()
        shim.send(2, ["r-init"])
        self.assertEqual(shim.receive()[0], 18)
        self.assertEqual(json.loads(shim.invoke()[2]), ["r-init"])
        shim.send(4, ["r-stop"])
        self.assertEqual(shim.receive()[0], 18)
        self.assertIn("stopping r-stop", shim.output())
        shim.close()
        shim = self.start({"index.py": code}, initializer="index.bad")
        shim.receive()
        shim.send(2, ["r-init"])
        kind, _, body = shim.receive()
        self.assertEqual((kind, json.loads(body)["errorType"]), (19, "ValueError"))
        shim.close()

    def test_pre_stop_beside_a_running_handler(self):
        code = """
        import time, threading
        gone = threading.Event()
        def stop(context):
            print('cleaned up for', context.request_id)
            gone.set()
        def handler(event, context):
            context.stint.heartbeat()
            gone.wait(20)
            return 'left early'
        """
        shim = self.start({"index.py": code}, pre_stop="index.stop")
        shim.receive()
        shim.send(3, ["r-1", "", "0", "", ""])
        self.assertEqual(shim.receive()[0], 22)
        shim.process.send_signal(signal.SIGUSR2)
        kinds = sorted([shim.receive()[0], shim.receive()[0]])
        self.assertEqual(kinds, [18, 20])
        self.assertIn("cleaned up for r-1", shim.output())
        shim.close()

    def test_print_and_logging(self):
        code = """
        import logging
        def handler(event, context):
            print('plain')
            logging.getLogger().info('told')
            context.logger.debug('hidden')
            logging.getLogger('x').warning('warned %d', 7)
        """
        shim = self.start({"index.py": code})
        shim.receive()
        shim.invoke(request="r-7")
        lines = shim.output().splitlines()
        self.assertEqual(lines[0], "plain")
        self.assertRegex(lines[1], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z r-7 \[INFO\] told$")
        self.assertRegex(lines[2], r"r-7 \[WARNING\] warned 7$")
        self.assertEqual(len(lines), 3)
        shim.close()

    def test_forks_threads_and_descriptors_do_not_break_the_framing(self):
        code = """
        import os, subprocess, threading
        def handler(event, context):
            if event == b'fork':
                if os.fork() == 0:
                    return 'from the child'
                os.wait()
            if event == b'thread':
                for n in range(20):
                    threading.Thread(target=context.stint.progress, args=(n, 'm')).start()
            if event == b'children':
                return subprocess.check_output(['ls', '/proc/self/fd'])
            return 'from the parent'
        """
        shim = self.start({"index.py": code})
        shim.receive()
        self.assertEqual(shim.invoke(b"fork")[2], b"from the parent")
        self.assertNotIn("200", shim.invoke(b"children")[2].decode().split())
        shim.send(3, ["r", "", "0", "", ""], b"thread")
        kinds = [shim.receive()[0] for _ in range(21)]
        self.assertEqual(kinds.count(22), 20)
        self.assertEqual(kinds.count(20), 1)
        shim.close()

    def test_progress(self):
        code = """
        def handler(event, context):
            context.stint.progress(0.25, 'a quarter')
            context.stint.progress(500)
            context.stint.heartbeat()
        """
        shim = self.start({"index.py": code})
        shim.receive()
        shim.send(3, ["r", "", "0", "", ""])
        heads = [shim.receive()[1] for _ in range(3)]
        self.assertEqual(heads, [["250", "a quarter"], ["500", ""], ["-", ""]])
        shim.close()

    def test_exit_ends_the_process(self):
        shim = self.start({"index.py": "import sys\ndef handler(event, context):\n    sys.exit(3)"})
        shim.receive()
        self.assertEqual(shim.invoke()[0], None)
        self.assertEqual(shim.close(), 3)

    def test_terminate_shows_the_stacks(self):
        code = "import time\ndef handler(event, context):\n    context.stint.heartbeat()\n    time.sleep(20)"
        shim = self.start({"index.py": code})
        shim.receive()
        shim.send(3, ["r", "", "0", "", ""])
        shim.receive()
        shim.process.send_signal(signal.SIGTERM)
        self.assertEqual(shim.process.wait(20), -signal.SIGTERM)
        self.assertRegex(shim.output(), r"index.py\", line [34] in handler")

    def test_speed_is_printed(self):
        shim = self.start({"index.py": "def handler(event, context):\n    return event"})
        shim.receive()
        begun, count = time.perf_counter(), 2000
        for _ in range(count):
            shim.invoke(b"{}")
        per_call = (time.perf_counter() - begun) / count
        print("python shim: %.1f us a round trip with a Python peer" % (per_call * 1e6), file=sys.stderr)
        shim.close()


for other in other_interpreters("/usr/bin/python3", "/usr/bin/python3.*", "/usr/local/bin/python3.*"):
    name = "PythonTest_" + re.sub(r"\W", "_", other)
    globals()[name] = type(name, (PythonTest,), {"argv": [other] + PythonTest.argv[1:]})


if __name__ == "__main__":
    unittest.main()
