#!/usr/bin/python3
"""check_demangle.py DEMANGLER FILE…: all C++ names in the symbol tables of FILES, by us and by c++filt.

At least 995 of 1000 are to be the same; where they are not, ours is to be the name itself but for one in 500 (c++filt
has faults of its own: an empty pack before another argument leaves its comma behind)."""
import subprocess
import sys


def symbols(path):
    names = set()
    for options in (["-D"], []):
        text = subprocess.run(["nm", *options, "--defined-only", path], capture_output=True, text=True).stdout
        names.update(line.split()[-1].split("@")[0] for line in text.splitlines() if line.strip())
    # c++filt says of a suffix what it is; we leave it away.
    return {name for name in names if name.startswith("_Z") and "." not in name}


def filtered(command, names):
    text = subprocess.run(command, input="\n".join(names) + "\n", check=True, capture_output=True, text=True).stdout
    return text.splitlines()


def main(demangler, files):
    names = sorted(set().union(*map(symbols, files)))
    ours = filtered([demangler], names)
    theirs = filtered(["c++filt", "--no-verbose"], names)
    assert len(ours) == len(theirs) == len(names)
    left = sum(name == our != their for name, our, their in zip(names, ours, theirs))
    other = [(name, our, their) for name, our, their in zip(names, ours, theirs) if our not in (name, their)]
    same = len(names) - left - len(other)
    print(f"{len(names)} names: {same} the same, {left} left as they are, {len(other)} different")
    for name, our, their in other[:5]:
        print(f"  {name}\n    ours   {our}\n    theirs {their}")
    # A check of nothing must not pass.
    is_good = len(names) > 5000 and same >= 0.995 * len(names) and len(other) <= 0.002 * len(names)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
