"""Looks at what was recorded: every segment must be playable from its beginning to its end."""

import json
import os
import subprocess

RECORDINGS = "/mnt/recordings"


def frames(file):
    """Decodes the whole file; an unfinished one fails."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0",
         "-show_entries", "stream=nb_read_frames:format=duration", "-of", "json", file],
        capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"{os.path.basename(file)} is not whole: {done.stderr.strip()[-300:]}")
    shown = json.loads(done.stdout)
    return int(shown["streams"][0]["nb_read_frames"]), float(shown["format"]["duration"])


def handler(event, context):
    folder = os.path.join(RECORDINGS, json.loads(event)["name"])
    names = sorted(os.listdir(folder))
    segments = []
    for name in names:
        if name.endswith(".mp4"):
            count, seconds = frames(os.path.join(folder, name))
            segments.append({"name": name, "frames": count, "seconds": seconds})
    return json.dumps({"segments": segments, "pictures": sum(name.endswith(".jpg") for name in names)})
