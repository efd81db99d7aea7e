#!/usr/bin/python3
"""UNFREED_SAMPLE: estimates of the heap, with everything else exact."""
import unittest

import harness


class Sampling(unittest.TestCase):
    def estimate(self, interval, **options):
        result = harness.run([harness.program("heap_sampled")], options=["--sample", interval], **options)
        blocks, size = map(int, result.stdout.split())
        return result, result.report["totals"]["heap"], blocks, size

    def test_estimates_lie_within_their_error(self):
        # Six runs, each within five standard errors; and on average closer than any one needs to be.
        off = []
        for _ in range(6):
            _, heap, blocks, size = self.estimate("16K")
            self.assertEqual(heap["sample_bytes"], 16384)
            self.assertGreater(heap["live_error"], 0)
            held, held_bytes = heap["live"] + heap["libc"], heap["bytes"] + heap["libc_bytes"]
            self.assertLess(abs(held - blocks), 5.5 * heap["live_error"])
            self.assertLess(abs(held_bytes - size), 5.5 * heap["bytes_error"] + 20000)
            off.append((held_bytes - size) / heap["bytes_error"])
        self.assertLess(abs(sum(off) / len(off)), 2)

    def test_a_small_interval_is_nearly_exact(self):
        _, heap, blocks, size = self.estimate("1")
        self.assertLess(abs(heap["live"] + heap["libc"] - blocks), blocks * 0.01)
        self.assertLess(abs(heap["bytes"] + heap["libc_bytes"] - size), size * 0.01)

    def test_the_report_says_so(self):
        result, heap, _, _ = self.estimate("64K")
        self.assertEqual(result.report["coverage"]["heap"], "sampled")
        self.assertTrue(result.report["complete"])
        self.assertTrue(any("65536 bytes" in note and "estimates" in note for note in result.report["notes"]))
        self.assertIn("estimated from one block per 64.0 KiB", result.stderr)
        self.assertEqual(heap["foreign_released"], 0)

    def test_descriptors_stay_exact(self):
        result, _, _, _ = self.estimate("1G")
        self.assertEqual(result.report["coverage"]["fd"], "exact")
        self.assertEqual(result.report["totals"]["fd"]["live"], 1)

    def test_rules_apply_to_the_estimates(self):
        result, _, _, _ = self.estimate("16K", env={"UNFREED_FAIL_ON": "heap.bytes>30M"})
        self.assertEqual(result.status, 23)
        self.assertTrue(result.report["rules"][0]["broken"])
        result, _, _, _ = self.estimate("16K", env={"UNFREED_FAIL_ON": "heap.bytes>300M"})
        self.assertFalse(result.report["rules"][0]["broken"])

    def test_an_exact_report_has_no_errors(self):
        result = harness.run([harness.program("heap_malloc")])
        self.assertNotIn("live_error", result.report["totals"]["heap"])


if __name__ == "__main__":
    harness.main()
