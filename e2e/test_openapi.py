"""Every operation of `/v1`, called as the document says, answers as the document says. That holds for
every answer that any other test gets, too: `cloud.py` looks at each."""

import json

from cloud import Cloud, unique
from server import until

SLOW = """
    import time
    def handler(event, context):
        context.stint.progress(0.25, "begun")
        if event == b"fail":
            raise ValueError("no")
        while event == b"hang":
            time.sleep(0.05)
        return event
    """


def walk_tasks(cloud, name):
    v1 = cloud.v1
    submitted = v1("POST", f"/functions/{name}/tasks", {
        "payloadText": "hi", "taskId": "one", "priority": 7, "tags": {"a": "b"}, "orderKey": "o", "limitKey": "l",
        "timeout": "1h", "cpu": 0.2, "memory": 128, "deadline": "2099-01-01T00:00:00Z", "retries": 1,
        "backoff": "1s", "backoffCap": "2s", "finalErrors": ["KeyError"], "requestId": unique("r")})
    v1("POST", f"/functions/{name}/tasks:batch", {"mode": "perItem", "tasks": [
        {"taskId": "one"}, {"taskId": "two", "dependsOn": [{"task": "hang", "when": "ended"}]},
        {"taskId": "late", "delay": 3600}, {"taskId": "bad", "payloadText": "fail", "retries": 0},
        {"taskId": "hang", "payloadText": "hang"}]})
    cloud.in_state(name, "hang", "Running")
    uid = submitted["uid"]
    for root in (f"/tasks/{uid}", f"/functions/{name}/tasks/one"):
        v1("GET", f"{root}/wait", timeout="20s")
        v1("GET", root, includePayload="true")
        v1("GET", f"{root}/why")
        v1("GET", f"{root}/logs")
        for part in ("payload", "result"):
            assert cloud.request("GET", f"/v1{root}/{part}").body == b"hi"
        v1("POST", f"{root}/retry")
        v1("GET", f"{root}/wait", timeout="20s")
    hanging = v1("GET", f"/functions/{name}/tasks/hang")
    for root in (f"/tasks/{hanging['uid']}", f"/functions/{name}/tasks/hang"):
        v1("POST", f"{root}/progress", {"percent": 50, "message": "half"})
    # In every state there is, and why it is there.
    for task_id in ("two", "late", "bad", "hang"):
        v1("GET", f"/functions/{name}/tasks/{task_id}")
        v1("GET", f"/functions/{name}/tasks/{task_id}/why")
    v1("POST", f"/functions/{name}/tasks/late/stop", {"reason": "enough"})
    v1("POST", f"/tasks/{hanging['uid']}/stop")
    cloud.ended(name, "hang")
    cloud.ended(name, "two")
    v1("GET", "/tasks", function=name, state="ended", limit=2, includePayload="true")
    v1("GET", "/tasks:count", function=name)
    for verb in ("stop", "retry"):
        v1("POST", f"/tasks:{verb}", {"filter": {"function": name}, "dryRun": True})


def walk_functions(cloud, name):
    v1 = cloud.v1
    v1("GET", "/functions")
    v1("GET", f"/functions/{name}")
    v1("PUT", f"/functions/{name}/limits", {
        "concurrencyMax": 3, "rate": {"perSecond": 0.5, "burst": 2}, "keyConcurrencyMax": 1, "weight": 5,
        "keyRate": {"perSecond": 1}, "payloadSchema": {"type": "string"}, "strictStart": True})
    v1("GET", f"/functions/{name}/limits")
    v1("PUT", f"/functions/{name}/limits", {})
    v1("PUT", f"/functions/{name}/retry-policy", {"retries": 2, "backoff": "1s", "finalErrors": ["KeyError"]})
    v1("GET", f"/functions/{name}/retry-policy")
    for verb in ("pause", "resume"):
        v1("POST", f"/backlogs/{name}:{verb}")
    v1("GET", f"/backlogs/{name}")
    v1("GET", "/backlogs")
    v1("GET", "/runtimes")


def walk_accounts(cloud):
    v1 = cloud.v1
    v1("GET", "/whoami")
    account = v1("POST", "/accounts", {"name": unique("acct"), "display": "An account", "limits": {
        "concurrencyMax": 5, "rate": {"perSecond": 10, "burst": 5}, "weight": 50, "tasksQueuedMax": 100}})["id"]
    v1("GET", "/accounts")
    v1("GET", f"/accounts/{account}")
    v1("PATCH", f"/accounts/{account}", {"disabled": True})
    v1("PATCH", f"/accounts/{account}", {"disabled": False})
    key = v1("POST", "/keys", {"role": "developer", "account": account, "functions": ["f*"]})["id"]
    v1("POST", "/keys", {"role": "viewer", "kind": "token"})
    v1("POST", "/keys:temporary", {"expiresIn": "15m"})
    v1("GET", "/keys")
    mine = v1("POST", "/keys", {"role": "developer"})["id"]
    v1("GET", f"/keys/{mine}")
    v1("PATCH", f"/keys/{mine}", {"disabled": True})
    v1("POST", f"/keys/{mine}/rotate")
    v1("DELETE", f"/keys/{mine}")
    v1("POST", "/master-key:rotate")
    assert key


def walk_observation(cloud, name):
    for path in ("/overview", "/instances", "/audit", "/config", "/usage"):
        cloud.v1("GET", path)
    cloud.v1("GET", "/logs", function=name)
    other = unique("stopped")
    cloud.create(other, "def handler(event, context):\n    return event\n")
    cloud.invoke(other)
    instance = cloud.v1("GET", "/instances", function=other)["items"][0]["id"]
    cloud.v1("POST", f"/instances/{instance}/stop")


def walk_flows(cloud, name):
    v1, flow = cloud.v1, unique("flow")
    call = {"Type": "Task", "Resource": f"arn:aws:lambda:::function:{name}"}
    steps = {"A": call | {"Next": "B"}, "B": {"Type": "Wait", "Seconds": 3600, "End": True}}
    v1("POST", "/flows", {"name": flow, "definition": json.dumps({"StartAt": "A", "States": steps}), "mode": "Standard",
                          "description": "d", "role": "r", "environment": {"A": "b"}, "tags": {"team": "a"}})
    v1("PATCH", f"/flows/{flow}", {"description": "e", "environment": {}, "tags": {"team": "b"}})
    v1("GET", "/flows", prefix="flow", limit=1)
    v1("GET", f"/flows/{flow}")
    v1("GET", f"/flows/{flow}/graph")
    one = v1("POST", f"/flows/{flow}/versions", {"description": "one"})["version"]
    v1("GET", f"/flows/{flow}/versions")
    v1("PUT", f"/flows/{flow}/aliases/prod", {"routes": [{"version": one, "weight": 100}], "description": "d"})
    v1("GET", f"/flows/{flow}/aliases")
    for execution in ("one", "two"):
        v1("POST", f"/flows/{flow}/executions", {"name": execution, "input": "hi", "qualifier": "prod", "tags": {"a": "b"}})
    root = f"/flows/{flow}/executions/one"
    until(lambda: [step["step"] for step in v1("GET", f"{root}/why")["steps"]] == ["B"], "it waits in the second step", 60)
    assert v1("GET", f"{root}/wait", timeout="10ms")["status"] == "Running"
    assert v1("GET", root)["input"] == "hi"
    assert v1("GET", f"{root}/history", limit=2)["next"] == "3"
    states = {step["name"]: step["live"]["state"] for step in v1("GET", f"{root}/graph")["steps"]}
    assert states == {"A": "done", "B": "active"}, states
    v1("POST", f"{root}/stop", {"error": "E", "cause": "C"})
    reply = cloud.request("GET", f"/v1{root}/events", query="after=2")
    events = [line for line in reply.text.splitlines() if line.startswith(("id: ", "event: "))]
    assert events[0] == "id: 3" and events[-1] == "event: end", events
    v1("POST", f"{root}/redrive")
    v1("POST", f"{root}/stop")
    [found] = v1("GET", "/executions", flow=flow, status="Stopped", tag="a=b", prefix="o")["items"]
    assert found["name"] == "one" and found["redrives"] == 1, found
    v1("POST", f"/flows/{flow}/executions/two/stop")
    v1("DELETE", f"/flows/{flow}/aliases/prod")
    v1("DELETE", f"/flows/{flow}/versions/{one}")
    v1("DELETE", f"/flows/{flow}")


def test_every_operation_answers_as_documented(server, cloud):
    name = unique("walk")
    cloud.create(name, SLOW, task_mode=True, retries=0)
    walk_tasks(cloud, name)
    walk_flows(cloud, name)
    walk_functions(cloud, name)
    walk_accounts(cloud)
    walk_observation(cloud, name)
    document = Cloud.document
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        reply = cloud.send("GET", path, b"", {"host": server.address})
        document.check("GET", path, reply.status, reply.headers, reply.body)
    missed = document.ids() - document.seen
    assert not missed, f"nobody called {sorted(missed)}"


def test_requests_are_as_documented_too(cloud):
    """What the document allows is accepted by name; what it does not know is refused by name."""
    document = Cloud.document
    for method, _, _, operation in document.operations:
        body = operation.get("requestBody")
        if not body:
            continue
        schema = body["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        assert document.document["components"]["schemas"][schema].get("additionalProperties") is False, schema


def test_refusals_are_as_documented(cloud, echo):
    for method, path, body, status in [
        ("GET", "/tasks/tsk_0000000000000", None, 404),
        ("GET", f"/functions/{echo}/tasks/nobody", None, 404),
        ("POST", f"/functions/{echo}/tasks", {"priority": 10}, 400),
        ("POST", f"/functions/{echo}/tasks", {"no": "such"}, 400),
        ("GET", "/functions/nobody/limits", None, 404),
    ]:
        text = b"" if body is None else json.dumps(body).encode()
        reply = cloud.request(method, "/v1" + path, text)
        assert reply.status == status, (path, reply)
        assert set(reply.json) == {"Code", "Message", "RequestId"}
    assert until(lambda: True, "the server is well")
