"""The real binary as a process: started on free ports in a directory of its own, and ended."""

import ctypes
import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def binary() -> str:
    said = os.environ.get("STINT_BIN")
    if not said:
        raise RuntimeError("STINT_BIN does not say where the binary is")
    return said


def until(holds, what: str, limit: float = 30.0, pause: float = 0.02):
    """Polls until `holds()` gives something true, and gives that; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {limit} s still not: {what}")
        time.sleep(pause)


def die_with_us() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """`stint up` on its own directory. What it says goes to `DIR/../server.log`."""

    def __init__(self, home: Path, **settings: str):
        self.home, self.dir = home, home / "data"
        self.settings = {"log.level": "info", **{k.replace("__", "."): v for k, v in settings.items()}}
        self.log = home / "server.log"
        self.listen = "127.0.0.1:0"
        self.process: subprocess.Popen | None = None
        # What the process does to itself before it becomes the server.
        self.before_exec = lambda: None
        self.started_in = 0.0

    def environment(self) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("STINT_", "XDG_"))}
        return env | {"HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "xdg"),
                      "XDG_CONFIG_HOME": str(self.home / "config"), "NO_COLOR": "1"}

    def command(self, *arguments: str) -> list[str]:
        return [binary(), *arguments, "--data", str(self.dir)]

    def up_command(self) -> list[str]:
        sets = [part for key, value in self.settings.items() for part in ("--set", f"{key}={value}")]
        listen = ["--listen", self.listen, "--listen-trigger", "127.0.0.1:0"]
        return self.command("up", *listen, *sets)

    def launch(self) -> subprocess.Popen:
        def prepare():
            die_with_us()
            self.before_exec()

        with self.log.open("ab") as log:
            return subprocess.Popen(self.up_command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=self.environment(), preexec_fn=prepare)

    def start(self, limit: float = 30.0) -> "Server":
        (self.dir / "address").unlink(missing_ok=True)
        begun = time.monotonic()
        self.process = self.launch()
        until(self.is_ready, "the server is ready", limit, pause=0.005)
        self.started_in = time.monotonic() - begun
        return self

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.said()}")
        if not (self.dir / "address").exists() or not self.address:
            return False
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, bytes]:
        """Without any credentials."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @property
    def address(self) -> str:
        return (self.dir / "address").read_text().strip().removeprefix("http://")

    @property
    def key(self) -> tuple[str, str]:
        found = json.loads((self.dir / "credentials.json").read_text())
        return found["accessKeyId"], found["accessKeySecret"]

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-8000:]

    def cli(self, *arguments: str, check: bool = True, env: dict | None = None, cwd=None,
            timeout: float = 120) -> subprocess.CompletedProcess:
        """A client command against this server."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, cwd=cwd,
                              timeout=timeout, env=self.environment() | (env or {}))
        if check and done.returncode != 0:
            raise AssertionError(f"stint {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self, limit: float = 40.0) -> int:
        """SIGTERM; gives the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=limit)

    def end(self) -> None:
        """However it is: gone afterwards."""
        if self.process is None:
            return
        try:
            self.stop(limit=20)
        except subprocess.TimeoutExpired:
            self.kill()
