#!/usr/bin/python3
"""UNFREED_REPORT_AT: a report when a number is reached, and again when it has doubled, under names that stay."""
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "levels.c")


class Levels(unittest.TestCase):
    def take(self, at, *words, run=harness.run, **keywords):
        """The run, and its reports at a number by their names."""
        with harness.Scratch() as scratch:
            if run == harness.run:
                keywords["options"] = ["--report-at", at, *keywords.get("options", [])]
            else:
                keywords["env"] = {"UNFREED_REPORT_AT": at}
            result = run([harness.program("levels"), *words], scratch=scratch, **keywords)
        self.assertEqual((result.status, result.stdout), (0, "done\n"), result)
        self.assertEqual(result.report["trigger"], "exit")
        return result, {name: report for name, report in result.reports.items() if report["trigger"] == "threshold"}

    def held(self, report, marker):
        site = max(report["sites"], key=lambda site: site["live"])
        self.assertEqual(harness.top(site).get("line", harness.line_of(SOURCE, marker)), harness.line_of(SOURCE, marker))
        return site["live"]

    def test_once_and_when_it_has_doubled(self):
        result, reports = self.take("fd>=20", "fd", "10", "30", "19", "100", "100")
        self.assertEqual(list(reports), ["report.limit.2.json", "report.limit.3.json", "report.limit.json"])
        for name, reached in (("report.limit.json", 20), ("report.limit.2.json", 40), ("report.limit.3.json", 80)):
            report = reports[name]
            self.assertEqual(report["threshold"], {"rule": "fd>=20", "value": reached})
            self.assertEqual((self.held(report, "fd"), report["totals"]["fd"]["live"]), (reached, reached))
            self.assertTrue(report["complete"], report["notes"])
        for reached in (20, 40, 80):
            self.assertIn(f"(reached fd>=20: {reached})", result.stderr)
        self.assertIn("report.limit.3.json", result.stderr)
        self.assertEqual(result.report["totals"]["fd"]["live"], 0)

    def test_never_below(self):
        self.assertEqual(self.take("fd>20,timer>5,heap.bytes>1G", "fd", "20")[1], {})

    def test_without_the_command(self):
        _, reports = self.take("fd>20", "fd", "30", run=harness.preload, helper=False)
        report, = reports.values()
        self.assertEqual((report["threshold"], self.held(report, "fd")), ({"rule": "fd>20", "value": 21}, 21))

    def test_other_kinds(self):
        _, reports = self.take("timer>=5,fd>=1000", "timer", "9")
        report, = reports.values()
        self.assertEqual((report["threshold"]["rule"], self.held(report, "timer")), ("timer>=5", 5))

    def test_the_heap(self):
        """Added up now and then: a report soon after the number, not at it."""
        _, reports = self.take("heap.bytes>=10M", "heap", "8000", "15000", "30000")
        values = sorted(report["threshold"]["value"] for report in reports.values())
        self.assertEqual(values, [10 << 20, 20 << 20])
        for report in reports.values():
            value = report["threshold"]["value"]
            self.assertGreaterEqual(report["totals"]["heap"]["bytes"], value)
            self.assertLess(report["totals"]["heap"]["bytes"], value * 1.1)
            self.assertGreater(self.held(report, "block") * 1000, value * 0.9)

    def test_many_allocations_that_are_given_back(self):
        self.assertEqual(self.take("heap.bytes>=10M", "heap", *["8000"] * 20)[1], {})

    def test_what_cannot_be_compared(self):
        for at, part in (("site.fd>=3", "site"), ("fd.peak>3", "peak"), ("thread>3", "thread"), ("fd=3", "operator"), ("misuse>0", "misuse")):
            result = harness.unfreed("run", "--report-at", at, "true")
            self.assertEqual(result.status, 125, result)
            self.assertIn(at, result.stderr)


if __name__ == "__main__":
    harness.main()
