#!/usr/bin/python3
"""scripts/ci-check: one step of a CI job."""
import json
import os
import shutil
import unittest
from xml.etree import ElementTree

import harness

CHECK = os.path.join(harness.SOURCE, "scripts", "ci-check")


def setUpModule():
    if os.path.realpath(harness.BUILD) != os.path.realpath(os.path.join(harness.SOURCE, "build")):
        raise unittest.SkipTest("scripts/ci-check uses the build in ./build, which is not the one under test")


class CiCheck(unittest.TestCase):
    def run_check(self, scratch, *args, env=None):
        return harness.bare([CHECK, *args], cwd=scratch.folder, env={"UNFREED_LEDGER_DIR": scratch.ledgers, **(env or {})})

    def leak(self, name="fd_open"):
        return [harness.program(name), "leak"]

    def test_leak_fails_the_step_and_leaves_reports(self):
        with harness.Scratch() as scratch:
            for name in ("fd_open", "thread_unjoined"):
                result = self.run_check(scratch, *self.leak(name))
                self.assertEqual(result.status, 23, result)
                (report,) = harness.read_reports(scratch.path("unfreed-reports")).values()
                self.assertEqual(os.path.basename(report["process"]["exe"]), name)
                self.assertEqual([rule["rule"] for rule in report["rules"]], ["fd>0", "thread>0", "child>0", "heap.lost>0"])

    def test_clean_passes(self):
        with harness.Scratch() as scratch:
            result = self.run_check(scratch, harness.program("fd_open"), "clean")
            self.assertEqual(result.status, 0, result)

    def test_of_the_heap_only_what_is_lost_fails_by_default(self):
        with harness.Scratch() as scratch:
            result = self.run_check(scratch, *self.leak("heap_malloc"))
            self.assertIn("FAIL heap.lost>0", result.stderr)
            self.assertEqual(result.status, 23)
            # Much of it, and all of that within reach.
            shell = shutil.copy(shutil.which("bash"), scratch.path("own_shell"))
            self.assertEqual(self.run_check(scratch, shell, "-c", "x=$(seq 1 2000); test -n \"$x\"").status, 0)
            self.assertEqual(self.run_check(scratch, "--fail-on", "heap.bytes>=1000", *self.leak("heap_malloc")).status, 23)

    def test_own_status(self):
        with harness.Scratch() as scratch:
            self.assertEqual(self.run_check(scratch, harness.program("ending"), "exit", "7").status, 7)
            self.assertEqual(self.run_check(scratch, "/nonexistent/program").status, 127)
            self.assertEqual(self.run_check(scratch, *self.leak(), env={"UNFREED_EXITCODE": "42"}).status, 42)

    def test_rules_are_for_the_projects_own_programs(self):
        leak = " ".join(self.leak())
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("tests, all [1]"))
            scratch.folder = scratch.path("tests, all [1]")
            shutil.copy(harness.program("fd_open"), scratch.path("own"))
            for name, text in {"clean.sh": "x=$(echo hi | cat); exec 5>log; test $x = hi", "leaks.sh": "./own leak",
                               "opens.py": "import os; os.open('/etc/passwd', 0)", "closes.py": "open('/etc/passwd').close()", "opens.pl": "open our $f, '<', '/etc/passwd'; use POSIX; POSIX::_exit(0)",
                               "grows.sh": "for i in 1 2 3; do exec {fd}</etc/passwd; done"}.items():
                with open(scratch.path(name), "w") as file:
                    file.write(text + "\n")
            os.symlink(scratch.folder, scratch.path("link"))
            with open(scratch.path("Makefile"), "w") as file:
                file.write(f"check:\n\tsh ./clean.sh\n\t{leak}\nred:\n\tsh ./leaks.sh\n")
            for args, status in ((["make", "check"], 0), (["make", "red"], 23), (["bash", "clean.sh"], 0), (["sh", "leaks.sh"], 23),
                                 (["/bin/bash", "-e", "./grows.sh"], 23), (["./own", "leak"], 23), (["./own", "clean"], 0),
                                 (["sh", "-c", f"{leak}; ./own clean"], 0), (self.leak(), 23),
                                 (["sh", "-c", "gdb --batch /bin/true; ./own clean"], 0),
                                 (["/usr/bin/python3", "opens.py"], 23), (["/usr/bin/python3", "-W", "error", "opens.py"], 23),
                                 (["/usr/bin/python3", "-B", "-I", "opens.py"], 23), (["/usr/bin/python3", "-O", "./opens.py"], 23),
                                 (["perl", "-X", "opens.pl"], 23), (["perl", "-e", "open F, '/etc/passwd'", "opens.pl"], 125),
                                 (["/usr/bin/python3", scratch.path("link", "opens.py")], 23),
                                 (["/usr/bin/python3", "closes.py"], 0), (["sh", "-c", "env -i ls; ./own clean"], 0),
                                 # Rules that are for nobody are no pass.
                                 (["sh", "-c", leak], 125), (["gdb", "--batch", "/bin/true"], 125),
                                 (["sh", "-c", "env -i sh ./leaks.sh"], 125),
                                 (["--rules-for", "*", "sh", "-c", leak], 23), (["--rules-for=fd_*", "sh", "-c", leak], 23),
                                 (["--rules-for=/nowhere/*", *self.leak()], 125)):
                with self.subTest(args=args):
                    result = self.run_check(scratch, *args)
                    self.assertEqual(result.status, status, result)
                    reports = harness.read_reports(scratch.path("unfreed-reports"))
                    # What check says of the reports is what the run said.
                    broken = any(harness.unfreed("check", "-q", "--fail-on", "fd>0",
                                                 scratch.path("unfreed-reports", name)).status == 23
                                 for name in reports)
                    self.assertEqual(broken, status == 23, reports)

    def test_tests_that_a_runner_runs_in_its_own_process(self):
        with harness.Scratch() as scratch:
            opens = "import os, unittest\nclass Test(unittest.TestCase):\n  def test(self): os.open('/etc/passwd', 0)\n"
            for name, text in {"test_opens.py": opens, "test_clean.py": "import unittest\n", "opens.py": "open(0)\n" + opens +
                               "unittest.main()\n", "package/__main__.py": "import os\nos.open('/etc/passwd', 0)\n",
                               "elsewhere/pytest": "import os\nos.open('/etc/passwd', 0)\n", "here/x": ""}.items():
                os.makedirs(os.path.dirname(scratch.path(name)), exist_ok=True)
                with open(scratch.path(name), "w") as file:
                    file.write(text)
            # As if Debian's, by their names, and not by their paths.
            python = ["env", "/usr/bin/python3"]
            for args, status, folder in ((["-m", "unittest", "test_opens"], 23, "."), (["-Bm", "unittest", "test_opens"], 23, "."),
                                         (["-munittest", "test_opens"], 23, "."), (["-m", "unittest", "test_clean"], 0, "."),
                                         (["-W", "error", "-m", "package"], 23, "."), (["-m", "opens"], 23, "."),
                                         (["../elsewhere/pytest"], 23, "here"), (["../opens.py"], 125, "here"),
                                         (["-m", "json.tool", "/dev/null"], 1, ".")):
                with self.subTest(args=args):
                    result = harness.bare([CHECK, *python, *args], cwd=scratch.path(folder),
                                          env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                    self.assertEqual(result.status, status, result)

    def test_the_projects_folder(self):
        with harness.Scratch() as scratch:
            for folder in ("project/tests", "project/build", "out"):
                os.makedirs(scratch.path(folder))
            shutil.copy(harness.program("fd_open"), scratch.path("project", "tests", "own"))
            command = ["sh", "-c", scratch.path("project", "tests", "own") + " leak"]

            def check(folder):
                return harness.bare([CHECK, *command], cwd=scratch.path(folder),
                                    env={"UNFREED_LEDGER_DIR": scratch.ledgers}).status

            self.assertEqual(check("project/build"), 125)
            self.assertEqual(check("out"), 125)
            with open(scratch.path("out", "CMakeCache.txt"), "w") as file:
                file.write(f"# a cache\nCMAKE_HOME_DIRECTORY:INTERNAL={scratch.path('project')}\n")
            self.assertEqual(check("out"), 23)
            os.mkdir(scratch.path("project", ".git"))
            self.assertEqual(check("project/build"), 23)

    def test_settings(self):
        with harness.Scratch() as scratch:
            self.assertEqual(self.run_check(scratch, "--fail-on=fd>3", "--reports=he%re", "--", *self.leak()).status, 0)
            self.assertEqual(len(harness.read_reports(scratch.path("he%re"))), 1)
            env = {"UNFREED_FAIL_ON": "fd>=3", "UNFREED_REPORTS": "there"}
            self.assertEqual(self.run_check(scratch, *self.leak(), env=env).status, 23)
            self.assertEqual(len(harness.read_reports(scratch.path("there"))), 1)

    def test_what_a_ci_shows_by_itself(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path(".git"))
            shutil.copy(harness.program("fd_open"), scratch.path("own"))
            with open(scratch.path("summary.md"), "w") as file:
                file.write("# of a step before\n")
            shell = "sh"  # as it was started, whatever /bin/sh leads to
            env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": scratch.path("summary.md"), "GITLAB_CI": "true"}

            def check(*args, env=env):
                result = self.run_check(scratch, *args, env=env)
                with open(scratch.path("summary.md"), encoding="utf-8") as file:
                    summary = file.read()
                suites = ElementTree.parse(scratch.path("unfreed-reports", "unfreed-junit.xml")).getroot()
                cases = {(case.get("classname"), case.get("name")): case for case in suites.iter("testcase")}
                return result, summary, suites, cases

            result, summary, suites, cases = check("sh", "-c", "./own clean; ./own clean; ./own leak")
            self.assertEqual(result.status, 23)
            self.assertRegex(result.stderr, r"(?m)^::error (file=\S+,line=\d+,)?title=unfreed%3A fd>0::")
            self.assertEqual(result.stdout, "")
            self.assertTrue(summary.startswith("# of a step before\n<!-- made by unfreed -->\n"), summary)
            self.assertIn("FAIL fd>0", summary)
            self.assertIn("hold nothing: 2", summary)
            self.assertEqual(suites.get("failures"), "1")
            self.assertIsNotNone(cases["own", "fd>0"].find("failure"))
            self.assertIsNone(cases["own", "thread>0"].find("failure"))
            self.assertIsNotNone(cases[shell, "rules"].find("skipped"))
            self.assertEqual(list(cases["other processes", "rules"]), [])
            with open(scratch.path("unfreed-reports", "unfreed-code-quality.json"), encoding="utf-8") as file:
                self.assertIn("fd>0", str(json.load(file)))

            # What is kept is no report of this job's, and what a step before said stays.
            result, later, suites, cases = check("sh", "-c", "./own clean; :")
            self.assertEqual(result.status, 0, result)
            self.assertTrue(later.startswith(summary) and len(later) > len(summary))
            self.assertEqual((suites.get("failures"), suites.get("errors")), ("0", "0"))
            self.assertNotIn("::error", result.stderr)
            with open(scratch.path("unfreed-reports", "unfreed-code-quality.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file), [])

            # Rules that are for nobody are no pass here, either.
            result, later, suites, cases = check("sh", "-c", "true; :")
            self.assertEqual(result.status, 125)
            self.assertIsNotNone(cases[shell, "rules"].find("error"))
            self.assertIn("**No rule was checked", later)

            # Elsewhere nothing but JUnit's file.
            os.remove(scratch.path("unfreed-reports", "unfreed-code-quality.json"))
            result, again, suites, cases = check("./own", "leak", env={})
            self.assertEqual((result.status, again), (23, later))
            self.assertNotIn("::error", result.stderr)
            self.assertNotIn("unfreed-code-quality.json", os.listdir(scratch.path("unfreed-reports")))

    def test_programs_that_a_signal_ends(self):
        with harness.Scratch() as scratch:
            for name in ("killed", "fd_open"):
                shutil.copy(harness.program(name), scratch.path("own_" + name))
            script = ["sh", "-c", "./own_killed .; ./own_fd_open clean"]
            result = self.run_check(scratch, *script)
            self.assertEqual(result.status, 0, result)
            self.assertRegex(result.stderr, r"own_killed \(pid \d+\) holds .* descriptors.* \(it was killed: no rule")
            self.assertEqual(self.run_check(scratch, "sh", "-c", "./own_killed .; ./own_fd_open leak").status, 23)
            strict = self.run_check(scratch, *script, env={"UNFREED_ALLOW_KILLED": ""})
            self.assertEqual(strict.status, 23, strict)
            self.assertIn("the process ended too suddenly for a search for lost objects", strict.stderr)

    def test_misuse(self):
        with harness.Scratch() as scratch:
            for args in ((), ("--no-such-option", "true"), ("--fail-on",), ("--fail-on", "", "true"), ("--fail-on", "fd", "true"),
                         ("--reports", "/dev/null/x", "true")):
                with self.subTest(args=args):
                    result = self.run_check(scratch, *args)
                    self.assertEqual(result.status, 125, result)
                    self.assertTrue(result.stderr.strip())

    def test_help(self):
        with harness.Scratch() as scratch:
            result = self.run_check(scratch, "--help")
            self.assertEqual(result.status, 0)
            self.assertIn("--fail-on RULES", result.stdout)


if __name__ == "__main__":
    harness.main()
