"""Step Functions through boto3: every operation, and what clients notice beyond them."""

import http.client
import json
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from alibabacloud_fnf20190315 import models as fnf

from cloud import Cloud, unique
from flows import create_flow, finished, states, workflow
from server import until

ROLE = "arn:aws:iam::123456789012:role/flows"
PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Parameters": {"said.$": "$.word"}, "End": True}}}
WAIT = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": True}}}
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "because"}}}


@pytest.fixture(scope="module")
def client(cloud):
    return states(cloud)


def make(client, definition=PASS, name=None, **more) -> str:
    return client.create_state_machine(name=name or unique("sm"), definition=json.dumps(definition), roleArn=ROLE,
                                       **more)["stateMachineArn"]


def refused(call) -> ClientError:
    """The exception that `call` must end in; its class is boto3's own for that error."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


def code(call) -> str:
    return refused(call).response["Error"]["Code"]


def history(client, arn, **asked) -> list[dict]:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn, **asked)
    return [event for page in pages for event in page["events"]]


# --- state machines ----------------------------------------------------------------------------------


def test_a_machine_lives(client, cloud):
    name = unique("life")
    account = cloud.v1("GET", "/whoami")["account"]
    made = client.create_state_machine(name=name, definition=json.dumps(PASS), roleArn=ROLE, type="STANDARD",
                                       tags=[{"key": "team", "value": "a"}])
    arn = made["stateMachineArn"]
    assert arn.startswith("arn:aws:states:") and arn.endswith(f":{account}:stateMachine:{name}")
    assert abs(made["creationDate"].timestamp() * 1000 - cloud.now()) < 60_000
    found = client.describe_state_machine(stateMachineArn=arn)
    assert (found["name"], found["status"], found["type"], found["roleArn"]) == (name, "ACTIVE", "STANDARD", ROLE)
    assert json.loads(found["definition"]) == PASS
    again = client.create_state_machine(name=name, definition=json.dumps(PASS), roleArn=ROLE)
    assert again["stateMachineArn"] == arn and again["creationDate"] == made["creationDate"], "the same again is it"
    with pytest.raises(client.exceptions.StateMachineAlreadyExists):
        make(client, WAIT, name)
    changed = client.update_state_machine(stateMachineArn=arn, definition=json.dumps(WAIT))
    assert changed["updateDate"] >= made["creationDate"] and changed["revisionId"] != found["revisionId"]
    assert code(lambda: client.update_state_machine(stateMachineArn=arn)) == "MissingRequiredParameter"
    client.delete_state_machine(stateMachineArn=arn)
    client.delete_state_machine(stateMachineArn=arn)
    with pytest.raises(client.exceptions.StateMachineDoesNotExist):
        client.describe_state_machine(stateMachineArn=arn)


def test_what_is_refused_at_creation(client):
    assert code(lambda: make(client, name="a b")) == "InvalidName"
    bad = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}
    with pytest.raises(client.exceptions.InvalidDefinition) as caught:
        make(client, bad)
    assert "B" in str(caught.value)
    assert code(lambda: client.describe_state_machine(stateMachineArn="arn:aws:states:x:1:stateMachine")) == "InvalidArn"
    other = make(client).replace(":stateMachine:", ":stateMachine:no")
    assert code(lambda: client.describe_state_machine(stateMachineArn=other)) == "StateMachineDoesNotExist"


def test_machines_are_listed(client):
    arns = {make(client, name=f"list-{uuid.uuid4().hex[:6]}-{n}") for n in range(5)}
    found = [machine for page in client.get_paginator("list_state_machines").paginate(
        PaginationConfig={"PageSize": 2}) for machine in page["stateMachines"]]
    assert arns <= {machine["stateMachineArn"] for machine in found}
    assert len({machine["stateMachineArn"] for machine in found}) == len(found)


def test_definitions_are_validated(client):
    good = client.validate_state_machine_definition(definition=json.dumps(PASS))
    assert (good["result"], good["diagnostics"]) == ("OK", [])
    bad = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nowhere"}}}
    found = client.validate_state_machine_definition(definition=json.dumps(bad), type="STANDARD")
    assert found["result"] == "FAIL" and found["truncated"] is False
    [first, *_] = found["diagnostics"]
    assert first["severity"] == "ERROR" and first["code"] == "DANGLING_TARGET" and "/States/A" in first["location"]


def test_versions_and_aliases(client):
    name = unique("va")
    made = client.create_state_machine(name=name, definition=json.dumps(PASS), roleArn=ROLE, publish=True,
                                       versionDescription="one")
    arn, one = made["stateMachineArn"], made["stateMachineVersionArn"]
    assert one == f"{arn}:1"
    other = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"v": 2}, "End": True}}}
    two = client.update_state_machine(stateMachineArn=arn, definition=json.dumps(other),
                                      publish=True)["stateMachineVersionArn"]
    assert two == f"{arn}:2"
    client.update_state_machine(stateMachineArn=arn, definition=json.dumps(WAIT))
    assert json.loads(client.describe_state_machine(stateMachineArn=one)["definition"]) == PASS
    listed = client.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert [version["stateMachineVersionArn"] for version in listed] == [two, one]
    stale = client.describe_state_machine(stateMachineArn=arn)["revisionId"]
    client.update_state_machine(stateMachineArn=arn, definition=json.dumps(FAIL))
    assert code(lambda: client.publish_state_machine_version(stateMachineArn=arn, revisionId=stale)) == "ConflictException"
    three = client.publish_state_machine_version(stateMachineArn=arn, description="three")["stateMachineVersionArn"]
    alias = client.create_state_machine_alias(name="prod", description="d", routingConfiguration=[
        {"stateMachineVersionArn": one, "weight": 100}])["stateMachineAliasArn"]
    assert alias == f"{arn}:prod"
    assert code(lambda: client.create_state_machine_alias(name="prod", routingConfiguration=[
        {"stateMachineVersionArn": one, "weight": 100}])) == "ConflictException"
    run = client.start_execution(stateMachineArn=alias, input='{"word": "w"}')["executionArn"]
    done = finished(client, run)
    assert json.loads(done["output"]) == {"said": "w"}
    assert (done["stateMachineVersionArn"], done["stateMachineAliasArn"]) == (one, alias)
    client.update_state_machine_alias(stateMachineAliasArn=alias, routingConfiguration=[
        {"stateMachineVersionArn": one, "weight": 10}, {"stateMachineVersionArn": two, "weight": 90}])
    found = client.describe_state_machine_alias(stateMachineAliasArn=alias)
    assert {r["stateMachineVersionArn"]: r["weight"] for r in found["routingConfiguration"]} == {one: 10, two: 90}
    assert (found["name"], found["description"]) == ("prod", "d") and found["updateDate"] >= found["creationDate"]
    [only] = client.list_state_machine_aliases(stateMachineArn=arn)["stateMachineAliases"]
    assert only["stateMachineAliasArn"] == alias
    assert client.list_state_machine_aliases(stateMachineArn=three)["stateMachineAliases"] == []
    assert code(lambda: client.delete_state_machine_version(stateMachineVersionArn=one)) == "ConflictException"
    client.delete_state_machine_alias(stateMachineAliasArn=alias)
    assert code(lambda: client.describe_state_machine_alias(stateMachineAliasArn=alias)) == "ResourceNotFound"
    client.delete_state_machine_version(stateMachineVersionArn=one)
    assert code(lambda: client.start_execution(stateMachineArn=one)) == "StateMachineDoesNotExist"


def test_tags(client):
    arn = make(client, tags=[{"key": "a", "value": "1"}])
    client.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}, {"key": "a", "value": "3"}])

    def tags():
        return {t["key"]: t["value"] for t in client.list_tags_for_resource(resourceArn=arn)["tags"]}
    assert tags() == {"a": "3", "b": "2"}
    client.untag_resource(resourceArn=arn, tagKeys=["a", "none"])
    assert tags() == {"b": "2"}
    assert code(lambda: client.list_tags_for_resource(resourceArn=arn + "x")) == "ResourceNotFound"


# --- executions --------------------------------------------------------------------------------------


def test_an_execution_runs(client):
    machine = make(client)
    started = client.start_execution(stateMachineArn=machine, name="e1", input='{"word": "hi"}')
    arn = started["executionArn"]
    assert arn == machine.replace(":stateMachine:", ":execution:") + ":e1"
    done = finished(client, arn)
    assert (done["status"], done["name"], done["stateMachineArn"]) == ("SUCCEEDED", "e1", machine)
    assert done["startDate"] == started["startDate"] and done["stopDate"] >= done["startDate"]
    assert json.loads(done["input"]) == {"word": "hi"} and json.loads(done["output"]) == {"said": "hi"}
    assert done["inputDetails"] == {"included": True}
    assert (done["redriveCount"], done["redriveStatus"]) == (0, "NOT_REDRIVABLE")
    machine_of = client.describe_state_machine_for_execution(executionArn=arn)
    assert json.loads(machine_of["definition"]) == PASS and machine_of["stateMachineArn"] == machine
    unnamed = client.start_execution(stateMachineArn=machine, input='{"word": 1}')["executionArn"]
    assert uuid.UUID(unnamed.rsplit(":", 1)[1])


def test_a_name_and_an_input_are_one_execution(client):
    machine = make(client, WAIT)
    one = client.start_execution(stateMachineArn=machine, name="same", input='{"n": 1}')
    again = client.start_execution(stateMachineArn=machine, name="same", input='{"n": 1}')
    assert again == again | {"executionArn": one["executionArn"], "startDate": one["startDate"]}
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=machine, name="same", input='{"n": 2}')
    client.stop_execution(executionArn=one["executionArn"])
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=machine, name="same", input='{"n": 1}')
    assert code(lambda: client.start_execution(stateMachineArn=machine, name="a:b")) == "InvalidName"
    assert code(lambda: client.start_execution(stateMachineArn=machine, input="{")) == "InvalidExecutionInput"


def test_any_json_is_an_input(client):
    machine = make(client, {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    for value in ([1, 2], "text", 7, None):
        arn = client.start_execution(stateMachineArn=machine, input=json.dumps(value))["executionArn"]
        assert json.loads(finished(client, arn)["output"]) == value


def test_failing_and_stopping(client):
    arn = client.start_execution(stateMachineArn=make(client, FAIL))["executionArn"]
    failed = finished(client, arn)
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Mine", "because")
    assert "output" not in failed and failed["redriveStatus"] == "REDRIVABLE"
    arn = client.start_execution(stateMachineArn=make(client, WAIT))["executionArn"]
    stopped = client.stop_execution(executionArn=arn, error="E", cause="C")
    found = client.describe_execution(executionArn=arn)
    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "E", "C")
    assert found["stopDate"] == stopped["stopDate"]
    assert client.stop_execution(executionArn=arn)["stopDate"] == stopped["stopDate"], "stopped already"
    assert code(lambda: client.stop_execution(executionArn=arn + "x")) == "ExecutionDoesNotExist"


def test_executions_are_listed(client):
    machine = make(client)
    arns = [client.start_execution(stateMachineArn=machine, name=f"n{n}", input='{"word": 1}')["executionArn"]
            for n in range(5)]
    for arn in arns:
        finished(client, arn)
    pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine, PaginationConfig={"PageSize": 2})
    assert [run["name"] for page in pages for run in page["executions"]] == ["n4", "n3", "n2", "n1", "n0"]
    assert client.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"] == []
    assert len(client.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED")["executions"]) == 5
    assert code(lambda: client.list_executions()) == "ValidationException"


def test_the_history(client, cloud, echo):
    account = cloud.v1("GET", "/whoami")["account"]
    machine = make(client, {"StartAt": "C", "States": {
        "C": {"Type": "Task", "Resource": f"arn:aws:lambda:us-east-1:{account}:function:{echo}",
              "Parameters": {"answer": {"n": 5}}, "TimeoutSeconds": 30, "Next": "P"},
        "P": {"Type": "Pass", "Assign": {"kept.$": "$.n"}, "End": True}}})
    arn = client.start_execution(stateMachineArn=machine, input='{"x": 1}')["executionArn"]
    done = finished(client, arn)
    assert json.loads(done["output"]) == {"n": 5}, done
    events = history(client, arn)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events] == [
        "ExecutionStarted", "TaskStateEntered", "LambdaFunctionScheduled", "LambdaFunctionStarted",
        "LambdaFunctionSucceeded", "TaskStateExited", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    assert events[0]["previousEventId"] == 0 and all(e["previousEventId"] < e["id"] for e in events)
    assert json.loads(events[0]["executionStartedEventDetails"]["input"]) == {"x": 1}
    assert events[1]["stateEnteredEventDetails"]["name"] == "C"
    scheduled = events[2]["lambdaFunctionScheduledEventDetails"]
    assert scheduled["resource"].endswith(f":function:{echo}") and scheduled["timeoutInSeconds"] == 30
    assert json.loads(scheduled["input"]) == {"answer": {"n": 5}}
    assert json.loads(events[4]["lambdaFunctionSucceededEventDetails"]["output"]) == {"n": 5}
    assert events[7]["stateExitedEventDetails"]["assignedVariables"] == {"kept": "5"}
    assert json.loads(events[8]["executionSucceededEventDetails"]["output"]) == {"n": 5}
    assert history(client, arn, reverseOrder=True) == events[::-1]
    assert history(client, arn, PaginationConfig={"PageSize": 2}) == events
    hidden = history(client, arn, includeExecutionData=False)
    assert "input" not in hidden[0].get("executionStartedEventDetails", {}) and len(hidden) == len(events)


def test_lambda_invoke_wraps_its_answer(client, echo):
    machine = make(client, {"StartAt": "C", "States": {"C": {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True,
        "Parameters": {"FunctionName": echo, "Payload": {"answer": {"ok": True}}}}}})
    done = finished(client, client.start_execution(stateMachineArn=machine)["executionArn"])
    output = json.loads(done["output"])
    assert output["Payload"] == {"ok": True} and output["StatusCode"] == 200, done


def test_jsonata(client):
    machine = make(client, {"QueryLanguage": "JSONata", "StartAt": "P", "States": {"P": {
        "Type": "Pass", "Output": {"sum": "{% $sum($states.input.of) %}"}, "End": True}}})
    done = finished(client, client.start_execution(stateMachineArn=machine, input='{"of": [1, 2, 3]}')["executionArn"])
    assert json.loads(done["output"]) == {"sum": 6}


def test_a_synchronous_start(client):
    machine = make(client, type="EXPRESS")
    done = client.start_sync_execution(stateMachineArn=machine, name="n", input='{"word": "x"}')
    assert done["status"] == "SUCCEEDED" and json.loads(done["output"]) == {"said": "x"}
    assert ":express:" in done["executionArn"] and done["stateMachineArn"] == machine
    assert done["billingDetails"]["billedDurationInMilliseconds"] >= 0
    failed = client.start_sync_execution(stateMachineArn=make(client, FAIL, type="EXPRESS"))
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Mine", "because")
    standard = make(client)
    assert code(lambda: client.start_sync_execution(stateMachineArn=standard)) == "StateMachineTypeNotSupported"


def test_a_redrive_runs_what_failed(client, cloud, server):
    """The first step succeeds once; the second fails until a file is there."""
    from conftest import gates_mount
    name, gate = unique("flaky"), unique("redrive")
    cloud.create(name, """
        import os, json
        def handler(event, context):
            if not os.path.exists("/mnt/gates/" + json.loads(event)["gate"]):
                raise RuntimeError("not yet")
            return {"done": True}
        """, nas_config=gates_mount(server))
    machine = make(client, {"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Next": "B"},
        "B": {"Type": "Task", "Resource": f"arn:aws:lambda:::function:{name}", "End": True}}})
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps({"gate": gate}))["executionArn"]
    assert finished(client, arn)["status"] == "FAILED"
    (server.gates / gate).touch()
    client.redrive_execution(executionArn=arn)
    done = until(lambda: (lambda f: f if f["status"] == "SUCCEEDED" else None)(client.describe_execution(executionArn=arn)),
                 "it succeeded", 30)
    assert json.loads(done["output"]) == {"done": True} and done["redriveCount"] == 1
    kinds = [event["type"] for event in history(client, arn)]
    assert kinds.count("PassStateEntered") == 1 and "ExecutionRedriven" in kinds
    assert code(lambda: client.redrive_execution(executionArn=arn)) == "ExecutionNotRedrivable"


# --- tokens and activities ---------------------------------------------------------------------------


@pytest.fixture
def activity(client):
    arn = client.create_activity(name=unique("act"))["activityArn"]
    yield arn
    client.delete_activity(activityArn=arn)


def working(client, activity, **more) -> str:
    return make(client, {"StartAt": "A", "States": {"A": {
        "Type": "Task", "Resource": activity, "End": True, **more}}})


def test_an_activity_is_polled(client, activity):
    assert client.create_activity(name=activity.rsplit(":", 1)[1])["activityArn"] == activity, "made once"
    assert client.describe_activity(activityArn=activity)["name"] == activity.rsplit(":", 1)[1]
    assert activity in [a["activityArn"] for page in client.get_paginator("list_activities").paginate()
                        for a in page["activities"]]
    arn = client.start_execution(stateMachineArn=working(client, activity), input='{"n": 1}')["executionArn"]
    task = client.get_activity_task(activityArn=activity, workerName="w1")
    assert json.loads(task["input"]) == {"n": 1}
    client.send_task_heartbeat(taskToken=task["taskToken"])
    client.send_task_success(taskToken=task["taskToken"], output='{"n": 2}')
    assert json.loads(finished(client, arn)["output"]) == {"n": 2}
    kinds = {event["type"]: event for event in history(client, arn)}
    assert kinds["ActivityStarted"]["activityStartedEventDetails"]["workerName"] == "w1"
    assert "ActivityScheduled" in kinds and "ActivitySucceeded" in kinds
    assert code(lambda: client.send_task_success(taskToken=task["taskToken"], output="1")) == "TaskTimedOut"
    assert code(lambda: client.send_task_heartbeat(taskToken="nonsense")) == "InvalidToken"
    assert code(lambda: client.send_task_success(taskToken=task["taskToken"], output="{")) == "InvalidOutput"


def test_a_poller_waits_for_work(client, cloud, activity):
    machine, got = working(client, activity), {}

    def poll():
        got.update(states(cloud).get_activity_task(activityArn=activity))
    poller = threading.Thread(target=poll)
    poller.start()
    arn = client.start_execution(stateMachineArn=machine, input='{"late": 1}')["executionArn"]
    poller.join(timeout=60)
    assert json.loads(got["input"]) == {"late": 1}
    client.send_task_failure(taskToken=got["taskToken"], error="E", cause="C")
    done = finished(client, arn)
    assert (done["status"], done["error"], done["cause"]) == ("FAILED", "E", "C")
    assert code(lambda: client.get_activity_task(activityArn=activity + "x")) == "ActivityDoesNotExist"


def test_a_silent_poller_is_given_up(client, activity):
    machine = working(client, activity, HeartbeatSeconds=1, TimeoutSeconds=30)
    arn = client.start_execution(stateMachineArn=machine)["executionArn"]
    task = client.get_activity_task(activityArn=activity)
    done = finished(client, arn)
    assert (done["status"], done["error"]) == ("FAILED", "States.HeartbeatTimeout"), done
    assert code(lambda: client.send_task_success(taskToken=task["taskToken"], output="{}")) == "TaskTimedOut"


def test_a_token_waits_for_a_report(client, cloud, server):
    from conftest import gates_mount
    name, to = unique("teller"), unique("to")
    cloud.create(name, """
        import json, os
        def handler(event, context):
            asked = json.loads(event)
            path = "/mnt/gates/" + asked["to"]
            open(path + ".part", "w").write(asked["token"])
            os.rename(path + ".part", path)
            return {}
        """, nas_config=gates_mount(server))
    machine = make(client, {"StartAt": "T", "States": {"T": {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "End": True,
        "Parameters": {"FunctionName": name, "Payload": {"token.$": "$$.Task.Token", "to": to}}}}})
    arn = client.start_execution(stateMachineArn=machine)["executionArn"]
    path = server.gates / to
    token = until(lambda: path.exists() and path.read_text(), "the token was told", 30)
    client.send_task_success(taskToken=token, output='{"by": "hand"}')
    assert json.loads(finished(client, arn)["output"]) == {"by": "hand"}


def test_a_child_is_waited_for(client):
    child = make(client)
    parent = make(client, {"StartAt": "C", "States": {"C": {
        "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True,
        "Parameters": {"StateMachineArn": child, "Input": {"word.$": "$.w"}}, "ResultSelector": {"got.$": "$.Output"}}}})
    done = finished(client, client.start_execution(stateMachineArn=parent, input='{"w": "deep"}')["executionArn"])
    assert json.loads(done["output"]) == {"got": {"said": "deep"}}, done


# --- map runs ----------------------------------------------------------------------------------------


def test_a_map_run_is_looked_at_and_changed(client, echo, gate):
    machine = make(client, {"StartAt": "M", "States": {"M": {
        "Type": "Map", "Label": "Each", "MaxConcurrency": 2, "End": True,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "C",
                          "States": {"C": {"Type": "Task", "Resource": f"arn:aws:lambda:::function:{echo}",
                                           "Parameters": {"wait": gate.name, "answer": {"ok": 1}}, "End": True}}}}}})
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps([1, 2, 3, 4]))["executionArn"]
    run = until(lambda: client.list_map_runs(executionArn=arn)["mapRuns"], "the map run started", 30)[0]["mapRunArn"]

    def look():
        return client.describe_map_run(mapRunArn=run)
    found = until(lambda: (lambda r: r if r["itemCounts"]["running"] == 2 else None)(look()), "two run", 30)
    assert (found["status"], found["maxConcurrency"], found["itemCounts"]["total"]) == ("RUNNING", 2, 4)
    assert found["executionArn"] == arn
    client.update_map_run(mapRunArn=run, maxConcurrency=4, toleratedFailurePercentage=12.5, toleratedFailureCount=1)
    found = look()
    assert (found["maxConcurrency"], found["toleratedFailurePercentage"], found["toleratedFailureCount"]) == (4, 12.5, 1)
    children = client.list_executions(mapRunArn=run)["executions"]
    assert children and all(child["mapRunArn"] == run for child in children)
    child = client.describe_execution(executionArn=children[0]["executionArn"])
    assert child["status"] == "RUNNING"
    gate.open()
    done = finished(client, arn)
    assert json.loads(done["output"]) == [{"ok": 1}] * 4
    assert (look()["status"], look()["itemCounts"]["succeeded"]) == ("SUCCEEDED", 4)
    started = [event for event in history(client, arn) if event["type"] == "MapRunStarted"]
    assert started[0]["mapRunStartedEventDetails"]["mapRunArn"] == run


# --- the wire ----------------------------------------------------------------------------------------


def raw(server, target, body="{}", **headers):
    connection = http.client.HTTPConnection(server.address, timeout=30)
    connection.request("POST", "/", body, {"x-amz-target": target, "content-type": "application/x-amz-json-1.0"} | headers)
    answer = connection.getresponse()
    found = (answer.status, json.loads(answer.read()), {k.lower(): v for k, v in answer.getheaders()})
    connection.close()
    return found


def test_signatures_are_checked(cloud, server):
    wrong = states(Cloud(server, (cloud.key_id, "wrong")))
    assert code(lambda: wrong.list_state_machines()) == "InvalidSignatureException"
    nobody = states(Cloud(server, ("nobody", "x")))
    assert code(lambda: nobody.list_state_machines()) == "UnrecognizedClientException"
    status, body, headers = raw(server, "AWSStepFunctions.ListStateMachines")
    assert (status, body["__type"]) == (400, "MissingAuthenticationTokenException")
    assert headers["content-type"] == "application/x-amz-json-1.0" and headers["x-amzn-requestid"]


def test_bearer_tokens_are_accepted(cloud, server):
    token = cloud.v1("POST", "/keys", {"role": "developer", "kind": "token"})["token"]
    status, body, _ = raw(server, "AWSStepFunctions.ListStateMachines", authorization=f"Bearer {token}")
    assert status == 200 and "stateMachines" in body
    for target, kind in (("AWSStepFunctions.Nonsense", "UnknownOperationException"), ("Other.X", "UnknownOperationException")):
        status, body, _ = raw(server, target, authorization=f"Bearer {token}")
        assert (status, body["__type"]) == (400, kind)
    for bad in ("[", "[]", '{"stateMachineArn": 5}'):
        status, body, _ = raw(server, "AWSStepFunctions.DescribeStateMachine", bad, authorization=f"Bearer {token}")
        assert (status, body["__type"]) == (400, "SerializationException"), bad
    status, body, _ = raw(server, "AWSStepFunctions.DescribeStateMachine", authorization=f"Bearer {token}")
    assert (status, body["__type"]) == (400, "ValidationException")


def test_a_temporary_key_shows_its_token(cloud, server):
    made = cloud.v1("POST", "/keys:temporary", {"expiresIn": "15m"})
    temporary = Cloud(server, (made["id"], made["secret"]), token=made["securityToken"])
    assert "stateMachines" in states(temporary).list_state_machines(maxResults=1)
    bare = states(Cloud(server, (made["id"], made["secret"])))
    assert code(lambda: bare.list_state_machines()) == "UnrecognizedClientException"


def test_roles_and_accounts_are_kept_apart(cloud, client):
    machine = make(client)
    viewer = states(cloud.as_role("viewer"))
    assert viewer.describe_state_machine(stateMachineArn=machine)["stateMachineArn"] == machine
    assert code(lambda: viewer.start_execution(stateMachineArn=machine)) == "AccessDeniedException"
    stranger = states(cloud.as_role("admin", account=cloud.account(unique("sfn"))))
    assert code(lambda: stranger.describe_state_machine(stateMachineArn=machine)) == "AccessDeniedException"
    assert machine not in [m["stateMachineArn"] for m in stranger.list_state_machines()["stateMachines"]]


def test_one_namespace_for_both_apis(cloud, client):
    """What one API makes, the other reads and starts."""
    sdk = workflow(cloud)
    name = unique("both")
    machine = make(client, name=name)
    found = sdk.describe_flow(fnf.DescribeFlowRequest(name=name)).body
    assert (found.type, json.loads(found.definition)) == ("ASL", PASS)
    started = sdk.start_execution(fnf.StartExecutionRequest(
        flow_name=name, execution_name="x", input='{"word": "from fnf"}')).body
    done = finished(client, machine.replace(":stateMachine:", ":execution:") + ":x")
    assert started.name == "x" and json.loads(done["output"]) == {"said": "from fnf"}
    flow = create_flow(sdk, "version: v1\ntype: flow\nsteps: [{type: pass, name: p}]\n")
    arn = machine.rsplit(":", 1)[0] + ":" + flow
    assert "steps" in client.describe_state_machine(stateMachineArn=arn)["definition"]
    run = client.start_execution(stateMachineArn=arn)["executionArn"]
    assert finished(client, run)["status"] == "SUCCEEDED"
    assert [event["type"] for event in history(client, run)][0] == "ExecutionStarted"


def test_many_executions_of_one_connection(client):
    """Nothing of one is in another."""
    machine = make(client)
    arns = [client.start_execution(stateMachineArn=machine, input=json.dumps({"word": n}))["executionArn"]
            for n in range(50)]
    for n, arn in enumerate(arns):
        assert json.loads(finished(client, arn)["output"]) == {"said": n}


# --- trials ------------------------------------------------------------------------------------------


def tried(client, state, **more):
    found = client.test_state(definition=json.dumps(state), roleArn=ROLE, **more)
    found.pop("ResponseMetadata")
    return found


def test_a_state_is_tried_on_its_own(client):
    shape = {"Type": "Pass", "Parameters": {"b.$": "$.a"}, "Next": "Then"}
    assert tried(client, shape, input='{"a": 1}') == {"status": "SUCCEEDED", "output": '{"b":1}', "nextState": "Then"}
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericGreaterThan": 3, "Next": "Big"}], "Default": "Small"}
    assert tried(client, choice, input='{"n": 4}')["nextState"] == "Big"
    assert tried(client, choice, input='{"n": 1}')["nextState"] == "Small"
    wait = {"Type": "Wait", "Seconds": 100000, "End": True}
    assert tried(client, wait, input="{}")["status"] == "SUCCEEDED"
    jsonata = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $v + $states.input.n %}", "End": True}
    assert tried(client, jsonata, input='{"n": 2}', variables='{"v": 40}')["output"] == "42"
    assert tried(client, {"Type": "Fail", "Error": "E", "Cause": "C"}) == {"status": "FAILED", "error": "E", "cause": "C"}


def test_a_call_is_mocked(client):
    task = {"Type": "Task", "Resource": "arn:aws:lambda:::function:f", "ResultPath": "$.got", "Next": "Then",
            "Retry": [{"ErrorEquals": ["Busy"], "MaxAttempts": 2}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Oops"}]}
    good = tried(client, task, input='{"a": 1}', mock={"result": '{"r": 2}'}, inspectionLevel="DEBUG")
    assert (good["status"], good["nextState"], json.loads(good["output"])) == (
        "SUCCEEDED", "Then", {"a": 1, "got": {"r": 2}})
    assert json.loads(good["inspectionData"]["result"]) == {"r": 2}
    caught = tried(client, task, input='{"a": 1}', mock={"errorOutput": {"error": "Bad", "cause": "why"}})
    assert (caught["status"], caught["nextState"], caught["error"]) == ("CAUGHT_ERROR", "Oops", "Bad")
    assert json.loads(caught["output"]) == {"a": 1, "error": {"Error": "Bad", "Cause": "why"}}
    busy = {"errorOutput": {"error": "Busy", "cause": ""}}
    assert tried(client, task, input="{}", mock=busy)["status"] == "RETRIABLE"
    spent = tried(client, task, input="{}", mock=busy, stateConfiguration={"retrierRetryCount": 2})
    assert (spent["status"], spent["nextState"]) == ("CAUGHT_ERROR", "Oops")
    assert code(lambda: tried(client, task, input="{}")) == "ValidationException"
    assert code(lambda: tried(client, {"Type": "Task"}, input="{}")) == "InvalidDefinition"
    machine = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": {"x": 1}, "Next": "A"}}}
    loop = client.test_state(definition=json.dumps(machine), stateName="A", roleArn=ROLE)
    assert (loop["status"], loop["nextState"]) == ("SUCCEEDED", "A")
