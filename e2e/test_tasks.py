"""Durable tasks through the SDK: their whole life, as functions.md §3 tells it."""

import json

import pytest

from cloud import fc, refusal, unique
from conftest import gates_mount
from server import until


def statuses(task):
    return [event.status for event in task.events]


def listed(cloud, name, **query):
    return cloud.sdk.list_async_tasks(name, fc.ListAsyncTasksRequest(**query)).body


def test_a_task_from_submit_to_history(cloud, echo):
    before = cloud.now()
    task_id = cloud.submit(echo, {"say": "hello", "answer": {"n": 1}}, unique("t"))
    at_once = cloud.task(echo, task_id)
    assert at_once.task_id == task_id, "read your writes"
    done = cloud.ended(echo, task_id)
    assert statuses(done) == ["Enqueued", "Dequeued", "Running", "Succeeded"]
    assert [event.event_id for event in done.events] == [1, 2, 3, 4]
    times = [event.timestamp for event in done.events]
    assert times == sorted(times) and before - 1 <= times[0] <= cloud.now()
    assert (done.status, done.already_retried_times) == ("Succeeded", 0)
    assert json.loads(done.return_payload) == {"n": 1}
    assert json.loads(done.task_payload)["say"] == "hello"
    assert before - 1 <= done.started_time <= done.end_time <= cloud.now()
    assert done.instance_id and done.request_id and done.function_arn.endswith(f"functions/{echo}")
    native = cloud.native(echo, task_id)
    phases = native["attempts"][0]["phases"]
    assert set(phases) == {"queuedMs", "placedMs", "coldStartMs", "ranMs", "settledMs"}
    assert all(value >= 0 for value in phases.values())
    assert native["attempts"][0]["outcome"] == "ok"


def test_while_it_runs(cloud, echo, gate):
    task_id = cloud.submit(echo, {"wait": gate.name})
    running = cloud.in_state(echo, task_id, "Running")
    assert (running.end_time, running.duration_ms) == (0, 0)
    gate.open()
    assert cloud.ended(echo, task_id).status == "Succeeded"


def test_an_id_is_taken_once(cloud, echo):
    task_id = unique("once")
    cloud.submit(echo, b"1", task_id)
    error = refusal(lambda: cloud.submit(echo, b"2", task_id))
    assert error.status_code == 409 and error.code.endswith("AlreadyExists")
    assert cloud.ended(echo, task_id).return_payload == "1"
    assert refusal(lambda: cloud.submit(echo, b"3", task_id)).status_code == 409, "also when it ended"
    for wrong in ("1digit", "a" * 129, "a b"):
        assert refusal(lambda: cloud.submit(echo, b"", wrong)).code == "InvalidArgument"


def test_plain_async_invocations_are_no_tasks(cloud):
    name = unique("plain")
    cloud.create(name, "def handler(event, context):\n    return 1\n")
    reply = cloud.invoke(name, kind="Async")
    assert reply.status == 202 and "x-fc-async-task-id" not in reply.headers
    assert refusal(lambda: cloud.task(name, "anything")).code == "AsyncTaskNotFound"


def test_failing_tasks_are_retried(cloud):
    name = unique("retried")
    cloud.create(name, """
        def handler(event, context):
            raise ValueError("try number %s" % context.retry_count)
        """, task_mode=True, retries=2)
    policy = cloud.v1("PUT", f"/functions/{name}/retry-policy", {"backoff": 0.05, "backoffCap": 0.1})
    assert policy["retries"] == 2
    done = cloud.ended(name, cloud.submit(name))
    assert (done.status, done.already_retried_times) == ("Failed", 2)
    # Whether a retry is taken from the queue visibly is not said upstream.
    seen = [status for status in statuses(done) if status != "Dequeued"]
    assert seen == ["Enqueued", "Running", "Retrying", "Running", "Retrying", "Running", "Failed"]
    assert json.loads(done.events[3].event_detail)["Error"] == "UnhandledInvocationError"
    assert done.task_error_message
    native = cloud.native(name, done.task_id)
    assert native["error"]["kind"] == "ValueError"
    assert [a["error"]["message"] for a in native["attempts"]] == [f"try number {n}" for n in range(3)]


def test_a_retry_may_succeed(cloud):
    name = unique("second")
    cloud.create(name, """
        def handler(event, context):
            if context.retry_count < 1:
                raise ValueError("not yet")
            return "now"
        """, task_mode=True, retries=3)
    cloud.v1("PUT", f"/functions/{name}/retry-policy", {"backoff": 0.05})
    done = cloud.ended(name, cloud.submit(name))
    assert (done.status, done.already_retried_times, done.return_payload) == ("Succeeded", 1, "now")


def test_errors_that_are_final_and_retries_of_one_task(cloud):
    name = unique("final")
    cloud.create(name, "def handler(event, context):\n    raise KeyError('gone')\n",
                 task_mode=True, retries=5)
    cloud.v1("PUT", f"/functions/{name}/retry-policy", {"backoff": 0.05, "finalErrors": ["KeyError"]})
    assert cloud.ended(name, cloud.submit(name)).already_retried_times == 0
    done = cloud.ended(name, cloud.submit(name, final_errors="Other", retries=1))
    assert (done.status, done.already_retried_times) == ("Failed", 1)


@pytest.mark.parametrize("body, message", [
    ("import os; os._exit(1)", "Process exited unexpectedly"),
    ("import time; time.sleep(30)", "timed out after 1 seconds"),
])
def test_tasks_that_crash_or_take_too_long(cloud, body, message):
    name = unique("crash")
    cloud.create(name, f"def handler(event, context):\n    {body}\n", task_mode=True, retries=0, timeout=1)
    done = cloud.ended(name, cloud.submit(name))
    assert done.status == "Failed" and message in cloud.native(name, done.task_id)["result"]


def test_a_delay_and_a_moment(cloud, echo):
    begun = cloud.now()
    for headers in ({"x-fc-async-delay": "1"}, {"run_at": str(cloud.now() + 1000)}):
        task_id = cloud.submit(echo, b"late", **headers)
        assert cloud.task(echo, task_id).status == "Enqueued"
        assert cloud.why(echo, task_id)["cause"] == "delayed"
    done = cloud.ended(echo, task_id)
    running = next(event for event in done.events if event.status == "Running")
    assert running.timestamp - begun >= 1000
    far = cloud.submit(echo, b"", **{"x-fc-async-delay": str(90 * 86400)})
    assert cloud.task(echo, far).status == "Enqueued", "also beyond upstream's hour"
    cloud.sdk.stop_async_task(echo, far, fc.StopAsyncTaskRequest())


def test_a_waiting_task_is_stopped(cloud, echo):
    task_id = cloud.submit(echo, b"", **{"x-fc-async-delay": "3000"})
    cloud.sdk.stop_async_task(echo, task_id, fc.StopAsyncTaskRequest())
    done = cloud.ended(echo, task_id)
    assert done.status == "Stopped" and "Running" not in statuses(done)


def test_a_running_task_is_stopped_and_preStop_runs(cloud, server):
    name = unique("stopped")
    cloud.create(name, """
        import time
        def last(context):
            print("cleaning up")
            open("/mnt/gates/" + context.function.name, "w").close()
        def handler(event, context):
            time.sleep(600)
        """, task_mode=True, timeout=900, nas_config=gates_mount(server),
        instance_lifecycle_config=fc.InstanceLifecycleConfig(
            pre_stop=fc.LifecycleHook(handler="index.last", timeout=5)))
    task_id = cloud.submit(name)
    cloud.in_state(name, task_id, "Running")
    cloud.sdk.stop_async_task(name, task_id, fc.StopAsyncTaskRequest())
    done = cloud.ended(name, task_id)
    assert done.status == "Stopped" and statuses(done)[-2:] == ["Stopping", "Stopped"]
    assert (server.gates / name).exists()


def test_tasks_expire(cloud, server, gate):
    name = unique("expire")
    cloud.create(name, """
        import os, time
        def handler(event, context):
            while event and not os.path.exists("/mnt/gates/" + event.decode()):
                time.sleep(0.01)
        """, nas_config=gates_mount(server))
    cloud.configure(name, async_task=True, max_async_event_age_in_seconds=1)
    cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=1)))
    before = cloud.submit(name, gate.name)
    cloud.in_state(name, before, "Running")
    done = cloud.ended(name, cloud.submit(name))
    assert done.status == "Expired" and "Running" not in statuses(done)
    gate.open()
    assert cloud.ended(name, before).status == "Succeeded", "what runs is not touched"


def test_tasks_of_a_deleted_function_are_invalid(cloud):
    name = unique("deleted")
    cloud.create(name, "def handler(event, context):\n    return 1\n", task_mode=True)
    task_id = cloud.submit(name, **{"x-fc-async-delay": "2"})
    uid = cloud.native(name, task_id)["uid"]
    cloud.delete(name)
    assert cloud.v1("GET", f"/tasks/{uid}/wait", timeout=30)["state"] == "Invalid"


def test_lists_filters_and_pages(cloud):
    name = unique("listed")
    cloud.create(name, """
        def handler(event, context):
            if event == b"bad":
                raise ValueError("bad")
            return event
        """, task_mode=True, retries=0)
    begun = cloud.now()
    good = [cloud.submit(name, f"p{n}", f"good-{n}") for n in range(5)]
    bad = [cloud.submit(name, "bad", f"bad-{n}") for n in range(2)]
    for task_id in good + bad:
        cloud.ended(name, task_id)
    ids = lambda **query: sorted(task.task_id for task in listed(cloud, name, **query).tasks)  # noqa: E731
    assert ids() == sorted(good + bad)
    assert ids(status="Succeeded") == good and ids(status="Failed") == bad and ids(status="Running") == []
    assert ids(prefix="good-") == good and ids(prefix="good-", status="Failed") == []
    assert ids(started_time_begin=begun - 1000, started_time_end=cloud.now() + 1000) == sorted(good + bad)
    assert ids(started_time_begin=cloud.now() + 60_000) == []
    seen, token, pages = [], None, 0
    while pages == 0 or token:
        page = listed(cloud, name, limit=2, next_token=token, sort_order_by_time="asc")
        seen, token, pages = seen + [t.task_id for t in page.tasks], page.next_token, pages + 1
    assert seen == good + bad and pages == 4
    newest = [t.task_id for t in listed(cloud, name, sort_order_by_time="desc").tasks]
    assert newest == seen[::-1]
    assert not listed(cloud, name).tasks[0].task_payload
    assert {t.task_payload for t in listed(cloud, name, include_payload=True, prefix="bad").tasks} == {"bad"}
    assert refusal(lambda: listed(cloud, name, limit=101)).code == "InvalidArgument"
    assert refusal(lambda: listed(cloud, name, next_token="zzz")).code == "InvalidArgument"


def test_destinations_get_the_outcome(cloud):
    name, good, bad = unique("source"), unique("good"), unique("bad")
    for destination in (good, bad):
        cloud.create(destination, "def handler(event, context):\n    return event\n", task_mode=True)
    cloud.create(name, """
        def handler(event, context):
            if event == b"fail":
                raise ValueError("as asked")
            return "fine"
        """)
    arn = lambda f: cloud.sdk.get_function(f, fc.GetFunctionRequest()).body.function_arn  # noqa: E731
    cloud.configure(name, async_task=True, max_async_retry_attempts=0, destination_config=fc.DestinationConfig(
        on_success=fc.Destination(destination=arn(good)), on_failure=fc.Destination(destination=arn(bad))))
    fine, failed = cloud.submit(name, "go"), cloud.submit(name, "fail")
    stopped = cloud.submit(name, "go", **{"x-fc-async-delay": "1000"})
    cloud.sdk.stop_async_task(name, stopped, fc.StopAsyncTaskRequest())
    requests = {task_id: cloud.ended(name, task_id).request_id for task_id in (fine, failed, stopped)}

    def delivered(destination, request_id):
        def look():
            for task in listed(cloud, destination, status="Succeeded", include_payload=True).tasks:
                event = json.loads(task.task_payload)
                if event["requestContext"]["requestId"] == request_id:
                    return event
            return None
        return until(look, f"{request_id} is delivered to {destination}")

    event = delivered(good, requests[fine])
    assert event["requestContext"]["functionArn"] == arn(name)
    assert event["requestContext"]["condition"] == "" and event["requestContext"]["approximateInvokeCount"] == 1
    assert event["responseContext"] == {"statusCode": 200, "functionError": ""}
    assert (event["requestPayload"], event["responsePayload"]) == ("go", "fine")
    assert abs(event["timestamp"] - cloud.now()) < 60_000
    event = delivered(bad, requests[failed])
    assert event["requestContext"]["condition"] == "UnhandledInvocationError"
    assert event["responseContext"]["functionError"] == "UnhandledInvocationError"
    assert json.loads(event["responsePayload"])["errorType"] == "ValueError"
    assert delivered(bad, requests[stopped])["requestPayload"] == "go"


def test_large_payloads_and_results(cloud, echo):
    payload = "x" * (2 << 20)
    task_id = cloud.submit(echo, payload)
    assert cloud.ended(echo, task_id).status == "Succeeded"
    reply = cloud.request("GET", f"/v1/functions/{echo}/tasks/{task_id}/result")
    assert reply.body.decode() == payload
    assert cloud.request("GET", f"/v1/functions/{echo}/tasks/{task_id}/payload").body.decode() == payload
    # By hand: the SDK would take minutes to read that much from a stream.
    reply = cloud.announce(f"/2023-03-30/functions/{echo}/invocations", (32 << 20) + 1,
                           {"x-fc-invocation-type": "Async"})
    assert (reply.status, reply.json["Code"]) == (400, "EntityTooLarge")


def test_a_limit_on_instances_is_kept(cloud, server):
    name = unique("limited")
    cloud.create(name, """
        import os, time
        def handler(event, context):
            me = "/mnt/gates/running-" + context.request_id
            open(me, "w").close()
            time.sleep(0.05)
            most = len([n for n in os.listdir("/mnt/gates") if n.startswith("running-")])
            os.remove(me)
            return most
        """, task_mode=True, nas_config=gates_mount(server))
    cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=2)))
    ids = [cloud.submit(name) for _ in range(12)]
    assert max(int(cloud.ended(name, task_id).return_payload) for task_id in ids) <= 2


def test_another_account_sees_nothing(cloud, echo):
    stranger = cloud.as_role("admin", account=cloud.account(unique("other")))
    task_id = cloud.submit(echo, b"mine")
    uid = cloud.native(echo, task_id)["uid"]
    assert refusal(lambda: stranger.task(echo, task_id)).status_code == 404
    assert refusal(lambda: stranger.invoke(echo)).code == "FunctionNotFound"
    reply = stranger.request("GET", f"/v1/tasks/{uid}")
    assert reply.status == 404, reply
    assert stranger.v1("GET", "/tasks")["items"] == []
