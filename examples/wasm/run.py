"""One job in several languages, each as WebAssembly: hides card numbers in a text.

    run.py [--lines N]

C is compiled with clang and wasi-libc, Rust where a compiler for wasm32-wasi is installed; the Python
and JavaScript handlers become components with `stint deploy --wasm`. All must give the same text.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

import connect  # noqa: E402
from connect import call, deploy, submit, wait  # noqa: E402


def compile_c(to: Path) -> None:
    subprocess.run(["clang", "--target=wasm32-wasi", "-O2", "-s", "-o", to, HERE / "c/main.c"], check=True)


def rust_target() -> str | None:
    """The WASI target whose standard library is installed."""
    rustc = shutil.which("rustc")
    if rustc is None:
        return None
    for target in ("wasm32-wasip1", "wasm32-wasi"):
        found = subprocess.run([rustc, "--print", "target-libdir", "--target", target], capture_output=True, text=True)
        if found.returncode == 0 and any(Path(found.stdout.strip()).glob("libstd-*.rlib")):
            return target
    return None


def compile_rust(target: str, to: Path) -> None:
    subprocess.run(["rustc", "--target", target, "-O", "-C", "strip=symbols", "-o", to, HERE / "rust/main.rs"], check=True)


def text_of(lines: int) -> str:
    """The same for the same number of lines."""
    dice = random.Random(7)
    words = ["order", "paid", "with", "card", "late", "thanks", "ünïcode", "42", "00"]
    made = []
    for number in range(lines):
        digits = "".join(dice.choice("0123456789") for _ in range(dice.choice([3, 12, 13, 16, 19, 20])))
        made.append(" ".join([str(number), *dice.choices(words, k=6), digits]))
    return "\n".join(made) + "\n"


def hidden(text: str) -> str:
    return re.sub(r"[0-9]+", lambda run: "#" * len(run[0]) if 13 <= len(run[0]) <= 19 else run[0], text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=2_000)
    asked = parser.parse_args()
    client = connect.connect()
    with tempfile.TemporaryDirectory() as place:
        programs = {"c": Path(place) / "c.wasm"}
        compile_c(programs["c"])
        target = rust_target()
        if target:
            programs["rust"] = Path(place) / "rust.wasm"
            compile_rust(target, programs["rust"])
        else:
            print("no Rust for WASI is installed here; rust/main.rs says how to compile it")
        for language, program in programs.items():
            deploy(client, f"hide-{language}", runtime="wasm", handler="main.wasm", cpu=0.25, memory_size=256,
                   timeout=60, code=connect.zip_file(connect.pack((program, "main.wasm"))))
    tools = [ROOT / ".venv/bin", ROOT / "e2e/node_modules/.bin"]
    path = os.pathsep.join([*map(str, tools), os.environ.get("PATH", "")])
    stint = os.environ.get("STINT_BIN", "stint")
    subprocess.run([stint, "deploy", "--wasm", "--file", HERE / "stint.yaml"], check=True,
                   env={**os.environ, "PATH": path})

    text = text_of(asked.lines)
    expected = hidden(text).encode()
    functions = [*(f"hide-{language}" for language in programs), "hide-javascript", "hide-python"]
    for function in functions:
        call(client, function, text.encode())  # the first compiles what is not compiled yet
        begun = time.perf_counter()
        found = call(client, function, text.encode())
        took = (time.perf_counter() - begun) * 1000
        if found != expected:
            raise SystemExit(f"{function} gave another text")
        print(f"{function:16} {len(text) / 1e3:7.0f} kB in {took:7.1f} ms, verified")

    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    ids = [(function, f"{function}-{mark}-{time.time_ns():x}") for function in functions]
    for function, task_id in ids:
        submit(client, function, task_id, "card 4111111111111111 and a word")
    for (function, task_id), done in zip(ids, wait(client, ids)):
        if done.return_payload != '"card ################ and a word"':
            raise SystemExit(f"{function}/{task_id} gave {done.return_payload}")
    print(f"{len(ids)} tasks, all verified; stint task logs {'/'.join(ids[0])} shows what one said")


if __name__ == "__main__":
    main()
