#!/usr/bin/env python3
"""Builds stint-runtime.jar from src/ with any JDK that can still make classes for Java 8.

The jar is checked in, because neither building Stint nor running Java functions should take a JDK. Its
manifest carries the hash of the sources, and a test of the node compares it: run this after every change.
"""
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
JAR = HERE / "stint-runtime.jar"
EPOCH = (1980, 1, 1, 0, 0, 0)


def sources():
    return sorted((HERE / "src").rglob("*.java"), key=lambda path: path.relative_to(HERE).as_posix())


def digest():
    sha = hashlib.sha256()
    for path in sources():
        sha.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def main():
    with tempfile.TemporaryDirectory() as out:
        command = ["javac", "--release", "8", "-g:source,lines", "-Xlint:all,-options", "-Werror", "-d", out]
        subprocess.run(command + [str(path) for path in sources()], check=True)
        classes = sorted(Path(out).rglob("*.class"))
        manifest = "Manifest-Version: 1.0\r\nMain-Class: stint.runtime.Main\r\nSources-Sha256: %s\r\n\r\n" % digest()
        with zipfile.ZipFile(JAR, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as jar:
            entries = [("META-INF/MANIFEST.MF", manifest.encode())]
            entries += [(path.relative_to(out).as_posix(), path.read_bytes()) for path in classes]
            for name, data in entries:
                info = zipfile.ZipInfo(name, EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                jar.writestr(info, data)
    print("%s: %d bytes, %d classes" % (JAR.name, JAR.stat().st_size, len(classes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
