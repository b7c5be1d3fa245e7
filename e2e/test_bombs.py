"""What a hostile or broken function can do to its machine: each bomb ends as the right error of its own
call, while a neighbour is served and the platform stays well."""

import os
import threading
import time

import pytest

from cloud import Cloud, unique
from server import Server, until

BOMBS = '''
    import os, signal, subprocess, sys, threading, time

    def forks():
        while True:
            try:
                os.fork()
            except OSError:
                pass

    def threads():
        def spawn():
            while True:
                try:
                    threading.Thread(target=spawn).start()
                except RuntimeError:
                    pass
        spawn()

    def memory():
        held = []
        while True:
            held.append(bytearray(os.urandom(1 << 20) * 8))

    def shared_memory():
        with open("/dev/shm/bomb", "wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()

    def disk():
        with open("/tmp/bomb", "wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()

    def inodes():
        n = 0
        while True:
            open("/tmp/%d" % n, "w").close()
            n += 1

    def log():
        line = "x" * 1000 + "\\n"
        while True:
            sys.stdout.write(line)

    def spin():
        while True:
            pass

    def descriptors():
        held = []
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))

    def connections():
        import socket
        held = []
        while True:
            held.append(socket.create_connection(("127.0.0.1", 3128)))

    def output():
        return bytes(100 << 20)

    def stubborn():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass

    def daemon(mark):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for fd in range(1024):
                    try:
                        os.close(fd)
                    except OSError:
                        pass
                os.execv("/usr/bin/sleep", ["sleep", mark])
            os._exit(0)
        os.wait()
        return "left a daemon"

    def handler(event, context):
        how, *rest = event.decode().split()
        return globals()[how](*rest)
    '''


@pytest.fixture(scope="module")
def stage(place):
    home = place / unique("bombs")
    home.mkdir()
    server = Server(home)
    yield server.start()
    server.end()


@pytest.fixture(scope="module")
def battlefield(stage):
    """Functions that explode, with their time limit, and one beside them that is called all the while."""
    cloud, bombs, neighbour = Cloud(stage), {4: unique("bomb"), 60: unique("bomb")}, unique("neighbour")
    for seconds, bomb in bombs.items():
        cloud.create(bomb, BOMBS, timeout=seconds, cpu=0.5, memory_size=512)
    cloud.create(neighbour, "def handler(event, context):\n    return b'well, ' + event\n", timeout=20)
    assert cloud.invoke(neighbour, "here").body == b"well, here"
    return cloud, bombs, neighbour


class Watch:
    """Calls the neighbour until the bomb is over; every answer must be right."""

    def __init__(self, cloud, neighbour):
        self.cloud, self.neighbour = Cloud(cloud.server), neighbour
        self.answers, self.done = [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.is_set():
            try:
                self.answers.append(self.cloud.invoke(self.neighbour, "you").body)
            except Exception as error:  # it is told below
                self.answers.append(error)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        seen = len(self.answers)
        if not self.answers or not isinstance(self.answers[-1], Exception):
            until(lambda: len(self.answers) >= seen + 3, "the neighbour is still served")
        self.done.set()
        self.thread.join()
        assert set(self.answers) == {b"well, you"}, set(map(repr, self.answers))


TIME, DISK = "Function timed out after 4 seconds", "No space left on device"


@pytest.mark.parametrize("how, messages", {
    # A thousand processes may take all the memory before the time is over.
    "forks": [TIME, "memory limit exceeded"],
    "threads": [TIME, "memory limit exceeded"],
    "memory": ["memory limit exceeded (512MB)"],
    "shared_memory": [DISK],
    "disk": [DISK],
    # Which of them is met first depends on the machine.
    "inodes": [DISK, "memory limit exceeded", TIME],
    "log": [TIME],
    "spin": [TIME],
    "descriptors": ["Too many open files"],
    "connections": ["Too many open files", TIME],
    "output": ["bytes, at most"],
    "stubborn": [TIME],
}.items(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_bomb_hurts_only_itself(stage, battlefield, how, messages):
    cloud, bombs, neighbour = battlefield
    # What does not end by time is given enough: a machine may need long to find the memory it is asked for.
    bomb = bombs[4 if TIME in messages else 60]
    process = stage.process.pid
    with Watch(cloud, neighbour):
        done = cloud.invoke(bomb, how, read_timeout=60_000)
    assert (done.status, done.error_type) == (200, "UnhandledInvocationError"), done
    assert any(message in done.json["errorMessage"] for message in messages), done.text
    assert stage.process.poll() is None and stage.get("/readyz")[0] == 200
    assert memory_mb(process) < 1500
    after = cloud.invoke(bomb, "daemon 1", read_timeout=60_000)
    assert after.text == "left a daemon", "the function itself goes on"


def memory_mb(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) // 1024


def test_the_history_tells_the_bombs_apart(stage, battlefield):
    cloud = battlefield[0]
    name = unique("told")
    cloud.create(name, BOMBS, timeout=60, cpu=0.5, memory_size=512, task_mode=True, retries=0)
    for how, kind in (("memory", "FunctionOOMError"), ("disk", "OSError"), ("spin", "FunctionTimeoutError")):
        if how == "spin":
            cloud.update(name, timeout=2)
        done = cloud.ended(name, cloud.submit(name, how))
        assert done.status == "Failed"
        attempt = cloud.native(name, done.task_id)["attempts"][-1]
        assert kind in str(attempt), attempt


def test_a_log_bomb_is_cut_and_says_so(stage, battlefield):
    cloud = battlefield[0]
    name = unique("logs")
    cloud.create(name, BOMBS, timeout=3)
    cloud.invoke(name, "log", read_timeout=60_000)
    size = sum(path.stat().st_size for path in stage.dir.rglob("*") if path.is_file())
    assert size < 500 << 20, "what one call says does not fill the disk"


def processes_with(argument: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                if argument.encode() in line.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            pass
    return found


def test_a_daemon_ends_with_its_instance(stage, battlefield):
    cloud = battlefield[0]
    name, mark = unique("daemon"), f"{1000 + time.time_ns() % 100_000}.25"
    cloud.create(name, BOMBS, timeout=10)
    assert cloud.invoke(name, f"daemon {mark}").text == "left a daemon"
    until(lambda: processes_with(mark), "the daemon lives as long as its instance may")
    cloud.delete(name)
    until(lambda: not processes_with(mark), "and no longer")
