#!/usr/bin/python3
"""CPython: a service that forgets `close`, and one that does not."""
import os
import unittest

import harness

PYTHON = "/usr/bin/python3"

LEAKING = """
import os
class Service:
    def __init__(self):
        self.kept = []
    def handle(self, number):
        handle = open('/etc/passwd')
        if number % 10 == 0:
            self.kept.append(handle)      # never closed
            return len(handle.readline()) > 0
        with handle:
            return len(handle.readline()) > 0
service = Service()
print(sum(service.handle(number) for number in range(300)))
os._exit(0)
"""
CLEAN = """
import json, threading
def work(number):
    with open('/etc/passwd') as handle:
        return len(handle.read()) > 0
def loop():
    for number in range(100):
        work(number)
threads = [threading.Thread(target=loop) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({str(n): [n] * 3 for n in range(1000)})[-20:])
"""

ZOMBIES = """
import os, subprocess, time
for number in range(3):
    os.posix_spawn('/bin/true', ['true'], os.environ)      # nobody waits
subprocess.run(['/bin/true'], check=True)
with subprocess.Popen(['cat'], stdin=subprocess.PIPE) as process: process.communicate(b'')
time.sleep(0.3)
"""
INHERITED = """
import os, subprocess
handle = open('/etc/passwd')                                # Python marks it close-on-exec
os.set_inheritable(os.open('/etc/group', os.O_RDONLY), %s)
subprocess.run(['/bin/true'], close_fds=False)
os.close(os.open('/etc/hosts', os.O_RDONLY))
"""
TWICE = """
import os
descriptor = os.open('/etc/passwd', os.O_RDONLY)
os.close(descriptor)
try: os.close(descriptor)
except OSError as error: print(error.errno)
"""


class Python(unittest.TestCase):
    def test_children_that_nobody_waits_for(self):
        result = harness.run([PYTHON, "-c", ZOMBIES], options=["--fail-on", "child>0"])
        self.assertEqual(result.status, 23, result)
        site, = harness.live_sites(result.report, "child")
        self.assertEqual((site["live"], site["acquired_by"], {one["name"] for one in site["objects"]}),
                         (3, "posix_spawn", {"true"}))

    def test_descriptors_that_go_along(self):
        for inheritable, status in ((True, 23), (False, 0)):
            result = harness.run([PYTHON, "-c", INHERITED % inheritable], options=["--fail-on", "inherited_by_child>0"])
            self.assertEqual(result.status, status, result)
            self.assertEqual([one["count"] for one in result.report["inherited_by_child"]], [1] if inheritable else [])

    def test_a_descriptor_closed_twice(self):
        result = harness.run([PYTHON, "-c", TWICE], options=["--fail-on", "misuse>0"])
        self.assertEqual((result.status, result.stdout), (23, "9\n"))
        misuse, = result.report["misuse"]
        self.assertEqual((misuse["type"], misuse["count"]), ("double_close", 1))

    def test_service_that_forgets_close(self):
        alone = harness.bare([PYTHON, "-c", LEAKING])
        for name, run in (("run", harness.run), ("preload", harness.preload)):
            with self.subTest(way=name):
                result = run([PYTHON, "-c", LEAKING])
                self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)
                self.assertEqual(result.report["totals"]["fd"]["live"], 30)
                # CPython's own function that opens files; the interpreter calls it from one line of its loop, but at
                # several addresses, which one signature holds together.
                sites = harness.live_sites(result.report, "fd")
                self.assertEqual(sum(site["live"] for site in sites), 30)
                for site in sites:
                    self.assertRegex(site["acquired_by"], "open")
                    self.assertIn("python3", os.path.basename(harness.top(site)["module"]))
                    for item in site["objects"]:
                        self.assertEqual(item["target"], "/etc/passwd")
                        self.assertIn("cloexec", item["flags"])  # as PEP 446 has it
                self.assertEqual(result.report["totals"]["fd"].get("unattributed", 0), 0)

    def test_gate(self):
        self.assertEqual(harness.run([PYTHON, "-c", LEAKING], options=["--fail-on", "fd>29"]).status, 23)
        self.assertEqual(harness.run([PYTHON, "-c", LEAKING], options=["--fail-on", "fd>30"]).status, 0)

    def test_clean_service_with_threads(self):
        alone = harness.bare([PYTHON, "-c", CLEAN])
        for name, run in (("run", harness.run), ("preload", harness.preload)):
            with self.subTest(way=name):
                result = run([PYTHON, "-c", CLEAN])
                self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)
                self.assertEqual(result.report["totals"]["fd"]["live"], 0, result)
                self.assertEqual(result.report["totals"]["thread"]["live"], 0, result)
                # It was not blind: it saw what was opened and closed, and the threads that were joined.
                self.assertGreaterEqual(result.report["totals"]["fd"]["total"], 400)
                self.assertGreaterEqual(result.report["totals"]["thread"]["total"], 4)

    def test_every_object_from_malloc(self):
        alone = harness.bare([PYTHON, "-c", CLEAN], env={"PYTHONMALLOC": "malloc"})
        result = harness.run([PYTHON, "-c", CLEAN], env={"PYTHONMALLOC": "malloc"})
        self.assertEqual((result.status, result.stdout), (alone.status, alone.stdout), result)
        self.assertGreater(result.report["totals"]["heap"]["total"], 10_000)
        self.assertTrue(result.report["complete"], result.report["notes"])

    def test_subprocesses(self):
        script = ("import subprocess\n"
                  "print(subprocess.run(['/bin/echo', 'hello'], capture_output=True, text=True).stdout.strip())\n"
                  "print(subprocess.check_output('echo a | tr a b', shell=True, text=True).strip())\n")
        result = harness.run([PYTHON, "-c", script], options=["--fail-on", "fd>0,thread>0"])
        self.assertEqual((result.status, result.stdout), (0, "hello\nb\n"), result)

    def test_uncaught_exception(self):
        alone = harness.bare([PYTHON, "-c", "open('/nonexistent')"])
        result = harness.run([PYTHON, "-c", "open('/nonexistent')"], options=["--fail-on", "fd>0"])
        self.assertEqual((result.status, alone.status), (1, 1), result)
        self.assertIn("FileNotFoundError", result.stderr)


if __name__ == "__main__":
    harness.main()
