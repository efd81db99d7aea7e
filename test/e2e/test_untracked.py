#!/usr/bin/python3
"""Programs that cannot take the library run as they would without it, and what is not tracked is named."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

SPEAKS = """
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char** argv) {
  for (int i = 0; i < 3; i++) (void)!open("/dev/null", O_RDONLY);
  const char* preload = getenv("LD_PRELOAD");
  printf("%s %s\\n", argc > 1 ? argv[1] : "-", preload ? preload : "none");
  return 4;
}
"""

EXECS = ["execve", "execv", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve", "execveat", "execveat-fd",
         "syscall"]
WAYS = ["fork-" + name for name in EXECS] + ["vfork-" + name for name in EXECS] + ["spawn", "spawnp", "spawn-elsewhere"]
SHELLS = ["system", "popen"]


class Place:
    """A folder with programs, built once."""
    folder = None

    @classmethod
    def path(cls, name):
        if cls.folder is None:
            cls.folder = tempfile.mkdtemp(prefix="unfreed-test-")
            os.chmod(cls.folder, 0o755)
            unittest.addModuleCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        return os.path.join(cls.folder, name)

    @classmethod
    def program(cls, name, *compiler, source=SPEAKS):
        path = cls.path(name)
        if not os.path.exists(path):
            with open(path + ".c", "w") as file:
                file.write(source)
            subprocess.run([*(compiler or ["gcc"]), "-g", "-w", "-o", path, path + ".c"], check=True)
        return path


def ordinary():
    return Place.program("ordinary")


def static():
    return Place.program("static", "gcc", "-static")


def musl():
    return Place.program("musl", "musl-gcc")


def with_address_sanitizer():
    return Place.program("asan", "gcc", "-fsanitize=address")


def of_other_processor():
    """An executable that this machine's loader never sees: the kernel refuses it."""
    path = Place.path("other")
    if not os.path.exists(path):
        with open(static(), "rb") as file:
            image = bytearray(file.read())
        image[18] = 243  # e_machine: RISC-V
        with open(path, "wb") as file:
            file.write(image)
        os.chmod(path, 0o755)
    return path


def starts(way, program, **keywords):
    return [harness.program("starts"), way, program, "word"], keywords


class Harmless(unittest.TestCase):
    """What a program that cannot take the library does is what it does without."""

    def bare(self, program):
        bare = harness.bare([program, "word"])
        self.assertEqual((bare.status, bare.stderr), (4, ""), bare)
        return bare

    def test_the_command_itself(self):
        for program in (musl(), static(), with_address_sanitizer()):
            with self.subTest(program=program):
                result = harness.run([program, "word"], options=["--quiet"])
                self.assertEqual((result.status, result.stdout.split()[0]), (4, "word"), result)

    def test_started_in_every_way(self):
        for program in (musl(), with_address_sanitizer()):
            for way in WAYS:
                with self.subTest(program=program, way=way):
                    result = harness.preload([harness.program("starts"), way, program, "word"],
                                             env={"UNFREED_QUIET": "1"})
                    word = "-" if way == "vfork-none" else "word"
                    self.assertEqual((result.status, result.stdout.split()[:1], result.stderr), (4, [word], ""), result)
            for way in SHELLS:
                with self.subTest(program=program, way=way):
                    result = harness.preload([harness.program("starts"), way, program], env={"UNFREED_QUIET": "1"})
                    self.assertEqual((result.status, result.stdout.split()[:1], result.stderr), (4, ["-"], ""), result)

    def test_scripts_lead_to_their_interpreters(self):
        script = Place.path("script")
        with open(script, "w") as file:
            file.write(f"#!{musl()} first\n")
        os.chmod(script, 0o755)
        result = harness.preload([harness.program("starts"), "fork-execv", script, "word"], env={"UNFREED_QUIET": "1"})
        self.assertEqual((result.status, result.stdout.split()[0], result.stderr), (4, "first", ""), result)

    def test_by_processes_that_are_not_tracked_themselves(self):
        for extra in ({"UNFREED_ONLY": "nothing"}, {"UNFREED_DISABLE": "1"}):
            with self.subTest(extra=extra):
                result = harness.preload([harness.program("starts"), "spawn", musl(), "word"], env=extra)
                self.assertEqual((result.status, result.stdout.split()[0], result.stderr), (4, "word", ""), result)

    def test_by_processes_that_no_hook_sees(self):
        """A static program hands on what it was given: under `unfreed run`, a name that musl finds its own library under."""
        source = "#include <unistd.h>\nint main(int c, char** v) { execv(v[1], v + 1); return 9; }"
        between = Place.program("between", "gcc", "-static", source=source)
        result = harness.run([between, musl(), "word"], options=["--quiet"])
        self.assertEqual((result.status, result.stdout.split()[0]), (4, "word"), result)

    def test_other_preloaded_libraries_are_kept(self):
        other = Place.path("other.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-nostdlib", "-o", other, "-x", "c", "-"], check=True,
                       input=b"int other;")
        result = harness.preload([harness.program("starts"), "spawn", musl(), "word"],
                                 env={"LD_PRELOAD": f"{other}:{harness.LIBRARY}", "UNFREED_QUIET": "1"})
        self.assertEqual((result.status, result.stderr), (4, ""), result)
        self.assertTrue(result.stdout.split()[1].startswith(other), result)

    def test_what_a_musl_program_starts_is_tracked_again(self):
        shell = f"{harness.program('starts')} spawn {ordinary()} word"
        source = f"#include <stdlib.h>\nint main(void) {{ return system(\"{shell}; exit 7\") >> 8; }}"
        between = Place.program("between-musl", "musl-gcc", source=source)
        for runner in (harness.run, harness.preload):
            with self.subTest(runner=runner.__name__):
                result = runner([harness.program("starts"), "spawn", between], env={"UNFREED_QUIET": "1"})
                self.assertEqual(result.status, 7, result)
                held = {os.path.basename(r["process"]["exe"]): r["totals"]["fd"]["live"]
                        for r in result.reports.values()}
                self.assertEqual(held.get("ordinary"), 3, result)

    def test_a_library_that_cannot_be_read_is_not_handed_on(self):
        """glibc's loader would complain on stderr."""
        copy = Place.path("libunfreed.so")
        shutil.copy(harness.LIBRARY, copy)
        source = (f"#include <stdio.h>\n#include <unistd.h>\n"
                  f"int main(int c, char** v) {{ rename(\"{copy}\", \"{copy}.away\"); execv(v[1], v + 1); return 9; }}")
        mover = Place.program("mover", source=source)
        result = harness.preload([mover, ordinary(), "word"], env={"LD_PRELOAD": copy, "UNFREED_QUIET": "1"})
        os.rename(copy + ".away", copy)
        self.assertEqual((result.status, result.stdout, result.stderr), (4, "word none\n", ""), result)

    def test_bad_pointers_are_the_kernels_to_refuse(self):
        source = """
            #define _GNU_SOURCE
            #include <errno.h>
            #include <stdio.h>
            #include <sys/mman.h>
            #include <unistd.h>
            int main(void) {
              char* words[] = {"/bin/true", NULL};
              char* pages = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              munmap(pages + 4096, 4096);
              munmap(pages + 3 * 4096, 4096);
              pages[4095] = 'L';
              char* unended[] = {pages + 4095, NULL};
              char* wild[] = {"A=b", (char*)8, NULL};
              char** array = (char**)(pages + 3 * 4096) - 1;
              *array = "LD_PRELOAD=x";
              char** environments[] = {(char**)8, wild, unended, array};
              for (int i = 0; i < 5; i++) {
                int result = i < 4 ? execve(words[0], words, environments[i]) : execve((char*)8, words, words + 1);
                printf("%d %d\\n", result, errno == EFAULT);
              }
              return 0;
            }"""
        program = Place.program("wild", source=source)
        self.assertEqual(harness.bare([program]).stdout, "-1 1\n" * 5)
        result = harness.preload([program], env={"UNFREED_QUIET": "1"})
        self.assertEqual((result.status, result.stdout, result.stderr), (0, "-1 1\n" * 5, ""), result)


class Sanitizers(unittest.TestCase):
    def test_gccs_address_sanitizer_is_tracked_and_sees_its_own_environment(self):
        for runner in (harness.run, harness.preload):
            for command in ([with_address_sanitizer(), "word"],
                            [harness.program("starts"), "spawn", with_address_sanitizer(), "word"]):
                if runner is harness.preload and len(command) == 2:
                    continue  # it refuses to start, as behind any other preloaded library
                with self.subTest(runner=runner.__name__, command=command):
                    result = runner(command, env={"UNFREED_QUIET": "1"})
                    self.assertEqual((result.status, result.stderr), (4, ""), result)
                    word, preload = result.stdout.split()
                    self.assertTrue(preload.endswith("libunfreed.so") and "libasan" not in preload, result)
                    (report,) = [r for r in result.reports.values() if r["process"]["exe"].endswith("asan")]
                    self.assertEqual(report["totals"]["fd"]["live"], 3)
                    self.assertEqual(report["coverage"]["heap"], "unavailable")
                    (site,) = harness.live_sites(report, "fd")
                    self.assertIn("main", [frame.get("function") for frame in site["stack"]])


    def test_others_are_tracked_and_say_nothing(self):
        """Two threads that copy to memory of a third one's, and a signal handler: nothing that a sanitizer would report."""
        source = """
            #include <fcntl.h>
            #include <pthread.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <sys/wait.h>
            #include <unistd.h>
            static void* work(void* block) {
              free(block);
              FILE* stream = fopen("/dev/null", "r");
              char text[100];
              (void)!fread(text, 1, sizeof text, stream);
              return stream;
            }
            int main(void) {
              for (int round = 0; round < 3; round++) {
                pthread_t threads[4];
                for (int i = 0; i < 4; i++) pthread_create(threads + i, 0, work, malloc(40));
                for (int i = 0; i < 4; i++) {
                  void* stream;
                  pthread_join(threads[i], &stream);
                  fclose(stream);
                }
              }
              for (int i = 0; i < 3; i++) (void)!open("/dev/null", O_RDONLY);
              if (fork() == 0) _exit(3);
              wait(0);
              puts("done");
              return 6;
            }"""
        for sanitizer, options in (("thread", []), ("leak", []), ("undefined", []), ("address", []),
                                   ("address", ["-static-libasan"]), ("thread", ["-static-libtsan"])):
            with self.subTest(sanitizer=sanitizer, options=options):
                name = sanitizer + "-program" + "".join(options)
                program = Place.program(name, "gcc", f"-fsanitize={sanitizer}", *options, source=source)
                result = harness.run([program], options=["--quiet"])
                self.assertEqual((result.status, result.stdout, result.stderr), (6, "done\n", ""), result)
                self.assertEqual(result.report["totals"]["fd"]["live"], 3, result)


def untracked(report):
    """{(program's name, reason): count} of a report."""
    return {(os.path.basename(one["program"]), one["reason"]): one["count"] for one in report["untracked"]}


class Named(unittest.TestCase):
    """What was not tracked is said, with its reason, and no rule passes over it."""

    def gated(self, command, name, reason, options=(), env=None):
        result = harness.run(command, options=["--fail-on", "fd>0", *options], env=env)
        self.assertEqual(result.status, 125, result)
        self.assertFalse(result.report["complete"], result)
        ((found, why),) = untracked(result.report)
        self.assertEqual(found, name, result.report["untracked"])
        self.assertIn(reason, why)
        line = [line for line in result.stderr.splitlines() if "--allow-untracked" in line]
        self.assertEqual(len(line), 1, result)
        self.assertIn(name, line[0])
        # Without rules it is the program's own status, and a line in the summary.
        loose = harness.run(command, env=env)
        self.assertEqual(loose.status, 0, loose)
        self.assertIn("not tracked", loose.stderr)
        self.assertIn(name, loose.stderr)
        # Accepted, by name or by path, it is still listed.
        for pattern in (name, f"*/{name}", "nothing, b*, " + name):
            accepted = harness.run(command, options=["--fail-on", "fd>0", "--allow-untracked", pattern], env=env)
            self.assertEqual(accepted.status, 0, accepted)
            self.assertTrue(accepted.report["untracked"][0]["allowed"], accepted)
        return result

    def test_static_programs(self):
        for command in (["/bin/sh", "-c", f"{static()}; true"], ["/bin/sh", "-c", f"{static()} & wait; true"]):
            with self.subTest(command=command):
                result = self.gated(command, "static", "statically linked")
                self.assertEqual(sum(untracked(result.report).values()), 1)

    def test_static_programs_that_the_loader_runs(self):
        with open(ordinary(), "rb") as file:
            loader = re.search(rb"/lib[\w/.-]*/ld-linux[\w.-]*", file.read()).group().decode()
        for words in ("", "--inhibit-cache --library-path /tmp "):
            with self.subTest(words=words):
                self.gated(["/bin/sh", "-c", f"{loader} {words}{static()}; true"], "static", "statically linked")
        for command in (f"{loader} {ordinary()}", f"{loader} --verify {static()}"):
            result = harness.run(["/bin/sh", "-c", f"{command}; true"])
            self.assertEqual(result.report["untracked"], [], result)

    def test_as_the_command_itself(self):
        source = "int main(void) { return 0; }"
        program = Place.program("quiet", "gcc", "-static", source=source)
        self.gated([program], "quiet", "statically linked", env={"UNFREED_BACKEND": "preload"})
        self.gated(["/bin/sh", "-c", f"exec {program}"], "quiet", "statically linked")

    def test_musl_programs_without_the_library_for_them(self):
        # By a name that leads to glibc's library alone.
        away = Place.path("away/libunfreed.so")
        os.makedirs(os.path.dirname(away), exist_ok=True)
        shutil.copy(harness.LIBRARY, away)
        result = harness.preload([harness.program("starts"), "spawn", musl(), "word"], env={"LD_PRELOAD": away})
        listed = [one for report in result.reports.values() for one in report["untracked"]]
        self.assertEqual([os.path.basename(one["program"]) for one in listed], ["musl"], result)
        self.assertIn("musl", listed[0]["reason"])

    def test_scrubbed_environments(self):
        for scrub in ("env -i", "LD_PRELOAD=", "env -u LD_PRELOAD"):
            with self.subTest(scrub=scrub):
                self.gated(["/bin/sh", "-c", f"{scrub} {ordinary()}; true"], "ordinary", "LD_PRELOAD")
        self.gated(["/bin/sh", "-c", f"env -u UNFREED_SESSION {ordinary()} >/dev/null; true"], "ordinary",
                   "UNFREED_SESSION", env={"UNFREED_OUTPUT": "/dev/null"})

    def test_scrubbed_environments_that_are_restored(self):
        """With --follow force. The program finds the rest of its environment as it was given."""
        speaks = ordinary()
        for scrub in ("env -i KEPT=1", "LD_PRELOAD=", "env -u LD_PRELOAD", "env -u UNFREED_SESSION", "env -i sh -c",
                      "exec env -i", "env -i timeout 60", "env -i LD_PRELOAD=libm.so.6"):
            for bare in (False, True):
                with self.subTest(scrub=scrub, bare=bare):
                    command = ["/bin/sh", "-c", f"{scrub} {speaks}; true"]
                    settings = {"UNFREED_FOLLOW": "force"}
                    result = harness.preload(command, env=settings) if bare else harness.run(command, env=settings)
                    self.assertEqual([report["untracked"] for report in result.reports.values() if report["untracked"]], [],
                                     result)
                    reports = [report for report in result.reports.values() if report["process"]["exe"] == speaks]
                    self.assertEqual(len(reports), 1, result)
        result = harness.run(["env", "-i", "A=1", "LD_PRELOAD=libm.so.6", "UNFREED_FOLLOW=environment", "/usr/bin/env"],
                             options=["--follow", "force"])
        shown = sorted(line for line in result.stdout.splitlines() if not line.startswith("UNFREED_"))
        self.assertEqual([line.split("=")[0] for line in shown], ["A", "LD_PRELOAD"])
        self.assertTrue(shown[1].endswith("libunfreed.so:libm.so.6"), shown)
        self.assertEqual([line for line in result.stdout.splitlines() if line.startswith("UNFREED_FOLLOW")],
                         ["UNFREED_FOLLOW=environment"], "what a program gives stays")
        empty = Place.program("empty", source="""
            #include <unistd.h>
            int main(void) { char* arguments[] = {"true", 0}; execve("/bin/true", arguments, 0); return 1; }""")
        result = harness.run([empty], options=["--follow", "force"])
        self.assertEqual((result.status, result.report["untracked"]), (0, []), result)
        unreadable = Place.program("unreadable", source="""
            #include <stdio.h>
            #include <string.h>
            #include <sys/mman.h>
            #include <unistd.h>
            int main(void) {
              char* pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              munmap(pages + 4096, 4096);
              memset(pages + 4090, 'A', 6);
              char* environment[] = {pages + 4090, 0};
              char* arguments[] = {"true", 0};
              execve("/bin/true", arguments, environment);
              perror("execve");
              return 5;
            }""")
        result = harness.run([unreadable], options=["--quiet", "--follow", "force"])
        self.assertEqual((result.status, result.stderr), (5, "execve: Bad address\n"))
        self.gated(["/bin/sh", "-c", f"env -i {static()}; true"], "static", "statically linked",
                   env={"UNFREED_FOLLOW": "force", "UNFREED_BACKEND": "preload"})
        off = harness.run(["/bin/sh", "-c", f"env -i UNFREED_DISABLE=1 {speaks}; true"], options=["--follow", "force"])
        self.assertEqual((off.status, off.report["untracked"]), (0, []), off)

    def test_switched_off_by_the_user_is_his_own_word(self):
        result = harness.run(["/bin/sh", "-c", f"UNFREED_DISABLE=1 {ordinary()}; true"], options=["--fail-on", "fd>0"])
        self.assertEqual((result.status, result.report["untracked"]), (0, []), result)

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a file away")
    def test_set_uid_programs(self):
        program = Place.program("raised", source=SPEAKS)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o4755)
        self.gated(["/bin/sh", "-c", f"{program}; true"], "raised", "set-uid")

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "only root can become another user")
    def test_started_by_who_has_become_another_user(self):
        # Such a process may not write to the run's list: its ledger has them.
        become = "setpriv --reuid=65533 --clear-groups"
        program = Place.program("raised", source=SPEAKS)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o4755)
        self.gated(["/bin/sh", "-c", f"{become} {program}; true"], "raised", "set-uid")

    def test_whose_ledger_is_not_with_the_runs(self):
        """It counts in memory of its own, or in another folder, and its report is none of the run's."""
        program = f"{harness.program('fd_open')} leak"
        self.gated(["/bin/sh", "-c", f"ulimit -f 0; {program}; true"], "fd_open", "reports separately")

    def test_whose_run_lies_behind_a_mount(self):
        program = f"{harness.program('fd_open')} leak"
        if harness.bare(["unshare", "-m", "true"]).status != 0:
            self.skipTest("no mount namespace here")
        for hides in ("mount -t tmpfs none $UNFREED_LEDGER_DIR", "umount -l $UNFREED_LEDGER_DIR"):
            with self.subTest(hides=hides), harness.Scratch() as scratch:
                command = ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none {scratch.ledgers} && exec {harness.COMMAND} run -o "
                           f"{scratch.path('report.json')} --fail-on 'fd>0' -- sh -c \"unshare -m sh -c '{hides}; {program}'; true\""]
                result = harness.bare(command, env={"UNFREED_LEDGER_DIR": scratch.ledgers}, cwd=scratch.folder)
                self.assertEqual(result.status, 125, result)
                self.assertIn("fd_open (its ledger could not be kept with those of the run", result.stderr)
                self.assertFalse(harness.read_report(scratch.path("report.json"))["complete"])

    def test_equal_programs_are_counted_together(self):
        script = f"for i in 1 2 3 4 5 6 7; do {static()}; done; (cd / && {static()}); true"
        result = harness.run(["/bin/sh", "-c", script], options=["--fail-on", "fd>0"])
        self.assertEqual(result.status, 125, result)
        self.assertEqual(list(untracked(result.report).values()), [8], result)
        self.assertIn("8 times", result.stderr)

    def test_programs_that_were_not_asked_for_are_not_complained_of(self):
        result = harness.run(["/bin/sh", "-c", f"{static()}; true"],
                             options=["--fail-on", "fd>0", "--only", "sh,dash"])
        self.assertEqual((result.status, result.report["untracked"]), (0, []), result)
        # Asked for, and started by a program that was not.
        result = harness.run(["/bin/sh", "-c", f"{static()}; true"], options=["--fail-on", "fd>0", "--only", "static"])
        self.assertEqual(result.status, 125, result)
        self.assertIn("static", result.stderr)

    def test_every_way_of_starting_is_seen(self):
        program = static()
        for way in WAYS:
            with self.subTest(way=way):
                result = harness.run([harness.program("starts"), way, program], options=["--quiet"])
                self.assertEqual(sum(untracked(result.report).values()), 1, result.report["untracked"])
        for way in SHELLS:
            with self.subTest(way=way):
                result = harness.run([harness.program("starts"), way, program], options=["--quiet"])
                self.assertEqual(sum(untracked(result.report).values()), 1, result.report["untracked"])

    def test_what_still_runs_and_nobody_saw_start(self):
        """A static program starts another, which outlives the command."""
        sleeper = Place.program("sleeper", "gcc", "-static", source="#include <unistd.h>\nint main(void) { sleep(3); }")
        source = f"#include <unistd.h>\nint main(void) {{ if (fork() == 0) execl(\"{sleeper}\", \"x\", (char*)0); return 0; }}"
        starter = Place.program("starter", "gcc", "-static", source=source)
        result = harness.run(["/bin/sh", "-c", f"{starter}; sleep 0.2"], options=["--quiet"])
        self.assertEqual({name for name, _ in untracked(result.report)}, {"starter", "sleeper"}, result.report["untracked"])

    def test_reports_that_are_judged_later(self):
        with harness.Scratch() as scratch:
            result = harness.run(["/bin/sh", "-c", f"{static()}; true"], scratch=scratch)
            report = scratch.path("report.json")
            for allowed, status in ((None, 125), ("nothing", 125), ("static", 0)):
                options = ["--allow-untracked", allowed] if allowed else []
                checked = harness.unfreed("check", report, "--fail-on", "fd>0", *options)
                self.assertEqual(checked.status, status, (allowed, checked, result))
            self.assertIn("static", harness.unfreed("report", "--format", "html", report).stdout)
            self.assertIn("not tracked", harness.unfreed("report", report).stdout)

    def test_an_exec_that_fails_starts_nothing(self):
        source = """
            #include <stdlib.h>
            #include <string.h>
            #include <unistd.h>
            int main(int c, char** v) {
              static char big[1 << 18];
              memset(big, 'a', sizeof big - 1);
              char* words[] = {v[1], big, NULL};
              return execv(v[1], words) == -1 ? 0 : 1;
            }"""
        program = Place.program("fails", source=source)
        result = harness.run([program, static()], options=["--fail-on", "fd>0"])
        self.assertEqual((result.status, result.report["untracked"]), (0, []), result)

    def test_a_broken_rule_is_still_a_broken_rule(self):
        result = harness.run(["/bin/sh", "-c", f"{static()}; {harness.program('fd_open')} leak; true"],
                             options=["--fail-on", "fd>0"])
        self.assertEqual(result.status, 23, result)

    def test_the_bare_preload_lists_what_the_process_started(self):
        for helper in (True, False):
            with self.subTest(helper=helper):
                result = harness.preload(["/bin/sh", "-c", f"{static()} >/dev/null; {static()}; true"], helper=helper,
                                         env={"UNFREED_FAIL_ON": "fd>0"})
                self.assertEqual(result.status, 0, "a rule speaks of its own process")
                self.assertEqual(list(untracked(result.report).values()), [2], result.report["untracked"])
                self.assertTrue(any("this process alone" in note for note in result.report["notes"]), result.report["notes"])

    def test_the_bare_preload_says_that_its_rules_are_given_up(self):
        for rules, allowed, lines in (("fd>0", "", 1), ("", "", 0), ("fd>0", "static", 0)):
            with self.subTest(rules=rules, allowed=allowed):
                result = harness.preload(["/bin/sh", "-c", f"exec {static()}"],
                                         env={"UNFREED_FAIL_ON": rules, "UNFREED_ALLOW_UNTRACKED": allowed})
                self.assertEqual(result.status, 4, result)
                self.assertEqual(result.stderr.count("replaces this process and is not tracked"), lines, result)


class Partly(unittest.TestCase):
    def test_go_programs_are_seen_in_part(self):
        """A program with Go's note: its runtime would make system calls by itself."""
        source = """
            #include <fcntl.h>
            __attribute__((section(".note.go.buildid"), used, aligned(4)))
            static const struct { int a, b, c; char name[4]; int value; } note = {4, 4, 4, "Go", 0};
            int main(int c, char** v) { return c > 1 ? (open("/dev/null", O_RDONLY), 0) : 0; }"""
        program = Place.program("go", source=source)
        for rules, status in (("fd>0", 125), ("child>0", 125), ("thread>0", 125), ("heap>100000", 0)):
            with self.subTest(rules=rules):
                result = harness.run([program], options=["--backend=preload", "--fail-on", rules])
                self.assertEqual(result.status, status, result)
                self.assertEqual(result.report["coverage"]["fd"], "partial")
                self.assertTrue(any("Go program" in note for note in result.report["notes"]), result.report["notes"])
        broken = harness.run([program, "leak"], options=["--backend=preload", "--fail-on", "fd>0"])
        self.assertEqual((broken.status, broken.report["rules"][0]["value"]), (23, 1), "what was seen breaks the rule")

    def test_memory_that_malloc_did_not_give_is_said_in_figures(self):
        source = """
            #include <stdlib.h>
            #include <string.h>
            #include <sys/mman.h>
            int main(int c, char** v) {
              size_t size = 200 << 20;
              void* block = c > 1 ? malloc(size) : mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              memset(block, 1, size);
              return 0;
            }"""
        program = Place.program("large", source=source)
        (note,) = [note for note in harness.run([program]).report["notes"] if "MiB" in note]
        self.assertRegex(note, r"^20\d MiB .* malloc was seen to return 0 MiB")
        self.assertEqual(harness.run([program, "malloc"]).report["notes"], [])

    def test_libraries_that_find_libc_first(self):
        library = Place.program("bypassing.so", "gcc", "-shared", "-fPIC",
                                source="#include <fcntl.h>\nvoid take(void) { open(\"/dev/null\", O_RDONLY); }")
        source = f"""
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <string.h>
            int main(int c, char** v) {{
              void* handle = !strcmp(v[1], "deep")    ? dlopen("{library}", RTLD_NOW | RTLD_DEEPBIND)
                             : !strcmp(v[1], "apart") ? dlmopen(LM_ID_NEWLM, "{library}", RTLD_NOW)
                                                      : dlopen("{library}", RTLD_NOW);
              return handle ? 0 : 1;
            }}"""
        program = Place.program("opener", source=source)
        for how, status, coverage in (("deep", 125, "partial"), ("apart", 125, "partial"), ("plain", 0, "exact")):
            with self.subTest(how=how):
                result = harness.run([program, how], options=["--fail-on", "fd>0"])
                self.assertEqual((result.status, result.report["coverage"]["fd"]), (status, coverage), result)
                remedy = "unless the program is run with --no-deepbind"
                told = [line for line in result.stderr.splitlines() if "not checked fd>0" in line and remedy in line]
                self.assertEqual(len(told), how == "deep", result.stderr)
        take = source.replace("return handle ? 0 : 1;", "((void (*)(void)) dlsym(handle, \"take\"))();")
        program = Place.program("caller", source=take)
        result = harness.run([program, "deep"], options=["--fail-on", "fd>0", "--no-deepbind"])
        self.assertEqual((result.status, result.report["coverage"]["fd"]), (23, "exact"), result)
        (site,) = harness.live_sites(result.report, "fd")
        self.assertEqual(harness.top(site)["function"], "take")

    def test_what_only_unseen_memory_leads_to_is_not_called_lost(self):
        library = Place.program("keeper.so", "gcc", "-shared", "-fPIC", source="""
            #include <stdlib.h>
            static void** kept;
            void keep(void* block) { kept = malloc(sizeof *kept); *kept = block; }""")
        program = Place.program("kept", source=f"""
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <stdlib.h>
            #include <string.h>
            int main(int c, char** v) {{
              void* handle = dlopen("{library}", RTLD_NOW | RTLD_DEEPBIND);
              void (*keep)(void*) = (void (*)(void)) dlsym(handle, "keep");
              keep(malloc(99));
              void* volatile lost = c > 1 ? malloc(99) : 0;
              lost = 0;
              return 0;
            }}""")
        for arguments, options, status in (([], [], 125), ([], ["--no-deepbind"], 0), (["lose"], ["--no-deepbind"], 23)):
            with self.subTest(arguments=arguments, options=options):
                result = harness.run([program, *arguments], options=["--fail-on", "heap.lost>0", *options])
                self.assertEqual(result.status, status, result)

    def test_go_libraries(self):
        source = """
            __attribute__((section(".note.go.buildid"), used, aligned(4)))
            static const struct { int a, b, c; char name[4]; int value; } note = {4, 4, 4, "Go", 0};"""
        library = Place.program("libgo.so", "gcc", "-shared", "-fPIC", source=source)
        opener = Place.program("go-opener", source=f"""
            #include <dlfcn.h>
            int main(void) {{ return dlopen("{library}", RTLD_NOW) ? 0 : 1; }}""")
        linked = Place.program("go-linked", "gcc", "-Wl,--no-as-needed", library, source="int main(void) { return 0; }")
        for program in (opener, linked):
            with self.subTest(program=program):
                result = harness.run([program], options=["--fail-on", "fd>0"])
                self.assertEqual((result.status, result.report["coverage"]["fd"]), (125, "partial"), result)
                self.assertTrue(any("libgo.so is a Go library" in note for note in result.report["notes"]), result)

    def test_allocators_under_names_of_their_own(self):
        """As Rust programs have them: what they give does not come by malloc, and a rule on the heap is not checked."""
        source = "#include <stdio.h>\nint main(int c, char** v) { return c > 5 ? printf(\"<jemalloc>: %s\", v[1]) : 0; }"
        program = Place.program("hidden-jemalloc", "gcc", "-s", source=source)
        for runner in (lambda: harness.run([program], options=["--fail-on", "heap>1000000"]),
                       lambda: harness.preload([program], env={"UNFREED_FAIL_ON": "heap>1000000"}),
                       lambda: harness.preload([program], env={"UNFREED_FAIL_ON": "heap>1000000"}, helper=False)):
            result = runner()
            self.assertEqual(result.status, 125, result)
            self.assertEqual(result.report["coverage"]["heap"], "partial")
            self.assertTrue(any("jemalloc" in note for note in result.report["notes"]), result.report["notes"])


if __name__ == "__main__":
    harness.main()
