#!/usr/bin/python3
"""`meson install`: what goes where, and that it works from wherever it is put."""
import glob
import os
import shutil
import subprocess
import unittest

import harness


class Install(unittest.TestCase):
    def install(self, scratch):
        """The prefix under a DESTDIR."""
        done = subprocess.run(["meson", "install", "-C", harness.BUILD, "--no-rebuild", "--quiet", "--destdir",
                               scratch.path("root")], capture_output=True, text=True, check=False,
                              env=harness.clean_environment())
        self.assertEqual(done.returncode, 0, done)
        (command,) = glob.glob(scratch.path("root", "**", "bin", "unfreed"), recursive=True)
        return os.path.dirname(os.path.dirname(command))

    def test_files(self):
        with harness.Scratch() as scratch:
            prefix = self.install(scratch)
            for pattern in ("bin/unfreed", "lib*/**/unfreed/libunfreed.so", "include/unfreed/unfreed.h", "include/unfreed/test_leaks.h", "include/unfreed/gtest.h",
                            "include/unfreed/catch2.h", "include/unfreed/doctest.h",
                            "share/unfreed/report.schema.json", "share/unfreed/python/unfreed_pytest.py",
                            "share/man/man1/unfreed.1*",
                            "share/bash-completion/completions/unfreed", "share/zsh/*/_unfreed",
                            "share/fish/vendor_completions.d/unfreed.fish"):
                found = glob.glob(os.path.join(prefix, pattern), recursive=True)
                self.assertEqual(len(found), 1, f"{pattern}: {found}")

    def test_works_where_it_was_put_and_after_moving(self):
        with harness.Scratch() as scratch:
            prefix = self.install(scratch)
            moved = scratch.path("somewhere", "else")
            os.makedirs(os.path.dirname(moved))
            env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
            for number in range(2):
                target = scratch.path(f"{number}.json")
                result = harness.execute([os.path.join(prefix, "bin", "unfreed"), "run", "--output", target, "--fail-on",
                                          "fd>0", "--", harness.program("fd_open"), "leak"], env=env)
                self.assertEqual(result[0], 23, result)
                self.assertEqual(harness.read_report(target)["totals"]["fd"]["live"], 3)
                # The library that it found is the installed one, and the bare preload of that finds its helper.
                found = glob.glob(os.path.join(prefix, "lib*", "**", "libunfreed.so"), recursive=True)
                (library,) = [path for path in found if not os.path.islink(path)]
                other_name = os.path.join(os.path.dirname(library), "preload", "$LIB", "libunfreed.so")
                for name in (library, other_name):
                    target = scratch.path(f"{number}-preload.json")
                    result = harness.execute([harness.program("fd_open"), "leak"],
                                             env={**env, "LD_PRELOAD": name, "UNFREED_OUTPUT": target,
                                                  "UNFREED_FAIL_ON": "fd>0"})
                    self.assertEqual(result[0], 23, result)
                    report = harness.read_report(target)
                    self.assertIn("line", harness.top(harness.live_sites(report, "fd")[0]))
                    os.remove(target)
                if number == 0:
                    shutil.move(prefix, moved)
                    prefix = moved

    def test_library_alone(self):
        """Copied by itself, as into a container image."""
        with harness.Scratch() as scratch:
            library = scratch.path("libunfreed.so")
            shutil.copy(harness.LIBRARY, library)
            result = harness.preload([harness.program("fd_open"), "leak"], scratch=scratch,
                                     env={"LD_PRELOAD": library, "UNFREED_FAIL_ON": "fd>0",
                                          "UNFREED_OUTPUT": scratch.path("alone.json")})
            self.assertEqual(result.status, 23, result)
            self.assertIn("FAIL fd>0: 3", result.stderr)
            site = harness.live_sites(harness.read_report(scratch.path("alone.json")), "fd")[0]
            self.assertEqual(harness.top(site)["function"], "take")
            self.assertNotIn("line", harness.top(site))
            self.assertIn("build_id", harness.top(site))
            # Its report gets them where the binaries are.
            self.assertIn("line", harness.top(harness.live_sites(result.report, "fd")[0]))

    def test_manual_page_and_completion(self):
        with harness.Scratch() as scratch:
            prefix = self.install(scratch)
            (page,) = glob.glob(os.path.join(prefix, "share/man/man1/unfreed.1*"))
            shown = harness.bare(["man", "--warnings", "-l", page], env={"MANPAGER": "cat", "MANWIDTH": "100"})
            self.assertEqual((shown.status, shown.stderr), (0, ""), shown)
            for word in ("--fail-on", "UNFREED_OUTPUT", "snapshot", "125"):
                self.assertIn(word, shown.stdout.replace("‐", "-"))
            completion = os.path.join(prefix, "share/bash-completion/completions/unfreed")
            self.assertEqual(harness.bare(["/bin/bash", "-n", completion]).status, 0)


if __name__ == "__main__":
    harness.main()
