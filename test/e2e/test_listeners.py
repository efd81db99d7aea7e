#!/usr/bin/python3
"""Who holds what was acquired since a mark, by the C API, and the listeners of test frameworks that are made of it: the test
that leaks fails, with kind, line and stack, and no other."""
import os
import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree

import harness

SUITES = os.path.join(harness.SOURCE, "test", "e2e", "suites")
STEPS = os.path.join(SUITES, "steps.h")


def line(marker):
    return harness.line_of(STEPS, marker)


class HeldSince(unittest.TestCase):
    SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "held_since.c")

    def sites(self, text, what):
        """[(kind, count, bytes, acquired by, target, file, line, function, stack)] of one question, and its answer."""
        found, stack, answer = [], None, None
        for one in text.splitlines():
            asked = re.fullmatch(r"site (\S+) (\d+) (\d+) (\d+) '(.*)' '(.*)' (\S*):(\d+) (.*)", one)
            if one.startswith("    "):
                stack.append(one.strip())
            elif asked:
                stack = []
                if asked[1] == what:
                    found.append((*map(int, asked.group(2, 3, 4)), harness.plain_name(asked[5]), *asked.group(6, 7),
                                  int(asked[8]), asked[9], stack))
            elif one.startswith(what + " "):
                (answer,) = re.findall(r"(-?\d+) errno 77", one)
        return found, answer

    def line(self, marker):
        return harness.line_of(self.SOURCE, marker)

    def check(self, text, has_lines):
        file = "held_since.c" if has_lines else ""
        self.assertEqual(self.sites(text, "nothing"), ([], "0"))
        held, answer = self.sites(text, "fd")
        self.assertEqual(answer, "3")
        # Three were opened at one call site and one closed again.
        (two, one) = held
        self.assertEqual(two[:8], (0, 2, 0, "open", "/dev/null", file, self.line("open_one") if has_lines else 0,
                                   "open_one"))
        self.assertEqual(one[1:5], (1, 0, "open", "/dev/zero"))
        if has_lines:
            self.assertEqual(two[8], [f"open_one ({self.SOURCE}:{self.line('open_one')})",
                                      f"main ({self.SOURCE}:{self.line('main')})"])
        else:
            self.assertRegex(two[8][0], r"^open_one \(.*held_since\+0x[0-9a-f]+\)$")
            self.assertRegex(two[8][1], r"^main \(")
        (thread,), answer = self.sites(text, "thread")
        self.assertEqual((answer, thread[0], thread[1], thread[3], thread[7]), ("1", 2, 1, "pthread_create", "start"))
        (lost,), answer = self.sites(text, "lost")
        self.assertEqual((answer, lost[:4], lost[7]), ("3", (1, 3, 300, "malloc"), "lose"))
        self.assertEqual(self.sites(text, "after"), ([], "0"))
        self.assertIn("visits 1\n", text)
        self.assertEqual(self.sites(text, "bad"), ([], "-1"))
        self.assertIn("next 1\n", text)

    def test_each_call_site(self):
        for way, has_lines in ((harness.run, True), (harness.preload, True),
                               (lambda args: harness.preload(args, helper=False), False)):
            with self.subTest(way=way):
                result = way([harness.program("held_since")])
                self.assertEqual(result.status, 0, result)
                self.check(result.stdout, has_lines)

    def test_does_nothing_without_the_library(self):
        result = harness.bare([harness.program("held_since")])
        self.assertEqual(result.status, 0, result)
        for what in ("nothing", "fd", "thread", "lost", "after", "bad"):
            self.assertEqual(self.sites(result.stdout, what), ([], "-1"))
        self.assertIn("visits 0\n", result.stdout)

    def test_leaves_out_what_is_suppressed(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("known"), "w", encoding="utf-8") as file:
                file.write("fd:accepted\n")
            for way in (harness.run, lambda args, **k: harness.preload(args, helper=False, **k)):
                result = way([harness.program("held_since")], env={"UNFREED_SUPPRESSIONS": scratch.path("known")})
                (held,), answer = self.sites(result.stdout, "fd")
                self.assertEqual((answer, held[7]), ("2", "open_one"))


class SeveralAsk(unittest.TestCase):
    """Threads that ask at the same time do not get each other's answers."""

    def test_answers(self):
        result = harness.preload([harness.program("held_meanwhile")])
        self.assertEqual((result.status, result.stdout), (0, "asked\n"), result)


class ClosedDescriptors(unittest.TestCase):
    """The program has closed standard descriptors: what it holds is found, with source lines, all the same."""

    def test_answers(self):
        source = os.path.join(harness.SOURCE, "test", "e2e", "programs", "held_closed.c")
        expected = f"held 1\n1 from open at held_closed.c:{harness.line_of(source, 'open')}\nshown 1\n"
        for closed in ("0", "1", "2", "01", "12", "012"):
            with self.subTest(closed=closed):
                result = harness.preload([harness.program("held_closed"), closed])
                self.assertEqual(result.status, 0, result)
                self.assertIn(expected, re.sub(r" from open64 ", " from open ", result.stderr))


class Listeners(unittest.TestCase):
    # Of memory that is freed nothing is left: what a live block does not use of it could point to the lost block, whose
    # place another had before, and only make it "possibly lost".
    FREED = {"MALLOC_PERTURB_": "85"}

    def build(self, scratch, name, *libraries):
        program = scratch.path(name)
        done = subprocess.run(["g++", "-g", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I" + os.path.join(harness.SOURCE, "include"),
                               "-o", program, os.path.join(SUITES, name + ".cpp"), "-pthread", *libraries],
                              capture_output=True, text=True, check=False, env=harness.clean_environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        return program

    def failures(self, path):
        """{test: text} of a JUnit file, or of doctest's own XML, as its JUnit has no messages."""
        failed = {}
        root = xml.etree.ElementTree.parse(path)
        cases = list(root.iter("testcase")) or list(root.iter("TestCase"))
        for case in cases:
            texts = [(one.get("message") or "") + "".join(one.itertext())
                     for kind in ("failure", "error", "Message", "Expression") for one in case.iter(kind)]
            if texts and not case.get("may_fail"):
                failed[case.get("name")] = "\n".join(texts)
        return failed

    def check(self, program, leaking, failing, to_junit):
        """`leaking`: {test: what its failure says}."""
        with harness.Scratch() as scratch:
            path = scratch.path("junit.xml")
            harness.bare([program, *to_junit(path)])
            self.assertEqual(set(self.failures(path)), {failing})
            for way in (harness.run, harness.preload):
                result = way([program, *to_junit(path)], env=self.FREED)
                self.assertNotEqual(result.status, 0, result)
                failed = self.failures(path)
                self.assertEqual(set(failed), {failing, *leaking})
                self.assertNotIn("leaks", failed[failing])
                only = way([program, *to_junit(path), *self.only], env=self.FREED)
                self.assertEqual((only.status, self.failures(path)), (0, {}), only)
                text = way([program], env=self.FREED).stdout
                for said in leaking.values():
                    for part in said:
                        self.assertIn(part, re.sub(r"\s+", "", text))

    def said(self, noun, marker, function):
        return [f"{noun}from".replace(" ", ""), f"{function}({STEPS}:{line(marker)})"]

    def leaks(self):
        return {"descriptors": self.said("test leaks 2 descriptors", "leave_descriptors", "steps::leave_descriptors()"),
                "block": self.said("test leaks 1 lost block of 300 bytes", "make_block", "steps::make_block(unsignedlong)"),
                "thread": self.said("test leaks 1 thread, neither joined nor detached,", "leave_thread", "steps::leave_thread()"),
                "child": self.said("test leaks 1 child, not waited for,", "leave_child", "steps::leave_child()")}

    def test_what_cannot_be_determined_is_no_pass(self):
        with harness.Scratch() as scratch:
            program = self.build(scratch, "undetermined")
            result = harness.preload([program])
            self.assertEqual(result.status, 0, result)
            self.assertRegex(result.stdout, r"\A1 an unknown number of lost blocks \(could not be determined: .*\)\n\Z")
            without_heap = harness.preload([program], env={"UNFREED_TRACK": "fd"})
            self.assertEqual((without_heap.status, without_heap.stdout), (0, ""))

    @unittest.skipUnless(os.path.exists("/usr/include/gtest/gtest.h"), "libgtest-dev is not installed")
    def test_gtest(self):
        leaks = self.leaks()
        with harness.Scratch() as scratch:
            program = self.build(scratch, "suite_gtest", "-lgtest", "-lgtest_main")
            self.only = ["--gtest_filter=Steps.Closes*:Fixture.*:OfSuite.*:Steps.FillsCache"]
            self.check(program, {"LeavesDescriptors": leaks["descriptors"], "LosesBlock": leaks["block"],
                                 "LeavesThread": leaks["thread"], "LeavesChild": leaks["child"]}, "FailsAnyway",
                       lambda path: ["--gtest_output=xml:" + path])

    @unittest.skipUnless(os.path.exists("/usr/include/catch2/catch.hpp"), "catch2 is not installed")
    def test_catch2(self):
        leaks = self.leaks()
        with harness.Scratch() as scratch:
            program = self.build(scratch, "suite_catch2")
            self.only = ["closes*,fills cache"]
            self.check(program, {"leaves descriptors": leaks["descriptors"], "loses block": leaks["block"],
                                 "leaves thread": leaks["thread"], "leaves child": leaks["child"],
                                 "sections": ["testleaks1descriptorfromopen:/etc/hosts"]}, "fails anyway",
                       lambda path: ["-r", "junit", "-o", path])

    @unittest.skipUnless(os.path.exists("/usr/include/doctest/doctest.h"), "doctest-dev is not installed")
    def test_doctest(self):
        leaks = self.leaks()
        with harness.Scratch() as scratch:
            program = self.build(scratch, "suite_doctest")
            self.only = ["-tc=closes*,fills cache,may leak"]
            self.check(program, {"leaves descriptors": leaks["descriptors"], "loses block": leaks["block"],
                                 "leaves thread": leaks["thread"], "leaves child": leaks["child"]}, "fails anyway",
                       lambda path: ["-r=xml", "-o=" + path])


if __name__ == "__main__":
    harness.main()
