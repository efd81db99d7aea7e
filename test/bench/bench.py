#!/usr/bin/python3
"""Measures what unfreed costs, beside the bare program and beside other tools, in one interleaved run.

    bench.py --build BUILD [--rounds N] [--only WORD] [--json FILE] [--svg FILE] [--quick] [--no-peers]

Every round runs every tool once on every row, another tool first each time, so that what the machine does meanwhile hits
them all alike. The table shows
minima, the ratio is that of the minima; the JSON has medians and every run. A row whose bare runs differ by more than a
tenth is marked: the machine was too noisy to tell. Nothing passes or fails here.
"""
import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import large_reports
import plot
import processes
import programs
from tools import Tool, find_tools

NOISY = 0.10  # spread of the bare runs, (median - minimum) / minimum
SOURCE = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# Name, arguments before the count, count for the bare run.
ROWS = [
    *[(f"malloc+free, depth {depth}, {threads} thread{'s' * (threads > 1)}", ["heap", depth, threads, 1], 4_000_000)
      for threads in (1, 2) for depth in (10, 30, 60)],
    ("malloc+free, depth 10, on a coroutine's stack", ["coroutine", 10], 4_000_000),
    ("malloc+free, depth 14, 1,000 call paths", ["heap", 14, 1, 1000], 2_000_000),
    ("malloc+free, 10 thousand blocks live", ["live", 10_000], 2_000_000),
    ("malloc+free, 1 million blocks live", ["live", 1_000_000], 1_000_000),
    ("open+close", ["file"], 200_000),
    ("socket+close", ["socket"], 50_000),
    ("pipe+close+close", ["pipe"], 50_000),
    ("dup+close", ["dup"], 300_000),
    ("fopen+fclose", ["stream"], 100_000),
    ("opendir+closedir", ["folder"], 100_000),
    ("pthread_create+join", ["thread"], 10_000),
    ("fork+waitpid", ["child"], 1_000),
]


def measure(bench, tool, arguments, count, scratch):
    """Nanoseconds per operation; None when the tool could not run it."""
    command = [*tool.prefix, bench, *map(str, arguments), str(max(int(count * tool.share), 100))]
    try:
        done = subprocess.run(command, env=tool.environment(), cwd=scratch, capture_output=True, text=True, timeout=120,
                              check=False)
    except subprocess.TimeoutExpired:
        return None
    # heaptrack talks on the program's stdout: the figure is the line that is a number.
    figures = [line for line in done.stdout.splitlines() if line.strip().replace(".", "", 1).isdigit()]
    return float(figures[0]) if figures and done.returncode == 0 else None


def summary(runs, unit="ns"):
    runs = [run for run in runs if run is not None]
    if not runs:
        return None
    return {f"median_{unit}": statistics.median(runs), f"minimum_{unit}": min(runs), f"runs_{unit}": runs}


def finish_row(name, runs, memory=None):
    """`runs`: by tool, nanoseconds or None. `memory`: by tool, peak KiB."""
    by_tool = {tool: summary(figures) for tool, figures in runs.items()}
    bare = by_tool.get("bare")
    row = {"name": name, "tools": by_tool, "ratios": {}, "noisy": False}
    if bare:
        row["noisy"] = bare["median_ns"] - bare["minimum_ns"] > NOISY * bare["minimum_ns"]
        row["ratios"] = {tool: figure["minimum_ns"] / bare["minimum_ns"]
                         for tool, figure in by_tool.items() if figure and tool != "bare"}
    if memory:
        row["peak_kib"] = {tool: min(peaks) for tool, figures in memory.items() if (peaks := [p for p in figures if p])}
    return row


def duration(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e4)):
        if ns >= size:
            return f"{ns / (1e3 if unit == 'µs' else size):,.2f} {unit}"
    return f"{ns:,.1f} ns"


def cell(row, tool):
    figure, bare = row["tools"].get(tool), row["tools"].get("bare")
    if not figure or not bare:
        return "–"
    added = figure["minimum_ns"] - bare["minimum_ns"]
    return f"{'+' if added >= 0 else '−'}{duration(abs(added))} ({row['ratios'][tool]:.2f})"


def print_table(results, names):
    lines = [["", "bare", *names]]
    for row in results:
        bare = row["tools"].get("bare")
        lines.append([row["name"] + " *" * row["noisy"], duration(bare["minimum_ns"]) if bare else "–",
                      *[cell(row, name) for name in names]])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def run_grading(options, environment, prefix, words, scratch):
    """Pause and duration of a look in ms, and how long the process's end takes; None where it does not run."""
    program = os.path.join(options.build, "test", "bench", "grading")
    try:
        done = subprocess.run([*prefix, program, *map(str, words)], env=environment, cwd=scratch, capture_output=True, text=True,
                              timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return None
    end = time.monotonic()
    figures = [line.split() for line in done.stdout.splitlines() if len(line.split()) == 3]
    if not figures:
        return None
    pause, duration, last = map(float, figures[-1])
    return pause, duration, (end - last) * 1e3


def print_grading(options, tools, scratch):
    """What it costs to find out what is lost: while the program runs, and at its end, beside the tools that do so there."""
    library = os.path.join(options.build, "src", "runtime", "libunfreed.so")
    ways = {"bare": ({}, []),
            **{f"unfreed, {when}": ({"LD_PRELOAD": library, "UNFREED_GRADE": when, "UNFREED_QUIET": "1", "UNFREED_HELPER": "none",
                                     "UNFREED_OUTPUT": os.path.join(scratch, "grading.json")}, []) for when in ("off", "on")}}
    ways.update({tool.name: (tool.environment(), tool.prefix) for tool in tools if tool.name in ("LSan", "valgrind", "Valgrind")
                 or tool.name.startswith("LSan, frame")})
    sizes = [(10, 1), (10, 8), (100, 1), (100, 8), (100, 64), (1000, 1)]
    best = {}
    for _ in range(1 if options.quick else 3):
        for size, threads in sizes[:2] if options.quick else sizes:
            for name, (environment, prefix) in ways.items():
                if size > 100 and not (name == "bare" or name.startswith("unfreed")):
                    continue
                looks = 5 if name == "unfreed, on" else 0
                environment = {**os.environ, **environment}
                if "LSAN_OPTIONS" in environment:
                    environment["LSAN_OPTIONS"] = environment["LSAN_OPTIONS"].replace("detect_leaks=0", "detect_leaks=1")
                figures = run_grading(options, environment, prefix, (size, threads, looks), scratch)
                if figures:
                    best.setdefault((size, threads), {}).setdefault(name, []).append(figures)
    print("finding out what is lost: minima, in ms\n")
    names = [name for name in ways if any(name in row for row in best.values())]
    print("| heap, threads | pause | duration | " + " | ".join(f"end, {name}" for name in names) + " |")
    print("|---|---|---|" + "---|" * len(names))
    for (size, threads), row in best.items():
        looks = row.get("unfreed, on", [])
        pause, took = (f"{min(one[at] for one in looks):.1f}" if looks else "–" for at in (0, 1))
        ends = [f"{min(one[2] for one in row[name]):.1f}" if name in row else "–" for name in names]
        print(f"| {size} MiB, {threads} | {pause} | {took} | " + " | ".join(ends) + " |")
    print()


def print_whole(results, names):
    """Geometric means over the whole programs, and their memory."""
    whole = [row for row in results if "peak_kib" in row]
    for name in names:
        ratios = [row["ratios"][name] for row in whole if name in row["ratios"]]
        if ratios and len(ratios) == len(whole):
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            print(f"whole programs under {name}: geometric mean {mean:.2f}, worst {max(ratios):.2f}")
    for row in whole:
        peaks = row["peak_kib"]
        if "bare" in peaks and "unfreed" in peaks:
            print(f"peak memory, {row['name']}: {peaks['bare'] / 1024:,.1f} MiB bare, {peaks['unfreed'] / 1024:,.1f} under "
                  f"unfreed ({peaks['unfreed'] / peaks['bare']:.2f})")


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"processor": model, "processors": os.cpu_count(), "kernel": platform.release(),
            "libc": " ".join(platform.libc_ver()), "date": datetime.date.today().isoformat()}


def measure_all(options, scratch):
    bench = os.path.join(options.build, "test", "bench", "bench")
    scale = 0.05 if options.quick else 1.0
    tools, missing = find_tools(options.build, scratch, options.peers)
    rows = [row for row in ROWS if options.only in row[0]]
    whole, absent = programs.find_programs(options.build, SOURCE, scratch, options.quick)
    whole = [row for row in whole if options.only in row[0]]
    short = [row for row in processes.find_ways(options.build, scratch, options.project, options.quick)
             if options.only in row[0]]
    runs, memory = {}, {}

    def keep(where, name, tool, value):
        where.setdefault(name, {}).setdefault(tool, []).append(value)

    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        order = tools[number % len(tools):] + tools[:number % len(tools)]
        for name, arguments, count in rows:
            for tool in (tool for tool in order if tool.rows is None or name in tool.rows):
                keep(runs, name, tool.name, measure(bench, tool, arguments, count * scale, scratch))
        for name, run in whole:
            for tool in order:
                if tool.whole:
                    result = run(tool) or (None, None)
                    keep(runs, name, tool.name, result[0] and result[0] * 1e9)
                    keep(memory, name, tool.name, result[1])
        for name, count, bare, tracked in short:
            for tool, words in (("bare", bare), ("unfreed", tracked)):
                keep(runs, name, tool, measure_start(bench, count, words, scratch))
    return [finish_row(name, by_tool, memory.get(name)) for name, by_tool in runs.items()], tools, missing + absent


def measure_start(bench, count, words, scratch):
    done = subprocess.run([bench, "spawn", str(count), *words], env=Tool("bare").environment(), cwd=scratch,
                          capture_output=True, text=True, timeout=600, check=False)
    processes.remove_reports(scratch)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", default="")
    parser.add_argument("--svg", default="")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="the bare program and unfreed only")
    parser.add_argument("--project", default="", metavar="DIR", help="also configure and make the sources in DIR")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the work: shows that it runs, not how fast")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    with tempfile.TemporaryDirectory(prefix="unfreed-bench-", ignore_cleanup_errors=True) as scratch:
        results, tools, missing = measure_all(options, scratch)
        if options.only in "grading":
            print_grading(options, tools, scratch)
        large = large_reports.print_large(options, scratch) if options.only in "large reports" else None
    names = [tool.name for tool in tools[1:]]
    about = machine()
    title = f"{about['processor']}, {about['processors']} processors, Linux {about['kernel']}, {about['libc']}, {about['date']}"
    print(f"{title}\nminima of {options.rounds} interleaved rounds: bare, then what each tool adds (and its ratio to bare)\n")
    print_table(results, names)
    print()
    print_whole(results, names)
    noisy = [row["name"] for row in results if row["noisy"]]
    if noisy:
        print(f"* The machine was too noisy to tell: medians of the bare runs are more than {NOISY:.0%} above their minima.")
    if missing:
        print(f"not installed, so not measured: {', '.join(missing)}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": about, "rounds": options.rounds, "quick": options.quick, "rows": results, "large_reports": large,
                       "noisy": noisy, "missing": missing}, file, indent=1)
        print(f"figures: {options.json}")
    if options.svg:
        with open(options.svg, "w") as file:
            file.write(plot.svg(results, names, f"Time under each tool as a multiple of the bare program's: {title}"))
        print(f"plot: {options.svg}")


if __name__ == "__main__":
    main()
