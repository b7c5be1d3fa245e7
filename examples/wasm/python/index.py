"""Hides card numbers: an ordinary Python handler, made a component by `stint deploy --wasm`."""
import re

RUNS = re.compile(r"[0-9]+")


def handler(event, context):
    runs = [run for run in RUNS.findall(event.decode()) if 13 <= len(run) <= 19]
    print("%s: %d hidden" % (context.request_id, len(runs)))
    return RUNS.sub(lambda run: "#" * len(run[0]) if 13 <= len(run[0]) <= 19 else run[0], event.decode())
