"""The door: what a stranger sees of it, whatever is sent."""

import datetime
import http.client
import ipaddress
import json
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import acs3
import pytest
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from darabonba.runtime import RuntimeOptions

from cloud import Cloud, Refused, fc, pack, refusal, unique
from server import until

ECHO = "def handler(event, context):\n    return event\n"
PATH = "/2023-03-30/functions/{}/invocations"
MIB = 1 << 20


# --- Bodies that are refused ------------------------------------------------------------------------


def sent_whole(cloud, path, pieces, headers=None):
    """Sends everything before it looks for an answer, as most clients do."""
    signed = acs3.signed("POST", cloud.server.address, path, "", b"", cloud.key_id, cloud.secret, headers=headers)
    connection = http.client.HTTPConnection(cloud.server.address, timeout=60)
    if isinstance(pieces, bytes):
        connection.request("POST", path, pieces, signed)
    else:
        connection.request("POST", path, pieces, signed | {"transfer-encoding": "chunked"}, encode_chunked=True)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    return answer.status, body["Code"], connection


@pytest.mark.parametrize("kind", ["Sync", "Async"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_too_large_a_body_is_answered(cloud, echo, kind, chunked):
    pieces = (b"x" * MIB for _ in range(40)) if chunked else b"x" * (40 * MIB)
    status, code, connection = sent_whole(cloud, PATH.format(echo), pieces, {"x-fc-invocation-type": kind})
    assert (status, code) == (400, "EntityTooLarge")
    # What was refused was read to its end: the connection goes on.
    headers = acs3.signed("GET", cloud.server.address, "/v1/whoami", "", b"", cloud.key_id, cloud.secret)
    connection.request("GET", "/v1/whoami", headers=headers)
    assert connection.getresponse().status == 200


def test_the_sdk_sees_why_a_large_body_is_refused(cloud, server, echo):
    large = fc.PublishVersionInput(description="x" * (8 * MIB))
    error = refusal(lambda: cloud.sdk.publish_function_version(echo, fc.PublishFunctionVersionRequest(body=large)))
    assert (error.status_code, error.code) == (400, "EntityTooLarge")
    # A wrong key is known before the body is read.
    stranger = Cloud(server, (cloud.key_id, "wrong"))
    error = refusal(lambda: stranger.create(unique("f"), ECHO, code=fc.InputCodeLocation(zip_file="A" * (20 * MIB))))
    assert (error.status_code, error.code) == (403, "SignatureNotMatch")
    error = refusal(lambda: cloud.create(unique("f"), ECHO, code=fc.InputCodeLocation(zip_file="A" * (101 * MIB))))
    assert (error.status_code, error.code) == (400, "EntityTooLarge")


def test_who_asks_before_sending_is_not_made_to_send(cloud, server, echo):
    path = PATH.format(echo)
    headers = acs3.signed("POST", server.address, path, "", b"", cloud.key_id, cloud.secret)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(f"POST {path} HTTP/1.1\r\n{lines}content-length: {40 * MIB}\r\n"
                     "expect: 100-continue\r\n\r\n".encode())
        assert wire.recv(4096).startswith(b"HTTP/1.1 400 ")


# --- Every answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/", 404), ("GET", "/index.html", 404), ("GET", "/healthz", 200), ("HEAD", "/healthz", 200),
    ("HEAD", "/readyz", 200), ("GET", "/metrics", 200), ("GET", "/openapi.json", 200), ("POST", "/healthz", 404),
    ("GET", "/v1/tasks", 400), ("GET", "/2023-03-30/functions", 400), ("OPTIONS", "/2023-03-30/functions", 400),
    ("GET", "/links/code/nonsense", 403), ("GET", "/" + "a" * 9000, 400), ("TRACE", "/", 404),
])
def test_every_answer_has_a_request_id_and_no_error_is_empty(server, method, path, status):
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    assert (answer.status, bool(answer.headers["X-Fc-Request-Id"])) == (status, True)
    assert "html" not in answer.headers["Content-Type"]
    if status >= 400:
        error = json.loads(body)
        assert error["Code"] and error["Message"] and error["RequestId"] == answer.headers["X-Fc-Request-Id"]


def test_a_head_that_is_too_long_is_answered(server):
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 70_000 + b"\r\n\r\n")
        assert wire.recv(64).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("body, says", [
    ('{"cpu": "much"}', "field 'cpu'"), ('{"code": {"zipFile": 5}}', "field 'code.zipFile'"),
    ('{"memorySize": 1.5}', "field 'memorySize'"), ('{"code": true}', "expected an object"),
    ("[]", "must be a JSON object"), ("", "must be a JSON object"), ("{", "EOF"),
])
def test_a_body_that_is_not_valid_says_where(cloud, body, says):
    reply = cloud.request("POST", "/2023-03-30/functions", body.encode())
    assert (reply.status, reply.json["Code"]) == (400, "InvalidArgument")
    assert says in reply.json["Message"] and "struct" not in reply.json["Message"]


def test_what_a_request_may_be_called(cloud, echo):
    path = PATH.format(echo)
    named = lambda **headers: cloud.request("POST", path, b"x", headers={  # noqa: E731
        name.replace("_", "-"): value for name, value in headers.items()})
    assert named(x_fc_request_id="mine-1").headers["x-fc-request-id"] == "mine-1"
    assert named(x_fc_trace_id="1-64e70cf1-5cbef92e").headers["x-fc-request-id"] == "1-64e70cf1-5cbef92e"
    assert named(x_fc_trace_id="not: an id").headers["x-fc-request-id"] != "not: an id"
    for kind in ("Sync", "Async"):
        reply = named(x_fc_request_id="a b", x_fc_invocation_type=kind)
        assert (reply.status, reply.json["Code"]) == (400, "InvalidArgument")
        assert reply.headers["x-fc-request-id"] == reply.json["RequestId"] != "a b"


# --- Quirks of the SDKs (§1.2 to §1.5) --------------------------------------------------------------


def test_what_the_sdks_do_to_addresses_and_queries(cloud, server):
    name = unique("quirk")
    cloud.create(name, ECHO, description="a + b ünï/%2F")
    scheme_in_host = Client(Config(access_key_id=cloud.key_id, access_key_secret=cloud.secret,
                                   endpoint=f"http://{server.address}", region_id="local"))
    assert scheme_in_host.get_function(name, fc.GetFunctionRequest()).body.function_name == name
    link = scheme_in_host.get_function_code(name, fc.GetFunctionCodeRequest()).body.url
    assert link.startswith(f"http://{server.address}/links/")
    listed = cloud.sdk.list_functions(fc.ListFunctionsRequest(description="a + b ünï/%2F")).body.functions
    assert [function.function_name for function in listed] == [name]
    layer = cloud.sdk.create_layer_version(name, fc.CreateLayerVersionRequest(body=fc.CreateLayerVersionInput(
        code=fc.InputCodeLocation(zip_file=pack({"a": "b"}))))).body
    assert cloud.sdk.get_layer_version_by_arn(layer.layer_version_arn).body.layer_name == name
    for public in (True, "True", "true"):
        found = cloud.sdk.list_layers(fc.ListLayersRequest(public=public, prefix=name)).body.layers
        assert not found, "it is private"
    instances = cloud.sdk.list_instances(name, fc.ListInstancesRequest(with_all_active=True)).body
    assert instances.instances == []
    error = refusal(lambda: cloud.sdk.list_instances(name, fc.ListInstancesRequest(instance_status=["Nope"])))
    assert error.code == "InvalidArgument" and "Terminating" in error.message


def pages(fetch, items, token="next_token", say="next_token"):
    """All items by pages of two, and how many pages there were."""
    found, cursor, count = [], None, 0
    while True:
        page = fetch(**({say: cursor} if cursor else {})).body
        found += items(page)
        count += 1
        cursor = getattr(page, token)
        if not cursor:
            return found, count


def test_every_listing_goes_on_where_it_ended(cloud):
    name = unique("pages")
    cloud.create(name, ECHO, task_mode=True)
    for n in range(5):
        cloud.update(name, files={"index.py": ECHO + f"# {n}\n"})
        cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest())
        cloud.sdk.create_alias(name, fc.CreateAliasRequest(body=fc.CreateAliasInput(
            alias_name=f"a{n}", version_id=str(n + 1))))
        cloud.configure(name, f"a{n}", async_task=True)
        cloud.sdk.create_layer_version(name, fc.CreateLayerVersionRequest(body=fc.CreateLayerVersionInput(
            code=fc.InputCodeLocation(zip_file=pack({"a": str(n)})))))
        cloud.submit(name, "x", f"t{n}")
    sdk = cloud.sdk
    versions, count = pages(lambda **k: sdk.list_function_versions(name, fc.ListFunctionVersionsRequest(limit=2, **k)),
                            lambda page: [version.version_id for version in page.versions])
    assert (versions, count) == (["5", "4", "3", "2", "1"], 3)
    aliases, count = pages(lambda **k: sdk.list_aliases(name, fc.ListAliasesRequest(limit=2, **k)),
                           lambda page: [alias.alias_name for alias in page.aliases])
    assert (aliases, count) == ([f"a{n}" for n in range(5)], 3)
    configs, count = pages(
        lambda **k: sdk.list_async_invoke_configs(fc.ListAsyncInvokeConfigsRequest(function_name=name, limit=2, **k)),
        lambda page: [config.function_arn for config in page.configs])
    assert (len(set(configs)), count) == (6, 3)
    tasks, count = pages(lambda **k: sdk.list_async_tasks(name, fc.ListAsyncTasksRequest(limit=2, **k)),
                         lambda page: [task.task_id for task in page.tasks])
    assert (sorted(tasks), count) == ([f"t{n}" for n in range(5)], 3)
    layers, count = pages(
        lambda **k: sdk.list_layer_versions(name, fc.ListLayerVersionsRequest(limit=2, **k)),
        lambda page: [layer.version for layer in page.layers], "next_version", "start_version")
    assert (layers, count) == ([5, 4, 3, 2, 1], 3)
    error = refusal(lambda: sdk.list_async_tasks(name, fc.ListAsyncTasksRequest(next_token="AAAA")))
    assert error.code == "InvalidArgument" and "page token" in error.message


# --- Links, keys, the audit -------------------------------------------------------------------------


def test_links_outlive_restarts_and_master_keys(own):
    server = own().start()
    cloud = Cloud(server)
    cloud.create("f", ECHO)
    layer = cloud.sdk.create_layer_version("l", fc.CreateLayerVersionRequest(body=fc.CreateLayerVersionInput(
        code=fc.InputCodeLocation(zip_file=pack({"a": "b"}))))).body
    links = [cloud.sdk.get_function_code("f", fc.GetFunctionCodeRequest()).body.url, layer.code.location]
    old = server.address

    def still_good():
        return [urllib.request.urlopen(link.replace(old, server.address)).read()[:2] for link in links]

    assert still_good() == [b"PK", b"PK"]
    assert server.stop() == 0
    server.start()
    assert still_good() == [b"PK", b"PK"]
    master = (server.dir / "master.key").read_text()
    made = Cloud(server).v1("POST", "/keys", {"role": "viewer"})
    rotated = json.loads(server.cli("key", "rotate-master", "--output", "json").stdout)
    assert rotated["masterKey"] == 2 and rotated["sealed"] >= 2
    assert (server.dir / "master.key").read_text() != master
    assert still_good() == [b"PK", b"PK"], "also those made before"
    viewer = Cloud(server, (made["id"], made["secret"]))
    assert viewer.v1("GET", "/whoami")["role"] == "viewer"
    with pytest.raises(Refused) as caught:
        viewer.v1("POST", "/master-key:rotate")
    assert caught.value.code == "AccessDenied"
    server.kill()
    server.start()
    assert Cloud(server, (made["id"], made["secret"])).v1("GET", "/whoami")["role"] == "viewer"
    assert Cloud(server).invoke("f", "x").body == b"x"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(links[0].replace(old, server.address)[:-3] + "AAA")
    assert caught.value.code == 403 and b"ask for a new one" in caught.value.read()


def test_the_audit_says_which_request_it_was(cloud):
    name = unique("audit")
    cloud.create(name, ECHO)
    answer = cloud.sdk.update_function(name, fc.UpdateFunctionRequest(body=fc.UpdateFunctionInput(description="d")))
    entry = next(one for one in cloud.v1("GET", "/audit", limit=20)["items"]
                 if one["resource"] == f"functions/{name}" and one["action"] == "fc:UpdateFunction")
    assert entry["requestId"] == answer.headers["x-fc-request-id"]
    assert entry["keyId"] == cloud.key_id


# --- What is ended and what is bounded --------------------------------------------------------------


def test_disabling_a_function_can_end_what_runs(cloud, gate, server):
    name = unique("ended")
    cloud.create(name, """
        import time
        def handler(event, context):
            time.sleep(60)
        """, task_mode=True, timeout=100)
    task_id = cloud.submit(name)
    cloud.in_state(name, task_id, "Running")
    seen = []

    def call():
        try:
            Cloud(server).invoke(name)
        except Exception as error:
            seen.append((error.status_code, error.code, error.message))

    caller = threading.Thread(target=call)
    caller.start()
    running = lambda: cloud.v1("GET", f"/backlogs/{name}")["running"]  # noqa: E731
    until(lambda: running() == 2, "both run")
    begun = time.monotonic()
    cloud.sdk.disable_function_invocation(name, fc.DisableFunctionInvocationRequest(
        reason="on fire", abort_ongoing_request=True))
    caller.join(timeout=30)
    assert time.monotonic() - begun < 30 and seen[0][:2] == (403, "InvocationDisabled") and "on fire" in seen[0][2]
    assert cloud.ended(name, task_id).status == "Stopped"
    until(lambda: running() == 0, "nothing runs")
    assert refusal(lambda: cloud.submit(name)).code == "InvocationDisabled"
    cloud.sdk.enable_function_invocation(name)
    assert cloud.submit(name)


def test_an_account_keeps_no_more_than_it_may(cloud):
    account = cloud.account(unique("small"), storageBytesMax=3_000_000)
    member = cloud.as_role("admin", account=account)
    member.create("big", "def handler(event, context):\n    return 'x' * (2 << 20)\n", task_mode=True)
    first = member.submit("big")
    assert member.ended("big", first).status == "Succeeded"
    second = member.ended("big", member.submit("big"))
    assert (second.status, second.return_payload) == ("Succeeded", "")
    assert "the result was not kept" in json.loads(second.events[-1].event_detail)["Note"]
    error = refusal(lambda: member.submit("big", "y" * 1_500_000))
    assert (error.status_code, error.code) == (429, "QuotaExceeded") and "3000000" in error.message
    error = refusal(lambda: member.create("code", {"index.py": ECHO, "data": acs3.secrets.token_bytes(1_500_000)}))
    assert error.code == "QuotaExceeded"
    used = member.v1("GET", f"/accounts/{account}")["usage"]
    assert used["taskBytes"] == 2 << 20 and used["storageBytes"] == used["taskBytes"] + used["codeBytes"]
    shown = cloud.server.cli("account", "limit", account, "--storage", "8MiB").stdout
    assert "8388608 bytes" in shown
    assert member.ended("big", member.submit("big", "y" * 1_500_000)).status == "Succeeded"


# --- TLS --------------------------------------------------------------------------------------------


def certificate(place, name):
    """A certificate of its own and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
             .not_valid_after(now + datetime.timedelta(days=2))
             .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
             .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
             .sign(key, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    (place / "key.pem").write_bytes(key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (place / "cert.pem").write_bytes(built.public_bytes(pem))


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_tls_with_a_certificate_that_changes(own):
    server = own()
    certificate(server.home, "one")
    server.settings |= {"tls.cert": str(server.home / "cert.pem"), "tls.key": str(server.home / "key.pem")}
    server.process = server.launch()
    until(lambda: (server.dir / "address").exists(), "it listens")
    address = (server.dir / "address").read_text().strip()
    assert address.startswith("https://")
    host, port = address.removeprefix("https://").split(":")

    def serves() -> str:
        found = x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode())
        return found.subject.rfc4514_string()

    assert serves() == "CN=one"
    refused = server.cli("account", "whoami", check=False)
    assert refused.returncode == 5 and "--ca" in refused.stderr
    ca = str(server.home / "cert.pem")
    assert "admin" in server.cli("account", "whoami", "--ca", ca).stdout
    assert "0." in server.cli("version", env={"STINT_CA": ca}).stdout.split("server")[1]
    sdk = Client(Config(access_key_id=server.key[0], access_key_secret=server.key[1], protocol="https",
                        endpoint=address.removeprefix("https://"), region_id="local"))
    listed = sdk.list_functions_with_options(fc.ListFunctionsRequest(), {}, RuntimeOptions(ignore_ssl=True))
    assert listed.status_code == 200
    certificate(server.home, "two")
    until(lambda: serves() == "CN=two", "the new certificate is served", 30, 0.2)


def test_a_certificate_that_cannot_be_read(own):
    server = own(tls__cert="/no/such/cert.pem", tls__key="/no/such/key.pem")
    done = subprocess.run(server.up_command(), env=server.environment(), capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "/no/such/cert.pem" in done.stderr and "--listen" not in done.stderr


# --- The disk and the book --------------------------------------------------------------------------


def test_a_disk_that_is_nearly_full_refuses_new_work_and_settles_old(own):
    server = own().start()
    cloud = Cloud(server)
    cloud.create("work", ECHO, task_mode=True)
    cloud.v1("POST", "/backlogs/work:pause")
    waiting = cloud.submit("work", "x")
    assert server.stop() == 0
    server.settings |= {"disk.low": "1000TiB", "disk.high": "1001TiB"}
    server.start()
    cloud = Cloud(server)

    def refused():
        try:
            cloud.submit("work", "y")
        except Exception as error:
            return error

    error = until(refused, "submits are refused")
    assert (error.status_code, error.code) == (507, "InsufficientStorage") and "disk" in error.message
    assert refusal(lambda: cloud.create("other", ECHO)).code == "InsufficientStorage"
    cloud.v1("POST", "/backlogs/work:resume")
    assert cloud.ended("work", waiting).status == "Succeeded"


def test_a_book_of_a_newer_release_is_refused_and_left_alone(own):
    server = own().start()
    assert server.stop() == 0
    book = server.dir / "book.db"
    with sqlite3.connect(book) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = book.read_bytes()
    done = subprocess.run(server.up_command(), env=server.environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "99" in done.stderr and "newer" in done.stderr, done.stderr
    assert book.read_bytes() == before
