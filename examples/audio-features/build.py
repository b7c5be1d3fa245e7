"""Builds the image without a container engine: this machine's Python and the numpy of .venv, copied
with the libraries they need, and the server. The same files give the same image.

    build.py OUT.tar          an OCI archive, for `image: code`, `skopeo copy oci-archive:…`, `podman load`
"""

import gzip
import hashlib
import importlib.util
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
SKIPPED = {"test", "tests", "idlelib", "tkinter", "dist-packages", "lib2to3", "ensurepip", "config"}


def loaded_by(files: list[Path]) -> set[Path]:
    """The libraries of the machine that the dynamic loader would take, the loader included."""
    said = subprocess.run(["ldd", *files], capture_output=True, text=True).stdout
    words = (word.rstrip(":") for word in said.split())
    return {Path(word) for word in words if word.startswith(("/lib", "/usr/lib"))}


def tree(root: Path, inside: str) -> dict[str, Path]:
    files = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(part in SKIPPED or part.startswith("config-") for part in parts):
            files[f"{inside}/{path.relative_to(root)}"] = path
    return files


def with_libraries(files: dict[str, Path]) -> dict[str, Path]:
    programs = [path for path in files.values() if path.suffix == ".so" or ".so." in path.name or os.access(path, os.X_OK)]
    own = {path.resolve() for path in files.values()}
    for path in loaded_by([path for path in programs if path.read_bytes()[:4] == b"\x7fELF"]):
        if path.resolve() not in own:
            files.setdefault(str(path).lstrip("/"), path.resolve())
    return files


def python() -> dict[str, Path]:
    executable = Path("/usr/bin/python3").resolve()
    library = Path("/usr/lib") / executable.name
    return with_libraries({"usr/bin/python3": executable, **tree(library, str(library).lstrip("/"))})


def numpy() -> dict[str, Path]:
    found = importlib.util.find_spec("numpy")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("numpy is missing; run scripts/setup.sh")
    package = Path(found.submodule_search_locations[0])
    files = tree(package, "opt/python/numpy")
    libraries = package.parent / "numpy.libs"
    if libraries.is_dir():
        files |= tree(libraries, "opt/python/numpy.libs")
    return with_libraries(files)


def layer(files: dict[str, Path]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, path in sorted(files.items()):
            info = tarfile.TarInfo(name)
            found = path.stat()
            # With its time, or Python would compile every module again at every start.
            info.size, info.mtime = found.st_size, int(found.st_mtime)
            info.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as file:
                tar.addfile(info, file)
    return out.getvalue()


def build() -> bytes:
    """The image as an OCI archive."""
    base = python()
    added = {name: path for name, path in numpy().items() if name not in base}
    layers = [layer(base), layer(added), layer({"srv/server.py": HERE / "image" / "server.py"})]
    blobs: dict[str, bytes] = {}

    def put(data: bytes, kind: str) -> dict:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    packed = [put(gzip.compress(data, 6, mtime=0), "layer.v1.tar+gzip") for data in layers]
    config = put(json.dumps({
        "architecture": ARCHITECTURE, "os": "linux",
        "config": {"Entrypoint": ["python3", "-S", "server.py"], "WorkingDir": "/srv", "User": "65534",
                   "Env": ["PATH=/usr/bin:/bin", "PYTHONPATH=/opt/python", "OPENBLAS_NUM_THREADS=1"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]},
    }).encode(), "config.v1+json")
    manifest = put(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
        "layers": packed}).encode(), "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "audio-features"}
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
             "index.json": json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode(), **blobs}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    archive = build()
    Path(sys.argv[1]).write_bytes(archive)
    print(f"{sys.argv[1]}: {len(archive) >> 20} MB, sha256 {hashlib.sha256(archive).hexdigest()[:16]}")
