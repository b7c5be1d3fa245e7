"""The same film as one flow: cut, then slices times renditions, merge and verify, decided by the server.

    run_flow.py [--fresh]

The flow is `flows/transcode.asl.json`, made and started with boto3; nothing but its endpoint is Stint's.
"""

import argparse
import hashlib
import json
import secrets
import sys
import time
from pathlib import Path

import boto3

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from run import RENDITIONS, bunny, deploy_all, digest, upload  # noqa: E402

FLOW = HERE / "flows/transcode.asl.json"


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="do it anew, whatever was done before")
    asked = parser.parse_args()

    functions = connect.connect()
    package = connect.pack((HERE / "functions", ""))
    print("deploying seven functions that share a directory, and a flow", flush=True)
    deploy_all(functions, package)
    client = states()
    machine = deploy_flow(client)

    clip = bunny()
    content = hashlib.sha256(clip.read_bytes()).hexdigest()
    source = f"sources/{content[:16]}.mp4"
    print(f"uploading Big Buck Bunny ({clip.stat().st_size / 1e6:.1f} MB)", flush=True)
    upload(functions, clip, source)

    # The name is made of what goes in: the same twice is one execution.
    salt = secrets.token_hex(8) if asked.fresh else ""
    name = digest(content, hashlib.sha256(package).hexdigest(), FLOW.read_text(), json.dumps(RENDITIONS), salt)
    run = {"source": source, "run": f"flow-{name}", "seconds": 2,
           "renditions": [{"name": title, "height": height} for title, height in RENDITIONS.items()]}
    arn = machine.replace(":stateMachine:", ":execution:") + f":{name}"
    started = time.monotonic()
    try:
        client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(run))
    except client.exceptions.ExecutionAlreadyExists:
        print("it has been done before: --fresh does it anew")
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.2)
    if found["status"] != "SUCCEEDED":
        raise SystemExit(f"{found['status']}: {found.get('error')}: {found.get('cause')}\n"
                         f"  stint flow history transcode/{name}")
    for title, film in zip(RENDITIONS, json.loads(found["output"])):
        print(f"  bunny {title}: {film['codec']} {film['width']}x{film['height']}, {film['frames']} frames, "
              f"{film['duration']:.2f} s, verified")
    print(f"{time.monotonic() - started:.1f} s. See it: stint flow graph --execution transcode/{name}\n"
          f"            stint flow history transcode/{name}")


if __name__ == "__main__":
    main()
