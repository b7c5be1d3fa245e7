"""Features of many pieces of sound, by a function that is a container image with its own numpy.

    run.py [--clips N] [--registry HOST:PORT]

The image is built without a container engine and uploaded as the function's code; with `--registry` it
is pushed there (by skopeo) and pulled from there.
"""

import argparse
import array
import base64
import hashlib
import io
import json
import math
import random
import subprocess
import sys
import tempfile
import time
import wave
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import build  # noqa: E402
import connect  # noqa: E402
from connect import deploy, fc, submit, wait  # noqa: E402

FUNCTION, RATE = "audio-features", 16_000


def clip(index: int) -> tuple[str, float, bytes]:
    """A second of a tone with overtones, or of noise: its name, its pitch, and the file."""
    dice = random.Random(index)
    tone = 110.0 * 2 ** (index % 36 / 12) if index % 6 else 0.0
    data = array.array("h")
    for at in range(RATE):
        if tone:
            value = sum(math.sin(2 * math.pi * tone * n * at / RATE) / n for n in (1, 2, 3)) / 2
        else:
            value = dice.uniform(-1, 1)
        data.append(int(20_000 * value))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(data.tobytes())
    return f"tone-{tone:.0f}" if tone else "noise", tone, out.getvalue()


def source(archive: bytes, registry: str | None) -> tuple[str, fc.InputCodeLocation | None]:
    """What `image` says, and the code it needs."""
    if registry is None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as zipped:
            zipped.writestr(zipfile.ZipInfo("image.tar", (2020, 1, 1, 0, 0, 0)), archive)
        return "code", connect.zip_file(packed.getvalue())
    image = f"{registry}/examples/{FUNCTION}:{hashlib.sha256(archive).hexdigest()[:12]}"
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        Path(file.name).write_bytes(archive)
        subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false",
                        f"oci-archive:{file.name}", f"docker://{image}"], check=True)
    return image, None


def ready(client) -> fc.Function:
    """The function once its image can run."""
    while True:
        found = client.get_function(FUNCTION, fc.GetFunctionRequest()).body
        if "Failed" in (found.state, found.last_update_status):
            raise SystemExit(f"the image cannot run: {found.state_reason or found.last_update_status_reason}")
        if found.state == "Active" and found.last_update_status == "Successful":
            return found
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--registry", help="push the image there, as host:port")
    asked = parser.parse_args()
    client = connect.connect()

    archive = build.build()
    print(f"the image is built: {len(archive) >> 20} MB, without a container engine")
    image, code = source(archive, asked.registry)
    deploy(client, FUNCTION, runtime="custom-container", handler="server", cpu=0.5, memory_size=512, timeout=60,
           instance_concurrency=4, code=code,
           custom_container_config=fc.CustomContainerConfig(image=image, port=9000))
    found = ready(client)
    print(f"it runs as {found.custom_container_config.resolved_image_uri[-71:]}")

    keys, expected = [], {}
    for index in range(asked.clips):
        name, tone, sound = clip(index)
        # The same clip and image give the same id: a second run finds its results.
        mark = hashlib.sha256(hashlib.sha256(archive).digest() + sound).hexdigest()[:24]
        expected[f"clip-{mark}"] = tone
        submit(client, FUNCTION, f"clip-{mark}", {"name": name, "sound": base64.b64encode(sound).decode()},
               tags=f"clip={name}")
        keys.append((FUNCTION, f"clip-{mark}"))
    print(f"{len(keys)} clips submitted")

    right = 0
    for key, task in zip(keys, wait(client, keys)):
        made = json.loads(task.return_payload)
        print(f"  {made['name']:10} pitch {made['pitch_hz']:7.1f} Hz   centroid {made['centroid_hz']:7.1f} Hz   "
              f"{made['loudness_db']:6.1f} dB   {len(made['mfcc'])} MFCCs   {task.duration_ms:4} ms")
        right += abs(made["pitch_hz"] - expected[key[1]]) <= 0.01 * expected[key[1]] + 0.5
    print(f"{right} of {len(keys)} pitches verified, numpy {made['numpy']} of the image; "
          f"see them again: stint task list --function {FUNCTION}")
    if right != len(keys):
        raise SystemExit("a pitch is wrong")


if __name__ == "__main__":
    main()
