"""A WebSocket client (RFC 6455) as small as the tests need, with the older FC signature that upstream's tools use."""

import base64
import hashlib
import hmac
import os
import socket
import struct
from email.utils import formatdate
from urllib.parse import quote, urlencode


class Refused(Exception):
    """The server did not upgrade."""

    def __init__(self, status: int, body: str):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


def sign(secret: str, path: str, date: str, headers: dict[str, str]) -> str:
    lines = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    text = f"GET\n\n\n{date}\n{lines}{path}"
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


class Command:
    """A command in an instance."""

    def __init__(self, server, function: str, instance: str, command: list[str], key=None, replay=None, **query):
        path = f"/2023-03-30/functions/{quote(function)}/instances/{quote(instance)}/exec"
        pairs = [("command", word) for word in command] + [(k, str(v).lower()) for k, v in query.items()]
        host, port = server.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        key_id, secret = key or server.key
        date = formatdate(usegmt=True)
        said = {"Host": server.address, "Connection": "Upgrade", "Upgrade": "websocket", "Date": date,
                "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                "x-fc-nonce": os.urandom(8).hex()}
        said["Authorization"] = f"FC {key_id}:{sign(secret, path, date, {'x-fc-nonce': said['x-fc-nonce']})}"
        self.said = replay or said
        head = f"GET {path}?{urlencode(pairs)} HTTP/1.1\r\n"
        self.socket.sendall((head + "".join(f"{k}: {v}\r\n" for k, v in self.said.items()) + "\r\n").encode())
        self.read = b""
        while b"\r\n\r\n" not in self.read:
            self.fill()
        head, _, self.read = self.read.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 101:
            lengths = [line for line in head.decode().lower().split("\r\n") if line.startswith("content-length:")]
            while lengths and len(self.read) < int(lengths[0].split(":")[1]):
                self.fill()
            raise Refused(status, self.read.decode())
        self.out, self.err = b"", b""
        self.closed: tuple[int, str] | None = None

    def fill(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError("the server closed the connection")
        self.read += piece

    def take(self, count: int) -> bytes:
        while len(self.read) < count:
            self.fill()
        taken, self.read = self.read[:count], self.read[count:]
        return taken

    def send(self, payload: bytes, opcode: int = 2) -> None:
        mask = os.urandom(4)
        length = len(payload)
        head = bytes([0x80 | opcode])
        if length < 126:
            head += bytes([0x80 | length])
        elif length < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", length)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", length)
        self.socket.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))

    def end_input(self) -> None:
        self.send(b"")

    def hear(self) -> bool:
        """Reads one message; false after the last one."""
        first, second = self.take(2)
        assert not second & 0x80, "servers do not mask"
        length = second & 0x7f
        if length == 126:
            length, = struct.unpack(">H", self.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.take(8))
        payload = self.take(length)
        match first & 0x0f:
            case 2 if payload[:1] == b"\x01":
                self.out += payload[1:]
            case 2 if payload[:1] == b"\x02":
                self.err += payload[1:]
            case 8:
                self.closed = (struct.unpack(">H", payload[:2])[0], payload[2:].decode())
                self.send(payload[:2], 8)
                return False
            case 9:
                self.send(payload, 10)
            case 10:
                self.ponged = payload
            case other:
                raise AssertionError(f"message of kind {other}")
        return True

    def hear_until(self, holds) -> None:
        while not holds():
            assert self.hear(), (self.closed, self.out, self.err)

    def whole(self) -> "Command":
        while self.hear():
            pass
        self.socket.close()
        return self
