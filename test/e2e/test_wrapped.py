#!/usr/bin/python3
"""Where one line has to say what a block is, it is not an allocation wrapper's; and what looks the same is said once."""
import csv
import io
import json
import os
import re
import subprocess
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "wrapped.c")
# Too few use the wrapper for it to be known as one.
SMALL = """\
#include <stdlib.h>

static void* get(size_t bytes) {
  return calloc(1, bytes);
}
static void** outer;
static void** make_outer(void) {
  return get(24);
}
static void** make_inner(void) {
  return get(40);
}
static void* make_leaf(void) {
  return get(56);
}
int main(void) {
  outer = make_outer();
  outer[1] = make_inner();
  ((void**)outer[1])[1] = make_leaf();
  return 0;
}
"""


def paths(text):
    """[(bytes of a call site, what keeps it)], without folders, and without the variable's line and what it retains"""
    found = []
    for site in text.split("\n\n"):
        size = re.search(r"blocks?(?: \(.*?\))?, (.*?) (?:.* )?from ", site)
        kept = re.search(r"kept by (.*(?:\n +→.*)*)", site)
        if size and kept:
            path = re.sub(r"[\w./-]*/", "", re.sub(r"\n +", " ", kept.group(1)))
            found.append((size.group(1), re.sub(r"^(variable \w+) \([\w.]+:\d+\), retaining [\d.]+ \w+", r"\1", path)))
    return found


class Wrapped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.path = cls.scratch.path("report.json")
        cls.ran = harness.run([harness.program("wrapped")], options=["--fail-on", "site.heap.lost>0"], scratch=cls.scratch)
        cls.text = harness.unfreed("report", cls.path).stdout

    @classmethod
    def tearDownClass(cls):
        cls.scratch.__exit__()

    def line(self, name):
        return f"(wrapped.c:{harness.line_of(SOURCE, name)})"

    def test_steps_are_named_by_the_wrappers_callers(self):
        found = paths(self.text)
        table = f"variable table → 1 block from make_table {self.line('table')}"
        self.assertIn(("512", table), found)
        names = f"{table} → 1 block from make_table {self.line('buckets')} → 3 blocks from add_entry {self.line('entry')}"
        self.assertIn(("48", names), found)

    def test_steps_that_look_the_same_are_said_once(self):
        self.assertIn(("27", f"variable layers → 1 block from add_layer {self.line('layer')} ×5"), paths(self.text))

    def test_one_line_of_a_call_site_is_the_callers(self):
        forgotten = harness.line_of(SOURCE, "forgotten")
        self.assertRegex(self.ran.stderr, rf"FAIL site.heap.lost>0: .*\(.*wrapped.c:{forgotten}\)")
        self.assertIn(f"wrapped.c,line={forgotten},", harness.unfreed("report", "--format", "github", self.path).stdout)
        rows = csv.DictReader(io.StringIO(harness.unfreed("report", "--format", "csv", self.path).stdout))
        self.assertIn(("forget", str(forgotten)), [(row["function"], row["line"]) for row in rows if row["lost"] != "0"])
        trace = json.loads(harness.unfreed("report", "--format", "perfetto", self.path).stdout)
        self.assertIn(f"heap: malloc in forget (wrapped.c:{forgotten})", [event["name"] for event in trace["traceEvents"]])
        metrics = harness.unfreed("report", "--format", "openmetrics", self.path).stdout
        self.assertRegex(metrics, rf'unfreed_site_lost\{{.*function="forget",line="[^"]*wrapped.c:{forgotten}"')
        page = harness.page_data(harness.unfreed("report", "--format", "html", self.path).stdout)
        row, = (dict(zip(page["columns"], row)) for row in page["reports"][0]["places"] if row[page["columns"].index("lost")])
        function, place, *_ = page["frames"][row["telling"]]
        self.assertEqual((row["acquired_by"], function), ("malloc", "forget"))
        self.assertTrue(place.endswith(f"wrapped.c:{forgotten}"), place)

    def test_a_wrapper_that_few_use_is_named_with_its_caller(self):
        with harness.Scratch() as scratch:
            source = scratch.path("small.c")
            with open(source, "w") as file:
                file.write(SMALL)
            subprocess.run(["gcc", "-g", "-O0", source, "-o", scratch.path("small")], check=True)
            harness.run([scratch.path("small")], scratch=scratch)
            text = harness.unfreed("report", scratch.path("report.json")).stdout
        self.assertIn(("56", "variable outer → 1 block from get, called by make_outer (small.c:8)"
                       " → 1 block from get, called by make_inner (small.c:11)"), paths(text))


if __name__ == "__main__":
    harness.main()
