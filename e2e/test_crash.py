"""`kill -9` under load, again and again, and a checker that reads only the public API: nothing that was
acknowledged is lost, each task settles once, and what waits for it, gets its outcome or was stopped is as
it was told."""

import json
import random
import threading

import pytest

from cloud import ENDED, Cloud, Refused, unique
from server import until

ECHO = "def handler(event, context):\n    return event\n"
NAP = "import time\ndef handler(event, context):\n    time.sleep(0.2)\n    return event\n"
DOOMED = "def handler(event, context):\n    raise ValueError('doomed')\n"
ROUNDS = 5


class Load:
    """What clients did and what they were told, over all lives of the server."""

    def __init__(self, server):
        self.server, self.lock = server, threading.Lock()
        self.accepted, self.doubtful, self.stopped = {}, {}, set()
        self.after = {}

    def run(self, stop: threading.Event, lane: int, seed: int):
        cloud, dice = Cloud(self.server), random.Random(seed)
        deeds = [self.one, self.many, self.many, self.chain, self.late, self.stop_one]
        while not stop.is_set():
            try:
                dice.choice(deeds)(cloud, dice, lane)
            except Exception:  # whatever the SDK makes of a server that is gone
                return

    def submitted(self, function: str, ids: list[str], send):
        with self.lock:
            self.doubtful |= {task_id: function for task_id in ids}
        send()
        with self.lock:
            for task_id in ids:
                self.accepted[task_id] = self.doubtful.pop(task_id)

    def one(self, cloud, dice, lane):
        function, task_id = dice.choice(["work", "doomed", "nap"]), unique(f"t{lane}")
        self.submitted(function, [task_id], lambda: cloud.submit(function, task_id, task_id))

    def many(self, cloud, dice, lane):
        function, ids = dice.choice(["work", "work", "doomed"]), [unique(f"b{lane}") for _ in range(20)]
        self.submitted(function, ids, lambda: cloud.batch(
            function, [{"taskId": t, "payloadText": t, "orderKey": dice.choice(["k", "l", None])} for t in ids]))

    def chain(self, cloud, dice, lane):
        """Three of one batch, each of which waits for the next; the first may wait for an older one."""
        ids = [unique(f"c{lane}") for _ in range(3)]
        items = [{"taskId": t, "payloadText": t} for t in ids]
        after = {}
        for index in (0, 1):
            items[index]["dependsOn"] = [{"task": ids[index + 1]}]
            after[ids[index]] = ids[index + 1]
        with self.lock:
            older = [t for t, f in self.accepted.items() if f == "work"]
        if older:
            items[2]["dependsOn"] = [{"task": f"work/{dice.choice(older)}", "when": "ended"}]
        self.submitted("other", ids, lambda: cloud.batch("other", items))
        with self.lock:
            self.after |= after

    def late(self, cloud, dice, lane):
        ids = [unique(f"l{lane}") for _ in range(3)]
        self.submitted("work", ids, lambda: cloud.batch(
            "work", [{"taskId": t, "payloadText": t, "delay": dice.uniform(0, 2)} for t in ids]))

    def stop_one(self, cloud, dice, lane):
        task_id = unique(f"s{lane}")
        self.submitted("nap", [task_id], lambda: cloud.submit("nap", task_id, task_id))
        try:
            cloud.v1("POST", f"/functions/nap/tasks/{task_id}/stop", {"reason": "drawn"})
        except Refused:
            return
        with self.lock:
            self.stopped.add(task_id)


def everything(cloud, **query):
    found = []
    cursor = {}
    while True:
        page = cloud.v1("GET", "/tasks", limit=1000, **query, **cursor)
        found += page["items"]
        if "next" not in page:
            return found
        cursor = {"cursor": page["next"]}


@pytest.mark.parametrize("shards", ["1", "3"])
def test_kill_nine_under_load(own, shards):
    server = own(shards=shards).start()
    cloud = Cloud(server)
    cloud.create("sink", ECHO, task_mode=True, retries=0)
    for name, text, retries in (("work", ECHO, 0), ("other", ECHO, 0), ("nap", NAP, 0), ("doomed", DOOMED, 1)):
        cloud.create(name, text, task_mode=True, retries=retries, memory_size=128, cpu=0.1)
    cloud.v1("PUT", "/functions/doomed/retry-policy", {"backoff": 0.02})
    to_sink = {"destination": {"destination": f"acs:fc:local:{cloud.v1('GET', '/whoami')['account']}:functions/sink"}}
    reply = cloud.request("PUT", "/2023-03-30/functions/other/async-invoke-config", json.dumps({
        "asyncTask": True, "maxAsyncRetryAttempts": 0, "destinationConfig": {
            "onSuccess": to_sink["destination"], "onFailure": to_sink["destination"]}}).encode(),
        headers={"content-type": "application/json"})
    assert reply.status == 200, reply
    load, settled = Load(server), {}
    for number in range(ROUNDS):
        stop = threading.Event()
        lanes = [threading.Thread(target=load.run, args=(stop, lane, number * 100 + lane)) for lane in range(4)]
        before = len(load.accepted)
        for lane in lanes:
            lane.start()
        until(lambda: len(load.accepted) - before > 120 + 60 * number, "there is load", 60)
        for item in Cloud(server).v1("GET", "/tasks", state="ended", limit=500)["items"]:
            settled[item["uid"]] = (item["state"], item["endedAt"])
        server.kill()
        stop.set()
        for lane in lanes:
            lane.join()
        server.start()
        assert server.started_in < 10
    cloud = Cloud(server)
    until(lambda: cloud.count(state="open") == 0, "all has settled", 120, 0.2)
    check(cloud, load, settled)


def check(cloud, load, settled):
    tasks = everything(cloud)
    assert len({task["uid"] for task in tasks}) == len(tasks), "listed twice"
    by_id = {task["taskId"]: task for task in tasks if task["function"] != "sink"}
    lost = [task_id for task_id in load.accepted if task_id not in by_id]
    assert not lost, f"{len(lost)} acknowledged tasks are lost"
    assert not [t for t in by_id if t not in load.accepted and t not in load.doubtful], "invented"
    wanted = {"doomed": {"Failed"}, "work": {"Succeeded"}, "other": {"Succeeded"}, "nap": {"Succeeded", "Stopped"}}
    for task in by_id.values():
        assert task["state"] in wanted[task["function"]], task
    for task_id in load.stopped:
        # Told that it was stopped; one that was done at that moment says so instead.
        assert by_id[task_id]["state"] == "Stopped" or by_id[task_id]["startedAt"], by_id[task_id]
    now = {task["uid"]: (task["state"], task.get("endedAt")) for task in tasks}
    for uid, seen in settled.items():
        assert now[uid] == seen, "settled anew"
    for one, other in load.after.items():
        assert by_id[other]["endedAt"] <= by_id[one]["startedAt"], f"{one} did not wait for {other}"
    for task_id in list(by_id)[::25]:
        one = cloud.native(by_id[task_id]["function"], task_id)
        ends = [event["state"] for event in one["events"] if event["state"] in ENDED]
        assert len(ends) == 1 and one["events"][-1]["state"] == ends[0]
        if one["function"] in ("work", "other"):
            assert one["result"] == task_id
        assert one["retries"] <= 1
    delivered = [json.loads(task["payload"])["requestContext"]["requestId"]
                 for task in everything(cloud, function="sink", includePayload="true")]
    sources = [task["requestId"] for task in by_id.values() if task["function"] == "other"]
    assert sorted(delivered) == sorted(sources), "each outcome is delivered once"
