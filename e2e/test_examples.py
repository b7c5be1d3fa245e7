"""The examples, run as a user runs them, against a server of their own."""

import json
import os
import re
import subprocess
import sys

import pytest

from cloud import Cloud, unique
from server import ROOT, Server, binary


@pytest.fixture(scope="module")
def stage(place):
    home = place / unique("stage")
    home.mkdir()
    server = Server(home)
    yield server.start()
    server.end()


def example(stage, *command, limit=240) -> str:
    environment = stage.environment() | {
        "STINT_DATA": str(stage.dir), "STINT_BIN": binary(), "NO_PROXY": "127.0.0.1"}
    # A home of its own must not hide the compilers.
    environment.setdefault("RUSTUP_HOME", os.path.expanduser("~/.rustup"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_transcode(stage, tmp_path):
    run = [sys.executable, "examples/transcode/run.py", "--seconds", "12"]
    said = example(stage, *run, "--out", str(tmp_path))
    assert said.count("verified") >= 4 and "speed-up" in said
    assert "bunny: 132 frames, 5.3 s, 3 slices" in said
    films = sorted(path.name for path in tmp_path.iterdir())
    assert films == [f"{film}-{size}.mp4" for film in ("bunny", "generated") for size in ("240p", "360p")]
    for film, frames in (("bunny-360p", 132), ("generated-240p", 300)):
        shown = subprocess.run(
            ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames", "-show_entries",
             "stream=codec_name,nb_read_frames", "-of", "csv=p=0", tmp_path / f"{film}.mp4"],
            capture_output=True, text=True, check=True).stdout
        assert shown.strip() == f"h264,{frames}"
    # The addresses it prints are good, and what they show is whole.
    addresses = re.findall(r"http://[^/]+/v1(/functions/\S+/tasks/\S+)", said)
    assert len(addresses) == len(set(addresses)) >= 14
    cloud = Cloud(stage)
    for address in addresses:
        task = cloud.v1("GET", address)
        assert task["state"] == "Succeeded" and task["attempts"][-1]["phases"]["ranMs"] > 0, task
        assert task["tags"]["film"] in ("bunny", "generated")
    lines = [line["text"] for line in cloud.v1("GET", "/logs", function="transcode-encode")["items"]]
    assert any("lines: 50 frames" in line for line in lines)
    for command in ("task get", "why", "task logs"):
        shown = re.search(rf"stint {command} (\S+)", said)
        stage.cli(*command.split(), shown.group(1))
    again = example(stage, *run)
    assert "answered 409" in again and again.count("verified") >= 4
    assert cloud.count() == len(addresses), "the second run did no work twice"


def test_transcode_as_a_flow(stage):
    run = [sys.executable, "examples/transcode/run_flow.py"]
    said = example(stage, *run)
    assert said.count("verified") == 2 and "bunny 360p: h264" in said and "132 frames" in said
    execution = re.search(r"--execution (\S+)", said).group(1)
    live = json.loads(stage.cli("flow", "graph", "--execution", execution, "-o", "json").stdout)
    visits = {step["name"]: step["live"]["visits"] for step in live["steps"]}
    assert visits == {"Cut": 1, "Renditions": 1, "Slices": 2, "Encode": 6, "Merge": 2, "Verify": 2}
    assert "done before" in example(stage, *run)


def test_flows(stage):
    said = example(stage, sys.executable, "examples/flows/run.py")
    assert "saga: Succeeded" in said and "the seat is free again" in said
    assert "approval: Succeeded" in said and "etl: Succeeded, 6 rows" in said


def test_thumbnails(stage, tmp_path):
    said = example(stage, sys.executable, "examples/thumbnails/run.py", "--edge", "64", "--out", str(tmp_path))
    pictures = list(tmp_path.iterdir())
    assert len(pictures) >= 25 and f"{len(pictures)} thumbnails" in said
    assert all(picture.read_bytes()[:3] == b"\xff\xd8\xff" for picture in pictures)
    assert re.search(r"astronaut.png\s+512x512\s+->\s+64x64", said)


def test_wordcount(stage, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("one two two three three three\n" * 4000)
    said = example(stage, "node", "examples/wordcount/run.mjs", str(text))
    assert "24000 words, 3 different" in said
    assert re.search(r"12000\s+three\s+8000\s+two\s+4000\s+one", said)
    assert " 0 of them new" in example(stage, "node", "examples/wordcount/run.mjs", str(text))
    assert "words" in example(stage, "node", "examples/wordcount/run.mjs")


def test_audio_features(stage):
    """An image with its own numpy, uploaded as code; then through a registry."""
    from images import Registry
    said = example(stage, sys.executable, "examples/audio-features/run.py", "--clips", "24")
    assert "24 of 24 pitches verified" in said and "without a container engine" in said
    registry = Registry(stage.home / "registry").start()
    try:
        again = example(stage, sys.executable, "examples/audio-features/run.py", "--clips", "24", "--registry",
                        registry.host)
    finally:
        registry.end()
    assert "24 of 24 pitches verified" in again
    digest = re.search(r"runs as (sha256:[0-9a-f]{64})", said).group(1)
    assert digest in again, "it is the same image"
    assert Cloud(stage).count(function="audio-features") == 24, "the second run did no work twice"


def test_poll(stage, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("one two two\nthree three three\n")
    said = example(stage, sys.executable, "examples/poll/run.py", str(text))
    for language in ("Go", "Rust"):
        assert re.search(rf"^{language}\s+2 lines\s+6 words  text.txt$", said, re.MULTILINE), said


def test_wasm(stage):
    said = example(stage, sys.executable, "examples/wasm/run.py", "--lines", "300")
    assert said.count("verified") >= 4
    for language in ("c", "javascript", "python"):
        assert f"hide-{language}" in said


def test_inference(stage):
    said = example(stage, sys.executable, "examples/inference/run.py", "--files", "120", "--calls", "20")
    assert "120 of 120" in said or re.search(r"1[12]\d of 120 files recognised", said), said
    assert said.count(" calls, p50 ") == 2
    again = example(stage, sys.executable, "examples/inference/run.py", "--files", "120", "--calls", "5")
    assert "files recognised" in again
    assert Cloud(stage).count(function="score-files") == 6, "the second run did no work twice"


def test_recorder(stage):
    said = example(stage, sys.executable, "examples/recorder/run.py", "--seconds", "5")
    assert "stopped on request: Stopped" in said and "all whole" in said
    segments = re.findall(r"segment-\d+.mp4\s+(\d+) frames", said)
    assert len(segments) >= 2 and all(int(frames) == 50 for frames in segments[:-1]) and int(segments[-1]) > 0
