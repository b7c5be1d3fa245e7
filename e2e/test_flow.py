"""Flow definitions on the command line. No server is needed."""

import json
import os
import subprocess
import xml.etree.ElementTree as xml

import pytest

from server import binary

GOOD = {
    "FDL": """
version: v1
type: flow
steps:
  - {type: task, name: call, resourceArn: "acs:fc:::functions/f", retry: [{errors: [FnF.ALL]}]}
  - {type: succeed, name: done}
""",
    "CloudFlow": """
Type: StateMachine
Name: demo
SpecVersion: v1
StartAt: First
States:
  - {Type: Pass, Name: First, OutputConstructor: {a.$: $Input.b}, End: true}
""",
    "States Language": """{"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "End": true, "Branches": [
  {"StartAt": "L", "States": {"L": {"Type": "Pass", "End": true}}},
  {"StartAt": "R", "States": {"R": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% 1 + 1 %}", "End": true}}}]}}}""",
}

BAD = """version: v1
type: flow
steps:
  - type: task
    name: call
    resourceArn: acs:fc:::functions/f
    catch:
      - errors: [FnF.ALL]
        goto: handel
  - {type: pass, name: handle}
"""


def flow(*arguments, text=None):
    command = [binary(), "flow", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, env={**os.environ, "NO_COLOR": "1"})


@pytest.mark.parametrize("dialect", GOOD)
def test_a_good_definition_is_valid(dialect):
    done = flow("validate", "-", "--output", "json", text=GOOD[dialect])
    assert done.returncode == 0, done.stderr
    [report] = json.loads(done.stdout)
    assert report["valid"] and report["dialect"] == dialect and report["problems"] == []


def test_a_mistake_is_shown_where_it_is(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    done = flow("validate", file)
    assert done.returncode == 2
    assert f"{file}:9:15: error[dangling-target]: " in done.stderr
    assert "goto: handel" in done.stderr and "did you mean `handle`?" in done.stderr
    [report] = json.loads(flow("validate", file, "--output", "json").stdout)
    [problem] = report["problems"]
    assert (problem["line"], problem["column"], problem["path"]) == (9, 15, "/steps/0/catch/0/goto")


def test_jsonata_is_parsed_and_express_is_stricter():
    text = '{"StartAt": "A", "QueryLanguage": "JSONata", "States": {"A": {"Type": "Pass", "Output": "{% ( %}", "End": true}}}'
    done = flow("validate", "-", text=text)
    assert done.returncode == 2 and "error[bad-expression]" in done.stderr
    wait = '{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": true}}}'
    assert flow("validate", "-", text=wait).returncode == 0
    done = flow("validate", "-", "--express", text=wait)
    assert done.returncode == 2 and "not-in-express" in done.stderr


def test_what_is_no_flow_and_what_is_not_there(tmp_path):
    assert "unknown-dialect" in flow("validate", "-", text="a: 1").stderr
    assert "error[syntax]" in flow("validate", "-", text='{"a": 1,}').stderr
    assert flow("validate", tmp_path / "none.json").returncode == 3


def test_a_definition_is_drawn(tmp_path):
    drawn = flow("graph", "-", text=GOOD["States Language"])
    assert drawn.returncode == 0 and "Both  Parallel" in drawn.stdout and "branch 2" in drawn.stdout
    file = tmp_path / "flow.svg"
    assert flow("graph", "-", "--svg", file, text=GOOD["States Language"]).returncode == 0
    names = [text.text for text in xml.parse(file).iter("{http://www.w3.org/2000/svg}text")]
    assert {"Both", "L", "R"} <= set(names)
    graph = json.loads(flow("graph", "-", "--output", "json", text=GOOD["FDL"]).stdout)
    assert [step["name"] for step in graph["steps"]] == ["call", "done"]
    assert flow("graph", "-", text=BAD).returncode == 2
