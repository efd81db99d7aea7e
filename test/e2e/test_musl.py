#!/usr/bin/python3
"""Programs of musl are tracked by a library of their own, which their loader finds by the same LD_PRELOAD."""
import glob
import os
import shutil
import subprocess
import tempfile
import unittest

import harness

MUSL_LIBRARY = os.path.join(os.path.dirname(harness.LIBRARY), "musl", "libunfreed-musl.so")
BY_ANY_LOADER = os.path.join(os.path.dirname(harness.LIBRARY), "preload", "$LIB", "libunfreed.so")

LEAKS = """
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static void* body(void* given) { return given; }
static void leak(void) {
  open("/etc/passwd", O_RDONLY);            // @open
  char* volatile block = malloc(100);       // @malloc
  block = strdup("eleven byte");            // @strdup
  block = calloc(3, 50);
  block = realloc(block, 700);              // @realloc
  FILE* volatile stream = fopen("/etc/passwd", "r");  // @fopen
  free(malloc(10));
  fclose(fopen("/etc/passwd", "r"));
  closedir(opendir("/"));
  close(dup(0));
}
int main(int argc, char** argv) {
  for (int i = 0; i < 3; i++) leak();       // @leak
  pthread_t joined, left;
  pthread_create(&joined, 0, body, 0);
  pthread_join(joined, 0);
  pthread_create(&left, 0, body, 0);        // @thread
  struct stat tasks;
  while (stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 3) usleep(1000);  // until it has ended
  int waited = fork();
  if (!waited) _exit(0);
  waitpid(waited, 0, 0);
  int child = fork();                       // @fork
  if (!child) _exit(0);
  siginfo_t about;
  waitid(P_PID, child, &about, WEXITED | WNOWAIT);
  int own = 0;
  DIR* list = opendir("/proc/self/fd");
  for (struct dirent* one; (one = readdir(list));) own += one->d_name[0] != '.' && atoi(one->d_name) > 2;
  own--;  // the list's own
  closedir(list);
  printf("%d\\n", own);
  if (argc > 1 && !strcmp(argv[1], "exit")) exit(atoi(argv[2]));
  if (argc > 1 && !strcmp(argv[1], "errx")) errx(atoi(argv[2]), "as asked");
  if (argc > 1) return atoi(argv[1]);
  return 0;
}
"""
QUIET = "#include <stdio.h>\nint main(void) { puts(\"quiet\"); return 0; }"
CHAIN = """
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char** argv) {
  open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fork() == 0) { execv(argv[1], argv + 1); _exit(9); }
  extern int wait(int*);
  int status;
  wait(&status);
  return status >> 8;
}
"""
HOLDS = "#include <fcntl.h>\nint main(void) { open(\"/dev/null\", 0); open(\"/dev/null\", 0); return 4; }"

# Alpine's gcc links a table of unwind information, Debian's musl-gcc does not.
WAYS_TO_BUILD = [[], ["-O2"], ["-Wl,--eh-frame-hdr"], ["-O2", "-Wl,--eh-frame-hdr"], ["-Os"]]


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="unfreed-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        os.chmod(cls.folder, 0o755)

    def program(self, name, source, compiler="musl-gcc", *options):
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            with open(path + ".c", "w") as file:
                file.write(source)
            subprocess.run([compiler, "-g", "-w", *options, "-o", path, path + ".c"], check=True)
        return path

    def leaks(self, *options):
        return self.program("leaks" + "".join(options), LEAKS, "musl-gcc", *options)


class Tracked(Programs):
    def look(self, program, result):
        report = result.report
        self.assertEqual({kind: report["coverage"][kind] for kind in ("fd", "heap", "thread", "child")},
                         dict.fromkeys(("fd", "heap", "thread", "child"), "exact"), result)
        self.assertEqual(report["process"]["exe"], program)
        # As /proc has it: the program has counted what it held above its standard streams, and was given none.
        self.assertEqual(report["totals"]["fd"]["live"], 6, result)
        self.assertEqual(report["totals"]["fd"]["unattributed"], 0, result)
        self.assertEqual((report["totals"]["thread"]["live"], report["totals"]["child"]["live"]), (1, 1), result)
        # libc's own blocks, of the three streams, are not the program's.
        self.assertEqual((report["totals"]["heap"]["live"], report["totals"]["heap"]["bytes"]), (9, 3 * (100 + 12 + 700)),
                         result)
        found = {(site["acquired_by"], site["live"], site.get("bytes", 0)) for site in harness.live_sites(report)}
        self.assertEqual(found, {("open", 3, 0), ("fopen", 3, 0), ("malloc", 3, 300), ("malloc", 3, 36),
                                 ("realloc", 3, 2100), ("pthread_create", 1, 0), ("fork", 1, 0)}, result)

    def test_exact_counts(self):
        for options in WAYS_TO_BUILD:
            program = self.leaks(*options)
            for runner in ("run", "preload"):
                with self.subTest(options=options, runner=runner):
                    if runner == "run":
                        result = harness.run([program])
                    else:
                        result = harness.preload([program], env={"LD_PRELOAD": BY_ANY_LOADER})
                    self.assertEqual((result.status, result.stdout), (0, "6\n"), result)
                    self.look(program, result)

    def test_lines(self):
        program = self.leaks()
        result = harness.run([program])
        source = program + ".c"
        for marker, acquired_by, within in (("open", "open", ""), ("malloc", "malloc", ""), ("strdup", "malloc", "strdup"),
                                            ("realloc", "realloc", ""), ("fopen", "fopen", ""),
                                            ("thread", "pthread_create", ""), ("fork", "fork", "")):
            with self.subTest(marker=marker):
                line = harness.line_of(source, marker)
                stacks = [site["stack"] for site in harness.live_sites(result.report)
                          if site["acquired_by"] == acquired_by and
                          any(frame.get("line") == line for frame in site["stack"])]
                self.assertEqual(len(stacks), 1, result)
                own = [frame for frame in stacks[0] if frame.get("file") == source]
                self.assertEqual(own[0]["line"], line)
                self.assertEqual(own[-1]["function"], "main")
                if within:
                    self.assertEqual(stacks[0][0]["function"], within)

    def test_rules_and_statuses(self):
        program = self.leaks()
        for arguments, status, ends_with in (([], 0, 23), (["exit", "0"], 0, 23), (["exit", "3"], 3, 3), (["5"], 5, 5),
                                             (["errx", "7"], 7, 7)):
            for runner in ("run", "preload"):
                with self.subTest(arguments=arguments, runner=runner):
                    settings = {"UNFREED_FAIL_ON": "fd>5,heap.bytes>1,thread>0,child>0"}
                    if runner == "run":
                        result = harness.run([program, *arguments], env=settings)
                    else:
                        result = harness.preload([program, *arguments], env={**settings, "LD_PRELOAD": BY_ANY_LOADER})
                    self.assertEqual((result.status, result.stdout), (ends_with, "6\n"), result)
                    self.assertEqual([rule["broken"] for rule in result.report["rules"]], [True] * 4, result)
        quiet = self.program("quiet", QUIET)
        result = harness.run([quiet], env={"UNFREED_FAIL_ON": "fd>0,heap>0,thread>0,child>0"})
        self.assertEqual((result.status, result.stdout), (0, "quiet\n"), result)

    def test_what_doctor_says(self):
        result = harness.unfreed("doctor", self.leaks())
        self.assertEqual(result.status, 0, result)
        self.assertIn("can be tracked", result.stdout)
        self.assertIn("its libc is musl", result.stdout)

    def test_lost_and_reachable_blocks(self):
        program = self.program("grades", """
            #include <stdlib.h>
            static char* kept;
            static _Thread_local char* kept_by_thread;
            static void lose(void) { char* volatile lost = malloc(300); lost = 0; }
            int main(void) { kept = malloc(100); kept_by_thread = malloc(200); lose(); return 0; }
        """)
        result = harness.run([program])
        grades = {site["bytes"]: site["grade"] for site in harness.live_sites(result.report, "heap", informational=True)}
        self.assertEqual(grades, {100: "held", 200: "held", 300: "leaked"}, result)


class Chains(Programs):
    def check(self, result, expected):
        held = {os.path.basename(report["process"]["exe"]): report["totals"]["fd"]["live"]
                for report in result.reports.values()}
        self.assertEqual({name: held.get(name) for name in expected}, expected, result)
        self.assertEqual([one for report in result.reports.values() for one in report["untracked"]], [], result)

    def test_from_one_libc_to_the_other_and_back(self):
        """glibc, musl, glibc, musl: each is tracked, whatever LD_PRELOAD the first one was given."""
        outer, middle = self.program("outer", CHAIN, "gcc"), self.program("middle", CHAIN)
        inner, last = self.program("inner", CHAIN, "gcc"), self.program("last", HOLDS)
        command = [outer, middle, inner, last]
        expected = {"outer": 1, "middle": 1, "inner": 1, "last": 2}
        result = harness.run(command, options=["--all-reports"])
        self.assertEqual(result.status, 4, result)
        self.check(result, expected)
        for name in (harness.LIBRARY, BY_ANY_LOADER):
            with self.subTest(name=name):
                result = harness.preload(command, env={"LD_PRELOAD": name})
                self.assertEqual(result.status, 4, result)
                self.check(result, expected)

    def test_through_a_static_program_and_a_shell(self):
        static = self.program("static", CHAIN, "gcc", "-static")
        result = harness.preload([static, self.program("last", HOLDS)], env={"LD_PRELOAD": BY_ANY_LOADER})
        self.assertEqual(result.status, 4, result)
        self.check(result, {"last": 2})
        result = harness.run(["/bin/sh", "-c", f"{self.program('last', HOLDS)}; exit 6"], options=["--all-reports"])
        self.assertEqual(result.status, 6, result)
        self.check(result, {"last": 2})

    def test_without_the_library_for_musl(self):
        """It is said."""
        away = os.path.join(self.folder, "away")
        os.makedirs(os.path.join(away, "preload"))
        shutil.copy(harness.LIBRARY, away)
        result = harness.preload([harness.program("starts"), "spawn", self.program("last", HOLDS)],
                                 env={"LD_PRELOAD": os.path.join(away, "libunfreed.so")})
        self.assertEqual(result.status, 4, result)
        listed = [one for report in result.reports.values() for one in report["untracked"]]
        self.assertEqual([os.path.basename(one["program"]) for one in listed], ["last"], result)
        self.assertIn("musl", listed[0]["reason"])


class Root(Programs):
    def test_a_root_that_has_musl_alone(self):
        """As in an image of Alpine: musl's loader, programs of musl, the mounted library; no glibc."""
        root = os.path.join(self.folder, "root")
        for name in ("lib", "proc", "tmp", "dev/shm", "bin", "unfreed/preload/$LIB", "etc"):
            os.makedirs(os.path.join(root, name))
        open(os.path.join(root, "dev/null"), "w").close()
        loader = "/lib/ld-musl-x86_64.so.1"
        shutil.copy(os.path.realpath(loader), root + loader)
        shutil.copy(MUSL_LIBRARY, os.path.join(root, "unfreed/preload/$LIB/libunfreed.so"))
        shutil.copy("/etc/passwd", os.path.join(root, "etc/passwd"))
        shutil.copy(self.leaks(), os.path.join(root, "bin/leaks"))
        shutil.copy(self.program("middle", CHAIN), os.path.join(root, "bin/middle"))
        namespaces = ["unshare", "-r", "-m", "-p", "-f", "sh", "-c",
                      'mount -t proc proc "$0/proc" && mount -t tmpfs none "$0/dev/shm" && exec chroot "$0" "$@"', root]
        probe = subprocess.run([*namespaces, "/bin/leaks"], capture_output=True, text=True)
        if "unshare:" in probe.stderr or "mount:" in probe.stderr:
            self.skipTest("no namespaces here: " + probe.stderr.strip())
        self.assertEqual((probe.returncode, probe.stdout), (0, "6\n"), probe)
        # The variable is set within: the programs before it are the host's.
        within = ('mount -t proc proc "$0/proc" && mount -t tmpfs none "$0/dev/shm" && '
                  "exec env 'LD_PRELOAD=/unfreed/preload/$LIB/libunfreed.so' UNFREED_OUTPUT=/tmp/%e.json "
                  'UNFREED_FAIL_ON="fd>0" chroot "$0" "$@"')
        result = subprocess.run(["unshare", "-r", "-m", "-p", "-f", "sh", "-c", within, root, "/bin/middle", "/bin/leaks"],
                                capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stdout), (23, "6\n"), result)
        held = {}
        for name in ("leaks", "middle"):
            (path,) = glob.glob(os.path.join(root, "tmp", name + "*.json"))  # of a process that was started, with its pid
            report = harness.read_report(path)
            held[name] = (report["totals"]["fd"]["live"], report["totals"]["fd"]["unattributed"])
        self.assertEqual(held, {"leaks": (6, 0), "middle": (1, 0)})


if __name__ == "__main__":
    harness.main()
