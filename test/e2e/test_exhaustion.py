#!/usr/bin/python3
"""A limit is reached: a report at once, naming the call that failed; not one for every failure after it."""
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "exhaust.c")


class Exhaustion(unittest.TestCase):
    def exhaust(self, *rounds, helper=True):
        with harness.Scratch() as scratch:
            result = harness.preload([harness.program("exhaust"), *rounds], scratch=scratch, helper=helper)
        self.assertEqual((result.status, result.stdout), (0, "done\n"), result)
        return result, [r for r in result.reports.values() if r["trigger"] == "exhaustion"]

    def check(self, report):
        self.assertEqual({**report["exhaustion"], "function": harness.plain_name(report["exhaustion"]["function"])},
                         {"function": "open", "kind": "fd", "error": "EMFILE"})
        failure = report["failures"][0]
        self.assertEqual((harness.plain_name(failure["function"]), failure["error"]), ("open", "EMFILE"))
        line = harness.line_of(SOURCE, "open")
        self.assertIn(line, [f.get("line", line) for f in failure["stack"][:1]])
        held = sum(site["live"] for site in harness.live_sites(report, "fd"))
        self.assertGreaterEqual(held, 50, "who holds them is told")
        self.assertEqual(report["reconciled"], True)

    def test_a_report_at_once(self):
        for helper in (True, False):
            with self.subTest(helper=helper):
                _, reports = self.exhaust(helper=helper)
                self.assertEqual(len(reports), 1)
                self.check(reports[0])

    def test_no_more_of_them_soon_or_while_nothing_is_given_back(self):
        result, reports = self.exhaust("again", "spare", "again")
        self.assertEqual(len(reports), 1)
        self.assertGreater(sum(failure["count"] for failure in result.report["failures"]), 2000)

    def test_another_after_a_while(self):
        _, reports = self.exhaust("sleep", "again", "spare", "again")
        self.assertEqual(len(reports), 2)
        self.check(reports[1])

    def test_more_failures_than_can_be_described(self):
        result, _ = self.exhaust("everywhere")
        self.assertEqual(len(result.report["failures"]), 256)
        self.assertEqual(result.report["complete"], False)
        self.assertTrue([note for note in result.report["notes"] if "their table was full" in note],
                        result.report["notes"])

    def test_stuck_threads_stand_in_it(self):
        with harness.Scratch() as scratch:
            result = harness.preload([harness.program("exhaust"), "thread"], scratch=scratch)
        # At the end nobody gives a descriptor back, but the hard limit leaves room to ask the kernel.
        self.assertEqual(sorted(r["trigger"] for r in result.reports.values()), ["exhaustion", "exit"])
        for report in result.reports.values():
            with self.subTest(trigger=report["trigger"]):
                stacks = [[f.get("function") for f in thread.get("stack", [])] for thread in report["threads"]]
                self.assertTrue(any("stands" in stack for stack in stacks), stacks)

    def test_the_report_at_exit_leaves_it_alone(self):
        for arguments, names in ((["clean"], ["report.json", "report.limit.json"]),
                                 (["sleep", "again", "spare", "again", "clean"],
                                  ["report.json", "report.limit.2.json", "report.limit.json"])):
            result = harness.run([harness.program("exhaust"), *arguments])
            self.assertEqual((result.status, result.stdout), (0, "done\n"), result)
            self.assertEqual(sorted(result.reports), names)
            for name in names[1:]:
                self.check(result.reports[name])
                self.assertIn(name, result.stderr)
                sites = harness.own_sites(result.reports[name], harness.program("exhaust"), "fd")
                self.assertEqual({harness.top(site)["line"] for site in sites}, {harness.line_of(SOURCE, "open")},
                                 "the run has filled it in")
            self.assertEqual(result.report["totals"]["fd"]["live"], 0)

    def test_what_was_held_at_the_peak(self):
        """At the end nothing is left of it: a server that cleans up while it dies."""
        result = harness.run([harness.program("exhaust"), "clean"])
        held = result.reports["report.limit.json"]["totals"]["fd"]["live"]
        self.assertGreater(held, 50)
        self.assertEqual((result.report["totals"]["fd"]["live"], result.report["totals"]["fd"]["peak"]), (0, held))
        site, = [site for site in result.report["sites"] if site["kind"] == "fd"]
        self.assertEqual((site["live"], site["at_peak"], site["grade"]), (0, held, "informational"))
        self.assertEqual(harness.top(site)["line"], harness.line_of(SOURCE, "open"))
        self.assertIn(f"{held} descriptors at the peak", result.stderr)

    def test_a_high_peak_without_a_failure(self):
        for count, shown in ((99, False), (100, True)):
            result = harness.run([harness.program("exhaust"), "few", str(count)])
            self.assertEqual(f"{count} descriptors at the peak" in result.stderr, shown, result)

    def test_under_the_launcher(self):
        with harness.Scratch() as scratch:
            result = harness.run([harness.program("exhaust")], scratch=scratch,
                                 options=["--output", scratch.path("%n.json"), "--fail-on", "fd>0"])
            self.assertEqual(result.status, 23)
            self.assertEqual(sorted(r["trigger"] for r in result.reports.values()), ["exhaustion", "exit"])
            self.assertRegex(result.stderr, "a limit was reached: open(64)? failed with EMFILE")


if __name__ == "__main__":
    harness.main()
