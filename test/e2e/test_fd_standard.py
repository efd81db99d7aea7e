#!/usr/bin/python3
"""Numbers 0 to 2 are standard streams where the program put something there; else they are descriptors like others."""
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "fd_standard.c")


class Standard(unittest.TestCase):
    def run_case(self, case):
        result = harness.run([harness.program("fd_standard"), case], options=["--fail-on", "fd>0"])
        return result.status, result.report["totals"]["fd"]["live"], result.report["totals"]["fd"]["standard"], result

    def test_what_came_by_accident_is_held(self):
        *answer, result = self.run_case("accident")
        self.assertEqual(answer, [23, 1, 0])
        site, = harness.live_sites(result.report, "fd")
        self.assertEqual((harness.top(site)["function"], harness.top(site)["line"]),
                         ("load", harness.line_of(SOURCE, "accident")))
        self.assertEqual([(one["fd"], one["target"]) for one in site["objects"]], [(0, "/proc/uptime")])
        self.assertEqual(self.run_case("socket")[:3], (23, 1, 0))

    def test_what_was_put_there_is_not(self):
        for case in ("null", "duplicate", "redirect", "reopen"):
            with self.subTest(case=case):
                self.assertEqual(self.run_case(case)[:3], (0, 0, 1))


if __name__ == "__main__":
    harness.main()
