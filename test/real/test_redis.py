#!/usr/bin/python3
"""redis-server under redis-benchmark: threads, jemalloc, thousands of connections."""
import signal
import subprocess
import unittest

import harness


def ask(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=30,
                          check=False).stdout.strip()


class Redis(unittest.TestCase):
    def serve(self, scratch, port, **keywords):
        return harness.started(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
             scratch.folder], scratch=scratch, stdout=subprocess.DEVNULL, **keywords)

    def test_benchmark_then_shutdown(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            with self.serve(scratch, port) as process:
                harness.wait_for(lambda: ask(port, "ping") == "PONG")
                pid = harness.child_of(process)
                load = subprocess.run(["redis-benchmark", "-p", str(port), "-n", "20000", "-c", "30", "-q", "-t",
                                       "set,get,lpush"], capture_output=True, text=True, timeout=90, check=False)
                self.assertEqual(load.returncode, 0, load)
                self.assertIn("requests per second", load.stdout)
                self.assertEqual(ask(port, "set", "key", "value"), "OK")
                self.assertEqual(ask(port, "get", "key"), "value")

                # Under way: the listening socket is there, with where it listens, and clients come and go.
                client = subprocess.Popen(["redis-cli", "-p", str(port)], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, text=True)
                try:
                    client.stdin.write("ping\n")
                    client.stdin.flush()
                    self.assertEqual(client.stdout.readline(), "PONG\n")
                    target = scratch.path("snapshot.json")
                    shown = harness.unfreed("snapshot", "--output", target, str(pid),
                                            env={"UNFREED_LEDGER_DIR": scratch.ledgers})
                    self.assertEqual(shown.status, 0, shown)
                finally:
                    client.kill()
                    client.communicate()
                report = harness.read_report(target)
                targets = [item.get("target", "") for site in harness.live_sites(report, "fd")
                           for item in site["objects"]]
                self.assertTrue([t for t in targets if f"127.0.0.1:{port}" in t and "listen" in t.lower()], targets)
                accepted = [s for s in harness.live_sites(report, "fd") if s["acquired_by"].startswith("accept")]
                self.assertEqual(sum(s["live"] for s in accepted), 1, "the one client that is connected")
                self.assertGreaterEqual(sum(s["total"] for s in report["sites"]
                                            if s["acquired_by"].startswith("accept")), 60)
                self.assertEqual(report["totals"]["fd"].get("unattributed", 0), 0)

                ask(port, "shutdown", "nosave")
                self.assertEqual(process.wait(30), 0)
            report = harness.read_report(scratch.path("report.json"))
            self.assertEqual(report["process"]["exit_status"], 0)
            # redis starts background threads and leaves them running at exit: listed, but no leak.
            self.assertGreaterEqual(report["totals"]["thread"]["running"], 3)
            self.assertEqual(report["totals"]["thread"]["live"], 0)
            starters = [harness.functions(s) for s in report["sites"] if s["kind"] == "thread"]
            self.assertTrue(any("bioInit" in names for names in starters), starters)

    def test_terminated(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            with self.serve(scratch, port) as process:
                harness.wait_for(lambda: ask(port, "ping") == "PONG")
                subprocess.run(["kill", "-TERM", str(harness.child_of(process))], check=True)
                self.assertEqual(process.wait(30), 0, "it handles SIGTERM")

    def test_killed(self):
        with harness.Scratch() as scratch:
            port = harness.free_port()
            with self.serve(scratch, port) as process:
                harness.wait_for(lambda: ask(port, "ping") == "PONG")
                subprocess.run(["kill", "-KILL", str(harness.child_of(process))], check=True)
                self.assertEqual(process.wait(30), 128 + signal.SIGKILL)
            report = harness.read_report(scratch.path("report.json"))
            self.assertEqual((report["trigger"], report["process"]["signal"]), ("post_mortem", signal.SIGKILL))
            self.assertGreaterEqual(report["totals"]["fd"]["live"], 2)


if __name__ == "__main__":
    harness.main()
