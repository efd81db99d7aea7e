"""Whole programs, run from start to end under a tool: seconds of wall time and peak memory."""
import os
import shutil
import signal
import socket
import subprocess
import time

from tools import Tool

PLAIN = Tool("plain")
JSON_PROGRAM = """
import json
rows = [{"id": i, "name": "n%d" % i, "values": [i * j for j in range(8)], "more": {"a": i, "b": str(i) * 3}} for i in range(20000)]
for _ in range(3):
    rows = json.loads(json.dumps(rows))
"""
SQL = """
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200000)
  INSERT INTO t SELECT i, 'row '||i||' '||(i*7919%1000), i*7919%1000 FROM n;
CREATE INDEX tb ON t(b);
SELECT count(*) FROM (SELECT c, count(*), max(b), group_concat(a) FROM t GROUP BY c ORDER BY 3);
"""
REGEX = """#include <regex>
int main() { return std::regex_match("ab", std::regex("a.*b")); }
"""
NGINX = """daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; user {user};
events {{ worker_connections 128; }}
http {{ access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {folder}; }} }} }}
"""


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def timed(bench, tool, command, scratch, env=None, stdin=None):
    """Seconds and peak KiB of one run; None when it failed."""
    variables = [f"{name}={value}" for name, value in {**tool.env, **(env or {})}.items()]
    with open(stdin or os.devnull) as source:
        done = subprocess.run([bench, "once", *variables, "--", *tool.prefix, *command], env=PLAIN.environment(), cwd=scratch,
                              stdin=source, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    peak_kib, ns = done.stdout.split()
    # heaptrack is a script that starts the program: its memory is not the program's.
    return float(ns) / 1e9, None if tool.prefix else int(peak_kib)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def served(tool, server, port, client, scratch):
    """Seconds that `client` takes against `server`, which runs under the tool."""
    process = subprocess.Popen([*tool.prefix, *server], env=tool.environment(), cwd=scratch, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(200):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            return None
        return client()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def redis(scratch, quick):
    count = "5000" if quick else "100000"

    def run(tool):
        port = free_port()

        def client():
            start = time.monotonic()
            done = subprocess.run(["redis-benchmark", "-p", str(port), "-n", count, "-q", "-t", "set,lpush,hset"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            return (time.monotonic() - start, None) if done.returncode == 0 else None
        return served(tool, ["redis-server", "--port", str(port), "--save", "", "--dir", scratch], port, client, scratch)
    return run


def nginx(scratch, quick):
    write(os.path.join(scratch, "page.txt"), "x" * 3000)
    program = shutil.which("nginx") or "/usr/sbin/nginx"

    def run(tool):
        port = free_port()
        user = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
        path = write(os.path.join(scratch, "nginx.conf"), NGINX.format(folder=scratch, port=port, user=user))

        def client():
            # Connections are made anew, so that every request allocates.
            done = subprocess.run(["wrk", "-t1", "-c8", "-d1s" if quick else "-d3s", "-H", "Connection: close",
                                   f"http://127.0.0.1:{port}/page.txt"], capture_output=True, text=True, check=False)
            words = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Requests/sec:")]
            return (1000 / float(words[0]), None) if words and float(words[0]) > 0 else None
        return served(tool, [program, "-p", scratch, "-c", path], port, client, scratch)
    return run


def find_programs(build, source, scratch, quick):
    """(name, run) for each program that is here: run(tool) gives (seconds, peak KiB or None) or None; and the names of
    those that are not here."""
    rows, missing = [], []
    bench = os.path.join(build, "test", "bench", "bench")

    def add(name, needed, make):
        if all(shutil.which(program) or os.path.exists(program) for program in needed):
            rows.append((name, make()))
        else:
            missing.append(name)

    def plain(command, env=None, stdin=None):
        return lambda tool: timed(bench, tool, command, scratch, env, stdin)

    def compiler():
        text = write(os.path.join(scratch, "regex.cpp"), REGEX)
        unit = os.path.join(scratch, "regex.ii")
        subprocess.run(["g++", "-O2", "-E", text, "-o", unit], check=True)
        path = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True, check=True).stdout.strip()
        return plain([path, "-quiet", "-O2", "-fpreprocessed", unit, "-o", os.path.join(scratch, "regex.s")])

    script = write(os.path.join(scratch, "round_trip.py"), JSON_PROGRAM)
    add("Python, JSON there and back", ["/usr/bin/python3"],
        lambda: plain(["/usr/bin/python3", script], {"PYTHONMALLOC": "malloc"}))
    sql = write(os.path.join(scratch, "rows.sql"), SQL)
    add("sqlite3, 200,000 rows", ["sqlite3"], lambda: plain(["sqlite3", ":memory:"], stdin=sql))
    add("cc1plus on <regex>", ["g++"], compiler)
    add("redis, redis-benchmark", ["redis-server", "redis-benchmark"], lambda: redis(scratch, quick))
    add("nginx, wrk", ["wrk", shutil.which("nginx") or "/usr/sbin/nginx"], lambda: nginx(scratch, quick))
    add("git log -p", ["git", os.path.join(source, ".git")],
        lambda: plain(["git", "-C", source, "-c", "safe.directory=*", "log", "-p"]))
    add("recursion and std::map", [os.path.join(build, "test", "bench", "recursion")],
        lambda: plain([os.path.join(build, "test", "bench", "recursion")]))
    return rows, missing
