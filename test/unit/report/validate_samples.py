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
    ]


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
    good["x_ours"] = 1
    for error in validator.iter_errors(good):
        failures += 1
        print(f"with an extension: {error.message[:300]}")
    for what, report in wrong_reports(good):
        if validator.is_valid(report):
            failures += 1
            print(f"the schema accepts {what}")
    print(f"{len(samples)} reports checked, {failures} faults")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
