"""Three flows in three languages, through the official SDKs: a saga that undoes what it did, an approval
that waits for a person, and an ETL that waits for an outside system.

    run.py
"""

import json
import secrets
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from alibabacloud_fnf20190315 import models as fnf  # noqa: E402
from alibabacloud_fnf20190315.client import Client  # noqa: E402
from alibabacloud_tea_openapi.models import Config  # noqa: E402

import connect  # noqa: E402
from connect import call, fc  # noqa: E402

HANDLERS = ("reserve", "charge", "release", "ask", "pay", "begin", "look", "parts", "load", "read", "put")
FLOWS = {"shop-saga": "saga.asl.json", "shop-approval": "approval.fdl.yaml", "shop-etl": "etl.cloudflow.yaml"}


def workflow() -> Client:
    key_id, secret = connect.key()
    return Client(Config(access_key_id=key_id, access_key_secret=secret, protocol="http",
                         endpoint=connect.endpoint(), region_id="local"))


def deploy_flow(client: Client, name: str, file: Path) -> None:
    """Makes the flow, or the one that is there so."""
    text = file.read_text()
    try:
        client.create_flow(fnf.CreateFlowRequest(name=name, definition=text, description=file.name, type="FDL"))
    except connect.AlibabaCloudException as error:
        if not connect.is_there_already(error):
            raise
        client.update_flow(fnf.UpdateFlowRequest(name=name, definition=text))


def start(client: Client, flow: str, given: dict) -> str:
    return client.start_execution(fnf.StartExecutionRequest(flow_name=flow, input=json.dumps(given))).body.name


def ended(client: Client, flow: str, execution: str):
    """The long poll, until it has ended."""
    while True:
        found = client.describe_execution(fnf.DescribeExecutionRequest(
            flow_name=flow, execution_name=execution, wait_time_seconds=5)).body
        if found.status not in ("Starting", "Running"):
            return found


def until(look):
    deadline = time.monotonic() + 60
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit("nothing happened within a minute")
        time.sleep(0.1)
    return found


def main() -> None:
    functions, client = connect.connect(), workflow()
    package = connect.zip_file(connect.pack((HERE / "functions", "")))
    print(f"deploying {len(HANDLERS)} functions and {len(FLOWS)} flows", flush=True)
    shared = fc.NASConfig(user_id=0, group_id=0, mount_points=[
        fc.NASMountConfig(server_addr="volume:shop", mount_dir="/mnt/shop")])
    for handler in HANDLERS:
        connect.deploy(functions, f"shop-{handler}", runtime="python3.10", handler=f"index.{handler}", cpu=0.1,
                       memory_size=128, timeout=60, code=package, nas_config=shared)
    for name, file in FLOWS.items():
        deploy_flow(client, name, HERE / "definitions" / file)

    def lies(name):
        return json.loads(call(functions, "shop-read", {"name": name}))["text"]

    order = secrets.token_hex(4)
    good = ended(client, "shop-saga", start(client, "shop-saga", {"order": order, "amount": 20}))
    print(f"saga: {good.status}, the seat is {lies(f'seats/{order}')}")
    dear = secrets.token_hex(4)
    bad = ended(client, "shop-saga", start(client, "shop-saga", {"order": dear, "amount": 200}))
    free = "free again" if lies(f"seats/{dear}") is None else "still taken"
    print(f"saga: {bad.status} because the card does not cover it, and the seat is {free}", flush=True)

    execution = start(client, "shop-approval", {"order": order, "amount": 20})
    question = json.loads(until(lambda: lies(f"questions/{order}")))
    print(f"approval: somebody is asked about {question['amount']}, and says yes", flush=True)
    client.report_task_succeeded(fnf.ReportTaskSucceededRequest(
        task_token=question["token"], output='{"approved": true}'))
    print(f"approval: {(done := ended(client, 'shop-approval', execution)).status}, {done.output}", flush=True)

    execution = start(client, "shop-etl", {"export": order})
    print("etl: the outside system is still at it", flush=True)
    call(functions, "shop-put", {"name": f"exports/{order}", "text": json.dumps(
        [{"rows": [1, 2, 3]}, {"rows": [4, 5]}, {"rows": [6]}])})
    done = ended(client, "shop-etl", execution)
    rows = sum(item["rows"] for item in json.loads(done.output)["Items"])
    print(f"etl: {done.status}, {rows} rows\nSee them: stint flow executions --prefix {execution}\n"
          f"          stint flow graph --execution shop-etl/{execution}")


if __name__ == "__main__":
    main()
