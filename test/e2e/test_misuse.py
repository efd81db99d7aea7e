#!/usr/bin/python3
"""Descriptors closed by who had no right to: what was done, with the stacks that explain it; and what is none of it."""
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "misuse.c")


def at(marker):
    return harness.line_of(SOURCE, marker)


def place(misuse, which):
    """(function called, line of the call) of one of the places; None where there is none."""
    found = misuse.get(which)
    return found and (harness.plain_name(found["function"]), found["stack"][0].get("line"), found["stack"][0].get("function"))


class Misuse(unittest.TestCase):
    def run_cases(self, *cases, **keywords):
        result = harness.run([harness.program("misuse"), *cases], **keywords)
        self.assertEqual(result.stdout, "", "the program sees what it would without")
        return result

    def only(self, result, kind, count=1):
        found = result.report["misuse"]
        self.assertEqual([(one["type"], one["count"]) for one in found], [(kind, count)])
        self.assertEqual(result.report["totals"]["misuse"]["live"], count)
        self.assertEqual(result.report["totals"]["misuse"][kind], count)
        return found[0]

    def test_double_close_has_three_stacks(self):
        misuse = self.only(self.run_cases("twice"), "double_close", 3)
        self.assertEqual(place(misuse, "opened"), ("open", at("take"), "take"))
        self.assertEqual(place(misuse, "first_closed"), ("close", at("first"), "first"))
        self.assertEqual(place(misuse, "closed"), ("close", at("again"), "again"))
        self.assertEqual(misuse["closed"]["stack"][1]["function"], "twice")

    def test_threads_are_told_apart(self):
        misuse = self.only(self.run_cases("twice_by_two"), "double_close")
        threads = [misuse[which]["thread"] for which in ("opened", "first_closed", "closed")]
        self.assertEqual(threads[0], threads[2])
        self.assertNotEqual(threads[0], threads[1])
        self.assertEqual(misuse["first_closed"]["stack"][1]["function"], "close_in_thread")

    def test_a_loop_over_two_is_no_sweep(self):
        result = self.run_cases("pair_twice")
        self.assertEqual(result.report["totals"]["misuse"]["double_close"], 2)
        for misuse in result.report["misuse"]:
            self.assertEqual(place(misuse, "closed"), ("close", at("pair"), "pair_twice"))

    def test_what_was_never_open(self):
        result = self.run_cases("never_open", options=["--fail-on", "misuse>0"])
        self.assertEqual(result.status, 0, "shells do it, and mean it")
        self.assertEqual(self.run_cases("never_open", options=["--fail-on", "misuse.not_open>0"]).status, 23)
        self.assertEqual(result.report["totals"]["misuse"], {**result.report["totals"]["misuse"], "live": 0, "not_open": 1})
        misuse, = result.report["misuse"]
        self.assertEqual((misuse["fd"], misuse.get("opened"), misuse.get("first_closed")), (777, None, None))
        self.assertEqual(place(misuse, "closed"), ("close", at("again"), "again"))

    def test_behind_the_back_of_a_stream(self):
        misuse = self.only(self.run_cases("behind_stream"), "behind_owner")
        self.assertEqual(misuse["owner"], "file_stream")
        self.assertEqual(place(misuse, "opened"), ("fopen", at("stream"), "behind_stream"))
        self.assertEqual(place(misuse, "closed"), ("close", at("behind"), "behind_stream"))
        misuse = self.only(self.run_cases("behind_directory"), "behind_owner")
        self.assertEqual(misuse["owner"], "directory_stream")

    def test_a_stream_that_closes_somebody_elses(self):
        result = self.run_cases("stale")
        kinds = {misuse["type"]: misuse for misuse in result.report["misuse"]}
        self.assertEqual(set(kinds), {"behind_owner", "stale_owner"})
        self.assertEqual(place(kinds["stale_owner"], "opened"), ("open", at("take"), "take"))
        self.assertEqual(place(kinds["stale_owner"], "first_closed")[0], "close")
        self.assertEqual(place(kinds["stale_owner"], "closed"), ("fclose", at("stale"), "stale"))
        self.assertEqual(result.report["totals"]["fd"]["live"], 0)

    def test_a_wrapper_hides_nothing(self):
        misuse = self.only(self.run_cases("by_wrapper"), "double_close")
        self.assertEqual(misuse["closed"]["stack"][1]["line"], at("wrapped"))

    def test_a_forked_child_may_close_its_parents_stream_by_number(self):
        result = self.run_cases("clean_child", options=["--all-reports", "--fail-on", "misuse>1"])
        self.assertEqual((result.status, len(result.reports)), (0, 2), result)
        kinds = [misuse["type"] for report in result.reports.values() for misuse in report["misuse"]]
        self.assertEqual(kinds, ["double_close"], "the descriptor that the child did close twice")

    def test_sweeps_and_clean_code_are_no_misuse(self):
        for case in ("sweep", "clean"):
            result = self.run_cases(case, options=["--fail-on", "misuse>0"])
            self.assertEqual((result.report["misuse"], result.status), ([], 0))
            self.assertEqual(result.report["totals"]["misuse"]["live"], 0)

    def test_rule(self):
        result = self.run_cases("twice", options=["--fail-on", "misuse>0"])
        self.assertEqual(result.status, 23)
        self.assertEqual(result.report["rules"], [{"rule": "misuse>0", "value": 3, "broken": True}])
        self.assertIn("was closed twice", result.stderr)
        self.assertIn("again (", result.stderr)
        self.assertEqual(self.run_cases("twice", options=["--fail-on", "misuse>3"]).status, 0)
        bad = harness.unfreed("run", "--fail-on", "site.misuse>0", "true")
        self.assertEqual(bad.status, 125)

    def test_suppression(self):
        with harness.Scratch() as scratch:
            path = scratch.path("known")
            with open(path, "w") as file:
                file.write("fd:twice\n")
            result = self.run_cases("twice", scratch=scratch, options=["--fail-on", "misuse>0", "--suppressions", path])
        self.assertEqual(result.status, 0)
        self.assertEqual(result.report["totals"]["misuse"], {**result.report["totals"]["misuse"], "live": 3, "suppressed": 3})
        self.assertEqual(result.report["misuse"][0]["suppressed_by"], "fd:twice")

    def test_check_agrees(self):
        with harness.Scratch() as scratch:
            self.run_cases("twice", scratch=scratch)
            path = scratch.path("report.json")
            self.assertEqual(harness.unfreed("check", path, "--fail-on", "misuse>0").status, 23)
            self.assertEqual(harness.unfreed("check", path, "--fail-on", "misuse>3").status, 0)
            self.assertIn("was closed twice", harness.unfreed("report", path).stdout)


if __name__ == "__main__":
    harness.main()
