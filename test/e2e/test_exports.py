#!/usr/bin/python3
"""What libunfreed.so needs and what it shows to the programs it is loaded into."""
import os
import re
import shutil
import subprocess
import sys
import unittest

import harness

STATIC_COMMAND = harness.COMMAND + "-static"
OLDEST_C_LIBRARY = (2, 28)
# The C library's own hooked functions, and operator new and delete: the only names that may stand before other libraries' ones.
C_LIBRARY = "/lib/x86_64-linux-gnu/libc.so.6"
OPERATORS = re.compile(r"_Zn[wa]m(St11align_val_t)?(RKSt9nothrow_t)?|_Zd[la]Pv(m)?(St11align_val_t)?(RKSt9nothrow_t)?")
# Allocators' own functions, for programs that bring such an allocator, and functions of C libraries later than this one.
# Where no library has them, a process does not find them here either (test/hook/test_probes.py).
OTHERS = {"mallocx", "rallocx", "xallocx", "sallocx", "dallocx", "sdallocx", "nallocx", "free_sized",
          "free_aligned_sized", "pidfd_spawn", "pidfd_spawnp", "openat2", "cfree", "closefrom", "close_range"}
# liburing's, likewise.
OTHERS |= {"__io_uring_get_cqe", "io_uring_queue_exit", "io_uring_queue_init",
           "io_uring_queue_init_params", "io_uring_setup", "io_uring_submit", "io_uring_submit_and_get_events",
           "io_uring_submit_and_wait", "io_uring_submit_and_wait_timeout", "io_uring_queue_init_mem",
           "io_uring_submit_and_wait_min_timeout", "io_uring_submit_and_wait_reg"}


def dynamic_symbols(path, *, defined):
    text = subprocess.run(["nm", "-D", "--defined-only" if defined else "--undefined-only", path], check=True,
                          capture_output=True, text=True).stdout
    return [line.split()[-1] for line in text.splitlines()]


def needed_versions(path):
    """The versions of the C library that a file needs, as numbers, each with the names that it is needed for."""
    text = subprocess.run(["readelf", "-W", "--dyn-syms", path], check=True, capture_output=True, text=True).stdout
    needed = {}
    for name, version in re.findall(r" UND (\S+)@GLIBC_([0-9.]+)", text):
        needed.setdefault(tuple(map(int, version.split("."))), []).append(name)
    return needed


class Library(unittest.TestCase):
    def test_needs_the_c_library_alone(self):
        text = subprocess.run(["readelf", "-d", harness.LIBRARY], check=True, capture_output=True, text=True).stdout
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
        self.assertLessEqual(needed, {"libc.so.6", "ld-linux-x86-64.so.2"})
        self.assertIn("libc.so.6", needed)
        self.assertNotIn("TEXTREL", text)

    def test_needs_no_newer_c_library_than_2_28(self):
        needed = needed_versions(harness.LIBRARY)
        self.assertIn((2, 2, 5), needed)
        self.assertEqual([name for version, names in needed.items() if version > OLDEST_C_LIBRARY for name in names], [])

    def test_versions_are_read_from_the_table_of_symbols(self):
        # The check above is one that can fail: Python is built for the C library of this machine.
        self.assertTrue([version for version in needed_versions(sys.executable) if version > OLDEST_C_LIBRARY])

    def test_exports_hooks_and_the_public_api_and_nothing_else(self):
        exports = dynamic_symbols(harness.LIBRARY, defined=True)
        libc = {name.split("@")[0] for name in dynamic_symbols(C_LIBRARY, defined=True)}
        odd = [name for name in exports
               if name not in libc and not OPERATORS.fullmatch(name) and not name.startswith(("unfreed_runtime_", "__lsan_"))
               and name not in OTHERS]
        self.assertEqual(odd, [])
        for name in ("open", "openat64", "__open_2", "fopen64", "close", "malloc", "free", "_Znwm", "pthread_create",
                     "thrd_join", "unfreed_runtime_report", "unfreed_runtime_mark"):
            self.assertIn(name, exports)

    def test_exports_carry_no_version(self):
        # A versioned name would be passed over by programs that ask for another version of it.
        self.assertEqual([name for name in dynamic_symbols(harness.LIBRARY, defined=True) if "@" in name], [])

    def test_uses_nothing_of_the_cpp_library_or_of_private_names(self):
        text = subprocess.run(["readelf", "-W", "--dyn-syms", harness.LIBRARY], check=True, capture_output=True,
                              text=True).stdout
        undefined = [line.split()[7] for line in text.splitlines() if " UND " in line and len(line.split()) > 7]
        self.assertEqual([name for name in undefined if "GLIBC_PRIVATE" in name or "GLIBCXX" in name or "CXXABI" in name
                          or name.startswith("_Unwind")], [])

    def test_allocates_nothing_through_the_process(self):
        text = subprocess.run(["readelf", "-W", "--relocs", harness.LIBRARY], check=True, capture_output=True,
                              text=True).stdout
        names = {line.split()[4].split("@")[0] for line in text.splitlines() if len(line.split()) > 4}
        self.assertIn("memcpy", names)
        self.assertEqual(names & {"malloc", "calloc", "realloc", "free", "_Znwm", "_ZdlPv"}, set())

    def test_shadow_stacks_stay_on(self):
        text = subprocess.run(["readelf", "-n", harness.LIBRARY], check=True, capture_output=True, text=True).stdout
        self.assertIn("SHSTK", text)


class StaticCommand(unittest.TestCase):
    """The command for systems of any age and libc, built beside the other one."""

    def setUp(self):
        if not os.path.exists(STATIC_COMMAND):
            self.skipTest("the static command was not built: one of libdw, libelf, bz2, lzma and z is no archive here")

    def test_needs_no_library_and_no_loader(self):
        text = subprocess.run(["readelf", "-W", "-l", "-d", STATIC_COMMAND], check=True, capture_output=True, text=True).stdout
        self.assertNotRegex(text, "NEEDED|INTERP|RUNPATH|RPATH")
        self.assertIn("Elf file type is DYN", text)

    def test_has_what_the_other_one_loads(self):
        with harness.Scratch() as scratch:
            # It finds the library beside itself: as installed.
            os.makedirs(scratch.path("bin"))
            os.makedirs(scratch.path("lib", "unfreed"))
            command = shutil.copy(STATIC_COMMAND, scratch.path("bin", "unfreed"))
            shutil.copy(harness.LIBRARY, scratch.path("lib", "unfreed"))
            report = scratch.path("report.json")
            source = os.path.join(harness.SOURCE, "test", "e2e", "programs", "fd_open.c")
            result = harness.bare([command, "run", "--output", report, "--fail-on", "fd>0", "--", harness.program("fd_open"),
                                   "leak"], env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertEqual(result.status, 23, result)
            sites = harness.live_sites(harness.read_report(report), "fd")
            self.assertEqual(sum(site["live"] for site in sites), 3)
            self.assertEqual({os.path.realpath(harness.top(site)["file"]) for site in sites}, {os.path.realpath(source)})
            self.assertEqual(harness.bare([command, "report", "--format", "text", report]).status, 0)
            version = harness.bare([command, "--version"]).stdout
            self.assertIn("all libraries are linked in", version)
            self.assertEqual(version.splitlines()[0], harness.unfreed("--version").stdout.splitlines()[0])


if __name__ == "__main__":
    harness.main()
