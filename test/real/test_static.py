#!/usr/bin/python3
"""Programs that no library gets into: static ones of glibc and musl, and one that runs already, under load. Output, status and
what they leave behind are as without unfreed, and the counts are those of the kernel's list, /proc/PID/fd."""
import hashlib
import contextlib
import os
import shutil
import signal
import subprocess
import unittest

import harness

TRACED = os.path.join(harness.SOURCE, "test", "e2e", "programs", "traced.c")
LOADING = 20  # connections that are busy all the time
# What a busy script does: folders, archives, pipes, background jobs, substitutions. It holds a file, a folder and a pipe, and
# leaves a child that it does not wait for to the end.
SCRIPT = """set -e
mkdir -p tree/a/b tree/c && cd tree
for n in 1 2 3 4 5 6 7 8; do seq 1 $((n * 100)) | sort -r | tr 0-9 a-j >a/$n.txt; done
cp a/1.txt c/copy && ln -s ../a/2.txt c/link && mv a/3.txt a/b/
tar -cf ../tree.tar a c && mkdir unpacked && tar -xf ../tree.tar -C unpacked
gzip -c ../tree.tar | gunzip -c | cmp - ../tree.tar && rm ../tree.tar  # it has the time of each file
find . -type f -name '*.txt' | sort | xargs md5sum >../sums && md5sum -c ../sums
awk '{ n += length($0) } END { print n }' a/*.txt | sed 's/^/characters: /'
(sleep 0 & wait) ; echo "$(cat c/link | wc -l) lines" | tee ../lines
exec 5<c/copy 6>../written 7<.
echo kept >&6
for n in 0 1 2 5 6 7; do test -e /proc/$$/fd/$n && echo open $n; done
exit 3
"""


def tree_of(folder):
    """Of each file below: its path, mode and contents."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(place, name)
            status = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else ""
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, folder)] = (status.st_mode, content)
    return found


def held(report):
    return sorted(item["fd"] for site in report["sites"] if site["kind"] == "fd" for item in site.get("objects", []))


class Static(unittest.TestCase):
    def test_programs_of_both_libraries(self):
        for compiler in "gcc", "musl-gcc":
            with harness.Scratch() as scratch:
                program = scratch.path("static")
                subprocess.run([compiler, "-static", "-g", "-o", program, TRACED], check=True)
                for arguments in (), ("7",), ("0", str(int(signal.SIGTERM))):
                    with self.subTest(compiler=compiler, arguments=arguments):
                        bare = harness.bare([program, *arguments])
                        result = harness.run([program, *arguments], scratch=scratch)
                        self.assertEqual((result.status, result.stdout, result.report["backend"]), (bare.status, bare.stdout, "trace"), result)
                        self.assertEqual(held(result.report), sorted(int(line) for line in result.stdout.split()))
                        fds = result.report["totals"]["fd"]
                        self.assertEqual((fds["live"], fds["unattributed"]), (len(held(result.report)), 0))

    @unittest.skipUnless(shutil.which("busybox"), "busybox is not installed")
    def test_busybox_works_as_ever(self):
        with harness.Scratch() as scratch:
            os.mkdir(scratch.path("bare"))
            os.mkdir(scratch.path("traced"))
            command = [shutil.which("busybox"), "sh", "-c", SCRIPT]
            env = {"PATH": "/nonexistent"}  # its own tools, whatever else is installed
            bare = harness.bare(command, cwd=scratch.path("bare"), env=env)
            self.assertEqual((bare.status, "open 7\n" in bare.stdout), (3, True), bare)
            result = harness.run(command, cwd=scratch.path("traced"), env=env, scratch=scratch)
            self.assertEqual((result.status, result.stdout), (bare.status, bare.stdout), result)
            self.assertEqual(tree_of(scratch.path("traced")), tree_of(scratch.path("bare")))
            self.assertEqual(result.report["backend"], "trace")
            # As the shell sees itself in /proc.
            self.assertEqual(held(result.report), [int(line.split()[1]) for line in bare.stdout.splitlines()
                                                   if line.startswith("open ") and int(line.split()[1]) > 2], result)
            self.assertEqual((result.report["totals"]["fd"]["unattributed"], result.report["totals"]["child"]["live"]), (0, 0))
            self.assertGreater(result.report["totals"]["child"]["total"], 20)


@unittest.skipUnless(shutil.which("redis-server"), "redis is not installed")
class UnderLoad(unittest.TestCase):
    def test_a_server_that_is_attached_to(self):
        bare, attached = self.serve(False), self.serve(True)
        self.assertEqual(attached, bare)

    def serve(self, is_attached):
        """What clients and the server's parent see."""
        with harness.Scratch() as scratch:
            port = harness.free_port()
            server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", scratch.folder],
                                      stdout=subprocess.DEVNULL, env=harness.clean_environment())
            try:
                harness.wait_for(lambda: harness.is_listening(port))
                first = Client(port)
                self.assertEqual(first.ask("PING"), "+PONG")
                with_one = len(open_descriptors(server.pid))
                load = subprocess.Popen(["redis-benchmark", "-p", str(port), "-n", "100000000", "-c", str(LOADING), "-q", "-t", "set,lpush"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    harness.wait_for(lambda: len(open_descriptors(server.pid)) == with_one + LOADING)
                    clients = self.look_from_outside(server, port, scratch) if is_attached else [Client(port) for _ in range(5)]
                    seen = [client.ask("SET", f"key{at}", f"value{at}") + client.ask("GET", f"key{at}") for at, client in enumerate(clients)]
                    self.assertIsNone(load.poll())
                finally:
                    load.kill()
                    load.wait()
                seen.append(clients[0].ask("SAVE"))
                seen.append(os.path.exists(scratch.path("dump.rdb")))
                clients[0].send("SHUTDOWN", "NOSAVE")
                for client in first, *clients:
                    client.end()
                return seen, server.wait(30)
            finally:
                server.kill()
                server.wait()

    def look_from_outside(self, server, port, scratch):
        """Attaches and detaches as the load goes on. What comes in between is counted as the kernel does."""
        for _ in range(3):
            output = scratch.path("attached.json")
            watcher = subprocess.Popen([harness.COMMAND, "attach", "--force", "--output", output, str(server.pid)], stderr=subprocess.PIPE, text=True,
                                       env=harness.clean_environment({"UNFREED_LEDGER_DIR": scratch.ledgers}))
            self.assertIn("attached to", watcher.stderr.readline())
            before = open_descriptors(server.pid)
            clients = [Client(port) for _ in range(5)]
            for client in clients:
                self.assertEqual(client.ask("PING"), "+PONG")
            now = open_descriptors(server.pid)
            watcher.send_signal(signal.SIGINT)
            text = watcher.communicate(timeout=harness.TIME_LIMIT)[1]
            self.assertEqual(watcher.returncode, 0, text)
            report = harness.read_report(output)
            fds = report["totals"]["fd"]
            passing = [item["fd"] for site in report["sites"] if site["kind"] == "fd" for item in site.get("objects", []) if is_passing(item.get("target", ""))]
            self.assertEqual((sorted(set(held(report)) - set(passing)), fds["unattributed"]), (sorted(set(now) - set(before)), 0), text)
            self.assertEqual(fds["live"] - len(passing), 5)
            self.assertIn(fds["inherited"] - len(before), (0, 1))  # one that was passing when it was attached to
            with open(f"/proc/{server.pid}/status") as status:
                self.assertIn("TracerPid:\t0\n", status.read())
            for client in clients:
                client.end()
            harness.wait_for(lambda: open_descriptors(server.pid) == before)
        return [Client(port) for _ in range(5)]


def is_passing(target):
    """The server looks at itself (/proc/self/stat) ten times a second."""
    return target.startswith("/proc/")


def open_descriptors(pid):
    """Those that stay."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if not is_passing(os.readlink(f"/proc/{pid}/fd/{name}")):
                found.append(int(name))
    return sorted(found)


class Client:
    """A connection that stays."""

    def __init__(self, port):
        self.socket = harness.socket.create_connection(("127.0.0.1", port), timeout=harness.TIME_LIMIT)
        self.file = self.socket.makefile("r", newline="\r\n")

    def send(self, *words):
        self.socket.sendall("".join(f"{word} " for word in words).encode() + b"\r\n")

    def ask(self, *words):
        self.send(*words)
        line = self.file.readline().rstrip("\r\n")
        return self.file.readline().rstrip("\r\n") if line.startswith("$") else line

    def end(self):
        self.file.close()
        self.socket.close()


if __name__ == "__main__":
    harness.main()
