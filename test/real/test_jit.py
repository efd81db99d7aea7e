#!/usr/bin/python3
"""Programs that make code as they go, without unwind information, and the threads that go with it: node and java. They are
not installed for this; where they are not, that is said."""
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


if __name__ == "__main__":
    harness.main()
