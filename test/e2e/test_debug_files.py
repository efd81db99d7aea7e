#!/usr/bin/python3
"""Debug information that is elsewhere: another root directory, other folders, elfutils' server of it."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import unittest
import urllib.request

import harness

PROGRAM = """
#include <fcntl.h>
static void open_log(void) { open("/dev/null", O_RDONLY | O_CLOEXEC); }
int main(void) {
  open_log();
  return 0;
}
"""
LINE = "open_log (program.c:3)"


class DebugFiles(unittest.TestCase):
    """A stripped program, a report of it, and its debug information in a folder that is nowhere looked for."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.addClassCleanup(cls.scratch.__exit__, None, None, None)
        cls.scratch.__enter__()
        cls.program = cls.scratch.path("program")
        source = cls.scratch.path("program.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        cls.execute("cc", "-O0", "-g", "-Wl,--build-id=sha1", "-o", cls.program, source)
        notes = cls.execute("readelf", "-n", cls.program)
        cls.build_id = build_id = notes.split("Build ID: ")[1].split()[0]
        cls.debug = cls.scratch.path("debug")
        folder = os.path.join(cls.debug, ".build-id", build_id[:2])
        os.makedirs(folder)
        cls.execute("objcopy", "--only-keep-debug", cls.program, os.path.join(folder, build_id[2:] + ".debug"))
        cls.execute("strip", cls.program)
        cls.served = cls.scratch.path("served")
        os.mkdir(cls.served)
        shutil.copy(cls.program, cls.served)
        shutil.copytree(cls.debug, os.path.join(cls.served, "debug"))
        cls.report = cls.scratch.path("report.json")
        harness.run([cls.program], scratch=cls.scratch)
        assert os.path.exists(cls.report)

    @staticmethod
    def execute(*command):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def show(self, *options, **variables):
        result = harness.unfreed("report", *options, self.report, env=variables)
        self.assertEqual(result.status, 0, result.stderr)
        return result.stdout.replace(self.scratch.folder + "/", "")

    def test_folders(self):
        self.assertNotIn(LINE, self.show())
        self.assertIn(LINE, self.show("--debug-path", "/nonexistent:" + self.debug))
        relative = os.path.relpath(self.debug)
        self.assertIn(LINE, self.show("--debug-path", relative))

    @contextlib.contextmanager
    def program_elsewhere(self):
        root = self.scratch.path("root")
        moved = root + self.program
        os.makedirs(os.path.dirname(moved))
        shutil.move(self.program, moved)
        try:
            yield root
        finally:
            shutil.move(moved, self.program)
            shutil.rmtree(root)

    def test_another_root(self):
        with self.program_elsewhere() as root:
            without = self.show("--debug-path", self.debug)
            self.assertNotIn(LINE, without)
            self.assertIn("cannot be read", without)
            shown = self.show("--debug-path", self.debug, "--sysroot", root + "/")
            self.assertIn(LINE, shown)
            self.assertNotIn("cannot be read", shown)

    @contextlib.contextmanager
    def server(self):
        """elfutils' own."""
        port = harness.free_port()
        url = f"http://127.0.0.1:{port}"
        command = ["debuginfod", "-p", str(port), "-d", ":memory:", "-F", "-R", self.served]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                harness.wait_for(lambda: self.serves(url), seconds=60, step=0.1)
                yield url
            finally:
                server.kill()

    def serves(self, url):
        try:
            for what in ("debuginfo", "executable"):
                urllib.request.urlopen(f"{url}/buildid/{self.build_id}/{what}", timeout=5).close()
        except OSError:
            return False
        return True

    @unittest.skipUnless(shutil.which("debuginfod"), "debuginfod is not installed")
    def test_server(self):
        with self.server() as url, harness.Scratch() as home:
            settings = {"DEBUGINFOD_URLS": url, "HOME": home.folder, "DEBUGINFOD_CACHE_PATH": home.path("cache")}
            self.assertIn(LINE, self.show(**settings))
            copy = self.scratch.path("report-2.json")
            shutil.copy(self.report, copy)
            self.assertEqual(harness.unfreed("diff", self.report, copy, env=settings).status, 0)

    @unittest.skipUnless(shutil.which("debuginfod"), "debuginfod is not installed")
    def test_server_has_programs_too(self):
        with self.server() as url, harness.Scratch() as home:
            with self.program_elsewhere():
                settings = {"DEBUGINFOD_URLS": url, "HOME": home.folder, "DEBUGINFOD_CACHE_PATH": home.path("cache")}
                self.assertIn(LINE, self.show(**settings))

    def test_server_that_does_not_answer(self):
        url = f"http://127.0.0.1:{harness.free_port()}"
        with harness.Scratch() as home:
            shown = self.show(DEBUGINFOD_URLS=url, HOME=home.folder)
        self.assertIn("program+0x", shown)
        self.assertNotIn(LINE, shown)

    @unittest.skipUnless(shutil.which("debuginfod-find"), "debuginfod is not installed")
    def test_silent_server_is_asked_once(self):
        asked = []
        with socket.create_server(("127.0.0.1", 0)) as server, harness.Scratch() as home:

            def accept():
                with contextlib.suppress(OSError):
                    while True:
                        asked.append(server.accept()[0])

            threading.Thread(target=accept, daemon=True).start()
            with open(self.report, encoding="utf-8") as file:
                report = json.load(file)
            report["process"]["pid"] += 1
            for site in report["sites"]:
                for frame in site["stack"]:
                    if frame.get("build_id"):
                        frame["build_id"] = frame["build_id"][::-1]  # of programs that are nowhere
            changed = home.path("changed.json")
            with open(changed, "w", encoding="utf-8") as file:
                json.dump(report, file)
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            shown = harness.unfreed("report", self.report, changed, env={
                "DEBUGINFOD_URLS": url, "DEBUGINFOD_TIMEOUT": "1", "HOME": home.folder})
            server.shutdown(socket.SHUT_RDWR)
        self.assertEqual(shown.status, 0)
        self.assertIn(len(asked), (1, 2, 3), "the client tries three times for one file")
        modules = {frame["module"] for site in report["sites"] for frame in site["stack"] if frame.get("build_id")}
        self.assertGreaterEqual(len(modules), 2, "there would be more to ask for")
        self.assertIn("the servers in DEBUGINFOD_URLS do not answer", shown.stdout)

    def test_client_that_is_not_installed(self):
        shown = self.show(DEBUGINFOD_URLS="http://127.0.0.1:9", PATH=self.scratch.folder)
        self.assertIn("debuginfod-find, which asks the servers in DEBUGINFOD_URLS, is not installed", shown)

    @unittest.skipUnless(shutil.which("debuginfod"), "debuginfod is not installed")
    def test_the_end_of_a_program_waits_for_no_server(self):
        with harness.Scratch() as place:
            marker = place.path("asked")
            client = place.path("debuginfod-find")
            with open(client, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n: > {marker}\n")
            os.chmod(client, 0o755)
            path = place.folder + ":" + os.environ["PATH"]
            harness.run([self.program], env={"DEBUGINFOD_URLS": "http://127.0.0.1:9", "PATH": path})
            self.assertFalse(os.path.exists(marker))
            self.show(DEBUGINFOD_URLS="http://127.0.0.1:9", PATH=path)
            self.assertTrue(os.path.exists(marker))


if __name__ == "__main__":
    harness.main()
