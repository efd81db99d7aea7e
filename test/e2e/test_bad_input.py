#!/usr/bin/python3
"""Whatever a user gets wrong ends in one clear line and the documented status."""
import json
import os
import random
import unittest

import harness


class Options(unittest.TestCase):
    def refused(self, *args, names=(), status=125, env=None):
        result = harness.unfreed(*args, env=env)
        self.assertEqual(result.status, status, result)
        self.assertEqual(result.stdout, "", result)
        self.assertTrue(result.stderr.strip(), "says why")
        self.assertLessEqual(len(result.stderr.strip().splitlines()), 3, result)
        for name in names:
            self.assertIn(name, result.stderr)
        return result

    def test_unknown_option(self):
        self.refused("run", "--no-such-option", "true", names=["--no-such-option"])
        self.refused("--no-such-option", names=["--no-such-option"])

    def test_unknown_subcommand(self):
        self.refused("ruin", "true", names=["ruin"])

    def test_no_command(self):
        self.refused("run")
        self.refused()

    def test_option_without_its_value(self):
        self.refused("run", "--fail-on", names=["fail-on"])

    def test_bad_rules(self):
        for rules in ("fd", "fd>", "fd>x", "fd<3", "bananas>0", "fd.bytes>1", "fd>0,,", "heap.bytes>1X", "fd>-1",
                      "fd>99999999999999999999", "site.>0"):
            with self.subTest(rules=rules):
                self.refused("run", "--fail-on", rules, "--", "true", names=[rules.strip(",")])

    def test_rule_about_a_kind_that_is_not_tracked(self):
        self.refused("run", "--track", "heap", "--fail-on", "fd>0", "--", "true", names=["fd>0"])

    def test_bad_values(self):
        for option, value in (("--exit-code", "0"), ("--exit-code", "256"), ("--exit-code", "x"), ("--depth", "0"),
                              ("--depth", "513"), ("--track", "fd,bananas")):
            with self.subTest(option=option, value=value):
                self.refused("run", option, value, "--", "true", names=[value])

    def test_nothing_of_the_program_ran(self):
        with harness.Scratch() as scratch:
            # As where a variable that a script expects is not set.
            self.refused("run", "--fail-on", "", "--", "/usr/bin/touch", scratch.path("ran"), names=["--fail-on is empty"])
            self.refused("run", "--fail-on", "fd>", "--", "/usr/bin/touch", scratch.path("ran"))
            self.assertFalse(os.path.exists(scratch.path("ran")))

    def test_unreadable_suppressions(self):
        self.refused("run", "--suppressions", "/nonexistent/list", "--", "true", names=["/nonexistent/list"])

    def test_bad_suppressions(self):
        with harness.Scratch() as scratch:
            path = scratch.path("list.supp")
            with open(path, "w") as file:
                file.write("# fine\nfd:take\nwithout any colon\n")
            self.refused("run", "--suppressions", path, "--", "true", names=[path, "3"])

    def test_help_and_version(self):
        for args in (["--help"], ["--version"], ["run", "--help"], ["report", "--help"], ["diff", "--help"],
                     ["check", "--help"], ["snapshot", "--help"], ["doctor", "--help"]):
            result = harness.unfreed(*args)
            self.assertEqual((result.status, result.stderr), (0, ""), result)
            self.assertTrue(result.stdout.strip())

    def test_version_says_what_it_was_built_from_and_with(self):
        lines = harness.unfreed("--version").stdout.splitlines()
        self.assertRegex(lines[0], r"^unfreed \d+\.\d+\.\d+$")
        self.assertRegex(lines[1], r"^commit [0-9a-f]{40}$|^not a release: ")
        self.assertRegex(lines[2], r"^built with (g|clang)\+\+ \d+.* and glibc 2\.\d+")
        self.assertRegex(lines[3], r"CLI11 \d.*fmt \d.*elfutils 0\.\d+")


class Variables(unittest.TestCase):
    """The same mistakes in the environment of a bare preload."""

    def test_bad_gate_stops_the_program_before_main(self):
        for variable, value in (("UNFREED_FAIL_ON", "fd>x"), ("UNFREED_FAIL_ON", "bananas>0"),
                                ("UNFREED_EXITCODE", "0"), ("UNFREED_EXITCODE", "many")):
            with self.subTest(variable=variable, value=value):
                result = harness.preload(["/bin/echo", "ran"], env={variable: value})
                self.assertEqual((result.status, result.stdout), (125, ""), result)
                self.assertIn(variable, result.stderr)
                self.assertIn(value, result.stderr)

    def test_rule_about_a_kind_that_is_not_tracked(self):
        result = harness.preload(["/bin/echo", "ran"], env={"UNFREED_TRACK": "heap", "UNFREED_FAIL_ON": "fd>0"})
        self.assertEqual((result.status, result.stdout), (125, ""), result)

    def test_other_bad_values_fall_back_loudly(self):
        for variable, value in (("UNFREED_DEPTH", "ten"), ("UNFREED_DEPTH", "0"), ("UNFREED_DEPTH", "513"),
                                ("UNFREED_SIGNAL", "NOPE"), ("UNFREED_TRACK", "bananas"), ("UNFREED_QUIET", "perhaps")):
            with self.subTest(variable=variable, value=value):
                result = harness.preload([harness.program("fd_open"), "leak"], env={variable: value})
                self.assertEqual(result.status, 0, result)
                (line,) = [text for text in result.stderr.splitlines() if variable in text]
                self.assertIn(value, line)
                self.assertEqual(result.report["totals"]["fd"]["live"], 3)

    def test_unreadable_suppressions(self):
        result = harness.preload([harness.program("fd_open"), "leak"],
                                 env={"UNFREED_SUPPRESSIONS": "/nonexistent/list"})
        self.assertIn("/nonexistent/list", result.stderr)
        self.assertEqual(result.status, 0, result)
        gated = harness.preload([harness.program("fd_open"), "clean"],
                                env={"UNFREED_SUPPRESSIONS": "/nonexistent/list", "UNFREED_FAIL_ON": "fd>0"})
        self.assertEqual(gated.status, 125, "rules that cannot be applied as asked are never a pass")

    def test_depth(self):
        result = harness.run([harness.program("optimized"), "leak"], env={"UNFREED_DEPTH": "1"})
        (site,) = harness.live_sites(result.report, "fd")
        self.assertEqual(len([frame for frame in site["stack"] if not frame.get("inlined")]), 1)
        self.assertTrue(site["truncated"])

    def test_quiet(self):
        for run in (harness.run, harness.preload):
            result = run([harness.program("fd_open"), "leak"], env={"UNFREED_QUIET": "1"})
            self.assertEqual((result.status, result.stderr), (0, ""), result)
            self.assertEqual(result.report["totals"]["fd"]["live"], 3)


class Files(unittest.TestCase):
    """Reports and ledgers are untrusted input."""

    def refused(self, *args, path):
        for command in args:
            result = harness.unfreed(*command, timeout=30)
            self.assertEqual(result.status, 125, f"{command}: {result}")
            self.assertIn(os.path.basename(path), result.stderr)
            self.assertLessEqual(len(result.stderr.strip().splitlines()), 3, result)

    def commands(self, path):
        return ["report", path], ["check", path, "--fail-on", "fd>0"], ["diff", path, path]

    def good_report(self, scratch):
        path = scratch.path("report.json")
        if not os.path.exists(path):
            harness.run([harness.program("fd_open"), "leak"], scratch=scratch)
        return path

    def good_ledger(self, scratch):
        """That of a process that was killed."""
        harness.preload([harness.program("ending"), "signal", "9"], scratch=scratch, keep_ledgers=True)
        (name,) = scratch.leftovers()
        return os.path.join(scratch.ledgers, name)

    def test_not_a_report_at_all(self):
        with harness.Scratch() as scratch:
            for name, content in (("empty", b""), ("text", b"hello\n"), ("zeros", b"\0" * 100000), ("list", b"[]"),
                                  ("number", b"12"), ("other.json", b'{"name": "x"}'), ("nul", b'{"a": "\x00"}'),
                                  ("latin", b'{"schema_version": 2, "process": "\xff\xfe"}'),
                                  ("version", b'{"schema_version": 99}'), ("deep", b"[" * 200000),
                                  ("half", b'{"schema_version": 2, "sites": [')):
                with self.subTest(name=name):
                    path = scratch.path(name)
                    with open(path, "wb") as file:
                        file.write(content)
                    self.refused(*self.commands(path), path=path)
            self.refused(*self.commands("/nonexistent.json"), path="nonexistent.json")
            self.refused(*self.commands(scratch.folder), path=scratch.folder)

    def test_truncated_report(self):
        with harness.Scratch() as scratch:
            with open(self.good_report(scratch), "rb") as file:
                content = file.read()
            path = scratch.path("cut.json")
            for size in (1, 10, len(content) // 3, len(content) // 2, len(content) - 3):
                with open(path, "wb") as file:
                    file.write(content[:size])
                self.refused(*self.commands(path), path=path)

    def test_forged_report(self):
        with harness.Scratch() as scratch:
            with open(self.good_report(scratch)) as file:
                good = json.load(file)
            path = scratch.path("forged.json")
            forgeries = {"sites": "none", "totals": [], "process": None, "rules": {"fd": 1}, "modules": 7, "notes": 1,
                         "tool": [1]}
            for key, value in forgeries.items():
                with self.subTest(key=key):
                    with open(path, "w") as file:
                        json.dump({**good, key: value}, file)
                    self.refused(*self.commands(path), path=path)
            for key, value in (("live", "three"), ("live", -1), ("stack", {}), ("stack", [1, 2]), ("kind", 7),
                               ("objects", [None]), ("live", 1e300)):
                with self.subTest(site=key, value=value):
                    site = {**good["sites"][0], key: value}
                    with open(path, "w") as file:
                        json.dump({**good, "sites": [site]}, file)
                    self.refused(*self.commands(path), path=path)

    def test_terminal_escapes_in_a_report_are_not_obeyed(self):
        with harness.Scratch() as scratch:
            with open(self.good_report(scratch)) as file:
                report = json.load(file)
            report["process"]["argv"] = ["\x1b[2J\x1b]0;owned\x07", "a\nb"]
            report["sites"][0]["stack"][0]["function"] = "evil\x1b[31m\r"
            path = scratch.path("escapes.json")
            with open(path, "w") as file:
                json.dump(report, file)
            result = harness.unfreed("report", path)
            self.assertEqual(result.status, 0, result)
            self.assertNotIn("\x1b", result.stdout)
            self.assertNotIn("\r", result.stdout)

    def test_truncated_ledger(self):
        with harness.Scratch() as scratch:
            ledger = self.good_ledger(scratch)
            cut = scratch.path("unfreed.cut.1.0")
            for size in (0, 7, 8, 100, 4095, 4096, 10000):
                with open(ledger, "rb") as source, open(cut, "wb") as file:
                    file.write(source.read(size))
                with self.subTest(size=size):
                    self.refused(["report", cut], path=cut)

    def test_forged_ledger(self):
        """Every word of the header in turn is replaced by something absurd: a refusal or a report, never a crash, and
        never more memory or time than a report takes."""
        with harness.Scratch() as scratch:
            ledger = self.good_ledger(scratch)
            with open(ledger, "rb") as file:
                header = bytearray(file.read(4096))
            seed = 20260101
            chance = random.Random(seed)
            for offset in chance.sample(range(0, 2048, 4), 120):
                forged = bytearray(header)
                forged[offset:offset + 4] = chance.choice(
                    [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x01\x00\x00\x80", b"\xff\xff\xff\x7f"])
                with open(ledger, "r+b") as file:
                    file.write(forged)
                result = harness.unfreed("report", ledger, timeout=30)
                self.assertIn(result.status, (0, 125), f"word at {offset} (seed {seed}): {result}")
            with open(ledger, "r+b") as file:
                file.write(header)
            self.assertEqual(harness.unfreed("report", ledger).status, 0)


if __name__ == "__main__":
    harness.main()
