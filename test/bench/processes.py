"""Short processes, and commands that start many: wall time from start to end, under the bare preload and `unfreed run`."""
import os
import shutil

FILES = 60
MAKEFILE = """
OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))
all: program
program: $(OBJECTS)
	gcc -o $@ $^
"""

REPORTS = "reports"


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def small_project(scratch):
    """A folder with a program of many small C files and its makefile."""
    folder = os.path.join(scratch, "small-project")
    os.makedirs(folder)
    write(os.path.join(folder, "Makefile"), MAKEFILE)
    for number in range(FILES):
        write(os.path.join(folder, f"part{number}.c"),
              f"#include <stdio.h>\n#include <string.h>\nint part{number}(const char *text) {{ return puts(text) + (int)strlen(text); }}\n")
    write(os.path.join(folder, "main.c"), "int main(void) { return 0; }\n")
    return folder


def find_commands(scratch, project, quick):
    """(what it is, its words, how often it is repeated in each round)."""
    script = os.path.join(scratch, "subshells.sh")
    write(script, "for i in {1..100}; do (:); done\n")
    commands = [("true", ["true"], 200), ("bash -c 'exit 0'", ["bash", "-c", "exit 0"], 100),
                ("100 subshells of bash", ["bash", script], 2)]
    if shutil.which("make") and shutil.which("gcc"):
        commands.append((f"make of {FILES} small C files", ["make", "-s", "-B", "-C", small_project(scratch)], 1))
    if project:
        work = os.path.join(scratch, "project")
        line = f"rm -rf '{work}' && cp -a '{os.path.abspath(project)}' '{work}' && cd '{work}' && ./configure -q >log 2>&1 && make -s >>log 2>&1"
        commands.append((f"configure and make of {os.path.basename(os.path.abspath(project))}", ["sh", "-c", line], 1))
    return [(name, words, 1 if quick else count) for name, words, count in commands]


def find_ways(build, scratch, project, quick):
    """Rows: name, how often it is repeated, the bare command's arguments of `bench spawn`, and those under unfreed."""
    library = os.path.join(build, "src", "runtime", "libunfreed.so")
    command = os.path.join(build, "src", "cli", "unfreed")
    os.makedirs(os.path.join(scratch, REPORTS))
    output = os.path.join(scratch, REPORTS, "%e.%p.json")
    ways = [("preload", [f"LD_PRELOAD={library}", "UNFREED_QUIET=1", f"UNFREED_OUTPUT={output}", "--"]),
            ("unfreed run", ["--", command, "run", "--quiet", "--output", output, "--"])]
    return [(f"{name}, {way}", count, ["--", *words], before + words)
            for name, words, count in find_commands(scratch, project, quick) for way, before in ways]


def remove_reports(scratch):
    """A build leaves thousands."""
    folder = os.path.join(scratch, REPORTS)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
