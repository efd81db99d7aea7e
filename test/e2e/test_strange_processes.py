#!/usr/bin/python3
"""unfreed snapshot of a process that was not started under unfreed: what the kernel knows."""
import json
import os
import re
import subprocess
import unittest

import harness


class StrangeProcesses(unittest.TestCase):
    """The same program as for hints, without the library."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.scratch.__enter__()
        cls.process = subprocess.Popen([harness.program("hints")], cwd=cls.scratch.folder, stdout=subprocess.PIPE,
                                       env=harness.clean_environment({}))
        assert cls.process.stdout.readline() == b"ready\n"
        cls.path = cls.scratch.path("kernel.json")
        cls.shown = harness.unfreed("snapshot", "--output", cls.path, str(cls.process.pid))
        with open(cls.path, encoding="utf-8") as file:
            cls.report = json.load(file)

    @classmethod
    def tearDownClass(cls):
        cls.process.kill()
        cls.process.wait()
        cls.process.stdout.close()
        cls.scratch.__exit__(None, None, None)

    def test_what_the_kernel_knows(self):
        self.assertEqual(self.shown.status, 0, self.shown)
        listed = {int(number) for number in os.listdir(f"/proc/{self.process.pid}/fd")}
        self.assertEqual({one["fd"] for one in self.report["descriptors"]}, listed)
        self.assertEqual((self.report["backend"], self.report["complete"], self.report["sites"]), ("kernel", False, []))
        self.assertEqual(self.report["process"]["pid"], self.process.pid)
        self.assertGreater(self.report["memory"]["resident"], 4096)
        self.assertEqual([one["thread"] for one in self.report["threads"]], [self.process.pid])
        self.assertEqual(self.report["threads"][0]["kernel_state"], "S")

    def test_the_summary_says_it_in_groups(self):
        text = self.shown.stderr
        for words in (r"is still running after", r"fd +\d+ open, of at most [\d,]+", r"(?m)^ +5  tcp close_wait$",
                      r"(?m)^ +9  /etc/hosts$", r"memory +.* resident: ", r"(?m)^ +1  waiting",
                      r"hint: 5 connections in CLOSE_WAIT", r"hint: 2 pipes whose other end nobody has open",
                      r"hint: 1 eventfd written to and not read", r"hint: 3 descriptors of deleted files",
                      r"not started under unfreed", r"next: start it with 'unfreed run'"):
            with self.subTest(words):
                self.assertRegex(text, words)
        again = harness.unfreed("report", self.path)
        self.assertIn("tcp close_wait", again.stdout)
        self.assertNotIn("close_wait", harness.unfreed("report", "--match", "/etc/hosts", self.path).stdout)

    def test_the_process_goes_on_undisturbed(self):
        before = sorted(os.listdir(f"/proc/{self.process.pid}/fd"))
        harness.unfreed("snapshot", "--quiet", "--output", self.path, str(self.process.pid))
        self.assertEqual(sorted(os.listdir(f"/proc/{self.process.pid}/fd")), before)
        self.assertIsNone(self.process.poll())

    def test_no_rule_passes_on_it(self):
        shown = harness.unfreed("snapshot", "--fail-on", "fd>1000", "--output", self.path, str(self.process.pid))
        self.assertEqual(shown.status, 125, shown)
        self.assertRegex(shown.stderr, r"fd>1000.*not")
        self.assertEqual(harness.unfreed("check", "--fail-on", "fd>1000", self.path).status, 125)
        graded = harness.unfreed("snapshot", "--grade", "--output", self.path, str(self.process.pid))
        self.assertEqual(graded.status, 125, graded)
        self.assertEqual(graded.stderr.count("\n"), 1, graded)

    def test_kernel_threads_have_nothing_to_look_at(self):
        # In a container there may be none.
        with open("/proc/2/comm", encoding="utf-8") as file:
            if file.read().strip() != "kthreadd":
                self.skipTest("no thread of the kernel is to be seen")
        shown = harness.unfreed("snapshot", "--output", self.scratch.path("none.json"), "2")
        self.assertEqual(shown.status, 125, shown)
        self.assertEqual(shown.stderr.count("\n"), 1, shown)

    def test_it_is_refused_where_it_may_not_be_looked_at(self):
        if os.geteuid() != 0:
            self.skipTest("needs another user")
        shown = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", harness.COMMAND, "snapshot",
                                str(self.process.pid)], capture_output=True, text=True, check=False,
                               cwd=self.scratch.folder, env=harness.clean_environment({}))
        self.assertEqual(shown.returncode, 125, shown)
        self.assertTrue(re.search("cannot be examined|Permission denied", shown.stderr), shown.stderr)


if __name__ == "__main__":
    harness.main()
