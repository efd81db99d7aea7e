#!/usr/bin/python3
"""unfreed push: profiles to Pyroscope and Parca, checked by the forms that these document."""
import concurrent.futures
import contextlib
import email
import email.policy
import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time
import unittest
import urllib.parse

import grpc

import harness
from test_formats import PROTO, decode, fields, number
from test_growth import SOURCE, Asked, blinded

GRPC_METHOD = "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw"


class Pyroscope:
    """Takes what its documentation describes: a POST to /ingest with name, from, until and format in the query, and a form
    with the profile and sample_type_config."""

    def __init__(self, status=200, body=b"", delay=0, address="127.0.0.1"):
        self.requests, self.ended = [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers.items()), content))
                outer.ended.wait(delay)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class HttpServer(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.server = HttpServer((address, 0), Handler)
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


class Parca(grpc.GenericRpcHandler):
    """The gRPC service, by a gRPC server that is not ours."""

    def __init__(self, refuses=False):
        self.requests, self.refuses = [], refuses
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=(self,))
        self.url = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.write_raw) if details.method == GRPC_METHOD else None

    def write_raw(self, request, context):
        self.requests.append((request, {one.key: one.value for one in context.invocation_metadata()}))
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such tenant: 100 % of ä")
        return b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop(None).wait()


def parts_of(headers, content):
    """{name: (file name, type, bytes)} of a form."""
    message = email.message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + content, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/form-data"
    return {part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
            for part in message.iter_parts()}


def held(profile, kind):
    """The sum of a sample type."""
    decoded = decode(profile)
    texts = [json.loads(text) for text in fields(decoded, "string_table")]
    at = [texts[number(one, "type")] for one in fields(decoded, "sample_type")].index(kind)
    return sum(int(fields(sample, "value")[at]) for sample in fields(decoded, "sample"))


class Push(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.Scratch()
        cls.report = cls.scratch.path("first.json")
        harness.run([harness.program("log_service")], scratch=cls.scratch, options=["--output", cls.report])

    @classmethod
    def tearDownClass(cls):
        cls.scratch.__exit__()

    def environment(self):
        return {"UNFREED_LEDGER_DIR": self.scratch.ledgers, "HOME": self.scratch.folder, "no_proxy": "*"}

    def push(self, *arguments, status=0, env=None):
        done = harness.unfreed("push", *arguments, env={**self.environment(), **(env or {})})
        self.assertEqual((done.status, done.stderr.count("\n")), (status, 1 if status else 0), done)
        return done.stderr if status else done.stdout

    def test_pyroscope(self):
        with Pyroscope() as store:
            self.assertEqual(self.push(store.url, self.report), "sent 1 profile\n")
            ((path, headers, content),) = store.requests
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))
        self.assertEqual(url.path, "/ingest")
        self.assertEqual(query["format"], "pprof")
        pid = harness.read_report(self.report)["process"]["pid"]
        self.assertEqual(query["name"], f"log_service{{hostname={re.sub('[^-._A-Za-z0-9]', '_', socket.gethostname())},pid={pid}}}")
        self.assertEqual(int(query["until"]) - int(query["from"]), 1)
        self.assertLess(abs(int(query["until"]) - time.time()), 600)
        parts = parts_of(headers, content)
        self.assertEqual(parts.keys(), {"profile", "sample_type_config"})
        profile = parts["profile"][2]
        self.assertEqual(profile[:2], b"\x1f\x8b")
        self.assertEqual(held(profile, "fd"), 25)
        decoded = decode(profile)
        # Of the moment: a store would file it under the time when the process has started.
        self.assertEqual(number(decoded, "time_nanos") // 10**9 + 1, int(query["until"]))
        self.assertEqual(number(decoded, "duration_nanos"), 0)
        types = json.loads(parts["sample_type_config"][2])
        texts = [json.loads(text) for text in fields(decoded, "string_table")]
        self.assertEqual(list(types), [texts[number(one, "type")] for one in fields(decoded, "sample_type")])
        self.assertEqual(types["heap.lost_bytes"], {"units": "bytes", "display-name": "heap_lost_bytes", "aggregation": "average", "sampled": False})
        self.assertEqual(types["fd"]["units"], "objects")

    def test_parca(self):
        with Parca() as store:
            self.assertEqual(self.push("--store", "parca", store.url, self.report), "sent 1 profile\n")
            self.push(store.url + GRPC_METHOD, "--name", "shop", "--label", "team=a", self.report)
            (request, metadata), (second, _) = store.requests
        self.assertTrue(metadata["user-agent"].startswith("unfreed/"))
        text = subprocess.run(["protoc", f"--proto_path={PROTO}", "--decode=unfreed.parca.WriteRawRequest", "profilestore.proto"],
                              input=second, capture_output=True, check=True).stdout.decode()
        labels = re.findall(r'labels \{\s+name: "(\w+)"\s+value: "([^"]*)"', text)
        self.assertEqual(labels, sorted(labels))
        self.assertEqual({**dict(labels), "hostname": "", "pid": ""},
                         {"__name__": "unfreed", "job": "shop", "team": "a", "hostname": "", "pid": ""})
        start = request.index(b"\x1f\x8b")
        self.assertEqual(held(request[start:], "fd"), 25)
        self.assertGreater(number(decode(request[start:]), "time_nanos"), 10**18)

    def test_running_processes(self):
        with Asked(self.scratch) as first, Asked(self.scratch) as second, Pyroscope() as store:
            first.take_turns(3)
            second.take_turns(5)
            self.assertRegex(self.push(store.url), r"^sent \d+ profiles\n$")  # what others run is sent, too
            self.assertEqual(self.push(store.url, str(second.pid)), "sent 1 profile\n")
            self.assertEqual(self.push("-q", store.url + "/ingest/", str(first.pid)), "")
            counts = []
            for path, headers, content in store.requests:
                name = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))["name"]
                profile = parts_of(headers, content)["profile"][2]
                pid = int(re.search(r"pid=(\d+)", name)[1])
                if pid not in (first.pid, second.pid):
                    continue
                counts.append((pid, held(profile, "fd")))
                self.assertIn("growth.c", " ".join(fields(decode(profile), "string_table")), SOURCE)
            self.assertEqual(counts, [*sorted([(first.pid, 3), (second.pid, 5)]), (second.pid, 5), (first.pid, 3)])
            self.assertIn("give a pid", self.push(store.url, "growth", status=125))

    def test_names_headers_and_passwords(self):
        with open(self.scratch.path("headers"), "w") as file:
            file.write("Authorization: Bearer abc\n")
        with open(self.scratch.path(".netrc"), "w") as file:
            file.write("machine 127.0.0.1 login me password secret\n")
        os.chmod(self.scratch.path(".netrc"), 0o600)
        with Pyroscope() as store:
            self.push(store.url, "--name", "my shop{x}", "--label", "team=a,b=\"c\"", "--label", "pid=7", "--header", 'X-Scope-OrgID: "te\\am"', self.report)
            self.push(store.url, "--header", "@" + self.scratch.path("headers"), self.report)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(store.requests[0][0]).query))
        self.assertRegex(query["name"], r"^my_shop_x_\{hostname=[^,]+,pid=7,team=a_b__c_\}$")
        self.assertEqual(store.requests[0][1]["X-Scope-OrgID"], '"te\\am"')
        self.assertEqual(store.requests[0][1]["Authorization"], "Basic bWU6c2VjcmV0")
        self.assertEqual(store.requests[1][1]["Authorization"], "Bearer abc")

    def test_headers_that_are_none(self):
        injected = self.scratch.path("injected")
        file = self.scratch.path("bad headers")
        texts = ("Authorization Bearer x", "X:", ": x", "", "@", "@-", "@/nonexistent", "@" + self.scratch.folder, "X y: z", "Ä: x", "X;y", "X: a\rb",
                 "X: a\x7fb", f"X: y\"\noutput = \"{injected}", f"X: y\noutput = {injected}")
        with Pyroscope() as store:
            for text in texts:
                with self.subTest(text=text):
                    self.assertIn("--header: ", self.push(store.url, "--header", text, self.report, status=125))
                    if text.startswith("@"):
                        continue
                    with open(file, "w") as written:
                        written.write("A: b\n" + text + "\n")
                    if text:
                        self.assertRegex(self.push(store.url, "--header", "@" + file, self.report, status=125), "bad headers, line [23]: ")
            with open(file, "w") as written:
                written.write("A: b\n" * 100_000)
            self.assertIn("too large", self.push(store.url, "--header", "@" + file, self.report, status=125))
            self.assertEqual(store.requests, [])
            with open(file, "wb") as written:
                written.write(b"A: b\tc\r\n\r\nEmpty;\r\nB:c")
            self.push(store.url, "--header", "@" + file, "--name", "a\nb", "--label", "c=d\ne", self.report)
        ((path, headers, _),) = store.requests
        self.assertEqual((headers["A"], headers["Empty"], headers["B"]), ("b\tc", "", "c"))
        self.assertTrue(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))["name"].startswith("a_b{c=d_e,"))
        self.assertFalse(os.path.exists(injected))

    def test_what_a_store_refuses(self):
        with Pyroscope(status=422, body=b"profile too old\nmore\x1b[31m") as store:
            url = store.url.replace("http://", "http://me:secret@")
            line = self.push(url, self.report, status=125)
            self.assertEqual(line, f"unfreed: {self.report} was not taken by {store.url}/ingest: the store answers 422: profile too old\n")
        for status in (301, 404, 500):
            with Pyroscope(status=status) as store:
                self.assertIn(f"the store answers {status}\n", self.push(store.url, self.report, status=125))
                self.assertIn("HTTP/2", self.push("--store", "parca", store.url, self.report, status=125))
        with Parca(refuses=True) as store:
            self.assertIn("the store answers gRPC status 3: no such tenant: 100 % of ä\n",
                          self.push("--store", "parca", store.url, self.report, status=125))

    def test_what_cannot_be_reached(self):
        port = harness.free_port()
        self.assertRegex(self.push(f"http://127.0.0.1:{port}", self.report, status=125), rf"^unfreed: .* cannot be sent to .*:{port}/ingest: Failed to connect .*\n$")
        with Pyroscope(delay=harness.TIME_LIMIT) as store:
            self.assertIn("timed out", self.push(store.url, "--timeout", "1", self.report, status=125))
        with Asked(self.scratch), Asked(self.scratch):  # said once, not once for each
            self.push(f"http://127.0.0.1:{port}", status=125)
        self.assertIn("not installed", self.push("http://127.0.0.1:9", self.report, status=125, env={"PATH": "/nonexistent"}))

    def test_suppressions_that_are_gone_hide_no_process(self):
        known = self.scratch.path("known.supp")
        with open(known, "w") as file:
            file.write("fd:take_turn\n")
        with Asked(self.scratch, {"UNFREED_SUPPRESSIONS": known}) as process, Pyroscope() as store:
            process.take_turns(3)
            os.unlink(known)
            self.assertEqual(self.push(store.url, str(process.pid)), "sent 1 profile\n")
            self.push(store.url)
            self.assertEqual(len([path for path, _, _ in store.requests if f"pid%3D{process.pid}" in path]), 2)

    def test_given_suppressions_that_cannot_be_read_are_complained_about_once(self):
        with Asked(self.scratch), Asked(self.scratch):
            line = self.push("--suppressions", "/nonexistent", "http://127.0.0.1:9", status=125)
        self.assertTrue(line.startswith("unfreed: suppression file /nonexistent cannot be read"), line)

    def test_a_process_whose_ledger_cannot_be_read(self):
        with Asked(self.scratch) as process, Pyroscope() as store:
            process.take_turns(1)
            for target in ([], [str(process.pid)]):
                status, _, complaints, _ = harness.execute(
                    blinded(self.scratch, process, "push", store.url, *target), env=harness.clean_environment(self.environment()))
                self.assertEqual((status, complaints.count("\n")), (125, 1), complaints)
                self.assertRegex(complaints, "^unfreed: .*: cannot be read\n$")
                self.assertIn("" if target else f"process {process.pid} is not sent: ", complaints)

    def test_bad_input(self):
        for url in ("", "localhost:4040", "ftp://host", "file:///etc/passwd", "http://", "http:///x", "http://:4040", "http://a b", "http://a\n", "http://a?b"):
            with self.subTest(url=url):
                self.assertIn("cannot read", self.push(url, self.report, status=125))
        self.assertIn("cannot be sent", self.push("http://[::1", self.report, status=125))
        for options in (["--timeout", "0"], ["--timeout", "x"], ["--label", "a"], ["--label", "1=2"], ["--label", "__name__=x"],
                        ["--store", "other"]):
            self.push(*options, "http://127.0.0.1:9", self.report, status=125)
        for source in ("/nonexistent", "4000000000", "nobody", SOURCE):
            self.push("http://127.0.0.1:9", source, status=125)


if __name__ == "__main__":
    harness.main()
