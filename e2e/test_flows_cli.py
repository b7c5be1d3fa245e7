"""`stint flow` against a server, and flows that `stint deploy` deploys."""

import json
import threading
import xml.etree.ElementTree as xml

import pytest

from cloud import unique
from server import until

PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"v": 1}, "End": True}}}
WAIT = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "W"}, "W": {"Type": "Wait", "Seconds": 3600, "End": True}}}
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "because"}}}


@pytest.fixture
def cli(server, tmp_path):
    """Runs `stint flow …`; a definition is written to a file first."""
    def run(*arguments, check=True, **more):
        said = []
        for argument in arguments:
            if isinstance(argument, dict):
                file = tmp_path / f"{unique('d')}.json"
                file.write_text(json.dumps(argument))
                argument = file
            said.append(str(argument))
        return server.cli("flow", *said, check=check, **more)
    return run


def answer(done):
    return json.loads(done.stdout)


def made(cli, definition) -> str:
    name = unique("cli")
    cli("create", name, definition)
    return name


def test_a_flow_is_made_changed_and_removed(cli):
    name = unique("cli")
    done = answer(cli("create", name, PASS, "--description", "d", "--env", "A=b", "--tag", "t=u", "-o", "json"))
    assert (done["name"], done["dialect"], done["environment"], done["tags"]) == (
        name, "States Language", {"A": "b"}, {"t": "u"})
    assert name in cli("list", "--prefix", name).stdout
    assert "States Language" in cli("show", name).stdout
    assert json.loads(cli("show", name, "--definition").stdout) == PASS
    cli("update", name, WAIT, "--description", "other")
    assert answer(cli("show", name, "-o", "json"))["description"] == "other"
    assert cli("update", name, check=False).returncode == 2
    assert answer(cli("publish", name, "-o", "json"))["version"] == "1"
    assert "1" in cli("versions", name).stdout
    cli("alias", "set", name, "prod", "--to", "1")
    assert "1=100%" in cli("alias", "list", name).stdout
    cli("alias", "delete", name, "prod")
    assert "A" in cli("graph", "--flow", f"{name}:1").stdout
    cli("delete", name)
    gone = cli("show", name, check=False)
    assert gone.returncode == 3 and "FlowNotExists" in gone.stderr and "stint flow list" in gone.stderr


def test_a_wrong_definition_never_leaves(cli):
    done = cli("create", "bad", {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}, check=False)
    assert done.returncode == 2 and "dangling-target" in done.stderr


def test_an_execution_is_started_and_waited_for(cli):
    name = made(cli, PASS)
    done = cli("start", name, '{"n": 1}', "--name", "one", "--wait", "-o", "json")
    run = answer(done)
    assert (run["status"], run["input"], run["output"]) == ("Succeeded", {"n": 1}, {"v": 1})
    assert "Succeeded" in cli("wait", f"{name}/one").stdout
    again = cli("start", name, "--name", "one", check=False)
    assert again.returncode == 1 and "ExecutionAlreadyExists" in again.stderr
    assert cli("start", name, "{", check=False).returncode == 2
    assert f"{name}/one" in cli("executions", "--flow", name, "--status", "Succeeded").stdout
    assert answer(cli("executions", "--flow", name, "--status", "Failed", "-o", "json"))["items"] == []
    lines = cli("history", f"{name}/one").stdout.splitlines()
    assert "ExecutionStarted" in lines[1] and "ExecutionSucceeded" in lines[-1]
    events = [json.loads(line) for line in cli("history", f"{name}/one", "--follow", "-o", "json").stdout.splitlines()]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert len(cli("history", f"{name}/one", "--after", "2").stdout.splitlines()) == len(lines) - 2
    assert cli("history", "nothing", check=False).returncode == 2


def test_a_failure_is_an_exit_code(cli):
    name = made(cli, FAIL)
    done = cli("start", name, "--name", "one", "--wait", check=False)
    assert done.returncode == 6 and "Failed: Mine: because" in done.stderr, done
    assert cli("wait", f"{name}/one", check=False).returncode == 6
    assert "Mine" in cli("executions", "--flow", name, "--error", "Mine").stdout
    assert "it failed" in cli("why", f"{name}/one").stdout


def test_what_waits_is_explained_drawn_stopped_and_run_again(cli, tmp_path):
    name = made(cli, WAIT)
    cli("start", name, "--name", "one", "--tag", "team=a")
    which = f"{name}/one"
    late = cli("wait", which, "--timeout", "100ms", check=False)
    assert late.returncode == 4 and f"stint flow why {which}" in late.stderr
    why = cli("why", which).stdout
    assert "step W" in why and "it waits until" in why
    drawn = cli("graph", "--execution", which).stdout
    assert [line for line in drawn.splitlines() if " A " in line][0].endswith("✓")
    assert [line for line in drawn.splitlines() if " W " in line][0].endswith("▶ active")
    svg = tmp_path / "run.svg"
    cli("graph", "--execution", which, "--svg", svg)
    assert xml.parse(svg).getroot().tag.endswith("svg") and "active" in svg.read_text()
    live = answer(cli("graph", "--execution", which, "-o", "json"))
    assert {step["name"]: step["live"]["state"] for step in live["steps"]} == {"A": "done", "W": "active"}
    assert "Stopped" in cli("stop", which, "--error", "Enough", "--cause", "for today").stdout
    assert "for today" in cli("show", which).stdout
    assert "Running" in cli("redrive", which).stdout
    assert which in cli("executions", "--tag", "team=a", "--flow", name).stdout
    cli("stop", which)


def test_watching_tells_every_event(cli, server):
    name = made(cli, {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "Next": "P"},
                                                 "P": {"Type": "Pass", "Result": 7, "End": True}}})
    done = cli("start", name, "--watch")
    kinds = [line.split()[2] for line in done.stdout.splitlines() if "StateE" in line or "Execution" in line]
    assert kinds[:2] == ["ExecutionStarted", "WaitStateEntered"] and "Succeeded" in done.stdout, done.stdout


def test_a_stop_is_seen_by_who_follows(cli):
    name = made(cli, WAIT)
    cli("start", name, "--name", "one")
    seen = {}

    def follow():
        seen["done"] = cli("history", f"{name}/one", "--follow", check=False)
    thread = threading.Thread(target=follow)
    thread.start()
    until(lambda: "step W" in cli("why", f"{name}/one").stdout, "it waits", 30)
    cli("stop", f"{name}/one")
    thread.join(timeout=30)
    assert seen["done"].returncode == 6 and "ExecutionAborted" in seen["done"].stdout


def test_an_express_flow_answers_with_its_end(cli):
    name = unique("cli")
    cli("create", name, PASS, "--express")
    assert answer(cli("start", name, "-o", "json"))["output"] == {"v": 1}


def test_a_project_deploys_its_flows(server, tmp_path):
    name = unique("deployed")
    (tmp_path / "flow.json").write_text(json.dumps(PASS))
    (tmp_path / "stint.yaml").write_text(
        f"flows:\n  {name}: flow.json\n  {name}-x: {{definition: flow.json, express: true, tags: {{a: b}}}}\n")

    def deploy(*more, **options):
        return server.cli("deploy", *more, "-o", "json", cwd=tmp_path, **options)
    assert [(d["flow"], d["action"]) for d in answer(deploy())] == [(name, "created"), (f"{name}-x", "created")]
    assert {d["action"] for d in answer(deploy())} == {"unchanged"}
    (tmp_path / "flow.json").write_text(json.dumps(WAIT))
    [only] = answer(deploy(name, "--publish"))
    assert (only["action"], only["version"]) == ("updated", "1")
    (tmp_path / "flow.json").write_text("{}")
    bad = deploy(check=False)
    assert bad.returncode == 2 and name in bad.stderr
