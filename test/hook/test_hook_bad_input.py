#!/usr/bin/python3
"""What no hooked function can use passes through every hook unchanged: the same results, the same errno, the same crashes."""
import os
import re
import subprocess
import unittest

import harness
import test_complete

PROGRAM = os.path.join(harness.BUILD, "test", "hook", "bad_input")


class BadInput(unittest.TestCase):
    def setUp(self):
        self.alone = harness.bare([PROGRAM])
        self.assertEqual(self.alone.status, 0, self.alone)
        self.assertGreater(len(self.alone.stdout.splitlines()), 250)

    def check_same(self, result):
        pairs = zip(self.alone.stdout.splitlines(), result.stdout.splitlines())
        self.assertEqual([(bare, tracked) for bare, tracked in pairs if bare != tracked], [])
        self.assertEqual(result.stdout, self.alone.stdout)
        self.assertEqual(result.status, 0)

    def test_same_results_as_without(self):
        # Children that crash leave their ledgers: nobody launched them.
        result = harness.preload([PROGRAM], keep_ledgers=True)
        self.check_same(result)
        report = result.report
        self.assertEqual(report["totals"]["fd"]["live"], 0, [harness.describe(s) for s in report["sites"]])
        self.assertEqual(report["totals"]["fd"]["unattributed"], 0)
        self.assertEqual(report["totals"]["heap"]["live"], 0, [harness.describe(s) for s in report["sites"]])
        self.assertEqual(report["totals"]["thread"]["live"], 0)
        failed = {failure["function"] for failure in report["failures"]}
        self.assertLessEqual({"open", "dup", "fopen", "opendir", "socketpair", "pipe", "eventfd", "syscall"}, failed)

    def test_same_results_with_nothing_tracked(self):
        self.check_same(harness.preload([PROGRAM], env={"UNFREED_ONLY": "another"}))

    def test_every_function_that_takes_anything_is_tried(self):
        libc = subprocess.run(["nm", "-D", "--defined-only", "/lib/x86_64-linux-gnu/libc.so.6"], check=True,
                              capture_output=True, text=True).stdout
        imports = subprocess.run(["nm", "-D", "--undefined-only", PROGRAM], check=True, capture_output=True,
                                 text=True).stdout
        can_be_called = set(re.findall(r" (\w+)@@", libc))
        called = set(re.findall(r" U (\w+)(?:@|$)", imports, re.M))
        takes_nothing_wrong = {"getpt", "fcloseall", "_exit", "_Exit", "quick_exit", "abort", "vfork", "__vfork", "__fork",
                               "_Fork", "daemon", "clearenv"}
        missing = {row.symbol for row in test_complete.rows()
                   if row.symbol in can_be_called or row.family == "heap_cxx"} - called - takes_nothing_wrong
        self.assertEqual(missing, set())

    def test_the_tester(self):
        # The table shows results of every sort.
        for pattern in (r"errno 9$", r"errno 14$", r"errno 24$", r"errno 12$", r"signal 11$", r"signal 6$", r" throws$",
                        r"a pointer, errno 77$", r"= 0, errno 77$"):
            self.assertTrue(re.search(pattern, self.alone.stdout, re.M), pattern)


if __name__ == "__main__":
    harness.main()
