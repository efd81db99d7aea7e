#!/usr/bin/python3
"""A Go program with C in it leaks on both sides: files and a stuck goroutine past every hook, blocks past every system call.
One report has both, counted exactly; and the program does what it does alone."""
import subprocess
import unittest

import harness
from test_go import COMMANDS, build, os

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "go_with_c.go")
EXACT = {"fd": "exact", "child": "exact", "thread": "exact", "heap": "exact"}


def lines_of(stack):
    return [frame["line"] for frame in stack if frame.get("file", "").endswith("go_with_c.go")]


@unittest.skipUnless(COMMANDS, "no Go here")
class BothSides(unittest.TestCase):
    def each_program(self):
        for go in COMMANDS:
            yield build(go, "go_with_c", SOURCE, uses_c=True)

    def run_alike(self, program, *arguments, **keywords):
        """Under unfreed as alone."""
        command = [program, *arguments]
        bare, result = harness.bare(command), harness.run(command, **keywords)
        self.assertEqual(result.stdout, bare.stdout, result)
        self.assertEqual((result.report["backend"], result.report["preloaded"]), ("trace", True), result)
        return result

    def site_of(self, report, kind, *markers):
        """Of those lines, from the innermost out."""
        lines = [harness.line_of(SOURCE, marker) for marker in markers]
        found = [site for site in report["sites"] if site["kind"] == kind and not site.get("suppressed_by")
                 and lines_of(site["stack"])[:len(lines)] == lines]
        self.assertEqual(len(found), 1, (markers, [harness.describe(site) for site in found]))
        return found[0]

    def check_both_sides(self, report, held):
        self.assertEqual({kind: report["coverage"][kind] for kind in EXACT}, EXACT)
        fds = [item["fd"] for site in report["sites"] if site["kind"] == "fd" and not site.get("suppressed_by")
               for item in site.get("objects", [])]
        self.assertEqual((sorted(fds), report["totals"]["fd"]["unattributed"]), (held, 0))
        blocks = self.site_of(report, "heap", "c-block")
        self.assertEqual((blocks["live"], blocks["bytes"], blocks["acquired_by"]), (7, 7000, "malloc"))
        self.assertEqual(self.site_of(report, "fd", "c-stream")["live"], 1)
        self.assertEqual(self.site_of(report, "fd", "go-file")["live"], 3)
        # No frame is the library's.
        frames = [frame.get("module", "") for site in report["sites"] for frame in site["stack"]]
        self.assertEqual([path for path in frames if "libunfreed" in path], [])
        line = harness.line_of(SOURCE, "blocked")
        (group,) = [one for one in report["goroutines"] if line in lines_of(one["stack"])]
        self.assertEqual((group["count"], group["fd"]), (1, 1))
        self.assertEqual(lines_of(group["created_at"]), [harness.line_of(SOURCE, "starts-stuck")])

    def test_one_report_has_both(self):
        for program in self.each_program():
            for arguments in (), ("exit",):
                with self.subTest(program=program, arguments=arguments):
                    result = self.run_alike(program, *arguments)
                    self.assertEqual((result.status, len(result.reports)), (0, 1), result)
                    self.check_both_sides(result.report, held_by(result))
                    self.assertTrue(result.report["complete"], result.report["notes"])

    def test_what_the_library_opens_for_itself_is_nobodys(self):
        """As many descriptors as with any other library that is preloaded: the loader opens its file."""
        for program in self.each_program():
            with self.subTest(program=program):
                both = self.run_alike(program).report
                traced, other = (harness.run([program], options=["--backend=trace"], env=env).report
                                 for env in ({}, {"LD_PRELOAD": harness.program("late_library.so")}))
                self.assertEqual([one.get("preloaded") for one in (both, traced, other)], [True, None, None])
                totals = [one["totals"]["fd"]["total"] for one in (both, other, traced)]
                self.assertEqual(totals, [totals[0], totals[0], totals[0] - 1])

    def test_rules_about_both(self):
        for program in self.each_program():
            for rules, status in (("fd>0", 23), ("heap.bytes>=7000", 23), ("site.heap>=7", 23), ("fd>100,heap.bytes>1G,child>0,thread>0", 0)):
                with self.subTest(program=program, rules=rules):
                    result = self.run_alike(program, options=["--fail-on", rules])
                    self.assertEqual(result.status, status, result)
                    self.assertEqual([rule for rule in result.report["rules"] if "unchecked" in rule], [], result)

    def test_a_thread_that_nobody_joined(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result = self.run_alike(program, "thread", options=["--fail-on", "thread>1"])
                self.assertEqual(result.status, 0, result)
                thread = self.site_of(result.report, "thread", "c-thread")
                self.assertEqual((thread["total"], thread["live"] + thread.get("running", 0), thread["acquired_by"]), (2, 1, "pthread_create"))

    def test_what_it_starts_is_counted_by_both_where_a_rule_asks(self):
        leaks = harness.program("heap_malloc")
        for program in self.each_program():
            with self.subTest(program=program):
                result = self.run_alike(program, "program", "/bin/true", options=["--fail-on", "fd>100,heap.bytes>1G,thread>0", "--all-reports"])
                self.assertEqual(result.status, 0, result)
                self.assertIn(os.path.realpath("/bin/true"), [one["process"]["exe"] for one in result.reports.values()])
                self.assertEqual({(one["backend"], one["coverage"]["heap"]) for one in result.reports.values()}, {("trace", "exact")})
                result = self.run_alike(program, "program", leaks, options=["--fail-on", "fd>100", "--all-reports"])
                (other,) = [one for one in result.reports.values() if one["process"]["exe"] == leaks]
                self.assertEqual((other["backend"], other["coverage"]["heap"]), ("trace", "unavailable"), result)

    def test_programs_that_the_library_would_harm_run_as_ever(self):
        with harness.Scratch() as scratch:
            musl = scratch.path("musl")
            subprocess.run(["musl-gcc", "-x", "c", "-o", musl, "-"], input=b'#include <stdio.h>\nint main(void) { puts("musl"); }', check=True)
            result = self.run_alike(next(self.each_program()), "program", musl, options=["--fail-on", "fd>100"])
            self.assertEqual(result.status, 0, result)
            result = harness.run([next(self.each_program()), "become", musl], options=["--fail-on", "fd>100"])
            self.assertEqual((result.status, result.stdout), (0, "musl\n"), result)

    def test_a_fork_child_has_its_own(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result = self.run_alike(program, "fork", options=["--all-reports"])
                (child,) = [one for one in result.reports.values() if one["process"]["forked"]]
                self.assertEqual({kind: child["coverage"][kind] for kind in EXACT}, EXACT)
                line = harness.line_of(SOURCE, "child-block")
                blocks = [site for site in child["sites"] if site["kind"] == "heap" and lines_of(site["stack"])[0] == line]
                self.assertEqual((sum(one["live"] for one in blocks), sum(one["bytes"] for one in blocks)), (3, 1500), blocks)
                self.assertEqual(result.report["totals"]["child"]["total"], 1)
                self.check_both_sides(result.report, held_by(result))

    def test_a_fork_child_that_is_reported_for_its_descriptors_is_searched_for_lost_blocks(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result = self.run_alike(program, "fork")
                (child,) = [one for one in result.reports.values() if one["process"]["forked"]]
                self.assertEqual((child["totals"]["fd"]["live"], child["grading"].get("reason")), (1, None), result)

    def test_nothing_passes_where_the_librarys_records_are_lost(self):
        for program in self.each_program():
            for how in "deleted", "cut":
                with self.subTest(program=program, how=how):
                    result = self.run_alike(program, "fork", how, options=["--fail-on", "heap.bytes>1G,timer>0"])
                    self.assertEqual(result.status, 125, result)
                    (child,) = [one for one in result.reports.values() if one["process"]["forked"]]
                    self.assertEqual([child["coverage"][kind] for kind in ("heap", "timer", "fd")], ["unavailable", "unavailable", "exact"])
                    self.assertIn("what the library has recorded in it is missing: its ledger", " ".join(child["notes"]))
                    self.assertNotIn("preloaded", child)

    def test_the_last_of_many_programs_in_one_process_has_both(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result = self.run_alike(program, "again", "6", options=["--fail-on", "heap.bytes>1G"])
                self.assertEqual((result.status, len(result.reports)), (0, 1), result)
                self.check_both_sides(result.report, held_by(result))

    def test_thresholds_are_about_what_the_library_sees(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result = self.run_alike(program, "grow", options=["--report-at", "heap.bytes>=2M,fd>=2"])
                self.assertIn("--report-at makes reports about what the library sees, and none about descriptors and children", result.stderr)
                self.assertEqual(sorted(result.reports), ["report.json", "report.limit.json"])
                early = result.reports["report.limit.json"]
                self.assertEqual((early["trigger"], early["threshold"]["rule"]), ("threshold", "heap.bytes>=2M"))
                self.assertEqual((self.site_of(early, "heap", "grows")["live"], early["coverage"]["fd"]), (2, "unavailable"))
                self.check_both_sides(result.report, held_by(result))

    def test_a_snapshot_has_both(self):
        for program in self.each_program():
            with self.subTest(program=program), harness.Scratch() as scratch, harness.started([program, "wait"], scratch=scratch) as process:
                pid = int(process.stdout.readline())
                path = scratch.path("now.json")
                snapshot = harness.unfreed("snapshot", "--output", path, str(pid), env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                self.assertEqual(snapshot.status, 0, snapshot)
                process.stdin.close()
                held = numbers_in(process.stdout.readline().decode())
                self.assertEqual(process.wait(20), 0)
                self.check_both_sides(harness.read_report(path), held)

    def test_a_program_in_its_place_has_nothing_of_it(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result = harness.run([program, "become", "/bin/true"])
                self.assertEqual((result.status, result.report["process"]["exe"]), (0, os.path.realpath("/bin/true")), result)
                self.assertEqual(result.report["coverage"]["heap"], "unavailable")
                self.assertEqual([site for site in result.report["sites"] if site["kind"] == "heap"], [])


def held_by(result):
    return numbers_in(result.stdout.splitlines()[0])


def numbers_in(line):
    return [int(number) for number in line.strip("[]\n").split()]


if __name__ == "__main__":
    harness.main()
