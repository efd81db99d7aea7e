#!/usr/bin/python3
"""How old what is held is: in reports, and --older, which lists only what is older."""
import json
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "ages.c")
SECOND = 1_000_000_000
WAIT_MS = 1200


class Ages(unittest.TestCase):
    def take(self, scratch, early=6, late=10, **keywords):
        words = [harness.program("ages"), str(early), str(WAIT_MS), str(late)]
        result = harness.run(words, scratch=scratch, **keywords)
        self.assertEqual(result.status, 0, result)
        sites = {site["kind"]: site for site in result.report["sites"] if site["live"] == early + late}
        self.assertEqual(sorted(sites), ["fd", "heap"], result.report["sites"])
        return result, sites

    def test_each_is_as_old_as_it_is(self):
        """Both kinds at one place, before and after a pause: what was before is older by at least that."""
        with harness.Scratch() as scratch:
            result, sites = self.take(scratch)
        for kind, site in sites.items():
            with self.subTest(kind):
                groups = site["ages"]
                self.assertEqual(sum(group["live"] for group in groups), 16)
                self.assertEqual([group["age_ns"] for group in groups],
                                 sorted((group["age_ns"] for group in groups), reverse=True))
                self.assertTrue(all(group["at_least_ns"] <= group["age_ns"] for group in groups), groups)
                self.assertEqual(site["oldest_age_ns"], groups[0]["age_ns"])
                # Half of 16 are the later ones.
                self.assertGreaterEqual(site["oldest_age_ns"] - site["median_age_ns"], WAIT_MS * 1_000_000)
                self.assertLessEqual(site["oldest_age_ns"], result.report["process"]["duration_ns"] + SECOND // 100)
                older = [group for group in groups if group["age_ns"] >= groups[0]["age_ns"] - SECOND]
                # Time is noted where a descriptor is acquired: of blocks, the next one is taken for an earlier one still.
                self.assertIn(sum(group["live"] for group in older), (6,) if kind == "fd" else (6, 7))
        self.assertEqual(sum(group["bytes"] for group in sites["heap"]["ages"]), 16000)

    def test_what_is_older_only(self):
        """The same by report and by age, whatever the machine was busy with: ages are written into the report."""
        with harness.Scratch() as scratch:
            result, _ = self.take(scratch)
            report = result.report
            for site in report["sites"]:
                ages = [(600, 6), (599, 10)]
                site["ages"] = [{"age_ns": age * SECOND, "at_least_ns": 0, "live": live,
                                 **({"bytes": live * 1000} if site["kind"] == "heap" else {})} for age, live in ages]
                for number, one in enumerate(site.get("objects", [])):
                    one["age_ns"] = (600 if number < 6 else 599) * SECOND
            path = scratch.path("aged.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(report, file)
            for older, live in (("10m", 6), ("599s", 16), ("601000ms", 0)):
                with self.subTest(older):
                    shown = harness.unfreed("report", "--older", older, "--format", "json", path)
                    sites = json.loads(shown.stdout)["sites"]
                    self.assertEqual([site["live"] for site in sites], [live, live] if live else [])
                    self.assertEqual([site["bytes"] for site in sites if site["kind"] == "heap"],
                                     [live * 1000] if live else [])
                    for site in sites:
                        self.assertEqual(len(site.get("objects", [])), live if site["kind"] == "fd" else 0)
            text = harness.unfreed("report", "--older", "10m", path).stdout
            page = harness.unfreed("report", "--format", "html", path).stdout
        self.assertIn("6 descriptors, 10 min 0 s old from open", text)
        self.assertIn("6 blocks, 5.9 KiB, 10 min 0 s old from malloc", text)
        self.assertIn("held for 10m", text)
        self.assertIn("up to 10 min 0 s old (median 9 min 59 s)", page)

    def test_unknown_ages_are_left_out_and_said(self):
        """Without grading nobody goes through the blocks."""
        with harness.Scratch() as scratch:
            result, sites = self.take(scratch, early=1, late=0, options=["--grade", "off"])
            self.assertNotIn("ages", sites["heap"])
            self.assertIn("ages", sites["fd"])
            path = scratch.path("kept.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(result.report, file)
            text = harness.unfreed("report", "--older", "1ms", path).stdout
        self.assertIn("1 stack is left out, as the age of what they hold is not known", text)

    def test_a_snapshot(self):
        with harness.Scratch() as scratch:
            with harness.started([harness.program("ages"), "4", "60000", "1"], launcher=False,
                                 scratch=scratch) as process:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                output = scratch.path("now.json")
                done = harness.unfreed("snapshot", "--grade", "--older", "1ms", "-o", output, str(process.pid))
                self.assertEqual(done.status, 0, done.stderr)
                live = {site["kind"]: site["live"] for site in harness.read_report(output)["sites"]}
                done = harness.unfreed("snapshot", "--older", "9d", "-o", output, str(process.pid))
                self.assertEqual(done.status, 0, done.stderr)
                old = harness.read_report(output)["sites"]
        self.assertEqual(live, {"fd": 4, "heap": 4})
        self.assertEqual(old, [])

    def test_a_bad_age(self):
        for age in ("10", "m", "0s", "10y", "-1s", "99999999999999999999s"):
            done = harness.unfreed("report", f"--older={age}", "/dev/null")
            self.assertEqual(done.status, 125)
            self.assertIn(f"--older: cannot read '{age}'", done.stderr)


if __name__ == "__main__":
    harness.main()
