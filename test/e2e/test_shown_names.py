#!/usr/bin/python3
"""Names that would steer a terminal, turn the text around them or not be seen are shown escaped, whoever says them."""
import os
import shutil
import unicodedata
import unittest

import harness

HOSTILE = "photo\u202egnp.exe\u200b\u009b2J\x1b[31m"
SHOWN = "photo\\u202egnp.exe\\u200b\\u009b2J\\x1b[31m"


def hidden(text):
    """Characters of a text that nobody should see raw: controls and formats (but line ends)."""
    return sorted({f"U+{ord(c):04X}" for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")})


class Names(unittest.TestCase):
    def setUp(self):
        self.scratch = harness.Scratch()
        self.addCleanup(self.scratch.__exit__)
        os.mkdir(self.scratch.path(HOSTILE))
        self.folder = self.scratch.path(HOSTILE)
        self.program = os.path.join(self.folder, HOSTILE)
        shutil.copy(harness.program("fd_open"), self.program)

    def check(self, text, shown=SHOWN):
        self.assertEqual(hidden(text), [], text)
        self.assertIn(shown, text)

    def test_summary_and_reports(self):
        result = harness.run([self.program, "leak"], scratch=self.scratch)
        self.assertEqual(result.report["process"]["exe"], os.path.realpath(self.program), "the value is as it was")
        self.check(result.stderr)
        report = self.scratch.path("report.json")
        with open(report) as file:
            self.check(file.read(), "photo\\u202egnp.exe\\u200b\\u009b2J\\u001b[31m")
        for form in ("text", "html", "json"):
            with self.subTest(form=form):
                shown = "photo\\u202egnp.exe\\u200b\\u009b2J\\u001b[31m" if form == "json" else SHOWN
                self.check(harness.unfreed("report", "--format", form, report).stdout, shown)
        self.check(harness.unfreed("diff", report, report).stdout)

    def test_the_commands_messages(self):
        missing = os.path.join(self.folder, "missing")
        for arguments in (["run", "--output", missing + "/r.json", "--", "true"], ["run", "--suppressions", missing, "true"],
                          ["run", "--", missing], ["report", missing], ["check", "--fail-on", "fd>0", missing],
                          ["run", "--depth", HOSTILE, "true"], ["run", "--" + HOSTILE, "true"]):
            with self.subTest(arguments=arguments[:2]):
                self.check(harness.unfreed(*arguments, env={"UNFREED_LEDGER_DIR": self.scratch.ledgers}).stderr)
        self.check(harness.unfreed("doctor", self.program).stdout)

    def test_the_librarys_messages(self):
        bad = os.path.join(self.folder, "bad.supp")
        with open(bad, "w") as file:
            file.write("nonsense\n")
        for setting, value in (("UNFREED_OUTPUT", self.folder + "/missing/r.json"), ("UNFREED_OUTPUT", self.folder + "/%p.json"),
                               ("UNFREED_SUPPRESSIONS", self.folder + "/missing"), ("UNFREED_SUPPRESSIONS", bad),
                               ("UNFREED_DEPTH", HOSTILE)):
            for helper in (True, False):
                with self.subTest(setting=setting, value=value, helper=helper):
                    env = {"UNFREED_OUTPUT": self.scratch.path("r.json"), setting: value}
                    result = harness.preload([harness.program("fd_open"), "leak"], helper=helper, env=env,
                                             scratch=self.scratch, keep_ledgers=True)
                    self.check(result.stderr)


if __name__ == "__main__":
    harness.main()
