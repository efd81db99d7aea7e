#!/usr/bin/python3
"""Adding to unfreed takes as little as it says: a copy of this tree gets a made-up kind, a counter for rules and a
renderer, each by one row and one file, and is built and used."""
import json
import os
import shutil
import subprocess
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))

# File, what the line is put behind, the line. These are all the lines of the tree that change.
KIND = [
    ("src/ledger/kinds.inc", "KIND(mapping,", 'KIND(widget, 8, "widget", true, handle, true)'),
    ("src/hook/hooks.inc", "HOOK(timer_delete,", "HOOK(widget_make, widget_make, widget, optional)\n"
                                                 "HOOK(widget_give_back, widget_give_back, widget, optional)"),
    ("src/hook/libc_functions.h", "#include <cstddef>", '#include "widget.h"'),
    ("src/hook/meson.build", "  'vfork.cpp',", "  'widget.cpp',"),
]
COUNTER = [
    ("src/settings/counters.inc", "COUNTER(peak,",
     'COUNTER(dusty, fd|widget, fd|widget, none, none, always, "Not looked at.")'),
]
RENDERER = [
    ("src/render/renderers.inc", "RENDERER(html,", 'RENDERER(counts, render_report_counts, pieces, "counts")'),
    ("src/render/meson.build", "    'text_parts.cpp',", "    'counts.cpp',"),
]
FILES = {"hook_widget.cpp": "src/hook/widget.cpp", "widget.h": "src/widget.h", "render_counts.cpp": "src/render/counts.cpp"}


def copy_tree(target):
    def ignored(folder, names):
        return [name for name in names if name == "__pycache__" or name.startswith((".git", "build"))
                and os.path.samefile(folder, harness.SOURCE)]
    shutil.copytree(harness.SOURCE, target, ignore=ignored)


def add(tree, rows):
    for file, before, line in rows:
        path = os.path.join(tree, file)
        with open(path) as source:
            lines = source.read().split("\n")
        # A row may go over several lines: the next begins at the margin or is a comment.
        at = next(number for number, text in enumerate(lines) if text.startswith(before)) + 1
        while lines[at].startswith((" ", "\t")) and not before.startswith(" "):
            at += 1
        lines.insert(at, line)
        with open(path, "w") as source:
            source.write("\n".join(lines))


def run(*command, **keywords):
    return subprocess.run(command, capture_output=True, text=True, check=False, **keywords)


class Contribute(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.scratch.__enter__()
        tree = cls.scratch.path("tree")
        copy_tree(tree)
        add(tree, KIND + COUNTER + RENDERER)
        for file, place in FILES.items():
            shutil.copy(os.path.join(HERE, file), os.path.join(tree, place))
        cls.build = cls.scratch.path("built")
        for command in (["meson", "setup", cls.build, tree, "-Dwerror=true"],
                        ["ninja", "-C", cls.build, "src/cli/unfreed", "src/runtime/libunfreed.so",
                         "src/report/report.schema.json", "src/cli/unfreed.1"],
                        ["cc", "-g", "-shared", "-fPIC", "-o", cls.scratch.path("libwidget.so"), f"{HERE}/widget.c"],
                        ["cc", "-g", "-o", cls.scratch.path("use_widgets"), f"{HERE}/use_widgets.c",
                         cls.scratch.path("libwidget.so")]):
            done = run(*command)
            assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        cls.unfreed = os.path.join(cls.build, "src", "cli", "unfreed")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.__exit__(None, None, None)

    def use(self, *options):
        report = self.scratch.path("report.json")
        done = run(self.unfreed, "run", "--force", "-o", report, *options, "--", self.scratch.path("use_widgets"),
                   env=harness.clean_environment({"UNFREED_LEDGER_DIR": self.scratch.ledgers}))
        with open(report) as file:
            return done, json.load(file)

    def test_a_kind(self):
        done, report = self.use()
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("  widget  2 held, of 3 acquired", done.stderr)
        self.assertIn("2 widgets, 202 B from widget_make: a widget", done.stderr)
        self.assertEqual(report["coverage"]["widget"], "exact")
        self.assertEqual({name: report["totals"]["widget"][name] for name in ("live", "total", "peak")},
                         {"live": 2, "total": 3, "peak": 3})
        (site,) = [site for site in report["sites"] if site["kind"] == "widget"]
        self.assertEqual((harness.top(site)["function"], harness.top(site)["line"]),
                         ("main", harness.line_of(f"{HERE}/use_widgets.c", "kept")))
        with open(os.path.join(self.build, "src", "report", "report.schema.json")) as file:
            self.assertIn("widget", file.read())

    def test_rules_suppressions_and_settings_of_it(self):
        with open(self.scratch.path("accepted"), "w") as file:
            file.write("widget:main\n")
        for options, status in ((["--fail-on", "widget>0"], 23), (["--fail-on", "widget>2"], 0),
                                (["--fail-on", "site.widget.total>=3"], 23),
                                (["--fail-on", "widget>0", "--suppressions", self.scratch.path("accepted")], 0),
                                (["--track", "widget", "--fail-on", "widget>1"], 23)):
            with self.subTest(options=options):
                done, _ = self.use(*options)
                self.assertEqual(done.returncode, status, done)
        self.assertIn("widget", run(self.unfreed, "run", "--help").stdout)
        with open(os.path.join(self.build, "src", "cli", "unfreed.1")) as file:
            self.assertIn("widget", file.read())

    def test_a_counter(self):
        done, report = self.use("--fail-on", "widget.dusty>0")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(report["totals"]["widget"]["dusty"], 0)
        self.assertNotIn("dusty", report["totals"]["heap"])
        self.assertEqual(run(self.unfreed, "run", "--fail-on", "heap.dusty>0", "true").returncode, 125)

    def test_a_renderer(self):
        self.use()
        shown = run(self.unfreed, "report", "--format", "counts", self.scratch.path("report.json"))
        self.assertIn("widget 2\n", shown.stdout)
        self.assertIn("counts", run(self.unfreed, "report", "--help").stdout)


if __name__ == "__main__":
    harness.main()
