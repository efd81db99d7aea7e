#!/usr/bin/python3
"""Every system call that the runtime makes fails once, at the start, while the program runs and at its end (strace's
fault injection). The program must do what it does by itself; where it breaks a rule, that must not pass."""
import collections
import concurrent.futures
import os
import re
import unittest

import harness

PROGRAM = harness.program("faults")
# What can fail in no process, what does not return, and close: whatever it says, it has closed, but strace's has not.
CANNOT_FAIL = {"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "exit", "exit_group", "close"}
# What the kernel is likely to say; else that it is forbidden, as a filter says.
ERRORS = {"mmap": "ENOMEM", "mremap": "ENOMEM", "madvise": "ENOMEM", "mprotect": "ENOMEM", "openat": "EMFILE",
          "read": "EIO", "pread64": "EIO", "write": "ENOSPC", "pwrite64": "ENOSPC", "fallocate": "ENOSPC",
          "ftruncate": "ENOSPC", "clone": "EAGAIN", "nanosleep": "EINTR"}
# Without -f, lines have no number of a process.
LINE = re.compile(r"(?:(\d+) +)?\[([0-9a-f]+)\] (?:(\w+)\(|(<\.\.\. )\w+ resumed>)(.*)")
MAPPED = re.compile(r"[^,]+, (\d+),.*<(.*)>, (?:0x)?[0-9a-f]+\) += (0x[0-9a-f]+)$")


def traced(scratch, options, arguments, rules):
    """Runs the program under strace, with the bare preload: (status, stdout, stderr without the runtime's lines)."""
    env = {"LD_PRELOAD": harness.LIBRARY, "UNFREED_OUTPUT": scratch.path("%p.%n.json"), "UNFREED_QUIET": "1",
           "UNFREED_LEDGER_DIR": scratch.ledgers, **({"UNFREED_FAIL_ON": rules} if rules else {})}
    environment = [f"-E{name}={value}" for name, value in env.items()]
    status, stdout, stderr, _ = harness.execute(
        ["strace", "-e", "signal=none", "-o", scratch.path("log"), *options, *environment, PROGRAM, *arguments],
        env=harness.clean_environment())
    return status, stdout, [line for line in stderr.splitlines() if not line.startswith("unfreed: ")]


def calls_in(log):
    """Of each call in a log: pid, name (None: it is the end of one that others came between), arguments and result, and
    whether an instruction of the library's makes it."""
    spans = []
    with open(log) as file:
        for line in file:
            match = LINE.match(line)
            if not match:
                continue
            pid, address, name, rest = match[1], int(match[2], 16), match[3], match[5].rstrip()
            mapped = MAPPED.match(rest) if name == "mmap" else None
            if mapped and os.path.realpath(mapped[2]) == os.path.realpath(harness.LIBRARY):
                spans.append((int(mapped[3], 16), int(mapped[3], 16) + int(mapped[1])))
            yield pid, name, rest, any(start <= address < end for start, end in spans)


def calls_of_runtime(log):
    """How to make each call of the runtime's fail: (options, name, how many of that name there are in the process until
    then). strace counts in every process anew: where that would hit a call of the program's in another process, only the
    first is traced. Of a process's calls that say the same, the first and the last: to wait for something takes many."""
    numbers, alike, others, first = collections.Counter(), collections.defaultdict(list), set(), None
    for pid, name, rest, is_own in calls_in(log):
        if not name:
            continue
        first = first or pid
        numbers[pid, name] += 1
        if not is_own:
            others.add((name, numbers[pid, name]))
        elif name not in CANNOT_FAIL:
            alike[pid, name, rest.split(") ")[0].split("<unfinished")[0]].append((pid, name, numbers[pid, name]))
    calls = set()
    for pid, name, number in {call for same in alike.values() for call in (same[0], same[-1])}:
        if (name, number) not in others:
            calls.add((("-f", "--seccomp-bpf"), name, number))
        elif pid == first:
            calls.add(((), name, number))
    return sorted(calls)


class Faults(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.bare = harness.bare([PROGRAM])
        self.assertEqual(self.bare.status, 0)

    def each_call(self, arguments, rules, statuses):
        def fail(call):
            options, name, number = call
            fault = f"{name}:error={ERRORS.get(name, 'EPERM')}:when={number}"
            # How often a call is made while something is waited for is not the same each time.
            for _ in range(3):
                with harness.Scratch() as scratch:
                    what = ["-e", f"trace={name},mmap", "-e", f"inject={fault}"]
                    got = traced(scratch, [*options, "-i", "-y", *what], arguments, rules)
                    failed = [own for _, _, rest, own in calls_in(scratch.path("log")) if "(INJECTED)" in rest]
                if failed and all(failed):
                    is_right = got[0] in statuses and got[1:] == (self.bare.stdout, [])
                    return name, True, None if is_right else (fault, *got)
            return name, False, None

        with harness.Scratch() as scratch:
            got = traced(scratch, ["-f", "-i", "-y"], arguments, rules)
            self.assertEqual(got, (statuses[0], self.bare.stdout, []))
            calls = calls_of_runtime(scratch.path("log"))
        self.assertGreater(len(calls), 100)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(fail, calls))
        self.assertEqual([wrong for _, _, wrong in outcomes if wrong], [])
        self.assertGreater(sum(has_failed for _, has_failed, _ in outcomes), len(calls) * 0.75)
        never = {name for _, name, _ in calls} - {name for name, has_failed, _ in outcomes if has_failed}
        self.assertEqual(never - {"nanosleep", "wait4"}, set(), "none of these calls was made to fail")

    def test_nothing_of_it_is_seen(self):
        self.each_call([], None, (0,))

    def test_no_broken_rule_passes(self):
        self.each_call(["keep"], "fd>0", (23, 125))

    def test_a_file_that_cannot_be_read_is_not_replaced(self):
        """Whether it is a report of ours cannot be known."""
        with harness.Scratch() as scratch:
            path = scratch.path("precious.json")
            for fault, is_kept in (([], False), (["-e", "inject=read,pread64:error=EIO"], True)):
                with open(path, "w", encoding="utf-8") as file:
                    file.write('{"schema_version": 2, "tool": {"name": "unfreed"}}' if not is_kept else "precious")
                env = {"LD_PRELOAD": harness.LIBRARY, "UNFREED_OUTPUT": path, "UNFREED_LEDGER_DIR": scratch.ledgers}
                environment = [f"-E{name}={value}" for name, value in env.items()]
                status, stdout, stderr, _ = harness.execute(
                    ["strace", "-f", "-o", scratch.path("log"), "-P", path, "-e", "trace=read,pread64", *fault, *environment,
                     PROGRAM], env=harness.clean_environment())
                self.assertEqual((status, stdout), (0, self.bare.stdout), stderr)
                with open(path, encoding="utf-8") as file:
                    self.assertEqual(file.read() == "precious", is_kept, stderr)
                with open(scratch.path("log"), encoding="utf-8") as file:
                    self.assertEqual("(INJECTED)" in file.read(), is_kept)


if __name__ == "__main__":
    harness.main()
