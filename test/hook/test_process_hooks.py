#!/usr/bin/python3
"""The hooked functions that end, replace or copy the process, and those of the log, in pairs; and what comes in by no hooked function."""
import contextlib
import os
import socket
import unittest

import harness

PROGRAM = os.path.join(harness.BUILD, "test", "hook", "process_hooks")
ENDINGS = {"_exit": 0, "_Exit": 0, "quick_exit": 0, "abort": 134}
EXECS = ["execve", "execv", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve", "execveat"]
LOGS = ["openlog", "closelog", "syslog", "vsyslog", "__syslog_chk", "__vsyslog_chk"]
OTHERS = ["vfork", "dlclose", "prctl", "unshare", "setrlimit", "setrlimit64", "prlimit", "prlimit64", "mlockall", "munlockall",
          "madvise", "sigaction", "signal", "bsd_signal", "ssignal", "sysv_signal", "__sysv_signal",
          "setenv", "putenv", "unsetenv", "clearenv", "nanosleep", "clock_nanosleep", "usleep", "thrd_sleep", "poll", "__poll", "__poll_chk", "epoll_wait",
          "epoll_pwait", "epoll_pwait2", "semtimedop", "sigtimedwait"]
LOG = "/dev/log"


def hooks():
    return [*ENDINGS, *EXECS, *LOGS, *OTHERS, "daemon"]


@contextlib.contextmanager
def log_daemon():
    """Somebody who listens to the log, for as long as the test lasts."""
    if os.path.exists(LOG):
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        try:
            daemon.bind(LOG)
        except OSError as error:
            raise unittest.SkipTest(f"there is no log, and none can be had: {error}") from None
        try:
            yield
        finally:
            os.unlink(LOG)


class ProcessHooks(unittest.TestCase):
    def run_hook(self, hook, mode, status=0):
        with harness.Scratch() as scratch:
            path = scratch.path("exec_leak")
            with open(path, "w") as file:
                file.write("data")
            result = harness.preload([PROGRAM, hook, mode, path], scratch=scratch,
                                     env={"UNFREED_ONLY": os.path.basename(PROGRAM)})
        self.assertEqual(result.status, status, result)
        self.assertIsNotNone(result.report, result)
        result.exec_leak = [d for d in result.report["descriptors"] if d.get("target") == path]
        return result

    def check_held(self, result, count):
        sites = harness.live_sites(result.report, "fd")
        self.assertEqual([(s["acquired_by"], s["live"], harness.base_function(harness.top(s)["function"])) for s in sites],
                         [("open", count, "main")] if count else [])
        self.assertEqual(result.report["totals"]["fd"]["live"], count)
        self.assertEqual(result.report["totals"]["fd"]["unattributed"], 0)

    def test_endings(self):
        for hook, status in ENDINGS.items():
            for mode, held in (("leak", 1), ("clean", 0)):
                with self.subTest(hook=hook, mode=mode):
                    self.check_held(self.run_hook(hook, mode, status), held)

    def test_the_parent_of_a_daemon(self):
        for mode, held in (("leak", 1), ("clean", 0)):
            with self.subTest(mode=mode):
                result = self.run_hook("daemon", mode)
                self.check_held(result, held)
                self.assertEqual((result.report["trigger"], result.report["totals"]["child"]["live"]), ("exit", 0))

    def test_copies_and_unloading(self):
        for hook in OTHERS:
            for mode, held in (("leak", 1), ("clean", 0)):
                with self.subTest(hook=hook, mode=mode):
                    self.check_held(self.run_hook(hook, mode), held)

    def test_execs(self):
        for hook in EXECS:
            for mode, crossed in (("leak", 1), ("clean", 0)):
                with self.subTest(hook=hook, mode=mode):
                    result = self.run_hook(hook, mode)
                    self.assertEqual(result.stdout, "2 arguments, HOOK_MARK=passed on\n".replace("HOOK_MARK=", ""))
                    self.assertEqual([len(result.reports), result.report["process"]["argv"][1:]], [1, ["after"]])
                    self.assertEqual([d["origin"] for d in result.exec_leak], ["inherited"] * crossed)
                    self.check_held(result, 0)

    def test_log(self):
        with log_daemon():
            for hook in LOGS:
                for mode, kept in (("leak", 1), ("clean", 0)):
                    with self.subTest(hook=hook, mode=mode):
                        result = self.run_hook(hook, mode)
                        self.check_held(result, 0)
                        self.assertEqual(result.report["totals"]["fd"]["libc"], kept)
                        self.assertEqual([d["origin"] for d in result.report["descriptors"] if d["origin"] == "libc"],
                                         ["libc"] * kept)

    def test_what_no_hook_explains_is_unattributed(self):
        for mode, kept in (("leak", 1), ("clean", 0)):
            with self.subTest(mode=mode):
                result = self.run_hook("unseen", mode)
                self.assertEqual([d["origin"] for d in result.exec_leak], ["unattributed"] * kept)
                self.assertEqual(result.report["totals"]["fd"]["unattributed"], kept)
                self.assertEqual(result.report["totals"]["fd"]["live"], kept)


if __name__ == "__main__":
    harness.main()
