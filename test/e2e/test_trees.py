#!/usr/bin/python3
"""fork, exec, spawn, daemons: each process counts for itself, and the launcher reports on those that matter."""
import os
import signal
import unittest

import harness

FOLDER = os.path.join(harness.SOURCE, "test", "e2e", "programs")


def by_program(result):
    found = {}
    for report in result.reports.values():
        found.setdefault(os.path.basename(report["process"]["exe"]), []).append(report)
    return found


class Trees(unittest.TestCase):
    def test_fork_and_exec(self):
        result = harness.run([harness.program("tree")])
        self.assertEqual(result.status, 0, result)
        reports = by_program(result)
        # The parent, always; the child that leaks; the program that was exec'd holds only what it was started with.
        self.assertEqual(sorted(reports), ["tree"])
        self.assertEqual(sorted(r["totals"]["fd"]["live"] for r in reports["tree"]), [0, 3])
        self.assertEqual(result.report["totals"]["fd"]["live"], 0, "report.json is CMD's own")
        (child,) = [r for r in reports["tree"] if r["totals"]["fd"]["live"]]
        self.assertEqual(child["process"]["ppid"], result.report["process"]["pid"])
        self.assertIn(f"report.{child['process']['pid']}.json", result.reports)
        # The parent's descriptor, open in the child too, is inherited there and does not count.
        self.assertEqual([s["live"] for s in harness.live_sites(child, "fd")], [3])
        self.assertIn(str(child["process"]["pid"]), result.stderr, "the summary names the process that holds something")

    def test_all_reports_means_children_that_acquired_nothing_too(self):
        few = harness.run([harness.program("fork_idle")])
        self.assertEqual((few.status, len(few.reports)), (0, 1), few)
        every = harness.run([harness.program("fork_idle")], options=["--all-reports"])
        self.assertEqual(every.status, 0, every)
        self.assertEqual([r["process"]["forked"] for r in every.reports.values()].count(True), 3)
        self.assertEqual(len(every.reports), 4)
        self.assertEqual({r["totals"]["fd"]["total"] for r in every.reports.values()}, {0})

    def test_all_reports(self):
        result = harness.run([harness.program("tree")], options=["--all-reports"])
        reports = by_program(result)
        # Three children; the last has become /bin/true, and the image it left makes no report.
        self.assertEqual({name: len(found) for name, found in reports.items()}, {"tree": 3, "true": 1})
        (exec_ed,) = reports["true"]
        self.assertEqual(exec_ed["totals"]["fd"]["live"], 0)

    def test_fork_with_the_bare_preload(self):
        for helper in (True, False):
            with self.subTest(helper=helper):
                result = harness.preload([harness.program("tree")], helper=helper)
                self.assertEqual(result.status, 0, result)
                live = sorted(r["totals"]["fd"]["live"] for r in by_program(result)["tree"])
                self.assertEqual(live, [0, 0, 3])

    def test_a_fork_child_finds_none_of_its_parents_blocks(self):
        result = harness.run([harness.program("fork_heap")], options=["--all-reports"])
        self.assertEqual(result.status, 0, result)
        # The kernel's word: the child has not so much as a copy of the tables, which take 8 bytes for each block.
        kib = {who: int(number) for who, number in (line.split() for line in result.stdout.splitlines())}
        self.assertGreater(kib["parent"], 1500)
        self.assertLess(kib["child"], 100)
        (child,) = [r for r in result.reports.values() if r["process"]["forked"]]
        heap = child["totals"]["heap"]
        self.assertEqual([heap[name] for name in ("live", "bytes", "foreign_released")], [3, 40 + 40 + 80, 0])
        self.assertEqual([s["live"] for s in harness.live_sites(child, "heap")], [1, 1, 1])
        heap = result.report["totals"]["heap"]
        self.assertEqual([heap[name] for name in ("live", "foreign_released")], [0, 0])

    def test_fork_among_threads(self):
        for run in (harness.run, harness.preload):
            result = run([harness.program("fork_threads")])
            self.assertEqual(result.status, 0, result)
            holding = {r["process"]["pid"]: r["totals"]["fd"]["live"] for r in result.reports.values()
                       if r["totals"]["fd"]["live"]}
            self.assertEqual(sorted(holding.values()), [1, 2], result)
            self.assertEqual(holding[result.report["process"]["pid"]], 2)

    def test_program_that_execs_another(self):
        inner = f"exec {harness.program('fd_open')} leak"
        result = harness.run(["/bin/sh", "-c", inner])
        self.assertEqual(result.status, 0, result)
        self.assertEqual(os.path.basename(result.report["process"]["exe"]), "fd_open", "CMD's report is its last image's")
        self.assertEqual(result.report["totals"]["fd"]["live"], 3)
        self.assertEqual(len(result.reports), 1)

    def test_a_program_that_is_executed_by_its_descriptor_has_the_name_of_its_file(self):
        result = harness.run([harness.program("starts"), "fork-fexecve", harness.program("fd_open"), "leak"],
                             options=["--fail-on", "fd>0"])
        self.assertIn("\n  fd_open (pid ", result.stderr)

    def test_failed_exec_goes_on_counting(self):
        script = "import os\nfds = [os.open('/etc/passwd', 0) for i in range(3)]\n" \
                 "try: os.execv('/nonexistent', ['x'])\nexcept OSError: pass\nfds.append(os.open('/etc/passwd', 0))\n" \
                 "os._exit(0)\n"
        for run, summary in ((harness.run, "fd      4 held"), (harness.preload, "holds 4 descriptors")):
            result = run(["/usr/bin/python3", "-c", script])
            self.assertEqual(result.status, 0, result)
            self.assertEqual(result.report["totals"]["fd"]["live"], 4)
            self.assertIn(summary, result.stderr)

    def test_images_replaced_by_exec_leave_no_ledgers(self):
        # Without a launcher the next image clears away what the one before has left.
        for last in ("exec /bin/true", "exec sh -c 'exec sh -c true'"):
            result = harness.preload(["/bin/sh", "-c", last])
            self.assertEqual(result.status, 0, result)

    def test_vfork_child_does_not_disturb_its_parent(self):
        # Debian's Python starts children by vfork: what the child closes and duplicates is none of the parent's business.
        script = ("import os, subprocess\n"
                  "kept = [os.open('/etc/passwd', os.O_RDONLY) for i in range(5)]\n"
                  "for i in range(5):\n"
                  "    subprocess.run(['/bin/true'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, close_fds=True)\n"
                  "os.posix_spawn('/bin/true', ['true'], {}, file_actions=[(os.POSIX_SPAWN_CLOSE, kept[0]),\n"
                  "               (os.POSIX_SPAWN_DUP2, 0, 9)])\n"
                  "os.wait()\n"
                  "os._exit(0)\n")
        for run in (harness.run, harness.preload):
            result = run(["/usr/bin/python3", "-c", script])
            self.assertEqual(result.status, 0, result)
            mine = [s for s in harness.live_sites(result.report, "fd")]
            self.assertEqual(sum(s["live"] for s in mine), 5, list(map(harness.describe, mine)))
            self.assertEqual(result.report["totals"]["fd"].get("unattributed", 0), 0)

    def test_shell_pipeline(self):
        script = f"{harness.program('fd_open')} leak | cat; {harness.program('fd_open')} clean && echo fine | tr a-z A-Z"
        alone = harness.bare(["/bin/bash", "-c", script])
        result = harness.run(["/bin/bash", "-c", script])
        self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout))
        others = [os.path.basename(r["process"]["exe"]) for name, r in result.reports.items() if name != "report.json"]
        self.assertEqual(others, ["fd_open"], "of all these processes one holds something")

    def test_make_with_many_processes(self):
        with harness.Scratch() as work, harness.Scratch() as scratch:
            with open(work.path("Makefile"), "w") as file:
                targets = [f"t{i}" for i in range(60)]
                file.write(f"all: {' '.join(targets)}\n")
                for number, target in enumerate(targets):
                    mode = "leak" if number in (7, 31) else "clean"
                    file.write(f"{target}:\n\t@{harness.program('fd_open')} {mode}\n")
            result = harness.run(["/usr/bin/make", "-s", "-j4"], cwd=work.folder, scratch=scratch,
                                 options=["--fail-on", "fd>0"])
            self.assertEqual(result.status, 23, result)
            # (make itself ends with the pipe that its jobs took their turns by: a true leak, but not planted here.)
            leaks = [r for r in result.reports.values() if r["totals"]["fd"]["live"]
                     and os.path.basename(r["process"]["exe"]) != "make"]
            self.assertEqual([os.path.basename(r["process"]["exe"]) for r in leaks], ["fd_open"] * 2)
            self.assertEqual([r["totals"]["fd"]["live"] for r in leaks], [3, 3])

    def test_only(self):
        script = f"{harness.program('fd_open')} leak; {harness.program('fd_pipe')} leak; true"
        result = harness.run(["/bin/sh", "-c", script], env={"UNFREED_ONLY": "fd_p*,nothing"})
        self.assertEqual(result.status, 0, result)
        self.assertEqual(sorted(by_program(result)), ["fd_pipe"])

    def test_disable(self):
        result = harness.preload([harness.program("fd_open"), "leak"], env={"UNFREED_DISABLE": "1"})
        self.assertEqual((result.status, result.reports, result.stderr), (0, {}, ""), result)

    def test_a_process_that_has_become_one_that_is_not_tracked_still_runs(self):
        with harness.Scratch() as scratch:
            script = ("env -u LD_PRELOAD sleep 20 >/dev/null 2>&1 & echo $!; "
                      "until grep -q sleep /proc/$!/comm; do sleep 0.02; done")
            result = harness.run(["/bin/sh", "-c", script], scratch=scratch, keep_ledgers=True)
            try:
                self.assertEqual(result.status, 0, result)
                self.assertIn(f"still running (tracked processes report when they end): sleep (pid {result.stdout.strip()})",
                              result.stderr)
            finally:
                os.kill(int(result.stdout), signal.SIGKILL)

    def test_a_process_that_was_killed_before_it_had_begun_its_ledger(self):
        script = ('true & wait $!; cd "$UNFREED_LEDGER_DIR/${UNFREED_SESSION%%/*}"; '
                  'space=$(stat -L -c %i /proc/self/ns/pid); : > "$!-$space-7"; : > "$$-$space-7"')
        result = harness.run(["/bin/sh", "-c", script])  # which finds no file left behind
        self.assertEqual((result.status, result.stderr.count("running")), (0, 0), result)

    def test_those_that_outlive_the_launcher_report_by_themselves(self):
        with harness.Scratch() as scratch:
            # The daemon has its ledger when the launcher ends; the other makes one after that.
            note, end = scratch.path("pid"), scratch.path("end")
            script = (f"{harness.program('daemonize')} {note} 60 {end}; "
                      f"(until [ -e {end} ]; do sleep 0.05; done; exec {harness.program('fd_open')} leak) & "
                      f"until [ -s {note} ]; do sleep 0.05; done")
            with harness.started(["/bin/sh", "-c", script], scratch=scratch) as launcher:
                # The launcher has ended, but its pid is still taken, as nobody has collected it.
                os.waitid(os.P_PID, launcher.pid, os.WEXITED | os.WNOWAIT)
                self.assertNotEqual(scratch.leftovers(), [])
                with open(end, "w", encoding="utf-8"):
                    pass
                wanted = {("daemonize", 3, "exit"), ("fd_open", 3, "exit")}
                harness.wait_for(lambda: wanted <= {
                    (os.path.basename(r["process"]["exe"]), r["totals"]["fd"]["live"], r["trigger"])
                    for r in harness.read_reports(scratch.folder).values()})
                harness.wait_for(lambda: not scratch.leftovers())

    def test_daemon(self):
        with harness.Scratch() as scratch:
            note = scratch.path("pid")
            script = f"{harness.program('daemonize')} {note} 30; until [ -s {note} ]; do sleep 0.05; done"
            result = harness.run(["/bin/sh", "-c", script], scratch=scratch, keep_ledgers=True,
                                 options=["--fail-on", "fd>0"])
            self.assertEqual(result.status, 0, result)
            # The run's reports say nothing of it, and say that.
            self.assertFalse(result.report["complete"])
            self.assertRegex("\n".join(result.report["notes"]), r"still running when the run ended.*daemonize \(pid \d+\)")
            pid = int(harness.wait_for(lambda: os.path.exists(note) and open(note).read().strip()))
            try:
                # It lives on: its ledger can be looked at, and the summary says that it was left alone.
                self.assertEqual(os.path.basename(os.readlink(f"/proc/{pid}/exe")), "daemonize")
                target = scratch.path("daemon.json")
                shown = harness.unfreed("snapshot", "--output", target, str(pid),
                                        env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                self.assertEqual(shown.status, 0, shown)
                self.assertEqual(harness.read_report(target)["totals"]["fd"]["live"], 3)
                self.assertIn(str(pid), result.stderr)
            finally:
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    harness.main()
