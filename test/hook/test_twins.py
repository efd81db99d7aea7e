#!/usr/bin/python3
"""Every hooked function in a pair: what its leaking twin keeps is reported exactly, what its clean twin gives back is not."""
import collections
import os
import re
import unittest

import harness

TABLE = os.path.join(harness.SOURCE, "test", "hook", "twins_table.inc")
FOLDER = os.path.join(harness.BUILD, "test", "hook")
Pair = collections.namedtuple("Pair", "name hook kind acquired_by kept line")

# Allocator libraries whose hooked functions stand behind the hooks instead of libc's, where they are installed.
ALLOCATORS = ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0"]
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
JEMALLOC = {"mallocx", "rallocx", "xallocx", "dallocx", "sdallocx"}

LIBURING = os.path.join(LIBRARIES, "liburing.so.2")
LATER_LIBURING = os.path.join(FOLDER, "later_liburing.so")
# What is said of the things that some functions acquire.
TARGETS = {
    "shmget": r"^segment \d+$", "shmat": r"^attachment of segment \d+$", "timer_create": "^CLOCK_(MONOTONIC|REALTIME)$",
    "dlopen": r"^libm\.so\.6$", "dlmopen": r"^libm\.so\.6$", "mmap": "^r-- (private|shared) anonymous$", "mremap": "^remapped$"}

# Functions that the machine's libc may lack, and a library that has them.
LATER = ["openat2", "pidfd_spawn", "pidfd_spawnp", "free_sized", "free_aligned_sized"]
LATER_LIBC = os.path.join(FOLDER, "later_libc.so")
# Hooked functions that fail here though every system has them: under an emulator, say.
LACKING = set(os.environ.get("TEST_LACKS", "").split())
LACKING_KINDS = set(os.environ.get("TEST_LACKS_KINDS", "").split())


def pairs(program, libraries=()):
    status, stdout, stderr, _ = harness.execute([program, "--list"], env=harness.clean_environment(
        {"LD_PRELOAD": ":".join([harness.LIBRARY, *libraries]), "UNFREED_ONLY": "nothing"}))
    assert status == 0, stderr
    found = []
    for line in stdout.splitlines():
        name, hook, kind, acquired_by, kept, number = line.split("\t")
        found.append(Pair(name, hook, kind, acquired_by, int(kept), int(number)))
    assert len(found) > 200, "the table is not empty"
    return found


def required_hooks():
    with open(os.path.join(harness.SOURCE, "src", "hook", "hooks.inc")) as file:
        return set(re.findall(r"^HOOK\((\w+),.*\brequired\)", file.read(), re.M))


def unavailable(stdout):
    return dict(re.findall(r"^unavailable (\S+): (.*)$", stdout, re.M))


class Twins(unittest.TestCase):
    def run_twins(self, program, mode, names=(), libraries=()):
        """The report and what the machine does not offer; sites by the function that stands on the table's line."""
        with harness.Scratch() as scratch:
            # Shells and other programs that hooked functions start (popen) are no concern here.
            result = harness.preload([program, mode, *names], scratch=scratch, cwd=scratch.folder, env={
                "UNFREED_ONLY": "twins*", "UNFREED_TRACK": "all", "LD_PRELOAD": ":".join([harness.LIBRARY, *libraries])})
            self.assertEqual(result.status, 0, result)
            self.assertIsNotNone(result.report, result)
            self.assertTrue(result.report["complete"], result.report["notes"])
        missing = unavailable(result.stdout)
        required = required_hooks() - LACKING
        for pair in pairs(program):
            if pair.name in missing and pair.name == pair.hook:
                self.assertNotIn(pair.hook, required, f"a hook that every system has failed: {missing[pair.name]}")
        sites = collections.defaultdict(list)
        for site in result.report["sites"]:
            # What an allocator library holds for itself is not a twin's.
            if site["live"] > 0 and os.path.dirname(harness.top(site).get("module", "")) != LIBRARIES:
                sites[harness.base_function(harness.top(site).get("function"))].append(site)
        return result.report, sites, missing

    def check_leaks(self, program, names=(), libraries=()):
        report, sites, missing = self.run_twins(program, "leak", names, libraries)
        has_lines = os.path.exists(harness.COMMAND)
        kept = collections.Counter()
        for pair in pairs(program, libraries):
            if names and pair.name not in names or pair.name in missing:
                continue
            kept[pair.kind] += pair.kept
            with self.subTest(pair=pair.name, program=os.path.basename(program), libraries=libraries):
                found = sites.pop(f"leak_{pair.name}", [])
                self.assertEqual([(s["kind"], s["acquired_by"], s["live"], s["truncated"]) for s in found],
                                 [(pair.kind, pair.acquired_by, pair.kept, False)])
                for thing in found[0]["objects"] if pair.acquired_by in TARGETS else []:
                    self.assertRegex(thing["target"], TARGETS[pair.acquired_by])
                if has_lines:
                    self.assertEqual((harness.top(found[0])["file"], harness.top(found[0])["line"]),
                                     (TABLE, pair.line))
        self.assertEqual({name: [harness.describe(s) for s in found] for name, found in sites.items()}, {})
        self.check_totals(report, kept, libraries)

    def check_clean(self, program, names=(), libraries=()):
        report, sites, _ = self.run_twins(program, "clean", names, libraries)
        self.assertEqual({name: [harness.describe(s) for s in found] for name, found in sites.items()}, {})
        ran = sum(report["totals"][kind]["total"] for kind in ("heap", "fd"))
        self.assertGreater(ran, len(names) // 2, "the twins did run")
        self.check_totals(report, collections.Counter(), libraries)

    def check_totals(self, report, kept, libraries):
        for kind in report["totals"].keys() - ({"heap"} if libraries else set()) - {"misuse", "inherited_by_child"}:
            self.assertEqual(report["totals"][kind]["live"], kept[kind], kind)
        self.assertEqual(report["totals"]["fd"]["unattributed"], 0)
        self.assertEqual(report["totals"]["fd"]["closed_unseen"], 0)
        self.assertEqual(report["totals"]["heap"]["foreign_released"], 0)

    def check_both(self, name, names=(), libraries=()):
        program = os.path.join(FOLDER, name)
        self.check_leaks(program, names, libraries)
        self.check_clean(program, names, libraries)

    def test_plain(self):
        names = [pair.name for pair in pairs(os.path.join(FOLDER, "twins")) if pair.kind not in LACKING_KINDS]
        self.check_both("twins", names if LACKING_KINDS else ())

    def test_fortified(self):
        self.check_both("twins_fortified")

    def test_large_files(self):
        self.check_both("twins_large_files")

    def test_variants_call_what_they_are_for(self):
        for name, hooks in (("twins_fortified", {"__open_2", "__open64_2", "__openat_2"}),
                            ("twins_large_files", {"open64", "openat64", "fopen64", "mkstemp64", "fcntl64", "fts64_open"})):
            status, stdout, *_ = harness.execute(["nm", "-D", "--undefined-only", os.path.join(FOLDER, name)])
            self.assertEqual(status, 0)
            self.assertLessEqual(hooks, {line.split()[-1].split("@")[0] for line in stdout.splitlines()})
            by = {pair.acquired_by for pair in pairs(os.path.join(FOLDER, name)) if pair.hook == "open"}
            self.assertEqual(by, {"open64" if name == "twins_large_files" else "open"})

    def test_functions_of_a_later_libc(self):
        program = os.path.join(FOLDER, "twins")
        _, _, missing = self.run_twins(program, "clean", LATER, [LATER_LIBC])
        self.assertEqual(missing, {})
        self.check_both("twins", LATER, [LATER_LIBC])

    @unittest.skipUnless(os.path.exists(LIBURING), "liburing2 is not installed")
    def test_functions_of_liburing(self):
        with open(os.path.join(harness.SOURCE, "src", "hook", "hooks.inc")) as file:
            names = re.findall(r"^HOOK\((\w+),.*\bfd_ring\b", file.read(), re.M)
        self.assertGreater(len(names), 8)
        self.check_both("twins", names, [LATER_LIBURING, LIBURING])

    def test_an_indirect_function(self):
        self.check_both("twins", ["eventfd", "close", "malloc", "calloc"], [os.path.join(FOLDER, "indirect.so")])

    def test_functions_that_no_library_has_are_unavailable(self):
        _, _, missing = self.run_twins(os.path.join(FOLDER, "twins"), "clean")
        self.assertLessEqual(JEMALLOC, missing.keys())
        _, _, missing = self.run_twins(os.path.join(FOLDER, "twins"), "clean", sorted(JEMALLOC),
                                       [os.path.join(LIBRARIES, "libjemalloc.so.2")])
        self.assertEqual(missing, {})

    def test_heap_on_other_allocators(self):
        program = os.path.join(FOLDER, "twins")
        heap = [pair.name for pair in pairs(program) if pair.kind == "heap"]
        # Where the library has no pvalloc of its own, libc's block ends in the library's free: a crash, with or without us.
        heap.remove("pvalloc")
        present = [os.path.join(LIBRARIES, name) for name in ALLOCATORS
                   if os.path.exists(os.path.join(LIBRARIES, name))]
        self.assertTrue(present, "redis brings jemalloc: one allocator at least is there")
        for library in present:
            with self.subTest(library=library):
                self.check_both("twins", heap, [library])

    def test_a_block_is_counted_once_on_every_allocator(self):
        program = os.path.join(FOLDER, "twins")
        aligned = [pair.name for pair in pairs(program) if pair.hook.startswith("_Zn") and "align_val" in pair.hook]
        self.assertGreaterEqual(len(aligned), 4)

        def acquired(names, libraries):
            report, *_ = self.run_twins(program, "leak", names, libraries)
            return report["totals"]["heap"]["total"]
        for library in (os.path.join(LIBRARIES, name) for name in ALLOCATORS):
            if os.path.exists(library):
                with self.subTest(library=library):
                    # Against one plain block, since a library has blocks of its own.
                    more = acquired(aligned, [library]) - acquired(["malloc"], [library])
                    self.assertEqual(more, len(aligned) - 1)

    def test_what_is_closed_is_closed_by_its_hook(self):
        """One by one: in the run of all, the next descriptor of the same number would take the place of what was forgotten."""
        for name in ("close", "dup2_onto_open", "dup3_onto_open", "fclose", "freopen", "freopen64", "freopen_to_nothing", "closedir",
                     "pclose", "close_range", "closefrom", "fcloseall"):
            with self.subTest(pair=name):
                report, *_ = self.run_twins(os.path.join(FOLDER, "twins"), "clean", [name])
                fds = report["totals"]["fd"]
                self.assertEqual((fds["live"], fds["closed_unseen"]), (0, 0))
                self.assertEqual(fds["peak"], 1)

    def test_the_tester(self):
        # What is planted must be found by the very checks that say "clean".
        report, sites, _ = self.run_twins(os.path.join(FOLDER, "twins"), "leak", ["close"])
        self.assertEqual((report["totals"]["fd"]["live"], list(sites)), (1, ["leak_close"]))


if __name__ == "__main__":
    harness.main()
