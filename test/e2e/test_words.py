#!/usr/bin/python3
"""What people read: frames that are their own, verdicts in words, processes by name, and what they may have meant."""
import json
import os
import signal
import subprocess
import unittest

import harness

TEMPLATES = """\
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

using Journal = std::shared_ptr<std::ofstream>;
static Journal start_journal() { return std::make_shared<std::ofstream>("/dev/null"); }

static std::map<std::string, std::map<std::string, std::vector<Journal>>> journals;

template <class First, class Second, class Third>
static void for_all(std::function<void(const std::string&, const std::tuple<First, Second, Third>&)> step) {
  for (int i = 0; i < 4; i++) step("name", {});
}

int main() {
  for_all<std::string, std::vector<std::string>, std::map<std::string, std::vector<int>>>(
      [](const std::string& name, const auto&) { journals[name][name].push_back(start_journal()); });
  quick_exit(0);
}
"""
POOL = """\
#include <pthread.h>
#include <unistd.h>

static void* serve(void* unused) {
  pause();
  return unused;
}

static void start_workers(int count) {
  for (int i = 0; i < count; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, serve, NULL);
  }
}

int main(void) {
  for (int request = 0; request < 5; request++) start_workers(3);
  usleep(100000);
  return 0;
}
"""
INHERITED = """\
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char** argv) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int server = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr*)&any, sizeof any) || listen(server, 1)) return 1;
  if (system("true") != 0) return 2;
  if (argc > 1) pause();
  (void)argv;
  close(server);
  return 0;
}
"""
LEAVES = """\
#include <fcntl.h>

int main(int argc, char** argv) {
  (void)argv;
  for (int i = 0; i < argc; i++) (void)open("/dev/null", O_RDONLY);
  return 0;
}
"""


def build(scratch, text, name, *options):
    source = scratch.path(name + (".cpp" if "<functional>" in text else ".c"))
    with open(source, "w") as file:
        file.write(text)
    binary = scratch.path(name)
    subprocess.run(["g++" if source.endswith("pp") else "gcc", "-w", "-o", binary, source, *options], check=True)
    return binary


def lines_under(text, heading):
    """The lines below one that contains `heading`, as far as they are indented more."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if heading in line)
    indent = len(lines[start]) - len(lines[start].lstrip())
    found = []
    for line in lines[start + 1:]:
        if len(line) - len(line.lstrip()) <= indent:
            break
        found.append(line.strip())
    return found


class Frames(unittest.TestCase):
    def test_own_lines_are_shown_whatever_the_library_does_between(self):
        for level in "02":
            with harness.Scratch() as scratch, self.subTest(level=level):
                result = harness.run([build(scratch, TEMPLATES, "deep", "-g", f"-O{level}", "-std=c++20")])
                shown = lines_under(result.stderr, "4 descriptors from")
                self.assertIn("deep.cpp:9)", shown[0], result)
                self.assertFalse([line for line in shown if "std::_" in line or "/include/" in line], result)
                self.assertLessEqual(max(map(len, result.stderr.splitlines())), 160, result)

    def test_missing_lines_are_said_once_with_what_to_do(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, LEAVES, "leaves")
            result = harness.run([binary, "a"])
            self.assertEqual(result.stderr.count("no source lines for leaves: build it with -g"), 1, result)
            subprocess.run(["strip", binary], check=True)
            result = harness.run([binary, "a"])
            self.assertEqual(result.stderr.count("no function names or source lines for leaves"), 1, result)
            result = harness.run([build(scratch, LEAVES, "lines", "-g"), "a"])
            self.assertNotIn("source lines for", result.stderr)
            result = harness.run(["/usr/bin/python3", "-c", "import os; os.open('/etc/passwd', 0)"],
                                 options=["--track", "fd,heap"])
            self.assertEqual(result.stderr.count("-dbgsym"), 1, result)


class Threads(unittest.TestCase):
    def test_call_sites_whose_threads_pile_up_are_shown_without_a_rule(self):
        with harness.Scratch() as scratch:
            result = harness.run([build(scratch, POOL, "pool", "-g", "-pthread")])
            shown = lines_under(result.stderr, "15 threads still running, of 15")
            self.assertIn("start_workers (", shown[0])
            self.assertIn("pool.c:12)", shown[0])
            self.assertTrue(any(line.startswith("start routine serve (") and "pool.c:4)" in line for line in shown), shown)
            self.assertTrue(any(line.startswith("all blocked at serve (") and "pool.c:5)" in line for line in shown), shown)

    def test_equal_threads_are_one_line(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, POOL.replace("usleep(100000)", "pause()"), "pool", "-g", "-pthread")
            with harness.started([binary], scratch=scratch) as process:
                pid = harness.child_of(process)

                def snapshot():
                    shown = harness.unfreed("snapshot", "-o", scratch.path("s.json"), str(pid),
                                            env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                    return shown if '15 threads "pool" (joinable, waiting)' in shown.stderr else None
                shown = harness.wait_for(snapshot)
                self.assertEqual(shown.stderr.count("blocked at"), 3, "these, the main thread, and the growing call site")


class Inherited(unittest.TestCase):
    def test_descriptors_leaked_across_exec_are_shown_without_a_rule(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, INHERITED, "server", "-g")
            result = harness.run([binary], scratch=scratch)
            self.assertEqual(result.status, 0, result)
            leak, = result.report["inherited_by_child"]
            self.assertRegex(leak["target"], r"^socket:\[\d+\]$")  # it is closed by now
            self.assertRegex(result.stderr, r"descriptor \d+ \(socket:\[\d+\]\) was inherited by \S+ through system\b")
            self.assertIn("server.c:8)", "\n".join(lines_under(result.stderr, "was inherited by")))
            with harness.started([binary, "stay"], scratch=scratch) as process:
                pid = harness.child_of(process)
                target = scratch.path("s.json")

                def snapshot():
                    shown = harness.unfreed("snapshot", "-o", target, str(pid), env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                    return shown if "was inherited by" in shown.stderr else None
                shown = harness.wait_for(snapshot)
                self.assertRegex(shown.stderr, r"\(tcp 127\.0\.0\.1:\d+ listening\) was inherited by")


class Verdicts(unittest.TestCase):
    def test_in_words(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, LEAVES, "leaves", "-g")
            result = harness.run([binary, "a", "b"], scratch=scratch,
                                 options=["--fail-on", "fd>0,fd>5,thread>0,site.fd>=3,heap.bytes>512k"])
            lines = [line.strip() for line in result.stderr.splitlines()]
            for line in ("FAIL fd>0: 3 descriptors held", "pass fd>5: 3 descriptors held", "pass thread>0",
                         "pass heap.bytes>512k"):
                self.assertIn(line, lines, result)
            self.assertRegex(result.stderr, r"FAIL site\.fd>=3: 3 descriptors held at one call site \(\S*leaves\.c:5\)")
            checked = harness.unfreed("check", scratch.path("report.json"), "--fail-on", "fd>0")
            self.assertIn("FAIL fd>0: 3 descriptors held", checked.stdout)
            alone = harness.preload([binary], helper=False, env={"UNFREED_FAIL_ON": "fd>0"})
            self.assertIn("FAIL fd>0: 1 descriptor held; report: ", alone.stderr)

    def test_other_processes_show_arguments_and_place_and_equal_ones_are_one(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, LEAVES, "leaves", "-g")
            script = f"{binary} one; {binary} one; {binary} one; {binary} one two; true"
            result = harness.run(["/bin/sh", "-c", script], options=["--fail-on", "fd>0", "--track", "fd"])
            self.assertEqual(result.status, 23, result)
            shown = result.stderr[result.stderr.index("other processes:"):]
            self.assertEqual(shown.count("): FAIL fd>0: 2 descriptors held\n"), 1, shown)
            self.assertEqual(shown.count("): FAIL fd>0: 3 descriptors held\n"), 1, shown)
            self.assertEqual(shown.count("and 2 more like it: pid "), 1, shown)
            self.assertIn(f"started as: {binary} one two\n", shown)
            self.assertEqual(shown.count("leaves.c:5)"), 2, shown)
            self.assertEqual(len(result.reports), 5, "each has its report")

    def test_other_processes_show_a_place_for_each_broken_rule(self):
        source = """#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
  open(argv[1], O_RDWR | O_CREAT, 0600);
  if (fork() == 0) _exit(0);
  siginfo_t ended;
  waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT);
  for (int i = 0; i < 9; ++i) *(volatile char *)malloc(5000) = 1;
  usleep(atoi(argv[1]));
}
"""
        with harness.Scratch() as scratch:
            binary = build(scratch, source, "three", "-g")
            # Each has a file of its own; what takes longer holds what is older; they are the same otherwise.
            result = harness.run(["/bin/sh", "-c", f"{binary} 0; {binary} 1100000; true"], cwd=scratch.folder,
                                 options=["--fail-on", "fd>0,child>0,heap.lost>0,thread>0"])
            self.assertEqual(result.status, 23, result)
            shown = result.stderr[result.stderr.index("other processes:"):]
            for line in (6, 7, 10):
                self.assertEqual(shown.count(f"three.c:{line})"), 1, shown)
            self.assertEqual(shown.count("and 1 more like it: pid "), 1, shown)


class Meant(unittest.TestCase):
    def test_commands_options_and_variables(self):
        for arguments, words in ((["lsit"], "did you mean 'list'?"), (["snapshto", "1"], "did you mean 'snapshot'?"),
                                 (["run", "--fail-onn", "fd>0", "true"], "did you mean '--fail-on'?"),
                                 (["report", "--formta=json", "x"], "did you mean '--format'?")):
            result = harness.unfreed(*arguments)
            self.assertEqual(result.status, 125, result)
            self.assertIn(words, result.stderr)
        self.assertNotIn("did you mean", harness.unfreed("frobnicate").stderr)
        self.assertNotIn("did you mean", harness.unfreed("run", "--frobnicate", "true").stderr)
        for way in (harness.run, harness.preload):
            result = way(["/bin/true"], env={"UNFREED_FAILON": "fd>0", "UNFREED_URL": "x"})
            self.assertEqual(result.stderr.count("unknown variable UNFREED_FAILON; did you mean UNFREED_FAIL_ON?"), 1)
            self.assertNotIn("UNFREED_URL", result.stderr)

    def test_kinds_in_rules(self):
        for way in (["run", "--fail-on", "fds>0", "true"], ["run", "--report-at", "fds>1", "true"]):
            result = harness.unfreed(*way)
            self.assertEqual(result.status, 125, result)
            self.assertIn("did you mean 'fd'?", result.stderr)
        self.assertNotIn("did you mean", harness.unfreed("run", "--fail-on", "frobnicate>0", "true").stderr)

    def test_what_is_used_instead(self):
        for way in (harness.run, harness.preload):
            result = way(["/bin/true"], env={"UNFREED_TRACK": "fdd"})
            self.assertRegex(result.stderr, "UNFREED_TRACK=fdd: .*; the default is used\n")

    def test_sizes_in_either_case(self):
        for rule, status in (("heap.bytes>512k", 0), ("heap.bytes>1m", 0), ("heap.bytes>1g", 0), ("heap.bytes>0k", 23)):
            result = harness.run([harness.program("heap_malloc"), "leak"], options=["--fail-on", rule, "--sample", "0k"])
            self.assertEqual(result.status, status, f"{rule} {result}")
        self.assertEqual(harness.run(["/bin/true"], options=["--sample", "512k"]).status, 0)

    def test_standard_output(self):
        result = harness.run(["/bin/true"], options=["--quiet", "--output", "-"])
        self.assertEqual(json.loads(result.stdout)["process"]["exit_status"], 0)


class Running(unittest.TestCase):
    def unfreed(self, scratch, *arguments):
        return harness.unfreed(*arguments, env={"UNFREED_LEDGER_DIR": scratch.ledgers})

    def test_processes_by_name_and_by_their_launcher(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, '#include <unistd.h>\nint main(void) { pause(); return 0; }\n', "sitting-duck", "-g")
            with harness.started([binary, "--port", "80"], scratch=scratch) as process:
                pid = harness.child_of(process)
                line = harness.wait_for(lambda: next((line for line in self.unfreed(scratch, "list").stdout.splitlines()
                                                      if "sitting-duck --port 80" in line), None))
                self.assertEqual(line.split()[0], str(pid))
                for target in (str(pid), str(process.pid), "sitting-duck"):
                    shown = self.unfreed(scratch, "snapshot", "--quiet", "-o", "-", target)
                    self.assertEqual(shown.status, 0, shown)
                    self.assertEqual(json.loads(shown.stdout)["process"]["pid"], pid)
                shown = self.unfreed(scratch, "snapshot", "-o", "-", "sitting-dck")
                self.assertEqual((shown.status, shown.stdout), (125, ""))
                self.assertIn(f"{pid} (sitting-duck)", shown.stderr)
                with harness.started([binary], scratch=scratch) as other:
                    second = harness.child_of(other)
                    harness.wait_for(lambda: str(second) in self.unfreed(scratch, "list").stdout)
                    shown = self.unfreed(scratch, "snapshot", "-o", "-", "sitting-duck")
                    self.assertEqual(shown.status, 125, shown)
                    self.assertIn(str(pid), shown.stderr)
                    self.assertIn(str(second), shown.stderr)
                os.kill(pid, signal.SIGTERM)
            harness.wait_for(lambda: str(pid) not in self.unfreed(scratch, "list").stdout)

    def test_the_parent_of_a_tracked_process_is_not_meant(self):
        with harness.Scratch() as scratch:
            with harness.started(["/bin/sleep", "60"], launcher=False, scratch=scratch) as process:
                harness.wait_for(lambda: str(process.pid) in self.unfreed(scratch, "list").stdout)
                shown = self.unfreed(scratch, "snapshot", "-o", "-", str(os.getpid()))
                # It is not tracked itself: what the kernel knows of it is shown, and nothing of its child's.
                self.assertEqual(shown.status, 0, shown)
                report = json.loads(shown.stdout)
                self.assertEqual((report["backend"], report["process"]["pid"]), ("kernel", os.getpid()))


if __name__ == "__main__":
    harness.main()
