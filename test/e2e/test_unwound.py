#!/usr/bin/python3
"""Calls that never return (thread cancellation, exceptions, jumps out of signal handlers) leave no record behind that is
wrong, and nothing that keeps the thread from being tracked."""
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "unwound.cpp")


def at(marker):
    return harness.line_of(SOURCE, marker)


class Unwound(unittest.TestCase):
    def run_way(self, way, says, env=None):
        with harness.Scratch() as scratch:
            os.mkfifo(scratch.path("fifo"))
            command = [harness.program("unwound"), way, scratch.path("fifo")]
            alone = harness.bare(command)
            self.assertEqual((alone.status, alone.stdout), (0, "\n".join([*says, "end", ""])), "what is expected of libc")
            result = harness.run(command, env=env)
            self.assertEqual((result.status, result.stdout), (0, alone.stdout), result)
            report = result.report
            self.assertTrue(report["complete"], report["notes"])
            self.assertEqual(report["totals"]["fd"]["unattributed"], 0)
            self.assertEqual(report["totals"]["heap"]["foreign_released"], 0)
            return report

    def held(self, report, kind):
        """Line of the program's innermost frame → how many."""
        program = os.path.realpath(harness.program("unwound"))
        lines = {}
        for site in harness.live_sites(report, kind):
            line = next((frame["line"] for frame in site["stack"] if frame["module"] == program), None)
            lines[line] = lines.get(line, 0) + site["live"]
        return lines

    def misuse(self, report):
        return [(one["type"], one["closed"]["stack"][0].get("line")) for one in report["misuse"]]

    def test_a_close_that_was_cancelled_before_it_began(self):
        report = self.run_way("cancelled_close", ["cancelled"])
        self.assertEqual(self.held(report, "fd"), {at("take"): 1})
        self.assertEqual(self.misuse(report), [])

    def test_a_descriptor_whose_close_was_cancelled_is_closed_later(self):
        report = self.run_way("cancelled_then_closed", ["cancelled"])
        self.assertEqual(self.held(report, "fd"), {})
        self.assertEqual(self.misuse(report), [("double_close", at("again"))])
        # The one before was the one that closed.
        self.assertEqual(report["misuse"][0]["first_closed"]["stack"][0]["line"], at("again") - 1)

    def test_what_a_cancelled_thread_allocates_at_its_end_is_counted(self):
        # freopen opens the new file before it gives the old one up.
        for way, held in (("cancelled_fopen", {}), ("cancelled_freopen", {at("stream"): 1}), ("ended_in_handler", {})):
            with self.subTest(way=way):
                report = self.run_way(way, ["cancelled"])
                self.assertEqual(self.held(report, "heap"), {at("keep"): 10})
                self.assertEqual(self.held(report, "fd"), held)

    def test_what_is_allocated_after_an_exception_is_counted(self):
        report = self.run_way("thrown", ["caught"])
        self.assertEqual(self.held(report, "heap"), {at("keep"): 10})
        report = self.run_way("thrown_from_close", ["caught"])
        self.assertEqual(self.held(report, "heap"), {at("keep"): 10, at("custom"): 1}, "the stream was not freed")

    def test_a_callback_allocates_for_the_program(self):
        """…and libc for the walk, which is a descriptor; without one it is blocks."""
        for depth in ("128", "2"):
            with self.subTest(depth=depth):
                report = self.run_way("called_back", ["walked"], env={"UNFREED_DEPTH": depth})
                self.assertEqual(set(self.held(report, "heap")), {at("compare")})
                self.assertEqual(self.held(report, "fd"), {at("walk"): 1})
        report = self.run_way("called_back_without_directory", ["walked"])
        self.assertGreaterEqual(set(self.held(report, "heap")), {at("compare"), at("walk")})
        self.assertEqual(self.held(report, "fd"), {})

    def test_what_is_allocated_after_a_jump_is_counted(self):
        report = self.run_way("jumped_fopen", ["jumped"])
        self.assertEqual(self.held(report, "heap"), {at("keep"): 10})

    def test_a_close_that_was_left_by_a_jump_has_closed(self):
        report = self.run_way("jumped_close", ["jumped", "the number is free"])
        self.assertEqual(self.held(report, "fd"), {at("take"): 1, at("listener"): 1})
        self.assertEqual(self.misuse(report), [])
        report = self.run_way("jumped_close_again", ["jumped"])
        self.assertEqual(self.held(report, "fd"), {at("listener"): 1})
        self.assertEqual(self.misuse(report), [("double_close", at("after"))])

    def test_a_signal_that_came_during_vfork(self):
        """Its handler runs in the parent before vfork has returned there."""
        for way in ("signal_in_vfork", "signal_in_clone"):
            with self.subTest(way=way):
                report = self.run_way(way, [])
                self.assertEqual(self.held(report, "fd"), {at("handler"): 1})
                self.assertEqual(report["totals"]["fd"]["inherited"], 3, "what the child closed is the parent's no less")
        for way in ("jumped_vfork", "jumped_clone"):
            with self.subTest(way=way):
                report = self.run_way(way, ["jumped"])
                self.assertEqual(self.held(report, "fd"), {at("take"): 1})

    def test_jumps_out_of_the_tracking_itself(self):
        report = self.run_way("jumped_everywhere", ["jumped"])
        self.assertEqual(self.held(report, "fd"), {})
        (site,) = [site for site in harness.live_sites(report, "heap") if harness.top(site).get("line") == at("keep")]
        self.assertEqual(site["live"], 10)
        self.assertFalse(site["truncated"])
        self.assertGreater(len(site["stack"]), 100)


if __name__ == "__main__":
    harness.main()
