"""The client commands, as a user types them."""

import json
import os
import pty
import subprocess

import pytest

from cloud import Cloud, fc, unique
from server import until


def said(server, *arguments, **how):
    return json.loads(server.cli(*arguments, "--output", "json", **how).stdout)


@pytest.fixture
def project(server, tmp_path):
    """A project from a template, deployed under a name of its own."""
    server.cli("init", "python3.10", cwd=tmp_path)
    found = [path for path in tmp_path.rglob("stint.yaml")]
    assert len(found) == 1
    text, name = found[0].read_text(), unique("cli")
    lines = text.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("functions:"))
    old = next(line for line in lines[at + 1:] if line.strip() and not line.strip().startswith("#"))
    found[0].write_text(text.replace(old, f"  {name}:", 1))
    server.cli("deploy", cwd=found[0].parent)
    return name, found[0].parent


@pytest.mark.parametrize("runtime", ["python3.10", "nodejs20", "custom"])
def test_a_template_of_each_runtime_deploys_and_runs(server, tmp_path, runtime):
    server.cli("init", runtime, cwd=tmp_path)
    home = next(tmp_path.rglob("stint.yaml")).parent
    server.cli("deploy", cwd=home)
    text = (home / "stint.yaml").read_text().splitlines()
    at = next(n for n, line in enumerate(text) if line.startswith("functions:"))
    name = next(line for line in text[at + 1:] if line.strip() and "#" not in line).strip(" :")
    done = server.cli("invoke", name, '{"name": "you"}')
    assert "you" in done.stdout or done.stdout.strip()
    again = server.cli("deploy", cwd=home)
    assert again.returncode == 0


def test_invoke_and_tail(server, echo):
    done = server.cli("invoke", echo, '{"say": "into the log", "answer": "out"}', "--tail")
    assert done.stdout.strip() == "out" and "into the log" in done.stderr + done.stdout


def test_tasks_on_the_command_line(server, echo, tmp_path):
    task_id = unique("c")
    server.cli("task", "submit", echo, '{"say": "logged", "answer": 7}', "--task-id", task_id, "--tag", "from=cli")
    ref = f"{echo}/{task_id}"
    done = said(server, "task", "wait", ref, "--timeout", "30s")
    assert done["state"] == "Succeeded"
    assert said(server, "task", "get", ref)["taskId"] == task_id
    assert said(server, "why", ref)["state"] == "Succeeded"
    assert "logged" in until(lambda: server.cli("task", "logs", ref).stdout, "logs")
    found = server.cli("logs", "--task", task_id, "--text", "logged").stdout
    assert found.count("logged") == 1 and echo in found, found
    assert "logged" in server.cli("logs", "--request", said(server, "task", "get", ref)["requestId"]).stdout
    found = until(lambda: server.cli("task", "list", "--function", echo, "--tag", "from=cli").stdout, "the tag")
    assert task_id in found
    lines = tmp_path / "lines.txt"
    lines.write_text("one\ntwo\nthree\n")
    assert "3" in server.cli("task", "submit", echo, "--lines", str(lines)).stdout
    server.cli("task", "submit", echo, '{"raise": "no"}', "--task-id", task_id + "-bad")
    assert server.cli("task", "wait", ref + "-bad", "--timeout", "30s", check=False).returncode == 6


def test_exit_codes(server, echo):
    code = lambda *a, **how: server.cli(*a, check=False, **how).returncode  # noqa: E731
    assert code("task", "get", f"{echo}/nobody") == 3
    assert code("no-such-command") == 2
    assert code("task", "list", "--endpoint", "127.0.0.1:1") == 5
    assert code("task", "list", env={"STINT_ACCESS_KEY_ID": "x", "STINT_ACCESS_KEY_SECRET": "y"}) == 7
    assert code("invoke", echo, '{"raise": "failed"}') == 6
    late = said(server, "task", "submit", echo, "{}", "--delay", "1h")
    task_id = (late if isinstance(late, dict) else late[0])["taskId"]
    assert code("task", "wait", f"{echo}/{task_id}", "--timeout", "100ms") == 4
    assert code("task", "stop", f"{echo}/{task_id}") == 0


def test_errors_say_what_to_do(server):
    done = server.cli("task", "get", "nobody/x", check=False)
    assert done.stdout == "" and done.stderr.strip()
    error = json.loads(server.cli("task", "get", "nobody/x", "--output", "json", check=False).stderr)
    assert error


def test_backlogs_accounts_keys_functions(server, echo):
    server.cli("backlog", "pause", echo)
    assert "true" in json.dumps(said(server, "backlog", "show", echo)).lower()
    server.cli("backlog", "resume", echo)
    assert echo in server.cli("function", "list").stdout
    name = unique("acct")
    server.cli("account", "create", name)
    assert name in server.cli("account", "list").stdout
    assert "secret" in server.cli("key", "create", "viewer").stdout.lower()
    assert server.key[0] in server.cli("key", "list").stdout


def test_settings_doctor_version_completion(server):
    shown = server.cli("config", "show").stdout
    assert "listen.control" in shown and "default" in shown
    assert "python" in server.cli("doctor", check=False).stdout
    assert server.cli("version").stdout.strip()
    for shell in ("bash", "zsh", "fish"):
        assert "stint" in server.cli("completion", shell).stdout
    assert json.loads(server.cli("openapi").stdout)["openapi"]


def test_yaml_and_colour(server, echo):
    assert "name:" in server.cli("function", "list", "--output", "yaml").stdout
    assert "\x1b[" not in server.cli("function", "list").stdout
    primary, secondary = pty.openpty()
    environment = {k: v for k, v in server.environment().items() if k != "NO_COLOR"} | {"TERM": "xterm-256color"}
    process = subprocess.Popen(server.command("task", "list"), stdout=secondary, stderr=secondary, env=environment)
    os.close(secondary)
    shown = b""
    try:
        while chunk := os.read(primary, 4096):
            shown += chunk
    except OSError:
        pass
    assert process.wait(timeout=20) == 0


def test_deploying_twice_changes_nothing(server, project):
    name, home = project
    before = said(server, "function", "get", name)
    server.cli("deploy", cwd=home)
    assert said(server, "function", "get", name) == before
    for _ in range(2):
        server.cli("deploy", "--publish", cwd=home)
    assert len(Cloud(server).sdk.list_function_versions(name, fc.ListFunctionVersionsRequest()).body.versions) == 1


def test_a_deployment_that_changes_nothing_says_so(server, project):
    name, home = project
    file = home / "stint.yaml"
    text = file.read_text()
    more = "    limits: {instances: 3, concurrency: 2}\n"
    file.write_text(text.replace(f"  {name}:\n", f"  {name}:\n{more}", 1))

    def action() -> str:
        return said(server, "deploy", cwd=home)[0]["action"]

    assert [action(), action()] == ["updated", "unchanged"]
    file.write_text(file.read_text().replace("concurrency: 2", "concurrency: 4"))
    assert [action(), action()] == ["updated", "unchanged"]


WAITER = """
import time

def handler(event, context):
    print("begun", flush=True)
    time.sleep(float(event))
    print("done", flush=True)
    return "slept"
"""


def test_waiting_and_following_outlive_a_restart(own):
    server = own().start()
    cloud = Cloud(server)
    cloud.create("sleeper", {"index.py": WAITER}, task_mode=True)
    cloud.submit("sleeper", "3", "w-1")
    cloud.in_state("sleeper", "w-1", "Running")
    waits = [subprocess.Popen(server.command("task", *what, "sleeper/w-1"), env=server.environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for what in (["wait", "--timeout", "60s"], ["logs", "--follow"])]
    assert waits[1].stdout.readline().startswith("FC Invoke Start")
    # The commands have read the address: the server comes back where it was.
    server.listen = server.address
    server.kill()
    server.start()
    waited, followed = ((*process.communicate(timeout=60), process.returncode) for process in waits)
    assert waited[2] == 0 and "Succeeded" in waited[0], waited
    assert "waiting for it" in waited[1]
    assert followed[2] == 0 and followed[0].count("done") == 1, followed


def test_a_wait_without_a_server_ends_at_once(own):
    server = own().start()
    server.stop()
    assert server.cli("task", "wait", "a/b", check=False).returncode == 5
