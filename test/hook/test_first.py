#!/usr/bin/python3
"""A library whose constructors come before unfreed's, as libpthread's do before glibc 2.34."""
import os
import subprocess
import unittest

import harness

FOLDER = os.path.join(harness.BUILD, "test", "hook")
PROGRAM = os.path.join(FOLDER, "first")
LIBRARY = os.path.join(FOLDER, "libfirst_library.so")


class First(unittest.TestCase):
    def test_is_as_old_libpthread_is(self):
        text = subprocess.run(["readelf", "-d", LIBRARY], check=True, capture_output=True, text=True).stdout
        self.assertIn("INITFIRST", text)
        self.assertIn("(INIT)", text)

    def test_what_its_constructors_acquire_is_seen_and_what_its_destructors_release(self):
        for run in (harness.run, harness.preload):
            with self.subTest(run=run.__name__):
                report = run([PROGRAM]).report
                self.assertTrue(report["complete"], report["notes"])
                held = [(site["acquired_by"], site["live"], harness.functions(site)[0], site["bytes"])
                        for site in harness.own_sites(report, LIBRARY)]
                self.assertEqual(sorted(held), [("malloc", 1, "acquire_early", 123), ("open", 1, "acquire_early", 0)])
                self.assertEqual(report["totals"]["fd"]["total"], 2)
                self.assertEqual(report["totals"]["fd"]["unattributed"], 0)

    def test_runs_as_by_itself(self):
        self.assertEqual(harness.preload([PROGRAM], env={"UNFREED_DISABLE": "1"}).status, 0)


if __name__ == "__main__":
    harness.main()
