#!/usr/bin/python3
"""Very many sites: their stacks are in the report once, and nothing is lost by that."""
import json
import os
import unittest

import harness

PATHS, BITS = 3000, 12
FEW = 50  # with so many sites, each stack stands in its place


def path_of(stack):
    """The number that the program's stack stands for."""
    ways = [frame["function"] for frame in stack if frame.get("function") in ("even", "odd")]
    return sum(1 << bit for bit, way in enumerate(reversed(ways)) if way == "odd"), len(ways)


class ManySites(unittest.TestCase):
    def run_it(self, way, paths=PATHS, **keywords):
        result = way([harness.program("many_sites"), str(paths), "2"], **keywords)
        self.assertEqual((result.status, result.stdout), (0, "."), result)
        sites = [s for s in result.report["sites"] if s["stack"][0].get("function") == "go_on"]
        self.assertEqual(sum(s["live"] for s in sites), 2 * paths)
        return result, sites

    def check_paths(self, report, sites):
        paths = [path_of(site["stack"]) for site in sites]
        self.assertEqual(sorted(paths), [(number, BITS) for number in range(PATHS)])
        self.assertEqual({site["stack"][2 * BITS + 1]["function"] for site in sites}, {"main"})
        self.assertFalse(any(site["truncated"] for site in sites))

    def test_every_stack_is_there(self):
        result, sites = self.run_it(harness.run)
        self.check_paths(result.report, sites)
        self.assertEqual({frame["line"] for site in sites for frame in site["stack"][:1]},
                         {harness.line_of(os.path.join(harness.SOURCE, "test", "e2e", "programs", "many_sites.c"), "take")})

    def raw(self, paths):
        """The report's file as it is."""
        with harness.Scratch() as scratch:
            result, _ = self.run_it(harness.run, paths=paths, scratch=scratch)
            name, = result.reports
            with open(scratch.path(name)) as file:
                return json.load(file)

    def test_many_stacks_are_in_a_table_and_few_in_their_places(self):
        many = self.raw(PATHS)
        self.assertTrue(all(isinstance(site["stack"], int) for site in many["sites"]))
        self.assertLess(len(many["stacks"]["calls"]), 100)  # the program has a handful of functions
        few = self.raw(FEW)
        self.assertNotIn("stacks", few)
        self.assertTrue(all(isinstance(site["stack"], list) for site in few["sites"]))

    def test_only_the_largest_are_listed_on_request(self):
        for way, options in ((harness.run, {"options": ["--top", "2"]}), (harness.preload, {"env": {"UNFREED_TOP": "2"}})):
            with self.subTest(way), harness.Scratch() as scratch:
                whole = way([harness.program("many_sites"), "50", "2"])
                few = way([harness.program("many_sites"), "50", "2"], scratch=scratch, **options)
                sites = [site for site in few.report["sites"] if site["kind"] == "heap"]
                self.assertEqual(len(sites), 2)
                self.assertEqual(few.report["totals"]["heap"]["live"], whole.report["totals"]["heap"]["live"])
                self.assertEqual(few.report["sites_omitted"], len(whole.report["sites"]) - len(few.report["sites"]))
                self.assertEqual(sites, sorted(sites, key=lambda site: -site["bytes"]))
                largest = max(site["bytes"] for site in whole.report["sites"] if site["kind"] == "heap")
                self.assertEqual(sites[0]["bytes"], largest)
                listed = {site["id"] for site in few.report["sites"]}
                inner = {node.get("parent", 0) for node in few.report.get("retention", [])}
                for number, node in enumerate(few.report.get("retention", []), 1):
                    self.assertTrue(number in inner or node.get("site") in listed, node)
                name, = few.reports
                done = harness.bare([harness.COMMAND, "baseline", "write", "known", name], cwd=scratch.folder)
                self.assertEqual(done.status, 125)
                self.assertIn("leaves out", done.stderr)
                for option, status in (([], 0), (["--exit-code"], 125)):
                    done = harness.bare([harness.COMMAND, "diff", *option, name, name], cwd=scratch.folder)
                    self.assertEqual(done.status, status)
                    self.assertIn("leaves out", done.stderr)
                with open(scratch.path("known"), "w") as file:
                    file.write("# unfreed baseline\nheap:signature:0123456789abcdef max=1\n")
                done = harness.bare([harness.COMMAND, "baseline", "check", "known", name], cwd=scratch.folder)
                self.assertEqual((done.status, done.stdout), (125, ""))
                for more in (["--format", "sarif"], ["--format", "gitlab"], ["--by", "function"]):
                    done = harness.bare([harness.COMMAND, "report", *more, name], cwd=scratch.folder)
                    self.assertIn("leaves out", done.stderr, more)

    def test_what_the_runtime_writes_alone_is_completed(self):
        with harness.Scratch() as scratch:
            alone, sites = self.run_it(harness.preload, helper=False, scratch=scratch)
            self.check_paths(alone.report, sites)
            self.assertNotIn("file", sites[-1]["stack"][0])
            name, = alone.reports
            shown = harness.unfreed("report", "--format", "json", scratch.path(name))
            completed = json.loads(shown.stdout)
            whole = {frame["function"]: frame for site in completed["sites"] for frame in site["stack"]
                     if "function" in frame}
            self.assertIn("many_sites.c", whole["main"]["file"])
            self.assertIn("many_sites.c", whole["odd"]["file"])
            # With the names that the command finds the signatures are those of its own reports.
            def signatures(report, sites):
                return {path_of(site["stack"]): site["signature"] for site in sites}
            with_command, its_sites = self.run_it(harness.run)
            self.assertEqual(signatures(completed, [s for s in completed["sites"] if s["stack"][0].get("function") == "go_on"]),
                             signatures(with_command.report, its_sites))

    def test_summary_diff_and_page_show_whole_stacks(self):
        with harness.Scratch() as scratch:
            result, sites = self.run_it(harness.run, scratch=scratch)
            path = scratch.path("report.json")
            # Only one of the last in the list is left.
            chosen = dict(result.report, sites=[sites[-1]])
            with open(scratch.path("one.json"), "w") as file:
                json.dump(chosen, file)
            page = harness.unfreed("report", "--format", "html", scratch.path("one.json"))
            self.assertEqual(page.status, 0, page)
            stack, = harness.page_stacks(page.stdout)
            self.assertEqual(stack.count("even") + stack.count("odd"), BITS)
            without = dict(result.report, sites=result.report["sites"][:-1])
            with open(scratch.path("without.json"), "w") as file:
                json.dump(without, file)
            diff = harness.unfreed("diff", scratch.path("without.json"), path)
            self.assertIn("new (1 call site)", diff.stdout)
            everything = harness.unfreed("report", "--format", "html", path)
            self.assertGreaterEqual(len(harness.page_data(everything.stdout)["reports"][0]["places"]), PATHS)

    def test_forged_stacks_are_refused_by_name(self):
        whole = self.raw(PATHS)
        call = [{"module": "x", "offset": 1, "inlined": False}]
        with harness.Scratch() as scratch:
            for stacks, fault in (({"calls": [call], "call": [1, 1], "caller": [2, 1]}, "stacks has an invalid reference at 0"),
                                  ({"calls": [], "call": [7], "caller": [0]}, "stacks has an invalid reference at 0"),
                                  ({"calls": [[]], "call": [0], "caller": []}, "stacks does not have three lists"),
                                  ({"calls": 1, "call": [], "caller": []}, "stacks does not have three lists"),
                                  ({"calls": [call], "call": [1], "caller": [0]}, "is not the number of a stack")):
                with self.subTest(fault=fault):
                    with open(scratch.path("forged.json"), "w") as file:
                        json.dump(dict(whole, stacks=stacks), file)
                    shown = harness.unfreed("report", scratch.path("forged.json"))
                    self.assertEqual(shown.status, 125, shown)
                    self.assertIn(fault, shown.stderr)


if __name__ == "__main__":
    harness.main()
