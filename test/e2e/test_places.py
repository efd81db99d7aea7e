#!/usr/bin/python3
"""What a call site is: two lines are never one, one line is never several, and a signature outlives a rebuild. Summary,
JSON, `report`, `diff`, suppressions and rules speak of the same places."""
import os
import subprocess
import unittest

import harness

TWO_LINES = """\
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char** argv) {
  (void)argv;
  if (argc > 1) return 0;
  int settings = open("/etc/hostname", O_RDONLY);
  for (int i = 0; i < 12; i++) {
    int journal = open("/dev/null", O_WRONLY);
    if (journal < 0) return 1;
  }
  return settings < 0;
}
"""
UNROLLED = """\
#include <fcntl.h>

__attribute__((noinline)) static void keep_open(void) {
  (void)open("/dev/null", O_WRONLY);
  __asm__("");
}

int main(void) {
  for (int i = 0; i < 6; i++) keep_open();
  return 0;
}
"""
INSTANCES = """\
#include <fcntl.h>

template <class T>
struct Stream {
  __attribute__((noinline)) static int start() {
    int fd = open("/dev/null", O_RDONLY);
    return fd + static_cast<int>(sizeof(T));
  }
};

int main() {
  return Stream<char>::start() + Stream<long>::start() + Stream<Stream<int>>::start() < 0;
}
"""
LAMBDAS = """\
#include <fcntl.h>

#include <functional>
#include <vector>

struct Sink {
  virtual ~Sink() = default;
  virtual int open_it() const = 0;
};
struct Left : Sink {
  int open_it() const override { int fd = open("/dev/null", O_RDONLY); return fd + 1; }
};
struct Right : Sink {
  int open_it() const override { int fd = open("/dev/null", O_RDONLY); return fd + 2; }
};

int main() {
  const Left left;
  const Right right;
  std::vector<std::function<int()>> steps;
  steps.push_back([&] { int fd = left.open_it(); return fd + 1; });
  steps.push_back([&] { int fd = right.open_it(); return fd + 2; });
  steps.push_back([&] { int fd = left.open_it(); return fd + 3; });
  int sum = 0;
  for (auto& step : steps) sum += step();
  return sum < 0;
}
"""
ALIKE = """\
#include <fcntl.h>

#include <vector>

template <class T>
int kept(T value) {
  auto open_it = [](T n) { int fd = open("/dev/null", O_RDONLY); return fd + (n != n); };
  return open_it(value);
}

int main() {
  int (*steps[])() = {
      [] { auto one = [](int n) { int fd = open("/dev/null", O_RDONLY); return fd + n; }; return one(0) + 1; },
      [] { auto one = [](char n) { int fd = open("/dev/null", O_RDONLY); return fd + n; }; return one(0) + 2; },
      [] { int fd = open("/dev/null", O_RDONLY); return fd; }, [] { int fd = open("/dev/null", O_RDONLY); return fd + 1; }};
  int sum = 0;
  for (auto step : steps) sum += step();
  return sum + kept(1) + kept(1.0) + kept('a') < 0;
}
"""
GROWN = """\
#include <vector>

static void remember(std::vector<int*>& all, int number) {
  all.push_back(new int(number));
}

int main() {
  auto* all = new std::vector<int*>;
  for (int i = 0; i < 20; i++) remember(*all, i);
  return 0;
}
"""


def build(scratch, text, *options, name="program", folder="."):
    source = scratch.path(folder, name + (".cpp" if "<vector>" in text or "template" in text else ".c"))
    os.makedirs(os.path.dirname(source), exist_ok=True)
    with open(source, "w") as file:
        file.write(text)
    binary = scratch.path(folder, name)
    subprocess.run(["g++" if source.endswith("pp") else "gcc", "-w", "-o", binary, source, *options], check=True)
    return binary


def places(report, kind="fd"):
    """What is live, by signature: how many, and the innermost lines of the program's own source."""
    found = {}
    for site in harness.live_sites(report, kind):
        line = next((f.get("line") for f in site["stack"] if os.path.basename(f.get("file", "")).startswith("program.")), None)
        count, lines = found.setdefault(site["signature"], [0, set()])
        found[site["signature"]] = [count + site["live"], lines | {line}]
    return found


def headings(text):
    """Of a summary: the number that each place is headed by, and the lines of the program's source under it."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("  ") and not line.startswith("   ") and words and words[0].isdigit():
            found.append((int(words[0]), []))
        elif "program.c" in line and found:
            found[-1][1].append(int(line.rsplit(":", 1)[1].rstrip(")")))
    return found


class Places(unittest.TestCase):
    def check(self, path, rule):
        return harness.unfreed("check", "--quiet", "--fail-on", rule, path).status

    def test_two_lines_of_a_function_are_two_places(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, TWO_LINES, "-g")
            result = harness.run([binary], options=["--fail-on", "site.fd>=12"], scratch=scratch)
            self.assertEqual(result.status, 23, result)
            self.assertEqual(sorted(places(result.report).values()), [[1, {7}], [12, {9}]])
            self.assertEqual(headings(result.stderr), [(12, [9]), (1, [7])])
            self.assertEqual(headings(harness.unfreed("report", scratch.path("report.json")).stdout), [(12, [9]), (1, [7])])
            self.assertEqual(self.check(scratch.path("report.json"), "site.fd>=12"), 23)
            self.assertEqual(self.check(scratch.path("report.json"), "site.fd>=13"), 0)
            os.rename(scratch.path("report.json"), scratch.path("all.json"))
            none = harness.run([binary, "none"], scratch=scratch)
            self.assertEqual(none.status, 0)
            difference = harness.unfreed("diff", scratch.path("report.json"), scratch.path("all.json")).stdout
            self.assertIn("new (2 call sites)", difference)
            for signature, (count, _) in places(result.report).items():
                with open(scratch.path("known.supp"), "w") as file:
                    file.write(f"*:signature:{signature}\n")
                other = harness.run([binary], options=["--suppressions", scratch.path("known.supp"), "--fail-on", "fd>0"])
                self.assertEqual((other.status, harness.counted(other.report)), (23, 13 - count))

    def test_one_line_is_one_place_however_it_is_compiled(self):
        for text, line, count, levels in ((UNROLLED, 4, 6, "0123"), (INSTANCES, 6, 3, "012")):
            signatures = set()
            for level in levels:
                with harness.Scratch() as scratch, self.subTest(level=level, text=text):
                    binary = build(scratch, text, "-g", f"-O{level}")
                    for way in (harness.run, harness.preload):
                        for limit, status in ((count, 23), (count + 1, 0)):
                            env = {"UNFREED_FAIL_ON": f"site.fd>={limit}"}
                            result = way([binary], env=env)
                            self.assertEqual(result.status, status, f"{way.__name__} {env}\n{result}")
                            found = places(result.report)
                            self.assertEqual(list(found.values()), [[count, {line}]])
                            signatures |= set(found)
                            rule, = result.report["rules"]
                            self.assertEqual((rule["value"], rule["broken"]), (count, status == 23))
            self.assertEqual(len(signatures), 1, "the way of compiling does not matter either")

    def test_verdicts_of_the_bare_preload_are_told_with_lines(self):
        with harness.Scratch() as scratch:
            binary = build(scratch, UNROLLED, "-g", "-O3")
            result = harness.preload([binary], env={"UNFREED_FAIL_ON": "site.fd>=6"}, scratch=scratch)
            self.assertEqual(result.status, 23)
            self.assertEqual(headings(result.stderr), [(6, [4, 9])])
            alone = harness.preload([binary], env={"UNFREED_FAIL_ON": "site.fd>=6"}, helper=False)
            self.assertEqual({site["known_by"] for site in harness.live_sites(alone.report, "fd")}, {"function"})

    def test_lambdas_and_methods_of_one_name_are_apart(self):
        for level in "01":
            with harness.Scratch() as scratch, self.subTest(level=level):
                result = harness.run([build(scratch, LAMBDAS, "-g", f"-O{level}")])
                found = sorted((sorted(lines), count) for count, lines in places(result.report).values())
                self.assertEqual(found, [([11], 1), ([11], 1), ([14], 1)], "two lambdas call one method")

    def test_lambdas_are_apart_by_their_lines_alone(self):
        expected = [([7], 3), ([13], 1), ([14], 1), ([15], 2)]
        with harness.Scratch() as scratch:
            before = build(scratch, ALIKE, "-g", folder="a")
            after = build(scratch, "auto other = [](int n) { return n; };\n\n" + ALIKE, "-g", folder="b")
            found = [places(harness.run([binary]).report) for binary in (before, after)]
            self.assertEqual(sorted((sorted(lines), count) for count, lines in found[0].values()), expected)
            self.assertEqual(found[0].keys(), found[1].keys(), "a rebuild does not matter")
            for limit, status in ((3, 23), (4, 0)):
                self.assertEqual(harness.preload([before], env={"UNFREED_FAIL_ON": f"site.fd>={limit}"}).status, status)

    def test_a_line_that_calls_a_library_twice_is_one_place_for_each_function(self):
        with harness.Scratch() as scratch:
            result = harness.run([build(scratch, GROWN, "-g", "-O0")])
            found = places(result.report, "heap")
            self.assertEqual(len([1 for _, lines in found.values() if lines == {4}]), 1, found)
            self.assertEqual(found[next(s for s, (_, lines) in found.items() if lines == {4})][0], 21, "and the vector's own")

    def test_signatures_outlive_a_rebuild(self):
        moved = "\n\n#include <stdlib.h>\nint other(int x) { return x * 7 + abs(x); }\n"
        for options, known_by in ((["-g"], "line"), (["-g", "-O2"], "line"), ([], "function"), (["-O2"], "function")):
            with harness.Scratch() as scratch, self.subTest(options=options):
                before = build(scratch, TWO_LINES, *options, folder="a")
                after = build(scratch, moved + TWO_LINES, *options, folder="b")
                for way in (harness.run, harness.preload):
                    first, second = way([before]), way([after])
                    counts = [{s: count for s, (count, _) in places(one.report).items()} for one in (first, second)]
                    self.assertEqual(sorted(counts[0].values()), [1, 12], "apart without lines, too")
                    self.assertEqual(counts[0], counts[1])
                    for one in (first, second):
                        self.assertEqual({s["known_by"] for s in harness.live_sites(one.report, "fd")}, {known_by})

    def test_library_and_command_sign_alike(self):
        for options in ([], ["-g"]):
            with harness.Scratch() as scratch:
                binary = build(scratch, TWO_LINES, *options)
                alone = harness.preload([binary], helper=False, scratch=scratch)
                name, = alone.reports
                completed = harness.unfreed("report", "--format", "json", scratch.path(name))
                with open(scratch.path("completed.json"), "w") as file:
                    file.write(completed.stdout)
                by_command = places(harness.run([binary]).report)
                self.assertEqual(places(harness.read_report(scratch.path("completed.json"))), by_command)
                if not options:
                    self.assertEqual(places(alone.report), by_command)
                difference = harness.unfreed("diff", "--exit-code", scratch.path(name), scratch.path("completed.json"))
                self.assertEqual(difference.status, 0, difference)


if __name__ == "__main__":
    harness.main()
