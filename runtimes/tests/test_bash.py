"""The bash shim alone."""
import json
import os
import unittest

from poll import PollTest, ROOT


class BashTest(PollTest):
    argv = ["/usr/bin/bash", os.path.join(ROOT, "bash", "bootstrap.sh")]

    def test_the_event_is_the_input_and_the_output_the_result(self):
        shim = self.start({"main.sh": "cat; printf '!'; echo 'to the log' >&2"}, "main.sh")
        every = bytes(range(256)) * 4096
        for event in (b"", b"hello\n", "ü\n\n".encode(), every):
            self.assertEqual(shim.invoke(event), ("response", event + b"!"))
        self.assertEqual(shim.output().count("to the log\n"), 4)

    def test_the_context_is_in_variables(self):
        names = ["FC_REQUEST_ID", "FC_TASK_ID", "FC_RETRY_COUNT", "FC_QUALIFIER", "FC_DEADLINE_MS",
                 "FC_TIMEOUT", "FC_IDEMPOTENCY_KEY"]
        script = "printf '%s|' " + " ".join('"$%s"' % name for name in names) + '; pwd'
        shim = self.start({"main.sh": script}, "main.sh")
        _, body = shim.invoke(request="r-9", x_fc_async_task_id="t-9", x_fc_retry_count="2",
                              x_stint_idempotency_key="k-9", x_fc_qualifier="prod")
        self.assertEqual(body.decode(), "r-9|t-9|2|prod|1700000000000|60|k-9|%s\n" % shim.home.name)
        _, body = shim.invoke(request="r-10")
        self.assertTrue(body.startswith(b"r-10||0|LATEST|"), body)

    def test_a_status_is_a_failure_with_the_last_words(self):
        cases = [
            ("echo one >&2; printf 'two \"2\" \\\\ \t\1' >&2; exit 3", 3, 'one\ntwo "2" \\ \t '),
            ("exit 4", 4, "The script ended with status 4"),
            ("seq 1 100 >&2; false", 1, "\n".join(str(n) for n in range(91, 101))),
            ("printf 'bad \\xff byte' >&2; kill -9 $$", 137, "bad  byte"),
            ("nothing-like-this", 127, None),
        ]
        shim = self.start({"main.sh": 'eval "$(cat)"'}, "main.sh")
        for script, status, message in cases:
            call, body = shim.invoke(script.encode())
            error = json.loads(body)
            self.assertEqual((call, error["errorType"], error["exitCode"]), ("error", "ExitStatus", status))
            if message is not None:
                self.assertEqual(error["errorMessage"], message)
            else:
                self.assertIn("command not found", error["errorMessage"])
        self.assertEqual(shim.invoke(b"echo fine"), ("response", b"fine\n"))

    def test_what_a_script_leaves_running_does_not_hold_the_answer_up(self):
        shim = self.start({"main.sh": "echo started >&2; sleep 300 & echo done"}, "main.sh")
        self.assertEqual(shim.invoke(), ("response", b"done\n"))
        self.assertIn("started\n", shim.output())

    def test_scripts_do_not_see_our_descriptors(self):
        shim = self.start({"main.sh": "readlink /proc/self/fd/*"}, "main.sh")
        seen = shim.invoke()[1].decode()
        self.assertNotIn("socket:", seen)
        self.assertNotIn("never", seen)

    def test_hooks_are_scripts_too(self):
        files = {"main.sh": "cat ready", "init.sh": "echo yes >ready", "bad.sh": "echo sad >&2; exit 2"}
        shim = self.start(files, "main.sh")
        self.assertEqual(shim.invoke(kind="1", hook="init.sh"), ("response", b""))
        self.assertEqual(shim.invoke(), ("response", b"yes\n"))
        self.assertEqual(json.loads(shim.invoke(kind="2", hook="bad.sh")[1])["errorMessage"], "sad")
        call, body = shim.invoke(kind="2", hook="absent.sh")
        self.assertEqual((call, json.loads(body)["errorType"]), ("error", "HandlerNotFound"))

    def test_code_that_cannot_be_loaded(self):
        for files, kind, message in [
            ({"other.sh": ""}, "ImportModuleError", "Unable to import module 'main.sh'"),
            ({"main.sh": "if true; then"}, "UserCodeSyntaxError", "Syntax error in module 'main.sh': "),
        ]:
            shim = self.start(files, "main.sh")
            call, body = shim.answer()
            error = json.loads(body)
            self.assertEqual((call, error["errorType"]), ("error", kind))
            self.assertTrue(error["errorMessage"].startswith(message), error)
            self.assertEqual(shim.process.wait(20), 1)


if __name__ == "__main__":
    unittest.main()
