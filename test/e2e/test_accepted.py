#!/usr/bin/python3
"""What well-known programs do on purpose is no leak, says why when it is asked, and hides no leak of anybody else."""
import os
import shutil
import subprocess
import unittest

import harness


class Shells(unittest.TestCase):
    def run_script(self, shell, text, *options, arguments=("./script.sh",), rules="fd>0,thread>0,misuse>0", **keywords):
        with harness.Scratch() as scratch:
            with open(scratch.path("script.sh"), "w") as file:
                file.write(text + "\n")
            result = harness.run([shell, *arguments], scratch=scratch, cwd=scratch.folder, options=[
                "--quiet", "--fail-on", rules, *options], **keywords)
            path = scratch.path("report.json")
            result.shown = harness.unfreed("report", "--show-suppressed", path).stdout
            result.plain = harness.unfreed("report", path).stdout
        return result

    def test_scripts_are_clean(self):
        for shell in ("/bin/bash", "/bin/dash"):
            for text in ("true", "ls / | cat | wc -l", "x=$(echo hi | cat); echo $x", "exec 3</etc/passwd; read line <&3",
                         "exec 5>log 6>&1; echo hi >&5", "(sleep 0 &); wait", ". /dev/null; f() { cat </dev/null; }; f",
                         "while read l; do echo $l; done </etc/hosts | sort"):
                with self.subTest(shell=shell, text=text):
                    result = self.run_script(shell, text)
                    self.assertEqual(result.status, 0, result)

    def test_scripts_by_other_names(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("folder"))
            with open(scratch.path("folder", "real.sh"), "w") as file:
                file.write("true\n")
            os.symlink("real.sh", scratch.path("folder", "link.sh"))
            os.symlink("folder", scratch.path("linked"))
            for shell in ("bash", "dash"):
                for name in ("folder/real.sh", "./folder/../linked/real.sh", "folder/link.sh", "linked/link.sh"):
                    result = harness.run([shell, "-e", name, "argument"], cwd=scratch.folder, options=["--fail-on", "fd>0"])
                    self.assertEqual(result.status, 0, result)

    def test_bashs_own_ways(self):
        for text in ("set -o pipefail; true | true | true", "while read l; do :; done < <(echo a; echo b)", "cat <<<hi | cat",
                     "coproc cat; exec {COPROC[1]}>&-; wait", "mapfile -t x < <(seq 5)"):
            with self.subTest(text=text):
                self.assertEqual(self.run_script("/bin/bash", text).status, 0)

    def test_what_a_shell_runs_to_its_end(self):
        for text in ("trap 'true' EXIT; echo ok", "trap 'true' EXIT; exit 0", "f() { exit 0; }; f | cat; f & wait",
                     "echo x | { read x; exit 0; }"):
            for shell in ("/bin/bash", "/bin/dash"):
                with self.subTest(text=text, shell=shell):
                    self.assertEqual(self.run_script(shell, text, rules="fd>0,heap.lost>0").status, 0)
        lossy = harness.run(["/bin/dash", "-c", "trap 'true' EXIT; true"], options=["--fail-on", "heap.lost>0",
                                                                                     "--no-default-suppressions"])
        self.assertEqual(lossy.status, 23, "else there would be nothing to accept")

    def test_descriptors_that_a_script_opens(self):
        with harness.Scratch() as scratch:
            name = scratch.path("file")
            self.assertEqual(self.run_script("/bin/bash", f"exec {{fd}}>{name} 4>{name}; exec 11>{name} 5>{name}").status, 0)
            with open(name) as file:
                inherited = {os.dup2(file.fileno(), number) for number in (101, 102)}
                try:
                    result = self.run_script("/bin/bash", f"exec {{fd}}>{name}", pass_fds=inherited)
                    self.assertEqual(result.status, 0, "what bash was started with is not the script's")
                finally:
                    for number in inherited:
                        os.close(number)
            loop = self.run_script("/bin/bash", f"for i in 1 2 3; do exec {{fd}}>{name}; done")
            self.assertEqual(loop.status, 23, "three from one call site")

    def test_the_reason_is_shown_on_request(self):
        result = self.run_script("/bin/bash", "true")
        self.assertIn("suppressed: built in: a shell keeps the script that it reads open", result.shown)
        self.assertNotIn("suppressed: built in", result.plain)
        (site,) = [site for site in result.report["sites"] if site["kind"] == "fd"]
        self.assertTrue(site["suppressed_by"].startswith("built in: "))
        self.assertEqual(result.report["totals"]["fd"]["suppressed"], 1)

    def test_all_counts_on_request(self):
        self.assertEqual(self.run_script("/bin/bash", "true", "--no-default-suppressions").status, 23)
        result = harness.run(["/bin/bash", "-c", "true | cat"], options=["--fail-on", "misuse>0"],
                             env={"UNFREED_NO_DEFAULT_SUPPRESSIONS": "1"})
        self.assertEqual(result.status, 23, result)

    def test_script_through_a_link(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("real"))
            with open(scratch.path("real", "tool.sh"), "w") as file:
                file.write("#!/bin/sh\ntrue\n")
            os.chmod(scratch.path("real", "tool.sh"), 0o755)
            os.symlink("real/tool.sh", scratch.path("link"))
            os.symlink("real", scratch.path("folder"))
            for command in ([scratch.path("link")], ["./link"], ["sh", "./folder/tool.sh"], ["bash", "link"]):
                with self.subTest(command=command):
                    result = harness.run(command, scratch=scratch, cwd=scratch.folder, options=["--quiet", "--fail-on", "fd>0"])
                    self.assertEqual(result.status, 0, result)

    def test_script_that_removes_itself(self):
        for shell in ("/bin/bash", "/bin/dash"):
            with self.subTest(shell=shell):
                self.assertEqual(self.run_script(shell, "rm script.sh").status, 0)

    def test_nothing_else_is_hidden(self):
        for text in (f"{harness.program('fd_open')} leak", f"echo | {harness.program('misuse')} twice | cat",
                     "for i in 1 2 3; do exec {fd}</etc/passwd; done"):
            with self.subTest(text=text):
                self.assertEqual(self.run_script("/bin/bash", text).status, 23)
        # Programs with names like a shell's.
        with harness.Scratch() as scratch:
            for name in ("kshare", "zshot", "shell", "dashboard"):
                shutil.copy(harness.program("fd_open"), scratch.path(name))
                result = harness.run([scratch.path(name), "leak"], options=["--fail-on", "fd>0"])
                self.assertEqual(result.status, 23, result)
            shutil.copy(harness.program("lost"), scratch.path("sh"))
            result = harness.run([scratch.path("sh")], options=["--fail-on", "heap.lost>0"])
            self.assertEqual(result.status, 23, "a shell that a project builds is its own")
            for name in ("sh", "bash", "dash", "ksh"):
                shutil.copy(harness.program("fd_open"), scratch.path(name))
                result = harness.run([scratch.path(name), "leak"], options=["--fail-on", "fd>0"])
                self.assertEqual(result.status, 23, result)
        # Another program that reads a script.
        self.assertEqual(self.run_script("/usr/bin/python3", "import os; os.open('script.sh', 0)").status, 23)


class OthersOfThatName(unittest.TestCase):
    def test_a_program_of_a_well_known_name_has_leaks_of_its_own(self):
        with harness.Scratch() as scratch:
            for name in ("node", "perl", "ruby", "bash"):
                shutil.copy(harness.program("lost"), scratch.path(name))
                result = harness.run([scratch.path(name)], options=["--fail-on", "heap.lost>0"])
                self.assertEqual(result.status, 23, result)


@unittest.skipUnless(shutil.which("node"), "node is not installed")
class Node(unittest.TestCase):
    def run_code(self, code):
        # Without the heap, as it takes seconds to name all that V8 allocates.
        return harness.run(["node", "-e", code], options=["--track", "fd", "--fail-on", "fd>0"])

    def test_event_loop_lasts(self):
        server = ("const s = require('net').createServer(c => c.end()).listen(0, '127.0.0.1', () => "
                  "require('net').connect(s.address().port, '127.0.0.1').on('close', () => s.close()).resume())")
        for code in ("1", "require('child_process').execSync('true')", server, "process.exit(0)"):
            with self.subTest(code=code):
                self.assertEqual(self.run_code(code).status, 0)

    def test_what_its_threads_have_allocated_for_themselves(self):
        for options, status in ((), 0), (["--no-default-suppressions"], 23):
            result = harness.run(["node", "-e", "require('crypto').pbkdf2('a', 'b', 9, 9, 'sha1', () => {})"], options=[
                "--quiet", "--fail-on", "heap.lost>0", *options])
            self.assertEqual(result.status, status, result)

    def test_what_a_script_opens_counts(self):
        result = self.run_code("require('fs').openSync('/etc/passwd')")
        self.assertEqual(result.status, 23, result)
        (rule,) = result.report["rules"]
        self.assertEqual(rule["value"], 1)


@unittest.skipUnless(shutil.which("ruby"), "ruby is not installed")
class Ruby(unittest.TestCase):
    def run_code(self, code, *options):
        return harness.run(["ruby", "--disable-gems", "-e", code], options=[
            "--quiet", "--fail-on", "fd>0,thread>0,child>0,heap.lost>0", *options])

    def test_the_interpreter_is_clean(self):
        for code in ("1", "Thread.new { sleep 0 }.join; `true`; $kept = (1..9).map { |i| 'x' * 99 * i }"):
            with self.subTest(code=code):
                result = self.run_code(code)
                self.assertEqual(result.status, 0, result)
        self.assertEqual(self.run_code("1", "--no-default-suppressions").status, 23)

    def test_what_a_script_opens_or_starts_counts(self):
        unreaped = "r, w = IO.pipe; trap('CLD') { w.close }; spawn('true'); r.read; r.close"
        for code, rule in (("IO.sysopen('/etc/passwd')", "fd>0"), (unreaped, "child>0")):
            with self.subTest(code=code):
                result = self.run_code(code)
                self.assertEqual((result.status, [one["rule"] for one in result.report["rules"] if one["broken"]]),
                                 (23, [rule]), result)

    def test_what_an_extension_loses_counts(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("lossy.c"), "w") as file:
                file.write("#include <stdlib.h>\nvoid Init_lossy(void) { char* volatile lost = malloc(99); lost = 0; }\n")
            library = scratch.path("lossy.so")
            harness.bare(["cc", "-shared", "-fPIC", "-g", "-o", library, scratch.path("lossy.c")])
            result = self.run_code(f"require '{library}'")
            self.assertEqual(result.status, 23, result)
            (site,) = [site for site in harness.live_sites(result.report, "heap") if site.get("lost") and "suppressed_by" not in site]
            self.assertEqual((site["lost"], harness.top(site)["function"]), (1, "Init_lossy"))


class RulesFor(unittest.TestCase):
    def test_check_says_what_the_run_said_or_is_asked_anew(self):
        with harness.Scratch() as scratch:
            result = harness.run([harness.program("fd_open"), "leak"], scratch=scratch, options=[
                "--fail-on", "fd>0", "--rules-for", "nobody"])
            self.assertEqual(result.status, 125, "a rule that is for nobody is no pass")
            self.assertIn("matches none of the programs that ran", result.stderr)
            path = scratch.path("report.json")
            for options, status in (([], 125), (["--rules-for", "*"], 23), (["--rules-for", "fd_open"], 23),
                                    (["--rules-for", "nobody"], 125)):
                self.assertEqual(harness.unfreed("check", "--fail-on", "fd>0", *options, path).status, status, options)

    def test_what_was_not_tracked_is_excused_for_certain_only(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("project"))
            with open(scratch.path("empty.c"), "w") as file:
                file.write("int main(void) { return 0; }\n")
            program = scratch.path("project", "static")
            harness.bare(["cc", "-static", "-o", program, scratch.path("empty.c")])
            os.symlink(scratch.path("project"), scratch.path("other"))
            own = harness.program("fd_open")
            for command, status in ((f"{program}; {own} clean", 125), (f"{scratch.path('other', 'static')}; {own} clean", 125),
                                    (f"env -i ls; {own} clean", 0)):
                with self.subTest(command=command):
                    result = harness.run(["sh", "-c", command], options=[
                        "--fail-on", "fd>0", "--rules-for", f"{os.path.realpath(scratch.folder)}/project/*,{own}"])
                    self.assertEqual(result.status, status, result)

    def test_bare_preload(self):
        for patterns, status in (("fd_*", 23), (harness.program("fd_open"), 23), ("*/e2e/*", 23), ("other,fd_open", 23),
                                 ("nobody", 0)):
            with self.subTest(patterns=patterns):
                result = harness.preload([harness.program("fd_open"), "leak"], env={
                    "UNFREED_FAIL_ON": "fd>0", "UNFREED_RULES_FOR": patterns})
                self.assertEqual(result.status, status, result)
                self.assertEqual(result.report["process"].get("outside_rules", False), status == 0)
                self.assertEqual(len(result.report["rules"]), 1 if status else 0)
                self.assertGreater(result.report["totals"]["fd"]["live"], 0)


WORKERS = """
import multiprocessing, os, sys

def work(leaks):
    if leaks: os.open("/etc/passwd", os.O_RDONLY)

def main(method, who):
    multiprocessing.set_start_method(method)
    with multiprocessing.Pool(1) as pool:
        pool.map(work, [who == "worker"])
        pool.close()
        pool.join()
    worker = multiprocessing.Process(target=work, args=(who == "process",))
    worker.start()
    worker.join()
    if who == "parent": os.pipe()

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


class Python(unittest.TestCase):
    def status_of(self, *arguments, options=()):
        with harness.Scratch() as scratch:
            with open(scratch.path("workers.py"), "w") as file:
                file.write(WORKERS)
            return harness.run(["/usr/bin/python3", "workers.py", *arguments], scratch=scratch, cwd=scratch.folder,
                               options=["--quiet", "--fail-on", "fd>0", *options]).status

    def test_multiprocessing_is_clean(self):
        for method in ("fork", "spawn", "forkserver"):
            with self.subTest(method=method):
                self.assertEqual(self.status_of(method, "nobody"), 0)
                self.assertEqual(self.status_of(method, "nobody", options=["--no-default-suppressions"]), 23)

    def test_what_a_module_s_variable_keeps_is_clean(self):
        kept = {"pool": "kept = multiprocessing.Pool(2); kept.map(work, [0])",
                "with": "with multiprocessing.Pool(2) as kept: kept.map(work, [0])",
                "executor": "kept = concurrent.futures.ProcessPoolExecutor(2); list(kept.map(work, [0]))",
                "process": "kept = multiprocessing.Process(target=work, args=(0,)); kept.start(); kept.join()"}
        for name, statement in kept.items():
            with self.subTest(kept=name), harness.Scratch() as scratch:
                with open(scratch.path("kept.py"), "w") as file:
                    file.write("import concurrent.futures, multiprocessing, os\n\ndef work(_): pass\n\n"
                               f"if __name__ == '__main__':\n    {statement}\n")
                env = {"UNFREED_FAIL_ON": "fd>0,child>0", "UNFREED_ALLOW_KILLED": "*"}
                for way in (harness.run, harness.preload):
                    result = way(["/usr/bin/python3", "kept.py"], scratch=scratch, cwd=scratch.folder, env=env,
                                 keep_ledgers=True)  # of workers that a pool has killed
                    self.assertEqual(result.status, 0, result)
                result = harness.run(["/usr/bin/python3", "kept.py"], scratch=scratch, cwd=scratch.folder, env=env,
                                     options=["--no-default-suppressions"], keep_ledgers=True)
                self.assertEqual(result.status, 23, "else there would be nothing to accept")

    def test_a_great_many_processes_that_are_kept_are_a_leak(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("many.py"), "w") as file:
                file.write("import multiprocessing\n\ndef work(): pass\n\nkept = []\nfor _ in range(130):\n"
                           "    kept.append(multiprocessing.Process(target=work))\n"
                           "    kept[-1].start()\n    kept[-1].join()\n")
            result = harness.run(["/usr/bin/python3", "many.py"], scratch=scratch, cwd=scratch.folder,
                                 options=["--quiet", "--fail-on", "fd>0"])
            self.assertEqual(result.status, 23, result)

    def test_and_hides_no_leak(self):
        for method in ("fork", "spawn", "forkserver"):
            for who in ("worker", "process", "parent"):
                with self.subTest(method=method, who=who):
                    self.assertEqual(self.status_of(method, who), 23)


class Perl(unittest.TestCase):
    """It frees a part of its memory when it ends, which leaves some without a pointer."""

    SCRIPT = ("use strict; use POSIX; my %h = map { ($_ => [1 .. $_]) } 1 .. 50; eval 'sub g { return {@_} }'; "
              "print scalar(keys %h), g(a => 1)->{a}, qq(\\n);")

    def test_its_own_memory_is_no_loss(self):
        for options, status in (([], 0), (["--no-default-suppressions"], 23)):
            result = harness.run(["perl", "-e", self.SCRIPT], options=["--fail-on", "heap.lost>0", *options])
            self.assertEqual((result.status, result.stdout), (status, "501\n"), result)

    def test_what_an_extension_has_it_run(self):
        """The extension lies where a project builds its own."""
        (module,) = subprocess.run(["perl", "-MList::Util", "-e", "print $INC{'List/Util.pm'}"], capture_output=True, text=True,
                                   check=True).stdout.split()
        archive = os.path.dirname(os.path.dirname(module))
        with harness.Scratch() as scratch:
            for file in ("List/Util.pm", "auto/List/Util/Util.so"):
                os.makedirs(os.path.dirname(scratch.path(file)), exist_ok=True)
                shutil.copy(os.path.join(archive, file), scratch.path(file))
            script = ("use List::Util; List::Util::first(sub { eval 'package Foo; sub x { return {a => 1} }'; require Text::Wrap; "
                      "1 }, 1);")
            for options, status in (([], 0), (["--no-default-suppressions"], 23)):
                result = harness.run(["perl", "-I" + scratch.folder, "-e", script], options=["--fail-on", "heap.lost>0", *options])
                self.assertEqual(result.status, status, result)

    def test_what_holds_on_is_not_hidden(self):
        result = harness.run(["perl", "-e", self.SCRIPT + " open(our $kept, '<', '/etc/passwd'); POSIX::_exit(0)"],
                             options=["--fail-on", "fd>0,heap.bytes>1K"])
        self.assertEqual(result.status, 23, result)
        self.assertEqual([rule["broken"] for rule in result.report["rules"]], [True, True])


TCMALLOC = "/usr/lib/x86_64-linux-gnu/lib{}.so.4"
ALLOCATING = """
#include <fcntl.h>
#include <stdlib.h>
int main(int count, char** arguments) {
  free(malloc(100));
  if (count > 1) open("/etc/passwd", O_RDONLY);
  if (count > 1) *(void* volatile*)malloc(sizeof(void*)) = arguments;
  return 0;
}
"""


class Tcmalloc(unittest.TestCase):
    def test_what_it_keeps_and_drops_is_no_leak_of_the_program(self):
        for name in ("tcmalloc_minimal", "tcmalloc"):
            library = TCMALLOC.format(name)
            if not os.path.exists(library):
                self.skipTest("libgoogle-perftools4 is not installed")
            with self.subTest(library=name), harness.Scratch() as scratch:
                program, source = scratch.path("allocating"), scratch.path("allocating.c")
                with open(source, "w") as file:
                    file.write(ALLOCATING)
                subprocess.run(["gcc", "-g", "-o", program, source, "-Wl,--no-as-needed", library], check=True)
                for rule in ("fd>0", "heap.lost>0"):
                    result = harness.run([program], scratch=scratch, options=["--fail-on", rule])
                    self.assertEqual(result.status, 0, result.stderr)
                    result = harness.run([program, "leak"], scratch=scratch, options=["--fail-on", rule])
                    self.assertEqual(result.status, 23, result.stderr)
                (dropped,) = [site for site in result.report["sites"] if site["kind"] == "heap" and "suppressed_by" in site]
                self.assertEqual((dropped["live"], dropped["bytes"]), (1, 8))


if __name__ == "__main__":
    harness.main()
