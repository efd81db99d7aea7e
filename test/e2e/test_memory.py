#!/usr/bin/python3
"""Memory and address space are the program's first: it does what it does by itself where there is little of them."""
import os
import re
import subprocess
import unittest

import harness


def can_mount():
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


class NearlyFullSharedMemory(unittest.TestCase):
    """Whatever room is left for ledgers, none or enough: the same output, and a report that says what it lacks."""

    # Ledgers leave a mebibyte free.
    FREE_KIB = (2000, 1324, 1224, 1184, 1144, 1104, 1072, 1040, 300, 160, 80, 48, 16, 4, 0)

    def with_free_room(self, kib, command, folder):
        script = (f"mount -t tmpfs -o size=4m none {folder}/ledgers && "
                  f"head -c {(4096 - kib) * 1024} /dev/zero >{folder}/ledgers/filled; {command}; "
                  f"echo \"=== $?\"; rm {folder}/ledgers/filled; ls {folder}/ledgers")
        return harness.execute(["unshare", "--mount", "--propagation", "private", "/bin/bash", "-c", script],
                               env=harness.clean_environment({"UNFREED_LEDGER_DIR": f"{folder}/ledgers"}), cwd=folder)

    def check(self, program, expected, look=lambda reports: None):
        for kib in self.FREE_KIB:
            for how in ("run", "preload"):
                with self.subTest(kib=kib, how=how), harness.Scratch() as scratch:
                    os.mkdir(scratch.path("ledgers"))
                    start = {"run": f"{harness.COMMAND} run -q --output {scratch.path('report.json')} --",
                             "preload": f"UNFREED_QUIET=1 UNFREED_OUTPUT={scratch.path('%e.%p.json')} "
                                        f"LD_PRELOAD={harness.LIBRARY}"}[how]
                    _, stdout, stderr, _ = self.with_free_room(kib, f"{start} {program}", scratch.folder)
                    *output, status = stdout.split("=== ")
                    self.assertEqual("".join(output), expected, stderr)
                    # Under the launcher a report that cannot be made is a failure of its own.
                    self.assertIn(status.split()[0], ("0", "125") if how == "run" else ("0",), stderr)
                    self.assertEqual(status.split()[1:], [], "ledgers are left behind")
                    look(harness.read_reports(scratch.folder))

    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_command_substitution(self):
        self.check("""bash -c 'x=$(echo hi; (exit 3); echo $?); echo "[$x]"'""", "[hi\n3]\n")

    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_a_gate_is_no_silent_pass(self):
        """A forked child leaks three descriptors, wherever its ledger is: 23, or 125 where the launcher cannot see it."""
        program = f"bash -c '{harness.program('room')} leak forked; true'"
        got = {}
        for kib in self.FREE_KIB:
            with harness.Scratch() as scratch:
                os.mkdir(scratch.path("ledgers"))
                start = f"{harness.COMMAND} run -q --output {scratch.path('report.json')} --fail-on 'fd>0' --"
                _, stdout, stderr, _ = self.with_free_room(kib, f"{start} {program}", scratch.folder)
                got[kib] = int(stdout.split("=== ")[1].split()[0])
                self.assertIn(got[kib], (23, 125), (kib, stderr))
        self.assertEqual(got[2000], 23)
        self.assertIn(125, got.values())

    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_forked_children(self):
        """What the one that leaks held is in its report, or a report says that it is not complete."""
        leaking = []

        def look(reports):
            leaking.append(any(report["totals"]["fd"]["live"] == 3 for report in reports.values()))
            self.assertTrue(leaking[-1] or any(not report["complete"] for report in reports.values()) or not reports)
        self.check(harness.program("tree"), "", look)
        self.assertGreater(sum(leaking), len(leaking) / 2)


    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_semaphores_of_the_program(self):
        """What it creates in a small /dev/shm after its start finds as much room as without unfreed."""
        with harness.Scratch() as scratch:
            pool = scratch.path("pool.py")
            with open(pool, "w", encoding="utf-8") as file:
                file.write("import multiprocessing\n"
                           "def double(number): return 2 * number\n"
                           "if __name__ == '__main__':\n"
                           "    with multiprocessing.Pool(2) as pool: print(sum(pool.map(double, range(100))))\n")
            script = ("mount -t tmpfs -o size=1m none /dev/shm && head -c {full} /dev/zero >/dev/shm/filled; "
                      f"{{preload}} /usr/bin/python3 {pool}; echo \"=== $?\"; "
                      "rm /dev/shm/filled; ls /dev/shm")
            preload = f"LD_PRELOAD={harness.LIBRARY} UNFREED_QUIET=1 UNFREED_OUTPUT={scratch.path('%e.%p.json')}"
            for kib in (960, 256, 160, 80, 48):
                for way in ("", preload):
                    with self.subTest(kib=kib, way=way):
                        _, stdout, stderr, _ = harness.execute(
                            ["unshare", "--mount", "--propagation", "private", "/bin/bash", "-c",
                             script.format(full=(1024 - kib) * 1024, preload=way)],
                            env=harness.clean_environment({"UNFREED_LEDGER_DIR": "/dev/shm"}), cwd=scratch.folder)
                        self.assertEqual(stdout, "9900\n=== 0\n", stderr)

    @unittest.skipUnless(can_mount(), "needs root and mount namespaces")
    def test_a_ledger_that_grows_leaves_room(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("ledgers"))
            # The program has done its work when it writes, and then waits for the end of its input.
            look = "until [ -s written ]; do sleep 0.05; done; df --output=avail -k ledgers | tail -1 >free"
            program = f"{harness.program('many_sites')} 20000 1"
            start = f"LD_PRELOAD={harness.LIBRARY} UNFREED_QUIET=1 UNFREED_OUTPUT={scratch.path('report.json')}"
            self.with_free_room(1600, f"{{ {look}; }} | {start} {program} >written", scratch.folder)
            with open(scratch.path("free"), encoding="utf-8") as file:
                free = int(file.read())
            self.assertTrue(1024 <= free < 1100, free)
            report = harness.read_report(scratch.path("report.json"))
            self.assertEqual(report["complete"], False)
            self.assertTrue([note for note in report["notes"] if "could not grow" in note], report["notes"])


class Growth(unittest.TestCase):
    def test_threads_that_have_gone_leave_nothing(self):
        """The ledger of a program that starts thread after thread stays as large as it is."""
        with harness.Scratch() as scratch, harness.started([harness.program("many_threads")], launcher=False,
                                                           scratch=scratch) as process:
            def blocks_after(count):
                process.stdin.write(f"{count}\n".encode())
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), b"done\n")
                (ledger,) = [os.path.join(folder, name) for folder, _, names in os.walk(scratch.ledgers) for name in names
                             if os.stat(os.path.join(folder, name)).st_size > 1 << 20]
                return os.stat(ledger).st_blocks
            first = blocks_after(100)
            self.assertGreater(first, 0)
            self.assertEqual(blocks_after(2000), first)


class AddressSpace(unittest.TestCase):
    """The runtime's memory lies where it is in nobody's way."""

    LAYOUTS = ([], ["setarch", "-R"], ["setarch", "-L"], ["bash", "-c", 'ulimit -s unlimited; exec "$@"', "bash"])

    def check(self, what):
        for layout in self.LAYOUTS:
            for where in ("here", "forked"):
                command = [*layout, harness.program("room"), what, where]
                bare = harness.bare(command)
                self.assertIn(" 0\n", bare.stdout)
                for tracked in (harness.run(command), harness.preload(command)):
                    self.assertEqual((tracked.status, tracked.stdout), (bare.status, bare.stdout), (command, tracked))

    def test_a_stack_grows_into_the_room_below_it(self):
        self.check("stack")

    def test_the_main_thread_uses_up_its_stack(self):
        self.check("main")

    def test_the_break_moves_on(self):
        self.check("break")

    def test_large_tables_are_left_out_of_core_dumps(self):
        """Of what a core dump has (private memory, but for what says dd), no more than the library's own variables."""
        def dumped_kib(run):
            text = run(["cat", "/proc/self/smaps"]).stdout
            maps = re.findall(r"^[0-9a-f]+-[0-9a-f]+ rw-p .*?^VmFlags: [^\n]*", text, re.M | re.S)
            self.assertTrue(maps)
            return sum(int(re.search(r"Size: +(\d+)", one)[1]) for one in maps if " dd" not in one)
        bare = dumped_kib(harness.bare)
        self.assertGreater(bare, 0)
        for run in (harness.run, harness.preload):
            self.assertLess(dumped_kib(run) - bare, 1024)

    @unittest.skipUnless(os.uname().machine == "x86_64", "names x86-64's loader")
    def test_memory_of_the_runtime_lies_apart(self):
        """What lies near the program's mappings is theirs, but for the library and its own variables."""
        def bytes_near(run):
            ranges = []
            for line in run(["cat", "/proc/self/maps"]).stdout.splitlines():
                start, end = (int(text, 16) for text in line.split()[0].split("-"))
                if line.endswith("ld-linux-x86-64.so.2"):
                    loader = end
                ranges.append((start, end))
            return sum(end - start for start, end in ranges if loader - (16 << 30) < start < loader)
        bare = bytes_near(harness.bare)
        self.assertGreater(bare, 1 << 20)
        for run in (harness.run, harness.preload):
            self.assertLess(bytes_near(run) - bare, 5 << 19)


def limited(option, mib, command):
    """The command with a limit of so many MiB: -v address space, -d private memory that may be written to."""
    return ["bash", "-c", f'ulimit {option} {mib * 1024}; exec "$@"', "bash", *command]


class Limits(unittest.TestCase):
    """From the smallest limit that the program itself can do with, it does the same."""

    STEP = 20  # MiB; smaller than what the library's file takes is not to be had

    PROGRAMS = {
        "true": ["true"],
        "shell": ["bash", "-c", "x=$(echo hi; (exit 3); echo $?); echo $x; ls / | wc -l"],
        # With arenas of their own, threads reserve 64 MiB each and fail now and then by themselves.
        "python": ["env", "MALLOC_ARENA_MAX=1", "/usr/bin/python3", "-c",
                   "import json, os, threading\n"
                   "all = threading.Barrier(5)  # there at the same time, whoever is quick\n"
                   "ts = [threading.Thread(target=lambda: (all.wait(), [0] * 100000)) for i in range(4)]\n"
                   "try: [t.start() for t in ts]\n"
                   "except RuntimeError: os._exit(1)\n"
                   "all.wait(), [t.join() for t in ts]\n"
                   "print(sum(len(json.dumps(list(range(i)))) for i in range(200)))"],
        "threads": None,  # set in setUpClass: the programs must have been built
        "leak": None,
        "libc_keeps": None,
    }

    @classmethod
    def setUpClass(cls):
        cls.PROGRAMS["threads"] = [harness.program("room"), "threads", "here"]
        cls.PROGRAMS["leak"] = [harness.program("room"), "leak", "forked"]
        cls.PROGRAMS["libc_keeps"] = [harness.program("libc_keeps"), "both"]

    def smallest(self, option, command, expected):
        for mib in range(self.STEP // 4, 400, self.STEP // 4):
            try:
                got = harness.bare(limited(option, mib, command), timeout=10)
                if (got.status, got.stdout) == expected:
                    return mib
            except AssertionError:  # with too little, some wait for ever
                continue
        raise AssertionError(f"{command} does not run at all")

    def check(self, option, steps):
        for name, command in self.PROGRAMS.items():
            unlimited = harness.bare(command)
            expected = (unlimited.status, unlimited.stdout)
            first = self.smallest(option, command, expected) // self.STEP * self.STEP
            for mib in [first + self.STEP * (i + 1) for i in range(steps)] + [400]:
                for run in (harness.run, harness.preload):
                    with self.subTest(name=name, mib=mib, run=run.__name__):
                        got = run(limited(option, mib, command))
                        self.assertEqual((got.status, got.stdout), expected, got)

    def test_of_address_space(self):
        self.check("-v", 4)

    def test_of_data(self):
        self.check("-d", 2)

    def test_what_is_held_is_counted_with_little(self):
        """Megabytes are enough for that: all there is to a full ledger takes hundreds."""
        command = limited("-v", 20, [harness.program("room"), "leak", "here"])
        for run in (harness.run, harness.preload):
            result = run(command)
            self.assertEqual(result.report["totals"]["fd"]["live"], 3, result)
            self.assertEqual(set(result.report["coverage"].values()) - {"off"}, {"exact"})
            self.assertTrue(result.report["complete"], result.report["notes"])
        self.assertEqual(harness.run(command, options=["--fail-on", "fd>0"]).status, 23)

    def test_what_the_heap_index_takes_is_given_back(self):
        """A program that allocates until there is no more gets as much as by itself; its heap's rule is not a pass."""
        command = limited("-v", 160, [harness.program("room"), "fill", "here"])
        most = int(harness.bare(command).stdout.split()[0])
        self.assertGreater(most, 100)
        for run in (harness.run, harness.preload):
            result = run(command)
            self.assertGreaterEqual(int(result.stdout.split()[0]), most - 8, result)
            self.assertEqual(result.report["coverage"]["heap"], "unavailable")
            self.assertFalse(result.report["complete"])
            self.assertTrue(any("limit" in note for note in result.report["notes"]), result.report["notes"])
        gated = harness.run(command, options=["--fail-on", "heap.bytes>1G"])
        self.assertEqual(gated.status, 125, gated)
        self.assertEqual(harness.run(command, options=["--fail-on", "fd>0"]).status, 0)

    def test_where_nothing_can_be_tracked(self):
        """There is no room for the runtime at all: the program runs, and a gate is not a silent pass."""
        command = limited("-v", 6, ["true"])
        if harness.bare(command).status:
            self.skipTest("no program starts with so little")
        result = harness.preload(command)
        self.assertEqual((result.status, result.report), (0, None), result)
        self.assertIn("nothing is tracked", result.stderr)
        self.assertEqual(harness.preload(command, env={"UNFREED_FAIL_ON": "fd>0"}).status, 125)


def can_lock(mib):
    return os.geteuid() == 0 and subprocess.run(
        ["prlimit", f"--memlock={mib << 20}", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


class OwnLimits(unittest.TestCase):
    """Limits that the program sets itself, and memory that it locks, are its own affair."""

    def test_a_limit_set_later_leaves_room(self):
        command = [harness.program("locked"), "limit", "300"]
        bare = int(harness.bare(command).stdout)
        self.assertGreater(bare, 250)
        for run in (harness.run, harness.preload):
            result = run(command)
            self.assertGreater(int(result.stdout), bare - 60, result)
            self.assertTrue(result.report["complete"], result.report["notes"])
            self.assertEqual(result.report["totals"]["fd"]["live"], 0)

    def locked(self, run, how, prefix=(), **keywords):
        result = run([*prefix, harness.program("locked"), how], **keywords)
        status, error, locked, resident, is_mapped = map(int, result.stdout.split())
        return (status, error, is_mapped), locked, resident

    def check_locked(self, how, prefix=(), **keywords):
        bare, locked_bare, resident_bare = self.locked(harness.bare, how, prefix)
        for run in (harness.run, harness.preload):
            got, locked, resident = self.locked(run, how, prefix, **keywords)
            self.assertEqual(got, bare)
            self.assertLess(abs(locked - locked_bare), 4, "more is locked than the program's")
            self.assertLess(resident - resident_bare, 12, "what is reserved has been backed")
        return bare

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_locked_memory_is_the_programs(self):
        for how in ("current", "future", "both", "onfault"):
            with self.subTest(how=how):
                self.assertEqual(self.check_locked(how)[0], 0)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_what_its_end_takes_is_not_backed_because_it_locks_all(self):
        script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); " \
                 "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
        with harness.Scratch() as scratch:
            env = [f"LD_PRELOAD={harness.LIBRARY}", "UNFREED_QUIET=1", f"UNFREED_OUTPUT={scratch.path('report.json')}",
                   f"UNFREED_LEDGER_DIR={scratch.ledgers}"]
            peak = harness.bare(["/usr/bin/python3", "-c", script, "env", *env, harness.program("locked"), "both"])
            self.assertLess(int(peak.stdout), 64, peak)

    @unittest.skipUnless(can_lock(20), "needs root, and a limit of 20 MiB for it")
    def test_locked_memory_with_a_limit(self):
        """Another user, who may lock 20 MiB, or 1: whether that is enough depends on the program alone."""
        for mib, status in ((20, 0), (1, -1)):
            for how in ("current", "both"):
                with self.subTest(mib=mib, how=how), harness.Scratch() as scratch:
                    os.chmod(scratch.folder, 0o777)
                    os.chmod(scratch.ledgers, 0o777)
                    prefix = ["prlimit", f"--memlock={mib << 20}", "setpriv", "--reuid=65534", "--regid=65534",
                              "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
                    bare = self.locked(harness.bare, how, prefix)[0]
                    self.assertEqual(bare[0], status)
                    # What root's process left the other user may not remove.
                    self.assertEqual(self.locked(harness.preload, how, prefix, scratch=scratch, keep_ledgers=True)[0],
                                     bare)


if __name__ == "__main__":
    harness.main()
