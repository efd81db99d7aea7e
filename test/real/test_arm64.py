#!/usr/bin/python3
"""The library for arm64, built by scripts/cross/arm64, under an emulator (qemu-user): hooks, stacks, real programs of Debian's.

In namespaces of their own, where the kernel hands programs for arm64 to the emulator (binfmt_misc). What the emulator cannot do
is left out by name, below. Without a mirror, or where the kernel has no binfmt_misc for namespaces (Linux 6.7), this is skipped
and says so.
"""
import os
import shlex
import shutil
import subprocess
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.environ.get("TEST_ARM64", os.path.join(harness.BUILD, "test", "arm64"))
ROOT = os.path.join(FOLDER, "root")
LEAKS = os.path.join(HERE, "systems", "leaks.cpp")
EMULATOR = "/usr/bin/qemu-aarch64-static"
TARGETS = ["src/runtime/libunfreed.so", "test/hook/twins"]
# The header of a program for arm64, and which of its bits count; the emulator is opened at once.
MAGIC = (r":arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
         r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:" + EMULATOR + ":F")
# What every system has, and the emulator or a user namespace lacks.
LACKING = {
    "open_by_handle_at": "it takes a capability that users of a namespace do not have",
    "fanotify_init": "the emulator has no such call", "ioctl": "nor what gives descriptors by an ioctl",
    "read": "nor what gives them by reading", "__read": "as read", "__read_chk": "as read"}
# It accepts MADV_WIPEONFORK and does not do it, so that fork children are not noticed; and it has a thread of its own.
UNEMULATED_KINDS = {"child"}

# By real programs; each one's own exit status.
PROGRAMS = {
    "bash": ["bash", "-c", "exec 7</etc/debian_version; for i in 1 2 3; do read line <&7; echo $i $line; done; exit 3"],
    "perl": ["perl", "-e", "use POSIX (); POSIX::open('/dev/null', 0) for 1 .. 4; print join(',', map { $_ * 2 } 1 .. 9), \"\\n\"; exit 5"],
    "python": ["python3", "-c", "import os, subprocess, threading, sys\n"
               "for i in range(6): os.open('/dev/null', os.O_RDONLY)\n"
               "t = threading.Thread(target=lambda: os.open('/dev/zero', os.O_RDONLY)); t.start(); t.join()\n"
               "print(subprocess.run(['echo', 'child'], capture_output=True, text=True, check=True).stdout)\n"
               "sys.exit(6)"],
    "sqlite": ["sqlite3", ":memory:", "create table t(a); insert into t values (1), (2), (39); select sum(a) from t;"],
}
HELD = {"bash": 1, "perl": 4, "python": 7, "sqlite": 0}
STATUS = {"bash": 3, "perl": 5, "python": 6, "sqlite": 0}


def in_namespaces(script, **keywords):
    """Runs a shell script where programs for arm64 can be executed."""
    outer = f"""set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf %s {shlex.quote(MAGIC)} >/proc/sys/fs/binfmt_misc/register
{script}"""
    return subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "sh", "-c", outer],
                          capture_output=True, text=True, check=False, timeout=240, **keywords)


def beside_this_system(command, **keywords):
    """Where this system's programs are, and arm64's libraries, too."""
    return in_namespaces(f"mount -t overlay overlay -o lowerdir=/usr:{shlex.quote(ROOT)}/usr /usr\nexec {command}", **keywords)


def in_the_root(command, **keywords):
    """In Debian for arm64. What lies in the scratch folder is there, too."""
    root, scratch = shlex.quote(ROOT), shlex.quote(keywords.pop("scratch"))
    return in_namespaces(f"""mkdir -p {root}/dev {root}/proc {root}{scratch}
for folder in /dev /proc {scratch}; do mount --rbind $folder {root}$folder; done
exec chroot {root} {command}""", **keywords)


class Arm64(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for tool in ("aarch64-linux-gnu-g++", "mmdebstrap", "unshare", EMULATOR):
            if not shutil.which(tool):
                raise unittest.SkipTest(f"{tool} is not installed")
        probe = in_namespaces("true")
        if probe.returncode:
            raise unittest.SkipTest(f"no namespace in which programs for arm64 are executed: {probe.stderr.strip()}")
        built = subprocess.run([os.path.join(harness.SOURCE, "scripts", "cross", "arm64"), FOLDER, *TARGETS], capture_output=True,
                               text=True, check=False, env=harness.clean_environment())
        if "mmdebstrap failed" in built.stderr:
            raise unittest.SkipTest(f"Debian for arm64 could not be unpacked: {' '.join(built.stderr.split())[-300:]}")
        assert built.returncode == 0, built.stderr
        cls.scratch = harness.Scratch()
        cls.addClassCleanup(cls.scratch.__exit__)
        cls.library = cls.scratch.path("libunfreed.so")
        shutil.copy(os.path.join(FOLDER, "build", "src", "runtime", "libunfreed.so"), cls.library)

    def compile(self, name, source, *options):
        program = self.scratch.path(name)
        subprocess.run(["aarch64-linux-gnu-g++", f"--sysroot={ROOT}", "-g", "-O0", "-fno-builtin", *options, source, "-o", program,
                        "-pthread"], check=True)
        return program

    def preload(self, run, command, name):
        """Runs it with the library. What came of it, and its report."""
        report = self.scratch.path(f"{name}.json")
        done = run(shlex.join(["env", f"LD_PRELOAD={self.library}", f"UNFREED_OUTPUT={report}", f"UNFREED_LEDGER_DIR={self.scratch.ledgers}",
                               "UNFREED_QUIET=1", f"UNFREED_ONLY={os.path.basename(command[0])}*", *command]),
                   env=harness.clean_environment())
        self.assertTrue(os.path.exists(report), done)
        return done, harness.read_report(report, complete=True)

    def test_needs_no_newer_c_library_than_2_28(self):
        text = subprocess.run(["aarch64-linux-gnu-readelf", "-W", "--dyn-syms", self.library], check=True, capture_output=True,
                              text=True).stdout
        versions = {tuple(map(int, word.partition("@GLIBC_")[2].split("."))) for word in text.split() if "@GLIBC_" in word}
        self.assertIn((2, 17), versions)
        self.assertLessEqual(max(versions), (2, 28))

    def check_leaks(self, *options):
        program = self.compile("leaks", LEAKS, *options)
        done, report = self.preload(beside_this_system, [program], "leaks")
        self.assertEqual(done.returncode, 0, done)
        self.assertTrue(report["complete"], report["notes"])
        self.assertTrue(report["reconciled"])
        found = {}
        for site in harness.live_sites(report):
            self.assertFalse(site["truncated"], site)
            line = next((frame["line"] for frame in site["stack"] if frame.get("file") == LEAKS), None)
            found[line] = found.get(line, 0) + site["live"]
        lines = {name: harness.line_of(LEAKS, name) for name in ("early", "open", "stream", "blocks", "vector", "thread")}
        self.assertEqual(found, {lines["early"]: 1, lines["open"]: 3, lines["stream"]: 1, lines["blocks"]: 5, lines["vector"]: 2,
                                 lines["thread"]: 1})
        self.assertEqual({field: report["totals"]["fd"][field] for field in ("live", "unattributed", "closed_unseen")},
                         {"live": 5, "unattributed": 0, "closed_unseen": 0})

    def test_counts_are_exact_and_have_lines(self):
        self.check_leaks()

    def test_return_addresses_are_signed_and_stacks_whole(self):
        self.check_leaks("-mbranch-protection=standard")
        text = subprocess.run(["aarch64-linux-gnu-objdump", "-d", self.scratch.path("leaks")], check=True, capture_output=True,
                              text=True).stdout
        self.assertIn("paciasp", text)

    def test_real_programs_do_what_they_do_by_themselves(self):
        for name, command in PROGRAMS.items():
            with self.subTest(program=name):
                def run(line, **keywords):
                    return in_the_root(line, scratch=self.scratch.folder, **keywords)
                bare = run(shlex.join(command), env=harness.clean_environment())
                self.assertEqual(bare.returncode, STATUS[name], bare)
                done, report = self.preload(run, command, name)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (bare.returncode, bare.stdout, bare.stderr))
                self.assertEqual(report["process"]["exit_status"], STATUS[name])
                self.assertTrue(report["reconciled"])
                totals = report["totals"]
                self.assertEqual((totals["fd"]["live"], totals["fd"]["unattributed"]), (HELD[name], 0))
                self.assertGreater(totals["heap"]["total"], 10)

    def test_every_hook_that_the_emulator_can_run(self):
        """By test/hook/test_twins.py; this system's command fills in the lines."""
        folder = self.scratch.path("build")
        os.makedirs(os.path.join(folder, "test", "hook"))
        for place, file in ((harness.BUILD, "src/cli/unfreed"), (harness.BUILD, "src/report/report.schema.json"),
                            (os.path.join(FOLDER, "build"), "src/runtime/libunfreed.so"), (os.path.join(FOLDER, "build"), "test/hook/twins")):
            os.makedirs(os.path.dirname(os.path.join(folder, file)), exist_ok=True)
            os.symlink(os.path.join(place, file), os.path.join(folder, file))
        environment = {"TEST_BUILD": folder, "TEST_LACKS": " ".join(LACKING), "TEST_LACKS_KINDS": " ".join(UNEMULATED_KINDS),
                       "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.path.join(harness.SOURCE, "test", "support")}
        tests = os.path.join(harness.SOURCE, "test", "hook", "test_twins.py")
        done = beside_this_system(f"/usr/bin/python3 {shlex.quote(tests)} Twins.test_plain", env=harness.clean_environment(environment))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("\nok 1 ", done.stdout)


if __name__ == "__main__":
    harness.main()
