#!/usr/bin/python3
"""Chromium, without a window, prints a page that a script has written into: a malloc of its own, a hundred libraries,
and a dozen processes."""
import os
import unittest

import harness

PAGE = "<html><body><p>Hello <script>document.write(6 * 7)</script></p></body></html>"


def arguments(scratch, name):
    page = scratch.path("page.html")
    if not os.path.exists(page):
        with open(page, "w") as file:
            file.write(PAGE)
    return ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={scratch.path(name)}", "--dump-dom", f"file://{page}"]


class Chromium(unittest.TestCase):
    def check(self, scratch, run, **keywords):
        alone = harness.bare(arguments(scratch, "alone"), timeout=120)
        self.assertIn("Hello", alone.stdout, alone)
        self.assertIn("42", alone.stdout)
        result = run(arguments(scratch, "tracked"), timeout=120, **keywords)
        self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)
        return result

    def check_report(self, report):
        # The browser kills some of the processes that it starts: nobody could compare their descriptors at the end.
        fd = "unconfirmed" if report["trigger"] == "post_mortem" else "exact"
        self.assertEqual({kind: report["coverage"][kind] for kind in ("fd", "heap", "thread", "child")},
                         {"fd": fd, "heap": "unavailable", "thread": "exact", "child": "exact"})
        self.assertIn("the program has a malloc of its own", "\n".join(report["notes"]))

    def check_browser(self, report):
        self.check_report(report)
        self.assertEqual(report["process"]["exit_status"], 0)
        self.assertGreater(report["totals"]["fd"]["total"], 100)
        self.assertGreater(report["totals"]["thread"]["total"], 5)
        self.assertGreaterEqual(report["totals"]["child"]["total"], 2)

    def test_under_run(self):
        with harness.Scratch() as scratch:
            result = self.check(scratch, harness.run, options=["--quiet", "--all-reports"])
        self.check_browser(result.report)
        own = [r for r in result.reports.values() if os.path.basename(r["process"]["exe"]) == "chromium"]
        self.assertGreaterEqual(len(own), 3, "the browser, and the processes that it starts")
        for report in own:
            self.check_report(report)

    def test_preloaded(self):
        # Some of the processes that it starts are killed, or outlive it for a moment: the browser's own report will do.
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("reports"))
            result = self.check(scratch, harness.preload, keep_ledgers=True, env={
                "UNFREED_QUIET": "1", "UNFREED_OUTPUT": scratch.path("reports", "%p.json")})
            self.check_browser(harness.read_report(scratch.path("reports", f"{result.pid}.json")))

    def test_preloaded_and_passed_through(self):
        for mode in ({"UNFREED_DISABLE": "1"}, {"UNFREED_ONLY": "nothing"}):
            with self.subTest(mode=mode), harness.Scratch() as scratch:
                self.assertEqual(self.check(scratch, harness.preload, env=mode).reports, {})


if __name__ == "__main__":
    harness.main()
