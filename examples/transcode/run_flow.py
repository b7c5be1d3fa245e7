"""The same film as one flow: cut, then slices times renditions, merge and verify, decided by the server.

    run_flow.py [--language asl|fdl|cloudflow] [--fresh]

The flow is `flows/transcode.asl.json`, made and started with boto3, or the one in FDL or CloudFlow, with the SDK of the
workflow service; nothing but the endpoint is Stint's. Those two end when the films are taken over: the program
is who takes them, and says so with the token.
"""

import argparse
import hashlib
import json
import secrets
import sys
import time
from pathlib import Path

import boto3
from alibabacloud_fnf20190315 import models as fnf
from alibabacloud_fnf20190315.client import Client
from alibabacloud_tea_openapi.models import Config

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from connect import call  # noqa: E402
from run import HANDLERS, RENDITIONS, bunny, deploy_all, digest, upload  # noqa: E402

FLOW = HERE / "flows/transcode.asl.json"
OTHERS = {"fdl": "transcode-fdl", "cloudflow": "transcode-cloudflow"}


def states():
    key_id, secret = connect.key()
    return boto3.client("stepfunctions", endpoint_url=f"http://{connect.endpoint()}", region_name="us-east-1",
                        aws_access_key_id=key_id, aws_secret_access_key=secret)


def deploy_flow(client) -> str:
    """Makes the flow, or the one that is there so."""
    definition = FLOW.read_text()
    found = [machine["stateMachineArn"] for page in client.get_paginator("list_state_machines").paginate()
             for machine in page["stateMachines"] if machine["name"] == "transcode"]
    if found:
        client.update_state_machine(stateMachineArn=found[0], definition=definition)
        return found[0]
    return client.create_state_machine(name="transcode", definition=definition,
                                       roleArn="arn:aws:iam::000000000000:role/any")["stateMachineArn"]


def run_states(run: dict, name: str) -> tuple[str, list]:
    """With boto3: the flow's name, and the films."""
    client = states()
    machine = deploy_flow(client)
    arn = machine.replace(":stateMachine:", ":execution:") + f":{name}"
    try:
        client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(run))
    except client.exceptions.ExecutionAlreadyExists:
        print("it has been done before: --fresh does it anew")
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.2)
    if found["status"] != "SUCCEEDED":
        raise SystemExit(f"{found['status']}: {found.get('error')}: {found.get('cause')}\n"
                         f"  stint flow history transcode/{name}")
    return "transcode", json.loads(found["output"])


def take_over(functions, client: Client, run: str) -> None:
    """Looks whether the films lie there, and says that they are taken."""
    try:
        lies = json.loads(call(functions, "transcode-get", {"name": f"{run}/delivery.json", "offset": 0}))
    except SystemExit:
        # Not there yet: the function found no such file.
        return
    try:
        client.report_task_succeeded(fnf.ReportTaskSucceededRequest(
            task_token=lies["token"], output='{"taken": true}'))
        print(f"{len(lies['films'])} films are taken over", flush=True)
    except connect.AlibabaCloudException as error:
        # Said before, and the flow has gone on.
        if error.code != "TaskAlreadyCompleted":
            raise


def run_workflow(functions, language: str, run: dict, name: str) -> tuple[str, list]:
    """With the SDK of the workflow service: the flow's name, and the films."""
    key_id, secret = connect.key()
    client = Client(Config(access_key_id=key_id, access_key_secret=secret, protocol="http",
                           endpoint=connect.endpoint(), region_id="local"))
    flow, text = OTHERS[language], (HERE / f"flows/transcode.{language}.yaml").read_text()
    try:
        client.create_flow(fnf.CreateFlowRequest(name=flow, definition=text, description=language, type="FDL"))
    except connect.AlibabaCloudException as error:
        if not connect.is_there_already(error):
            raise
        client.update_flow(fnf.UpdateFlowRequest(name=flow, definition=text))
    try:
        client.start_execution(fnf.StartExecutionRequest(
            flow_name=flow, execution_name=name, input=json.dumps(run)))
    except connect.AlibabaCloudException as error:
        if error.code != "ExecutionAlreadyExists":
            raise
        print("it has been done before: --fresh does it anew")
    while True:
        found = client.describe_execution(fnf.DescribeExecutionRequest(
            flow_name=flow, execution_name=name, wait_time_seconds=1)).body
        if found.status not in ("Starting", "Running"):
            break
        take_over(functions, client, run["run"])
    if found.status != "Succeeded":
        raise SystemExit(f"{found.status}\n  stint flow history {flow}/{name}")
    return flow, json.loads(found.output)["films"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="do it anew, whatever was done before")
    parser.add_argument("--language", choices=["asl", *OTHERS], default="asl", help="of the flow")
    asked = parser.parse_args()

    functions = connect.connect()
    package = connect.pack((HERE / "functions", ""))
    print(f"deploying {len(HANDLERS)} functions that share a directory, and a flow", flush=True)
    deploy_all(functions, package)

    clip = bunny()
    content = hashlib.sha256(clip.read_bytes()).hexdigest()
    source = f"sources/{content[:16]}.mp4"
    print(f"uploading Big Buck Bunny ({clip.stat().st_size / 1e6:.1f} MB)", flush=True)
    upload(functions, clip, source)

    # The name is made of what goes in: the same twice is one execution. A letter begins it, as FnF wants.
    salt = secrets.token_hex(8) if asked.fresh else ""
    text = next(HERE.glob(f"flows/transcode.{asked.language}.*")).read_text()
    parts = (content, hashlib.sha256(package).hexdigest(), text, json.dumps(RENDITIONS), salt)
    name = f"e-{digest(*parts)}"
    run = {"source": source, "run": f"flow-{name}", "seconds": 2,
           "renditions": [{"name": title, "height": height} for title, height in RENDITIONS.items()]}
    started = time.monotonic()
    if asked.language == "asl":
        flow, films = run_states(run, name)
    else:
        flow, films = run_workflow(functions, asked.language, run, name)
    for title, film in zip(RENDITIONS, films):
        print(f"  bunny {title}: {film['codec']} {film['width']}x{film['height']}, {film['frames']} frames, "
              f"{film['duration']:.2f} s, verified")
    print(f"{time.monotonic() - started:.1f} s. See it: stint flow graph --execution {flow}/{name}\n"
          f"            stint flow history {flow}/{name}")


if __name__ == "__main__":
    main()
