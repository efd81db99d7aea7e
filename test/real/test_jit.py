#!/usr/bin/python3
"""Programs that make code as they go, without unwind information, and the threads that go with it: node and java. They are
not installed for this; where they are not, that is said."""
import contextlib
import os
import shutil
import unittest

import harness

NODE = """
function deep(n) { return n === 0 ? Buffer.alloc(20000).length : deep(n - 1) + 1; }
let sum = 0;
for (let i = 0; i < 20000; i++) sum += deep(i % 50);
const fs = require('fs');
const held = fs.openSync('/dev/null', 'r');
console.log(sum, JSON.parse(JSON.stringify({held: held > 2})).held);
"""
JAVA = """
import java.io.*;
public class Program {
  static int deep(int n) { return n == 0 ? new byte[200].length : deep(n - 1) + 1; }
  static FileInputStream held;
  public static void main(String[] arguments) throws Exception {
    long sum = 0;
    for (int i = 0; i < 100000; i++) sum += deep(i % 50);
    Thread[] threads = new Thread[4];
    for (int i = 0; i < 4; i++) { threads[i] = new Thread(() -> deep(30)); threads[i].start(); }
    for (Thread thread : threads) thread.join();
    held = new FileInputStream("/dev/null");
    System.out.println(sum);
  }
}
"""
LEAKING_NODE = """
const fs = require('fs');
function openLog() { return fs.openSync('/dev/null', 'a'); }
function serve() { openLog(); }
for (let i = 0; i < 5; i++) serve();
"""
LEAKING_JAVA = """
import java.io.*;
import java.util.*;
public class Leaking {
  static List<Object> held = new ArrayList<>();
  static void openLog() throws IOException { held.add(new FileInputStream("/dev/null")); }
  public static void main(String[] arguments) throws Exception {
    for (int i = 0; i < 50; i++) openLog();
  }
}
"""


class Jit(unittest.TestCase):
    def check(self, command, **keywords):
        alone = harness.execute(command, env=harness.clean_environment(), **keywords)
        result = harness.run(command, **keywords)
        self.assertEqual((result.status, result.stdout), (0, alone[1]))
        targets = [o.get("target") for site in result.report["sites"] if site["kind"] == "fd" for o in site["objects"]]
        self.assertIn("/dev/null", targets)
        self.assertGreater(result.report["totals"]["heap"]["total"], 1000)

    @unittest.skipUnless(shutil.which("node"), "node is not installed")
    def test_node(self):
        self.check(["node", "-e", NODE])

    @unittest.skipUnless(shutil.which("javac"), "no java compiler is installed")
    def test_java(self):
        with harness.Scratch() as scratch:
            path = os.path.join(scratch.folder, "Program.java")
            with open(path, "w") as file:
                file.write(JAVA)
            self.check(["java", path], timeout=150)

    def leak(self, command):
        """The stack that has leaked most, with the names of generated code."""
        result = harness.run(command, options=["--track", "fd"], timeout=150)
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"/tmp/perf-{result.report['process']['pid']}.map")
        site = max((site for site in result.report["sites"] if site["kind"] == "fd"), key=lambda one: one["live"])
        return result, site

    @unittest.skipUnless(shutil.which("node"), "node is not installed")
    def test_names_of_node(self):
        with harness.Scratch() as scratch:
            path = scratch.path("leaking.js")
            with open(path, "w") as file:
                file.write(LEAKING_NODE)
            result, site = self.leak(["node", "--perf-basic-prof", "--no-logfile-per-isolate", "--logfile=/dev/null",
                                      "--interpreted-frames-native-stack", path])
            self.assertEqual(site["live"], 5)
            self.assertIn("5 descriptors from open64: /dev/null\n      openLog (leaking.js:3)\n      serve (leaking.js:4)",
                          result.stderr.replace(scratch.folder + "/", ""))
            plain = harness.run(["node", path], options=["--track", "fd"])
            self.assertIn("no names for code that node generates: start it with --perf-basic-prof", plain.stderr)

    @unittest.skipUnless(shutil.which("javac"), "no java compiler is installed")
    def test_names_of_java(self):
        with harness.Scratch() as scratch:
            with open(scratch.path("Leaking.java"), "w") as file:
                file.write(LEAKING_JAVA)
            harness.execute(["javac", "-d", scratch.folder, scratch.path("Leaking.java")], timeout=150)
            # Compiled code has the names of functions; interpreted code has none.
            _, site = self.leak(["java", "-Xcomp", "-XX:+PreserveFramePointer", "-XX:+UnlockDiagnosticVMOptions",
                                 "-XX:+DumpPerfMapAtExit", "-XX:CompileCommand=quiet",
                                 "-XX:CompileCommand=compileonly,Leaking::*", "-XX:CompileCommand=dontinline,Leaking::*",
                                 "-cp", scratch.folder, "Leaking"])
            functions = [frame.get("function", "") for frame in site["stack"]]
            self.assertIn("void Leaking.openLog()", functions)
            self.assertIn("void Leaking.main(java.lang.String[])", functions)


if __name__ == "__main__":
    harness.main()
