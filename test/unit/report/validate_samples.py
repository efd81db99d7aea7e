"""Validates sample reports against the shipped JSON Schema, and the schema against reports that are wrong.

usage: validate_samples.py SAMPLE_REPORTS_EXECUTABLE SCHEMA
"""

import copy
import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema


def wrong_reports(good):
    """Changes that no report may have: (what is wrong, report)."""

    def changed(change):
        report = copy.deepcopy(good)
        change(report)
        return report

    return [
        ("a member is missing", changed(lambda r: r.pop("totals"))),
        ("another version", changed(lambda r: r.update(schema_version=3))),
        ("an unknown trigger", changed(lambda r: r.update(trigger="whim"))),
        ("a negative count", changed(lambda r: r["totals"]["fd"].update(live=-1))),
        ("a count that is text", changed(lambda r: r["totals"]["fd"].update(live="1"))),
        ("a frame without module", changed(lambda r: r["sites"][0]["stack"][0].pop("module"))),
        ("a bad signature", changed(lambda r: r["sites"][0].update(signature="xyz"))),
        ("an object of no known state", changed(lambda r: r["sites"][0]["objects"].append({"fd": 1, "state": "x"}))),
        ("a stack that is text", changed(lambda r: r["sites"][0].update(stack="main"))),
        ("totals without a counter", changed(lambda r: r["totals"]["fd"].pop("peak"))),
        ("a coverage without a kind", changed(lambda r: r["coverage"].pop("heap"))),
        ("a coverage of no known word", changed(lambda r: r["coverage"].update(heap="maybe"))),
        ("a worst site without a counter", changed(lambda r: r["worst_site"]["fd"].pop("live"))),
        ("a negative number of the worst site", changed(lambda r: r["worst_site"]["fd"].update(live=-1))),
        ("a frame without offset", changed(lambda r: r["sites"][0]["stack"][0].pop("offset"))),
        ("a frame that is or is not inlined", changed(lambda r: r["sites"][0]["stack"][0].pop("inlined"))),
        ("half a byte of a build ID", changed(lambda r: r["sites"][0]["stack"][0].update(build_id="abc"))),
        ("a function of no name", changed(lambda r: r["sites"][0]["stack"][0].update(function=""))),
        ("a file of no name", changed(lambda r: r["sites"][0]["stack"][0].update(file=""))),
        ("a line before the first", changed(lambda r: r["sites"][0]["stack"][0].update(line=-1))),
        ("a stack of a negative number", changed(lambda r: r["sites"][0].update(stack=-1))),
        ("half a signature", changed(lambda r: r["sites"][0].update(signature=r["sites"][0]["signature"][:8]))),
        ("a site without stack", changed(lambda r: r["sites"][0].pop("stack"))),
        ("a site without signature", changed(lambda r: r["sites"][0].pop("signature"))),
    ]


# Another type than a member has. Both kinds of stack are allowed: a list, or a number of the table.
OTHERS = {str: [5, {}], bool: ["true", 1], int: ["5", 1.5], list: [{}, "x"], dict: [[], "x"]}


def wrong_types(good, node=None, path=()):
    """Reports in which one value has another type: (its path, report). Of lists, the first item of each stands for all."""
    node = good if node is None else node
    items = node.items() if isinstance(node, dict) else enumerate(node[:1])
    for key, value in items:
        if key == "x_ours":
            continue
        for other in OTHERS.get(type(value), []):
            if key == "stack" and isinstance(other, (int, float)):
                continue
            before, node[key] = node[key], other
            yield ".".join(map(str, (*path, key))), good
            node[key] = before
        if isinstance(value, (dict, list)):
            yield from wrong_types(good, value, (*path, key))


def wrong_tables(good):
    """Changes that no table of stacks may have."""
    for part in ("calls", "call", "caller"):
        for what, value in ((f"without {part}", None), (f"with {part} as text", "x"), (f"with a wrong {part}", ["x"])):
            report = copy.deepcopy(good)
            if value is None:
                report["stacks"].pop(part)
            else:
                report["stacks"][part] = value
            yield f"a table of stacks {what}", report
    report = copy.deepcopy(good)
    report["stacks"]["caller"][0] = -1
    yield "a caller of a negative number", report
    report = copy.deepcopy(good)
    report["stacks"]["calls"][0][0].pop("module")
    yield "a frame without module in the table", report


def main():
    executable, schema_path = sys.argv[1:]
    schema = json.loads(pathlib.Path(schema_path).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([executable, directory], check=True)
        samples = sorted(pathlib.Path(directory).glob("*.json"))
        assert len(samples) > 60, f"only {len(samples)} samples"
        for sample in samples:
            report = json.loads(sample.read_text(encoding="utf-8", errors="strict"))
            for error in validator.iter_errors(report):
                failures += 1
                print(f"{sample.name}: {error.json_path}: {error.message[:300]}")
        good = json.loads(pathlib.Path(directory, "exit.json").read_text(encoding="utf-8"))
        many = json.loads(pathlib.Path(directory, "many.json").read_text(encoding="utf-8"))
    good["x_ours"] = 1
    for error in validator.iter_errors(good):
        failures += 1
        print(f"with an extension: {error.message[:300]}")
    for path, report in wrong_types(good):
        if validator.is_valid(report):
            failures += 1
            print(f"the schema accepts another type of {path}")
    for what, report in [*wrong_reports(good), *wrong_tables(many)]:
        if validator.is_valid(report):
            failures += 1
            print(f"the schema accepts {what}")
    print(f"{len(samples)} reports checked, {failures} faults")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
