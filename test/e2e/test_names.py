#!/usr/bin/python3
"""Names of functions: one spelling wherever they are shown, no mangled ones but those that nobody could read, and no name
that keeps unfreed busy."""
import json
import re
import time
import unittest

import harness

SOURCE = f"{harness.SOURCE}/test/e2e/programs/linked_names.c"
READABLE = {
    1: "service::Log::write(std::string const&)",
    2: "main::{lambda#2}",
    3: "services::store::open_all",
    4: "<services::store::Store as core::ops::drop::Drop>::drop",
    5: "services::store::open_all::<&str>",
    6: "<services::store::Store>::open::{closure#0}",
}


def linked_names():
    with open(SOURCE) as file:
        text = re.sub(r'"\s+"', "", file.read())
    return {int(number): name for number, name in re.findall(r'^KEEPER\((\d+), "(\w[^"]*)"\)', text, re.M)}


def expected_names():
    names = linked_names()
    assert len(names) == 9, names
    return {**names, **READABLE}


def shown_names(report):
    return {harness.top(site)["function"] for site in harness.live_sites(report, "fd")}


class Names(unittest.TestCase):
    def test_one_spelling_everywhere(self):
        with harness.Scratch() as scratch:
            start = time.monotonic()
            result = harness.run([harness.program("linked_names")], scratch=scratch)
            self.assertEqual(result.status, 0, result)
            self.assertLess(time.monotonic() - start, 15)
            self.assertEqual(shown_names(result.report), set(expected_names().values()))
            page = harness.unfreed("report", "--format", "html", scratch.path("report.json"))
            text = harness.unfreed("report", scratch.path("report.json"))
            for name in READABLE.values():
                self.assertIn(name, {frame[0] for frame in harness.page_data(page.stdout)["frames"]})
            shown = [name for name in READABLE.values() if name in result.stderr]
            self.assertGreaterEqual(len(shown), 3, result.stderr)
            for name in shown:
                self.assertIn(name, text.stdout)

    def test_library_alone_spells_alike(self):
        with harness.Scratch() as scratch:
            start = time.monotonic()
            result = harness.preload([harness.program("linked_names")], scratch=scratch, helper=False)
            self.assertEqual(result.status, 0, result)
            self.assertLess(time.monotonic() - start, 15)
            self.assertEqual(shown_names(result.report), set(expected_names().values()))
            # Signatures do not depend on who has made the report, once lines are filled in.
            name, = result.reports
            completed = harness.read_report(scratch.path(name), complete=True)
            by_command = harness.run([harness.program("linked_names")]).report
            self.assertEqual({(harness.top(s)["function"], s["signature"]) for s in completed["sites"]},
                             {(harness.top(s)["function"], s["signature"]) for s in by_command["sites"]})

    def test_linked_names_in_a_report_are_read(self):
        # As a process writes them that is at its limits. Of modules that are not there any more, so that nobody else knows.
        names = linked_names()
        with harness.Scratch() as scratch:
            report = harness.run([harness.program("linked_names")], scratch=scratch).report
            linked = {shown: names[number] for number, shown in expected_names().items()}
            for site in report["sites"]:
                for frame in site["stack"]:
                    frame["function"] = linked.get(frame["function"], frame["function"])
                    frame["module"] = "/nonexistent/program"
                    frame.pop("file", None)
                    frame.pop("line", None)
            with open(scratch.path("linked.json"), "w") as file:
                json.dump(report, file)
            shown = harness.unfreed("report", "--format", "json", scratch.path("linked.json"))
            self.assertEqual(shown_names(json.loads(shown.stdout)), set(expected_names().values()))

    def test_suppressions_match_names_as_shown_in_full_and_as_linked(self):
        full = ("service::Log::write(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > "
                "const&)")
        for helper in (True, False):
            for pattern in ("fd:service::Log::write", f"fd:{READABLE[1]}", f"fd:{full}", f"fd:{linked_names()[1]}"):
                with harness.Scratch() as scratch, self.subTest(pattern=pattern, helper=helper):
                    with open(scratch.path("known.supp"), "w") as file:
                        file.write(pattern + "\n")
                    result = harness.preload([harness.program("linked_names")], helper=helper,
                                             env={"UNFREED_SUPPRESSIONS": scratch.path("known.supp")})
                    self.assertEqual(result.report["totals"]["fd"]["suppressed"], 1, result)


if __name__ == "__main__":
    harness.main()
