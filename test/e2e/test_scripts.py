#!/usr/bin/python3
"""scripts/run, and what the scripts are made of."""
import os
import subprocess
import unittest

import harness

SCRIPTS = os.path.join(harness.SOURCE, "scripts")


def in_build_folder():
    return os.path.realpath(harness.BUILD) == os.path.realpath(os.path.join(harness.SOURCE, "build"))


class Run(unittest.TestCase):
    def setUp(self):
        if not in_build_folder():
            self.skipTest("scripts/run uses the build in ./build, which is not the one under test")

    def script(self, scratch, *args, **keywords):
        return harness.bare([os.path.join(SCRIPTS, "run"), *args], cwd=scratch.folder,
                            env={"UNFREED_LEDGER_DIR": scratch.ledgers}, **keywords)

    def test_bundled_example(self):
        with harness.Scratch() as scratch:
            result = self.script(scratch)
            self.assertEqual((result.status, result.stdout), (0, "served 200 requests\n"), result)
            self.assertIn("service::Log::write", result.stderr)
            (report,) = harness.read_reports(scratch.folder).values()
            self.assertEqual(report["totals"]["fd"]["live"], 25)

    def test_command(self):
        with harness.Scratch() as scratch:
            result = self.script(scratch, "/bin/sh", "-c", "echo out; exit 3")
            self.assertEqual((result.status, result.stdout), (3, "out\n"), result)
            self.assertEqual(len(harness.read_reports(scratch.folder)), 1)

    def test_options_go_to_unfreed(self):
        with harness.Scratch() as scratch:
            result = self.script(scratch, "--fail-on", "fd>0", "--", harness.program("fd_open"), "leak")
            self.assertEqual(result.status, 23, result)

    def test_nothing_is_built_or_installed_when_all_is_there(self):
        """With no compiler, no meson and no apt-get to be found, the command starts all the same."""
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("bin"))
            for tool in ("bash", "env", "dirname", "readlink", "grep", "tail", "sh", "true", "ninja"):
                found = subprocess.run(["/bin/sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True)
                os.symlink(os.path.realpath(found.stdout.strip()) if tool != "sh" else "/bin/sh", scratch.path("bin", tool))
            result = harness.bare([os.path.join(SCRIPTS, "run"), "/bin/true"], cwd=scratch.folder,
                                  env={"PATH": scratch.path("bin"), "UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertEqual(result.status, 0, result)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become an ordinary user")
    def test_as_an_ordinary_user(self):
        with harness.Scratch() as scratch:
            os.chmod(scratch.folder, 0o777)
            os.chmod(scratch.ledgers, 0o777)
            reachable = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x",
                                        harness.COMMAND], check=False).returncode == 0
            if not reachable:
                self.skipTest("an ordinary user cannot reach the source folder")
            result = harness.bare(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                   os.path.join(SCRIPTS, "run"), harness.program("fd_open"), "leak"], cwd=scratch.folder,
                                  env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertEqual(result.status, 0, result)
            (report,) = harness.read_reports(scratch.folder).values()
            self.assertEqual(report["totals"]["fd"]["live"], 3)


class Pieces(unittest.TestCase):
    def shell(self, text, **keywords):
        return harness.bare(["/bin/bash", "-c", f"set -euo pipefail; . {SCRIPTS}/lib/common.sh; {text}"], **keywords)

    def test_syntax(self):
        for name in ("run", "test", "bench", "soak", "ci-check", "lib/common.sh"):
            with self.subTest(script=name):
                result = harness.bare(["/bin/bash", "-n", os.path.join(SCRIPTS, name)])
                self.assertEqual(result.status, 0, result)

    def test_missing_packages_are_named(self):
        result = self.shell("missing_packages bash no-such-package-anywhere dpkg")
        self.assertEqual(result.stdout, "no-such-package-anywhere\n", result)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become an ordinary user")
    def test_one_line_when_an_ordinary_user_misses_packages(self):
        with harness.Scratch() as scratch:
            os.chmod(scratch.folder, 0o755)
            os.makedirs(scratch.path("scripts", "lib"))
            for name in ("lib/common.sh",):
                with open(os.path.join(SCRIPTS, name)) as source, open(scratch.path("scripts", name), "w") as target:
                    target.write(source.read())
            script = f". {scratch.path('scripts/lib/common.sh')}; require_packages bash no-such-package-anywhere"
            result = harness.bare(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/bin/bash", "-c",
                                   script, "scripts/run"])
            self.assertEqual(result.status, 125, result)
            self.assertEqual(result.stderr, "run: these Debian packages are missing, and only root can install them: "
                                            "no-such-package-anywhere\n")


class TestLog(unittest.TestCase):
    """The line that scripts/test closes with."""

    def count(self, junit, log, status=0):
        with harness.Scratch() as scratch:
            with open(scratch.path("testlog.junit.xml"), "w") as file:
                file.write(junit)
            with open(scratch.path("testlog.json"), "w") as file:
                file.write(log)
            return harness.bare([os.path.join(SCRIPTS, "lib", "test_log.py"), "count", str(status), scratch.folder])

    SUITE = '<testsuites><testsuite name="unfreed:{name}">{cases}</testsuite></testsuites>'

    def test_cases_are_counted(self):
        junit = self.SUITE.format(name="a", cases='<testcase name="1"/><testcase name="2"/><testcase name="3"><skipped/></testcase>')
        result = self.count(junit, '{"name": "unfreed:e2e / a", "result": "OK"}\n')
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (0, "2 passed, 0 failed"), result)
        self.assertIn("skipped: unfreed:a: 3", result.stdout)

    def test_failures_are_counted_and_named(self):
        junit = self.SUITE.format(name="a", cases='<testcase name="1"/><testcase name="2"><failure/></testcase>')
        result = self.count(junit, '{"name": "unfreed:e2e / a", "result": "FAIL"}\n', 1)
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (1, "1 passed, 1 failed"), result)
        self.assertIn("failed: unfreed:a: 2", result.stdout)

    def test_crash_without_a_failed_case_counts(self):
        junit = self.SUITE.format(name="a", cases='<testcase name="1"/>')
        result = self.count(junit, '{"name": "unfreed:e2e / a", "result": "TIMEOUT"}\n', 1)
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (1, "1 passed, 1 failed"), result)

    def test_no_tests_is_a_failure(self):
        result = self.count("<testsuites/>", "")
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (1, "0 passed, 1 failed"), result)

    def test_bad_status_is_a_failure(self):
        junit = self.SUITE.format(name="a", cases='<testcase name="1"/>')
        result = self.count(junit, '{"name": "unfreed:e2e / a", "result": "OK"}\n', 2)
        self.assertEqual((result.status, result.stdout.splitlines()[-1]), (1, "1 passed, 1 failed"), result)


if __name__ == "__main__":
    harness.main()
