#!/usr/bin/python3
"""mold, a linker with mimalloc linked in: what it makes is the same, byte by byte."""
import os
import subprocess
import unittest

import harness

LIBRARIES = "/usr/lib/x86_64-linux-gnu"


class Mold(unittest.TestCase):
    def link(self, scratch, name, run, **keywords):
        """The result, and the program that was linked."""
        target = scratch.path(name)
        result = run(["mold", "-o", target, "-dynamic-linker", "/lib64/ld-linux-x86-64.so.2",
                      f"{LIBRARIES}/crt1.o", f"{LIBRARIES}/crti.o", scratch.path("main.o"), f"-L{LIBRARIES}", "-lc",
                      f"{LIBRARIES}/crtn.o"], **keywords)
        with open(target, "rb") as file:
            return result, file.read()

    def test_links_as_without_us(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("main.c"), "w") as file:
                file.write("int main(void) { return 3; }\n")
            subprocess.run(["gcc", "-c", "-o", scratch.path("main.o"), scratch.path("main.c")], check=True)
            alone, expected = self.link(scratch, "alone", harness.bare)
            self.assertEqual(subprocess.run([scratch.path("alone")], check=False).returncode, 3)
            ways = {"run": (harness.run, {"options": ["--quiet"]}),
                    "preload": (harness.preload, {"env": {"UNFREED_QUIET": "1"}}),
                    "disabled": (harness.preload, {"env": {"UNFREED_DISABLE": "1"}})}
            for way, (run, keywords) in ways.items():
                with self.subTest(way=way):
                    result, linked = self.link(scratch, way, run, **keywords)
                    self.assertEqual((result.status, result.stdout, result.stderr),
                                     (alone.status, alone.stdout, alone.stderr))
                    self.assertEqual(linked, expected)
                    if way == "disabled":
                        self.assertEqual(result.reports, {})
                        continue
                    own = [r for r in result.reports.values() if os.path.basename(r["process"]["exe"]) == "mold"]
                    self.assertTrue(own, result)
                    for report in own:
                        self.assertEqual((report["coverage"]["fd"], report["coverage"]["heap"]), ("exact", "unavailable"))
                    self.assertGreater(sum(r["totals"]["fd"]["total"] for r in own), 3)


if __name__ == "__main__":
    harness.main()
