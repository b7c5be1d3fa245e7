"""A live recorder that is started and stopped at any moment: one long task, ended by its id, with its last segment whole.

    run.py [--seconds N] [--address rtmp://…]
"""

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from connect import call, deploy, fc, submit, task  # noqa: E402

RECORD, INSPECT = "record", "inspect-recording"


def until(holds, what: str, limit: float = 60):
    deadline = time.monotonic() + limit
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise SystemExit(f"after {limit:.0f} s still not: {what}")
        time.sleep(0.1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=7, help="how long to record")
    parser.add_argument("--address", help="of a real stream; the function needs internet access for it")
    asked = parser.parse_args()
    client = connect.connect()

    code = connect.zip_file(connect.pack((HERE / "functions", "")))
    volume = fc.NASConfig(user_id=10000, group_id=10000, mount_points=[
        fc.NASMountConfig(server_addr="volume:recordings", mount_dir="/mnt/recordings")])
    stop = fc.InstanceLifecycleConfig(pre_stop=fc.LifecycleHook(handler="index.close", timeout=15))
    deploy(client, RECORD, runtime="python3.10", handler="index.handler", cpu=0.5, memory_size=512, timeout=86_400,
           code=code, nas_config=volume, instance_lifecycle_config=stop)
    deploy(client, INSPECT, runtime="python3.10", handler="inspect_recording.handler", cpu=0.5, memory_size=512,
           timeout=60, code=code, nas_config=volume)

    name = f"live-{time.time_ns()}"
    submit(client, RECORD, name, {"name": name, "address": asked.address}, tags=f"stream={name}")
    until(lambda: task(client, RECORD, name).status == "Running", "it records")
    print(f"{name} is recording; from elsewhere: stint task stop {RECORD}/{name}")
    time.sleep(asked.seconds)
    client.stop_async_task(RECORD, name, fc.StopAsyncTaskRequest())
    ended = until(lambda: (found := task(client, RECORD, name)).status not in connect.UNFINISHED and found, "it ended")
    print(f"stopped on request: {ended.status}")

    found = json.loads(call(client, INSPECT, {"name": name}))
    for segment in found["segments"]:
        print(f"  {segment['name']}  {segment['frames']:4} frames  {segment['seconds']:5.2f} s")
    frames = sum(segment["frames"] for segment in found["segments"])
    print(f"{len(found['segments'])} segments, {frames} frames, {found['pictures']} pictures, all whole")
    print(f"what it said: stint task logs {RECORD}/{name}")


if __name__ == "__main__":
    main()
