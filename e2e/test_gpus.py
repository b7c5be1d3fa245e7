"""GPUs by configuration: any device file stands for a card, so that the accounting is seen without one."""

import pytest

from cloud import Cloud, fc, refusal, unique
from conftest import gates_mount
from server import until
from test_why import GATED, waits_for

TESLA = "fc.gpu.tesla.1"
# What the function sees: the device, and what it is told.
LOOK = """
    import os, stat
    def handler(event, context):
        mode = os.stat("/dev/tty").st_mode if os.path.exists("/dev/tty") else 0
        return [stat.S_ISCHR(mode), os.environ.get("STINT_GPU_TYPE"), os.environ.get("STINT_GPU_MEMORY_MB")]
    """


def gpu(memory: int | None = None, kind: str = TESLA) -> fc.GPUConfig:
    return fc.GPUConfig(gpu_type=kind, gpu_memory_size=memory)


@pytest.fixture
def carded(own, tmp_path):
    """A server with one card of 8 GB, and gates."""
    gates = tmp_path / "gates"
    gates.mkdir()
    gates.chmod(0o777)
    tmp_path.chmod(0o755)
    server = own(node__gpus=f"{TESLA}:8192:/dev/tty", node__nas_allow=str(gates))
    server.gates = gates
    return Cloud(server.start()), server


def test_a_function_sees_its_card_and_pays_for_it(carded):
    cloud, server = carded
    name, other = unique("seen"), unique("plain")
    cloud.create(name, LOOK, gpu_config=gpu(4096))
    cloud.create(other, LOOK)
    assert cloud.invoke(name).json == [True, TESLA, "4096"]
    assert cloud.invoke(other).json == [False, None, None], "who asked for none sees none"
    said = cloud.sdk.get_function(name, fc.GetFunctionRequest()).body
    assert said.gpu_config.gpu_memory_size == 4096
    [instance] = [i for i in cloud.v1("GET", "/instances", function=name)["items"] if i["state"] == "Running"]
    assert any(word.startswith(f"gpu: {TESLA}, 4096 MB") for word in instance["enforced"])
    cloud.v1("POST", f"/instances/{instance['id']}/stop")

    def used():
        items = cloud.v1("GET", "/usage", function=name)["items"]
        return items and items[0]["gpuGbSeconds"] > 0 and items[0]
    usage = until(used, "the card's time is told")
    assert usage["gpuGbSeconds"] == pytest.approx(usage["activeSeconds"] * 4, rel=0.01)
    assert usage["units"] >= usage["gpuGbSeconds"] * 2.1
    # Another amount is another kind of instance.
    cloud.update(name, gpu_config=gpu())
    assert cloud.invoke(name).json == [True, TESLA, "8192"]
    assert f"{TESLA} 8192 MB" in server.cli("doctor").stdout or server.cli("doctor").returncode


def test_memory_of_a_card_is_shared_out_and_waited_for(carded):
    cloud, server = carded
    name = unique("shared")
    cloud.create(name, GATED, task_mode=True, retries=0, timeout=120, gpu_config=gpu(4096),
                 nas_config=gates_mount(server))
    two = [cloud.submit(name, b"go") for _ in range(2)]
    for task in two:
        cloud.in_state(name, task, "Running")
    third = cloud.submit(name, b"")
    assert "4096 MB free" in waits_for(cloud, name, third, "gpuFull")["sentence"]
    (server.gates / "go").touch()
    for task in [*two, third]:
        assert cloud.ended(name, task).status == "Succeeded"
    # An idle instance of another function makes way.
    whole = unique("whole")
    cloud.create(whole, LOOK, gpu_config=gpu())
    assert cloud.invoke(whole).json[2] == "8192"


def test_a_type_that_no_node_has_is_waited_for_by_name(carded):
    cloud, _ = carded
    name = unique("absent")
    cloud.create(name, LOOK, task_mode=True, gpu_config=gpu(1024, "fc.gpu.hopper.1"))
    task = cloud.submit(name)
    assert waits_for(cloud, name, task, "noGpu")["sentence"] == "no node has a GPU of type fc.gpu.hopper.1"
    error = refusal(lambda: cloud.sdk.invoke_function(name, fc.InvokeFunctionRequest()))
    assert "no node has a GPU of type fc.gpu.hopper.1" in error.message


def test_a_gpu_that_cannot_be_is_refused(carded):
    cloud, _ = carded
    for config, word in [(gpu(1000), "multiple of 1024"), (gpu(1024, "abacus"), "not one of"),
                         (gpu(999_424), "at most")]:
        error = refusal(lambda config=config: cloud.create(unique("bad"), LOOK, gpu_config=config))
        assert error.code == "InvalidArgument" and word in error.message
