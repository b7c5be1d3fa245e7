"""Fixtures: one server for most tests, and servers of their own for those that end them."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from cloud import Cloud, fc, unique
from server import Server, binary

os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def pytest_sessionstart(session):
    path = shutil.which(binary())
    if path is None:
        pytest.exit(f"{binary()} is not a program", returncode=3)


@pytest.fixture(scope="session")
def place():
    """A directory with a short path: sockets lie below it."""
    directory = Path(tempfile.mkdtemp(prefix="stint-e2e-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def server(place):
    """Shared; tests use names of their own on it."""
    home = place / "shared"
    gates = home / "gates"
    gates.mkdir(parents=True)
    gates.chmod(0o777)
    server = Server(home, node__nas_allow=str(gates))
    server.gates = gates
    yield server.start()
    server.end()


@pytest.fixture(scope="session")
def cloud(server):
    return Cloud(server)


@pytest.fixture
def own(place, request):
    """Makes servers of one's own: `own(grace="1s")`, not yet started."""
    made = []

    def make(**settings) -> Server:
        home = place / unique("own")
        home.mkdir()
        made.append(Server(home, **settings))
        return made[-1]

    yield make
    for server in made:
        server.end()
        shutil.rmtree(server.home, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what its server said last."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for fixture in ("server",):
            server = item.funcargs.get(fixture)
            if isinstance(server, Server):
                report.sections.append(("the server said", server.said()))


@pytest.fixture(scope="session")
def echo(cloud):
    """A function in task mode that answers what it is told; see its text."""
    name = unique("echo")
    cloud.create(name, """
        import json, os, time

        # `wait` holds the call until the test makes that file.
        def handler(event, context):
            asked = json.loads(event) if event[:1] == b"{" else {}
            if "say" in asked:
                print(asked["say"])
            if "sleep" in asked:
                time.sleep(asked["sleep"])
            while "wait" in asked and not os.path.exists("/mnt/gates/" + asked["wait"]):
                time.sleep(0.01)
            if "raise" in asked:
                raise ValueError(asked["raise"])
            return asked.get("answer", event)
        """, task_mode=True, retries=0, timeout=120, nas_config=gates_mount(cloud.server))
    return name


def gates_mount(server) -> fc.NASConfig:
    return fc.NASConfig(user_id=0, group_id=0, mount_points=[fc.NASMountConfig(
        server_addr=f"host:{server.gates}", mount_dir="/mnt/gates")])


@pytest.fixture
def gate(server):
    """A name that calls may wait for, and `open()`."""
    class Gate:
        name = unique("gate")

        def open(self):
            (server.gates / self.name).touch()

    gate = Gate()
    yield gate
    gate.open()
