#!/usr/bin/python3
"""soak.py [MINUTES [SEED]]: two redis servers and two nginx ones, one of each under `unfreed run` and one with the bare
preload, under load, while snapshots, report signals, reloads, stops and other signals come at random.

At the end every request has been answered, counts are the kernel's, every report is valid, the runtime has not grown,
and nothing of ours was left behind. Prints a table and a line for each check. 127.0.0.1 only, ports of its own."""
import concurrent.futures
import contextlib
import glob
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402 (found by the line above)

QUIET_SIGNALS = (signal.SIGCONT, signal.SIGWINCH, signal.SIGURG, signal.SIGCHLD)
NGINX_REPORT_SIGNAL = signal.SIGRTMIN + 6  # nginx has a use of its own for USR2
NGINX = """daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log; user {user};
events {{ worker_connections 128; }}
http {{ access_log {folder}/access.log; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/www; }} }} }}
"""
PAGE = bytes(range(256)) * 40
SETTLED_AGE = 2  # seconds after its fork when a worker is what it will be


# --- processes, as the kernel has them -----------------------------------------------------------------------------


def children_of(pid):
    found = set()
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                found.update(map(int, file.read().split()))
    return found


def state_of(pid):
    """(state, seconds since it was started); None when it is gone."""
    with contextlib.suppress(OSError, IndexError):
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        with open("/proc/uptime") as file:
            uptime = float(file.read().split()[0])
        return fields[0], uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None


def numbers_in(path):
    return set(map(int, os.listdir(path)))


def kernel_lists(pid):
    return numbers_in(f"/proc/{pid}/fd"), numbers_in(f"/proc/{pid}/task")


def runtime_memory(pid, ledgers):
    """Of the runtime in a process: (resident bytes, mappings). They are the library's, the ledger's, and those that are
    left out of core dumps ('dd'), as no others of these programs are."""
    resident = mappings = 0
    with open(f"/proc/{pid}/smaps") as file:
        for text in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", file.read(), flags=re.M)[1:]:
            head = text.split("\n", 1)[0]
            if ledgers in head or harness.LIBRARY in head or re.search(r"^VmFlags:.*\bdd\b", text, re.M):
                resident += int(re.search(r"^Rss: +(\d+) kB", text, re.M)[1]) * 1024
                mappings += 1
    assert mappings >= 5, f"the runtime's mappings in {pid} were not found"
    return resident, mappings


def examine(path):
    """Reads a report and removes it: its trigger and what is wrong with it, "" nothing. A broken one is kept."""
    try:
        report = harness.read_report(path)
    except (AssertionError, ValueError) as error:
        os.rename(path, path + ".broken")
        return None, str(error)
    os.unlink(path)
    incomplete = f"{os.path.basename(path)} is not complete: {report['notes']}"
    return report["trigger"], "" if report["complete"] else incomplete


# --- servers -------------------------------------------------------------------------------------------------------


class Server:
    """One server, its load, and what was done to it."""

    def __init__(self, soak, kind, launcher):
        self.soak, self.kind, self.launcher = soak, kind, launcher
        self.name = f"{kind}, {'unfreed run' if launcher else 'preload'}"
        self.folder = soak.scratch.path(f"{kind}-{'run' if launcher else 'preload'}")
        os.makedirs(os.path.join(self.folder, "reports"))
        self.port = harness.free_port()
        self.requests = 0
        self.signals = self.snapshots = self.report_signals = 0
        self.triggers = {}
        self.known_reports = set()
        self.examinations = []
        self.problems = []
        self.early = {}
        self.stopping = threading.Event()
        self.threads = []
        self.process = self.pid = None

    def start(self):
        pattern = os.path.join(self.folder, "reports", "%e.%p.%n.json")
        env = {"UNFREED_LEDGER_DIR": self.soak.scratch.ledgers, "UNFREED_QUIET": "1", **self.environment()}
        args = self.command()
        if self.launcher:
            args = [harness.COMMAND, "run", "--output", pattern, "--all-reports", "--", *args]
        else:
            env.update({"LD_PRELOAD": harness.LIBRARY, "UNFREED_OUTPUT": pattern})
        with open(os.path.join(self.folder, "stderr"), "wb") as stderr:
            self.process = subprocess.Popen(args, env=harness.clean_environment(env), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
        self.soak.guard.say("group", self.process.pid)
        harness.wait_for(lambda: harness.is_listening(self.port))
        self.pid = harness.child_of(self.process) if self.launcher else self.process.pid
        harness.wait_for(self.is_ready)
        for load in self.loads():
            self.threads.append(threading.Thread(target=self.repeat, args=(load,), daemon=True))
            self.threads[-1].start()

    def repeat(self, load):
        while not self.stopping.is_set():
            try:
                self.requests += load()
            except Exception as error:  # whatever it is, it is a request without an answer
                self.problems.append(f"{load.__name__}: {error!r}")
                time.sleep(0.2)

    def stop_load(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                self.problems.append("a request is still waited for")

    def send(self, pid, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            self.signals += 1

    def processes(self):
        """Those that serve, by pid."""
        return {self.pid}

    def any_process(self):
        return self.soak.random.choice(sorted(self.processes()))

    # What may happen at any time.

    def ask_by_signal(self):
        to = self.any_process()
        if self.launcher and to == self.pid and self.soak.random.random() < 0.3:
            to = self.process.pid  # which passes it on
        self.send(to, self.report_signal)
        self.report_signals += 1

    def take_snapshot(self):
        pid = self.any_process()
        path = os.path.join(self.folder, "reports", f"snapshot.{pid}.{self.snapshots}.json")
        if self.snapshot_to(path, pid):
            self.snapshots += 1

    def snapshot_to(self, path, pid):
        result = harness.unfreed("snapshot", "--quiet", "--output", path, str(pid),
                                 env={"UNFREED_LEDGER_DIR": self.soak.scratch.ledgers})
        if result.status != 0 and state_of(pid) and pid in self.processes():
            self.problems.append(f"snapshot of {pid}: status {result.status}: {result.stderr.strip()}")
        return result.status == 0

    def send_quiet_signal(self):
        self.send(self.any_process(), self.soak.random.choice(QUIET_SIGNALS))

    def stop_and_go_on(self):
        pid = self.any_process()
        self.send(pid, signal.SIGSTOP)
        time.sleep(self.soak.random.uniform(0.01, 0.1))
        self.send(pid, signal.SIGCONT)

    def take_new_reports(self):
        """Has the reports that are there examined, in a process of its own: that takes longer than to make them."""
        for path in set(glob.glob(os.path.join(self.folder, "reports", "*.json"))) - self.known_reports:
            self.known_reports.add(path)
            self.examinations.append(self.soak.examiner.submit(examine, path))

    def read_examinations(self):
        for examination in self.examinations:
            trigger, problem = examination.result()
            self.triggers[trigger] = self.triggers.get(trigger, 0) + 1
            if problem:
                self.problems.append(problem)

    # What is right at the end.

    def measure(self):
        """What must not grow, of each process that serves."""
        measures = {}
        for pid in self.processes():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/maps") as maps:
                lines = maps.read().splitlines()
                ledger = next((line.split(maxsplit=5)[5] for line in lines if self.soak.scratch.ledgers in line), None)
                own, own_mappings = runtime_memory(pid, self.soak.scratch.ledgers)
                measures[pid] = {"own": own, "own_mappings": own_mappings, "mappings": len(lines),
                                 "ledger": os.stat(ledger).st_blocks * 512 if ledger else 0}
        return measures

    def growth(self):
        """Problems, and (first, last) of the runtime's memory in the process that has served all the time."""
        late = self.measure()
        problems = []
        for pid, first in self.early.items():
            last = late.get(pid)
            if not last:
                continue
            # New places may still be met, and blocks lie where there were none before: the index goes with the heap.
            for what, room in (("own", 512 << 10), ("ledger", 256 << 10), ("mappings", 16), ("own_mappings", 2)):
                if last[what] > first[what] * 1.1 + room:
                    problems.append(f"{what} of {pid} from {first[what]} to {last[what]}")
        first, last = self.early.get(self.pid), late.get(self.pid)
        if not first or not last:
            return ["the server has not been measured twice"], (0, 0), 0
        return problems, (first["own"], last["own"]), last["ledger"]

    def differences(self):
        """Where a snapshot of each process differs from what the kernel lists. Taken again while something moves."""
        found = []
        for pid in sorted(self.processes()):
            path = os.path.join(self.folder, "last.json")
            for _ in range(20):
                before = kernel_lists(pid)
                if self.snapshot_to(path, pid) and kernel_lists(pid) == before:
                    break
                time.sleep(0.5)
            else:
                found.append(f"{pid} does not come to rest")
                continue
            report = harness.read_report(path)
            listed = [item["fd"] for site in report["sites"] for item in site.get("objects", [])
                      if site["kind"] == "fd"]
            listed += [item["fd"] for item in report["descriptors"] if item["origin"] != "closed_unseen"]
            threads = [thread["thread"] for thread in report["threads"] if thread["state"] != "finished"]
            if (sorted(listed), sorted(threads)) != tuple(map(sorted, before)):
                found.append(f"{pid}: fd {sorted(listed)} and threads {sorted(threads)}, in the kernel "
                             f"{sorted(before[0])} and {sorted(before[1])}")
            if report["totals"]["fd"]["open"] != len(before[0]):
                found.append(f"{pid}: {report['totals']['fd']['open']} descriptors counted, {len(before[0])} open")
        return found

    def strangers(self):
        """Children of the servers that are not theirs, and zombies."""
        found = []
        for pid in self.processes():
            for child in children_of(pid) - self.processes():
                state = state_of(child)
                with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as file:
                    found.append(f"{child} ({(state or '?')[0]}) {file.read()[:60]}")
        found += [f"{pid} is a zombie" for pid in self.processes() if (state_of(pid) or "X")[0] == "Z"]
        return found

    def end(self):
        """Its exit status, after it was asked to end."""
        self.ask_to_end()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            return "it does not end"


class Redis(Server):
    report_signal = signal.SIGUSR2

    def __init__(self, soak, launcher):
        super().__init__(soak, "redis", launcher)
        self.actions = [(self.ask_by_signal, 2), (self.take_snapshot, 2), (self.send_quiet_signal, 5),
                        (self.stop_and_go_on, 2), (self.save, 1)]

    def environment(self):
        return {}

    def command(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--dir", self.folder]

    def ask(self, *words):
        """One command, on a connection of its own."""
        text = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(f"*{len(words)}\r\n{text}".encode())
            return connection.makefile("rb").readline().decode().strip()

    def is_ready(self):
        return self.ask("PING") == "+PONG"

    def loads(self):
        def benchmark():
            count = 1500
            done = subprocess.run(["redis-benchmark", "-p", str(self.port), "-n", str(count), "-c", "20", "-r", "1000",
                                   "-q", "-t", "set,get,sadd,hset"], capture_output=True, text=True, timeout=120,
                                  check=True)
            if done.stdout.count("requests per second") != 4:
                raise AssertionError(done.stdout + done.stderr)
            time.sleep(0.3)
            return 4 * count

        def ask():
            number = str(time.monotonic_ns())
            with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
                connection.sendall(f"SET soak {number}\r\nGET soak\r\n".encode())
                answer = connection.makefile("rb")
                lines = [answer.readline().decode().strip() for _ in range(3)]
            if lines != ["+OK", f"${len(number)}", number]:
                raise AssertionError(lines)
            time.sleep(0.02)
            return 2
        return [benchmark, ask]

    def save(self):
        answer = self.ask("BGSAVE")
        if not answer.startswith("+") and "in progress" not in answer:
            self.problems.append(f"BGSAVE: {answer}")

    def ask_to_end(self):
        self.send(self.pid, signal.SIGTERM)


class Nginx(Server):
    report_signal = NGINX_REPORT_SIGNAL

    def __init__(self, soak, launcher):
        super().__init__(soak, "nginx", launcher)
        self.actions = [(self.ask_by_signal, 2), (self.take_snapshot, 2), (self.send_quiet_signal, 4),
                        (self.stop_and_go_on, 2), (self.reopen, 1), (self.reload, 1)]
        os.makedirs(os.path.join(self.folder, "www"))
        with open(os.path.join(self.folder, "www", "page"), "wb") as page:
            page.write(PAGE)
        user = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
        with open(os.path.join(self.folder, "nginx.conf"), "w") as file:
            file.write(NGINX.format(folder=self.folder, port=self.port, user=user))

    def environment(self):
        return {"UNFREED_SIGNAL": str(int(NGINX_REPORT_SIGNAL))}

    def command(self):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        return [program, "-p", self.folder, "-c", os.path.join(self.folder, "nginx.conf")]

    def workers(self):
        """Those of the present configuration: the ones before end when they have served their clients."""
        found = set()
        for child in children_of(self.pid):
            with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as file:
                if b"worker process" in (text := file.read()) and b"shutting down" not in text:
                    found.add(child)
        return found

    def processes(self):
        settled = {pid for pid in self.workers() if (state_of(pid) or ("X", 0))[1] > SETTLED_AGE}
        return {self.pid} | settled

    def is_ready(self):
        return len(self.workers()) == 2

    def loads(self):
        url = f"http://127.0.0.1:{self.port}/page"

        def wrk():
            done = subprocess.run(["wrk", "-t1", "-c4", "-d1s", "--timeout", "30s", "-H", "Connection: close", url],
                                  capture_output=True, text=True, timeout=120, check=True)
            if "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
                raise AssertionError(done.stdout)
            time.sleep(0.3)
            return int(re.search(r"(\d+) requests in", done.stdout)[1])

        def fetch():
            with urllib.request.urlopen(url, timeout=30) as answer:
                if answer.status != 200 or answer.read() != PAGE:
                    raise AssertionError(f"status {answer.status}, or another page")
            time.sleep(0.02)
            return 1
        return [wrk, fetch]

    def reopen(self):
        self.send(self.pid, signal.SIGUSR1)

    def reload(self):
        self.send(self.pid, signal.SIGHUP)

    def stop_load(self):
        super().stop_load()
        # Workers of configurations before end by themselves.
        with contextlib.suppress(AssertionError):
            harness.wait_for(lambda: len(self.processes()) == 3 and children_of(self.pid) == self.workers(), 60)

    def ask_to_end(self):
        self.send(self.pid, signal.SIGQUIT)


# --- should the soak be killed -------------------------------------------------------------------------------------


class Guard:
    """A process that ends the servers and removes the folders when the soak has gone without doing so."""

    def __init__(self, scratch):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--guard"], stdin=subprocess.PIPE,
                                        text=True, start_new_session=True)
        self.say("folder", scratch.folder)
        self.say("folder", scratch.ledgers)

    def say(self, *words):
        print(*words, file=self.process.stdin, flush=True)

    def dismiss(self):
        self.say("done")
        self.process.communicate()

    @staticmethod
    def stand():
        groups, folders = [], []
        for line in sys.stdin:
            word, _, value = line.rstrip("\n").partition(" ")
            if word == "done":
                return
            if word == "group":
                groups.append(int(value))
            if word == "folder":
                folders.append(value)
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        time.sleep(0.5)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


# --- the whole -----------------------------------------------------------------------------------------------------


class Soak:
    def __init__(self, minutes, seed):
        self.seconds = minutes * 60
        self.random = random.Random(seed)
        self.examiner = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self.scratch = harness.Scratch()
        self.guard = Guard(self.scratch)
        self.servers = []
        self.results = []

    def check(self, what, problems):
        self.results.append(not problems)
        print(f"{'failed' if problems else 'ok    '}  {what}", flush=True)
        for problem in problems[:5]:
            print(f"          {str(problem)[:1000]}", flush=True)
        if len(problems) > 5:
            print(f"          and {len(problems) - 5} more", flush=True)

    def run(self):
        self.servers = [kind(self, launcher) for kind in (Redis, Nginx) for launcher in (True, False)]
        for server in self.servers:
            server.start()
        start = time.monotonic()
        for server in self.servers:
            for action, _ in server.actions:
                action()  # each of them once, however few there is time for
        # By then what is done again and again has been done once.
        warm = min(60, self.seconds / 3)
        while (now := time.monotonic() - start) < self.seconds:
            if now > warm:
                for server in self.servers:
                    server.early = server.early or server.measure()
            server = self.random.choice(self.servers)
            actions, weights = zip(*server.actions)
            self.random.choices(actions, weights)[0]()
            server.take_new_reports()
            time.sleep(self.random.uniform(0, 0.3))
        for server in self.servers:
            server.stop_load()
        time.sleep(SETTLED_AGE)
        self.judge()

    def judge(self):
        rows = []
        growth, differences, strangers, endings, asked = [], [], [], [], []
        for server in self.servers:
            problems, own, ledger = server.growth()
            growth += [f"{server.name}: {one}" for one in problems]
            differences += [f"{server.name}: {one}" for one in server.differences()]
            strangers += [f"{server.name}: {one}" for one in server.strangers()]
            serving = len(server.processes())
            status = server.end()
            server.take_new_reports()
            server.read_examinations()
            if status != 0:
                endings.append(f"{server.name}: status {status}")
            for trigger in ("signal", "snapshot", "exit"):
                if not server.triggers.get(trigger):
                    asked.append(f"{server.name}: no report by {trigger}")
            rows.append((server.name, serving, server.requests, server.signals, server.triggers.get("snapshot", 0),
                         server.triggers.get("signal", 0), server.triggers.get("exit", 0),
                         f"{own[0] / 1024:,.0f} → {own[1] / 1024:,.0f}", f"{ledger / 1024:,.0f}"))
        print_table(("server", "processes", "requests", "signals", "snapshots", "by signal", "at exit",
                     "runtime's memory, KiB", "ledger, KiB"), rows)
        problems = [f"{server.name}: {one}" for server in self.servers for one in server.problems]
        self.check("every request is answered, every report valid and complete", problems)
        self.check("reports are made by snapshot, by signal and at the end", asked)
        self.check("descriptors and threads are those that the kernel lists", differences)
        self.check("the servers have no children but their own, and no zombies", strangers)
        self.check("the runtime has not grown", growth)
        self.check("the servers end with status 0", endings)
        time.sleep(1)
        unfinished = glob.glob(self.scratch.path("**", "*.tmp*"), recursive=True)
        self.check("nothing is left behind", self.scratch.leftovers() + unfinished)

    def end(self):
        for server in self.servers:
            server.stopping.set()
            if server.process:
                harness.kill_group(server.process)
                server.process.wait()
        self.examiner.shutdown(cancel_futures=True)
        self.scratch.__exit__()
        self.guard.dismiss()


def print_table(headings, rows):
    table = [headings, *[tuple(map(str, row)) for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        print("  ".join([row[0].ljust(widths[0]), *[text.rjust(width) for text, width in zip(row[1:], widths[1:])]]))


def main():
    if sys.argv[1:] == ["--guard"]:
        return Guard.stand()
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"{minutes:g} minutes, seed {seed}", flush=True)
    soak = Soak(minutes, seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    try:
        soak.run()
    finally:
        soak.end()
    failed = soak.results.count(False)
    print(f"{len(soak.results) - failed} passed, {failed} failed")
    return 1 if failed or not soak.results else 0


if __name__ == "__main__":
    sys.exit(main())
