#!/usr/bin/python3
"""When the machine does not cooperate: the program is unharmed, a line says what is missing, nothing is silently lost."""
import os
import resource
import subprocess
import unittest

import harness

LEAK = None  # set in setUpModule: the programs must have been built


def setUpModule():
    global LEAK
    LEAK = [harness.program("fd_open"), "leak"]


def can_mount():
    """Root, and allowed to have a mount namespace?"""
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


needs_mounts = unittest.skipUnless(can_mount(), "needs root and mount namespaces")


class Output(unittest.TestCase):
    """A report that cannot be written."""

    def unwritable(self, path):
        for rules in ([], ["--fail-on", "fd>0"]):
            with harness.Scratch() as scratch:
                env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
                got = harness.Result(*harness.execute(
                    [harness.COMMAND, "run", "--output", path, *rules, "--", *LEAK], env=env), None, {}, None)
                self.assertEqual(got.status, 125, got)
                self.assertIn(path, got.stderr)

    def test_folder_that_does_not_exist(self):
        self.unwritable("/nonexistent/folder/report.json")

    def test_folder_instead_of_a_file(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("here"))
            self.unwritable(scratch.path("here"))

    def test_bare_preload(self):
        # A service in / or a container with a read-only root is no failure; a rule that is broken stays one.
        for rules, status in (("", 0), ("fd>5", 0), ("fd>0", 23)):
            with self.subTest(rules=rules), harness.Scratch() as scratch:
                result = harness.preload(LEAK, scratch=scratch, keep_ledgers=True,
                                         env={"UNFREED_OUTPUT": "/nonexistent/folder/report.json", "UNFREED_FAIL_ON": rules})
                self.assertEqual(result.status, status, result)
                self.assertEqual(result.stderr.count("cannot be written"), 1, "said once")
                self.assertIn("/nonexistent/folder", result.stderr)
                self.assertEqual("FAIL fd>0: 3" in result.stderr, status != 0, result)
                # Nothing is lost: the ledger stays, and the line says where.
                (name,) = scratch.leftovers()
                self.assertIn(name, result.stderr)
                later = harness.unfreed("report", os.path.join(scratch.ledgers, name))
                self.assertIn("take", later.stdout)

    def test_own_status_still_wins(self):
        result = harness.preload([harness.program("ending"), "exit", "7"], keep_ledgers=True,
                                 env={"UNFREED_OUTPUT": "/nonexistent/folder/report.json"})
        self.assertEqual(result.status, 7, result)

    @needs_mounts
    def test_full_disk(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("small"))
            script = (f"mount -t tmpfs -o size=4k tmpfs {scratch.path('small')} && "
                      f"head -c 4096 /dev/zero >{scratch.path('small', 'filler')}; "
                      f"{harness.COMMAND} run --output {scratch.path('small')}/report.json -- {' '.join(LEAK)}; "
                      f'echo "status $?"; ls {scratch.path("small")}')
            env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
            status, stdout, stderr, _ = harness.execute(["unshare", "--mount", "/bin/sh", "-c", script], env=env)
            self.assertEqual(stdout.split(), ["status", "125", "filler"], stdout + stderr)
            self.assertIn("report.json", stderr)
            self.assertEqual(len(scratch.leftovers()), 1, "what it would have said is kept")
            self.assertIn(scratch.leftovers()[0], stderr, "and the line says where")


class SharedMemory(unittest.TestCase):
    """No room, or no place, for the ledger: the process keeps it to itself, and still makes its report."""

    def check_alone(self, ledgers, env=None, helper=True):
        result = harness.preload(LEAK, helper=helper, env={"UNFREED_LEDGER_DIR": ledgers, **(env or {})})
        self.assertEqual(result.status, 0, result)
        self.assertIsNotNone(result.report, result)
        self.assertEqual(result.report["totals"]["fd"]["live"], 3)
        self.assertTrue(result.report["notes"], "a note says what is missing")

    def test_no_such_folder(self):
        self.check_alone("/nonexistent")
        self.check_alone("/nonexistent", helper=False)
        self.check_alone("/dev/null")

    def test_under_run(self):
        # With nowhere to put ledgers `unfreed run` cannot learn anything: it says so, and a gate is not a pass.
        result = harness.run(LEAK, env={"UNFREED_LEDGER_DIR": "/nonexistent"})
        self.assertIn(result.status, (0, 125), result)
        self.assertTrue(result.stderr.strip())
        if result.status == 0:
            self.assertIsNotNone(result.report, "no report, and no failure either")
            self.assertEqual(result.report["totals"]["fd"]["live"], 3)
        gated = harness.run([harness.program("fd_open"), "leak"], options=["--fail-on", "fd>0"],
                            env={"UNFREED_LEDGER_DIR": "/nonexistent"})
        self.assertIn(gated.status, (23, 125), gated)

    @needs_mounts
    def test_full(self):
        for size in ("4k", "64k", "400k"):
            for rules in ("", "--fail-on fd>0"):
                with self.subTest(size=size, rules=rules), harness.Scratch() as scratch:
                    script = (f"mount -t tmpfs -o size={size} tmpfs /dev/shm && "
                              f"{harness.COMMAND} run --output {scratch.path('report.json')} {rules.replace('>', chr(92) + '>')} "
                              f"-- {' '.join(LEAK)}; echo status $?")
                    status, stdout, stderr, _ = harness.execute(["unshare", "--mount", "/bin/sh", "-c", script],
                                                                env=harness.clean_environment())
                    got = int(stdout.split()[-1])
                    reports = harness.read_reports(scratch.folder)
                    if "report.json" in reports:
                        self.assertEqual(reports["report.json"]["totals"]["fd"]["live"], 3, stderr)
                        self.assertEqual(got, 23 if rules else 0, stdout + stderr)
                    else:
                        self.assertEqual(got, 125, stdout + stderr)
                        self.assertTrue(stderr.strip())

    def run_python_in_8_mib(self, scratch, program):
        """Under the launcher, with no more room than that for ledgers. The program's fill() takes what is left of it."""
        fill = ("import os\n"
                "def fill():\n"
                "    filler = os.open('/dev/shm/filler', os.O_CREAT | os.O_WRONLY)\n"
                "    for size in (65536, 512):\n"
                "        try:\n"
                "            while os.write(filler, bytes(size)): pass\n"
                "        except OSError: pass\n"
                "    os.close(filler)\n")
        with open(scratch.path("filler.py"), "w") as file:
            file.write(fill + program)
        script = (f"mount -t tmpfs -o size=8m tmpfs /dev/shm && {harness.COMMAND} run --output "
                  f"{scratch.path('report.json')} -- env PYTHONMALLOC=malloc /usr/bin/python3 "
                  f"{scratch.path('filler.py')}; echo status $?")
        _, stdout, stderr, _ = harness.execute(["unshare", "--mount", "/bin/sh", "-c", script],
                                               env=harness.clean_environment())
        return stdout, stderr

    @needs_mounts
    def test_runs_full_later(self):
        """The ledger must grow while others fill the memory: no SIGBUS, and what no longer fits is counted."""
        with harness.Scratch() as scratch:
            program = ("fill()\n"
                       "fds = [os.open('/etc/passwd', os.O_RDONLY) for i in range(200)]\n"
                       "def deep(n): return [object()] if n == 0 else deep(n - 1)\n"
                       "keep = [deep(n) for n in range(100)]\n"
                       "print('alive', len(fds))\n"
                       "os.unlink('/dev/shm/filler')\n"
                       "os._exit(0)\n")
            stdout, stderr = self.run_python_in_8_mib(scratch, program)
            self.assertEqual(stdout, "alive 200\nstatus 0\n", stderr)
            report = harness.read_report(scratch.path("report.json"))
            self.assertEqual(report["totals"]["fd"]["live"], 200)

    @needs_mounts
    def test_runs_full_in_a_fork_child(self):
        """The same where the ledger is a copy of the parent's: what the parent's has storage for, the child's may not."""
        with harness.Scratch() as scratch:
            program = ("before = [os.open('/etc/passwd', os.O_RDONLY) for i in range(10)]\n"
                       "os.set_inheritable(before[0], True)\n"
                       "if os.fork() == 0:\n"
                       "    os.open('/etc/passwd', os.O_RDONLY)\n"
                       "    fill()\n"
                       "    fds = [os.open('/etc/passwd', os.O_RDONLY) for i in range(199)]\n"
                       "    status = os.spawnv(os.P_WAIT, '/bin/true', ['true'])\n"
                       "    os.set_inheritable(fds[0], True)\n"
                       "    status += os.posix_spawn('/bin/true', ['true'], os.environ) and os.wait()[1]\n"
                       "    os.write(1, b'alive %d\\n' % status)\n"
                       "    os.unlink('/dev/shm/filler')\n"
                       "    os._exit(0)\n"
                       "print('child', os.wait()[1], flush=True)\n"
                       "os._exit(0)\n")
            stdout, stderr = self.run_python_in_8_mib(scratch, program)
            self.assertEqual(stdout, "alive 0\nchild 0\nstatus 0\n", stderr)
            reports = harness.read_reports(scratch.folder)
            held = sorted(report["totals"]["fd"]["live"] for report in reports.values())
            self.assertEqual(held[-2:], [10, 200], stderr)


class Surroundings(unittest.TestCase):
    @needs_mounts
    def test_no_proc(self):
        """The kernel is asked number by number instead, so the count is still exact; targets are missing, and the report
        says so."""
        for way in (f"LD_PRELOAD={harness.LIBRARY}", f"LD_PRELOAD={harness.LIBRARY} UNFREED_HELPER=/nonexistent",
                    f"{harness.COMMAND} run --"):
            with self.subTest(way=way), harness.Scratch() as scratch:
                script = (f"umount -l /proc 2>/dev/null || mount -t tmpfs tmpfs /proc; "
                          f"export UNFREED_LEDGER_DIR={scratch.ledgers} UNFREED_OUTPUT={scratch.path('report.json')}; "
                          f"env {way} {' '.join(LEAK)}; echo status $?")
                _, stdout, stderr, _ = harness.execute(["unshare", "--mount", "/bin/sh", "-c", script],
                                                       env=harness.clean_environment())
                self.assertEqual(stdout, "status 0\n", stderr)
                report = harness.read_report(scratch.path("report.json"))
                self.assertEqual(report["totals"]["fd"]["live"], 3)
                self.assertTrue(report["reconciled"])
                self.assertFalse(report["complete"])
                self.assertRegex("\n".join(report["notes"]), "targets or flags could not be read from the kernel")
                sites = harness.own_sites(report, harness.program("fd_open"), "fd")
                self.assertEqual([item.get("target") for site in sites for item in site["objects"]], [None] * 3)
                self.assertEqual({harness.top(site)["module"] for site in sites}, {harness.program("fd_open")})
                self.assertEqual({harness.top(site)["function"] for site in sites}, {"take", "main"})

    def test_system_calls_that_are_refused(self):
        """A program may be started where the kernel refuses to tell what is open (seccomp). Then it is not known, which is
        not the same as that nothing is open."""
        for calls, reconciled in (("fcntl", True), ("getdents64", True), ("readlinkat", True), ("fcntl,getdents64", False),
                                  ("getdents64,prlimit64", False), ("fcntl,getdents64,readlinkat,waitid", False)):
            for way, run in (("run", harness.run), ("preload", harness.preload)):
                with self.subTest(calls=calls, way=way):
                    result = run([harness.program("refused"), calls, *LEAK])
                    self.assertEqual(result.status, 0, result)
                    self.assertEqual(result.report["totals"]["fd"]["live"], 3)
                    self.assertEqual(result.report["totals"]["fd"]["closed_unseen"], 0)
                    self.assertEqual(result.report["reconciled"], reconciled)
                    self.assertEqual(result.report["complete"], calls == "getdents64", result.report["notes"])
        self.assertEqual(harness.run([harness.program("refused"), "fcntl", *LEAK], options=["--fail-on", "fd>0"]).status, 23)

    @needs_mounts
    def test_no_proc_and_nobody_to_ask(self):
        with harness.Scratch() as scratch:
            script = (f"umount -l /proc 2>/dev/null || mount -t tmpfs tmpfs /proc; "
                      f"{harness.COMMAND} run --output {scratch.path('report.json')} -- {harness.program('refused')} fcntl "
                      f"{' '.join(LEAK)}; echo status $?")
            env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
            _, stdout, stderr, _ = harness.execute(["unshare", "--mount", "/bin/sh", "-c", script], env=env)
            self.assertEqual(stdout, "status 0\n", stderr)
            report = harness.read_report(scratch.path("report.json"))
            self.assertEqual((report["totals"]["fd"]["live"], report["complete"]), (3, False), report["notes"])

    def test_few_descriptors(self):
        for limit in (3, 4, 5, 8):
            with self.subTest(limit=limit):
                def tight():
                    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
                alone = harness.bare([harness.program("heap_malloc"), "leak"], preexec=tight)
                for helper in (True, False):
                    result = harness.preload([harness.program("heap_malloc"), "leak"], preexec=tight, helper=helper,
                                             keep_ledgers=True)
                    self.assertEqual(result.stdout, alone.stdout)
                    # A report, or the ledger and a line that says so: never silence.
                    if result.report:
                        self.assertEqual(result.status, alone.status, result)
                        self.assertEqual(len(harness.own_sites(result.report, harness.program("heap_malloc"), "heap")), 2)
                    else:
                        self.assertTrue(result.stderr.strip(), "nothing said, and no report")

    def test_few_descriptors_under_run(self):
        for limit in (8, 16):
            result = harness.run(["/bin/sh", "-c", f"ulimit -n {limit}; exec " + " ".join(LEAK)])
            self.assertEqual(result.status, 0, result)
            self.assertEqual(result.report["totals"]["fd"]["live"], 3)

    def test_program_that_closes_every_descriptor(self):
        for name, run in (("run", harness.run), ("preload", harness.preload)):
            with self.subTest(way=name):
                result = run([harness.program("close_all")])
                self.assertEqual(result.status, 0, result)
                self.assertEqual(result.report["totals"]["fd"]["live"], 5)
                (site,) = harness.live_sites(result.report, "fd")
                self.assertEqual([item["fd"] for item in site["objects"]], [0, 1, 2, 3, 4])
                self.assertEqual(harness.base_function(harness.top(site)["function"]), "take")

    def test_stderr_that_was_closed_is_not_written_to(self):
        """Number 2 may be the program's own file by then: the summary must not land in it."""
        with harness.Scratch() as scratch:
            target = scratch.path("mine")
            python = ("import os, sys\nos.close(2)\nfd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\nassert fd == 2\n"
                      "os.write(2, b'data')\nos._exit(0)\n")
            result = harness.preload(["/usr/bin/python3", "-c", python, target])
            self.assertEqual(result.status, 0, result)
            with open(target) as file:
                self.assertEqual(file.read(), "data")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_process_that_gives_up_its_privileges(self):
        python = ("import os\nkept = [os.open('/etc/passwd', os.O_RDONLY) for i in range(4)]\n"
                  "os.setgid(65534)\nos.setuid(65534)\nos._exit(0)\n")
        result = harness.run(["/usr/bin/python3", "-c", python])
        self.assertEqual(result.status, 0, result)
        self.assertEqual(result.report["totals"]["fd"]["live"], 4)

    @needs_mounts
    def test_process_that_changes_its_root(self):
        python = ("import os, tempfile\nkept = [os.open('/etc/passwd', os.O_RDONLY) for i in range(4)]\n"
                  "os.chroot(tempfile.mkdtemp())\nos.chdir('/')\nos._exit(0)\n")
        result = harness.run(["/usr/bin/python3", "-c", python])
        self.assertEqual(result.status, 0, result)
        self.assertEqual(result.report["totals"]["fd"]["live"], 4)

    def test_static_program_with_and_without_rules(self):
        with harness.Scratch() as scratch:
            source, binary = scratch.path("static.c"), scratch.path("static")
            with open(source, "w") as file:
                file.write("#include <stdio.h>\nint main(void) { puts(\"static\"); return 0; }\n")
            subprocess.run(["gcc", "-static", "-o", binary, source], check=True)
            loose = harness.run([binary], options=["--backend", "preload"])
            self.assertEqual((loose.status, loose.stdout), (0, "static\n"), loose)
            self.assertIn("not tracked", loose.stderr)
            gated = harness.run([binary], options=["--backend", "preload", "--fail-on", "fd>0"])
            self.assertEqual((gated.status, gated.stdout), (125, "static\n"), gated)

    def test_program_with_a_malloc_of_its_own(self):
        with harness.Scratch() as scratch:
            source, binary = scratch.path("own.c"), scratch.path("own")
            with open(source, "w") as file:
                file.write("#include <stddef.h>\n#include <fcntl.h>\n"
                           "static char pool[1 << 20]; static size_t used;\n"
                           "void* malloc(size_t n) { void* p = pool + used; used += (n + 31) & ~(size_t)15; return p; }\n"
                           "void free(void* p) { (void)p; }\n"
                           "void* calloc(size_t a, size_t b) { return malloc(a * b); }\n"
                           "void* realloc(void* p, size_t n) { (void)p; return malloc(n); }\n"
                           "int main(void) { return malloc(10) == NULL || open(\"/etc/passwd\", O_RDONLY) < 0; }\n")
            subprocess.run(["gcc", "-g", "-fno-builtin", "-rdynamic", "-o", binary, source], check=True)
            result = harness.run([binary])
            self.assertEqual(result.status, 0, result)
            self.assertNotEqual(result.report["coverage"]["heap"], "exact", "a blind detector never says no leaks")
            self.assertTrue(result.report["notes"])
            self.assertEqual(result.report["totals"]["fd"]["live"], 1)
            gated = harness.run([binary], options=["--fail-on", "heap>0"])
            self.assertEqual(gated.status, 125, gated)


if __name__ == "__main__":
    harness.main()
