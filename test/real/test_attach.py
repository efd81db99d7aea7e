#!/usr/bin/python3
"""Servers under load that the library is loaded into and taken out of, 200 times: no request fails."""
import contextlib
import http.client
import os
import shutil
import subprocess
import threading
import unittest
import urllib.request

import harness

TIMES = 200
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 128; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/www; }} }}
}}
"""


def command(scratch, *words):
    return harness.unfreed(*words, env={"UNFREED_LEDGER_DIR": scratch.ledgers}, cwd=scratch.folder)


@contextlib.contextmanager
def started(*words):
    """A process that is killed at the end, whatever happens."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=harness.clean_environment(), start_new_session=True)
    try:
        yield process
    finally:
        harness.kill_group(process)
        process.wait()


@unittest.skipUnless(os.uname().machine == "x86_64", "libraries are loaded into running processes on x86-64 only")
class Attach(unittest.TestCase):
    def children(self, pid):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return file.read().strip()

    def again_and_again(self, scratch, pid):
        """The last report."""
        output = scratch.path("last.json")
        for _ in range(TIMES):
            for words in (["attach", "--preload", str(pid)], ["detach", "--force", "--quiet", "--output", output, str(pid)]):
                result = command(scratch, *words)
                self.assertEqual(result.status, 0, result)
        return harness.read_report(output)

    @unittest.skipUnless(shutil.which("redis-server"), "redis is not installed")
    def test_redis(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            with started("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                         "--dir", scratch.folder) as server:
                harness.wait_for(lambda: harness.is_listening(port))
                with started("redis-benchmark", "-p", str(port), "-n", "100000000", "-c", "20", "-q", "-r", "1000", "-t",
                             "set,get,lpush,lpop") as load:
                    report = self.again_and_again(scratch, server.pid)
                    # It ends as soon as a request fails.
                    self.assertIsNone(load.poll(), "a request has failed")
                self.assertEqual(subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True,
                                                timeout=harness.TIME_LIMIT, check=False).stdout, "PONG\n")
                self.assertGreater(report["totals"]["heap"]["total"], 0)
                server.terminate()
                self.assertEqual(server.wait(harness.TIME_LIMIT), 0)

    @unittest.skipUnless(NGINX, "nginx is not installed")
    def test_nginx(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            os.chmod(scratch.folder, 0o755)
            os.chmod(scratch.ledgers, 0o1777)  # the worker is another user's
            os.mkdir(scratch.path("www"))
            page = os.urandom(30000)
            with open(scratch.path("www", "page.txt"), "wb") as file:
                file.write(page)
            with open(scratch.path("nginx.conf"), "w") as file:
                file.write(CONFIGURATION.format(folder=scratch.folder, port=port))
            fetched, wrong, stop = [0], [], threading.Event()

            def fetch():
                while not stop.is_set():
                    try:
                        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page.txt", timeout=harness.TIME_LIMIT) as answer:
                            if answer.read() != page:
                                wrong.append("another page")
                        fetched[0] += 1
                    except (OSError, http.client.HTTPException) as error:
                        wrong.append(error)
                        return

            with started(NGINX, "-p", scratch.folder, "-c", scratch.path("nginx.conf")) as server:
                harness.wait_for(lambda: harness.is_listening(port))
                worker = int(harness.wait_for(lambda: self.children(server.pid)))
                threads = [threading.Thread(target=fetch) for _ in range(3)]
                for thread in threads:
                    thread.start()
                try:
                    harness.wait_for(lambda: wrong or fetched[0])
                    self.again_and_again(scratch, worker)
                    seen = fetched[0]
                    harness.wait_for(lambda: wrong or fetched[0] > seen, harness.TIME_LIMIT)
                finally:
                    stop.set()
                    for thread in threads:
                        thread.join()
                self.assertEqual(wrong, [])
                server.terminate()
                self.assertEqual(server.wait(harness.TIME_LIMIT), 0)


harness.main()
