"""Programs that cannot load the library are traced: the counts are the kernel's, and the program is as it would be alone."""
import os
import shutil
import signal
import subprocess
import unittest

import harness

GO = """package main

import ("fmt"; "net"; "os")

var kept []*os.File

func leak() *os.File { f, _ := os.Open("/etc/passwd"); return f }

func main() {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	done := make(chan bool)
	go func() { c, _ := l.Accept(); c.Close(); done <- true }()
	c, _ := net.Dial("tcp", l.Addr().String())
	c.Close()
	<-done
	l.Close()
	if len(os.Args) > 1 {
		for i := 0; i < 3; i++ { kept = append(kept, leak()) }
	}
	fmt.Println("end")
}
"""
# Says what called what, as Go itself sees it.
GO_CALLS = """package main
%s
import ("fmt"; "os"; "runtime")

var kept []*os.File

func inner(path string) {
	f, err := os.Open(path)
	if err != nil { panic(err) }
	kept = append(kept, f)
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	fmt.Println("=", path)
	for {
		one, more := frames.Next()
		fmt.Println(one.Function, one.Line)
		if !more { break }
	}
}
func small(path string) { inner(path) }
func smaller(path string) {
	small(path)
}

type box struct{ n int }

//go:noinline
func (b *box) open(path string) {
	smaller(path)
	b.n++
}
func each[T any](list []T, do func(T)) { for _, one := range list { do(one) } }

func main() {
	b := &box{}
	b.open("/etc/passwd")
	each([]string{"/etc/group"}, func(path string) { b.open(path) })
	done := make(chan bool)
	go func() { smaller("/etc/fstab"); done <- true }()
	<-done
%s
}
"""
GO_COMMAND = shutil.which("go") or "/usr/local/go/bin/go"
SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "traced.c")


def traced(*arguments, scratch):
    program = scratch.path("traced")
    if not os.path.exists(program):
        subprocess.run(["gcc", "-static", "-g", "-o", program, SOURCE], check=True)
    return [program, *arguments]


class Traced(unittest.TestCase):
    def run_traced(self, *arguments, **keywords):
        with harness.Scratch() as scratch:
            command = traced(*arguments, scratch=scratch)
            bare = subprocess.run(command, capture_output=True, text=True, check=False)
            result = harness.run(command, scratch=scratch, **keywords)
            status = bare.returncode if bare.returncode >= 0 else 128 - bare.returncode
            self.assertEqual(result.stdout, bare.stdout)
            return result, status

    def test_held_descriptors_are_those_that_the_kernel_lists(self):
        result, status = self.run_traced()
        self.assertEqual((result.status, result.report["backend"]), (status, "trace"), result)
        listed = sorted(int(line) for line in result.stdout.split())
        held = [o["fd"] for site in result.report["sites"] if site["kind"] == "fd" for o in site.get("objects", [])]
        self.assertEqual(sorted(held), listed)
        self.assertEqual(result.report["totals"]["fd"]["live"], len(listed))
        self.assertEqual(result.report["totals"]["fd"]["received"], 1)
        self.assertEqual(result.report["totals"]["fd"]["unattributed"], 0)

    def test_stacks_lead_to_the_lines(self):
        result, _ = self.run_traced()
        for kind, marker, live in (("fd", "logged", 5), ("fd", "received", 1), ("child", "forked", 1)):
            line = harness.line_of(SOURCE, marker)
            sites = [s for s in result.report["sites"] if s["kind"] == kind and any(
                f.get("line") == line and f.get("file", "").endswith("traced.c") for f in s["stack"])]
            self.assertEqual(sum(s["live"] for s in sites), live, marker)
        self.assertEqual(result.report["totals"]["misuse"]["double_close"], 1)

    def test_stacks_are_the_calls_that_were_made(self):
        # musl's own code has no unwind information.
        expected = {"/etc/passwd": ["leak", "middle", "outer", "outer", "outer", "main"],
                    "/etc/group": ["stream", "outer", "outer", "outer", "main"],
                    "/etc": ["folder", "outer", "outer", "outer", "main"],
                    "/etc/hosts": ["leak", "compare", "sorted", "main"]}
        source = os.path.join(os.path.dirname(SOURCE), "traced_calls.c")
        for compiler in "gcc", "musl-gcc":
            for level in "-O0", "-O1":
                with self.subTest(compiler=compiler, level=level), harness.Scratch() as scratch:
                    program = scratch.path("calls")
                    subprocess.run([compiler, "-static", "-g", level, "-o", program, source], check=True)
                    result = harness.run([program], scratch=scratch)
                    self.assertEqual((result.status, result.stdout), (0, "end\n"), result)
                    sites = [site for site in result.report["sites"] if site["kind"] == "fd"]
                    self.assertEqual({site["objects"][0]["target"] for site in sites}, set(expected))
                    for site in sites:
                        target = site["objects"][0]["target"]
                        calls = [f["function"] for f in site["stack"] if f.get("file", "").endswith("traced_calls.c")]
                        # It was called through a pointer, and its frame is found by a register that libc uses for itself.
                        is_cut = (compiler, level, target) == ("musl-gcc", "-O0", "/etc/hosts")
                        self.assertEqual(calls, expected[target][:2] if is_cut else expected[target])
                        self.assertEqual(site["truncated"], is_cut, site)

    def test_statuses_and_signals(self):
        for arguments in (["7"], ["0", str(int(signal.SIGTERM))], ["0", str(int(signal.SIGKILL))]):
            with self.subTest(arguments=arguments):
                result, status = self.run_traced(*arguments)
                self.assertEqual(result.status, status, result)

    def test_rules(self):
        for rule, status in (("fd>0", 23), ("child>0", 23), ("fd>1000", 0), ("heap>0", 125), ("thread>0", 125)):
            with self.subTest(rule=rule):
                self.assertEqual(self.run_traced(options=["--fail-on", rule])[0].status, status)

    def test_a_tree_of_any_programs(self):
        with harness.Scratch() as scratch:
            (program,) = traced(scratch=scratch)
            result = harness.run(["/bin/sh", "-c", f"{program} >/dev/null; {harness.program('fd_open')} leak; exit 3"],
                                 scratch=scratch, options=["--backend", "trace"])
            self.assertEqual(result.status, 3, result)
            self.assertEqual({r["backend"] for r in result.reports.values()}, {"trace"})
            self.assertEqual(len(result.reports), 3, "the shell, and two that hold something")

    def test_a_program_of_another_processor_is_named(self):
        with harness.Scratch() as scratch:
            source, program = scratch.path("other.s"), scratch.path("other")
            with open(source, "w") as file:
                file.write(".globl _start\n_start: movl $1, %eax\nmovl $0, %ebx\nint $0x80\n")
            subprocess.run(["as", "--32", "-o", source + ".o", source], check=True)
            subprocess.run(["ld", "-m", "elf_i386", "-o", program, source + ".o"], check=True)
            for allowed, status in ((), 125), (("--allow-untracked", "other"), 0):
                result = harness.run(["/bin/sh", "-c", f"{program}; true"], scratch=scratch,
                                     options=["--backend", "trace", "--fail-on", "fd>0", *allowed])
                self.assertEqual(result.status, status, result)
                ((name, count),) = [(one["program"], one["count"]) for one in result.report["untracked"]]
                self.assertEqual((os.path.basename(name), count), ("other", 1))

    def test_processes_killed_while_they_start_others_leave_nobody_stopped(self):
        with harness.Scratch() as scratch:
            program = scratch.path("killed_forking")
            subprocess.run(["gcc", "-static", "-pthread", "-g", "-o", program, os.path.join(os.path.dirname(SOURCE), "killed_forking.c")],
                           check=True)
            result = harness.run([program, "60"], scratch=scratch, options=["--fail-on", "fd>0"])
            self.assertEqual((result.status, result.stdout), (0, "end\n"), result)

    def test_a_number_that_is_used_again_is_a_new_process(self):
        with harness.Scratch() as scratch:
            program, source = scratch.path("reused_number"), os.path.join(os.path.dirname(SOURCE), "reused_number.c")
            subprocess.run(["gcc", "-static", "-pthread", "-g", "-o", program, source], check=True)
            result = harness.run([program], scratch=scratch)
            if result.stdout == "refused\n":
                self.skipTest("numbers of processes can only be chosen by root")
            self.assertEqual((result.status, result.stdout), (0, "reused\n"), result)
            (leak,) = result.report["inherited_by_child"]
            self.assertEqual((leak["program"], leak["target"]), (program, "/etc/passwd"), result)

    @unittest.skipUnless(os.path.exists(GO_COMMAND), "no Go here")
    def test_stacks_of_go_are_those_that_go_sees(self):
        for uses_c in (False, True):
            source = GO_CALLS % (('/*\n#include <stdlib.h>\n*/\nimport "C"', "\tC.free(C.malloc(8))") if uses_c else ("", ""))
            for mode in ("exe", "pie"):
                for flags in ("", "-s -w"):
                    with self.subTest(uses_c=uses_c, mode=mode, flags=flags), harness.Scratch() as scratch:
                        program = build_go(scratch, source, uses_c, f"-buildmode={mode}", f"-ldflags={flags}")
                        result = harness.run([program], scratch=scratch, options=["--backend=trace", "--fail-on", "fd>3"])
                        self.assertEqual(result.status, 0, result)
                        called = {}
                        for line in result.stdout.splitlines():
                            if line.startswith("= "):
                                calls = called.setdefault(line[2:], [])
                            elif line.startswith("main."):
                                calls.append(tuple(line.rsplit(" ", 1)))
                        self.assertEqual(len(called), 3)
                        for path, calls in called.items():
                            (site,) = [one for one in result.report["sites"] if path in str(one.get("targets", one))]
                            stack = [(one["function"], str(one["line"])) for one in site["stack"]
                                     if one["function"].startswith("main.") and one["function"] != "main.inner"]
                            self.assertEqual(stack, calls)

    @unittest.skipUnless(os.path.exists(GO_COMMAND), "no Go here")
    def test_what_gos_runtime_keeps_is_no_leak(self):
        for uses_c, flags in (False, ""), (False, "-s -w"), (True, ""):
            with self.subTest(uses_c=uses_c, flags=flags), harness.Scratch() as scratch:
                served = build_go(scratch, GO, uses_c, f"-ldflags={flags}")
                for arguments, status in ((), 0), (("leak",), 23):
                    result = harness.run([served, *arguments], scratch=scratch, options=["--fail-on", "fd>0"])
                    self.assertEqual((result.status, result.stdout), (status, "end\n"), result)
                    self.assertEqual(result.report["backend"], "trace")
                    self.assertGreater(result.report["totals"]["fd"]["suppressed"], 0)
                self.assertIn("3 descriptors from openat by goroutine 1: /etc/passwd\n      main.leak (", result.stderr)

    @unittest.skipUnless(os.path.exists(GO_COMMAND), "no Go here")
    def test_go_that_cannot_be_traced_loads_the_library(self):
        """Its tracer cannot trace what another one does."""
        with harness.Scratch() as scratch:
            program = build_go(scratch, GO, True)
            inner = [harness.COMMAND, "run", "-q", "--backend=auto", "--fail-on", "fd>0", "-o", scratch.path("inner.json"), "--", program, "leak"]
            result = harness.bare([harness.COMMAND, "run", "-q", "--backend=trace", "-o", scratch.path("outer.json"), "--", *inner])
            report = harness.read_report(scratch.path("inner.json"))
            self.assertEqual((report["backend"], report["coverage"]["fd"]), ("preload", "partial"), result)
            self.assertEqual((result.status, result.stdout), (125, "end\n"), result)
            chosen = harness.run([program, "leak"], scratch=scratch, options=["--backend=preload"])
            self.assertEqual(chosen.report["backend"], "preload")

    def test_the_user_is_told_what_tracing_means(self):
        result, _ = self.run_traced()
        self.assertRegex(result.stderr, r"unfreed: .*traced is traced from outside .*; if its tracer, process \d+, is killed, its system calls fail\n")

    def test_a_process_that_goes_on_is_not_passed(self):
        source = """#include <unistd.h>
            int main(void) { if (fork() == 0) { close(0); close(1); close(2); sleep(3); } return 0; }"""
        with harness.Scratch() as scratch:
            program = scratch.path("goes_on")
            subprocess.run(["gcc", "-static", "-x", "c", "-o", program, "-"], input=source.encode(), check=True)
            result = harness.run([program], scratch=scratch, options=["--fail-on", "fd>0"], keep_ledgers=True)
            self.assertEqual(result.status, 125, result)
            self.assertIn("goes_on (it was still running when the run ended", result.stderr)

    def test_nobody_has_to_wait_for_what_others_have_started(self):
        source = """#include <sys/prctl.h>
            #include <sys/wait.h>
            #include <unistd.h>
            int main(int count, char** words) {
              int ends[2];
              siginfo_t info;
              char byte;
              if (count == 1) prctl(PR_SET_CHILD_SUBREAPER, 1);
              if (pipe(ends)) return 1;
              if (fork() == 0) {
                if (count > 1 || fork()) _exit(0);
                close(ends[1]);
                _exit(read(ends[0], &byte, 1) != 0);
              }
              close(ends[0]);
              close(ends[1]);
              if (count == 1) wait(0);
              return waitid(P_ALL, 0, &info, WEXITED | WNOWAIT); }"""
        with harness.Scratch() as scratch:
            program = scratch.path("adopts")
            subprocess.run(["gcc", "-static", "-x", "c", "-o", program, "-"], input=source.encode(), check=True)
            for words, status in (([], 0), (["own"], 23)):
                result = harness.run([program, *words], options=["--fail-on", "child>0"])
                self.assertEqual(result.status, status, result)

    def test_how_ended_what_a_traced_program_has_started(self):
        """The library is in that one, and does not see its end."""
        waits = {"wait4": "wait(&status);", "wait4 without a status": "wait(0);", "waitid": "siginfo_t info; waitid(P_ALL, 0, &info, WEXITED);",
                 "none": "siginfo_t info; waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);"}
        for name, wait in waits.items():
            source = """#include <sys/wait.h>
                #include <unistd.h>
                int main(int count, char** words) {
                  int status = count;
                  if (fork() == 0) { execv(words[1], words + 1); _exit(99); }
                  %s
                  return status == -1; }""" % wait
            with self.subTest(wait=name), harness.Scratch() as scratch:
                program = scratch.path("parent")
                subprocess.run(["gcc", "-static", "-x", "c", "-o", program, "-"], input=source.encode(), check=True)
                for how, status in (("instruction", 23), ("signal", 0)):
                    result = harness.run([program, harness.program("ending"), how, "9" if how == "signal" else "0"],
                                         env={"UNFREED_ALLOW_KILLED": "*"}, options=["--fail-on", "fd>1"])
                    self.assertEqual(result.status, status, result)

    def test_why_it_could_not_is_said_first(self):
        with harness.Scratch() as scratch:
            (program,) = traced(scratch=scratch)
            script = f"ulimit -n 8; exec {harness.COMMAND} run -o {scratch.path('r.json')} -- {program}"
            result = harness.bare(["sh", "-c", script], env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            first = next(line for line in result.stderr.splitlines() if "was not tracked" in line)
            self.assertRegex(first, "; it cannot be traced either: Too many open files$")

    def test_that_thresholds_make_no_report_is_said(self):
        result, _ = self.run_traced(options=["--report-at", "fd>=2"])
        self.assertIn("--report-at makes no report of traced programs", result.stderr)

    def test_a_process_without_room_for_its_ledger_is_named(self):
        with harness.Scratch() as scratch:
            (program,) = traced(scratch=scratch)
            # Of a folder with room for the shell's ledger, the launcher's files, and no more.
            script = (f"mount -t tmpfs -o size=3m none {scratch.ledgers} && UNFREED_LEDGER_DIR={scratch.ledgers} {harness.COMMAND} run --backend trace "
                      f"--fail-on 'fd>50' -o {scratch.path('r.json')} -- sh -c 'head -c 20m /dev/zero >{scratch.ledgers}/full 2>/dev/null; {program} >/dev/null; :'")
            result = harness.bare(["unshare", "-m", "sh", "-c", script])
            if "unshare" in result.stderr or "mount" in result.stderr:
                self.skipTest("no mount namespace here")
            self.assertEqual(result.status, 125, result)
            self.assertRegex(result.stderr, "there was no room for its ledger|had no room for their ledgers|found no room for their ledgers")

    def test_no_rule_passes_on_what_ran_without_its_tracer(self):
        with harness.Scratch() as scratch:
            script = "echo traced; read line; exit 0"
            with harness.started(["/bin/sh", "-c", script], scratch=scratch,
                                 options=["--backend", "trace", "--fail-on", "fd>1000"]) as process:
                self.assertEqual(process.stdout.readline(), b"traced\n")
                (tracer,) = tracers_of(process.pid)
                os.kill(tracer, signal.SIGKILL)
                harness.wait_for(lambda: state_of(tracer) == "Z")
                process.stdin.write(b"go on\n")
                process.stdin.flush()
                status = process.wait(20)
            with open(scratch.path("stderr")) as file:
                stderr = file.read()
            self.assertNotEqual(status, 0, stderr)
            self.assertRegex(stderr, "rules could not be checked for untracked programs: .*sh .*its tracer was killed or failed")

    def test_signals_do_not_reach_the_tracer(self):
        with harness.Scratch() as scratch:
            fifo = scratch.path("fifo")
            os.mkfifo(fifo)
            script = f"read line <{fifo}; exec 5</dev/null; cat /dev/null || exit 1; exit 4"
            with harness.started(["/bin/sh", "-c", script], options=["--backend", "trace"], scratch=scratch) as process:
                harness.wait_for(lambda: tracers_of(process.pid))
                with open(fifo, "w") as writer:  # opened when the shell, which is traced by then, has opened it
                    for tracer in tracers_of(process.pid):
                        for number in (signal.SIGSEGV, signal.SIGTERM, signal.SIGHUP):
                            os.kill(tracer, number)
                    writer.write("go on\n")
                self.assertEqual(process.wait(20), 4)


def build_go(scratch, source, uses_c, *options):
    with open(scratch.path("main.go"), "w") as file:
        file.write(source)
    harness.build_go(GO_COMMAND, scratch.path("program"), "main.go", *options, uses_c=uses_c)
    return scratch.path("program")


def tracers_of(launcher):
    with open(f"/proc/{launcher}/task/{launcher}/children") as file:
        children = [int(pid) for pid in file.read().split()]
    return [pid for pid in children if name_of(pid) == "unfreed-trace"]


def state_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    harness.main()
