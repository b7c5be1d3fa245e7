"""What a function's failure looks like to its caller (§2.6): every row, for each kind of runtime, as an answer and in
the history of a task."""

import json
import re

import pytest

from cloud import unique
from server import until

PYTHON = """
import ctypes, os, signal, sys, time

def handler(event, context):
    how = event.decode()
    if how == "raise":
        raise KeyError("missing")
    elif how == "exit":
        os._exit(3)
    elif how == "leave":
        sys.exit(3)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "abort":
        os.abort()
    elif how == "memory":
        kept = [bytes(b"x" * (8 << 20)) for _ in range(200)]
    elif how == "late":
        time.sleep(60)
    return how
"""

NODE = """
exports.handler = async (event) => {
  const how = event.toString();
  if (how === 'raise') throw new RangeError('missing');
  if (how === 'exit' || how === 'leave') process.exit(3);
  if (how === 'kill') { process.kill(process.pid, 'SIGKILL'); await new Promise(() => {}); }
  if (how === 'abort') process.abort();
  if (how === 'memory') { const kept = []; for (let n = 0; n < 200; n++) kept.push(Buffer.alloc(8 << 20, 1)); }
  if (how === 'late') await new Promise((done) => setTimeout(done, 60000));
  return how;
};
"""

CUSTOM = """#!/usr/bin/python3
import http.server, importlib, json, os, sys
sys.path.insert(0, "/code")
import index

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        extra = {}
        try:
            answer = index.handler(body, None).encode()
        except KeyError as error:
            extra = {"x-fc-status": "404"}
            answer = json.dumps({"errorMessage": str(error), "errorType": "KeyError"}).encode()
        except SystemExit as left:
            os._exit(left.code)
        self.send_response(200)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["FC_CUSTOM_LISTEN_PORT"])), Handler).serve_forever()
"""

def limit_of(how: str) -> int:
    """The seconds a function that ends so is given: a machine may need many to find the memory it is asked for."""
    return 4 if how == "late" else 60


CODE = {
    "python3.10": {"index.py": PYTHON},
    "nodejs20": {"index.js": NODE},
    "custom.debian12": {"index.py": PYTHON, "bootstrap": CUSTOM},
}
EXITED = r"Process exited unexpectedly before completing request \(duration: \d+ms, maxMemoryUsage: \d+\.\d\dMB\)"
#: How, then the pattern of the message and the type in the history.
ROWS = {
    "raise": (r"'?missing'?", "KeyError"),
    "exit": (EXITED, "FunctionUnhandledError"),
    "leave": (EXITED, "FunctionUnhandledError"),
    "kill": (EXITED, "FunctionUnhandledError"),
    "abort": (EXITED, "FunctionUnhandledError"),
    "memory": (r"Function instance was killed: memory limit exceeded \(256MB\).*", "FunctionOOMError"),
    "late": (r"Function timed out after 4 seconds \(maxMemoryUsage: \d+\.\d\dMB\)", "FunctionTimeoutError"),
}


@pytest.mark.parametrize("how", list(ROWS))
@pytest.mark.parametrize("runtime", list(CODE))
def test_a_failure_by_runtime(cloud, runtime, how):
    name, (pattern, kind) = unique("failing"), ROWS[how]
    cloud.create(name, CODE[runtime], runtime=runtime, timeout=limit_of(how), task_mode=True, retries=0)
    is_said = how == "raise"
    error_type = "InvocationError" if is_said and runtime.startswith("custom") else "UnhandledInvocationError"
    kind = "RangeError" if is_said and runtime.startswith("node") else kind
    reply = cloud.invoke(name, how)
    assert (reply.status, reply.error_type) == (200, error_type), reply
    assert re.fullmatch(pattern, reply.json["errorMessage"]), reply.text
    if is_said:
        assert reply.json["errorType"] == kind
    else:
        assert set(reply.json) == {"errorMessage"}, "as upstream: these carry nothing else"
    task_id = cloud.submit(name, how)
    assert cloud.ended(name, task_id).status == "Failed"
    error = cloud.native(name, task_id)["attempts"][-1]["error"]
    assert (error["class"], error["kind"]) == (error_type, kind), error
    assert re.fullmatch(pattern, error["message"]), error
    if not is_said:
        def logged():
            lines = cloud.v1("GET", f"/functions/{name}/tasks/{task_id}/logs")["items"]
            return any(error["message"] in line["text"] for line in lines)
        until(logged, "the log says why the instance ended")
    assert cloud.invoke(name, "well").body == b"well", "the next call is served"


@pytest.mark.parametrize("runtime, files, kind, message", [
    ("python3.10", {"index.py": "import nowhere_to_be_found\ndef handler(e, c):\n    return 1\n"},
     "ImportModuleError", "Unable to import module 'index'"),
    ("python3.10", {"index.py": "def handler(e, c)\n    return 1\n"}, "UserCodeSyntaxError", "Syntax error in module 'index'"),
    ("nodejs20", {"index.js": "require('nowhere-to-be-found'); exports.handler = async () => 1;\n"},
     "ImportModuleError", "Unable to import module 'index'"),
    ("nodejs20", {"index.js": "exports.handler = async () => {{;\n"}, "UserCodeSyntaxError", "Syntax error in module 'index'"),
], ids=["python-import", "python-syntax", "node-import", "node-syntax"])
def test_code_that_does_not_load(cloud, runtime, files, kind, message):
    name = unique("unloadable")
    cloud.create(name, files, runtime=runtime, task_mode=True, retries=0)
    reply = cloud.invoke(name)
    assert (reply.status, reply.error_type) == (200, "UnhandledInvocationError")
    assert reply.json["errorType"] == kind and reply.json["errorMessage"].startswith(message), reply.text
    task_id = cloud.submit(name)
    assert cloud.ended(name, task_id).status == "Failed"
    error = cloud.native(name, task_id)["attempts"][-1]["error"]
    assert (error["class"], error["kind"]) == ("UnhandledInvocationError", kind), error


INITIALIZER = {
    "python3.10": {"index.py": PYTHON + """
def initialize(context):
    handler(os.environ["HOW"].encode(), context)
"""},
    "nodejs20": {"index.js": NODE + "exports.initialize = async () => exports.handler(Buffer.from(process.env.HOW));\n"},
}
INITIALIZER["custom.debian12"] = {
    "index.py": INITIALIZER["python3.10"]["index.py"],
    "bootstrap": CUSTOM.replace("index.handler(body, None)",
                                "index.handler(os.environ['HOW'].encode() if self.path == '/initialize' else body, None)"),
}


@pytest.mark.parametrize("how", ["exit", "late", "memory"])
@pytest.mark.parametrize("runtime", list(INITIALIZER))
def test_an_initializer_that_fails(cloud, runtime, how):
    from cloud import fc
    name = unique("initializer")
    cloud.create(name, INITIALIZER[runtime], runtime=runtime, environment_variables={"HOW": how}, task_mode=True, retries=0,
                 instance_lifecycle_config=fc.InstanceLifecycleConfig(
                     initializer=fc.LifecycleHook(handler="index.initialize", timeout=limit_of(how))))
    pattern = ROWS[how][0].replace("Function timed out", "Function initialization timed out")
    reply = cloud.invoke(name, "well")
    assert (reply.status, reply.error_type) == (200, "InitializationError"), reply
    assert 0 < int(reply.headers["x-fc-invocation-duration"]) < 60_000
    assert re.fullmatch(pattern, reply.json["errorMessage"]), reply.text
    task_id = cloud.submit(name, "well")
    assert cloud.ended(name, task_id).status == "Failed"
    assert cloud.native(name, task_id)["attempts"][-1]["error"]["class"] == "InitializationError"
