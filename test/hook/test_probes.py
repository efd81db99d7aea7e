#!/usr/bin/python3
"""A program finds the same functions as without unfreed, however it looks for them."""
import os
import unittest

import harness

FOLDER = os.path.join(harness.BUILD, "test", "hook")
PROGRAMS = ["probes_lazy", "probes_now", "probes_cxx"]
MODULE = os.path.join(FOLDER, "probes_module.so")
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
LATER_LIBC = os.path.join(FOLDER, "later_libc.so")
FOUND_BY_ALL = ["default", "next", "program", "code", "constant", "variable"]


def ask(program, preloads=(), run=harness.bare, **settings):
    """What is found, by who asks for which function."""
    if preloads or run is harness.preload:
        settings["LD_PRELOAD"] = ":".join(preloads)
    result = run([os.path.join(FOLDER, program), MODULE], env=settings)
    assert result.status == 0, result
    lines = [line.split() for line in result.stdout.splitlines()]
    return {(who, name): ways for who, name, *ways in lines}


class Probes(unittest.TestCase):
    def check(self, program, others=(), **settings):
        """`others`: libraries that are preloaded, too."""
        alone = ask(program, others, **settings)
        ways = {
            "run": ask(program, others, harness.run, **settings),
            "preload": ask(program, [harness.LIBRARY, *others], harness.preload, **settings),
            "disabled": ask(program, [harness.LIBRARY, *others], harness.preload, UNFREED_DISABLE="1", **settings),
            "others only": ask(program, [harness.LIBRARY, *others], harness.preload, UNFREED_ONLY="nothing", **settings),
            "last": ask(program, [*others, harness.LIBRARY], harness.preload, **settings),
        }
        for way, found in ways.items():
            different = {key: (found.get(key), alone[key]) for key in alone if found.get(key) != alone[key]}
            self.assertEqual(different, {}, (program, way, others, settings))
            self.assertEqual(found.keys(), alone.keys())
        return alone

    def test_by_themselves(self):
        for program in PROGRAMS:
            for settings in ({}, {"LD_BIND_NOW": "1"}):
                with self.subTest(program=program, settings=settings):
                    found = self.check(program, **settings)
                    for who in ("program", "library", "module"):
                        self.assertEqual(found[who, "open"], FOUND_BY_ALL)
                        self.assertEqual(found[who, "mallocx"], [])
                        self.assertEqual(found[who, "_Znwm"] != [], program == "probes_cxx")

    def test_where_others_have_them(self):
        for program in PROGRAMS:
            with self.subTest(program=program):
                for other, function in ((JEMALLOC, "mallocx"), (LATER_LIBC, "pidfd_spawn")):
                    found = self.check(program, [other])
                    self.assertEqual(found["program", function], FOUND_BY_ALL)

    def test_functions_for_old_programs(self):
        # libc has cfree for programs that ask for its version: dlsym, which does not, finds none.
        found = self.check("probes_lazy")
        self.assertNotIn("default", found["program", "cfree"])
        self.assertIn("code", found["program", "cfree"])


if __name__ == "__main__":
    harness.main()
