#!/usr/bin/python3
"""Python programs: the lines of their calls in stacks, of every version of CPython that is there (pyenv's beside Debian's)."""
import glob
import os
import shutil
import subprocess
import sys
import unittest

import harness

SERVICE = '''
import os
import socket
import subprocess
import threading

kept = []

def open_one(path):
    kept.append(os.open(path, os.O_RDONLY))  # @open_one

class Server:
    def handle(self):
        open_one("/etc/hosts")  # @handle
    def __exit__(self, *_):
        open_one("/etc/hosts")  # @exit
    def __enter__(self):
        return self

def rec(depth):
    if depth:
        return rec(depth - 1)  # @rec
    open_one("/etc/passwd")  # @deep

def generate():
    open_one("/etc/group")  # @generate
    yield 1

def größe():
    open_one("/dev/full")  # @wide

def in_thread():
    open_one("/dev/zero")  # @in_thread

for _ in range(3):
    Server().handle()  # @main
with Server():  # @with
    pass  # @pass
rec(30)  # @start_rec
list(generate())  # @list
sorted([1], key=lambda _: open_one("/dev/random"))  # @sorted
exec(compile("\\n\\nopen_one('/dev/urandom')", "made-up.py", "exec"))  # @exec
größe()  # @start_wide
thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
os.dup(0)  # @dup
sockets = [
    socket.socket(),  # @socket
]
if os.fork() == 0:
    open_one("/etc/group")  # @child
    os._exit(0)
os.wait()
os._exit(0)
'''
LATER = '''
import _ctypes
import ctypes
import os
import signal

kept = []

def leave():
    kept.append(os.open("/etc/hosts", os.O_RDONLY))  # @leave

_ctypes.dlclose(ctypes.CDLL("libz.so.1")._handle)
for _ in range(60):
    leave()  # @often

def handle(*_):
    os.close(os.open("/etc/hosts", os.O_RDONLY))

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
def spin(depth):
    return spin(depth - 1) if depth else sum(range(100000))
for _ in range(60):
    spin(20)
signal.setitimer(signal.ITIMER_REAL, 0)
leave()  # @last
os._exit(0)
'''
FILL = '''
import os
import resource

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
kept = []

def fill():
    while True:
        kept.append(os.open("/etc/hosts", os.O_RDONLY))  # @fill

try:
    fill()  # @start
except OSError:
    os._exit(0)
'''


def interpreters():
    """One of each version that there is."""
    found = {sys.version_info[:2]: sys.executable}
    pyenv = shutil.which("pyenv")
    root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip() if pyenv else ""
    for path in glob.glob(os.path.join(root, "versions", "*", "bin", "python3.*")) if root else ():
        version = tuple(map(int, os.path.basename(path).removeprefix("python").split("."))) if path[-1].isdigit() else ()
        if len(version) == 2 and (3, 8) <= version <= (3, 13):
            found.setdefault(version, path)
    return sorted(found.items())


# Frames that fill pages, as often as it takes until the layout has proved right, and on.
DEEP_THREADS = '''
import os
import threading

kept = []

def open_one():
    kept.append(os.open("/etc/hosts", os.O_RDONLY))  # @open_one

def rec(depth, a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8):
    if depth:
        return rec(depth - 1)  # @rec
    for _ in range(50):
        open_one()  # @deep

def run():
    rec(70)  # @start_rec

for _ in range(2):
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
os._exit(0)
'''

# At its end the interpreter frees the list of frames of a thread that still waits, and what has been freed is used again.
THE_END = '''
import ctypes, os, sys, threading, time
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
fifo = sys.argv[1]
os.mkfifo(fifo)
def wait():
    for _ in range(60):
        os.close(os.open("/dev/null", os.O_RDONLY))
    os.open(fifo, os.O_RDONLY)
thread = threading.Thread(target=wait, daemon=True)
thread.start()
while open(f"/proc/self/task/{thread.native_id}/wchan").read() != "wait_for_partner":
    time.sleep(0.01)
class AtTheEnd:
    def __del__(self, malloc=libc.malloc, memset=libc.memset, open=os.open, how=os.O_WRONLY, sleep=time.sleep):
        for size in range(16, 1200, 8):
            for _ in range(20):
                memset(malloc(size), 0x48, size)
        open(fifo, how)
        sleep(0.3)
keep = AtTheEnd()
sys.modules["zz_keep"] = keep
del keep
'''


class PythonFrames(unittest.TestCase):
    def write(self, scratch, text, name="service.py"):
        path = scratch.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    @staticmethod
    def line(text, marker):
        (found,) = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# @" + marker)]
        return found

    def stacks(self, report, folder):
        """{target: [(live, the program's own lines of Python, innermost first)]} of descriptors, by call site: the
        interpreter's own frames change while it learns about a program."""
        places = {}
        for site in harness.live_sites(report, "fd"):
            lines = tuple((frame["function"].split(".")[-1], frame["line"]) for frame in site["stack"]
                          if frame["module"] == "[python]" and os.path.dirname(frame["file"]) in (folder, ""))
            (target,) = {one["target"] for one in site["objects"]}
            known = places.setdefault(site["signature"], [target, 0, lines])
            self.assertEqual((known[0], known[2]), (target, lines))
            known[1] += site["live"]
        found = {}
        for target, live, lines in places.values():
            found.setdefault(target, []).append((live, list(lines)))
        return found

    def expect(self, *steps):
        return [(function, self.line(SERVICE, marker)) for function, marker in steps]

    def test_lines_of_every_version(self):
        for version, python in interpreters():
            with self.subTest(version=version), harness.Scratch() as scratch:
                program = self.write(scratch, SERVICE)
                result = harness.run([python, program], scratch=scratch, options=["--all-reports"])
                self.assertEqual(result.status, 0, result.stderr[-2000:])
                found = self.stacks(result.report, scratch.folder)
                opened = ("open_one", "open_one")
                main = lambda marker: ("<module>", marker)
                # Where a with statement ends: up to 3.9 in its last line, then in its first.
                end = "pass" if version < (3, 10) else "with"
                self.assertEqual(sorted(found["/etc/hosts"]),
                                 [(1, self.expect(opened, ("__exit__", "exit"), main(end))),
                                  (3, self.expect(opened, ("handle", "handle"), main("main")))])
                self.assertEqual(found["/etc/passwd"],
                                 [(1, self.expect(opened, ("rec", "deep"), *[("rec", "rec")] * 30, main("start_rec")))])
                self.assertEqual(found["/etc/group"], [(1, self.expect(opened, ("generate", "generate"), main("list")))])
                self.assertEqual(found["/dev/random"], [(1, self.expect(opened, ("<lambda>", "sorted"), main("sorted")))])
                self.assertEqual(found["/dev/urandom"],
                                 [(1, [*self.expect(opened), ("<module>", 3), *self.expect(main("exec"))])])
                self.assertEqual(found["/dev/full"], [(1, self.expect(opened, ("größe", "wide"), main("start_wide")))])
                self.assertEqual(found["/dev/zero"][0][1][:2], self.expect(opened, ("in_thread", "in_thread")))
                stacks = [stack for held in found.values() for _, stack in held]
                self.assertEqual(stacks.count(self.expect(main("socket"))), 1)
                self.assertEqual(stacks.count(self.expect(main("dup"))), 1)
                # Calls inside of the interpreter come first, those that lead to its loop last.
                site = next(site for site in harness.live_sites(result.report, "fd")
                            if site["objects"][0]["target"] == "/etc/passwd")
                modules = [frame["module"] for frame in site["stack"]]
                self.assertNotEqual(modules[0], "[python]")
                self.assertNotEqual(modules[-1], "[python]")
                first = modules.index("[python]")
                self.assertEqual(set(modules[first:first + 33]), {"[python]"})
                self.assertNotIn("[python]", modules[first + 33:])
                # A fork child knows what its parent knew, and its own.
                (child,) = [one for one in result.reports.values() if one["process"]["forked"]]
                self.assertEqual(self.stacks(child, scratch.folder)["/etc/group"],
                                 [(1, self.expect(opened, main("child")))])

    def test_after_code_was_unloaded_and_in_handlers(self):
        for version, python in interpreters():
            with self.subTest(version=version), harness.Scratch() as scratch:
                program = self.write(scratch, LATER, "later.py")
                result = harness.run([python, program], scratch=scratch)
                self.assertEqual(result.status, 0, result.stderr[-2000:])
                found = self.stacks(result.report, scratch.folder)["/etc/hosts"]
                leave = ("leave", self.line(LATER, "leave"))
                self.assertEqual(sorted(found), [(1, [leave, ("<module>", self.line(LATER, "last"))]),
                                                 (60, [leave, ("<module>", self.line(LATER, "often"))])])

    def test_deep_stacks_of_threads(self):
        line = lambda marker: self.line(DEEP_THREADS, marker)
        expected = [("open_one", line("open_one")), ("rec", line("deep")), *[("rec", line("rec"))] * 70, ("run", line("start_rec"))]
        for version, python in interpreters():
            with self.subTest(version=version), harness.Scratch() as scratch:
                result = harness.run([python, self.write(scratch, DEEP_THREADS)], scratch=scratch)
                self.assertEqual(result.status, 0, result.stderr[-2000:])
                self.assertEqual(self.stacks(result.report, scratch.folder)["/etc/hosts"], [(100, expected)])

    def test_a_daemon_thread_at_the_interpreters_end(self):
        for name, interpreter in interpreters():
            with self.subTest(name), harness.Scratch() as scratch:
                result = harness.preload([interpreter, "-c", THE_END, scratch.path("fifo")], scratch=scratch)
                self.assertEqual((result.status, result.stdout), (0, ""), result)

    def test_calls_that_fail(self):
        with harness.Scratch() as scratch:
            program = self.write(scratch, FILL)
            result = harness.run([sys.executable, program], scratch=scratch)
            self.assertEqual(result.status, 0, result.stderr[-2000:])
            (failure,) = result.report["failures"]
            self.assertEqual(failure["error"], "EMFILE")
            lines = [(frame["function"], frame["line"]) for frame in failure["stack"] if frame["module"] == "[python]"]
            self.assertEqual(lines, [("fill", self.line(FILL, "fill")), ("<module>", self.line(FILL, "start"))])

    def test_every_format_shows_them(self):
        with harness.Scratch() as scratch:
            program = self.write(scratch, SERVICE)
            result = harness.run([sys.executable, program], scratch=scratch)
            line = self.line(SERVICE, "handle")
            self.assertRegex(result.stderr, rf"3 descriptors from open(64)?: /etc/hosts\n +open_one \(\S*service.py:"
                                            rf"{self.line(SERVICE, 'open_one')}\)\n +(Server\.)?handle \(\S*service.py:{line}\)")
            path = scratch.path("report.json")
            for name in ("html", "folded", "markdown", "csv"):
                options = ["--value", "fd"] if name == "folded" else []
                done = harness.unfreed("report", "--format", name, *options, path)
                self.assertEqual(done.status, 0, done)
                self.assertRegex(done.stdout, "handle|service.py", name)
            profile = scratch.path("profile.pb.gz")
            self.assertEqual(harness.unfreed("report", "--format", "pprof", "-o", profile, path).status, 0)
            if shutil.which("go"):
                top = subprocess.run(["go", "tool", "pprof", "-sample_index=fd", "-lines", "-top", "-nodecount=200", profile],
                                     capture_output=True, text=True, check=False, cwd=scratch.folder,
                                     env=harness.clean_environment({"HOME": scratch.folder}))
                self.assertRegex(top.stdout, rf"handle \S*service.py:{line}", top)

    def test_an_interpreter_that_is_laid_out_otherwise_has_none_and_runs(self):
        """A file's name says a version that it is not."""
        version, python = sys.version_info[:2], os.path.realpath(sys.executable)
        for minor in range(8, 14):
            if (3, minor) == version:
                continue
            with self.subTest(minor=minor), harness.Scratch() as scratch:
                named = scratch.path(f"python3.{minor}")
                shutil.copy(python, named)
                program = self.write(scratch, SERVICE)
                result = harness.run([named, program], env={"PYTHONHOME": sys.base_prefix}, scratch=scratch)
                self.assertEqual(result.status, 0, result.stderr[-2000:])
                self.assertEqual(result.report["totals"]["fd"]["live"], 12)


if __name__ == "__main__":
    harness.main()
