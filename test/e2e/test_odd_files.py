#!/usr/bin/python3
"""What is given to be read may be a FIFO that nobody writes to, a device without end, or larger than memory: no hang, one
clear line, and the program is unharmed."""
import os
import shutil
import subprocess
import threading
import unittest

import harness

BOUND = 10  # seconds, for what must not wait


def setUpModule():
    global LEAK
    LEAK = [harness.program("fd_open"), "leak"]


class Odd:
    """Files of each odd kind in a scratch folder: name, path and what is said of it."""

    def __init__(self, scratch):
        fifo, sparse = scratch.path("odd.fifo"), scratch.path("odd.sparse")
        os.mkfifo(fifo)
        with open(sparse, "wb") as file:
            file.truncate(8 << 30)
        self.paths = {fifo: "not a regular file", "/dev/zero": "not a regular file", "/dev/full": "not a regular file",
                      sparse: "too large", scratch.folder: "Is a directory"}


class Inputs(unittest.TestCase):
    def setUp(self):
        self.scratch = harness.Scratch()
        self.addCleanup(self.scratch.__exit__)
        self.odd = Odd(self.scratch).paths

    def report(self):
        place = self.scratch.path("report.json")
        harness.run(LEAK, scratch=self.scratch)
        return place

    def test_reports(self):
        for path, why in self.odd.items():
            for command in (["report", path], ["check", path, "--fail-on", "fd>0"], ["diff", path, path]):
                with self.subTest(command=command):
                    result = harness.unfreed(*command, timeout=BOUND)
                    self.assertEqual((result.status, result.stdout), (125, ""), result)
                    self.assertEqual(result.stderr, f"unfreed: {path}: {why}\n")

    def test_pipes_are_read_where_they_are_given_as_descriptors(self):
        report = self.report()
        for way in (f"cat {report} | $U report -", f"cat {report} | $U report /dev/stdin", f"$U report <(cat {report})",
                    f"$U report - <{report}", f"(sleep 0.3; cat {report}) | $U report -"):
            with self.subTest(way=way):
                status, stdout, stderr, _ = harness.execute(["bash", "-c", way.replace("$U", harness.COMMAND)],
                                                            env=harness.clean_environment())
                self.assertEqual((status, stderr), (0, ""))
                self.assertIn("3 held", stdout)

    def test_a_pipe_without_end_is_given_up(self):
        with open("/dev/zero", "rb") as zero:
            process = subprocess.run([harness.COMMAND, "report", "-"], stdin=zero, capture_output=True, text=True,
                                     env=harness.clean_environment(), timeout=60, check=False)
        self.assertEqual((process.returncode, process.stderr), (125, "unfreed: -: too large\n"))

    def test_suppressions_of_a_run(self):
        for path, why in self.odd.items():
            with self.subTest(path=path):
                result = harness.run(LEAK, options=["--suppressions", path], timeout=BOUND)
                self.assertEqual(result.status, 125, result)
                self.assertEqual(result.stderr, f"unfreed: suppression file {path} cannot be read: {why}\n")

    def test_suppressions_from_a_pipe(self):
        script = f"{harness.COMMAND} run --quiet -o {self.scratch.path('r.json')} --fail-on 'fd>0' " \
                 f"--suppressions <(echo 'fd:*') -- {' '.join(LEAK)}"
        env = harness.clean_environment({"UNFREED_LEDGER_DIR": self.scratch.ledgers})
        status, _, stderr, _ = harness.execute(["bash", "-c", script], env=env)
        self.assertEqual((status, stderr), (0, ""))

    def test_suppressions_of_a_preload(self):
        for path, why in self.odd.items():
            for helper in (True, False):
                for rules, status in (("", 0), ("fd>100", 125)):
                    with self.subTest(path=path, helper=helper, rules=rules):
                        result = harness.preload(LEAK, helper=helper, timeout=BOUND, env={
                            "UNFREED_SUPPRESSIONS": path, "UNFREED_FAIL_ON": rules, "UNFREED_QUIET": "1"})
                        self.assertEqual(result.status, status, result)
                        (line,) = [line for line in result.stderr.splitlines() if path in line]
                        self.assertTrue(line.endswith(why), line)
                        self.assertEqual(result.report["totals"]["fd"]["live"], 3)

    def test_suppressions_are_those_of_where_the_program_started(self):
        """A program that goes to another folder still has the file that was meant."""
        with open(self.scratch.path("known.supp"), "w") as file:
            file.write("fd:*\n")
        script = "import os; os.chdir('/'); os.open('/etc/passwd', os.O_RDONLY); os._exit(0)"
        for helper in (True, False):
            with self.subTest(helper=helper):
                result = harness.preload(["/usr/bin/python3", "-c", script], helper=helper, cwd=self.scratch.folder, env={
                    "UNFREED_SUPPRESSIONS": "known.supp", "UNFREED_FAIL_ON": "fd>0"})
                self.assertEqual(result.status, 0, result)
                self.assertNotIn("known.supp", result.stderr)

    def test_suppressions_of_a_process_that_is_looked_at(self):
        """Without them more is counted than they let count: a rule that passes does so, one that is broken is in doubt."""
        holding = "import os; os.open('/etc/passwd', os.O_RDONLY); print('held', flush=True); input()"
        for path, why in self.odd.items():
            with self.subTest(path=path), harness.Scratch() as scratch, harness.started(
                    ["/usr/bin/python3", "-c", holding], launcher=False, scratch=scratch,
                    env={"UNFREED_SUPPRESSIONS": path}) as process:
                process.stdout.readline()
                for command in (["snapshot"], ["watch", "--looks", "1"]):
                    for rule, status in (("fd>0", 125), ("fd>100", 0)):
                        result = harness.unfreed(*command, "-o", scratch.path(f"{command[0]}.{status}"), "--fail-on", rule,
                                                 str(process.pid), timeout=BOUND, env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                        self.assertEqual(result.status, status, result)
                        self.assertIn(f"the process's own suppressions were not applied: suppression file {path} cannot be "
                                      f"read: {why}", result.stderr)


class Modules(unittest.TestCase):
    """Files that a program names without meaning to: its own, and those of its debug information."""

    def test_a_debug_link_to_what_is_no_file(self):
        for odd in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
            with harness.Scratch() as scratch:
                program, debug = scratch.path("program"), scratch.path("program.debug")
                shutil.copy(LEAK[0], program)
                for command in (["objcopy", "--only-keep-debug", program, debug], ["strip", program],
                                ["objcopy", f"--add-gnu-debuglink={debug}", program]):
                    subprocess.run(command, check=True)
                os.unlink(debug)
                odd(debug)
                result = harness.run([program, "leak"], scratch=scratch, timeout=BOUND)
                self.assertEqual(result.status, 0, result)
                self.assertEqual(result.report["totals"]["fd"]["live"], 3)
                preloaded = harness.preload([program, "leak"], timeout=BOUND)
                self.assertEqual(preloaded.status, 0, preloaded)
                self.assertEqual(preloaded.report["totals"]["fd"]["live"], 3)

    def test_a_program_that_became_something_else(self):
        for odd in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
            for helper in (True, False):
                with self.subTest(helper=helper), harness.Scratch() as scratch:
                    program = scratch.path("program")
                    shutil.copy("/bin/cat", program)
                    with harness.started([program], launcher=False, helper=helper, scratch=scratch) as process:
                        harness.wait_for(scratch.leftovers)
                        os.unlink(program)
                        odd(program)
                        process.stdin.close()
                        ended = threading.Timer(BOUND, process.kill)
                        ended.start()
                        self.assertEqual(process.wait(), 0)
                        ended.cancel()
                    (name,) = [name for name in os.listdir(scratch.folder) if name.endswith(".json")]
                    harness.read_report(scratch.path(name))


if __name__ == "__main__":
    harness.main()
