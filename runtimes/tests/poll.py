"""The node's side of the local runtime API, for testing polling shims alone."""
import http.server
import os
import queue
import subprocess
import tempfile
import textwrap
import threading
import unittest

DEADLINE_SECONDS = 20
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Node(http.server.ThreadingHTTPServer):
    """Answers polls with what is put into `deliveries`, and remembers what is posted."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.deliveries, self.answers = queue.Queue(), queue.Queue()

    def handle_error(self, request, client_address):
        """A shim that ended in the middle is what some tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        assert self.path == "/2020-11-11/runtime/invocation/next", self.path
        headers, body = self.server.deliveries.get()
        self.answer(body, headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.answers.put((self.path.replace("/2020-11-11/runtime/", ""), body))
        self.answer(b'{"status":"OK"}', {})

    def answer(self, body, headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Shim:
    """A started shim that polls, and its output."""

    def __init__(self, argv, files, handler, **env):
        self.home = tempfile.TemporaryDirectory()
        for name, text in files.items():
            path = os.path.join(self.home.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        self.node = Node()
        threading.Thread(target=self.node.serve_forever, daemon=True).start()
        self.log = os.path.join(self.home.name, ".log")
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": self.home.name, "TMPDIR": self.home.name, "LANG": "C.UTF-8",
            "FC_RUNTIME_API": "127.0.0.1:%d" % self.node.server_address[1],
            "FC_FUNC_CODE_PATH": self.home.name, "FC_FUNCTION_HANDLER": handler, **env}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd="/tmp")

    def deliver(self, event=b"", kind="0", request="req-1", hook="", **headers):
        sent = {
            "x-fc-function-type": kind, "x-fc-request-id": request, "x-fc-function-timeout": "60",
            "x-fc-function-deadline": "1700000000000", "x-fc-retry-count": "0", "x-fc-qualifier": "LATEST",
            "x-fc-function-name": "f", "x-fc-function-memory": "512", "x-stint-hook-handler": hook,
            **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.node.deliveries.put((sent, event))

    def answer(self):
        """What was posted: the call without its request id, and the body."""
        path, body = self.node.answers.get(timeout=DEADLINE_SECONDS)
        return path.split("/")[-1], body

    def invoke(self, event=b"", **more):
        self.deliver(event, **more)
        return self.answer()

    def output(self):
        with open(self.log, "rb") as log:
            return log.read().decode()

    def close(self):
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self.node.shutdown()
        self.node.server_close()
        self.home.cleanup()


class PollTest(unittest.TestCase):
    argv = None

    def start(self, files, handler, **env):
        shim = Shim(self.argv, files, handler, **env)
        self.addCleanup(shim.close)
        return shim
