#!/usr/bin/python3
"""`unfreed run` and signals: CMD gets what was meant for it, as if it had been exec'ed in the launcher's place; the
terminal's come once; and the launcher ends soon when it is told to."""
import contextlib
import ctypes
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import unittest

import harness

KERNELS_OWN = (signal.SIGKILL, signal.SIGSTOP)
JOB_CONTROL = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

# A shell with job control: runs its arguments as a job in the foreground of its terminal, says when the job stops or
# ends, and sets it going again for every line read from the pipe 3.
SHELL = r"""
import os, signal, subprocess, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
def foreground(group): os.tcsetpgrp(0, group)
def begin():
    os.setpgid(0, 0)
    foreground(os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTSTP): signal.signal(number, signal.SIG_DFL)
for number in (signal.SIGINT, signal.SIGTSTP): signal.signal(number, signal.SIG_IGN)
job = subprocess.Popen(sys.argv[1:], preexec_fn=begin)
while True:
    _, status = os.waitpid(job.pid, os.WUNTRACED)
    foreground(os.getpgrp())
    if not os.WIFSTOPPED(status): break
    print("stopped by", os.WSTOPSIG(status), flush=True)
    os.read(3, 1)
    foreground(job.pid)
    os.killpg(job.pid, signal.SIGCONT)
print("ended with", os.waitstatus_to_exitcode(status), flush=True)
"""


def send_value(pid, number, value):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.sigqueue(pid, number, ctypes.c_void_p(value)) == 0


class Passed(unittest.TestCase):
    @contextlib.contextmanager
    def started(self, scratch, *args, **keywords):
        with harness.started([harness.program("signals"), *args], scratch=scratch, **keywords) as launcher:
            self.assertEqual(launcher.stdout.readline(), b"ready\n")
            yield launcher

    def test_every_signal_reaches_the_program(self):
        with harness.Scratch() as scratch, self.started(scratch, options=["--quiet"]) as launcher:
            for number in range(1, signal.SIGRTMAX + 1):
                is_libcs = signal.SIGSYS < number < signal.SIGRTMIN
                if is_libcs or number in KERNELS_OWN + JOB_CONTROL + (signal.SIGTERM, signal.SIGCHLD):
                    continue
                with self.subTest(signal=number):
                    launcher.send_signal(number)
                    self.assertEqual(launcher.stdout.readline(), b"%d 0\n" % number)
            launcher.send_signal(signal.SIGTERM)
            self.assertEqual(launcher.stdout.readline(), b"%d 0\n" % signal.SIGTERM)
            self.assertEqual(launcher.wait(20), 7)
            report = harness.read_report(scratch.path("report.json"))
            self.assertEqual((report["trigger"], report["process"]["exit_status"]), ("exit", 7))

    def test_a_value_goes_along(self):
        with harness.Scratch() as scratch, self.started(scratch, options=["--quiet"]) as launcher:
            for number, value in ((signal.SIGRTMIN + 1, 41), (signal.SIGUSR1, 42), (signal.SIGRTMAX, 43)):
                send_value(launcher.pid, number, value)
                self.assertEqual(launcher.stdout.readline(), b"%d %d\n" % (number, value))

    def test_none_is_lost_while_the_launcher_reads_ledgers(self):
        # A queue of them, each with its number, in between children that leave ledgers to be read.
        with harness.Scratch() as scratch:
            script = f"for i in 1 2 3 4 5 6 7 8; do {harness.program('fd_open')} leak; done & exec {harness.program('signals')}"
            with harness.started(["/bin/sh", "-c", script], scratch=scratch, options=["--quiet"]) as launcher:
                self.assertEqual(launcher.stdout.readline(), b"ready\n")
                for value in range(1, 101):
                    send_value(launcher.pid, signal.SIGRTMIN, value)
                    time.sleep(0.003)
                got = [int(launcher.stdout.readline().split()[1]) for _ in range(100)]
                self.assertEqual(got, list(range(1, 101)))

    def test_an_alarm_set_before_reaches_the_program(self):
        with harness.Scratch() as scratch:
            for args in ([], [harness.COMMAND, "run", "-q", "-o", scratch.path("r.json"), "--"]):
                script = "import os, signal, sys; signal.alarm(1); os.execvp(sys.argv[1], sys.argv[1:])"
                result = harness.bare([sys.executable, "-c", script, *args, "/bin/sleep", "10"],
                                      env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                self.assertEqual(result.status, 128 + signal.SIGALRM, result)

    def test_mask_and_dispositions_are_those_that_the_launcher_got(self):
        def prepare():
            for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD, signal.SIGPIPE, signal.SIGTSTP, signal.SIGRTMIN + 3):
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM, signal.SIGRTMAX})
        command = ["/bin/grep", "^Sig[BI]", "/proc/self/status"]
        for before in (prepare, None):
            alone = harness.bare(command, preexec=before)
            result = harness.run(command, preexec=before)
            self.assertEqual((result.status, result.stdout), (0, alone.stdout), result)

    def test_the_programs_own_signals_to_its_group_come_once(self):
        # The launcher is in that group, too.
        script = ("import os, signal, time\nhits = []\nsignal.signal(signal.SIGUSR1, lambda *_: hits.append(1))\n"
                  "os.killpg(0, signal.SIGUSR1)\ntime.sleep(0.3)\nprint(len(hits))\n")
        for run in (harness.bare, harness.run):
            self.assertEqual(run([sys.executable, "-c", script]).stdout, "1\n")


class Terminal(unittest.TestCase):
    """A job of a shell with job control, bare and under the launcher."""

    @contextlib.contextmanager
    def job(self, args, under_run, scratch):
        if under_run:
            args = [harness.COMMAND, "run", "--quiet", "-o", scratch.path("r.json"), "--", *args]
        wake, self.waker = os.pipe()
        pid, master = pty.fork()
        if pid == 0:
            os.dup2(wake, 3)
            os.set_inheritable(3, True)
            os.closerange(4, 64)
            os.execve(sys.executable, ["shell", "-c", SHELL, *args],
                      harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers}))
        os.close(wake)
        self.seen = ""
        self.master = master
        try:
            yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.close(master)
            os.close(self.waker)
            os.waitpid(pid, 0)

    def expect(self, text, seconds=20):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            self.assertGreater(left, 0, f"{text!r} did not come; seen: {self.seen!r}")
            if select.select([self.master], [], [], left)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 4096).decode(errors="replace").replace("\r", "")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.master, text)

    def test_control_c_comes_once(self):
        for under_run in (False, True):
            with self.subTest(under_run=under_run), harness.Scratch() as scratch, \
                 self.job([harness.program("signals")], under_run, scratch):
                self.expect("ready\n")
                for key, number in ((b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)):
                    self.type(key)
                    self.expect(f"{number.value} 0\n")
                time.sleep(0.3)
                self.type(b"\x04")
                self.assertNotIn(" 0\n", self.expect("end of input\n"), "each once")
                self.expect("ended with 0")

    def test_control_z_and_on_again(self):
        for under_run in (False, True):
            with self.subTest(under_run=under_run), harness.Scratch() as scratch, \
                 self.job([harness.program("signals")], under_run, scratch):
                self.expect("ready\n")
                for _ in range(2):
                    self.type(b"\x1a")
                    self.expect(f"stopped by {signal.SIGTSTP.value}\n")
                    os.write(self.waker, b".")
                    self.expect(f"{signal.SIGCONT.value} 0\n")
                self.type(b"\x04")
                self.expect("ended with 0")

    def test_a_program_that_stops_itself(self):
        for under_run in (False, True):
            with self.subTest(under_run=under_run), harness.Scratch() as scratch, \
                 self.job([harness.program("signals"), "stop"], under_run, scratch):
                self.expect("ready\n")
                self.expect(f"stopped by {signal.SIGSTOP.value}\n")
                os.write(self.waker, b".")
                self.expect(f"{signal.SIGCONT.value} 0\n")
                self.type(b"\x04")
                self.expect("ended with 0")

    def test_without_job_control_a_stop_is_nobodys_business(self):
        # Nobody would set the launcher going again.
        with harness.Scratch() as scratch, \
             harness.started([harness.program("signals")], scratch=scratch, options=["--quiet"]) as launcher:
            self.assertEqual(launcher.stdout.readline(), b"ready\n")
            program = harness.child_of(launcher)
            os.kill(program, signal.SIGSTOP)
            harness.wait_for(lambda: re.search(r"^State:\s+T", open(f"/proc/{program}/status").read(), re.M))
            os.kill(program, signal.SIGCONT)
            self.assertEqual(launcher.stdout.readline(), b"%d 0\n" % signal.SIGCONT)
            launcher.stdin.close()
            self.assertEqual(launcher.wait(20), 0)


# Keeps the launcher busy for ever when CMD has ended and its ledger is looked at, as a hostile symbol might.
BUSY = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
ssize_t pread64(int fd, void* out, size_t bytes, off64_t at) {
  const char* note = getenv("BUSY_NOTE");
  if (note && strcmp(program_invocation_short_name, "unfreed") == 0) {
    close(open(note, O_CREAT | O_WRONLY, 0600));
    for (volatile int still = 1; still;) continue;
  }
  (void)fd, (void)out, (void)bytes, (void)at;
  errno = ENOSYS;
  return -1;
}
"""


class Ends(unittest.TestCase):
    @contextlib.contextmanager
    def busy(self, scratch, args, *, options=()):
        """A launcher that will not get done, with CMD ended."""
        with open(scratch.path("busy.c"), "w") as file:
            file.write(BUSY)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", scratch.path("busy.so"), scratch.path("busy.c")], check=True)
        env = {"LD_PRELOAD": scratch.path("busy.so"), "BUSY_NOTE": scratch.path("busy")}
        with harness.started(args, scratch=scratch, options=options, env=env) as launcher:
            harness.wait_for(lambda: os.path.exists(scratch.path("busy")))
            yield launcher

    def test_it_ends_soon_when_it_is_told_to(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            for args, options, status in ((["/bin/sh", "-c", "exit 3"], [], 3), (["/bin/true"], ["--fail-on", "fd>0"], 125),
                                          (["/bin/sh", "-c", "kill -9 $$"], ["--fail-on", "fd>0"], 128 + 9)):
                with self.subTest(signal=number, status=status), harness.Scratch() as scratch, \
                     self.busy(scratch, args, options=options) as launcher:
                    time.sleep(0.2)
                    before = time.monotonic()
                    launcher.send_signal(number)
                    self.assertEqual(launcher.wait(20), status)
                    self.assertLess(time.monotonic() - before, 3, "a second, on a machine that has time for it")
                    self.assertIn(f"ended by signal {number.value}", open(scratch.path("stderr")).read())
                    self.assertEqual(scratch.leftovers(), [])
                    self.assertEqual([name for name in os.listdir(scratch.folder) if "tmp" in name], [])

    def test_signals_for_the_program_alone_do_not_end_it(self):
        with harness.Scratch() as scratch, self.busy(scratch, ["/bin/true"]) as launcher:
            time.sleep(0.2)
            for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGWINCH, signal.SIGRTMIN, signal.SIGPIPE):
                launcher.send_signal(number)
            with self.assertRaises(subprocess.TimeoutExpired):
                launcher.wait(1.5)

    def test_a_daemon_reports_by_itself_when_the_launcher_has_ended_early(self):
        with harness.Scratch() as scratch:
            note = scratch.path("pid")
            script = f"{harness.program('daemonize')} {note} 2; until [ -s {note} ]; do sleep 0.05; done"
            with self.busy(scratch, ["/bin/sh", "-c", script]) as launcher:
                time.sleep(0.2)
                launcher.send_signal(signal.SIGTERM)
                self.assertEqual(launcher.wait(20), 125)
                self.assertEqual(len(scratch.leftovers()), 1, "the daemon's")
                harness.wait_for(lambda: not scratch.leftovers())
            (report,) = [r for r in harness.read_reports(scratch.folder).values()]
            self.assertEqual((os.path.basename(report["process"]["exe"]), report["totals"]["fd"]["live"]), ("daemonize", 3))

    def test_a_summary_that_nobody_reads_does_not_keep_it(self):
        with harness.Scratch() as scratch:
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writer, b"." * 65536)
            os.set_blocking(writer, True)
            process = subprocess.Popen(
                [harness.COMMAND, "run", "-o", scratch.path("r.json"), "--fail-on", "fd>0", harness.program("fd_open"), "leak"],
                env=harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers}), stderr=writer, stdout=subprocess.DEVNULL)
            harness.wait_for(lambda: os.path.exists(scratch.path("r.json")))
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(5), 23, "the verdict is known")
            self.assertEqual(scratch.leftovers(), [])
            os.close(reader)
            os.close(writer)

    def test_nobody_reads_the_messages(self):
        # The summary meets a pipe without a reader: no SIGPIPE for the launcher, no other status.
        with harness.Scratch() as scratch:
            reader, writer = os.pipe()
            process = subprocess.Popen(
                [harness.COMMAND, "run", "-o", scratch.path("r.json"), "--fail-on", "fd>0", harness.program("fd_open"), "leak"],
                env=harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers}), stderr=writer, stdout=subprocess.DEVNULL)
            os.close(writer)
            os.close(reader)
            self.assertEqual(process.wait(30), 23)
            self.assertEqual(harness.read_report(scratch.path("r.json"))["totals"]["fd"]["live"], 3)
            self.assertEqual(scratch.leftovers(), [])


if __name__ == "__main__":
    harness.main()
