"""The Node.js shim alone."""
import json
import os
import re
import sys
import time
import unittest

from channel import ROOT, ShimTest


class NodeTest(ShimTest):
    argv = ["/usr/bin/node", os.path.join(ROOT, "nodejs", "bootstrap.js")]

    def test_one_that_waited_is_like_a_fresh_one(self):
        code = """
        exports.handler = async () => {
          const child = require('child_process').execFileSync('/usr/bin/env').toString().trim().split('\\n');
          return { argv: process.argv.length, env: process.env, child: child.sort(), hour: new Date(0).getHours() };
        };
        """
        env = {"OWN": "ü=1", "TZ": "Asia/Shanghai", "PATH": "/usr/bin"}
        shim = self.start({"index.js": code}, env=env)
        self.assertEqual(shim.receive()[0], 16)
        kind, _, body = shim.invoke()
        answer = json.loads(body)
        self.assertEqual((kind, answer["argv"], answer["env"], answer["hour"]), (20, 2, env, 8))
        self.assertEqual(answer["child"], sorted("%s=%s" % pair for pair in env.items()))
        shim.close()

    def test_handler_styles_and_returns(self):
        code = """
        exports.handler = async (event, context) => eval('(' + event + ')');
        exports.old = (event, context, callback) => setImmediate(() => callback(null, 'called back'));
        exports.plain = (event, context) => ({plain: true});
        """
        shim = self.start({"index.js": code})
        self.assertEqual(shim.receive()[0], 16)
        for event, expected in [("'text'", b"text"), ("Buffer.from([1, 2])", b"\1\2"), ("{a: [1]}", b'{"a":[1]}')]:
            kind, head, body = shim.invoke(event.encode())
            self.assertEqual((kind, body), (20, expected))
            self.assertGreater(int(head[1]), 1000)
        shim.close()
        for handler, expected in [("index.old", b"called back"), ("index.plain", b'{"plain":true}')]:
            shim = self.start({"index.js": code}, handler=handler)
            shim.receive()
            self.assertEqual(shim.invoke()[2], expected)
            shim.close()

    def test_modules(self):
        for files, handler in [
            ({"index.mjs": "export const handler = async () => 'esm';"}, "index.handler"),
            ({"package.json": '{"type": "module"}', "index.js": "export const handler = async () => 'esm';"}, "index.handler"),
            ({"src/app.js": "exports.go = async () => 'esm';"}, "src/app.go"),
        ]:
            shim = self.start(files, handler=handler)
            self.assertEqual(shim.receive()[0], 16)
            self.assertEqual(shim.invoke()[2], b"esm")
            shim.close()

    def test_failures(self):
        code = """
        exports.handled = (event, context, callback) => callback(new Error('not so good'));
        exports.thrown = async () => { throw new TypeError('bad'); };
        exports.sync = () => { throw new RangeError('far'); };
        exports.later = (event, context, callback) => { setImmediate(() => { throw new Error('loose'); }); };
        """
        cases = [
            ("index.handled", "H", "FunctionHandledError", "not so good"),
            ("index.thrown", "U", "TypeError", "bad"),
            ("index.sync", "U", "RangeError", "far"),
            ("index.later", "U", "Error", "loose"),
        ]
        for handler, mark, kind, message in cases:
            shim = self.start({"index.js": code}, handler=handler)
            shim.receive()
            got, head, body = shim.invoke()
            error = json.loads(body)
            self.assertEqual((got, head[2], error["errorType"], error["errorMessage"]), (21, mark, kind, message))
            self.assertTrue(any("index.js" in line for line in error["stackTrace"]), error)
            code_seen = shim.close()
            self.assertEqual(code_seen, 1 if handler == "index.later" else 0)

    def test_code_that_cannot_be_loaded(self):
        for code, handler, kind, message in [
            ("require('nothing-like-this')", "index.handler", "ImportModuleError", "Unable to import module 'index'"),
            ("exports.handler = (", "index.handler", "UserCodeSyntaxError", "Syntax error in module 'index'"),
            ("exports.x = 1", "index.handler", "HandlerNotFound", "Handler 'handler' is missing on module 'index'"),
            ("exports.x = 1", "absent.handler", "ImportModuleError", "Unable to import module 'absent'"),
        ]:
            shim = self.start({"index.js": code}, handler=handler)
            got, _, body = shim.receive()
            error = json.loads(body)
            self.assertEqual((got, error["errorType"]), (17, kind))
            self.assertTrue(error["errorMessage"].startswith(message), error)
            shim.close()

    def test_hooks_context_and_progress(self):
        code = """
        let seen;
        exports.init = (context, callback) => { seen = context.requestId; callback(); };
        exports.stop = async (context) => { console.log('stopping'); };
        exports.handler = async (event, context) => {
          context.stint.progress(0.5, 'half');
          context.stint.heartbeat();
          return [seen, context.function.memory, context.service.qualifier, context.stint.taskId, context.retryCount];
        };
        """
        shim = self.start({"index.js": code}, initializer="index.init", pre_stop="index.stop")
        shim.receive()
        shim.send(2, ["r-init"])
        self.assertEqual(shim.receive()[0], 18)
        shim.send(3, ["r", "t", "1", "k", "prod"])
        self.assertEqual(shim.receive()[1], ["500", "half"])
        self.assertEqual(shim.receive()[1], ["-", ""])
        self.assertEqual(json.loads(shim.receive()[2]), ["r-init", 512, "prod", "t", 1])
        shim.send(4, ["r-stop"])
        self.assertEqual(shim.receive()[0], 18)
        self.assertIn("[verbose] stopping", shim.output())
        shim.close()

    def test_large_bodies_and_log_lines(self):
        code = "exports.handler = async (event) => { console.info('got %d', event.length); return event; };"
        shim = self.start({"index.js": code})
        shim.receive()
        event = bytes(range(256)) * 40000
        self.assertEqual(shim.invoke(event, request="r-5")[2], event)
        self.assertTrue(re.match(
            r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} r-5 \[info\] got 10240000\n$", shim.output()))
        shim.close()

    def test_children_do_not_get_the_channel(self):
        code = """
        const { execFileSync } = require('child_process');
        exports.handler = async () => execFileSync('/bin/sh', ['-c', 'readlink /proc/$$/fd/3 || echo none']).toString();
        """
        shim = self.start({"index.js": code})
        shim.receive()
        self.assertNotIn("socket", shim.invoke()[2].decode())
        shim.close()

    def test_speed_is_printed(self):
        shim = self.start({"index.js": "exports.handler = async (event) => event;"})
        shim.receive()
        begun, count = time.perf_counter(), 2000
        for _ in range(count):
            shim.invoke(b"{}")
        per_call = (time.perf_counter() - begun) / count
        print("node shim: %.1f us a round trip with a Python peer" % (per_call * 1e6), file=sys.stderr)
        shim.close()


if __name__ == "__main__":
    unittest.main()
