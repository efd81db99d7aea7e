#!/usr/bin/python3
"""What is written about unfreed agrees with what it says of itself: README, manual page, completion."""
import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import unittest

import harness

SOURCE = harness.SOURCE
MANUAL = os.path.join(harness.BUILD, "src", "cli", "unfreed.1")
COMPLETION = os.path.join(SOURCE, "src", "cli", "completion", "unfreed.bash")
COMPLETION_OF_FISH = os.path.join(SOURCE, "src", "cli", "completion", "unfreed.fish")

# What bash-completion gives its scripts.
SUPPORT = """
_init_completion() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}; }
_filedir() { COMPREPLY=('(a file)'); }
_command_offset() { COMPREPLY=("(the command's own, from $1)"); }
"""


def described(*arguments):
    result = harness.bare([harness.COMMAND, *arguments, "--describe"])
    return [line.split("\t") for line in result.stdout.splitlines()]


def read(path):
    with open(path) as file:
        return file.read()


def commands():
    return [row[1] for row in described() if row[0] == "command"]


def variables():
    return {row[3]: row[0] for row in described("run") if row[3]} | {
        row[1]: None for row in described() if row[0] == "variable"}


class Documents(unittest.TestCase):
    def test_readme_has_every_setting_and_exit_status(self):
        readme = read(os.path.join(SOURCE, "README.md"))
        in_table = re.findall(r"^\| `(UNFREED_\w+)` \|", readme, re.M)
        # Not a setting of a process: every command looks for ledgers there.
        self.assertEqual(sorted(in_table), sorted([*variables(), "UNFREED_LEDGER_DIR"]))
        for row in described():
            if row[0] == "status":
                self.assertRegex(readme, rf"(?m)^\| {row[1]} \|")
            if row[0] == "subject":
                self.assertIn(f"`{row[1]}`", readme)

    def test_manual_has_every_command_and_option(self):
        manual = read(MANUAL).replace("\\-", "-")
        self.assertGreaterEqual(len(commands()), 6)
        for command in commands():
            self.assertIn(f"\n.B unfreed {command}\n", manual)
            self.assertRegex(manual, rf"\n\.TP\n\.B {command}\n", "what it does")
            for names, *_ in described(command):
                self.assertIn(names.replace(",", ", "), manual)
        self.assertNotRegex(manual, r"@[A-Z]+@")
        for variable in variables():
            self.assertIn(variable, manual)

    def complete(self, *words):
        script = (SUPPORT + f"source '{COMPLETION}'\nCOMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))\n_unfreed\n"
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        return harness.bare(["/bin/bash", "-c", script, "bash", harness.COMMAND, *words]).stdout.split("\n")[:-1]

    def test_completion(self):
        self.assertLessEqual({*commands(), "help", "--version"}, set(self.complete("")))
        self.assertEqual(self.complete("sn"), ["snapshot"])
        for command in commands():
            offered = self.complete(command, "--")
            for names, *_ in described(command):
                self.assertIn(names.split(",")[-1], offered)
        self.assertEqual(self.complete("run", "--tr"), ["--track"])
        self.assertLessEqual({"all", "fd", "timer"}, set(self.complete("run", "--track", "")))
        self.assertEqual(self.complete("run", "--fail-on", "fd>0,"), ["fd>0,thread>0"])
        self.assertEqual(self.complete("report", "-f", "h"), ["html"])
        self.assertEqual(self.complete("run", "-o", ""), ["(a file)"])
        self.assertEqual(self.complete("run", "-o", "x.json", "--quiet", "--", "make", ""),
                         ["(the command's own, from 6)"])
        self.assertEqual(self.complete("run", "-q", "--depth", "9", "make", ""), ["(the command's own, from 5)"])
        # An option of the same name without a value.
        self.assertEqual(self.complete("diff", "--exit-code", "--h"), ["--help"])
        self.assertEqual(self.complete("baseline", ""), ["write", "update", "check"])
        self.assertEqual(self.complete("baseline", "write", ""), ["(a file)"])
        with self.sleeper() as name:
            self.assertEqual(self.complete("attach", name[:6]), [name])
            self.assertIn(str(os.getpid()), self.complete("attach", ""))

    @staticmethod
    @contextlib.contextmanager
    def sleeper():
        """Two processes run whose name nobody else has."""
        with harness.Scratch() as scratch:
            name = f"q{os.getpid()}-sleep"
            os.symlink(shutil.which("sleep"), scratch.path(name))
            running = [subprocess.Popen([scratch.path(name), "1000"]) for _ in range(2)]
            try:
                harness.wait_for(lambda: all(read(f"/proc/{one.pid}/comm") == name + "\n" for one in running))
                yield name
            finally:
                for one in running:
                    one.kill()
                    one.wait()

    def in_fish(self, scratch, line):
        """What the shell offers for a line: the words."""
        result = harness.bare(["fish", "-c", f"source {COMPLETION_OF_FISH}; complete -C '{line}'"], env=self.home(scratch))
        return [word.split("\t")[0] for word in result.stdout.splitlines()]

    @staticmethod
    def home(scratch):
        if not os.path.exists(scratch.path("bin")):
            os.mkdir(scratch.path("bin"))
            os.symlink(harness.COMMAND, scratch.path("bin", "unfreed"))
        return {"PATH": f"{scratch.path('bin')}:{os.environ['PATH']}", "HOME": scratch.folder, "TERM": "dumb"}

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_completion_of_fish(self):
        with harness.Scratch() as scratch:
            self.assertEqual(self.in_fish(scratch, "unfreed "), sorted([*commands(), "help"]))
            self.assertEqual(self.in_fish(scratch, "unfreed sn"), ["snapshot"])
            for command in commands():
                offered = self.in_fish(scratch, f"unfreed {command} --")
                for names, *_ in described(command):
                    self.assertIn(names.split(",")[-1], offered)
            self.assertLessEqual({"all", "fd", "timer"}, set(self.in_fish(scratch, "unfreed run --track ")))
            self.assertIn("fd>0,thread>0", self.in_fish(scratch, "unfreed run --fail-on "))
            self.assertEqual(self.in_fish(scratch, "unfreed report -f ht"), ["html"])
            self.assertLessEqual({"write", "update"}, set(self.in_fish(scratch, "unfreed baseline ")))
            with self.sleeper() as name:
                self.assertEqual(self.in_fish(scratch, f"unfreed attach {name[:-2]}"), [name])
                self.assertIn(str(os.getpid()), self.in_fish(scratch, "unfreed attach "))
            with open(scratch.path("a-program"), "w", encoding="utf-8"):
                os.chmod(scratch.path("a-program"), 0o700)
            # The options of unfreed end where the program begins.
            for start in ("unfreed run -q --depth 9 echo", "unfreed run -o x.json -- echo", "unfreed doctor echo"):
                self.assertNotIn("--depth", self.in_fish(scratch, start + " --de"))
                self.assertIn(scratch.path("a-program"), self.in_fish(scratch, f"{start} {scratch.path('a-p')}"))

    def in_zsh(self, scratch, line, expected):
        """What the shell shows when the tabulator is pressed twice after a line."""
        child, terminal = pty.fork()
        if not child:
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, **self.home(scratch), "COLUMNS": "200"})
        shown = ""
        def read(until):
            nonlocal shown
            shown = ""
            end = time.monotonic() + 60
            while until not in shown and time.monotonic() < end:
                if select.select([terminal], [], [], 0.1)[0]:
                    shown += os.read(terminal, 65536).decode(errors="replace")
        try:
            start = f"stty cols 200; fpath=({os.path.dirname(COMPLETION)} $fpath); autoload -U compinit; compinit -u -D; "
            os.write(terminal, (start + "PROMPT='> '; echo is''ready\n").encode())
            read("isready")
            os.write(terminal, (line + "\t\t").encode())
            read(expected)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(terminal)
        return shown

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_completion_of_zsh(self):
        with harness.Scratch() as scratch:
            for line, expected in (("unfreed sn", "apshot"), ("unfreed ", "keep a file of accepted leaks"),
                                   ("unfreed run --depth 9 --sam", "--sample"), ("unfreed run --track ", "timer"),
                                   ("unfreed report -f ht", "html"), ("unfreed report --ki", "--kind"),
                                   ("unfreed report --color=al", "always"), ("unfreed run --fail-on mis", "misuse\\>0"),
                                   ("unfreed baseline up", "update"), ("unfreed run -q --depth 9 git --exec-pa", "--exec-path")):
                with self.subTest(line):
                    self.assertIn(expected, self.in_zsh(scratch, line, expected))
            with self.sleeper() as name:
                self.assertIn("leep", self.in_zsh(scratch, f"unfreed attach {name[:-4]}", "leep"))


if __name__ == "__main__":
    harness.main()
