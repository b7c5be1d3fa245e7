"""Where the server is and who we are: what the Python examples share.

The address comes from $STINT_ENDPOINT, else from `DIR/address`; the key from
$STINT_ACCESS_KEY_ID and $STINT_ACCESS_KEY_SECRET, else from `DIR/credentials.json`. `DIR` is
$STINT_DATA, else the data directory of `stint up`. Everything else here is the official SDK.
"""

import base64
import io
import json
import os
import time
import zipfile
from pathlib import Path

from alibabacloud_fc20230330 import models as fc
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.models import Config
from darabonba.runtime import RuntimeOptions

UNFINISHED = {"Enqueued", "Dequeued", "Running", "Retrying", "Stopping"}


def data_dir() -> Path:
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return Path(os.environ.get("STINT_DATA") or home / "stint")


def endpoint() -> str:
    said = os.environ.get("STINT_ENDPOINT")
    if not said:
        address = data_dir() / "address"
        if not address.exists():
            raise SystemExit(f"no server: {address} is missing; start one with `stint up`")
        said = address.read_text()
    return said.strip().removeprefix("http://").rstrip("/")


def key() -> tuple[str, str]:
    """Id and secret."""
    key_id = os.environ.get("STINT_ACCESS_KEY_ID")
    secret = os.environ.get("STINT_ACCESS_KEY_SECRET")
    if key_id and secret:
        return key_id, secret
    found = json.loads((data_dir() / "credentials.json").read_text())
    return found["accessKeyId"], found["accessKeySecret"]


def connect() -> Client:
    """The official client, pointed at this server."""
    key_id, secret = key()
    return Client(Config(access_key_id=key_id, access_key_secret=secret, protocol="http",
                         endpoint=endpoint(), region_id="local"))


def pack(*sources: tuple[Path, str]) -> bytes:
    """A zip that is the same whenever the files are: (file or directory, name inside)."""
    entries = {}
    for path, name in sources:
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        for file in files:
            if "__pycache__" not in file.parts:
                inside = name if path.is_file() else f"{name}/{file.relative_to(path)}".lstrip("/")
                entries[inside] = file
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            mode = 0o755 if os.access(entries[name], os.X_OK) else 0o644
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            archive.writestr(info, entries[name].read_bytes())
    return buffer.getvalue()


def zip_file(package: bytes) -> fc.InputCodeLocation:
    return fc.InputCodeLocation(zip_file=base64.b64encode(package).decode())


def is_there_already(error: AlibabaCloudException) -> bool:
    """409: a function of this name exists, or a task of this id was accepted before."""
    return error.status_code == 409 and str(error.code).endswith("AlreadyExists")


def deploy(client: Client, name: str, **settings) -> None:
    """Creates the function or makes the existing one so, and switches its task mode on."""
    try:
        client.create_function(fc.CreateFunctionRequest(
            body=fc.CreateFunctionInput(function_name=name, **settings)))
    except AlibabaCloudException as error:
        if not is_there_already(error):
            raise
        client.update_function(name, fc.UpdateFunctionRequest(
            body=fc.UpdateFunctionInput(**settings)))
    client.put_async_invoke_config(name, fc.PutAsyncInvokeConfigRequest(
        body=fc.PutAsyncInvokeConfigInput(async_task=True, max_async_retry_attempts=1)))


def call(client: Client, name: str, event) -> bytes:
    """A synchronous invocation."""
    payload = event if isinstance(event, bytes) else json.dumps(event).encode()
    answer = client.invoke_function_with_options(
        name, fc.InvokeFunctionRequest(body=io.BytesIO(payload)), fc.InvokeFunctionHeaders(),
        RuntimeOptions(read_timeout=120_000))
    body = answer.body.read()
    if answer.headers.get("x-fc-error-type"):
        raise SystemExit(f"{name} failed: {body.decode(errors='replace')}")
    return body


def submit(client: Client, name: str, task_id: str, event, **stint_headers) -> bool:
    """Submits a task; False when the same id was accepted before, which is as good."""
    headers = {f"x-stint-{key.replace('_', '-')}": value for key, value in stint_headers.items()}
    payload = event if isinstance(event, bytes) else json.dumps(event).encode()
    try:
        client.invoke_function_with_options(
            name, fc.InvokeFunctionRequest(body=io.BytesIO(payload)),
            fc.InvokeFunctionHeaders(common_headers=headers, x_fc_invocation_type="Async",
                                     x_fc_async_task_id=task_id), RuntimeOptions())
        return True
    except AlibabaCloudException as error:
        if is_there_already(error):
            return False
        raise


def task(client: Client, name: str, task_id: str) -> fc.AsyncTask:
    return client.get_async_task(name, task_id, fc.GetAsyncTaskRequest()).body


def wait(client: Client, ids: list[tuple[str, str]], seen=lambda done, total: None,
         limit: float = 900) -> list[fc.AsyncTask]:
    """Waits until all (function, task id) have ended; fails at the first that did not succeed."""
    ended: dict[tuple[str, str], fc.AsyncTask] = {}
    deadline, pause = time.monotonic() + limit, 0.02
    while len(ended) < len(ids):
        before = len(ended)
        for key in ids:
            if key in ended:
                continue
            found = task(client, *key)
            if found.status in UNFINISHED:
                continue
            if found.status != "Succeeded":
                raise SystemExit(f"task {key[0]}/{key[1]} ended {found.status}: "
                                 f"{found.task_error_message}\n  stint task get {key[0]}/{key[1]}")
            ended[key] = found
            seen(len(ended), len(ids))
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(ids) - len(ended)} tasks had not ended after {limit:.0f} s")
        pause = 0.02 if len(ended) > before else min(pause * 1.5, 0.3)
        time.sleep(pause)
    return [ended[key] for key in ids]
