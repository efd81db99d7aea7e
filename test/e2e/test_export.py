#!/usr/bin/python3
"""unfreed export: numbers of all tracked processes, scraped by a real Prometheus and by node_exporter."""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

import harness
from test_growth import SOURCE, Asked, blinded

# Of this machine, whatever proxies the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ADDRESSES = ("127.0.0.1", "[::1]") if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") and \
    "00000000000000000000000000000001" in open("/proc/net/if_inet6").read() else ("127.0.0.1",)


def fetch(url, timeout=harness.TIME_LIMIT):
    with OPENER.open(url, timeout=timeout) as answer:
        return answer.read().decode()


def values(page, name):
    """{(pid, kind): value}"""
    families = {family.name: family for family in text_string_to_metric_families(page)}
    return {(int(one.labels["pid"]), one.labels["kind"]): one.value for one in families[name].samples} if name in families else {}


class Server:
    """`unfreed export --listen`, on a free port."""

    def __init__(self, scratch, *options, address="127.0.0.1", preexec=None, command=(harness.COMMAND,)):
        self.process = subprocess.Popen(
            [*command, "export", "--listen", f"{address}:0", *options], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=preexec, cwd=scratch.folder,
            env=harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers}))
        line = self.process.stderr.readline()
        found = re.fullmatch(r"unfreed: serving (http://(.*):(\d+)/metrics)\n", line)
        assert found, line
        self.url, self.host, self.port = found[1], found[2].strip("[]"), int(found[3])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)

    def end(self, with_signal=signal.SIGTERM):
        """Its status, and what else it has written."""
        self.process.send_signal(with_signal)
        stdout, stderr = self.process.communicate(timeout=harness.TIME_LIMIT)
        return self.process.returncode, stdout + stderr

    def connect(self):
        return socket.create_connection((self.host, self.port), harness.TIME_LIMIT)

    def request(self, text, ends=False):
        """The answer to these bytes, to its end."""
        with self.connect() as client:
            client.sendall(text.encode())
            if ends:
                with contextlib.suppress(OSError):  # it may have been answered already, and hung up on
                    client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b"")).decode()


@contextlib.contextmanager
def daemon(scratch, name, *arguments):
    with open(scratch.path(name + ".log"), "wb") as log:
        process = subprocess.Popen([shutil.which(name), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=scratch.folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Export(unittest.TestCase):
    def setUp(self):
        self.scratch = harness.Scratch()
        self.scratch.__enter__()
        self.addCleanup(self.scratch.__exit__, None, None, None)

    def leaking(self, env=None):
        process = Asked(self.scratch, env)
        process.__enter__()
        self.addCleanup(process.__exit__, None, None, None)
        return process

    def server(self, *options, **keywords):
        server = Server(self.scratch, *options, **keywords)
        self.addCleanup(server.__exit__)
        return server

    def test_prometheus_scrapes_every_tracked_process(self):
        first, second = self.leaking(), self.leaking()
        first.take_turns(3)
        second.take_turns(1)
        server = self.server()
        port = harness.free_port()
        config = self.scratch.path("prometheus.yml")
        with open(config, "w") as file:
            json.dump({"global": {"scrape_interval": "5s", "scrape_timeout": "5s"},
                       "scrape_configs": [{"job_name": "unfreed", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}]}, file)

        def query(text):
            """{pid: value}"""
            with contextlib.suppress(OSError):
                answer = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": text})))
                found = {int(one["metric"].get("pid", 0)): float(one["value"][1]) for one in answer["data"]["result"]}
                return {pid: value for pid, value in found.items() if pid in (0, first.pid, second.pid)}  # what others run is there, too
            return {}

        with daemon(self.scratch, "prometheus", "--config.file=" + config, "--storage.tsdb.path=" + self.scratch.path("tsdb"),
                    f"--web.listen-address=127.0.0.1:{port}"):
            harness.wait_for(lambda: query('unfreed_site_held{kind="fd"}') == {first.pid: 3, second.pid: 1}, harness.TIME_LIMIT)
            self.assertEqual(query("up"), {0: 1})
            first.take_turns(2)
            harness.wait_for(lambda: query('unfreed_site_held{kind="fd"}') == {first.pid: 5, second.pid: 1}, harness.TIME_LIMIT)
            self.assertEqual(query('unfreed_acquired_total{kind="fd"}').keys(), {first.pid, second.pid})
            answer = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/metadata?metric=unfreed_held"))
            self.assertEqual(answer["data"]["unfreed_held"][0]["type"], "gauge")

    def test_node_exporter_reads_the_file(self):
        leaking = self.leaking()
        leaking.take_turns(4)
        os.mkdir(self.scratch.path("textfiles"))
        done = harness.unfreed("export", "-o", self.scratch.path("textfiles", "unfreed.prom"), env={"UNFREED_LEDGER_DIR": self.scratch.ledgers})
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "", ""))
        port = harness.free_port()
        with daemon(self.scratch, "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
                    "--collector.textfile.directory=" + self.scratch.path("textfiles"), f"--web.listen-address=127.0.0.1:{port}"):
            harness.wait_for(lambda: harness.is_listening(port), harness.TIME_LIMIT)
            page = fetch(f"http://127.0.0.1:{port}/metrics")
        self.assertIn("\nnode_textfile_scrape_error 0\n", page)
        self.assertRegex(page, rf'(?m)^unfreed_site_held\{{.*kind="fd",.*pid="{leaking.pid}",.*\}} 4$')

    def test_a_page_is_as_new_as_its_request_and_touches_nobody(self):
        leaking = self.leaking()
        leaking.take_turns(1)
        harness.wait_for(lambda: open(f"/proc/{leaking.pid}/stat").read().split(") ")[1].startswith("S "))
        with open(f"/proc/{leaking.pid}/status") as file:
            before = re.findall("ctxt_switches:.*", file.read())
        server = self.server()
        for _ in range(3):
            self.assertEqual(values(fetch(server.url), "unfreed_held")[leaking.pid, "fd"], 1)
        with open(f"/proc/{leaking.pid}/status") as file:
            self.assertEqual(re.findall("ctxt_switches:.*", file.read()), before, "it was woken")
        for turns in range(2, 5):
            leaking.take_turns(1)
            self.assertEqual(values(fetch(server.url), "unfreed_held")[leaking.pid, "fd"], turns)
        (line,) = [line for line in fetch(server.url).splitlines()
                   if line.startswith("unfreed_site_held{") and f'pid="{leaking.pid}",kind="fd"' in line]
        self.assertIn(f'growth.c:{harness.line_of(SOURCE, "descriptor")}"', line)
        self.assertNotIn((leaking.pid, "heap"), values(fetch(server.url), "unfreed_lost"), "nobody has looked for it yet")
        self.assertEqual(harness.unfreed("snapshot", "--grade", "--quiet", "-o", self.scratch.path("now.json"), str(leaking.pid)).status, 0)
        with open(self.scratch.path("now.json")) as file:
            lost = json.load(file)["totals"]["heap"]["lost"]
        self.assertEqual(values(fetch(server.url), "unfreed_lost")[leaking.pid, "heap"], lost)
        leaking.__exit__()
        self.assertNotIn((leaking.pid, "fd"), values(fetch(server.url), "unfreed_held"))
        self.assertEqual(server.end(), (0, ""))

    def test_suppressions_that_are_gone_hide_no_process(self):
        known = self.scratch.path("known.supp")
        with open(known, "w") as file:
            file.write("fd:take_turn\n")
        leaking = self.leaking(env={"UNFREED_SUPPRESSIONS": known})
        leaking.take_turns(2)
        os.unlink(known)
        page = harness.unfreed("export", env={"UNFREED_LEDGER_DIR": self.scratch.ledgers}).stdout
        self.assertEqual(values(page, "unfreed_held")[leaking.pid, "fd"], 2)
        self.assertIn(f'pid="{leaking.pid}"}} 1\n', page)

    def environment(self):
        return harness.clean_environment({"UNFREED_LEDGER_DIR": self.scratch.ledgers})

    def test_a_process_whose_ledger_cannot_be_read_is_said_to_be_incomplete(self):
        leaking = self.leaking()
        leaking.take_turns(1)
        status, page, complaints, _ = harness.execute(blinded(self.scratch, leaking, "export"), env=self.environment())
        self.assertEqual((status, complaints.count("\n")), (0, 1), complaints)
        self.assertRegex(complaints, f"^unfreed: process {leaking.pid} is not on the page: .*: cannot be read\n$")
        self.assertIn(f'unfreed_report_complete{{program="growth",pid="{leaking.pid}"}} 0\n', page)
        self.assertNotIn((leaking.pid, "fd"), values(page, "unfreed_held"))
        server = self.server(command=blinded(self.scratch, leaking))
        for _ in range(3):
            self.assertIn(f'pid="{leaking.pid}"}} 0\n', fetch(server.url))
        self.assertEqual(server.end(), (0, complaints))

    def test_several_scrapes_at_once(self):
        leaking = self.leaking()
        leaking.take_turns(2)
        server = self.server()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            for page in pool.map(fetch, [server.url] * 60):
                self.assertEqual(values(page, "unfreed_held")[leaking.pid, "fd"], 2)

    def test_slow_and_rude_clients_hold_up_nobody(self):
        server = self.server()
        slow = [server.connect() for _ in range(100)]
        for client in slow:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-")
        gone = [server.connect() for _ in range(50)]
        for client in gone:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            client.close()
        self.assertTrue(fetch(server.url).endswith("# EOF\n"))
        # The oldest had to go.
        slow[0].settimeout(harness.TIME_LIMIT)
        self.assertEqual(slow[0].recv(1), b"")
        self.assertLess(len(os.listdir(f"/proc/{server.process.pid}/fd")), 100)
        slow[-1].sendall(b"A: y\r\n\r\n")
        self.assertTrue(slow[-1].recv(100).startswith(b"HTTP/1.1 200 OK\r\n"))
        for client in slow:
            client.close()
        self.assertTrue(fetch(server.url).endswith("# EOF\n"))
        self.assertEqual(server.end(), (0, ""))

    def test_a_client_that_reads_nothing_is_no_trouble(self):
        server = self.server()
        with server.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
            self.assertTrue(fetch(server.url).endswith("# EOF\n"))
            self.assertEqual(server.end(), (0, ""))

    def test_few_descriptors_are_enough(self):
        def limit():
            import resource
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        server = self.server(preexec=limit)
        clients = [server.connect() for _ in range(60)]
        for _ in range(3):
            self.assertTrue(fetch(server.url).endswith("# EOF\n"))
        for client in clients:
            client.close()
        self.assertEqual(server.end(), (0, ""))

    def test_http(self):
        server = self.server()
        for path, status in (("/metrics", 200), ("/metrics?name=x", 200), ("/", 200), ("/other", 404), ("/../etc/passwd", 404)):
            answer = server.request(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertTrue(answer.startswith(f"HTTP/1.1 {status} "), (path, answer))
        answer = server.request("GET /metrics HTTP/1.0\r\n\r\n")
        self.assertRegex(answer, r"(?s)^HTTP/1\.[01] 200 OK\r\n.*\r\n\r\n# TYPE .*# EOF\n$")
        self.assertIn("\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n", answer)
        answer = server.request("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertRegex(answer, r"(?s)^HTTP/1\.1 200 OK\r\n(?!.*\r\n\r\n.).*\r\nContent-Length: [1-9]\d*\r\n.*\r\n\r\n$")
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = server.request(f"{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.assertRegex(answer, r"(?s)^HTTP/1\.1 405 .*\r\nAllow: GET, HEAD\r\n")
        for odd in ("\0" * 1000, "GET\r\n\r\n", "BREW /pot HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA: " + "x" * 100_000 + "\r\n\r\n",
                    "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + "x" * 1000):
            with contextlib.suppress(ConnectionError):
                self.assertNotRegex(server.request(odd, ends=True), r"^HTTP/1\.. [23]", odd[:20])
        self.assertTrue(fetch(server.url).endswith("# EOF\n"))

    def test_addresses(self):
        for address in (*ADDRESSES, "localhost"):
            with self.subTest(address=address), Server(self.scratch, address=address) as server:
                self.assertTrue(fetch(server.url).endswith("# EOF\n"))
                for own in ADDRESSES if address == "localhost" else ():
                    self.assertTrue(fetch(f"http://{own}:{server.port}/metrics").endswith("# EOF\n"))
        with Server(self.scratch, "--listen", "127.0.0.1:0") as server:
            second = server.process.stderr.readline().split()[-1]
            self.assertNotEqual(second, server.url)
            self.assertTrue(fetch(second).endswith("# EOF\n"))
            for sent in (signal.SIGINT, signal.SIGHUP):
                with self.subTest(signal=sent), Server(self.scratch) as other:
                    self.assertEqual(other.end(sent), (0, ""))

    def test_an_address_that_is_in_use_or_none(self):
        server = self.server()
        for address, reason in ((f"127.0.0.1:{server.port}", "Address already in use"), ("192.0.2.1:9117", "Cannot assign requested address"),
                                ("example.org:80", "names are not looked up"), ("127.0.0.1", "cannot read '127.0.0.1'"),
                                ("127.0.0.1:70000", "cannot read"), ("::1:80", "cannot read"), ("", "cannot read"),
                                (":9117", "--listen: no address before ':'; for all interfaces use 0.0.0.0:9117 or [::]:9117\n")):
            with self.subTest(address=address):
                done = harness.unfreed("export", "--listen", address)
                self.assertEqual((done.status, done.stdout, done.stderr.count("\n")), (125, "", 1), done)
                self.assertIn(reason, done.stderr)
        self.assertTrue(fetch(server.url).endswith("# EOF\n"))

    def test_a_file_that_is_something_else_stays(self):
        path = self.scratch.path("notes.prom")
        with open(path, "w") as file:
            file.write("somebody's own\n")
        env = {"UNFREED_LEDGER_DIR": self.scratch.ledgers}
        done = harness.unfreed("export", "-o", path, env=env)
        self.assertEqual((done.status, done.stderr.count("\n")), (125, 1), done)
        for _ in range(2):
            self.assertEqual(harness.unfreed("export", "--force", "-o", path, env=env).status, 0)
        with open(path) as file:
            self.assertTrue(file.read().endswith("# EOF\n"))
        done = harness.unfreed("export", "-o", path, "--listen", "127.0.0.1:0")
        self.assertEqual((done.status, done.stderr.count("\n")), (125, 1), done)


if __name__ == "__main__":
    harness.main()
