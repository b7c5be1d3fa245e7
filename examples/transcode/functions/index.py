"""The functions of the transcoding pipeline; they share the directory /mnt/media.

Each writes beside the name it is for and renames at the end, so that an attempt which is run again
after a crash finds either nothing or the whole.
"""

import hashlib
import json
import os
import subprocess

MEDIA = "/mnt/media"
STEP = 1 << 20


def path(*parts):
    joined = os.path.join(MEDIA, *parts)
    os.makedirs(os.path.dirname(joined), exist_ok=True)
    return joined


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr[-4000:])
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-300:].strip()}")
    return done.stdout


def ffmpeg(target, *arguments):
    """Runs ffmpeg; its output has the name it is for only when it is whole."""
    folder, name = os.path.split(target)
    draft = os.path.join(folder, f".{os.getpid()}-{name}")
    run("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments, draft)
    os.replace(draft, target)


def probe(file):
    shown = run("ffprobe", "-v", "error", "-count_packets", "-show_streams", "-show_format",
                "-of", "json", file)
    streams = json.loads(shown)["streams"]
    video = next(s for s in streams if s["codec_type"] == "video")
    audio = next((s for s in streams if s["codec_type"] == "audio"), None)
    return {
        "codec": video["codec_name"],
        "audio": audio and audio["codec_name"],
        "width": video["width"],
        "height": video["height"],
        "frames": int(video["nb_read_packets"]),
        "duration": float(json.loads(shown)["format"]["duration"]),
    }


def put(event, context):
    """Keeps a piece of a file: a line of JSON, then the bytes."""
    line, piece = event.split(b"\n", 1)
    head = json.loads(line)
    target = path(head["name"])
    with open(target + ".part", "r+b" if head["offset"] else "wb") as file:
        file.seek(head["offset"])
        file.write(piece)
    if not head["last"]:
        return "more"
    with open(target + ".part", "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
    if found != head["sha256"]:
        raise ValueError(f"{head['name']} arrived damaged")
    os.replace(target + ".part", target)
    return "kept"


def get(event, context):
    """A piece of a file; empty at its end."""
    asked = json.loads(event)
    with open(path(asked["name"]), "rb") as file:
        file.seek(asked["offset"])
        return file.read(STEP)


def generate(event, context):
    """A test film, the same to the byte wherever the same ffmpeg makes it."""
    asked = json.loads(event)
    ffmpeg(path(asked["name"]), "-f", "lavfi", "-i",
           f"testsrc2=size=640x360:rate=25:duration={asked['seconds']}", "-f", "lavfi", "-i",
           f"sine=frequency=440:duration={asked['seconds']}", "-c:v", "libx264", "-preset",
           "ultrafast", "-threads", "1", "-c:a", "aac", "-bitexact", "-f", "mp4")
    return probe(path(asked["name"]))


def cut(event, context):
    """Slices a film at exact times: each slice begins with a key frame and stands for itself."""
    asked = json.loads(event)
    source, run_id, seconds = path(asked["source"]), asked["run"], asked["seconds"]
    found = probe(source)
    folder = path(run_id, "slices", "")
    ffmpeg_list = path(run_id, "slices.csv")
    run("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-i", source, "-map", "0:v:0",
        "-c:v", "libx264", "-preset", "ultrafast", "-crf", "10",
        "-force_key_frames", f"expr:gte(t,n_forced*{seconds})", "-f", "segment",
        "-segment_time", str(seconds), "-reset_timestamps", "1",
        "-segment_list", ffmpeg_list, "-segment_list_type", "csv", folder + "%03d.mp4")
    with open(ffmpeg_list) as file:
        names = [line.split(",")[0] for line in file if line.strip()]
    print(f"{asked['source']}: {found['frames']} frames in {len(names)} slices")
    return {"slices": [os.path.splitext(name)[0] for name in names], **found}


def encode(event, context):
    """One slice in one rendition."""
    asked = json.loads(event)
    target = path(asked["run"], asked["rendition"], asked["slice"] + ".mp4")
    ffmpeg(target, "-i", path(asked["run"], "slices", asked["slice"] + ".mp4"),
           "-vf", f"scale=-2:{asked['height']}", "-c:v", "libx264", "-preset", "veryfast",
           "-threads", "1", "-video_track_timescale", "12800", "-f", "mp4")
    found = probe(target)
    print(f"slice {asked['slice']} at {asked['height']} lines: {found['frames']} frames")
    return found


def merge(event, context):
    """Joins the slices of a rendition and adds the film's sound."""
    asked = json.loads(event)
    listing = path(asked["run"], asked["rendition"], "slices.txt")
    with open(listing, "w") as file:
        file.writelines(f"file '{name}.mp4'\n" for name in asked["slices"])
    target = path(asked["run"], asked["rendition"] + ".mp4")
    sound = ("-map", "1:a:0", "-c:a", "aac", "-ac", "2") if asked["audio"] else ()
    ffmpeg(target, "-f", "concat", "-i", listing, "-i", path(asked["source"]), "-map", "0:v:0",
           *sound, "-c:v", "copy", "-movflags", "+faststart", "-f", "mp4")
    return probe(target)


def verify(event, context):
    """Holds a finished rendition against its source."""
    asked = json.loads(event)
    found, wanted = probe(path(asked["run"], asked["rendition"] + ".mp4")), asked["source"]
    # Decoding all of it finds damage that headers do not show.
    run("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i",
        path(asked["run"], asked["rendition"] + ".mp4"), "-f", "null", "-")
    problems = [
        f"{name} is {found[name]}, not {value}"
        for name, value in (("codec", "h264"), ("frames", wanted["frames"]),
                            ("height", asked["height"]), ("audio", wanted["audio"]))
        if found[name] != value
    ]
    if abs(found["duration"] - wanted["duration"]) > 0.15:
        problems.append(f"it lasts {found['duration']} s, not {wanted['duration']} s")
    if problems:
        raise ValueError("; ".join(problems))
    return found
