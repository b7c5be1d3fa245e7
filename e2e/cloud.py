"""How the tests talk to a server: the official Python SDK for Function Compute, plain signed requests
for `/v1`."""

import base64
import datetime
import http.client
import io
import json
import textwrap
import time
import uuid
import zipfile
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from alibabacloud_fc20230330 import models as fc
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.models import Config
from darabonba.runtime import RuntimeOptions

import acs3
from document import Document
from server import Server, until

ENDED = {"Succeeded", "Failed", "Stopped", "Expired", "Invalid"}


def pack(files: dict[str, str | bytes]) -> str:
    """A zip in base64; texts may be indented."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            data = textwrap.dedent(text).encode() if isinstance(text, str) else text
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = 0o755 << 16
            archive.writestr(info, data)
    return base64.b64encode(buffer.getvalue()).decode()


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@dataclass
class Reply:
    """An answer to an invocation or a plain request; `headers` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def error_type(self) -> str | None:
        return self.headers.get("x-fc-error-type")

    @property
    def log(self) -> str:
        return base64.b64decode(self.headers["x-fc-log-result"]).decode()


class Refused(Exception):
    """A `/v1` request that was refused."""

    def __init__(self, status: int, body: dict):
        super().__init__(f"{status} {body.get('Code')}: {body.get('Message')}")
        self.status, self.code, self.message = status, body["Code"], body["Message"]


class Cloud:
    """One key's view of a server."""

    # One binary, one document.
    document: Document | None = None

    def __init__(self, server: Server, key: tuple[str, str] | None = None, *, token: str | None = None,
                 bearer: str | None = None):
        self.server, self.bearer, self.token = server, bearer, token
        self.key_id, self.secret = key or server.key
        self.connection: http.client.HTTPConnection | None = None
        self.sdk = Client(Config(
            access_key_id=self.key_id, access_key_secret=self.secret, security_token=token,
            protocol="http", endpoint=server.address, region_id="local"))

    # --- Function Compute, through the SDK --------------------------------------------------------

    def create(self, name: str, files: dict[str, str] | str, *, handler="index.handler",
               runtime="python3.10", task_mode: bool | None = None, retries: int | None = None, **more):
        """A function; `files` may be the text of index.py."""
        if isinstance(files, str):
            files = {"index.py": files}
        given = dict(function_name=name, runtime=runtime, handler=handler, cpu=0.25, memory_size=256,
                     timeout=30, code=fc.InputCodeLocation(zip_file=pack(files))) | more
        made = self.sdk.create_function(fc.CreateFunctionRequest(body=fc.CreateFunctionInput(**given))).body
        if task_mode or retries is not None:
            self.configure(name, async_task=bool(task_mode), max_async_retry_attempts=retries)
        return made

    def configure(self, name: str, qualifier: str | None = None, **config):
        return self.sdk.put_async_invoke_config(name, fc.PutAsyncInvokeConfigRequest(
            qualifier=qualifier, body=fc.PutAsyncInvokeConfigInput(**config))).body

    def update(self, name: str, **changes):
        if "files" in changes:
            changes["code"] = fc.InputCodeLocation(zip_file=pack(changes.pop("files")))
        return self.sdk.update_function(name, fc.UpdateFunctionRequest(
            body=fc.UpdateFunctionInput(**changes))).body

    def invoke(self, name: str, payload: bytes | str | dict = b"", *, qualifier=None, tail=False,
               kind=None, task_id=None, headers=None, read_timeout=60_000) -> Reply:
        if isinstance(payload, dict):
            payload = json.dumps(payload)
        if isinstance(payload, str):
            payload = payload.encode()
        answer = self.sdk.invoke_function_with_options(
            name, fc.InvokeFunctionRequest(qualifier=qualifier, body=io.BytesIO(payload) if payload else None),
            fc.InvokeFunctionHeaders(common_headers=dict(headers or {}), x_fc_invocation_type=kind,
                                     x_fc_log_type="Tail" if tail else None, x_fc_async_task_id=task_id),
            RuntimeOptions(read_timeout=read_timeout, connect_timeout=10_000))
        body = answer.body.read() if answer.body is not None else b""
        return Reply(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, body)

    def submit(self, name: str, payload: bytes | str | dict = b"", task_id: str | None = None, *,
               qualifier=None, **headers) -> str:
        """An async task; gives its id. Keyword `order_key="a"` is header `x-stint-order-key: a`."""
        named = {key.replace("_", "-"): str(value) for key, value in headers.items()}
        sent = {key if key.startswith("x-") else f"x-stint-{key}": value for key, value in named.items()}
        reply = self.invoke(name, payload, kind="Async", task_id=task_id, headers=sent, qualifier=qualifier)
        assert reply.status == 202 and reply.body == b"", reply
        return reply.headers["x-fc-async-task-id"]

    def task(self, name: str, task_id: str) -> fc.AsyncTask:
        return self.sdk.get_async_task(name, task_id, fc.GetAsyncTaskRequest()).body

    def ended(self, name: str, task_id: str, limit: float = 60) -> fc.AsyncTask:
        """The task when it has ended."""
        def look():
            found = self.task(name, task_id)
            return found if found.status in ENDED else None
        return until(look, f"{name}/{task_id} has ended", limit)

    def in_state(self, name: str, task_id: str, *states: str, limit: float = 30) -> fc.AsyncTask:
        def look():
            found = self.task(name, task_id)
            return found if found.status in states else None
        return until(look, f"{name}/{task_id} is {' or '.join(states)}", limit)

    def delete(self, name: str) -> None:
        self.sdk.delete_function(name)

    # --- /v1 and everything else, by hand ---------------------------------------------------------

    def request(self, method: str, path: str, body: bytes = b"", *, query: str = "",
                headers: dict | None = None, at: float | None = None, nonce: str | None = None,
                timeout: float = 60) -> Reply:
        """A signed request (or with the bearer token), on a connection that is kept."""
        host, headers = self.server.address, dict(headers or {})
        if self.bearer:
            headers |= {"host": host, "authorization": f"Bearer {self.bearer}"}
        else:
            headers = acs3.signed(method, host, path, query, body, self.key_id, self.secret, at=at,
                                  nonce=nonce, headers=headers, token=self.token)
        reply = self.send(method, path + (f"?{query}" if query else ""), body, headers, timeout)
        if path.startswith("/v1/"):
            if Cloud.document is None:
                Cloud.document = Document(self.server.get("/openapi.json")[1])
            Cloud.document.check(method, path, reply.status, reply.headers, reply.body)
        return reply

    def send(self, method, target, body, headers, timeout=60) -> Reply:
        """These bytes and nothing else; once more on a connection that had been closed."""
        for is_last in (False, True):
            is_new = self.connection is None
            if is_new:
                self.connection = http.client.HTTPConnection(self.server.address, timeout=timeout)
            self.connection.timeout = timeout
            try:
                self.connection.request(method, target, body or None, headers)
                answer = self.connection.getresponse()
                return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            except (http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = None
                if is_last or is_new:
                    raise
        raise AssertionError("not reached")

    def announce(self, path: str, length: int, headers: dict | None = None) -> Reply:
        """Says that a body of this length comes, and reads what the server thinks of it."""
        sent = acs3.signed("POST", self.server.address, path, "", b"", self.key_id, self.secret, headers=headers)
        connection = http.client.HTTPConnection(self.server.address, timeout=30)
        connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for name, value in (sent | {"content-length": str(length)}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return reply

    def v1(self, method: str, path: str, body=None, *, timeout: float = 70, **query):
        """A `/v1` request; gives its JSON, `None` for an empty answer, or raises `Refused`."""
        text = b"" if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        pairs = [(k, item) for k, v in query.items() for item in (v if isinstance(v, list) else [v])]
        reply = self.request(method, "/v1" + quote(path, safe="/:-_.~"), text, query=urlencode(pairs),
                             headers=headers, timeout=timeout)
        assert reply.headers.get("x-fc-request-id"), reply
        if reply.status >= 400:
            raise Refused(reply.status, reply.json)
        return reply.json if reply.body else None

    def now(self) -> int:
        """The server's time in milliseconds. Not this machine's: after a step of the wall clock (a virtual machine
        that was paused) the server's follows slowly, on purpose."""
        said = datetime.datetime.fromisoformat(self.v1("GET", "/overview")["now"])
        return round(said.timestamp() * 1000)

    def batch(self, function: str, tasks: list[dict], mode: str = "allOrNothing") -> dict:
        return self.v1("POST", f"/functions/{function}/tasks:batch", {"mode": mode, "tasks": tasks})

    def why(self, function: str, task_id: str) -> dict:
        return self.v1("GET", f"/functions/{function}/tasks/{task_id}/why")

    def native(self, function: str, task_id: str, **query) -> dict:
        return self.v1("GET", f"/functions/{function}/tasks/{task_id}", **query)

    def count(self, **filters) -> int:
        return self.v1("GET", "/tasks:count", **filters)["count"]

    def account(self, name: str, **limits) -> str:
        return self.v1("POST", "/accounts", {"name": name, "limits": limits})["id"]

    def as_role(self, role: str, *, account: str | None = None, functions: list[str] = ()) -> "Cloud":
        """Another client with a new key of that role."""
        body = {"role": role, "functions": list(functions)} | ({"account": account} if account else {})
        made = self.v1("POST", "/keys", body)
        return Cloud(self.server, (made["id"], made["secret"]))


def refusal(call) -> AlibabaCloudException:
    """The typed exception of the SDK that `call` must end in."""
    try:
        answer = call()
    except AlibabaCloudException as error:
        return error
    raise AssertionError(f"not refused: {answer}")
