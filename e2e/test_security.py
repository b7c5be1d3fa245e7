"""Who may do what: signatures, tokens, temporary keys, roles, scopes; every one of the 73 operations."""

import http.client
import inspect
import json
import random
import socket
import time
import typing
from concurrent.futures import ThreadPoolExecutor

import acs3
import pytest
from alibabacloud_fc20230330.client import Client

from cloud import Cloud, Refused, fc, pack, refusal, unique
from server import until

ECHO = "def handler(event, context):\n    return event\n"


def answer(cloud, method, path, body=b"", query="", **how):
    reply = cloud.request(method, path, body, query=query, **how)
    return reply.status, (reply.json.get("Code") if reply.status >= 400 else None)


def test_a_wrong_secret(server):
    error = refusal(lambda: Cloud(server, (server.key[0], "wrong")).sdk.list_functions(fc.ListFunctionsRequest()))
    assert (error.status_code, error.code) == (403, "SignatureNotMatch")
    error = refusal(lambda: Cloud(server, ("nobody", "x")).sdk.list_functions(fc.ListFunctionsRequest()))
    assert (error.status_code, error.code) == (403, "InvalidAccessKeyID")


def test_no_signature_at_all(server):
    for path in ("/2023-03-30/functions", "/v1/tasks"):
        status, body = server.get(path)
        assert 400 <= status <= 403 and json.loads(body)["Code"], body


@pytest.mark.parametrize("minutes, status", [(-20, 403), (20, 403), (-10, 200), (10, 200)])
def test_the_clock_may_differ_by_fifteen_minutes(cloud, minutes, status):
    assert answer(cloud, "GET", "/2023-03-30/functions", at=time.time() + 60 * minutes)[0] == status


def test_a_changed_body_or_address_breaks_the_signature(cloud, server):
    path = "/v1/tasks:stop"
    headers = acs3.signed("POST", server.address, path, "", b"{}", cloud.key_id, cloud.secret)
    assert cloud.send("POST", path, b'{"filter":{}}', headers).status in (400, 403)
    headers = acs3.signed("GET", server.address, "/v1/tasks", "limit=1", b"", cloud.key_id, cloud.secret)
    assert cloud.send("GET", "/v1/tasks?limit=2", b"", headers).json["Code"] == "SignatureNotMatch"
    assert cloud.send("GET", "/v1/functions?limit=1", b"", headers).json["Code"] == "SignatureNotMatch"


def test_a_captured_mutation_is_good_once(cloud, server):
    name = unique("replay")
    body = json.dumps({"functionName": name, "runtime": "python3.10", "handler": "index.handler", "cpu": 0.25,
                       "memorySize": 256, "code": {"zipFile": pack({"index.py": ECHO})}}).encode()
    headers = acs3.signed("POST", server.address, "/2023-03-30/functions", "", body, cloud.key_id, cloud.secret,
                          headers={"content-type": "application/json"})
    assert cloud.send("POST", "/2023-03-30/functions", body, headers).status == 200
    again = cloud.send("POST", "/2023-03-30/functions", body, headers)
    assert (again.status, again.json["Code"]) == (403, "RequestReplayed")
    # A submit with a task id is idempotent by itself: the second is a duplicate, not a replay.
    cloud.configure(name, async_task=True)
    path = f"/2023-03-30/functions/{name}/invocations"
    headers = acs3.signed("POST", server.address, path, "", b"x", cloud.key_id, cloud.secret, headers={
        "x-fc-invocation-type": "Async", "x-fc-async-task-id": "same"})
    assert cloud.send("POST", path, b"x", headers).status == 202
    assert cloud.send("POST", path, b"x", headers).status == 409
    # A task id that the signature does not cover is anybody's.
    headers = acs3.signed("POST", server.address, path, "", b"x", cloud.key_id, cloud.secret, headers={
        "x-fc-invocation-type": "Async"})
    assert cloud.send("POST", path, b"x", headers).status == 202
    again = cloud.send("POST", path, b"x", headers | {"x-fc-async-task-id": "stolen"})
    assert (again.status, again.json["Code"]) == (403, "RequestReplayed")


def test_bearer_tokens(cloud, server):
    made = cloud.v1("POST", "/keys", {"role": "viewer", "kind": "token", "description": "for a script"})
    assert "secret" not in made
    bearer = Cloud(server, bearer=made["token"])
    assert bearer.v1("GET", "/whoami")["role"] == "viewer"
    assert bearer.v1("GET", "/tasks")["items"] is not None
    assert bearer.request("GET", "/2023-03-30/functions").status == 200
    with pytest.raises(Refused) as caught:
        bearer.v1("POST", "/tasks:stop", {"filter": {"idPrefix": "none"}})
    assert (caught.value.status, caught.value.code) == (403, "AccessDenied")
    assert Cloud(server, bearer=made["token"][:-1] + "0").request("GET", "/v1/whoami").status == 403
    cloud.v1("DELETE", f"/keys/{made['id']}")
    assert bearer.request("GET", "/v1/whoami").status == 403


def test_keys_are_rotated_switched_off_and_removed(cloud, server):
    made = cloud.v1("POST", "/keys", {"role": "viewer"})
    old = Cloud(server, (made["id"], made["secret"]))
    assert old.v1("GET", "/whoami")["keyId"] == made["id"]
    fresh = cloud.v1("POST", f"/keys/{made['id']}/rotate")
    assert old.request("GET", "/v1/whoami").json["Code"] == "SignatureNotMatch"
    new = Cloud(server, (made["id"], fresh["secret"]))
    assert new.request("GET", "/v1/whoami").status == 200
    cloud.v1("PATCH", f"/keys/{made['id']}", {"disabled": True})
    assert new.request("GET", "/v1/whoami").status == 403
    cloud.v1("PATCH", f"/keys/{made['id']}", {"disabled": False})
    assert new.request("GET", "/v1/whoami").status == 200
    cloud.v1("DELETE", f"/keys/{made['id']}")
    assert new.request("GET", "/v1/whoami").json["Code"] == "InvalidAccessKeyID"
    assert "secret" not in json.dumps(cloud.v1("GET", "/keys"))


def test_temporary_keys(cloud, server):
    made = cloud.v1("POST", "/keys:temporary", {"role": "invoker", "functions": ["only-*"], "expiresIn": "15m"})
    key = (made["id"], made["secret"])
    temporary = Cloud(server, key, token=made["securityToken"])
    assert temporary.v1("GET", "/whoami")["role"] == "invoker"
    assert refusal(lambda: temporary.sdk.get_function("other", fc.GetFunctionRequest())).code == "AccessDenied"
    without = Cloud(server, key)
    assert without.request("GET", "/v1/whoami").status == 403
    assert Cloud(server, key, token="wrong").request("GET", "/v1/whoami").status == 403


def test_roles_and_scopes(cloud, server, echo):
    viewer, invoker = cloud.as_role("viewer"), cloud.as_role("invoker")
    developer, narrow = cloud.as_role("developer"), cloud.as_role("developer", functions=["mine-*"])
    assert viewer.sdk.get_function(echo, fc.GetFunctionRequest()).body.function_name == echo
    denied = [
        lambda: viewer.invoke(echo), lambda: viewer.delete(echo), lambda: viewer.create(unique("v"), ECHO),
        lambda: invoker.create(unique("i"), ECHO), lambda: invoker.delete(echo),
        lambda: narrow.create(unique("other"), ECHO), lambda: narrow.invoke(echo),
    ]
    for call in denied:
        error = refusal(call)
        assert (error.status_code, error.code) == (403, "AccessDenied")
        assert "not authorized to perform 'fc:" in error.message
    assert invoker.invoke(echo, "x").body == b"x"
    mine = unique("mine")
    narrow.create(mine, ECHO)
    assert narrow.invoke(mine, "y").body == b"y"
    # Nor by way of what one's own function leads to.
    sent = fc.DestinationConfig(on_success=fc.Destination(destination=f"acs:fc:::functions/{echo}"))
    assert refusal(lambda: narrow.configure(mine, destination_config=sent)).code == "AccessDenied"
    seen = cloud.batch(echo, [{"payload": 1}])["results"][0]
    with pytest.raises(Refused) as caught:
        narrow.batch(mine, [{"payload": 1, "dependsOn": [{"task": seen["uid"]}]}])
    assert caught.value.code == "AccessDenied"
    narrow.delete(mine)
    for one in (viewer, invoker, developer, narrow):
        with pytest.raises(Refused) as caught:
            one.v1("POST", "/keys", {"role": "admin"})
        assert caught.value.code == "AccessDenied"
    developer.create(unique("dev"), ECHO)


def test_changes_are_audited(cloud):
    name = unique("audited")
    cloud.create(name, ECHO)
    cloud.delete(name)
    entries = json.dumps(cloud.v1("GET", "/audit", limit=50)["items"])
    assert name in entries and cloud.key_id in entries


def test_an_account_that_is_switched_off_is_out(cloud):
    account = cloud.account(unique("off"))
    member = cloud.as_role("admin", account=account)
    assert member.request("GET", "/v1/whoami").status == 200
    cloud.v1("PATCH", f"/accounts/{account}", {"disabled": True})
    assert member.request("GET", "/v1/whoami").status == 403
    cloud.v1("PATCH", f"/accounts/{account}", {"disabled": False})
    assert member.request("GET", "/v1/whoami").status == 200


def operations() -> dict:
    """The SDK's 73, by method name, with arguments it accepts."""
    found = {}
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.endswith("with_options"):
            continue
        arguments, hints = [], typing.get_type_hints(method)
        for parameter in list(inspect.signature(method).parameters)[1:]:
            kind = hints[parameter]
            is_model = isinstance(kind, type) and hasattr(kind, "to_map")
            arguments.append(kind() if is_model else {} if parameter == "headers" else "nothing-there")
        found[name] = arguments
    return found


OPERATIONS = operations()
LATER = ("trigger", "pause_session", "resume_session", "snapshot", "custom_domain", "vpc_binding")


def test_there_are_seventy_three():
    assert len(OPERATIONS) == 73


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_answers_in_its_own_type(cloud, name):
    """Either its answer or the SDK's typed exception with a code and a message; never a parse error."""
    arguments = OPERATIONS[name]
    if "tag" in name:
        arguments[0].resource_type = "function"
    try:
        reply = getattr(cloud.sdk, name)(*arguments)
        assert reply.status_code in (200, 202, 204)
        assert not any(word in name for word in LATER), "an operation that is not built must not seem to work"
    except Exception as error:
        assert getattr(error, "code", None) and getattr(error, "status_code", None), repr(error)
        assert error.status_code < 600 and error.code.isalpha() and error.message, error
        if any(word in name for word in LATER):
            assert (error.status_code, error.code) == (501, "NotImplemented"), error
            assert name.removesuffix("_with_options").replace("_", "") in error.message.lower()
        else:
            assert error.code not in ("NotImplemented", "PathNotSupported", "InternalServerError"), error


def test_paths_that_nobody_knows(cloud):
    for method, path in (("GET", "/2023-03-30/nothing"), ("PATCH", "/2023-03-30/functions"), ("GET", "/v1/nothing"),
                         ("GET", "/2016-08-15/services")):
        status, code = answer(cloud, method, path)
        assert status in (400, 404, 405) and code, (method, path)


def hostile(server, count):
    """Requests that nobody should send; deterministic."""
    dice = random.Random(7)
    words = [b"GET", b"POST", b"PUT", b"DELETE", b"\x00", b"PRI", b"A" * 3000, b"PATCH"]
    paths = [b"/2023-03-30/functions", b"/v1/tasks", b"/v1/functions/x/tasks:batch", b"/%00", b"/..%2f..%2fetc/passwd",
             b"/" + b"a" * 9000, b"/2023-03-30/functions/%ff%fe/invocations", b"*", b"http://elsewhere/", b"/v1/tasks?limit=-1&cursor=%%%"]
    bodies = [b"", b"{", b"[" * 5000, b"\xff" * 100, b'{"tasks":' + b"[" * 2000, b"PK\x03\x04" + b"\x00" * 50, b"null"]
    heads = [b"Authorization: ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=00",
             b"Authorization: Bearer " + b"x" * 4000, b"Authorization: FC a:b", b"Authorization: \xff\xfe",
             b"Transfer-Encoding: chunked", b"Content-Length: 99999999999999999999", b"Content-Length: -1",
             b"X-A: " + b"y" * 20000, b"x-acs-date: 9999-99-99T99:99:99Z", b"Expect: 100-continue", b"Host: \x00", b": novalue"]
    for _ in range(count):
        body = dice.choice(bodies)
        lines = [dice.choice(words) + b" " + dice.choice(paths) + b" HTTP/1.1", b"Host: " + server.address.encode()]
        lines += dice.sample(heads, dice.randrange(4))
        if dice.random() < 0.8:
            lines.append(b"Content-Length: %d" % len(body))
        yield b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n" + body


def test_ten_thousand_hostile_requests(cloud, server, echo):
    host, port = server.address.split(":")

    def attack(message):
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            try:
                wire.sendall(message)
                wire.shutdown(socket.SHUT_WR)
                wire.settimeout(10)
                head = wire.recv(64)
            except OSError:
                return 0
        return int(head.split(b" ")[1]) if head.startswith(b"HTTP/1.1 ") else 0

    process = server.process.pid
    before = memory_mb(process)
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(attack, hostile(server, 10_000), chunksize=50))
    assert not [status for status in statuses if status >= 500 and status not in (501, 505)]
    assert not [status for status in statuses if 200 <= status < 300]
    assert server.process.poll() is None
    begun = time.monotonic()
    assert cloud.invoke(echo, "still here").body == b"still here"
    assert time.monotonic() - begun < 5
    until(lambda: server.get("/readyz")[0] == 200, "ready")
    assert memory_mb(process) - before < 200


def memory_mb(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def test_slow_senders_do_not_hold_up_others(cloud, server, echo):
    host, port = server.address.split(":")
    held = [http.client.HTTPConnection(host, int(port), timeout=30) for _ in range(200)]
    for connection in held:
        connection.connect()
        connection.sock.sendall(b"POST /2023-03-30/functions HTTP/1.1\r\nHost: x\r\nContent-Le")
    assert cloud.invoke(echo, "x").body == b"x"
    for connection in held:
        connection.close()


def test_a_temporary_key_falls_with_the_key_that_made_it(cloud, server):
    made = cloud.v1("POST", "/keys", {"role": "developer"})
    maker = Cloud(server, (made["id"], made["secret"]))
    given = maker.v1("POST", "/keys:temporary", {"role": "viewer", "expiresIn": "15m"})
    temporary = Cloud(server, (given["id"], given["secret"]), token=given["securityToken"])
    assert temporary.v1("GET", "/whoami")["role"] == "viewer"
    cloud.v1("PATCH", f"/keys/{made['id']}", {"disabled": True})
    assert temporary.request("GET", "/v1/whoami").status == 403
