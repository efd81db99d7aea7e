#!/usr/bin/python3
"""Programs that restrict their own system calls (seccomp) run as they would without us, and leave what they hold."""
import os
import unittest

import harness

SEALED = ["strict", "filter", "number", "fork"]
# Past libc; the hooks do not see it, but the code can be seen.
UNSEEN = ["inline", "within", "listed", "alone"]


class Sandbox(unittest.TestCase):
    def check_holdings(self, report, way):
        self.assertFalse(report["complete"])
        self.assertFalse(report["reconciled"])
        self.assertIn("system calls (seccomp)", "\n".join(report["notes"]))
        self.assertEqual(report["totals"]["fd"]["live"], 1 if way in ("strict", "alone") else 2)
        sites = harness.own_sites(report, harness.program("sandbox"), "fd")
        self.assertEqual({harness.base_function(harness.top(site)["function"]) for site in sites}, {"take"})
        heap = harness.own_sites(report, harness.program("sandbox"), "heap")
        self.assertEqual([(site["live"], site["bytes"]) for site in heap], [(1, 1000)])

    def check_same(self, way, result):
        alone = harness.bare([harness.program("sandbox"), way])
        self.assertIn("end\n", alone.stdout, "the program itself must survive")
        self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)

    def test_under_run(self):
        for way in SEALED + UNSEEN:
            with self.subTest(way=way):
                result = harness.run([harness.program("sandbox"), way])
                self.check_same(way, result)
                self.check_holdings(result.report, way)
                self.assertEqual(result.report["process"]["exit_status"], 0)

    def test_bare_leaves_the_ledger_and_says_so(self):
        for way in SEALED + UNSEEN:
            with self.subTest(way=way), harness.Scratch() as scratch:
                result = harness.preload([harness.program("sandbox"), way], scratch=scratch, keep_ledgers=True)
                self.check_same(way, result)
                self.assertEqual(result.reports, {}, result)
                ledgers = scratch.leftovers()
                self.assertEqual(len(ledgers), 1, ledgers)
                ledger = os.path.join(scratch.ledgers, ledgers[0])
                if way != "alone":  # which is noticed when nothing can be said any more
                    self.assertIn(f"`unfreed report {ledger}`", result.stderr)
                target = scratch.path("later.json")
                later = harness.unfreed("report", "--format", "json", "-o", target, ledger)
                self.assertEqual(later.status, 0, later)
                self.check_holdings(harness.read_report(target), way)

    def test_rules(self):
        broken = harness.run([harness.program("sandbox"), "filter"], options=["--fail-on", "fd>0"])
        self.assertEqual(broken.status, 23, broken)
        # Without a launcher nobody can check them: no silent pass.
        for way in SEALED + UNSEEN:
            for rules in ("fd>100", "fd>0"):
                with self.subTest(way=way, rules=rules):
                    unchecked = harness.preload([harness.program("sandbox"), way], env={"UNFREED_FAIL_ON": rules},
                                                keep_ledgers=True)
                    self.assertEqual(unchecked.status, 125, unchecked)

    def test_no_system_call_is_made_where_a_filter_would_allow_it(self):
        """Another filter may have come, or it may lie: what was open before it counts, and no rule passes."""
        command = [harness.program("lenient_sandbox")]
        result = harness.run(command, options=["--fail-on", "fd>2"])
        self.assertEqual((result.status, result.stdout), (23, "end\n"), result)
        self.assertEqual(result.report["coverage"]["fd"], "partial")
        fds = result.report["totals"]["fd"]
        self.assertEqual((fds["attributed"], fds["unattributed"]), (1, 2), result.report["descriptors"])
        self.assertEqual(harness.run(command, options=["--fail-on", "fd>4"]).status, 125)

    def test_what_was_open_before_a_filter_that_forbids_the_list(self):
        result = harness.run([harness.program("sandbox"), "filter-raw"], options=["--fail-on", "fd>3"])
        self.check_same("filter-raw", harness.run([harness.program("sandbox"), "filter-raw"]))
        self.assertEqual(result.status, 23, result)
        fds = result.report["totals"]["fd"]
        self.assertEqual((fds["attributed"], fds["unattributed"]), (2, 2))
        self.assertEqual(result.report["coverage"]["fd"], "partial")

    def test_no_rule_passes_on_what_a_filter_hid(self):
        for way in SEALED + UNSEEN + ["filter-raw"]:
            with self.subTest(way=way):
                result = harness.run([harness.program("sandbox"), way], options=["--fail-on", "fd>100"])
                self.assertEqual(result.status, 125, result)

    def test_children_that_cannot_be_tracked_are_counted(self):
        result = harness.run([harness.program("sandbox"), "fork"])
        self.assertIn("1 forked children were not tracked", "\n".join(result.report["notes"]))

    def test_programs_started_in_a_sandbox(self):
        # man runs its formatters in one that lets no file be made; without rules that is no reason to fail.
        command = ["man", "-P", "cat", "-l", os.path.join(harness.BUILD, "src", "cli", "unfreed.1")]
        alone = harness.bare(command)
        self.assertEqual(alone.status, 0, alone)
        for run in (harness.run, harness.preload):
            result = run(command, keep_ledgers=True)
            self.assertEqual((result.status, result.stdout), (0, alone.stdout), result)

    def test_a_filter_that_is_refused_changes_nothing(self):
        for run in (harness.run, harness.preload):
            result = run([harness.program("sandbox"), "refused"])
            self.check_same("refused", result)
            self.assertTrue(result.report["complete"], result.report["notes"])
            self.assertTrue(result.report["reconciled"])
            self.assertEqual(result.report["totals"]["fd"]["live"], 2)


if __name__ == "__main__":
    harness.main()
