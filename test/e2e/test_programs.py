#!/usr/bin/python3
"""Runs every program of test/e2e/programs as it leaks and as it does not, and compares with what its source expects.

A program's expectations are lines of its source:

    //! leak: kind=fd live=2 by=open(64)? function=take line=@take target=/etc/passwd
    //! clean:

The word before the colon is the program's argument. After it stands one site that the report must show, or nothing; a mode
may have several lines. All sites of the program's own must be expected, and all expected ones be there.

    kind live total bytes running     equal
    by                                regular expression for the acquiring function (compilers pick open or open64 …)
    function                          the innermost frame's function, without parameters
    line                              @marker: the line that ends with `// @marker`; (@one|@two): either
    target                            shell pattern; all objects must match
    stack                             functions, innermost first, that the stack starts with

Each mode runs under `unfreed run`, under the bare preload with the helper, and without it (then frames have no lines, and
inlined functions no frames). Every run also plants a leak of each kind, which must be found too.
"""
import fnmatch
import glob
import os
import re
import shlex
import unittest

import harness

FOLDER = os.path.join(harness.SOURCE, "test", "e2e", "programs")
PLANTED = os.path.join(FOLDER, "planted.h")


def read_expectations(source):
    modes = {}
    with open(source) as file:
        for text in file:
            match = re.fullmatch(r"//! (\w+):(.*)\n?", text)
            if match:
                sites = modes.setdefault(match[1], [])
                if match[2].strip():
                    sites.append(dict(word.split("=", 1) for word in shlex.split(match[2])))
    return modes


def planted_sites():
    return [{"kind": "fd", "live": "1", "by": "open(64)?", "function": "plant", "line": "@planted-fd", "in": PLANTED},
            {"kind": "heap", "live": "1", "bytes": "4242", "by": "malloc", "function": "plant", "line": "@planted-block",
             "in": PLANTED}]


def mismatch(expected, site, source, has_lines):
    """What about `site` is not as expected; None when all is."""
    source = expected.get("in", source)
    for key in ("kind", "live", "total", "bytes", "running"):
        if key in expected and str(site.get(key, 0)) != expected[key]:
            return f"{key} is {site.get(key)}"
    if not re.fullmatch(expected["by"], site["acquired_by"]):
        return f'acquired by {site["acquired_by"]}'
    if "target" in expected:
        for item in site["objects"]:
            if not fnmatch.fnmatch(item.get("target", ""), expected["target"]):
                return f"target {item.get('target')}"
        if len(site["objects"]) != int(expected["live"]):
            return f'{len(site["objects"])} objects listed'
    if not has_lines and "stack" in expected:
        return None
    if harness.base_function(harness.top(site).get("function")) != expected["function"]:
        return f'in {harness.top(site).get("function")}'
    if not has_lines:
        return None
    lines = [harness.line_of(source, marker) for marker in re.findall(r"@([\w-]+)", expected["line"])]
    if harness.top(site).get("line") not in lines:
        return f'at line {harness.top(site).get("line")}, not {lines}'
    if os.path.basename(harness.top(site)["file"]) != os.path.basename(source):
        return f'in file {harness.top(site)["file"]}'
    if "stack" in expected:
        names = [harness.base_function(name) for name in harness.functions(site)]
        wanted = expected["stack"].split(",")
        if names[:len(wanted)] != wanted:
            return f"stack is {names}"
    return None


class Programs(unittest.TestCase):
    def check(self, name, source, mode, expected, run, has_lines):
        path = harness.program(name)
        result = run([path, mode], env={"PLANT": "1"})
        self.assertEqual(result.status, 0, result)
        self.assertIsNotNone(result.report, result)
        sites = harness.own_sites(result.report, path, informational=True)
        found = "\n".join(map(harness.describe, sites))
        for site in expected + planted_sites():
            reasons = [mismatch(site, candidate, source, has_lines) for candidate in sites]
            if None not in reasons:
                self.fail(f"{mode}: no site is {site}\nthere are:\n{found}\nwhich differ: {reasons}")
            sites.pop(reasons.index(None))
        self.assertEqual(list(map(harness.describe, sites)), [], f"{mode}: unexpected sites")
        # What the program holds by itself is all there is: nothing hides in other modules either.
        for kind in result.report["totals"].keys() - {"heap", "child", "misuse", "inherited_by_child"}:
            total = sum(int(site["live"]) for site in expected + planted_sites()
                        if site["kind"] == kind)
            self.assertEqual(result.report["totals"][kind]["live"], total, f"{mode}: total of {kind}")


def without_helper(args, **keywords):
    return harness.preload(args, helper=False, **keywords)


def add_cases():
    ways = {"run": (harness.run, True), "preload": (harness.preload, True), "preload_alone": (without_helper, False)}
    for source in sorted(glob.glob(os.path.join(FOLDER, "*.c*"))):
        name = os.path.splitext(os.path.basename(source))[0]
        for mode, expected in read_expectations(source).items():
            for way, (run, has_lines) in ways.items():
                setattr(Programs, f"test_{name}_{mode}_{way}",
                        lambda self, a=(name, source, mode, expected, run, has_lines): self.check(*a))


add_cases()

if __name__ == "__main__":
    harness.main()
