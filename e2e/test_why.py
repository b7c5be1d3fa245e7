"""Why a task waits: each cause, brought about and named; and time-outs, heartbeats, expiry and fairness
as a caller sees them."""

import pytest

from cloud import Cloud, Refused, fc, unique
from conftest import gates_mount
from server import until

# Runs until the test makes the file that the event names.
GATED = """
    import os, time
    def handler(event, context):
        while event and not os.path.exists("/mnt/gates/" + event.decode()):
            time.sleep(0.01)
        return "done"
    """


@pytest.fixture
def gated(cloud, server):
    """Makes a function whose calls wait for a gate."""
    def make(client=cloud, **more):
        name = unique("gated")
        client.create(name, GATED, task_mode=True, retries=0, timeout=120, nas_config=gates_mount(server), **more)
        return name
    return make


def limits(cloud, name, **limits):
    cloud.v1("PUT", f"/functions/{name}/limits", limits)


def waits_for(cloud, name, task_id, cause):
    """The answer of `why` as soon as it names the cause."""
    return until(lambda: (why := cloud.why(name, task_id))["cause"] == cause and why, f"{task_id} waits for {cause}", 20)


def running(cloud, name, gate, **headers):
    task_id = cloud.submit(name, gate.name, **headers)
    cloud.in_state(name, task_id, "Running")
    return task_id


def test_limits_of_a_function_and_of_a_key(cloud, gated, gate):
    name = gated()
    limits(cloud, name, concurrencyMax=1)
    running(cloud, name, gate)
    second, third = cloud.submit(name, b""), cloud.submit(name, b"")
    assert waits_for(cloud, name, second, "functionConcurrency")["position"] == 1
    assert waits_for(cloud, name, third, "functionConcurrency")["position"] == 2
    limits(cloud, name, keyConcurrencyMax=1)
    assert cloud.ended(name, third).status == "Succeeded"
    running(cloud, name, gate, limit_key="k")
    held = cloud.submit(name, b"", limit_key="k")
    assert "1 at once" in waits_for(cloud, name, held, "keyConcurrency")["sentence"]
    assert cloud.ended(name, cloud.submit(name, b"", limit_key="other")).status == "Succeeded", "it hides nobody"
    gate.open()
    assert cloud.ended(name, held).status == "Succeeded"


def test_rates_of_a_function_and_of_a_key(cloud, gated):
    name = gated()
    limits(cloud, name, rate={"perSecond": 0.001, "burst": 1})
    cloud.ended(name, cloud.submit(name, b""))
    held = cloud.submit(name, b"")
    assert waits_for(cloud, name, held, "functionRate")["estimatedStart"]
    limits(cloud, name, keyRate={"perSecond": 0.001, "burst": 1})
    cloud.ended(name, held)
    cloud.ended(name, cloud.submit(name, b"", limit_key="k"))
    held = cloud.submit(name, b"", limit_key="k")
    waits_for(cloud, name, held, "keyRate")
    assert cloud.ended(name, cloud.submit(name, b"")).status == "Succeeded"
    limits(cloud, name)
    assert cloud.ended(name, held).status == "Succeeded"


def test_instances_order_keys_and_turns(cloud, gated, gate):
    name = gated()
    cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=1)))
    running(cloud, name, gate, order_key="o")
    behind = cloud.submit(name, b"", order_key="o")
    waits_for(cloud, name, behind, "orderKey")
    first, second = cloud.submit(name, b""), cloud.submit(name, b"")
    waits_for(cloud, name, first, "instancesMax")
    assert waits_for(cloud, name, second, "behindOthers")["position"] == 2
    cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=0)))
    waits_for(cloud, name, first, "instancesMax")
    cloud.sdk.delete_concurrency_config(name)
    assert cloud.ended(name, second).status == "Succeeded"
    gate.open()
    assert cloud.ended(name, behind).status == "Succeeded"


def test_limits_of_an_account(cloud, server, gated, gate):
    account = cloud.account(unique("limited"), concurrencyMax=1)
    theirs = cloud.as_role("admin", account=account)
    one, two = gated(theirs), gated(theirs)
    running(theirs, one, gate)
    held = theirs.submit(two, b"")
    assert "1 at once" in waits_for(theirs, two, held, "accountConcurrency")["sentence"]
    cloud.v1("PATCH", f"/accounts/{account}", {"limits": {
        "concurrencyMax": 0, "rate": {"perSecond": 0.001, "burst": 1}}})
    theirs.ended(two, held)
    held = theirs.submit(one, b"")
    waits_for(theirs, one, held, "accountRate")
    cloud.v1("PATCH", f"/accounts/{account}", {"limits": {"rate": {"perSecond": 1000}}})
    assert theirs.ended(one, held).status == "Succeeded"


def test_room_on_the_node(own):
    server = own(node__memory="700MiB", node__nas_allow="/tmp")
    gates = server.home / "gates"
    gates.mkdir()
    gates.chmod(0o777)
    server.gates = gates
    server.start()
    cloud = Cloud(server)
    cloud.create("small", GATED, task_mode=True, retries=0, timeout=120, memory_size=512, cpu=0.5,
                 nas_config=gates_mount(server))
    cloud.create("other", GATED, task_mode=True, memory_size=512, cpu=0.5)
    cloud.create("giant", GATED, task_mode=True, memory_size=8192, cpu=4)
    busy = cloud.submit("small", "gate")
    cloud.in_state("small", busy, "Running")
    full = cloud.submit("other", b"")
    assert "MB" in waits_for(cloud, "other", full, "nodeFull")["sentence"]
    giant = cloud.submit("giant", b"")
    assert "8192 MB" in waits_for(cloud, "giant", giant, "tooBig")["sentence"]
    node = until(lambda: (n := cloud.v1("GET", "/overview")["nodes"][0])["running"] and n, "the node says so")
    assert (node["running"], node["runningOnline"], node["memoryMbUsed"]) == (1, 0, 512)
    assert node["cpuUsed"] == 0.5 and node["instances"] >= 1
    assert "0 online, 1 batch" in server.cli("top", "--once").stdout
    (gates / "gate").touch()
    assert cloud.ended("other", full).status == "Succeeded"


def test_what_is_too_old_ends_wherever_it_waits(cloud, gated, gate):
    name = gated()
    cloud.v1("POST", f"/backlogs/{name}:pause")
    cloud.batch(name, [{"taskId": "front"}])
    soon = {"deadline": cloud.now() + 700}
    cloud.batch(name, [
        {"taskId": "paused", **soon}, {"taskId": "late", "delay": 3600, **soon},
        {"taskId": "held", "dependsOn": [{"task": "front"}], **soon},
        {"taskId": "after", "dependsOn": [{"task": "paused"}]}])
    for task_id in ("paused", "late", "held"):
        done = cloud.ended(name, task_id, 20)
        assert done.status == "Expired", (task_id, done.status)
        assert 0 <= done.end_time - soon["deadline"] < 5_000, "on time"
    assert cloud.ended(name, "after").status == "Invalid", "it waited for one that expired"
    assert cloud.task(name, "front").status == "Enqueued", "and nothing else moved"
    cloud.configure(name, async_task=True, max_async_event_age_in_seconds=1)
    assert cloud.ended(name, cloud.submit(name, b"")).status == "Expired", "by age as well"


def test_items_of_a_batch_wait_for_each_other(cloud, gated):
    name = gated()
    cloud.batch(name, [
        {"taskId": "merge", "dependsOn": [{"task": "left"}, {"task": f"{name}/right"}]},
        {"taskId": "left", "dependsOn": [{"task": "split"}]},
        {"taskId": "right", "dependsOn": [{"task": "split"}]},
        {"taskId": "split"}])
    assert cloud.ended(name, "merge").status == "Succeeded"
    found = {task_id: cloud.native(name, task_id) for task_id in ("merge", "left", "right", "split")}
    for task_id, others in {"merge": ("left", "right"), "left": ("split",), "right": ("split",)}.items():
        for other in others:
            assert found[other]["endedAt"] <= found[task_id]["startedAt"]
    circle = [{"taskId": "a", "dependsOn": [{"task": "b"}]}, {"taskId": "b", "dependsOn": [{"task": "a"}]},
              {"taskId": "c", "dependsOn": [{"task": "b"}]}, {"taskId": "d"}]
    with pytest.raises(Refused) as caught:
        cloud.batch(name, circle)
    assert caught.value.code == "InvalidArgument" and "circle" in caught.value.message
    done = cloud.batch(name, circle, "perItem")
    assert (done["accepted"], done["refused"]) == (1, 3)
    assert ["code" in item for item in done["results"]] == [True, True, True, False]
    done = cloud.batch(name, [{"taskId": "e", "dependsOn": [{"task": "d"}], "priority": 4},
                              {"taskId": "split", "priority": 10}, {"taskId": "f", "dependsOn": [{"task": "g"}]},
                              {"taskId": "g", "retries": 101}], "perItem")
    assert ["code" in item for item in done["results"]] == [False, True, True, True]


def test_a_silent_attempt_fails_and_one_with_a_heartbeat_does_not(cloud):
    name = unique("beats")
    cloud.create(name, """
        import time
        def handler(event, context):
            for n in range(30):
                time.sleep(0.1)
                if event == b"beat":
                    context.stint.heartbeat()
            return "done"
        """, task_mode=True, retries=0)
    silent = cloud.submit(name, b"", heartbeat="1s")
    beating = cloud.submit(name, b"beat", heartbeat="1s")
    done = cloud.ended(name, silent)
    assert done.status == "Failed" and cloud.native(name, silent)["error"]["kind"] == "HeartbeatTimeout"
    assert cloud.ended(name, beating).status == "Succeeded"
    with pytest.raises(Refused):
        cloud.batch(name, [{"heartbeat": 0.1}])


def test_an_attempt_may_last_longer_than_a_day(cloud, gated, gate):
    name = gated()
    task_id = running(cloud, name, gate, timeout=str(40 * 3600))
    assert cloud.native(name, task_id)["state"] == "Running"
    gate.open()
    assert cloud.ended(name, task_id).status == "Succeeded"


def test_a_size_within_the_functions_bounds(cloud, gated):
    name = gated(memory_size=512, cpu=0.5)
    assert cloud.ended(name, cloud.submit(name, b"", memory="128", cpu="0.05")).status == "Succeeded"
    for wrong in ({"memory": 1024}, {"cpu": 2}, {"memory": 64}):
        with pytest.raises(Refused) as caught:
            cloud.batch(name, [wrong])
        assert caught.value.code == "InvalidArgument"


def test_one_accounts_flood_costs_another_one_service_time(own):
    """The first account has 100,000 tasks waiting and keeps every slot busy; tasks of the second
    wait for one of them to end, not for the queue."""
    server = own(node__memory="900MiB", node__cpu="1").start()
    root = Cloud(server)
    nap = "import time\ndef handler(event, context):\n    time.sleep(0.2)\n"
    flood, calm = (root.as_role("admin", account=root.account(unique(n))) for n in ("flood", "calm"))
    for client in (flood, calm):
        client.create("nap", nap, task_mode=True, retries=0, memory_size=256, cpu=0.25)
    for _ in range(10):
        flood.batch("nap", [{}] * 10_000)
    until(lambda: flood.v1("GET", "/backlogs/nap")["running"] > 0, "the flood runs")
    calm.ended("nap", calm.submit("nap"))
    waited = []
    for _ in range(12):
        done = calm.ended("nap", calm.submit("nap"))
        attempt = calm.native("nap", done.task_id)["attempts"][0]
        waited.append(attempt["phases"]["queuedMs"])
    assert flood.v1("GET", "/backlogs/nap")["waiting"] > 90_000
    # One service time is 200 ms; the machine may be busy, the queue is an hour and a half.
    waited.sort()
    assert waited[len(waited) // 2] <= 1_000, waited


def test_pages_are_stable_while_tasks_are_added(cloud, gated):
    name = gated()
    cloud.v1("POST", f"/backlogs/{name}:pause")
    cloud.batch(name, [{"taskId": f"old{n:03}"} for n in range(90)])
    for order in ("desc", "asc"):
        seen, query = [], {}
        while True:
            page = cloud.v1("GET", "/tasks", function=name, limit=20, order=order, idPrefix="old", **query)
            seen += [item["taskId"] for item in page["items"]]
            cloud.batch(name, [{"taskId": unique("new")} for _ in range(7)])
            cloud.batch(name, [{"taskId": unique("old-later")}]) if order == "desc" else None
            if "next" not in page:
                break
            query = {"cursor": page["next"]}
        assert len(seen) == len(set(seen)), "nothing twice"
        kept = [task_id for task_id in seen if not task_id.startswith("old-later")]
        wanted = [f"old{n:03}" for n in range(90)]
        assert kept == (wanted if order == "asc" else wanted[::-1]), "nothing is left out"


def test_an_accounts_limit_spans_shards(own):
    """Functions that live in different shards share what their account may run."""
    server = own(shards="4", node__nas_allow="/tmp")
    gates = server.home / "gates"
    gates.mkdir()
    gates.chmod(0o777)
    server.gates = gates
    server.start()
    root = Cloud(server)
    account = root.account("shared", concurrencyMax=3, tasksQueuedMax=60)
    cloud = root.as_role("admin", account=account)
    names = [f"f{n}" for n in range(6)]
    for name in names:
        cloud.create(name, """
            import os, time
            def handler(event, context):
                me = "/mnt/gates/running-" + context.request_id
                open(me, "w").close()
                time.sleep(0.1)
                most = len([n for n in os.listdir("/mnt/gates") if n.startswith("running-")])
                os.remove(me)
                return most
            """, task_mode=True, retries=0, memory_size=128, cpu=0.1, nas_config=gates_mount(server))
    ids = [(name, cloud.submit(name)) for _ in range(8) for name in names]
    most = [int(cloud.ended(name, task_id, 90).return_payload) for name, task_id in ids]
    assert max(most) <= 3, most
    assert max(most) >= 2, "and they do run beside each other"
    # One function alone may use what the others leave.
    alone = [cloud.submit("f0") for _ in range(9)]
    assert max(int(cloud.ended("f0", task_id, 60).return_payload) for task_id in alone) >= 2
    # A changed limit is known in every shard.
    root.v1("PATCH", f"/accounts/{account}", {"limits": {"concurrencyMax": 1}})
    ids = [(name, cloud.submit(name)) for name in names]
    assert max(int(cloud.ended(name, task_id, 60).return_payload) for name, task_id in ids) == 1
    # So does the number of tasks that have not ended.
    for name in names:
        cloud.v1("POST", f"/backlogs/{name}:pause")
    for name in names:
        cloud.batch(name, [{}] * 10)
    with pytest.raises(Refused) as caught:
        cloud.batch("f3", [{}])
    assert caught.value.code == "QuotaExceeded" and "60" in caught.value.message


def test_a_disabled_function_is_named_as_the_cause(cloud, gated):
    name = gated()
    cloud.v1("POST", f"/backlogs/{name}:pause")
    task_id = cloud.submit(name, b"")
    assert cloud.why(name, task_id)["cause"] == "paused"
    cloud.sdk.disable_function_invocation(name, fc.DisableFunctionInvocationRequest(
        reason="audit", abort_ongoing_request=False))
    cloud.v1("POST", f"/backlogs/{name}:resume")
    why = cloud.why(name, task_id)
    assert why["cause"] == "disabled" and "audit" in why["sentence"] and "enable" in why["sentence"], why
    backlog = next(b for b in cloud.v1("GET", "/backlogs")["items"] if b["function"] == name)
    assert (backlog["heldBy"], backlog["paused"]) == ("disabled", False)
    cloud.sdk.enable_function_invocation(name)
    assert cloud.ended(name, task_id).status == "Succeeded"


def test_what_never_starts_has_no_estimate(cloud, gated):
    name = gated()
    assert cloud.ended(name, cloud.submit(name, b"")).status == "Succeeded", "so that there is a pace"
    cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=0)))
    why = cloud.why(name, cloud.submit(name, b""))
    assert why.get("estimatedStart") is None, why
