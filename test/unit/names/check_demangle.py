#!/usr/bin/python3
"""check_demangle.py DEMANGLER NAMES FILE…: the names in the text file NAMES, and all C++ names in the symbol tables of
FILES, as demangled by us and by c++filt, which has to be the same."""
import subprocess
import sys


def symbols(path):
    names = set()
    for options in (["-D"], []):
        text = subprocess.run(["nm", *options, "--defined-only", path], capture_output=True, text=True).stdout
        names.update(line.split()[-1].split("@")[0] for line in text.splitlines() if line.strip())
    # c++filt says of a suffix what it is; we leave it out. It takes no names of more than 1024 characters.
    return {name for name in names if name.startswith("_Z") and "." not in name and len(name) <= 1024}


def filtered(command, names):
    text = subprocess.run(command, input="\n".join(names) + "\n", check=True, capture_output=True, text=True).stdout
    return text.splitlines()


def main(demangler, listed, files):
    with open(listed) as file:
        names = file.read().split()
    count_listed = len(names)
    names += sorted(set().union(*map(symbols, files)))
    ours = filtered([demangler], names)
    theirs = filtered(["c++filt", "--no-verbose"], names)
    assert len(ours) == len(theirs) == len(names)
    different = [row for row in zip(names, ours, theirs) if row[1] != row[2]]
    readable = sum(name != our for name, our in zip(names, ours))
    print(f"{len(names)} names: {readable} demangled, {len(different)} otherwise than by c++filt")
    for name, our, their in different[:5]:
        print(f"  {name}\n    ours   {our}\n    theirs {their}")
    # A check of nothing must not pass.
    has_names = count_listed >= 300 and len(names) > 5000 and readable > 0.99 * len(names)
    return 0 if has_names and not different else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
