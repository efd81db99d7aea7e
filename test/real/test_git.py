#!/usr/bin/python3
"""git clone of a local repository: many processes, mapped packs, a work tree full of files."""
import os
import subprocess
import unittest

import harness

IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


class Git(unittest.TestCase):
    def make_repository(self, path):
        env = harness.clean_environment(IDENTITY)
        subprocess.run(["git", "init", "-q", path], check=True, env=env)
        for number in range(30):
            with open(os.path.join(path, f"file{number}"), "w") as file:
                file.write("".join(f"line {number * line}\n" for line in range(200)))
            if number % 10 == 9:
                subprocess.run(["git", "-C", path, "add", "."], check=True, env=env)
                subprocess.run(["git", "-C", path, "commit", "-q", "-m", f"to {number}"], check=True, env=env)

    def test_clone(self):
        with harness.Scratch() as work:
            self.make_repository(work.path("origin"))
            # A file:// address makes it go through upload-pack and index-pack, as from a server.
            result = harness.run(["git", "clone", f"file://{work.path('origin')}", work.path("copy")], env=IDENTITY,
                                 options=["--all-reports"])
            self.assertEqual((result.status, result.stdout), (0, ""), result)
            for repository in ("origin", "copy"):
                check = harness.bare(["git", "-C", work.path(repository), "fsck", "--strict"], env=IDENTITY)
                self.assertEqual(check.status, 0, check)
            heads = [harness.bare(["git", "-C", work.path(r), "rev-parse", "HEAD"], env=IDENTITY).stdout
                     for r in ("origin", "copy")]
            self.assertEqual(heads[0], heads[1])
            self.assertEqual(sorted(os.listdir(work.path("copy"))), sorted(os.listdir(work.path("origin"))))

            words = [" ".join(r["process"]["argv"]) for r in result.reports.values()]
            for word in ("clone", "upload-pack", "index-pack"):
                self.assertTrue(any(word in text for text in words), words)
            for report in result.reports.values():
                self.assertEqual(report["process"].get("exit_status"), 0)
            # git clone wrote thirty files and closed each of them.
            self.assertGreaterEqual(result.report["totals"]["fd"]["total"], 30)
            self.assertLess(result.report["totals"]["fd"]["live"], 10)

    def test_log_is_the_same(self):
        with harness.Scratch() as work:
            self.make_repository(work.path("origin"))
            words = ["git", "-C", work.path("origin"), "log", "-p", "--stat"]
            alone = harness.bare(words, env=IDENTITY)
            for run in (harness.run, harness.preload):
                result = run(words, env=IDENTITY)
                self.assertEqual((result.status, result.stdout), (0, alone.stdout))
                self.assertGreater(result.report["totals"]["heap"]["total"], 100)


if __name__ == "__main__":
    harness.main()
