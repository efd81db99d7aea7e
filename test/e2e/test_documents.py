#!/usr/bin/python3
"""What is written about unfreed agrees with what it says of itself: README, manual page, completion."""
import os
import re
import unittest

import harness

SOURCE = harness.SOURCE
MANUAL = os.path.join(harness.BUILD, "src", "cli", "unfreed.1")
COMPLETION = os.path.join(SOURCE, "src", "cli", "completion", "unfreed.bash")

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


if __name__ == "__main__":
    harness.main()
