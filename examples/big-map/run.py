"""A map over 100,000 rows of a file: read in batches, worked off at once, results written beside it.

    run.py --directory DIR [--bucket NAME] [--rows N]

DIR is the directory behind the bucket, as the server was told: stint up --set buckets=shop=file://DIR
"""

import argparse
import json
import random
import secrets
import sys
import time
from pathlib import Path

import boto3

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402


def states():
    key_id, secret = connect.key()
    return boto3.client("stepfunctions", endpoint_url=f"http://{connect.endpoint()}", region_name="us-east-1",
                        aws_access_key_id=key_id, aws_secret_access_key=secret)


def deploy_flow(client) -> str:
    """Makes the flow, or the one that is there so."""
    definition = (HERE / "flows/tally.asl.json").read_text()
    found = [machine["stateMachineArn"] for page in client.get_paginator("list_state_machines").paginate()
             for machine in page["stateMachines"] if machine["name"] == "big-map"]
    if found:
        client.update_state_machine(stateMachineArn=found[0], definition=definition)
        return found[0]
    return client.create_state_machine(name="big-map", definition=definition,
                                       roleArn="arn:aws:iam::000000000000:role/any")["stateMachineArn"]


def write_rows(file: Path, count: int) -> int:
    """Sales of a month; gives what they come to in cents."""
    dice, total = random.Random(7), 0
    with file.open("w") as out:
        out.write("order,article,cents\n")
        for number in range(count):
            cents = dice.randrange(1, 100_000)
            total += cents
            out.write(f'{number},"article {dice.randrange(500)}, boxed",{cents}\n')
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, required=True, help="what the bucket's URL names")
    parser.add_argument("--bucket", default="shop", help="the bucket, as configured")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the file")
    asked = parser.parse_args()

    functions, client = connect.connect(), states()
    package = connect.zip_file(connect.pack((HERE / "functions", "")))
    connect.deploy(functions, "big-map-tally", runtime="python3.10", handler="index.tally", cpu=0.25,
                   memory_size=256, timeout=60, code=package)
    machine = deploy_flow(client)

    key = f"sales-{secrets.token_hex(4)}.csv"
    total = write_rows(asked.directory / key, asked.rows)
    print(f"{asked.rows} rows lie in {asked.bucket}/{key}", flush=True)
    started = time.monotonic()
    given = {"bucket": asked.bucket, "key": key, "month": "2026-11"}
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]
    run, seen = None, -1
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        run = run or next(iter(client.list_map_runs(executionArn=arn)["mapRuns"]), None)
        if run:
            counts = client.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
            if counts["succeeded"] != seen:
                seen = counts["succeeded"]
                print(f"  {seen} of {counts['total']} items done", flush=True)
        time.sleep(0.5)
    if found["status"] != "SUCCEEDED":
        raise SystemExit(f"{found['status']}: {found.get('error')}: {found.get('cause')}")
    manifest = json.loads((asked.directory / json.loads(found["output"])["ResultWriterDetails"]["Key"]).read_text())
    lines = [json.loads(line) for file in manifest["ResultFiles"]["SUCCEEDED"]
             for line in (asked.directory / file["Key"]).read_text().splitlines()]
    rows, cents = sum(line["rows"] for line in lines), sum(line["cents"] for line in lines)
    if (rows, cents) != (asked.rows, total):
        raise SystemExit(f"{rows} rows with {cents} cents came back, {asked.rows} with {total} went in")
    print(f"{rows} rows in {len(lines)} batches, {cents / 100:.2f} in all, {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
