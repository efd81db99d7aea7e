#!/usr/bin/python3
"""Measures what unfreed costs, beside the bare program and beside other tools, in one interleaved run.

    bench.py --build BUILD [--rounds N] [--only WORD] [--json FILE] [--quick]

Every round runs every tool once on every row, so that what the machine does meanwhile hits them all alike. The table shows
medians; the ratio is that of the medians. A row whose bare runs differ by more than a tenth is marked: the machine was too
noisy to tell. Nothing passes or fails here.
"""
import argparse
import datetime
import glob
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

NOISY = 0.10  # spread of the bare runs, (median - minimum) / minimum

# name, arguments before the count, count for the bare run
ROWS = [
    *[(f"malloc+free, depth {depth}, {threads} thread{'s' * (threads > 1)}", ["heap", depth, threads, 1], 4_000_000)
      for threads in (1, 2) for depth in (10, 30, 60)],
    ("malloc+free, depth 14, 1,000 call paths", ["heap", 14, 1, 1000], 2_000_000),
    ("open+close", ["file"], 200_000),
    ("pthread_create+join", ["thread"], 10_000),
]


class Tool:
    """How a program is run under a tool. `share` of the bare count keeps slow tools' runs short."""

    def __init__(self, name, prefix=(), env=None, share=1.0):
        self.name, self.prefix, self.env, self.share = name, list(prefix), env or {}, share


def find_tools(build, scratch):
    """Bare, unfreed, and the peers that are installed; and the names of those that are not."""
    library = os.path.join(build, "src", "runtime", "libunfreed.so")
    tools = [Tool("bare"), Tool("unfreed", env={"LD_PRELOAD": library, "UNFREED_QUIET": "1",
                                                "UNFREED_OUTPUT": os.path.join(scratch, "report.json")})]
    missing = []
    if shutil.which("heaptrack"):
        tools.append(Tool("heaptrack", ["heaptrack", "-o", os.path.join(scratch, "heaptrack")], share=1 / 20))
    else:
        missing.append("heaptrack")
    lsan = sorted(glob.glob("/usr/lib/*/liblsan.so.0") + glob.glob("/usr/lib/gcc/*/*/liblsan.so"))
    if lsan:
        options = "detect_leaks=0:malloc_context_size=64:fast_unwind_on_malloc="
        tools.append(Tool("LSan, frame pointers", env={"LD_PRELOAD": lsan[0], "LSAN_OPTIONS": options + "1"}, share=1 / 4))
        tools.append(Tool("LSan, full stacks", env={"LD_PRELOAD": lsan[0], "LSAN_OPTIONS": options + "0"}, share=1 / 200))
    else:
        missing.append("LeakSanitizer (liblsan0)")
    profiler = sorted(glob.glob("/usr/lib/*/libtcmalloc.so.4"))
    if profiler:
        tools.append(Tool("gperftools", env={"LD_PRELOAD": profiler[0], "HEAPPROFILE": os.path.join(scratch, "heap"),
                                             "HEAP_PROFILE_ALLOCATION_INTERVAL": "0",
                                             "HEAP_PROFILE_INUSE_INTERVAL": "0"}, share=1 / 400))
    else:
        missing.append("gperftools (libtcmalloc)")
    if shutil.which("valgrind"):
        tools.append(Tool("valgrind", ["valgrind", "-q", "--num-callers=60"], share=1 / 100))
    else:
        missing.append("valgrind")
    return tools, missing


def measure(bench, tool, arguments, count, scratch):
    """Nanoseconds per operation; None when the tool could not run it."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("UNFREED_", "LD_PRELOAD"))}
    env.update(tool.env)
    command = [*tool.prefix, bench, *map(str, arguments), str(max(int(count * tool.share), 100))]
    try:
        done = subprocess.run(command, env=env, cwd=scratch, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return None
    # heaptrack talks on the program's stdout: the figure is the line that is a number.
    figures = [line for line in done.stdout.splitlines() if line.strip().replace(".", "", 1).isdigit()]
    return float(figures[0]) if figures and done.returncode == 0 else None


def measure_start(bench, build, scratch, count):
    """Start to end of `true`, in three ways (ns)."""
    library = os.path.join(build, "src", "runtime", "libunfreed.so")
    command = os.path.join(build, "src", "cli", "unfreed")
    output = os.path.join(scratch, "true.json")
    ways = {"bare": ["--", "true"],
            "unfreed": [f"LD_PRELOAD={library}", "UNFREED_QUIET=1", f"UNFREED_OUTPUT={output}", "--", "true"],
            "unfreed run": ["--", command, "run", "--quiet", "--output", output, "--", "true"]}
    figures = {}
    for name, arguments in ways.items():
        env = {k: v for k, v in os.environ.items() if not k.startswith(("UNFREED_", "LD_PRELOAD"))}
        done = subprocess.run([bench, "spawn", str(count), *arguments], env=env, cwd=scratch, capture_output=True,
                              text=True, timeout=120, check=False)
        figures[name] = float(done.stdout) if done.returncode == 0 else None
    return figures


def summary(runs):
    runs = [run for run in runs if run is not None]
    if not runs:
        return None
    return {"median_ns": statistics.median(runs), "minimum_ns": min(runs), "runs_ns": runs}


def spread(figure):
    return (figure["median_ns"] - figure["minimum_ns"]) / figure["minimum_ns"]


def nanoseconds(value):
    return f"{value / 1000:,.1f} µs" if value >= 10_000 else f"{value:,.1f} ns"


def cell(figure, bare):
    if figure is None or bare is None:
        return "–"
    added = figure["median_ns"] - bare["median_ns"]
    ratio = figure["median_ns"] / bare["median_ns"]
    return f"{'+' if added >= 0 else '−'}{nanoseconds(abs(added))} ({ratio:.2f})"


def print_table(results, names):
    lines = [["", "bare", *names]]
    noisy = []
    for row in results:
        bare = row["tools"].get("bare")
        mark = ""
        if bare and spread(bare) > NOISY:
            noisy.append(row["name"])
            mark = " *"
        lines.append([row["name"] + mark, nanoseconds(bare["median_ns"]) if bare else "–",
                      *[cell(row["tools"].get(name), bare) for name in names]])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return noisy


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"processor": model, "processors": os.cpu_count(), "kernel": platform.release(),
            "libc": " ".join(platform.libc_ver()), "date": datetime.date.today().isoformat()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", default="")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the work: shows that it runs, not how fast")
    options = parser.parse_args()
    bench = os.path.join(os.path.abspath(options.build), "test", "bench", "bench")
    options.build = os.path.abspath(options.build)
    scale = 0.05 if options.quick else 1.0
    with tempfile.TemporaryDirectory(prefix="unfreed-bench-") as scratch:
        tools, missing = find_tools(options.build, scratch)
        rows = [row for row in ROWS if options.only in row[0]]
        start = options.only in "start-up of true"
        runs = {row[0]: {tool.name: [] for tool in tools} for row in rows}
        starts = {}
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            for name, arguments, count in rows:
                for tool in tools:
                    runs[name][tool.name].append(measure(bench, tool, arguments, count * scale, scratch))
            if start:
                for way, figure in measure_start(bench, options.build, scratch, max(int(200 * scale), 5)).items():
                    starts.setdefault(way, []).append(figure)
    results = [{"name": name, "tools": {tool: summary(figures) for tool, figures in by_tool.items()}}
               for name, by_tool in runs.items()]
    if start:
        results.append({"name": "start-up of true, preload", "tools": {way: summary(starts[way]) for way in ("bare", "unfreed")}})
        results.append({"name": "start-up of true, unfreed run",
                        "tools": {"bare": summary(starts["bare"]), "unfreed": summary(starts["unfreed run"])}})
    about = machine()
    print(f"{about['processor']}, {about['processors']} processors, Linux {about['kernel']}, {about['libc']}, {about['date']}")
    print(f"medians of {options.rounds} interleaved rounds: bare, then what each tool adds per operation (and its ratio to bare)\n")
    noisy = print_table(results, [tool.name for tool in tools[1:]])
    if noisy:
        print(f"\n* The machine was too noisy to tell: bare runs differ by more than {NOISY:.0%}.")
    if missing:
        print(f"\nnot installed, so not measured: {', '.join(missing)}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": about, "rounds": options.rounds, "quick": options.quick, "rows": results,
                       "noisy": noisy, "missing": missing}, file, indent=1)
        print(f"\nfigures: {options.json}")


if __name__ == "__main__":
    main()
