#!/usr/bin/python3
"""Memory and address space are the program's first: it does what it does by itself where there is little of them."""
import os
import re
import subprocess
import unittest

import harness


def can_mount():
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


class NearlyFullSharedMemory(unittest.TestCase):
    """Whatever room is left for ledgers, 1 KiB or enough: the same output, and a report that says what it lacks."""

    FREE_KIB = (960, 300, 200, 160, 120, 100, 80, 48, 32, 16, 4, 0)

    def with_free_room(self, kib, command, folder):
        script = (f"mount -t tmpfs -o size=1m none {folder}/ledgers && "
                  f"head -c {(1024 - kib) * 1024} /dev/zero >{folder}/ledgers/filled; {command}; "
                  f"echo \"=== $?\"; rm {folder}/ledgers/filled; ls {folder}/ledgers")
        return harness.execute(["unshare", "--mount", "--propagation", "private", "/bin/bash", "-c", script],
                               env=harness.clean_environment({"UNFREED_LEDGER_DIR": f"{folder}/ledgers"}), cwd=folder)

    def check(self, program, expected, look=lambda reports: None):
        for kib in self.FREE_KIB:
            for how in ("run", "preload"):
                with self.subTest(kib=kib, how=how), harness.Scratch() as scratch:
                    os.mkdir(scratch.path("ledgers"))
                    start = {"run": f"{harness.COMMAND} run -q --output {scratch.path('report.json')} --",
                             "preload": f"UNFREED_QUIET=1 UNFREED_OUTPUT={scratch.path('%e.%p.json')} "
                                        f"LD_PRELOAD={harness.LIBRARY}"}[how]
                    _, stdout, stderr, _ = self.with_free_room(kib, f"{start} {program}", scratch.folder)
                    *output, status = stdout.split("=== ")
                    self.assertEqual("".join(output), expected, stderr)
                    # Under the launcher a report that cannot be made is a failure of its own.
                    self.assertIn(status.split()[0], ("0", "125") if how == "run" else ("0",), stderr)
                    self.assertEqual(status.split()[1:], [], "ledgers are left behind")
                    look(harness.read_reports(scratch.folder))

    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_command_substitution(self):
        self.check("""bash -c 'x=$(echo hi; (exit 3); echo $?); echo "[$x]"'""", "[hi\n3]\n")

    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_a_gate_is_no_silent_pass(self):
        """A forked child leaks three descriptors, wherever its ledger is: 23, or 125 where the launcher cannot see it."""
        program = f"bash -c '{harness.program('room')} leak forked; true'"
        got = {}
        for kib in self.FREE_KIB:
            with harness.Scratch() as scratch:
                os.mkdir(scratch.path("ledgers"))
                start = f"{harness.COMMAND} run -q --output {scratch.path('report.json')} --fail-on 'fd>0' --"
                _, stdout, stderr, _ = self.with_free_room(kib, f"{start} {program}", scratch.folder)
                got[kib] = int(stdout.split("=== ")[1].split()[0])
                self.assertIn(got[kib], (23, 125), (kib, stderr))
        self.assertEqual(got[960], 23)
        self.assertIn(125, got.values())

    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_forked_children(self):
        """What the one that leaks held is in its report, or a report says that it is not complete."""
        leaking = []

        def look(reports):
            leaking.append(any(report["totals"]["fd"]["live"] == 3 for report in reports.values()))
            self.assertTrue(leaking[-1] or any(not report["complete"] for report in reports.values()) or not reports)
        self.check(harness.program("tree"), "", look)
        self.assertGreater(sum(leaking), len(leaking) / 2)


class Growth(unittest.TestCase):
    def test_threads_that_have_gone_leave_nothing(self):
        """The ledger of a program that starts thread after thread stays as large as it is."""
        with harness.Scratch() as scratch, harness.started([harness.program("many_threads")], launcher=False,
                                                           scratch=scratch) as process:
            def blocks_after(count):
                process.stdin.write(f"{count}\n".encode())
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), b"done\n")
                (ledger,) = [os.path.join(folder, name) for folder, _, names in os.walk(scratch.ledgers) for name in names
                             if os.stat(os.path.join(folder, name)).st_size > 1 << 20]
                return os.stat(ledger).st_blocks
            first = blocks_after(100)
            self.assertGreater(first, 0)
            self.assertEqual(blocks_after(2000), first)


class AddressSpace(unittest.TestCase):
    """The runtime's memory lies where it is in nobody's way."""

    LAYOUTS = ([], ["setarch", "-R"], ["setarch", "-L"], ["bash", "-c", 'ulimit -s unlimited; exec "$@"', "bash"])

    def check(self, what):
        for layout in self.LAYOUTS:
            for where in ("here", "forked"):
                command = [*layout, harness.program("room"), what, where]
                bare = harness.bare(command)
                self.assertIn(" 0\n", bare.stdout)
                for tracked in (harness.run(command), harness.preload(command)):
                    self.assertEqual((tracked.status, tracked.stdout), (bare.status, bare.stdout), (command, tracked))

    def test_a_stack_grows_into_the_room_below_it(self):
        self.check("stack")

    def test_the_main_thread_uses_up_its_stack(self):
        self.check("main")

    def test_the_break_moves_on(self):
        self.check("break")

    def test_large_tables_are_left_out_of_core_dumps(self):
        """Of what a core dump has (private memory, but for what says dd), no more than the library's own variables."""
        def dumped_kib(run):
            text = run(["cat", "/proc/self/smaps"]).stdout
            maps = re.findall(r"^[0-9a-f]+-[0-9a-f]+ rw-p .*?^VmFlags: [^\n]*", text, re.M | re.S)
            self.assertTrue(maps)
            return sum(int(re.search(r"Size: +(\d+)", one)[1]) for one in maps if " dd" not in one)
        bare = dumped_kib(harness.bare)
        self.assertGreater(bare, 0)
        for run in (harness.run, harness.preload):
            self.assertLess(dumped_kib(run) - bare, 1024)

    @unittest.skipUnless(os.uname().machine == "x86_64", "names x86-64's loader")
    def test_memory_of_the_runtime_lies_apart(self):
        """What lies near the program's mappings is theirs, but for the library and its own variables."""
        def bytes_near(run):
            ranges = []
            for line in run(["cat", "/proc/self/maps"]).stdout.splitlines():
                start, end = (int(text, 16) for text in line.split()[0].split("-"))
                if line.endswith("ld-linux-x86-64.so.2"):
                    loader = end
                ranges.append((start, end))
            return sum(end - start for start, end in ranges if loader - (16 << 30) < start < loader)
        bare = bytes_near(harness.bare)
        self.assertGreater(bare, 1 << 20)
        for run in (harness.run, harness.preload):
            self.assertLess(bytes_near(run) - bare, 2 << 20)


if __name__ == "__main__":
    harness.main()
