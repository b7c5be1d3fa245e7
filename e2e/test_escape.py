"""Ways out of what `stint up` really launches: a static program uploaded as a custom runtime tries them
all, and tries them outside, too, where they must succeed or prove nothing."""

import os
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cloud import Cloud, fc, unique
from server import ROOT, Server, binary, until

# What root can do on any machine that this may run on, containers included. The other attempts depend
# on the kernel; what they say outside is printed.
CONTROLS = """shadow canary traversal by_descriptor init_fds write_usr write_root write_etc see_process
    signal_process ptrace vm_read setns unshare_user unshare_net unshare_mount clone_user clone3 chroot mount
    umount remount personality setuid setgroups effective_caps bounding_caps new_privileges unfiltered
    terminal host_env host_loopback host_abstract packet raw_icmp netlink cgroup_files""".split()


class Quiet(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "bootstrap"
    built = subprocess.run(["cc", "-O1", "-static", "-o", path, ROOT / "e2e/hostile/probe.c"],
                           capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return path


@pytest.fixture(scope="module")
def canaries(tmp_path_factory):
    """Things of the host that must stay unseen: a file, a process, a service on loopback, an abstract socket."""
    secret = tmp_path_factory.mktemp("canary") / "secret"
    secret.write_text("nobody may read this")
    sleeper = subprocess.Popen(["/usr/bin/sleep", "1000"])
    service = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    name = unique("stint-canary")
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0" + name)
    abstract.listen(8)
    yield [str(secret), str(sleeper.pid), str(service.server_port), name]
    sleeper.kill()
    sleeper.wait()
    service.shutdown()
    abstract.close()


def verdicts(text: str) -> dict[str, bool]:
    found = dict(line.split(" ") for line in text.splitlines())
    assert len(found) > 75 and set(found.values()) <= {"open", "shut"}, text
    return {name: verdict == "open" for name, verdict in found.items()}


def test_outside_the_same_attempts_succeed(probe, canaries):
    done = subprocess.run([probe, "--here", *canaries, "0"], capture_output=True, text=True, timeout=120,
                          env={"STINT_PROBE_CONTROL": "1"})
    found = verdicts(done.stdout)
    print("shut on this machine even outside:", sorted(name for name, is_open in found.items() if not is_open))
    wanted = CONTROLS if os.geteuid() == 0 else ["canary", "host_loopback", "host_abstract", "see_process"]
    assert not [name for name in wanted if not found[name]], "these prove nothing here"


class Rebound(Server):
    """A server for which a name of the internet's is an address of the host: its own /etc/hosts says so."""

    user = None

    def launch(self):
        if os.geteuid() != 0:
            return super().launch()
        hosts = self.home / "hosts"
        hosts.write_text("127.0.0.1 localhost\n127.0.0.1 rebound.stint.test\n")
        script = f'mount --make-rprivate / && mount --bind {hosts} /etc/hosts && exec "$0" "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", script]
        if self.user:
            prefix += ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--inh-caps=-all"]
            for path in (self.home, self.log):
                path.touch()
                os.chown(path, self.user, self.user)
            # Where the binary lies may be closed to others.
            shutil.copy(binary(), self.home / "stint")
            prefix.append(str(self.home / "stint"))
        plain = self.up_command
        self.up_command = lambda: [*prefix, *plain()[1 if self.user else 0:]]
        try:
            return super().launch()
        finally:
            self.up_command = plain


# Each network an operator can choose; and a server without any privilege, whose walls must hold as well.
STAGES = {"proxy": ("proxy", None), "none": ("none", None), "host": ("host", None), "nobody": ("proxy", 65_534)}


@pytest.fixture(scope="module", params=STAGES)
def stage(request, place):
    home = place / unique("escape")
    home.mkdir(mode=0o755)
    network, user = STAGES[request.param]
    server = Rebound(home, node__network=network)
    server.network, server.user = network, user if os.geteuid() == 0 else None
    if server.user:
        place.chmod(0o755)
    yield server.start()
    server.end()


def test_inside_all_of_them_are_shut(stage, probe, canaries):
    cloud = Cloud(stage)
    other, name = unique("neighbour"), unique("probe")
    for function, port in ((other, 9321), (name, 9000)):
        cloud.create(function, {"bootstrap": probe.read_bytes()}, runtime="custom.debian12", handler="none",
                     timeout=120, custom_runtime_config=fc.CustomRuntimeConfig(port=port))
    # The neighbour lives, and listens.
    assert cloud.invoke(other, "\n".join([*canaries, "0"])).status == 200
    reply = cloud.invoke(name, "\n".join([*canaries, "9321"]), read_timeout=120_000)
    assert reply.error_type is None, reply.text
    ways_out = [name for name, is_open in verdicts(reply.text).items() if is_open]
    assert not ways_out, f"node.network={stage.network}"
    enforced = cloud.v1("GET", "/instances", function=name)["items"][0]["enforced"]
    expected = "own loopback" if stage.network == "none" else "through the node's proxy"
    assert any(expected in word for word in enforced), enforced


def test_the_probe_itself_can_reach_what_it_may(stage, probe, canaries):
    """Without this the attempts above could be shut because the probe is broken: its neighbour's port is
    its own port here, which it can reach, and so is a file of its own."""
    cloud, name = Cloud(stage), unique("control")
    cloud.create(name, {"bootstrap": probe.read_bytes()}, runtime="custom.debian12", handler="none", timeout=120)
    own = ["/code/bootstrap", *canaries[1:], "9000"]
    found = verdicts(cloud.invoke(name, "\n".join(own), read_timeout=120_000).text)
    assert {name for name, is_open in found.items() if is_open} == {"canary", "traversal", "by_descriptor",
                                                                    "neighbour"}


def test_a_function_sees_nothing_of_another(stage):
    cloud = Cloud(stage)
    code = """
        import os, glob
        SEEN = {}
        def handler(event, context):
            mark = event.decode()
            found = {"tmp": sorted(os.listdir("/tmp")), "globals": sorted(SEEN), "shm": sorted(os.listdir("/dev/shm")),
                     "env": "SECRET" in os.environ, "processes": sum(name.isdigit() for name in os.listdir("/proc"))}
            if mark:
                open("/tmp/" + mark, "w").close()
                open("/dev/shm/" + mark, "w").close()
                SEEN[mark] = True
            return found
        """
    left, right = unique("left"), unique("right")
    cloud.create(left, code, environment_variables={"SECRET": "left's"})
    cloud.create(right, code)
    first = cloud.invoke(left, "mark").json
    assert first["env"] and first["tmp"] == []
    assert cloud.invoke(left, "").json["globals"] == ["mark"], "its own state it keeps"
    other = cloud.invoke(right, "").json
    # Itself alone: even its init is hidden.
    assert other == {"tmp": [], "globals": [], "shm": [], "env": False, "processes": 1}, other


def test_random_numbers_differ_between_instances(stage):
    cloud, name = Cloud(stage), unique("dice")
    cloud.create(name, """
        import os, random, time, uuid
        def handler(event, context):
            time.sleep(0.5)
            return [random.random(), uuid.uuid4().hex, os.urandom(8).hex()]
        """, cpu=0.25, task_mode=True)
    ids = [cloud.submit(name) for _ in range(6)]
    drawn = [cloud.ended(name, task_id).return_payload for task_id in ids]
    assert len(set(drawn)) == 6
    until(lambda: len({i["id"] for i in cloud.v1("GET", "/instances", function=name)["items"]}) > 1, "several ran")
