#!/usr/bin/python3
"""A program under unfreed behaves as without it, and other tools' means still work."""
import os
import signal
import subprocess
import time
import unittest

import harness

CALLER = """
#include <stdlib.h>
#include <stdio.h>
static void __attribute__((constructor)) hello(void) { setenv("OTHER_PRELOAD", "was here", 1); }
"""


class Transparent(unittest.TestCase):
    def test_environment_but_for_what_is_unfreeds(self):
        def variables(text):
            return {line for line in text.splitlines() if not line.startswith(("LD_PRELOAD=", "UNFREED_", "_="))}
        alone = harness.bare(["/usr/bin/env"], env={"UNFREED_LEDGER_DIR": "/dev/shm"})
        for run in (harness.run, harness.preload):
            self.assertEqual(variables(run(["/usr/bin/env"]).stdout), variables(alone.stdout))

    def test_other_preloads_are_kept(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("other.c"), "w") as file:
                file.write(CALLER)
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", scratch.path("other.so"), scratch.path("other.c")], check=True)
            script = 'echo "$OTHER_PRELOAD"; echo "$LD_PRELOAD"'
            result = harness.run(["/bin/sh", "-c", script], env={"LD_PRELOAD": scratch.path("other.so")})
            first, second = result.stdout.splitlines()
            self.assertEqual(first, "was here", result)
            # A name that every loader finds a library of its own under, or none.
            library = os.path.join(os.path.dirname(os.path.realpath(harness.LIBRARY)), "preload/$LIB/libunfreed.so")
            self.assertEqual(second.replace(" ", ":").split(":"), [library, scratch.path("other.so")])

    def test_descriptor_numbers_are_those_without(self):
        script = "import os; print(os.open('/etc/passwd', 0), os.open('/etc/passwd', 0), os.pipe(), os.dup(1))"
        alone = harness.bare(["/usr/bin/python3", "-c", script])
        for run in (harness.run, harness.preload):
            self.assertEqual(run(["/usr/bin/python3", "-c", script]).stdout, alone.stdout)

    def test_program_under_seccomp(self):
        # file(1) allows itself no system call but those it knows of.
        if not os.path.exists("/usr/bin/file"):
            self.skipTest("file(1) is not installed")
        alone = harness.bare(["/usr/bin/file", "/etc/passwd"])
        for run in (harness.run, harness.preload):
            result = run(["/usr/bin/file", "/etc/passwd"], keep_ledgers=True)
            self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)

    def test_termination_reaches_the_program(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with self.subTest(signal=number), harness.Scratch() as scratch, harness.started(
                    [harness.program("worker"), "2"], scratch=scratch) as process:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                pid = harness.child_of(process)
                if number == signal.SIGINT:
                    os.killpg(process.pid, number)  # as a terminal does it: both get it
                else:
                    process.send_signal(number)
                self.assertEqual(process.wait(20), 128 + number)
                self.assertFalse(os.path.exists(f"/proc/{pid}"), "nothing is left running")
                report = harness.read_report(scratch.path("report.json"))
                self.assertEqual((report["process"]["signal"], report["totals"]["fd"]["live"]), (number, 2))

    def test_program_stopped_and_continued(self):
        with harness.Scratch() as scratch, harness.started([harness.program("worker"), "1"], scratch=scratch) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            pid = harness.child_of(process)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.2)
            self.assertIsNone(process.poll())
            os.kill(pid, signal.SIGCONT)
            process.stdin.write(b"end\n")
            process.stdin.flush()
            self.assertEqual(process.wait(20), 0)

    def test_ignored_signals_and_mask_are_inherited(self):
        script = "grep -E '^Sig(Blk|Ign)' /proc/self/status"
        alone = harness.bare(["/bin/sh", "-c", f"trap '' HUP USR1; {script}"])
        result = harness.run(["/bin/sh", "-c", f"trap '' HUP USR1; {script}"])
        self.assertEqual(result.stdout, alone.stdout)
        direct = harness.run(["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
        self.assertEqual(direct.stdout, harness.bare(["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]).stdout)

    def test_run_under_run(self):
        with harness.Scratch() as scratch:
            inner = scratch.path("inner.json")
            result = harness.run([harness.COMMAND, "run", "--output", inner, "--fail-on", "fd>0", "--",
                                  harness.program("fd_open"), "leak"], scratch=scratch)
            self.assertEqual(result.status, 23, result)
            self.assertEqual(harness.read_report(inner)["totals"]["fd"]["live"], 3)

    def test_summary_is_short(self):
        result = harness.run([harness.program("log_service")])
        self.assertLess(len(result.stderr.splitlines()), 40, result)
        self.assertNotIn("\x1b", result.stderr, "colour only on a terminal")
        self.assertLess(max(map(len, result.stderr.splitlines())), 200)


if __name__ == "__main__":
    harness.main()
