#!/usr/bin/python3
"""The tester, tested: what fails must be seen to fail."""
import os
import subprocess
import sys
import unittest

import harness

CASES = '''
import unittest, harness
class Some(unittest.TestCase):
    def test_good(self): self.assertEqual(1, 1)
    def test_bad(self): self.assertEqual(1, 2)
    def test_error(self): raise KeyError("x")
    def test_left_out(self): self.skipTest("no such machine")
    def test_parts(self):
        for part in (1, 2, 3):
            with self.subTest(part=part): self.assertNotEqual(part, 2)
harness.main()
'''


def site(**keys):
    return {"kind": "fd", "live": 1, "grade": "held", "acquired_by": "open", "stack": [], "objects": [], **keys}


class Tap(unittest.TestCase):
    def test_every_case_is_reported(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("cases.py"), "w") as file:
                file.write(CASES)
            done = subprocess.run([sys.executable, scratch.path("cases.py")], capture_output=True, text=True, check=False,
                                  env={**os.environ, "PYTHONPATH": os.path.dirname(harness.__file__)})
            self.assertEqual(done.returncode, 1)
            lines = [line for line in done.stdout.splitlines() if line.startswith(("ok", "not ok", "1.."))]
            self.assertEqual(lines, ["not ok 1 - Some.test_bad", "not ok 2 - Some.test_error", "ok 3 - Some.test_good",
                                     "ok 4 - Some.test_left_out # SKIP no such machine",
                                     "not ok 5 - Some.test_parts (part=2)", "1..5"])

    def test_no_cases_is_a_failure(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("none.py"), "w") as file:
                file.write("import harness\nharness.main()\n")
            done = subprocess.run([sys.executable, scratch.path("none.py")], capture_output=True, check=False,
                                  env={**os.environ, "PYTHONPATH": os.path.dirname(harness.__file__)})
            self.assertNotEqual(done.returncode, 0)


class Reports(unittest.TestCase):
    def test_report_that_breaks_the_schema_is_refused(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("bad.json"), "w") as file:
                file.write('{"schema_version": 2}')
            with self.assertRaises(AssertionError):
                harness.read_report(scratch.path("bad.json"))

    def test_only_what_counts_is_live(self):
        report = {"sites": [site(), site(live=0), site(grade="informational"), site(suppressed_by="fd:x"),
                            site(kind="heap"), site(kind="thread", live=0, running=2, grade="informational")]}
        self.assertEqual(len(harness.live_sites(report)), 2)
        self.assertEqual(len(harness.live_sites(report, "fd")), 1)
        self.assertEqual(len(harness.live_sites(report, informational=True)), 3)

    def test_marker_must_be_there_once(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("x.c"), "w") as file:
                file.write("one;  // @a\ntwo;  // @b\nthree;  // @b\n")
            self.assertEqual(harness.line_of(scratch.path("x.c"), "a"), 1)
            for marker in ("b", "c"):
                with self.assertRaises(AssertionError):
                    harness.line_of(scratch.path("x.c"), marker)


class Running(unittest.TestCase):
    def test_program_that_does_not_end_is_killed(self):
        with self.assertRaises(AssertionError):
            harness.execute(["/bin/sleep", "60"], timeout=0.3)

    def test_ledger_left_behind_is_noticed(self):
        with harness.Scratch() as scratch:
            with open(os.path.join(scratch.ledgers, "unfreed.solo.1.0"), "w"):
                pass
            with self.assertRaises(AssertionError):
                harness.run(["/bin/true"], scratch=scratch)

    def test_status_of_a_signal(self):
        self.assertEqual(harness.bare(["/bin/sh", "-c", "kill -TERM $$"]).status, 128 + 15)


if __name__ == "__main__":
    harness.main()
