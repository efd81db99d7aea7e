#!/usr/bin/python3
"""A report is evaluated once: what `check` says of a report is what the run said, and a report that is read and written
again is the same."""
import json
import os
import unittest

import harness

RULES = ("fd>0", "fd.total>=3", "fd.inherited>2", "site.fd>=2", "site.fd.peak>=1", "heap.bytes>100",
         "site.heap.total_bytes>1000", "thread>0", "site.thread.running>0", "misuse>0")

#: Programs of the tests with an argument each, and suppressions that cover what some of them hold.
PROGRAMS = (("fd_open", "leak"), ("fd_open", "clean"), ("fd_dup", "leak"), ("fd_pipe", "leak"), ("fd_opendir", "leak"),
            ("heap_malloc", "leak"), ("heap_realloc", "leak"), ("thread_unjoined", "leak"), ("thread_running", "leak"),
            ("misuse", "twice"), ("many_sites", "30", "2"))
SUPPRESSIONS = ("", "*:take*\nfd:main\n")
REAL = (["sh", "-c", "ls / | sort | head -3"], ["bash", "-c", "for i in 1 2 3; do $(true); done"],
        ["/usr/bin/python3", "-c", "import json, threading; f = open('/etc/passwd')"], ["git", "--version"], ["sqlite3", ":memory:", "select 1;"])


class OneEvaluation(unittest.TestCase):
    def check(self, rule, path):
        return harness.unfreed("check", "--quiet", "--fail-on", rule, path).status

    def test_check_gives_the_runs_answers(self):
        pairs = 0
        for program in PROGRAMS:
            for suppressions in SUPPRESSIONS:
                with harness.Scratch() as scratch:
                    arguments = ["--fail-on", ",".join(RULES)]
                    if suppressions:
                        with open(scratch.path("known.supp"), "w") as file:
                            file.write(suppressions)
                        arguments += ["--suppressions", scratch.path("known.supp")]
                    result = harness.run([harness.program(program[0]), *program[1:]], options=arguments, scratch=scratch)
                    path = scratch.path("report.json")
                    outcomes = {one["rule"]: one for one in result.report["rules"]}
                    self.assertEqual(list(outcomes), list(RULES))
                    for rule, one in outcomes.items():
                        expected = 125 if "value" not in one else 23 if one["broken"] else 0
                        self.assertEqual(self.check(rule, path), expected, f"{program} {suppressions!r} {one}")
                        pairs += 1
        self.assertGreaterEqual(pairs, 200)

    def test_what_has_been_released_is_still_counted_by_site(self):
        with harness.Scratch() as scratch:
            result = harness.run(["/usr/bin/python3", "-c", "for i in range(100): open('/etc/passwd').close()"],
                                 options=["--fail-on", "site.fd.total>=50"], scratch=scratch)
            self.assertEqual(result.status, 23, result)
            path = scratch.path("report.json")
            self.assertEqual((self.check("site.fd.total>=50", path), self.check("site.fd.total>=500", path)), (23, 0))

    def test_reading_and_writing_changes_nothing(self):
        commands = [[harness.program(name), *arguments] for name, *arguments in PROGRAMS] + [list(one) for one in REAL]
        count = 0
        for way in (harness.run, harness.preload):
            for command in commands:
                with harness.Scratch() as scratch:
                    result = way(command, scratch=scratch)
                    for name in result.reports:
                        listed = harness.unfreed("report", "--format", "json", scratch.path(name))
                        self.assertEqual(listed.status, 0, listed)
                        with open(scratch.path("listed.json"), "w") as file:
                            file.write(listed.stdout)
                        again = harness.unfreed("report", "--format", "json", scratch.path("listed.json"))
                        self.assertEqual(again.stdout, listed.stdout, command)
                        self.assert_same(harness.list_stacks(json.loads(listed.stdout)), result.reports[name])
                        count += 1
        self.assertGreaterEqual(count, 30)

    def assert_same(self, listed, report):
        """All but what the command adds to a report: names, lines and notes on files."""
        for member in set(report) - {"sites", "threads", "misuse", "failures", "inherited_by_child", "notes", "modules"}:
            self.assertEqual(listed[member], report[member], member)
        for one, other in zip(listed["sites"], report["sites"], strict=True):
            for member in set(other) - {"stack", "signature", "objects"}:
                self.assertEqual(one[member], other[member], member)
            modules = [(frame["module"], frame["offset"]) for frame in one["stack"] if not frame["inlined"]]
            self.assertEqual(modules, [(f["module"], f["offset"]) for f in other["stack"] if not f["inlined"]])


if __name__ == "__main__":
    harness.main()
