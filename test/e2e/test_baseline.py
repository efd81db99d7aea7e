#!/usr/bin/python3
"""Only new leaks fail: `unfreed baseline`, suppressions with a limit, and those of other tools."""
import os
import re
import shutil
import subprocess
import unittest

import harness

RULES = "fd>0,heap.lost>0"


class WithScratch(unittest.TestCase):
    def setUp(self):
        self.scratch = self.enterContext(harness.Scratch())

    def report(self, name, *counts, options=(), status=None):
        """A run of the program; the report's path."""
        path = self.scratch.path(name)
        result = harness.bare([harness.COMMAND, "run", "-o", path, *options, "--", harness.program("ratchet"), *map(str, counts)],
                              env={"UNFREED_LEDGER_DIR": self.scratch.ledgers}, cwd=self.scratch.folder)
        if status is not None:
            self.assertEqual(result.status, status, result)
        self.shown = result.stderr
        return path

    def status_with(self, suppressions, *counts, rules=RULES):
        self.write("list.supp", suppressions)
        self.report("r.json", *counts, options=["--suppressions", self.scratch.path("list.supp"), "--fail-on", rules])
        return 23 if "FAIL" in self.shown else 0

    def write(self, name, text):
        with open(self.scratch.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.scratch.path(name)

    def read(self, name):
        with open(self.scratch.path(name), encoding="utf-8") as file:
            return file.read()


class Limits(WithScratch):
    def test_a_limit_is_for_all_call_sites_together(self):
        for line, counts, status in (("fd:open_log max=3", (3, 0, 0), 0), ("fd:open_log max=3", (4, 0, 0), 23),
                                     ("fd:main max=5", (3, 2, 0), 0), ("fd:main max=4", (3, 2, 0), 23),
                                     ("fd:open_log max=3", (3, 1, 0), 23), ("fd:open_log max=0", (1, 0, 0), 23),
                                     ("heap:lose max=2", (0, 0, 2), 0), ("heap:lose max=2", (0, 0, 3), 23),
                                     # Another suppression covers what that one does not cover any more.
                                     ("fd:open_log max=3\nfd:main max=9", (4, 0, 0), 0),
                                     ("fd:open_log max=3\nfd:main max=4", (4, 1, 0), 23),
                                     ("fd:open_log max=3\nfd:main", (4, 1, 0), 0)):
            with self.subTest(line=line, counts=counts):
                self.assertEqual(self.status_with(line + "\n", *counts), status, self.shown)

    def test_what_is_too_much_is_said_where_it_is_held(self):
        self.status_with("fd:open_log max=3\n", 4, 0, 0)
        self.assertIn("FAIL fd>0: 4 descriptors held", self.shown)
        self.assertIn("more than a suppression allows: fd:open_log max=3", self.shown)
        site, = harness.live_sites(harness.read_report(self.scratch.path("r.json")), "fd")
        self.assertEqual(site["exceeds"], "fd:open_log max=3")

    def test_invalid_closes_have_limits_too(self):
        for limit, status in ((2, 0), (1, 23)):
            self.assertEqual(self.status_with(f"fd:close_twice max={limit}\n", 0, 0, 0, 2, rules="misuse>0"), status, self.shown)

    def test_the_bare_preload_agrees(self):
        path = self.write("list.supp", "fd:open_log max=3\n")
        for logs, status in ((3, 0), (4, 23)):
            for helper in (True, False):
                result = harness.preload([harness.program("ratchet"), str(logs), "0", "0"], helper=helper,
                                         env={"UNFREED_FAIL_ON": "fd>0", "UNFREED_SUPPRESSIONS": path})
                self.assertEqual(result.status, status, result)

    def test_what_covers_nothing_is_said(self):
        self.status_with("fd:open_log max=3\nfd:open_lgo\nheap:lose\nleak:nothing_like_this\n", 3, 0, 1)
        self.assertIn("this suppression covered nothing: fd:open_lgo\n", self.shown)

    def test_bad_limits_are_refused(self):
        for bad in ("fd:x max=", "fd:x max=-1", "fd:x max=three"):
            path = self.write("list.supp", bad + "\n")
            self.report("r.json", 0, 0, 0, options=["--suppressions", path], status=125)
            self.assertIn("max= wants a whole number", self.shown)


class Baseline(WithScratch):
    def baseline(self, *args):
        return harness.bare([harness.COMMAND, "baseline", *args], cwd=self.scratch.folder)

    def test_only_what_is_new_fails(self):
        first = self.report("first.json", 3, 0, 2)
        self.assertEqual(self.baseline("write", "known", first).status, 0)
        text = self.read("known")
        self.assertEqual(re.findall(r"(?m)^(\w+):signature:[0-9a-f]{16} max=(\d+)$", text), [("fd", "3"), ("heap", "2")])
        self.assertRegex(text, r"# fd from open(64)?\n#     open_log \(.*ratchet.c:\d+\)\n#     main .*\n# reason:\nfd:signature")
        known = ["--suppressions", self.scratch.path("known"), "--fail-on", RULES]
        for counts, status, says in (((3, 0, 2), 0, ""), ((4, 0, 2), 23, "grown from 3: 4 descriptors from open"),
                                     ((3, 1, 2), 23, "new: 1 descriptor from open"), ((3, 0, 3), 23, "grown from 2: 3 lost blocks from malloc"),
                                     ((1, 0, 2), 0, "tighten it: 1 of 3 allowed: fd:signature:"),
                                     ((3, 0, 0), 0, "tighten it: gone: heap:signature:")):
            with self.subTest(counts=counts):
                # The gate, and the comparison of its report, or of that of a run without the baseline.
                for options in (known, []):
                    path = self.report("now.json", *counts, options=options, status=status if options else 0)
                    result = self.baseline("check", "known", path)
                    self.assertEqual((result.status, result.stdout.startswith(says)), (status, True), result)
                    self.assertEqual(result.stdout == "", says == "")
        self.assertEqual(self.read("known"), text)

    def test_the_worst_process_counts(self):
        paths = [self.report(f"{logs}.json", logs, 0, 0) for logs in (1, 3, 2)]
        self.baseline("write", "known", *paths)
        self.assertIn(" max=3\n", self.read("known"))

    def test_update_keeps_what_people_wrote(self):
        self.baseline("write", "known", self.report("first.json", 3, 0, 2))
        before = self.read("known").replace("# reason:\nfd", "# reason: until the rewrite, see #42\nfd")
        self.write("known", "# ours\nfd:somebody_elses_*\n\n" + before)
        self.assertEqual(self.baseline("update", "known", self.report("now.json", 2, 1, 0)).status, 0)
        text = self.read("known")
        self.assertTrue(text.startswith("# ours\nfd:somebody_elses_*\n\n# unfreed baseline\n"), text)
        self.assertRegex(text, r"# reason: until the rewrite, see #42\nfd:signature:[0-9a-f]{16} max=2\n\n# fd from open")
        self.assertNotIn("heap", text)
        self.assertEqual(text.count("max="), 2)
        now = self.report("again.json", 2, 1, 0)
        self.assertEqual((self.baseline("check", "known", now).status, self.baseline("check", "known", now).stdout), (0, ""))
        self.assertEqual(self.baseline("update", "known", now).status, 0)
        self.assertEqual(self.read("known"), text, "nothing has changed")

    def test_update_takes_away_nothing_that_it_cannot_judge(self):
        self.baseline("write", "known", self.report("first.json", 3, 0, 2))
        text = self.read("known").replace("fd:signature", "fd:somebody_elses_*\nfd:signature")
        self.write("known", text)
        # Not seen: the heap, or anything for sure.
        self.assertEqual(self.baseline("update", "known", self.report("fd.json", 3, 0, 0, options=["--track", "fd"])).status, 0)
        self.assertEqual(self.read("known"), text)
        self.assertEqual(self.baseline("update", "known", self.report("ungraded.json", 3, 0, 2, options=["--grade", "off"])).status, 125)
        self.assertEqual(self.read("known"), text)
        # A line of somebody's beside an entry that is gone.
        self.assertEqual(self.baseline("update", "known", self.report("clean.json", 0, 0, 0)).status, 0)
        self.assertIn("fd:somebody_elses_*\n", self.read("known"))
        self.assertNotIn("signature", self.read("known"))
        # What people have written into is not replaced.
        self.assertEqual(self.baseline("write", "known", self.scratch.path("first.json")).status, 125)

    def test_a_blind_report_passes_no_baseline(self):
        self.baseline("write", "known", self.report("first.json", 3, 0, 2))
        harness.bare([harness.COMMAND, "run", "-q", "-o", self.scratch.path("blind.json"), "--", "sh", "-c", "env -i true"])
        result = self.baseline("check", "known", self.scratch.path("blind.json"))
        self.assertEqual(result.status, 125)
        self.assertIn("was not tracked", result.stderr)
        # Kinds that nobody wanted are no reason.
        self.report("fd.json", 3, 0, 0, options=["--track", "fd"])
        self.assertEqual(self.baseline("check", "known", self.scratch.path("fd.json")).status, 0)
        self.report("ungraded.json", 3, 0, 2, options=["--grade", "off"])
        self.assertEqual(self.baseline("check", "known", self.scratch.path("ungraded.json")).status, 125)

    def test_a_process_that_no_rule_is_for_has_no_part_in_it(self):
        self.baseline("write", "known", self.report("first.json", 3, 0, 2))
        self.report("second.json", 3, 0, 2)
        killed = self.scratch.path("killed.json")
        harness.bare([harness.COMMAND, "run", "-q", "-o", killed, "--allow-killed", "*", "--", "sh", "-c", "exec 7</etc/passwd; kill -9 $$"])
        self.assertTrue(harness.read_report(killed)["process"]["outside_rules"])
        self.assertEqual(self.baseline("check", "known", self.scratch.path("second.json"), killed).status, 0)
        self.assertEqual(self.baseline("check", "known", killed).stdout, "")
        self.assertEqual(self.baseline("write", "other", self.scratch.path("second.json"), killed).status, 0)

    def test_misuse_of_it(self):
        path = self.report("first.json", 1, 0, 0)
        self.write("other", "not a suppression\n")
        for args, says in ((["write"], "FILE"), (["wirte", "known", path], "expected write, update or check"),
                           (["check", "missing", path], "missing"), (["check", "other", path], "line 1"),
                           (["write", "known", "/nonexistent.json"], "/nonexistent.json"),
                           (["write", "other", path], "not a report")):
            result = self.baseline(*args)
            self.assertEqual(result.status, 125, args)
            self.assertIn(says, result.stderr)
        self.assertEqual(self.read("other"), "not a suppression\n")


class OtherTools(WithScratch):
    def test_valgrinds_suppressions_are_read_as_they_are(self):
        frames = "{{\n   name\n   Memcheck:Leak\n   match-leak-kinds: {}\n   {}\n}}\n"
        for kinds, pattern, status in (("definite", "fun:malloc\n   fun:lose\n   fun:main", 0), ("all", "fun:malloc\n   fun:lo?e", 0),
                                       ("definite", "...\n   fun:main", 0), ("definite", "fun:malloc\n   ...\n   obj:*/ratchet", 0),
                                       ("definite", "fun:malloc\n   src:ratchet.c:" + str(harness.line_of(
                                           os.path.join(harness.SOURCE, "test/e2e/programs/ratchet.c"), "lose")), 0),
                                       ("reachable", "fun:malloc\n   fun:lose", 23), ("possible,indirect", "fun:malloc\n   fun:lose", 23),
                                       ("definite", "fun:malloc\n   fun:main", 23), ("definite", "fun:lose", 23),
                                       ("definite", "fun:calloc\n   fun:lose", 23), ("definite", "fun:malloc\n   src:ratchet.c:1", 23),
                                       ("definite", "fun:malloc\n   obj:*/other", 23)):
            with self.subTest(kinds=kinds, pattern=pattern):
                self.assertEqual(self.status_with("# comment\n" + frames.format(kinds, pattern), 0, 0, 2), status, self.shown)
        # Of findings that are not unfreed's, and of descriptors.
        other = "{\n   a\n   Memcheck:Addr4\n   fun:lose\n}\n{\n   b\n   Memcheck:Param\n   write(buf)\n   fun:lose\n}\n"
        self.assertEqual(self.status_with(other, 0, 0, 1), 23)
        self.assertEqual(self.status_with(other + "{\n   c\n   CoreError:FdNotClosed\n   fun:open*\n   fun:open_log\n}\n", 2, 0, 0), 0)
        self.assertEqual(self.status_with("leak:^lose$\n", 0, 0, 2), 0)

    def test_unfinished_blocks_are_refused(self):
        for text, line in (("{\n  a\n  Memcheck:Leak\n  fun:x\n", 5), ("{\n}\n", 2), ("{\n  a\n  Memcheck:Leak\n}\n", 4),
                           ("fd:x\n{\n  a\n  Memcheck:Leak\n  lose\n}\n", 5)):
            path = self.write("list.supp", text)
            self.report("r.json", 0, 0, 0, options=["--suppressions", path], status=125)
            self.assertIn(f"list.supp, line {line}: ", self.shown)

    @unittest.skipUnless(shutil.which("valgrind"), "valgrind is not installed")
    def test_what_valgrind_writes_covers_what_it_found(self):
        made = subprocess.run(["valgrind", "--leak-check=full", "--gen-suppressions=all", harness.program("ratchet"), "0", "0", "2"],
                              env=harness.clean_environment({}), capture_output=True, text=True, check=True).stderr
        blocks = re.findall(r"(?ms)^\{$.*?^\}$", made)
        self.assertTrue(blocks, made)
        self.assertEqual(self.status_with("\n".join(blocks) + "\n", 0, 0, 2), 0, self.shown)


if __name__ == "__main__":
    harness.main()
