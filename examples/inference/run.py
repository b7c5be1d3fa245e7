"""Inference online and offline at once: a small model answers calls while a batch of scoring tasks fills the machine.

    run.py [--files N] [--calls N]
"""

import argparse
import base64
import hashlib
import importlib.util
import json
import statistics
import sys
import sysconfig
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from connect import call, deploy, fc, submit, wait  # noqa: E402

ONLINE, OFFLINE = "classify", "score-files"
# What the layers hold, beside `/opt/python` of the runtime: 75 MB of ONNX Runtime want a layer of their own.
LAYERS = {"onnxruntime": ["onnxruntime"], "magika": ["magika", "numpy", "numpy.libs"]}
# What the files are, by their names; the model sees only their bytes.
TRUTH = {".py": "python", ".png": "png", ".jpg": "jpeg", ".json": "json", ".txt": "txt"}
BATCH = 20


def package_dir(name: str) -> Path:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(name.removesuffix(".libs"))
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {name} is missing; run scripts/setup.sh")
    return Path(found.submodule_search_locations[0]).with_name(name)


def layer(client, name: str, packages: list[str]) -> str:
    """The ARN of a layer with these packages; published only when it is new."""
    package = connect.pack(*((package_dir(each), f"python/{each}") for each in packages))
    mark = hashlib.sha256(package).hexdigest()
    try:
        versions = client.list_layer_versions(name, fc.ListLayerVersionsRequest(limit=100)).body.layers or []
    except connect.AlibabaCloudException as error:
        if error.status_code != 404:
            raise
        versions = []
    for version in versions:
        if version.description == mark:
            return version.layer_version_arn
    made = client.create_layer_version(name, fc.CreateLayerVersionRequest(
        body=fc.CreateLayerVersionInput(code=connect.zip_file(package), description=mark,
                                        compatible_runtime=["python3.10"])))
    return made.body.layer_version_arn


def samples(count: int) -> list[Path]:
    """Files of known kinds that are on every machine with this checkout."""
    library = Path(sysconfig.get_path("stdlib"))
    pictures = [p for p in (package_dir("skimage") / "data").iterdir() if p.suffix in TRUTH]
    sources = [p for p in sorted(library.glob("*.py")) if p.stat().st_size > 2_000]
    return (sorted(pictures) + sources)[:count]


def online(client, file: Path, calls: int) -> list[float]:
    """Milliseconds of each call, one after the other."""
    taken, content = [], file.read_bytes()[:16_384]
    for _ in range(calls):
        began = time.perf_counter()
        answer = json.loads(call(client, ONLINE, content))
        taken.append((time.perf_counter() - began) * 1000)
        if answer["label"] != "python":
            raise SystemExit(f"{file.name} was taken for {answer}")
    return taken


def shown(taken: list[float]) -> str:
    p99 = statistics.quantiles(taken, n=100)[98] if len(taken) > 1 else taken[0]
    return f"{len(taken)} calls, p50 {statistics.median(taken):.1f} ms, p99 {p99:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=400, help="files to score offline")
    parser.add_argument("--calls", type=int, default=100, help="online calls before, and at least as many beside")
    asked = parser.parse_args()
    client = connect.connect()

    package = connect.pack((HERE / "functions", ""))
    layers = [layer(client, name, packages) for name, packages in LAYERS.items()]
    hook = fc.InstanceLifecycleConfig(initializer=fc.LifecycleHook(handler="index.initialize", timeout=60))
    for name, handler in ((ONLINE, "index.one"), (OFFLINE, "index.many")):
        deploy(client, name, runtime="python3.10", handler=handler, cpu=0.5, memory_size=512, timeout=120,
               code=connect.zip_file(package), layers=layers, instance_lifecycle_config=hook)

    files = samples(asked.files)
    source = next(file for file in files if file.suffix == ".py")
    online(client, source, 1)
    print(f"online alone:  {shown(online(client, source, asked.calls))}")

    mark = hashlib.sha256(package + "".join(str(file) for file in files).encode()).hexdigest()[:16]
    keys = []
    for at in range(0, len(files), BATCH):
        event = [{"name": str(file), "data": base64.b64encode(file.read_bytes()[:65_536]).decode()}
                 for file in files[at:at + BATCH]]
        submit(client, OFFLINE, f"score-{mark}-{at}", event, priority="1")
        keys.append((OFFLINE, f"score-{mark}-{at}"))
    print(f"{len(files)} files submitted in {len(keys)} tasks")
    ended = []
    waiting = threading.Thread(target=lambda: ended.extend(wait(client, keys)))
    waiting.start()
    beside = online(client, source, asked.calls)
    while waiting.is_alive():
        beside += online(client, source, 5)
    waiting.join()
    if len(ended) != len(keys):
        raise SystemExit("the batch did not end well")
    print(f"online beside: {shown(beside)}")

    found = {name: verdict for task in ended for name, verdict in json.loads(task.return_payload).items()}
    right = sum(found[str(file)]["label"] == TRUTH[file.suffix] for file in files)
    print(f"{right} of {len(files)} files recognised; see the tasks again: stint task list --function {OFFLINE}")
    if right < 0.95 * len(files):
        raise SystemExit("that is too few")


if __name__ == "__main__":
    main()
