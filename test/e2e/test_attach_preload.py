"""unfreed attach --preload and detach: the library in a process that runs already, which notices nothing."""
import os
import re
import shutil
import signal
import subprocess
import threading
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "attached_load.c")
ROUNDS = 40


class Target:
    """A process that runs already, and checks its own memory and waits. It ends with the `with` that it is used in."""

    def __init__(self, arguments=None, **keywords):
        self.process = subprocess.Popen(arguments or [harness.program("attached_load")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=harness.clean_environment(),
                                        start_new_session=True, **keywords)
        self.pid = self.process.pid

    def __enter__(self):
        try:
            assert self.read_line() == "ready\n"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        harness.kill_group(self.process)
        self.process.communicate()

    def read_line(self):
        """'' where it does not answer in time."""
        timer = threading.Timer(harness.TIME_LIMIT, harness.kill_group, [self.process])
        timer.start()
        try:
            return self.process.stdout.readline()
        finally:
            timer.cancel()

    def ask(self, letters):
        """What it says after all of them."""
        for letter in letters:
            self.process.stdin.write(letter + "\n")
            self.process.stdin.flush()
            answer = self.read_line()
        return answer

    def tell(self, letters):
        """Its failures after all of them."""
        return int(self.ask(letters))

    def end(self):
        """Its status and failures."""
        out, _ = self.process.communicate("q\n", timeout=harness.TIME_LIMIT)
        return self.process.returncode, int(out or 0)

    def tracer(self, thread=None):
        with open(f"/proc/{thread or self.pid}/status") as file:
            return int(re.search(r"TracerPid:\t(\d+)", file.read()).group(1))

    def is_at_gate(self):
        """Is its main thread in the call of malloc that waits?"""
        with open(f"/proc/{self.pid}/syscall") as file:
            return file.read().startswith("0 0x3 ")

    def left_over_bytes(self):
        """Of its memory: what is mapped for no file, but for the allocator's arenas and what has a name."""
        arena, found = 64 << 20, 0
        with open(f"/proc/{self.pid}/maps") as file:
            for words in map(str.split, file):
                start, end = (int(address, 16) for address in words[0].split("-"))
                if len(words) == 5 and words[1] == "rw-p" and start % arena:
                    found += end - start
        return found


def command(scratch, *words, also=None, **keywords):
    return harness.unfreed(*words, env={"UNFREED_LEDGER_DIR": scratch.ledgers, **(also or {})}, cwd=scratch.folder,
                           **keywords)


def sites_at(report, function, kind):
    return [site for site in harness.live_sites(report, kind) if function in harness.functions(site)]


@unittest.skipUnless(os.uname().machine == "x86_64", "libraries are loaded into running processes on x86-64 only")
class AttachPreload(unittest.TestCase):
    def attach(self, scratch, pid, *options):
        result = command(scratch, "attach", "--preload", *options, str(pid))
        self.assertEqual((result.status, result.stderr.count("\n")), (0, 1), result)
        self.assertIn(f"'unfreed detach {pid}' ends it", result.stderr)

    def detach(self, scratch, pid):
        output = scratch.path("detached.json")
        result = command(scratch, "detach", "--force", "--output", output, str(pid))
        self.assertEqual(result.status, 0, result)
        return harness.read_report(output)

    def check_leaks(self, report, count):
        for function, kind, marker in (("leak_block", "heap", "block"), ("leak_descriptor", "fd", "descriptor")):
            [site] = sites_at(report, function, kind)
            self.assertEqual((site["live"], harness.top(site)["line"]), (count, harness.line_of(SOURCE, marker)), site)
        self.assertEqual(sites_at(report, "leak_block", "heap")[0]["bytes"], 777 * count)

    def test_what_is_acquired_from_then_on(self):
        with harness.Scratch() as scratch, Target() as target:
            target.tell("mmoow")
            before = len(os.listdir(f"/proc/{target.pid}/fd"))
            self.attach(scratch, target.pid)
            self.assertEqual(target.tell("mmmooobtlfsw"), 0)
            now = len(os.listdir(f"/proc/{target.pid}/fd"))
            output = scratch.path("snapshot.json")
            result = command(scratch, "snapshot", "--output", output, str(target.pid))
            self.assertEqual(result.status, 0, result)
            report = harness.read_report(output)
            self.assertEqual((report["backend"], report["process"]["attached"]), ("preload", True))
            self.check_leaks(report, 3)
            totals = report["totals"]
            # One that was open before has been closed.
            self.assertEqual((totals["fd"]["inherited"], totals["fd"]["live"] + totals["fd"]["inherited"]), (before - 1, now))
            self.assertEqual(totals["fd"]["unattributed"], 0)
            self.assertEqual((totals["thread"]["live"], totals["thread"]["total"]), (1, 1))
            self.assertEqual((totals["child"]["live"], totals["child"]["total"]), (0, 1))
            self.assertEqual(report["misuse"], [])
            [stream] = [site for site in harness.live_sites(report, "fd") if "open_library" in harness.functions(site)]
            self.assertEqual((stream["live"], stream["acquired_by"]), (1, "open"), "in a library that was loaded since")
            self.assertEqual(report["coverage"]["fd"], "exact")
            self.assertEqual(report["coverage"]["heap"], "partial")
            self.check_leaks(self.detach(scratch, target.pid), 3)
            self.assertEqual(target.end(), (7, 0))
            self.assertEqual(scratch.leftovers(), [])

    def test_it_reports_at_its_end_when_its_own_handlers_have_run(self):
        with harness.Scratch() as scratch, Target() as target:
            self.attach(scratch, target.pid, "--output", "attached.json")
            self.assertEqual(target.tell("mow"), 0)
            self.assertEqual(target.end(), (7, 0))
            report = harness.read_report(scratch.path("attached.json"), complete=True)
            self.assertEqual((report["trigger"], report["process"]["exit_status"], report["process"]["attached"]),
                             ("exit", 7, True))
            self.check_leaks(report, 1)
            # What its threads held was freed: they have been joined.
            self.assertEqual(report["totals"]["heap"]["live"], 1)
            self.assertEqual(sorted(os.listdir(scratch.folder)), ["attached.json"])
            self.assertEqual(scratch.leftovers(), [])

    def test_it_overwrites_what_is_no_report_by_force_alone(self):
        for options, is_kept in (((), True), (("--force",), False)):
            with self.subTest(options), harness.Scratch() as scratch, Target() as target:
                with open(scratch.path("keep.txt"), "w") as file:
                    file.write("mine")
                self.attach(scratch, target.pid, "--output", "keep.txt", *options)
                target.tell("o")
                self.assertEqual(target.end(), (7, 0))
                with open(scratch.path("keep.txt")) as file:
                    self.assertEqual(file.read() == "mine", is_kept)

    def test_again_and_again_under_load(self):
        with harness.Scratch() as scratch, Target() as target:
            left_over = []
            for count in range(ROUNDS):
                self.attach(scratch, target.pid)
                self.assertEqual(target.tell("om"), 0)
                report = self.detach(scratch, target.pid)
                self.check_leaks(report, 1)
                left_over.append(target.left_over_bytes())
            self.assertEqual(target.tell("omtlfsbw"), 0)
            # A thread that is made to call functions has a stack of half a MiB for that.
            self.assertLess(left_over[-1] - left_over[1], ROUNDS // 2 * (512 << 10), left_over)
            self.assertEqual(target.end(), (7, 0))
            self.assertEqual(scratch.leftovers(), [])

    def test_other_than_the_process_asked_for_no_rule_changes_its_status(self):
        with harness.Scratch() as scratch, Target() as target:
            self.attach(scratch, target.pid)
            self.assertEqual(target.tell("mo"), 0)
            result = command(scratch, "snapshot", "--fail-on", "fd>0", str(target.pid))
            self.assertEqual(result.status, 23, result)
            result = command(scratch, "detach", "--fail-on", "heap>1000000", str(target.pid))
            self.assertEqual(result.status, 125, "the heap was seen in part")
            self.assertEqual(target.end(), (7, 0))

    def check_rules(self, scratch, target, rules, status):
        result = command(scratch, "detach", "--force", "--output", scratch.path("checked.json"), "--fail-on", rules,
                         str(target.pid))
        self.assertEqual(result.status, status, result)
        return harness.read_report(scratch.path("checked.json"))

    def test_children_from_before(self):
        with harness.Scratch() as scratch, Target() as target:
            target.tell("cc")
            for _ in range(2):
                self.attach(scratch, target.pid)
                children = self.check_rules(scratch, target, "child>0", 0)["totals"]["child"]
                self.assertEqual((children["inherited"], children["live"]), (2, 0))
            self.attach(scratch, target.pid)
            target.tell("c")
            self.check_rules(scratch, target, "child>0", 23)
            self.assertEqual(target.end(), (7, 0))

    def test_orphans_that_come_to_the_process(self):
        with harness.Scratch() as scratch, Target() as target:
            target.tell("a")
            for _ in range(2):
                self.attach(scratch, target.pid)
                target.tell("g")
                self.check_rules(scratch, target, "child>0", 0)
            self.assertEqual(target.end(), (7, 0))

    def test_a_thread_with_descriptors_of_its_own(self):
        # Where a busy machine leaves no moment outside the library, what threads are just opening may be counted.
        rules = "fd>100"
        for letters in ("u", "au"):  # before the first attachment, and between two
            with self.subTest(letters), harness.Scratch() as scratch, Target() as target:
                if letters == "au":
                    self.attach(scratch, target.pid)
                    self.check_rules(scratch, target, rules, 0)
                target.tell(letters)
                self.attach(scratch, target.pid)
                self.assertEqual(self.check_rules(scratch, target, rules, 125)["coverage"]["fd"], "partial")
                self.assertEqual(target.end(), (7, 0))

    def test_a_child_is_ended_by_the_report_signal(self):
        with harness.Scratch() as scratch, Target() as target:
            self.attach(scratch, target.pid)
            self.assertEqual(target.tell("pk"), 0)
            self.detach(scratch, target.pid)
            self.assertEqual(target.end(), (7, 0))

    def test_processes_that_wait_for_signals(self):
        script = ("import signal, sys\n"
                  "print('ready', flush=True)\n"
                  "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
                  "{}\n"
                  "sys.exit(7)\n")
        for call in ("signal.pause()", "signal.sigwait([signal.SIGTERM])"):
            with self.subTest(call), harness.Scratch() as scratch:
                arguments = ["/usr/bin/python3", "-c", script.format(call)]
                with Target(arguments) as target:
                    self.attach(scratch, target.pid)
                    self.detach(scratch, target.pid)
                    if "sigwait" in call:
                        target.process.send_signal(signal.SIGTERM)
                        self.assertEqual(target.process.wait(harness.TIME_LIMIT), 7)

    def test_what_is_opened_while_the_tracking_ends(self):
        script = ("import os, sys, threading, time\n"
                  "def work():\n"
                  "    while True:\n"
                  "        opened = [os.open('/dev/null', os.O_RDONLY) for _ in range(100)]\n"
                  "        time.sleep(0.0005)\n"
                  "        for one in opened: os.close(one)\n"
                  "        time.sleep(0.0005)\n"
                  "threading.Thread(target=work, daemon=True).start()\n"
                  "print('ready', flush=True)\n"
                  "sys.stdin.read()\n")
        with harness.Scratch() as scratch, Target(["/usr/bin/python3", "-c", script]) as target:
            for _ in range(10):
                self.attach(scratch, target.pid)
                self.check_rules(scratch, target, "fd.unattributed>0", 0)

    def test_python(self):
        script = ("import sys, threading, time\n"
                  "kept = []\n"
                  "threading.Thread(target=lambda: [time.sleep(0.001) for _ in range(10**6)], daemon=True).start()\n"
                  "print('ready', flush=True)\n"
                  "def leak(): kept.append(open('/dev/null'))\n"
                  "for line in sys.stdin:\n"
                  "    if line == 'q\\n': print(0, flush=True); sys.exit(7)\n"
                  "    leak(); print(0, flush=True)\n")
        with harness.Scratch() as scratch, Target(["/usr/bin/python3", "-c", script]) as target:
            for _ in range(3):
                self.attach(scratch, target.pid)
                target.tell("oo")
                report = self.detach(scratch, target.pid)
                self.assertEqual(sum(site["live"] for site in sites_at(report, "leak", "fd")), 2, report["sites"])
            self.assertEqual(target.end(), (7, 0))

    def refuse(self, scratch, pid, expected, *options, word="attach"):
        first = ["attach", "--preload"] if word == "attach" else [word]
        result = command(scratch, *first, *options, str(pid))
        self.assertEqual((result.status, result.stderr.count("\n")), (125, 1), result)
        self.assertIn(expected, result.stderr)

    def test_refusals(self):
        with harness.Scratch() as scratch, Target() as target:
            self.refuse(scratch, target.pid, "was not attached to", word="detach")
            self.refuse(scratch, target.pid, "--preload excludes", "--for", "1s")
            self.refuse(scratch, target.pid, "--preload excludes", "--fail-on", "fd>0")
            self.refuse(scratch, target.pid, "--preload excludes", "--exit-code", "3")
            result = command(scratch, "attach", "--preload", str(target.pid), also={"UNFREED_FAIL_ON": "fd>0"})
            self.assertEqual((result.status, result.stderr.count("\n")), (125, 1), result)
            self.assertIn("--preload excludes UNFREED_FAIL_ON, which is set in the environment", result.stderr)
            self.attach(scratch, target.pid)
            self.refuse(scratch, target.pid, "is tracked already")
            self.detach(scratch, target.pid)
            self.refuse(scratch, target.pid, "was not attached to", word="detach")
            target.process.send_signal(signal.SIGSTOP)
            harness.wait_for(lambda: "T" in open(f"/proc/{target.pid}/stat").read().split(")")[1])
            self.refuse(scratch, target.pid, "it is stopped")
            target.process.send_signal(signal.SIGCONT)
            self.assertEqual(target.end()[0], 7)  # SIGCONT has ended its epoll_wait with EINTR

    def test_refused_programs(self):
        seccomp = ("import ctypes, sys\nlibc = ctypes.CDLL(None)\nlibc.prctl(38, 1, 0, 0, 0)\n"
                   "code = ctypes.create_string_buffer(bytes([6, 0, 0, 0, 0, 0, 0xff, 0x7f]))\n"
                   "class Program(ctypes.Structure): _fields_ = [('n', ctypes.c_ushort), ('p', ctypes.c_void_p)]\n"
                   "program = Program(1, ctypes.cast(code, ctypes.c_void_p))\n"
                   "assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0\nprint('ready', flush=True)\nsys.stdin.read()\n")
        cases = [(["/usr/bin/python3", "-c", seccomp], "it restricts its system calls (seccomp)", {}),
                 (["/bin/sh", "-c", "ulimit -v 4000000; echo ready; read line"], "limit on address space", {})]
        if shutil.which("busybox") and b"statically linked" in subprocess.run(
                ["file", "-L", shutil.which("busybox")], capture_output=True, check=False).stdout:
            cases.append(([shutil.which("busybox"), "sh", "-c", "echo ready; read line"], "static", {}))
        for arguments, expected, keywords in cases:
            with self.subTest(expected), harness.Scratch() as scratch, Target(arguments, **keywords) as target:
                self.refuse(scratch, target.pid, expected)

    @unittest.skipUnless(shutil.which("musl-gcc"), "musl is not installed")
    def test_a_program_of_musl(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("waits.c"), "w") as file:
                file.write('#include <stdio.h>\nint main(void) { puts("ready"); fflush(stdout); getchar(); return 0; }\n')
            subprocess.run(["musl-gcc", "-o", scratch.path("waits"), scratch.path("waits.c")], check=True)
            with Target([scratch.path("waits")]) as target:
                self.refuse(scratch, target.pid, "the library for musl cannot be loaded into a running process")

    def start_attaching(self, scratch, pid):
        return subprocess.Popen([harness.COMMAND, "attach", "--preload", str(pid)], stderr=subprocess.PIPE, text=True,
                                cwd=scratch.folder, env=harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers}))

    def check_unharmed(self, scratch, target, answer):
        """It says `answer`, can be attached to, and ends."""
        self.assertEqual(target.tracer(), 0)
        self.assertEqual(target.ask("xx"), answer)
        self.attach(scratch, target.pid)
        self.assertEqual(target.ask("x"), answer)
        self.detach(scratch, target.pid)
        self.assertEqual(target.ask("x"), answer)
        self.assertEqual(target.end(), (7, 0))
        self.assertEqual(scratch.leftovers(), [])

    def test_the_loader_waits_for_another_thread(self):
        for is_stopped in (False, True):
            with self.subTest(is_stopped=is_stopped), harness.Scratch() as scratch, \
                    Target([harness.program("attached_stuck")]) as target:
                self.assertEqual(target.ask("h"), "0 0\n")
                with self.start_attaching(scratch, target.pid) as attaching:
                    harness.wait_for(target.is_at_gate)
                    target.process.send_signal(signal.SIGUSR1)
                    if is_stopped:
                        target.process.send_signal(signal.SIGSTOP)
                    message = attaching.communicate(timeout=harness.TIME_LIMIT)[1]
                self.assertEqual((attaching.returncode, message.count("\n")), (125, 1), message)
                self.assertIn("has not finished to load the library within ten seconds", message)
                if is_stopped:
                    harness.wait_for(lambda: " T " in open(f"/proc/{target.pid}/stat").read())
                    target.process.send_signal(signal.SIGCONT)
                target.process.send_signal(signal.SIGRTMIN)
                self.check_unharmed(scratch, target, "1 0\n")

    def test_the_command_is_killed_meanwhile(self):
        with harness.Scratch() as scratch, Target([harness.program("attached_stuck")]) as target:
            target.ask("h")
            with self.start_attaching(scratch, target.pid) as attaching:
                harness.wait_for(target.is_at_gate)
                attaching.kill()
            target.process.send_signal(signal.SIGUSR1)
            target.process.send_signal(signal.SIGRTMIN)
            self.check_unharmed(scratch, target, "1 0\n")

    def test_no_thread_is_at_a_safe_place_at_first(self):
        with harness.Scratch() as scratch, Target([harness.program("attached_stuck")]) as target:
            target.ask("u")
            with self.start_attaching(scratch, target.pid) as attaching:
                harness.wait_for(target.tracer)
                harness.wait_for(lambda: target.tracer() == 0, step=0)
                target.process.send_signal(signal.SIGUSR2)
                message = attaching.communicate(timeout=harness.TIME_LIMIT)[1]
            self.assertEqual(attaching.returncode, 0, message)
            self.detach(scratch, target.pid)
            self.check_unharmed(scratch, target, "0 0\n")

    def test_a_thread_that_the_kernel_does_not_stop(self):
        with harness.Scratch() as scratch, Target([harness.program("attached_stuck")]) as target:
            target.ask("v")
            self.refuse(scratch, target.pid, "one of its threads could not be stopped")
            target.process.send_signal(signal.SIGRTMIN)
            self.check_unharmed(scratch, target, "0 0\n")

    def test_a_thread_that_the_kernel_does_not_stop_at_once(self):
        with harness.Scratch() as scratch, Target([harness.program("attached_stuck")]) as target:
            target.ask("v")
            with self.start_attaching(scratch, target.pid) as attaching:
                # A try has ended that let the others go, as not all had stopped.
                [_, other, _] = sorted(map(int, os.listdir(f"/proc/{target.pid}/task")))
                harness.wait_for(lambda: target.tracer(other), step=0)
                harness.wait_for(lambda: target.tracer(other) == 0, step=0)
                target.process.send_signal(signal.SIGRTMIN)
                message = attaching.communicate(timeout=harness.TIME_LIMIT)[1]
            self.assertEqual(attaching.returncode, 0, message)
            self.detach(scratch, target.pid)
            self.check_unharmed(scratch, target, "0 0\n")

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_another_users_process(self):
        with Target() as target:
            result = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", harness.COMMAND, "attach",
                                     "--preload", str(target.pid)], stderr=subprocess.PIPE, text=True, check=False,
                                    cwd="/", env=harness.clean_environment())
            self.assertEqual((result.returncode, result.stderr.count("\n")), (125, 1), result)
            self.assertIn("may not be traced: it belongs to user 0", result.stderr)
            self.assertEqual(target.end(), (7, 0))


harness.main()
