"""Commands in living instances: over upstream's WebSocket, and with `stint instance exec`."""

import json
import os
import signal
import subprocess
import threading

import pytest

from cloud import Cloud, unique
from server import binary, until
from visit import Command, Refused

SECRET = "the function's own"
WHO = """
    import os
    def handler(event, context):
        open("/tmp/called", "w").write(event.decode())
        return '"%s"' % os.environ["FC_INSTANCE_ID"]
    """
SERVER = """
    import http.server, os
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(('"%s"' % os.environ["FC_INSTANCE_ID"]).encode())
        do_GET = do_POST
        def log_message(self, *args): pass
    http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
    """


@pytest.fixture(scope="module")
def living(cloud):
    """A function and its instance."""
    name = unique("visited")
    cloud.create(name, WHO, environment_variables={"OWN": SECRET}, timeout=60)
    return name, cloud.invoke(name, b"hello").json


def run(server, living, *command, feed=b"", **query):
    name, instance = living
    running = Command(server, name, instance, list(command), stdin=True, **query)
    if feed:
        running.send(feed)
    running.end_input()
    return running.whole()


def test_a_command_sees_what_the_function_sees(server, living):
    done = run(server, living, "sh", "-c", "cat; cat /tmp/called; echo $OWN $PWD; echo oops >&2; exit 3", feed=b"in ")
    assert done.out.decode() == f"in hello{SECRET} /code\n"
    assert done.err == b"oops\n"
    assert done.closed == (1000, "exit 3")
    assert run(server, living, "sh", "-c", "kill -9 $$").closed == (1000, "signal 9")
    # Upstream's tools need no end of input: without it there is none.
    name, instance = living
    done = Command(server, name, instance, ["cat"], stdin="false", stdout="true", stderr="true", tty="false").whole()
    assert (done.out, done.closed) == (b"", (1000, "exit 0"))


def test_a_command_is_behind_the_instances_walls(server, living):
    done = run(server, living, "sh", "-c", "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status")
    facts = done.out.decode().split()
    assert facts[0] == "1000"
    assert dict(zip(facts[1::2], facts[2::2])) == {"CapEff:": "0000000000000000", "NoNewPrivs:": "1", "Seccomp:": "2"}
    for attempt in ("cat /etc/shadow", "echo x > /code/x", "echo x > /usr/x", "mount -t tmpfs none /tmp", "unshare -r true",
                    "chroot / true", "cat /proc/1/environ", "ls /root"):
        assert run(server, living, "sh", "-c", attempt).closed != (1000, "exit 0"), attempt
    # Within its memory, which is the instance's: the probe dies, as the positive control does not.
    fill = "b = bytearray({} << 20); b[::4096] = b'x' * len(b[::4096])"
    assert run(server, living, "python3", "-c", fill.format(8)).closed == (1000, "exit 0")


def test_a_command_counts_against_the_instances_limits(cloud, server):
    name = unique("small")
    cloud.create(name, WHO, memory_size=128, cpu=0.1)
    living = name, cloud.invoke(name).json
    fill = "b = bytearray(512 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1"
    done = run(server, living, "python3", "-c", fill)
    assert done.closed != (1000, "exit 0"), "it has more memory than its function"


@pytest.mark.parametrize("runtime, files, more", [
    ("nodejs20", {"index.js": "exports.handler = async () => JSON.stringify(process.env.FC_INSTANCE_ID);\n"}, {}),
    ("custom.debian12", {"bootstrap.py": SERVER}, {"command": ["python3", "/code/bootstrap.py"]}),
])
def test_every_contract_takes_commands(cloud, server, runtime, files, more):
    name = unique("kinds")
    if more:
        from cloud import fc
        more = {"custom_runtime_config": fc.CustomRuntimeConfig(command=more["command"], port=9000)}
    cloud.create(name, files, runtime=runtime, **more)
    living = name, cloud.invoke(name).json
    assert run(server, living, "echo", "there").out == b"there\n"
    assert cloud.invoke(name).json == living[1], "it goes on serving"


def test_a_terminal_is_one(server, living):
    name, instance = living
    shell = Command(server, name, instance, ["sh"], stdin=True, tty=True, columns=91, rows=17)
    shell.send(b"tty -s && stty size\n")
    shell.hear_until(lambda: b"17 91" in shell.out)
    # What it reads it says again: it has the terminal by then, and not the shell.
    shell.send(b"cat\n")
    shell.send(b"ping\n")
    shell.hear_until(lambda: shell.out.count(b"ping") >= 2)
    prompts = shell.out.count(b"$ ")
    shell.send(b"\x03")
    shell.hear_until(lambda: shell.out.count(b"$ ") > prompts)
    shell.send(b"echo a''live; exit 4\n")
    shell.whole()
    assert b"alive" in shell.out and shell.err == b""
    assert shell.closed == (1000, "exit 4")
    # The end of input is the one that is typed.
    shell = Command(server, name, instance, ["cat"], stdin=True, tty=True)
    shell.end_input()
    assert shell.whole().closed == (1000, "exit 0")


def test_much_goes_both_ways(server, living):
    name, instance = living
    sent = os.urandom(3 << 20)
    running = Command(server, name, instance, ["cat"], stdin=True)

    def feed():
        for at in range(0, len(sent), 100_000):
            running.send(sent[at:at + 100_000])
        running.end_input()

    feeder = threading.Thread(target=feed)
    feeder.start()
    running.whole()
    feeder.join()
    assert running.out == sent and running.closed == (1000, "exit 0")
    # A ping is answered.
    running = Command(server, name, instance, ["cat"], stdin=True)
    running.send(b"there?", 9)
    running.ponged = None
    running.hear_until(lambda: running.ponged == b"there?")
    running.end_input()
    running.whole()


def test_who_leaves_ends_the_command(server, living):
    name, instance = living
    running = Command(server, name, instance, ["sh", "-c", "sleep 987654 & echo up; wait"], stdin=True)
    running.hear_until(lambda: b"up" in running.out)
    running.socket.close()
    seen = lambda: run(server, living, "sh", "-c", "grep -l '[9]87654' /proc/[0-9]*/cmdline").out
    until(lambda: b"/proc" not in seen(), "it and what it began have ended")


def test_the_instances_end_ends_the_command(cloud, server):
    name = unique("ending")
    cloud.create(name, WHO)
    instance = cloud.invoke(name).json
    running = Command(server, name, instance, ["sleep", "1000"], stdin=True)
    cloud.v1("POST", f"/instances/{instance}/stop", now="true")
    code, why = running.whole().closed
    assert code == 1008 and "instance" in why
    with pytest.raises(Refused) as refused:
        Command(server, name, instance, ["true"])
    assert refused.value.status in (400, 404), "it ends, or has ended"


def test_who_may_not_is_refused(cloud, server, living):
    name, instance = living
    for role, status in [("viewer", 403), ("invoker", 403), ("developer", None)]:
        made = json.loads(server.cli("key", "create", role, "-o", "json").stdout)
        key = made["id"], made["secret"]
        if status is None:
            assert Command(server, name, instance, ["true"], key=key).whole().closed == (1000, "exit 0")
            continue
        with pytest.raises(Refused) as refused:
            Command(server, name, instance, ["true"], key=key)
        assert refused.value.status == status, role
    cases = [(["no-such-program"], name, instance, 400, "no such program"), (["true"], "nobody", instance, 404, "FunctionNotFound"),
             (["true"], name, "c-00000000-00000000-000000000000", 404, "ResourceNotFound")]
    for command, function, which, status, text in cases:
        with pytest.raises(Refused) as refused:
            Command(server, function, which, command)
        assert (refused.value.status, text in refused.value.body) == (status, True), refused.value
    # A captured request runs nothing a second time.
    first = Command(server, name, instance, ["true"])
    first.whole()
    with pytest.raises(Refused) as refused:
        Command(server, name, instance, ["true"], replay=first.said)
    assert "RequestReplayed" in refused.value.body
    entries = cloud.v1("GET", "/audit")["items"]
    told = [entry for entry in entries if entry["action"] == "stint:ExecInstance" and instance in entry["resource"]]
    assert told and told[0]["detail"]


def test_the_command_line_runs_commands(server, living):
    name, instance = living

    def execute(*arguments, feed=b""):
        return subprocess.run([binary(), "--data", str(server.dir), "instance", "exec", *arguments], input=feed,
                              capture_output=True, env=server.environment(), timeout=60)

    done = execute(instance, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, b"out\n"), done.stderr
    assert done.stderr.startswith(b"err\n")
    fed = execute("--function", name, instance, "--", "cat", feed=b"x" * 1_000_000)
    assert (fed.returncode, fed.stdout) == (0, b"x" * 1_000_000), fed.stderr
    assert execute("c-00000000-00000000-000000000000", "--", "true").returncode == 3


def test_a_frozen_instance_wakes_for_a_command(own):
    server = own(node__freeze="true").start()
    cloud = Cloud(server)
    name = unique("frozen")
    cloud.create(name, WHO)
    living = name, cloud.invoke(name).json
    assert run(server, living, "echo", "awake").out == b"awake\n"
    assert cloud.invoke(name).json == living[1]
    server.kill()
