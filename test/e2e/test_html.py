#!/usr/bin/python3
"""The page for browsers, in Chromium, by real clicks and keys."""
import copy
import json
import os
import re
import unittest

import browser
import harness

SECOND = 1_000_000_000
SOURCE = os.path.join(harness.SOURCE, "test", "e2e", "programs", "log_service.cpp")
HOSTILE = "</script><img src=x onerror=\"window.hacked=1\"><!--'\u2028\u202egnp.exe\u200b&lt;"
MANY = 50_000


def call(function, line=7, file=None, module="/opt/all/sections", offset=4096):
    return {"function": function, "file": file or f"/src/all/{function}.c", "line": line, "module": module, "offset": offset,
            "inlined": False}


def held(fd, target):
    return {"fd": fd, "target": target, "age_ns": SECOND}


def closing(function, caller):
    return {"function": function, "thread": 77, "age_ns": SECOND, "stack": [call(caller)], "truncated": False}


def with_all_sections(report, word=lambda name: name):
    """A report in which every section has something of its own. `word`: what stands for a name that a program chooses."""
    report = copy.deepcopy(report)
    report.update({
        "trigger": "exhaustion", "complete": False, "notes": [word("NoteOne")],
        "exhaustion": {"function": word("ExhaustedCall"), "kind": "fd", "error": "EMFILE"},
        "failures": [{"function": word("FailedCall"), "kind": "fd", "error": "EMFILE", "count": 31, "first": "2026-01-02T03:04:05Z",
                      "first_after_ns": SECOND, "live_then": 1013, "thread": 4242, "stack": [call(word("FailingCaller"))],
                      "truncated": False}],
        "hints": [{"name": "close_wait", "site": report["sites"][0]["id"], "count": 3, "text": word("HintOfSite")}],
        "misuse": [{"type": "double_close", "count": 12, "fd": 815, "opened": closing("open", word("FirstOpener")),
                    "first_closed": closing("close", word("FirstCloser")), "closed": closing("close", word("SecondCloser")),
                    "reopened": closing("socket", word("Reopener"))}],
        "inherited_by_child": [{"fd": 616, "count": 14, "target": word("/InheritedTarget"), "program": word("/bin/Inheritor"),
                                "started_by": "posix_spawn", "process": 5, "acquired_by": "open64", "age_ns": SECOND,
                                "stack": [call(word("OpenedWithoutCloexec"))], "truncated": False}],
        "threads": [{"thread": 9191, "name": word("ThreadName"), "class": "joinable", "state": "running", "kernel_state": "S",
                     "stack": [call(word("WhereItWaits"))], "holds": {"fd": 2, "heap": 4, "heap_bytes": 1 << 20, "descriptors":
                                                                      [held(41, word("/HeldByThread"))], "descriptors_omitted": 1}}],
        "descriptors": [{"fd": 717, "origin": "unattributed", "target": word("/Unattributed")}],
        "children": [{"origin": "unattributed", "process": 313, "name": word("ChildName"), "state": "zombie"}],
        "untracked": [{"program": word("/bin/NotTracked"), "reason": "static", "count": 8}],
        "rules": [{"rule": "fd>0", "value": 50, "broken": True}, {"rule": "site.fd>9", "value": 50, "broken": True,
                                                                 "site": report["sites"][0]["id"]},
                  {"rule": "thread>0", "value": 0, "broken": False},
                  {"rule": "heap.lost>0", "broken": False, "unchecked": "NotSeenAtAll"}],
        "watch": {"looks": 44, "duration_ns": 100 * SECOND, "kinds": [
            {"kind": "fd", "limit": 1024, "limit_in_ns": 3600 * SECOND, "growth": {
                "course": "grows", "first": 5, "last": 50, "per_day": 7200, "per_day_least": 7000, "per_day_most": 7400}}]},
    })
    site = report["sites"][0]
    site["stack"][0].update(function=word("Culprit"))
    site["objects"] = [held(number, word("/HeldTarget")) for number in (21, 22, 23)]
    site["objects_omitted"] = 47
    site["tests"] = [{"test": word("TestThatRan"), "live": 50}]
    report["process"]["test"] = word("TestThatStartedIt")
    peak = copy.deepcopy(site)
    peak.update(id=9001, signature="00000000000000ff", live=1, lost=0, at_peak=900, stack=[call(word("HeldAtThePeak"))], objects=[])
    gone = copy.deepcopy(site)
    gone.update(id=9002, signature="00000000000000fe", stack=[call(word("Excused"))], suppressed_by=word("SuppressionLine"), lost=0)
    blocks = copy.deepcopy(site)
    blocks.update(id=9003, kind="heap", signature="00000000000000fd", stack=[call(word("Allocator"))], acquired_by="malloc", live=10,
                  bytes=1000, lost=2, lost_bytes=200, objects=[], growth={"course": "grows", "first": 1, "last": 9, "per_day": 8,
                                                                          "per_day_least": 7, "per_day_most": 9})
    for name in ("objects_omitted", "peak", "at_peak", "tests"):
        blocks.pop(name, None)
    running = copy.deepcopy(site)
    running.update(id=9004, kind="thread", signature="00000000000000fc", stack=[call(word("Starter"))], acquired_by="pthread_create",
                   live=0, lost=0, running=65, growing=True, total=70, objects=[])
    report["sites"] += [peak, gone, blocks, running]
    report["sites_omitted"] = 19
    report["retention"] = [{"root": "variable", "place": call(word("g_keeper")), "blocks": 0, "bytes": 0},
                           {"parent": 1, "root": "none", "site": 9003, "blocks": 8, "bytes": 800}]
    return report


def many_sites():
    """50,000 call sites, 21 frames deep, of a program with 500 functions."""
    functions = 500
    calls = [[call(f"function_{number}", line=number + 1, file="/src/many.c", offset=number)] for number in range(functions)]
    callees, callers = [1], [0]  # main

    def add(function, caller):
        callees.append(function + 1)
        callers.append(caller)
        return len(callees)
    # A tree of ten ways at each of five forks, and lines of calls between them.
    level = [1]
    for fork in range(5):
        below = []
        for node in level:
            for way in range(10 if fork < 4 else MANY // 10 ** 4):
                last = node
                for step in range(4):
                    last = add((fork * 97 + way * 13 + step * 7) % functions, last)
                below.append(last)
        level = below
    return {"calls": calls, "call": callees, "caller": callers}, level


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.scratch.__enter__()
        cls.addClassCleanup(cls.scratch.__exit__, None, None, None)
        for name, requests, program in (("plain", 400, "log_service"), ("more", 800, "log_service"), ("kept", None, "kept")):
            words = [harness.program(program)] + ([str(requests), "2"] if requests else [])
            result = harness.run(words, scratch=cls.scratch, options=["--output", cls.scratch.path(name + ".json"), "--fail-on", "fd>0"])
            assert result.status in (0, 23), result
        cls.report = harness.read_report(cls.scratch.path("plain.json"))
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)
        cls.browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        for name in ("plain", "kept"):
            cls.render(name, cls.scratch.path(name + ".json"))

    @classmethod
    def render(cls, name, *files, command="report"):
        page = cls.scratch.path(name + ".html")
        done = harness.unfreed(command, "--format", "html", "-o", page, *files)
        assert (done.status, done.stderr) == (0, ""), done
        return page

    def write(self, name, report):
        with open(self.scratch.path(name + ".json"), "w") as file:
            json.dump(report, file)
        return self.scratch.path(name + ".json")

    def setUp(self):
        self.browser.problems.clear()
        self.browser.requests.clear()
        self.browser.resize(1280, 900)

    def open(self, name, fragment=""):
        self.browser.open(self.scratch.path(name + ".html"), fragment)
        self.browser.settle()

    def tearDown(self):
        self.assertEqual(self.browser.problems, [])

    def numbers(self, column):
        return [int(text.replace(",", "")) for text in self.browser.texts(f"#view td.{column}") if text]

    def everything(self):
        """All that the page shows: every list opened, and every call site's own page."""
        page = self.browser
        page.run("document.querySelector('#all')?.click()")
        page.choose("#kind", "all")
        shown = []
        places = page.run("[...document.querySelectorAll('#view a.name')].map(one => one.hash)")
        page.run("""for (const one of document.querySelectorAll('details')) { one.fill?.(); one.open = true; }
            for (const one of document.querySelectorAll('main details')) one.open = true;""")
        page.settle()
        shown.append(page.text("body"))
        for place in dict.fromkeys(places):
            page.follow(place)
            page.run("for (const one of document.querySelectorAll('details')) one.open = true")
            shown.append(page.text("body"))
        return "\n".join(shown)

    # What is in it.

    def test_loads_without_a_complaint_and_loads_nothing_else(self):
        self.open("plain")
        self.assertEqual([os.path.basename(url) for url in self.browser.requests], ["plain.html"])
        self.assertIn("log_service", self.browser.text("h1"))
        self.assertIn("FAIL fd>0: 50 descriptors held", self.browser.text())
        self.assertEqual(self.browser.text(".tile[aria-pressed=true] .value"), "50")
        self.assertEqual(self.browser.texts("#view a.name"), ["service::Log::write(std::string const&)"])

    def test_the_policy_refuses_other_scripts_and_styles(self):
        self.open("plain")
        self.browser.run("""(() => {
            const script = document.createElement('script');
            script.textContent = 'window.hacked = 1';
            document.body.append(script);
            document.body.insertAdjacentHTML('beforeend', '<b id="odd" style="color: red" onclick="window.hacked = 1">x</b>');
            document.getElementById('odd').click();
        })()""")
        self.browser.settle()
        self.assertIsNone(self.browser.run("window.hacked"))
        refused = [one for one in self.browser.problems if "Content Security Policy" in one]
        self.assertGreaterEqual(len(refused), 3, self.browser.problems)
        self.browser.problems.clear()

    def test_every_section_of_the_text_is_in_it(self):
        report = with_all_sections(self.report)
        path = self.write("all", report)
        self.render("all", path)
        text = harness.unfreed("report", "--show-suppressed", path).stdout
        # The text has all that was planted, or this would show nothing.
        planted = re.findall(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+", json.dumps(with_all_sections(self.report, lambda name: name)))
        missing = {"ChildName"}  # of children, the text gives the number
        for name in set(planted) - missing:
            self.assertIn(name, text)
        self.open("all")
        shown = self.everything()
        for name in set(planted):
            self.assertIn(name, shown)
        simple = re.sub(r"\s+", " ", shown)
        for line in text.splitlines()[1:]:
            # Frames are written alike, but for brackets; of a call site, the page has the parts in places of their own.
            words = re.findall(r"[\w/.:>+,]*\w", line)
            absent = [word.strip(":,") for word in words if word.strip(":,") not in simple]
            self.assertEqual(absent, [], line)
        for whole in ("descriptor 815 was closed twice; the second close hit another owner's descriptor", "12 times",
                      "closed by close in thread 77", "reopened before that by socket in thread 77", "a limit was reached",
                      "this report is incomplete", "and 47 more", "their number keeps growing", "and 19 more stacks",
                      "900 descriptors at the peak", "31 times", "1,013 held at the time", "opened by open64 without close-on-exec",
                      "thread 9191 \"ThreadName\" (joinable, waiting", "717: /Unattributed", "variable g_keeper", "44 looks over"):
            self.assertIn(whole, simple)

    def test_goroutines(self):
        report = copy.deepcopy(self.report)
        report["goroutines"] = [{"count": 3, "state": "waiting", "wait_reason": "chan receive", "created_at": [call("main.GoStatement")],
                                 "stack": [call("main.ItsWait")], "waiting_ns": 400 * SECOND, "fd": 5, "goroutines": [
                                     {"goroutine": 18, "fd": 5, "descriptors": [held(5, "/OfGoroutine")], "descriptors_omitted": 4}]}]
        self.render("go", self.write("go", report))
        self.open("go")
        shown = self.everything()
        for words in ("3 goroutines (waiting, chan receive, for at least 6 min 40 s)", "main.GoStatement", "main.ItsWait",
                      "goroutine 18: descriptor 5: /OfGoroutine", "goroutine 18: and 4 more descriptors"):
            self.assertIn(words, shown)

    def test_what_the_kernel_knows_of_a_process_that_is_not_tracked(self):
        path = self.scratch.path("kernel.json")
        done = harness.unfreed("snapshot", "--quiet", "-o", path, str(os.getpid()))
        self.assertEqual(done.status, 0, done)
        self.render("kernel", path)
        self.open("kernel")
        shown = self.browser.text("#section-kernel")
        lines = [line.strip() for line in harness.unfreed("report", path).stdout.splitlines()[1:] if line.strip()]
        self.assertTrue(any(line.startswith("memory") and "resident" in line for line in lines), lines)
        for line in lines:
            words = " ".join(line.removeprefix("note: ").split())
            self.assertIn(words, " ".join(self.browser.text("body").split()))
        self.assertIn("resident", shown)
        self.assertNotIn("Nothing is held", self.browser.text("body"))

    def test_names_that_a_program_chooses_inject_nothing(self):
        path = self.write("hostile", with_all_sections(self.report, lambda name: name + HOSTILE))
        page = self.render("hostile", path)
        with open(page, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(text.count("</script"), 2)
        self.assertNotRegex(text, "[\u2028\u202e\u200b]|<img")
        self.open("hostile")
        shown = self.everything()
        self.assertIn("Culprit</script><img src=x onerror=", shown)
        self.assertIn("\\u202egnp.exe\\u200b&lt;", shown)
        self.assertIsNone(self.browser.run("window.hacked"))
        self.assertEqual(self.browser.count("img"), 0)

    # What can be done with it.

    def test_the_table_sorts(self):
        self.open("kept")
        self.browser.click("th.live button")
        for _ in range(2):
            order = self.browser.run("document.querySelector('th.live').getAttribute('aria-sort')")
            numbers = self.numbers("live")
            self.assertGreater(len(set(numbers)), 2)
            self.assertEqual(numbers, sorted(numbers, reverse=order == "descending"))
            self.browser.click("th.live button")
        self.browser.click("th.name button")
        names = self.browser.texts("#view a.name")
        self.assertEqual(names, sorted(names))

    def test_the_search_filters(self):
        self.open("kept")
        everything = self.browser.texts("#view a.name")
        wanted = everything[1]
        self.browser.press("/")
        self.browser.type(f"^{re.escape(wanted)}$|no\\-such thing")
        found = self.browser.texts("#view a.name")
        self.assertIn(wanted, found)
        self.assertLess(len(found), len(everything))
        self.assertIn(f"of {len(everything)}", self.browser.text("#count"))
        self.browser.type("(")
        self.assertIn("not a regular expression", self.browser.text("#search-error"))
        self.assertEqual(self.browser.texts("#view a.name"), everything, "nothing is hidden by a mistake")
        self.browser.run("document.querySelector('#search').select()")
        self.browser.type("no such thing")
        self.assertEqual(self.browser.text("#view"), "Nothing matches.")

    def test_the_search_finds_tests(self):
        report = with_all_sections(self.report)
        report["sites"][0]["tests"][0]["test"] = "tests/test_log.py::test_rotates"
        self.render("tested", self.write("tested", report))
        self.open("tested")
        self.browser.press("/")
        self.browser.type("py::test_rot")
        self.assertEqual(self.browser.texts("#view a.name"), ["Culprit"])

    def test_a_call_site_has_a_page_with_source_and_objects(self):
        self.open("plain")
        self.browser.click("#view a.name")
        self.assertIn("50 descriptors from fopen64 in service::Log::write", self.browser.text("h2"))
        line = harness.line_of(SOURCE, "open")
        with open(SOURCE) as file:
            text = file.read().splitlines()[line - 1]
        self.assertEqual(self.browser.texts(".source .at")[0].split(None, 1), [str(line), text.strip()])
        self.assertTrue(any("/dev/null" in one for one in self.browser.texts(".objects summary")))
        self.assertIn("18 more", self.browser.text())
        self.browser.click("a.back")
        self.assertEqual(self.browser.count("#view a.name"), 1)

    def test_retention_is_on_the_page_of_the_blocks(self):
        self.open("kept")
        self.browser.press("/")
        self.browser.type("fill_registry|registry")
        self.browser.click("#view a.name")
        self.assertIn("variable g_", self.browser.text(".kept"))

    def test_links_lead_to_call_sites(self):
        signature = next(site["signature"] for site in self.report["sites"] if site["kind"] == "fd" and site["live"])
        self.open("plain", f"#site=fd:{signature}")
        self.assertIn("50 descriptors", self.browser.text("h2"))
        self.browser.press("Escape")
        self.assertEqual(self.browser.texts("#view a.name"), ["service::Log::write(std::string const&)"])
        self.browser.follow("#site=fd:0000000000000000")
        self.assertIn("no call site", self.browser.text())
        self.browser.follow("#kind=heap&by=total&view=table")
        self.assertEqual(self.browser.text(".tile[aria-pressed=true] .kind"), "heap")

    def test_the_suppression_that_is_copied_works(self):
        self.open("plain")
        self.browser.click("#view a.name")
        self.browser.click(".actions button", "Copy suppression")
        copied = self.browser.run("navigator.clipboard.readText()")
        with open(self.scratch.path("copied"), "w") as file:
            file.write(copied + "\n")
        words = [harness.program("log_service"), "400", "2"]
        result = harness.run(words, options=["--fail-on", "fd>0", "--suppressions", self.scratch.path("copied")])
        self.assertEqual(result.status, 0, result)
        self.browser.click(".actions button", "Copy link")
        self.assertTrue(self.browser.run("navigator.clipboard.readText()").endswith("plain.html#site=" + copied.replace("signature:", "")))

    def test_the_graph_zooms_searches_and_inverts(self):
        self.open("plain")
        self.browser.click("#view-flame")
        box = self.browser.run("(() => { const box = document.querySelector('canvas').getBoundingClientRect(); return [box.x, box.y, box.height]; })()")
        rows = round(box[2] / 20)
        self.browser.click_at(box[0] + 200, box[1] + (rows - 2) * 20 + 10)  # above what acquires
        self.assertIn("service::Log::write", self.browser.text(".path"))
        self.assertIn("service::Log::write(std::string const&): 50, 100.0 %, 1 call site", self.browser.text(".graph .words"))
        self.browser.run("document.querySelector('canvas').focus()")
        self.browser.press("Escape")
        self.assertNotIn("service::Log::write", self.browser.text(".path"))
        self.browser.press("ArrowDown")
        self.assertIn("service::Log::write", self.browser.text(".graph .words"))
        self.assertIn("service::Log::write", self.browser.run("document.querySelector('canvas').getAttribute('aria-label')"))
        self.browser.press("Escape")
        self.browser.run("document.activeElement.blur()")
        self.browser.press("/")
        self.browser.type("Log::write")
        self.assertEqual(self.browser.text("#count"), "100.0 % matches")
        self.browser.run("document.activeElement.blur()")
        self.browser.press("i")
        self.browser.run("document.querySelector('canvas').focus()")
        self.browser.press("ArrowDown")
        self.assertIn("fopen64: 50", self.browser.text(".graph .words"))
        self.browser.click(".graph .words button", "Show call site")
        self.assertEqual(self.browser.texts("#view a.name"), ["service::Log::write(std::string const&)"])

    def test_keys_alone_do(self):
        self.open("kept")
        self.browser.press("j")
        self.browser.press("j")
        second = self.browser.run("document.activeElement.innerText")
        self.assertEqual(second, self.browser.texts("#view a.name")[1])
        self.browser.press("Enter")
        self.assertIn(second, self.browser.text("h2"))
        self.browser.press("k")
        self.assertEqual(self.browser.count("article.site"), 1)
        self.browser.press("Escape")
        self.assertGreater(self.browser.count("#view a.name"), 2)
        self.browser.press("?")
        self.assertTrue(self.browser.run("document.querySelector('#help').open"))
        self.browser.press("Escape")
        self.assertFalse(self.browser.run("document.querySelector('#help').open"))

    # Several reports.

    def test_a_difference_is_red_and_green(self):
        older, newer = copy.deepcopy(self.report), copy.deepcopy(self.report)
        shrinks = copy.deepcopy(older["sites"][0])
        shrinks.update(id=9100, signature="00000000000000aa", stack=[call("shrinks")], live=9, lost=0, objects=[])
        older["sites"].append(shrinks)
        newer["sites"].append(dict(shrinks, live=4))
        newer["sites"].append(dict(shrinks, id=9101, signature="00000000000000ab", stack=[call("appears")], live=7))
        older["sites"].append(dict(shrinks, id=9102, signature="00000000000000ac", stack=[call("goes")], live=6))
        newer["sites"][0]["live"] += 460
        newer["process"]["duration_ns"] += 600 * SECOND
        files = [self.write("older", older), self.write("newer", newer)]
        page = self.render("difference", *files, command="diff")
        text = harness.unfreed("diff", *files).stdout
        self.open("difference")
        rows = [[cell for cell in row.split("\t")] for row in self.browser.texts("#view tbody tr")]
        self.assertEqual([(row[0], row[1], row[2], row[3]) for row in rows],
                         [("50", "510", "+460", "grew"), ("–", "7", "+7", "new"), ("6", "–", "−6", "gone"), ("9", "4", "−5", "shrank")])
        self.assertIn("(+460", text)
        self.assertIn("10 min 0 s earlier in the same process", self.browser.text())
        red, green = (self.browser.run(f"getComputedStyle(document.querySelector('.{name} .change')).color") for name in ("worse", "better"))
        self.assertNotEqual(red, green)
        self.browser.click("#view-flame")
        self.assertIn("65 → 521 (+456)", self.browser.text(".graph .words"))
        self.browser.choose("#against", "-1")
        self.browser.click("#view-table")
        self.assertEqual(sorted(self.numbers("live")), [4, 7, 510])
        self.browser.choose("#against", "0")
        self.assertEqual(self.browser.count("#view tbody tr"), 4)
        self.assertEqual(self.browser.count("figure"), 0, "totals have not changed")
        with open(page) as file:
            self.assertEqual(file.readline(), "<!DOCTYPE html>\n")

    def test_several_reports_of_a_process_are_a_timeline(self):
        files = []
        for number, live in enumerate((3, 20, 70)):
            report = copy.deepcopy(self.report)
            report["process"]["duration_ns"] = (number + 1) * 60 * SECOND
            report["sites"][0]["live"] = report["totals"]["fd"]["live"] = live
            files.append(self.write(f"look{number}", report))
        files.append(self.scratch.path("more.json"))
        self.render("looks", *files)
        self.open("looks")
        self.assertEqual(self.browser.run("document.querySelector('figure svg').getAttribute('aria-label')"),
                         "fd: 3 at first, 70 at last, 70 at most, over 2 min 0 s")
        self.browser.click("#view a.name")
        self.assertIn("3 → 70", self.browser.text("figure figcaption"))
        # The same call site in another report.
        self.browser.choose("#report", "1")
        self.assertIn("20 descriptors", self.browser.text("h2"))
        self.assertEqual(self.browser.run("document.querySelector('#report').value"), "1")
        self.assertRegex(self.browser.run("location.hash"), "^#site=fd:[0-9a-f]{16}&report=2$")
        self.browser.click("a.back")
        self.assertEqual(self.numbers("live"), [20])
        self.browser.choose("#report", "3")
        self.assertIn("100", self.browser.text(".tile[aria-pressed=true] .value"))
        self.assertEqual(self.browser.count("figure"), 0)
        self.browser.click("#view a.name")
        self.assertIn("100 descriptors", self.browser.text("h2"))

    def test_a_series_is_a_timeline(self):
        report = copy.deepcopy(self.report)
        site = report["sites"][0]
        site["stack"][0]["function"] = "Culprit"
        lines = ["unfreed series 1", f"R 1-2-3 {SECOND} {json.dumps(report)}"]
        for look in range(20):
            lines.append(f"L {(look + 2) * SECOND} fd.live={50 + 3 * look} fd.open={60 + 3 * look} limit=150 | "
                         f"{site['id']}:{50 + 3 * look},0,0,{400 + look}")
        with open(self.scratch.path("looks.series"), "w") as file:
            file.write("\n".join(lines) + "\n")
        self.render("series", self.scratch.path("looks.series"))
        self.open("series")
        self.assertIn("watched: 20 looks over 19 s", self.browser.text(".growth"))
        self.assertEqual(self.browser.run("document.querySelector('figure svg').getAttribute('aria-label')"),
                         "fd: 50 at first, 107 at last, 107 at most, over 19 s")
        self.assertIn("limit 150", self.browser.run("document.querySelector('figure svg').textContent"))
        self.browser.click("#view a.name")
        self.assertIn("50 → 107", self.browser.text("figure figcaption"))
        self.assertIn("growing by", self.browser.text())

    # Of any size, everywhere.

    def test_fifty_thousand_call_sites(self):
        stacks, ends = many_sites()
        site = self.report["sites"][0]
        report = dict(copy.deepcopy(self.report), stacks=stacks, threads=[], sites=[
            {"id": number + 1, "kind": "heap", "signature": f"{number + 1:016x}", "grade": "held", "live": number % 97 + 1,
             "bytes": 100 * (number % 97 + 1), "total": number % 97 + 1, "acquired_by": "malloc", "stack": end, "truncated": False}
            for number, end in enumerate(ends)])
        self.assertEqual(len(report["sites"]), MANY)
        self.assertTrue(site["stack"])
        page = self.render("many", self.write("many", report))
        self.assertLess(os.path.getsize(page), 20 << 20)
        self.open("many")
        self.browser.choose("#kind", "heap")
        self.assertIn("50,000 call sites", self.browser.text("#count"))
        self.assertLess(self.browser.count("*"), 4000)
        self.assertEqual(self.numbers("live")[:3], [97, 97, 97])
        self.browser.click("button.more")
        self.assertEqual(self.browser.count("#view tbody tr"), 300)
        self.browser.press("/")
        self.browser.type("00000000000000c8")
        self.assertEqual(self.browser.count("#view tbody tr"), 1)
        self.browser.run("document.querySelector('#search').select()")
        self.browser.type("z")
        self.browser.run("document.querySelector('#search').value = ''; document.querySelector('#search').dispatchEvent(new Event('input'))")
        self.browser.click("#view-flame")
        self.assertIn("50,000 call sites", self.browser.text(".graph .words"))
        total = sum(100 * (number % 97 + 1) for number in range(MANY))
        self.assertIn(f"all: {total / 2 ** 20:.0f} MiB", self.browser.text(".graph .words"))
        self.assertEqual(self.browser.run("document.querySelector('canvas').height % 20"), 0)
        self.assertLess(self.browser.count("*"), 1500, "a graph is one element")

    def test_nothing_is_wider_than_a_phone(self):
        self.browser.resize(360, 740)
        self.render("all", self.write("all", with_all_sections(self.report)))
        for name, view in (("plain", "table"), ("kept", "table"), ("kept", "flame"), ("all", "table&kind=all&all=1")):
            with self.subTest(name=name, view=view):
                self.open(name, f"#view={view}")
                self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), 360)
                if view.startswith("table"):
                    self.browser.click("#view a.name")
                    self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), 360)

    def test_dark_is_dark(self):
        def light():
            colour = self.browser.run("getComputedStyle(document.body).backgroundColor")
            return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
        self.open("plain")
        self.assertGreater(light(), 200)
        self.browser.theme(True)
        self.addCleanup(self.browser.theme, False)
        self.assertLess(light(), 60)
        self.browser.click("#theme")  # light, whatever the system says
        self.assertGreater(light(), 200)
        self.browser.click("#theme")
        self.assertLess(light(), 60)

    def test_prints_what_is_folded(self):
        self.render("all", self.write("all", with_all_sections(self.report)))
        self.open("all")
        self.browser.run("addEventListener('beforeprint', () => { window.printed = document.querySelectorAll('details:not([open])').length; })")
        self.assertTrue(self.browser.print().startswith(b"%PDF"))
        self.assertEqual(self.browser.run("window.printed"), 0)
        self.assertGreater(self.browser.count("details:not([open])"), 2)

    def test_without_scripts_it_is_the_summary(self):
        with open(self.scratch.path("plain.html"), encoding="utf-8") as file:
            text = file.read()
        self.assertRegex(text, r"(?s)<noscript>.*50 descriptors \(all lost\).* from fopen64: /dev/null.*</noscript>")


if __name__ == "__main__":
    harness.main()
