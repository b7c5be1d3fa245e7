"""The node's side of the channel, for testing the shims alone."""
import glob
import os
import select
import socket
import struct
import subprocess
import tempfile
import textwrap
import unittest

HEADER = struct.Struct("<IBBH")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEADLINE_SECONDS = 20


def other_interpreters(tested, *patterns):
    """Programs of the machine besides the one that is tested anyway."""
    seen = {os.path.realpath(tested)}
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            if path[-1].isdigit() and os.path.realpath(path) not in seen:
                seen.add(os.path.realpath(path))
                yield path


class Shim:
    """A started shim, its channel and its output."""

    def __init__(self, argv, files, env=None, environment=None, **config):
        """`environment` is what it is started with besides. With `env` it is started before anybody needs
        it, and gets that environment later."""
        self.home = tempfile.TemporaryDirectory()
        for name, text in files.items():
            path = os.path.join(self.home.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as out:
                out.write(textwrap.dedent(text))
        ours, theirs = socket.socketpair()
        ours.settimeout(DEADLINE_SECONDS)
        self.out, writer = os.pipe()
        def place():
            # Not by a shell: some know descriptors of one digit only.
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)

        self.process = subprocess.Popen(
            argv + (["--wait"] if env is not None else []),
            stdout=writer, stderr=writer, stdin=subprocess.DEVNULL, pass_fds=[3], preexec_fn=place,
            env={"PATH": "/usr/bin:/bin", "HOME": self.home.name, **(environment or {})})
        theirs.close()
        os.close(writer)
        self.socket = ours
        self.rest = b""
        config.setdefault("code_path", self.home.name)
        config.setdefault("memory", "512")
        config.setdefault("timeout", "60")
        fields = [part for pair in config.items() for part in pair]
        body = b""
        if env is not None:
            assert self.receive() == (23, [""], b""), "it waits"
            body = b"".join(part.encode() + b"\0" for pair in env.items() for part in pair)
        self.send(1, fields, body)

    def send(self, kind, fields, body=b""):
        head = "\0".join(fields).encode()
        self.socket.sendall(HEADER.pack(len(body), kind, 0, len(head)) + head + body)

    def receive(self):
        while True:
            if len(self.rest) >= 8:
                body_len, kind, _, head_len = HEADER.unpack_from(self.rest)
                end = 8 + head_len + body_len
                if len(self.rest) >= end:
                    frame, self.rest = self.rest[:end], self.rest[end:]
                    return kind, frame[8:8 + head_len].decode().split("\0"), frame[8 + head_len:]
            part = self.socket.recv(1 << 20)
            if not part:
                return None, [], b""
            self.rest += part

    def invoke(self, event=b"", request="req-1", task="", retries="0", key="key-1", qualifier="LATEST"):
        self.send(3, [request, task, retries, key, qualifier], event)
        return self.receive()

    def output(self):
        """What was written so far; a shim flushes before it answers."""
        text = b""
        while select.select([self.out], [], [], 0)[0]:
            part = os.read(self.out, 65536)
            if not part:
                break
            text += part
        return text.decode()

    def close(self):
        self.socket.close()
        code = self.process.wait(DEADLINE_SECONDS)
        os.close(self.out)
        self.home.cleanup()
        return code


class ShimTest(unittest.TestCase):
    argv = None

    def start(self, files, handler="index.handler", env=None, **config):
        shim = Shim(self.argv, files, env, handler=handler, **config)
        self.addCleanup(lambda: shim.process.poll() is None and shim.process.kill())
        return shim
