#!/usr/bin/python3
"""Selecting, sorting and grouping what a report shows; trees, sources, pagers, and what lies between two reports."""
import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import subprocess
import time
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "selected.cpp")
SECOND = 1_000_000_000


class Selection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.scratch.__enter__()
        result = harness.run([harness.program("selected")], scratch=cls.scratch)
        cls.path = cls.scratch.path("selected.json")
        with open(cls.path, "w", encoding="utf-8") as file:
            json.dump(result.report, file)
        cls.whole = result.report

    @classmethod
    def tearDownClass(cls):
        cls.scratch.__exit__(None, None, None)

    def report(self, *options, **keywords):
        shown = harness.unfreed("report", *options, self.path, **keywords)
        self.assertEqual(shown.status, 0, shown.stderr)
        return shown

    def sites(self, *options):
        """What the selection leaves, by kind and number; and the whole report."""
        report = json.loads(self.report("--format", "json", *options).stdout)
        return [(site["kind"], site["live"]) for site in report["sites"] if site["live"]], report

    def test_what_is_selected(self):
        for options, expected in (
                (["--kind", "fd"], [("fd", 7), ("fd", 3)]),
                (["--kind", "heap,thread"], [("thread", 1), ("heap", 4)]),
                (["--kind", "heap", "--kind", "thread"], [("thread", 1), ("heap", 4)]),
                (["--kind", "misuse"], []),
                (["--match", "Cache<int>::load"], [("fd", 7)]),
                (["--match", "^/etc/(passwd|shadow)$"], [("fd", 3)]),
                (["--match", "selected.cpp", "--kind", "fd", "--top", "1"], [("fd", 7)]),
                (["--kind", "fd", "--min", "4"], [("fd", 7)]),
                (["--sort", "bytes", "--top", "1"], [("heap", 4)]),
                (["--sort", "bytes", "--min", "4000"], [("heap", 4)]),
                (["--sort", "live"], [("fd", 7), ("heap", 4), ("fd", 3), ("thread", 1)]),
                (["--older", "1d"], [])):
            with self.subTest(options=options):
                sites, report = self.sites(*options)
                # libc may hold blocks for its own use, which come last.
                self.assertEqual([one for one in sites if one in expected or one[0] != "heap"], expected)
                self.assertEqual(report["totals"], self.whole["totals"])
                self.assertEqual(report["rules"], self.whole["rules"])

    def test_by_thread(self):
        worker = next(one["thread"] for site in self.whole["sites"] if site["kind"] == "fd" and site["live"] == 7
                      for one in site["objects"])
        self.assertEqual(self.sites("--thread", str(worker))[0], [("fd", 7)])
        self.assertEqual(self.sites("--thread", "nobody")[0], [])

    def test_says_what_is_not_shown(self):
        text = self.report("--kind", "fd", "--top", "1").stdout
        self.assertRegex(text, r"(?m)^  note: [0-9]+ more call sites? and 1 thread are not shown: --kind fd --top 1$")
        self.assertIn("7 descriptors", text)
        self.assertNotIn("3 descriptors", text)
        self.assertRegex(text, r"(?m)^  heap +.* held")  # totals are of all
        shown = self.report("--kind", "fd", "--format", "folded")
        self.assertIn("not shown: --kind fd", shown.stderr)
        self.assertEqual(self.report("--format", "folded").stderr, "")
        self.assertNotIn("not shown", self.report("--sort", "live").stdout)

    def test_every_format_shows_the_same(self):
        folded = self.report("--kind", "fd", "--min", "4", "--format", "folded").stdout
        self.assertEqual([line.rsplit(" ", 1)[1] for line in folded.splitlines()], ["7"])
        rows = list(csv.DictReader(io.StringIO(self.report("--kind", "fd", "--min", "4", "--format", "csv").stdout)))
        self.assertEqual([(row["kind"], row["live"]) for row in rows], [("fd", "7")])
        for form in ("markdown", "html", "gitlab", "suppressions", "openmetrics"):
            with self.subTest(form):
                text = self.report("--match", "/etc/passwd", "--format", form).stdout
                self.assertNotIn("Cache<int>", text)
                self.assertNotIn("Cache&lt;int&gt;", text)

    def test_groups_add_up(self):
        line = harness.line_of(SOURCE, "load")
        for by, expected in (("function", {"Cache<int>::load": 7, "Cache<std::string>::load": 3}),
                             ("line", {f"selected.cpp:{line}": 7}),
                             ("file", {"selected.cpp": 10}),
                             ("module", {"selected": 10}),
                             ("target", {"/etc/hosts": 7, "/etc/passwd": 3}),
                             ("site", {"Cache<int>::load": 7})):
            with self.subTest(by):
                table = self.report("--by", by, "--kind", "fd").stdout
                for name, live in expected.items():
                    self.assertRegex(table, rf"(?m)^ +{live} +.*{re.escape(name)}")
                sites, report = self.sites("--by", by, "--kind", "fd")
                self.assertEqual(sum(live for _, live in sites), 10)
                self.assertEqual(report["totals"], self.whole["totals"])
        threads, _ = self.sites("--by", "thread", "--kind", "fd")
        self.assertEqual(sorted(live for _, live in threads), [3, 7])

    @staticmethod
    def report_of_stripped(scratch, *options):
        """The path of a report on the program without what `strip` takes from it."""
        program, path = scratch.path("selected"), scratch.path("stripped.json")
        subprocess.run(["strip", *options, "-o", program, harness.program("selected")], check=True)
        report = harness.run([program]).report
        with open(path, "w", encoding="utf-8") as file:
            json.dump(report, file)
        return path

    def test_groups_without_source_lines(self):
        for options in ["-g"], []:
            with self.subTest(options=options), harness.Scratch() as scratch:
                report = self.report_of_stripped(scratch, *options)
                for by in ("function", "line"):
                    table = harness.unfreed("report", "--by", by, report).stdout
                    self.assertNotIn("+0x0", table)
                    self.assertRegex(table, r"(?m)^ +7 .* Cache<int>::load\(.*\) \(selected\)$" if options
                                     else r"(?m)^ +7 .* selected\+0x[1-9a-f][0-9a-f]*$")

    def test_list_without_source_lines_says_how_to_get_them(self):
        with harness.Scratch() as scratch:
            report = self.report_of_stripped(scratch, "-g")
            listing = harness.unfreed("report", "--list", "Cache<int>::load", report).stdout
            self.assertIn("      (no source lines for selected: build it with -g)\n", listing)
            self.assertRegex(listing, r"(?m)^ +7 fd +\? │$")
            self.assertNotIn("not here", listing)

    def test_tree(self):
        tree = self.report("--tree", "--kind", "fd").stdout
        self.assertIn("fd: 10\n", tree)
        self.assertRegex(tree, r"(?m)^ +7 +70\.0%  main")
        self.assertRegex(tree, r"(?m)^ +3 +30\.0%  main")
        self.assertLess(tree.index("main"), tree.index("Cache<int>::load"))
        inverted = self.report("--tree=inverted", "--kind", "fd").stdout
        self.assertRegex(inverted, r"(?m)^ +10 100\.0%  open(64)?$")
        self.assertLess(inverted.index("Cache<int>::load"), inverted.index("main"))
        self.assertRegex(self.report("--tree", "--value", "heap").stdout, r"(?m)^  heap: [0-9]")

    def test_source(self):
        line = harness.line_of(SOURCE, "load")
        listing = self.report("--list", "::load").stdout
        self.assertRegex(listing, rf"(?m)^ +7 fd +{line} │     for .*open\(path")
        self.assertRegex(listing, rf"(?m)^ +3 fd +{line} │     for .*open\(path")
        shown = self.report("--source=3", "--match", "fill").stdout
        fill = harness.line_of(SOURCE, "fill")
        self.assertEqual(re.findall(r"(?m)^ +(>?) +(\d+) │", shown),
                         [("", str(fill - 1)), (">", str(fill)), ("", str(fill + 1))])
        self.assertIn("not here", self.without_source("--list", "::load"))
        self.assertNotIn("│", self.without_source("--source"))
        moved = self.without_source("--source=1", "--match", "fill", "--source-root", os.path.dirname(SOURCE))
        self.assertEqual(re.findall(r"(?m)^ +> +(\d+) │", moved), [str(fill)])

    def without_source(self, *options):
        """The report of the same program, built elsewhere."""
        text = json.dumps(self.whole).replace(os.path.dirname(SOURCE), "/nowhere")
        path = self.scratch.path("moved.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return harness.unfreed("report", *options, path).stdout

    def test_bad_input(self):
        for options, words in (
                (["--kind", "fds"], "there is no kind 'fds': accepted is fd, heap, .*; did you mean 'fd'"),
                (["--kind", "fd,"], "there is no kind ''"),
                (["--match", "("], "--match: '\\(' is not an extended regular expression"),
                (["--list", "["], "--list: '\\[' is not an extended regular expression"),
                (["--top", "-1"], "--top: cannot read '-1': accepted is a whole number from 1 on"),
                (["--min", "many"], "--min: cannot read 'many'"),
                (["--top", "0"], "--top: cannot read '0'"),
                (["--top", "99999999999999999999"], "--top: cannot read"),
                (["--sort", "byte"], "expected live, bytes, .*; did you mean 'bytes'"),
                (["--by", "fil"], "expected site, .*; did you mean 'file'"),
                (["--tree=inverse"], "expected callers, inverted"),
                (["--tree", "--list", "x"], "give one of them"),
                (["--tree", "--format", "json"], "--tree is for --format text, not json"),
                (["--source=0"], "--source: cannot read '0'"),
                (["--color=sometimes"], "expected auto, always, never")):
            with self.subTest(options=options):
                shown = harness.unfreed("report", *options, self.path)
                self.assertEqual((shown.status, shown.stdout), (125, ""))
                self.assertRegex(shown.stderr, words)
                self.assertEqual(shown.stderr.count("\n"), 1)

    # ---- two reports ----

    def between(self, *options, then=None, now=None, changed=lambda report: None):
        """The same process ten minutes later, when it holds 460 more from the first call site."""
        older, newer = json.loads(json.dumps(self.whole)), json.loads(json.dumps(self.whole))
        older["process"]["duration_ns"] = (then or 60) * SECOND
        newer["process"]["duration_ns"] = (now or 660) * SECOND
        for site in newer["sites"]:
            if site["kind"] == "fd" and site["live"] == 7:
                site["live"] += 460
        changed(newer)
        paths = []
        for name, report in (("older", older), ("newer", newer)):
            paths.append(self.scratch.path(name + ".json"))
            with open(paths[-1], "w", encoding="utf-8") as file:
                json.dump(report, file)
        return harness.unfreed("diff", *options, *paths)

    def test_time_and_rate(self):
        text = self.between().stdout
        self.assertIn("10 min", text.splitlines()[1])
        self.assertIn("in the same process", text.splitlines()[1])
        self.assertIn("  7 -> 467 (+460, 46 per minute)\n", text)
        slow = self.between(now=60 + 86400 * 10).stdout
        self.assertIn("(+460, 1.9 per hour)", slow)
        other = self.between(changed=lambda report: report["process"].update(pid=1)).stdout
        self.assertIn("different processes: after 60 s and after 11 min", other)
        self.assertIn("  7 -> 467 (+460)\n", other)

    def test_selection_of_changes(self):
        for options in (["--kind", "heap"], ["--match", "fill"], ["--min", "461"]):
            with self.subTest(options=options):
                shown = self.between("--exit-code", *options)
                self.assertNotIn("467", shown.stdout)
                self.assertIn("not shown", shown.stdout)
                self.assertEqual(shown.status, 1)  # what is shown decides nothing
        self.assertIn("467", self.between("--kind", "fd", "--min", "460").stdout)

    def test_groups_of_changes(self):
        for by, name in (("function", "Cache<int>::load"), ("file", "selected.cpp"), ("target", None)):
            with self.subTest(by):
                shown = self.between("--by", by, "--kind", "fd", "--exit-code")
                self.assertEqual(shown.status, 1, shown.stderr)
                if name is None:  # the report lists no targets for the 460
                    continue
                then = 10 if by == "file" else 7
                self.assertIn("\ngrew (1 group)\n", shown.stdout)
                self.assertRegex(shown.stdout, rf"(?m)^ +{then} +{then + 460} +\+460, 46 per minute +fd +.*{re.escape(name)}")
                self.assertNotRegex(shown.stdout, r"(?m)^ +main\b", "the stack of a call site")
        self.assertIn("grew (1 call site)", self.between("--by", "site", "--kind", "fd").stdout)
        self.assertNotIn("467", self.between("--by", "function", "--min", "461").stdout)

    def test_changes_of_bytes(self):
        def changed(report):
            for site in report["sites"]:
                if site["kind"] == "heap" and site["live"] == 4:
                    site["bytes"] += 5000
        text = self.between("--by", "function", "--sort", "bytes", changed=changed).stdout
        self.assertRegex(text, r"(?m)^grew \(2 groups\)\n.*\n +4 +4 .* 3\.9 KiB -> 8\.8 KiB +heap .*fill.*\n +7 +467 ")
        self.assertRegex(self.between("--by", "function", changed=changed).stdout, r"(?m)^grew .*\n.*\n +7 +467 .*\n +4 +4 ")
        least = self.between("--sort", "bytes", "--min", "5000", changed=changed).stdout
        self.assertIn("grew (1 call site)", least)
        self.assertIn("1 change of less than 4.9 KiB is not shown", least)

    def test_options_that_a_comparison_refuses(self):
        for options, words in (
                (["--tree"], "--tree"), (["--sort", "age"], "expected live, bytes"), (["--by", "fil"], "did you mean 'file'"),
                (["--by", "file", "--format", "html"], "--by is for --format text, not html")):
            with self.subTest(options=options):
                shown = self.between(*options)
                self.assertEqual((shown.status, shown.stdout), (125, ""))
                self.assertIn(words, shown.stderr)
                self.assertEqual(shown.stderr.count("\n"), 1)

    def test_write_suppressions(self):
        written = self.report("--write-suppressions").stdout
        self.assertIn("fd:", written)
        self.assertEqual(written, self.report("--format", "suppressions").stdout)
        refused = harness.unfreed("report", "--write-suppressions", "--format", "json", self.path)
        self.assertEqual((refused.status, refused.stdout, refused.stderr.count("\n")), (125, "", 1))

    # ---- terminals ----

    def on_terminal(self, *options, **environment):
        """What the command writes to a terminal, and to a pager there."""
        leader, follower = pty.openpty()
        variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "LESS", "PAGER")}
        variables.update({"TERM": "xterm", "PAGER": "sed s/^/paged:/"}, **environment)
        # Not its standard error: on a busy machine it says there what it is doing.
        process = subprocess.Popen([harness.COMMAND, "report", *options, self.path], stdout=follower, stderr=subprocess.DEVNULL,
                                   stdin=follower, env=variables)
        os.close(follower)
        text = b""
        while select.select([leader], [], [], 60)[0]:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            text += part
        os.close(leader)
        self.assertEqual(process.wait(), 0)
        return text.decode()

    def test_progress(self):
        """Of what takes long: here, because the report has not been written yet."""
        with open(self.path, "rb") as file:
            report = file.read()

        def start(stderr, term="xterm"):
            return subprocess.Popen([harness.COMMAND, "report", "--format", "csv", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=stderr, env={**os.environ, "TERM": term})
        leader, follower = pty.openpty()
        process = start(follower)
        os.close(follower)
        text = b""
        while text.count("reading standard input … ".encode()) < 2:
            self.assertTrue(select.select([leader], [], [], harness.TIME_LIMIT)[0], text)
            text += os.read(leader, 65536)
        rows, _ = process.communicate(report, harness.TIME_LIMIT)
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(leader, 65536):
                text += part
        os.close(leader)
        self.assertEqual(process.returncode, 0)
        self.assertRegex(text.decode(), r"^\r\x1b\[Kunfreed: reading standard input … 1 s\r\x1b\[Kunfreed: reading standard input … 2 s")
        self.assertTrue(text.endswith(b"\r\x1b[K"), text)
        self.assertTrue(rows.startswith(b"process,"))
        # Nobody else is told.
        leader, follower = pty.openpty()
        for process in (start(subprocess.PIPE), start(follower, term="dumb")):
            time.sleep(1.5)
            rows, stderr = process.communicate(report, harness.TIME_LIMIT)
            self.assertFalse(stderr)
            self.assertTrue(rows.startswith(b"process,"))
        self.assertEqual(select.select([leader], [], [], 0)[0], [])
        os.close(leader)
        os.close(follower)

    def test_pager(self):
        self.assertIn("paged:unfreed: ", self.on_terminal("--color=never"))
        self.assertIn("other:unfreed: ", self.on_terminal("--color=never", UNFREED_PAGER="sed s/^/other:/"))
        for options, environment in (["--no-pager"], {}), ([], {"PAGER": "cat"}), ([], {"PAGER": ""}), (
                [], {"PAGER": "/no/such/pager 2>/dev/null"}), (["--output", "-", "--no-pager"], {}):
            with self.subTest(options=options, environment=environment):
                text = self.on_terminal("--color=never", *options, **environment)
                self.assertTrue(text.startswith("unfreed: "), text[:100])
        # A pager that ends before it has read everything is no error.
        self.assertEqual(self.on_terminal("--color=never", PAGER="head -n 1").count("\n"), 1)
        self.assertIn("LESS=FRX", self.on_terminal(PAGER="env; cat >/dev/null"))
        self.assertNotIn("paged:", self.report(env={**os.environ, "PAGER": "sed s/^/paged:/"}).stdout)

    def test_colour(self):
        self.assertIn("\x1b[", self.on_terminal("--no-pager"))
        self.assertIn("\x1b[", self.on_terminal())
        self.assertNotIn("\x1b[", self.on_terminal("--no-pager", NO_COLOR="1"))
        self.assertNotIn("\x1b[", self.report().stdout)
        self.assertIn("\x1b[", self.report("--color").stdout)
        self.assertIn("\x1b[", self.report("--color=always").stdout)

    def test_width(self):
        wide = self.on_terminal("--color=never", "--no-pager", "--by", "site", COLUMNS="200")
        narrow = self.on_terminal("--color=never", "--no-pager", "--by", "site", COLUMNS="62")
        self.assertGreater(max(map(len, re.findall(r".*Cache<.*", wide))), 62)
        self.assertLessEqual(max(len(line.rstrip("\r")) for line in re.findall(r".*Cache<.*", narrow)), 62)


if __name__ == "__main__":
    harness.main()
