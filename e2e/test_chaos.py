"""Parts of the platform are killed and starved: it recovers by itself and says what happened."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from cloud import Cloud, fc, unique
from server import until

ECHO = "def handler(event, context):\n    return event\n"
# Goes on when the file is there; says who it is.
WAITS = """
    import os, time
    def handler(event, context):
        while not os.path.exists("/mnt/gates/" + event.decode()):
            time.sleep(0.01)
        return "went on"
    """


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def spawner(server) -> int:
    def look():
        return [pid for pid in children(server.process.pid) if "__spawner" in command(pid)]
    return until(look, "there is a spawner")[0]


def metric(server, name: str) -> float:
    lines = server.get("/metrics")[1].decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.fixture
def gates(own):
    """A started server, its client, and a directory that opens gates inside of instances."""
    def make(**settings):
        server = own(node__nas_allow="/", **settings)
        directory = server.home / "gates"
        directory.mkdir()
        directory.chmod(0o777)
        nas = fc.NASConfig(user_id=0, group_id=0, mount_points=[
            fc.NASMountConfig(server_addr=f"host:{directory}", mount_dir="/mnt/gates")])
        return server.start(), directory, nas
    return make


def test_the_spawner_is_killed(gates):
    server, directory, nas = gates()
    cloud = Cloud(server)
    cloud.create("waits", WAITS, task_mode=True, retries=0, nas_config=nas, timeout=60)
    cloud.create("echo", ECHO)
    assert cloud.invoke("echo", "before").body == b"before"
    task_id = cloud.submit("waits", "gate")
    cloud.in_state("waits", task_id, "Running")
    for round_number in range(1, 4):
        old = spawner(server)
        os.kill(old, signal.SIGKILL)
        until(lambda: metric(server, "stint_sandbox_spawner_restarts_total") == round_number, "there is another")
        assert spawner(server) != old
        assert cloud.invoke("echo", "after").body == b"after"
    (directory / "gate").touch()
    done = cloud.ended("waits", task_id)
    assert (done.status, done.return_payload) == ("Succeeded", "went on")
    assert done.already_retried_times == 0, "not charged to the user"
    assert "spawner" in str(cloud.native("waits", task_id)["attempts"]), "the history says why it ran again"
    assert "the sandbox's spawner has ended" in server.said() and "another spawner serves" in server.said()
    assert server.process.poll() is None and server.get("/readyz")[0] == 200


def test_parked_sandboxes_are_killed(own):
    server = own(node__parked="4").start()
    cloud = Cloud(server)
    for n in range(3):
        cloud.create(f"echo{n}", ECHO)
    cloud.create("first", ECHO)
    cloud.invoke("first")
    parent = spawner(server)

    def parked():
        # What runs has children of its own.
        return [pid for pid in children(parent) if not children(pid)]

    for n in range(3):
        for pid in until(lambda: len(parked()) >= 4 and parked(), "they are parked"):
            os.kill(pid, signal.SIGKILL)
        assert cloud.invoke(f"echo{n}", str(n)).body == str(n).encode(), "a cold start"
    assert spawner(server) == parent
    until(lambda: metric(server, "stint_sandbox_parked_lost_total") >= 1, "it is counted")
    until(lambda: "a parked sandbox was lost" in server.said(), "and told")


def test_an_instance_is_killed(gates):
    server, directory, nas = gates()
    cloud = Cloud(server)
    cloud.create("waits", WAITS, task_mode=True, retries=0, nas_config=nas, timeout=60)
    task_id = cloud.submit("waits", "never")
    cloud.in_state("waits", task_id, "Running")
    # The shim is a child of its sandbox's init, which is a child of the spawner. Others wait for a function.
    is_shim = lambda pid: "bootstrap.py" in command(pid) and "--wait" not in command(pid)  # noqa: E731
    inits = [init for init in children(spawner(server)) if any(map(is_shim, children(init)))]
    assert len(inits) == 1
    os.kill(inits[0], signal.SIGKILL)
    done = cloud.ended("waits", task_id)
    assert done.status == "Failed" and "Process exited unexpectedly" in str(done.to_map())
    (directory / "again").touch()
    assert cloud.invoke("waits", "again").text == "went on"
    reasons = [i.get("reason") for i in cloud.v1("GET", "/instances", function="waits")["items"]]
    assert "the process exited" in reasons, reasons


def mounted(own, size: str):
    """A server whose data lies on a disk of this size. Only root may mount one for everybody; others get a
    view of their own in which it is mounted."""
    server = own(disk__low="24MiB", disk__high="32MiB")
    server.dir.mkdir(mode=0o700)
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", server.dir], check=True)
        return server, lambda: subprocess.run(["umount", "-l", server.dir], check=True)
    pytest.fail("run the end-to-end tests as root: a disk of a chosen size has to be mounted")


def test_the_disk_is_full(own):
    server, unmount = mounted(own, "320m")
    try:
        cloud = Cloud(server.start())
        nas = fc.NASConfig(user_id=0, group_id=0, mount_points=[
            fc.NASMountConfig(server_addr="volume:shared", mount_dir="/mnt/shared")])
        cloud.create("fills", """
            import os
            def handler(event, context):
                if event == b"free":
                    return os.unlink("/mnt/shared/bomb")
                with open("/mnt/shared/bomb", "ab", buffering=0) as file:
                    while event == b"full" or free() > 16 << 20:
                        file.write(bytes(1 << 20))
            def free():
                about = os.statvfs("/mnt/shared")
                return about.f_bavail * about.f_frsize
            """, nas_config=nas, timeout=60, task_mode=True, retries=0)
        cloud.create("echo", ECHO, task_mode=True)
        before = cloud.submit("echo", "before")
        assert cloud.ended("echo", before).status == "Succeeded"
        held = cloud.submit("echo", "accepted in time")
        assert cloud.invoke("fills", "low").error_type is None
        error = until(lambda: refused(lambda: cloud.submit("echo", "low")), "submits are refused", 30, 0.1)
        assert error.code == "InsufficientStorage" and "the disk is nearly full" in error.message
        assert cloud.ended("echo", held).return_payload == "accepted in time", "what was accepted goes on"
        done = cloud.invoke("fills", "full", read_timeout=60_000)
        assert "No space left on device" in done.text
        # What does not need the disk goes on, reading what is there included.
        assert cloud.invoke("echo", "sync").body == b"sync"
        assert cloud.task("echo", before).status == "Succeeded"
        assert server.get("/healthz")[0] == 200 and server.process.poll() is None
        cloud.invoke("fills", "free")
        task_id = until(lambda: accepted(lambda: cloud.submit("echo", "room")), "submits are taken again", 60, 0.1)
        assert cloud.ended("echo", task_id).return_payload == "room"
        assert "disk" in server.said()
    finally:
        server.end()
        unmount()


def refused(call):
    try:
        call()
    except Exception as error:
        return error if getattr(error, "code", None) else None


def accepted(call):
    try:
        return call()
    except Exception:
        return None


class Pids:
    """The control group of processes that a server starts in: root's way to run out of them."""

    def __init__(self, name: str):
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().split()]
        own = {kind: path.lstrip("/") for _, kind, path in lines}
        root = Path("/sys/fs/cgroup")
        base = root / "pids" / own["pids"] if (root / "pids").is_dir() else root / own[""]
        self.dir = base / name
        self.dir.mkdir()

    def enter(self):
        (self.dir / "cgroup.procs").write_text(str(os.getpid()))

    def now(self) -> int:
        return int((self.dir / "pids.current").read_text())

    def allow(self, most) -> None:
        (self.dir / "pids.max").write_text(str(most))

    def end(self):
        def gone():
            try:
                for leaf in sorted(self.dir.rglob("*/"), reverse=True):
                    leaf.rmdir()
                self.dir.rmdir()
                return True
            except OSError:
                return False
        until(gone, "the control group is empty")


def test_processes_run_out(own):
    assert os.geteuid() == 0, "run the end-to-end tests as root: processes have to be made scarce"
    pids = Pids(unique("stint-e2e"))
    server = own(node__parked="2")
    server.before_exec = pids.enter
    try:
        cloud = Cloud(server.start())
        cloud.create("warm", ECHO)
        cloud.create("cold", ECHO, task_mode=True, retries=0)
        assert cloud.invoke("warm", "before").body == b"before"
        pids.allow(pids.now())
        # Parked children are used up first; then nothing can be started.
        task_ids = [cloud.submit("cold", str(n)) for n in range(4)]
        calls = [threading.Thread(target=lambda: accepted(lambda: cloud.invoke("warm", "x"))) for _ in range(2)]
        for call in calls:
            call.start()
        until(lambda: "Resource temporarily unavailable" in server.said(), "it says what is missing", 30)
        assert server.get("/healthz")[0] == 200 and server.process.poll() is None
        pids.allow("max")
        for n, task_id in enumerate(task_ids):
            done = cloud.ended("cold", task_id)
            assert (done.status, done.return_payload) == ("Succeeded", str(n))
            assert done.already_retried_times == 0, "not charged to the user"
        for call in calls:
            call.join()
        assert cloud.invoke("warm", "after").body == b"after"
    finally:
        server.end()
        pids.end()


def test_a_sync_call_is_answered_when_the_spawner_dies(gates):
    server, directory, nas = gates()
    cloud = Cloud(server)
    cloud.create("waits", WAITS, nas_config=nas, timeout=60)
    told = []

    def call():
        try:
            told.append(cloud.invoke("waits", "gate").text)
        except Exception as error:
            # It had begun: whether to run it again is its caller's to decide.
            told.append(error.code)

    caller = threading.Thread(target=call)
    caller.start()
    until(lambda: Cloud(server).v1("GET", "/overview")["running"] >= 1, "it runs")
    os.kill(spawner(server), signal.SIGKILL)
    until(lambda: metric(server, "stint_sandbox_spawner_restarts_total") == 1, "there is another")
    (directory / "gate").touch()
    caller.join(timeout=60)
    assert told in (["went on"], ["InternalServerError"])
    assert Cloud(server).invoke("waits", "gate").text == "went on"
