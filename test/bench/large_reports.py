"""How long it takes to write a report with very many call sites in other formats, and the memory for it."""
import json
import os
import subprocess
import time

FORMATS = ("text", "html", "pprof")


def tree(leaves, ways):
    """A table of stacks, as reports have it, with so many leaves: each call leads to `ways` others, three frames apart."""
    functions = 4000
    calls = [[{"function": f"service::Module{at % 90}::function_{at}(int)", "file": f"/src/service/module_{at % 90}.cpp", "line": at % 1700 + 1,
               "module": "/opt/service/bin/service", "offset": 4096 + at * 16, "inlined": False}] for at in range(functions)]
    callees, callers, level = [], [], [0]

    def add(call, caller):
        callees.append(call + 1)
        callers.append(caller)
        return len(callees)

    while len(level) < leaves:
        below = []
        for node in level:
            for way in range(min(ways, leaves - len(below))):
                last = node
                for step in range(3):
                    last = add((last * 7 + way * 131 + step * 17) % functions, last)
                below.append(last)
        level = below
    return {"calls": calls, "call": callees, "caller": callers}, level


def write_report(options, sites, scratch):
    """A report with so many call sites of heap blocks: that on a real program, with its call sites replaced."""
    path = os.path.join(scratch, "large.json")
    command = os.path.join(options.build, "src", "cli", "unfreed")
    subprocess.run([command, "run", "--quiet", "--output", path, "--", "true"], cwd=scratch, check=True, timeout=60,
                   env={**os.environ, "UNFREED_TRACK": "all"})
    with open(path) as file:
        report = json.load(file)
    report["stacks"], ends = tree(sites, 10)
    report["sites"] = [
        {"id": number + 1, "kind": "heap", "signature": f"{number + 1:016x}", "grade": "held", "live": number % 97 + 1,
         "bytes": 100 * (number % 97 + 1), "total": number % 97 + 1, "acquired_by": "malloc", "stack": end, "truncated": False}
        for number, end in enumerate(ends)]
    with open(path, "w") as file:
        json.dump(report, file)
    return path


def convert(command, path, form, scratch):
    """Seconds, those of processor time, the most memory in bytes, and the size of what is written."""
    output = os.path.join(scratch, "large." + form)
    start = time.monotonic()
    process = subprocess.Popen([command, "report", "--format", form, "--force", "-o", output, path], cwd=scratch)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"unfreed report --format {form} ended with {process.returncode}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.path.getsize(output)


def print_large(options, scratch):
    sites = 5_000 if options.quick else 100_000
    path = write_report(options, sites, scratch)
    command = os.path.join(options.build, "src", "cli", "unfreed")
    print(f"a report with {sites:,} call sites ({os.path.getsize(path) / 2**20:.0f} MiB), in other formats: minima\n")
    print("| format | seconds | of processor | memory | written |\n|---|---|---|---|---|")
    rows = {}
    for form in FORMATS:
        runs = [convert(command, path, form, scratch) for _ in range(1 if options.quick else 3)]
        seconds, busy, memory, size = (min(one[at] for one in runs) for at in range(4))
        rows[form] = {"seconds": seconds, "processor_seconds": busy, "memory_bytes": memory, "written_bytes": size}
        print(f"| {form} | {seconds:.2f} | {busy:.2f} | {memory / 2**20:.0f} MiB | {size / 2**20:.1f} MiB |", flush=True)
    print()
    return {"sites": sites, "formats": rows}
