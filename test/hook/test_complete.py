#!/usr/bin/python3
"""Every row of hooks.inc has a body where it says, an export, and a pair of twins."""
import collections
import os
import re
import subprocess
import unittest

import harness
import test_process_hooks
import test_twins

HOOKS = os.path.join(harness.SOURCE, "src", "hook")
C_LIBRARY = "/lib/x86_64-linux-gnu/libc.so.6"
Row = collections.namedtuple("Row", "symbol shown family presence")


def rows():
    with open(os.path.join(HOOKS, "hooks.inc")) as file:
        found = [Row(*(field.strip() for field in line.split(",")))
                 for line in re.findall(r"^HOOK\((.*)\)$", file.read(), re.M)]
    assert len(found) > 150
    return found


def exports(path):
    """Functions by name, with their sizes."""
    text = subprocess.run(["readelf", "-W", "--dyn-syms", path], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] in ("FUNC", "IFUNC") and fields[6] != "UND":
            found[fields[7].split("@")[0]] = int(fields[2], 0)
    return found


def bodies(family):
    """Names of the functions that a family's file defines."""
    with open(os.path.join(HOOKS, family + ".cpp")) as file:
        return set(re.findall(r"^UNFREED_HOOK [^;{]*?(\w+)\((?=[^;{]*\{)", file.read(), re.M))


class Complete(unittest.TestCase):
    def test_every_row_stands_once(self):
        names = [row.symbol for row in rows()]
        self.assertEqual([name for name, count in collections.Counter(names).items() if count > 1], [])

    def test_every_row_has_a_body_in_its_file(self):
        by_family = {row.family: bodies(row.family) for row in rows()}
        by_family["vfork"] |= {"vfork", "__vfork"}  # assembly
        self.assertEqual([row for row in rows() if row.symbol not in by_family[row.family]], [])

    def test_every_body_has_a_row(self):
        known = {row.symbol for row in rows()}
        self.assertEqual([name for family in {row.family for row in rows()} for name in bodies(family)
                          if name not in known], [])

    def test_every_row_is_exported_and_is_code(self):
        exported = exports(harness.LIBRARY)
        self.assertEqual([row.symbol for row in rows() if exported.get(row.symbol, 0) == 0], [])

    def test_nothing_else_is_exported(self):
        known = {row.symbol for row in rows()}
        self.assertEqual([name for name in exports(harness.LIBRARY)
                          if name not in known and not name.startswith(("unfreed_runtime_", "__lsan_"))], [])

    def test_required_rows_are_in_the_c_library(self):
        libc = exports(C_LIBRARY)
        self.assertEqual([row.symbol for row in rows() if row.presence == "required" and row.symbol not in libc], [])
        self.assertLessEqual({row.presence for row in rows()}, {"required", "optional"})

    def test_every_row_has_twins(self):
        in_table = {pair.hook for pair in test_twins.pairs(os.path.join(test_twins.FOLDER, "twins"))}
        apart = set(test_process_hooks.hooks())
        self.assertEqual([row.symbol for row in rows() if row.symbol not in in_table | apart], [])
        known = {row.symbol for row in rows()}
        self.assertEqual([hook for hook in in_table | apart if hook not in known], [])

    def test_twins_call_the_function_that_they_are_for(self):
        called = set()
        for program in ("twins", "process_hooks"):
            text = subprocess.run(["nm", "-D", "--undefined-only", os.path.join(test_twins.FOLDER, program)], check=True,
                                  capture_output=True, text=True).stdout
            called |= {line.split()[-1].split("@")[0] for line in text.splitlines()}
        self.assertEqual([row.symbol for row in rows() if row.symbol not in called], [])
        # Each on its own line of the table, not only somewhere in the program.
        with open(test_twins.TABLE) as file:
            lines = file.read().splitlines()
        for pair in test_twins.pairs(os.path.join(test_twins.FOLDER, "twins")):
            self.assertRegex(lines[pair.line - 1].split(",", 2)[2], rf"\b{pair.hook}\(")

    def test_the_tester(self):
        self.assertNotIn("openat3", bodies("fd_open"))
        self.assertIn("openat", bodies("fd_open"))
        self.assertNotIn("write", exports(harness.LIBRARY))
        self.assertIn("write", exports(C_LIBRARY))


if __name__ == "__main__":
    harness.main()
