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

# What programs do, with an output that shows what they have seen; the block of the handler and that of compare_once() are left.
MANY_CALLS = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <netdb.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char** environ;
void* volatile left[2];
static int descriptors(void) {
  int count = -1;
  DIR* list = opendir("/proc/self/fd");
  for (struct dirent* one; (one = readdir(list));) count += one->d_name[0] != '.';
  closedir(list);
  return count;
}
static void handle(int number) { close(open("/dev/null", 0)); errno = number; }
static void handle_and_keep(int number) { left[0] = malloc(77); }  // @handler
static int compare(const void* a, const void* b) { free(strdup("x")); return *(int*)a - *(int*)b; }
static int compare_once(const void* a, const void* b) {
  if (!left[1]) left[1] = malloc(55);  // @callback
  return *(int*)a - *(int*)b;
}
static void* work(void* given) {
  for (int i = 0; i < 500; i++) free(realloc(malloc(i + 1), 2 * i + 9));
  return given;
}
static void streams(void) {
  char *line = 0, *text, text_of_pipe[99];
  size_t room = 0, bytes;
  FILE* stream = fopen("/etc/passwd", "r");
  printf("%d\n", getline(&line, &room, stream) > 0);
  free(line);
  fclose(stream);
  stream = open_memstream(&text, &bytes);
  fprintf(stream, "%d", 12345);
  fclose(stream);
  printf("%s %zu\n", text, bytes);
  free(text);
  asprintf(&text, "%s-%d", "text", 42);
  puts(text);
  free(text);
  fflush(stdout);
  stream = popen("echo from popen; exit 3", "r");
  fputs(fgets(text_of_pipe, sizeof text_of_pipe, stream), stdout);
  printf("%d\n", pclose(stream) >> 8);
  stream = tmpfile();
  fputs("x", stream);
  fclose(stream);
}
static void names(void) {
  glob_t found;
  glob("/etc/pass*", 0, 0, &found);
  printf("%d\n", found.gl_pathc > 0);
  globfree(&found);
  regex_t expression;
  regcomp(&expression, "a(b|c)*d", REG_EXTENDED);
  printf("%d\n", regexec(&expression, "xabcbd", 0, 0, 0));
  regfree(&expression);
  struct dirent** list;
  for (int count = scandir("/etc", &list, 0, alphasort); count--;) free(list[count]);
  free(list);
  struct addrinfo* address;
  if (!getaddrinfo("127.0.0.1", "80", 0, &address)) freeaddrinfo(address);
  free(realpath("/etc/../etc/passwd", 0));
  free(getcwd(0, 0));
  setenv("NAME", "1", 1), unsetenv("NAME");
}
static void processes(void) {
  int status;
  pid_t child = vfork();
  if (!child) execl("/bin/echo", "echo", "from vfork", (char*)0), _exit(9);
  waitpid(child, &status, 0);
  char* arguments[] = {"sh", "-c", "read line <&9; echo from spawn $line; exit 7", 0};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 8, "/proc/sys/kernel/ostype", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, 8, 9);
  posix_spawn_file_actions_addclose(&actions, 8);
  printf("%d\n", posix_spawn(&child, "/bin/sh", &actions, 0, arguments, environ));
  posix_spawn_file_actions_destroy(&actions);
  waitpid(child, &status, 0);
  printf("%d\n", WEXITSTATUS(status));
  fflush(stdout);
  if (!(child = fork())) exit(printf("%d in the child\n", descriptors()) > 0 ? 3 : 1);
  waitpid(child, &status, 0);
  printf("%d %d\n", WEXITSTATUS(status), system("exit 4") >> 8);
}
int main(void) {
  printf("%d\n", descriptors());
  signal(SIGUSR1, handle), signal(SIGUSR2, handle_and_keep);
  raise(SIGUSR1), printf("%d\n", errno);
  raise(SIGUSR2);                           // @raise
  printf("%d %d\n", open("/none", 0), errno);
  printf("%d %d\n", dlopen("/none.so", RTLD_NOW) == 0, dlopen(0, RTLD_NOW) != 0);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, work, 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
  int numbers[] = {5, 2, 9, 1};
  qsort(numbers, 4, sizeof *numbers, compare), qsort(numbers, 4, sizeof *numbers, compare_once);  // @qsort
  streams(), names(), processes();
  printf("%d %d\n", numbers[0], descriptors());
  return 5;
}
"""
EXHAUSTS = """
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
int main(void) {
  int count = 0;
  while (open("/dev/null", O_RDONLY) >= 0) count++;  // @open
  printf("%d\\n", errno);
  return 1;
}
"""

# Alpine's gcc links a table of unwind information, Debian's musl-gcc does not.
WAYS_TO_BUILD = [[], ["-O2"], ["-Wl,--eh-frame-hdr"], ["-O2", "-Wl,--eh-frame-hdr"], ["-Os"]]


@unittest.skipUnless(os.path.exists(MUSL_LIBRARY), "built without musl-gcc")
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


    def test_programs_run_as_ever_and_stacks_are_whole(self):
        for options in WAYS_TO_BUILD:
            with self.subTest(options=options):
                program = self.program("calls" + "".join(options), MANY_CALLS, "musl-gcc", *options)
                bare = subprocess.run([program], capture_output=True, text=True)
                result = harness.run([program], env={"UNFREED_FAIL_ON": "fd>0,thread>0,child>0"})
                self.assertEqual((result.status, result.stdout), (5, bare.stdout), result)
                self.assertEqual(bare.returncode, 5)
                report = result.report
                self.assertEqual([rule["broken"] for rule in report["rules"]], [False] * 3, result)
                self.assertEqual(report["notes"], [], result)
                self.assertEqual((report["totals"]["child"]["total"], report["totals"]["thread"]["total"]), (4, 4), result)
                if options[:1] == ["-O2"] or options == ["-Os"]:
                    continue  # inlined
                stacks = {site["bytes"]: [(frame["function"], frame["line"]) for frame in site["stack"] if "line" in frame]
                          for site in report["sites"] if site["kind"] == "heap" and site["live"]}
                line = {marker: harness.line_of(program + ".c", marker) for marker in ("handler", "raise", "callback", "qsort")}
                self.assertEqual(stacks, {77: [("handle_and_keep", line["handler"]), ("main", line["raise"])],
                                          55: [("compare_once", line["callback"]), ("main", line["qsort"])]}, result)

    def test_a_limit_is_named(self):
        program = self.program("exhausts", EXHAUSTS)
        result = harness.run(["/bin/sh", "-c", f"ulimit -n 32; {program}; exit 6"], env={"UNFREED_FAIL_ON": "fd>20"})
        self.assertEqual((result.status, result.stdout), (6, "24\n"), result)
        at_limit = [report for report in result.reports.values() if report["trigger"] == "exhaustion"]
        self.assertEqual([report["process"]["exe"] for report in at_limit], [program], result)
        failure = at_limit[0]["failures"][0]
        self.assertEqual((failure["function"], failure["error"]), ("open", "EMFILE"), failure)
        self.assertEqual(at_limit[0]["sites"][0]["stack"][0]["line"], harness.line_of(program + ".c", "open"))


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
