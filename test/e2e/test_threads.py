#!/usr/bin/python3
"""Threads: of which class they are, where they stand, and what they keep from being released."""
import os
import signal
import subprocess
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "stuck.c")


def at(marker):
    return harness.line_of(SOURCE, marker)


def by_routine(report):
    return {(thread.get("start_routine") or {}).get("function", thread["class"]): thread for thread in report["threads"]}


def frame(thread, function):
    return next((f for f in thread["stack"] if f.get("function") == function), None)


def wait_until_it_waits(pid):
    """Until the main thread stands in a system call; one that does not cannot be asked where it stands."""
    def waits():
        with open(f"/proc/{pid}/syscall") as file:
            return not file.read().startswith("running")

    harness.wait_for(waits)


class Threads(unittest.TestCase):
    def check_threads(self, report):
        threads = by_routine(report)
        self.assertEqual(set(threads), {"keeper", "sleeper", "reader", "quick", "main"})
        self.assertEqual({name: (thread["class"], thread["state"]) for name, thread in threads.items()},
                         {"keeper": ("joinable", "running"), "sleeper": ("detached", "running"),
                          "reader": ("joinable", "running"), "quick": ("finished", "finished"), "main": ("main", "running")})
        self.check_stacks(threads)
        keeper = threads["keeper"]
        self.assertEqual((keeper["name"], keeper["kernel_state"]), ("keeper", "S"))
        self.assertEqual(sorted(one["target"] for one in keeper["holds"]["descriptors"]), ["/etc/group", "/etc/passwd"])
        self.assertEqual(keeper["holds"]["fd"], 2)
        self.assertGreaterEqual(keeper["holds"]["heap_bytes"], 1 << 20)
        self.assertLess(keeper["holds"]["heap_bytes"], (1 << 20) + 4096)
        self.assertEqual(threads["reader"]["holds"]["fd"], 0)
        self.assertIs(report["threads"][0]["thread"], keeper["thread"], "who holds most comes first")
        totals = report["totals"]["thread"]
        self.assertEqual((totals["live"], totals["running"], totals["detached_running"], totals["unattributed"]), (1, 3, 1, 0))

    def check_stacks(self, threads):
        """The whole way from the call that waits to the start routine, though nothing was done to the thread."""
        for name, marker, caller in (("keeper", "waits", "wait_for_ever"), ("sleeper", "sleeps", "sleeper"),
                                     ("reader", "reads", "reader")):
            stack = threads[name]["stack"]
            self.assertEqual(frame(threads[name], caller)["line"], at(marker), stack)
            self.assertIsNotNone(frame(threads[name], name), "the start routine is on the stack")
        self.assertEqual(frame(threads["keeper"], "keeper")["line"], at("stuck"))
        self.assertNotIn("stack", threads["quick"])

    def test_at_exit(self):
        result = harness.run([harness.program("stuck")])
        self.check_threads(result.report)
        self.assertIn('"keeper" (joinable, waiting); holds 2 descriptors', result.stderr)
        self.assertIn("blocked at", result.stderr)

    def test_at_exit_of_a_bare_preload(self):
        for helper in (True, False):
            result = harness.preload([harness.program("stuck")], helper=helper,
                                     env={"UNFREED_ONLY": "stuck"})
            if helper:
                self.check_threads(result.report)
            else:
                self.assertEqual(by_routine(result.report)["keeper"]["holds"]["fd"], 2)
                self.assertIsNotNone(frame(by_routine(result.report)["reader"], "reader"))

    def test_by_signal_while_it_runs(self):
        with harness.Scratch() as scratch:
            with harness.started([harness.program("stuck"), "stay"], scratch=scratch, launcher=False,
                                 env={"UNFREED_ONLY": "stuck"}) as process:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                wait_until_it_waits(process.pid)
                os.kill(process.pid, signal.SIGUSR2)
                path = scratch.path(f"stuck.{process.pid}.1.json")
                report = harness.wait_for(lambda: os.path.exists(path) and harness.read_report(path, complete=True))
                self.check_threads(report)
                self.assertIn("main", [f.get("function") for f in by_routine(report)["main"]["stack"]])
                process.stdin.close()
                self.assertEqual(process.wait(20), 0, "nobody was interrupted")

    def test_from_outside(self):
        with harness.Scratch() as scratch:
            for launcher in (True, False):
                with harness.started([harness.program("stuck"), "stay"], scratch=scratch, launcher=launcher,
                                     env={"UNFREED_ONLY": "stuck"}) as process:
                    self.assertEqual(process.stdout.readline(), b"ready\n")
                    pid = harness.child_of(process) if launcher else process.pid
                    wait_until_it_waits(pid)
                    path = scratch.path("snapshot.json")
                    result = harness.unfreed("snapshot", "--output", path, str(pid),
                                             env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                    self.assertEqual(result.status, 0, result)
                    report = harness.read_report(path)
                    self.assertEqual(report["notes"], [])
                    self.check_threads(report)
                    self.assertIn("main", [f.get("function") for f in by_routine(report)["main"]["stack"]])
                    process.stdin.close()
                    self.assertEqual(process.wait(20), 0, "nobody was interrupted")

    def test_what_no_function_started_is_unattributed(self):
        result = harness.run([harness.program("stuck"), "raw"], options=["--fail-on", "thread.unattributed>0"])
        self.assertEqual((result.status, result.report["totals"]["thread"]["unattributed"]), (23, 1))
        thread, = [thread for thread in result.report["threads"] if thread["class"] == "unattributed"]
        self.assertEqual((thread["state"], thread["kernel_state"], thread["holds"]["fd"]), ("running", "S", 0))

    def test_a_place_that_starts_more_and_more(self):
        result = harness.run([harness.program("stuck"), "many"])
        site, = [site for site in result.report["sites"] if site["kind"] == "thread"]
        self.assertEqual((site["running"], site["growing"], harness.top(site)["line"]), (12, True, at("many")))
        result = harness.run([harness.program("stuck")])
        self.assertFalse([site for site in result.report["sites"] if site.get("growing")])


UNSHARED = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static void* open_for_itself(void* way) {
  if (way) syscall(SYS_unshare, CLONE_FILES);
  else unshare(CLONE_FILES);
  open("/etc/passwd", O_RDONLY);
  return NULL;
}

int main(int count, char** arguments) {
  pthread_t thread;
  if (count > 2) return unshare(CLONE_FILES);  // there is nobody else
  pthread_create(&thread, NULL, open_for_itself, count > 1 ? arguments : NULL);
  pthread_join(thread, NULL);
  return 0;
}
"""


class OwnDescriptors(unittest.TestCase):
    def test_descriptors_are_not_exact_once_a_thread_has_some_of_its_own(self):
        with harness.Scratch() as scratch:
            program = scratch.path("unshared")
            subprocess.run(["gcc", "-g", "-pthread", "-x", "c", "-o", program, "-"], input=UNSHARED.encode(), check=True)
            for words, status, coverage in (([], 125, "partial"), (["syscall"], 125, "partial"), (["alone", "alone"], 0, "exact")):
                with self.subTest(words=words):
                    result = harness.run([program, *words], options=["--fail-on", "fd>0"])
                    self.assertEqual((result.status, result.report["coverage"]["fd"]), (status, coverage), result)


if __name__ == "__main__":
    harness.main()
