"""--backend=ebpf: the kernel tells what processes open and close. The counts are its own, and nothing is stopped."""
import os
import signal
import subprocess
import unittest

import harness
from test_attach import Attached, Target, children, has_passwd, open_descriptors, state

PROGRAMS = os.path.join(harness.SOURCE, "test", "e2e", "programs")
OBSERVED = ("--backend", "ebpf")


def setUpModule():
    with harness.Scratch() as scratch:
        result = harness.run(["/bin/true"], scratch=scratch, options=OBSERVED)
    if result.status == 125 and ("--backend=ebpf needs" in result.stderr or "refuses" in result.stderr
                                 or "cannot be used" in result.stderr or "not in this build" in result.stderr):
        raise unittest.SkipTest(result.stderr.strip())
    assert result.status == 0, result


def build(scratch, name, *options):
    program = scratch.path(name)
    subprocess.run(["gcc", "-g", *options, "-o", program, os.path.join(PROGRAMS, name + ".c")], check=True)
    return program


def held_numbers(report):
    return sorted(o["fd"] for site in report["sites"] if site["kind"] == "fd" for o in site.get("objects", []))


class Run(unittest.TestCase):
    def test_held_descriptors_are_those_that_the_kernel_lists(self):
        for options in (("-static",), (), ("-static-pie",)):
            with self.subTest(options=options), harness.Scratch() as scratch:
                program = build(scratch, "traced", *options)
                bare = harness.bare([program, "7"])
                result = harness.run([program, "7"], scratch=scratch, options=OBSERVED)
                self.assertEqual((result.status, result.stdout), (7, bare.stdout), result)
                report, fds = result.report, result.report["totals"]["fd"]
                self.assertEqual((report["backend"], report["trigger"], report["reconciled"]), ("ebpf", "exit", True))
                listed = sorted(int(line) for line in result.stdout.split())
                self.assertEqual(held_numbers(report), listed)
                self.assertEqual((fds["live"], fds["received"], fds["unattributed"]), (len(listed), 1, 0))
                self.assertEqual(report["coverage"]["fd"], "exact")
                self.assertEqual(report["totals"]["misuse"]["double_close"], 1)
                for kind, marker, live in (("fd", "logged", 5), ("fd", "received", 1), ("child", "forked", 1)):
                    line = harness.line_of(os.path.join(PROGRAMS, "traced.c"), marker)
                    sites = [s for s in report["sites"] if s["kind"] == kind and any(
                        f.get("line") == line and f.get("file", "").endswith("traced.c") for f in s["stack"])]
                    self.assertEqual(sum(s["live"] for s in sites), live, marker)
                (targets,) = {o["target"] for site in report["sites"] if site["acquired_by"] == "openat"
                              for o in site["objects"]},
                self.assertEqual(targets, {"/dev/null"})

    def test_statuses_and_signals(self):
        with harness.Scratch() as scratch:
            program = build(scratch, "traced", "-static")
            for arguments, status in (["0", str(int(signal.SIGTERM))], 143), (["0", str(int(signal.SIGKILL))], 137):
                result = harness.run([program, *arguments], scratch=scratch, options=OBSERVED)
                self.assertEqual(result.status, status, result)
                self.assertEqual(result.report["totals"]["fd"]["live"], len(result.stdout.split()))

    def test_rules(self):
        with harness.Scratch() as scratch:
            program = build(scratch, "traced")
            for rule, status in ("fd>0", 23), ("child>0", 23), ("fd>1000", 0), ("heap>0", 125), ("thread>0", 125):
                with self.subTest(rule=rule):
                    result = harness.run([program], scratch=scratch, options=[*OBSERVED, "--fail-on", rule])
                    self.assertEqual(result.status, status, result)

    def test_that_thresholds_make_no_report_is_said(self):
        with harness.Scratch() as scratch:
            result = harness.run([build(scratch, "traced")], scratch=scratch, options=[*OBSERVED, "--report-at", "fd>=2"])
            self.assertIn("--report-at makes no report of traced programs", result.stderr)

    def test_threads_that_hurry_are_counted_exactly(self):
        with harness.Scratch() as scratch:
            program = build(scratch, "hurry_fds", "-pthread")
            result = harness.run([program], scratch=scratch, options=OBSERVED)
            self.assertEqual(result.status, 0, result)
            fds = result.report["totals"]["fd"]
            self.assertEqual((held_numbers(result.report), fds["unattributed"]),
                             (sorted(map(int, result.stdout.split())), 0))
            self.assertEqual(result.report["coverage"]["fd"], "exact", result)
            line = harness.line_of(os.path.join(PROGRAMS, "hurry_fds.c"), "kept")
            self.assertEqual({f["line"] for site in result.report["sites"] if site["kind"] == "fd" and site["live"]
                              for f in site["stack"] if f.get("function") == "hurry"}, {line})

    def test_a_tree_of_any_programs(self):
        with harness.Scratch() as scratch:
            static = build(scratch, "traced", "-static")
            script = f"{static} >/dev/null; {harness.program('fd_open')} leak; exec 5</dev/null; cat /dev/null; exit 3"
            result = harness.run(["/bin/sh", "-c", script], scratch=scratch, options=[*OBSERVED, "--all-reports"])
            self.assertEqual(result.status, 3, result)
            self.assertEqual({r["backend"] for r in result.reports.values()}, {"ebpf"})
            names = sorted(os.path.basename(r["process"]["exe"]) for r in result.reports.values() if not r["process"]["forked"])
            self.assertEqual(names, ["cat", "dash", "fd_open", "traced"])
            (leak,) = result.report["inherited_by_child"]
            self.assertEqual((leak["fd"], os.path.basename(leak["program"])), (5, "cat"))
            for report in result.reports.values():
                self.assertEqual(report["totals"]["fd"]["unattributed"], 0, report["process"])

    def test_children_that_nobody_waits_for_are_no_zombies_if_the_kernel_forgets_them(self):
        with harness.Scratch() as scratch:
            for handler, unreaped in ("IGN", 0), ("DFL", 1):
                script = (f"import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_{handler}); r, w = os.pipe();"
                          "os.fork() or os._exit(0); os.close(w); os.read(r, 1); os._exit(0)")
                result = harness.run(["/usr/bin/python3", "-c", script], scratch=scratch, options=OBSERVED)
                self.assertEqual(result.report["totals"]["child"]["live"], unreaped, result)

    def test_children_in_another_pid_namespace(self):
        command = ["unshare", "-p", "-f", "--mount-proc", "sh", "-c", "/bin/true; /bin/true; exit 0"]
        if harness.bare(command).status:
            self.skipTest("no pid namespace here")
        result = harness.run(command, options=[*OBSERVED, "--fail-on", "child>0"])
        self.assertEqual(result.status, 0, result)

    def test_the_observer_ends_with_the_launcher(self):
        with harness.Scratch() as scratch:
            script = "sleep 60 >/dev/null 2>&1 & echo $!; read line; exit 0"
            with harness.started(["/bin/sh", "-c", script], scratch=scratch, options=OBSERVED) as process:
                sleeper = int(process.stdout.readline())
                (observer,) = [pid for pid in children(process.pid) if "unfreed-observe"[:15] == comm(pid)]
                process.stdin.write(b"go on\n")
                process.stdin.flush()
                process.wait(20)
            try:
                harness.wait_for(lambda: not os.path.exists(f"/proc/{observer}") or state(observer, "State") == "Z")
            finally:
                os.kill(sleeper, signal.SIGKILL)

    def test_no_rule_passes_on_what_ran_without_its_observer(self):
        with harness.Scratch() as scratch:
            script = "echo ready; read line; exit 0"
            with harness.started(["/bin/sh", "-c", script], scratch=scratch,
                                 options=[*OBSERVED, "--fail-on", "fd>1000"]) as process:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                (observer,) = [pid for pid in children(process.pid) if "unfreed-observe"[:15] == comm(pid)]
                os.kill(observer, signal.SIGKILL)
                harness.wait_for(lambda: state(observer, "State") == "Z")
                process.stdin.write(b"go on\n")
                process.stdin.flush()
                status = process.wait(20)
            with open(scratch.path("stderr")) as file:
                stderr = file.read()
            self.assertEqual(status, 125, stderr)
            self.assertRegex(stderr, "rules could not be checked for untracked programs: .*sh ")

    def test_who_is_not_root_is_told_so(self):
        with harness.Scratch() as scratch:
            result = harness.bare(["setpriv", "--reuid=65534", "--clear-groups", harness.COMMAND, "run", *OBSERVED, "-o",
                                   "/dev/null", "--", "/bin/echo", "ran"])
            self.assertEqual((result.status, result.stdout, result.stderr),
                             (125, "", "unfreed: --backend=ebpf needs root\n"), scratch)


class Attach(unittest.TestCase):
    def test_counts_are_the_kernels(self):
        with harness.Scratch() as scratch, Target() as target:
            before = open_descriptors(target.pid)
            attached = Attached(target.pid, scratch, *OBSERVED)
            self.assertEqual(state(target.pid, "TracerPid"), "0")
            for line in "ooococtf":
                target.tell(line)
            now = open_descriptors(target.pid)
            self.assertEqual(attached.end(), 0, attached.stderr)
            report, fds = attached.report, attached.report["totals"]["fd"]
            self.assertEqual((report["backend"], report["trigger"], report["process"]["attached"]),
                             ("ebpf", "snapshot", True))
            self.assertEqual((fds["inherited"], fds["live"], fds["total"], fds["unattributed"]),
                             (len(before), len(now) - len(before), 4, 0))
            self.assertEqual(sorted(before + held_numbers(report)), now)
            for kind, marker in ("fd", "opened"), ("thread", "thread"), ("child", "child"):
                line = harness.line_of(os.path.join(PROGRAMS, "attached.c"), marker)
                [site] = [site for site in report["sites"] if site["kind"] == kind and any(
                    frame.get("line") == line and frame["file"].endswith("attached.c") for frame in site["stack"])]
                self.assertEqual(site["live"] + site.get("running", 0), 2 if kind == "fd" else 1)
            self.assertEqual(target.end(), 7)

    def test_children_are_followed_on_request(self):
        with harness.Scratch() as scratch, Target() as target:
            for options, others in ((), 0), (("--follow-children",), 1):
                attached = Attached(target.pid, scratch, *OBSERVED, *options)
                target.tell("f")
                harness.wait_for(lambda: [pid for pid in children(target.pid) if has_passwd(pid)])
                self.assertEqual(attached.end(), 0, attached.stderr)
                self.assertEqual(attached.stderr.count("holds 1 descriptor"), others, attached.stderr)
                self.assertEqual(attached.report["totals"]["child"]["running"], 1)
                target.tell("w")

    def test_another_program_is_executed(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch, *OBSERVED)
            target.tell("o")
            target.process.stdin.write("x\n")
            target.process.stdin.flush()
            self.assertEqual(target.process.stdout.readline(), "ready\n")
            target.tell("o")
            now = open_descriptors(target.pid)
            self.assertEqual(attached.end(), 0, attached.stderr)
            fds = attached.report["totals"]["fd"]
            self.assertEqual((fds["inherited"] + fds["live"], fds["unattributed"]), (len(now), 0))

    def test_the_process_ends(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch, *OBSERVED)
            target.tell("o")
            self.assertEqual(target.end(), 7)
            self.assertEqual(attached.end(by=None), 0, attached.stderr)
            self.assertEqual((attached.report["trigger"], attached.report["totals"]["fd"]["live"]), ("exit", 1))

    def test_a_control_group_is_observed_with_what_it_starts(self):
        roots = [path for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
                 if os.path.exists(os.path.join(path, "cgroup.controllers"))]
        with harness.Scratch() as scratch:
            name = f"unfreed-test-{os.getpid()}"
            try:
                group = os.path.join(roots[0], name)
                os.mkdir(group)
            except (IndexError, OSError) as error:
                self.skipTest(f"no control group can be made here: {error}")
            try:
                with Target() as inside, Target() as outside:
                    with open(os.path.join(group, "cgroup.procs"), "w") as procs:
                        procs.write(str(inside.pid))
                    output = scratch.path("group.json")
                    attacher = subprocess.Popen([harness.COMMAND, "attach", *OBSERVED, "--cgroup", name, "--output", output,
                                                 "--fail-on", "fd>0"], stderr=subprocess.PIPE, text=True,
                                                env=harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers}))
                    self.assertIn("attached to 1 process: 7 threads", attacher.stderr.readline())
                    before = len(open_descriptors(inside.pid))
                    for target in inside, outside:
                        target.tell("o")
                        target.tell("f")
                    (child,) = [pid for pid in children(inside.pid) if has_passwd(pid)]
                    attacher.send_signal(signal.SIGINT)
                    stderr = attacher.communicate(timeout=harness.TIME_LIMIT)[1]
                    self.assertEqual(attacher.returncode, 23, stderr)
                    reports = {pid: harness.read_report(scratch.path(f"group.{pid}.json")) for pid in (inside.pid, child)}
                    self.assertEqual(sorted(os.listdir(os.path.dirname(output))).count(f"group.{outside.pid}.json"), 0)
                    for pid, report in reports.items():
                        self.assertEqual((report["backend"], report["totals"]["fd"]["unattributed"]), ("ebpf", 0))
                    fds = reports[inside.pid]["totals"]["fd"]
                    self.assertEqual((fds["inherited"], fds["live"]), (before, 1))
                    self.assertEqual(reports[inside.pid]["totals"]["child"]["inherited"], 1)
            finally:
                subprocess.run(["sh", "-c", f"cat {group}/cgroup.procs | xargs -r kill -9; sleep 0.2; rmdir {group}"],
                               check=False, stderr=subprocess.DEVNULL)

    def test_many_at_once_are_for_the_kernel(self):
        for options, line in (("--all",), "many processes are attached to by --backend=ebpf alone"), (
                (*OBSERVED, "--cgroup", "/nonexistent"), "--cgroup '/nonexistent': there is no such control group"), (
                (*OBSERVED, "--all", "1"), "--all, --cgroup and PID|NAME exclude one another"):
            result = harness.unfreed("attach", *options)
            self.assertEqual((result.status, result.stderr), (125, f"unfreed: {line}\n"))

    def test_the_attacher_is_killed(self):
        with harness.Scratch() as scratch, Target() as target:
            attached = Attached(target.pid, scratch, *OBSERVED)
            target.tell("o")
            attached.end(by=signal.SIGKILL)
            target.tell("o")
            self.assertEqual(target.end(), 7)


def comm(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


if __name__ == "__main__":
    harness.main()
