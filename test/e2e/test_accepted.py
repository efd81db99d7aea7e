#!/usr/bin/python3
"""What well-known programs do on purpose is no leak, says why when it is asked, and hides no leak of anybody else."""
import os
import unittest

import harness


class Shells(unittest.TestCase):
    def run_script(self, shell, text, *options, arguments=("./script.sh",)):
        with harness.Scratch() as scratch:
            with open(scratch.path("script.sh"), "w") as file:
                file.write(text + "\n")
            result = harness.run([shell, *arguments], scratch=scratch, cwd=scratch.folder, options=[
                "--quiet", "--fail-on", "fd>0,thread>0,misuse>0", *options])
            path = scratch.path("report.json")
            result.shown = harness.unfreed("report", "--show-suppressed", path).stdout
            result.plain = harness.unfreed("report", path).stdout
        return result

    def test_scripts_are_clean(self):
        for shell in ("/bin/bash", "/bin/dash"):
            for text in ("true", "ls / | cat | wc -l", "x=$(echo hi | cat); echo $x", "exec 3</etc/passwd; read line <&3",
                         "exec 5>log 6>&1; echo hi >&5", "(sleep 0 &); wait", ". /dev/null; f() { cat </dev/null; }; f",
                         "while read l; do echo $l; done </etc/hosts | sort"):
                with self.subTest(shell=shell, text=text):
                    result = self.run_script(shell, text)
                    self.assertEqual(result.status, 0, result)

    def test_bashs_own_ways(self):
        for text in ("set -o pipefail; true | true | true", "while read l; do :; done < <(echo a; echo b)", "cat <<<hi | cat",
                     "coproc cat; exec {COPROC[1]}>&-; wait", "mapfile -t x < <(seq 5)"):
            with self.subTest(text=text):
                self.assertEqual(self.run_script("/bin/bash", text).status, 0)

    def test_the_reason_is_shown_on_request(self):
        result = self.run_script("/bin/bash", "true")
        self.assertIn("suppressed: built in: a shell keeps the script that it reads open", result.shown)
        self.assertNotIn("suppressed: built in", result.plain)
        (site,) = [site for site in result.report["sites"] if site["kind"] == "fd"]
        self.assertTrue(site["suppressed_by"].startswith("built in: "))
        self.assertEqual(result.report["totals"]["fd"]["suppressed"], 1)

    def test_all_counts_on_request(self):
        self.assertEqual(self.run_script("/bin/bash", "true", "--no-default-suppressions").status, 23)
        result = harness.run(["/bin/bash", "-c", "true | cat"], options=["--fail-on", "misuse>0"],
                             env={"UNFREED_NO_DEFAULT_SUPPRESSIONS": "1"})
        self.assertEqual(result.status, 23, result)

    def test_nothing_else_is_hidden(self):
        for text in (f"{harness.program('fd_open')} leak", f"echo | {harness.program('misuse')} twice | cat",
                     "for i in 1 2 3; do exec {fd}</etc/passwd; done"):
            with self.subTest(text=text):
                self.assertEqual(self.run_script("/bin/bash", text).status, 23)
        # Another file of the same name, and another program that reads a script.
        self.assertEqual(self.run_script("/bin/bash", "mkdir s; echo x >s/script.sh; exec {fd}<s/script.sh").status, 23)
        self.assertEqual(self.run_script("/usr/bin/python3", "import os; os.open('script.sh', 0)").status, 23)


class RulesFor(unittest.TestCase):
    def test_bare_preload(self):
        for patterns, status in (("fd_*", 23), (harness.program("fd_open"), 23), ("*/e2e/*", 23), ("other,fd_open", 23),
                                 ("nobody", 0)):
            with self.subTest(patterns=patterns):
                result = harness.preload([harness.program("fd_open"), "leak"], env={
                    "UNFREED_FAIL_ON": "fd>0", "UNFREED_RULES_FOR": patterns})
                self.assertEqual(result.status, status, result)
                self.assertEqual(result.report["process"].get("outside_rules", False), status == 0)
                self.assertEqual(len(result.report["rules"]), 1 if status else 0)
                self.assertGreater(result.report["totals"]["fd"]["live"], 0)


if __name__ == "__main__":
    harness.main()
