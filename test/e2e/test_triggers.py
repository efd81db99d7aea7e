#!/usr/bin/python3
"""Reports on a process that goes on running: by signal, by `unfreed snapshot`, by the program's own call."""
import glob
import os
import signal
import unittest

import harness

FOLDER = os.path.join(harness.SOURCE, "test", "e2e", "programs")
TAKE = harness.line_of(os.path.join(FOLDER, "worker.c"), "take")


def worker(*arguments):
    return [harness.program("worker"), *map(str, arguments)]


def expect(process, word):
    line = process.stdout.readline().decode().strip()
    assert line == word, f"worker said {line!r}, not {word!r}"


def tell(process, word, answer="done"):
    process.stdin.write(word.encode() + b"\n")
    process.stdin.flush()
    if answer:
        expect(process, answer)


def fd_list(pid):
    return {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def report_number(scratch, number, complete=True):
    """The report with this %n, once it is there."""
    def find():
        paths = glob.glob(scratch.path(f"*.{number}.json"))
        return paths and harness.read_report(paths[0], complete)
    return harness.wait_for(find)


def is_child_program(pid, group):
    """Is this process a worker of the process group (each test's programs have their own)?"""
    try:
        return os.getpgid(int(pid)) == group and os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "worker"
    except OSError:
        return False


class Signal(unittest.TestCase):
    def check(self, **way):
        with harness.Scratch() as scratch:
            options = ["--output", scratch.path("%e.%p.%n.json")] if way.get("launcher", True) else ()
            with harness.started(worker(3), scratch=scratch, options=options, **way) as process:
                expect(process, "ready")
                pid = harness.child_of(process) if way.get("launcher", True) else process.pid
                before = fd_list(pid)
                os.kill(pid, signal.SIGUSR2)
                first = report_number(scratch, 1, way.get("helper", True))
                self.assertEqual(first["trigger"], "signal")
                self.assertEqual(first["process"]["pid"], pid)
                self.assertEqual(first["totals"]["fd"]["live"], 3)
                (site,) = harness.live_sites(first, "fd")
                self.assertEqual(site["live"], 3)
                if way.get("helper", True):
                    self.assertEqual(harness.top(site)["line"], TAKE)
                self.assertEqual(fd_list(pid), before, "the program's descriptors are as they were")

                tell(process, "open")  # the program has not noticed anything
                tell(process, "open")
                os.kill(pid, signal.SIGUSR2)
                second = report_number(scratch, 2)
                self.assertEqual(second["totals"]["fd"]["live"], 5)
                tell(process, "end", None)
                self.assertEqual(process.wait(20), 0)
                third = report_number(scratch, 3)
                self.assertEqual((third["trigger"], third["totals"]["fd"]["live"]), ("exit", 5))

    def test_under_run(self):
        self.check()

    def test_bare_preload(self):
        self.check(launcher=False)

    def test_bare_preload_without_the_helper(self):
        self.check(launcher=False, helper=False)

    def test_other_signal(self):
        with harness.Scratch() as scratch, harness.started(
                worker(2), launcher=False, scratch=scratch, env={"UNFREED_SIGNAL": "USR1"}) as process:
            expect(process, "ready")
            process.send_signal(signal.SIGUSR1)
            self.assertEqual(report_number(scratch, 1)["totals"]["fd"]["live"], 2)

    def test_signal_that_the_program_handles_is_left_to_it(self):
        with harness.Scratch() as scratch, harness.started(
                worker(2, "usr2"), launcher=False, scratch=scratch) as process:
            expect(process, "ready")
            process.send_signal(signal.SIGUSR2)
            expect(process, "mine")
            tell(process, "end", None)
            self.assertEqual(process.wait(20), 0)
            reports = harness.read_reports(scratch.folder)
            self.assertEqual([report["trigger"] for report in reports.values()], ["exit"])

    def test_the_program_finds_the_signal_at_its_default(self):
        """Python can set what it has found again, and only then it has no report signal any more."""
        program = ("import os, signal\n"
                   "print(signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL, flush=True)\n"
                   "os.kill(os.getpid(), signal.SIGUSR2)\n"
                   "before = signal.signal(signal.SIGUSR2, lambda number, frame: print('mine', flush=True))\n"
                   "os.kill(os.getpid(), signal.SIGUSR2)\n"
                   "signal.signal(signal.SIGUSR2, before)\n"
                   "os.kill(os.getpid(), signal.SIGUSR2)\n")
        result = harness.preload(["/usr/bin/python3", "-c", program], keep_ledgers=True)
        self.assertEqual((result.status, result.stdout), (128 + signal.SIGUSR2, "True\nmine\n"), result)
        self.assertEqual([report["trigger"] for report in result.reports.values()], ["signal"])

    def test_signal_that_was_ignored_from_the_start_stays_ignored(self):
        script = f'trap "" USR2; {harness.program("worker")} 2'
        with harness.Scratch() as scratch, harness.started(["/bin/sh", "-c", script], scratch=scratch,
                                                           options=["--all-reports"]) as process:
            expect(process, "ready")
            os.kill(harness.child_of(process), signal.SIGUSR2)
            (tested,) = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_child_program(pid, process.pid)]
            os.kill(tested, signal.SIGUSR2)
            tell(process, "open")  # alive, and took no notice
            tell(process, "end", None)
            self.assertEqual(process.wait(20), 0)
            triggers = [report["trigger"] for report in harness.read_reports(scratch.folder).values()]
            self.assertEqual(set(triggers), {"exit"})

    def test_off(self):
        with harness.Scratch() as scratch, harness.started(
                worker(2), launcher=False, scratch=scratch, env={"UNFREED_SIGNAL": "off"}) as process:
            expect(process, "ready")
            process.send_signal(signal.SIGUSR2)
            self.assertEqual(process.wait(20), -signal.SIGUSR2, "the default action is as it was")


class Snapshot(unittest.TestCase):
    def check(self, launcher):
        with harness.Scratch() as scratch, harness.started(worker(4), launcher=launcher, scratch=scratch) as process:
            expect(process, "ready")
            pid = harness.child_of(process) if launcher else process.pid
            before = fd_list(pid)
            target = scratch.path("snapshot.json")
            shown = harness.unfreed("snapshot", "--output", target, str(pid),
                                    env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertEqual(shown.status, 0, shown)
            report = harness.read_report(target)
            self.assertEqual((report["trigger"], report["process"]["pid"]), ("snapshot", pid))
            self.assertEqual(report["totals"]["fd"]["live"], 4)
            (site,) = harness.live_sites(report, "fd")
            self.assertEqual(harness.top(site)["line"], TAKE)
            self.assertEqual({item["target"] for item in site["objects"]}, {"/etc/passwd"})
            self.assertIn("take", shown.stderr)
            self.assertEqual(fd_list(pid), before)
            tell(process, "open")
            tell(process, "end", None)
            self.assertEqual(process.wait(20), 0)

    def test_under_run(self):
        self.check(True)

    def test_bare_preload(self):
        self.check(False)

    def test_process_that_does_not_exist(self):
        for pid in ("999999999", "-3", "zero", "0"):
            with self.subTest(pid=pid):
                result = harness.unfreed("snapshot", pid)
                self.assertEqual(result.status, 125, result)
                self.assertTrue(result.stderr.strip(), result)


class MainThreadHasEnded(unittest.TestCase):
    """The kernel shows nothing of what the process holds under the main thread's number then: another thread is asked."""

    def check(self, report, held):
        self.assertEqual((report["totals"]["fd"]["live"], report["reconciled"], report["complete"]), (held, True, True),
                         report["notes"])
        sites = harness.live_sites(report, "fd")
        self.assertEqual(sum(site["live"] for site in sites), held)
        self.assertEqual({item["target"] for site in sites for item in site["objects"]}, {"/etc/passwd"})

    def at_exit_and_before(self, **way):
        with harness.Scratch() as scratch:
            options = ["--output", scratch.path("%e.%p.%n.json")] if way["launcher"] else ()
            with harness.started(worker(3, "thread"), scratch=scratch, options=options, **way) as process:
                expect(process, "ready")
                pid = harness.child_of(process) if way["launcher"] else process.pid
                os.kill(pid, signal.SIGUSR2)
                self.check(report_number(scratch, 1), 3)
                tell(process, "open")
                target = scratch.path("snapshot.json")
                shown = harness.unfreed("snapshot", "--output", target, str(pid))
                self.assertEqual(shown.status, 0, shown)
                snapshot = harness.read_report(target)
                self.check(snapshot, 4)
                stacks = [[frame.get("function") for frame in thread["stack"]]
                          for thread in snapshot["threads"] if thread.get("stack")]
                self.assertTrue(any("work_alone" in stack for stack in stacks), stacks)
                tell(process, "open")
                tell(process, "end", None)
                self.assertEqual(process.wait(20), 0)
                self.check(report_number(scratch, 2), 5)

    def test_under_run(self):
        self.at_exit_and_before(launcher=True)

    def test_bare_preload(self):
        self.at_exit_and_before(launcher=False)


class Api(unittest.TestCase):
    WITH = {"active": ["1"], "mark": ["1"], "fd": ["0", "3", "2", "1", "1"], "heap_grew": ["1"], "ignore_fd": ["0"],
            "ignore_fd_closed": ["-1"], "ignore_block": ["0"], "thread": ["2", "1"], "ignore_thread": ["0"],
            "report": ["0"], "bad_path": ["1"], "bad_mark": ["-1"], "errno": ["1"]}
    WITHOUT = {"active": ["0"], "mark": ["0"], "fd": ["-1"] * 5, "heap_grew": ["0"], "ignore_fd": ["-1"],
               "ignore_fd_closed": ["-1"], "ignore_block": ["-1"], "thread": ["-1"] * 2, "ignore_thread": ["-1"],
               "report": ["-1"], "bad_path": ["1"], "bad_mark": ["-1"], "errno": ["1"]}

    @staticmethod
    def answers(text):
        said = {}
        for line in text.splitlines():
            word, value = line.split()
            said.setdefault(word, []).append(value)
        return said

    def test_without_the_preload(self):
        result = harness.bare([harness.program("api")])
        self.assertEqual(result.status, 0, result)
        self.assertEqual(self.answers(result.stdout), self.WITHOUT)

    def test_with_it(self):
        for name, run in (("run", harness.run), ("preload", harness.preload),
                          ("alone", lambda args, **k: harness.preload(args, helper=False, **k))):
            with self.subTest(way=name), harness.Scratch() as scratch:
                target = scratch.path("asked-for.json")
                result = run([harness.program("api"), target], scratch=scratch)
                self.assertEqual(result.status, 0, result)
                self.assertEqual(self.answers(result.stdout), self.WITH)
                asked = harness.read_report(target)
                self.assertEqual(asked["trigger"], "api")
                for report in (asked, result.report):
                    # Three files were kept: one ignored, one taken in a pause, one that counts.
                    self.assertEqual(report["totals"]["fd"]["live"], 1)
                    (site,) = harness.live_sites(report, "fd")
                    self.assertEqual(harness.base_function(harness.top(site)["function"]), "take")
                    self.assertEqual(site["live"], 1)
                    (site,) = harness.own_sites(report, harness.program("api"), "heap")
                    self.assertEqual((site["live"], site["bytes"]), (1, 200))
                    self.assertEqual(report["totals"]["thread"]["live"], 0)


if __name__ == "__main__":
    harness.main()
