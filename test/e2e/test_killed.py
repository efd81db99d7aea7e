#!/usr/bin/python3
"""After a SIGKILL the kernel cannot be asked what descriptors led to: the ledger says what they were acquired with."""
import signal
import unittest

import harness


class Killed(unittest.TestCase):
    def test_targets(self):
        with harness.Scratch() as scratch:
            result = harness.run([harness.program("killed"), scratch.folder], scratch=scratch)
            self.assertEqual(result.status, 128 + signal.SIGKILL, result)
            self.assertEqual((result.report["trigger"], result.report["coverage"]["fd"]), ("post_mortem", "unconfirmed"))
        name, port, caller = result.stdout.split()
        targets = {}
        for site in harness.live_sites(result.report, "fd"):
            for one in site["objects"]:
                targets.setdefault(site["acquired_by"].removesuffix("64"), []).append(one.get("target", ""))
        long = targets["open"].pop()
        self.assertTrue(long.startswith("…") and long.endswith("/./made") and len(long) < 130, long)
        self.assertEqual(targets, {
            "open": ["/proc/uptime"], "openat": ["made"], "fopen": ["/proc/loadavg"], "opendir": ["/proc/self"],
            "dup": ["/proc/uptime"], "mkstemp": [name], "pipe": ["", ""],
            "socket": [f"socket 127.0.0.1:0", f"socket -> 127.0.0.1:{port}"],
            "accept": [f"socket -> 127.0.0.1:{caller}"]})
        self.assertIn("/proc/loadavg", result.stderr)


if __name__ == "__main__":
    harness.main()
