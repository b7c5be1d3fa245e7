"""`/metrics`: what is counted, and who sees whose functions."""

import re

from cloud import unique
from server import until

FLAKY = """
def handler(event, context):
    if event == b"bad":
        raise KeyError("k")
    return event
"""


def series(cloud, *, key: bool = True) -> dict[str, float]:
    """The page as {series: value}, asked with the cloud's key or without one."""
    if key:
        reply = cloud.request("GET", "/metrics")
        status, page = reply.status, reply.body
    else:
        status, page = cloud.server.get("/metrics")
    assert status == 200, page
    lines = (page.decode() if isinstance(page, bytes) else page).splitlines()
    return {name: float(value) for name, value in (
        line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))}


def test_invocations_are_counted_by_function(cloud):
    name = unique("counted")
    cloud.create(name, FLAKY, task_mode=True, retries=0)
    account = cloud.v1("GET", "/whoami")["account"]
    for event in ("good", "good", "bad"):
        cloud.invoke(name, event)
        cloud.ended(name, cloud.submit(name, event))
    seen = series(cloud)
    own = f'account="{account}",function="{name}"'
    # The order of labels is the exporter's.
    find = lambda metric, **labels: next(  # noqa: E731
        (value for key, value in seen.items() if key.startswith(metric + "{") and f'function="{name}"' in key
         and f'account="{account}"' in key and all(f'{k}="{v}"' in key for k, v in labels.items())), None)
    assert find("stint_function_invocations_total", kind="sync") == 3, own
    assert find("stint_function_invocations_total", kind="task") == 3
    assert find("stint_function_errors_total", error="function") == 2
    assert find("stint_function_duration_seconds_count") == 6
    assert find("stint_function_cold_starts_total") >= 1
    for phase in ("queued", "placed", "cold_start", "ran", "settled"):
        assert any("stint_attempt_phase_seconds_count" in key and f'phase="{phase}"' in key for key in seen), phase


def test_a_backlog_is_told_and_forgotten(cloud):
    name = unique("stuck")
    cloud.create(name, FLAKY, task_mode=True)
    cloud.v1("POST", f"/backlogs/{name}:pause")
    ids = [cloud.submit(name, "x") for _ in range(3)]

    def waiting(metric="stint_backlog_waiting"):
        return next((v for k, v in series(cloud).items() if k.startswith(metric + "{") and f'function="{name}"' in k), None)

    until(lambda: waiting() == 3, "three wait")
    until(lambda: waiting("stint_backlog_oldest_seconds") > 0, "for some time")
    cloud.v1("POST", f"/backlogs/{name}:resume")
    for task_id in ids:
        assert cloud.ended(name, task_id).status == "Succeeded"
    until(lambda: waiting() == 0, "none waits any more")


def test_functions_are_shown_to_those_who_may_read(cloud):
    name, other = unique("mine"), cloud.as_role("admin", account=cloud.account(unique("tenant")))
    other.create(name, FLAKY)
    other.invoke(name, "x")
    names = lambda seen: set(re.findall(r'function="([^"]*)"', "\n".join(seen)))  # noqa: E731
    assert names(series(cloud, key=False)) == set(), "nobody in particular sees no names"
    assert series(cloud, key=False)["stint_uptime_seconds"] >= 0
    assert name in names(series(cloud)), "the root account sees everybody's"
    assert names(series(other)) == {name}, "others their own"
    assert names(series(cloud.as_role("invoker"))) == set()
