"""Minimum instances: provision and scaling configurations through the official SDK, and the account's most
instances."""

import datetime

import pytest

from cloud import Refused, fc, refusal, unique
from conftest import gates_mount
from server import until
from test_why import GATED, running, waits_for

WHO = """
    import os
    started = []
    def init(context):
        started.append(1)
    def handler(event, context):
        if event == b"crash":
            os._exit(3)
        return [os.environ["FC_INSTANCE_ID"], len(started)]
    """


def put(cloud, name, qualifier=None, **config):
    return cloud.sdk.put_provision_config(name, fc.PutProvisionConfigRequest(
        qualifier=qualifier, body=fc.PutProvisionConfigInput(**config))).body


def get(cloud, name, qualifier=None):
    return cloud.sdk.get_provision_config(name, fc.GetProvisionConfigRequest(qualifier=qualifier)).body


def delete(cloud, name, qualifier=None):
    cloud.sdk.delete_provision_config(name, fc.DeleteProvisionConfigRequest(qualifier=qualifier))


def scale(cloud, name, qualifier=None, **config):
    return cloud.sdk.put_scaling_config(name, fc.PutScalingConfigRequest(
        qualifier=qualifier, body=fc.PutScalingConfigInput(**config))).body


def is_met(cloud, name, count, limit=20):
    def look():
        now = get(cloud, name)
        return now if (now.target, now.current) == (count, count) else None
    return until(look, f"{count} instances are kept", limit)


def alive(cloud, name):
    items = cloud.v1("GET", "/instances", function=name)["items"]
    return {item["id"] for item in items if item["state"] == "Running"}


def counts(cloud, name, count):
    return until(lambda: len(now := alive(cloud, name)) == count and (now or True), f"{count} instances live")


def test_instances_are_kept_restarted_and_let_go(cloud):
    name = unique("kept")
    hook = fc.InstanceLifecycleConfig(initializer=fc.LifecycleHook(handler="index.init", timeout=10))
    cloud.create(name, WHO, instance_lifecycle_config=hook)
    said = put(cloud, name, default_target=2)
    assert (said.default_target, said.always_allocate_cpu) == (2, True)
    assert said.function_arn.endswith(f"functions/{name}")
    is_met(cloud, name, 2)
    kept = counts(cloud, name, 2)
    instance, started = cloud.invoke(name).json
    assert instance in kept and started == 1, "a call meets an instance that waited"
    assert cloud.invoke(name, "crash").error_type
    until(lambda: len(alive(cloud, name)) == 2 and alive(cloud, name) != kept, "the crashed one is replaced")
    [stopped, _] = sorted(alive(cloud, name))
    cloud.v1("POST", f"/instances/{stopped}/stop")
    until(lambda: len(now := alive(cloud, name)) == 2 and stopped not in now, "the stopped one is replaced")
    # New code: the old ones go, as many new ones come.
    before = alive(cloud, name)
    cloud.update(name, files={"index.py": WHO.replace("len(started)", "'new'")})
    until(lambda: len(now := alive(cloud, name)) == 2 and not now & before, "instances of the new code")
    assert cloud.invoke(name).json[1] == "new"
    put(cloud, name, default_target=1)
    counts(cloud, name, 1)
    is_met(cloud, name, 1)

    def used():
        items = cloud.v1("GET", "/usage", function=name)["items"]
        return items and items[0]["keptSeconds"] > 0 and items[0]
    cloud.v1("POST", f"/instances/{alive(cloud, name).pop()}/stop")
    kept_for = until(used, "the time instances were kept is told")
    assert kept_for["keptVcpuSeconds"] == pytest.approx(kept_for["keptSeconds"] * 0.25, abs=1e-3)
    assert kept_for["units"] > kept_for["vcpuSeconds"] + kept_for["keptVcpuSeconds"]
    delete(cloud, name)
    counts(cloud, name, 0)
    gone = refusal(lambda: get(cloud, name))
    assert gone.code == "ProvisionConfigNotFound"


def test_an_instance_that_does_not_start_is_told_and_tried_again(cloud):
    name = unique("broken")
    cloud.create(name, "raise RuntimeError('not today')\n")
    put(cloud, name, default_target=1)
    status = until(lambda: (now := get(cloud, name)).current_error and now, "the error is told")
    assert (status.target, status.current) == (1, 0) and "not today" in status.current_error
    cloud.update(name, files={"index.py": WHO})
    assert is_met(cloud, name, 1).current_error in (None, "")


def test_a_schedule_raises_the_number_in_its_zone(cloud):
    name = unique("timed")
    cloud.create(name, WHO)
    shanghai = datetime.timezone(datetime.timedelta(hours=8))
    now = lambda: datetime.datetime.fromtimestamp(cloud.now() / 1000, shanghai)  # noqa: E731
    soon = now() + datetime.timedelta(seconds=3)
    action = fc.ScheduledAction(name="soon", target=1, time_zone="Asia/Shanghai",
                                schedule_expression=f"at({soon:%Y-%m-%dT%H:%M:%S})")
    said = put(cloud, name, default_target=0, scheduled_actions=[action])
    assert said.target == 0 and said.scheduled_actions[0].schedule_expression == action.schedule_expression
    is_met(cloud, name, 1)
    assert now() >= soon.replace(microsecond=0)
    # A calendar that always counts: every second, two.
    every = fc.ScheduledAction(name="every", target=2, schedule_expression="cron(* * * * * *)")
    put(cloud, name, default_target=0, scheduled_actions=[every])
    is_met(cloud, name, 2)
    for bad, word in [
        (dict(schedule_expression="cron(0 20 * * *)"), "six fields"),
        (dict(schedule_expression="rate(5m)"), "at("),
        (dict(schedule_expression="at(2026-01-02T00:00:00)"), "2026-01-02T20:00:00Z"),
        (dict(schedule_expression="cron(0 0 0 * * *)", time_zone="Moon/Sea"), "Moon/Sea"),
        (dict(schedule_expression="cron(0 0 0 * * *)", target=10_001), "10000"),
    ]:
        action = fc.ScheduledAction(**{"name": "bad", "target": 1} | bad)
        error = refusal(lambda: put(cloud, name, scheduled_actions=[action]))
        assert error.code == "InvalidArgument" and word in error.message
    delete(cloud, name)


def test_the_number_follows_use(cloud, server, gate):
    name = unique("tracked")
    cloud.create(name, GATED, task_mode=True, retries=0, timeout=120, nas_config=gates_mount(server))
    policy = fc.TargetTrackingPolicy(name="busy", metric_type="ProvisionedConcurrencyUtilization",
                                     metric_target=0.5, min_capacity=1, max_capacity=3)
    error = refusal(lambda: put(cloud, name, target_tracking_policies=[policy]))
    assert error.code == "InstanceMetricsRequired"
    cloud.update(name, log_config=fc.LogConfig(project="p", logstore="l", enable_instance_metrics=True))
    put(cloud, name, target_tracking_policies=[policy])
    is_met(cloud, name, 1)
    task = running(cloud, name, gate)
    # One of one busy is twice the mark.
    is_met(cloud, name, 2, 40)
    gate.open()
    assert cloud.ended(name, task).status == "Succeeded"
    is_met(cloud, name, 1, 40)
    delete(cloud, name)


def test_only_kept_instances_serve_when_there_are_no_others(cloud, server, gate):
    name = unique("bound")
    cloud.create(name, GATED, task_mode=True, retries=0, timeout=120, nas_config=gates_mount(server))
    said = scale(cloud, name, min_instances=1, enable_on_demand_scaling=False)
    assert (said.min_instances, said.enable_on_demand_scaling) == (1, False)

    def status():
        return cloud.sdk.get_scaling_config(name, fc.GetScalingConfigRequest()).body
    until(lambda: status().current_instances == 1, "the one is there")
    task = running(cloud, name, gate)
    held = cloud.submit(name, b"")
    assert "1 minimum" in waits_for(cloud, name, held, "onlyKept")["sentence"]
    error = refusal(lambda: cloud.invoke(name))
    assert error.code == "ResourceExhausted"
    scale(cloud, name, min_instances=2, enable_on_demand_scaling=False)
    assert cloud.ended(name, held).status == "Succeeded"
    gate.open()
    assert cloud.ended(name, task).status == "Succeeded"
    error = refusal(lambda: put(cloud, name, default_target=1))
    assert error.code == "ScalingConfigExist"
    error = refusal(lambda: scale(cloud, name, min_instances=1, resident_pool_id="p"))
    assert "resident" in error.message
    listed = cloud.sdk.list_scaling_configs(fc.ListScalingConfigsRequest(function_name=name)).body
    assert [one.target_instances for one in listed.scaling_configs] == [2]
    cloud.sdk.delete_scaling_config(name, fc.DeleteScalingConfigRequest())
    counts(cloud, name, 0)
    assert refusal(status).code == "ScalingConfigNotFound"


def test_configurations_belong_to_latest_or_an_alias(cloud):
    name = unique("aliased")
    cloud.create(name, WHO)
    cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest(body=fc.PublishVersionInput()))
    cloud.sdk.create_alias(name, fc.CreateAliasRequest(body=fc.CreateAliasInput(alias_name="prod", version_id="1")))
    error = refusal(lambda: put(cloud, name, "1", default_target=1))
    assert error.code == "InvalidArgument" and "alias" in error.message
    put(cloud, name, "prod", default_target=1)
    put(cloud, name, default_target=0)
    until(lambda: get(cloud, name, "prod").current == 1, "the alias keeps one")
    [item] = [i for i in cloud.v1("GET", "/instances", function=name)["items"] if i["state"] == "Running"]
    assert item["version"] == "1"
    first = cloud.sdk.list_provision_configs(fc.ListProvisionConfigsRequest(function_name=name, limit=1)).body
    rest = cloud.sdk.list_provision_configs(fc.ListProvisionConfigsRequest(
        function_name=name, limit=1, next_token=first.next_token)).body
    arns = [one.function_arn.rpartition("/")[2] for page in (first, rest) for one in page.provision_configs]
    assert arns == [name, "prod"] and not rest.next_token
    error = refusal(lambda: scale(cloud, name, "prod", min_instances=1))
    assert error.code == "ProvisionConfigExist"
    cloud.delete(name)

    def left():
        items = cloud.v1("GET", "/instances", limit=1000)["items"]
        return [item for item in items if item["function"] == name and item["state"] == "Running"]
    until(lambda: not left(), "a deleted function keeps nothing")


def test_kept_instances_are_there_after_a_restart(own):
    from cloud import Cloud
    server = own()
    cloud = Cloud(server.start())
    name = unique("lasting")
    cloud.create(name, WHO)
    put(cloud, name, default_target=1)
    is_met(cloud, name, 1)
    server.stop()
    again = Cloud(server.start())
    is_met(again, name, 1)
    assert again.invoke(name).json[0] in alive(again, name)


def test_an_account_has_its_most_instances(cloud, server, gate):
    account = cloud.account(unique("small"), instancesMax=1)
    theirs = cloud.as_role("admin", account=account)
    one, two = unique("one"), unique("two")
    for name in (one, two):
        theirs.create(name, GATED, task_mode=True, retries=0, timeout=120, nas_config=gates_mount(server))
    task = running(theirs, one, gate)
    held = theirs.submit(two, b"")
    assert "(1)" in waits_for(theirs, two, held, "accountInstances")["sentence"]
    error = refusal(lambda: theirs.invoke(two))
    assert error.code == "ResourceExhausted" and "account" in error.message
    gate.open()
    assert theirs.ended(one, task).status == "Succeeded"
    assert theirs.ended(two, held).status == "Succeeded", "an idle one makes way"
    running_now = [i for name in (one, two) for i in alive(theirs, name)]
    assert len(running_now) <= 1
    assert theirs.invoke(one).text == "done"
