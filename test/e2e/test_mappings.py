#!/usr/bin/python3
"""Mappings, which are tracked on request: to the byte what /proc/self/maps says, through cuts, moves and replacements."""
import os
import unittest

import harness

PROGRAM = harness.program("mappings")
MADE = harness.line_of(os.path.join(harness.SOURCE, "test", "e2e", "programs", "mappings.c"), "made")


def sites(report):
    return [site for site in report["sites"] if site["kind"] == "mapping"]


class Mappings(unittest.TestCase):
    def test_equals_the_kernels_list(self):
        for seed in range(8):
            with self.subTest(seed=seed):
                result = harness.run([PROGRAM, "4000", str(seed)], options=["--quiet", "--track", "mapping"])
                self.assertEqual(result.status, 0, result)
                totals = result.report["totals"]["mapping"]
                self.assertEqual(totals["bytes"], int(result.stdout), result)
                self.assertGreater(totals["bytes"], 100_000)
                self.assertGreater(totals["total"], 1000)
                self.assertLessEqual(totals["live"], totals["peak"])
                self.assertEqual(result.report["coverage"]["mapping"], "exact")
                self.assertEqual(sum(site["bytes"] for site in sites(result.report)), totals["bytes"])
                self.assertLessEqual({harness.top(site)["function"] for site in sites(result.report)}, {"make", "move_many"})
                self.assertIn(MADE, {harness.top(site)["line"] for site in sites(result.report)})
                targets = {one["target"] for site in result.report["sites"] for one in site["objects"]}
                self.assertLessEqual(targets, {"r-- private anonymous", "--- private anonymous", "r-- shared anonymous",
                                               "r-- private /memfd:mappings (deleted)",
                                               "r-- shared /memfd:mappings (deleted)"})

    def test_only_on_request_and_by_rule(self):
        result = harness.run([PROGRAM, "100"], options=["--quiet"])
        self.assertEqual(result.report["coverage"]["mapping"], "off")
        self.assertEqual(result.report["totals"].get("mapping", {}).get("live", 0), 0)
        for rule, status in (("mapping>0", 23), ("mapping.bytes>1G", 0), ("site.mapping>=1000", 0)):
            with self.subTest(rule=rule):
                self.assertEqual(harness.run([PROGRAM, "100"], options=[
                    "--quiet", "--track", "mapping", "--fail-on", rule]).status, status)
        refused = harness.run([PROGRAM, "1"], options=["--fail-on", "mapping>0"])
        self.assertEqual(refused.status, 125, "a rule about what is not tracked is an error")

    def test_those_of_an_allocator_library_do_not_count(self):
        for library in ("libjemalloc.so.2", "libmimalloc.so.2", "libtcmalloc_minimal.so.4"):
            path = f"/usr/lib/x86_64-linux-gnu/{library}"
            with self.subTest(library=library):
                if not os.path.exists(path):
                    self.skipTest(f"{library} is not installed")
                result = harness.run([harness.program("heap_malloc")],
                                     options=["--quiet", "--track", "all"], env={"LD_PRELOAD": path})
                self.assertEqual(result.report["totals"]["mapping"]["live"], 0, result.report["totals"])


if __name__ == "__main__":
    harness.main()
