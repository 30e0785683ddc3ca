"""List what a build's stages flagged as doubtful: counts by rule, and samples for a person to check.

A stage's report has them among its figures: `{"doubtful": {rule: {"rows": n, "samples": [{"id", "column", "before",
"after", "why"}]}}}`. Samples are shortened here to fit a page or a terminal.
"""

from typing import Any

from chimed.build import reports
from chimed.build.builds import stages_of
from chimed.storage.lake import Lake

SAMPLES = 10  # samples shown for each rule, over all shards
SAMPLE_CHARACTERS = 120  # characters shown of each text of a sample


def list_doubtful(lake: Lake, version: str) -> list[dict[str, Any]]:
    """Return an entry for each stage and rule, in the build's order: stage, rule, rows, at most `SAMPLES` samples."""
    return [
        {**entry, "samples": [_cut(sample) for sample in entry["samples"][:SAMPLES]]} for entry in _all(lake, version)
    ]


def find_doubts(lake: Lake, version: str, record: str) -> list[dict[str, Any]]:
    """Return the samples about a record, or that name it as the other record of a pair: stage, rule, and the sample."""
    return [
        {"stage": entry["stage"], "rule": entry["rule"], **_cut(sample)}
        for entry in _all(lake, version)
        for sample in entry["samples"]
        if sample.get("id") == record or record in str(sample.get("why", ""))
    ]


def _all(lake: Lake, version: str) -> list[dict[str, Any]]:
    """Sum every rule's rows and samples over all shards."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for stage in stages_of(lake, version):
        for report in reports.read_all(lake, version, stage.name):
            told = report.get("figures", {}).get("doubtful", {})
            for rule, one in told.items() if _is_sound(told) else ():
                entry = found.setdefault(
                    (stage.name, rule), {"stage": stage.name, "rule": rule, "rows": 0, "samples": []}
                )
                entry["rows"] += one["rows"]
                entry["samples"] += one["samples"]
    return list(found.values())


def _is_sound(told: object) -> bool:
    """Return whether a report's doubts have the form that stages write; anything else is not shown."""
    return isinstance(told, dict) and all(
        isinstance(one, dict)
        and isinstance(one.get("rows"), int)
        and isinstance(one.get("samples"), list)
        and all(isinstance(sample, dict) for sample in one["samples"])
        for one in told.values()
    )


def _cut(sample: dict[str, Any]) -> dict[str, str]:
    said = {name: str(sample.get(name) or "") for name in ("id", "column", "before", "after", "why")}
    return {
        name: text if len(text) <= SAMPLE_CHARACTERS else f"{text[:SAMPLE_CHARACTERS]}…" for name, text in said.items()
    }
