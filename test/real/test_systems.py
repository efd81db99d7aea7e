#!/usr/bin/python3
"""The Debian package of scripts/release on other systems than the one that built it: an older glibc, and a newer one.

Each system is made from Debian's packages in a folder, in which the package is installed, and systems/inside.py and the twins of
every hooked function, compiled there, are run. Without a mirror, or if the mirror takes too long, this is skipped and says so.
"""
import concurrent.futures
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEMS = {"bullseye": "2.31", "trixie": "2.41"}  # Debian 11 and 13, by the glibc that they have
PACKAGES = "python3,perl-base,sqlite3,g++,binutils,libjemalloc2"
PATIENCE = 150  # seconds for the mirror
TWINS = {"twins": ["-O0"], "twins_fortified": ["-O2", "-D_FORTIFY_SOURCE=2"], "twins_large_files": ["-O0", "-D_FILE_OFFSET_BITS=64"]}
# The tests of the twins that need no other package.
TWIN_TESTS = ["test_plain", "test_fortified", "test_large_files", "test_an_indirect_function", "test_functions_of_a_later_libc",
              "test_functions_that_no_library_has_are_unavailable", "test_what_is_closed_is_closed_by_its_hook", "test_the_tester"]
# The schema is checked on the system that the tests run on; others have older validators.
VALIDATOR = """
class Draft202012Validator:
    def __init__(self, schema): pass
    def iter_errors(self, document): return ()
class exceptions:
    best_match = staticmethod(lambda errors: None)
"""


def mirror():
    """Where this system has its own packages from: the other ones are beside them."""
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"],
                             capture_output=True, text=True, check=False).stdout.split()
    return targets[:1]


def inside(root, script):
    """Runs a shell script with `root` as its root, in a mount namespace of its own."""
    outer = f"""set -e
mount --rbind /dev {root}/dev
mount --rbind /proc {root}/proc
mount --rbind {shlex.quote(harness.SOURCE)} {root}{shlex.quote(harness.SOURCE)}
exec chroot {root} /bin/sh -e -c {shlex.quote(script)}"""
    return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", outer], capture_output=True, text=True,
                          check=False, timeout=300, env=harness.clean_environment({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}))


def make(name, folder):
    """The system's root; or why there is none."""
    root = os.path.join(folder, name)
    try:
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}", name, root, *mirror()],
                              capture_output=True, text=True, check=False, timeout=PATIENCE,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    except subprocess.TimeoutExpired:
        return f"the mirror needs more than {PATIENCE} s"
    return root if done.returncode == 0 else "mmdebstrap: " + " ".join(done.stderr.split())[-300:]


class Systems(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise unittest.SkipTest("only root can make another system's root folder")
        for tool in ("mmdebstrap", "unshare"):
            if not shutil.which(tool):
                raise unittest.SkipTest(f"{tool} is not installed")
        if not os.path.exists(harness.COMMAND + "-static"):
            raise unittest.SkipTest("the static command was not built")
        cls.folder = tempfile.mkdtemp(prefix="unfreed-systems-")
        os.chmod(cls.folder, 0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            making = {name: pool.submit(make, name, cls.folder) for name in SYSTEMS}
            done = subprocess.run([os.path.join(harness.SOURCE, "scripts", "release"), "--build", harness.BUILD,
                                   os.path.join(cls.folder, "packages")], capture_output=True, text=True, check=False)
            cls.made = {name: future.result() for name, future in making.items()}
        assert done.returncode == 0, done
        (cls.package,) = [name for name in os.listdir(os.path.join(cls.folder, "packages")) if name.endswith(".deb")]
        cls.expected = cls.observe_here()

    @classmethod
    def observe_here(cls):
        """What the programs hold on this system."""
        os.environ["EXPECTED"] = json.dumps({"glibc": "0"})
        sys.path.insert(0, os.path.join(HERE, "systems"))
        from inside import PROGRAMS, observe  # which reads what is expected
        version = subprocess.run([harness.COMMAND + "-static", "--version"], capture_output=True, text=True, check=True).stdout
        return {"version": version, "programs": {name: observe(harness.run, name) for name in PROGRAMS}}

    def root_of(self, name):
        if not self.made[name].startswith("/"):
            self.skipTest(f"there is no {name}: {self.made[name]}")
        return self.made[name]

    def prepare(self, root):
        """Installs the package. Its files stand where the tests' support looks for those of a build."""
        shutil.copy(os.path.join(self.folder, "packages", self.package), root)
        for folder in ("src/cli", "src/runtime", "src/report", "test/hook", "support"):
            os.makedirs(os.path.join(root, "build", folder))
        os.makedirs(root + harness.SOURCE)
        with open(os.path.join(root, "build", "support", "jsonschema.py"), "w") as file:
            file.write(VALIDATOR)
        done = inside(root, f"dpkg --install /{self.package}\n"
                            "ln -s /usr/bin/unfreed /build/src/cli/unfreed\n"
                            "ln -s /usr/lib/unfreed/libunfreed.so /build/src/runtime/libunfreed.so\n"
                            "ln -s /usr/share/unfreed/report.schema.json /build/src/report/report.schema.json\n")
        self.assertEqual(done.returncode, 0, done)

    def run_tests(self, root, glibc, file, *names):
        expected = json.dumps({"glibc": glibc, **self.expected})
        return inside(root, f"EXPECTED={shlex.quote(expected)} TEST_SOURCE={shlex.quote(harness.SOURCE)} TEST_BUILD=/build "
                            f"PYTHONPATH=/build/support:{shlex.quote(harness.SOURCE)}/test/support PYTHONDONTWRITEBYTECODE=1 "
                            f"python3 {shlex.quote(os.path.join(harness.SOURCE, file))} {' '.join(names)}")

    def compile_twins(self, root):
        source = shlex.quote(harness.SOURCE)
        common = f"-g -D_GNU_SOURCE -I{source}/src -fno-builtin -w"
        script = "cd /build/test/hook\n"
        for name, options in TWINS.items():
            script += (f"g++ -std=c++2a {common} -fno-optimize-sibling-calls -fno-ipa-icf -U_FILE_OFFSET_BITS -U_FORTIFY_SOURCE "
                       f"{' '.join(options)} {source}/test/hook/twins.cpp -o {name} -Wl,--no-as-needed -pthread -lrt -ldl -lutil\n")
        for name in ("indirect", "later_libc"):
            script += f"gcc -shared -fPIC {common} {source}/test/hook/{name}.c -o {name}.so\n"
        return inside(root, script)

    def check(self, done, at_least):
        passed = done.stdout.count("\nok ")
        failed = [line for line in done.stdout.splitlines() if line.startswith("not ok")]
        self.assertEqual((failed, done.returncode), ([], 0), done.stdout + done.stderr)
        self.assertGreaterEqual(passed, at_least, done.stdout)

    def check_system(self, name):
        root = self.root_of(name)
        self.prepare(root)
        with self.subTest("programs"):
            self.check(self.run_tests(root, SYSTEMS[name], "test/real/systems/inside.py"), 5)
        with self.subTest("hooks"):
            done = self.compile_twins(root)
            self.assertEqual(done.returncode, 0, done)
            self.check(self.run_tests(root, SYSTEMS[name], "test/hook/test_twins.py", *[f"Twins.{test}" for test in TWIN_TESTS]),
                       len(TWIN_TESTS))
        with contextlib.suppress(OSError):
            shutil.rmtree(root)

    def test_debian_11(self):
        self.check_system("bullseye")

    def test_debian_13(self):
        self.check_system("trixie")


if __name__ == "__main__":
    harness.main()
