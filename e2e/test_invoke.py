"""Synchronous invocations: answers, headers, the log tail, and every way to fail (§2.6)."""

import pytest

from cloud import Cloud, fc, refusal, unique
from server import until


@pytest.fixture(scope="module")
def bad(cloud):
    """A function that fails as it is told."""
    name = unique("bad")
    cloud.create(name, """
        import os, signal, sys, time

        def handler(event, context):
            how = event.decode()
            print("about to", how)
            if how == "raise":
                raise ValueError("something is wrong")
            if how == "exit":
                sys.exit(3)
            if how == "leave":
                os._exit(7)
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "sleep":
                time.sleep(60)
            if how == "memory":
                held = []
                while True:
                    held.append(bytearray(os.urandom(1 << 20) * 8))
            return {"did": how}
        """, timeout=2)
    return name


def test_an_answer_and_its_headers(cloud, echo):
    reply = cloud.invoke(echo, b"\x00\xff any bytes")
    assert (reply.status, reply.body) == (200, b"\x00\xff any bytes")
    for name in ("x-fc-request-id", "x-fc-instance-id", "x-fc-code-checksum", "x-fc-max-memory-usage",
                 "x-fc-invocation-duration", "x-fc-invocation-service-version"):
        assert reply.headers.get(name), name
    assert float(reply.headers["x-fc-max-memory-usage"]) > 1
    assert reply.error_type is None
    assert cloud.invoke(echo).body == b""


def test_an_instance_is_used_again(cloud, echo):
    first, second = cloud.invoke(echo), cloud.invoke(echo)
    assert first.headers["x-fc-instance-id"] == second.headers["x-fc-instance-id"]
    assert first.headers["x-fc-request-id"] != second.headers["x-fc-request-id"]


def test_the_request_id_can_be_chosen(cloud, echo):
    chosen = unique("1-request")
    assert cloud.invoke(echo, headers={"x-fc-trace-id": chosen}).headers["x-fc-request-id"] == chosen


def test_the_tail_of_the_log(cloud, echo):
    reply = cloud.invoke(echo, {"say": "a word for the log"}, tail=True)
    assert "a word for the log" in reply.log
    assert reply.headers["x-fc-request-id"] in reply.log
    long = cloud.invoke(echo, {"say": "x" * 10_000 + "\nthe end"}, tail=True).log
    assert len(long) <= 4096 and "the end" in long
    assert "x-fc-log-result" not in cloud.invoke(echo, {"say": "nobody asked"}).headers


def test_a_raised_error(cloud, bad):
    reply = cloud.invoke(bad, "raise", tail=True)
    assert (reply.status, reply.error_type) == (200, "UnhandledInvocationError")
    assert reply.json["errorMessage"] == "something is wrong"
    assert reply.json["errorType"] == "ValueError"
    assert any("something is wrong" in str(frame) for frame in reply.json["stackTrace"])
    assert "about to raise" in reply.log


@pytest.mark.parametrize("how", ["leave", "kill"])
def test_a_crash(cloud, bad, how):
    reply = cloud.invoke(bad, how)
    assert (reply.status, reply.error_type) == (200, "UnhandledInvocationError")
    assert "Process exited unexpectedly before completing request" in reply.json["errorMessage"]
    assert cloud.invoke(bad, "go on").json == {"did": "go on"}, "the next call gets another instance"


def test_an_exit_is_an_error(cloud, bad):
    reply = cloud.invoke(bad, "exit")
    assert (reply.status, reply.error_type) == (200, "UnhandledInvocationError")
    assert cloud.invoke(bad, "go on").error_type is None


def test_a_timeout(cloud, bad):
    reply = cloud.invoke(bad, "sleep")
    assert (reply.status, reply.error_type) == (200, "UnhandledInvocationError")
    assert "Function timed out after 2 seconds" in reply.json["errorMessage"]
    assert "maxMemoryUsage" in reply.json["errorMessage"]


def test_too_much_memory(cloud, bad):
    reply = cloud.invoke(bad, "memory")
    assert (reply.status, reply.error_type) == (200, "UnhandledInvocationError")
    assert "memory" in reply.json["errorMessage"].lower()
    assert cloud.invoke(bad, "go on").json == {"did": "go on"}


@pytest.mark.parametrize("runtime, files, handler, kind", [
    ("python3.10", {"index.py": "import nothing_of_this_name\n"}, "index.handler", "ImportModuleError"),
    ("python3.10", {"other.py": ""}, "index.handler", "ImportModuleError"),
    ("python3.10", {"index.py": "def handler(:\n"}, "index.handler", "UserCodeSyntaxError"),
    ("nodejs20", {"index.js": "require('nothing-of-this-name')\n"}, "index.handler", "ImportModuleError"),
    ("nodejs20", {"index.js": "exports.handler = (\n"}, "index.handler", "UserCodeSyntaxError"),
], ids=["import", "module", "syntax", "node-import", "node-syntax"])
def test_code_that_does_not_load(cloud, runtime, files, handler, kind):
    name = unique("load")
    cloud.create(name, files, runtime=runtime, handler=handler)
    reply = cloud.invoke(name)
    assert (reply.status, reply.error_type) == (200, "UnhandledInvocationError")
    assert reply.json["errorType"] == kind
    if kind == "ImportModuleError":
        assert "Unable to import module" in reply.json["errorMessage"]


def test_initializers(cloud):
    name = unique("init")
    hooks = fc.InstanceLifecycleConfig(initializer=fc.LifecycleHook(handler="index.start", timeout=2))
    cloud.create(name, """
        ready = []
        def start(context):
            print("initializing")
            ready.append(1)
        def handler(event, context):
            return len(ready)
        """, instance_lifecycle_config=hooks)
    assert [cloud.invoke(name).json for _ in range(3)] == [1, 1, 1]
    for body, why in (("raise RuntimeError('not today')", "not today"), ("import time; time.sleep(60)", "timed out")):
        cloud.update(name, files={"index.py": f"""
            def start(context):
                {body}
            def handler(event, context):
                return 1
            """})
        reply = cloud.invoke(name)
        assert (reply.status, reply.error_type) == (200, "InitializationError")
        assert why in reply.json["errorMessage"]


def test_large_bodies(cloud, echo):
    """By hand: the SDK reads and writes streams a kilobyte at a time."""
    path, body = f"/2023-03-30/functions/{echo}/invocations", bytes(range(256)) * (20 << 12)
    assert cloud.request("POST", path, body).body == body, "20 MiB there and back"
    reply = cloud.announce(path, (32 << 20) + 1)
    assert (reply.status, reply.json["Code"]) == (400, "EntityTooLarge")
    assert len(cloud.invoke(echo, b"x" * (1 << 20)).body) == 1 << 20


def test_what_is_not_there(cloud, echo):
    assert refusal(lambda: cloud.invoke("nobody")).code == "FunctionNotFound"
    assert refusal(lambda: cloud.invoke(echo, qualifier="7")).code == "VersionNotFound"
    assert refusal(lambda: cloud.invoke(echo, qualifier="prod")).code == "AliasNotFound"
    error = refusal(lambda: cloud.invoke(echo, kind="Sideways"))
    assert (error.status_code, error.code) == (400, "InvalidArgument")


def test_calls_run_at_the_same_time(cloud, echo, gate):
    """A call that waits does not hold up another."""
    waiting = cloud.submit(echo, {"wait": gate.name, "answer": "waited"})
    cloud.in_state(echo, waiting, "Running")
    assert cloud.invoke(echo, "meanwhile").body == b"meanwhile"
    gate.open()
    assert cloud.ended(echo, waiting).return_payload == "waited"


def test_what_code_finds_around_itself(cloud):
    name = unique("around")
    cloud.create(name, """
        import json, os
        def handler(event, context):
            return {
                "env": {k: v for k, v in os.environ.items() if k.startswith("FC_") or k == "MINE"},
                "code": sorted(os.listdir("/code")),
                "context": [context.request_id, context.function.name, context.function.timeout,
                            context.region, context.account_id],
                "roots": sorted(os.listdir("/")),
            }
        """, environment_variables={"MINE": "yes"})
    reply = cloud.invoke(name)
    found = reply.json
    assert found["env"]["FC_FUNCTION_NAME"] == name and found["env"]["MINE"] == "yes"
    assert found["env"]["FC_FUNC_CODE_PATH"] == "/code"
    assert found["env"]["FC_INSTANCE_ID"] == reply.headers["x-fc-instance-id"]
    assert found["code"] == ["index.py"]
    assert found["context"][:4] == [reply.headers["x-fc-request-id"], name, 30, "local"]


def test_the_sandbox_keeps_the_host_out(cloud, server):
    name = unique("walls")
    cloud.create(name, """
        import json, os
        def attempt(what):
            try:
                return str(what())
            except Exception as error:
                return type(error).__name__
        def handler(event, context):
            asked = json.loads(event)
            return {
                "read": attempt(lambda: open(asked["secret"]).read()),
                "write": attempt(lambda: open("/usr/evil", "w")),
                "code": attempt(lambda: open("/code/evil", "w")),
                "mount": attempt(lambda: os.mkdir("/proc/evil")),
                "processes": len([p for p in os.listdir("/proc") if p.isdigit()]),
                "tmp": attempt(lambda: open("/tmp/mine", "w").write("x")),
            }
        """)
    found = cloud.invoke(name, {"secret": str(server.dir / "credentials.json")}).json
    assert found["read"].endswith("Error") and "accessKey" not in found["read"]
    assert found["write"].endswith("Error") and found["code"].endswith("Error")
    assert found["processes"] < 10 and found["tmp"] == "1"


def test_zip_of_many_files(cloud):
    name = unique("many")
    files = {f"pack/m{n}.py": f"N = {n}\n" for n in range(500)} | {"pack/__init__.py": ""}
    cloud.create(name, {"index.py": "from pack import m499\ndef handler(e, c):\n    return m499.N\n", **files})
    assert cloud.invoke(name).json == 499


def test_a_refused_call_leaves_what_runs_alone(cloud):
    name = unique("limited")
    cloud.create(name, "import time\ndef handler(event, context):\n    time.sleep(float(event))\n    return 'slept'\n",
                 task_mode=True, retries=0)
    cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(
        body=fc.PutConcurrencyInput(reserved_concurrency=1)))
    cloud.submit(name, "2", "one")
    cloud.in_state(name, "one", "Running")
    for _ in range(5):
        error = refusal(lambda: cloud.invoke(name, "0"))
        assert (error.status_code, error.code) == (429, "ResourceExhausted")
    done = cloud.ended(name, "one")
    assert done.status == "Succeeded"
    attempts = cloud.native(name, "one")["attempts"]
    assert len(attempts) == 1 and attempts[0]["outcome"] == "ok", attempts


def test_code_is_told_the_version_it_was_called_by(cloud):
    name = unique("told")
    cloud.create(name, """
        import json, os
        def handler(event, context):
            return json.dumps([os.environ["FC_FUNCTION_VERSION"], context.service.version_id, context.service.qualifier])
        """)
    assert cloud.invoke(name).json == ["LATEST", "LATEST", "LATEST"]
    cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest(body=fc.PublishVersionInput()))
    assert cloud.invoke(name, qualifier="1").json == ["1", "1", "1"]
    assert cloud.invoke(name).json == ["LATEST", "LATEST", "LATEST"]
    found = cloud.sdk.list_instances(name, fc.ListInstancesRequest()).body.instances
    assert {instance.qualifier for instance in found} == {"LATEST", "1"}
    for wanted, count in ((["Running"], 2), (["Destroyed", "Running"], 2), (["Destroyed"], 0)):
        found = cloud.sdk.list_instances(name, fc.ListInstancesRequest(instance_status=wanted)).body.instances
        assert len(found) == count


def test_options_of_tasks_are_refused_on_calls(cloud, echo):
    reply = cloud.request("POST", f"/2023-03-30/functions/{echo}/invocations", b"{}", headers={"x-stint-timeout": "1s"})
    assert (reply.status, reply.json["Code"]) == (400, "InvalidArgument") and "asynchronous" in reply.text


def logged(cloud, name: str, text: str) -> list[str]:
    found = until(lambda: [line["text"] for line in cloud.v1("GET", "/logs", function=name, order="asc")["items"]
                           if text in line["text"]], f"the log has {text}")
    return found


def test_hooks_have_their_markers(cloud):
    name = unique("hooks")
    hook = lambda handler: fc.LifecycleHook(handler=handler, timeout=5)
    cloud.create(name, """
        def begin(context):
            print("in begin")
        def end(context):
            print("in end")
        def handler(event, context):
            print("in handler")
        """, instance_lifecycle_config=fc.InstanceLifecycleConfig(initializer=hook("index.begin"), pre_stop=hook("index.end")))
    reply = cloud.invoke(name)
    request_id = reply.headers["x-fc-request-id"]
    logged(cloud, name, f"FC Invoke End RequestId: {request_id}")
    lines = [line["text"] for line in cloud.v1("GET", "/logs", function=name, request=request_id, order="asc")["items"]]
    order = [f"FC Initialize Start RequestId: {request_id}", "in begin", f"FC Initialize End RequestId: {request_id}",
             f"FC Invoke Start RequestId: {request_id}", "in handler", f"FC Invoke End RequestId: {request_id}"]
    assert lines == order
    cloud.update(name, description="another revision", environment_variables={"A": "1"})
    logged(cloud, name, "FC PreStop End")
    assert logged(cloud, name, "in end")


def test_a_caller_that_leaves_is_in_the_log(cloud):
    name = unique("left")
    cloud.create(name, "import time\ndef handler(event, context):\n    print('begun', flush=True)\n    time.sleep(20)\n")
    impatient = Cloud(cloud.server)
    with pytest.raises(TimeoutError):
        impatient.request("POST", f"/2023-03-30/functions/{name}/invocations", b"", timeout=1.5)
    assert "canceled by client (duration: " in logged(cloud, name, "FC Invoke End")[0]


def test_a_call_waits_while_tasks_fill_the_machine(own):
    cloud = Cloud(own().start())
    flood, small = unique("flood"), unique("small")
    cloud.create(flood, "import time\ndef handler(event, context):\n    time.sleep(1)\n", task_mode=True, cpu=1,
                 memory_size=1024, timeout=60)
    cloud.create(small, "def handler(event, context):\n    return event\n", cpu=1, memory_size=1024)
    cloud.batch(flood, [{} for _ in range(60)])
    until(lambda: cloud.v1("GET", "/overview")["running"] >= 4, "the machine is full of tasks")
    for n in range(40):
        reply = cloud.invoke(small, f"{n}")
        assert (reply.status, reply.text) == (200, f"{n}"), "none is refused: batch work makes way"
