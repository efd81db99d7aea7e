#!/usr/bin/python3
"""Programs whose malloc is not libc's run as they would without us, from their first instruction on."""
import os
import subprocess
import unittest

import harness

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
ALLOCATORS = ["libjemalloc.so.2", "libmimalloc.so.2.0", "libtcmalloc.so.4", "libtcmalloc_minimal.so.4"]
SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "own_malloc.c")
# Modes in which most is passed through.
QUIET_MODES = [{"UNFREED_DISABLE": "1"}, {"UNFREED_ONLY": "nothing"}, {"UNFREED_TRACK": "fd"}]
KEPT = {("fd", "kept"): 2, ("thread", "thread"): 1, ("child", "child"): 1}


class Allocators(unittest.TestCase):
    def check_same(self, result, alone):
        self.assertEqual((result.status, result.stdout, result.stderr), (alone.status, alone.stdout, alone.stderr))

    def check_report(self, report, heap_seen, program):
        kinds = {kind for kind, _ in KEPT}
        found = {}
        for site in harness.own_sites(report, program):
            frame = harness.top(site)
            if site["kind"] in kinds and frame["file"] == SOURCE:
                found[site["kind"], frame["line"]] = found.get((site["kind"], frame["line"]), 0) + site["live"]
        self.assertEqual(found, {(kind, harness.line_of(SOURCE, marker)): n for (kind, marker), n in KEPT.items()})
        for kind in kinds:
            self.assertEqual(report["coverage"][kind], "exact")
        if not heap_seen:
            self.assertEqual(report["coverage"]["heap"], "unavailable")
            return
        self.assertEqual(report["coverage"]["heap"], "exact")
        line = harness.line_of(SOURCE, "block")
        blocks = [s for s in harness.own_sites(report, program, "heap") if harness.top(s).get("line") == line]
        self.assertEqual([(s["live"], s["bytes"]) for s in blocks], [(50, 5000)])

    def check(self, program, *, before=(), after=(), heap_seen):
        """`before`, `after`: other libraries that are preloaded, before and after unfreed."""
        others = [*before, *after]
        alone = harness.bare([program], env={"LD_PRELOAD": ":".join(others)} if others else None)
        self.assertEqual((alone.status, alone.stderr), (6, ""))
        preloads = ":".join([*before, harness.LIBRARY, *after])
        for mode in QUIET_MODES:
            self.check_same(harness.preload([program], env={"LD_PRELOAD": preloads, "UNFREED_QUIET": "1", **mode}), alone)
        result = harness.preload([program], env={"LD_PRELOAD": preloads, "UNFREED_QUIET": "1"})
        self.check_same(result, alone)
        self.check_report(result.report, heap_seen, program)
        return result.report

    def check_run(self, program, *, others=(), heap_seen):
        """The command puts the library first."""
        env = {"LD_PRELOAD": ":".join(others)} if others else {}
        alone = harness.bare([program], env=env)
        result = harness.run([program], options=["--quiet"], env=env)
        self.check_same(result, alone)
        self.check_report(result.report, heap_seen, program)
        self.check_same(harness.run([program], options=["--quiet", "--track", "fd"], env=env), alone)

    def test_libc(self):
        self.check(harness.program("plain_malloc"), heap_seen=True)

    def test_library_before_that_wraps_the_start_of_programs(self):
        wraps_start = os.path.join(harness.PROGRAMS, "wraps_start.so")
        self.check(harness.program("plain_malloc"), before=[wraps_start], heap_seen=True)
        self.check(harness.program("plain_malloc"), after=[wraps_start], heap_seen=True)

    def test_libc_before(self):
        preloads = {"LD_PRELOAD": f"libc.so.6:{harness.LIBRARY}"}
        result = harness.preload(["true"], env={**preloads, "UNFREED_FAIL_ON": "fd>0"})
        self.assertEqual(result.status, 125, result)
        self.assertIn("nothing is tracked: libc comes before the library", result.stderr)
        result = harness.preload([harness.program("plain_malloc")], env=preloads)
        self.assertEqual((result.status, result.stdout), (6, harness.bare([harness.program("plain_malloc")]).stdout), result)

    def test_library_whose_malloc_calls_glibcs_own_names(self):
        report = self.check(harness.program("plain_malloc"), after=[os.path.join(harness.PROGRAMS, "header_malloc.so")],
                            heap_seen=True)
        self.assertEqual(report["grading"]["state"], "done")
        counted = [site for site in report["sites"] if site["kind"] == "heap"]
        self.assertEqual([site for site in counted if site["acquired_by"].startswith("__libc") or "lost" in site], [])

    def test_own_malloc(self):
        # How often its malloc was called is in the output: nobody calls it on unfreed's account.
        program = harness.program("own_malloc")
        report = self.check(program, heap_seen=False)
        self.check_run(program, heap_seen=False)
        self.assertIn("the program has a malloc of its own", "\n".join(report["notes"]))
        self.assertEqual(report["totals"]["fd"]["live"], 2)

    def test_own_malloc_called_by_the_loader(self):
        program = harness.program("own_malloc_early")
        self.check_run(program, heap_seen=False)
        report = self.check(program, heap_seen=False)
        self.assertEqual(report["totals"]["fd"]["attributed"], 2)
        self.assertEqual(report["totals"]["fd"]["unattributed"], 1, "opened by the program, before anything was tracked")

    def test_own_malloc_under_rules(self):
        result = harness.run([harness.program("own_malloc_early")], options=["--fail-on", "heap.bytes>1M"])
        self.assertEqual(result.status, 6, "the program's own comes first")
        self.assertIn("could not be checked", result.stderr)

    def test_programs_with_an_allocator_before(self):
        for command in (["ls", "/usr"], ["git", "--version"], ["c++filt", "_ZN1a1bEv"], ["bash", "-c", "x=$(echo a; exit 3); echo $x $?"],
                        ["/usr/bin/python3", "-c", "import json; print(json.dumps({'a': [1, 2]}))"]):
            for name in ALLOCATORS:
                library = os.path.join(LIBRARIES, name)
                alone = harness.bare(command, env={"LD_PRELOAD": library})
                for mode in ({}, *QUIET_MODES):
                    with self.subTest(command=command[0], library=name, mode=mode):
                        env = {"LD_PRELOAD": f"{library}:{harness.LIBRARY}", "UNFREED_QUIET": "1", **mode}
                        self.check_same(harness.preload(command, env=env), alone)

    def test_allocators_before_and_after(self):
        program = harness.program("plain_malloc")
        for name in ALLOCATORS:
            library = os.path.join(LIBRARIES, name)
            with self.subTest(library=name):
                report = self.check(program, before=[library], heap_seen=False)
                self.assertIn(f"malloc is that of {name}", "\n".join(report["notes"]))
                self.check(program, after=[library], heap_seen=True)
                self.check_run(program, others=[library], heap_seen=True)

    def test_allocator_linked_in(self):
        with harness.Scratch() as scratch:
            program = scratch.path("with_jemalloc")
            subprocess.run(["gcc", "-g", "-DPLAIN", "-o", program, SOURCE, "-Wl,--whole-archive", "-l:libjemalloc.a",
                            "-Wl,--no-whole-archive", "-lstdc++", "-lm"], check=True)
            self.check(program, heap_seen=False)
            self.check_run(program, heap_seen=False)

    def test_operator_new_that_comes_late(self):
        module = os.path.join(harness.PROGRAMS, "late_new_module.so")
        source = os.path.join(harness.SOURCE, "test", "e2e", "programs", "late_new_module.cpp")
        result = harness.run([harness.program("late_new"), module])
        self.assertEqual((result.status, result.stdout), (0, ""))
        found = {harness.top(s)["line"]: (s["acquired_by"], s["live"]) for s in harness.own_sites(result.report, module)}
        expected = {}
        for form in ("one", "quiet", "aligned", "aligned_quiet"):
            expected[harness.line_of(source, f"new_{form}")] = ("operator new", 1)
        for form in ("array", "array_quiet", "array_aligned", "array_aligned_quiet"):
            expected[harness.line_of(source, f"new_{form}")] = ("operator new[]", 1)
        self.assertEqual(found, expected)


class OwnFunctions(unittest.TestCase):
    def test_functions_that_replace_libcs_are_the_programs_alone(self):
        program = harness.program("own_functions")
        alone = harness.bare([program])
        self.assertEqual((alone.status, alone.stdout), (0, "0 calls\n"))
        for result in (harness.run([program]), harness.preload([program])):
            self.assertEqual((result.status, result.stdout), (0, "0 calls\n"))
            self.assertEqual([s["live"] for s in harness.own_sites(result.report, program, "fd")], [3])
            self.assertEqual(result.report["totals"]["thread"]["total"], 1)


if __name__ == "__main__":
    harness.main()
