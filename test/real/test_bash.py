#!/usr/bin/python3
"""bash: pipelines, substitutions, background jobs, redirections onto numbers of the script's choosing."""
import os
import unittest

import harness

SCRIPT = r"""
seq 1 1000 | grep 7 | sort -r | head -n 3
echo "sum: $(seq 1 100 | awk '{s += $1} END {print s}')"
while read -r word; do echo "<$word>"; done < <(printf '%s\n' one two three)
(sleep 0.05; echo background) & wait
cat <<END | tr a-z A-Z
here document
END
exec 7>/dev/null; echo unseen >&7; exec 7>&-
exit 5
"""


class Bash(unittest.TestCase):
    def test_pipelines(self):
        alone = harness.bare(["/bin/bash", "-c", SCRIPT])
        self.assertEqual(alone.status, 5)
        for name, run in (("run", harness.run), ("preload", harness.preload)):
            with self.subTest(way=name):
                result = run(["/bin/bash", "-c", SCRIPT])
                self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)
                self.assertEqual(result.report["totals"]["fd"]["live"], 0, result)
                self.assertGreater(result.report["totals"]["fd"]["total"], 10, "pipes were made, and closed")

    def test_descriptor_left_open(self):
        result = harness.run(["/bin/bash", "-c", "exec 12</etc/passwd; exec 13>/dev/null; exec 13>&-; true"],
                             options=["--no-default-suppressions", "--fail-on", "fd>0"])
        self.assertEqual(result.status, 23, result)
        self.assertEqual(result.report["totals"]["fd"]["live"], 1)
        (site,) = harness.live_sites(result.report, "fd")
        self.assertEqual([(item["fd"], item["target"]) for item in site["objects"]], [(12, "/etc/passwd")])
        # bash opens the file on the lowest number and moves it to 12.
        self.assertIn(site["acquired_by"], ("dup2", "open", "open64", "fcntl", "fcntl64"))

    def test_one_report_per_process(self):
        result = harness.run(["/bin/bash", "-c", "seq 3 | cat | wc -l; true"], options=["--all-reports"])
        self.assertEqual((result.status, result.stdout), (0, "3\n"), result)
        names = sorted(os.path.basename(r["process"]["exe"]) for r in result.reports.values())
        self.assertEqual(names, ["bash", "cat", "seq", "wc"])


if __name__ == "__main__":
    harness.main()
