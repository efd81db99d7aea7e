#!/usr/bin/python3
"""`unfreed report --format`: what it writes for other tools is read here as those tools read it."""
import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import harness
from test_growth import Asked
import jsonschema
from prometheus_client.openmetrics.parser import text_string_to_metric_families

PROGRAMS = os.path.join(harness.SOURCE, "test", "e2e", "programs")
PROTO = os.path.join(harness.SOURCE, "src", "render")
TEXT_FORMATS = ("text", "json", "markdown", "csv", "folded", "sarif", "junit", "github", "gitlab", "openmetrics", "perfetto")

# What a program may choose to be called, and a file that it opens.
HOSTILE = "a\n::error::b]]>`|<script>\"';,%3A\\ {0}[x](y) \uffff\ufffe 5"

with open(os.path.join(harness.SOURCE, "test", "support", "sarif-2.1.0.schema.json")) as _file:
    SARIF = jsonschema.Draft4Validator(json.load(_file))


def decode(profile):
    """A profile as protoc shows it: nested lists of (field, value)."""
    text = subprocess.run(["protoc", f"--proto_path={PROTO}", "--decode=unfreed.pprof.Profile", "profile.proto"],
                          input=gzip.decompress(profile), capture_output=True, check=True).stdout.decode()
    stack = [[]]
    for line in text.splitlines():
        line = line.strip()
        if line == "}":
            stack.pop()
        elif line.endswith("{"):
            inner = []
            stack[-1].append((line[:-2].strip(), inner))
            stack.append(inner)
        else:
            name, value = line.split(": ", 1)
            stack[-1].append((name, value))
    return stack[0]


def fields(message, name):
    return [value for field, value in message if field == name]


def number(message, name):
    return int((fields(message, name) or ["0"])[0])


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.broken, cls.plain = cls.scratch.path("broken.json"), cls.scratch.path("plain.json")
        harness.run([harness.program("log_service")], scratch=cls.scratch,
                    options=["--fail-on", "fd>0,heap.lost>0,site.fd>=30", "--output", cls.broken])
        harness.run([harness.program("lost"), "leak"], scratch=cls.scratch, options=["--output", cls.plain])
        with open(cls.broken) as file:
            report = json.load(file)
        report["rules"].append({"rule": "mapping>0", "broken": False,
                                "unchecked": "this kind was not tracked"})
        with open(cls.broken, "w") as file:
            json.dump(report, file)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.__exit__()

    def render(self, form, *files, options=(), binary=False, env=None):
        status, stdout, stderr, _ = harness.execute(
            [harness.COMMAND, "report", "--format", form, "--source-root", harness.SOURCE, *options, *files],
            env=harness.clean_environment(env), binary=binary)
        self.assertEqual((status, len(stderr)), (0, 0), stderr)
        return stdout

    def hostile(self):
        with open(self.broken) as file:
            report = json.load(file)
        report["process"]["exe"] = "/tmp/" + HOSTILE
        report["process"]["argv"] = [HOSTILE, HOSTILE]
        for site in report["sites"]:
            site["acquired_by"] = HOSTILE
            for item in site.get("objects", []):
                item["target"] = "=" + HOSTILE
            for frame in site["stack"] if isinstance(site["stack"], list) else []:
                frame["function"] = HOSTILE
                frame["file"] = frame.get("file", "") + HOSTILE
        path = self.scratch.path("hostile.json")
        with open(path, "w") as file:
            json.dump(report, file)
        return path

    def totals(self, path, kind):
        return harness.read_report(path)["totals"][kind]

    def test_pprof_adds_up_to_the_totals(self):
        profile = decode(self.render("pprof", self.broken, self.plain, binary=True))
        texts = [json.loads(text) for text in fields(profile, "string_table")]
        self.assertEqual(texts[0], "")
        names = [texts[number(one, "type")] for one in fields(profile, "sample_type")]
        units = [texts[number(one, "unit")] for one in fields(profile, "sample_type")]
        self.assertEqual(dict(zip(names, units))["heap.lost_bytes"], "bytes")
        sums = dict.fromkeys(names, 0)
        for sample in fields(profile, "sample"):
            values = [int(value) for value in fields(sample, "value")]
            self.assertEqual(len(values), len(names))
            for name, value in zip(names, values):
                sums[name] += value
        for name in ("fd", "fd.lost", "heap", "heap.bytes", "heap.total", "heap.lost", "heap.lost_bytes", "thread.total"):
            kind, _, counter = name.partition(".")
            expected = sum(self.totals(path, kind).get(counter or "live", 0) for path in (self.broken, self.plain))
            libc = sum(self.totals(path, kind).get("libc", 0) for path in (self.broken, self.plain))
            if libc and not counter:
                self.assertLessEqual(abs(sums[name] - expected), libc, name)
            elif counter not in ("total",):
                self.assertEqual(sums[name], expected, name)
        self.assertEqual(texts[number(profile, "default_sample_type")], "heap.lost_bytes")
        shown = decode(self.render("pprof", self.broken, binary=True, options=["--value", "fd.total"]))
        self.assertEqual(json.loads(fields(shown, "string_table")[number(shown, "default_sample_type")]), "fd.total")

    def test_pprof_has_lines_labels_and_build_ids(self):
        profile = decode(self.render("pprof", self.broken, binary=True))
        texts = [json.loads(text) for text in fields(profile, "string_table")]
        locations = {number(one, "id"): one for one in fields(profile, "location")}
        functions = {number(one, "id"): one for one in fields(profile, "function")}
        mappings = {number(one, "id"): one for one in fields(profile, "mapping")}
        program = mappings[1]
        self.assertEqual(texts[number(program, "filename")], harness.program("log_service"))
        build_ids = {module["path"]: module["build_id"] for module in harness.read_report(self.broken)["modules"]}
        self.assertEqual(texts[number(program, "build_id")], build_ids[harness.program("log_service")])
        held = 0
        threads = set()
        for sample in fields(profile, "sample"):
            labels = {texts[number(one, "key")]: texts[number(one, "str")] for one in fields(sample, "label")}
            if labels["kind"] != "fd" or fields(sample, "value")[0] == "0":
                continue
            held += int(fields(sample, "value")[0])
            self.assertEqual((labels["target"], labels["acquired_by"], labels["grade"]),
                             ("/dev/null", "fopen64", "leaked"))
            threads.add(labels["thread"])
            first = locations[int(fields(sample, "location_id")[0])]
            mapping = mappings[number(first, "mapping_id")]
            self.assertLess(number(mapping, "memory_start"), number(first, "address"))
            self.assertLess(number(first, "address"), number(mapping, "memory_limit"))
            line = fields(first, "line")[0]
            function = functions[number(line, "function_id")]
            self.assertEqual(texts[number(function, "filename")], os.path.join(PROGRAMS, "log_service.cpp"))
            self.assertIn("service::Log::write", texts[number(function, "name")])
        self.assertEqual(held, 25)
        self.assertGreater(len(threads), 1)

    @unittest.skipUnless(shutil.which("go") or os.path.exists("/usr/local/go/bin/go"), "no Go here")
    def test_pprof_is_read_by_go(self):
        go = shutil.which("go") or "/usr/local/go/bin/go"
        path = self.scratch.path("profile.pb.gz")
        self.render("pprof", self.broken, options=["-o", path])
        for options, expected in ((["-top", "-sample_index=fd"], r"\n +25 +100% +100% +25 +100% +service::Log::write"),
                                  (["-traces", "-sample_index=fd"], r"target: +/dev/null\n"),
                                  (["-list=service::Log::write", "-sample_index=fd"], r" 25 +25 .*fopen"),
                                  (["-raw"], r"heap\.lost_bytes/bytes")):
            done = subprocess.run([go, "tool", "pprof", *options, path], capture_output=True, text=True, check=False,
                                  env={**harness.clean_environment(), "HOME": self.scratch.folder})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, expected)

    def test_folded_stacks(self):
        lines = self.render("folded", self.broken).splitlines()
        self.assertTrue(all(re.fullmatch(r"[a-z]+;.+ \d+", line) for line in lines), lines)
        (fd,) = [line for line in lines if line.startswith("fd;")]
        self.assertRegex(fd, r";service::Server::work\(\);service::Server::handle\(int\);service::Log::write\(.*\) 25$")
        lost = self.render("folded", self.plain, options=["--value", "heap.lost_bytes"]).splitlines()
        self.assertEqual(sum(int(line.rsplit(" ", 1)[1]) for line in lost), self.totals(self.plain, "heap")["lost_bytes"])
        self.assertTrue(all(line.startswith("heap.lost_bytes;") for line in lost))

    def test_sarif(self):
        sarif = json.loads(self.render("sarif", self.broken, self.plain))
        self.assertIsNone(jsonschema.exceptions.best_match(SARIF.iter_errors(sarif)))
        (run,) = sarif["runs"]
        (error, unchecked, *others) = sorted(run["results"], key=lambda one: one["level"] != "error")
        if error["ruleId"] == "unchecked":
            error, unchecked = unchecked, error
        self.assertEqual((error["ruleId"], error["level"]), ("fd", "error"))
        self.assertIn("25 descriptors (all lost) from fopen64", error["message"]["text"])
        place = error["locations"][0]["physicalLocation"]
        self.assertEqual(place["artifactLocation"], {"uri": "test/e2e/programs/log_service.cpp", "uriBaseId": "%SRCROOT%"})
        self.assertEqual(place["region"]["startLine"], error["stacks"][0]["frames"][0]["location"]["physicalLocation"]
                         ["region"]["startLine"])
        self.assertEqual((unchecked["ruleId"], unchecked["level"]), ("unchecked", "error"))
        self.assertIn("mapping>0", unchecked["message"]["text"])
        self.assertEqual({one["level"] for one in others}, {"warning"})
        self.assertEqual({one["id"] for one in run["tool"]["driver"]["rules"]}, {one["ruleId"] for one in run["results"]})
        self.assertEqual(run["originalUriBaseIds"]["%SRCROOT%"]["uri"], f"file://{harness.SOURCE}/")

    def test_one_place_in_two_processes_is_one_finding(self):
        other = self.changed("other.json", lambda report: report["process"].update(pid=report["process"]["pid"] + 1))
        twice = json.loads(self.render("sarif", self.broken, other))["runs"][0]["results"]
        once = json.loads(self.render("sarif", self.broken))["runs"][0]["results"]
        self.assertEqual(len(twice), len(once))
        self.assertIn("and 1 more", twice[0]["message"]["text"])
        same = json.loads(self.render("sarif", self.broken, self.broken))["runs"][0]["results"]
        self.assertEqual([one["message"] for one in same], [one["message"] for one in once])

    def changed(self, name, change):
        with open(self.broken) as file:
            report = json.load(file)
        change(report)
        with open(self.scratch.path(name), "w") as file:
            json.dump(report, file)
        return self.scratch.path(name)

    def test_the_worst_of_several_processes_gives_the_numbers(self):
        def grow(report):
            report["process"]["pid"] = 77
            for site in report["sites"]:
                if site["kind"] == "fd":
                    site["live"] = 900

        worse = self.changed("worse.json", grow)
        for files in ((self.broken, worse), (worse, self.broken)):
            first = json.loads(self.render("sarif", *files))["runs"][0]["results"]
            (text,) = [one["message"]["text"] for one in first if one["ruleId"] == "fd"]
            self.assertRegex(text, r"^900 descriptors .*, in log_service \(pid 77\) and 1 more process \(breaks fd>0\)$")

    def test_unattributed_descriptors_of_one_target_are_one_finding(self):
        def add(name, pipe):
            def change(report):
                for fd, target in ((20, "/dev/null"), (21, "/dev/null"), (22, f"pipe:[{pipe}]")):
                    report["descriptors"].append({"fd": fd, "origin": "unattributed", "target": target})
            return self.changed(name, change)

        paths = [add("one.json", 111), add("two.json", 222)]
        found = [{one["partialFingerprints"]["unfreedSignature/v1"]: one for one in json.loads(self.render("sarif", path))["runs"][0]["results"]
                  if one["ruleId"] == "fd.unattributed"} for path in paths]
        self.assertEqual(found[0].keys(), found[1].keys(), "the same in every run")
        self.assertEqual(len(found[0]), 2)
        texts = sorted(one["message"]["text"] for one in found[0].values())
        self.assertRegex(texts[0], r"^2 descriptors \(/dev/null\), such as 20, were opened .*, in log_service \(pid \d+\) \(breaks")
        self.assertEqual([one["properties"]["processes"] for one in found[0].values()], [texts[0].split(", in ")[1].split(" (breaks")[:1]] * 2)

    def test_what_is_left_out_is_counted(self):
        def repeat(report):
            (site,) = [one for one in report["sites"] if one["kind"] == "fd"]
            for number in range(199):
                report["sites"].append({**site, "id": 1000 + number, "signature": f"{number + 1:016x}",
                                        "stack": [{**site["stack"][0], "module": "/nowhere/log.so", "line": number + 100,
                                                   "function": f"write_{number}"}]})
            report["sites"] = [one for one in report["sites"] if one["kind"] == "fd"]

        path = self.changed("many.json", repeat)
        self.assertIn("\nand 171 more\n", self.render("markdown", path))
        github = self.render("github", path).splitlines()
        self.assertEqual(sum(line.startswith("::error") for line in github), 10)
        self.assertEqual(github[-1], "unfreed: 191 more findings, in the reports")  # one is the rule that was not checked
        run = json.loads(self.render("sarif", path))["runs"][0]
        self.assertEqual(sum(one["ruleId"] == "fd" for one in run["results"]), 50)
        self.assertIn("150 more call sites", str(run["invocations"][0]["toolExecutionNotifications"]))
        self.assertNotIn("more call sites", self.render("gitlab", path))

    def test_many_reports_fit_into_a_comment(self):
        self.assertLess(len(self.render("markdown", *[self.broken] * 300)), 60_000)

    def test_formats_that_a_run_writes_itself(self):
        leak = [harness.program("fd_open"), "leak"]
        with harness.Scratch() as scratch:
            def run(*options, command=leak):
                return harness.bare([harness.COMMAND, "run", "-q", "-o", scratch.path("report.json"), *options, "--", *command],
                                    cwd=scratch.folder, env={"UNFREED_LEDGER_DIR": scratch.ledgers})

            with open(scratch.path("kept.csv"), "w") as file:
                file.write("before\n")
            result = run("--write", "markdown=a=b.md", "--write=csv+=kept.csv", "--write", "csv+=made.csv", "--write", "folded=-")
            self.assertEqual(result.status, 0, result)
            for name, format_name in (("a=b.md", "markdown"), ("made.csv", "csv")):
                with open(scratch.path(name), encoding="utf-8", newline="") as file:
                    later = harness.bare([harness.COMMAND, "report", "-f", format_name, "report.json"], cwd=scratch.folder)
                    self.assertEqual(file.read(), later.stdout)
                self.assertEqual(os.stat(scratch.path(name)).st_mode & 0o777, 0o600)
            with open(scratch.path("made.csv")) as made, open(scratch.path("kept.csv")) as kept:
                self.assertEqual(kept.read(), "before\n" + made.read())
            self.assertTrue(result.stdout.startswith("fd;"), result.stdout)

            # What is no report is not replaced, and a run that could not write what it was told to does not pass.
            self.assertEqual(run("--write", "markdown=kept.csv").status, 125)
            self.assertEqual(run("--fail-on", "fd>0", "--write", "markdown=kept.csv").status, 23)
            self.assertEqual(run("--write", "markdown+=.", command=["sh", "-c", "exit 3"]).status, 3)
            with open(scratch.path("kept.csv")) as kept:
                self.assertTrue(kept.read().startswith("before\n"))
            for whole in ("html", "json", "sarif", "junit", "gitlab", "pprof", "openmetrics", "perfetto"):
                refused = run("--write", f"{whole}+=kept")
                self.assertEqual(refused.status, 125, whole)
                self.assertIn("a file holds one document of " + whole, refused.stderr)
            for bad in ("markdown", "=file", "markdown=", "nothing=file", "+=x"):
                with self.subTest(bad=bad):
                    result = run("--write", bad)
                    self.assertEqual(result.status, 125)
                    self.assertIn("expected FORMAT=FILE", result.stderr)
                    self.assertEqual(len(result.stderr.splitlines()), 1)

    def test_junit(self):
        root = ElementTree.fromstring(self.render("junit", self.broken, self.plain))
        self.assertEqual({name: root.get(name) for name in ("tests", "failures", "errors", "skipped")},
                         {"tests": "5", "failures": "1", "errors": "1", "skipped": "1"})
        cases = {case.get("name"): case for case in root.iter("testcase")}
        failed = cases["fd>0"]
        self.assertEqual(failed.get("file"), "test/e2e/programs/log_service.cpp")
        self.assertEqual(failed.find("failure").get("message"), "FAIL fd>0: 25 descriptors held")
        self.assertIn("service::Log::write(std::string const&)", failed.find("failure").text)
        self.assertIn("not tracked", cases["mapping>0"].find("error").get("message"))
        self.assertEqual(len(cases["site.fd>=30"]), 0)
        self.assertEqual(cases["rules"].find("skipped").get("message"), "no rules were given")

    def test_github_annotations(self):
        lines = self.render("github", self.broken, self.plain).splitlines()
        self.assertRegex(lines[0], r"^::error title=unfreed%3A unchecked::not checked mapping>0: .*$")
        self.assertRegex(lines[1], r"^::error file=test/e2e/programs/log_service\.cpp,line=\d+,title=unfreed%3A fd>0::"
                                   r"25 descriptors \(all lost\) from fopen64: /dev/null, in log_service \(pid \d+\)%0A"
                                   r"service::Log::write\(std::string const&\) \(test/e2e/programs/log_service.cpp:\d+\)%0A")
        # Of a level no more than ten are shown.
        self.assertEqual([line.split(" ")[0] for line in lines[2:-1]], ["::warning"] * 10, lines)
        self.assertEqual(lines[-1], "unfreed: 1 more finding, in the reports")

    def test_gitlab_code_quality(self):
        found = json.loads(self.render("gitlab", self.broken, self.plain))
        for one in found:
            self.assertIn(one["severity"], ("info", "minor", "major", "critical", "blocker"))
            self.assertGreaterEqual(one["location"]["lines"]["begin"], 1)
            self.assertFalse(one["location"]["path"].startswith(("/", "./")), one)
        self.assertEqual(len({one["fingerprint"] for one in found}), len(found))
        (fd,) = [one for one in found if one["check_name"] == "unfreed.fd" and one["severity"] == "major"]
        self.assertEqual(fd["location"]["path"], "test/e2e/programs/log_service.cpp")

    def test_markdown(self):
        text = self.render("markdown", self.broken, self.plain)
        self.assertIn("- **`FAIL fd>0: 25 descriptors held`**\n", text)
        self.assertRegex(text, r"\n- `25 descriptors \(all lost\) from fopen64: /dev/null` at "
                               r"`test/e2e/programs/log_service.cpp:\d+`, breaks `fd>0`\n")
        self.assertIn("| fd | 25 | 25 | 200 |  |\n", text)

    def test_csv(self):
        rows = list(csv.DictReader(io.StringIO(self.render("csv", self.broken, self.plain), newline="")))
        self.assertTrue(all(None not in row and None not in row.values() for row in rows))
        for kind in ("fd", "thread"):
            held = sum(int(row["live"]) for row in rows if row["kind"] == kind and not row["suppressed_by"])
            self.assertEqual(held, sum(self.totals(path, kind)["live"] for path in (self.broken, self.plain)))
        (row,) = [row for row in rows if row["kind"] == "fd" and row["live"] == "25"]
        self.assertEqual((row["function"], row["targets"]), ("service::Log::write(std::string const&)", "/dev/null"))

    def test_openmetrics(self):
        families = {family.name: family for family in
                    text_string_to_metric_families(self.render("openmetrics", self.broken, self.plain, self.plain))}
        held = {(one.labels["program"], one.labels["kind"]): one.value for one in families["unfreed_held"].samples}
        self.assertEqual(held["log_service", "fd"], 25)
        (site,) = [one for one in families["unfreed_site_held"].samples
                   if one.labels["kind"] == "fd" and one.labels["program"] == "log_service"]
        self.assertEqual((site.value, site.labels["acquired_by"]), (25, "fopen64"))
        self.assertRegex(site.labels["line"], r"^test/e2e/programs/log_service\.cpp:\d+$")
        self.assertEqual(families["unfreed_acquired"].type, "counter")
        for family in families.values():
            series = [(one.name, tuple(sorted(one.labels.items()))) for one in family.samples]
            self.assertEqual(len(series), len(set(series)), f"{family.name}: a reader refuses equal lines")

    def test_perfetto(self):
        """Against Chrome's trace event format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU"""
        series = self.scratch.path("looks.series")
        with Asked(self.scratch) as process:
            for turns in (1, 2, 0, 4):
                process.take_turns(turns)
                watched = harness.unfreed("watch", "--quiet", "--looks", "1", "-o", series, str(process.pid))
                self.assertEqual(watched.status, 0, watched)
        trace = json.loads(self.render("perfetto", series, self.broken))
        self.assertEqual((trace["displayTimeUnit"], trace["metadata"]), ("ms", {"call_sites_left_out": 0}))
        names, tracks = {}, {}
        for event in trace["traceEvents"]:
            self.assertIsInstance(event["pid"], int)
            if event["ph"] == "M":
                names[event["pid"], event["name"]] = event["args"]
                continue
            self.assertEqual((event["ph"], set(event)), ("C", {"name", "ph", "ts", "pid", "args"}))
            ((what, value),) = event["args"].items()
            self.assertTrue(isinstance(event["ts"], int) and isinstance(value, int), event)
            tracks.setdefault((event["pid"], event["name"], what), []).append((event["ts"], value))
        self.assertRegex(names[process.pid, "process_name"]["name"], r"^growth \(pid \d+\)")
        self.assertEqual(len({pid for pid, _ in names}), 2)
        for track in tracks.values():
            self.assertEqual(sorted(track), track)
            self.assertEqual(len(track), len({time for time, _ in track}), "a track has two values at one time")
        line = harness.line_of(os.path.join(PROGRAMS, "growth.c"), "descriptor")
        for name in ("fd", f"fd: open64 in leak_descriptor (growth.c:{line})", f"fd: open in leak_descriptor (growth.c:{line})"):
            if (process.pid, name, "held") in tracks:
                # The third look saw no change.
                self.assertEqual([value for _, value in tracks[process.pid, name, "held"]], [1, 3, 7], name)
        self.assertEqual(sum(name.startswith("fd: open") for pid, name, _ in tracks if pid == process.pid), 1)
        self.assertIn((process.pid, "heap", "bytes"), tracks)
        ((_, value),) = next(track for (pid, name, _), track in tracks.items() if pid != process.pid and name == "fd")
        self.assertEqual(value, 25)

    def test_names_that_a_program_chose_stay_texts(self):
        path = self.hostile()
        sarif = json.loads(self.render("sarif", path))
        self.assertIsNone(jsonschema.exceptions.best_match(SARIF.iter_errors(sarif)))
        for result in sarif["runs"][0]["results"]:
            self.assertNotIn("](", result["message"]["text"])
            self.assertNotRegex(result["message"]["text"].replace("{{", "").replace("}}", ""), r"[{}]")
            self.assertNotIn("\\n", str(result["locations"]))
        ElementTree.fromstring(self.render("junit", path))
        for line in self.render("github", path).splitlines():
            self.assertRegex(line, r"^::(error|warning|notice) ([a-z]+=[^,:]*,)*title=[^,:]*::")
        json.loads(self.render("gitlab", path))
        json.loads(self.render("perfetto", path))
        list(text_string_to_metric_families(self.render("openmetrics", path)))
        for line in self.render("folded", path).splitlines():
            self.assertRegex(line, r"^[a-z]+;.* \d+$")
        for row in csv.DictReader(io.StringIO(self.render("csv", path), newline="")):
            self.assertTrue(all(None not in (key, value) for key, value in row.items()))
            self.assertFalse(row["targets"].startswith("="), "a spreadsheet would compute it")
        decode(self.render("pprof", path, binary=True))
        for line in self.render("markdown", path).splitlines():
            self.assertFalse(line.startswith("<script>"))

    def test_a_format_replaces_its_own_output_and_nothing_else(self):
        for form in (*TEXT_FORMATS[1:], "pprof"):
            with self.subTest(form=form):
                path = self.scratch.path("out-" + form)
                for _ in range(2):
                    self.render(form, self.broken, options=["-o", path])
                for other in ("somebody else's\n", "heap.c; see issue 12\nmy notes\n", "fd;a 12\nnotes; of 3\n"):
                    with open(path, "w") as file:
                        file.write(other)
                    done = harness.unfreed("report", "--format", form, "-o", path, self.broken)
                    self.assertEqual((done.status, done.stderr.count("\n")), (125, 1), done)
                    with open(path) as file:
                        self.assertEqual(file.read(), other)
        # Nothing to say is an answer, too.
        clean = self.scratch.path("clean.json")
        harness.run([harness.program("fd_open"), "clean"], scratch=self.scratch, options=["--output", clean])
        for form in ("gitlab", "github"):
            path = self.scratch.path("none." + form)
            for _ in range(2):
                self.render(form, clean, options=["-o", path])
            with open(path) as file:
                self.assertEqual(file.read().split(), ["[", "]"] if form == "gitlab" else [])

    def test_bad_input(self):
        for arguments in (["--value", "fd.bytes", self.broken], ["--format", "nothing", self.broken],
                          ["--format", "pprof", self.broken, "/nonexistent"]):
            done = harness.unfreed("report", *arguments)
            self.assertEqual((done.status, done.stderr.count("\n")), (125, 1), (arguments, done))


if __name__ == "__main__":
    harness.main()
