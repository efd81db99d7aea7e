#!/usr/bin/python3
"""Every command in README.md is run.

Each fenced `sh` block stands under a comment that says how it is tested:

    <!-- run: 0 -->         from a folder like the one that a reader would be in; the number is the exit status expected
    <!-- not run: WHY -->   the few that cannot be run from a test, with the reason

The folder has a copy (by links) of the source tree, a small project `demo` whose program leaks, and reports of its runs.
`unfreed` is on the PATH, as after installation. The CI examples are read as well: their ci-check lines are run.
"""
import os
import re
import shutil
import subprocess
import unittest
import urllib.request

import harness

README = os.path.join(harness.SOURCE, "README.md")


def read_blocks():
    """(number of the line, how it is tested, text) of each `sh` block."""
    with open(README) as file:
        lines = file.read().splitlines()
    blocks, start = [], None
    for number, line in enumerate(lines):
        if line.strip() == "```sh" and start is None:
            start = number
        elif line.strip() == "```" and start is not None:
            blocks.append((start + 1, lines[start - 1].strip(), "\n".join(lines[start + 1:number])))
            start = None
    return blocks


def ci_lines():
    with open(README) as file:
        text = file.read()
    return re.findall(r"^\s*(?:- )?(?:run: |- )?(\S*scripts/ci-check .*)$",
                      "\n".join(re.findall(r"```yaml\n(.*?)```", text, re.S)), re.M)


class Readme(unittest.TestCase):
    def setUp(self):
        if os.path.realpath(harness.BUILD) != os.path.realpath(os.path.join(harness.SOURCE, "build")):
            self.skipTest("the scripts use the build in ./build, which is not the one under test")

    def prepare(self, scratch):
        """A folder like the one a reader has after `git clone`: the source tree, and a program that leaks."""
        folder = scratch.path("unfreed")
        os.mkdir(folder)
        for name in os.listdir(harness.SOURCE):
            os.symlink(os.path.join(harness.SOURCE, name), os.path.join(folder, name))
        os.mkdir(scratch.path("bin"))
        os.symlink(harness.COMMAND, scratch.path("bin", "unfreed"))
        with open(os.path.join(folder, "Makefile"), "w") as file:
            file.write("check test:\n\t@sh ./tests.sh\n")
        with open(os.path.join(folder, "tests.sh"), "w") as file:
            file.write("echo all well\n")
        with open(os.path.join(folder, "CTestTestfile.cmake"), "w") as file:
            file.write("")
        os.symlink(harness.program("log_service"), os.path.join(folder, "my-service"))
        # Reports as the block's commands name them.
        for name, requests in (("yesterday.json", "80"), ("today.json", "200"), ("report.json", "200")):
            harness.run([harness.program("log_service"), requests], scratch=scratch,
                        options=["--output", os.path.join(folder, name)])
        return folder

    def run_block(self, scratch, folder, text):
        env = {"PATH": f"{scratch.path('bin')}:{os.environ['PATH']}", "UNFREED_LEDGER_DIR": scratch.ledgers,
               "DESTDIR": scratch.path("installed")}
        # Not under the caller's meson, whose settings are not the reader's.
        for variable in list(os.environ):
            if variable.startswith(("MESON", "TEST_", "PYTHON")):
                env[variable] = ""
        return harness.bare(["/bin/bash", "-euo", "pipefail", "-c", text], cwd=folder, env=env, timeout=150)

    def test_every_block_says_how_it_is_tested(self):
        blocks = read_blocks()
        self.assertGreater(len(blocks), 5)
        for number, how, text in blocks:
            self.assertRegex(how, r"^<!-- (run: \d+|not run: .+) -->$", f"README.md:{number}: {text}")
        with open(README) as file:
            fences = re.findall(r"^```(\w*)", file.read(), re.M)
        self.assertLessEqual(set(fences), {"", "sh", "yaml", "c", "json", "text", "cpp"})

    def test_blocks(self):
        for number, how, text in read_blocks():
            match = re.match(r"<!-- run: (\d+) -->", how)
            if not match:
                continue
            with self.subTest(line=number), harness.Scratch() as scratch:
                folder = self.prepare(scratch)
                result = self.run_block(scratch, folder, text)
                self.assertEqual(result.status, int(match[1]), f"README.md:{number}:\n{text}\n{result}")

    def test_blocks_that_are_not_run_are_few_and_known(self):
        for number, how, text in read_blocks():
            if not how.startswith("<!-- not run"):
                continue
            self.assertTrue(text.startswith(("scripts/test", "scripts/release", "docker", "unfreed push")), f"README.md:{number}")

    def test_ci_examples(self):
        lines = ci_lines()
        self.assertGreaterEqual(len(lines), 2)
        for line in lines:
            with self.subTest(line=line), harness.Scratch() as scratch:
                folder = self.prepare(scratch)
                os.symlink(folder, os.path.join(folder, "unfreed"))
                result = self.run_block(scratch, folder, line)
                self.assertEqual(result.status, 0, result)
                self.assertIn("all well", result.stdout)

    def test_kubernetes_sidecar(self):
        """It uses the command by its path, with the ledgers that the service has, too."""
        with open(README) as file:
            (service, sidecar) = re.findall(r"(?s)    - name: (?:service|metrics)\n.*?(?=    - name:|```)", file.read())
        (command,) = re.findall(r"command: \[(.*)\]", sidecar)
        program, *arguments = [word.strip(' "') for word in command.split(",")]
        self.assertEqual(program, "/opt/unfreed/bin/unfreed")
        (folder,) = re.findall(r"UNFREED_LEDGER_DIR, value: (/\w+)", sidecar)
        self.assertIn(f"UNFREED_LEDGER_DIR, value: {folder}}}", service)
        for one in (service, sidecar):
            self.assertIn(folder, re.findall(r"mountPath: ([/\w]+)", one))
        (address,) = [word for word in arguments if word.startswith("0.0.0.0:")]
        self.assertIn(f"containerPort: {address.split(':')[1]}", sidecar)
        listen = f"127.0.0.1:{harness.free_port()}"
        with harness.Scratch() as scratch:
            shutil.copy("/bin/sleep", scratch.path("my-service"))
            environment = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
            arguments = [listen if word == address else word for word in arguments]
            with (harness.started([scratch.path("my-service"), "300"], launcher=False, scratch=scratch),
                  subprocess.Popen([harness.COMMAND, *arguments], env=environment, stderr=subprocess.DEVNULL) as metrics):
                try:
                    harness.wait_for(lambda: 'program="my-service"' in self.scrape(listen), seconds=harness.TIME_LIMIT)
                finally:
                    metrics.terminate()

    @staticmethod
    def scrape(address):
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def test_report_shown_is_what_the_example_prints(self):
        """But for figures that differ from run to run, and the paths."""
        def normal(line):
            return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"\(\S*/", "(", line)).strip()
        with open(README) as file:
            (shown,) = re.findall(r"```text\n(unfreed: log_service.*?)```", file.read(), re.S)
        with harness.Scratch() as scratch:
            real = self.run_block(scratch, self.prepare(scratch), "scripts/run").stderr.splitlines()
        # What was inherited depends on who asks, times and heap on the run.
        for line in shown.strip().splitlines():
            if not re.match(r"unfreed:|  (heap|fd)  ", line):
                self.assertIn(normal(line), map(normal, real))
        lines = re.findall(r"log_service.cpp:(\d+)", shown)
        self.assertEqual(lines, re.findall(r"log_service.cpp:(\d+)", "\n".join(real)))

    def test_tables_name_every_variable_and_status(self):
        with open(README) as file:
            text = file.read()
        for word in ("UNFREED_OUTPUT", "UNFREED_TRACK", "UNFREED_ONLY", "UNFREED_FAIL_ON", "UNFREED_EXITCODE",
                     "UNFREED_SIGNAL", "UNFREED_DEPTH", "UNFREED_SUPPRESSIONS", "UNFREED_QUIET", "UNFREED_FORCE", "UNFREED_DISABLE",
                     "23", "125", "126", "127", "128+"):
            self.assertIn(word, text)

    def test_c_example_compiles_and_runs(self):
        with open(README) as file:
            examples = re.findall(r"```c\n(.*?)```", file.read(), re.S)
        self.assertTrue(examples)
        for text in examples:
            with harness.Scratch() as scratch:
                with open(scratch.path("example.c"), "w") as file:
                    file.write(text)
                subprocess.run(["gcc", "-Wall", "-Werror", "-I", os.path.join(harness.SOURCE, "include"), "-o",
                                scratch.path("example"), scratch.path("example.c")], check=True)
                self.assertEqual(harness.bare([scratch.path("example")]).status, 0)
                self.assertEqual(harness.run([scratch.path("example")]).status, 0)


if __name__ == "__main__":
    harness.main()
