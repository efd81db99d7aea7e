#!/usr/bin/python3
"""Nothing that is done for a report holds up a program that ends, and nothing of the program's is lost by it."""
import fcntl
import os
import signal
import subprocess
import time
import unittest

import harness

SOON = 10  # seconds; none of these programs needs one

WAYS = {"run": harness.run, "preload": harness.preload,
        "alone": lambda args, **keywords: harness.preload(args, helper=False, **keywords)}


class Handlers(unittest.TestCase):
    def test_program_that_ends_in_a_signal_handler_while_it_reports(self):
        for name, run in WAYS.items():
            for _ in range(3):
                with self.subTest(way=name), harness.Scratch() as scratch:
                    options = {"options": ["--output", scratch.path("%n.json")]} if name == "run" else \
                              {"env": {"UNFREED_OUTPUT": scratch.path("%n.json"), "UNFREED_QUIET": "1"}}
                    result = run([harness.program("hurry"), "report"], timeout=SOON, scratch=scratch, **options)
                    self.assertEqual(result.status, 7, result)
                    exits = [report for report in result.reports.values() if report["trigger"] == "exit"]
                    self.assertEqual([report["process"]["exit_status"] for report in exits], [7])
                    self.assertGreater(len(result.reports), 1, "one was being made")

    def test_program_that_ends_in_a_signal_handler_while_it_ends(self):
        for name, run in WAYS.items():
            for _ in range(10):
                with self.subTest(way=name):
                    result = run([harness.program("hurry"), "end"], timeout=SOON)
                    self.assertIn(result.status, (0, 7), result)
                    self.assertEqual(result.report["totals"]["fd"]["live"], 1)


    def test_program_that_ends_in_a_signal_handler_before_its_folder_is_removed(self):
        with harness.Scratch() as scratch:
            env = {"LD_PRELOAD": harness.LIBRARY, "UNFREED_LEDGER_DIR": scratch.ledgers, "UNFREED_HELPER": "/nonexistent",
                   "UNFREED_OUTPUT": scratch.path("report.json")}
            environment = [f"-E{name}={value}" for name, value in env.items()]
            status, _, stderr, _ = harness.execute(
                ["strace", "-o", scratch.path("log"), "-e", "inject=unlinkat:signal=SIGALRM:when=1", *environment,
                 harness.program("hurry"), "asked"], env=harness.clean_environment())
            self.assertEqual(status, 7, stderr)
            with open(scratch.path("log"), encoding="utf-8") as file:
                self.assertTrue("--- SIGALRM" in file.read(), "nothing was removed, or no signal came")
            self.assertEqual(scratch.leftovers(), [], stderr)


class Streams(unittest.TestCase):
    def test_status_is_replaced_while_a_thread_waits_for_input(self):
        for name in ("preload", "alone"):
            with self.subTest(way=name), harness.Scratch() as scratch:
                env = {"LD_PRELOAD": harness.LIBRARY, "UNFREED_LEDGER_DIR": scratch.ledgers, "UNFREED_FAIL_ON": "fd>0",
                       "UNFREED_OUTPUT": scratch.path("report.json")}
                if name == "alone":
                    env["UNFREED_HELPER"] = "/nonexistent"
                silent, _kept_open = os.pipe()
                with subprocess.Popen([harness.program("hurry"), "reader"], stdin=silent, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, env=harness.clean_environment(env)) as process:
                    try:
                        stdout, stderr = process.communicate(timeout=SOON)
                    finally:
                        process.kill()
                os.close(silent)
                os.close(_kept_open)
                self.assertEqual((process.returncode, stdout), (23, b"buffered\n"), stderr)

    def full_pipe(self):
        """A pipe that takes nothing any more: (its ends, how it was opened)."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        for size in (65536, 1):
            try:
                while True:
                    os.write(writing, bytes(size))
            except BlockingIOError:
                pass
        os.set_blocking(writing, True)
        return reading, writing

    def run_with_stderr(self, args, stderr, env):
        with harness.Scratch() as scratch:
            env = {"LD_PRELOAD": harness.LIBRARY, "UNFREED_LEDGER_DIR": scratch.ledgers,
                   "UNFREED_OUTPUT": scratch.path("%n.json"), **env}
            start = time.monotonic()
            with subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                                  env=harness.clean_environment(env)) as process:
                try:
                    stdout, _ = process.communicate(timeout=SOON)
                finally:
                    process.kill()
            return process.returncode, stdout.decode(), time.monotonic() - start, harness.read_reports(scratch.folder)

    def test_stderr_that_nobody_reads(self):
        for env, status in (({}, 0), ({"UNFREED_FAIL_ON": "fd>0"}, 23),
                            ({"UNFREED_FAIL_ON": "fd>0", "UNFREED_HELPER": "/nonexistent"}, 23)):
            with self.subTest(env=env):
                reading, writing = self.full_pipe()
                got, _, seconds, reports = self.run_with_stderr([harness.program("fd_open"), "leak"], writing, env)
                self.assertEqual((got, len(reports)), (status, 1))
                self.assertLess(seconds, 6)
                self.assertFalse(fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK, "others share the open file")
                os.close(reading)
                os.close(writing)

    def test_stderr_whose_reader_is_slow(self):
        # A pipe that is full at the moment is not lost yet: a verdict waits a little.
        reading, writing = self.full_pipe()
        with harness.Scratch() as scratch:
            env = {"LD_PRELOAD": harness.LIBRARY, "UNFREED_LEDGER_DIR": scratch.ledgers, "UNFREED_FAIL_ON": "fd>0",
                   "UNFREED_OUTPUT": scratch.path("%n.json"), "UNFREED_HELPER": "/nonexistent"}
            with subprocess.Popen([harness.program("fd_open"), "leak"], stderr=writing,
                                  env=harness.clean_environment(env)) as process:
                os.close(writing)
                time.sleep(0.3)
                with open(reading, "rb") as pipe:
                    text = pipe.read()
                self.assertEqual(process.wait(SOON), 23)
        self.assertIn(b"FAIL fd>0: 3", text.strip(b"\0"))

    def test_stderr_whose_reader_has_gone(self):
        for env in ({}, {"UNFREED_FAIL_ON": "fd>5"}):
            reading, writing = os.pipe()
            os.close(reading)
            status, stdout, _, reports = self.run_with_stderr([harness.program("broken_pipe")], writing, env)
            os.close(writing)
            self.assertEqual((status, stdout), (0, "0 signals, 0 pending\n1 after its own\n"))
            self.assertEqual(len(reports), 3)

    def test_status_is_replaced_though_the_reader_of_stderr_has_gone(self):
        reading, writing = os.pipe()
        os.close(reading)
        status, *_ = self.run_with_stderr([harness.program("broken_pipe")], writing, {"UNFREED_FAIL_ON": "fd>0"})
        os.close(writing)
        self.assertEqual(status, 23)


    def test_a_run_does_not_wait_long_for_a_reader_of_its_summary(self):
        reading, writing = self.full_pipe()
        with harness.Scratch() as scratch:
            for options in ([], ["--fail-on", "fd>0"]):
                command = [harness.COMMAND, "run", "-o", scratch.path("report.json"), *options, "--",
                           harness.program("fd_open"), "leak"]
                before = time.monotonic()
                status = subprocess.run(command, stderr=writing, stdout=subprocess.DEVNULL, check=False,
                                        env=harness.clean_environment()).returncode
                self.assertEqual(status, 23 if options else 0)
                self.assertLess(time.monotonic() - before, 8)
                self.assertTrue(os.path.exists(scratch.path("report.json")))
        os.close(reading)
        os.close(writing)


class Descendants(unittest.TestCase):
    """What a program starts is often read by it, stderr and all."""

    LEAK = f"{harness.PROGRAMS}/fd_open leak"

    def run_shell(self, script, **env):
        return harness.preload(["/bin/bash", "-c", script], env=env)

    def test_nothing_is_added_to_what_is_captured(self):
        for script in (f"x=$({self.LEAK} 2>&1); echo \"[$x]\"", f"x=$( ({self.LEAK}; true) 2>&1); echo \"[$x]\"",
                       f"x=$(python3 -c 'import subprocess as s; s.run(\"{self.LEAK}\".split())' 2>&1); echo \"[$x]\""):
            result = self.run_shell(script)
            self.assertEqual((result.status, result.stdout), (0, "[]\n"), result)
            self.assertEqual(len(result.stderr.splitlines()), 1, "the process that was started says where its report is")
            self.assertIn(f"bash (pid {result.pid})", result.stderr)
            held = [report["totals"]["fd"]["live"] for report in result.reports.values()]
            self.assertIn(3, held, "reports are written all the same")

    def test_a_broken_rule_is_said(self):
        for helper in (True, False):
            result = harness.preload(["/bin/bash", "-c", f"{self.LEAK}; true"], helper=helper,
                                     env={"UNFREED_FAIL_ON": "fd>2", "UNFREED_ONLY": "fd_open"})
            self.assertIn("fd_open (pid", result.stderr)
            self.assertIn("fd>2", result.stderr)

    def test_report_that_cannot_be_written(self):
        result = harness.preload(["/bin/bash", "-c", f"{self.LEAK}; {self.LEAK}; true"], keep_ledgers=True,
                                 env={"UNFREED_OUTPUT": "/nonexistent/%p.json"})
        self.assertEqual(result.status, 0, result)
        self.assertEqual(result.stderr.count("cannot be written"), 1, result)
        self.assertEqual(len(result.stderr.splitlines()), 1, result)

    def test_only_the_kept_ledger_stays(self):
        with harness.Scratch() as scratch:
            harness.preload(["/bin/bash", "-c", f"{self.LEAK}; {self.LEAK}; true"], keep_ledgers=True, scratch=scratch,
                            env={"UNFREED_OUTPUT": "/nonexistent/%p.json"})
            self.assertEqual(len(scratch.leftovers()), 1, "of the process that said so")

    def test_exec_keeps_the_word(self):
        result = self.run_shell(f"exec {self.LEAK}")
        self.assertIn(f"fd_open (pid {result.pid}) holds 3 descriptors", result.stderr)

    def test_bad_value_is_named_once(self):
        result = self.run_shell("/bin/true; /bin/true; exit 0", UNFREED_DEPTH="ten")
        self.assertEqual(result.stderr.count("UNFREED_DEPTH"), 1, result)


if __name__ == "__main__":
    harness.main()
