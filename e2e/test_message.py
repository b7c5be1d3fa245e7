"""The message service through the official SDK: queues, topics, faults, hostile input, a crash under load."""

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
import xml.etree.ElementTree as ElementTree
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mns.account import Account
from mns.message_property import MessagePropertyValue
from mns.mns_exception import MNSServerException
from mns.queue import Message, QueueMeta
from mns.subscription import SubscriptionMeta
from mns.topic import TopicMessage, TopicMeta

from server import Server, until

ROOT_ACCOUNT = "1000000000000001"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("message"), message__push_private="true").start()
    yield server
    server.end()


def mns_address(server: Server) -> str:
    return (server.dir / "mns-address").read_text().strip()


def account(server: Server, key: tuple[str, str] | None = None, token: str = "") -> Account:
    key_id, secret = key or server.key
    return Account(f"http://{mns_address(server)}", key_id, secret, token)


def made(server: Server, name: str, **meta):
    queue = account(server).get_queue(name)
    queue.create(QueueMeta(**meta))
    return queue


def refused(call, *arguments) -> MNSServerException:
    with pytest.raises(MNSServerException) as caught:
        call(*arguments)
    return caught.value


def test_a_queue_is_made_changed_listed_and_deleted(server):
    ours = account(server)
    queue = ours.get_queue("life")
    url = queue.create(QueueMeta(vis_timeout=40, delay_sec=1, polling_wait_sec=2))
    assert url == f"http://{mns_address(server)}/queues/life"
    assert queue.create(QueueMeta(vis_timeout=40, delay_sec=1, polling_wait_sec=2)) == url
    assert refused(queue.create, QueueMeta(vis_timeout=41)).type == "QueueAlreadyExist"
    meta = queue.get_attributes()
    assert (meta.visibility_timeout, meta.delay_seconds, meta.polling_wait_seconds) == (40, 1, 2)
    assert (meta.maximum_message_size, meta.message_retention_period) == (65536, 345600)
    assert meta.logging_enabled is False and abs(meta.create_time - time.time()) < 120
    queue.set_attributes(QueueMeta(vis_timeout=50, logging_enabled=True))
    meta = queue.get_attributes()
    assert (meta.visibility_timeout, meta.delay_seconds, meta.logging_enabled) == (50, 1, True)
    for number in range(3):
        made(server, f"list-{number}")
    first, marker = ours.list_queue(prefix="list-", ret_number=2)
    rest, end = ours.list_queue(prefix="list-", ret_number=2, marker=marker)
    assert [url.rsplit("/", 1)[1] for url in first + rest] == ["list-0", "list-1", "list-2"] and end == ""
    queue.delete()
    queue.delete()
    assert refused(queue.get_attributes).type == "QueueNotExist"
    assert refused(queue.receive_message, 0).type == "QueueNotExist"
    assert refused(queue.set_attributes, QueueMeta(vis_timeout=1)).type == "QueueNotExist"
    with pytest.raises(MNSServerException) as caught:
        ours.get_queue("a_b").create(QueueMeta())
    assert caught.value.type == "InvalidArgument"
    assert ours.get_account_attributes().logging_bucket == ""


def test_a_message_is_held_by_one_and_deleted_by_its_holder(server):
    queue = made(server, "hold", vis_timeout=60)
    text = "gr\u00fc\u00dfe & <b>"
    sent = queue.send_message(Message(text))
    assert sent.message_body_md5 == hashlib.md5(base64.b64encode(text.encode())).hexdigest().upper()
    seen = queue.peek_message_with_str_body()
    assert (seen.message_body, seen.dequeue_count) == (text, 0)
    got = queue.receive_message_with_str_body(0)
    assert (got.message_id, got.message_body, got.dequeue_count, got.priority) == (sent.message_id, text, 1, 8)
    assert got.next_visible_time - time.time() * 1000 > 50_000
    assert refused(queue.receive_message, 0).type == "MessageNotExist"
    changed = queue.change_message_visibility(got.receipt_handle, 30)
    assert refused(queue.delete_message, got.receipt_handle).type == "MessageNotExist"
    queue.delete_message(changed.receipt_handle)
    assert refused(queue.delete_message, changed.receipt_handle).type == "MessageNotExist"
    assert refused(queue.delete_message, "nonsense").type == "ReceiptHandleError"
    meta = queue.get_attributes()
    assert (meta.active_messages, meta.inactive_messages, meta.delay_messages) == (0, 0, 0)


def test_what_is_not_deleted_in_time_is_seen_again_under_another_handle(server):
    queue = made(server, "again", vis_timeout=1)
    queue.send_message(Message("m"))
    first = queue.receive_message(0)
    begun = time.monotonic()
    second = queue.receive_message(10)
    assert time.monotonic() - begun < 8
    assert second.message_id == first.message_id and second.dequeue_count == 2
    assert second.first_dequeue_time == first.first_dequeue_time
    assert refused(queue.delete_message, first.receipt_handle).type == "MessageNotExist"


def test_a_receive_waits_for_what_is_sent(server):
    queue = made(server, "poll")
    begun = time.monotonic()
    assert refused(queue.receive_message, 1).type == "MessageNotExist"
    assert 0.9 < time.monotonic() - begun < 8
    found = []
    waiter = threading.Thread(target=lambda: found.append(account(server).get_queue("poll").receive_message(20)))
    waiter.start()
    begun = time.monotonic()
    queue.send_message(Message("m"))
    waiter.join(timeout=20)
    assert found and found[0].message_body == b"m" and time.monotonic() - begun < 10


def test_delay_and_priority(server):
    queue = made(server, "order")
    queue.send_message(Message("low", priority=16))
    queue.send_message(Message("high", priority=1))
    late = queue.send_message(Message("late", delay_seconds=2, priority=1))
    assert late.receipt_handle
    assert queue.get_attributes().delay_messages == 1
    assert [queue.receive_message(0).message_body for _ in range(2)] == [b"high", b"low"]
    assert queue.receive_message(15).message_body == b"late"
    hidden = queue.send_message(Message("never", delay_seconds=600))
    queue.delete_message(hidden.receipt_handle)
    assert queue.get_attributes().delay_messages == 0
    assert refused(queue.send_message, Message("m", priority=17)).type == "InvalidArgument"
    assert refused(queue.send_message, Message("m", delay_seconds=604801)).type == "InvalidArgument"


def test_batches_and_what_fails_of_them(server):
    queue = made(server, "batch", max_msg_size=1024)
    sent = queue.batch_send_message([Message(f"m{n}") for n in range(16)])
    assert len({one.message_id for one in sent}) == 16
    assert len(queue.batch_peek_message(16)) == 16
    got = queue.batch_receive_message_with_str_body(16, 0)
    assert [one.message_body for one in got] == [f"m{n}" for n in range(16)]
    handles = [one.receipt_handle for one in got]
    error = refused(queue.batch_delete_message, handles[:2] + ["nonsense"])
    assert [entry["ErrorCode"] for entry in error.sub_errors] == ["ReceiptHandleError"]
    error = refused(queue.batch_delete_message, handles[:3])
    assert [entry["ErrorCode"] for entry in error.sub_errors] == ["MessageNotExist"] * 2
    queue.batch_delete_message(handles[3:])
    error = refused(queue.batch_send_message, [Message("good"), Message("x" * 2000)])
    assert [sorted(entry) for entry in error.sub_errors] == [["MessageBodyMD5", "MessageId"],
                                                             ["ErrorCode", "ErrorMessage"]]
    assert queue.receive_message_with_str_body(0).message_body == "good"
    assert refused(queue.batch_send_message, [Message("m")] * 17).type == "InvalidArgument"
    assert refused(queue.send_message, Message("x" * 2000)).type == "InvalidArgument"


def test_properties_and_plain_bodies(server):
    queue = made(server, "props")
    message = Message("m")
    message.add_user_property("n", MessagePropertyValue.create_number(5))
    message.add_user_property("b", MessagePropertyValue.create_binary(b"\x00\xff"))
    queue.send_message(message)
    got = queue.receive_message(0)
    assert got.user_properties["n"].get_string_value_by_type() == "5"
    assert got.user_properties["b"].get_binary_value() == b"\x00\xff"
    queue.set_encoding(False)
    queue.send_message(Message("plain <&> \u4e2d"))
    assert queue.receive_message(0).message_body == "plain <&> \u4e2d"


def test_what_nobody_can_handle_goes_to_the_dead_letter_queue(server):
    dead = made(server, "dead")
    server.cli("queue", "create", "sick", "--visibility", "1s", "--dead-letter", "dead", "--max-receives", "2")
    queue = account(server).get_queue("sick")
    sent = queue.send_message(Message("poison"))
    for count in (1, 2):
        assert queue.receive_message(10).dequeue_count == count
    assert refused(queue.receive_message, 3).type == "MessageNotExist"
    got = dead.receive_message_with_str_body(10)
    assert (got.message_body, got.dequeue_count) == ("poison", 1)
    origin = got.system_properties["DLQOriginMessageId"].get_string_value_by_type()
    assert origin == sent.message_id
    assert queue.get_attributes().active_messages == 0


def test_attributes_outside_their_bounds_are_refused(server):
    queue = made(server, "bounds")
    for meta in (QueueMeta(msg_ttl=59), QueueMeta(vis_timeout=43201), QueueMeta(delay_sec=604801),
                 QueueMeta(polling_wait_sec=31), QueueMeta(max_msg_size=65537)):
        assert refused(queue.set_attributes, meta).type == "InvalidArgument"


class Endpoint:
    """An HTTP endpoint that refuses the first `refusals` notifications of each message."""

    def __init__(self, refusals: int = 0):
        self.heard, tried = [], {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                message = self.headers["x-mns-message-id"]
                tried[message] = tried.get(message, 0) + 1
                good = tried[message] > refusals
                if good:
                    outer.heard.append((self.path, dict(self.headers), body))
                self.send_response(204 if good else 500)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def test_a_topic_reaches_queues_and_endpoints_by_tag(server):
    ours = account(server)
    topic = ours.get_topic("news")
    url = topic.create(TopicMeta())
    assert url.endswith("/topics/news") and topic.create(TopicMeta()) == url
    assert topic.get_attributes().maximum_message_size == 65536
    topic.set_attributes(TopicMeta(32768, True))
    assert (topic.get_attributes().maximum_message_size, topic.get_attributes().logging_enabled) == (32768, "True")
    every, sport = made(server, "news-every"), made(server, "news-sport")
    every.set_encoding(False)
    sport.set_encoding(False)
    endpoint, plain = Endpoint(), Endpoint(refusals=2)
    queue_of = lambda name: f"acs:mns:local:{ROOT_ACCOUNT}:queues/{name}"  # noqa: E731
    for name, meta in {
        "every": SubscriptionMeta(queue_of("news-every"), "BACKOFF_RETRY", "JSON"),
        "sport": SubscriptionMeta(queue_of("news-sport"), "BACKOFF_RETRY", "SIMPLIFIED", "sport"),
        "http": SubscriptionMeta(endpoint.url, "BACKOFF_RETRY", "XML"),
        "plain": SubscriptionMeta(f"{plain.url}/hook?x=1", "EXPONENTIAL_DECAY_RETRY", "SIMPLIFIED", "sport"),
    }.items():
        made_url = topic.get_subscription(name).subscribe(meta)
        assert made_url.endswith(f"/topics/news/subscriptions/{name}")
    names, end = topic.list_subscription()
    assert [url.rsplit("/", 1)[1] for url in names] == ["every", "http", "plain", "sport"] and end == ""
    goal = topic.publish_message(TopicMessage("goal <1>", "sport"))
    assert goal.message_body_md5 == hashlib.md5(b"goal <1>").hexdigest().upper()
    topic.publish_message(TopicMessage("rain", "weather"))
    notes = [json.loads(every.receive_message(10).message_body) for _ in range(2)]
    assert {note["Message"] for note in notes} == {"goal <1>", "rain"}
    note = next(note for note in notes if note["MessageTag"] == "sport")
    assert (note["TopicName"], note["SubscriptionName"], note["MessageId"]) == ("news", "every", goal.message_id)
    assert sport.receive_message(10).message_body == "goal <1>"
    assert refused(sport.receive_message, 0).type == "MessageNotExist"
    until(lambda: len(endpoint.heard) == 2 and len(plain.heard) == 1, "the endpoints heard", limit=40)
    path, headers, body = next(heard for heard in endpoint.heard if b"goal" in heard[2])
    root = ElementTree.fromstring(body)
    namespace = "{http://mns.aliyuncs.com/doc/v1/}"
    assert path == "/notifications" and root.tag == f"{namespace}Notification"
    assert root.find(f"{namespace}Message").text == "goal <1>"
    assert plain.heard[0][0] == "/hook?x=1" and plain.heard[0][2] == b"goal <1>"
    assert plain.heard[0][1]["x-mns-message-tag"] == "sport"
    until(lambda: topic_waiting(server, "news") == 0, "nothing waits")
    sub = topic.get_subscription("plain")
    sub.set_attributes(SubscriptionMeta(notify_strategy="BACKOFF_RETRY"))
    meta = sub.get_attributes()
    assert (meta.notify_strategy, meta.filter_tag, meta.notify_content_format) == ("BACKOFF_RETRY", "sport", "SIMPLIFIED")
    sub.unsubscribe()
    assert refused(sub.get_attributes).type == "SubscriptionNotExist"
    topic.delete()
    assert refused(topic.get_attributes).type == "TopicNotExist"
    assert refused(topic.publish_message, TopicMessage("m")).type == "TopicNotExist"
    assert "news" not in " ".join(ours.list_topic()[0])


def topic_waiting(server: Server, name: str) -> int:
    return json.loads(server.cli("topic", "get", name, "-o", "json").stdout)["items"][0]["waiting"]


def test_a_queue_that_is_missing_gets_its_notifications_once_it_is_there(server):
    topic = account(server).get_topic("early")
    topic.create(TopicMeta())
    endpoint = f"acs:mns:local:{ROOT_ACCOUNT}:queues/later"
    topic.get_subscription("s").subscribe(SubscriptionMeta(endpoint, "EXPONENTIAL_DECAY_RETRY", "SIMPLIFIED"))
    topic.publish_message(TopicMessage("m"))
    assert topic_waiting(server, "early") == 1
    queue = made(server, "later")
    queue.set_encoding(False)
    assert queue.receive_message(20).message_body == "m"


def test_roles_scopes_and_temporary_keys(server):
    def key(*arguments: str) -> tuple[str, str]:
        made = json.loads(server.cli("key", "create", *arguments, "-o", "json").stdout)
        return made["id"], made["secret"]

    made(server, "roles").send_message(Message("m"))
    invoker, viewer = key("invoker"), key("viewer")
    queue = account(server, invoker).get_queue("roles")
    queue.send_message(Message("n"))
    queue.delete_message(queue.receive_message(0).receipt_handle)
    for call, arguments in [(queue.peek_message, ()), (queue.get_attributes, ()), (queue.delete, ()),
                            (queue.create, (QueueMeta(),)), (account(server, invoker).list_queue, ())]:
        assert refused(call, *arguments).type == "AccessDenied"
    queue = account(server, viewer).get_queue("roles")
    assert queue.peek_message().message_body == b"n"
    for call, arguments in [(queue.send_message, (Message("x"),)), (queue.receive_message, (0,)),
                            (queue.set_attributes, (QueueMeta(vis_timeout=9),))]:
        assert refused(call, *arguments).type == "AccessDenied"
    narrow = account(server, key("developer", "--function", "roles"))
    narrow.get_queue("roles").send_message(Message("y"))
    assert refused(narrow.get_queue("other").create, QueueMeta()).type == "AccessDenied"
    issued = json.loads(server.cli("key", "temporary", "--role", "invoker", "-o", "json").stdout)
    temporary = account(server, (issued["id"], issued["secret"]), issued["securityToken"])
    temporary.get_queue("roles").send_message(Message("t"))
    without = account(server, (issued["id"], issued["secret"]))
    assert refused(without.get_queue("roles").send_message, Message("t")).type == "InvalidSecurityToken"
    wrong = account(server, (server.key[0], "not the secret"))
    assert refused(wrong.list_queue).type == "SignatureDoesNotMatch"
    nobody = account(server, ("LTAInobody", "x"))
    assert refused(nobody.list_queue).type == "InvalidAccessKeyId"


def signed(server: Server, method: str, uri: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """A request by hand; `headers` replace what is usual."""
    key_id, secret = server.key
    said = {"date": formatdate(usegmt=True), "x-mns-version": "2015-06-06", "content-type": "text/xml"} | {
        name.replace("_", "-"): value for name, value in headers.items()}
    names = "".join(f"{name}:{said[name]}\n" for name in sorted(said) if name.startswith("x-mns-"))
    text = f"{method}\n{said.get('content-md5', '')}\n{said['content-type']}\n{said['date']}\n{names}{uri}"
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    said.setdefault("authorization", f"MNS {key_id}:{base64.b64encode(digest).decode()}")
    connection = http.client.HTTPConnection(mns_address(server), timeout=30)
    try:
        connection.request(method, uri, body, said)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_hostile_requests_are_refused(server):
    made(server, "hostile")
    send = lambda body: signed(server, "POST", "/queues/hostile/messages", body)  # noqa: E731
    bomb = b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><Message><MessageBody>&y;</MessageBody></Message>'
    leak = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Message><MessageBody>&x;</MessageBody></Message>'
    deep = b"<Message>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</Message>"
    many = b"<Messages>" + b"<Message/>" * 10000 + b"</Messages>"
    for body in (bomb, leak, deep, many, b"", b"x", b"<Message>", b"\xff\xfe", b"<Message><MessageBody>&#0;</MessageBody></Message>"):
        status, answer = send(body)
        assert status == 400 and b"<Code>MalformedXML</Code>" in answer, (body[:60], status, answer)
        assert b"root:" not in answer
    assert b"<Code>MissingParameter</Code>" in send(b"<Message/>")[1]
    status, answer = send(b"<Message><MessageBody>" + b"x" * (8 << 20) + b"</MessageBody></Message>")
    assert status == 400 and b"<Error" in answer
    status, answer = signed(server, "GET", "/queues/hostile", content_md5="AAAA")
    assert status == 400 and b"InvalidDigest" in answer
    status, answer = signed(server, "GET", "/queues/hostile", date="yesterday")
    assert status == 400 and b"InvalidDateHeader" in answer
    status, answer = signed(server, "GET", "/queues/hostile", date=formatdate(time.time() - 3600, usegmt=True))
    assert status == 408 and b"TimeExpired" in answer
    status, answer = signed(server, "GET", "/queues/hostile", authorization="MNS nothing")
    assert status == 400 and b"InvalidAuthorizationHeader" in answer
    status, answer = signed(server, "GET", "/nothing/here")
    assert status == 400 and b"InvalidRequestURL" in answer
    status, answer = signed(server, "GET", "/queues/hostile", host="1000000000000002.mns.local.example.com")
    assert status == 403 and b"AccessDenied" in answer
    status, _ = signed(server, "GET", "/queues/hostile", host=f"{ROOT_ACCOUNT}.mns.local.example.com")
    assert status == 200
    status, answer = signed(server, "DELETE", "/queues/hostile/messages")
    assert status == 400 and b"MissingReceiptHandle" in answer


def test_the_command_line_and_plain_json(server):
    run = lambda *arguments: json.loads(server.cli(*arguments, "-o", "json").stdout)  # noqa: E731
    run("queue", "create", "plain", "--visibility", "5m")
    assert run("queue", "send", "plain", "hello", "--property", "a=b")["results"][0]["id"].startswith("msg_")
    assert run("queue", "peek", "plain")["messages"][0]["body"] == "hello"
    got = run("queue", "receive", "plain", "--delete")["messages"]
    assert (got[0]["body"], got[0]["properties"]) == ("hello", {"a": "b"})
    run("queue", "send", "plain", "more")
    assert run("queue", "get", "plain")["active"] == 1
    assert run("queue", "purge", "plain")["active"] == 0
    assert run("queue", "receive", "plain")["messages"] == []
    assert "plain" in {queue["name"] for queue in run("queue", "list")["items"]}
    run("topic", "create", "said")
    run("topic", "subscribe", "said", "s", f"acs:mns:local:{ROOT_ACCOUNT}:queues/plain", "--format", "SIMPLIFIED")
    run("topic", "publish", "said", "out", "--tag", "t")
    assert run("queue", "receive", "plain", "--wait", "10s")["messages"][0]["body"] == "out"
    assert [sub["name"] for sub in run("topic", "subscriptions", "said")["items"]] == ["s"]
    server.cli("topic", "unsubscribe", "said", "s")
    server.cli("topic", "delete", "said")
    server.cli("queue", "delete", "plain")
    assert server.cli("queue", "get", "plain", check=False).returncode != 0
    status, page = server.get("/metrics")
    assert status == 200 and b"stint_queue_messages" in page and b"stint_messages_sent_total" in page


def test_long_polls_end_when_the_server_stops(tmp_path):
    server = Server(tmp_path).start()
    try:
        queue = made(server, "wait")
        ended = []

        def wait():
            try:
                account(server).get_queue("wait").receive_message(30)
            except Exception as error:  # noqa: BLE001
                ended.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        until(lambda: b'operation="ReceiveMessage"' in server.get("/metrics")[1], "somebody waits")
        queue.send_message(Message("kept", delay_seconds=600))
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 20
        waiter.join(timeout=10)
        assert isinstance(ended[0], MNSServerException) and ended[0].type == "MessageNotExist"
        server.start()
        assert account(server).get_queue("wait").get_attributes().delay_messages == 1
    finally:
        server.end()


def test_kill_under_load_loses_nothing_and_returns_nothing(tmp_path):
    """What was acknowledged as sent is there until it is deleted; what was acknowledged as deleted is gone."""
    server = Server(tmp_path).start()
    lock = threading.Lock()
    sent, tried, deleted, unsure, wrong = set(), set(), set(), set(), []
    try:
        made(server, "load", vis_timeout=3)
        for round_number in range(3):
            stop = threading.Event()

            def send(worker: int, stop=stop, round_number=round_number):
                queue, number = account(server).get_queue("load"), 0
                while not stop.is_set():
                    bodies = [f"{round_number}-{worker}-{number}-{n}" for n in range(4)]
                    number += 1
                    with lock:
                        tried.update(bodies)
                    try:
                        queue.batch_send_message([Message(body) for body in bodies])
                    except Exception:  # noqa: BLE001
                        return
                    with lock:
                        sent.update(bodies)

            def take(stop=stop):
                queue = account(server).get_queue("load")
                while not stop.is_set():
                    try:
                        got = queue.batch_receive_message_with_str_body(8, 1)
                    except MNSServerException:
                        continue
                    except Exception:  # noqa: BLE001
                        return
                    half = got[::2]
                    bodies = {one.message_body for one in half}
                    with lock:
                        wrong.extend(body for one in got if (body := one.message_body) in deleted)
                        unsure.update(bodies)
                    try:
                        queue.batch_delete_message([one.receipt_handle for one in half])
                    except MNSServerException as error:
                        gone = {entry["ReceiptHandle"] for entry in error.sub_errors or []}
                        bodies = {one.message_body for one in half if one.receipt_handle not in gone}
                    except Exception:  # noqa: BLE001
                        return
                    with lock:
                        deleted.update(bodies)
                        unsure.difference_update(bodies)

            workers = [threading.Thread(target=send, args=(n,)) for n in range(3)]
            workers += [threading.Thread(target=take) for _ in range(3)]
            for worker in workers:
                worker.start()
            goal = len(deleted) + 100
            until(lambda goal=goal: len(deleted) >= goal, "enough was sent and deleted", limit=60)
            server.kill()
            stop.set()
            for worker in workers:
                worker.join(timeout=70)
            server.start()
        left, queue = set(), account(server).get_queue("load")
        quiet = time.monotonic() + 6
        while time.monotonic() < quiet:
            try:
                got = queue.batch_receive_message_with_str_body(16, 1)
            except MNSServerException:
                continue
            quiet = time.monotonic() + 6
            bodies = [one.message_body for one in got]
            assert not set(bodies) & left, "a deleted message was seen again"
            left.update(bodies)
            queue.batch_delete_message([one.receipt_handle for one in got])
        assert not wrong and not left & deleted, "what was deleted returned"
        assert sent - deleted - unsure <= left, "what was acknowledged is lost"
        assert left <= tried
    finally:
        server.end()
