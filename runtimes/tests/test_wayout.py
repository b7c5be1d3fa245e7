"""How Node.js is taught the way out: its own clients go through the proxy, TLS stays end to end."""
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import channel


def serve(handle):
    """A server on a port of its own; `handle(connection)` runs in a thread for each."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def head_of(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            break
        head += piece
    return head.decode()


def answer(connection):
    with connection:
        line = head_of(connection).split("\r\n")[0]
        body = ("heard " + line).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def carry(from_, to):
    try:
        while True:
            piece = from_.recv(65536)
            if not piece:
                break
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


HANDLER = """
    const https = require('https');
    const http = require('node:http');
    const get = (module, url) => new Promise((done) => module.get(url, (answer) => {
      let text = '';
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => done(text));
    }).on('error', (error) => done('failed: ' + error.message)));
    const fetched = (url) => typeof fetch === 'function'
      ? fetch(url).then((answer) => answer.text(), (error) => 'failed: ' + (error.cause || error).message)
      : Promise.resolve('no fetch');
    exports.handler = async (event) => {
      const url = event.toString();
      return [await get(url.startsWith('https') ? https : http, url), await fetched(url)];
    };
    """


class NodeProxyTest(channel.ShimTest):
    argv = ["/usr/bin/node", os.path.join(channel.ROOT, "nodejs", "bootstrap.js")]

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        key, cls.certificate = (os.path.join(cls.directory.name, name) for name in ("key.pem", "cert.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cls.certificate,
             "-days", "2", "-subj", "/CN=far.example", "-addext", "subjectAltName=DNS:far.example"],
            check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cls.certificate, key)
        cls.plain = serve(answer)
        cls.secure = serve(lambda connection: answer_tls(context, connection))
        cls.asked = []
        cls.proxy = serve(cls.tunnel)

    @classmethod
    def tearDownClass(cls):
        for listener in (cls.plain, cls.secure, cls.proxy):
            listener.close()
        cls.directory.cleanup()

    @classmethod
    def tunnel(cls, connection):
        line = head_of(connection).split("\r\n")[0]
        cls.asked.append(line)
        if "denied.example" in line:
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\nStint says no\n")
            return connection.close()
        far = cls.secure if ":443 " in line else cls.plain
        outside = socket.create_connection(far.getsockname())
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=carry, args=(connection, outside), daemon=True).start()
        carry(outside, connection)

    def started(self):
        address = "http://127.0.0.1:%d" % self.proxy.getsockname()[1]
        environment = {"http_proxy": address, "https_proxy": address, "no_proxy": "localhost,127.0.0.1,::1",
                       "NODE_EXTRA_CA_CERTS": self.certificate}
        shim = self.start({"index.js": HANDLER}, environment=environment)
        self.assertEqual(shim.receive()[0], 16)
        return shim

    def fetch(self, shim, url):
        kind, _, body = shim.invoke(url.encode())
        self.assertEqual(kind, 20, body)
        return [text for text in json.loads(body) if text != "no fetch"]

    def test_plain_and_secure_go_through_the_proxy(self):
        shim = self.started()
        for url, port in (("http://far.example/a?b", 80), ("https://far.example/a?b", 443)):
            self.assertEqual(set(self.fetch(shim, url)), {"heard GET /a?b HTTP/1.1"})
            self.assertIn("CONNECT far.example:%d HTTP/1.1" % port, self.asked)

    def test_a_wrong_certificate_stays_wrong(self):
        for text in self.fetch(self.started(), "https://other.example/"):
            self.assertIn("altnames", text)

    def test_a_refusal_says_why(self):
        for url in ("http://denied.example/", "https://denied.example/"):
            for text in self.fetch(self.started(), url):
                self.assertIn("Stint says no", text)

    def test_what_is_near_is_reached_without(self):
        before = len(self.asked)
        url = "http://127.0.0.1:%d/near" % self.plain.getsockname()[1]
        self.assertEqual(set(self.fetch(self.started(), url)), {"heard GET /near HTTP/1.1"})
        self.assertEqual(len(self.asked), before)


def answer_tls(context, connection):
    try:
        answer(context.wrap_socket(connection, server_side=True))
    except (OSError, ssl.SSLError):
        connection.close()


if __name__ == "__main__":
    unittest.main()
