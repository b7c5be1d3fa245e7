"""Buckets and objects through boto3, the AWS CLI and our own commands; ends of the server while they are used."""

import concurrent.futures
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import textwrap
import threading
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloud import Cloud, fc, pack, refusal, unique
from server import Server, until

MIB = 1 << 20
PART = 5 * MIB


def endpoint(server: Server) -> str:
    return "http://" + (server.dir / "s3-address").read_text().strip()


def s3_of(cloud: Cloud, token: str | None = None, **more):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **more)
    return boto3.client("s3", endpoint_url=endpoint(cloud.server), region_name="local", config=config,
                        aws_access_key_id=cloud.key_id, aws_secret_access_key=cloud.secret, aws_session_token=token)


@pytest.fixture
def s3(cloud):
    return s3_of(cloud)


@pytest.fixture
def bucket(s3):
    name = unique("bucket")
    s3.create_bucket(Bucket=name)
    return name


def code(call) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def content(size: int, seed: int = 1) -> bytes:
    block = hashlib.sha256(str(seed).encode()).digest() * 2048
    return (block * (size // len(block) + 1))[:size]


def keys(s3, bucket: str, **query) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, **query).get("Contents", [])]


# --- Buckets ----------------------------------------------------------------------------------------


def test_buckets_come_and_go(s3):
    name = unique("come")
    assert s3.create_bucket(Bucket=name)["Location"] == f"/{name}"
    assert name in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "local"
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "local"
    assert code(lambda: s3.create_bucket(Bucket=name)) == (409, "BucketAlreadyOwnedByYou")
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    assert code(lambda: s3.delete_bucket(Bucket=name)) == (409, "BucketNotEmpty")
    s3.put_object(Bucket=name, Key="k2", Body=b"x")
    s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k"}, {"Key": "k2"}]})
    s3.delete_bucket(Bucket=name)
    assert code(lambda: s3.head_bucket(Bucket=name))[0] == 404
    assert code(lambda: s3.put_object(Bucket=name, Key="k", Body=b"x")) == (404, "NoSuchBucket")
    assert code(lambda: s3.get_object(Bucket=name, Key="k")) == (404, "NoSuchBucket")
    assert code(lambda: s3.list_objects_v2(Bucket=name)) == (404, "NoSuchBucket")
    assert code(lambda: s3.delete_bucket(Bucket=name)) == (404, "NoSuchBucket")


def test_buckets_belong_to_accounts(cloud, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"mine")
    other = s3_of(cloud.as_role("admin", account=cloud.account(unique("other"))))
    assert other.list_buckets()["Buckets"] == []
    assert code(lambda: other.get_object(Bucket=bucket, Key="k")) == (404, "NoSuchBucket")
    other.create_bucket(Bucket=bucket)
    other.put_object(Bucket=bucket, Key="k", Body=b"theirs")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"mine"
    assert code(lambda: other.copy_object(Bucket=bucket, Key="x", CopySource=f"{bucket}/none"))[1] == "NoSuchKey"


# --- Objects ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 2 * MIB, 2 * MIB + 1, 7 * MIB + 3])
def test_an_object_comes_back_as_it_was(s3, bucket, size):
    body = content(size)
    put = s3.put_object(Bucket=bucket, Key=f"a/{size}", Body=body, ContentType="text/x", CacheControl="no-store",
                        ContentDisposition="attachment", Metadata={"Who": "me", "what": "a b"})
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    assert put["ETag"] == etag
    got = s3.get_object(Bucket=bucket, Key=f"a/{size}")
    assert got["Body"].read() == body and got["ContentLength"] == size
    assert (got["ETag"], got["ContentType"], got["CacheControl"]) == (etag, "text/x", "no-store")
    assert got["Metadata"] == {"who": "me", "what": "a b"} and got["ContentDisposition"] == "attachment"
    head = s3.head_object(Bucket=bucket, Key=f"a/{size}")
    assert (head["ContentLength"], head["ETag"], head["Metadata"]) == (size, etag, got["Metadata"])


def test_odd_keys(s3, bucket):
    odd = ["a b", "a+b", "ü/ö", "a//b", "../up", "%41", "a&b=c", "a'b\"c", "e" * 1024, "/leading", "trailing/", "日本"]
    for key in odd:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in odd:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode(), key
    assert keys(s3, bucket) == sorted(odd, key=str.encode)
    assert code(lambda: s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b""))[0] == 400
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in odd]})
    assert keys(s3, bucket) == []


def test_ranges_and_conditions(s3, bucket):
    body = content(5 * MIB)
    etag = s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"]

    def get(text):
        got = s3.get_object(Bucket=bucket, Key="k", Range=text)
        return got["Body"].read(), got["ContentRange"], got["ResponseMetadata"]["HTTPStatusCode"]

    size = len(body)
    for first, last in [(0, 0), (0, 99), (2 * MIB - 1, 2 * MIB), (size - 1, size - 1), (3, size - 4)]:
        assert get(f"bytes={first}-{last}") == (body[first:last + 1], f"bytes {first}-{last}/{size}", 206)
    assert get(f"bytes={size - 5}-")[0] == body[-5:] and get("bytes=-7")[0] == body[-7:]
    assert get(f"bytes=10-{size * 2}")[0] == body[10:]
    assert code(lambda: get(f"bytes={size}-")) == (416, "InvalidRange")
    assert code(lambda: s3.get_object(Bucket=bucket, Key="none")) == (404, "NoSuchKey")
    assert code(lambda: s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag))[0] == 304
    assert code(lambda: s3.get_object(Bucket=bucket, Key="k", IfMatch='"x"')) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["ETag"] == etag
    assert code(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*"))[0] == 412
    assert code(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", IfMatch='"x"'))[0] == 412
    s3.put_object(Bucket=bucket, Key="k", Body=b"new", IfMatch=etag)
    s3.put_object(Bucket=bucket, Key="fresh", Body=b"", IfNoneMatch="*")


def test_bodies_are_checked(s3, bucket):
    assert code(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")) \
        == (400, "BadDigest")
    for algorithm in ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"]:
        if algorithm in ("CRC32C", "CRC64NVME"):
            continue  # boto3 needs a library for them.
        done = s3.put_object(Bucket=bucket, Key=algorithm, Body=b"hello", ChecksumAlgorithm=algorithm)
        assert done[f"Checksum{algorithm}"]
    assert code(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", ChecksumSHA256="A" * 43 + "=")) == (400, "BadDigest")
    assert code(lambda: s3.head_object(Bucket=bucket, Key="k"))[0] == 404, "nothing of a refused body is there"


def test_copies(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=content(3 * MIB), ContentType="text/a", Metadata={"m": "1"})
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    copied = s3.get_object(Bucket=bucket, Key="b")
    assert copied["Body"].read() == content(3 * MIB) and copied["Metadata"] == {"m": "1"}
    assert copied["ContentType"] == "text/a"
    s3.copy_object(Bucket=bucket, Key="a", CopySource={"Bucket": bucket, "Key": "a"}, MetadataDirective="REPLACE",
                   ContentType="text/b", Metadata={"m": "2"})
    changed = s3.head_object(Bucket=bucket, Key="a")
    assert (changed["ContentType"], changed["Metadata"]) == ("text/b", {"m": "2"})
    same = {"Bucket": bucket, "Key": "a"}
    assert code(lambda: s3.copy_object(Bucket=bucket, Key="a", CopySource=same)) == (400, "InvalidRequest")
    assert code(lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource=same, CopySourceIfMatch='"x"'))[0] == 412


def test_listings(s3, bucket):
    names = ["a/1", "a/2", "a/b/3", "c", "d/4", "d/e/f/5", "z"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    assert keys(s3, bucket) == names
    assert keys(s3, bucket, Prefix="a/") == names[:3] and keys(s3, bucket, StartAfter="a/b/3") == names[3:]
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [found["Prefix"] for found in top["CommonPrefixes"]] == ["a/", "d/"]
    assert [found["Key"] for found in top["Contents"]] == ["c", "z"] and top["KeyCount"] == 4
    below = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="d/")
    assert [found["Prefix"] for found in below["CommonPrefixes"]] == ["d/e/"]
    for size in (1, 2, 3):
        found = []
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}):
            found += [one["Key"] for one in page.get("Contents", [])] + [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        assert sorted(found) == ["a/", "c", "d/", "z"], size
        found = []
        for page in s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}):
            found += [one["Key"] for one in page.get("Contents", [])]
        assert found == names, size
    assert code(lambda: s3.list_objects_v2(Bucket=bucket, ContinuationToken="%"))[0] == 400


def test_what_is_not_there_says_so(s3, bucket):
    assert code(lambda: s3.get_bucket_versioning(Bucket=bucket)) == (501, "NotImplemented")
    assert code(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=b")) == (501, "NotImplemented")
    assert code(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256"))[0] == 501


# --- Uploads in parts -------------------------------------------------------------------------------


def test_an_upload_in_parts(s3, bucket):
    made = s3.create_multipart_upload(Bucket=bucket, Key="big", ContentType="video/x", Metadata={"m": "1"})
    upload = {"Bucket": bucket, "Key": "big", "UploadId": made["UploadId"]}
    bodies = [content(PART, 1), content(PART + 1, 2), b"end"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(PartNumber=n, Body=body, **upload)["ETag"]}
             for n, body in reversed([*enumerate(bodies, 1)])][::-1]
    s3.upload_part(PartNumber=9, Body=b"left out", **upload)
    listed = s3.list_parts(**upload, MaxParts=2)
    assert [part["PartNumber"] for part in listed["Parts"]] == [1, 2] and listed["IsTruncated"]
    assert [found["Key"] for found in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["big"]
    assert keys(s3, bucket) == []
    assert code(lambda: s3.delete_bucket(Bucket=bucket)) == (409, "BucketNotEmpty")

    def complete(some):
        return s3.complete_multipart_upload(MultipartUpload={"Parts": some}, **upload)

    assert code(lambda: complete(parts[::-1])) == (400, "InvalidPartOrder")
    assert code(lambda: complete([{"PartNumber": 1, "ETag": '"x"'}])) == (400, "InvalidPart")
    small = {"PartNumber": 9, "ETag": s3.list_parts(**upload)["Parts"][-1]["ETag"]}
    assert code(lambda: complete([parts[2], small])) == (400, "EntityTooSmall")
    sums = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert complete(parts)["ETag"] == f'"{hashlib.md5(sums).hexdigest()}-3"'
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == b"".join(bodies) and got["ContentType"] == "video/x" and got["Metadata"] == {"m": "1"}
    over = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={PART - 2}-{PART + 2}")
    assert over["Body"].read() == b"".join(bodies)[PART - 2:PART + 3]
    assert code(lambda: s3.list_parts(**upload)) == (404, "NoSuchUpload")
    assert code(lambda: complete(parts)) == (404, "NoSuchUpload")
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_parts_from_other_objects_and_no_end(s3, bucket):
    body = content(PART + 100)
    s3.put_object(Bucket=bucket, Key="source", Body=body)
    made = s3.create_multipart_upload(Bucket=bucket, Key="k")
    upload = {"Bucket": bucket, "Key": "k", "UploadId": made["UploadId"]}
    source = {"Bucket": bucket, "Key": "source"}
    one = s3.upload_part_copy(PartNumber=1, CopySource=source, **upload)["CopyPartResult"]["ETag"]
    two = s3.upload_part_copy(PartNumber=2, CopySource=source, CopySourceRange="bytes=5-9", **upload)["CopyPartResult"]["ETag"]
    s3.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]}, **upload)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body + body[5:10]
    made = s3.create_multipart_upload(Bucket=bucket, Key="never")
    upload = {"Bucket": bucket, "Key": "never", "UploadId": made["UploadId"]}
    s3.upload_part(PartNumber=1, Body=b"x", **upload)
    s3.abort_multipart_upload(**upload)
    assert code(lambda: s3.upload_part(PartNumber=2, Body=b"x", **upload)) == (404, "NoSuchUpload")
    assert code(lambda: s3.abort_multipart_upload(**upload)) == (404, "NoSuchUpload")


def test_a_large_file_through_the_transfer_manager(s3, bucket, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(content(64 * MIB))
    s3.upload_file(str(path), bucket, "large")
    s3.download_file(bucket, "large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


# --- Who may ----------------------------------------------------------------------------------------


def test_roles(cloud, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    viewer, developer, invoker = (s3_of(cloud.as_role(role)) for role in ("viewer", "developer", "invoker"))
    assert viewer.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x" and keys(viewer, bucket) == ["k"]
    assert code(lambda: viewer.put_object(Bucket=bucket, Key="n", Body=b"")) == (403, "AccessDenied")
    assert code(lambda: viewer.delete_object(Bucket=bucket, Key="k")) == (403, "AccessDenied")
    assert code(lambda: viewer.create_bucket(Bucket=unique("no"))) == (403, "AccessDenied")
    assert code(lambda: viewer.create_multipart_upload(Bucket=bucket, Key="n")) == (403, "AccessDenied")
    developer.put_object(Bucket=bucket, Key="n", Body=b"")
    for call in (invoker.list_buckets, lambda: invoker.get_object(Bucket=bucket, Key="k"),
                 lambda: invoker.put_object(Bucket=bucket, Key="k", Body=b"")):
        assert code(call) == (403, "AccessDenied")
    narrowed = s3_of(cloud.as_role("developer", functions=["f*"]))
    assert code(lambda: narrowed.get_object(Bucket=bucket, Key="k")) == (403, "AccessDenied")


def test_keys_and_signatures(cloud, s3, bucket):
    server = cloud.server
    wrong = s3_of(Cloud(server, (cloud.key_id, "wrong")))
    assert code(wrong.list_buckets) == (403, "SignatureDoesNotMatch")
    assert code(s3_of(Cloud(server, ("STINTnobody", "x"))).list_buckets) == (403, "InvalidAccessKeyId")
    made = cloud.v1("POST", "/keys:temporary", {"expiresIn": "15m"})
    temporary = Cloud(server, (made["id"], made["secret"]))
    assert bucket in [found["Name"] for found in s3_of(temporary, made["securityToken"]).list_buckets()["Buckets"]]
    assert code(s3_of(temporary).list_buckets)[1] == "InvalidToken"
    assert code(s3_of(temporary, "wrong").list_buckets)[1] == "InvalidToken"
    for path in ("/", f"/{bucket}", f"/{bucket}/k"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(endpoint(server) + path, timeout=10)
        assert caught.value.code == 403 and b"<Code>AccessDenied</Code>" in caught.value.read()
        assert caught.value.headers["x-amz-request-id"]
    older = boto3.client("s3", endpoint_url=endpoint(server), region_name="local", aws_access_key_id=cloud.key_id,
                         aws_secret_access_key=cloud.secret, config=Config(signature_version="s3", retries={"max_attempts": 1}))
    assert code(older.list_buckets)[0] == 400


def test_a_form_is_refused_before_it_is_read(cloud, bucket):
    host = endpoint(cloud.server).removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.putrequest("POST", f"/{bucket}")
    connection.putheader("content-type", "multipart/form-data; boundary=x")
    connection.putheader("content-length", str(10 << 30))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 501 and b"NotImplemented" in answer.read()


def test_presigned_addresses(cloud, s3, bucket):
    def ask(url, method="GET", body=None, headers=None):
        request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    signed = s3_of(cloud, signature_version="s3v4")
    where = {"Bucket": bucket, "Key": "a b/ü"}
    put = signed.generate_presigned_url("put_object", Params=where, ExpiresIn=60)
    assert ask(put, "PUT", b"by address")[0] == 200
    get = signed.generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    assert ask(get) == (200, b"by address")
    assert ask(get, "PUT", b"x")[0] == 403
    assert ask(get.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))[0] == 403
    assert ask(get.replace("ExpiresIn", "x") + "&response-content-type=text/html")[0] == 403
    assert ask(put, "PUT", b"x", {"x-amz-meta-a": "not signed"})[0] == 403
    week = signed.generate_presigned_url("get_object", Params=where, ExpiresIn=604801)
    assert ask(week)[0] in (400, 403)
    made = cloud.v1("POST", "/keys:temporary", {"expiresIn": "15m"})
    temporary = s3_of(Cloud(cloud.server, (made["id"], made["secret"])), made["securityToken"], signature_version="s3v4")
    assert ask(temporary.generate_presigned_url("get_object", Params=where))[1] == b"by address"
    short = signed.generate_presigned_url("get_object", Params=where, ExpiresIn=1)
    until(lambda: ask(short)[0] == 403, "the address is no longer good")


# --- Many at once, and ends -------------------------------------------------------------------------


def test_many_at_once_on_one_key(s3, bucket):
    bodies = {n: content(3 * MIB, n) for n in range(8)}
    sums = {hashlib.md5(body).hexdigest() for body in bodies.values()}
    s3.put_object(Bucket=bucket, Key="k", Body=bodies[0])

    def write(n):
        s3.put_object(Bucket=bucket, Key="k", Body=bodies[n])

    def read(_):
        got = s3.get_object(Bucket=bucket, Key="k")
        body = got["Body"].read()
        assert f'"{hashlib.md5(body).hexdigest()}"' == got["ETag"]
        return hashlib.md5(body).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(write, n) for n in bodies]
        reads = [pool.submit(read, n) for n in range(24)]
        assert all(one.result(60) in sums for one in reads)
        for one in writes:
            one.result(60)
    made = [n for n in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def only_one(n):
            try:
                s3.put_object(Bucket=bucket, Key="once", Body=str(n).encode(), IfNoneMatch="*")
                return 1
            except ClientError:
                return 0
        assert sum(pool.map(only_one, made)) == 1


def blobs(server: Server) -> list[str]:
    return sorted(str(path) for path in (server.dir / "blobs" / "object").rglob("*") if path.is_file())


def test_what_is_replaced_is_let_go(own):
    server = own().start()
    s3 = s3_of(Cloud(server))
    s3.create_bucket(Bucket="one")
    for n in range(5):
        s3.put_object(Bucket="one", Key="k", Body=content(3 * MIB, n))
    until(lambda: len(blobs(server)) == 2, "two pieces are kept")
    used = Cloud(server).v1("GET", "/accounts/root")["usage"]
    assert used["objectBytes"] == 3 * MIB
    s3.delete_object(Bucket="one", Key="k")
    until(lambda: blobs(server) == [], "nothing is kept")
    assert Cloud(server).v1("GET", "/accounts/root")["usage"]["objectBytes"] == 0


def test_a_kill_in_the_middle_leaves_nothing_to_be_seen(own):
    server = own().start()
    s3 = s3_of(Cloud(server))
    s3.create_bucket(Bucket="one")
    s3.put_object(Bucket="one", Key="before", Body=content(3 * MIB))
    made = s3.create_multipart_upload(Bucket="one", Key="parts")
    upload = {"Bucket": "one", "Key": "parts", "UploadId": made["UploadId"]}
    first = s3.upload_part(PartNumber=1, Body=content(PART, 1), **upload)["ETag"]
    # A body that never comes to its end.
    link = s3_of(Cloud(server), signature_version="s3v4").generate_presigned_url(
        "put_object", Params={"Bucket": "one", "Key": "before"})
    host, path = link.removeprefix("http://").split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.putrequest("PUT", "/" + path)
    connection.putheader("content-length", str(20 * MIB))
    connection.endheaders()
    connection.send(content(9 * MIB, 7))
    until(lambda: len(blobs(server)) >= 2 + 3 + 4, "pieces of it are written")
    server.kill()
    server.start()
    s3 = s3_of(Cloud(server))
    assert keys(s3, "one") == ["before"]
    assert s3.get_object(Bucket="one", Key="before")["Body"].read() == content(3 * MIB)
    upload = {"Bucket": "one", "Key": "parts", "UploadId": made["UploadId"]}
    last = s3.upload_part(PartNumber=2, Body=b"end", **upload)["ETag"]
    s3.complete_multipart_upload(
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": last}]}, **upload)
    server.kill()
    server.start()
    s3 = s3_of(Cloud(server))
    assert s3.get_object(Bucket="one", Key="parts")["Body"].read() == content(PART, 1) + b"end"
    server.stop()
    assert "blobs      6" in server.cli("verify").stdout, "two of one object, four of the parts"


def test_nothing_acknowledged_is_lost(own):
    server = own().start()
    s3 = s3_of(Cloud(server))
    s3.create_bucket(Bucket="one")
    done, halt = [], threading.Event()

    def write(worker):
        client = s3_of(Cloud(server))
        for n in range(10_000):
            if halt.is_set():
                return
            key = f"{worker}/{n:05}"
            try:
                client.put_object(Bucket="one", Key=key, Body=content(70_000, n))
            except Exception:
                return
            done.append((key, n))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    [writer.start() for writer in writers]
    until(lambda: len(done) > 60, "some are written")
    server.kill()
    halt.set()
    [writer.join(60) for writer in writers]
    server.start()
    s3 = s3_of(Cloud(server))
    there = set(keys(s3, "one"))
    assert {key for key, _ in done} <= there and len(there) <= len(done) + 4
    for key, n in done[:: max(1, len(done) // 20)]:
        assert s3.get_object(Bucket="one", Key=key)["Body"].read() == content(70_000, n)


def test_an_account_keeps_no_more_than_it_may(cloud):
    account = cloud.account(unique("small"), storageBytesMax=3_000_000)
    s3 = s3_of(cloud.as_role("admin", account=account))
    s3.create_bucket(Bucket="one")
    s3.put_object(Bucket="one", Key="a", Body=content(2_000_000))
    assert code(lambda: s3.put_object(Bucket="one", Key="b", Body=content(1_500_000))) == (403, "QuotaExceeded")
    s3.delete_object(Bucket="one", Key="a")
    s3.put_object(Bucket="one", Key="b", Body=content(1_500_000))


# --- The rest of the house --------------------------------------------------------------------------


def test_code_comes_from_a_bucket(cloud, s3, bucket):
    import base64
    text = "def handler(event, context):\n    return 'from the bucket'\n"
    s3.put_object(Bucket=bucket, Key="v1/f.zip", Body=base64.b64decode(pack({"index.py": text})))
    location = fc.InputCodeLocation(oss_bucket_name=bucket, oss_object_name="v1/f.zip")
    name = unique("bucketed")
    given = fc.CreateFunctionInput(function_name=name, runtime="python3.10", handler="index.handler", cpu=0.25,
                                   memory_size=256, code=location)
    cloud.sdk.create_function(fc.CreateFunctionRequest(body=given))
    assert cloud.invoke(name).body == b"from the bucket"
    bad = fc.InputCodeLocation(oss_bucket_name=bucket, oss_object_name="none.zip")
    error = refusal(lambda: cloud.sdk.update_function(name, fc.UpdateFunctionRequest(body=fc.UpdateFunctionInput(code=bad))))
    assert (error.status_code, error.code) == (400, "InvalidArgument") and "none.zip" in error.message


SIGNED = textwrap.dedent("""
    import datetime, hashlib, hmac, json, os, urllib.error, urllib.request

    def sign(key, text):
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    def ask(credentials, method, path, body=b""):
        url = os.environ["STINT_S3_ENDPOINT"]
        now = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": url.split("://")[1], "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
                   "x-amz-date": now, "x-amz-security-token": credentials.security_token}
        names = ";".join(sorted(headers))
        canonical = "\\n".join([method, path, "", *(f"{k}:{headers[k]}" for k in sorted(headers)), "", names,
                               headers["x-amz-content-sha256"]])
        scope = f"{now[:8]}/local/s3/aws4_request"
        text = "\\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + credentials.access_key_secret).encode()
        for part in (now[:8], "local", "s3", "aws4_request"):
            key = sign(key, part)
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
                                    f"SignedHeaders={names}, Signature={sign(key, text).hex()}")
        request = urllib.request.Request(url + path, data=body or None, method=method, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def handler(event, context):
        bucket = event.decode()
        put = ask(context.credentials, "PUT", f"/{bucket}/from-inside", b"made inside")
        got = ask(context.credentials, "GET", f"/{bucket}/given")
        return json.dumps([put, got])
    """)


def test_functions_reach_it_with_their_own_keys(cloud, s3, bucket):
    s3.put_object(Bucket=bucket, Key="given", Body=b"from outside")
    results = {}
    for role in ("stint-developer", "stint-viewer", ""):
        name = unique("inside")
        cloud.create(name, SIGNED, internet_access=True, role=role and f"acs:ram::1:role/{role}")
        results[role] = json.loads(cloud.invoke(name, bucket).body)
    (put, got), (viewer_put, viewer_got), (none_put, none_got) = results.values()
    assert put[0] == 200 and got == [200, "from outside"], results
    assert viewer_put[0] == 403 and viewer_got == [200, "from outside"]
    assert none_put[0] == none_got[0] == 403 and "AccessDenied" in none_got[1]
    assert s3.get_object(Bucket=bucket, Key="from-inside")["Body"].read() == b"made inside"


def test_the_command_line(server, tmp_path):
    name = unique("cli")
    server.cli("bucket", "create", name)
    assert name in server.cli("bucket", "list").stdout
    large = tmp_path / "large.bin"
    large.write_bytes(content(20 * MIB))
    server.cli("bucket", "put", str(large), f"{name}/deep/")
    small = tmp_path / "small.txt"
    small.write_text("hello")
    shown = server.cli("bucket", "put", str(small), f"{name}/s.txt", "--content-type", "text/plain", "-o", "json").stdout
    assert json.loads(shown) == {"bucket": name, "key": "s.txt", "size": 5}
    assert [line["key"] for line in json.loads(server.cli("bucket", "ls", name, "-o", "json").stdout)["items"]] == ["deep/", "s.txt"]
    listed = server.cli("bucket", "ls", name, "--recursive").stdout
    assert "deep/large.bin" in listed and str(20 * MIB) in listed
    server.cli("bucket", "get", f"{name}/deep/large.bin", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert server.cli("bucket", "get", f"{name}/s.txt", "-").stdout == "hello"
    missing = server.cli("bucket", "get", f"{name}/none", "-", check=False)
    assert missing.returncode == 3, missing.stderr
    full = server.cli("bucket", "delete", name, check=False)
    assert full.returncode == 1 and "BucketNotEmpty" in full.stderr
    server.cli("bucket", "rm", f"{name}/s.txt")
    server.cli("bucket", "rm", f"{name}/", "--recursive")
    server.cli("bucket", "delete", name)
    assert server.cli("bucket", "delete", name, check=False).returncode == 3


def test_the_aws_command_line(cloud, bucket, tmp_path):
    aws = os.environ.get("AWS_CLI") or shutil.which("aws")
    if aws is None:
        pytest.skip("no `aws` on the PATH and none in $AWS_CLI")
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
        "AWS_ACCESS_KEY_ID": cloud.key_id, "AWS_SECRET_ACCESS_KEY": cloud.secret, "AWS_REGION": "local",
        "AWS_ENDPOINT_URL_S3": endpoint(cloud.server), "HOME": str(tmp_path)}

    def run(*arguments):
        done = subprocess.run([aws, "s3", *arguments], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "a.txt").write_text("a")
    (tree / "deep" / "b.bin").write_bytes(content(20 * MIB))
    run("cp", "--recursive", str(tree), f"s3://{bucket}/tree")
    assert "PRE tree/" in run("ls", f"s3://{bucket}/")
    assert "deep/b.bin" in run("ls", "--recursive", f"s3://{bucket}/")
    run("sync", f"s3://{bucket}/tree", str(tmp_path / "back"))
    assert (tmp_path / "back" / "deep" / "b.bin").read_bytes() == content(20 * MIB)
    run("cp", f"s3://{bucket}/tree/deep/b.bin", f"s3://{bucket}/copy.bin")
    run("mv", f"s3://{bucket}/copy.bin", f"s3://{bucket}/moved.bin")
    assert "http" in run("presign", f"s3://{bucket}/moved.bin")
    run("rb", "--force", f"s3://{bucket}")
