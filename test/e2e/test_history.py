#!/usr/bin/python3
"""Since when a call site's number has grown: as the process itself recorded it, though nobody watched."""
import json
import unittest

import harness

PROGRAM = "history"
BLOCKS, DESCRIPTORS = 12 + 26 * 18, 2 + 26


class History(unittest.TestCase):
    def check(self, report, of_parent=50):
        sites = {(site["kind"], site["live"]): site for site in report["sites"]}
        for key, first in ((("heap", BLOCKS), 12), (("fd", DESCRIPTORS), 2)):
            with self.subTest(key):
                site = sites[key]
                history = site["history"]
                agos, counts = [one["ago_ns"] for one in history], [one["live"] for one in history]
                self.assertEqual(agos, sorted(agos, reverse=True))
                self.assertEqual(counts, sorted(counts), "it only grew")
                self.assertEqual(counts[0], 0, "before the first")
                self.assertLessEqual(counts[-1], site["live"])
                self.assertGreater(len(set(counts)), 4, history)
                # It was recorded while it grew, and also before.
                self.assertTrue(any(first <= count < site["live"] / 2 for count in counts), history)
                self.assertTrue(any(site["live"] / 2 <= count for count in counts), history)
                if key[0] == "heap":
                    sized = [one for one in history if "bytes" in one]
                    self.assertGreater(len(sized), 3)
                    self.assertTrue(all(one["bytes"] == 100 * one["live"] for one in sized), sized)
        if of_parent:
            self.assertNotIn("history", sites["heap", of_parent], "it has not grown")

    def test_a_first_look(self):
        with harness.Scratch() as scratch:
            with harness.started([harness.program(PROGRAM)], launcher=False, scratch=scratch) as process:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                output = scratch.path("now.json")
                done = harness.unfreed("snapshot", "-o", output, str(process.pid))
                self.assertEqual(done.status, 0, done.stderr)
            self.check(harness.read_report(output))
            text = harness.unfreed("report", output).stdout
            page = harness.unfreed("report", "--format", "html", output).stdout
            again = json.loads(harness.unfreed("report", "--format", "json", output).stdout)
        for written in (text, page):
            self.assertRegex(written, rf"grown from (0|12) to {BLOCKS} in the last \d")
            self.assertRegex(written, rf"grown from [02] to {DESCRIPTORS} in the last \d")
        self.assertNotRegex(text, r"grown from \d+ to 50 ")
        self.check(again)

    def test_of_a_process_that_was_killed(self):
        with harness.Scratch() as scratch:
            result = harness.run([harness.program(PROGRAM), "kill"], scratch=scratch)
        self.assertEqual(result.report["trigger"], "post_mortem")
        self.check(result.report)

    def test_a_fork_child_records_its_own(self):
        with harness.Scratch() as scratch:
            with harness.started([harness.program(PROGRAM), "fork"], launcher=False, scratch=scratch) as process:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                output = scratch.path("now.json")
                done = harness.unfreed("snapshot", "-o", output, str(harness.child_of(process)))
                self.assertEqual(done.status, 0, done.stderr)
            report = harness.read_report(output)
        self.assertTrue(report["process"]["forked"])
        self.check(report, of_parent=0)


if __name__ == "__main__":
    harness.main()
