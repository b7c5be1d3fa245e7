"""Records a live stream in segments until it is stopped; keeps a frame of each.

Stopping is part of the job: the task is stopped by its id, `close` tells ffmpeg to finish, and the
segment that was being written is whole afterwards.
"""

import json
import os
import signal
import subprocess
import time

RECORDINGS = "/mnt/recordings"
# As long as ffmpeg may take to finish its last segment.
CLOSE_WITHIN = 10

recorder = None


def source(asked):
    """A stream of its own making, at the pace of a live one, or the address that was given."""
    if asked.get("address"):
        return ["-i", asked["address"]]
    return ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]


def handler(event, context):
    global recorder
    asked = json.loads(event)
    folder = os.path.join(RECORDINGS, asked["name"])
    os.makedirs(folder, exist_ok=True)
    seconds = str(asked.get("segment", 2))
    recorder = subprocess.Popen([
        "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *source(asked),
        # A key frame where each segment begins, so that each can be played alone.
        "-c:v", "libx264", "-preset", "ultrafast", "-force_key_frames", f"expr:gte(t,n_forced*{seconds})",
        "-f", "segment", "-segment_time", seconds, "-reset_timestamps", "1",
        os.path.join(folder, "segment-%04d.mp4"),
        "-vf", f"fps=1/{seconds}", os.path.join(folder, "frame-%04d.jpg")])
    begun = time.monotonic()
    while recorder.poll() is None:
        there = sum(name.startswith("segment-") for name in os.listdir(folder))
        context.stint.heartbeat(f"{there} segments, {time.monotonic() - begun:.0f} s")
        time.sleep(0.5)
    if recorder.returncode not in (0, 255):
        raise RuntimeError(f"ffmpeg ended with {recorder.returncode}")
    return json.dumps({"seconds": round(time.monotonic() - begun, 1)})


def close(context):
    """PreStop: ffmpeg writes the end of its last segment."""
    if recorder is None or recorder.poll() is not None:
        return
    recorder.send_signal(signal.SIGINT)
    until = time.monotonic() + CLOSE_WITHIN
    while recorder.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    print(f"ffmpeg has ended with {recorder.returncode}")
