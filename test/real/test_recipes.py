#!/usr/bin/python3
"""README's recipes for test runners: each is run as it stands there, on a small project that leaks, and on one that does
not. Runners that are not installed are left out, which is said."""
import os
import re
import shutil
import subprocess
import unittest

import harness

C_TEST = """
#include <fcntl.h>
int main(void) {
  for (int i = 0; i < COUNT; i++) open("/etc/hosts", O_RDONLY);
  return 0;
}
"""
PROJECTS = {
    "CTest": {
        "CMakeLists.txt": """
cmake_minimum_required(VERSION 3.10)
project(small C)
enable_testing()
add_executable(leaky leaky.c)
add_test(NAME leaky COMMAND leaky)
add_executable(tidy tidy.c)
add_test(NAME tidy COMMAND tidy)
""",
        "tidy.c": C_TEST.replace("COUNT", "0"),
        "leaky.c": C_TEST,
    },
    "Meson": {
        "meson.build": """
project('small', 'c')
test('leaky', executable('leaky', 'leaky.c'))
test('tidy', executable('tidy', 'tidy.c'))
""",
        "tidy.c": C_TEST.replace("COUNT", "0"),
        "leaky.c": C_TEST,
    },
    "Cargo": {
        "Cargo.toml": '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2018"\n',
        "src/lib.rs": """
#[cfg(test)]
mod tests {
    #[test]
    fn clean() {
        std::fs::File::open("/etc/hosts").unwrap();
    }
    #[test]
    fn leaky() {
        for _ in 0..COUNT {
            std::mem::forget(std::fs::File::open("/etc/hosts").unwrap());
        }
    }
}
""",
    },
    "Go": {
        "go.mod": "module small\n\ngo 1.19\n",
        "small_test.go": """
package small

import (
	"syscall"
	"testing"
)

func TestLeaky(t *testing.T) {
	for i := 0; i < COUNT; i++ {
		if _, err := syscall.Open("/etc/hosts", syscall.O_RDONLY, 0); err != nil {
			t.Fatal(err)
		}
	}
}
""",
    },
}
TIME_LIMIT = 240  # Go may have to compile its library
NEEDED = {"CTest": ("cmake", "ctest"), "Meson": ("meson", "ninja"), "Cargo": ("cargo",), "Go": ("go",)}


def recipes():
    """{runner: its commands}, as the README's table has them."""
    with open(os.path.join(harness.SOURCE, "README.md"), encoding="utf-8") as file:
        table = file.read().split("| runner | commands |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\w+) \| (`.*`) \|$", table, re.M)
    return {runner: re.findall("`([^`]+)`", commands) for runner, commands in rows}


class Recipes(unittest.TestCase):
    def prepare(self, scratch, runner, count):
        folder = scratch.path("project")
        for name, text in PROJECTS[runner].items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace("COUNT", str(count)))
        return folder

    def run_recipe(self, scratch, folder, commands):
        """Of the last command, which runs the tests: its status and what it says. The others must succeed."""
        tools = scratch.path("tools")
        os.makedirs(tools)
        os.symlink(harness.COMMAND, os.path.join(tools, "unfreed"))
        env = harness.clean_environment({
            "PATH": tools + ":" + os.environ["PATH"], "HOME": os.environ.get("HOME", scratch.folder),
            "GOFLAGS": "-mod=mod", "CARGO_NET_OFFLINE": "true",
            "UNFREED_LEDGER_DIR": scratch.ledgers})
        for number, command in enumerate(commands, 1):
            done = subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True,
                                  check=False, timeout=TIME_LIMIT)
            if number < len(commands):
                self.assertEqual(done.returncode, 0, done)
        return done.returncode, done.stdout + done.stderr

    def check(self, runner):
        for tool in NEEDED[runner]:
            if not shutil.which(tool):
                self.skipTest(f"{tool} is not installed")
        for count in (2, 0):
            with self.subTest(leaks=count), harness.Scratch() as scratch:
                folder = self.prepare(scratch, runner, count)
                status, said = self.run_recipe(scratch, folder, recipes()[runner])
                self.assertEqual(status != 0, count > 0, said)
                reports = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names
                           if name.startswith("unfreed.") and name.endswith(".json")]
                held = [harness.counted(harness.read_report(path)) for path in reports]
                self.assertEqual(sum(held), count, said)

    def test_every_recipe_is_run(self):
        self.assertEqual(set(recipes()), set(PROJECTS))

    def test_ctest(self):
        self.check("CTest")

    def test_meson(self):
        self.check("Meson")

    def test_cargo(self):
        self.check("Cargo")

    def test_go(self):
        self.check("Go")


if __name__ == "__main__":
    harness.main()
