#!/usr/bin/python3
"""However a process ends, it gets its report, keeps its output, and the exit status is that of the contract."""
import itertools
import os
import signal
import stat
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "ending.c")

# how, argument, status as a shell sees it
ORDERLY = [("return", 0), ("return", 5), ("exit", 0), ("exit", 7), ("thread", 0), ("thread", 9), ("last_thread", 0)]
ABRUPT = [("_exit", 0), ("_exit", 6), ("_Exit", 0), ("quick_exit", 0), ("quick_exit", 8), ("exit_group", 0),
          ("exit_group", 4), ("exit_call", 0), ("exit_call", 4)]
UNSEEN = [("instruction", 0), ("instruction", 4)]
FATAL = [("abort", 0, signal.SIGABRT), ("crash", 0, signal.SIGSEGV), ("signal", int(signal.SIGKILL), signal.SIGKILL),
         ("signal", int(signal.SIGTERM), signal.SIGTERM)]

# Its child's child is an orphan when it is waited for.
ADOPTS = """
import ctypes, os, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
if os.fork() == 0:
    orphan = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
    os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
    os._exit(0)
os.wait()
os.wait()
"""


def ending(how, status):
    return [harness.program("ending"), how, str(status)]


class Endings(unittest.TestCase):
    def check_report(self, result):
        self.assertIsNotNone(result.report, result)
        sites = harness.own_sites(result.report, harness.program("ending"), "fd")
        self.assertEqual([site["live"] for site in sites], [2], result)
        self.assertEqual(harness.base_function(harness.top(sites[0])["function"]), "take")
        return sites[0]

    def check_line(self, site):
        self.assertEqual(harness.top(site)["line"], harness.line_of(SOURCE, "take"))

    def test_same_output_and_status_as_without(self):
        for how, status, *_ in ORDERLY + ABRUPT + UNSEEN + FATAL:
            with self.subTest(how=how, status=status):
                alone = harness.bare(ending(how, status))
                for run in (harness.run, harness.preload):
                    # A bare preload cannot see a fatal signal or a system call instruction: its ledger stays.
                    result = run(ending(how, status), keep_ledgers=run is harness.preload)
                    self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)

    def test_report_under_run(self):
        for how, status, *deadly in ORDERLY + ABRUPT + UNSEEN + FATAL:
            with self.subTest(how=how, status=status):
                result = harness.run(ending(how, status))
                self.check_line(self.check_report(result))
                if deadly:
                    self.assertEqual(result.report["process"]["signal"], int(deadly[0]))
                    self.assertNotIn("exit_status", result.report["process"])
                else:
                    self.assertEqual(result.report["process"]["exit_status"], status)
                if deadly and how != "abort":
                    self.assertEqual(result.report["trigger"], "post_mortem")
                    self.assertEqual(result.report["coverage"]["fd"], "unconfirmed")
                if (how, status) in ORDERLY + ABRUPT:
                    self.assertEqual(result.report["trigger"], "exit")
                self.assertIn("take", result.stderr, "the summary names the function")

    def test_rules_about_what_ends_past_libc(self):
        """It holds two descriptors that were seen. Others may be open that were not."""
        parents = {"alone": [], "wait": ["/bin/sh", "-c", '"$@"; true', "sh"],
                   "pclose": ["/usr/bin/perl", "-e", "open my $f, '-|', @ARGV; close $f; exit 0"],
                   "popen": ["/usr/bin/awk", "BEGIN { for (i = 1; i < ARGC; i++) c = c ARGV[i] \" \"; c | getline; close(c) }"],
                   "nohup": ["/bin/sh", "-c", 'nohup "$@"; true', "sh"],
                   "system": ["/usr/bin/python3", "-c", "import os, sys; os.system(' '.join(sys.argv[1:]))"],
                   "system, exec": ["/usr/bin/python3", "-c", "import os, sys; os.system('exec ' + ' '.join(sys.argv[1:]))"],
                   "adopts": ["/usr/bin/python3", "-c", ADOPTS],
                   "waitid": ["/usr/bin/python3", "-c", "import os, sys; p = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]); "
                              "os.waitid(os.P_PID, p, os.WEXITED)"]}
        for (how, status), (name, parent) in itertools.product(UNSEEN, parents.items()):
            with self.subTest(how=how, status=status, parent=name):
                def judge(rule, ended=(how, status)):
                    return harness.run([*parent, *ending(*ended)], env={"UNFREED_ALLOW_KILLED": "*"},
                                       options=["--fail-on", rule])
                own = status if not parent else 0
                self.assertEqual(judge("fd>1").status, own or 23, "nobody has killed it")
                result = judge("fd>2")
                self.assertEqual(result.status, own or 125, result)
                (report,) = [one for one in result.reports.values() if one["process"]["exe"].endswith("/ending")]
                self.assertEqual((report["process"]["exit_status"], report["trigger"]), (status, "post_mortem"))
                self.assertIn("ended past libc", report["rules"][0]["unchecked"])
                if parent and status == 0:
                    self.assertEqual(judge("fd>1", ("signal", int(signal.SIGKILL))).status, 0, "no rule applies to this one")

    def test_report_of_the_bare_preload(self):
        for how, status, *_ in ORDERLY + ABRUPT + [("abort", 0)]:
            for helper in (True, False):
                with self.subTest(how=how, status=status, helper=helper):
                    result = harness.preload(ending(how, status), helper=helper)
                    site = self.check_report(result)
                    if helper:
                        self.check_line(site)
                    self.assertEqual(result.report["trigger"], "exit")

    def test_a_thread_that_ends_by_system_call_does_not_end_the_process(self):
        for run in (harness.run, harness.preload):
            result = run(ending("first_thread", 0), env={"UNFREED_FAIL_ON": "fd>2"})
            self.assertEqual((result.status, len(result.reports)), (23, 1), result)
            held = sum(site["live"] for site in harness.own_sites(result.report, harness.program("ending"), "fd"))
            self.assertEqual(held, 3, "what was opened after the main thread's end counts, too")

    def test_ledger_of_a_killed_process_can_be_read_later(self):
        for how, status, deadly in FATAL[1:]:
            with self.subTest(deadly=deadly), harness.Scratch() as scratch:
                result = harness.preload(ending(how, status), scratch=scratch, keep_ledgers=True)
                self.assertEqual(result.status, 128 + deadly)
                (name,) = scratch.leftovers()
                ledger = os.path.join(scratch.ledgers, name)
                self.assertEqual(stat.S_IMODE(os.stat(ledger).st_mode), 0o600)
                shown = harness.unfreed("report", ledger)
                self.assertEqual(shown.status, 0, shown)
                self.assertIn("take", shown.stdout)
                self.assertIn(f"ending.c:{harness.line_of(SOURCE, 'take')}", shown.stdout)
                target = scratch.path("later.json")
                self.assertEqual(harness.unfreed("report", "--format", "json", "-o", target, ledger).status, 0)
                report = harness.read_report(target)
                self.assertEqual(report["trigger"], "post_mortem")
                self.assertEqual(report["totals"]["fd"]["live"], 2)


class Statuses(unittest.TestCase):
    """CMD's own status wins; else 23 (or the one asked for) when a rule is broken; else 0."""

    RUNS = {"run": lambda args, rules, code=None: harness.run(
                args, options=["--fail-on", rules] + (["--exit-code", str(code)] if code else [])),
            "preload": lambda args, rules, code=None: harness.preload(
                args, env={"UNFREED_FAIL_ON": rules, **({"UNFREED_EXITCODE": str(code)} if code else {})}),
            "preload_alone": lambda args, rules, code=None: harness.preload(
                args, helper=False, env={"UNFREED_FAIL_ON": rules, **({"UNFREED_EXITCODE": str(code)} if code else {})})}

    def each(self):
        for name, run in self.RUNS.items():
            with self.subTest(way=name):
                yield run

    def test_broken_rule_replaces_success(self):
        for run in self.each():
            for how in ("return", "exit", "_exit", "_Exit", "quick_exit", "thread", "last_thread"):
                result = run(ending(how, 0), "fd>0")
                self.assertEqual(result.status, 23, f"{how}: {result}")
                self.assertEqual(result.report["rules"], [{"rule": "fd>0", "value": 2, "broken": True}])
                # The report tells what the program itself said, not what became of it.
                self.assertEqual(result.report["process"]["exit_status"], 0)

    def test_nothing_buffered_is_lost_when_the_status_is_replaced(self):
        for run in self.each():
            for how, text in (("return", "buffered\ngoodbye\n"), ("exit", "buffered\ngoodbye\n"),
                              ("thread", "buffered\ngoodbye\n"), ("last_thread", "buffered\ngoodbye\n"), ("_exit", "")):
                self.assertEqual(run(ending(how, 0), "fd>0").stdout, text, how)

    def test_rule_that_holds_changes_nothing(self):
        for run in self.each():
            result = run(ending("return", 0), "fd>2,fd>=3,thread>0")
            self.assertEqual(result.status, 0, result)
            self.assertEqual([rule["broken"] for rule in result.report["rules"]], [False, False, False])

    def test_own_status_wins(self):
        for run in self.each():
            for how, status in (("return", 5), ("exit", 7), ("_exit", 6), ("quick_exit", 8)):
                self.assertEqual(run(ending(how, status), "fd>0").status, status, how)

    def test_own_signal_wins(self):
        for how, status, deadly in FATAL:
            self.assertEqual(harness.run(ending(how, status), options=["--fail-on", "fd>0"]).status, 128 + deadly)

    def test_exit_code_can_be_chosen(self):
        for run in self.each():
            self.assertEqual(run(ending("return", 0), "fd>0", 99).status, 99)
            self.assertEqual(run(ending("return", 3), "fd>0", 99).status, 3)
            self.assertEqual(run(ending("return", 0), "fd>5", 99).status, 0)

    def test_leak_in_a_child_breaks_the_rule_of_the_run(self):
        result = harness.run(["/bin/sh", "-c", f"{harness.program('ending')} exit 0; true"], options=["--fail-on", "fd>0"])
        self.assertEqual(result.status, 23, result)
        broken = [r for r in result.reports.values() if any(rule["broken"] for rule in r["rules"])]
        self.assertEqual([os.path.basename(r["process"]["exe"]) for r in broken], ["ending"])

    def test_every_kind_of_rule(self):
        program = harness.program("heap_malloc")
        for rules, status in (("heap.bytes>1000", 23), ("heap.bytes>1M", 0), ("heap>=11", 23), ("site.heap>=10", 23),
                              ("site.heap>=11", 0), ("site.heap.bytes>=1000", 23), ("fd>0, heap.bytes>1K", 0),
                              ("heap.total>=11", 23)):
            with self.subTest(rules=rules):
                result = harness.run([program, "leak"], options=["--fail-on", rules])
                self.assertEqual(result.status, status, result)

    def test_missing_program(self):
        self.assertEqual(harness.run(["/nonexistent/program"]).status, 127)
        self.assertEqual(harness.run(["no-such-program-anywhere"]).status, 127)

    def test_program_that_cannot_be_executed(self):
        with harness.Scratch() as scratch:
            path = scratch.path("plain")
            with open(path, "w") as file:
                file.write("#!/bin/sh\n")
            result = harness.run([path])
            self.assertEqual(result.status, 126, result)
            self.assertIn(path, result.stderr)
            self.assertEqual(harness.run([scratch.folder]).status, 126)

    def test_arguments_reach_the_program_unchanged(self):
        words = ["a b", "", "--help", "-o", "é", "$HOME", "'"]
        alone = harness.bare(["/usr/bin/printf", "<%s>", *words])
        result = harness.run(["/usr/bin/printf", "<%s>", *words])
        self.assertEqual((result.stdout, result.status), (alone.stdout, 0))

    def test_stdin_belongs_to_the_program(self):
        self.assertEqual(harness.run(["/bin/cat"], stdin="one\ntwo\n").stdout, "one\ntwo\n")


if __name__ == "__main__":
    harness.main()
