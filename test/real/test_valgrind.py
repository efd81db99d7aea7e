#!/usr/bin/python3
"""Another witness: what Valgrind says a program has in use at its end, and what the report says, to the block and byte."""
import re
import shutil
import unittest

import harness

PYTHON = "import json, re, subprocess; print(len(json.dumps([json.loads(json.dumps({str(i): [i] * i})) for i in range(99)])))"
SQL = "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2); SELECT count(*), group_concat(a) FROM t;"
# At their end nothing depends on the environment, which is not the same under the two; and they start no threads, whose
# memory unfreed counts as theirs.
DEBIAN = [["ls", "-la", "/etc"], ["sort", "/etc/passwd"], ["grep", "-E", "r(oo|aa)t", "/etc/passwd"],
          ["sed", "-n", "s/a/b/p", "/etc/passwd"], ["find", "/etc/apt", "-name", "*.list"], ["tar", "cf", "/dev/null", "/etc/apt"],
          ["sqlite3", ":memory:", SQL], ["/usr/bin/python3", "-c", PYTHON]]
BINARY = harness.program("fd_open")
MORE = [["git", "--version"], ["awk", "{print}", "/etc/passwd"], ["bash", "-c", "echo"],
        ["dash", "-c", "echo"], ["gzip", "-c", "/etc/passwd"], ["diff", "/etc/passwd", "/etc/passwd"], ["as", "--version"],
        ["ld", "--version"], ["objdump", "-h", BINARY], ["readelf", "-a", BINARY], ["make", "--version"],
        ["xz", "--version"], ["strace", "-V"]]
PLANTED = ["heap_aligned", "heap_calloc", "heap_malloc", "heap_new", "heap_realloc", "new_address", "own_new"]
VARIABLES = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}


def valgrind(args, *options):
    """What Valgrind says of a program, at whose end nothing is given back that the program itself would not."""
    result = harness.bare(["valgrind", "--run-libc-freeres=no", "--run-cxx-freeres=no", *options, *args], env=VARIABLES)
    assert result.status == 0, result
    return result.stderr


class Valgrind(unittest.TestCase):
    def setUp(self):
        self.assertTrue(shutil.which("valgrind"), "valgrind is not installed")

    def check_heap(self, args):
        said = re.search(r"in use at exit: ([\d,]+) bytes in ([\d,]+) blocks", valgrind(args, "--leak-check=no"))
        self.assertTrue(said, args)
        size, blocks = (int(number.replace(",", "")) for number in said.groups())
        result = harness.run(args, env=VARIABLES)
        self.assertEqual(result.status, 0, result)
        heap = result.report["totals"]["heap"]
        self.assertEqual((heap["live"] + heap["libc"], heap["bytes"] + heap["libc_bytes"]), (blocks, size), args)

    def test_a_program_under_valgrind_fails_no_check_because_of_us(self):
        command = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=9", harness.program("fd_open"), "leak"]
        for run in (harness.run, harness.preload):
            result = run(command)
            self.assertEqual(result.status, 0, result)
            self.assertNotIn("uninitialised", result.stderr)

    def test_heap_of_real_programs(self):
        for args in DEBIAN:
            with self.subTest(program=args[0]):
                self.check_heap(args)

    def check_grades(self, args):
        said = valgrind(args, "--leak-check=full")
        grades = {}
        for words, counter in (("definitely lost", "lost"), ("indirectly lost", "indirectly_lost"),
                               ("possibly lost", "possibly_lost")):
            found = re.search(words + r": ([\d,]+) bytes in ([\d,]+) blocks", said)
            self.assertTrue(found or "All heap blocks were freed" in said, said)
            size, blocks = found.groups() if found else ("0", "0")
            grades[counter] = (int(blocks.replace(",", "")), int(size.replace(",", "")))
        report = harness.run(args, env=VARIABLES).report
        self.assertEqual(report["grading"]["state"], "done", report["grading"])
        heap = report["totals"]["heap"]
        self.assertEqual({name: (heap.get(name, 0), heap.get(name + "_bytes", 0)) for name in grades}, grades, args)
        return grades

    def test_grades_of_real_programs(self):
        # Not Python's, git log's and nm's: what unfreed takes for pointers to the start (past a header, with tags in the lowest
        # bits) Valgrind calls possibly lost.
        for args in DEBIAN[:-1] + MORE:
            with self.subTest(program=args[0]):
                self.check_grades(args)

    def test_grades_of_chains_of_pointers(self):
        grades = self.check_grades([harness.program("chains")])
        self.assertTrue(all(blocks for blocks, _ in grades.values()), grades)

    def test_heap_of_planted_leaks(self):
        for name in PLANTED:
            with self.subTest(program=name):
                self.check_heap([harness.program(name), "leak"])

    def test_what_is_libcs(self):
        # Valgrind, too, asks libc for what it keeps.
        for function in ("both", "look_up", "fnmatch", "glob", "regcomp", "given"):
            with self.subTest(function=function):
                args = [harness.program("libc_keeps"), function]
                said = harness.bare(["valgrind", "--leak-check=no", *args], env=VARIABLES).stderr
                size, blocks = re.search(r"in use at exit: ([\d,]+) bytes in ([\d,]+) blocks", said).groups()
                heap = harness.run(args, env=VARIABLES).report["totals"]["heap"]
                self.assertEqual((heap["live"], heap["bytes"]),
                                 (int(blocks.replace(",", "")), int(size.replace(",", ""))), args)

    def test_descriptors(self):
        for name in ("fd_accept", "fd_dup", "fd_fopen", "fd_open", "fd_opendir", "fd_pipe", "fd_socket"):
            with self.subTest(program=name):
                args = [harness.program(name), "leak"]
                said = valgrind(args, "--track-fds=yes")
                opened = len(re.findall(r"Open (?:file descriptor|AF_\w+ socket) \d+:", said)) - said.count("<inherited from parent>")
                self.assertGreater(opened, 0, said)
                self.assertEqual(harness.run(args).report["totals"]["fd"]["live"], opened, said)

    def test_under_valgrind_the_heap_is_valgrinds(self):
        result = harness.run(["valgrind", "-q", "--leak-check=no", harness.program("fd_open"), "leak"],
                             options=["--fail-on", "fd>100,heap>0"])
        self.assertEqual(result.status, 125, result)
        (report,) = [r for r in result.reports.values() if r["process"]["exe"].endswith("fd_open")]
        self.assertEqual((report["coverage"]["heap"], report["totals"]["fd"]["live"]), ("unavailable", 3), result)
        self.assertEqual(result.report["untracked"], [], "Valgrind's tool is not what is tracked")


if __name__ == "__main__":
    harness.main()
