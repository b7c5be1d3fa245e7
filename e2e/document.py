"""The OpenAPI document as a checker: every answer of `/v1` that a test sees is held against it."""

import json
import re

from jsonschema import Draft202012Validator


class Document:
    """What a server says about itself at `/openapi.json`."""

    def __init__(self, text: bytes):
        self.document = json.loads(text)
        self.seen: set[str] = set()
        self.operations = []
        for path, item in self.document["paths"].items():
            # A name never holds a slash, nor the colon that begins a verb.
            pattern = re.compile(re.sub(r"\\\{.*?\\\}", "[^/:]+", re.escape(path)) + "$")
            for method, operation in item.items():
                self.operations.append((method.upper(), pattern, path.count("{"), operation))
        self.operations.sort(key=lambda found: found[2])

    def operation(self, method: str, path: str) -> dict | None:
        return next((o for m, pattern, _, o in self.operations if m == method and pattern.match(path)), None)

    def ids(self) -> set[str]:
        return {operation["operationId"] for _, _, _, operation in self.operations}

    def check(self, method: str, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Fails unless the answer is one that the document promises."""
        operation = self.operation(method, path)
        if operation is None:
            return  # what is no operation is refused, and other tests look at that
        responses = operation["responses"]
        assert str(status) in responses or status >= 400, f"{method} {path}: {status} is not documented"
        said = responses.get(str(status)) or responses["default"]
        if str(status) in responses:
            self.seen.add(operation["operationId"])
        content = said.get("content")
        if content is None:
            assert body == b"", f"{method} {path}: a body where none is documented: {body[:200]}"
            return
        kind = headers.get("content-type", "").split(";")[0]
        assert kind in content, f"{method} {path}: {kind} is not among {list(content)}"
        if kind == "application/json":
            self.hold(content[kind]["schema"], json.loads(body), f"{method} {path} {status}")

    def hold(self, schema: dict, value, what: str) -> None:
        whole = schema | {"components": self.document["components"]}
        errors = list(Draft202012Validator(whole).iter_errors(value))
        assert not errors, f"{what} is not as documented: " + "; ".join(
            f"{error.json_path}: {error.message}"[:400] for error in errors[:3])
