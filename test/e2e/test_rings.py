#!/usr/bin/python3
"""Descriptors that io_uring makes have the call site that submitted them; those that it closes are closed."""
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "rings.c")
LINES = {"rings": harness.line_of(SOURCE, "liburing")}
CALLS = {"rings": "io_uring_submit"}


class Rings(unittest.TestCase):
    def run_case(self, program, case, *arguments, **keywords):
        path = harness.program(program)
        if not os.path.exists(path):
            self.skipTest("liburing-dev is not installed")
        result = harness.run([path, case, *arguments], **keywords)
        if "unavailable" in result.stdout:
            self.skipTest("no io_uring here")
        self.assertEqual(result.status, 0, result)
        return result

    def held(self, report):
        """Call sites with what they hold; all else that is held."""
        totals = report["totals"]["fd"]
        self.assertEqual(totals["closed_unseen"], 0)
        return ([(site["acquired_by"].removesuffix("64"), harness.top(site)["function"], harness.top(site)["line"], site["live"])
                 for site in harness.live_sites(report, "fd")], totals["unattributed"])

    def check(self, case, count):
        for program, line in LINES.items():
            with self.subTest(program=program, case=case):
                report = self.run_case(program, case).report
                expected = [(CALLS[program], "submit", line, count)] if count else []
                self.assertEqual(self.held(report), (expected, 0))

    def test_what_is_opened_is_held(self):
        self.check("open", 1)
        self.check("late", 1)
        self.check("socket", 1)

    def test_requests_with_equal_user_data(self):
        self.check("batch", 40)
        self.check("fail", 1)
        self.check("same", 2)

    def test_one_request_with_many_results(self):
        self.check("accept", 3)

    def test_what_is_closed_through_the_ring_is_closed(self):
        for program in LINES:
            with self.subTest(program=program):
                report = self.run_case(program, "close").report
                line = harness.line_of(SOURCE, "reopened")
                self.assertEqual(self.held(report), ([("open", "main", line, 1)], 0))
        self.check("link", 1)

    def test_numbers_in_the_ring_s_own_table_are_no_descriptors(self):
        self.check("fixed", 0)

    def test_a_fork_child_has_no_part_in_its_parent_s_ring(self):
        for program, line in LINES.items():
            with self.subTest(program=program):
                result = self.run_case(program, "fork", options=["--all-reports"])
                self.assertEqual(self.held(result.report), ([(CALLS[program], "submit", line, 1)], 0))
                child, = (one for one in result.reports.values() if one["process"]["pid"] != result.report["process"]["pid"])
                line = harness.line_of(SOURCE, "child")
                self.assertEqual([site[:3] for site in self.held(child)[0]], [("open", "main", line)])

    def test_rings_without_liburing_have_no_stack_and_are_counted(self):
        for case, count in ("open", 1), ("batch", 40), ("late", 1):
            with self.subTest(case=case):
                self.assertEqual(self.held(self.run_case("rings_own", case).report), ([], count))

    def test_a_ring_whose_memory_is_gone(self):
        report = self.run_case("rings_own", "unmapped").report
        self.assertGreaterEqual(report["totals"]["fd"]["live"], 2)  # the ring and a file at least
        self.assertTrue(report["complete"])

    def test_a_ring_that_ends_where_its_memory_is_gone(self):
        expected = [(CALLS["rings"], "submit", LINES["rings"], 1)]
        for case in "twice", "dontfork":  # a program that is ended by a signal has another status
            with self.subTest(case=case):
                self.assertEqual(self.held(self.run_case("rings", case).report), (expected, 0))

    def test_a_ring_ends_though_the_kernel_may_not_be_asked(self):
        report = self.run_case("rings", "strict").report
        self.assertEqual(harness.live_sites(report, "fd"), [])

    def test_requests_that_are_too_many_to_follow_are_named(self):
        for case, most in ("waiting", 1024), ("many", 64):
            for count, is_complete in (most - 1, True), (most, False):
                with self.subTest(case=case, count=count):
                    report = self.run_case("rings", case, str(count)).report
                    site = [(CALLS["rings"], "submit", LINES["rings"], 1)]
                    self.assertEqual(self.held(report), (site, 0) if is_complete else ([], 1))
                    self.assertEqual(report["complete"], is_complete, report["notes"])
                    self.assertEqual([note for note in report["notes"] if "io_uring" in note],
                                     [] if is_complete else ["1 requests of io_uring were not followed, as too many "
                                                             "waited at once: descriptors that they make have no call site"])


if __name__ == "__main__":
    harness.main()
