"""`kill -9` while executions of every shape are under way, again and again, and a checker that reads only
the public API: what was acknowledged ends, each step's result counts once, and every history is gapless."""

import json
import os
import random
import threading
from collections import Counter

import pytest

from cloud import Cloud, Refused, unique
from flows import states
from server import until

ROUNDS = 6
# Executions of all rounds together; more for a night.
WANTED = int(os.environ.get("STINT_CRASH_EXECUTIONS", "2000"))
ADD = "import json\ndef handler(event, context):\n    return {'n': json.loads(event)['n'] + 1}\n"
# Fails until the flow has tried twice.
MOODY = """
import json
def handler(event, context):
    asked = json.loads(event)
    if asked["tries"] < 2:
        raise ValueError("not yet")
    return {"n": asked["n"]}
"""


def call(function, **more):
    return {"Type": "Task", "Resource": f"arn:aws:lambda:::function:{function}", **more}


def machine(start, **steps):
    return {"StartAt": start, "States": steps}


SHAPES = {
    # No work outside: the shell alone.
    "plain": machine("A", A={"Type": "Pass", "Next": "B"}, B={
        "Type": "Map", "ItemsPath": "$.items", "ResultPath": "$.seen", "Next": "C", "ItemProcessor": machine(
            "I", I={"Type": "Pass", "End": True})}, C={
        "Type": "Parallel", "Branches": [machine("L", L={"Type": "Pass", "End": True}),
                                         machine("R", R={"Type": "Wait", "Seconds": 1, "End": True})],
        "ResultPath": None, "End": True}),
    "chain": machine("A", A=call("add", Next="B"), B=call("add", Next="C"), C=call("add", End=True)),
    "fan": machine("M", M={"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "End": True,
                           "ItemProcessor": machine("I", I=call("add", End=True))}),
    "moody": machine("A", A=call("moody", Parameters={"n.$": "$.n", "tries.$": "$$.State.RetryCount"}, End=True, Retry=[
        {"ErrorEquals": ["ValueError"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 5}])),
    "caught": machine("A", A=call("moody", Parameters={"n.$": "$.n", "tries": 0}, Next="Never", Catch=[
        {"ErrorEquals": ["ValueError"], "ResultPath": "$.error", "Next": "B"}]),
        Never={"Type": "Fail"}, B={"Type": "Pass", "OutputPath": "$.n", "End": True}),
    "late": machine("A", A={"Type": "Wait", "Seconds": 2, "Next": "B"}, B={"Type": "Pass", "End": True}),
    "long": machine("A", A={"Type": "Wait", "Seconds": 3600, "End": True}),
}
# How an execution of each shape ends, from its n; none where it does not matter.
OUTPUTS = {
    "plain": lambda n: {"n": n, "items": [{"n": 1}, {"n": 2}], "seen": [{"n": 1}, {"n": 2}]},
    "chain": lambda n: {"n": n + 3},
    "fan": lambda n: [{"n": 2}, {"n": 3}],
    "moody": lambda n: {"n": n},
    "caught": lambda n: n,
    "late": lambda n: {"n": n, "items": [{"n": 1}, {"n": 2}]},
    "parent": lambda n: {"n": n + 3},
    "polled": lambda n: {"n": n},
}
# Calls that succeed, and steps that are entered, in one execution of each shape.
CALLS = {"plain": 0, "chain": 3, "fan": 2, "moody": 1, "caught": 0, "late": 0, "parent": 1, "polled": 1}
ENTERED = {"chain": {"A": 1, "B": 1, "C": 1}, "plain": {"A": 1, "B": 1, "I": 2, "C": 1, "L": 1, "R": 1},
           "fan": {"M": 1, "I": 2}, "moody": {"A": 1}, "caught": {"A": 1, "B": 1}, "late": {"A": 1, "B": 1}}
WEIGHTS = {"plain": 10, "late": 4, "long": 2, "chain": 3, "fan": 2, "moody": 1, "caught": 2, "parent": 2, "polled": 2}


class Load:
    """What clients did and what they were told, over all lives of the server."""

    def __init__(self, server):
        self.server, self.lock = server, threading.Lock()
        self.accepted, self.doubtful, self.stopped = {}, {}, set()

    def run(self, stop: threading.Event, lane: int, seed: int):
        cloud, dice = Cloud(self.server), random.Random(seed)
        while not stop.is_set():
            try:
                self.one(cloud, dice, lane)
            except Exception:  # whatever a client makes of a server that is gone
                return

    def one(self, cloud, dice, lane):
        shape = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        name, n = unique(f"l{lane}"), dice.randrange(1000)
        with self.lock:
            self.doubtful[shape, name] = n
        cloud.v1("POST", f"/flows/{shape}/executions", {"name": name, "input": {"n": n, "items": [{"n": 1}, {"n": 2}]}})
        with self.lock:
            self.accepted[shape, name] = self.doubtful.pop((shape, name))
        if shape == "long":
            try:
                cloud.v1("POST", f"/flows/long/executions/{name}/stop", {"error": "Enough"})
            except Refused:
                return
            with self.lock:
                self.stopped.add(name)


def poll(server, activity, stop: threading.Event):
    """A poller that outlives the server: asks again whatever happens."""
    client = None
    while not stop.is_set():
        try:
            client = client or states(Cloud(server))
            task = client.get_activity_task(activityArn=activity, workerName="crash")
            if task.get("taskToken"):
                client.send_task_success(taskToken=task["taskToken"],
                                         output=json.dumps({"n": json.loads(task["input"])["n"]}))
        except Exception:  # gone, or the token's time was up
            client = None
            stop.wait(0.1)


def everything(cloud, path, **query):
    found, cursor = [], {}
    while True:
        page = cloud.v1("GET", path, limit=1000, **query, **cursor)
        found += page["items"]
        if "next" not in page:
            return found
        cursor = {"cursor": page["next"]}


def check_history(cloud, run):
    shape, name = run["flow"], run["name"]
    events = everything(cloud, f"/flows/{shape}/executions/{name}/history")
    assert [e["id"] for e in events] == list(range(1, len(events) + 1)), (shape, name)
    assert events[0]["type"] == "ExecutionStarted" and all(e["previous"] < e["id"] for e in events)
    ends = [e["type"] for e in events if e["type"] in (
        "ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut")]
    assert len(ends) == 1 and events[-1]["type"] == ends[0], (shape, name, ends)
    if run["status"] != "Succeeded":
        return
    succeeded = sum(e["type"] in ("LambdaFunctionSucceeded", "TaskSucceeded", "ActivitySucceeded") for e in events)
    assert succeeded == CALLS[shape], f"{shape}/{name}: {succeeded} results were applied"
    if shape in ENTERED:
        entered = Counter(e["step"] for e in events if e["type"].endswith("StateEntered"))
        assert entered == ENTERED[shape], (shape, name, entered)
        exited = Counter(e["step"] for e in events if e["type"].endswith("StateExited"))
        assert exited == entered, (shape, name)


@pytest.mark.parametrize("shards", ["1", "3"])
def test_kill_nine_while_flows_run(own, shards):
    server = own(shards=shards).start()
    cloud = Cloud(server)
    for name, text in (("add", ADD), ("moody", MOODY)):
        cloud.create(name, text, memory_size=128, cpu=0.1, task_mode=True, retries=0)
    activity = states(cloud).create_activity(name="work")["activityArn"]
    shapes = SHAPES | {
        "parent": machine("C", C={
            "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True, "Parameters": {
                "StateMachineArn": activity.replace(":activity:work", ":stateMachine:chain"), "Input": {"n.$": "$.n"}},
            "OutputPath": "$.Output"}),
        # Who took the work may have been told by a server that died before it wrote that down.
        "polled": machine("A", A={"Type": "Task", "Resource": activity, "TimeoutSeconds": 5, "End": True, "Retry": [
            {"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 50}]})}
    for name, definition in shapes.items():
        cloud.v1("POST", "/flows", {"name": name, "definition": json.dumps(definition)})
    load, over = Load(server), threading.Event()
    pollers = [threading.Thread(target=poll, args=(server, activity, over), daemon=True) for _ in range(2)]
    for poller in pollers:
        poller.start()
    for number in range(ROUNDS):
        stop = threading.Event()
        lanes = [threading.Thread(target=load.run, args=(stop, lane, number * 100 + lane)) for lane in range(4)]
        for lane in lanes:
            lane.start()
        until(lambda number=number: len(load.accepted) >= WANTED * (number + 1) // ROUNDS, "there is load", 240)
        server.kill()
        stop.set()
        for lane in lanes:
            lane.join(timeout=60)
        server.start()
    cloud = Cloud(server)
    for shape, name in [key for key in load.accepted if key[0] == "long" and key[1] not in load.stopped]:
        try:
            cloud.v1("POST", f"/flows/long/executions/{name}/stop", {"error": "Enough"})
        except Refused as refused:
            assert refused.code == "ExecutionAlreadyCompleted", refused
    for shape, name in [key for key in load.doubtful if key[0] == "long"]:
        try:
            cloud.v1("POST", f"/flows/long/executions/{name}/stop", {"error": "Enough"})
        except Refused as refused:
            assert refused.code in ("ExecutionAlreadyCompleted", "ExecutionNotExists"), refused
    until(lambda: not cloud.v1("GET", "/executions", status="Running", limit=1)["items"], "all have ended", 300, pause=0.5)
    over.set()
    runs = {(run["flow"], run["name"]): run for run in everything(cloud, "/executions")}
    lost = [key for key in load.accepted if key not in runs]
    assert not lost, f"{len(lost)} of {len(load.accepted)} were lost, such as {lost[:3]}"
    assert len(load.accepted) >= WANTED
    for (shape, name), run in runs.items():
        assert run["ended"], run
        check_history(cloud, run)
        n = load.accepted.get((shape, name), load.doubtful.get((shape, name)))
        if shape == "long":
            assert (run["status"], run["error"]) == ("Stopped", "Enough"), run
        elif n is not None:
            assert run["status"] == "Succeeded", run
            output = cloud.v1("GET", f"/flows/{shape}/executions/{name}")["output"]
            assert output == OUTPUTS[shape](n), (shape, name, output)
    # A parent has one child, and it is the child's result that it has.
    parents = sum(shape == "parent" for shape, _ in runs)
    children = sum(shape == "chain" and key not in load.accepted and key not in load.doubtful
                   for key in runs for shape in key[:1])
    assert children == parents, (children, parents)
