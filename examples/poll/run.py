"""Two programs without a line of ours in them: one in Go, one in Rust, each polls for its work.

    run.py [FILE ...]

Builds both with `go` and `rustc`, deploys them, and gives each file to both as a task.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from connect import deploy, fc, submit, wait  # noqa: E402

LANGUAGES = {"go": "poll-go", "rust": "poll-rust"}


def build(language: str, program: Path) -> None:
    """An executable that needs nothing but the C library, Go's not even that."""
    if language == "go":
        command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(program), "."]
    else:
        command = ["rustc", "--edition", "2021", "-O", "-o", str(program), "main.rs"]
    try:
        subprocess.run(command, cwd=HERE / language, check=True, env=os.environ | {"CGO_ENABLED": "0"})
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is missing; run scripts/setup.sh") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=sorted(HERE.rglob("main.*")))
    files = parser.parse_args().files
    client = connect.connect()
    keys, names = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for language, name in LANGUAGES.items():
            program = Path(scratch) / language
            build(language, program)
            package = connect.pack((program, "main"))
            deploy(client, name, runtime="go1", handler="main", cpu=0.25, memory_size=256, timeout=60,
                   code=connect.zip_file(package))
            print(f"{name}: {program.stat().st_size} bytes of program")
            for file in files:
                content = file.read_bytes()
                task_id = f"count-{hashlib.sha256(package + content).hexdigest()[:24]}"
                submit(client, name, task_id, content)
                keys.append((name, task_id))
                names.append(file.name)
    for name, task in zip(names, wait(client, keys)):
        found = json.loads(task.return_payload)
        print(f"{found['language']:5} {found['lines']:6} lines {found['words']:6} words  {name}")
    print(f"{len(keys)} tasks; see them again: stint task list --function poll-go")


if __name__ == "__main__":
    main()
