#!/usr/bin/python3
"""Instructions that an operation takes under unfreed, counted by callgrind: the same on every run, however busy the machine
is. An operation that has become a fifth dearer than the figure below fails; one that has become cheaper is a reason to
lower the figure.
"""
import os
import re
import shutil
import subprocess
import sys
import unittest

import harness

BENCH = harness.BUILD + "/test/bench/bench"
# Name, arguments of bench (but for the last, the number of operations), the function counted, instructions for each
# operation (glibc 2.36, gcc 12, x86-64), settings. The bare program takes 140 for malloc+free, 272 with 1,000 paths.
ROWS = [
    ("malloc+free at depth 10", ["heap", 10, 1, 1], "*churn*", 385, {}),
    ("malloc+free at depth 30", ["heap", 30, 1, 1], "*churn*", 460, {}),
    ("malloc+free at depth 60", ["heap", 60, 1, 1], "*churn*", 580, {}),
    ("malloc+free on a coroutine's stack", ["coroutine", 10], "*churn*", 960, {}),
    ("malloc+free over 1,000 paths", ["heap", 14, 1, 1000], "*over_paths*", 620, {}),
    ("malloc+free, sampled", ["heap", 10, 1, 1], "*churn*", 188, {"UNFREED_SAMPLE": "512K"}),
    ("malloc+free, heap not tracked", ["heap", 10, 1, 1], "*churn*", 172, {"UNFREED_TRACK": "fd"}),
    ("malloc+free, nothing tracked", ["heap", 10, 1, 1], "*churn*", 172, {"UNFREED_DISABLE": "1"}),
    ("open+close", ["file"], "*file*", 860, {}),
    ("pthread_create+join", ["thread"], "*::thread*", 2010, {}),
]


def collected(arguments, function, env):
    with harness.Scratch() as scratch:
        env = harness.clean_environment({"UNFREED_OUTPUT": scratch.path("report.json"), "UNFREED_QUIET": "1",
                                         "UNFREED_LEDGER_DIR": scratch.ledgers, "UNFREED_HELPER": "/nonexistent", **env})
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                               f"--toggle-collect={function}", BENCH, *map(str, arguments)],
                              env=env, capture_output=True, text=True, timeout=120, check=False)
    # The children that write the report count for themselves, and end before the program.
    counts = re.findall(r"Collected : (\d+)", done.stderr)
    assert done.returncode == 0 and counts, done.stderr
    return int(counts[-1])


def instructions(arguments, function, env):
    """Per operation, from two numbers of them: what happens once does not count."""
    few, many = (500, 1000) if arguments[0] == "thread" else (2000, 20000)
    return (collected([*arguments, many], function, env) - collected([*arguments, few], function, env)) / (many - few)


class Instructions(unittest.TestCase):
    def check(self, name, arguments, function, figure, settings):
        measured = instructions(arguments, function, {"LD_PRELOAD": harness.LIBRARY, **settings})
        print(f"# {name}: {measured:.0f} instructions, {figure} expected")
        self.assertLess(measured, figure * 1.2)
        # What measures nothing would always pass.
        self.assertGreater(measured, figure * 0.5, "much cheaper than expected: lower the figure in this file")

    def test_the_bare_program_takes_fewer(self):
        _, arguments, function, figure, _ = ROWS[0]
        bare = instructions(arguments, function, {})
        self.assertGreater(bare, 50)
        self.assertLess(bare, figure * 0.6)


class SystemCalls(unittest.TestCase):
    """Of a program that does nothing: most of what unfreed costs a short process."""

    MOST = 400

    def counted(self, env, command=("/bin/true",)):
        with harness.Scratch() as scratch:
            env = harness.clean_environment({"UNFREED_OUTPUT": scratch.path("report.json"),
                                             "UNFREED_LEDGER_DIR": scratch.ledgers, **env})
            counts = scratch.path("counts")
            settings = [word for name, value in env.items() if name.startswith(("UNFREED_", "LD_"))
                        for word in ("-E", f"{name}={value}")]
            subprocess.run(["strace", "-f", "-qq", "-c", "-o", counts, *settings, *command], check=True, timeout=60,
                           capture_output=True, env=harness.clean_environment())
            with open(counts, encoding="utf-8") as file:
                rows = [line.split() for line in file]
            self.assertEqual(os.path.exists(scratch.path("report.json")), "LD_PRELOAD" in env)
            return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit()}

    def test_a_small_process_reports_without_a_copy_of_itself(self):
        bare, counts = self.counted({}), self.counted({"LD_PRELOAD": harness.LIBRARY})
        more = counts["total"] - bare["total"]
        print(f"# /bin/true: {more} system calls more, at most {self.MOST} expected")
        self.assertFalse({"clone", "fork", "vfork", "clone3", "wait4"} & counts.keys(), counts)
        self.assertLess(more, self.MOST)

    def test_nor_does_one_whose_blocks_of_libc_are_its_own(self):
        counts = self.counted({"LD_PRELOAD": harness.LIBRARY}, ("dash", "-c", "exit 0"))
        self.assertFalse({"clone", "fork", "vfork", "clone3", "wait4"} & counts.keys(), counts)


for number, row in enumerate(ROWS):
    setattr(Instructions, f"test_{number}_{re.sub('[^a-z0-9]+', '_', row[0].lower())}",
            lambda self, row=row: self.check(*row))

if __name__ == "__main__":
    if not shutil.which("valgrind"):
        why = "valgrind is not installed: NOT ONE INSTRUCTION WAS COUNTED"
        print(f"test_instructions: {why}", file=sys.stderr)
        print(f"1..0 # SKIP {why}")
        sys.exit(0)
    harness.main()
