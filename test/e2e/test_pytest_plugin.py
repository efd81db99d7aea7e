#!/usr/bin/python3
"""The pytest plugin: the test that leaks gets an error, with what it has left; no other test does."""
import importlib.util
import os
import sys
import unittest
import xml.etree.ElementTree

import harness

TESTS = '''
import os
import subprocess
import threading

import pytest

kept = []

def leave():
    kept.append(os.open("/etc/hosts", os.O_RDONLY))  # @leave

def test_closes():
    with open("/etc/hosts", encoding="utf-8") as file:
        file.read()

def test_leaves_descriptors():
    for _ in range(2):
        leave()  # @leave_two

def test_closes_again():
    os.close(os.open("/etc/hosts", os.O_RDONLY))

def start_thread():
    kept.append(threading.Event())
    threading.Thread(target=kept[-1].wait, name="planted", daemon=True).start()  # @start

def test_leaves_thread():
    start_thread()

def test_joins_thread():
    thread = threading.Thread(target=len, args=("",))
    thread.start()
    thread.join()

def test_leaves_child():
    kept.append(subprocess.Popen(["sleep", "0"]))

def test_waits():
    subprocess.run(["true"], check=True)

@pytest.fixture(scope="module")
def of_module():
    fd = os.open("/etc/hosts", os.O_RDONLY)
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    yield fd
    event.set()
    thread.join()
    os.close(fd)

@pytest.fixture
def of_test():
    fd = os.open("/etc/hosts", os.O_RDONLY)
    yield fd
    os.close(fd)

def test_uses_wider_fixture(of_module):
    pass

def test_uses_fixture(of_test):
    pass

@pytest.fixture(scope="session")
def of_session():
    return os.open("/etc/passwd", os.O_RDONLY)

def test_leaves_one_beside_a_wider_fixture(of_session):
    leave()

@pytest.fixture(scope="session")
def inner():
    return os.open("/etc/passwd", os.O_RDONLY)

@pytest.fixture(scope="session")
def outer(request):
    return request.getfixturevalue("inner")

def test_leaves_one_beside_nested_fixtures(outer):
    leave()

class Cycle:
    pass

def test_leaves_garbage():
    one = Cycle()
    one.self = one
    one.file = open("/etc/hosts", encoding="utf-8")

def test_fails_anyway():
    leave()
    assert False

@pytest.mark.xfail
def test_is_expected_to_fail():
    leave()
    assert False
'''
LEAKING = {"test_leaves_descriptors", "test_leaves_thread", "test_leaves_child", "test_leaves_one_beside_a_wider_fixture",
           "test_leaves_one_beside_nested_fixtures"}
PLUGINS = os.path.join(harness.SOURCE, "src", "plugins")


def line(marker):
    (found,) = [number for number, text in enumerate(TESTS.splitlines(), 1) if text.endswith("# @" + marker)]
    return found


@unittest.skipUnless(importlib.util.find_spec("pytest"), "python3-pytest is not installed")
class PytestPlugin(unittest.TestCase):
    def run_tests(self, scratch, way, *options):
        """The result, and the texts of failures and errors: {test: text}."""
        with open(scratch.path("test_planted.py"), "w", encoding="utf-8") as file:
            file.write(TESTS)
        junit = scratch.path("junit.xml")
        result = way([sys.executable, "-m", "pytest", "-p", "unfreed_pytest", "-p", "no:cacheprovider",
                      "--junitxml", junit, *options, "test_planted.py"],
                     env={"PYTHONPATH": PLUGINS, "PYTHONDONTWRITEBYTECODE": "1"}, cwd=scratch.folder)
        failed = {}
        for case in xml.etree.ElementTree.parse(junit).iter("testcase"):
            texts = ["".join(one.itertext()) for kind in ("failure", "error") for one in case.iter(kind)]
            if texts:
                failed[case.get("name")] = "\n".join(texts)
        return result, failed

    def test_fails_the_tests_that_leak(self):
        # Descriptors that pytest captures output with count, too.
        for way, options in ((harness.run, ["-s"]), (harness.run, []), (harness.preload, [])):
            with self.subTest(way=way, options=options), harness.Scratch() as scratch:
                result, failed = self.run_tests(scratch, way, *options)
                self.assertEqual(result.status, 1, result)
                self.assertEqual(set(failed), LEAKING | {"test_fails_anyway"})
                self.assertNotIn("leaks", failed["test_fails_anyway"])
                self.assertRegex(failed["test_leaves_descriptors"], "the test leaks 2 descriptors from open(64)?: /etc/hosts\n")
                self.assertIn(f"\n    leave ({scratch.path('test_planted.py')}:{line('leave')})\n    test_leaves_descriptors "
                              f"({scratch.path('test_planted.py')}:{line('leave_two')})", failed["test_leaves_descriptors"])
                for name in ("test_leaves_one_beside_a_wider_fixture", "test_leaves_one_beside_nested_fixtures"):
                    self.assertRegex(failed[name], "the test leaks 1 descriptor from open(64)?: /etc/hosts\n")
                self.assertRegex(failed["test_leaves_child"], "the test leaks 1 child, not waited for, from v?fork\n")
                self.assertIn("the test leaks 1 thread, still running: planted\n    start_thread "
                              f"({scratch.path('test_planted.py')}:{line('start')})\n    test_leaves_thread (",
                              failed["test_leaves_thread"])

    def test_passes_the_others(self):
        with harness.Scratch() as scratch:
            selected = "not (" + " or ".join([*LEAKING, "test_fails_anyway"]) + ")"
            result, failed = self.run_tests(scratch, harness.run, "-k", selected)
            self.assertEqual((result.status, failed), (0, {}), result)

    def test_leaks_of_call_sites_that_cannot_be_found_out_are_counted(self):
        spec = importlib.util.spec_from_file_location("unfreed_pytest", os.path.join(PLUGINS, "unfreed_pytest.py"))
        plugin = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(plugin)

        class Library:
            """The C API where no report can be made."""
            held = {"fd": 2, "child": 1}
            unfreed_runtime_mark = staticmethod(lambda: 1)
            unfreed_runtime_live_since = staticmethod(
                lambda _, kind: next((count for name, count in Library.held.items() if plugin._KINDS[name] == kind), 0))
            unfreed_runtime_live_since_each = staticmethod(lambda *_: -1)

        test = plugin._Test(plugin._Runtime(Library))
        self.assertEqual([leak.split(" (no memory to find out from where")[0] for leak in test.leaks()],
                         ["2 descriptors", "1 child, not waited for"])

    def test_does_nothing_without_the_library(self):
        with harness.Scratch() as scratch:
            result, failed = self.run_tests(scratch, harness.bare)
            self.assertEqual((result.status, set(failed)), (1, {"test_fails_anyway"}), result)


if __name__ == "__main__":
    harness.main()
