"""Thumbnails of all the pictures that scikit-image carries, one task for each.

    run.py [--edge N] [--out DIR]
"""

import argparse
import base64
import hashlib
import importlib.util
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from connect import deploy, fc, submit, wait  # noqa: E402

FUNCTION, LAYER = "thumbnails", "pillow"
ENDINGS = {".png", ".jpg", ".jpeg"}


def package_dir(name: str) -> Path:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {name} is missing; run scripts/setup.sh")
    return Path(found.submodule_search_locations[0])


def published(client) -> list[fc.Layer]:
    try:
        return client.list_layer_versions(LAYER, fc.ListLayerVersionsRequest(limit=100)).body.layers or []
    except connect.AlibabaCloudException as error:
        if error.status_code == 404:
            return []
        raise


def pillow_layer(client) -> str:
    """The ARN of a layer with Pillow under /opt/python; published only when it is new."""
    pil = package_dir("PIL")
    sources = [(pil, "python/PIL")]
    if (pil.parent / "pillow.libs").is_dir():
        sources.append((pil.parent / "pillow.libs", "python/pillow.libs"))
    package = connect.pack(*sources)
    mark = hashlib.sha256(package).hexdigest()
    for version in published(client):
        if version.description == mark:
            return version.layer_version_arn
    made = client.create_layer_version(LAYER, fc.CreateLayerVersionRequest(
        body=fc.CreateLayerVersionInput(code=connect.zip_file(package), description=mark,
                                        compatible_runtime=["python3.10"], license="MIT-CMU")))
    return made.body.layer_version_arn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edge", type=int, default=128, help="longest side in pixels")
    parser.add_argument("--out", type=Path, help="write the thumbnails there")
    asked = parser.parse_args()
    client = connect.connect()

    package = connect.pack((HERE / "functions", ""))
    deploy(client, FUNCTION, runtime="python3.10", handler="index.handler", cpu=0.5, memory_size=512,
           timeout=60, code=connect.zip_file(package), layers=[pillow_layer(client)])
    data = package_dir("skimage") / "data"
    pictures = sorted(file for file in data.iterdir() if file.suffix in ENDINGS)
    settings = hashlib.sha256(package).hexdigest()
    keys = []
    for file in pictures:
        content = file.read_bytes()
        # The same picture, code and size give the same id: a second run finds its results.
        mark = hashlib.sha256(f"{settings} {asked.edge} ".encode() + content).hexdigest()[:24]
        event = {"name": file.name, "edge": asked.edge, "data": base64.b64encode(content).decode()}
        submit(client, FUNCTION, f"thumb-{mark}", event, tags=f"picture={file.name}")
        keys.append((FUNCTION, f"thumb-{mark}"))
    print(f"{len(keys)} pictures submitted")

    for found in wait(client, keys):
        made = json.loads(found.return_payload)
        print(f"  {made['name']:28} {made['from'][0]:5}x{made['from'][1]:<5} -> "
              f"{made['to'][0]:3}x{made['to'][1]:<3}  {found.duration_ms:5} ms")
        if asked.out:
            asked.out.mkdir(parents=True, exist_ok=True)
            (asked.out / f"{Path(made['name']).stem}.jpg").write_bytes(base64.b64decode(made["data"]))
    print(f"{len(keys)} thumbnails; see them again: stint task list --function {FUNCTION}")


if __name__ == "__main__":
    main()
