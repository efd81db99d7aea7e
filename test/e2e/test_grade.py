#!/usr/bin/python3
"""What a process can still get at: heap blocks, streams and threads that nothing leads to are lost."""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "lost.cpp")
GRADES = {"reachable": (), "possibly": ("possibly_lost",), "lost": ("lost",), "indirectly": ("indirectly_lost",)}
OF_THREADS = {"thread_stack", "thread_local_of_thread", "of_thread", "by_ended_thread", "by_joined_thread", "coroutine", "coroutine_stack",
              "result_of_thread", "result_of_lost_thread", "argument_of_thread"}


def markers():
    """line: (what is to be said, name)"""
    found = {}
    with open(SOURCE) as file:
        for number, text in enumerate(file, 1):
            if hit := re.search(r"// @(\w+) (\w+)", text):
                found[number] = hit.groups()
    return found


def line_in_source(site):
    known = markers()
    return next((f["line"] for f in site["stack"] if f.get("file", "").endswith("lost.cpp") and f.get("line") in known), 0)


class Grades(unittest.TestCase):
    def check(self, report, threads):
        self.assertEqual(report["grading"]["state"], "done", report["grading"])
        sites = {line_in_source(site): site for site in report["sites"] if site["kind"] == "heap"}
        seen = set()
        for line, (expected, name) in markers().items():
            if expected not in GRADES or (name in OF_THREADS and not threads):
                continue
            site = sites.get(line)
            self.assertIsNotNone(site, f"{name}: nothing is held at line {line}")
            said = {key: site[key] for key in ("lost", "indirectly_lost", "possibly_lost") if key in site}
            self.assertEqual(said, {key: site["live"] for key in GRADES[expected]}, f"{name} (line {line}): {expected}")
            seen.add(expected)
        self.assertEqual(seen, set(GRADES))
        heap = report["totals"]["heap"]
        for counter in ("lost", "indirectly_lost", "possibly_lost"):
            self.assertEqual(heap[counter], sum(s.get(counter, 0) for s in report["sites"] if s["kind"] == "heap"))
            self.assertEqual(heap[counter + "_bytes"],
                             sum(s.get(counter + "_bytes", 0) for s in report["sites"] if s["kind"] == "heap"))

    def check_streams(self, report):
        lost = [one["target"] for site in report["sites"] if site["kind"] == "fd"
                for one in site["objects"] if one.get("lost")]
        self.assertEqual(lost, ["/etc/group"])
        self.assertEqual(report["totals"]["fd"]["lost"], 1)

    def check_threads(self, report):
        wanted = {line: what for line, (what, _) in markers().items() if what.endswith("_thread")}
        said = {line_in_source(s): s.get("lost", 0) for s in report["sites"] if s["kind"] == "thread" and s["live"]}
        self.assertEqual({line: wanted.get(line) for line, lost in said.items() if lost},
                         {line: what for line, what in wanted.items() if what == "lost_thread"})
        self.assertEqual(len(said), len(wanted))

    def test_at_the_end(self):
        report = harness.run([harness.program("lost")]).report
        self.check(report, threads=False)
        self.check_streams(report)

    def test_at_the_end_of_the_bare_preload(self):
        report = harness.preload([harness.program("lost")]).report
        self.check(report, threads=False)
        self.check_streams(report)

    def test_at_the_end_with_threads(self):
        for start in (harness.run, harness.preload):
            report = start([harness.program("lost"), "threads"]).report
            self.check(report, threads=True)
            self.check_streams(report)
            self.check_threads(report)

    def test_threads_of_a_process_that_has_changed_its_user(self):
        result = harness.run([harness.program("lost"), "threads", "another-user"], options=["--fail-on", "heap.lost>0"])
        self.assertEqual(result.status, 125, result.stderr)
        grading = result.report["grading"]
        self.assertEqual(grading["state"], "refused")
        self.assertIn("has changed its user", grading["reason"])
        # Without other threads it is the memory that it has made unreadable that nobody can look at now.
        grading = harness.run([harness.program("lost"), "another-user"]).report["grading"]
        self.assertEqual(grading["state"], "refused")
        self.assertIn("does not let it be read", grading["reason"])

    def test_while_it_runs(self):
        with harness.Scratch() as scratch:
            path = scratch.path("live.json")
            harness.run([harness.program("lost"), "threads", "report", path], scratch=scratch)
            report = harness.read_report(path, complete=True)
        self.check(report, threads=True)
        self.check_streams(report)
        self.check_threads(report)

    def test_without_shared_memory(self):
        env = {"UNFREED_LEDGER_DIR": "/proc"}
        with harness.Scratch() as scratch:
            path = scratch.path("live.json")
            settings = {"LD_PRELOAD": harness.LIBRARY, "UNFREED_OUTPUT": scratch.path("end.json"), **env}
            harness.execute([harness.program("lost"), "threads", "report", path], env=harness.clean_environment(settings))
            for name in (path, scratch.path("end.json")):
                self.check(harness.read_report(name, complete=True), threads=True)

    def test_snapshot_asks_the_process(self):
        with harness.Scratch() as scratch, harness.started([harness.program("lost"), "threads", "wait"], launcher=False,
                                                           scratch=scratch) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            quiet = harness.unfreed("snapshot", "-q", "-o", scratch.path("quiet.json"), str(process.pid))
            self.assertEqual(quiet.status, 0, quiet.stderr)
            self.assertNotIn("grading", harness.read_report(scratch.path("quiet.json")))
            asked = harness.unfreed("snapshot", "--grade", "--fail-on", "heap.lost>0", "-o", scratch.path("asked.json"),
                                    str(process.pid))
            self.assertEqual(asked.status, 23, asked.stderr)
            self.assertIn("FAIL heap.lost>0: ", asked.stderr)
            self.check(harness.read_report(scratch.path("asked.json")), threads=True)
            self.assertIsNone(process.poll(), "it runs on")

    def test_snapshot_leaves_a_signal_of_the_programs_alone(self):
        with harness.Scratch() as scratch, harness.started([harness.program("lost"), "handler", "wait"], launcher=False,
                                                           scratch=scratch) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            asked = harness.unfreed("snapshot", "--grade", "-o", scratch.path("asked.json"), str(process.pid))
            self.assertEqual(asked.status, 0, asked.stderr)
            self.check(harness.read_report(scratch.path("asked.json")), threads=False)
            self.assertIsNone(process.poll())
            with open(f"/proc/{process.pid}/status") as status:
                caught = int(next(line for line in status if line.startswith("SigCgt:")).split()[1], 16)
            substitute = next(number for number in range(40, 64) if caught >> (number - 1) & 1)
            os.kill(process.pid, substitute)  # from anyone else, it does what it does without the library
            self.assertEqual(process.wait(), -substitute)

    def test_snapshot_says_why_there_is_no_answer(self):
        with harness.Scratch() as scratch, harness.started([harness.program("lost"), "wait"], launcher=False, scratch=scratch,
                                                           env={"UNFREED_SIGNAL": "off"}) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            result = harness.unfreed("snapshot", "--grade", "-o", scratch.path("x.json"), str(process.pid))
            self.assertEqual(result.status, 125)
            self.assertIn(f"process {process.pid} takes no requests", result.stderr)


class WhoKeeps(unittest.TestCase):
    """Each reachable block is on a path from a root, and the root has its name."""

    def paths(self, report):
        """By size of the blocks at the end: (root, its variable or function, sizes of the blocks on the way, blocks)"""
        sizes = {site["id"]: site["bytes"] // site["live"] for site in report["sites"]
                 if site["kind"] == "heap" and site["live"]}
        known, found = [], {}
        for node in report["retention"]:
            self.assertLessEqual(node.get("parent", 0), len(known), "a parent comes first")
            known.append(known[node["parent"] - 1] + [node] if "parent" in node else [node])
            root, *steps = known[-1]
            if node["blocks"]:
                found.setdefault(sizes[node["site"]], []).append(
                    (root["root"], root.get("place", {}).get("function", "").rpartition("::")[2],
                     tuple(sizes[one["site"]] for one in steps[:-1]), node["blocks"]))
        return found

    def check(self, report):
        self.assertEqual(report["grading"]["state"], "done", report["grading"])
        paths = self.paths(report)
        main = report["process"]["pid"]
        self.assertEqual(paths[50], [("variable", "g_buckets", (), 512)])
        self.assertEqual(paths[555], [("thread_variable", "t_own", (), 1)])
        self.assertEqual(paths[777], [("stack", "wait_in_thread()", (), 1)])
        self.assertIn(("variable", "first", (), 30), paths[16])
        self.assertEqual(paths[100], [("variable", "first", (16,), 30)])
        [(root, name, steps, blocks)] = paths[666]
        self.assertEqual((root, name, steps, blocks), ("memory", "", (), 1))
        sessions = next(node for node in report["retention"] if "Session" in node.get("type", ""))
        self.assertEqual(sessions["blocks"], 40)
        roots = {node["place"]["function"].rpartition("::")[2]: node for node in report["retention"]
                 if node.get("root") in ("variable", "thread_variable") and "place" in node}
        self.assertIn("g_registry", roots)
        self.assertEqual(next(n["thread"] for n in report["retention"] if n.get("root") == "thread_variable"
                              and n.get("place", {}).get("function", "").endswith("t_own")), main)
        # What only a variable leads to; the last block may be on the stack, too.
        below, known = {}, []
        for node in report["retention"]:
            known.append(known[node["parent"] - 1] if "parent" in node else len(known))
            below[known[-1]] = below.get(known[-1], 0) + node["bytes"]
        whole = {name: below[report["retention"].index(node)] for name, node in roots.items()}
        for name, least in (("g_registry", 0.9), ("g_buckets", 0.99), ("t_own", 0)):
            self.assertLessEqual(roots[name]["retained_bytes"], whole[name])
            self.assertGreaterEqual(roots[name]["retained_bytes"], least * whole[name])
        self.assertEqual(whole["g_one"], 333)
        self.assertEqual(roots["g_one"]["retained_bytes"], 0, "g_two leads to it as well")
        self.assertLess(sessions["bytes"], sessions["retained_bytes"], "with their names")
        # Every block that is reachable is kept by somebody.
        kept = {}
        for node in report["retention"]:
            kept[node.get("site")] = kept.get(node.get("site"), 0) + node["blocks"]
        for site in report["sites"]:
            if site["kind"] == "heap" and "owner" not in site:
                self.assertEqual(kept.get(site["id"], 0), site["live"] - site.get("lost", 0) - site.get("indirectly_lost", 0))

    def test_at_the_end(self):
        result = harness.run([harness.program("kept")])
        self.check(result.report)
        # Where variables are declared: global, static in a function, thread-local.
        declared = {node["place"]["function"].rpartition("::")[2]: node["place"] for node in result.report["retention"]
                    if node.get("root") in ("variable", "thread_variable") and "place" in node}
        source = os.path.join(harness.SOURCE, "test", "e2e", "programs", "kept.cpp")
        for name, mark in (("g_registry", "registry"), ("first", "first"), ("t_own", "own")):
            self.assertEqual(os.path.basename(declared[name].get("file", "")), "kept.cpp", declared[name])
            self.assertEqual(declared[name]["line"], harness.line_of(source, mark), declared[name])
        self.assertIn("kept by variable ", result.stderr)
        self.assertRegex(result.stderr, r"kept by variable .*g_registry \(kept\.cpp:\d+\), retaining [\d.]+ KiB → 40 blocks from ")

    def test_names_what_libc_keeps_for_threads(self):
        """pthread keys with the thread and in memory of their own, and variables of libraries, in memory of their own or
        not."""
        libraries = [os.path.join(harness.PROGRAMS, name + ".so") for name in ("thread_local_static", "thread_local_block")]
        with harness.Scratch() as scratch:
            harness.run([harness.program("kept"), *libraries], options=["-o", scratch.path("kept.json")])
            report = harness.read_report(scratch.path("kept.json"))
            shown = harness.unfreed("report", "--why", "take|use", scratch.path("kept.json")).stdout
        paths = self.paths(report)
        for size in (441, 442, 446):
            self.assertEqual(paths[size], [("thread_variable", "kept_by_library", (), 1)], size)
        for size in (443, 444, 445):
            self.assertEqual(paths[size], [("thread_key", "", (), 1)], size)
        main = report["process"]["pid"]
        sizes = {site["id"]: site["bytes"] for site in report["sites"] if site["kind"] == "heap"}
        roots = {sizes[node["site"]]: report["retention"][node["parent"] - 1]
                 for node in report["retention"] if "parent" in node}
        self.assertEqual([roots[size]["thread"] == main for size in (441, 442, 443, 444, 445, 446)], [True] * 4 + [False] * 2)
        self.assertEqual(roots[444]["key"], roots[443]["key"] + 30)
        self.assertEqual(roots[444]["key"], roots[445]["key"])
        for size in (441, 442, 443, 444, 445, 446):
            self.assertEqual(roots[size]["retained_bytes"], size)
        self.assertIn(f"pthread key {roots[444]['key']} of thread {main}, retaining 444 B\n", shown)
        self.assertRegex(shown, r"thread-local variable kept_by_library \(thread_local_library.c:\d+\) of thread \d+, retaining 44")

    def test_every_step(self):
        """report --why: what the summary cuts short."""
        with harness.Scratch() as scratch:
            harness.run([harness.program("kept")], options=["-o", scratch.path("kept.json")])
            shown = harness.unfreed("report", "--why", "Registry::add", scratch.path("kept.json"))
            self.assertEqual(shown.status, 0, shown)
            self.assertIn(": --why Registry::add\n", shown.stdout)
            self.assertRegex(shown.stdout, r"40 blocks \([\d.]+ \w+\), kept alive by\n +variable .*g_registry \(kept\.cpp:\d+\), retaining .*\n +→ 40 blocks .*, retaining .*\n")
            self.assertNotIn("kept by variable", shown.stdout)
            live = sum(int(count) for count in re.findall(r"(?m)^ +(\d+) blocks? \([^)]*\), kept alive by$", shown.stdout))
            self.assertGreater(live, 0)
            for options, words in ((["--why", "("], "--why: '(' is not"), (["--why", "x", "--match", "y"], "leave out --kind and --match"),
                                   (["--why", "x", "--tree"], "give one of them"), (["--why", "x", "--by", "file"], "give one of them"),
                                   (["--why", "x", "-f", "json"], "--why is for --format text")):
                with self.subTest(options=options):
                    refused = harness.unfreed("report", *options, scratch.path("kept.json"))
                    self.assertEqual(refused.status, 125)
                    self.assertIn(words, refused.stderr)

    def test_at_the_end_of_the_bare_preload(self):
        self.check(harness.preload([harness.program("kept")]).report)

    def test_without_the_command(self):
        self.check(harness.preload([harness.program("kept")], helper=False).report)


class Often(unittest.TestCase):
    def test_asking_again_takes_no_more_room(self):
        library = os.path.join(harness.PROGRAMS, "late_library.so")
        result = harness.run([harness.program("graded_often"), library, "1000"])
        self.assertEqual((result.status, result.stdout), (0, "0\n"), result)
        self.assertTrue(result.report["complete"], result.report["notes"])
        self.assertIn("kept by variable kept_by_library", result.stderr)


class Moved(unittest.TestCase):
    """While realloc moves a block, no index has it."""

    def test_other_threads_move_blocks(self):
        result = harness.run([harness.program("moved_blocks"), "100"])
        self.assertEqual((result.status, result.stdout), (0, "0 lost\n"), result)

    def test_a_handler_asks_while_its_thread_moves_one(self):
        result = harness.run([harness.program("moved_blocks"), "100", "handler"])
        self.assertEqual((result.status, result.stdout), (0, "0 lost\n"), result)


class Rules(unittest.TestCase):
    def status(self, rules, *arguments, options=(), **keywords):
        result = harness.run([harness.program("lost"), *arguments], options=["--fail-on", rules, *options], **keywords)
        return result.status, result.stderr

    def test_rules_about_what_is_lost(self):
        for rule, expected in (("heap.lost>0", 23), ("heap.lost>100", 0), ("heap.lost_bytes>=3M", 23),
                               ("heap.indirectly_lost>=2", 23), ("heap.possibly_lost>4", 0), ("site.heap.lost>=7", 23),
                               ("site.heap.lost>7", 0), ("fd.lost>0", 23), ("thread.lost>0", 0)):
            status, stderr = self.status(rule)
            self.assertEqual(status, expected, f"{rule}\n{stderr}")
        self.assertEqual(self.status("thread.lost>0", "threads")[0], 23)

    def test_verdicts_name_what_is_lost(self):
        _, stderr = self.status("heap.lost>0,fd.lost>0,thread.lost>0", "threads")
        self.assertRegex(stderr, r"FAIL heap.lost>0: \d+ blocks lost")
        self.assertIn("FAIL fd.lost>0: 1 descriptor lost", stderr)
        self.assertIn("FAIL thread.lost>0: 1 thread lost", stderr)
        self.assertRegex(stderr, r"heap .*; \d+ blocks \(.*\) lost, \d+ \(.*\) indirectly lost; 4 \(732 B\) possibly lost")
        self.assertRegex(stderr, r"7 blocks \(all lost\), 728 B")

    def test_a_rule_is_not_checked_where_nothing_was_graded(self):
        status, stderr = self.status("heap.lost>0", options=["--grade", "off"])
        self.assertEqual(status, 125, stderr)
        self.assertIn("not checked heap.lost>0: lost objects were not searched for", stderr)
        status, stderr = self.status("heap.lost>0", options=["--sample", "64K"])
        self.assertEqual(status, 125, stderr)
        self.assertIn("lost objects could not be determined: the heap is sampled", stderr)

    def test_suppressions_cover_it(self):
        with harness.Scratch() as scratch:
            path = scratch.path("known.supp")
            with open(path, "w") as file:
                file.write("heap:*leave*\nheap:*hold*\nheap:*pass*\n")
            result = harness.run([harness.program("lost")], options=["--fail-on", "heap.lost>0", "--suppressions", path],
                                 scratch=scratch)
            self.assertEqual(result.status, 0, result.stderr)
            heap = result.report["totals"]["heap"]
            self.assertEqual(heap["lost"], heap["suppressed_lost"])

    def test_what_only_suppressed_blocks_lead_to_is_suppressed_with_them(self):
        with harness.Scratch() as scratch:
            path = scratch.path("known.supp")
            for line, parts in (("heap:known", {"known_part"}), ("heap:other", {"other_part"}), ("heap:known max=3", {"known_part"}),
                                ("heap:known max=2", set())):
                with self.subTest(line=line):
                    with open(path, "w") as file:
                        file.write(line + "\n")
                    result = harness.run([harness.program("followers")], scratch=scratch,
                                         options=["--suppressions", path, "--fail-on", "heap.indirectly_lost>0"])
                    self.assertEqual(result.status, 23, result.stderr)
                    covered = {harness.top(site)["function"] for site in result.report["sites"] if "suppressed_by" in site}
                    self.assertEqual({name for name in covered if name.endswith("_part")}, parts)
                    heap = result.report["totals"]["heap"]
                    self.assertEqual((heap["indirectly_lost"], heap.get("suppressed_indirectly_lost", 0)), (7, 2 * len(parts)))

    def test_check_answers_as_the_run_did(self):
        with harness.Scratch() as scratch:
            harness.run([harness.program("lost")], scratch=scratch)
            report = scratch.path("report.json")
            for rule, expected in (("heap.lost>0", 23), ("site.heap.lost>7", 0), ("heap.possibly_lost_bytes>=400", 23)):
                self.assertEqual(harness.unfreed("check", "--fail-on", rule, report).status, expected, rule)


class ClosedMeanwhile(unittest.TestCase):
    """What only the kernel leads to belongs to the moment that the memory is of."""

    def answers(self, *arguments):
        with harness.Scratch() as scratch:
            os.chmod(scratch.folder, 0o777)  # somebody else may not remove root's ledger, but write a report here
            result = harness.preload([harness.program("closed_meanwhile"), *arguments], scratch=scratch, keep_ledgers=True)
        self.assertEqual(result.status, 0, result)
        return result.stdout.split()

    def test_connections_that_are_closed_as_soon_as_threads_go_on(self):
        for many in ("1", "900"):
            self.assertEqual(self.answers(many), ["0"] * 3, many)

    def test_a_process_that_nobody_may_look_at(self):
        self.assertEqual(self.answers("100", "alone"), ["0"] * 3)


class Program(unittest.TestCase):
    """What the program itself can ask and say."""

    def test_asks_what_it_has_lost(self):
        with harness.Scratch() as scratch:
            path = scratch.path("0.json")  # before the last report, by name
            result = harness.preload([harness.program("annotated"), path], scratch=scratch)
            with_root = harness.read_report(path, complete=True)
        self.assertEqual(result.status, 0, result)
        self.assertEqual(result.stdout.splitlines(), [
            "annotated 1", "none 0", "check 0", "three 3", "two 2", "no mark -1", "check 1", "annotated blocks 0"])

        def pooled(report):
            return {s["bytes"]: (s.get("lost", 0), s.get("indirectly_lost", 0)) for s in report["sites"]
                    if s["kind"] == "heap" and s["bytes"] in (53, 4096)}

        self.assertEqual(pooled(with_root), {53: (0, 0), 4096: (1, 0)}, "a pointer in a root region counts")
        self.assertEqual(pooled(result.report), {53: (0, 1), 4096: (1, 0)})

    def test_is_answered_while_threads_run_that_cannot_be_stopped(self):
        result = harness.preload([harness.program("woken"), "20", "400"])
        self.assertEqual((result.status, result.stdout), (0, "20 answers\n"), result)

    def test_is_told_nothing_without_the_runtime(self):
        result = harness.bare([harness.program("annotated")])
        self.assertEqual(result.stdout.splitlines(), ["annotated 0", "none -1", "three -1", "two -1", "no mark -1"])


class Vast(unittest.TestCase):
    def test_address_space_that_is_not_used_costs_nothing(self):
        result = harness.preload([harness.program("vast")])
        self.assertEqual(result.status, 0, result)
        if result.stdout == "no room\n":
            self.skipTest("no address space of that size")
        grading = result.report["grading"]
        if tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", os.uname().release).groups()) < (6, 7):
            self.assertEqual(grading["state"], "refused", "the kernel would have to be asked about each page")
            return
        self.assertEqual(grading["state"], "done", grading)
        (site,) = [one for one in result.report["sites"] if one["kind"] == "heap" and one["bytes"] == 1234]
        self.assertEqual((site["live"], site.get("lost", 0)), (1, 0))


GRADING_REQUEST = 0x6772ad3e  # ledger::kGradingRequest


def sigqueue(pid, number, value):
    if ctypes.CDLL(None, use_errno=True).sigqueue(pid, number, ctypes.c_void_p(value)) != 0:
        raise OSError(ctypes.get_errno(), "sigqueue")


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def state_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]
    return ""


class Guest(unittest.TestCase):
    def test_no_call_is_cut_short(self):
        with harness.Scratch() as scratch:
            result = harness.run([harness.program("interrupted"), scratch.path("live.json")], scratch=scratch)
            self.assertEqual(result.stdout, "6 reports\n", result.stderr)
            report = harness.read_report(scratch.path("live.json"))
            self.assertEqual(report["grading"]["state"], "done", report["grading"])

    def test_time_passes_for_calls_that_are_made_again(self):
        """But for the one of which nobody knows when it began."""
        unknown = {"recv"}
        with harness.Scratch() as scratch:
            result = harness.preload([harness.program("interrupted"), "often"], scratch=scratch, keep_ledgers=True,
                                     env={"UNFREED_OUTPUT": scratch.path("%n.json"), "UNFREED_QUIET": "1"})
        *left, done = result.stdout.split()
        self.assertEqual((result.status, done, set(left) - unknown), (0, "done", set()), result.stdout)

    def test_a_request_cuts_no_call_short_in_the_only_thread(self):
        names = harness.bare([harness.program("interrupted"), "names"]).stdout.split()
        self.assertGreater(len(names), 20)
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(harness.Scratch())
            running = {name: stack.enter_context(harness.started([harness.program("interrupted"), "alone", name], launcher=False,
                                                                 scratch=scratch)) for name in names}
            for process in running.values():
                self.assertEqual(process.stdout.readline(), b"ready\n")
            for name, process in running.items():
                harness.wait_for(lambda: self.sleeps(process.pid))
                result = harness.unfreed("snapshot", "--grade", "-o", scratch.path(f"{name}.json"), str(process.pid))
                if name == "sigwait" and result.status:  # it would be given the signal
                    self.assertIn("all its threads block", result.stderr)
                    continue
                self.assertEqual(result.status, 0, result)
                self.assertEqual(harness.read_report(scratch.path(f"{name}.json"))["grading"]["state"], "done", name)
            for name, process in running.items():
                self.assertEqual(process.stdout.readline().decode(), f"{name} done\n")

    @staticmethod
    def sleeps(pid):
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "S"

    @contextlib.contextmanager
    def asked(self, code, env=()):
        """Python, which has been asked as by `unfreed snapshot --grade`, but not for what comes after it, and goes on with `code`
        when it is sent a line. Yields it, its scratch folder, and the copy that searches, which is stopped."""
        code = f"import os, sys; x = [str(i) for i in range(300000)]; print('ready', flush=True); sys.stdin.readline(); {code}"
        env = {"PYTHONMALLOC": "malloc", **dict(env)}
        with harness.Scratch() as scratch, harness.started(["/usr/bin/python3", "-S", "-c", code], launcher=False,
                                                           scratch=scratch, env=env) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            for _ in range(20):
                sigqueue(process.pid, signal.SIGUSR2, GRADING_REQUEST)
                copy = harness.wait_for(lambda: children_of(process.pid))[0]
                os.kill(int(copy), signal.SIGSTOP)
                if harness.wait_for(lambda: state_of(copy) in "TZ" and state_of(copy)) == "T":
                    break
                self.snapshot(process, scratch)  # it was too fast: once more
            else:
                self.fail("no copy could be stopped")
            yield process, scratch, copy

    def go_on(self, process):
        process.stdin.write(b"\n")
        process.stdin.flush()

    def snapshot(self, process, scratch):
        result = harness.unfreed("snapshot", "--grade", "-o", scratch.path("asked.json"), str(process.pid),
                                 env={"UNFREED_LEDGER_DIR": scratch.ledgers})
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual(children_of(process.pid), [])
        return harness.read_report(scratch.path("asked.json"))["grading"]

    def test_a_copy_is_collected_when_the_command_has_its_answer(self):
        with harness.Scratch() as scratch, harness.started([harness.program("lost"), "wait"], launcher=False,
                                                           scratch=scratch) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            for _ in range(3):
                self.assertEqual(self.snapshot(process, scratch)["state"], "done")

    def test_the_thread_that_is_asked_goes_on_while_a_copy_searches(self):
        with self.asked("print('on', flush=True); sys.stdin.readline()") as (process, scratch, copy):
            self.go_on(process)
            self.assertEqual(process.stdout.readline(), b"on\n")
            self.assertEqual(state_of(copy), "T")
            os.kill(int(copy), signal.SIGCONT)
            harness.wait_for(lambda: state_of(copy) == "Z")
            self.assertEqual(self.snapshot(process, scratch)["state"], "done")

    def test_a_copy_that_dies_is_noticed_and_the_search_made_again(self):
        with self.asked("sys.stdin.readline()") as (process, scratch, copy):
            os.kill(int(copy), signal.SIGKILL)
            harness.wait_for(lambda: state_of(copy) == "Z")
            self.assertEqual(self.snapshot(process, scratch)["state"], "done")

    def test_a_report_at_a_limit_does_not_wait_for_a_copy(self):
        with self.asked("f = [open('/dev/null') for _ in range(60)]; print('on', flush=True); sys.stdin.readline()",
                        {"UNFREED_REPORT_AT": "fd>=50"}) as (process, scratch, copy):
            self.go_on(process)
            self.assertEqual(process.stdout.readline(), b"on\n")
            self.assertEqual(len([name for name in os.listdir(scratch.folder) if name.endswith(".json") and name != "asked.json"]), 1)
            self.assertFalse(os.path.exists(f"/proc/{copy}"))

    def test_a_program_that_lists_its_children_does_not_find_a_copy_that_has_ended(self):
        with self.asked("print(open('/proc/thread-self/children').read(), flush=True); sys.stdin.readline()") as (process, _, copy):
            os.kill(int(copy), signal.SIGKILL)
            harness.wait_for(lambda: state_of(copy) == "Z")
            self.go_on(process)
            self.assertEqual(process.stdout.readline(), b"\n")

    def test_a_copy_is_no_child_of_the_next_program(self):
        with self.asked("os.execv('/bin/sleep', ['sleep', '60'])") as (process, _, _copy):
            self.go_on(process)
            harness.wait_for(lambda: open(f"/proc/{process.pid}/comm").read() == "sleep\n")
            self.assertEqual(children_of(process.pid), [])

    def test_a_copy_does_not_outlive_the_process(self):
        with self.asked("os.waitpid(-1, os.WNOHANG)") as (process, scratch, copy):
            self.go_on(process)
            process.wait()
            self.assertIn("No child processes", open(scratch.path("stderr")).read(), "the program sees no child")
            self.assertFalse(os.path.exists(f"/proc/{copy}"))

    def test_a_fork_child_leaves_a_copy_alone(self):
        code = "pid = os.fork(); pid or os._exit(len(open('/proc/thread-self/children').read())); print(os.waitpid(pid, 0)[1], flush=True)"
        with self.asked(f"{code}; sys.stdin.readline()") as (process, scratch, copy):
            self.go_on(process)
            self.assertEqual(process.stdout.readline(), b"0\n")
            self.assertEqual(state_of(copy), "T")
            os.kill(int(copy), signal.SIGCONT)
            self.assertEqual(self.snapshot(process, scratch)["state"], "done")

    def test_it_is_off_where_the_user_says_so(self):
        for when, expected in (("off", None), ("exit", "done"), ("on", "done")):
            report = harness.run([harness.program("lost")], options=["--grade", when]).report
            self.assertEqual(report.get("grading", {}).get("state"), expected)

    def test_requests_are_refused_where_it_is_for_the_end_only(self):
        with harness.Scratch() as scratch, harness.started([harness.program("lost"), "wait"], launcher=False, scratch=scratch,
                                                           env={"UNFREED_GRADE": "exit"}) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            os.kill(process.pid, signal.SIGUSR2)
            path = harness.wait_for(lambda: [n for n in os.listdir(scratch.folder) if n.endswith(".json")])[0]
            self.assertNotIn("grading", json.load(open(scratch.path(path))))
            result = harness.unfreed("snapshot", "--grade", "-o", scratch.path("asked.json"), str(process.pid))
            self.assertEqual(result.status, 0, result.stderr)
            grading = harness.read_report(scratch.path("asked.json"))["grading"]
            self.assertEqual(grading["state"], "refused")
            self.assertIn("UNFREED_GRADE", grading["reason"])


@unittest.skipUnless(shutil.which("strace"), "strace is not installed")
class InARun(unittest.TestCase):
    """A build runs thousands of short processes, and looks at the reports of none of them."""

    def looks(self, command, *options):
        """Does a program that CMD starts look through its memory? Its report, if there is one, says what it has found."""
        with harness.Scratch() as scratch:
            calls = scratch.path("calls")
            traced = 'strace -qq -o "$0" -e trace=openat "$@"; :'
            result = harness.run(["sh", "-c", traced, calls, *command], options=options, scratch=scratch)
            self.assertEqual(result.status, 0, result)
            for report in result.reports.values():
                self.assertEqual(report["grading"]["state"], "done", report["grading"])
            with open(calls, encoding="utf-8") as file:
                text = file.read()
            self.assertIn("libunfreed.so", text, "it is tracked")
            has_report = any(r["process"]["argv"] == command for r in result.reports.values())
            return "/proc/self/maps" in text, has_report

    def test_a_process_without_a_report_does_not_look_for_lost_memory(self):
        self.assertEqual(self.looks(["sh", "-c", "exit 0"]), (False, False))

    def test_a_process_with_a_report_does(self):
        self.assertEqual(self.looks([harness.program("fd_open"), "leak"]), (True, True))
        self.assertEqual(self.looks(["sh", "-c", "exit 0"], "--all-reports"), (True, True))

    def test_a_process_that_rules_are_for_does(self):
        self.assertEqual(self.looks(["sh", "-c", "exit 0"], "--fail-on", "heap.lost>1000000"), (True, False))


if __name__ == "__main__":
    harness.main()
