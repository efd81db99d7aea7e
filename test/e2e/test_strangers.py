#!/usr/bin/python3
"""Reports are made by child processes of the program. It must not meet them: not by a wait function, not by SIGCHLD, not in
the kernel's lists, however it looks and whoever asks for the report."""
import itertools
import os
import unittest

import harness

TRIGGERS = ("signal", "limit", "api")
SETTINGS = ("plain", "ignore", "reaper", "thread", "waiting", "looking")


class Strangers(unittest.TestCase):
    def check(self, run, trigger, setting, **keywords):
        result = run([harness.program("strangers"), trigger, setting], **keywords)
        self.assertEqual((result.status, result.stdout), (0, "looked\n"), result)
        word = {"limit": "exhaustion"}.get(trigger, trigger)
        self.assertIn(word, [report["trigger"] for report in result.reports.values()], "the report was made")

    def test_programs_see_none_by_themselves(self):
        for setting in SETTINGS:
            result = harness.bare([harness.program("strangers"), "none", setting])
            self.assertEqual((result.status, result.stdout), (0, "looked\n"), setting)

    def test_bare_preload(self):
        for trigger, setting in itertools.product(TRIGGERS, SETTINGS):
            with self.subTest(trigger=trigger, setting=setting):
                self.check(harness.preload, trigger, setting, env={"UNFREED_QUIET": "1"})

    def test_under_run(self):
        for trigger, setting in itertools.product(TRIGGERS, SETTINGS):
            with self.subTest(trigger=trigger, setting=setting), harness.Scratch() as scratch:
                self.check(harness.run, trigger, setting, scratch=scratch,
                           options=["--output", scratch.path("%p.%n.json")])

    def test_at_the_end_with_a_rule_broken(self):
        # The command is run for the source lines then: an exec'ed program is an ordinary child of whoever starts it.
        result = harness.preload([harness.program("strangers"), "end"], env={"UNFREED_FAIL_ON": "fd>0"})
        self.assertEqual((result.status, result.stdout), (23, ""), result)
        (site,) = harness.live_sites(result.report, "fd")
        self.assertIn("main", harness.functions(site))


class Limits(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become somebody who may start no process")
    def test_no_process_for_a_report(self):
        """The limit that was reached is the one that a report's child needs: the process makes it itself."""
        script = ("import os, resource, unittest\n"
                  "kept = os.open('/etc/passwd', os.O_RDONLY)\n"
                  "os.setgid(65534); os.setuid(65534)\n"
                  "resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))\n"
                  "try: os.fork()\n"
                  "except BlockingIOError: print('refused', flush=True)\n")
        with harness.Scratch() as scratch:
            os.chmod(scratch.folder, 0o777)
            # It cannot remove its ledger either.
            result = harness.preload(["/usr/bin/python3", "-c", script], scratch=scratch, keep_ledgers=True,
                                     env={"UNFREED_OUTPUT": scratch.path("%n.json"), "UNFREED_QUIET": "1"})
            self.assertEqual((result.status, result.stdout), (0, "refused\n"), result)
            reports = sorted((name, report["trigger"]) for name, report in result.reports.items())
            self.assertEqual(reports, [("1.limit.json", "exhaustion"), ("2.json", "exit")])
            for report in result.reports.values():
                self.assertEqual(report["totals"]["fd"]["live"], 1)
                self.assertTrue(report["reconciled"])


if __name__ == "__main__":
    harness.main()
