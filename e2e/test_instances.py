"""An instance's life: waiting interpreters, request isolation, recycling, and the stop of a single one."""

import json
import os
import signal

import pytest

from cloud import Cloud, Refused, unique
from server import until
from visit import Command

WHO = """
    import os
    runs = []
    def handler(event, context):
        runs.append(1)
        return [os.environ["FC_INSTANCE_ID"], len(runs), os.environ.get("N")]
    """


def parked(server) -> int:
    """How many interpreters wait, as the server counts them."""
    status, text = server.get("/metrics")
    assert status == 200
    lines = [line for line in text.decode().splitlines() if line.startswith("stint_node_parked_interpreters ")]
    return int(float(lines[0].split()[1])) if lines else 0


def began_waiting(server) -> list[int]:
    """Processes of this server's interpreters that were started to wait, whether they still do or not."""
    found = []
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parents[int(pid)] = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{pid}/cmdline") as file:
                if "--wait" in file.read().split("\0"):
                    found.append(int(pid))
        except OSError:
            continue  # it has ended meanwhile

    def belongs(pid):
        while pid not in (0, server.process.pid):
            pid = parents.get(pid, 0)
        return pid != 0

    return [pid for pid in found if belongs(pid)]


def enforced(cloud, function: str, instance: str) -> list[str]:
    items = cloud.v1("GET", "/instances", function=function)["items"]
    return next(item["enforced"] for item in items if item["id"] == instance)


@pytest.mark.parametrize("runtime, files", [
    ("python3.10", {"index.py": WHO}),
    ("nodejs20", {"index.js": "let runs = 0;\n"
                              "exports.handler = async () => [process.env.FC_INSTANCE_ID, ++runs, process.env.N];\n"}),
])
def test_interpreters_wait_and_are_used_once(own, runtime, files):
    server = own(node__parked_interpreters=4)
    server.start()
    cloud = Cloud(server)
    until(lambda: parked(server) >= 4, "two interpreters of each family wait")
    name = unique("waits")
    cloud.create(name, files, runtime=runtime)
    seen, used = set(), 0
    for n in range(12):
        cloud.update(name, environment_variables={"N": str(n)})
        instance, runs, said = cloud.invoke(name).json
        assert (runs, said) == (1, str(n)) and instance not in seen, "a new configuration is a new instance"
        seen.add(instance)
        used += "start: an interpreter that waited" in enforced(cloud, name, instance)
        until(lambda: parked(server) >= 4, "others take their place")
    assert used >= 8, used
    # Those that wait may die: they are replaced, and functions run meanwhile.
    before = set(began_waiting(server))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    # The instance that lived was among them: the next call may still have been given to it.
    until(lambda: cloud.invoke(name).error_type is None, "it is served again")
    cloud.update(name, environment_variables={"N": "last"})
    assert cloud.invoke(name).json[2] == "last"
    until(lambda: len(set(began_waiting(server)) - before) >= 4, "the dead are replaced")


def test_no_interpreter_waits_when_none_may(own):
    server = own(node__parked_memory="0")
    server.start()
    cloud = Cloud(server)
    name = unique("none")
    cloud.create(name, WHO)
    instance = cloud.invoke(name).json[0]
    assert "start: ordinary" in enforced(cloud, name, instance) and began_waiting(server) == []


def test_request_isolation(cloud):
    name = unique("alone")
    cloud.create(name, WHO, instance_isolation_mode="REQUEST_EXCLUSIVE", cpu=2,
                 memory_size=2048, task_mode=True)
    calls = [cloud.invoke(name).json for _ in range(3)]
    ids = [cloud.submit(name) for _ in range(3)]
    tasks = [cloud.ended(name, task_id) for task_id in ids]
    assert [task.status for task in tasks] == ["Succeeded"] * 3
    calls += [json.loads(task.return_payload) for task in tasks]
    assert [runs for _, runs, _ in calls] == [1] * 6 and len({instance for instance, *_ in calls}) == 6


def test_an_instance_is_stopped(cloud, server, gate, echo):
    name = unique("stop")
    cloud.create(name, WHO)
    first = cloud.invoke(name).json[0]
    assert cloud.invoke(name).json[:2] == [first, 2]
    stopped = cloud.v1("POST", f"/instances/{first}/stop")
    assert (stopped["id"], stopped["function"]) == (first, name)

    def state(function, instance):
        items = cloud.v1("GET", "/instances", function=function)["items"]
        found = [item for item in items if item["id"] == instance]
        return (found[0]["state"], found[0].get("reason")) if found else ("Destroyed", "it was stopped")

    until(lambda: state(name, first)[0] == "Destroyed", "it ends")
    assert state(name, first)[1] == "it was stopped"
    second = cloud.invoke(name).json[0]
    assert second != first
    server.cli("instance", "stop", second, "--now")
    until(lambda: state(name, second)[0] == "Destroyed", "it ends at once")
    assert cloud.invoke(name).json[1] == 1

    # What runs may end; it gets nothing new.
    task_id = cloud.submit(echo, {"wait": gate.name, "answer": "ended well"})
    cloud.in_state(echo, task_id, "Running")
    busy = cloud.native(echo, task_id)["attempts"][-1]["instance"]
    cloud.v1("POST", f"/instances/{busy}/stop")
    other = cloud.ended(echo, cloud.submit(echo, {"answer": 1}))
    assert other.status == "Succeeded"
    gate.open()
    done = cloud.ended(echo, task_id)
    assert (done.status, done.return_payload) == ("Succeeded", "ended well")
    until(lambda: state(echo, busy)[0] == "Destroyed", "it ends when it is idle")

    for instance in ("c-00000000-00000000-000000000001", "nothing"):
        with pytest.raises(Refused) as refused:
            cloud.v1("POST", f"/instances/{instance}/stop")
        assert refused.value.status == 404
    third = cloud.invoke(name).json[0]
    with pytest.raises(Refused) as refused:
        cloud.as_role("viewer").v1("POST", f"/instances/{third}/stop")
    assert refused.value.status == 403
    tenant = cloud.as_role("admin", account=cloud.account(unique("tenant")))
    with pytest.raises(Refused) as refused:
        tenant.v1("POST", f"/instances/{third}/stop")
    assert refused.value.status == 404


def test_a_stop_at_once_is_a_retry_nobody_is_charged_for(cloud, echo, gate):
    task_id = cloud.submit(echo, {"wait": gate.name, "answer": "again"})
    cloud.in_state(echo, task_id, "Running")
    attempt = until(lambda: (cloud.native(echo, task_id).get("attempts") or [{}])[-1].get("instance"), "an instance")
    cloud.v1("POST", f"/instances/{attempt}/stop", now="true")
    until(lambda: len(cloud.native(echo, task_id)["attempts"]) == 2, "it is tried again")
    gate.open()
    done = cloud.ended(echo, task_id)
    assert (done.status, done.return_payload) == ("Succeeded", "again")


@pytest.mark.parametrize("freeze, moves", [("true", False), ("false", True)])
def test_an_instance_stands_still_between_requests_when_it_is_told_to(own, freeze, moves):
    server = own(node__freeze=freeze)
    server.start()
    cloud = Cloud(server)
    name, other = unique("still"), unique("clock")
    cloud.create(name, """
        import os, threading, time
        count = 0
        def work():
            global count
            while True:
                count += 1
                time.sleep(0.001)
        threading.Thread(target=work, daemon=True).start()
        def handler(event, context):
            return [os.environ["FC_INSTANCE_ID"], count]
        """)
    cloud.create(other, "def handler(event, context):\n    return 1\n")
    instance, before = cloud.invoke(name).json
    # Something else happens for a while: twenty requests of another function.
    for _ in range(20):
        assert cloud.invoke(other).json == 1
    again, after = cloud.invoke(name).json
    assert again == instance
    assert (after - before > 20) == moves, (before, after)
    cloud.v1("POST", f"/instances/{instance}/stop")
    fresh = cloud.invoke(name).json[0]
    assert fresh != instance, "a frozen one is woken to end"


def idle_class(server) -> dict[str, str]:
    """`cpu.idle` of the control groups that this server's instances are in."""
    parents, groups = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parents[int(pid)] = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{pid}/cgroup") as file:
                groups[int(pid)] = [line.rstrip("\n").split(":", 2)[1:] for line in file]
        except OSError:
            continue  # it has ended meanwhile
    found = {}
    for pid, lines in groups.items():
        at = pid
        while at not in (0, server.process.pid):
            at = parents.get(at, 0)
        for controllers, path in lines if at else ():
            roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", f"/sys/fs/cgroup/{controllers}"]
            for file in (f"{root}{path}/cpu.idle" for root in roots if "/stint-" in path):
                if os.path.exists(file):
                    with open(file) as text:
                        found[file] = text.read().strip()
    return found


def test_an_instance_stands_back_while_it_runs_nothing_but_tasks(own):
    server = own().start()
    cloud = Cloud(server)
    name = unique("yields")
    cloud.create(name, """
        import os, time
        def handler(event, context):
            while event and not os.path.exists("/tmp/go"):
                time.sleep(0.01)
            return os.environ["FC_INSTANCE_ID"]
        """, task_mode=True, timeout=60)
    instance = cloud.invoke(name).body.decode()
    if not idle_class(server):
        pytest.skip("no control group of this machine has cpu.idle")
    assert set(idle_class(server).values()) == {"0"}
    task = cloud.submit(name, b"wait")
    until(lambda: "1" in idle_class(server).values(), "it stands back")
    done = cloud.v1("GET", "/instances", function=name)["items"]
    assert [item["id"] for item in done if not item.get("destroyedAt")] == [instance]
    visit = Command(server, name, instance, ["touch", "/tmp/go"])
    assert visit.whole().closed == (1000, "exit 0")
    assert cloud.ended(name, task).status == "Succeeded", "else a call finds it busy, and another is started"
    until(lambda: cloud.invoke(name).body.decode() == instance and set(idle_class(server).values()) == {"0"},
          "a call has its share again")
