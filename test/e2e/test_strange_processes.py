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
                      r"(?m)^ +12  /etc/hosts$", r"memory +.* resident: ", r"(?m)^ +1  waiting",
                      r"hint: descriptors: 5 are in CLOSE_WAIT", r"hint: descriptors: 2 are pipes whose other end is closed",
                      r"hint: descriptors: 1 is an eventfd that was written to", r"hint: descriptors: 9 are deleted files",
                      r"not started under unfreed", r"next: start it with 'unfreed run'"):
            with self.subTest(words):
                self.assertRegex(text, words)
        again = harness.unfreed("report", self.path)
        self.assertIn("tcp close_wait", again.stdout)
        part = harness.unfreed("report", "--match", "/etc/hosts", self.path).stdout
        self.assertNotIn("close_wait", part)
        total = len(self.report["descriptors"])
        self.assertRegex(part, rf"(?m)^  fd +{total} open")
        self.assertRegex(part, rf"(?m)^ +{total - 12}  not shown$")
        self.assertEqual({hint["name"] for hint in self.report["hints"]},
                         {"close_wait", "deleted_file", "pipe_end_gone", "eventfd_unread", "locked", "same_target"})
        self.assertNotIn("no hooked function", harness.unfreed("report", "--format", "github", self.path).stdout)

    def test_two_of_them_show_what_has_grown(self):
        with open(self.path, encoding="utf-8") as file:
            later = json.load(file)
        hosts = next(one for one in later["descriptors"] if one["target"] == "/etc/hosts")
        later["descriptors"] += [{**hosts, "fd": 900 + number} for number in range(30)]
        later["process"]["duration_ns"] += 60 * 10**9
        path = self.scratch.path("later.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(later, file)
        grown = harness.unfreed("diff", "--exit-code", self.path, path)
        self.assertEqual(grown.status, 1, grown)
        self.assertRegex(grown.stdout, r"(?m)^  12 -> 42 \(\+30, 30 per minute\)  /etc/hosts$")
        self.assertEqual(harness.unfreed("diff", "--exit-code", path, self.path).status, 0)
        again = self.scratch.path("again.json")
        harness.unfreed("snapshot", "--quiet", "--output", again, str(self.process.pid))
        same = harness.unfreed("diff", "--exit-code", self.path, again)
        self.assertEqual((same.status, "different processes" in same.stdout, "no differences" in same.stdout), (0, False, True), same)
        tracked = self.scratch.path("tracked.json")
        harness.run(["true"], options=["-o", tracked])
        refused = harness.unfreed("diff", self.path, tracked)
        self.assertEqual((refused.status, refused.stderr.count("\n")), (125, 1), refused)

    def test_a_tracked_process_without_a_ledger_is_not_called_untracked(self):
        with harness.started(["sleep", "60"], scratch=self.scratch, launcher=False,
                             env={"UNFREED_LEDGER_DIR": "/proc/none"}) as process:
            harness.wait_for(lambda: b"libunfreed" in open(f"/proc/{process.pid}/maps", "rb").read())
            shown = harness.unfreed("snapshot", "--output", self.scratch.path("no.json"), str(process.pid))
            self.assertEqual(shown.status, 0, shown)
            self.assertIn("has loaded libunfreed.so, but no ledger of it can be read", shown.stderr)
            self.assertNotIn("not started under unfreed", shown.stderr)

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
