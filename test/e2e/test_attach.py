"""unfreed attach: what a running process acquires from then on; the process notices nothing, however it ends."""
import os
import shutil
import signal
import subprocess
import time
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "attached.c")


def state(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1] for line in file if line.startswith(field + ":"))


def open_descriptors(pid):
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))


class Target:
    """A process that runs already."""

    def __init__(self, arguments=None):
        self.process = subprocess.Popen(arguments or [harness.program("attached")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=harness.clean_environment())
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.end()
        self.process.stdin.close()
        self.process.stdout.close()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.write("q\n")
        self.process.stdin.flush()
        return self.process.wait(harness.TIME_LIMIT)


class Attached:
    """unfreed, attached to it."""

    def __init__(self, pid, scratch, *options):
        self.scratch = scratch
        env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
        self.output = scratch.path(f"attached.{time.monotonic_ns()}.json")
        self.process = subprocess.Popen([harness.COMMAND, "attach", "--output", self.output, *options, str(pid)],
                                        stderr=subprocess.PIPE, text=True, env=env)
        self.first = self.process.stderr.readline()
        assert "attached to" in self.first, self.first

    def end(self, by=signal.SIGINT):
        if by:
            self.process.send_signal(by)
        self.stderr = self.process.communicate(timeout=harness.TIME_LIMIT)[1]
        self.report = harness.read_report(self.output) if os.path.exists(self.output) else None
        return self.process.returncode


def attach(pid, scratch, *options):
    return harness.unfreed("attach", *options, str(pid), env={"UNFREED_LEDGER_DIR": scratch.ledgers},
                           cwd=scratch.folder)


class Attach(unittest.TestCase):
    def test_counts_are_the_kernels(self):
        with harness.Scratch() as scratch, Target() as target:
            before = open_descriptors(target.pid)
            attached = Attached(target.pid, scratch)
            for line in "ooococtf":
                target.tell(line)
            now = open_descriptors(target.pid)
            self.assertEqual(attached.end(), 0, attached.stderr)
            report = attached.report
            self.assertEqual((report["backend"], report["trigger"], report["process"]["attached"]),
                             ("trace", "snapshot", True))
            self.assertTrue(report["reconciled"])
            fds = report["totals"]["fd"]
            self.assertEqual((fds["inherited"], fds["live"], fds["total"], fds["unattributed"]),
                             (len(before), len(now) - len(before), 4, 0))
            held = [o["fd"] for site in report["sites"] if site["kind"] == "fd" for o in site["objects"]]
            self.assertEqual(sorted(before + held), now)
            for kind, marker in ("fd", "opened"), ("thread", "thread"), ("child", "child"):
                line = harness.line_of(SOURCE, marker)
                [site] = [site for site in report["sites"] if site["kind"] == kind and any(
                    frame.get("line") == line and frame["file"].endswith("attached.c") for frame in site["stack"])]
                self.assertEqual(site["live"] + site.get("running", 0), 2 if kind == "fd" else 1)
            self.assertEqual(report["totals"]["child"]["inherited"], 1)
            self.assertEqual((target.tell("l").split(), target.end()), ([str(fd) for fd in now], 7))

    def test_waits_go_on(self):
        with harness.Scratch() as scratch, Target() as target:
            for _ in range(20):
                attached = Attached(target.pid, scratch)
                self.assertEqual(state(state(target.pid, "TracerPid"), "Tgid"), str(attached.process.pid))
                os.kill(target.pid, signal.SIGWINCH)  # ignored; whoever is traced is woken by it all the same
                target.tell("o")
                self.assertEqual(attached.end(), 0, attached.stderr)
                self.assertEqual(state(target.pid, "TracerPid"), "0")
            self.assertEqual((target.tell("i"), target.end()), ("0", 7))

    def test_no_signal_is_lost_or_doubled(self):
        with harness.Scratch() as scratch, Target() as target:
            sent = 0
            for _ in range(10):
                attached = Attached(target.pid, scratch)
                for _ in range(50):
                    sent += 1
                    subprocess.run(["kill", "-q", "0", "-s", str(int(signal.SIGRTMIN)), str(target.pid)], check=True)
                self.assertEqual(attached.end(signal.SIGTERM), 0, attached.stderr)
            self.assertEqual((target.tell("s"), target.end()), (str(sent), 7))

    def test_a_stopped_process_stays_stopped(self):
        with harness.Scratch() as scratch, Target() as target:
            os.kill(target.pid, signal.SIGSTOP)
            self.assertTrue(os.WIFSTOPPED(os.waitpid(target.pid, os.WUNTRACED)[1]))
            attached = Attached(target.pid, scratch)
            self.assertIn(state(target.pid, "State"), "tT")
            self.assertEqual(attached.end(signal.SIGHUP), 0, attached.stderr)
            harness.wait_for(lambda: state(target.pid, "State") == "T")
            attached = Attached(target.pid, scratch)
            os.kill(target.pid, signal.SIGCONT)
            target.tell("o")
            os.kill(target.pid, signal.SIGSTOP)
            self.assertTrue(os.WIFSTOPPED(os.waitpid(target.pid, os.WUNTRACED)[1]))
            self.assertEqual(attached.end(), 0, attached.stderr)
            self.assertEqual(attached.report["totals"]["fd"]["live"], 1)
            harness.wait_for(lambda: state(target.pid, "State") == "T")
            os.kill(target.pid, signal.SIGCONT)
            self.assertEqual((target.tell("i"), target.end()), ("0", 7))

    def test_the_attacher_is_killed(self):
        with harness.Scratch() as scratch, Target() as target:
            for _ in range(20):
                attached = Attached(target.pid, scratch)
                target.tell("o")
                attached.end(signal.SIGKILL)
                harness.wait_for(lambda: state(target.pid, "TracerPid") == "0")
                self.assertEqual(target.tell("c"), "")
            listed = harness.unfreed("list", env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertNotIn(f" {target.pid} ", listed.stdout)
            self.assertEqual(scratch.leftovers(), [])  # the command after it has removed them
            self.assertEqual(target.end(), 7)

    def test_nothing_is_left_of_followed_children_if_the_attacher_is_killed(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch, "--follow-children")
            target.tell("f")
            harness.wait_for(lambda: [pid for pid in children(target.pid) if has_passwd(pid)])
            harness.wait_for(lambda: len([path for path in scratch.leftovers() if path.split("/")[-1][0].isdigit()]) == 2)
            attached.end(signal.SIGKILL)
            harness.wait_for(lambda: state(target.pid, "TracerPid") == "0")
            harness.unfreed("list", env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertEqual(scratch.leftovers(), [])
            target.tell("w")

    def test_a_process_whose_main_thread_has_ended_has_a_name(self):
        program = harness.program("worker")
        with harness.Scratch() as scratch:
            worker = subprocess.Popen([program, "3", "thread"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env=harness.clean_environment())
            try:
                self.assertEqual(worker.stdout.readline(), "ready\n")
                harness.wait_for(lambda: state(worker.pid, "State") == "Z")
                attached = Attached(worker.pid, scratch)
                self.assertEqual(attached.end(), 0, attached.stderr)
                self.assertEqual((attached.report["process"]["exe"], attached.report["process"]["argv"][1:]), (program, ["3", "thread"]))
                self.assertIn(f"unfreed: worker (pid {worker.pid}) is still running", attached.stderr)
            finally:
                worker.kill()
                worker.communicate()

    def test_job_control_does_not_freeze_it(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch)
            for ignored in signal.SIGTTIN, signal.SIGTTOU:
                attached.process.send_signal(ignored)
            target.tell("o")
            self.assertNotIn(state(attached.process.pid, "State"), "tT")
            self.assertEqual(attached.end(signal.SIGTSTP), 0, attached.stderr)
            self.assertEqual(attached.report["totals"]["fd"]["live"], 1)
            self.assertEqual((state(target.pid, "TracerPid"), target.end()), ("0", 7))

    def test_the_process_ends(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch, "--fail-on", "fd>0", "--for", "1h")
            target.tell("o")
            self.assertEqual(target.end(), 7)
            self.assertEqual(attached.end(by=None), 23, attached.stderr)
            self.assertEqual((attached.report["trigger"], attached.report["process"]["exit_status"]), ("exit", 7))
            self.assertEqual(attached.report["totals"]["fd"]["live"], 1)

    def test_rules_are_checked_on_what_was_seen(self):
        with harness.Scratch() as scratch, Target() as target:
            for rule, status in ("fd>0", 0), ("fd>=0", 23), ("child>0", 0), ("thread>0", 125), ("heap>0", 125):
                result = attach(target.pid, scratch, "--for", "10ms", "--fail-on", rule)
                self.assertEqual(result.status, status, result)

    def test_children_are_followed_on_request(self):
        with harness.Scratch() as scratch, Target() as target:
            for options, others in ((), 0), (("--follow-children",), 1):
                attached = Attached(target.pid, scratch, *options)
                target.tell("f")
                child = harness.wait_for(lambda: [pid for pid in children(target.pid) if has_passwd(pid)])[0]
                self.assertEqual(attached.end(), 0, attached.stderr)
                self.assertEqual(attached.stderr.count("holds 1 descriptor"), others, attached.stderr)
                self.assertEqual(state(child, "TracerPid"), "0")
                self.assertEqual(attached.report["totals"]["child"]["running"], 1)
                target.tell("w")

    def test_another_program_is_executed(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch)
            target.tell("o")
            target.process.stdin.write("x\n")
            target.process.stdin.flush()
            self.assertEqual(target.process.stdout.readline(), "ready\n")
            target.tell("o")
            now = open_descriptors(target.pid)
            self.assertEqual(attached.end(), 0, attached.stderr)
            fds = attached.report["totals"]["fd"]
            self.assertEqual(fds["inherited"] + fds["live"], len(now))
            self.assertEqual(target.end(), 7)

    def test_says_for_how_long(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch, "--for", "500ms")
            self.assertEqual(attached.end(by=None), 0, attached.stderr)
            self.assertIn("; for 500 ms each of its", attached.first)
            attached = Attached(target.pid, scratch)
            self.assertEqual(attached.end(), 0, attached.stderr)
            self.assertIn("; until ^C each of its", attached.first)

    def test_attaching_again_is_to_the_same_process(self):
        with harness.Scratch() as scratch, Target() as target:
            first, other = scratch.path("first.json"), scratch.path("other.json")
            for path in first, first, other:
                target.tell("o")
                result = attach(target.pid, scratch, "--for", "10ms", "--output", path)
                self.assertEqual(result.status, 0, result)
            self.assertEqual(sorted(name for name in os.listdir(scratch.folder) if name.endswith(".json")), ["first.json", "other.json"])
            self.assertEqual(harness.read_report(first)["process"]["started"], harness.read_report(other)["process"]["started"])
            compared = harness.unfreed("diff", first, other)
            self.assertEqual(compared.status, 0, compared)
            # Each has what was made since its own attachment.
            self.assertNotIn("different processes", compared.stdout)
            self.assertNotIn("later, in the same process", compared.stdout)
            self.assertEqual(target.end(), 7)

    def test_it_is_seen_as_a_tracked_process(self):
        with harness.Scratch() as scratch, Target() as target:
            env = {"UNFREED_LEDGER_DIR": scratch.ledgers}
            attached = Attached(target.pid, scratch)
            target.tell("o")
            self.assertIn(f" {target.pid} ", harness.unfreed("list", env=env).stdout)
            path = scratch.path("now.json")
            snapshot = harness.unfreed("snapshot", "--output", path, str(target.pid), env=env)
            self.assertEqual((snapshot.status, harness.read_report(path)["totals"]["fd"]["live"]), (0, 1), snapshot)
            self.assertEqual(attached.end(), 0, attached.stderr)
            self.assertNotIn(f" {target.pid} ", harness.unfreed("list", env=env).stdout)

    def test_refusals(self):
        with harness.Scratch() as scratch, Target() as target:
            ended = subprocess.Popen(["true"])
            harness.wait_for(lambda: state(ended.pid, "State") == "Z")
            cases = [("", "'' is not the name of a program"), (2**22 + 1, "no process 4194305 is running"), ("no-such-program", "no process is named"),
                     (0, "is not the number of a process"), (ended.pid, "zombie")]
            if os.path.exists("/proc/2/stat") and not open("/proc/2/cmdline").read():
                cases.append((2, "is a thread of the kernel"))
            attached = Attached(target.pid, scratch)
            cases.append((target.pid, f"'unfreed snapshot {target.pid}'"))
            for pid, expected in cases:
                result = attach(pid, scratch)
                self.assertEqual((result.status, result.stderr.count("\n")), (125, 1), result)
                self.assertIn(expected, result.stderr)
            self.assertEqual(attached.end(), 0, attached.stderr)
            ended.wait()

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_a_process_that_is_traced_already(self):
        with harness.Scratch() as scratch, Target() as target:
            other = subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(target.pid)], stderr=subprocess.DEVNULL)
            harness.wait_for(lambda: state(target.pid, "TracerPid") != "0")
            result = attach(target.pid, scratch)
            self.assertEqual(result.status, 125)
            self.assertIn(f"is traced already, by strace (pid {other.pid})", result.stderr)
            other.terminate()
            other.wait()

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_another_users_process(self):
        with Target() as target:
            result = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", harness.COMMAND, "attach",
                                     str(target.pid)], stderr=subprocess.PIPE, text=True, check=False,
                                    cwd="/", env=harness.clean_environment())
            self.assertEqual((result.returncode, result.stderr.count("\n")), (125, 1), result)
            self.assertIn("may not be traced: it belongs to user 0", result.stderr)
            self.assertEqual(target.end(), 7)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def has_passwd(pid):
    return any(os.readlink(f"/proc/{pid}/fd/{fd}") == "/etc/passwd" for fd in os.listdir(f"/proc/{pid}/fd"))


if __name__ == "__main__":
    harness.main()
