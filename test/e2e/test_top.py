#!/usr/bin/python3
"""unfreed top: the live view, in a real terminal (tmux), and as text."""
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

import harness
from test_growth import Asked

COLUMNS, LINES = 120, 36
RED, COLOUR = r"\x1b\[(\d+;)*31m", r"\x1b\[(\d+;)*3[0-7]m"


class Terminal:
    """A shell in a terminal of tmux's, with a server of its own."""

    def __init__(self, scratch, env=None, columns=COLUMNS, lines=LINES):
        # A server that is about to end would still answer by its name.
        self.socket = tempfile.mktemp(prefix="tmux", dir=scratch.folder)
        self.env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers, "TERM": "screen",
                                              "HOME": scratch.folder, **(env or {})})
        self.env.pop("TMUX", None)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", scratch.folder,
                  *(word for name, value in (env or {}).items() for word in ("-e", f"{name}={value}")), "/bin/sh")
        try:
            self.type("PS1='ready> '")
            self.wait_for("(?m)^(# |[$] )?ready>$")
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.tmux("kill-server")

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-u", "-S", self.socket, *words], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=harness.TIME_LIMIT, check=False)
        return done.stdout.decode()

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, line):
        self.tmux("send-keys", "-l", line)
        self.keys("Enter")

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", *options)

    def wait_for(self, pattern, *options):
        """The screen, once it has that. The time is for a machine that is busy with other things."""
        shown = [""]

        def has_it():
            shown[0] = self.screen(*options)
            return re.search(pattern, shown[0])

        try:
            harness.wait_for(has_it, seconds=harness.TIME_LIMIT)
        except AssertionError:
            raise AssertionError(f"{pattern!r} is not on the screen:\n{shown[0]}") from None
        return shown[0]

    def top(self, *options):
        self.type(" ".join([harness.COMMAND, "top", "-d", "0.2", *options, '; echo "the status is $?"']))

    def wait_for_end(self, status=0):
        return self.wait_for(rf"(?m)^the status is {status}$")


class Top(unittest.TestCase):
    def setUp(self):
        self.scratch = harness.Scratch()
        self.scratch.__enter__()
        self.addCleanup(self.scratch.__exit__, None, None, None)

    def leaking(self):
        process = Asked(self.scratch)
        process.__enter__()
        self.addCleanup(process.__exit__, None, None, None)
        process.take_turns(3)
        return process

    def top(self, process, *options):
        return harness.unfreed("top", "-b", "-d", "0.1", *options, str(process.pid),
                               env={"UNFREED_LEDGER_DIR": self.scratch.ledgers})

    # ---- as text ----

    def test_text_has_processes_and_call_sites(self):
        process = self.leaking()
        done = self.top(process, "-n", "2")
        self.assertEqual((done.status, done.stderr), (0, ""), done)
        looks = done.stdout.split("look ")[1:]
        self.assertEqual(len(looks), 2, done)
        for look in looks:
            self.assertRegex(look, rf"(?m)^ +{process.pid} .* 3 .* \S*growth asked$")
            self.assertRegex(look, rf"(?m)^growth \(pid {process.pid}\): \d+ call sites")
            self.assertRegex(look, r"(?m)^  fd +3 .* leak_descriptor \(\S*growth.c:\d+\)$")

    def test_text_has_every_process_with_its_call_sites(self):
        processes = [self.leaking(), self.leaking()]
        done = harness.unfreed("top", "-b", "-n", "2", "-d", "0.1", str(os.getpid()),  # whose children they are
                               env={"UNFREED_LEDGER_DIR": self.scratch.ledgers})
        self.assertEqual((done.status, done.stderr), (0, ""), done)
        for process in processes:
            self.assertEqual(len(re.findall(rf"(?m)^growth \(pid {process.pid}\): ", done.stdout)), 2, done)
        self.assertEqual(len(re.findall(r"(?m)^  fd +3 .* leak_descriptor ", done.stdout)), 4, done)

    def test_text_ends_with_its_process(self):
        process = self.leaking()
        reader = subprocess.Popen([harness.COMMAND, "top", "-b", "-d", "0.1", str(process.pid)], text=True,
                                  env=harness.clean_environment({"UNFREED_LEDGER_DIR": self.scratch.ledgers}),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(reader.stdout.readline(), "look 1\n")
        process.process.stdin.close()
        stdout, stderr = reader.communicate(timeout=harness.TIME_LIMIT)
        self.assertEqual((reader.returncode, stderr), (0, ""))
        self.assertIn("(ended) ", stdout)

    def test_bad_requests_are_one_line(self):
        process = self.leaking()
        for words, reason in ((["top"], "standard output is not a terminal (--batch writes text)"),
                              (["top", "-b", "no-such-program"], "no tracked process is named 'no-such-program'"),
                              (["top", "-b", "999999999"], "neither process 999999999 nor one that it has started"),
                              (["top", "-b", "-d", "0"], "--delay: '0' is not a number of seconds"),
                              (["top", "-b", "-d", "1s"], "--delay: '1s' is not a number of seconds")):
            done = harness.unfreed(*words, env={"UNFREED_LEDGER_DIR": self.scratch.ledgers})
            self.assertEqual((done.status, done.stdout, done.stderr.count("\n")), (125, "", 1), done)
            self.assertIn(reason, done.stderr)
        self.assertIsNone(process.process.poll())

    # ---- in a terminal ----

    def test_what_leaks_is_seen_to_grow(self):
        process = self.leaking()
        with Terminal(self.scratch) as terminal:
            terminal.top(str(process.pid))
            terminal.wait_for(r"fd +3 .*leak_descriptor")
            process.take_turns(40)
            terminal.wait_for(r"fd +43 +\+40 .*leak_descriptor \(\S*growth.c:\d+\)")
            self.assertIn("open 46 of 4,096", terminal.screen())
            # A call site with its whole stack.
            terminal.keys("Tab")
            terminal.keys("/")
            terminal.type("leak_desc")
            terminal.wait_for("matching 'leak_desc'")
            terminal.keys("Enter")
            terminal.wait_for(r"every frame:\n +leak_descriptor .*\n +turn .*\n +main ")
            terminal.keys("Escape")
            terminal.wait_for("KIND +LIVE")
            # What is frozen does not change.
            terminal.keys("f")
            terminal.wait_for("FROZEN")
            process.take_turns(10)
            # Another top sees it; many looks later this one shows the same as before.
            self.assertRegex(self.top(process, "-n", "20").stdout, r"(?m)^  fd +53 .* leak_descriptor ")
            self.assertRegex(terminal.screen(), r"fd +43 +\+40 .*leak_descriptor")
            terminal.keys("f")
            terminal.wait_for(r"fd +53 +\+50 ")
            terminal.keys("?")
            terminal.wait_for("filter the list by a regular expression")
            terminal.keys("q")
            terminal.wait_for("KIND +LIVE")
            terminal.keys("q")
            terminal.wait_for_end()

    def test_it_writes_reports_and_asks_for_a_search(self):
        process = self.leaking()
        with Terminal(self.scratch) as terminal:
            terminal.top("-o", "saved.json", str(process.pid))
            terminal.wait_for("leak_descriptor")
            terminal.keys("w")
            terminal.wait_for(r"report: \S*saved.json")
            report = harness.read_report(self.scratch.path("saved.json"))
            self.assertEqual((report["process"]["pid"], report["trigger"]), (process.pid, "snapshot"))
            self.assertNotIn("grading", report)
            terminal.keys("g")
            terminal.wait_for(r"search for what it has lost\?")
            terminal.keys("y")
            terminal.wait_for(f"process {process.pid} has searched for what it has lost")
            terminal.keys("w")
            harness.wait_for(lambda: "grading" in json.loads(open(self.scratch.path("saved.json")).read()))
            terminal.keys("C-c")
            terminal.wait_for_end()

    def test_a_process_that_ends_is_marked(self):
        process, other = self.leaking(), self.leaking()
        with Terminal(self.scratch) as terminal:
            terminal.top(str(os.getpid()))  # whose children they are
            terminal.wait_for("2 processes")
            first = min(process, other, key=lambda one: one.pid)
            first.process.stdin.close()
            terminal.wait_for(rf"> *{first.pid} .*\(ended\)")
            terminal.keys("q")
            terminal.wait_for_end()

    def test_small_terminals_and_changed_sizes(self):
        process = self.leaking()
        with Terminal(self.scratch, columns=80, lines=24) as terminal:
            terminal.top(str(process.pid))
            terminal.wait_for("leak_descriptor")
            for columns, lines, pattern in ((60, 12, rf"> *{process.pid} (?s:.*)Tab list"), (30, 5, "needs 40 x 6"),
                                            (150, 40, "leak_descriptor"), (80, 24, "leak_descriptor")):
                terminal.tmux("resize-window", "-x", str(columns), "-y", str(lines))
                terminal.wait_for(pattern)
            terminal.keys("q")
            terminal.wait_for_end()

    def test_colour_only_where_it_is_wanted(self):
        process = self.leaking()
        for env, is_coloured in (({"NO_COLOR": "1"}, False), ({}, True)):
            with Terminal(self.scratch, env=env) as terminal:
                terminal.top(str(process.pid))
                terminal.wait_for("leak_descriptor")
                for _ in range(20):
                    process.take_turns(3)
                    terminal.screen()
                if is_coloured:
                    # What grows, once there are enough looks.
                    def is_red():
                        process.take_turns(3)
                        return re.search(RED, terminal.screen("-e"))

                    harness.wait_for(is_red, seconds=harness.TIME_LIMIT)
                else:
                    self.assertNotRegex(terminal.screen("-e"), COLOUR)
                terminal.keys("q")
                terminal.wait_for_end()

    def test_terminals_that_cannot_show_it(self):
        process = self.leaking()
        for name in ("dumb", "no-such-terminal"):
            with Terminal(self.scratch) as terminal:
                terminal.type(f"TERM={name} {harness.COMMAND} top {process.pid}; echo \"the status is $?\"")
                shown = terminal.wait_for_end(125)
                self.assertIn(f"unfreed: the terminal '{name}' cannot show it", shown)

    def test_the_terminal_is_as_before(self):
        process = self.leaking()
        with Terminal(self.scratch) as terminal:
            terminal.type("stty -a >before")
            for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                terminal.type("clear")
                terminal.top(str(process.pid))
                terminal.wait_for("leak_descriptor")
                os.kill(self.find_top(process), ending)
                terminal.wait_for_end()
                terminal.type("stty -a | cmp - before && echo as it was")
                terminal.wait_for("(?m)^as it was$")

    def find_top(self, process):
        found = subprocess.run(["pgrep", "-f", f"^{harness.COMMAND} top .* {process.pid}"], stdout=subprocess.PIPE,
                               check=True)
        return int(found.stdout.split()[0])

    def test_it_can_be_stopped_and_goes_on(self):
        process = self.leaking()
        with Terminal(self.scratch) as terminal:
            terminal.type("set -m; stty -a >before")
            terminal.type(f"{harness.COMMAND} top -d 0.2 {process.pid}")
            terminal.wait_for("leak_descriptor")
            terminal.keys("C-z")
            terminal.wait_for("Stopped")
            terminal.type("clear; stty -a | cmp - before && echo as it was")
            terminal.wait_for("(?m)^as it was$")
            process.take_turns(5)
            terminal.type("fg")
            terminal.wait_for(r"fd +8 .*leak_descriptor")
            terminal.keys("q")
            terminal.wait_for(r"(?m)^ready>$")
            terminal.type('clear; echo "the status is $?"')
            terminal.wait_for_end()


if __name__ == "__main__":
    harness.main()
