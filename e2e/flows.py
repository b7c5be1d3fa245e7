"""Flows through the official clients: the SDK of the workflow service, and boto3."""

import json
import textwrap

import boto3
import botocore.config
from alibabacloud_fnf20190315 import models as fnf
from alibabacloud_fnf20190315.client import Client as FnfClient
from alibabacloud_tea_openapi.models import Config
from darabonba.runtime import RuntimeOptions

from cloud import unique
from server import until

ENDED = {"Succeeded", "Failed", "Stopped", "TimedOut"}


def workflow(cloud) -> FnfClient:
    """The workflow service as its users reach it; only the endpoint is ours."""
    return FnfClient(Config(access_key_id=cloud.key_id, access_key_secret=cloud.secret, security_token=cloud.token,
                            endpoint=cloud.server.address, protocol="http", region_id="cn-hangzhou"))


def states(cloud, **more):
    """Step Functions. Without `inject_host_prefix=False` boto3 would ask `sync-127.0.0.1`."""
    config = botocore.config.Config(inject_host_prefix=False, retries={"max_attempts": 1}, read_timeout=90)
    return boto3.client("stepfunctions", endpoint_url=f"http://{cloud.server.address}", region_name="us-east-1",
                        aws_access_key_id=cloud.key_id, aws_secret_access_key=cloud.secret,
                        aws_session_token=cloud.token, config=config, **more)


def text(definition) -> str:
    """A definition's text: YAML as it is written in a test, or a value as JSON."""
    return textwrap.dedent(definition) if isinstance(definition, str) else json.dumps(definition)


def create_flow(client, definition, name=None, **more) -> str:
    name = name or unique("flow").replace("-", "_")
    client.create_flow(fnf.CreateFlowRequest(name=name, definition=text(definition), description="made by a test",
                                             type="FDL", **more))
    return name


def start(client, flow, input=None, name=None, **more):
    body = client.start_execution(fnf.StartExecutionRequest(
        flow_name=flow, execution_name=name, input=json.dumps(input if input is not None else {}), **more)).body
    return body.name


def describe(client, flow, execution, wait=0):
    return client.describe_execution_with_options(
        fnf.DescribeExecutionRequest(flow_name=flow, execution_name=execution, wait_time_seconds=wait),
        RuntimeOptions(read_timeout=90_000, connect_timeout=10_000)).body


def ended(client, flow, execution, limit=60):
    """The execution when it has ended, by the long poll."""
    def look():
        found = describe(client, flow, execution, wait=20)
        return found if found.status in ENDED else None
    return until(look, f"{flow}/{execution} has ended", limit, pause=0.01)


def ran(client, flow, input=None, **more):
    return ended(client, flow, start(client, flow, input, **more))


def events(client, flow, execution, page=999) -> list:
    found, token = [], None
    while True:
        body = client.get_execution_history(fnf.GetExecutionHistoryRequest(
            flow_name=flow, execution_name=execution, limit=page, next_token=token)).body
        found += body.events
        token = body.next_token
        if not token:
            return found


def finished(client, arn, limit=60) -> dict:
    """A Step Functions execution when it has ended."""
    def look():
        found = client.describe_execution(executionArn=arn)
        return found if found["status"] != "RUNNING" else None
    return until(look, f"{arn} has ended", limit)
