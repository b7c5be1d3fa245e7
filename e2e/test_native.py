"""What `/v1` adds: batches, priority, search, causes, pauses, progress, logs as they come."""

import http.client
import json
import threading
import time

import acs3
import pytest

from cloud import Cloud, Refused, fc, unique
from server import until

ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture
def quiet(cloud):
    """A function whose backlog is paused; `go()` lets it run."""
    name = unique("quiet")
    # Start times are reported in milliseconds: a task that lasts some keeps them apart.
    cloud.create(name, """
        import time
        def handler(event, context):
            time.sleep(0.02)
            return event
        """, task_mode=True, retries=0)
    cloud.v1("POST", f"/backlogs/{name}:pause")
    yield name
    try:
        cloud.v1("POST", f"/backlogs/{name}:resume")
    except Refused:
        pass


def resume(cloud, name):
    return cloud.v1("POST", f"/backlogs/{name}:resume")


def test_ten_thousand_in_one_batch(cloud, quiet):
    tasks = [{"taskId": f"b{n:05}", "payload": {"n": n}, "tags": {"batch": "x"}} for n in range(10_000)]
    done = cloud.batch(quiet, tasks)
    assert (done["accepted"], done["refused"], len(done["results"])) == (10_000, 0, 10_000)
    assert [item["taskId"] for item in done["results"]] == [task["taskId"] for task in tasks]
    backlog = cloud.v1("GET", f"/backlogs/{quiet}")
    assert backlog["waiting"] == 10_000 and backlog["paused"]
    assert cloud.count(function=quiet, state="open") == 10_000
    with pytest.raises(Refused) as caught:
        cloud.batch(quiet, [{}] * 10_001)
    assert caught.value.status == 400
    resume(cloud, quiet)
    until(lambda: cloud.count(function=quiet, state="Succeeded") == 10_000, "all have run", 120, 0.2)


def test_a_batch_is_whole_or_each_for_itself(cloud, quiet):
    cloud.batch(quiet, [{"taskId": "there"}])
    tasks = [{"taskId": "new-1"}, {"taskId": "there"}, {"taskId": "new-2"}]
    with pytest.raises(Refused) as caught:
        cloud.batch(quiet, tasks)
    assert caught.value.code == "AsyncTaskAlreadyExists"
    assert cloud.count(function=quiet) == 1, "nothing of it was accepted"
    done = cloud.batch(quiet, tasks, "perItem")
    assert (done["accepted"], done["refused"]) == (2, 1)
    assert done["results"][1]["code"] == "AsyncTaskAlreadyExists"


def test_priority_decides_who_is_next(cloud, quiet):
    cloud.sdk.put_concurrency_config(quiet, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=1)))
    for priority in (0, 4, 9, 4, 9, 0):
        cloud.batch(quiet, [{"priority": priority, "payloadText": str(priority)}])
    resume(cloud, quiet)
    until(lambda: cloud.count(function=quiet, state="Succeeded") == 6, "all have run")
    ran = cloud.v1("GET", "/tasks", function=quiet, includePayload="true")["items"]
    ran.sort(key=lambda task: task["attempts"][0]["startedAt"] if "attempts" in task else task["startedAt"])
    assert [task["priority"] for task in ran] == [9, 9, 4, 4, 0, 0]


def test_an_order_key_keeps_order(cloud):
    name = unique("order")
    cloud.create(name, ECHO, task_mode=True)
    cloud.batch(name, [{"orderKey": "k", "taskId": f"o{n:02}"} for n in range(20)])
    until(lambda: cloud.count(function=name, state="Succeeded") == 20, "all have run")
    found = [cloud.native(name, f"o{n:02}")["attempts"][0] for n in range(20)]
    for one, next_one in zip(found, found[1:]):
        assert one["endedAt"] <= next_one["startedAt"]


def test_dependencies(cloud, quiet):
    other = unique("after")
    cloud.create(other, "def handler(event, context):\n    raise ValueError('no')\n", task_mode=True, retries=0)
    cloud.batch(quiet, [{"taskId": "a"}])
    cloud.batch(other, [{"taskId": "b", "dependsOn": [{"task": f"{quiet}/a"}]}])
    cloud.batch(other, [
        {"taskId": "c", "dependsOn": [{"task": f"{other}/b"}]},
        {"taskId": "d", "dependsOn": [{"task": f"{other}/b", "when": "ended"}]},
    ])
    assert cloud.why(other, "b")["cause"] == "dependency"
    assert cloud.native(other, "b")["waitsFor"]
    resume(cloud, quiet)
    assert cloud.ended(other, "b").status == "Failed"
    assert cloud.ended(other, "c").status == "Invalid", "it waited for a success"
    assert cloud.ended(other, "d").status == "Failed", "it waited for any end, and ran"
    # What it waited for has still failed.
    cloud.v1("POST", f"/functions/{other}/tasks/c/retry")
    assert cloud.ended(other, "c").status == "Invalid"


def test_what_is_held_does_not_age(cloud, echo):
    name = unique("child")
    cloud.create(name, "def handler(event, context):\n    return 'ran'\n", task_mode=True)
    cloud.configure(name, max_async_event_age_in_seconds=1)
    parent = cloud.batch(echo, [{"delay": 2}])["results"][0]
    cloud.batch(name, [{"taskId": "held", "dependsOn": [{"task": parent["uid"]}]}])
    why = cloud.why(name, "held")
    assert why["waitsFor"] == [parent["uid"]] and parent["uid"] in why["sentence"]
    assert cloud.ended(name, "held").status == "Succeeded"


def test_search(cloud):
    name = unique("search")
    cloud.create(name, """
        import json
        def handler(event, context):
            if event == b'"bad"':
                raise KeyError("k")
            return event
        """, task_mode=True, retries=0)
    cloud.batch(name, [{"taskId": f"x{n}", "payload": "bad" if n == 3 else n,
                        "tags": {"odd": str(n % 2), "all": "yes"}} for n in range(6)])
    until(lambda: cloud.count(function=name, state="ended") == 6, "all have ended")

    def find(**query):
        return sorted(t["taskId"] for t in cloud.v1("GET", "/tasks", function=name, **query)["items"])

    eventually = lambda wanted, **query: until(  # noqa: E731
        lambda: find(**query) == wanted, f"{query} finds {wanted}", 10)
    eventually(["x1", "x3", "x5"], tag="odd=1")
    eventually(["x3"], tag=["odd=1", "all=yes"], state="Failed")
    eventually(["x3"], error="KeyError")
    assert find(idPrefix="x4") == ["x4"] and find(state="open") == []
    assert find(**{"from": str(cloud.now() + 60_000)}) == []
    assert len(find(durationMax="60s")) == 6 and find(durationMin="60s") == []
    page = cloud.v1("GET", "/tasks", function=name, limit=4)
    rest = cloud.v1("GET", "/tasks", function=name, limit=4, cursor=page["next"])
    assert len(page["items"]) == 4 and len(rest["items"]) == 2 and "next" not in rest


def test_what_is_not_understood_is_refused(cloud, echo):
    def refused(call) -> str:
        with pytest.raises(Refused) as error:
            call()
        assert error.value.status == 400
        return error.value.message

    assert "'sate'" in refused(lambda: cloud.v1("GET", "/tasks", sate="Failed"))
    assert "'limit'" in refused(lambda: cloud.v1("GET", "/tasks:count", limit=1))
    assert "two values" in refused(lambda: cloud.v1("GET", "/tasks:count", tag=["a=1", "a=2"]))
    assert cloud.v1("GET", "/tasks:count", function=echo, tag=["a=1", "a=1"]) == {"count": 0}
    reply = cloud.request("POST", f"/2023-03-30/functions/{echo}/invocations", b"{}",
                          headers={"x-fc-invocation-type": "Async", "x-stint-tag": "a=1"})
    assert (reply.status, reply.json["Code"]) == (400, "InvalidArgument") and "x-stint-tags" in reply.text


def test_bulk_stop_and_retry(cloud, quiet):
    cloud.batch(quiet, [{"taskId": f"s{n}", "tags": {"group": str(n % 2)}} for n in range(10)])
    ask = lambda verb, **body: cloud.v1("POST", f"/tasks:{verb}", body)  # noqa: E731
    only = {"function": quiet, "idPrefix": "s", "state": ["open"]}
    dry = ask("stop", filter=only, dryRun=True)
    assert (dry["matched"], dry["changed"]) == (10, 0) and len(dry["sample"]) > 0
    assert ask("stop", filter=only, reason="enough")["changed"] == 10
    until(lambda: cloud.count(function=quiet, state="Stopped") == 10, "all are stopped")
    assert cloud.native(quiet, "s1")["stopReason"] == "enough"
    resume(cloud, quiet)
    assert ask("retry", filter={"function": quiet, "state": ["Stopped"]})["changed"] == 10
    until(lambda: cloud.count(function=quiet, state="Succeeded") == 10, "all have run")


def test_why(cloud, quiet):
    ids = [item["taskId"] for item in cloud.batch(quiet, [{}, {}, {"delay": 3000}])["results"]]
    first, second, late = (cloud.why(quiet, task_id) for task_id in ids)
    assert first["cause"] == second["cause"] == "paused" and "paused" in first["sentence"]
    assert (first["position"], second["position"]) == (1, 2)
    assert late["cause"] == "delayed" and late["estimatedStart"]
    cloud.v1("PUT", f"/functions/{quiet}/limits", {"rate": {"perSecond": 0.001}})
    resume(cloud, quiet)
    until(lambda: cloud.count(function=quiet, state="Succeeded") == 1, "one has run")
    held = until(lambda: (w := cloud.why(quiet, ids[1])) and "rate" in w["cause"].lower() and w, "the rate holds it")
    assert held["sentence"]
    cloud.v1("PUT", f"/functions/{quiet}/limits", {})
    assert cloud.ended(quiet, ids[1]).status == "Succeeded"
    assert cloud.why(quiet, ids[1])["state"] == "Succeeded"


def test_waiting_for_a_task(cloud, echo, gate):
    task_id = cloud.submit(echo, {"wait": gate.name})
    still = cloud.v1("GET", f"/functions/{echo}/tasks/{task_id}/wait", timeout="0")
    assert not still["ended"]
    opener = threading.Timer(0.2, gate.open)
    opener.start()
    done = cloud.v1("GET", f"/functions/{echo}/tasks/{task_id}/wait")
    assert done["state"] == "Succeeded"


def test_progress_from_inside(cloud):
    name = unique("progress")
    cloud.create(name, """
        import time
        def handler(event, context):
            context.stint.progress(0.5, "half way")
            time.sleep(0.05)
            return "done"
        """, task_mode=True, retries=0)
    task_id = cloud.submit(name)
    done = cloud.ended(name, task_id)
    assert done.status == "Succeeded", cloud.native(name, task_id)
    shown = cloud.native(name, task_id)["progress"]
    assert (shown["percent"], shown["message"]) == (50.0, "half way")


def test_a_schema_for_payloads(cloud):
    name = unique("schema")
    cloud.create(name, ECHO, task_mode=True)
    cloud.v1("PUT", f"/functions/{name}/limits", {"payloadSchema": {
        "type": "object", "required": ["key"], "properties": {"key": {"type": "string"}}}})
    with pytest.raises(Refused) as caught:
        cloud.batch(name, [{"payload": {"key": 7}}])
    assert caught.value.code == "PayloadSchemaMismatch"
    assert cloud.batch(name, [{"payload": {"key": "a"}}])["accepted"] == 1


def test_a_deadline(cloud, quiet):
    cloud.batch(quiet, [{"taskId": "soon", "deadline": cloud.now() + 200}])
    assert cloud.ended(quiet, "soon").status == "Expired", "though its backlog is paused"
    assert cloud.why(quiet, "soon")["cause"] == "ended"


def test_history_is_kept_as_long_as_it_is_configured(own):
    server = own(history__tasks="1s").start()
    cloud = Cloud(server)
    cloud.create("f", ECHO, task_mode=True)
    old = cloud.submit("f", "x" * (2 << 20), "again")
    cloud.ended("f", old)
    waiting = cloud.submit("f", b"", **{"x-fc-async-delay": "3600"})
    blobs = lambda: [p for p in (server.dir / "blobs").rglob("*") if p.is_file() and p.stat().st_size >= 2 << 20  # noqa: E731
                     and p.suffix not in (".db", ".db-wal")]
    assert len(blobs()) == 2, "payload and result lie beside the book"
    ended_at = cloud.task("f", old).end_time
    until(lambda: cloud.now() > ended_at + 1_100, "it is old")
    assert server.stop() == 0
    server.start()  # a pass runs at the start, and every ten minutes
    cloud = Cloud(server)
    until(lambda: cloud.count(function="f") == 1, "what has ended is gone")
    until(lambda: not blobs(), "and what it alone named")
    assert cloud.task("f", waiting).status == "Enqueued", "what waits stays, however old"
    assert cloud.ended("f", cloud.submit("f", b"", "again")).status == "Succeeded", "its id is free again"


def test_logs_are_kept_and_found(cloud, echo):
    word = unique("needle")
    task_id = cloud.submit(echo, {"say": f"{word} one\n{word} two"})
    cloud.ended(echo, task_id)
    path = f"/functions/{echo}/tasks/{task_id}/logs"
    lines = until(lambda: [line for line in cloud.v1("GET", path)["items"] if word in line["text"]], "logs")
    assert [line["text"] for line in lines] == [f"{word} one", f"{word} two"]
    assert all(line["function"] == echo and line["attempt"] == 1 for line in lines)
    found = cloud.v1("GET", "/logs", function=echo, text=f"{word} two")["items"]
    assert [line["requestId"] for line in found] == [lines[0]["requestId"]]


def test_logs_are_searched_across_the_account(cloud):
    """By task, by request, by time and by text, without a function; in pages; and nobody else's."""
    word, task_id = unique("word"), unique("same")
    names = [unique("log") for _ in range(3)]
    for name in names:
        cloud.create(name, f"""
            def handler(event, context):
                for n in range(4):
                    print("{word}", context.function.name, event.decode(), n)
            """, task_mode=True)
    began = cloud.now() / 1000
    requests = {name: cloud.invoke(name, "sync").headers["x-fc-request-id"] for name in names}
    for name in names[:2]:
        assert cloud.ended(name, cloud.submit(name, "task", task_id)).status == "Succeeded"
    chosen = unique("alone")
    assert cloud.ended(names[2], cloud.submit(names[2], "task", chosen)).status == "Succeeded"

    def found(**asked):
        lines, cursor = [], {}
        while True:
            page = cloud.v1("GET", "/logs", limit=5, **asked, **cursor)
            assert len(page["items"]) <= 5
            lines += page["items"]
            if not page.get("next"):
                return lines
            cursor = {"cursor": page["next"]}

    assert {line["function"] for line in found(text=word)} == set(names)
    assert len(found(text=word)) == len(found(text=word, order="asc")) == 24
    for name, request in requests.items():
        lines = found(request=request, text=word)
        assert [line["function"] for line in lines] == [name] * 4 and lines[0]["text"].endswith("sync 3")
    lines = found(task=chosen, text=word)
    assert [line["text"].split()[1:] for line in lines] == [[names[2], "task", str(n)] for n in (3, 2, 1, 0)]
    assert len(found(task=f"{names[0]}/{task_id}", text=word)) == 4
    uid = cloud.native(names[1], task_id)["uid"]
    assert {line["function"] for line in found(task=uid, text=word)} == {names[1]}
    with pytest.raises(Refused) as refused:
        found(task=task_id)
    assert refused.value.status == 400 and "both have a task" in refused.value.message
    with pytest.raises(Refused) as refused:
        found(task="nobody-has-this-id")
    assert refused.value.status == 404
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 2))
    assert len(found(text=word, **{"from": stamp})) == 24 and found(text=word, until=stamp) == []
    other = cloud.as_role("admin", account=cloud.account(unique("tenant")))
    assert other.v1("GET", "/logs", text=word)["items"] == []
    with pytest.raises(Refused) as refused:
        cloud.as_role("viewer", functions=[names[0]]).v1("GET", "/logs", text=word)
    assert refused.value.status == 403


def test_logs_are_followed(cloud, server, echo, gate):
    task_id = cloud.submit(echo, {"say": "at the beginning", "wait": gate.name})
    cloud.in_state(echo, task_id, "Running")
    path = f"/v1/functions/{echo}/tasks/{task_id}/logs"
    headers = acs3.signed("GET", server.address, path, "follow=true", b"", cloud.key_id, cloud.secret)
    connection = http.client.HTTPConnection(server.address, timeout=30)
    connection.request("GET", path + "?follow=true", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/event-stream")
    texts = []
    for line in answer:
        if line.startswith(b"event: end") or line.startswith(b"event:end"):
            break
        if line.startswith(b"data:") and b"{" in line:
            text = json.loads(line[5:]).get("text")
            texts.append(text)
            if text == "at the beginning":
                gate.open()
    connection.close()
    assert "at the beginning" in texts


def test_openapi_health_and_metrics(server):
    status, text = server.get("/openapi.json")
    document = json.loads(text)
    assert status == 200 and document["openapi"].startswith("3.")
    assert "/v1/functions/{function}/tasks:batch" in document["paths"]
    for path in ("/healthz", "/readyz"):
        status, text = server.get(path)
        assert (status, json.loads(text)["status"]) == (200, "ok")
    status, text = server.get("/metrics")
    assert status == 200 and b"# TYPE stint_" in text


def test_the_overview(cloud, echo):
    cloud.ended(echo, cloud.submit(echo))
    seen = cloud.v1("GET", "/overview")
    assert seen["functions"] >= 1 and seen["succeededTotal"] >= 1 and seen["nodes"][0]["memoryMb"] > 0
    assert cloud.v1("GET", "/runtimes")["items"]
    assert cloud.v1("GET", "/backlogs")["items"] is not None
    assert cloud.v1("GET", f"/functions/{echo}")["name"] == echo
    assert any(setting["name"] == "listen.control" for setting in cloud.v1("GET", "/config")["items"])
