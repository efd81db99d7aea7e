#!/usr/bin/python3
"""Programs that cannot take the library run as they would without it, and what is not tracked is named."""
import os
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
        """A static program hands on what it was given: under `unfreed run`, a name that musl finds nothing under."""
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


if __name__ == "__main__":
    harness.main()
