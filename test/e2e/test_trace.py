"""Programs that cannot load the library are traced: the counts are the kernel's, and the program is as it would be alone."""
import os
import signal
import subprocess
import unittest

import harness

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


def tracers_of(launcher):
    with open(f"/proc/{launcher}/task/{launcher}/children") as file:
        children = [int(pid) for pid in file.read().split()]
    return [pid for pid in children if name_of(pid) == "unfreed-trace"]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    harness.main()
