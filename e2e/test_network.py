"""The way out of a function: through the proxy, past it, to Stint itself."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cloud import Cloud, fc, refusal, unique
from server import ROOT, Server, until


class Host(BaseHTTPRequestHandler):
    """A service on the host's loopback that the operator has named."""
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        text = f"{self.command} {self.path} {len(body)}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


def service() -> ThreadingHTTPServer:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


@pytest.fixture(scope="module")
def named():
    made = service()
    yield made.server_port
    made.shutdown()


@pytest.fixture(scope="module")
def unnamed():
    made = service()
    yield made.server_port
    made.shutdown()


@pytest.fixture(scope="module")
def stage(place, named):
    home = place / unique("network")
    home.mkdir()
    server = Server(home, node__egress_host_ports=str(named), node__egress_deny="denied.example,192.0.2.0/24:8080")
    yield server.start()
    server.end()


@pytest.fixture(scope="module")
def net(stage):
    return Cloud(stage)


TRAVELLER = """
    import json, os, socket, urllib.error, urllib.request

    def fetch(url, body=None):
        try:
            with urllib.request.urlopen(url, body and body.encode(), timeout=15) as answer:
                return [answer.status, answer.read().decode()]
        except urllib.error.HTTPError as error:
            return [error.code, error.read().decode()]
        except OSError as error:
            return [0, str(error)]

    def raw(address, port):
        try:
            socket.create_connection((address, port), 5).close()
            return "connected"
        except OSError as error:
            return error.strerror or str(error)

    def connect(target):
        with socket.create_connection(("127.0.0.1", 3128), 15) as s:
            s.sendall(f"CONNECT {target} HTTP/1.1\\r\\n\\r\\n".encode())
            return s.recv(4096).decode()

    def resolve(name):
        try:
            return socket.gethostbyname(name)
        except OSError as error:
            return str(error)

    def handler(event, context):
        how, *rest = json.loads(event)
        return json.dumps(globals()[how](*rest))
    """


@pytest.fixture(scope="module")
def traveller(net):
    name = unique("traveller")
    net.create(name, TRAVELLER)
    return name


def test_python_finds_the_way_by_itself(net, traveller, named):
    url = f"http://host.stint.internal:{named}/a?b=c"
    assert net.invoke(traveller, json.dumps(["fetch", url])).json == [200, "GET /a?b=c 0"]
    assert net.invoke(traveller, json.dumps(["fetch", url, "x" * 200_000])).json == [200, "POST /a?b=c 200000"]


def test_node_finds_the_way_by_itself(net, named):
    name = unique("node")
    net.create(name, {"index.mjs": """
        import http from 'node:http';
        import https from 'node:https';
        const get = (module, url) => new Promise((done) => module.get(url, (answer) => {
          let text = '';
          answer.on('data', (piece) => { text += piece; });
          answer.on('end', () => done(`${answer.statusCode} ${text}`));
        }).on('error', (error) => done(`failed: ${error.message}`)));
        export const handler = async (event) => {
          const url = event.toString();
          const answer = await fetch(url + 'fetch');
          return [await get(http, url + 'get'), `${answer.status} ${await answer.text()}`,
                  await get(http, 'http://169.254.169.254/'), await get(https, 'https://169.254.169.254/'),
                  await fetch('http://127.0.0.1:9999/').catch((error) => 'near: ' + error.cause.code)];
        };
        """}, runtime="nodejs20")
    got = net.invoke(name, f"http://host.stint.internal:{named}/").json
    assert got[:2] == ["200 GET /get 0", "200 GET /fetch 0"], got
    assert all("169.254.169.254" in text and "link-local" in text for text in got[2:4]), got
    assert got[4] == "near: ECONNREFUSED"


def test_curl_finds_the_way_by_itself(net, named):
    name = unique("curl")
    net.create(name, """
        import subprocess
        def handler(event, context):
            done = subprocess.run(["curl", "-sS", "--max-time", "10", *event.decode().split()], capture_output=True)
            return (done.stdout + done.stderr).decode()
        """)
    url = f"http://host.stint.internal:{named}/curl"
    assert net.invoke(name, url).text == "GET /curl 0"
    assert net.invoke(name, f"--proxy socks5h://127.0.0.1:3128 {url}").text == "GET /curl 0"
    assert net.invoke(name, f"--proxytunnel {url}").text == "GET /curl 0"
    assert "link-local" in net.invoke(name, "http://169.254.169.254/latest/meta-data/").text


@pytest.mark.parametrize("target, reason", [
    ("127.0.0.1:PORT", "it is loopback"),
    ("localhost:PORT", "it is loopback"),
    ("[::1]:PORT", "it is loopback"),
    ("[::ffff:127.0.0.1]:PORT", "it is loopback"),
    ("0.0.0.0:PORT", "it is no address of a machine"),
    ("host.stint.internal:PORT", "node.egress_host_ports"),
    ("169.254.169.254:80", "it is link-local"),
    ("[fe80::1]:80", "it is link-local"),
    ("100.100.100.200:80", "metadata"),
    ("[fd00:ec2::254]:80", "metadata"),
    ("192.0.2.9:8080", "the operator denies 192.0.2.0/24:8080"),
])
def test_what_nobody_may_reach(net, traveller, unnamed, target, reason):
    said = net.invoke(traveller, json.dumps(["connect", target.replace("PORT", str(unnamed))])).json
    assert said.startswith("HTTP/1.1 403 Forbidden\r\n") and reason in said, said


def test_the_node_itself_is_out_of_reach(net, traveller, stage):
    port = stage.address.rpartition(":")[2]
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    except OSError:
        own = "127.0.0.1"
    for host in (own, socket.gethostname(), "127.0.0.1", "host.stint.internal"):
        said = net.invoke(traveller, json.dumps(["connect", f"{host}:{port}"])).json
        assert said.startswith(("HTTP/1.1 403", "HTTP/1.1 502")), (host, said)
        assert "200" not in said.split("\r\n")[0]


def test_nothing_leaves_past_the_proxy(net, traveller, unnamed):
    invoke = lambda *how: net.invoke(traveller, json.dumps(how)).json  # noqa: E731
    assert invoke("raw", "127.0.0.1", unnamed) == "Connection refused"
    for address in ("192.0.2.1", "10.0.0.1", "169.254.169.254"):
        assert invoke("raw", address, 80) == "Network is unreachable"
    assert "127.0.0.1" not in invoke("resolve", "host.stint.internal"), "names are the proxy's business"


def test_a_refusal_is_told_in_the_log(net, stage):
    name = unique("told")
    net.create(name, TRAVELLER)
    net.invoke(name, json.dumps(["connect", "169.254.169.254:80"]))
    text = "[stint] no connection: 169.254.169.254:80 may not be reached from a function"
    until(lambda: text in str(net.v1("GET", "/logs", function=name)), "the log says so")
    metrics = stage.get("/metrics")[1].decode()
    assert 'stint_egress_connections_total{verdict="denied"}' in metrics


def test_without_internet_access_there_is_no_way(net, unnamed):
    name = unique("shut")
    net.create(name, TRAVELLER, internet_access=False)
    invoke = lambda *how: net.invoke(name, json.dumps(how)).json  # noqa: E731
    for port in (3128, 3129, unnamed):
        assert invoke("raw", "127.0.0.1", port) == "Connection refused"
    assert invoke("raw", "192.0.2.1", 80) == "Network is unreachable"
    (instance,) = net.v1("GET", "/instances", function=name)["items"]
    assert "network: own loopback" in instance["enforced"]


CALLER = """
    import http.client, json, os, urllib.parse
    import acs3

    def handler(event, context):
        asked = json.loads(event)
        endpoint = urllib.parse.urlsplit(os.environ["STINT_ENDPOINT"])
        host, body = endpoint.netloc, asked.get("body", "").encode()
        headers = {"host": host}
        if asked.get("signed"):
            keys = context.credentials
            headers = acs3.signed(asked["method"], host, asked["path"], "", body, keys.access_key_id,
                                  keys.access_key_secret, token=keys.security_token, headers=asked.get("headers"))
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request(asked["method"], asked["path"], body or None, headers)
        answer = connection.getresponse()
        return {"status": answer.status, "text": answer.read().decode()}
    """


def test_a_function_calls_stint_with_its_own_key(net):
    caller, target = unique("caller"), unique("target")
    net.create(target, "def handler(event, context):\n    return b'heard ' + event\n", task_mode=True)
    files = {"index.py": CALLER, "acs3.py": (ROOT / "e2e/acs3.py").read_bytes()}
    net.create(caller, files, role="acs:ram::1:role/any")
    path = f"/2023-03-30/functions/{target}/invocations"
    ask = lambda **how: net.invoke(caller, how).json  # noqa: E731
    done = ask(method="POST", path=path, body="a call", signed=True)
    assert done == {"status": 200, "text": "heard a call"}, done
    done = ask(method="POST", path=path, body="a task", signed=True,
               headers={"x-fc-invocation-type": "Async", "x-fc-async-task-id": "from-inside"})
    assert done["status"] == 202, done
    assert net.ended(target, "from-inside").return_payload == "heard a task"
    # Without a key it is nobody, on every path, also on those that are open to the operator.
    for path in (path, "/v1/tasks", "/v1/whoami", "/metrics", "/healthz", "/readyz", "/openapi.json", "/"):
        done = ask(method="POST" if "invocations" in path else "GET", path=path)
        assert done["status"] in (400, 401, 403), (path, done)
        assert "stint_" not in done["text"]


def test_without_internet_access_there_is_no_api(net):
    name = unique("noapi")
    net.create(name, """
        import os
        def handler(event, context):
            return sorted(k for k in os.environ if k.startswith("STINT_") or "proxy" in k.lower())
        """, internet_access=False)
    assert net.invoke(name).json == []


SERVER = '''
import http.server, json, os, socketserver, urllib.error, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                text = f"{answer.status} {answer.read().decode()}"
        except (OSError, ValueError) as error:
            text = f"failed: {error}"
        body = text.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

Server(("0.0.0.0", int(os.environ["FC_CUSTOM_LISTEN_PORT"])), Handler).serve_forever()
'''


@pytest.mark.parametrize("network", ["proxy", "none", "host"])
def test_a_server_is_reached_with_every_network(own, named, network):
    server = own(node__network=network, node__egress_host_ports=str(named)).start()
    cloud = Cloud(server)
    files = {"server.py": SERVER, "bootstrap": "#!/bin/sh\nexec /usr/bin/python3 /code/server.py\n"}
    # 3128 is where the proxy would be.
    for port in (9000, 3128, 3129):
        for internet in (True, False):
            name = f"server-{port}-{internet}".lower()
            cloud.create(name, files, runtime="custom.debian12", handler="none", internet_access=internet,
                         custom_runtime_config=fc.CustomRuntimeConfig(port=port))
            said = cloud.invoke(name, f"http://host.stint.internal:{named}/").text
            if internet and network != "none":
                assert said == "200 GET / 0", (port, said)
            else:
                assert said.startswith("failed: "), (port, said)


def test_the_hosts_network_is_for_the_operators_account(own, unnamed):
    server = own(node__network="host").start()
    cloud = Cloud(server)
    other = cloud.as_role("admin", account=cloud.account("tenant"))
    ask = json.dumps(["raw", "127.0.0.1", unnamed])
    for one, expected in ((cloud, "connected"), (other, "Connection refused")):
        one.create("traveller", TRAVELLER)
        assert one.invoke("traveller", ask).json == expected
    cloud.create("shut", TRAVELLER, internet_access=False)
    assert cloud.invoke("shut", ask).json == "Connection refused"
    done = server.cli("doctor", "--set", "node.network=host", check=False)
    assert "internetAccess" in done.stdout
    refused = own(node__network="host", node__isolation="strict")
    assert "host-for-all-accounts" in refused.cli("up", "--set", "node.network=host", "--set",
                                                  "node.isolation=strict", check=False).stderr


def test_other_accounts_do_not_reach_private_networks(net, traveller):
    other = net.as_role("admin", account=net.account(unique("tenant")))
    other.create("traveller", TRAVELLER)
    said = other.invoke("traveller", json.dumps(["connect", "10.255.255.1:81"])).json
    assert said.startswith("HTTP/1.1 403") and "private network" in said


def test_a_function_narrows_its_own_way_out(net, named, stage):
    name = unique("narrow")
    far = "http://host.stint.internal:%d/" % named
    for variables, status in (
        ({"STINT_EGRESS_ALLOW": f"host.stint.internal:{named}, *.example.com"}, 200),
        ({"STINT_EGRESS_ALLOW": "*.example.com"}, 403),
        ({"STINT_EGRESS_DENY": f"*:{named}"}, 403),
        ({"STINT_EGRESS_ALLOW": "*, 169.254.0.0/16"}, 200),
    ):
        name = unique("narrow")
        net.create(name, TRAVELLER, environment_variables=variables)
        said = net.invoke(name, json.dumps(["fetch", far])).json
        assert said[0] == status, (variables, said)
        if status == 403:
            assert "the function itself" in said[1]
        assert net.invoke(name, json.dumps(["connect", "169.254.169.254:80"])).json.startswith("HTTP/1.1 403")
    name = unique("wrong")
    net.create(name, TRAVELLER, environment_variables={"STINT_EGRESS_ALLOW": "http://example.com"})
    error = refusal(lambda: net.invoke(name, "[]"))
    assert error.code == "FunctionNotStarted" and "STINT_EGRESS_ALLOW has 'http://example.com'" in error.message
