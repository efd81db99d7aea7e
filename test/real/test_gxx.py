#!/usr/bin/python3
"""g++ compiling and linking: a driver that starts cc1plus, as, collect2 and ld."""
import os
import unittest

import harness

SOURCE = """
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>
int main() {
  std::map<std::string, std::vector<int>> table;
  for (int i = 0; i < 100; i++) table[std::to_string(i % 10)].push_back(i);
  int sum = 0;
  for (auto& [name, numbers] : table) sum += *std::max_element(numbers.begin(), numbers.end());
  std::printf("%d\\n", sum);
}
"""


class Gxx(unittest.TestCase):
    def test_compile_and_link(self):
        with harness.Scratch() as work:
            with open(work.path("program.cpp"), "w") as file:
                file.write(SOURCE)
            arguments = ["-std=c++17", "-O1", "-o"]
            alone = harness.bare(["g++", *arguments, work.path("bare"), work.path("program.cpp")], timeout=120)
            self.assertEqual(alone.status, 0, alone)
            result = harness.run(["g++", *arguments, work.path("tracked"), work.path("program.cpp")], timeout=150,
                                 options=["--all-reports"])
            self.assertEqual((result.status, result.stdout), (0, ""), result)
            with open(work.path("bare"), "rb") as one, open(work.path("tracked"), "rb") as other:
                self.assertEqual(one.read(), other.read(), "the compiler's work is the same, byte for byte")
            self.assertEqual(harness.bare([work.path("tracked")]).stdout, "945\n")

            names = {os.path.basename(r["process"]["exe"]): r for r in result.reports.values()}
            for name in ("cc1plus", "as", "collect2"):
                self.assertTrue(any(name in exe for exe in names), f"{name} among {list(names)}")
            self.assertTrue(any(exe.endswith("ld") or "ld." in exe for exe in names), list(names))
            compiler = names["cc1plus"]
            self.assertEqual(compiler["process"]["exit_status"], 0)
            # cc1plus opens hundreds of headers and allocates without freeing at its end: it knows that it will exit.
            self.assertGreater(compiler["totals"]["fd"]["total"], 100)
            self.assertGreater(compiler["totals"]["heap"]["bytes"], 1_000_000)
            self.assertTrue(compiler["complete"], compiler["notes"])

    def test_error_in_the_source(self):
        with harness.Scratch() as work:
            with open(work.path("bad.cpp"), "w") as file:
                file.write("int main() { return nothing; }\n")
            alone = harness.bare(["g++", "-c", "-o", "/dev/null", work.path("bad.cpp")])
            result = harness.run(["g++", "-c", "-o", "/dev/null", work.path("bad.cpp")],
                                 options=["--quiet", "--fail-on", "thread>0"])
            self.assertEqual((result.status, result.stdout, result.stderr), (alone.status, alone.stdout, alone.stderr))


if __name__ == "__main__":
    harness.main()
