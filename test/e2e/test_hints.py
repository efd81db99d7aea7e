#!/usr/bin/python3
"""Hints: what the state of descriptors says about the mistake, in reports on a running process."""
import json
import os
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "hints.c")


class Hints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.scratch.__enter__()
        with harness.started([harness.program("hints")], scratch=cls.scratch, cwd=cls.scratch.folder) as program:
            assert program.stdout.readline() == b"ready\n"
            cls.path = cls.scratch.path("snapshot.json")
            cls.shown = harness.unfreed("snapshot", "--output", cls.path, str(program.pid),
                                        env={"UNFREED_LEDGER_DIR": cls.scratch.ledgers})
            with open(cls.path, encoding="utf-8") as file:
                cls.report = json.load(file)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.__exit__(None, None, None)

    def hints_at(self, marker):
        line = harness.line_of(SOURCE, marker)
        sites = {site["id"] for site in self.report["sites"]
                 if any(frame.get("line") == line and frame["file"].endswith("hints.c") for frame in site["stack"][:1])}
        self.assertTrue(sites, f"nothing is held at @{marker}")
        return {hint["name"]: hint for hint in self.report.get("hints", []) if hint["site"] in sites}

    def test_peers_that_have_gone(self):
        hints = self.hints_at("accept")
        self.assertEqual(list(hints), ["close_wait"])
        self.assertEqual(hints["close_wait"]["count"], 5)
        self.assertIn("all are in CLOSE_WAIT: the peer has closed", hints["close_wait"]["text"])

    def test_deleted_files_count_their_space_once(self):
        hints = self.hints_at("deleted")
        self.assertEqual(list(hints), ["deleted_file"])
        self.assertGreaterEqual(hints["deleted_file"]["bytes"], 8 * 65536)
        self.assertLess(hints["deleted_file"]["bytes"], 9 * 65536)
        self.assertIn("of disk space until closed", hints["deleted_file"]["text"])

    def test_pipes(self):
        self.assertEqual(list(self.hints_at("reader")), ["pipe_end_gone"])
        self.assertEqual(list(self.hints_at("writer")), ["pipe_end_gone"])
        self.assertEqual(self.hints_at("whole"), {})

    def test_eventfds_and_locks(self):
        self.assertEqual(list(self.hints_at("unread")), ["eventfd_unread"])
        self.assertEqual(self.hints_at("idle"), {})
        self.assertEqual(list(self.hints_at("locked")), ["locked"])

    def test_what_is_opened_again_and_again(self):
        hints = self.hints_at("same")
        self.assertEqual([(one["name"], one["count"]) for one in hints.values()], [("same_target", 12)])
        self.assertEqual(hints["same_target"]["text"], "opened 12 times and not closed: /etc/hosts")

    def test_every_format_has_them(self):
        self.assertIn("hint: all are in CLOSE_WAIT", self.shown.stderr)
        for form in ("text", "html", "markdown", "sarif"):
            with self.subTest(form):
                self.assertIn("all are in CLOSE_WAIT", harness.unfreed("report", "--format", form, self.path).stdout)
        kept = json.loads(harness.unfreed("report", "--format", "json", "--match", "left_by_peers", self.path).stdout)
        self.assertEqual([hint["name"] for hint in kept["hints"]], ["close_wait"])
        self.assertNotIn("hints", json.loads(harness.unfreed("report", "--format", "json", "--kind", "heap", self.path).stdout))


if __name__ == "__main__":
    harness.main()
