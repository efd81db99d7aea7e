#!/usr/bin/python3
"""Run by test_systems.py in a folder that is the root of another system, where unfreed's package is installed.

EXPECTED, in the environment: JSON of what that system is, and of what the programs hold on the system that the tests run on.
"""
import json
import os
import subprocess
import tempfile
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = json.loads(os.environ["EXPECTED"])
LEAKS = os.path.join(HERE, "leaks.cpp")
# Before it, glibc has its threads in a library of their own.
HAS_LATE_THREADS = tuple(map(int, EXPECTED["glibc"].split("."))) < (2, 34)

# What each leaves behind, whatever its version: descriptors by number, children, opened libraries.
PROGRAMS = {
    "bash": ["bash", "-c", "exec 7</etc/hostname; for i in 1 2 3; do echo \"$i $(cat /etc/passwd | wc -l)\" | head -c 1; done; exit 3"],
    "dash": ["sh", "-c", "echo out; ls / >/dev/null & wait; exit 4"],
    "perl": ["perl", "-e", "use POSIX (); POSIX::open('/dev/null') for 1 .. 4; print join(',', map { $_ * 2 } 1 .. 9), \"\\n\"; exit 5"],
    "python": ["python3", "-c", "import os, subprocess, threading\n"
               "for i in range(6): os.open('/dev/null', os.O_RDONLY)\n"
               "t = threading.Thread(target=lambda: os.open('/dev/zero', os.O_RDONLY)); t.start(); t.join()\n"
               "print(subprocess.run(['echo', 'child'], capture_output=True, text=True, check=True).stdout)"],
    "sqlite": ["sqlite3", ":memory:", "create table t(a); insert into t values (1), (2), (39); select sum(a) from t;"],
}


def held(report):
    """What does not depend on the versions of programs and libraries."""
    totals = report["totals"]
    return {"fd": totals["fd"]["live"], "unattributed": totals["fd"]["unattributed"], "child": totals["child"]["live"],
            "children": totals["child"]["total"], "thread": totals["thread"]["live"], "threads": totals["thread"]["total"],
            "misuse": totals["misuse"]["live"]}


def observe(run, name):
    result = run(PROGRAMS[name])
    return {"status": result.status, "held": held(result.report)}


def each_way(test):
    """A test of the launcher, and of the bare preload."""
    def both(self):
        for way in (harness.run, harness.preload):
            with self.subTest(way=way.__name__):
                test(self, way)
    return both


class System(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        for compiler, arguments in (("g++", [LEAKS, "-o", "leaks", "-pthread"]),
                                    ("gcc", [os.path.join(HERE, "late.c"), "-D_GNU_SOURCE", "-o", "late", "-ldl"]),
                                    ("gcc", [os.path.join(HERE, "plugin.c"), "-shared", "-fPIC", "-o", "plugin.so", "-lpthread"])):
            subprocess.run([compiler, "-g", "-O0", "-fno-builtin", *arguments], cwd=cls.folder, check=True)

    def program(self, name):
        return os.path.join(self.folder, name)

    def test_is_the_system_that_it_should_be(self):
        self.assertEqual(os.confstr("CS_GNU_LIBC_VERSION"), f"glibc {EXPECTED['glibc']}")
        version = harness.unfreed("--version")
        self.assertEqual((version.status, version.stdout), (0, EXPECTED["version"]), version)

    @each_way
    def test_counts_are_exact_and_have_lines(self, way):
        result = way([self.program("leaks")])
        self.assertEqual(result.status, 0, result)
        report = result.report
        self.assertTrue(report["complete"], report["notes"])
        found = {}
        for site in harness.live_sites(report):
            line = next((frame["line"] for frame in site["stack"] if frame.get("file") == LEAKS), None)
            found[line] = found.get(line, 0) + site["live"]
        lines = {name: harness.line_of(LEAKS, name) for name in ("early", "open", "stream", "blocks", "vector", "thread")}
        self.assertEqual(found, {lines["early"]: 1, lines["open"]: 3, lines["stream"]: 1, lines["blocks"]: 5, lines["vector"]: 2,
                                 lines["thread"]: 1})
        self.assertEqual(held(report), {"fd": 5, "unattributed": 0, "child": 0, "children": 0, "thread": 1, "threads": 2, "misuse": 0})
        self.assertEqual(report["totals"]["heap"].get("lost", 0), 0)

    @each_way
    def test_threads_that_come_with_a_plugin(self, way):
        command = [self.program("late"), self.program("plugin.so")]
        alone = harness.bare(command)
        word = "not found" if HAS_LATE_THREADS else "found"
        self.assertEqual((alone.status, alone.stdout), (0, f"reference {word}, dlsym {word}\n"), alone)
        result = way(command)
        self.assertEqual((result.status, result.stdout), (0, alone.stdout), result)
        report = result.report
        self.assertEqual([(harness.functions(site)[0], site["live"], site["bytes"]) for site in harness.live_sites(report, "heap")],
                         [("work", 2, 200)])
        if HAS_LATE_THREADS:
            self.assertEqual(report["coverage"]["thread"], "partial")
            self.assertRegex(" ".join(report["notes"]), "libpthread was loaded after the start")
            self.assertFalse(report["complete"])
        else:
            self.assertEqual((report["coverage"]["thread"], report["totals"]["thread"]["total"]), ("exact", 2))
        # A rule about them does not pass on what was not seen.
        self.assertEqual(harness.run(command, options=["--fail-on", "thread>0"]).status, 125 if HAS_LATE_THREADS else 0)

    @each_way
    def test_programs_hold_what_they_hold_elsewhere(self, way):
        for name, command in PROGRAMS.items():
            with self.subTest(program=name):
                alone = harness.bare(command)
                result = way(command)
                self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)
                self.assertEqual({"status": result.status, "held": held(result.report)}, EXPECTED["programs"][name])

    def test_rules(self):
        for way, status in (("run", 23), ("report", 23)):
            with self.subTest(way=way), harness.Scratch() as scratch:
                result = harness.run([self.program("leaks")], options=["--fail-on", "fd>4"], scratch=scratch)
                if way == "report":
                    result = harness.unfreed("check", scratch.path("report.json"), "--fail-on", "fd>4")
                self.assertEqual(result.status, status, result)
                self.assertIn("FAIL fd>4: 5", result.stdout + result.stderr)


if __name__ == "__main__":
    harness.main()
