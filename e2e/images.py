"""Container images made by plain tools, and registries of one's own to pull them from."""

import base64
import gzip
import hashlib
import http.client
import io
import json
import os
import platform
import shutil
import socket
import subprocess
import sysconfig
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from server import die_with_us, until

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
PYTHON = Path(os.path.realpath("/usr/bin/python3"))

#: Answers FC's requests; the event says what to do.
APP = '''
import http.server, json, os, socketserver, sys, threading

seen = []

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/pre-stop":
            open("/mnt/share/stopped", "w").write("politely")
        self.answer(b"well")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        seen.append(self.path)
        if self.path == "/initialize":
            return self.answer(b"")
        asked = json.loads(body or b"{}")
        print("asked", asked, flush=True)
        if "read" in asked:
            try:
                return self.answer(open(asked["read"], "rb").read())
            except OSError as error:
                return self.answer(type(error).__name__.encode())
        if "write" in asked:
            try:
                with open(asked["write"], "wb") as file:
                    for _ in range(asked.get("megabytes", 1)):
                        file.write(bytes(1 << 20))
                return self.answer(b"written")
            except OSError as error:
                return self.answer(os.strerror(error.errno).encode())
        if "exit" in asked:
            os._exit(asked["exit"])
        self.answer(json.dumps({
            "version": VERSION, "argv": sys.argv[1:], "uid": os.getuid(), "gid": os.getgid(), "cwd": os.getcwd(),
            "env": dict(os.environ), "root": sorted(os.listdir("/")), "seen": seen,
            "instance": self.headers["x-fc-instance-id"], "task": self.headers["x-fc-async-task-id"],
        }).encode())

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

VERSION = "%s"
Server(("0.0.0.0", int(os.environ["FC_CUSTOM_LISTEN_PORT"])), Handler).serve_forever()
'''


def layer(files: dict[str, bytes | str | Path], *, links: dict[str, str] | None = None, deleted=()) -> bytes:
    """A tar of files by their names inside; a path is copied with its mode."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, Path):
                data = content.read_bytes()
                info.mtime = int(content.stat().st_mtime)
            else:
                data = content.encode() if isinstance(content, str) else content
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        for name in deleted:
            head, _, tail = name.rpartition("/")
            tar.addfile(tarfile.TarInfo(f"{head}/.wh.{tail}" if head else f".wh.{tail}"))
    return out.getvalue()


def libraries(*programs: Path) -> set[Path]:
    """What the dynamic loader would load, the loader included."""
    found = set()
    for program in programs:
        said = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for word in said.split():
            if word.startswith("/"):
                found.add(Path(word))
    return found


def python_layer() -> bytes:
    """The machine's Python with its standard library, as an image would carry it."""
    standard = Path(sysconfig.get_paths(vars={"installed_base": "/usr"})["stdlib"])
    standard = Path("/usr/lib") / standard.name if not standard.exists() else standard
    skipped = {"test", "idlelib", "tkinter", "dist-packages", "config", "lib2to3", "ensurepip"}
    files: dict[str, Path] = {"usr/bin/python3": PYTHON}
    modules = []
    for path in sorted(standard.rglob("*")):
        parts = path.relative_to(standard).parts
        if path.is_file() and not any(part in skipped or part.startswith("config-") for part in parts):
            files[str(path).lstrip("/")] = path
            if path.suffix == ".so":
                modules.append(path)
    for path in libraries(PYTHON, *modules):
        files[str(path).lstrip("/")] = Path(os.path.realpath(path))
    return layer(files)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Image:
    """Layers, the lowest first, and what the image says about starting."""

    layers: list[bytes]
    config: dict = field(default_factory=dict)

    def blobs(self) -> tuple[dict, list[bytes]]:
        """The manifest, and everything it names."""
        packed = [gzip.compress(data, compresslevel=1, mtime=0) for data in self.layers]
        config = json.dumps({
            "architecture": ARCHITECTURE, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in self.layers]},
        }).encode()
        kind = "application/vnd.oci.image"
        manifest = {
            "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": digest(data), "size": len(data)}
                       for data in packed],
        }
        return manifest, [config, *packed]


def write_layout(directory: Path, images: dict[str, Image]) -> None:
    """An OCI layout with an image for each tag."""
    shelf = directory / "blobs" / "sha256"
    shelf.mkdir(parents=True, exist_ok=True)

    def put(data: bytes) -> None:
        (shelf / digest(data).removeprefix("sha256:")).write_bytes(data)

    entries = []
    for tag, image in images.items():
        manifest, blobs = image.blobs()
        data = json.dumps(manifest).encode()
        for blob in [*blobs, data]:
            put(blob)
        entries.append({"mediaType": manifest["mediaType"], "digest": digest(data), "size": len(data),
                        "annotations": {"org.opencontainers.image.ref.name": tag}})
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


def skopeo(*arguments: str) -> str:
    done = subprocess.run(["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"skopeo {' '.join(arguments)}: {done.stderr}"
    return done.stdout


class Registry:
    """Debian's docker-registry on a free port of loopback."""

    def __init__(self, home: Path, *, user: tuple[str, str] | None = None, tls: bool = False):
        self.home, self.user, self.process = home, user, None
        home.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = {
            "version": 0.1, "log": {"accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(home / "blobs")}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
        }
        if user:
            import crypt
            (home / "users").write_text(f"{user[0]}:{crypt.crypt(user[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(home / "users")}}
        if tls:
            self.make_certificate()
            config["http"]["tls"] = {"certificate": str(home / "cert.pem"), "key": str(home / "key.pem")}
        # YAML takes JSON.
        (home / "config.yml").write_text(json.dumps(config))

    def make_certificate(self) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", self.home / "key.pem", "-out", self.home / "cert.pem", "-days", "2", "-subj", "/CN=registry",
             "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        self.authority = base64.b64encode((self.home / "cert.pem").read_bytes()).decode()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Registry":
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", self.home / "config.yml"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=die_with_us)

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        until(answers, "the registry listens")
        return self

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None

    def push(self, image: Image, name: str) -> str:
        """Pushes by the usual tool; gives the reference."""
        layout = self.home / f"push-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        write_layout(layout, {"image": image})
        where = f"{self.host}/{name}"
        creds = ["--dest-creds", ":".join(self.user)] if self.user else []
        skopeo("copy", "--dest-tls-verify=false", *creds, f"oci:{layout}:image", f"docker://{where}")
        shutil.rmtree(layout)
        return where

    def delete(self, name: str) -> None:
        repository, _, tag = name.partition(":")
        connection = http.client.HTTPConnection(self.host, timeout=10)
        accept = {"accept": "application/vnd.oci.image.manifest.v1+json"}
        connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=accept)
        answer = connection.getresponse()
        answer.read()
        connection.request("DELETE", f"/v2/{repository}/manifests/{answer.headers['docker-content-digest']}")
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        connection.close()
