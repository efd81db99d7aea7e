#!/usr/bin/python3
"""The story the project exists for: a service that opens its log on every call and forgets to close it on one path, under
load from several threads, until "Too many open files". The report names the line, the count, the threads, and the first
open that failed."""
import errno
import os
import resource
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "log_service.cpp")
LIMIT = 300
THREADS = 4


def limit_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


class Story(unittest.TestCase):
    def tell(self, run, has_lines=True):
        service = harness.program("log_service")
        alone = harness.bare([service, "0", str(THREADS)], preexec=limit_descriptors)
        self.assertIn("Too many open files", alone.stdout)

        result = run([service, "0", str(THREADS)], preexec=limit_descriptors)
        self.assertEqual(result.status, alone.status, result)
        self.assertIn("Too many open files", result.stdout)
        report = result.report
        self.assertIsNotNone(report, result)

        # The line and the count: every number below the limit that the service was not started with, but for those
        # that the other threads had in hand when the end came. unfreed itself has taken none of them.
        (site,) = harness.own_sites(report, service, "fd")
        self.assertIn(site["acquired_by"], ("fopen", "fopen64"))
        self.assertEqual(harness.base_function(harness.top(site)["function"]), "service::Log::write")
        self.assertIn("service::Server::work", map(harness.base_function, harness.functions(site)))
        totals = report["totals"]["fd"]
        self.assertGreater(site["live"], LIMIT - 3 - THREADS)
        self.assertLessEqual(site["live"], LIMIT - 3)
        self.assertEqual((totals["live"], totals["open"]), (site["live"], site["live"] + 3))
        self.assertGreaterEqual(site["total"], site["live"])
        self.assertGreaterEqual(site["peak"], site["live"])
        if has_lines:
            self.assertEqual(os.path.basename(harness.top(site)["file"]), "log_service.cpp")
            self.assertEqual(harness.top(site)["line"], harness.line_of(SOURCE, "open"))

        # The threads: none of them the main one, as only workers write.
        threads = {item["thread"] for item in site["objects"]}
        self.assertGreaterEqual(len(threads), 2, "several threads' descriptors are listed")
        self.assertNotIn(report["process"]["pid"], threads)
        self.assertEqual({item["target"] for item in site["objects"]}, {"/dev/null"})

        # The first open that failed.
        (failure,) = [f for f in report["failures"] if f["error"] == "EMFILE" and f["function"] == site["acquired_by"]]
        self.assertEqual(failure["kind"], "fd")
        self.assertGreaterEqual(failure["count"], 1)
        self.assertEqual(harness.base_function(failure["stack"][0]["function"]), "service::Log::write")
        self.assertNotEqual(failure["thread"], report["process"]["pid"], "the first that failed was a worker's")
        if has_lines:
            self.assertEqual(failure["stack"][0]["line"], harness.line_of(SOURCE, "open"))
        self.assertGreater(failure["live_then"], LIMIT - 3 - THREADS, "at that moment every number was taken")
        self.assertLessEqual(failure["live_then"], LIMIT - 3)
        return result

    def test_under_run(self):
        result = self.tell(harness.run)
        for word in ("log_service.cpp", str(harness.line_of(SOURCE, "open")), str(result.report["totals"]["fd"]["live"]), "service::Log::write",
                     "EMFILE"):
            self.assertIn(word, result.stderr, "the summary tells the story too")

    def test_bare_preload(self):
        self.tell(harness.preload)

    def test_bare_preload_alone(self):
        self.tell(lambda args, **k: harness.preload(args, helper=False, **k), has_lines=False)

    def test_gate_catches_it_long_before(self):
        result = harness.run([harness.program("log_service"), "64"], options=["--fail-on", "site.fd>=5"])
        self.assertEqual(result.status, 23, result)
        (site,) = harness.own_sites(result.report, harness.program("log_service"), "fd")
        self.assertEqual(site["live"], 8)  # every eighth request's line is too long
        self.assertEqual(site["total"], 64)


if __name__ == "__main__":
    harness.main()
