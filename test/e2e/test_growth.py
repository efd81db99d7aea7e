#!/usr/bin/python3
"""What grows: looks at running processes (unfreed watch, run --every), the series they make, verdicts and rules."""
import json
import os
import re
import signal
import stat
import subprocess
import unittest

import harness

SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "growth.c")
TURN_MS = "20"
EVERY = ["--every", "50ms"]
LOOKS = 30


class Asked:
    """The program, which takes a turn when it is asked to: what looks see does not depend on how fast the machine is."""

    def __init__(self, scratch, env=None):
        env = harness.clean_environment({"LD_PRELOAD": harness.LIBRARY, "UNFREED_OUTPUT": scratch.path("end.json"),
                                         "UNFREED_QUIET": "1", "UNFREED_LEDGER_DIR": scratch.ledgers, **(env or {})})
        self.process = subprocess.Popen([harness.program("growth"), "asked"], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(harness.TIME_LIMIT)
        self.process.stdout.close()

    def take_turns(self, count):
        self.process.stdin.write(b"." * count)
        self.process.stdin.flush()
        assert len(self.process.stdout.read(count)) == count


def blinded(scratch, process, *arguments):
    """The command with these arguments, for which alone the process's ledger cannot be read."""
    (ledger,) = [name for name in scratch.leftovers() if re.search(rf"\b{process.pid}\b", name)]
    return ["strace", "-D", "-f", "-o", scratch.path("log"), "-P", os.path.realpath(os.path.join(scratch.ledgers, ledger)), "-e", "trace=pread64",
            "-e", "inject=pread64:error=EIO", harness.COMMAND, *arguments]


def growth_at(report, marker):
    """What became of the call site at the line with that mark."""
    (site,) = [site for site in report["sites"]
               if any(frame.get("line") == harness.line_of(SOURCE, marker) for frame in site["stack"])]
    return site["growth"]["course"] if "growth" in site else "unchanged"


class Watch(unittest.TestCase):
    def setUp(self):
        self.scratch = harness.Scratch()
        self.scratch.__enter__()
        self.addCleanup(self.scratch.__exit__, None, None, None)
        self.series = self.scratch.path("looks.series")

    def started(self):
        return harness.started([harness.program("growth"), TURN_MS], launcher=False, scratch=self.scratch)

    def watch(self, process, *options, looks=LOOKS):
        return harness.unfreed("watch", *EVERY, "--looks", str(looks), "-o", self.series, *options, str(process.pid))

    def look(self, process, looks, *options):
        """So many looks, after three turns each; the last one with the options."""
        for look in range(looks):
            process.take_turns(3)
            done = self.watch(process, *(options if look == looks - 1 else ["--quiet"]), looks=1)
        return done

    def read(self, path=None):
        shown = harness.unfreed("report", "--format", "json", path or self.series)
        self.assertEqual(shown.status, 0, shown)
        with open(self.scratch.path("shown.json"), "w", encoding="utf-8") as file:
            file.write(shown.stdout)
        return harness.read_report(self.scratch.path("shown.json"))

    def test_leaks_grow_and_caches_do_not(self):
        with Asked(self.scratch) as process:
            done = self.look(process, LOOKS, "--fail-on", "fd.growth>10/h,site.heap.growth>1k/h,thread.growth>1/h,fd>=1")
        self.assertEqual(done.status, 23, done)
        for line in ("FAIL fd.growth>10/h: ", "FAIL site.heap.growth>1k/h: ", "pass thread.growth>1/h", "FAIL fd>=1: "):
            self.assertIn(line, done.stderr)
        self.assertRegex(done.stderr, r"\n  fd      grows by [\d,]+ per hour \([\d,]+ to [\d,]+\): the limit of 4,096 "
                                      r"descriptors is reached in about ")
        report = self.read()
        self.assertEqual(report["watch"]["looks"], LOOKS)
        self.assertEqual({mark: growth_at(report, mark) for mark in ("descriptor", "block")},
                         {"descriptor": "grows", "block": "grows"})
        # Whatever they did between two looks, they went nowhere.
        for mark in ("cache", "pool"):
            self.assertIn(growth_at(report, mark), ("unchanged", "steady", "levels_off"), report["sites"])
        (descriptor,) = [site for site in report["sites"] if site["kind"] == "fd"]
        growth = descriptor["growth"]
        self.assertEqual(growth["last"], descriptor["live"])
        self.assertGreater(growth["last"], growth["first"])
        self.assertLessEqual(growth["per_day_least"], growth["per_day"])
        self.assertLessEqual(growth["per_day"], growth["per_day_most"])
        self.assertEqual(report["totals"]["fd"]["growth"], report["watch"]["kinds"][0]["growth"]["per_day"])
        self.assertEqual(report["worst_site"]["fd"]["growth"], growth["per_day"])
        # What grows comes first, in every format.
        self.assertEqual([harness.top(site)["function"] for site in report["sites"] if "per_day" in site.get("growth", {})],
                         [harness.top(site)["function"] for site in report["sites"][:2]])
        text = harness.unfreed("report", self.series).stdout
        self.assertRegex(text, r"descriptors, growing by [\d,]+ per hour .* from open")
        page = harness.page_data(harness.unfreed("report", "-f", "html", self.series).stdout)
        self.assertEqual([one["grows"] for one in page["reports"][0]["watch"]["kinds"] if one["kind"] == "fd"], [True])
        # The same by the series, and by a report made of it.
        for file in (self.series, self.scratch.path("shown.json")):
            checked = harness.unfreed("check", file, "--fail-on", "site.fd.growth>10/h")
            self.assertEqual(checked.status, 23, checked)
            self.assertEqual(harness.unfreed("check", file, "--fail-on", "fd.growth>=100G/s").status, 0)
        self.assertEqual(stat.S_IMODE(os.stat(self.series).st_mode) & 0o077, 0)

    def test_a_killed_watch_leaves_a_series_that_goes_on(self):
        with Asked(self.scratch) as process:
            self.look(process, 13)
            size = os.path.getsize(self.series)
            # As a writer that was killed in the middle of a line leaves it.
            os.truncate(self.series, size - 9)
            report = self.read()
            self.assertEqual(report["watch"]["looks"], 12)
            self.assertTrue(any("the last look is incomplete" in note for note in report["notes"]), report["notes"])
            self.look(process, 2)
            report = self.read()
            self.assertEqual(report["watch"]["looks"], 14)
            self.assertEqual(growth_at(report, "descriptor"), "grows")
            self.assertFalse(any("incomplete" in note for note in report["notes"]), report["notes"])
        with Asked(self.scratch) as process:
            self.look(process, 3)
        report = self.read()
        self.assertEqual((report["watch"]["looks"], report["process"]["pid"]), (3, process.pid))
        self.assertIn("14 earlier looks at another process or program are left out", report["notes"])
        self.assertTrue(all(kind["growth"]["course"] == "unknown" for kind in report["watch"]["kinds"]))

    def test_only_what_changes_is_written(self):
        with self.started() as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            self.watch(process)
        with open(self.series, encoding="utf-8") as file:
            looks = [line for line in file if line.startswith("L ")]
        self.assertEqual(len(looks), LOOKS)
        # Three or four sites change, of all that are there; and no total that stays.
        self.assertTrue(all(len(look) < 400 for look in looks[1:]), max(looks[1:], key=len))
        self.assertFalse(any("shm." in look for look in looks[1:]))

    def test_too_few_looks_pass_nothing(self):
        with Asked(self.scratch) as process:
            done = self.look(process, 3, "--fail-on", "fd.growth>10/h")
            self.assertEqual(done.status, 125, done)
            self.assertIn("not checked fd.growth>10/h: there were too few looks at the process", done.stderr)
            output = self.scratch.path("now.json")
            harness.unfreed("snapshot", "-o", output, str(process.pid))
        checked = harness.unfreed("check", output, "--fail-on", "fd.growth>10/h")
        self.assertEqual(checked.status, 125)
        self.assertIn("its growth was not recorded", checked.stderr)

    def test_it_ends_with_the_process_or_when_asked_to(self):
        with self.started() as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            command = [harness.COMMAND, "watch", *EVERY, "-o", self.series, str(process.pid)]
            env = harness.clean_environment({"UNFREED_LEDGER_DIR": self.scratch.ledgers})
            for end in (lambda watch: watch.send_signal(signal.SIGINT), lambda watch: process.kill()):
                watch = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
                size = os.path.getsize(self.series) if os.path.exists(self.series) else 0
                harness.wait_for(lambda: os.path.exists(self.series) and os.path.getsize(self.series) > size + 200)
                end(watch)
                _, errors = watch.communicate(timeout=harness.TIME_LIMIT)
                self.assertEqual(watch.returncode, 0, errors)
                self.assertIn("\nseries: ", errors)

    def test_other_files_are_not_touched(self):
        with self.started() as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            with open(self.series, "w", encoding="utf-8") as file:
                file.write("mine\n")
            done = self.watch(process)
            self.assertEqual(done.status, 125)
            self.assertIn("there is a file that is not a series", done.stderr)
        with open(self.series, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine\n")

    def test_damaged_series_are_refused(self):
        with self.started() as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            self.watch(process, looks=2)
        with open(self.series, encoding="utf-8") as file:
            good = file.read()
        first, report, look = good.splitlines(keepends=True)[:3]
        self.assertEqual((report[:2], look[:2]), ("R ", "L "))
        for name, text in {"no report": first + look, "a number": first + report + "L x |\n",
                           "an unknown site": first + report + "L 9 | 99999:1,1,1,1\n", "back in time": good + "L 1 |\n",
                           "no such line": good + "Z 1\n", "half a report": first + report[:200] + "\n" + look,
                           "no look": first + report, "nothing": first}.items():
            with self.subTest(name):
                with open(self.series, "w", encoding="utf-8") as file:
                    file.write(text)
                shown = harness.unfreed("report", self.series)
                self.assertEqual(shown.status, 125, shown)
                self.assertEqual(len(shown.stderr.splitlines()), 1, shown.stderr)

    def test_what_is_no_rule_or_time(self):
        for rule in ("fd.growth>10", "fd.growth>10/y", "fd.growth>10/", "misuse.growth>1/h", "fd>1/h",
                     "fd.growth>18446744073709551615/s"):
            self.assertEqual(harness.unfreed("check", "/dev/null", "--fail-on", rule).status, 125, rule)
        for every in ("10", "0s", "5ms", "x", "-1s"):
            done = harness.unfreed("watch", f"--every={every}", "1")
            self.assertEqual(done.status, 125)
            self.assertIn(f"--every={every}", done.stderr)


class Run(unittest.TestCase):
    def run_for(self, scratch, *options):
        """Until its series says that descriptors grow."""
        output = scratch.path("report.json")
        series = scratch.path("report.series")
        command = [harness.COMMAND, "run", *EVERY, "-o", output, *options, "--", harness.program("growth"), TURN_MS]
        env = harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers})
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            grows = ["check", "--quiet", series, "--fail-on", "fd.growth>0/d"]
            harness.wait_for(lambda: harness.unfreed(*grows).status == 23, seconds=harness.TIME_LIMIT)
            process.terminate()
            _, errors = process.communicate(timeout=harness.TIME_LIMIT)
        finally:
            harness.kill_group(process)
        with open(output, encoding="utf-8") as file:
            return json.load(file), errors, series

    def test_the_report_says_what_grew(self):
        with harness.Scratch() as scratch:
            report, errors, series = self.run_for(scratch, "--fail-on", "fd.growth>10/h,site.fd.growth>1/d")
            self.assertEqual([rule["broken"] for rule in report["rules"]], [True, True], report["rules"])
            self.assertGreaterEqual(report["watch"]["looks"], 12)
            self.assertEqual(growth_at(report, "descriptor"), "grows")
            self.assertRegex(errors, r"FAIL fd\.growth>10/h: [\d,]+ descriptors more per hour")
            self.assertIn("\nseries:\n", errors)
            self.assertEqual(harness.unfreed("check", series, "--fail-on", "fd.growth>10/h").status, 23)

    def test_without_looks_nothing_passes_and_nothing_is_left(self):
        with harness.Scratch() as scratch:
            result = harness.run(["true"], scratch=scratch,
                                 options=["--every", "30s", "--fail-on", "fd.growth>10/h"])
            self.assertEqual(result.status, 125, result)
            self.assertEqual([name for name in os.listdir(scratch.folder) if name.endswith(".series")], [])


if __name__ == "__main__":
    harness.main()
