"""The workflow API through its official SDK: all 29 operations, and what clients notice beyond them."""

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
import uuid
from urllib.parse import quote, urlencode

import pytest
from alibabacloud_fnf20190315 import models as fnf

from cloud import Cloud, refusal, unique
from flows import create_flow, describe, ended, events, ran, start, workflow
from server import until

PASS = """version: v1
type: flow
steps:
  - type: pass
    name: hello
    outputMappings: [{target: said, source: $input.word}, {target: fixed, source: 7}]
"""
WAITS = """version: v1
type: flow
steps:
  - {type: wait, name: long, duration: 3600}
"""


@pytest.fixture(scope="module")
def client(cloud):
    return workflow(cloud)


# --- flows -----------------------------------------------------------------------------------------


def test_a_flow_lives(client):
    name = unique("life").replace("-", "_")
    environment = fnf.CreateFlowRequestEnvironment(variables=[
        fnf.CreateFlowRequestEnvironmentVariables(name="A", value="b")])
    made = client.create_flow(fnf.CreateFlowRequest(
        name=name, definition=PASS, description="first", type="FDL", role_arn="acs:ram::1:role/x",
        execution_mode="Standard", environment=environment)).body
    assert (made.name, made.type, made.description, made.definition) == (name, "FDL", "first", PASS)
    assert made.request_id and made.id and made.created_time.endswith("Z") and "." in made.created_time
    found = client.describe_flow(fnf.DescribeFlowRequest(name=name)).body
    assert (found.id, found.role_arn, found.execution_mode) == (made.id, "acs:ram::1:role/x", "Standard")
    assert found.environment.variables[0].to_map() == {"Name": "A", "Value": "b"}
    changed = client.update_flow(fnf.UpdateFlowRequest(name=name, definition=WAITS, description="second")).body
    assert (changed.description, changed.definition, changed.id) == ("second", WAITS, made.id)
    assert changed.last_modified_time >= made.last_modified_time and changed.role_arn == "acs:ram::1:role/x"
    client.delete_flow(fnf.DeleteFlowRequest(name=name))
    gone = refusal(lambda: client.describe_flow(fnf.DescribeFlowRequest(name=name)))
    assert (gone.status_code, gone.code) == (404, "FlowNotExists")
    again = create_flow(client, PASS, name)
    assert client.describe_flow(fnf.DescribeFlowRequest(name=again)).body.id != made.id


def test_a_name_is_taken_once_and_is_plain(client):
    name = create_flow(client, PASS)
    taken = refusal(lambda: create_flow(client, PASS, name))
    assert (taken.status_code, taken.code) == (409, "FlowAlreadyExists")
    for bad in ("1a", "a b", "a/b", "x" * 129):
        error = refusal(lambda bad=bad: create_flow(client, PASS, bad))
        assert (error.status_code, error.code) == (400, "InvalidArgument"), bad


def test_a_definition_is_checked_when_it_is_made(client):
    bad = "version: v1\ntype: flow\nsteps:\n  - {type: task, name: t, resourceArn: 'acs:fc:::functions/f', catch: [{errors: [FnF.ALL], goto: nowhere}]}\n"
    error = refusal(lambda: create_flow(client, bad))
    assert (error.status_code, error.code) == (400, "InvalidArgument") and "nowhere" in error.message, error
    error = refusal(lambda: create_flow(client, "just: words"))
    assert error.code == "InvalidArgument"


def test_flows_are_listed_in_pages(client):
    names = {create_flow(client, PASS, f"page_{unique('x').replace('-', '_')}_{n}") for n in range(5)}
    found, token, pages = [], None, 0
    while True:
        body = client.list_flows(fnf.ListFlowsRequest(limit=2, next_token=token)).body
        assert len(body.flows) <= 2
        found += [flow.name for flow in body.flows]
        token, pages = body.next_token, pages + 1
        if not token:
            break
    assert names <= set(found) and len(found) == len(set(found)) and pages >= 3
    error = refusal(lambda: client.list_flows(fnf.ListFlowsRequest(limit=1000)))
    assert error.code == "InvalidArgument"


def test_versions_and_aliases(client):
    name = create_flow(client, PASS)
    one = client.publish_flow_version(fnf.PublishFlowVersionRequest(flow_name=name, description="one")).body
    assert (one.flow_name, one.version, one.description) == (name, "1", "one")
    other = PASS.replace("source: 7", "source: 8")
    client.update_flow(fnf.UpdateFlowRequest(name=name, definition=other))
    client.publish_flow_version(fnf.PublishFlowVersionRequest(flow_name=name))
    listed = client.list_flow_versions(fnf.ListFlowVersionsRequest(flow_name=name)).body.flow_versions
    assert sorted(version.version for version in listed) == ["1", "2"]
    described = client.describe_flow(fnf.DescribeFlowRequest(name=name, flow_version="1")).body
    assert described.definition == PASS
    route = fnf.CreateFlowAliasRequestRoutingConfigurations(version="1", weight=100)
    made = client.create_flow_alias(fnf.CreateFlowAliasRequest(
        flow_name=name, name="prod", routing_configurations=[route], description="d")).body
    assert (made.flow_name, made.name) == (name, "prod")
    assert made.routing_configurations[0].weight == 100
    assert json.loads(ran(client, name, {"word": "w"}, qualifier="prod").output) == {"said": "w", "fixed": 7}
    assert json.loads(ran(client, name, {"word": "w"}, qualifier="2").output)["fixed"] == 8
    assert json.loads(ran(client, name, {"word": "w"}).output)["fixed"] == 8
    shares = [fnf.UpdateFlowAliasRequestRoutingConfigurations(version="1", weight=20),
              fnf.UpdateFlowAliasRequestRoutingConfigurations(version="2", weight=80)]
    client.update_flow_alias(fnf.UpdateFlowAliasRequest(flow_name=name, name="prod", routing_configurations=shares))
    found = client.describe_flow_alias(fnf.DescribeFlowAliasRequest(flow_name=name, name="prod")).body
    alias = found.to_map().get("Alias") or found.to_map()
    assert sorted(route["Weight"] for route in alias["RoutingConfigurations"]) == [20, 80]
    aliases = client.list_flow_aliases(fnf.ListFlowAliasesRequest(flow_name=name)).body
    [only] = aliases.to_map()["Aliases"]
    assert only["Name"] == "prod" and {route["Weight"] for route in only["RoutingConfigurations"]} == {"20", "80"}
    in_use = refusal(lambda: client.delete_flow_version(fnf.DeleteFlowVersionRequest(flow_name=name, flow_version="1")))
    assert in_use.code == "InvalidArgument"
    client.delete_flow_alias(fnf.DeleteFlowAliasRequest(flow_name=name, name="prod"))
    client.delete_flow_version(fnf.DeleteFlowVersionRequest(flow_name=name, flow_version="1"))
    assert [v.version for v in client.list_flow_versions(
        fnf.ListFlowVersionsRequest(flow_name=name)).body.flow_versions] == ["2"]
    error = refusal(lambda: start(client, name, qualifier="prod"))
    assert error.status_code == 404


# --- executions ------------------------------------------------------------------------------------


def test_an_execution_runs(client):
    name = create_flow(client, PASS)
    execution = start(client, name, {"word": "hi"}, "e1")
    assert execution == "e1"
    done = ended(client, name, execution)
    assert (done.status, done.flow_name, done.name) == ("Succeeded", name, "e1")
    assert json.loads(done.input) == {"word": "hi"} and json.loads(done.output) == {"said": "hi", "fixed": 7}
    assert done.flow_definition == PASS and done.started_time <= done.stopped_time
    made = start(client, name, {"word": "x"})
    assert made and made != "e1"


def test_a_name_is_one_execution(client):
    name = create_flow(client, WAITS)
    assert start(client, name, {"n": 1}, "same") == start(client, name, {"n": 2}, "same") == "same"
    assert json.loads(describe(client, name, "same").input) == {"n": 1}, "the one that runs is the answer"
    client.stop_execution(fnf.StopExecutionRequest(flow_name=name, execution_name="same"))
    error = refusal(lambda: start(client, name, {"n": 1}, "same"))
    assert (error.status_code, error.code) == (400, "ExecutionAlreadyExists")


def test_an_input_is_an_object(client):
    name = create_flow(client, PASS)
    for bad in ("[1]", "7", "{"):
        error = refusal(lambda bad=bad: client.start_execution(fnf.StartExecutionRequest(flow_name=name, input=bad)))
        assert (error.status_code, error.code) == (400, "InvalidArgument"), bad


def test_stopping(client):
    name = create_flow(client, WAITS)
    execution = start(client, name)
    stopped = client.stop_execution(fnf.StopExecutionRequest(
        flow_name=name, execution_name=execution, error="Mine", cause="because")).body
    assert stopped.status == "Stopped"
    last = events(client, name, execution)[-1]
    assert last.type == "ExecutionStopped" and json.loads(last.event_detail) == {"error": "Mine", "cause": "because"}
    error = refusal(lambda: client.stop_execution(fnf.StopExecutionRequest(flow_name=name, execution_name=execution)))
    assert (error.status_code, error.code) == (400, "ExecutionAlreadyCompleted")
    error = refusal(lambda: client.stop_execution(fnf.StopExecutionRequest(flow_name=name, execution_name="none")))
    assert (error.status_code, error.code) == (404, "ExecutionNotExists")
    error = refusal(lambda: client.stop_execution(fnf.StopExecutionRequest(
        flow_name=name, execution_name=execution, error="x" * 129)))
    assert error.code == "InvalidArgument"


def test_the_long_poll_waits_for_the_end(client):
    name = create_flow(client, "version: v1\ntype: flow\nsteps:\n  - {type: wait, name: w, duration: 1}\n")
    execution = start(client, name)
    assert describe(client, name, execution).status == "Running"
    begun = time.monotonic()
    assert describe(client, name, execution, wait=30).status == "Succeeded"
    assert time.monotonic() - begun < 20
    waits = create_flow(client, WAITS)
    execution = start(client, waits)
    begun = time.monotonic()
    assert describe(client, waits, execution, wait=1).status == "Running"
    assert 0.9 < time.monotonic() - begun < 10
    error = refusal(lambda: describe(client, waits, execution, wait=61))
    assert error.code == "InvalidArgument"


def test_executions_are_listed(client):
    name = create_flow(client, PASS)
    for n in range(5):
        start(client, name, {"word": str(n)}, f"n{n}")
    for n in range(5):
        ended(client, name, f"n{n}")

    def listed(**asked):
        return client.list_executions(fnf.ListExecutionsRequest(flow_name=name, **asked)).body
    assert [run.name for run in listed().executions] == ["n4", "n3", "n2", "n1", "n0"], "newest first"
    page = listed(limit=2)
    rest = listed(limit=99, next_token=page.next_token)
    assert [run.name for run in page.executions + rest.executions] == ["n4", "n3", "n2", "n1", "n0"]
    assert not rest.next_token
    assert [run.name for run in listed(execution_name_prefix="n3").executions] == ["n3"]
    assert len(listed(status="Succeeded").executions) == 5 and not listed(status="Failed").executions
    [short] = listed(metadata_only=True, execution_name_prefix="n0").executions
    assert not short.flow_definition and not short.input and not short.output and short.status == "Succeeded"
    [whole] = listed(metadata_only=False, execution_name_prefix="n0").executions
    assert whole.flow_definition == PASS and json.loads(whole.input) == {"word": "0"}
    assert not listed(started_time_begin="2099-01-01T00:00:00Z").executions
    assert len(listed(started_time_end="2099-01-01T00:00:00Z").executions) == 5
    assert refusal(lambda: listed(status="Asleep")).code == "InvalidArgument"


def test_the_history_is_gapless_and_paged(client):
    name = create_flow(client, PASS)
    execution = ran(client, name, {"word": "w"}).name
    whole = events(client, name, execution)
    assert [event.event_id for event in whole] == list(range(1, len(whole) + 1))
    assert (whole[0].type, whole[0].schedule_event_id, whole[0].step_name or "") == ("ExecutionStarted", 0, "")
    assert (whole[1].type, whole[1].schedule_event_id, whole[1].step_name) == ("StepEntered", 1, "hello")
    assert whole[-1].type == "ExecutionSucceeded"
    assert all(event.schedule_event_id < event.event_id for event in whole)
    assert json.loads(whole[0].event_detail)["input"] == {"word": "w"}
    assert [e.to_map() for e in events(client, name, execution, page=2)] == [e.to_map() for e in whole]
    first = client.get_execution_history(fnf.GetExecutionHistoryRequest(
        flow_name=name, execution_name=execution, limit=2)).body
    assert first.next_token == "3", "the token is the id of the next event"


def test_an_express_flow_is_started_and_awaited(client):
    name = create_flow(client, PASS, execution_mode="Express")
    done = client.start_sync_execution(fnf.StartSyncExecutionRequest(
        flow_name=name, execution_name="again", input='{"word": "x"}')).body
    assert done.status == "Succeeded" and json.loads(done.output) == {"said": "x", "fixed": 7}
    assert done.name.startswith("again:") and uuid.UUID(done.name.split(":")[1])
    other = client.start_sync_execution(fnf.StartSyncExecutionRequest(
        flow_name=name, execution_name="again", input="{}")).body
    assert other.name != done.name and other.status == "Failed" and other.error_code
    error = refusal(lambda: start(client, name))
    assert (error.status_code, error.code) == (400, "ActionNotSupported")
    standard = create_flow(client, PASS)
    error = refusal(lambda: client.start_sync_execution(fnf.StartSyncExecutionRequest(flow_name=standard)))
    assert (error.status_code, error.code) == (400, "ActionNotSupported")


def test_a_running_execution_keeps_its_definition(client):
    name = create_flow(client, "version: v1\ntype: flow\nsteps:\n  - {type: wait, name: w, duration: 1}\n"
                               "  - {type: pass, name: p, outputMappings: [{target: v, source: 1}]}\n")
    execution = start(client, name)
    client.update_flow(fnf.UpdateFlowRequest(name=name, definition=PASS))
    done = ended(client, name, execution)
    assert json.loads(done.output) == {"v": 1} and "duration: 1" in done.flow_definition


# --- functions and tokens --------------------------------------------------------------------------


def test_a_function_is_a_step(client, cloud, echo):
    name = create_flow(client, f"""
        version: v1
        type: flow
        steps:
          - type: task
            name: call
            resourceArn: acs:fc:::functions/{echo}
            inputMappings: [{{target: answer, source: $input.give}}]
            outputMappings: [{{target: got, source: $local.n}}]
        """)
    done = ran(client, name, {"give": {"n": 5}})
    assert done.status == "Succeeded" and json.loads(done.output) == {"got": 5}, done
    kinds = [event.type for event in events(client, name, done.name)]
    for kind in ("TaskScheduled", "TaskStarted", "TaskSucceeded", "StepSucceeded", "StepExited"):
        assert kind in kinds, kinds


def test_an_error_is_caught(client, echo):
    name = create_flow(client, f"""
        version: v1
        type: flow
        steps:
          - type: task
            name: call
            resourceArn: acs:fc:::functions/{echo}
            inputMappings: [{{target: raise, source: $input.what}}]
            retry: [{{errors: [ValueError], intervalSeconds: 1, maxAttempts: 1, multiplier: 1}}]
            catch: [{{errors: [ValueError], goto: after}}]
            errorMappings: [{{target: seen, source: $local.error}}]
          - {{type: pass, name: skipped}}
          - type: pass
            name: after
            outputMappings: [{{target: seen, source: $input.seen}}]
        """)
    done = ran(client, name, {"what": "boom"})
    assert done.status == "Succeeded" and json.loads(done.output)["seen"] == "ValueError", done
    entered = [e.step_name for e in events(client, name, done.name) if e.type == "StepEntered"]
    assert entered == ["call", "after"]
    assert [e.type for e in events(client, name, done.name)].count("TaskScheduled") == 2, "one retry"


@pytest.fixture(scope="module")
def listener(cloud, server):
    """A function that writes the token it hears to the shared directory, and a reader for it."""
    from conftest import gates_mount
    name = unique("listener")
    cloud.create(name, """
        import json
        def handler(event, context):
            asked = json.loads(event)
            path = "/mnt/gates/" + asked["to"]
            open(path + ".part", "w").write(asked["token"])
            import os
            os.rename(path + ".part", path)
            return {}
        """, nas_config=gates_mount(server), timeout=60)
    return name


def token_flow(function: str) -> str:
    return f"""
    version: v1
    type: flow
    steps:
      - type: task
        name: ask
        resourceArn: acs:fc:::functions/{function}
        pattern: waitForCallback
        inputMappings:
          - {{target: token, source: $context.task.token}}
          - {{target: to, source: $input.to}}
        outputMappings: [{{target: answer, source: $local.answer}}]
    """


def heard(server, to: str) -> str:
    path = server.gates / to
    return until(lambda: path.exists() and path.read_text(), f"{to} was heard", 30)


def test_a_token_is_reported_once(client, server, listener):
    name = create_flow(client, token_flow(listener))
    to = unique("to")
    execution = start(client, name, {"to": to})
    token = heard(server, to)
    assert describe(client, name, execution).status == "Running"
    reported = client.report_task_succeeded(fnf.ReportTaskSucceededRequest(
        task_token=token, output='{"answer": "yes"}')).body
    done = ended(client, name, execution)
    assert json.loads(done.output) == {"answer": "yes"}
    [event] = [e for e in events(client, name, execution) if e.event_id == reported.event_id]
    assert event.type == "TaskSucceeded"
    again = refusal(lambda: client.report_task_succeeded(fnf.ReportTaskSucceededRequest(task_token=token, output="{}")))
    assert (again.status_code, again.code) == (400, "TaskAlreadyCompleted")
    bad = refusal(lambda: client.report_task_failed(fnf.ReportTaskFailedRequest(task_token="none", error="E")))
    assert (bad.status_code, bad.code) == (400, "InvalidTaskToken")


def test_a_report_may_be_a_failure(client, server, listener):
    name = create_flow(client, token_flow(listener))
    to = unique("to")
    execution = start(client, name, {"to": to})
    token = heard(server, to)
    not_json = refusal(lambda: client.report_task_succeeded(
        fnf.ReportTaskSucceededRequest(task_token=token, output="[1]")))
    assert not_json.code == "InvalidArgument"
    client.report_task_failed(fnf.ReportTaskFailedRequest(task_token=token, error="Denied", cause="by a person"))
    done = ended(client, name, execution)
    assert done.status == "Failed"
    last = json.loads(events(client, name, execution)[-1].event_detail)
    assert last == {"error": "Denied", "cause": "by a person"}


def test_a_child_answers_its_parent_by_the_token(client, server, listener):
    """CallbackFnFTaskToken: the service itself reports when the started execution ends."""
    parent = create_flow(client, token_flow(listener))
    child = create_flow(client, PASS)
    to = unique("to")
    execution = start(client, parent, {"to": to})
    token = heard(server, to)
    answers = create_flow(client, "version: v1\ntype: flow\nsteps:\n  - {type: pass, name: p, outputMappings: "
                                  "[{target: answer, source: $input.word}]}\n")
    assert child
    start(client, answers, {"word": "from below"}, callback_fn_ftask_token=token)
    done = ended(client, parent, execution)
    assert done.status == "Succeeded" and json.loads(done.output) == {"answer": "from below"}, done


def test_a_flow_calls_a_flow(client):
    child = create_flow(client, PASS)
    parent = create_flow(client, f"""
        version: v1
        type: flow
        steps:
          - type: task
            name: below
            resourceArn: acs:fnf:::flow/{child}
            pattern: sync
            serviceParams: {{Input: $}}
            outputMappings: [{{target: got, source: $local.said}}]
        """)
    done = ran(client, parent, {"word": "deep"})
    assert done.status == "Succeeded" and json.loads(done.output) == {"got": "deep"}, done


def test_cloudflow(client):
    name = unique("cf").replace("-", "_")
    create_flow(client, f"""
        Type: StateMachine
        Name: {name}
        SpecVersion: v1
        StartAt: Choose
        States:
          - Type: Choice
            Name: Choose
            Branches: [{{Condition: '$Input.n > 3', Next: Big}}]
            Default: Small
          - {{Type: Pass, Name: Big, OutputConstructor: {{size: big}}, End: true}}
          - {{Type: Pass, Name: Small, OutputConstructor: {{size: small}}, End: true}}
        """, name)
    assert json.loads(ran(client, name, {"n": 4}).output) == {"size": "big"}
    assert json.loads(ran(client, name, {"n": 1}).output) == {"size": "small"}
    assert client.describe_flow(fnf.DescribeFlowRequest(name=name)).body.type == "FDL"


# --- schedules and map runs ------------------------------------------------------------------------


def test_a_schedule_fires(client):
    name = create_flow(client, "version: v1\ntype: flow\nsteps:\n  - {type: pass, name: p, outputMappings: "
                               "[{target: got, source: $input.payload.k}]}\n")
    made = client.create_schedule(fnf.CreateScheduleRequest(
        flow_name=name, schedule_name="often", cron_expression="@every 1s", payload='{"k": "v"}', enable=True,
        description="d")).body
    assert (made.schedule_name, made.cron_expression, made.enable) == ("often", "@every 1s", True) and made.schedule_id
    run = until(lambda: client.list_executions(fnf.ListExecutionsRequest(
        flow_name=name, status="Succeeded")).body.executions, "it fired", 30)[0]
    assert json.loads(run.output) == {"got": "v"} and json.loads(run.input)["payload"] == {"k": "v"}
    off = client.update_schedule(fnf.UpdateScheduleRequest(
        flow_name=name, schedule_name="often", enable=False, cron_expression="30 9 * * * *")).body
    assert (off.enable, off.cron_expression, off.payload) == (False, "30 9 * * * *", '{"k": "v"}')
    found = client.describe_schedule(fnf.DescribeScheduleRequest(flow_name=name, schedule_name="often")).body
    assert found.enable is False and found.schedule_id == made.schedule_id
    listed = client.list_schedules(fnf.ListSchedulesRequest(flow_name=name)).body.schedules
    assert [schedule.schedule_name for schedule in listed] == ["often"]
    taken = refusal(lambda: client.create_schedule(fnf.CreateScheduleRequest(
        flow_name=name, schedule_name="often", cron_expression="@every 1m")))
    assert (taken.status_code, taken.code) == (409, "ScheduleAlreadyExists")
    bad = refusal(lambda: client.create_schedule(fnf.CreateScheduleRequest(
        flow_name=name, schedule_name="bad", cron_expression="whenever")))
    assert (bad.status_code, bad.code) == (400, "InvalidArgument")
    client.delete_schedule(fnf.DeleteScheduleRequest(flow_name=name, schedule_name="often"))
    gone = refusal(lambda: client.describe_schedule(fnf.DescribeScheduleRequest(flow_name=name, schedule_name="often")))
    assert (gone.status_code, gone.code) == (404, "ScheduleNotExists")


def test_a_distributed_map_is_looked_at_and_changed(client, cloud, echo, gate):
    name = unique("map").replace("-", "_")
    create_flow(client, f"""
        Type: StateMachine
        Name: {name}
        SpecVersion: v1
        StartAt: Each
        States:
          - Type: Map
            Name: Each
            ItemsPath: $Input.items
            MaxConcurrency: 2
            Processor:
              ProcessorConfig: {{ExecutionMode: Standard}}
              StartAt: Call
              States:
                - Type: Task
                  Name: Call
                  Action: FC:InvokeFunction
                  TaskMode: RequestComplete
                  Parameters:
                    resourceArn: acs:fc:::functions/{echo}
                    body: {{wait: {gate.name}, answer: {{ok: 1}}}}
                  End: true
            End: true
        """, name)
    execution = start(client, name, {"items": [{"n": n} for n in range(4)]})

    def map_run():
        return next((json.loads(e.event_detail)["MapRunName"] for e in events(client, name, execution)
                     if e.type == "MapRunStarted"), None)
    run = until(map_run, "the map run started", 30)
    found = until(lambda: (lambda r: r if r.item_counts.running == 2 else None)(client.describe_map_run(
        fnf.DescribeMapRunRequest(flow_name=name, execution_name=execution, map_run_name=run)).body), "two run", 30)
    assert (found.status, found.concurrency, found.item_counts.total) == ("Running", 2, 4)
    changed = client.update_map_run(fnf.UpdateMapRunRequest(
        flow_name=name, execution_name=execution, map_run_name=run, concurrency=4, tolerated_failed_percentage=25.5)).body
    assert changed.concurrency == 4 and abs(changed.tolerated_failed_percentage - 25.5) < 1e-6
    children = client.list_executions(fnf.ListExecutionsRequest(flow_name=name, map_run_name=run)).body.executions
    assert children
    gate.open()
    assert ended(client, name, execution).status == "Succeeded"
    done = client.describe_map_run(fnf.DescribeMapRunRequest(
        flow_name=name, execution_name=execution, map_run_name=run)).body
    assert (done.status, done.item_counts.succeed, done.item_counts.failed) == ("Succeeded", 4, 0)


def test_regions(client, server):
    [region] = client.describe_regions(fnf.DescribeRegionsRequest(accept_language="en-US")).body.regions.region
    assert region.region_id and server.address in region.region_endpoint


# --- the wire --------------------------------------------------------------------------------------


def signed(cloud, method, params, form=None, *, secret=None, at=None, nonce=None) -> tuple[str, str]:
    """Query and form of a V1 request, written down from the description."""
    system = {"Format": "json", "Version": "2019-03-15", "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
              "SignatureNonce": nonce or uuid.uuid4().hex, "AccessKeyId": cloud.key_id,
              "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at or time.time()))}
    query = system | params

    def encode(text):
        return quote(str(text), safe="-_.~")
    pairs = "&".join(f"{encode(k)}={encode(v)}" for k, v in sorted((query | (form or {})).items()))
    text = f"{method}&%2F&{encode(pairs)}"
    key = ((secret or cloud.secret) + "&").encode()
    query["Signature"] = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha1).digest()).decode()
    return urlencode(query), urlencode(form or {})


def send(cloud, method, query, form="", headers=None) -> tuple[int, dict, dict]:
    connection = http.client.HTTPConnection(cloud.server.address, timeout=30)
    head = {"content-type": "application/x-www-form-urlencoded"} if form else {}
    connection.request(method, f"/?{query}", form or None, head | (headers or {}))
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body, {k.lower(): v for k, v in answer.getheaders()}


def test_errors_have_their_form(cloud):
    status, body, _ = send(cloud, "GET", signed(cloud, "GET", {"Action": "DescribeFlow", "Name": "nobody"})[0])
    assert status == 404 and set(body) == {"Code", "Message", "RequestId", "HostId"}
    assert body["Code"] == "FlowNotExists" and body["HostId"] == cloud.server.address
    query, form = signed(cloud, "POST", {}, {"Name": "nobody"})
    assert send(cloud, "POST", query, form)[1]["Code"] == "ActionNotSupported"
    for params, code in (({"Action": "Nonsense"}, "ActionNotSupported"),
                         ({"Action": "DescribeFlow"}, "MissingRequiredParams"),
                         ({"Action": "ListFlows", "Version": "2020-01-01"}, "APIVersionNotSupported"),
                         ({"Action": "ListFlows", "Limit": "many"}, "InvalidArgument")):
        status, body, _ = send(cloud, "GET", signed(cloud, "GET", params)[0])
        assert (status, body["Code"]) == (400, code), body


def test_a_parameter_may_stand_in_either_place(cloud):
    name = unique("place").replace("-", "_")
    form = {"Name": name, "Definition": PASS, "Description": "a+b &c", "Type": "FDL"}
    query, sent = signed(cloud, "POST", {"Action": "CreateFlow"}, form)
    status, body, _ = send(cloud, "POST", query, sent)
    assert status == 200 and body["Description"] == "a+b &c", body
    status, body, _ = send(cloud, "POST", signed(cloud, "POST", {"Action": "DescribeFlow", "Name": name})[0])
    assert status == 200 and body["Definition"] == PASS
    query, sent = signed(cloud, "POST", {}, {"Action": "ListExecutions", "FlowName": name, "MetadataOnly": "True"})
    assert send(cloud, "POST", query, sent)[0] == 200
    status, body, _ = send(cloud, "GET", signed(cloud, "GET", {"Action": "ListExecutions", "FlowName": name,
                                                               "MetadataOnly": "maybe"})[0])
    assert (status, body["Code"]) == (400, "InvalidArgument")


def test_a_chosen_request_id_is_echoed(cloud):
    query = signed(cloud, "GET", {"Action": "ListFlows", "RequestId": "my-own-id"})[0]
    status, body, headers = send(cloud, "GET", query)
    assert status == 200 and body["RequestId"] == "my-own-id" == headers["x-acs-request-id"]
    query = signed(cloud, "GET", {"Action": "ListFlows", "RequestId": "no good id"})[0]
    assert send(cloud, "GET", query)[1]["RequestId"] != "no good id"


def test_signatures_are_checked(cloud):
    params = {"Action": "ListFlows"}
    status, body, _ = send(cloud, "GET", signed(cloud, "GET", params, secret="wrong")[0])
    assert (status, body["Code"]) == (403, "SignatureNotMatch")
    status, body, _ = send(cloud, "GET", signed(cloud, "GET", params, at=time.time() - 1000)[0])
    assert (status, body["Code"]) == (403, "RequestTimeTooSkewed")
    status, body, _ = send(cloud, "GET", signed(cloud, "GET", params)[0].replace(cloud.key_id, "nobody"))
    assert (status, body["Code"]) == (403, "InvalidAccessKeyID")
    status, body, _ = send(cloud, "GET", urlencode(params))
    assert (status, body["Code"]) == (400, "MissingRequiredParams"), body
    query = signed(cloud, "GET", params)[0]
    assert send(cloud, "GET", query)[0] == 200 and send(cloud, "GET", query)[0] == 200, "reads may be repeated"
    query = signed(cloud, "GET", params)[0]
    assert send(cloud, "GET", query + "&Limit=5")[1]["Code"] == "SignatureNotMatch"
    assert send(cloud, "GET", query + "&Action=DeleteFlow")[0] == 400


def test_a_mutation_is_not_replayed(cloud, client):
    name = create_flow(client, WAITS)
    query, form = signed(cloud, "POST", {"Action": "StartExecution"}, {"FlowName": name})
    assert send(cloud, "POST", query, form)[0] == 200
    status, body, _ = send(cloud, "POST", query, form)
    assert (status, body["Code"]) == (403, "RequestReplayed")
    # A nonce of its own makes it another request.
    query, form = signed(cloud, "POST", {"Action": "StartExecution"}, {"FlowName": name})
    assert send(cloud, "POST", query, form)[0] == 200


def test_both_signatures_and_tokens_are_accepted(cloud):
    version = urlencode({"Version": "2019-03-15"})
    reply = cloud.request("GET", "/", query=f"Action=ListFlows&{version}")
    assert reply.status == 200 and "Flows" in reply.json, reply
    form = urlencode({"FlowName": "nobody"}).encode()
    reply = cloud.request("POST", "/", form, query=version, headers={
        "x-acs-action": "StartExecution", "content-type": "application/x-www-form-urlencoded"})
    assert (reply.status, reply.json["Code"]) == (404, "FlowNotExists"), reply
    token = cloud.v1("POST", "/keys", {"role": "viewer", "kind": "token"})["token"]
    reply = Cloud(cloud.server, bearer=token).request("GET", "/", query=f"Action=ListFlows&{version}")
    assert reply.status == 200 and "Flows" in reply.json, reply


def test_roles_and_accounts_are_kept_apart(cloud, client):
    name = create_flow(client, PASS)
    viewer = workflow(cloud.as_role("viewer"))
    assert viewer.describe_flow(fnf.DescribeFlowRequest(name=name)).body.name == name
    error = refusal(lambda: start(viewer, name))
    assert (error.status_code, error.code) == (403, "AccessDenied")
    error = refusal(lambda: viewer.delete_flow(fnf.DeleteFlowRequest(name=name)))
    assert error.code == "AccessDenied"
    account = cloud.account(unique("flows"))
    stranger = workflow(cloud.as_role("admin", account=account))
    error = refusal(lambda: stranger.describe_flow(fnf.DescribeFlowRequest(name=name)))
    assert (error.status_code, error.code) == (404, "FlowNotExists")


def test_a_temporary_key_shows_its_token(cloud):
    made = cloud.v1("POST", "/keys:temporary", {"expiresIn": "15m"})
    temporary = Cloud(cloud.server, (made["id"], made["secret"]), token=made["securityToken"])
    assert workflow(temporary).list_flows(fnf.ListFlowsRequest(limit=1)).body.request_id
    bare = Cloud(cloud.server, (made["id"], made["secret"]))
    error = refusal(lambda: workflow(bare).list_flows(fnf.ListFlowsRequest()))
    assert error.status_code == 403


def test_a_request_has_its_size(cloud, client):
    error = refusal(lambda: create_flow(client, PASS + "#" * (1 << 20)))
    assert (error.status_code, error.code) == (400, "EntityTooLarge")


def test_many_clients_start_at_once(client, cloud):
    name = create_flow(client, PASS)
    names, lock = [], threading.Lock()

    def work(lane):
        own = workflow(cloud)
        for n in range(10):
            made = start(own, name, {"word": f"{lane}-{n}"}, f"l{lane}_{n}")
            with lock:
                names.append(made)
    lanes = [threading.Thread(target=work, args=(lane,)) for lane in range(4)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    assert len(set(names)) == 40
    for made in names:
        assert ended(client, name, made).status == "Succeeded"
