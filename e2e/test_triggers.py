"""Triggers through the official SDK and plain HTTP: made, changed, paused, listed; timers that fire, requests that
become calls and tasks, files that become tasks; and `kill -9` in the middle of it."""

import base64
import hashlib
import hmac
import http.client
import json

import pytest
from alibabacloud_fc20230330 import models as fc

from cloud import Cloud, unique
from server import until

ECHO = "def handler(event, context):\n    return event\n"
ANSWER = """
import json

def handler(event, context):
    asked = json.loads(event)
    if asked["rawPath"] == "/raise":
        raise ValueError("no")
    return {"statusCode": 201, "headers": {"X-Own": "yes"}, "body": json.dumps(asked)}
"""


def create(cloud: Cloud, function: str, name: str, kind: str, config, **more):
    text = config if isinstance(config, str) else json.dumps(config)
    made = fc.CreateTriggerInput(trigger_name=name, trigger_type=kind, trigger_config=text, **more)
    return cloud.sdk.create_trigger(function, fc.CreateTriggerRequest(body=made)).body


def shown(cloud: Cloud, function: str, name: str) -> dict:
    return cloud.v1("GET", f"/triggers/{function}/{name}")


def tasks(cloud: Cloud, function: str) -> list[dict]:
    found, cursor = [], ""
    while True:
        page = cloud.v1("GET", f"/tasks?function={function}&includePayload=true&limit=1000{cursor}")
        found += page["items"]
        if "next" not in page:
            return found
        cursor = "&cursor=" + page["next"]


def refused(call) -> tuple[str, int]:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value.code, caught.value.status_code


def request(url: str, method="GET", path="", body=None, headers=None):
    host, _, rest = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request(method, f"/{rest}{path}", body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


@pytest.fixture
def function(cloud):
    name = unique("triggered")
    cloud.create(name, ECHO)
    return name


def test_the_sdk_makes_changes_lists_and_deletes_triggers(cloud, function):
    config = '{"cronExpression":"0 0 4 * * *","enable":true,"payload":"awesome-fc"}'
    made = create(cloud, function, "nightly", "timer", config, description="d")
    assert (made.trigger_name, made.trigger_type, made.trigger_config) == ("nightly", "timer", config)
    assert made.qualifier == "LATEST" and made.trigger_id and made.created_time
    assert made.target_arn.endswith(f"functions/{function}")
    got = cloud.sdk.get_trigger(function, "nightly").body
    assert got.trigger_id == made.trigger_id and got.description == "d"
    patch = fc.UpdateTriggerInput(trigger_config='{"cronExpression":"@every 1h"}')
    changed = cloud.sdk.update_trigger(function, "nightly", fc.UpdateTriggerRequest(body=patch)).body
    assert changed.trigger_config == '{"cronExpression":"@every 1h"}' and changed.description == "d"
    create(cloud, function, "weekly", "timer", {"cronExpression": "CRON_TZ=Asia/Shanghai 0 0 4 * * 1"})
    listed = cloud.sdk.list_triggers(function, fc.ListTriggersRequest(limit=1)).body
    assert [t.trigger_name for t in listed.triggers] == ["nightly"]
    more = fc.ListTriggersRequest(next_token=listed.next_token)
    assert [t.trigger_name for t in cloud.sdk.list_triggers(function, more).body.triggers] == ["weekly"]
    assert len(shown(cloud, function, "weekly")["next"]) == 10
    cloud.sdk.delete_trigger(function, "nightly")
    assert refused(lambda: cloud.sdk.get_trigger(function, "nightly")) == ("TriggerNotFound", 404)


def test_what_cannot_be_is_refused_with_upstreams_codes(cloud, function):
    timer = {"cronExpression": "@every 1h"}
    create(cloud, function, "one", "timer", timer)
    for name, kind, config, wanted in [
        ("one", "timer", timer, ("TriggerAlreadyExists", 409)),
        ("two", "timer", {"cronExpression": "* * * * *"}, ("InvalidArgument", 400)),
        ("two", "timer", "{", ("InvalidArgument", 400)),
        ("two", "pigeon", {}, ("InvalidArgument", 400)),
        ("2two", "timer", timer, ("InvalidArgument", 400)),
        ("two", "log", {}, ("NotImplemented", 501)),
        ("two", "tablestore", {}, ("NotImplemented", 501)),
        ("two", "cdn_events", {}, ("NotImplemented", 501)),
    ]:
        assert refused(lambda: create(cloud, function, name, kind, config)) == wanted, (name, kind)
    assert refused(lambda: create(cloud, "nowhere", "t", "timer", timer)) == ("FunctionNotFound", 404)
    create(cloud, function, "web", "http", {"authType": "anonymous"})
    assert refused(lambda: create(cloud, function, "web2", "http", {})) == ("InvalidArgument", 400)


def test_a_timer_fires_pauses_and_goes_on(cloud, function):
    create(cloud, function, "tick", "timer", {"cronExpression": "* * * * * *", "payload": "awesome-fc"})
    until(lambda: len(tasks(cloud, function)) >= 2, "it fires twice")
    event = json.loads(base64.b64decode(tasks(cloud, function)[0]["payload"]))
    assert list(event) == ["triggerTime", "triggerName", "payload"]
    assert (event["triggerName"], event["payload"]) == ("tick", "awesome-fc")
    assert event["triggerTime"].endswith("Z") and len(event["triggerTime"]) == 20
    cloud.v1("POST", f"/triggers/{function}/tick/pause")
    until(lambda: shown(cloud, function, "tick")["state"] == "paused", "it is paused")
    before = shown(cloud, function, "tick")
    cloud.v1("POST", f"/triggers/{function}/tick/resume")
    until(lambda: shown(cloud, function, "tick")["events"] > before["events"], "it goes on")
    found = tasks(cloud, function)
    times = [json.loads(base64.b64decode(t["payload"]))["triggerTime"] for t in found]
    assert len(times) == len(set(times)), "a moment fires once"
    assert all(t["tags"]["trigger"] == "tick" for t in found)


def test_a_filter_and_a_template_decide_what_a_task_is(cloud, function):
    config = {"authType": "anonymous", "delivery": {
        "filter": {"type": ["order"], "data": {"total": [{"numeric": [">", 100]}]}},
        "transform": {"order": "$.data.id", "text": "${$.data.total} from ${$.source}"}, "priority": 7}}
    create(cloud, function, "hook", "webhook", config)
    url = shown(cloud, function, "hook")["url"]
    events = [{"specversion": "1.0", "id": str(n), "source": "shop", "type": "order",
               "data": {"id": n, "total": n}} for n in (50, 150, 250)]
    kind = {"content-type": "application/cloudevents-batch+json"}
    status, _, body = request(url, "POST", body=json.dumps(events), headers=kind)
    assert (status, json.loads(body)) == (202, {"events": 3, "taken": 2, "tasks": 2, "known": 0})
    status, _, body = request(url, "POST", body=json.dumps(events), headers=kind)
    assert (status, json.loads(body)) == (202, {"events": 3, "taken": 2, "tasks": 0, "known": 2})
    payloads = sorted(base64.b64decode(t["payload"]).decode() for t in tasks(cloud, function))
    assert payloads == ['{"order":150,"text":"150 from shop"}', '{"order":250,"text":"250 from shop"}']


def test_a_signed_webhook_takes_what_was_signed(cloud, function):
    secret = unique("hook")
    cloud.v1("PUT", f"/secrets/{secret}", {"value": "It's a Secret"})
    assert "Secret" not in json.dumps(cloud.v1("GET", "/secrets")["items"])
    create(cloud, function, "git", "webhook",
           {"signature": {"key": {"secret": secret}}, "idHeader": "X-GitHub-Delivery"})
    url = shown(cloud, function, "git")["url"]
    body = b'{"action":"opened"}'
    signed = "sha256=" + hmac.new(b"It's a Secret", body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": signed, "X-GitHub-Delivery": "d-1"}
    assert request(url, "POST", body=body, headers=headers)[0] == 202
    assert json.loads(request(url, "POST", body=body, headers=headers)[2])["known"] == 1
    assert request(url, "POST", body=b"{}", headers=headers)[0] == 403
    assert request(url, "POST", body=body)[0] == 403
    assert request(url, "GET")[0] == 400
    assert len(tasks(cloud, function)) == 1


def test_a_request_is_upstreams_event_and_its_answer_comes_back(cloud):
    name = unique("web")
    cloud.create(name, ANSWER)
    made = create(cloud, name, "web", "http", {"authType": "anonymous", "methods": ["GET", "POST"]})
    url = made.http_trigger.url_internet
    status, headers, body = request(url, "POST", "/a%20b?k=v1&k=v2", b'{"x":1}',
                                    {"content-type": "application/json", "x-multi": "a", "origin": "http://o"})
    event = json.loads(body)
    assert (status, headers["x-own"], headers["content-type"]) == (201, "yes", "application/json")
    assert headers["access-control-allow-origin"] == "http://o" and headers["x-fc-request-id"]
    assert (event["version"], event["rawPath"], event["body"], event["isBase64Encoded"]) == ("v1", "/a%20b", '{"x":1}', False)
    assert event["queryParameters"] == {"k": "v1,v2"} and event["headers"]["X-Multi"] == "a"
    context = event["requestContext"]
    assert context["http"]["method"] == "POST" and context["http"]["path"] == "/a b"
    assert context["http"]["sourceIp"] == "127.0.0.1" and context["requestId"] == headers["x-fc-request-id"]
    status, headers, body = request(url, "GET", "/raise")
    assert (status, body) == (502, b"Internal Server Error")
    assert request(url, "PUT")[0] == 403
    assert request(url.rsplit("/", 1)[0] + "/none")[0] == 404
    status, headers, _ = request(url, "POST", "/later", b"x", {"x-fc-invocation-type": "Async"})
    assert status == 202
    until(lambda: [t for t in tasks(cloud, name) if t["state"] == "Succeeded"], "it ran")


def test_who_may_call_is_the_triggers_to_say(cloud, function):
    token = "t" * 32
    create(cloud, function, "web", "http", {"authType": "bearer", "authConfig": json.dumps(
        {"tokens": [{"tokenName": "n", "tokenData": token, "enable": True}]})})
    url = shown(cloud, function, "web")["url"]
    assert request(url)[0] == 403
    assert request(url, headers={"authorization": "Bearer " + "x" * 32})[0] == 403
    assert request(url, headers={"authorization": f"Bearer {token}"})[0] == 200
    patch = fc.UpdateTriggerInput(trigger_config='{"authType":"function"}')
    cloud.sdk.update_trigger(function, "web", fc.UpdateTriggerRequest(body=patch))
    status, _, body = request(url)
    assert status in (400, 403), body


def test_files_become_tasks_one_per_version(own):
    server = own()
    watched = server.home / "in"
    watched.mkdir()
    server.settings["triggers.directories"] = str(watched)
    cloud = Cloud(server.start())
    cloud.create("files", ECHO)
    create(cloud, "files", "csv", "directory", {"path": str(watched), "suffix": ".csv"})
    until(lambda: shown(cloud, "files", "csv")["state"] == "running", "it looks")
    (watched / "a.csv").write_text("1")
    (watched / "b.txt").write_text("1")
    names = lambda: sorted(json.loads(base64.b64decode(t["payload"]))["subject"] for t in tasks(cloud, "files"))
    until(lambda: names() == ["a.csv"], "the file is taken")
    (watched / "a.csv").write_text("2")
    until(lambda: names() == ["a.csv", "a.csv"], "its next version too")
    server.kill()
    for n in range(20):
        (watched / f"while-away-{n}.csv").write_text(str(n))
    cloud = Cloud(server.start())
    wanted = ["a.csv", "a.csv"] + sorted(f"while-away-{n}.csv" for n in range(20))
    until(lambda: names() == wanted, "what came meanwhile is taken, once")
    create(cloud, "files", "elsewhere", "directory", {"path": "/etc"})
    state = until(lambda: s if (s := shown(cloud, "files", "elsewhere"))["state"] == "failed" else None, "refused")
    assert "triggers.directories" in state["lastError"]


def test_a_killed_server_fires_each_moment_once(own):
    """With misfire `all` every second has exactly one task, however often the server dies."""
    server = own()
    cloud = Cloud(server.start())
    cloud.create("ticks", ECHO)
    create(cloud, "ticks", "tick", "timer", {"cronExpression": "* * * * * *", "misfire": "all", "misfireMax": 1000})
    until(lambda: len(tasks(cloud, "ticks")) >= 1, "it fires")
    for _ in range(3):
        count = len(tasks(cloud, "ticks"))
        until(lambda: len(tasks(cloud, "ticks")) > count, "it fires on")
        server.kill()
        cloud = Cloud(server.start())
    count = len(tasks(cloud, "ticks"))
    until(lambda: len(tasks(cloud, "ticks")) > count + 1, "it fires on")
    cloud.v1("POST", "/triggers/ticks/tick/pause")
    until(lambda: shown(cloud, "ticks", "tick")["state"] == "paused", "it is paused")
    found = tasks(cloud, "ticks")
    times = sorted(json.loads(base64.b64decode(t["payload"]))["triggerTime"] for t in found)
    assert len(times) == len(set(times)), "none twice"
    seconds = [int(t[17:19]) + 60 * int(t[14:16]) for t in times]
    assert all((b - a) % 3600 == 1 for a, b in zip(seconds, seconds[1:])), f"none left out: {times}"
    status = shown(cloud, "ticks", "tick")
    assert (status["events"], status["tasks"], status["known"]) == (len(times), len(times), 0)


def test_a_poster_who_is_not_answered_posts_again_and_makes_one_task(own):
    server = own()
    cloud = Cloud(server.start())
    cloud.create("posted", ECHO)
    create(cloud, "posted", "hook", "webhook", {"authType": "anonymous"})
    for n in range(60):
        event = json.dumps({"specversion": "1.0", "id": f"e-{n}", "source": "s", "type": "t", "data": n})
        for attempt in range(10):
            try:
                url = shown(cloud, "posted", "hook")["url"]
                if n % 20 == 10 and attempt == 0:
                    # The request is on its way when the server dies.
                    host, _, rest = url.removeprefix("http://").partition("/")
                    connection = http.client.HTTPConnection(host, timeout=10)
                    connection.request("POST", "/" + rest, body=event, headers={"content-type": "application/cloudevents+json"})
                    server.kill()
                    connection.getresponse()
                status = request(url, "POST", body=event, headers={"content-type": "application/cloudevents+json"})[0]
                assert status == 202
                break
            except (OSError, http.client.HTTPException):
                cloud = Cloud(server.start())
    found = tasks(cloud, "posted")
    ids = sorted(json.loads(base64.b64decode(t["payload"]))["id"] for t in found)
    assert ids == sorted(f"e-{n}" for n in range(60)), "each event one task"


def test_the_command_line_makes_and_shows_triggers(cloud, server, function):
    example = json.loads(server.cli("trigger", "init", "timer").stdout)
    server.cli("trigger", "create", function, "nightly", "--type", "timer", "--config", json.dumps(example))
    shown_text = server.cli("trigger", "get", function, "nightly").stdout
    assert "exactly-once" in shown_text and shown_text.count("next") >= 10
    server.cli("trigger", "pause", function, "nightly")
    assert "paused" in server.cli("trigger", "list", function).stdout
    server.cli("trigger", "resume", function, "nightly")
    secret = server.home / "secret.txt"
    secret.write_text("hush\n")
    name = unique("s")
    server.cli("secret", "put", name, f"@{secret}")
    assert name in server.cli("secret", "list").stdout
    server.cli("secret", "delete", name)
    server.cli("trigger", "delete", function, "nightly")
