"""Makes a Python handler a component: `stint deploy --wasm` puts this beside the user's files and
gives both to componentize-py. What the handler sees is what the Python runtime shows it.

The user's module is imported here, while the component is made: what it imports must be there then.
"""
import json
import logging
import sys
import traceback  # the module that describes failures imports it when it needs it, which is too late here

import componentize_py_types
from wit_world import exports
from wit_world.exports.handler import Failure
from wit_world.imports import platform

import stint_context
import stint_errors

HANDLER = "@HANDLER@"
MODULE, _, METHOD = HANDLER.rpartition(".")
__import__(MODULE.strip("/").replace("/", "."))
FUNCTION = getattr(sys.modules[MODULE.strip("/").replace("/", ".")], METHOD)


class Runtime(object):
    """What `context.stint` speaks to."""

    def report(self, permille, message):
        platform.progress(None if permille == "-" else int(permille), message)


RUNTIME = stint_context.Stint.runtime = Runtime()
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")


def context_of(said):
    function, credentials = said.function, said.credentials
    config = {
        "account_id": said.account_id, "region": said.region,
        "log_project": said.log_project, "log_store": said.log_store,
        "access_key_id": credentials.access_key_id,
        "access_key_secret": credentials.access_key_secret,
        "security_token": credentials.security_token,
        "function_name": function.name, "handler": HANDLER, "memory": function.memory_mb,
        "timeout": function.timeout_seconds, "version_id": function.version,
    }
    fields = [said.request_id, said.task_id or "", str(said.retries), said.idempotency_key, function.qualifier]
    return stint_context.Context.of(config, RUNTIME)(fields)


def to_bytes(result):
    if isinstance(result, str):
        return result.encode("utf-8", "surrogateescape")
    if isinstance(result, (bytes, bytearray, memoryview)):
        return bytes(result)
    return json.dumps(result).encode("utf-8")


def failure_of(error):
    body = json.loads(stint_errors.describe(error, ""))
    trace = [", ".join(part for part in frame if part) for frame in body["stackTrace"]]
    return Failure(kind=body["errorType"], message=body["errorMessage"], trace=trace, handled=False)


class Handler(exports.Handler):
    def handle(self, event, context):
        try:
            return to_bytes(FUNCTION(event, context_of(context)))
        except Exception as error:  # whatever user code raises
            raise componentize_py_types.Err(failure_of(error))
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
