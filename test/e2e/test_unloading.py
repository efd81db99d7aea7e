#!/usr/bin/python3
"""While a library is being unloaded nobody reads another thread's code; who has nothing to do with it sees as much as ever."""
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "unloading.c")
LIBRARY = os.path.join(harness.PROGRAMS, "late_library.so")


class Unloading(unittest.TestCase):
    def check(self, report):
        (site,) = harness.live_sites(report, "fd")
        self.assertEqual((site["live"], harness.top(site)["line"]), (2, harness.line_of(SOURCE, "take")))
        (stuck,) = [thread for thread in report["threads"] if thread["class"] == "joinable"]
        lines = [frame.get("line") for frame in stuck["stack"]]
        self.assertIn(harness.line_of(SOURCE, "stuck"), lines, "the stack of a thread that waits")

    def test_a_fork_meanwhile(self):
        for way in ("fork", "fork_inside"):
            with self.subTest(way=way):
                result = harness.run([harness.program("unloading"), LIBRARY, way], options=["--all-reports"])
                self.assertEqual(result.status, 0, result)
                (child,) = [report for report in result.reports.values() if report["process"].get("forked")]
                self.check(child)

    def test_the_end_of_the_process_meanwhile(self):
        result = harness.run([harness.program("unloading"), LIBRARY, "exit_inside"])
        self.assertEqual(result.status, 0, result)
        self.check(result.report)


if __name__ == "__main__":
    harness.main()
