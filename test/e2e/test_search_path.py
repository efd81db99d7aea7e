#!/usr/bin/python3
"""A library that opens others by name finds them along its own RUNPATH, as it does without unfreed."""
import os
import subprocess
import unittest

import harness

PLUGIN = "int answer(void) { return 42; }\n"
HOST = """
#include <dlfcn.h>
#include <stddef.h>
int ask(const char* name) {
  void* plugin = dlopen(name, RTLD_NOW);
  int (*answer)(void) = plugin ? (int (*)(void))dlsym(plugin, "answer") : NULL;
  return answer ? answer() : 0;
}
"""
MAIN = """
int ask(const char* name);
int main(int argc, char** argv) { return argc > 1 ? ask(argv[1]) : 1; }
"""

KEEPS = """#include <fcntl.h>
int keep(void) {
  return open("/dev/null", O_RDONLY) < 0;  // @keep
}
"""
LINKED = """
#include <unistd.h>
int keep(void);
int main(int argc, char** argv) {
  if (argc > 1 && chdir(argv[1]) != 0) return 2;
  return keep();
}
"""
OPENS = """
#include <dlfcn.h>
#include <unistd.h>
int main(int argc, char** argv) {
  if (argc > 1 && chdir(argv[1]) != 0) return 2;
  void* plugin = dlopen("./libkeep.so", RTLD_NOW);
  return plugin ? ((int (*)(void))dlsym(plugin, "keep"))() : 3;
}
"""


def build(folder, output, source, *options):
    name = os.path.join(folder, output + ".c")
    with open(name, "w") as file:
        file.write(source)
    subprocess.run(["gcc", "-g", "-o", os.path.join(folder, output), name, *options], check=True)


class RelativePath(unittest.TestCase):
    """A library that the loader found in a folder with a relative name has lines, wherever the program goes."""

    def test_lines_of_libraries(self):
        with harness.Scratch() as scratch:
            folder = scratch.path("programs")
            os.mkdir(folder)
            build(folder, "libkeep.so", KEEPS, "-shared", "-fPIC")
            build(folder, "linked", LINKED, "-L" + folder, "-lkeep")
            build(folder, "opens", OPENS)
            library = os.path.join(folder, "libkeep.so")
            line = harness.line_of(library + ".c", "keep")
            for program, path, start, *arguments in (("linked", ".", folder), ("linked", ".", folder, "/"),
                                                     ("linked", "programs", scratch.folder, "/"), ("opens", "", folder),
                                                     ("opens", "", "/", folder)):
                for way in (harness.run, harness.preload):
                    with self.subTest(program=program, path=path, arguments=arguments, way=way):
                        result = way([os.path.join(folder, program), *arguments], cwd=start, env={"LD_LIBRARY_PATH": path})
                        self.assertEqual(result.status, 0, result)
                        (site,) = [one for one in result.report["sites"] if one["kind"] == "fd"]
                        top = harness.top(site)
                        self.assertEqual((top["module"], top["function"], top.get("line")), (library, "keep", line))


class SearchPath(unittest.TestCase):

    def programs(self, scratch):
        folder = scratch.path("programs")
        os.makedirs(os.path.join(folder, "plugins"))
        build(folder, "plugins/libplugin.so", PLUGIN, "-shared", "-fPIC")
        build(folder, "libhost.so", HOST, "-shared", "-fPIC", "-Wl,-rpath,$ORIGIN/plugins")
        build(folder, "main", MAIN, "-L" + folder, "-lhost", "-Wl,-rpath," + folder)
        return os.path.join(folder, "main")

    def test_a_caller_with_a_search_path_keeps_it(self):
        for way in (harness.run, harness.preload):
            with harness.Scratch() as scratch:
                program = self.programs(scratch)
                self.assertEqual(harness.execute([program, "libplugin.so"])[0], 42, "bare")
                result = way([program, "libplugin.so"], scratch=scratch)
                self.assertEqual(result.status, 42, result)
                # Its handle is not counted, and that is said.
                self.assertEqual(result.report["coverage"]["library"], "partial")
                self.assertIn("RUNPATH", " ".join(result.report["notes"]))

    def test_a_path_is_counted_and_origin_is_the_callers(self):
        with harness.Scratch() as scratch:
            program = self.programs(scratch)
            by_path = os.path.join(os.path.dirname(program), "plugins", "libplugin.so")
            result = harness.run([program, by_path], scratch=scratch)
            self.assertEqual((result.status, result.report["totals"]["library"]["live"]), (42, 1), result)
            self.assertEqual(result.report["coverage"]["library"], "exact")
            (site,) = [one for one in result.report["sites"] if one["kind"] == "library"]
            self.assertEqual((site["objects"][0]["target"], harness.top(site)["function"]), (by_path, "ask"))
            result = harness.run([program, "$ORIGIN/plugins/libplugin.so"], scratch=scratch)
            self.assertEqual(result.status, 42, result)


if __name__ == "__main__":
    harness.main()
