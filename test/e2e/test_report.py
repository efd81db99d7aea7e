#!/usr/bin/python3
"""What a report says beyond its sites: reconciliation, suppression, debug files, and the commands that read reports."""
import os
import shutil
import subprocess
import unittest

import harness

FOLDER = os.path.join(harness.SOURCE, "test", "e2e", "programs")


class Truth(unittest.TestCase):
    def test_descriptors_that_no_hook_explains(self):
        line = harness.line_of(os.path.join(FOLDER, "raw.c"), "kept")
        for run in (harness.run, harness.preload):
            result = run([harness.program("raw")])
            self.assertEqual(result.status, 0, result)
            totals = result.report["totals"]["fd"]
            self.assertEqual((totals["live"], totals["attributed"], totals["unattributed"]), (2, 1, 1), totals)
            (site,) = harness.live_sites(result.report, "fd")
            self.assertEqual(harness.top(site)["line"], line)
            (unseen,) = [d for d in result.report["descriptors"] if d["origin"] == "unattributed"]
            self.assertEqual(unseen["target"], "/etc/hosts")
            self.assertEqual(totals["closed_unseen"], 1, "and one was closed behind every hook's back")

    def test_what_is_held_is_held_with_or_without_a_stack(self):
        result = harness.run([harness.program("raw")], options=["--fail-on", "fd>1"])
        self.assertEqual((result.status, result.report["rules"]), (23, [{"rule": "fd>1", "value": 2, "broken": True}]))

    def test_unattributed_rule(self):
        self.assertEqual(harness.run([harness.program("raw")], options=["--fail-on", "fd.unattributed>0"]).status, 23)
        self.assertEqual(harness.run([harness.program("fd_open"), "leak"],
                                     options=["--fail-on", "fd.unattributed>0"]).status, 0)

    def test_inherited_descriptors_do_not_count(self):
        with open("/etc/passwd") as inherited:
            result = harness.run([harness.program("fd_open"), "clean"], options=["--fail-on", "fd>0"],
                                 pass_fds=[inherited.fileno()])
            self.assertEqual(result.status, 0, result)
            self.assertEqual(result.report["totals"]["fd"]["live"], 0)

    def test_what_libc_keeps(self):
        without = harness.run([harness.program("libc_keeps"), "clean"]).report["totals"]["heap"]["total"]
        for function in ("setenv", "localtime", "gmtime", "gettext", "getpwent", "atexit", "puts", "fgetwc", "mbstowcs",
                         "regcomp", "look_up", "fnmatch", "fputws", "glob", "aio_read", "timer", "look_up_and_exit"):
            with self.subTest(function=function):
                heap = harness.run([harness.program("libc_keeps"), function],
                                   env={"TZ": "Nowhere+3", "LANGUAGE": "de"}).report["totals"]["heap"]
                self.assertEqual(heap["live"], 0)
                self.assertGreater(heap["total"], without)

    def test_what_libc_gives(self):
        result = harness.run([harness.program("libc_keeps"), "given"])
        self.assertEqual(sorted(s["bytes"] for s in harness.live_sites(result.report, "heap")),
                         [len("copy") + 1, len("text of a stream") + 1, 77])
        self.assertEqual(result.report["totals"]["heap"]["foreign_released"], 0)

    def test_what_libc_keeps_of_a_call_that_also_gives(self):
        for run in (harness.run, harness.preload):
            result = run([harness.program("libc_keeps"), "both"])
            held = {}
            for site in harness.live_sites(result.report, "heap"):
                (line,) = {frame["line"] for frame in site["stack"] if frame.get("function") == "be_given_and_keep"}
                held[line] = held.get(line, 0) + site["live"]
            lines = [harness.line_of(os.path.join(FOLDER, "libc_keeps.c"), name)
                     for name in ("addresses", "conversion", "wide")]
            self.assertEqual(sorted(held), sorted(lines))
            self.assertEqual((held[lines[0]], held[lines[2]]), (int(result.stdout), 1))
            self.assertGreater(result.report["totals"]["heap"]["libc"], 10)

    def test_threads_that_libc_starts_are_its_own(self):
        for function in ("timer", "aio_read"):
            with self.subTest(function=function):
                result = harness.run([harness.program("libc_keeps"), function],
                                     options=["--fail-on", "thread.unattributed>0"])
                self.assertEqual((result.status, result.report["totals"]["thread"]["libc"]), (0, 1), result)

    def test_objects(self):
        result = harness.run([harness.program("fd_open"), "leak"])
        (site,) = [s for s in harness.live_sites(result.report, "fd") if s["live"] == 2]
        self.assertEqual([item["target"] for item in site["objects"]], ["/etc/passwd"] * 2)
        self.assertEqual({item["thread"] for item in site["objects"]}, {result.report["process"]["pid"]})
        for item in site["objects"]:
            self.assertGreaterEqual(item["fd"], 3)
            self.assertGreater(item["age_ns"], 0)
            self.assertEqual(item["flags"], ["read"])

    def test_running_thread_is_informational(self):
        result = harness.run([harness.program("thread_running"), "leak"], options=["--fail-on", "thread>0"])
        self.assertEqual(result.status, 0, result)
        totals = result.report["totals"]["thread"]
        self.assertEqual((totals["live"], totals["running"]), (0, 1), totals)
        self.assertEqual(harness.run([harness.program("thread_running"), "leak"],
                                     options=["--fail-on", "thread.running>0"]).status, 23)

    def test_report_names_its_process(self):
        result = harness.run([harness.program("fd_open"), "leak"])
        process = result.report["process"]
        self.assertEqual(process["exe"], harness.program("fd_open"))
        self.assertEqual(process["argv"], [harness.program("fd_open"), "leak"])
        self.assertEqual(result.report["schema_version"], 2)
        self.assertTrue(result.report["complete"], result.report["notes"])
        self.assertEqual({k: result.report["coverage"][k] for k in ("fd", "heap", "thread")},
                         {"fd": "exact", "heap": "exact", "thread": "exact"})

    def test_a_program_has_the_name_that_it_was_started_by(self):
        """As redis-server is, which Debian has as a link to another program's file."""
        with harness.Scratch() as scratch:
            os.symlink(harness.program("fd_open"), scratch.path("server"))
            result = harness.run([scratch.path("server"), "leak"])
            self.assertEqual(result.report["process"]["program"], "server")
            self.assertIn("server (pid ", result.stderr)
            self.assertNotIn("fd_open (pid", result.stderr)
            for name, status in (("server", 23), ("fd_open", 23), ("other", 125)):
                options = ["--fail-on", "fd>0", "--rules-for", name]
                self.assertEqual(harness.run([scratch.path("server"), "leak"], options=options).status, status, name)
        self.assertNotIn("program", harness.run([harness.program("fd_open"), "leak"]).report["process"])

    def test_frames_have_module_build_id_and_offset(self):
        result = harness.run([harness.program("fd_open"), "leak"])
        modules = {module["path"]: module for module in result.report["modules"]}
        main = modules[harness.program("fd_open")]
        notes = subprocess.run(["readelf", "-n", harness.program("fd_open")], capture_output=True, text=True, check=True)
        self.assertIn(f"Build ID: {main['build_id']}", notes.stdout)
        for site in harness.live_sites(result.report, "fd"):
            for frame in site["stack"]:
                self.assertIn(frame["module"], modules)
                self.assertIn("offset", frame)
            self.assertEqual(harness.top(site)["build_id"], main["build_id"])
            names = harness.functions(site)
            self.assertEqual(names[-1], "_start", names)
            self.assertIn("main", names)

    def test_signature_survives_a_rebuild(self):
        """Other addresses and other line numbers, same functions: same signature."""
        with harness.Scratch() as scratch:
            with open(os.path.join(FOLDER, "fd_open.c")) as file:
                text = file.read()
            signatures = []
            for number, head in enumerate(("", "\n\n\nint moved(int x) { return x * 7; }\n")):
                os.mkdir(scratch.path(str(number)))
                source, binary = scratch.path(str(number), "fd_open.c"), scratch.path(str(number), "fd_open")
                with open(source, "w") as file:
                    file.write(head + text)
                subprocess.run(["gcc", "-g", "-O0", "-D_GNU_SOURCE", "-I", FOLDER, "-o", binary, source], check=True)
                result = harness.run([binary, "leak"])
                signatures.append(sorted(s["signature"] for s in harness.live_sites(result.report, "fd")))
            self.assertEqual(len(signatures[0]), 2)
            self.assertEqual(signatures[0], signatures[1])


class Suppressions(unittest.TestCase):
    def run_with(self, text, *options):
        with harness.Scratch() as scratch:
            path = scratch.path("list.supp")
            with open(path, "w") as file:
                file.write(text)
            return harness.run([harness.program("fd_open"), "leak"], options=["--suppressions", path, *options])

    def test_by_function_file_and_module(self):
        for pattern, left in (("fd:take", 1), ("fd:tak?", 1), ("*:main", 0), ("fd:fd_open.c", 0), ("fd:fd_open", 0),
                              ("heap:take", 3), ("fd:nothing_of_this_name", 3), ("fd:ake", 3)):
            with self.subTest(pattern=pattern):
                result = self.run_with(f"# known\n{pattern}\n")
                self.assertEqual(harness.counted(result.report), left, result)
                marked = [s for s in result.report["sites"] if s.get("suppressed_by")]
                self.assertEqual(sum(s["live"] for s in marked if s["kind"] == "fd"), 3 - left, "they stay in the report")

    def test_by_signature(self):
        plain = harness.run([harness.program("fd_open"), "leak"])
        (site,) = [s for s in harness.live_sites(plain.report, "fd") if s["live"] == 2]
        result = self.run_with(f"*:signature:{site['signature']}\n", "--fail-on", "fd>0")
        self.assertEqual(harness.counted(result.report), 1)
        self.assertEqual(result.status, 23)

    def test_suppressed_sites_break_no_rule(self):
        self.assertEqual(self.run_with("fd:main\n", "--fail-on", "fd>0,site.fd>0").status, 0)

    def test_leak_sanitizers_form(self):
        with harness.Scratch() as scratch:
            path = scratch.path("lsan.supp")
            with open(path, "w") as file:
                file.write("leak:ake\n")
            result = harness.run([harness.program("heap_malloc"), "leak"], options=["--suppressions", path])
            sites = harness.own_sites(result.report, harness.program("heap_malloc"), "heap")
            self.assertEqual([s["live"] for s in sites], [1], "take() is suppressed by a part of its name, main() is not")


class DebugFiles(unittest.TestCase):
    def test_separate_debug_file_by_build_id(self):
        """As distributions ship them: the program stripped, its debug information under a debug root by build ID."""
        with harness.Scratch() as scratch:
            binary = scratch.path("stripped")
            shutil.copy(harness.program("fd_open"), binary)
            notes = subprocess.run(["readelf", "-n", binary], capture_output=True, text=True, check=True).stdout
            build_id = notes.split("Build ID:")[1].split()[0]
            subprocess.run(["strip", binary], check=True)
            plain = harness.run([binary, "leak"])
            for site in harness.live_sites(plain.report, "fd"):
                self.assertNotIn("line", harness.top(site))
                self.assertEqual(harness.top(site)["module"], binary)
            try:
                folder = f"/usr/lib/debug/.build-id/{build_id[:2]}"
                os.makedirs(folder, exist_ok=True)
            except PermissionError:
                self.skipTest("only root may put files under /usr/lib/debug")
            debug = f"{folder}/{build_id[2:]}.debug"
            existed = os.path.exists(debug)
            try:
                subprocess.run(["objcopy", "--only-keep-debug", harness.program("fd_open"), debug], check=True)
                lines = {marker: harness.line_of(os.path.join(FOLDER, "fd_open.c"), marker) for marker in ("take", "main")}
                for run in (harness.run, harness.preload):
                    result = run([binary, "leak"])
                    found = {s["live"]: harness.top(s)["line"] for s in harness.live_sites(result.report, "fd")}
                    self.assertEqual(found, {2: lines["take"], 1: lines["main"]})
                # A report written without names is filled in later, too.
                with harness.Scratch() as other:
                    harness.preload([binary, "leak"], helper=False, scratch=other,
                                    env={"UNFREED_OUTPUT": other.path("plain.json")})
                    shown = harness.unfreed("report", other.path("plain.json"))
                    self.assertIn(f"fd_open.c:{lines['take']}", shown.stdout)
            finally:
                if not existed:
                    os.unlink(debug)

    def test_a_file_that_is_another_one_by_now(self):
        # Both programs leak a descriptor; the first has the second's file in its place when the report is written.
        with harness.Scratch() as scratch:
            program = scratch.path("program")
            script = f'cp "{harness.program("fd_open")}" {program}; {program} leak; cp {shutil.which("true")} {program}'
            result = harness.run(["sh", "-c", script], scratch=scratch)
            (report,) = [r for r in result.reports.values() if r["process"]["exe"] == program]
        (note,) = [note for note in report["notes"] if program in note]
        self.assertIn("has changed since the program ran (build ID ", note)
        sites = harness.live_sites(report, "fd")
        self.assertTrue(sites)
        lines = [frame for site in sites for frame in site["stack"] if frame["module"] == program and "line" in frame]
        self.assertEqual(lines, [], "no line of another program's file")
        # libc has not changed, and nothing is said of it.
        self.assertFalse([note for note in report["notes"] if "libc" in note])


class Readers(unittest.TestCase):
    def two_reports(self, scratch):
        paths = []
        for mode in ("clean", "leak"):
            path = scratch.path(f"{mode}.json")
            harness.run([harness.program("fd_open"), mode], scratch=scratch, options=["--output", path])
            paths.append(path)
        return paths

    def test_report_in_every_format(self):
        with harness.Scratch() as scratch:
            _, leak = self.two_reports(scratch)
            shown = harness.unfreed("report", leak)
            self.assertEqual((shown.status, shown.stderr), (0, ""), shown)
            self.assertIn("take", shown.stdout)
            self.assertNotIn("\x1b", shown.stdout, "no colours but on a terminal")
            again = scratch.path("again.json")
            self.assertEqual(harness.unfreed("report", "--format", "json", "-o", again, leak).status, 0)
            self.assertEqual(harness.read_report(again)["totals"]["fd"]["live"], 3)
            page = harness.unfreed("report", "--format", "html", leak)
            self.assertEqual(page.status, 0, page)
            self.assertIn("<html", page.stdout.lower())
            self.assertIn("take", page.stdout)
            self.assertEqual(harness.unfreed("report", "--format", "papyrus", leak).status, 125)

    def test_check(self):
        with harness.Scratch() as scratch:
            clean, leak = self.two_reports(scratch)
            self.assertEqual(harness.unfreed("check", clean, "--fail-on", "fd>0,thread>0").status, 0)
            self.assertEqual(harness.unfreed("check", leak, "--fail-on", "fd>0").status, 23)
            both = harness.unfreed("check", clean, leak, "--fail-on", "fd>0")
            self.assertEqual(both.status, 23)
            self.assertRegex(both.stdout, r"\A.*clean.json: fd_open \(pid \d+\): pass fd>0\n.*: FAIL fd>0: 3 descriptors held\n\Z")
            self.assertEqual(harness.unfreed("check", leak, "--fail-on", "fd>3").status, 0)
            self.assertEqual(harness.unfreed("check", leak, "--fail-on", "fd").status, 125)
            self.assertEqual(harness.unfreed("check", leak).status, 125)
            self.assertEqual(harness.unfreed("check", leak, "--fail-on", "child>0").status, 0)
            harness.run([harness.program("fd_open")], scratch=scratch, options=["--track", "fd"])
            self.assertEqual(harness.unfreed("check", scratch.path("report.json"), "--fail-on", "child>0").status, 125,
                             "a rule about what was not tracked is no pass")

    def test_diff(self):
        with harness.Scratch() as scratch:
            clean, leak = self.two_reports(scratch)
            grown = harness.unfreed("diff", clean, leak)
            self.assertEqual(grown.status, 0, grown)
            self.assertIn("take", grown.stdout)
            same = harness.unfreed("diff", leak, leak)
            self.assertNotIn("take", same.stdout)

    def test_doctor(self):
        fine = harness.unfreed("doctor", harness.program("fd_open"))
        self.assertEqual(fine.status, 0, fine)
        missing = harness.unfreed("doctor", "/nonexistent/program")
        self.assertNotEqual(missing.status, 0, missing)
        with harness.Scratch() as scratch:
            with open(scratch.path("s.c"), "w") as file:
                file.write("int main(void) { return 0; }\n")
            subprocess.run(["gcc", "-static", "-o", scratch.path("s"), scratch.path("s.c")], check=True)
            static = harness.unfreed("doctor", scratch.path("s"))
            self.assertEqual((static.status, static.stdout.splitlines()[0]), (0, f"{scratch.path('s')}: can be traced"))
            self.assertIn("statically linked", static.stdout)

            script = f"cd /; timeout 5 {scratch.path('s')}; env -i ls; $CC; make check"
            tree = harness.unfreed("doctor", "/bin/sh", "-c", script)
            self.assertEqual(tree.status, 1)
            verdicts = [line for line in tree.stdout.splitlines() if ": can" in line]
            self.assertEqual(verdicts, ["/bin/sh: can be tracked", "timeout: can be tracked",
                                        f"{scratch.path('s')}: cannot be tracked", "env: can be tracked",
                                        "ls: cannot be tracked", "make: can be tracked"])
            for advice in ("--backend=trace", "--follow=force", "--allow-untracked", "what make will start"):
                self.assertIn(advice, tree.stdout)
            # It is what a run says afterwards.
            result = harness.run(["/bin/sh", "-c", script.replace("make check", "true")], cwd=scratch.folder)
            self.assertEqual(sorted(os.path.basename(one["program"]) for one in result.report["untracked"]), ["ls", "s"])

    def test_output_name(self):
        with harness.Scratch() as scratch:
            result = harness.preload([harness.program("fd_open"), "leak"], scratch=scratch, cwd=scratch.folder,
                                     env={"UNFREED_OUTPUT": "here-%e-%p-%n-%%.json"})
            self.assertEqual(list(result.reports), [f"here-fd_open-{result.pid}-1-%.json"])

    def test_default_output_name(self):
        with harness.Scratch() as scratch:
            env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
            harness.execute([harness.COMMAND, "run", harness.program("fd_open"), "leak"], env=env, cwd=scratch.folder)
            (name,) = harness.read_reports(scratch.folder)
            self.assertRegex(name, r"^unfreed\.fd_open\.\d+\.json$")

    def test_output_stays_where_it_was_asked_for(self):
        """Made absolute at start: a program that changes its folder does not take its report along."""
        with harness.Scratch() as scratch:
            env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers, "LD_PRELOAD": harness.LIBRARY,
                                             "UNFREED_OUTPUT": "moved.json"})
            harness.execute(["/usr/bin/python3", "-c", "import os; os.chdir('/')"], env=env, cwd=scratch.folder)
            self.assertEqual(list(harness.read_reports(scratch.folder)), ["moved.json"])


if __name__ == "__main__":
    harness.main()
