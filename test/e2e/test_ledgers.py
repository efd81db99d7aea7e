#!/usr/bin/python3
"""Ledgers and other users, other containers, and processes that are gone: each run believes its own ledgers only, and
what nobody comes back for does not stay."""
import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import time
import unittest

import harness

NOBODY = 65534
SPACE = os.stat("/proc/self/ns/pid").st_ino

needs_root = unittest.skipUnless(os.geteuid() == 0, "only root can become another user")


def can_unshare():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "-p", "-f", "--mount-proc", "true"],
                                                capture_output=True, check=False).returncode == 0


needs_containers = unittest.skipUnless(can_unshare(), "no pid namespaces can be made here")


def as_nobody(args):
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *args]


def finished_ledger_of_nobody(scratch):
    """Of a program that holds nothing: another user's own making."""
    harness.preload(as_nobody(["/bin/true"]), scratch=scratch, keep_ledgers=True,
                    env={"UNFREED_OUTPUT": "/nonexistent/report.json", "UNFREED_QUIET": "1"})
    (ledger,) = glob.glob(os.path.join(scratch.ledgers, f"unfreed-{NOBODY}", "*"))
    return ledger


def live_fds(report):
    return report["totals"]["fd"]["live"]


def by_program(reports, name):
    return [r for r in reports.values() if os.path.basename(r["process"]["exe"]) == name]


@contextlib.contextmanager
def open_scratch():
    """A scratch whose folders everybody can use; the one for ledgers without anything that keeps users apart."""
    with harness.Scratch() as scratch:
        os.chmod(scratch.folder, 0o777)
        os.chmod(scratch.ledgers, 0o777)
        yield scratch


class OtherUsers(unittest.TestCase):
    def run_folder(self, scratch):
        return harness.wait_for(lambda: glob.glob(os.path.join(scratch.ledgers, f"unfreed-{os.geteuid()}-*")))[0]

    @needs_root
    def test_they_can_neither_look_into_a_run_nor_add_to_it(self):
        with open_scratch() as scratch, \
             harness.started([harness.program("signals")], scratch=scratch, options=["--quiet"]) as launcher:
            launcher.stdout.readline()
            folder = self.run_folder(scratch)
            (ledger,) = glob.glob(os.path.join(folder, f"{harness.child_of(launcher)}-*"))
            for attempt in (["ls", folder], ["cat", ledger], ["touch", os.path.join(folder, "1-2-3.done")],
                            ["mv", ledger, ledger + ".done"], ["truncate", "-s", "0", ledger]):
                self.assertNotEqual(harness.bare(as_nobody(attempt)).status, 0, attempt)

    @needs_root
    def test_a_folder_put_in_the_place_of_the_runs_changes_no_verdict(self):
        """The folder for ledgers has no sticky bit, so whoever likes can move the run's away."""
        with open_scratch() as scratch, open_scratch() as theirs:
            clean = finished_ledger_of_nobody(theirs)
            wait = f"until [ -e {scratch.path('go')} ]; do sleep 0.02; done; exec {harness.program('fd_open')} leak"
            with harness.started(["/bin/sh", "-c", wait], scratch=scratch, options=["--quiet", "--fail-on", "fd>0"]) as launcher:
                folder = self.run_folder(scratch)
                pid = harness.child_of(launcher)
                harness.wait_for(lambda: glob.glob(os.path.join(folder, f"{pid}-*")))
                # An empty folder would be removed by whichever of the run's processes ends next.
                script = (f"mkdir {folder}.theirs && chmod 755 {folder}.theirs && "
                          f"for i in 0 1 9; do cp --sparse=always {clean} {folder}.theirs/{pid}-{SPACE}-$i.done; done && "
                          f"mv {folder} {folder}.gone && mv {folder}.theirs {folder}")
                moved = harness.bare(as_nobody(["/bin/sh", "-c", script]))
                self.assertEqual(moved.status, 0, moved)
                open(scratch.path("go"), "w").close()
                # The image that was exec'ed found no folder of its user, and reported by itself; what the launcher
                # cannot know is no pass.
                self.assertIn(launcher.wait(30), (23, 125))

    @needs_root
    def test_a_ledger_put_in_the_place_of_a_process_does_not_choose_its_report(self):
        """Without a launcher: the command that fills in source lines is told which file the ledger is."""
        with open_scratch() as scratch, open_scratch() as theirs:
            clean = finished_ledger_of_nobody(theirs)
            script = ("import os, sys\n"
                      "kept = [os.open('/etc/passwd', 0) for _ in range(3)]\n"
                      "print('ready', flush=True)\n"
                      "sys.stdin.read()\n"
                      "os._exit(0)\n")
            with harness.started([sys.executable, "-c", script], scratch=scratch, launcher=False,
                                 env={"UNFREED_FAIL_ON": "fd>0"}) as process:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                folder = os.path.join(scratch.ledgers, f"unfreed-{os.geteuid()}")
                (ledger,) = os.listdir(folder)
                swap = (f"mkdir {folder}.theirs && chmod 755 {folder}.theirs && "
                        f"cp --sparse=always {clean} {folder}.theirs/{ledger} && chmod 644 {folder}.theirs/{ledger} && "
                        f"mv {folder} {folder}.gone && mv {folder}.theirs {folder}")
                self.assertEqual(harness.bare(as_nobody(["/bin/sh", "-c", swap])).status, 0)
                process.stdin.close()
                self.assertEqual(process.wait(30), 23)
            (report,) = harness.read_reports(scratch.folder).values()
            self.assertEqual((report["process"]["pid"], live_fds(report)), (process.pid, 3))
            self.assertIn("is another file than that of the process", open(scratch.path("stderr")).read())

    @needs_root
    def test_a_taken_name_costs_nobody_a_ledger(self):
        for plant in (lambda path: os.mkdir(path), lambda path: os.symlink("/root", path), lambda path: open(path, "w").close()):
            with open_scratch() as scratch:
                taken = os.path.join(scratch.ledgers, f"unfreed-{os.geteuid()}")
                plant(taken)
                os.chown(taken, NOBODY, NOBODY, follow_symlinks=False)
                result = harness.preload([harness.program("fd_open"), "leak"], scratch=scratch, keep_ledgers=True)
                self.assertEqual((result.status, live_fds(result.report)), (0, 3), result)
                self.assertNotIn("there was no shared memory", "\n".join(result.report["notes"]))
                self.assertEqual(os.listdir(scratch.ledgers), [os.path.basename(taken)])

    @needs_root
    def test_where_a_name_is_taken_ledgers_do_not_pile_up(self):
        with open_scratch() as scratch:
            taken = os.path.join(scratch.ledgers, f"unfreed-{os.geteuid()}")
            os.mkdir(taken)
            os.chown(taken, NOBODY, NOBODY)
            result = harness.preload([harness.program("self_exec"), "20", scratch.ledgers], scratch=scratch, keep_ledgers=True)
            self.assertEqual((result.status, live_fds(result.report)), (0, 1), result)
            self.assertEqual(os.listdir(scratch.ledgers), [os.path.basename(taken)])
            for _ in range(8):
                harness.preload([harness.program("ending"), "signal", "9"], scratch=scratch, keep_ledgers=True)
            self.assertLessEqual(sum(len(files) for _, _, files in os.walk(scratch.ledgers)), 5)

    @needs_root
    def test_files_named_like_a_ledger_are_not_opened_for_their_names(self):
        """As root `snapshot` looks at a process that has mapped a file, and put another in its place."""
        script = ("import mmap, os, sys, time\n"
                  "os.chdir(sys.argv[1])\n"
                  f"name = f'{{os.getpid()}}-{SPACE}-0'\n"
                  "with open(name, 'wb+') as file:\n"
                  "    file.truncate(8192)\n"
                  "    kept = mmap.mmap(file.fileno(), 8192)\n"
                  "os.unlink(name)\n"
                  "os.mkfifo(name) if sys.argv[2] == 'fifo' else os.symlink('/etc/shadow', name)\n"
                  "print('ready', flush=True)\n"
                  "time.sleep(60)\n")
        for what in ("fifo", "link"):
            with self.subTest(what=what), open_scratch() as scratch:
                process = subprocess.Popen(as_nobody([sys.executable, "-c", script, scratch.folder, what]),
                                           stdout=subprocess.PIPE)
                try:
                    process.stdout.readline()
                    shown = harness.unfreed("snapshot", "-o", scratch.path("s.json"), str(process.pid), timeout=20)
                    # What the kernel knows, and nothing of the file.
                    self.assertEqual(shown.status, 0, shown)
                    with open(scratch.path("s.json")) as report:
                        self.assertEqual(json.load(report)["backend"], "kernel")
                finally:
                    process.kill()
                    process.wait()
                    process.stdout.close()

    @needs_root
    def test_another_users_suppressions_are_not_opened(self):
        with open_scratch() as scratch:
            os.mkfifo(scratch.path("known.supp"))
            with open(scratch.path("real.supp"), "w") as file:
                file.write("fd:take\n")
            with harness.started(as_nobody([harness.program("stuck"), "stay"]), scratch=scratch, launcher=False,
                                 env={"UNFREED_SUPPRESSIONS": scratch.path("known.supp")}) as process:
                process.stdout.readline()
                shown = harness.unfreed("snapshot", "-q", "-o", scratch.path("s.json"), str(process.pid),
                                        env={"UNFREED_LEDGER_DIR": scratch.ledgers}, timeout=20)
                self.assertEqual(shown.status, 0, shown)
                self.assertIn("suppressions, which belong to another user", "\n".join(harness.read_report(scratch.path("s.json"))["notes"]))

    def test_a_ledger_that_is_cut_short_under_the_launcher_is_no_end_of_it(self):
        """By a process of the run; the launcher tells those that outlive it through their ledgers."""
        with harness.Scratch() as scratch:
            note = scratch.path("pid")
            script = (f"{harness.program('daemonize')} {note} 60; until [ -s {note} ]; do sleep 0.05; done; "
                      "cd \"$UNFREED_LEDGER_DIR/${UNFREED_SESSION%%/*}\"; "
                      f"truncate -s 0 $(cat {note})-*; true")
            result = harness.run(["/bin/bash", "-c", script], scratch=scratch, keep_ledgers=True)
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(open(note).read()), signal.SIGKILL)
            self.assertEqual(result.status, 0, result)
            self.assertIsNotNone(result.report)


class Privileges(unittest.TestCase):
    """Servers that are started as root and go on as another user."""

    @needs_root
    def test_what_they_hold_is_reported(self):
        program = harness.program("drop_user")
        for mode in ("child", "first", "exec"):
            args = [program, mode, str(NOBODY), harness.program("fd_open"), "leak"]
            for run in (harness.run, harness.preload):
                with self.subTest(mode=mode, run=run.__name__), open_scratch() as scratch:
                    result = run(args, scratch=scratch, keep_ledgers=run is harness.preload)
                    self.assertEqual(result.status, 0, result)
                    self.assertEqual(live_fds(result.report), 1, "the parent, still root")
                    child = by_program(result.reports, "fd_open") if mode == "exec" else [
                        r for r in result.reports.values() if r["process"]["forked"]]
                    self.assertEqual([live_fds(r) for r in child], [3], result)
                    self.assertEqual(child[0]["trigger"], "exit")
                    self.assertNotIn("there was no shared memory", "\n".join(child[0]["notes"]))

    @needs_root
    def test_the_command_itself(self):
        for args in ([harness.program("drop_user"), "self", str(NOBODY)], as_nobody([harness.program("fd_open"), "leak"])):
            with open_scratch() as scratch:
                result = harness.run(args, scratch=scratch, options=["--fail-on", "fd>0"])
                self.assertEqual((result.status, live_fds(result.report)), (23, 3), result)

    @needs_root
    def test_they_cannot_speak_for_those_that_stayed_root(self):
        """A process of the run that has become another user knows where its likes leave their ledgers."""
        with open_scratch() as scratch, open_scratch() as theirs:
            clean = finished_ledger_of_nobody(theirs)
            plant = (f'cd "$UNFREED_LEDGER_DIR/$UNFREED_SESSION" && cp --sparse=always '
                     f"{clean} $0-{SPACE}-9.done")
            script = (f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups /bin/sh -c '{plant}' $$ || exit 9; "
                      f"exec {harness.program('fd_open')} leak")
            result = harness.run(["/bin/sh", "-c", script], scratch=scratch, options=["--fail-on", "fd>0"], keep_ledgers=True)
            self.assertEqual((result.status, live_fds(result.report)), (23, 3), result)

    @needs_root
    def test_nobody_but_the_run_can_leave_them(self):
        with open_scratch() as scratch, \
             harness.started([harness.program("signals")], scratch=scratch, options=["--quiet"]) as launcher:
            launcher.stdout.readline()
            (others,) = glob.glob(os.path.join(scratch.ledgers, "unfreed-0-*", "others-*"))
            shown = harness.bare(as_nobody(["ls", os.path.dirname(others)]))
            self.assertNotEqual(shown.status, 0, "its name is nowhere to be read")
            self.assertNotEqual(harness.bare(as_nobody(["ls", others])).status, 0, "nor what is in it, by who knows the name")


@needs_containers
class Containers(unittest.TestCase):
    """Pid namespaces that share a folder for ledgers: numbers of processes say nothing there."""

    def in_container(self, args):
        return ["unshare", "-m", "-p", "-f", "--mount-proc", *args]

    def test_runs_side_by_side(self):
        with harness.Scratch() as scratch:
            runs = []
            script = f"for i in 1 2 3 4 5 6 7 8; do {harness.program('fd_open')} leak; done"
            for number in range(4):
                output = scratch.path(f"run{number}.json")
                args = [harness.COMMAND, "run", "-q", "--all-reports", "-o", output, "--", "/bin/sh", "-c", script]
                runs.append(subprocess.Popen(self.in_container(args),
                                             env=harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})))
            for run in runs:
                self.assertEqual(run.wait(60), 0)
            reports = harness.read_reports(scratch.folder)
            for number in range(4):
                found = by_program({k: r for k, r in reports.items() if k.startswith(f"run{number}.")}, "fd_open")
                self.assertEqual([live_fds(r) for r in found], [3] * 8, f"run {number}")
            self.assertEqual(scratch.leftovers(), [])

    def test_a_process_of_another_container_keeps_its_ledger(self):
        with harness.Scratch() as scratch:
            env = {"UNFREED_LEDGER_DIR": scratch.ledgers, "LD_PRELOAD": harness.LIBRARY,
                   "UNFREED_OUTPUT": scratch.path("long.%p.json"), "UNFREED_QUIET": "1"}
            long = subprocess.Popen(self.in_container([harness.program("signals")]), env=harness.clean_environment(env),
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
            try:
                self.assertEqual(long.stdout.readline(), b"ready\n")
                before = scratch.leftovers()
                # Others come and go in their own, with the same numbers, and are killed; and so do commands here.
                killed = ["/bin/sh", "-c", f"{harness.program('ending')} signal 9; true"]
                for args in ([harness.program("fd_open"), "leak"], killed):
                    for _ in range(3):
                        harness.preload(self.in_container(args), scratch=scratch, keep_ledgers=True)
                harness.run(["/bin/true"], scratch=scratch, keep_ledgers=True)
                harness.unfreed("doctor", "/bin/true", env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                self.assertLessEqual(set(before), set(scratch.leftovers()))
            finally:
                long.stdin.close()
                long.wait(20)
                long.stdout.close()

    def test_a_container_within_a_run(self):
        with harness.Scratch() as scratch:
            result = harness.run(self.in_container([harness.program("fd_open"), "leak"]), scratch=scratch,
                                 options=["--fail-on", "fd>=3"])
            self.assertEqual(result.status, 23, result)
            self.assertEqual([live_fds(r) for r in by_program(result.reports, "fd_open")], [3], result)

    def test_snapshot_of_a_process_in_a_container(self):
        with harness.Scratch() as scratch:
            args = self.in_container([harness.program("stuck"), "stay"])
            with harness.started(args, scratch=scratch, launcher=False, env={"UNFREED_SIGNAL": "off"}) as process:
                process.stdout.readline()
                inside = harness.child_of(process)
                shown = harness.unfreed("snapshot", "-q", "-o", scratch.path("s.json"), str(inside),
                                        env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                self.assertEqual(shown.status, 0, shown)
                self.assertGreater(live_fds(harness.read_report(scratch.path("s.json"))), 0)


class Leftovers(unittest.TestCase):
    MOST_KEPT = 4

    def kill_one(self, scratch):
        result = harness.preload([harness.program("ending"), "signal", "9"], scratch=scratch, keep_ledgers=True)
        self.assertEqual(result.status, 128 + signal.SIGKILL)

    def test_of_a_program_that_is_killed_again_and_again_a_few_are_kept(self):
        with harness.Scratch() as scratch:
            for _ in range(self.MOST_KEPT + 6):
                self.kill_one(scratch)
                self.assertLessEqual(len(scratch.leftovers()), self.MOST_KEPT + 1)
            newest = max((os.path.join(scratch.ledgers, name) for name in scratch.leftovers()),
                         key=lambda path: os.stat(path).st_mtime)
            self.assertEqual(harness.unfreed("report", newest).status, 0, "the newest can still be read")

    def test_a_command_leaves_the_ledger_that_it_is_given(self):
        with harness.Scratch() as scratch:
            self.kill_one(scratch)
            (ledger,) = scratch.leftovers()
            for _ in range(2):
                shown = harness.unfreed("report", os.path.join(scratch.ledgers, ledger),
                                        env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                self.assertEqual(shown.status, 0, shown)

    def test_of_a_run_that_was_killed_altogether(self):
        with harness.Scratch() as scratch:
            script = (f"read go; for i in 1 2 3 4 5 6 7 8 9; do {harness.program('fd_open')} leak & done; wait; echo ready; "
                      "sleep 60")
            with harness.started(["/bin/sh", "-c", script], scratch=scratch) as launcher:
                harness.child_of(launcher)
                os.kill(launcher.pid, signal.SIGSTOP)  # so that it reads none of them
                launcher.stdin.write(b"go\n")
                launcher.stdin.flush()
                self.assertEqual(launcher.stdout.readline(), b"ready\n")
                harness.kill_group(launcher)
                launcher.wait()
            self.assertGreater(len(scratch.leftovers()), self.MOST_KEPT)
            harness.run(["/bin/true"], scratch=scratch, keep_ledgers=True)
            self.assertLessEqual(len(scratch.leftovers()), self.MOST_KEPT)
            self.assertNotIn("launcher", " ".join(scratch.leftovers()))

    def test_a_program_that_executes_itself_has_one_ledger(self):
        for run in (harness.run, harness.preload):
            with self.subTest(run=run.__name__), harness.Scratch() as scratch:
                result = run([harness.program("self_exec"), "200", scratch.ledgers], scratch=scratch)
                self.assertEqual((result.status, live_fds(result.report)), (0, 1), result)
                ledgers = [line for line in result.stdout.splitlines() if not line.endswith(("launcher", "untracked"))]
                self.assertEqual(len(ledgers), 1, result)

    def test_numbers_that_come_round_again_cost_no_report(self):
        """In a container of few numbers, whose processes are killed and leave their ledgers to the launcher."""
        if not can_unshare():
            self.skipTest("no pid namespaces can be made here")
        with harness.Scratch() as scratch:
            script = ("echo 330 > /proc/sys/kernel/pid_max && for i in $(seq 120); do "
                      f"{harness.program('ending')} signal 9; done 2>/dev/null; true")
            args = [harness.COMMAND, "run", "-q", "-o", scratch.path("r.json"), "--", "/bin/bash", "-c", script]
            container = ["unshare", "-m", "-p", "-f", "--mount-proc"]
            if harness.bare([*container, "sh", "-c", "echo 330 > /proc/sys/kernel/pid_max && cat /proc/sys/kernel/pid_max"]).stdout != "330\n":
                self.skipTest("the largest number cannot be chosen here")
            result = harness.bare([*container, *args], env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertEqual(result.status, 0, result)
            killed = by_program(harness.read_reports(scratch.folder), "ending")
            self.assertEqual([live_fds(r) for r in killed], [2] * 120)


if __name__ == "__main__":
    harness.main()
