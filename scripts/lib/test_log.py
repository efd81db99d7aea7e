#!/usr/bin/python3
"""What scripts/test needs to know from meson: what there is to build for a suite, and how many test cases passed.

    test_log.py targets BUILD SUITE…       the build targets of test/SUITE, a line each
    test_log.py count STATUS LOGS…         reads the logs of `meson test`; names what was skipped and what failed, closes
                                           with "N passed, N failed"; exits with 1 when something failed or STATUS is not 0
"""
import json
import os
import sys
import xml.etree.ElementTree as xml


def targets(build, folders):
    """Paths, relative to the build folder, of everything that is built from test/FOLDER: the tests themselves and what
    they look at while they run."""
    with open(os.path.join(build, "meson-info", "intro-targets.json")) as file:
        known = json.load(file)
    wanted = set()
    for target in known:
        if any(f"/test/{folder}/" in target["defined_in"] for folder in folders):
            wanted.update(os.path.relpath(name, build) for name in target["filename"])
    return sorted(wanted)


GOOD = {"OK", "EXPECTEDFAIL"}
LAST_LINES = 25


def read_log(folder):
    """(passed, failed names with what they said, skipped names) of one build folder's last `meson test`.

    Test programs that speak TAP or GoogleTest's XML count case by case, others as one. A program that ends badly though
    none of its cases says so (a crash, a time limit) counts as one failed case.
    """
    passed, failed, skipped = 0, [], []
    programs = []
    log = os.path.join(folder, "testlog.json")
    if os.path.exists(log):
        with open(log) as file:
            programs = [json.loads(line) for line in file]
    names = {test["name"] for test in programs}
    with_failed_cases = set()
    junit = os.path.join(folder, "testlog.junit.xml")
    if os.path.exists(junit):
        for suite in xml.parse(junit).getroot().iter("testsuite"):
            for case in suite.iter("testcase"):
                name = f'{suite.get("name")}: {case.get("name")}'
                if case.find("failure") is not None or case.find("error") is not None:
                    if case.get("name") in names:
                        continue  # it has no cases; it is named below
                    failed.append(name)
                    with_failed_cases.add(suite.get("name"))
                elif case.find("skipped") is not None or case.get("status") == "notrun":
                    skipped.append(name)
                else:
                    passed += 1
    for test in programs:
        if test["result"] in GOOD or test["result"] == "SKIP":
            continue
        name = test["name"].split(" / ")[-1]
        if not any(name in suite for suite in with_failed_cases):
            failed.append(f'{test["name"]}: {test["result"].lower()}{last_words(test)}')
    if not programs:
        failed.append(f"{folder}: no test was run")
    return passed, failed, skipped


def last_words(test):
    """The end of what a test printed, indented: its whole output may be far above."""
    lines = (test.get("stdout", "") + test.get("stderr", "")).splitlines()[-LAST_LINES:]
    return "".join(f"\n    {line}" for line in lines)


def count(status, folders):
    passed, failed, skipped = 0, [], []
    for folder in folders:
        result = read_log(folder)
        passed += result[0]
        failed += result[1]
        skipped += result[2]
    if status and not failed:
        failed.append(f"meson test ended with status {status}")
    for name in skipped:
        print(f"skipped: {name}")
    for name in failed:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failed)} failed", flush=True)
    return 1 if failed else 0


def main(arguments):
    if arguments[:1] == ["targets"] and len(arguments) > 2:
        print("\n".join(targets(arguments[1], arguments[2:])))
        return 0
    if arguments[:1] == ["count"] and len(arguments) > 2:
        return count(int(arguments[1]), arguments[2:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
