#!/usr/bin/python3
"""Counts are exact when everything happens at once: many threads, numbers and addresses that go from hand to hand, and
forks in the middle. STRESS_SECONDS says how long each program works (5)."""
import os
import re
import unittest

import harness

FOLDER = os.path.join(harness.BUILD, "test", "hook")
SECONDS = float(os.environ.get("STRESS_SECONDS", "5"))
THREADS, FORKS = 8, 5


class Stress(unittest.TestCase):
    def run_stress(self, name, forks=FORKS):
        """What each process said of itself, and what its report says."""
        result = harness.preload([os.path.join(FOLDER, name), str(SECONDS), str(THREADS), str(forks)],
                                 timeout=SECONDS + 120)
        self.assertEqual(result.status, 0, result)
        reports = {report["process"]["pid"]: report for report in result.reports.values()}
        lines = re.findall(r"^(parent|child) (\d+) (\w+) (\d+) (\w+) (\d+)$", result.stdout, re.M)
        self.assertEqual([role for role, *_ in lines], ["child"] * forks + ["parent"], result)
        self.assertEqual(len(reports), forks + 1, result)
        for role, pid, *_ in lines:
            self.assertTrue(reports[int(pid)]["complete"], reports[int(pid)]["notes"])
        return [(role, int(first), int(second), reports[int(pid)]) for role, pid, _, first, _, second in lines]

    def test_descriptors(self):
        for role, held, inherited, report in self.run_stress("stress_descriptors"):
            with self.subTest(role=role, pid=report["process"]["pid"]):
                fd = report["totals"]["fd"]
                self.assertEqual((fd["live"], fd["inherited"]), (held, inherited))
                self.assertEqual((fd["open"], fd["unattributed"], fd["closed_unseen"]), (held + inherited, 0, 0))
                self.assertEqual(sum(s["live"] for s in report["sites"] if s["kind"] == "fd"), held)
                self.assertGreater(held, 5)

    def test_heap(self):
        for role, blocks, size, report in self.run_stress("stress_heap"):
            with self.subTest(role=role, pid=report["process"]["pid"]):
                sites = [s for s in report["sites"] if s["kind"] == "heap" and s["live"] > 0
                         and {"take_block", "take_other_size"} & {f.split("::")[-1].split("(")[0]
                                                                 for f in harness.functions(s)}]
                self.assertEqual((sum(s["live"] for s in sites), sum(s["bytes"] for s in sites)), (blocks, size))
                self.assertGreater(blocks, 100)
                self.assertEqual(report["totals"]["heap"]["foreign_released"], 0)

    def test_threads(self):
        [(_, forgotten, created, report)] = self.run_stress("stress_threads", forks=0)
        thread = report["totals"]["thread"]
        self.assertEqual((thread["live"], thread["total"], thread["running"]), (forgotten, created, 0))
        self.assertGreater(forgotten, 10)

    def test_new_stacks_of_many_threads_at_once(self):
        for role, paths, blocks, report in self.run_stress("stress_stacks", forks=2):
            with self.subTest(role=role, pid=report["process"]["pid"]):
                sites = [s for s in report["sites"] if s["kind"] == "heap"
                         and any("take_blocks" in f for f in harness.functions(s))]
                self.assertEqual([s["live"] for s in sites], [blocks] * 2 * paths)

    def test_signal_handlers_in_the_middle_of_captures(self):
        [(_, usual, other, report)] = self.run_stress("stress_signals", forks=0)

        def held(kind, function):
            return sum(s["live"] for s in report["sites"] if s["kind"] == kind
                       and any(function in f for f in harness.functions(s)))

        # No block has been given another's stack.
        self.assertEqual((held("heap", "take_usual_block"), held("heap", "take_block")), (usual, other))
        self.assertEqual(held("fd", "take_descriptor"), report["totals"]["fd"]["live"])
        self.assertEqual(held("fd", "handle"), 40)
        self.assertEqual(report["totals"]["heap"]["foreign_released"], 0)


if __name__ == "__main__":
    harness.main()
