#!/usr/bin/python3
"""Servers under load that the library is loaded into and taken out of, 200 times: no request fails."""
import os
import subprocess
import threading
import unittest
import urllib.request

import harness

TIMES = 200

NGINX = """
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

    def test_redis(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                       "--appendonly", "no", "--dir", scratch.folder], stdout=subprocess.DEVNULL,
                                      env=harness.clean_environment())
            try:
                harness.wait_for(lambda: harness.is_listening(port))
                load = subprocess.Popen(["redis-benchmark", "-p", str(port), "-n", "100000000", "-c", "20", "-q", "-r",
                                         "1000", "-t", "set,get,lpush,lpop"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env=harness.clean_environment())
                report = self.again_and_again(scratch, server.pid)
                # It ends as soon as a request fails.
                self.assertIsNone(load.poll(), "a request has failed")
                load.terminate()
                load.wait()
                self.assertEqual(subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True,
                                                check=False).stdout, "PONG\n")
                self.assertGreater(report["totals"]["heap"]["total"], 0)
            finally:
                server.terminate()
            self.assertEqual(server.wait(30), 0)

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
                file.write(NGINX.format(folder=scratch.folder, port=port))
            nginx = next(path for path in ("/usr/sbin/nginx", "/usr/bin/nginx") if os.path.exists(path))
            server = subprocess.Popen([nginx, "-p", scratch.folder, "-c", scratch.path("nginx.conf")],
                                      env=harness.clean_environment())
            fetched, wrong, stop = [0], [], threading.Event()

            def fetch():
                while not stop.is_set():
                    try:
                        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page.txt", timeout=30) as answer:
                            if answer.read() != page:
                                wrong.append("another page")
                        fetched[0] += 1
                    except OSError as error:
                        wrong.append(error)
            try:
                harness.wait_for(lambda: harness.is_listening(port))
                worker = int(harness.wait_for(lambda: self.children(server.pid)))
                threads = [threading.Thread(target=fetch) for _ in range(3)]
                for thread in threads:
                    thread.start()
                try:
                    self.again_and_again(scratch, worker)
                finally:
                    stop.set()
                    for thread in threads:
                        thread.join()
                self.assertEqual(wrong, [])
                self.assertGreater(fetched[0], TIMES)
            finally:
                server.terminate()
            self.assertEqual(server.wait(30), 0)


harness.main()
