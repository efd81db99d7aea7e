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

    def test_double_close_however_the_handle_is_passed(self):
        program = harness.program("closed_twice")
        source = os.path.join(os.path.dirname(SOURCE), "closed_twice.cpp")
        ways = harness.bare([program, "open"]).stdout.split()
        self.assertGreater(len(ways), 10)
        with harness.Scratch() as scratch:
            for resource, opened in (("open", "open"), ("fopen", "fopen"), ("freopen", "freopen"), ("fdopen", "open"),
                                     ("tmpfile", "tmpfile"), ("opendir", "opendir")):
                for way in ways:
                    with self.subTest(resource=resource, way=way):
                        misuse = self.only(harness.run([program, resource, way], scratch=scratch), "double_close")
                        self.assertEqual(place(misuse, "opened")[:2], (opened, harness.line_of(source, opened)))
                        for which in ("first_closed", "closed"):
                            self.assertIn("release", misuse[which]["stack"][0]["function"])
                        names = " ".join(frame.get("function", "") for frame in misuse["opened"]["stack"])
                        self.assertIn(f"{way}()", names)

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
        for case in ("sweep", "clean", "daemon_begins", "redirected", "reused", "handed_over", "streams", "swept_away"):
            result = self.run_cases(case, options=["--fail-on", "misuse>0"])
            self.assertEqual((result.report["misuse"], result.status), ([], 0))
            self.assertEqual(result.report["totals"]["misuse"]["live"], 0)

    def test_minus_one_is_a_number_that_is_not_open(self):
        result = self.run_cases("minus_one", options=["--fail-on", "misuse>0"])
        self.assertEqual((result.status, result.report["totals"]["misuse"]["not_open"]), (0, 3))
        misuse, = result.report["misuse"]
        self.assertEqual((misuse["fd"], misuse["count"]), (-1, 3))
        self.assertEqual(place(misuse, "closed"), ("close", at("minus_one"), "minus_one"))
        self.assertNotIn(" -1", result.stderr, "too many programs do it")
        self.assertIn("descriptor -1", self.run_cases("minus_one", options=["--fail-on", "misuse.not_open>0"]).stderr)

    def test_a_range_of_one_closes_by_number(self):
        misuse = self.only(self.run_cases("range_of_one"), "behind_owner")
        self.assertEqual(place(misuse, "closed"), ("close_range", at("range"), "range_of_one"))

    def test_a_close_of_what_is_somebody_elses_by_then(self):
        """The one whose descriptor it was finds it closed, and is not to blame."""
        result = self.run_cases("taken_over", options=["--fail-on", "misuse>0"])
        misuse = self.only(result, "double_close")
        self.assertEqual(result.status, 23)
        self.assertEqual(place(misuse, "opened"), ("dup", at("first_of_two"), "open_first"))
        self.assertEqual([place(misuse, which) for which in ("first_closed", "closed")],
                         [("close", at("end_first"), "end_first")] * 2)
        self.assertEqual([misuse[which]["stack"][1]["line"] for which in ("first_closed", "closed")],
                         [at("taken_over"), at("taken_over_again")])
        self.assertEqual(place(misuse, "reopened"), ("open", at("second"), "open_second"))
        self.assertIn("the second close hit another owner's descriptor", result.stderr)
        self.assertIn("open_second", result.stderr)

    def test_a_close_that_may_be_either_owners(self):
        """Nothing says who has closed twice: both owners are shown, with what each has done."""
        result = self.run_cases("taken_over_elsewhere", options=["--fail-on", "misuse>0"])
        misuse = self.only(result, "double_close")
        self.assertEqual([place(misuse, which)[2] for which in ("opened", "first_closed", "closed", "earlier_opened", "earlier_closed")],
                         ["open_second", "end_first_again", "end_second", "open_first", "end_first"])
        for name in ("open_first", "end_first (", "end_first_again", "open_second", "end_second"):
            self.assertIn(name, result.stderr)
        misuse = self.only(self.run_cases("taken_over_from_stream"), "behind_owner")
        self.assertEqual([place(misuse, which)[1:] for which in ("opened", "closed", "earlier_opened", "earlier_closed")],
                         [(at("stream_taken"), "taken_over_from_stream"), (at("end_first_again"), "end_first_again"),
                          (at("first_of_two"), "open_first"), (at("end_first"), "end_first")])

    def test_the_same_between_threads(self):
        misuse = self.only(self.run_cases("taken_over_by_thread"), "double_close")
        self.assertEqual(place(misuse, "opened")[2], "open_first")
        self.assertEqual(place(misuse, "first_closed")[1], at("stop"))
        self.assertEqual(place(misuse, "closed")[1], at("destroy"))
        self.assertEqual(place(misuse, "reopened")[2], "open_second")
        self.assertNotEqual(misuse["reopened"]["thread"], misuse["closed"]["thread"])

    def test_an_earlier_owner_is_not_blamed_for_it(self):
        misuse = self.only(self.run_cases("own_fault"), "double_close")
        self.assertEqual([misuse[which]["stack"][1]["line"] for which in ("first_closed", "closed")],
                         [at("own_fault"), at("own_fault_again")])
        self.assertNotIn("reopened", misuse)
        self.assertNotIn("earlier_opened", misuse)

    def test_nothing_is_older_than_what_came_before(self):
        for _ in range(10):
            misuse = self.only(self.run_cases("twice"), "double_close", 3)
            ages = [misuse[which]["age_ns"] for which in ("opened", "first_closed", "closed")]
            self.assertEqual(ages, sorted(ages, reverse=True))

    def test_streams_closed_twice(self):
        """What libc does then is undefined, and may end the process; the report has it either way."""
        for case, opener, owner in (("stream_twice", "fopen", "file_stream"), ("directory_twice", "opendir", "directory_stream"),
                                    ("stdin_twice", "freopen", "file_stream"), ("pipe_twice", "popen", "popen_stream")):
            with self.subTest(case=case):
                result = harness.run([harness.program("misuse"), case], options=["--fail-on", "misuse>0"])
                misuse = self.only(result, "double_close")
                self.assertIn(result.status, (23, 128 + 6, 128 + 11))
                self.assertEqual(misuse["owner"], owner)
                self.assertEqual(place(misuse, "opened")[0], opener)
                self.assertEqual(place(misuse, "first_closed")[0], place(misuse, "closed")[0])
        misuse = self.run_cases("stream_twice").report["misuse"][0]
        self.assertEqual([misuse[which]["stack"][1]["line"] for which in ("first_closed", "closed")],
                         [at("stream_once"), at("stream_twice")])

    def test_streams_that_share_a_descriptor(self):
        misuse = self.only(self.run_cases("streams_share", options=["--fail-on", "misuse>0"]), "double_close")
        self.assertEqual([place(misuse, which)[1] for which in ("first_closed", "closed")], [at("share_one"), at("share_other")])
        self.only(self.run_cases("directories_share"), "double_close")
        for case in ("stream_left", "stream_left_and_reused"):
            self.only(self.run_cases(case), "behind_owner")
        result = self.run_cases("stream_left_in_child", options=["--all-reports", "--fail-on", "misuse>0"])
        self.assertEqual(result.status, 0, "a child is right to close the number only")

    def test_a_struct_full_of_zeroes(self):
        result = self.run_cases("zeroed_once", options=["--fail-on", "misuse>0"])
        self.assertEqual((result.status, result.report["totals"]["misuse"]["standard_closed"]), (0, 1))
        misuse, = result.report["misuse"]
        self.assertEqual((misuse["type"], misuse["fd"], "opened" in misuse), ("standard_closed", 0, False))
        self.assertEqual(place(misuse, "closed"), ("close", at("drop"), "drop"))
        self.assertNotIn("standard stream", result.stderr)
        result = self.run_cases("zeroed", options=["--fail-on", "misuse.standard_closed>1"])
        self.assertEqual(result.status, 23)
        others, = [misuse for misuse in result.report["misuse"] if "opened" in misuse]
        self.assertEqual(place(others, "opened")[1], at("accident"))
        self.assertEqual(others["first_closed"]["stack"][1]["line"], at("zeroed"))
        self.assertIn("had already closed a standard stream of that number", result.stderr)

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
