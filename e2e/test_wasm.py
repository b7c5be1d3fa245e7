"""Runtime `wasm`: programs and components through the official SDK, and what they may not."""

import json
import subprocess
import textwrap

import pytest
import wasmtime

from cloud import Cloud, fc, refusal, unique
from server import ROOT, until
from test_network import service

ECHO = (ROOT / "crates/stint/src/project/template/main.wat").read_text()
PARTS = (ROOT / "crates/wasm/src/shim/tests/print.wat").read_text()

# The event's first letter says what to do.
MANY = """
    (local $do i32)
    (drop (call $asked))
    (local.set $do (i32.load8_u (i32.const 1024)))
    (if (i32.eq (local.get $do) (i32.const 101)) (then (call $err) (call $exit (i32.const 3))))   ;; e
    (if (i32.eq (local.get $do) (i32.const 116)) (then unreachable))                              ;; t
    (if (i32.eq (local.get $do) (i32.const 114)) (then (call $deep (i32.const -1))))              ;; r
    (if (i32.eq (local.get $do) (i32.const 108)) (then (loop $l (br $l))))                        ;; l
    (if (i32.eq (local.get $do) (i32.const 109)) (then                                            ;; m
      (if (i32.eq (memory.grow (i32.const 4096)) (i32.const -1)) (then unreachable))))
    (call $out)
"""


def wasm(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def create(cloud, name, files, handler="index.handler", **more):
    return cloud.create(name, files, runtime="wasm", handler=handler, **more)


@pytest.fixture(scope="module")
def many(cloud):
    name = unique("wasm")
    create(cloud, name, {"main.wasm": wasm(PARTS.replace(";; HERE", MANY))}, timeout=2, task_mode=True, retries=0)
    return name


def test_a_program_is_called_and_is_a_task(cloud):
    name = unique("wasmecho")
    create(cloud, name, {"main.wasm": wasm(ECHO), "README": "not run"}, task_mode=True, retries=0)
    reply = cloud.invoke(name, "moon", tail=True)
    assert reply.body == b"hello, moon"
    assert "working on an event" in reply.log
    done = cloud.ended(name, cloud.submit(name, "task"))
    assert (done.status, done.return_payload) == ("Succeeded", "hello, task")
    lines = until(lambda: [line for line in cloud.v1("GET", "/logs", function=name)["items"]
                           if line.get("requestId") == reply.headers["x-fc-request-id"]
                           and "working on" in line["text"]], "the log has the request's line")
    assert len(lines) == 1
    large = "x" * 1_000_000
    assert cloud.invoke(name, large).text == "hello, " + large


def test_failures_are_told_apart_and_the_instance_serves_on(cloud, many):
    assert cloud.invoke(many, "ok").body == b"yes"
    reply = cloud.invoke(many, "exit")
    assert reply.error_type == "UnhandledInvocationError"
    assert reply.json == {"errorMessage": "no luck", "errorType": "ProgramExitError"}
    reply = cloud.invoke(many, "trap")
    assert reply.error_type == "UnhandledInvocationError"
    assert reply.json["errorType"] == "UnreachableCodeReached" and reply.json["stackTrace"]
    assert cloud.invoke(many, "recursion").json["errorType"] == "StackOverflow"
    reply = cloud.invoke(many, "loop")
    assert "Function timed out after 2 seconds" in reply.json["errorMessage"]
    reply = cloud.invoke(many, "memory")
    assert "memory limit exceeded (256MB)" in reply.json["errorMessage"]
    assert cloud.invoke(many, "ok").body == b"yes"
    ends = {what: cloud.ended(many, cloud.submit(many, what)) for what in ("loop", "memory", "trap", "ok")}
    assert {what: done.status for what, done in ends.items()} == {
        "loop": "Failed", "memory": "Failed", "trap": "Failed", "ok": "Succeeded"}
    assert "timed out" in ends["loop"].task_error_message
    assert "memory limit" in ends["memory"].task_error_message
    living = [item for item in cloud.v1("GET", "/instances", function=many)["items"] if item["state"] != "Destroyed"]
    assert len(living) == 1, "none of it cost an instance"
    assert any("wasm" in word for word in living[0]["enforced"]), living


def test_code_that_cannot_run_is_refused_when_it_is_deployed(cloud):
    good = wasm(ECHO)
    machine = wasmtime.Module(wasmtime.Engine(), ECHO).serialize()
    strange = wasm('(module (import "env" "system" (func)) (func (export "_start")))')
    entry = wasm('(module (func (export "run")))')
    for files, handler, words in [
        ({"main.wasm": bytes(machine)}, "x", "machine code"),
        ({"main.wasm": good, "main.cwasm": bytes(machine)}, "x", "machine code"),
        ({"main.wasm": b"#!/bin/sh\n"}, "x", "no WebAssembly"),
        ({"main.wasm": good[:-9]}, "x", "not valid WebAssembly"),
        ({"main.wasm": strange}, "x", "imports env.system"),
        ({"main.wasm": entry}, "x", "no way known"),
        ({"index.py": "x"}, "x", "no .wasm file"),
        ({"a.wasm": good, "b.wasm": good}, "x", "2 .wasm files"),
        ({"a.wasm": good}, "b.wasm", "names b.wasm"),
    ]:
        error = refusal(lambda: create(cloud, unique("wasmbad"), files, handler=handler))
        assert (error.status_code, error.code) == (400, "InvalidArgument"), error
        assert words in error.message and "runtime 'wasm'" in error.message, error.message
    name = unique("wasmtwo")
    create(cloud, name, {"a.wasm": good, "b.wasm": wasm(PARTS.replace(";; HERE", "(call $out)"))}, handler="a.wasm")
    assert cloud.invoke(name, "1").body == b"hello, 1"
    error = refusal(lambda: cloud.update(name, handler="c.wasm"))
    assert error.code == "InvalidArgument" and "c.wasm" in error.message
    error = refusal(lambda: cloud.update(name, files={"main.wasm": b"rubbish"}))
    assert error.code == "InvalidArgument"
    cloud.update(name, handler="b.wasm")
    until(lambda: cloud.invoke(name, "1").body == b"yes", "the other program answers")
    hook = fc.InstanceLifecycleConfig(initializer=fc.LifecycleHook(handler="a", timeout=3))
    error = refusal(lambda: cloud.update(name, instance_lifecycle_config=hook))
    assert error.code == "InvalidArgument" and "fresh instance" in error.message


def deploy(server, directory, files: dict[str, str], runtime: str, function: str, **settings):
    (directory / "code").mkdir(parents=True)
    for name, text in files.items():
        (directory / "code" / name).write_text(textwrap.dedent(text))
    more = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in settings.items())
    (directory / "stint.yaml").write_text(
        f"functions:\n  {function}:\n    runtime: {runtime}\n    code: code\n    memory: 256MiB\n    cpu: 0.25\n{more}")
    tools = f"{ROOT}/e2e/node_modules/.bin:{ROOT}/.venv/bin:/usr/local/bin:/usr/bin:/bin"
    return server.cli("deploy", "--wasm", "--file", str(directory / "stint.yaml"), env={"PATH": tools}, timeout=300)


JAVASCRIPT = {"index.js": """
    const { greet } = require('./greet');
    let calls = 0;
    exports.handler = (event, context, callback) => {
      const asked = JSON.parse(event.toString() || '{}');
      calls += 1;
      console.log('asked', asked);
      if (asked.raise) throw new TypeError(asked.raise);
      if (asked.refuse) return callback(new Error(asked.refuse));
      context.stint.progress(0.5, 'half way');
      return { greeting: greet(asked.name), calls, id: context.requestId, task: context.stint.taskId,
        memory: context.function.memory, name: context.function.name };
    };
    """, "greet.js": "exports.greet = (name) => `hello, ${name} ü€`;\n"}


def test_a_javascript_handler_as_a_component(cloud, server, tmp_path):
    name = unique("wasmjs")
    deploy(server, tmp_path, JAVASCRIPT, "nodejs20", name, **{"async": {"tasks": True, "retries": 0}})
    assert cloud.request("GET", f"/2023-03-30/functions/{name}").json["runtime"] == "wasm"
    for _ in range(2):
        reply = cloud.invoke(name, {"name": "moon"}, tail=True)
        assert reply.json == {"greeting": "hello, moon ü€", "calls": 1, "id": reply.headers["x-fc-request-id"],
                              "task": "", "memory": 256, "name": name}
        assert 'asked {"name":"moon"}' in reply.log
    reply = cloud.invoke(name, {"raise": "thrown"})
    assert (reply.error_type, reply.json["errorType"]) == ("UnhandledInvocationError", "TypeError")
    assert reply.json["errorMessage"] == "thrown" and reply.json["stackTrace"]
    reply = cloud.invoke(name, {"refuse": "no"})
    assert (reply.error_type, reply.json["errorMessage"]) == ("HandledInvocationError", "no")
    task_id = cloud.submit(name, {"name": "t"})
    done = cloud.ended(name, task_id)
    assert json.loads(done.return_payload)["task"] == task_id
    progress = cloud.native(name, task_id)
    assert "half way" in json.dumps(progress), progress


def test_a_python_handler_as_a_component(cloud, server, tmp_path):
    name = unique("wasmpy")
    deploy(server, tmp_path, {"index.py": """
        import json, os

        def handler(event, context):
            asked = json.loads(event)
            print("asked", asked)
            if "open" in asked:
                with open(asked["open"], asked.get("mode", "r")) as file:
                    return file.read() if file.readable() else file.write("x")
            if "raise" in asked:
                raise ValueError(asked["raise"])
            return {"id": context.request_id, "level": os.environ.get("LEVEL"), "retries": context.retry_count,
                    "region": context.region, "fc": os.environ.get("FC_FUNCTION_NAME"), "path": os.environ.get("PATH")}
        """, "data.txt": "carried along\n"}, "python3.10", name, environment={"LEVEL": "7"}, timeout="60s")
    reply = cloud.invoke(name, {}, tail=True, read_timeout=180_000)
    assert reply.json == {"id": reply.headers["x-fc-request-id"], "level": "7", "retries": 0, "region": "local",
                          "fc": name, "path": None}
    assert "asked {}" in reply.log
    assert cloud.invoke(name, {"open": "/code/data.txt"}).text == "carried along\n"
    assert cloud.invoke(name, {"open": "/tmp/a", "mode": "w"}).text == "1"
    assert cloud.invoke(name, {"open": "/tmp/a"}).text == "x"
    for path, mode in [("/etc/passwd", "r"), ("/code/../etc/passwd", "r"), ("/proc/self/environ", "r"),
                       ("/code/new", "w"), ("/var/stint/wasm", "r")]:
        reply = cloud.invoke(name, {"open": path, "mode": mode})
        assert reply.error_type == "UnhandledInvocationError", (path, reply)
        assert reply.json["errorType"] in ("FileNotFoundError", "PermissionError", "OSError"), reply.json
    reply = cloud.invoke(name, {"raise": "no"})
    assert reply.json["errorType"] == "ValueError" and reply.json["errorMessage"] == "no"
    assert "index.py" in reply.json["stackTrace"][0]


def test_a_template_runs_at_once(cloud, server, tmp_path):
    name = unique("wasminit")
    server.cli("init", "wasm", "--name", name, cwd=tmp_path)
    server.cli("deploy", cwd=tmp_path)
    assert cloud.invoke(name, "you").body == b"hello, you"
    said = server.cli("doctor", "--output", "json").stdout
    checks = {check["check"]: check for check in json.loads(said)["checks"]}
    assert checks["runtime wasm"]["works"], checks["runtime wasm"]
    assert "wasm" in {item["name"] for item in cloud.v1("GET", "/runtimes")["items"]}


def test_machine_code_is_kept_over_a_restart_and_made_again_when_it_was_changed(own):
    server = own().start()
    cloud = Cloud(server)
    create(cloud, "f", {"main.wasm": wasm(ECHO)})
    assert cloud.invoke("f", "1").body == b"hello, 1"
    kept = list((server.dir / "node/wasm/artefacts").glob("*/code.cwasm"))
    assert len(kept) == 1
    made = kept[0].stat().st_mtime_ns
    server.stop()
    server.start()
    assert Cloud(server).invoke("f", "2").body == b"hello, 2"
    assert kept[0].stat().st_mtime_ns == made, "not compiled again"
    server.stop()
    kept[0].chmod(0o644)
    broken = bytearray(kept[0].read_bytes())
    broken[len(broken) // 2] ^= 1
    kept[0].write_bytes(broken)
    server.start()
    assert Cloud(server).invoke("f", "3").body == b"hello, 3"
    assert kept[0].read_bytes() != bytes(broken)


WEB = '''
import json
from componentize_py_types import Ok, Err
from wit_world import exports
from wit_world.imports import outgoing_handler
from wit_world.imports.types import Fields, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme_Http


def read(body):
    stream, parts = body.stream(), []
    while True:
        try:
            parts.append(stream.blocking_read(65536))
        except Err:
            return b"".join(parts)


def ask(authority):
    request = OutgoingRequest(Fields())
    request.set_scheme(Scheme_Http())
    request.set_authority(authority)
    request.set_path_with_query("/readyz")
    try:
        answer = outgoing_handler.handle(request, None)
        answer.subscribe().block()
        found = answer.get()
        while isinstance(found, Ok):
            found = found.value
        if isinstance(found, Err):
            raise found
        return str(found.status())
    except Err as error:
        return "refused: %s" % type(error.value).__name__


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, out):
        headers = {name: value.decode() for name, value in request.headers().entries()}
        asked = read(request.consume()).decode()
        said = ask(asked[4:]) if asked.startswith("ask ") else None
        fields = Fields()
        if asked == "fail":
            fields.append("x-fc-status", b"404")
        response = OutgoingResponse(fields)
        body = response.body()
        ResponseOutparam.set(out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(json.dumps(
                {"path": request.path_with_query(), "asked": asked, "headers": headers, "said": said}).encode())
        OutgoingBody.finish(body, None)
'''


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A component of `wasi:http`, made by componentize-py."""
    place = tmp_path_factory.mktemp("web")
    (place / "app.py").write_text(WEB)
    subprocess.run([ROOT / ".venv/bin/componentize-py", "-d", ROOT / "e2e/wit", "-w", "web",
                    "componentize", "app", "-o", "main.wasm"], cwd=place, check=True, capture_output=True)
    return (place / "main.wasm").read_bytes()


def test_an_http_program_is_called_as_custom_servers_are(own, web):
    host = service()
    cloud = Cloud(own(node__egress_host_ports=str(host.server_port)).start())
    create(cloud, "web", {"main.wasm": web}, timeout=60, internet_access=True)
    reply = cloud.invoke("web", "hello", read_timeout=180_000)
    assert reply.json["path"] == "/invoke" and reply.json["asked"] == "hello"
    headers = reply.json["headers"]
    assert headers["x-fc-request-id"] == reply.headers["x-fc-request-id"]
    assert headers["x-fc-function-name"] == "web" and headers["x-fc-control-path"] == "/invoke"
    reply = cloud.invoke("web", "fail")
    assert reply.error_type == "UnhandledInvocationError" and reply.json["asked"] == "fail"
    # It gets out as every function does: through the proxy, and to the platform by its own door.
    ask = lambda authority: cloud.invoke("web", f"ask {authority}").json["said"]  # noqa: E731
    outside = f"host.stint.internal:{host.server_port}"
    assert ask(outside) == "200"
    assert ask("169.254.169.254:80").startswith("refused")
    assert ask(f"127.0.0.1:{host.server_port}").startswith("refused"), "that loopback is its own"
    assert ask("127.0.0.1:3129").isdigit(), "the platform answers"
    # The network is the function's setting, for a program that tries.
    cloud.update("web", internet_access=False)
    refused = until(lambda: (said := ask(outside)) != "200" and said, "the network is gone")
    assert "Denied" in refused, refused
    host.shutdown()
