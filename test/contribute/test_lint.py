#!/usr/bin/python3
"""scripts/lint, coverage and mutate, on a project of one function."""
import os
import shutil
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(harness.SOURCE, "scripts")


class SmallProject(unittest.TestCase):
    """A copy of `small` with the scripts and the settings of this tree."""

    def setUp(self):
        self.scratch = harness.Scratch()
        self.addCleanup(self.scratch.__exit__)
        self.tree = self.scratch.path("small")
        shutil.copytree(os.path.join(HERE, "small"), self.tree)
        shutil.copytree(SCRIPTS, os.path.join(self.tree, "scripts"))
        for name in (".clang-format", ".clang-tidy"):
            shutil.copy(os.path.join(harness.SOURCE, name), self.tree)
        self.do("git", "init", "--quiet")
        self.do("git", "add", ".")

    def do(self, *command):
        return harness.bare(command, cwd=self.tree, env={"HOME": self.scratch.folder})

    def change(self, before, after):
        path = os.path.join(self.tree, "src", "track", "limited.cpp")
        with open(path) as file:
            text = file.read()
        self.assertIn(before, text)
        with open(path, "w") as file:
            file.write(text.replace(before, after))


class Lint(SmallProject):
    def test_clean_code_passes(self):
        result = self.do("scripts/lint")
        self.assertEqual(result.status, 0, result)

    def test_wrong_form_is_shown_and_mended(self):
        self.change("return number;", "return  number ;")
        result = self.do("scripts/lint", "src/track/limited.cpp")
        self.assertEqual(result.status, 1, result)
        self.assertIn("limited.cpp:5", result.stderr)
        self.assertEqual(self.do("scripts/lint", "--fix", "src/track/limited.cpp").status, 0)
        self.assertEqual(self.do("scripts/lint", "src/track/limited.cpp").status, 0)

    def test_what_clang_tidy_finds_fails(self):
        self.change("  return number;\n", "  if (number == 7) {\n    return 1;\n  } else if (number == 8) {\n    return 1;\n"
                                          "  }\n  return number;\n")
        result = self.do("scripts/lint", "src/track/limited.cpp")
        self.assertEqual(result.status, 1, result)
        self.assertIn("bugprone-branch-clone", result.stdout + result.stderr)


class Coverage(SmallProject):
    def test_lines_that_tests_run_are_counted(self):
        result = self.do("scripts/coverage", self.scratch.path("coverage.html"))
        self.assertEqual(result.status, 0, result)
        self.assertIn("lines: 75.0% (3 out of 4)", result.stdout, result)
        self.assertTrue(os.path.exists(self.scratch.path("coverage.html")))


class Mutate(SmallProject):
    def mutate(self, *options):
        return harness.bare([os.path.join(SCRIPTS, "mutate"), "--project", self.tree, *options], cwd=self.tree)

    def test_changes_are_noticed_or_named(self):
        result = self.mutate()
        self.assertEqual(result.status, 1, result)
        lines = result.stdout.splitlines()
        self.assertEqual(lines[-1], "1 of 3 noticed (33 %)", result)
        self.assertTrue(any(line.startswith("noticed by track-limited") and "if (false && number > 100)" in line
                            for line in lines), result)
        self.assertIn("survived: src/track/limited.cpp:8: int unlimited(int number) { return number + 1; }  ->  "
                      "int unlimited(int number) { return number; }", lines)
        with open(os.path.join(self.tree, "src", "track", "limited.cpp")) as file, \
                open(os.path.join(HERE, "small", "src", "track", "limited.cpp")) as original:
            self.assertEqual(file.read(), original.read(), "the project itself is left alone")

    def test_one_line(self):
        result = self.mutate("--at", "src/track/limited.cpp:8")
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (1, "0 of 1 noticed (0 %)"), result)

    def test_what_the_likely_tests_do_not_notice_is_counted_at_once_if_time_is_short(self):
        result = self.mutate("--quick")
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (1, "1 of 3 noticed (33 %)"), result)
        self.assertIn("not noticed yet: src/track/limited.cpp:8:", result.stdout)
        self.assertNotIn("survived:", result.stdout)

    def test_tests_that_fail_as_the_code_is_say_nothing(self):
        self.change("return 100;", "return 99;")
        result = self.mutate()
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (1, "0 of 3 noticed (0 %)"), result)
        self.assertIn("left out, as it fails without a change: track-limited", result.stdout)


if __name__ == "__main__":
    harness.main()
