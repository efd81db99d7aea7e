#!/usr/bin/python3
"""Child processes: zombies with the stack that started them; and descriptors that go along into other programs."""
import concurrent.futures
import contextlib
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "children.c")
WAYS = ["fork", "fork_tracked", "vfork", "posix_spawnp", "system", "popen"]


def at(marker):
    return harness.line_of(SOURCE, marker)


class Children(unittest.TestCase):
    def run_case(self, *arguments, **keywords):
        return harness.run([harness.program("children"), *arguments], **keywords)

    def test_zombies_have_the_stack_that_started_them(self):
        result = self.run_case("zombies", options=["--fail-on", "child>0"])
        self.assertEqual(result.status, 23)
        site, = harness.live_sites(result.report, "child")
        self.assertEqual((site["live"], site["grade"], site["acquired_by"]), (3, "leaked", "fork"))
        self.assertEqual((harness.top(site)["function"], harness.top(site)["line"]), ("start", at("start")))
        self.assertEqual({one["state"] for one in site["objects"]}, {"zombie"})
        self.assertEqual(result.report["rules"][0]["value"], 3)
        self.assertIn("3 zombies from fork", result.stderr)

    def test_bare_preload_counts_the_same(self):
        for helper in (True, False):
            result = harness.preload([harness.program("children"), "zombies"], helper=helper,
                                     env={"UNFREED_FAIL_ON": "child>2"})
            self.assertEqual((result.status, result.report["totals"]["child"]["live"]), (23, 3))

    def test_what_failed_to_start_was_not_started(self):
        command = [harness.program("failed_starts")]
        for run in (harness.bare, harness.run):
            result = run(command)
            self.assertEqual((result.status, result.stdout), (0, "end\n"), result)
        totals = result.report["totals"]
        for kind in ("thread", "child"):
            self.assertEqual({name: totals[kind][name] for name in ("total", "peak", "live")},
                             {"total": 1, "peak": 1, "live": 0}, kind)
        self.assertEqual(sum(site["total"] for site in result.report["sites"] if site["kind"] == "thread"), 0)
        failed = {one["function"]: one["count"] for one in result.report["failures"]}
        self.assertGreaterEqual(failed.items(), {"thrd_create": 1, "fork": 1, "vfork": 1}.items(), failed)

    def test_popen_has_a_child(self):
        result = self.run_case("popen")
        site, = harness.live_sites(result.report, "child")
        self.assertEqual((site["live"], site["acquired_by"]), (1, "popen"))

    def test_collected_children_are_no_leak(self):
        result = self.run_case("collected", options=["--fail-on", "child>0,child.running>0,child.unattributed>0"])
        self.assertEqual(result.status, 0, result)
        totals = result.report["totals"]["child"]
        self.assertEqual((totals["live"], totals["running"], totals["reaped_unseen"]), (0, 0, 0))
        self.assertEqual(totals["total"], 305)

    def test_the_kernel_collects_where_nobody_wants_to_know(self):
        result = self.run_case("ignored", options=["--fail-on", "child>0"])
        self.assertEqual(result.status, 0)
        totals = result.report["totals"]["child"]
        self.assertEqual((totals["live"], totals["reaped_unseen"], totals["total"]), (0, 3, 3))

    def test_records_of_those_that_the_kernel_collects_are_used_again(self):
        result = self.run_case("ignored", "1500")
        totals = result.report["totals"]["child"]
        self.assertEqual((totals["live"], totals["total"]), (0, 1500))
        # They are asked for when there are 1,024.
        self.assertLessEqual(totals["peak"], 1025)
        self.assertLess(totals["reaped_unseen"], 1024)

    def test_one_that_runs_on_is_no_zombie(self):
        result = self.run_case("running")
        totals = result.report["totals"]["child"]
        self.assertEqual((totals["live"], totals["running"]), (0, 1))
        site, = [s for s in result.report["sites"] if s["kind"] == "child"]
        self.assertEqual((site["grade"], site["objects"][0]["state"]), ("informational", "running"))

    def test_those_that_end_while_the_launcher_looks_round_are_not_missed(self):
        def run(_):
            return self.run_case("running", "8", options=["--all-reports"])

        with concurrent.futures.ThreadPoolExecutor(4) as runs:
            for result in runs.map(run, range(40)):
                self.assertEqual((result.status, len(result.reports)), (0, 9), result)

    def test_what_no_function_started_is_unattributed(self):
        result = self.run_case("raw", options=["--fail-on", "child>0"])
        self.assertEqual(result.status, 23, "the kernel lists a child that has ended and was not waited for")
        child = result.report["totals"]["child"]
        self.assertEqual((child["live"], child["unattributed"]), (1, 1))
        self.assertEqual([(one["origin"], one["state"]) for one in result.report["children"]], [("unattributed", "zombie")])

    def test_nobody_has_to_wait_for_what_others_have_started(self):
        for words in (["adopts"], ["adopts", "orphan"]):  # asked for before exec, too
            with self.subTest(words=words):
                result = self.run_case(*words, options=["--fail-on", "child>0"])
                self.assertEqual(result.status, 0, result)
                child = result.report["totals"]["child"]
                self.assertEqual((child["live"], child["unattributed"]), (0, 1))
                self.assertEqual([(one["origin"], one["state"]) for one in result.report["children"]], [("adopted", "zombie")])
                self.assertIn("1 child has ended that other processes had started, as far as is known: this one adopts orphans, "
                              "and did not wait for it", result.report["notes"])

    def test_its_own_children_count_where_it_adopts_others(self):
        result = self.run_case("adopts", "zombies", options=["--fail-on", "child>0"])
        self.assertEqual((result.status, result.report["totals"]["child"]["live"]), (23, 3), result)

    def test_a_copy_that_makes_a_report_is_no_child_to_others(self):
        """A child of the program's own is, even if its end raises no signal, as a copy's."""
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(harness.Scratch())
            command = [harness.program("children"), "raw_silent", scratch.path("own.json")]
            process = stack.enter_context(harness.started(command, scratch=scratch, launcher=False, env={"UNFREED_QUIET": "1"}))
            self.assertEqual(process.stdout.readline(), b"ready\n")
            harness.wait_for(lambda: os.path.exists(scratch.path("own.json")))
            for _ in range(10):
                result = harness.unfreed("snapshot", "-o", scratch.path("now.json"), str(process.pid),
                                         env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                self.assertEqual(result.status, 0, result)
                for path in ("own.json", "now.json"):
                    report = harness.read_report(scratch.path(path))
                    self.assertEqual([one["origin"] for one in report["children"]], ["unattributed"] * 2, path)


class ExecLeak(unittest.TestCase):
    def run_case(self, *arguments, options=(), **keywords):
        return harness.run([harness.program("children"), *arguments],
                           options=["--fail-on", "inherited_by_child>0", *options], **keywords)

    def test_every_way_into_another_program(self):
        for way in WAYS:
            with self.subTest(way=way):
                result = self.run_case("exec_leak", way)
                self.assertEqual(result.status, 23, result)
                one, = result.report["inherited_by_child"]
                started_by = "execvp" if "fork" in way else way
                self.assertEqual((one["count"], one["started_by"], harness.plain_name(one["acquired_by"])), (1, started_by, "open"))
                self.assertEqual((one["stack"][0]["function"], one["stack"][0]["line"]), ("open_inheritable", at("open")))
                self.assertEqual(one["program"], "true")
                self.assertIn("was inherited by true", result.stderr)

    def test_each_time_counts(self):
        result = self.run_case("exec_leak", *WAYS)
        self.assertEqual(result.report["totals"]["inherited_by_child"]["live"], len(WAYS))
        self.assertEqual([one["count"] for one in result.report["inherited_by_child"]], [len(WAYS)])

    def test_what_is_closed_or_marked_does_not_cross(self):
        result = self.run_case("no_exec_leak")
        self.assertEqual((result.status, result.report["inherited_by_child"]), (0, []), result)

    def test_numbers_that_may_cross(self):
        self.assertEqual(self.run_case("exec_leak", "system", options=["--inheritable", "3,7-9"]).status, 0)
        self.assertEqual(self.run_case("exec_leak", "system", options=["--inheritable", "4-9"]).status, 23)
        for bad in ("x", "3-", "5-3", "1,,2"):
            result = harness.unfreed("run", "--inheritable", bad, "true")
            self.assertEqual(result.status, 125)
            self.assertIn("--inheritable", result.stderr)

    def test_bare_preload(self):
        result = harness.preload([harness.program("children"), "exec_leak", *WAYS],
                                 env={"UNFREED_FAIL_ON": "inherited_by_child>0", "UNFREED_ONLY": "children"})
        self.assertEqual((result.status, result.report["totals"]["inherited_by_child"]["live"]), (23, len(WAYS)))


if __name__ == "__main__":
    harness.main()
