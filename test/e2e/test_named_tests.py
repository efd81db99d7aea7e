#!/usr/bin/python3
"""What a process acquires is the test's that runs, as pytest names it in the environment: no plugin is needed."""
import importlib.util
import json
import os
import sys
import unittest

import harness

LONG = "test_" + "n" * 600
TESTS = '''
import ctypes
import os
import subprocess
import sys
import threading
import unittest.mock

import pytest

kept = []
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def leave(path="/etc/hosts"):
    kept.append(os.open(path, os.O_RDONLY))

def test_closes():
    os.close(os.open("/etc/hosts", os.O_RDONLY))

def test_leaves():
    leave()
    leave()

def test_closes_again():
    os.close(os.open("/etc/hosts", os.O_RDONLY))

@pytest.mark.parametrize("what", ["a b/[c]", "(call)"])
def test_of(what):
    leave()

def LONG():
    leave()

@pytest.fixture
def fixture():
    leave("/etc/passwd")
    yield
    leave("/etc/group")

def test_fixture(fixture):
    pass

def test_heap():
    libc.malloc(ctypes.c_size_t(77777))

def test_other_heap():
    libc.malloc(ctypes.c_size_t(77777))
    libc.malloc(ctypes.c_size_t(77777))

def test_clears_the_environment():
    with unittest.mock.patch.dict(os.environ, clear=True):
        leave("/etc/services")

def test_thread():
    thread = threading.Thread(target=leave, args=("/etc/protocols",))
    thread.start()
    thread.join()

def test_fork():
    child = os.fork()
    if not child:
        leave("/etc/shells")
        os._exit(0)
    os.waitpid(child, 0)

def test_program():
    subprocess.run([sys.executable, "-c", "import os; kept = os.open('/etc/networks', os.O_RDONLY); os._exit(0)"], check=True)

def test_last():
    pass
'''.replace("LONG", LONG)
# What tests leave that still runs, and more tests than a report lists of a site.
MANY = '''
import os
import subprocess
import threading

import pytest

kept = []

def test_child():
    null = subprocess.DEVNULL
    kept.append(subprocess.Popen(["sleep", "20"], stdin=null, stdout=null, stderr=null))

def test_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

@pytest.mark.parametrize("number", range(20))
def test_few(number):
    kept.append(os.open("/etc/passwd", os.O_RDONLY))

@pytest.mark.parametrize("number", range(90))
def test_of(number):
    kept.append(os.open("/etc/hosts", os.O_RDONLY))
'''
CONFTEST = '''
import os

def pytest_sessionfinish():
    os.open("/etc/fstab", os.O_RDONLY)
'''


@unittest.skipUnless(importlib.util.find_spec("pytest"), "python3-pytest is not installed")
class NamedTests(unittest.TestCase):
    def run_tests(self, scratch, way, tests=TESTS, **keywords):
        for name, text in (("test_planted.py", tests), ("conftest.py", CONFTEST)):
            with open(scratch.path(name), "w", encoding="utf-8") as file:
                file.write(text)
        result = way([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_planted.py"],
                     env={"PYTHONDONTWRITEBYTECODE": "1"}, cwd=scratch.folder, scratch=scratch, **keywords)
        self.assertEqual(result.status, 0, result)
        return result

    def shares_of(self, report, path):
        """What is held of that path: {test: count}, as sites say it, and the tests that its objects name."""
        by_site, by_object = {}, set()
        for site in harness.live_sites(report, "fd"):
            objects = [one for one in site["objects"] if one["target"] == path]
            if not objects:
                continue
            by_object |= {one.get("test") for one in objects}
            for share in site.get("tests", []):
                by_site[share["test"]] = by_site.get(share["test"], 0) + share["live"]
        return by_site, by_object

    def check(self, report):
        def name(test):
            return f"test_planted.py::{test}"
        long = name(LONG)[:480] + "…"
        hosts = {name("test_leaves"): 2, name("test_of[a b/[c]]"): 1, name("test_of[(call)]"): 1, long: 1}
        self.assertEqual(self.shares_of(report, "/etc/hosts"), (hosts, set(hosts)))
        for path, test in (("/etc/passwd", "test_fixture"), ("/etc/group", "test_fixture"),
                           ("/etc/services", "test_clears_the_environment"), ("/etc/protocols", "test_thread")):
            self.assertEqual(self.shares_of(report, path), ({name(test): 1}, {name(test)}), path)
        self.assertEqual(self.shares_of(report, "/etc/fstab"), ({}, {None}), "after the last test")
        self.assertNotIn("test", report["process"])

    def test_each_object_is_its_tests(self):
        for way in (harness.run, harness.preload):
            with self.subTest(way=way), harness.Scratch() as scratch:
                self.check(self.run_tests(scratch, way).report)

    def test_what_still_runs_and_many_tests(self):
        with harness.Scratch() as scratch:
            path = scratch.path("r.json")
            report = self.run_tests(scratch, harness.run, MANY, options=["--output", path, "--only", "python3*"]).reports["r.json"]
            for kind in ("child", "thread"):
                with self.subTest(kind=kind):
                    test = f"test_planted.py::test_{kind}"
                    sites = [site for site in report["sites"] if site["kind"] == kind]
                    self.assertEqual([site.get("tests") for site in sites], [[{"test": test, "live": 0, "running": 1}]])
                    rows = harness.unfreed("report", "--by", "test", "--kind", kind, "--format", "json", path).stdout
                    rows = [(site["stack"][0]["function"], site["running"]) for site in json.loads(rows)["sites"]]
                    self.assertEqual(rows, [(test, 1)])
            # The interpreter specializes a call after some repetitions: one line has two stacks.
            sites = [site for site in report["sites"] if site["kind"] == "fd" and "tests" in site]
            few = [site for site in sites if site["objects"][0]["target"] == "/etc/passwd"]
            self.assertEqual(sum(len(site["tests"]) for site in few), 20)
            self.assertFalse(any("tests_omitted" in site for site in few))
            many = max(sites, key=lambda site: site["live"])
            more = many["live"] - 64
            self.assertGreater(more, 0)
            self.assertEqual((len(many["tests"]), many["tests_omitted"], many["other_tests"]), (64, more, {"live": more}))
            by_test = harness.unfreed("report", "--by", "test", "--kind", "fd", path).stdout
            self.assertRegex(by_test, rf"(?m)^ *{more} .*\[other tests\]$")

    def test_selecting_keeps_the_tests_of_what_is_left(self):
        with harness.Scratch() as scratch:
            path = scratch.path("r.json")
            report = self.run_tests(scratch, harness.run, options=["--output", path]).reports["r.json"]
            thread = report["process"]["pid"]
            others = {"/etc/hosts", "/etc/passwd", "/etc/group", "/etc/services"}
            for options in (["--older", "1ms"], ["--thread", str(thread)]):
                with self.subTest(options=options):
                    shown = json.loads(harness.unfreed("report", *options, "--format", "json", path).stdout)
                    for target in others:
                        self.assertTrue(self.shares_of(shown, target)[0], target)
                        self.assertEqual(self.shares_of(shown, target), self.shares_of(report, target))
            site = next(site for site in report["sites"] if self.shares_of({"sites": [site]}, "/etc/hosts")[0])
            site["tests"] = [{"test": "A", "live": 2}, {"test": "B", "live": 1}]
            site["objects"] = [dict(site["objects"][0], test=test, thread=number)
                               for test, number in (("A", 1), ("A", 2), ("B", 1))]
            site.update(live=3, ages=[])
            with open(path, "w", encoding="utf-8") as file:
                json.dump(report, file)
            shown = json.loads(harness.unfreed("report", "--thread", "2", "--format", "json", path).stdout)
            self.assertEqual([site["tests"] for site in shown["sites"]], [[{"test": "A", "live": 1}]])

    def test_heap_blocks_are_their_tests(self):
        with harness.Scratch() as scratch:
            report = self.run_tests(scratch, harness.run).report
            shares = {}
            for site in harness.live_sites(report, "heap"):
                for share in site.get("tests", []):
                    if share.get("bytes", 0) % 77777 == 0 and share.get("bytes", 0):
                        shares[share["test"]] = (share["live"], share["bytes"])
            self.assertEqual(shares, {"test_planted.py::test_heap": (1, 77777),
                                      "test_planted.py::test_other_heap": (2, 2 * 77777)})

    def test_other_processes_run_in_the_test_that_starts_them(self):
        with harness.Scratch() as scratch:
            result = self.run_tests(scratch, harness.run)
            started_in = {}
            for report in result.reports.values():
                for site in harness.live_sites(report, "fd"):
                    for one in site["objects"]:
                        started_in[one["target"]] = (report["process"].get("test"), one.get("test"))
            self.assertEqual(started_in["/etc/shells"], ("test_planted.py::test_fork", None))
            self.assertEqual(started_in["/etc/networks"], ("test_planted.py::test_program", None))

    def test_formats_name_the_test(self):
        with harness.Scratch() as scratch:
            self.run_tests(scratch, harness.run, options=["--output", scratch.path("r.json"), "--fail-on", "fd>99"])
            path = scratch.path("r.json")
            text = harness.unfreed("report", path).stdout
            self.assertIn("\n      acquired in test test_planted.py::test_clears_the_environment\n", text)
            self.assertRegex(text, r"\n      acquired in tests test_planted.py::test_of\[\(call\)\] \(1\), test_planted.py::test_of\[a b/\[c\]\] \(1\)\n")
            self.assertIn("  started in test test_planted.py::test_program\n",
                          "".join(harness.unfreed("report", os.path.join(scratch.folder, name)).stdout
                                  for name in os.listdir(scratch.folder) if name.startswith("r.")))
            by_test = harness.unfreed("report", "--by", "test", "--kind", "fd", path).stdout
            self.assertRegex(by_test, r"(?m)^ *2 .*test_planted.py::test_leaves$")
            self.assertRegex(by_test, r"(?m)^ *1 .*test_planted.py::test_n+…$")
            self.assertRegex(by_test, r"(?m)^ *2 .*test_planted.py::test_fixture$")
            self.assertRegex(by_test, r"(?m)^ *1 .*\[in no test, or not known\]$")
            found = json.loads(harness.unfreed("report", "--match", "test_thread$", "--kind", "fd", "--format", "json",
                                               path).stdout)
            self.assertEqual([one["target"] for site in found["sites"] for one in site["objects"]], ["/etc/protocols"])
            for format in ("sarif", "github", "gitlab"):
                self.assertIn("acquired in test test_planted.py::test_thread",
                              harness.unfreed("report", "--format", format, path).stdout, format)
            page = harness.page_data(harness.unfreed("report", "--format", "html", path).stdout)
            self.assertIn("acquired in test test_planted.py::test_thread", json.dumps(page))

    def test_no_test_runs_once_the_environment_was_cleared_after_its_last_phase(self):
        for phase, name in (("teardown", None), ("call", "t.py::test_x")):
            program = (f"import ctypes, os\nos.environ['PYTEST_CURRENT_TEST'] = 't.py::test_x ({phase})'\n"
                       "ctypes.CDLL(None).clearenv()\nos.open('/etc/passwd', os.O_RDONLY)\nos._exit(0)")
            report = harness.run([sys.executable, "-c", program]).report
            self.assertEqual(self.shares_of(report, "/etc/passwd"), ({name: 1} if name else {}, {name}), phase)

    def test_what_libc_keeps_for_the_environment_is_its_own(self):
        program = "import os\nfor number in range(40_000):\n    os.putenv('PLANTED', str(number))\nos._exit(0)"
        report = harness.run([sys.executable, "-c", program]).report
        of_libc = [site for site in report["sites"] if os.path.basename(harness.top(site)["module"]).startswith("libc.so")]
        self.assertEqual([site["live"] for site in of_libc if site["live"] > 2000 and "owner" not in site], [])
        self.assertGreater(report["totals"]["heap"]["total"], 60_000)

    def test_one_test_of_googletest_is_named_by_the_command_line(self):
        for filter, test in (("Log.Rotates", "Log.Rotates"), ("Logs/Log.Rotates/1", "Logs/Log.Rotates/1"), ("Log.*", None),
                             ("Log.A:Log.B", None), ("-Log.A", None), ("Log", None), ("", None)):
            with self.subTest(filter=filter), harness.Scratch() as scratch:
                result = harness.run(["/bin/true", f"--gtest_filter={filter}"], scratch=scratch)
                self.assertEqual(result.report["process"].get("test"), test)


if __name__ == "__main__":
    harness.main()
