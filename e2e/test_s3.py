"""Blobs in S3, and code from a bucket, against a real S3 server over HTTP (moto, on a free port)."""

import base64
import io

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cloud import Cloud, fc, pack, refusal
from server import until

ECHO = "def handler(event, context):\n    return event\n"
LARGE = "def handler(event, context):\n    return 'r' * (2 << 20)\n"
KEYS = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_REGION": "us-east-1"}


def zip_bytes(files) -> bytes:
    return base64.b64decode(pack(files))


@pytest.fixture(scope="module")
def bucket():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                          aws_access_key_id="test-key", aws_secret_access_key="test-secret")
    for name in ("blobs", "code"):
        client.create_bucket(Bucket=name)
    client.endpoint = endpoint
    yield client
    server.stop()


@pytest.fixture
def stored(own, bucket):
    server = own(blobs="s3://blobs/stint/one", buckets="media=s3://code/functions")
    inherited = server.environment
    server.environment = lambda: inherited() | KEYS | {"AWS_ENDPOINT": bucket.endpoint, "AWS_ALLOW_HTTP": "true"}
    return server.start()


def names(bucket) -> list[str]:
    return [found["Key"] for found in bucket.list_objects_v2(Bucket="blobs").get("Contents", [])]


def test_blobs_are_in_the_bucket_and_come_back(stored, bucket):
    cloud = Cloud(stored)
    cloud.create("echo", ECHO, task_mode=True)
    cloud.create("large", LARGE, task_mode=True)
    payload = "p" * (1 << 20)
    task = cloud.submit("echo", payload)
    result = cloud.submit("large")
    assert cloud.ended("echo", task).return_payload == payload
    assert cloud.ended("large", result).status == "Succeeded"
    assert cloud.request("GET", f"/v1/functions/large/tasks/{result}/result").body == b"r" * (2 << 20)
    found = names(bucket)
    assert all(name.startswith("stint/one/") for name in found)
    for area in ("code", "payload", "result"):
        assert any(name.startswith(f"stint/one/{area}/") for name in found), (area, found)
    assert not [path for path in stored.dir.rglob("blobs/*") if path.is_file()], "and not on this disk"
    stored.kill()
    stored.start()
    cloud = Cloud(stored)
    assert cloud.invoke("echo", "after a crash").body == b"after a crash"
    assert cloud.request("GET", f"/v1/functions/echo/tasks/{task}/payload").body == payload.encode()
    used = cloud.v1("GET", "/accounts/root")["usage"]
    until(lambda: cloud.v1("GET", "/accounts/root")["usage"]["taskBytes"] == 3 << 20, f"counted again: {used}")
    before = [name for name in names(bucket) if "/code/" in name]
    cloud.delete("echo")
    assert len([name for name in names(bucket) if "/code/" in name]) == len(before) - 1


def test_code_from_a_bucket(stored, bucket):
    cloud = Cloud(stored)
    text = "def handler(event, context):\n    return 'from the bucket'\n"
    bucket.upload_fileobj(io.BytesIO(zip_bytes({"index.py": text})), "code", "functions/v1/hello.zip")
    location = fc.InputCodeLocation(oss_bucket_name="media", oss_object_name="v1/hello.zip")
    made = cloud.create("hello", ECHO, code=location)
    assert made.code_size > 0 and cloud.invoke("hello").body == b"from the bucket"
    layer = cloud.sdk.create_layer_version("lib", fc.CreateLayerVersionRequest(
        body=fc.CreateLayerVersionInput(code=location))).body
    assert layer.code_checksum == made.code_checksum
    cloud.update("hello", files={"index.py": ECHO})
    assert cloud.invoke("hello", "inline").body == b"inline"
    for wrong, says in (({"oss_bucket_name": "other", "oss_object_name": "x"}, "'other' is not configured"),
                        ({"oss_bucket_name": "media", "oss_object_name": "v1/none.zip"}, "does not exist"),
                        ({"oss_bucket_name": "media", "oss_object_name": "../../blobs/x"}, "does not exist"),
                        ({"oss_bucket_name": "media"}, "Either ossBucketName/ossObjectName or zipFile")):
        error = refusal(lambda: cloud.create("wrong", ECHO, code=fc.InputCodeLocation(**wrong)))
        assert (error.status_code, error.code) == (400, "InvalidArgument") and says in error.message, error.message
    checked = fc.InputCodeLocation(oss_bucket_name="media", oss_object_name="v1/hello.zip", checksum="1")
    assert "checksum" in refusal(lambda: cloud.create("wrong", ECHO, code=checked)).message


def test_a_bucket_that_is_not_there_is_told(own, bucket):
    server = own(blobs="s3://no-such-bucket")
    inherited = server.environment
    server.environment = lambda: inherited() | KEYS | {"AWS_ENDPOINT": bucket.endpoint, "AWS_ALLOW_HTTP": "true"}
    server.start()
    error = refusal(lambda: Cloud(server).create("f", ECHO))
    assert (error.status_code, error.code) == (500, "InternalServerError")
    until(lambda: "no-such-bucket" in server.said(), "the log says which")
