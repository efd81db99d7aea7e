"""Runs programs under unfreed and looks at what it says about them.

A test file is a unittest module that ends with `harness.main()`: its cases are reported in TAP, so that meson counts each
of them. Nothing here knows a behaviour of unfreed beyond the public contract: the command's options, the UNFREED_*
variables and the report's schema.

Meson tells where things are through TEST_* variables; without them the build in ./build is used, so that a test file can
be run by hand.
"""
import contextlib
import glob
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

import jsonschema

SOURCE = os.environ.get("TEST_SOURCE", os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
BUILD = os.environ.get("TEST_BUILD", os.path.join(SOURCE, "build"))
COMMAND = os.path.join(BUILD, "src", "cli", "unfreed")
LIBRARY = os.path.join(BUILD, "src", "runtime", "libunfreed.so")
PROGRAMS = os.path.join(BUILD, "test", "e2e")
SCHEMA = os.path.join(BUILD, "src", "report", "report.schema.json")

TIME_LIMIT = 60  # seconds; for a program that takes one

with open(SCHEMA) as _file:
    _validator = jsonschema.Draft202012Validator(json.load(_file))


# --- running -------------------------------------------------------------------------------------------------------


class Result:
    """What came of one run. `report` is CMD's own, `reports` are all of them by file name."""

    def __init__(self, status, stdout, stderr, pid, folder, reports, report):
        self.status, self.stdout, self.stderr, self.pid = status, stdout, stderr, pid
        self.folder, self.reports, self.report = folder, reports, report

    def __repr__(self):
        return f"status {self.status}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}\n--- reports {list(self.reports)}"


def program(name):
    """Path of a program built from test/e2e."""
    path = os.path.join(PROGRAMS, name)
    assert os.path.exists(path), f"{path} was not built"
    return path


def clean_environment(extra=None):
    """The caller's environment without anything of unfreed's; names and messages in English."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("UNFREED_", "LD_", "GCOV", "ASAN", "UBSAN"))}
    env["LC_ALL"] = "C.UTF-8"
    env.pop("MALLOC_PERTURB_", None)  # meson sets it; it would make bare and tracked runs differ
    env.update(extra or {})
    return env


class Scratch:
    """A folder for reports and one, in shared memory, for ledgers; both are removed at the end."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="unfreed-test-")
        self.ledgers = tempfile.mkdtemp(prefix="unfreed-test-", dir="/dev/shm")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.ledgers, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def leftovers(self):
        """What is left in the folder for ledgers: files, and folders that are empty, as paths within it."""
        found = []
        for folder, folders, files in os.walk(self.ledgers):
            if not folders and not files and folder != self.ledgers:
                found.append(folder)
            found += [os.path.join(folder, name) for name in files]
        return sorted(os.path.relpath(path, self.ledgers) for path in found)


def list_stacks(report):
    """The same report with every stack in its place, frame by frame, where the file has them in a table."""
    table = report.pop("stacks", None)
    if table is None:
        return report

    def frames(number):
        listed = []
        while number:
            listed += table["calls"][table["call"][number - 1] - 1]
            assert table["caller"][number - 1] < number
            number = table["caller"][number - 1]
        return listed

    def replace(value):
        if isinstance(value, list):
            return [replace(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {key: frames(one) if key in ("stack", "created_at") and isinstance(one, int) else replace(one) for key, one in value.items()}

    return replace(report)


def read_report(path, complete=False):
    """A report, validated against the schema; its stacks are listed in their places. `complete`: with the files and lines
    that `unfreed report` fills in where the process itself has written it."""
    with open(path) as file:
        text = file.read()
    if complete:
        status, text, stderr, _ = execute([COMMAND, "report", "--format", "json", path], env=clean_environment())
        assert status == 0, f"{path}: {stderr}"
    report = json.loads(text)
    error = jsonschema.exceptions.best_match(_validator.iter_errors(report))
    assert error is None, f"{path} breaks the schema at {'/'.join(map(str, error.absolute_path))}: {error.message}"
    return list_stacks(report)


def read_reports(folder, complete=False):
    """All finished reports of a folder by file name; unfinished or stray ones are an error."""
    reports = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*"))):
        name = os.path.basename(path)
        if name.endswith(".json") and name != "unfreed-code-quality.json":
            reports[name] = read_report(path, complete)
        assert ".tmp" not in name, f"{path} was left behind"
    return reports


def read_reports_at_end(place, keep_ledgers, stderr, complete=False):
    """All reports, once no ledger is there: a child may outlive CMD a little, and is done when its ledger is gone."""
    if not keep_ledgers:
        end = time.monotonic() + 20
        while place.leftovers() and time.monotonic() < end:
            time.sleep(0.01)
        assert place.leftovers() == [], f"ledgers were left behind: {place.leftovers()}\n{stderr}"
    return read_reports(place.folder, complete)


def execute(args, *, env=None, cwd=None, stdin=None, timeout=TIME_LIMIT, preexec=None, binary=False, pass_fds=()):
    """Runs to the end: (status as a shell sees it, stdout, stderr, pid). Kills the whole process group when the time is
    up, and says so."""
    process = subprocess.Popen(
        args, env=env, cwd=cwd, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL, pass_fds=pass_fds,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=preexec)
    try:
        stdout, stderr = process.communicate(stdin.encode() if isinstance(stdin, str) else stdin, timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        stdout, stderr = process.communicate()
        raise AssertionError(f"{args} did not end within {timeout} s\n{stdout}\n{stderr}") from None
    if not binary:
        stdout, stderr = stdout.decode(errors="replace"), stderr.decode(errors="replace")
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return status, stdout, stderr, process.pid


def kill_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def bare(args, **keywords):
    """The program alone, as the measure of what it does by itself."""
    keywords["env"] = clean_environment(keywords.get("env"))
    return Result(*execute(args, **keywords), None, {}, None)


def run(args, *, options=(), env=None, scratch=None, keep_ledgers=False, **keywords):
    """`unfreed run OPTIONS -- ARGS`. CMD's report has the fixed name report.json; others carry their pid. Whatever the
    end, no ledger may be left behind (unless `keep_ledgers`)."""
    with scratch_or_new(scratch) as place:
        env = clean_environment({"UNFREED_LEDGER_DIR": place.ledgers, **(env or {})})
        command = [COMMAND, "run", "--output", place.path("report.json"), *options, "--", *args]
        status, stdout, stderr, pid = execute(command, env=env, **keywords)
        reports = read_reports_at_end(place, keep_ledgers, stderr)
        return Result(status, stdout, stderr, pid, place.folder, reports, reports.get("report.json"))


def preload(args, *, env=None, scratch=None, helper=True, keep_ledgers=False, **keywords):
    """The bare preload. `report` is that of the process started, completed by `unfreed report`. Without the `helper` the
    command is not there, neither for the process nor afterwards."""
    with scratch_or_new(scratch) as place:
        settings = {"LD_PRELOAD": LIBRARY, "UNFREED_OUTPUT": place.path("%e.%p.%n.json"),
                    "UNFREED_LEDGER_DIR": place.ledgers}
        if not helper:
            settings["UNFREED_HELPER"] = "/nonexistent"
        settings.update(env or {})
        status, stdout, stderr, pid = execute(args, env=clean_environment(settings), **keywords)
        reports = read_reports_at_end(place, keep_ledgers, stderr, complete=helper)
        own = [r for r in reports.values() if r["process"]["pid"] == pid]
        return Result(status, stdout, stderr, pid, place.folder, reports, own[-1] if own else None)


def build_go(go, program, source, *options, uses_c=False):
    """Compiles a Go program. The tests of a build share a cache of the standard library."""
    home = os.path.join(BUILD, "test", "go")
    os.makedirs(home, exist_ok=True)
    env = clean_environment({"HOME": home, "GOCACHE": os.path.join(home, "cache"), "GOPATH": os.path.join(home, "path"), "GOFLAGS": "",
                             "GO111MODULE": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": str(int(uses_c))})
    env.pop("GOROOT", None)
    subprocess.run([go, "build", *options, "-o", program, source], cwd=os.path.dirname(program), check=True, env=env)


def unfreed(*args, env=None, **keywords):
    """Any other subcommand."""
    return Result(*execute([COMMAND, *args], env=clean_environment(env), **keywords), None, {}, None)


def scratch_or_new(scratch):
    return contextlib.nullcontext(scratch) if scratch else Scratch()


@contextlib.contextmanager
def started(args, *, launcher=True, options=(), env=None, scratch, cwd=None, stdout=subprocess.PIPE, helper=True):
    """A program that goes on running, under `unfreed run` or the bare preload; killed at the end whatever happens."""
    settings = {"UNFREED_LEDGER_DIR": scratch.ledgers}
    if launcher:
        args = [COMMAND, "run", "--output", scratch.path("report.json"), *options, "--", *args]
    else:
        settings.update({"LD_PRELOAD": LIBRARY, "UNFREED_OUTPUT": scratch.path("%e.%p.%n.json")})
        if not helper:
            settings["UNFREED_HELPER"] = "/nonexistent"
    settings.update(env or {})
    with open(scratch.path("stderr"), "ab") as stderr:
        process = subprocess.Popen(args, env=clean_environment(settings), cwd=cwd, stdin=subprocess.PIPE, stdout=stdout,
                                   stderr=stderr, start_new_session=True)
    try:
        yield process
    finally:
        kill_group(process)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def wait_for(what, seconds=20, step=0.02):
    """Calls `what` until it gives something true; returns that. Fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"waited {seconds} s in vain for {getattr(what, '__name__', what)}"
        time.sleep(step)


def child_of(process):
    """The pid of the first child of a launcher (CMD)."""
    def find():
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
                return int(file.read().split()[0])
        return None
    return wait_for(find)


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on just now; below those that the kernel gives to clients, unless they
    begin below 2048."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        beyond = max(int(file.read().split()[0]), 2048)
    while True:
        port = random.randrange(beyond // 2, beyond)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def is_listening(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


# --- reports -------------------------------------------------------------------------------------------------------


def page_data(page):
    """What a page for browsers knows (src/render/page_data.h)."""
    start = '<script type="application/json" id="data">'
    return json.loads(page.partition(start)[2].partition("</script>")[0])


def page_stacks(page):
    """Stacks of the call sites in a page, as names of functions, innermost first."""
    data = page_data(page)
    at = data["columns"].index("node")

    def stack(node):
        while node:
            frame, caller = data["nodes"][2 * node - 2:2 * node]
            yield data["frames"][frame][0]
            node = caller
    return [list(stack(place[at])) for report in data["reports"] for place in report["places"]]


def live_sites(report, kind=None, *, informational=False):
    """Sites that still hold something which counts; `informational`: also those whose threads still run."""
    found = []
    for site in report["sites"]:
        counts = site["live"] > 0 and site["grade"] != "informational"
        if (not kind or site["kind"] == kind) and not site.get("suppressed_by"):
            if counts or informational and site.get("running", 0) > 0:
                found.append(site)
    return found


def top(site):
    return site["stack"][0] if site["stack"] else {}


def counted(report, kind="fd"):
    """How many of a kind count for rules: what is live without what is suppressed."""
    return report["totals"][kind]["live"] - report["totals"][kind]["suppressed"]


def own_sites(report, program_path, kind=None, **keywords):
    """Sites whose innermost frame lies in the program itself: what it took with its own hands."""
    module = os.path.realpath(program_path)
    return [s for s in live_sites(report, kind, **keywords) if os.path.realpath(top(s).get("module", "/")) == module]


def functions(site):
    return [frame.get("function", "?") for frame in site["stack"]]


def base_function(name):
    """Without parameters: `svc::Log::write(int)` → `svc::Log::write`."""
    return re.sub(r"\(.*", "", name or "?")


def plain_name(function):
    """Of a libc function: open64 is what open is called in a program with large files."""
    return function.removesuffix("64")


def line_of(source, marker):
    """Number of the one line of a source file that ends with `// @marker`."""
    with open(source) as file:
        hits = [number for number, text in enumerate(file, 1) if re.search(rf"// @{re.escape(marker)}\b", text)]
    assert len(hits) == 1, f"{source}: marker @{marker} stands on {len(hits)} lines"
    return hits[0]


def describe(site):
    frame = top(site)
    place = f'{os.path.basename(frame.get("file", "?"))}:{frame.get("line", "?")}'
    return f'{site["kind"]} ×{site["live"]} by {site["acquired_by"]} in {base_function(frame.get("function"))} at {place}'


# --- TAP -----------------------------------------------------------------------------------------------------------


class _TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.number = 0

    def _say(self, word, test, note=""):
        self.number += 1
        name = test.id().replace("__main__.", "").replace("#", "")
        print(f"{word} {self.number} - {name}{note}", flush=True)

    def _explain(self, error):
        """On stderr, which `meson test --print-errorlogs` shows of a test that failed; it does not show TAP's comments."""
        print("".join(traceback.format_exception(*error)), file=sys.stderr, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._say("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say("not ok", test)
        self._explain(err)

    def addError(self, test, err):
        super().addError(test, err)
        self._say("not ok", test)
        self._explain(err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say("ok", test, f" # SKIP {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._say("not ok", subtest)
            self._explain(err)


def main():
    """Runs the calling module's cases (or those named on the command line) and prints TAP."""
    loader = unittest.TestLoader()
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(sys.argv[1:], module) if sys.argv[1:] else loader.loadTestsFromModule(module)
    print("TAP version 13", flush=True)
    result = _TapResult()
    suite.run(result)
    print(f"1..{result.number}", flush=True)
    assert result.number > 0, "no test was run"
    sys.exit(0 if result.wasSuccessful() else 1)
