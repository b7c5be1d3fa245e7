"""Sessions: calls that belong together go to one instance; the session API, and what ends a session."""

import json
import threading

import pytest

from cloud import Cloud, fc, unique
from server import until

WHO = """
    import os, time
    calls = []
    def handler(event, context):
        calls.append(1)
        while event and not os.path.exists("/mnt/gates/" + event.decode()):
            time.sleep(0.01)
        return [os.environ["FC_INSTANCE_ID"], len(calls)]
    """
HEADER = "x-my-session"


def affinity(kind="HEADER_FIELD", **config):
    if kind == "HEADER_FIELD":
        config = {"affinityHeaderFieldName": HEADER} | config
    return {"session_affinity": kind, "session_affinity_config": json.dumps(config)}


@pytest.fixture
def function(cloud):
    def make(kind="HEADER_FIELD", files=WHO, more=None, **config):
        name = unique("session")
        cloud.create(name, files, timeout=60, **affinity(kind, **config), **(more or {}))
        return name
    return make


def call(cloud, name, session=None, payload=b"", **more):
    headers = {HEADER: session} if session else {}
    return cloud.invoke(name, payload, headers=headers, **more)


def occupied(cloud, name, *sessions):
    """Instances that sessions were in when they all were busy at once: without that one instance would do for all."""
    return [call(cloud, name, session).json[0] for session in sessions]


def test_calls_of_a_session_go_to_its_instance(cloud, function):
    name = function(sessionConcurrencyPerInstance=1)
    seen = {session: call(cloud, name, session).json for session in ("a", "b", "c")}
    assert len({instance for instance, _ in seen.values()}) == 3, "one session to an instance"
    for round in (2, 3):
        for session, (instance, _) in seen.items():
            assert call(cloud, name, session).json == [instance, round]
    # Without one there is a new one, whose id is told.
    answer = call(cloud, name)
    made = answer.headers[HEADER]
    assert answer.json[0] not in {instance for instance, _ in seen.values()}
    assert call(cloud, name, made).json == [answer.json[0], 2]


def test_sessions_share_an_instance_up_to_their_number(cloud, function):
    name = function(sessionConcurrencyPerInstance=2)
    instances = [call(cloud, name, session).json[0] for session in ("a", "b", "c", "d")]
    assert instances[0] == instances[1] != instances[2] == instances[3]


def test_a_busy_session_waits_for_its_instance(cloud, function, server, gate):
    from conftest import gates_mount
    name = function(more={"nas_config": gates_mount(server)}, sessionConcurrencyPerInstance=1)
    first = call(cloud, name, "mine").json[0]
    answers = {}

    def ask(n, payload):
        answers[n] = call(cloud, name, "mine", payload).json

    threads = [threading.Thread(target=ask, args=(n, gate.name.encode() if n == 0 else b"")) for n in range(4)]
    threads[0].start()
    until(lambda: running(cloud, name) >= 1, "the first runs")
    for thread in threads[1:]:
        thread.start()
    assert call(cloud, name, "other").json[0] != first, "others do not wait"
    gate.open()
    for thread in threads:
        thread.join()
    assert {instance for instance, _ in answers.values()} == {first}
    assert sorted(count for _, count in answers.values()) == [2, 3, 4, 5]


def running(cloud, name):
    return cloud.v1("GET", "/overview")["running"]


def test_the_session_api(cloud, function):
    name = function(sessionConcurrencyPerInstance=1)
    sdk = cloud.sdk

    def create(**given):
        request = fc.CreateSessionRequest(body=fc.CreateSessionInput(**given))
        return sdk.create_session(name, request).body

    made = create(session_id="mine", session_ttlin_seconds=600, session_idle_timeout_in_seconds=300)
    assert (made.session_id, made.session_status, made.function_name) == ("mine", "Active", name)
    assert (made.qualifier, made.session_affinity_type) == ("LATEST", "HEADER_FIELD")
    instance = call(cloud, name, "mine").json[0]
    found = sdk.get_session(name, "mine", fc.GetSessionRequest()).body
    assert (found.container_id, found.session_ttlin_seconds, found.session_idle_timeout_in_seconds) == (instance, 600, 300)
    changed = sdk.update_session(name, "mine", fc.UpdateSessionRequest(body=fc.UpdateSessionInput(
        session_ttlin_seconds=1200, disable_session_id_reuse=True))).body
    assert (changed.session_ttlin_seconds, changed.disable_session_id_reuse) == (1200, True)
    made = [create().session_id for _ in range(3)]
    listed = sdk.list_sessions(name, fc.ListSessionsRequest(limit=2)).body
    assert len(listed.sessions) == 2 and listed.next_token
    rest = sdk.list_sessions(name, fc.ListSessionsRequest(next_token=listed.next_token)).body
    ids = [session.session_id for session in listed.sessions + rest.sessions]
    assert sorted(ids) == sorted(made + ["mine"]) and not rest.next_token
    only = sdk.list_sessions(name, fc.ListSessionsRequest(session_id="mine", session_status="Active")).body.sessions
    assert [session.session_id for session in only] == ["mine"]
    sdk.delete_session(name, "mine", fc.DeleteSessionRequest())
    for bad, text in [
        (lambda: sdk.get_session(name, "mine", fc.GetSessionRequest()), "SessionNotFound"),
        (lambda: sdk.delete_session(name, "mine", fc.DeleteSessionRequest()), "SessionNotFound"),
        (lambda: create(session_id=made[0]), "exists"),
        (lambda: create(session_id="-no"), "session id"),
        (lambda: create(session_ttlin_seconds=59), "sessionTTLInSeconds"),
        (lambda: create(snapshot_id="s"), "NotImplemented"),
        (lambda: call(cloud, name, "not one"), "session id"),
    ]:
        with pytest.raises(Exception) as refused:
            bad()
        assert text in str(refused.value), refused.value


def test_a_cookie_carries_a_session(cloud, function):
    name = function("GENERATED_COOKIE", sessionConcurrencyPerInstance=1, sessionTTLInSeconds=900)
    first = cloud.invoke(name)
    cookie = first.headers["set-cookie"]
    assert cookie.startswith("x-fc-cookie-session-id=") and ("Max-Age=900" in cookie or "Max-Age=899" in cookie)
    pair = cookie.split(";")[0]
    for n in (2, 3):
        again = cloud.invoke(name, headers={"cookie": f"other=1; {pair}"})
        assert again.json == [first.json[0], n]
    forged = cloud.invoke(name, headers={"cookie": "x-fc-cookie-session-id=forged"})
    assert forged.json[0] != first.json[0] and "forged" not in forged.headers["set-cookie"]


def test_an_exclusive_session_has_its_instance_for_itself(cloud, function):
    name = function(more={"instance_isolation_mode": "SESSION_EXCLUSIVE", "cpu": 2, "memory_size": 2048})
    a = call(cloud, name, "a").json[0]
    assert call(cloud, name, "a").json == [a, 2]
    cloud.sdk.delete_session(name, "a", fc.DeleteSessionRequest())
    until(lambda: a not in lives(cloud, name), "its instance ends with it")
    assert call(cloud, name, "a").json[0] != a
    with pytest.raises(Exception) as refused:
        cloud.create(unique("alone"), WHO, instance_isolation_mode="SESSION_EXCLUSIVE", cpu=2, memory_size=2048)
    assert "sessionAffinity" in str(refused.value)


def lives(cloud, name):
    items = cloud.v1("GET", "/instances", function=name)["items"]
    return {item["id"] for item in items if not item.get("destroyedAt")}


def test_silence_ends_a_session(cloud, function):
    name = function(sessionConcurrencyPerInstance=1, sessionIdleTimeoutInSeconds=1, disableSessionIdReuse=True)
    call(cloud, name, "short")
    status = lambda: cloud.sdk.get_session(name, "short", fc.GetSessionRequest()).body.session_status
    until(lambda: status() == "Expired", "it was silent for too long")
    with pytest.raises(Exception) as refused:
        call(cloud, name, "short")
    assert "may not be used again" in str(refused.value)


def test_sessions_are_bounded_by_the_functions_instances(cloud, function):
    name = function(sessionConcurrencyPerInstance=2)
    cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=1)))
    for session in ("a", "b"):
        call(cloud, name, session)
    with pytest.raises(Exception) as refused:
        call(cloud, name, "c")
    assert "ResourceExhausted" in str(refused.value)
    call(cloud, name, "a")


def test_tasks_have_sessions(cloud, function):
    name = function(sessionConcurrencyPerInstance=1)
    cloud.configure(name, async_task=True)
    instance = call(cloud, name, "mine").json[0]
    other = call(cloud, name, "other").json[0]
    ids = [unique("task") for _ in range(4)]
    for task in ids[:2]:
        call(cloud, name, "mine", kind="Async", task_id=task)
    for task in ids[2:]:
        cloud.v1("POST", f"/functions/{name}/tasks", {"taskId": task, "orderKey": "session:mine"})
    results = [cloud.v1("GET", f"/functions/{name}/tasks/{task}/wait") for task in ids]
    assert [task["state"] for task in results] == ["Succeeded"] * 4
    seen = [json.loads(cloud.request("GET", f"/v1/functions/{name}/tasks/{task}/result").body) for task in ids]
    assert seen == [[instance, n] for n in (2, 3, 4, 5)] and instance != other, "in order, in its instance"


def test_a_restart_forgets_sessions_and_calls_begin_them_anew(own):
    server = own().start()
    cloud = Cloud(server)
    name = unique("again")
    cloud.create(name, WHO, **affinity(sessionConcurrencyPerInstance=1))
    call(cloud, name, "mine")
    server.stop()
    server.start()
    cloud = Cloud(server)
    with pytest.raises(Exception) as refused:
        cloud.sdk.get_session(name, "mine", fc.GetSessionRequest())
    assert "SessionNotFound" in str(refused.value)
    instance = call(cloud, name, "mine").json[0]
    assert call(cloud, name, "mine").json == [instance, 2]
