"""What was used: sums by function and time, as JSON, CSV, Parquet and at the command line; budgets."""

import datetime
import io

import pyarrow.parquet
import pytest

from cloud import Cloud, Refused, unique
from conftest import gates_mount
from server import until
from test_why import GATED, running, waits_for


def test_usage_is_summed_and_survives(own):
    server = own()
    cloud = Cloud(server.start())
    name = unique("used")
    cloud.create(name, "import time\ndef handler(event, context):\n    time.sleep(0.2)\n    return 1\n",
                 cpu=0.5, memory_size=512)
    for _ in range(2):
        assert cloud.invoke(name).json == 1

    def row(**query):
        items = cloud.v1("GET", "/usage", function=name, **query)["items"]
        return items[0] if items and items[0]["invocations"] == 2 else None
    used = until(row, "both calls are counted", 10)
    assert used["activeSeconds"] >= 0.4 and used["function"] == name and used["units"] > 0
    assert abs(used["vcpuSeconds"] - used["activeSeconds"] * 0.5) < 1e-3
    assert abs(used["memoryGbSeconds"] - used["activeSeconds"] * 0.5) < 1e-3
    assert abs(used["units"] - used["vcpuSeconds"] - 0.15 * used["memoryGbSeconds"] - 2 * 0.0075) < 1e-3
    assert used["diskGbSeconds"] == 0, "512 MB are free"
    # An idle instance ends: from here on the sums stand still.
    [instance] = cloud.v1("GET", "/instances", function=name)["items"]
    cloud.v1("POST", f"/instances/{instance['id']}/stop")
    until(lambda: all("destroyedAt" in one for one in cloud.v1("GET", "/instances", function=name)["items"]), "it is gone")
    used = row()
    times = [datetime.datetime.fromisoformat(used[name]) for name in ("start", "end")]
    assert times[1] - times[0] == datetime.timedelta(days=1) and times[0].hour == 0
    hour = row(window="hour")
    assert hour["end"] != used["end"] or hour["start"] != used["start"]
    everything = cloud.v1("GET", "/usage", window="all", groupBy="account")["items"]
    assert len(everything) == 1 and everything[0]["function"] == "" and everything[0]["invocations"] >= 2
    assert cloud.v1("GET", "/usage", until=used["start"])["items"] == []

    table = cloud.request("GET", "/v1/usage", query="format=csv")
    assert table.headers["content-type"].startswith("text/csv")
    header, *lines = table.text.splitlines()
    assert header.startswith("start,end,account,function,invocations,") and any(f",{name},2," in line for line in lines)
    exported = cloud.request("GET", "/v1/usage", query="format=parquet")
    [line] = pyarrow.parquet.read_table(io.BytesIO(exported.body)).to_pylist()
    assert line["function"] == name and line["invocations"] == 2 and line["units"] == used["units"]
    assert line["start"] == times[0]
    file = server.home / "usage.parquet"
    server.cli("usage", "--export", "parquet", "--to", str(file))
    assert pyarrow.parquet.read_table(file).num_rows == 1
    assert name in server.cli("usage", "--from", used["start"][:10]).stdout
    for bad in ({"format": "xls"}, {"window": "week"}, {"groupBy": "task"}, {"cursor": "x"}, {"from": "soon"}):
        with pytest.raises(Refused) as refused:
            cloud.v1("GET", "/usage", **bad)
        assert refused.value.status == 400

    server.stop()
    again = Cloud(server.start())
    assert again.v1("GET", "/usage", function=name)["items"] == [used]
    other = again.as_role("viewer", account=again.account(unique("other")))
    assert other.v1("GET", "/usage")["items"] == []
    with pytest.raises(Refused):
        other.v1("GET", "/usage", account="1000000000000001")
    narrow = again.as_role("viewer", functions=["elsewhere"])
    for query in ({}, {"function": name}):
        with pytest.raises(Refused) as refused:
            narrow.v1("GET", "/usage", **query)
        assert refused.value.status == 403


def test_a_budget_stops_new_work_before_it_starts(cloud, server, gate):
    account = cloud.account(unique("thrifty"), concurrencyMax=1, budget={"units": 1000, "period": "day"})
    theirs = cloud.as_role("admin", account=account)
    name = unique("gated")
    theirs.create(name, GATED, task_mode=True, retries=0, timeout=120, nas_config=gates_mount(server))
    runs = running(theirs, name, gate)
    held = theirs.submit(name, b"")
    waits_for(theirs, name, held, "accountConcurrency")
    # What runs has used something by now: a tiny budget is used up.
    shown = until(lambda: (a := cloud.v1("GET", f"/accounts/{account}"))["usage"]["budgetUnits"] > 0.01 and a, "some is used")
    assert shown["limits"]["budget"] == {"units": 1000, "period": "day"}
    cloud.v1("PATCH", f"/accounts/{account}", {"limits": {"concurrencyMax": 0, "budget": {"units": 0.01}}})
    why = waits_for(theirs, name, held, "accountBudget")
    assert why["estimatedStart"] == shown["usage"]["budgetRenewsAt"]
    with pytest.raises(Exception) as refused:
        theirs.submit(name, b"")
    assert "QuotaExceeded" in str(refused.value) and "budget" in str(refused.value)
    with pytest.raises(Exception) as refused:
        theirs.invoke(name)
    assert "QuotaExceeded" in str(refused.value)
    assert "of 0.01 units" in server.cli("account", "show", account).stdout
    gate.open()
    assert theirs.ended(name, runs).status == "Succeeded", "what runs goes on"
    server.cli("account", "limit", account, "--budget", "0")
    assert theirs.ended(name, held).status == "Succeeded"
    assert theirs.invoke(name).text == "done"
    for bad in ({"units": -1}, {"units": 1, "period": "year"}):
        with pytest.raises(Refused) as refused:
            cloud.v1("PATCH", f"/accounts/{account}", {"limits": {"budget": bad}})
        assert refused.value.status == 400
