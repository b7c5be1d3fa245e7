"""Shims keep to the syntax of the oldest runtime name that is advertised."""
import ast
import glob
import os
import subprocess
import unittest
import zipfile

from poll import ROOT

OLDEST_PYTHON = (3, 6)
#: What Node.js 12 understands, and the dynamic import that came to it from the year after.
OLDEST_ECMA = 2019
#: Class files of Java 8.
OLDEST_CLASS = 52

PARSE = """
const { parse } = require('internal/deps/acorn/acorn/dist/acorn');
const text = require('fs').readFileSync(0, 'utf8').replace(/\\bimport\\(/g, 'imported(');
parse(text, { ecmaVersion: Number(process.argv[1]) });
"""


def node_parses(text):
    done = subprocess.run(["/usr/bin/node", "--expose-internals", "-e", PARSE, str(OLDEST_ECMA)],
                          input=text.encode(), capture_output=True)
    if b"SyntaxError" not in done.stderr and done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return done.returncode == 0


class OldestTest(unittest.TestCase):
    def test_python(self):
        files = glob.glob(ROOT + "/python/*.py")
        self.assertGreater(len(files), 3)
        for path in files:
            with open(path) as source:
                ast.parse(source.read(), path, feature_version=OLDEST_PYTHON)
        for newer in ("(x := 1)", "def f(a, /): pass"):
            with self.assertRaises(SyntaxError):
                ast.parse(newer, feature_version=OLDEST_PYTHON)

    def test_nodejs(self):
        for path in glob.glob(ROOT + "/nodejs/*.js"):
            with open(path) as source:
                self.assertTrue(node_parses(source.read()), path)
        self.assertTrue(node_parses("async () => { for await (const x of y) import('z'); }"))
        for newer in ("a?.b", "a ?? b", "a ||= b", "class A { #b = 1; }", "1_000"):
            self.assertFalse(node_parses(newer), newer)

    def test_java(self):
        with zipfile.ZipFile(os.path.join(ROOT, "java", "stint-runtime.jar")) as jar:
            classes = [name for name in jar.namelist() if name.endswith(".class")]
            self.assertGreater(len(classes), 10)
            for name in classes:
                self.assertEqual(int.from_bytes(jar.read(name)[6:8], "big"), OLDEST_CLASS, name)

    def test_bash_parses(self):
        for path in glob.glob(ROOT + "/bash/*.sh"):
            subprocess.run(["/usr/bin/bash", "-n", path], check=True)


if __name__ == "__main__":
    unittest.main()
