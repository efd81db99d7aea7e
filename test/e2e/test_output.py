#!/usr/bin/python3
"""Where reports go: whole or not at all, in the place of reports only, and each process's to a name of its own."""
import fcntl
import json
import os
import resource
import select
import shutil
import stat
import subprocess
import threading
import time
import unittest

import harness

BOUND = 10  # seconds, for what must not wait
WAYS = ("run", "preload", "alone")  # under the launcher, with the command at hand, and the library by itself
NO_REPORT = "a file of this name exists and is not a report"
OTHER_USER = 65534


def setUpModule():
    global LEAK
    LEAK = [harness.program("fd_open"), "leak"]


class Output(unittest.TestCase):
    def setUp(self):
        self.scratch = harness.Scratch()
        self.addCleanup(self.scratch.__exit__)
        self.report = self.scratch.path("r.json")

    def start(self, way, output, args=None, rules=None, env=None, options=(), **keywords):
        """(status, stdout, stderr, pid) of a program whose report goes to `output`. Ledgers may be left."""
        settings = {"UNFREED_LEDGER_DIR": self.scratch.ledgers, **(env or {})}
        args = args or LEAK
        keywords.setdefault("timeout", BOUND)
        if way == "run":
            rules = ["--fail-on", rules] if rules else []
            args = [harness.COMMAND, "run", "--output", output, *rules, *options, "--", *args]
        else:
            settings.update({"LD_PRELOAD": harness.LIBRARY, "UNFREED_OUTPUT": output})
            if rules:
                settings["UNFREED_FAIL_ON"] = rules
            if way == "alone":
                settings["UNFREED_HELPER"] = "/nonexistent"
        return harness.execute(args, env=harness.clean_environment(settings), **keywords)

    def names(self):
        return sorted(os.listdir(self.scratch.folder))

    def held(self, name="r.json"):
        return harness.read_report(self.scratch.path(name))["totals"]["fd"]["live"]

    def write(self, name, text=""):
        with open(self.scratch.path(name), "w") as file:
            file.write(text)
        return self.scratch.path(name)


class Files(Output):
    def test_mode(self):
        for way in WAYS:
            with self.subTest(way=way):
                self.start(way, self.report)
                self.assertEqual(stat.S_IMODE(os.stat(self.report).st_mode), 0o600)
                os.chmod(self.report, 0o640)
                self.start(way, self.report)
                self.assertEqual(stat.S_IMODE(os.stat(self.report).st_mode), 0o640, "its owner's wish")
                self.assertEqual(self.names(), ["r.json"])
                os.unlink(self.report)

    def test_a_report_replaces_reports_and_empty_files(self):
        self.start("run", self.report)
        page = self.scratch.path("page")
        harness.unfreed("report", "--format", "html", "-o", page, self.report)
        text = self.scratch.path("text")
        harness.unfreed("report", "-o", text, self.report)
        difference = self.scratch.path("difference")
        harness.unfreed("diff", "-o", difference, self.report, self.report)
        for name in (page, text, difference, self.write("empty")):
            for way in WAYS:
                with self.subTest(name=name, way=way):
                    shutil.copy(name, self.report)
                    status, _, stderr, _ = self.start(way, self.report)
                    self.assertEqual(status, 0, stderr)
                    self.assertEqual(self.held(), 3)

    def check_refused(self, way, path, status, **keywords):
        with open(path, "rb") as file:
            before = file.read()
        got, stdout, stderr, _ = self.start(way, path, **keywords)
        self.assertEqual((got, stdout), (status, ""), stderr)
        (line,) = [line for line in stderr.splitlines() if NO_REPORT in line]
        self.assertIn(path, line)
        self.assertIn("--force", line)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before, "it is as it was")

    def test_nothing_else_is_replaced(self):
        program = self.scratch.path("program")
        shutil.copy(LEAK[0], program)
        for path in (program, self.write("notes.txt", "mine\n"), self.write("other.json", '{"schema_version": 1}\n')):
            for way in WAYS:
                with self.subTest(path=path, way=way):
                    self.check_refused(way, path, 125 if way == "run" else 0, args=[program, "leak"])
        self.assertEqual(stat.S_IMODE(os.stat(program).st_mode), stat.S_IMODE(os.stat(LEAK[0]).st_mode))
        self.assertEqual(self.names(), ["notes.txt", "other.json", "program"])

    def test_the_program_itself(self):
        """As UNFREED_OUTPUT=%e means it in the program's own folder."""
        program = self.scratch.path("program")
        shutil.copy(LEAK[0], program)
        for way in WAYS:
            with self.subTest(way=way):
                status, _, stderr, _ = self.start(way, "%e", args=["./program", "leak"], cwd=self.scratch.folder)
                self.assertEqual(status, 125 if way == "run" else 0, stderr)
                self.assertIn(NO_REPORT, stderr)
                self.assertEqual(harness.execute([program, "clean"])[0], 0, "it still runs")

    def test_force(self):
        for way in WAYS:
            with self.subTest(way=way):
                path = self.write("r.json", "mine\n")
                options, env = (["--force"], {}) if way == "run" else ((), {"UNFREED_FORCE": "1"})
                status, _, stderr, _ = self.start(way, path, options=options, env=env)
                self.assertEqual(status, 0, stderr)
                self.assertEqual(self.held(), 3)

    def test_commands(self):
        self.start("run", self.report)
        mine = self.write("mine", "mine\n")
        with harness.started(["/bin/sleep", "30"], launcher=False, scratch=self.scratch) as process:
            harness.wait_for(self.scratch.leftovers)
            commands = (["report", self.report], ["diff", self.report, self.report],
                        ["report", "--format", "html", self.report], ["snapshot", "--quiet", str(process.pid)])
            for command in commands:
                for force in ([], ["--force"]):
                    with self.subTest(command=command, force=force):
                        result = harness.unfreed(command[0], "-o", mine, *force, *command[1:],
                                                 env={"UNFREED_LEDGER_DIR": self.scratch.ledgers})
                        with open(mine) as file:
                            text = file.read()
                        if force:
                            self.assertEqual((result.status, result.stderr), (0, ""))
                            self.assertIn("unfreed", text[:200])
                            self.write("mine", "mine\n")
                        else:
                            self.assertEqual(result.status, 125, result)
                            self.assertIn(NO_REPORT, result.stderr)
                            self.assertEqual(text, "mine\n")

    def test_a_link_is_written_through(self):
        os.mkdir(self.scratch.path("real"))
        os.symlink("real/target.json", self.scratch.path("link"))
        for way in WAYS:
            with self.subTest(way=way):
                status, _, stderr, _ = self.start(way, self.scratch.path("link"))
                self.assertEqual(status, 0, stderr)
                self.assertTrue(os.path.islink(self.scratch.path("link")))
                self.assertEqual(os.listdir(self.scratch.path("real")), ["target.json"])
                self.assertEqual(self.held("real/target.json"), 3)
                os.unlink(self.scratch.path("real/target.json"))

    @unittest.skipUnless(os.geteuid() == 0, "needs another user's files")
    def test_what_others_lay_in_shared_folders(self):
        os.mkdir(self.scratch.path("shared"))
        os.chmod(self.scratch.path("shared"), 0o1777)
        link, theirs = self.scratch.path("shared", "link"), self.scratch.path("shared", "theirs.json")
        os.symlink(self.scratch.path("target.json"), link)
        self.start("run", theirs)
        for path in (link, theirs):
            os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)
        before = os.stat(theirs).st_ino
        for way in WAYS:
            for path in (link, theirs):
                with self.subTest(way=way, path=path):
                    status, _, stderr, _ = self.start(way, path)
                    self.assertEqual(status, 125 if way == "run" else 0, stderr)
                    self.assertIn("a world-writable directory", stderr)
        self.assertFalse(os.path.exists(self.scratch.path("target.json")))
        self.assertEqual(os.stat(theirs).st_ino, before)

    def test_file_size_limit(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        for way in WAYS:
            with self.subTest(way=way):
                # There is no room for a ledger either, so that the process reports by itself in any case.
                env = {"UNFREED_QUIET": "1"}
                status, _, stderr, _ = self.start(way, self.report, preexec=limit, env=env)
                self.assertEqual(status, 0, stderr)
                self.assertIn("the file size limit (ulimit -f) is too low", stderr)
                self.assertEqual(self.names(), [], "nothing is left")

    def test_name_that_is_too_long(self):
        for way in WAYS:
            for name in ("x" * 300, "x/" * 3000):
                with self.subTest(way=way, size=len(name)):
                    status, _, stderr, _ = self.start(way, self.scratch.path(name))
                    self.assertEqual(status, 125 if way == "run" else 0, stderr)
                    self.assertIn("File name too long", stderr)


class Streams(Output):
    def reports_in(self, text):
        """The JSON texts, one after another."""
        found, decoder = [], json.JSONDecoder()
        while "{" in text:
            report, end = decoder.raw_decode(text[text.index("{"):])
            found.append(report)
            text = text[text.index("{") + end:]
        return found

    def test_standard_output(self):
        script = ["/bin/sh", "-c", f"echo before; {' '.join(LEAK)}; echo after"]
        for way in WAYS:
            for name in ("-", "/dev/stdout", "/dev/fd/1"):
                with self.subTest(way=way, name=name):
                    env = {"UNFREED_ONLY": "fd_open"}
                    status, stdout, stderr, _ = self.start(way, name, args=script, env=env, cwd=self.scratch.folder)
                    self.assertIn(status, (0, 125), stderr)  # the shell itself is not tracked
                    self.assertTrue(stdout.startswith("before\n"), stdout)
                    self.assertIn("after\n", stdout)
                    (report,) = self.reports_in(stdout)
                    self.assertEqual(report["totals"]["fd"]["live"], 3)
        self.assertEqual(self.names(), [])

    def test_a_file_that_is_standard_output_goes_on(self):
        out = self.scratch.path("out")
        for way in WAYS:
            with self.subTest(way=way), open(out, "w") as file:
                file.write("before\n")
                file.flush()
                env = {"UNFREED_LEDGER_DIR": self.scratch.ledgers}
                args = LEAK
                if way == "run":
                    args = [harness.COMMAND, "run", "-o", "/dev/stdout", "--", *LEAK]
                else:
                    env.update({"LD_PRELOAD": harness.LIBRARY, "UNFREED_OUTPUT": "/dev/stdout"})
                    if way == "alone":
                        env["UNFREED_HELPER"] = "/nonexistent"
                subprocess.run(args, stdout=file, stderr=subprocess.DEVNULL, env=harness.clean_environment(env),
                               timeout=BOUND, check=True)
                os.write(file.fileno(), b"after\n")
                with open(out) as again:
                    text = again.read()
                self.assertTrue(text.startswith("before\n{") and text.endswith("}\nafter\n"), text[:200])
                self.assertEqual(len(self.reports_in(text)), 1)

    def test_another_descriptor(self):
        for way in WAYS:
            for rules in (None, "fd>0"):
                with self.subTest(way=way, rules=rules):
                    reader, writer = os.pipe()
                    os.set_inheritable(writer, True)
                    texts = []
                    thread = threading.Thread(target=lambda r=reader, t=texts: t.append(os.fdopen(r).read()))
                    thread.start()
                    status, _, stderr, _ = self.start(way, f"/dev/fd/{writer}", rules=rules, pass_fds=(writer,))
                    os.close(writer)
                    thread.join(BOUND)
                    self.assertEqual(status, 23 if rules else 0, stderr)
                    (report,) = self.reports_in(texts[0])
                    self.assertEqual(report["totals"]["fd"]["live"], 3)

    def test_a_descriptor_that_became_something_else(self):
        """A program that closes its standard output and opens a file of its own must not find a report in it."""
        precious = self.scratch.path("precious")
        script = f"import os; os.close(1); os.open({precious!r}, os.O_RDWR | os.O_CREAT); os._exit(0)"
        for way in ("preload", "alone"):
            for name in ("-", "/dev/stdout"):
                with self.subTest(way=way, name=name):
                    status, _, stderr, _ = self.start(way, name, args=["/usr/bin/python3", "-c", script])
                    self.assertEqual(status, 0, stderr)
                    self.assertEqual(os.path.getsize(precious), 0)
                    self.assertIn("the program has replaced this descriptor", stderr)

    def small_pipe(self, fifo):
        """Its reader's end, which has no room for a report."""
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        return reader

    def test_fifo(self):
        fifo = self.scratch.path("fifo")
        os.mkfifo(fifo)
        for way in WAYS:
            with self.subTest(way=way, reader=False):
                status, _, stderr, _ = self.start(way, fifo, env={"UNFREED_QUIET": "1"})
                self.assertEqual(status, 125 if way == "run" else 0, stderr)
                self.assertIn("no process reads the FIFO", stderr)
            with self.subTest(way=way, reader=True):
                reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True)
                blocker = os.open(fifo, os.O_RDWR)  # so that cat has opened it before, and does not end too early
                status, _, stderr, _ = self.start(way, fifo, env={"UNFREED_QUIET": "1"})
                os.close(blocker)
                stdout, _ = reader.communicate(timeout=BOUND)
                self.assertEqual(status, 0, stderr)
                (report,) = self.reports_in(stdout)
                self.assertEqual(report["totals"]["fd"]["live"], 3)
            with self.subTest(way=way, reader="asleep"):
                reader = self.small_pipe(fifo)
                start = time.monotonic()
                status, _, stderr, _ = self.start(way, fifo, env={"UNFREED_QUIET": "1"}, timeout=60)
                os.close(reader)
                self.assertEqual(status, 125 if way == "run" else 0, stderr)
                self.assertIn("no process reads it", stderr)
                self.assertLess(time.monotonic() - start, 30)
        self.assertTrue(stat.S_ISFIFO(os.stat(fifo).st_mode))
        self.assertEqual(self.names(), ["fifo"])

    def test_reader_that_goes_away(self):
        fifo = self.scratch.path("fifo")
        os.mkfifo(fifo)
        for way in WAYS:
            with self.subTest(way=way):
                reader = self.small_pipe(fifo)
                # Gone when the pipe is full.
                closer = threading.Thread(target=lambda: (select.select([reader], [], [], BOUND), time.sleep(0.3),
                                                          os.close(reader)))
                closer.start()
                status, _, stderr, _ = self.start(way, fifo, env={"UNFREED_QUIET": "1"}, timeout=60)
                closer.join()
                self.assertEqual(status, 125 if way == "run" else 0, stderr)  # not of SIGPIPE
                self.assertIn("Broken pipe", stderr)

    def test_full_device(self):
        for way in WAYS:
            with self.subTest(way=way):
                status, _, stderr, _ = self.start(way, "/dev/full", env={"UNFREED_QUIET": "1"})
                self.assertEqual(status, 125 if way == "run" else 0, stderr)
                (line,) = [line for line in stderr.splitlines() if "/dev/full" in line]
                self.assertIn("No space left on device", line)

    def null_device(self):
        null = self.scratch.path("null")
        try:
            os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            with open(null, "w"):
                return null
        except OSError as error:
            self.skipTest(f"no device can be made here: {error}")

    def test_devices_are_written_to_and_stay(self):
        null = self.null_device()
        os.symlink("null", self.scratch.path("link"))
        for way in WAYS:
            for path in (null, self.scratch.path("link")):
                with self.subTest(way=way, path=path):
                    # A process that is not the first writes there, too, and to nothing beside it.
                    args = ["/bin/sh", "-c", f"{' '.join(LEAK)}; exit 3"]
                    status, _, stderr, _ = self.start(way, path, args=args, env={"UNFREED_QUIET": "1"})
                    self.assertEqual((status, stderr), (3, ""))
                    self.assertTrue(stat.S_ISCHR(os.stat(null).st_mode))
                    self.assertTrue(os.path.islink(self.scratch.path("link")))
                    self.assertEqual(self.names(), ["link", "null"])


class WorkingDirectory(Output):
    """It may be gone. Nothing lands anywhere else."""

    def check_gone(self, way, script):
        name = f"unfreed-late-{os.getpid()}.json"
        os.makedirs(self.scratch.path("gone"), exist_ok=True)
        args = ["/bin/sh", "-c", f"{script}; exit 4"]
        status, _, stderr, _ = self.start(way, name, args=args, cwd=self.scratch.path("gone"),
                                          env={"UNFREED_QUIET": "1"})
        landed = os.path.exists("/" + name)
        if landed:
            os.unlink("/" + name)
        self.assertFalse(landed, "in the root directory")
        self.assertEqual(status, 4, stderr)
        self.assertIn(name, stderr)
        self.assertIn("cannot be written", stderr)
        self.assertEqual([n for n in self.names() if n != "gone"], [])

    def test_deleted_meanwhile(self):
        for way in WAYS:
            with self.subTest(way=way):
                self.check_gone(way, f"rmdir {self.scratch.path('gone')}")

    def test_deleted_before(self):
        # Started in a folder that goes before the program begins.
        for way in WAYS:
            with self.subTest(way=way):
                folder, name = self.scratch.path("gone"), f"unfreed-late-{os.getpid()}.json"
                os.makedirs(folder, exist_ok=True)
                start = {"run": f"exec {harness.COMMAND} run -q -o {name} -- /bin/sh -c 'exit 4'",
                         "preload": f"LD_PRELOAD={harness.LIBRARY} UNFREED_OUTPUT={name} exec /bin/sh -c 'exit 4'"}
                start["alone"] = "UNFREED_HELPER=/nonexistent " + start["preload"]
                env = harness.clean_environment({"UNFREED_LEDGER_DIR": self.scratch.ledgers, "UNFREED_QUIET": "1"})
                status, _, stderr, _ = harness.execute(["/bin/sh", "-c", f"rmdir {folder}; {start[way]}"], env=env,
                                                       cwd=folder)
                landed = os.path.exists("/" + name)
                if landed:
                    os.unlink("/" + name)
                self.assertFalse(landed, "in the root directory")
                self.assertEqual(status, 4, stderr)
                self.assertIn("cannot be written: the working directory", stderr)
                self.assertEqual(self.names(), [])

    def test_percent_sign_in_its_name(self):
        folder = self.scratch.path("50%p")
        os.mkdir(folder)
        for way in WAYS:
            with self.subTest(way=way):
                self.start(way, "r.json", cwd=folder)
                self.assertEqual(os.listdir(folder), ["r.json"])
                os.unlink(os.path.join(folder, "r.json"))


class Names(Output):
    """Many processes, and one name for their reports."""

    def programs(self):
        return {name: harness.read_report(self.scratch.path(name))["process"] for name in self.names()}

    def many(self, count, script):
        path = self.write("script.sh", script.replace("LEAK", " ".join(LEAK)).replace("COUNT", str(count)))
        return ["/bin/bash", path]

    def clear(self):
        for name in self.names():
            os.unlink(self.scratch.path(name))

    def check_all_there(self, count):
        os.unlink(self.scratch.path("script.sh"))
        found = self.programs()
        self.assertEqual(len(found), count, sorted(found))
        self.assertEqual(len({process["pid"] for process in found.values()}), count)

    def test_at_the_same_time(self):
        script = "for i in $(seq COUNT); do LEAK & done; wait"
        for way in WAYS:
            with self.subTest(way=way):
                args = self.many(30, script)
                status, _, stderr, _ = self.start(way, self.report, args=args, env={"UNFREED_ONLY": "fd_open"},
                                                  timeout=60)
                self.assertEqual(status, 0, stderr)
                self.check_all_there(30)
                self.clear()

    def test_one_after_another(self):
        for way in WAYS:
            with self.subTest(way=way):
                args = self.many(5, "for i in $(seq COUNT); do LEAK; done")
                self.start(way, self.report, args=args, env={"UNFREED_ONLY": "fd_open"}, timeout=60)
                self.check_all_there(5)
                self.clear()

    def test_the_first_process_has_the_name_as_given(self):
        """And those that it starts have their pids in it, also where they end later or exec."""
        for way in WAYS:
            for script in ("LEAK; LEAK; exec 9</etc/passwd; exit 0", "(sleep 0.2; exec LEAK) & LEAK; wait"):
                with self.subTest(way=way, script=script):
                    args = self.many(0, script)
                    status, _, stderr, pid = self.start(way, self.report, args=args)
                    self.assertEqual(status, 0, stderr)
                    os.unlink(self.scratch.path("script.sh"))
                    found = self.programs()
                    command = found.pop("r.json")
                    self.assertTrue(command["exe"].endswith("bash"), command)
                    leaks = [process for process in found.values() if process["exe"] == LEAK[0]]
                    self.assertEqual(len(leaks), 2, found)
                    for name, process in found.items():
                        self.assertEqual(name, f"r.{process['pid']}.json")
                    for process in found.values():
                        self.assertEqual(process["run"], command["run"])
                    self.clear()

    def test_a_report_at_a_signal_is_replaced_by_the_last(self):
        script = "kill -USR2 $$; exec LEAK"
        for way in WAYS:
            with self.subTest(way=way):
                self.start(way, self.report, args=self.many(0, script))
                os.unlink(self.scratch.path("script.sh"))
                self.assertEqual(self.names(), ["r.json"])
                self.assertEqual(self.held(), 3)

    def test_a_later_run_replaces(self):
        """A service that is started again, with its report made yesterday."""
        for way in WAYS:
            with self.subTest(way=way):
                self.start(way, self.report)
                first = self.programs()["r.json"]["pid"]
                os.utime(self.report, (time.time() - 86400,) * 2)
                _, _, stderr, _ = self.start(way, self.report)
                self.assertEqual(self.names(), ["r.json"])
                self.assertNotEqual(self.programs()["r.json"]["pid"], first)
                self.assertNotIn("replaced one", stderr)
                os.unlink(self.report)

    def test_programs_that_are_started_one_by_one(self):
        """By somebody who is not tracked, at once: nobody can know whether all are wanted, so it is said."""
        for way in ("preload", "alone"):
            with self.subTest(way=way):
                self.start(way, self.report)
                _, _, stderr, _ = self.start(way, self.report)
                (line,) = [line for line in stderr.splitlines() if "replaced one" in line]
                self.assertIn("%p", line)
                self.assertEqual(self.names(), ["r.json"])
                os.unlink(self.report)

    def test_runs_at_the_same_time(self):
        for ways in (("run", "run"), ("preload", "preload"), ("run", "alone")):
            with self.subTest(ways=ways):
                self.clear()
                script = ["/bin/sh", "-c", "sleep 0.5; exec " + " ".join(LEAK)]
                env = {"UNFREED_ONLY": "fd_open"}
                threads = [threading.Thread(target=self.start, args=(way, self.report, script), kwargs={"env": env})
                           for way in ways]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                found = self.programs()
                self.assertEqual(len(found), 2, sorted(found))
                self.clear()

    def test_names_with_numbers_and_pids_are_as_they_say(self):
        for way in WAYS:
            with self.subTest(way=way):
                self.start(way, self.scratch.path("%e.%p.%n.json"))
                (name,) = self.names()
                process = self.programs()[name]
                self.assertEqual(name, f"fd_open.{process['pid']}.1.json")
                os.unlink(self.scratch.path(name))

    def test_forked_children(self):
        script = ("import os\n"
                  "for i in range(5):\n"
                  "    if os.fork() == 0:\n"
                  "        os.open('/etc/passwd', os.O_RDONLY); os._exit(0)\n"
                  "for i in range(5): os.wait()\n")
        for way in WAYS:
            with self.subTest(way=way):
                self.start(way, self.report, args=["/usr/bin/python3", "-c", script], timeout=60)
                found = self.programs()
                self.assertEqual(len(found), 6, sorted(found))
                self.assertFalse(found["r.json"]["forked"])
                self.clear()


if __name__ == "__main__":
    harness.main()
