#!/usr/bin/python3
"""Busy programs, looked at again and again: nothing of theirs is called lost as long as it is in use, and what is lost on
purpose is found in the same look."""
import subprocess
import unittest

import harness

# Threads that build up and drop trees, parse and write, with every object a block of malloc's; and twenty blocks
# that nobody knows of (but for what is left of their addresses in an interpreter's stack).
PYTHON = """
import collections, ctypes, json, re, sqlite3, threading
malloc = ctypes.CDLL(None).malloc
malloc.restype = None
def work(number):
    kept, table, step = collections.OrderedDict(), sqlite3.connect(':memory:'), 0
    table.execute('create table t(a, b)')
    while True:
        step += 1
        kept[step] = json.loads(json.dumps({'a': [step] * 10, 'b': 'x' * (step % 100)}))
        if len(kept) > 300:
            kept.popitem(last=False)
        table.execute('insert into t values (?, ?)', (step, 'y' * 50))
        if step % 100 == 0:
            table.execute('delete from t')
            re.purge()
            re.compile(f'a+b*{step}')
for number in range(3):
    threading.Thread(target=work, args=(number,), daemon=True).start()
for _ in range(20):
    malloc(12345)
print('ready', flush=True)
input()
"""

class Lost(unittest.TestCase):
    def look(self, scratch, pid, times):
        """The heap's lost sites of each look."""
        looks = []
        for number in range(times):
            target = scratch.path(f"look.{number}.json")
            shown = harness.unfreed("snapshot", "-q", "--grade", "--output", target, str(pid),
                                    env={"UNFREED_LEDGER_DIR": scratch.ledgers})
            self.assertEqual(shown.status, 0, shown)
            report = harness.read_report(target)
            self.assertEqual(report["grading"]["state"], "done", report["grading"])
            self.assertGreater(report["totals"]["heap"]["live"], 500)
            looks.append([(site["lost"], site["bytes"], harness.functions(site)[:6]) for site in report["sites"]
                          if site["kind"] == "heap" and site.get("lost")])
        return looks

    def test_python(self):
        with harness.Scratch() as scratch, harness.started(
                ["/usr/bin/python3", "-c", PYTHON], scratch=scratch, launcher=False,
                env={"PYTHONMALLOC": "malloc"}) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            for found in self.look(scratch, process.pid, 8):
                self.assertEqual([size for _, size, _ in found], [20 * 12345], found)
                self.assertGreaterEqual(found[0][0], 10, "most of what was planted")

    def test_redis(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            with harness.started(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
                                  scratch.folder], scratch=scratch, launcher=False, stdout=subprocess.DEVNULL) as process:
                harness.wait_for(lambda: harness.is_listening(port))
                load = subprocess.Popen(["redis-benchmark", "-p", str(port), "-n", "100000000", "-c", "20", "-q", "-r", "20000",
                                         "-t", "set,lpush,hset,zadd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    self.assertEqual(self.look(scratch, process.pid, 8), [[]] * 8)
                finally:
                    load.kill()
                    load.wait()

    def test_nginx_workers(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            with open(scratch.path("nginx.conf"), "w") as file:
                file.write(f"daemon off; worker_processes 1; pid {scratch.path('pid')}; error_log /dev/null;"
                           f"events {{ worker_connections 64; }} http {{ access_log off; client_body_temp_path {scratch.folder};"
                           f"proxy_temp_path {scratch.folder}; fastcgi_temp_path {scratch.folder}; uwsgi_temp_path {scratch.folder};"
                           f"scgi_temp_path {scratch.folder}; server {{ listen 127.0.0.1:{port}; root /usr/share; autoindex on; gzip on;"
                           " gzip_types *; } }")
            with harness.started(["nginx", "-c", scratch.path("nginx.conf"), "-p", scratch.folder], scratch=scratch,
                                 launcher=False, stdout=subprocess.DEVNULL, env={"UNFREED_SIGNAL": "RTMIN+5"}) as process:
                harness.wait_for(lambda: harness.is_listening(port))
                worker = harness.child_of(process)
                load = subprocess.Popen(["wrk", "-c", "8", "-t", "1", "-d", "60", f"http://127.0.0.1:{port}/"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    for number in range(5):
                        target = scratch.path(f"look.{number}.json")
                        shown = harness.unfreed("snapshot", "-q", "--grade", "--output", target, str(worker),
                                                env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                        self.assertEqual(shown.status, 0, shown)
                        report = harness.read_report(target)
                        self.assertEqual(report["totals"]["heap"].get("lost", 0), 0, report["sites"])
                finally:
                    load.kill()
                    load.wait()


if __name__ == "__main__":
    harness.main()
