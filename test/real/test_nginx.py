#!/usr/bin/python3
"""nginx: a master that forks workers, serves files, and replaces its workers on reload."""
import os
import subprocess
import unittest
import urllib.request

import harness

CONFIGURATION = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
user {user};
events {{ worker_connections 128; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/www; }} }}
}}
"""


def command(*words):
    for folder in ("/usr/sbin", "/usr/bin"):
        if os.path.exists(f"{folder}/nginx"):
            return [f"{folder}/nginx", *words]
    raise AssertionError("nginx is not installed")


class Nginx(unittest.TestCase):
    def fetch(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page.txt", timeout=10) as answer:
            return answer.read()

    def workers(self, master):
        with open(f"/proc/{master}/task/{master}/children") as file:
            return set(file.read().split())

    def test_serve_and_reload(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            # The master stays root, its workers become another user, as they do on every server.
            user = "www-data" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
            os.chmod(scratch.folder, 0o755)
            os.mkdir(scratch.path("www"))
            page = os.urandom(30000)
            with open(scratch.path("www", "page.txt"), "wb") as file:
                file.write(page)
            with open(scratch.path("nginx.conf"), "w") as file:
                file.write(CONFIGURATION.format(folder=scratch.folder, port=port, user=user))
            with harness.started(command("-p", scratch.folder, "-c", scratch.path("nginx.conf")), scratch=scratch,
                                 options=["--all-reports"], stdout=subprocess.DEVNULL) as process:
                harness.wait_for(lambda: harness.is_listening(port))
                master = harness.child_of(process)
                first = harness.wait_for(lambda: len(self.workers(master)) == 2 and self.workers(master))
                for _ in range(200):
                    self.assertEqual(self.fetch(port), page)

                done = subprocess.run(command("-p", scratch.folder, "-c", scratch.path("nginx.conf"), "-s", "reload"),
                                      capture_output=True, timeout=30, check=False)
                self.assertEqual(done.returncode, 0, done)
                harness.wait_for(lambda: len(self.workers(master)) == 2 and not self.workers(master) & first)
                for _ in range(50):
                    self.assertEqual(self.fetch(port), page)
                subprocess.run(command("-p", scratch.folder, "-c", scratch.path("nginx.conf"), "-s", "quit"),
                               capture_output=True, timeout=30, check=True)
                self.assertEqual(process.wait(30), 0)

            reports = harness.read_reports(scratch.folder)
            by_pid = {report["process"]["pid"]: report for report in reports.values()}
            self.assertEqual(reports["report.json"]["process"]["pid"], master)
            workers = [r for r in by_pid.values() if r["process"]["ppid"] == master]
            self.assertEqual(len(workers), 4, "two before and two after the reload")
            for report in workers:
                self.assertEqual(report["trigger"], "exit")
                self.assertNotIn("there was no shared memory", "\n".join(report["notes"]))
            for report in by_pid.values():
                self.assertEqual(report["process"]["exit_status"], 0)
                # Connections were closed as they came.
                self.assertEqual([s["live"] for s in harness.live_sites(report, "fd")
                                  if s["acquired_by"].startswith("accept")], [])
            accepted = sum(site["total"] for report in workers for site in report["sites"]
                           if site["acquired_by"].startswith("accept"))
            # Sites with nothing left are not all listed: the kind's total tells that the workers were seen at work.
            self.assertGreaterEqual(sum(r["totals"]["fd"]["total"] for r in workers), 250, accepted)


if __name__ == "__main__":
    harness.main()
