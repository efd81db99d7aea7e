#!/usr/bin/python3
"""Names of code that a program generates while it runs, from /tmp/perf-PID.map."""
import contextlib
import json
import os
import unittest

import harness


class Generated(unittest.TestCase):
    def run_with(self, what, **keywords):
        result = harness.run([harness.program("generated"), what], **keywords)
        self.addCleanup(self.remove_map, result.report["process"]["pid"])
        self.assertEqual(result.status, 0)
        return result

    @staticmethod
    def remove_map(pid):
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"/tmp/perf-{pid}.map")

    def stack_of(self, report):
        site, = [site for site in report["sites"] if site["kind"] == "fd"]
        self.assertEqual(site["live"], 3)
        return site["stack"]

    def test_names_and_lines(self):
        result = self.run_with("map")
        stack = self.stack_of(result.report)
        self.assertEqual([frame.get("function") for frame in stack][:4], ["open_one", "openLog", "serve", "main"])
        self.assertEqual((stack[1]["file"], stack[1]["line"]), ("/srv/log.js", 3))
        self.assertIn("openLog (/srv/log.js:3)", result.stderr)

    def test_a_map_of_an_earlier_process(self):
        stack = self.stack_of(self.run_with("old").report)
        self.assertEqual([frame.get("function") for frame in stack][:4], ["open_one", None, None, "main"])

    def test_without_a_map(self):
        stack = self.stack_of(self.run_with("none").report)
        self.assertEqual([frame.get("function") for frame in stack][:4], ["open_one", None, None, "main"])

    def test_a_report_of_the_library_alone_is_completed(self):
        with harness.Scratch() as scratch:
            result = harness.preload([harness.program("generated"), "map"], scratch=scratch, helper=False)
            written = result.report
            self.addCleanup(self.remove_map, written["process"]["pid"])
            report = scratch.path("report.json")
            with open(report, "w", encoding="utf-8") as file:
                json.dump(written, file)
            self.assertIn("openLog (/srv/log.js:3)", harness.unfreed("report", report).stdout)


if __name__ == "__main__":
    harness.main()
