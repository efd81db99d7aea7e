#!/usr/bin/python3
"""The story of a Go service whose log function opens its file on every call: the report names the line, how many there are, the
goroutine that is stuck and what it holds, and what only the garbage collector closed. The program does what it does alone."""
import glob
import os
import re
import resource
import shutil
import subprocess
import tempfile
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "go_service.go")
PROGRAMS = tempfile.TemporaryDirectory(prefix="unfreed-go-")
# Debian's, and a newer one beside it.
COMMANDS = sorted({os.path.realpath(one) for one in (shutil.which("go") or "", "/usr/local/go/bin/go", *glob.glob("/usr/lib/go-*/bin/go"))
                   if os.path.exists(one)})
LIMIT = 120
MOST_REQUESTS = 400


def build(go, name, source, *options, **keywords):
    """Once for each compiler."""
    folder = os.path.join(PROGRAMS.name, re.sub(r"\W", "_", go))
    program = os.path.join(folder, name)
    if not os.path.exists(program):
        os.makedirs(folder, exist_ok=True)
        harness.build_go(go, program, source, *options, **keywords)
    return program


def limit_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


def lines_of(stack):
    return [frame["line"] for frame in stack if frame.get("file", "").endswith("go_service.go")]


@unittest.skipUnless(COMMANDS, "no Go here")
class Service(unittest.TestCase):
    def each_program(self):
        for go in COMMANDS:
            for name, flags in ("service", ""), ("stripped", "-s -w"):
                yield build(go, name, SOURCE, f"-ldflags={flags}")
            yield build(go, "cgo", SOURCE, uses_c=True)
            yield build(go, "pie", SOURCE, "-buildmode=pie")

    def run_service(self, program, mode, *options):
        with harness.Scratch() as scratch:
            command = [program, mode, scratch.path("log")]
            keywords = {"env": {"GOGC": "off"}, "preexec": limit_descriptors}
            bare = harness.bare(command, **keywords)
            os.unlink(scratch.path("log"))
            result = harness.run(command, scratch=scratch, options=options, **keywords)
            with open(scratch.path("log")) as log:
                written = log.readlines()
            self.assertEqual((result.stdout, bare.status), (bare.stdout, 0), result)
            self.assertEqual(result.report["backend"], "trace")
            return result, int(result.stdout.split()[-1]), len(written)

    def site_of(self, result, *markers):
        """Of those lines, from the innermost out."""
        lines = [harness.line_of(SOURCE, marker) for marker in markers]
        found = [site for site in result.report["sites"] if lines_of(site["stack"])[:len(lines)] == lines]
        self.assertEqual(len(found), 1, (markers, result))
        return found[0]

    def check_stuck(self, result):
        """A goroutine is stuck on a channel, and holds a file and a connection."""
        line = harness.line_of(SOURCE, "blocked")
        (group,) = [one for one in result.report["goroutines"] if line in lines_of(one["stack"])]
        self.assertEqual((group["count"], group["state"], group["fd"]), (1, "waiting", 2))
        self.assertEqual(lines_of(group["created_at"]), [harness.line_of(SOURCE, "starts-stuck")])
        (stuck,) = group["goroutines"]
        self.assertEqual(len(stuck["descriptors"]), 2)
        targets = [one.get("target", "") for one in stuck["descriptors"]]
        self.assertEqual(targets[0], "/etc/passwd")
        self.assertRegex(targets[1], "tcp|socket")
        opened = self.site_of(result, "stuck-file")
        self.assertEqual([one["goroutine"] for one in opened["objects"]], [stuck["goroutine"]])
        self.assertRegex(result.stderr, rf"goroutine {stuck['goroutine']} \(waiting.*\); holds 2 descriptors: \d+ \(/etc/passwd\), ")
        return group

    def test_files_that_are_never_closed(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result, held, _ = self.run_service(program, "never", "--fail-on", "site.fd>=50")
                self.assertEqual(result.status, 23, result)
                self.assertIn("too many open files", result.stdout)
                site = self.site_of(result, "opens", "never")
                self.assertEqual((site["live"], site.get("closed_by_gc", 0)), (held, 0))
                self.assertEqual(result.report["failures"][0]["error"], "EMFILE")
                self.check_stuck(result)

    def test_files_whose_close_is_deferred_in_a_loop(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result, held, _ = self.run_service(program, "deferred")
                self.assertEqual(result.status, 0, result)
                site = self.site_of(result, "opens", "deferred")
                self.assertEqual(site["live"], held)
                # One goroutine has opened all of them.
                (goroutine,) = {one["goroutine"] for one in site["objects"]}
                (group,) = [one for one in result.report["goroutines"] if one["fd"] >= held]
                self.assertEqual([one["goroutine"] for one in group["goroutines"]], [goroutine])
                self.assertEqual(lines_of(group["created_at"]), [harness.line_of(SOURCE, "starts-worker")])
                self.assertIn(f"{held} descriptors from openat by goroutine {goroutine}: ", result.stderr)
                self.check_stuck(result)

    def test_files_that_only_the_garbage_collector_closes(self):
        for program in self.each_program():
            with self.subTest(program=program):
                result, held, _ = self.run_service(program, "forgotten", "--fail-on", "fd.closed_by_gc>0")
                self.assertEqual((result.status, held), (23, 0), result)
                site = self.site_of(result, "opens", "forgotten")
                self.assertEqual((site["live"], site["closed_by_gc"]), (0, MOST_REQUESTS))
                self.assertEqual(result.report["totals"]["fd"]["closed_by_gc"], MOST_REQUESTS)
                self.assertIn(f"{MOST_REQUESTS} descriptors (closed by the garbage collector, not by you) from openat", result.stderr)
                group = self.check_stuck(result)
                self.assertGreater(group["waiting_ns"], 0)
                if program.endswith("service"):
                    self.assertEqual(group["wait_reason"], "chan receive")

    def test_the_rule_passes_on_who_closes(self):
        result, held, written = self.run_service(next(self.each_program()), "closed", "--fail-on", "fd.closed_by_gc>0,site.fd.closed_by_gc>0")
        self.assertEqual((result.status, held, written), (0, 0, MOST_REQUESTS), result)
        self.assertNotIn("closed_by_gc", result.report["totals"]["fd"])

    def test_a_snapshot_shows_the_goroutines_of_a_running_program(self):
        for program in self.each_program():
            with self.subTest(program=program), harness.Scratch() as scratch:
                with harness.started([program, "wait", scratch.path("log")], scratch=scratch) as process:
                    self.assertEqual(process.stdout.readline(), b"stuck\n")
                    self.assertEqual(process.stdout.readline(), b"waits\n")
                    pid = int(process.stdout.readline())
                    path = scratch.path("now.json")
                    snapshot = harness.unfreed("snapshot", "--output", path, str(pid), env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                    self.assertEqual(snapshot.status, 0, snapshot)
                    snapshot.report = harness.read_report(path)
                    self.check_stuck(snapshot)
                    process.stdin.close()
                    self.assertEqual(process.wait(20), 0)

    def test_offsets_are_those_of_the_debug_information(self):
        for go in COMMANDS:
            with self.subTest(go=go):
                program = build(go, "service", SOURCE, "-ldflags=")
                version = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout.split()[2]
                row = next(row for row in rows_of_offsets() if row["first"] <= int(version.split(".")[1]) <= row["last"])
                routine, saved = members_of(program, "runtime.g"), members_of(program, "runtime.gobuf")
                expected = {"pc": routine["sched"] + saved["pc"], "sp": routine["sched"] + saved["sp"],
                            "bp": routine["sched"] + saved["bp"], "call_pc": routine["syscallpc"],
                            "call_bp": routine.get("syscallbp", 0), "status": routine["atomicstatus"], "id": routine["goid"],
                            "wait_since": routine["waitsince"], "wait_reason": routine["waitreason"],
                            "creator": routine.get("parentGoid", 0), "created_at": routine["gopc"], "starts_at": routine["startpc"]}
                self.assertEqual({name: row[name] for name in expected}, expected)


def rows_of_offsets():
    """The table of src/trace/go_runtime.cpp."""
    names = ("first", "last", "sp", "pc", "bp", "call_pc", "call_bp", "status", "id", "wait_since", "wait_reason", "creator", "created_at", "starts_at")
    with open(os.path.join(harness.SOURCE, "src", "trace", "go_runtime.cpp")) as file:
        rows = re.findall(r"^    \{((?:\d+, ){13}\d+)\},$", file.read(), re.MULTILINE)
    return [dict(zip(names, map(int, row.split(", ")))) for row in rows]


def members_of(program, structure):
    """Offsets of a structure's members, by its debug information."""
    text = subprocess.run(["readelf", "--debug-dump=info", program], capture_output=True, text=True, errors="replace", check=False).stdout
    start = re.search(rf"\(DW_TAG_structure_type\)\n\s+<\w+>\s+DW_AT_name\s*:.*\b{re.escape(structure)}$", text, re.MULTILINE)
    members = {}
    for entry in re.split(r"(?=<\d+><\w+>: Abbrev Number)", text[start.end():start.end() + 20000])[1:]:
        if "(DW_TAG_member)" not in entry:
            break
        name = re.search(r"DW_AT_name\s*:.*?(\S+)$", entry, re.MULTILINE).group(1)
        members[name] = int(re.search(r"DW_AT_data_member_location\s*: (\d+)", entry).group(1))
    return members


if __name__ == "__main__":
    harness.main()
