"""What a build's stages doubted: counts by rule, and samples that a person can look at.

A stage's report has them among its figures: `{"doubtful": {rule: {"rows": n, "samples": [{"id", "column", "before",
"after", "why"}]}}}`. Samples are cut here to what a page or a terminal can show.
"""

from typing import Any

from chimed.build import reports
from chimed.build.builds import stages_of
from chimed.storage.lake import Lake

SAMPLES = 10  # of a rule that are shown, of however many shards
SAMPLE_CHARACTERS = 120  # characters of each thing a sample says


def list_doubtful(lake: Lake, version: str) -> list[dict[str, Any]]:
    """One entry a stage and rule, in the build's order: stage, rule, rows, samples (at most `SAMPLES`)."""
    return [
        {**entry, "samples": [_cut(sample) for sample in entry["samples"][:SAMPLES]]} for entry in _all(lake, version)
    ]


def find_doubts(lake: Lake, version: str, record: str) -> list[dict[str, Any]]:
    """The samples that show a record or name it as the other of a pair: stage, rule, and what the sample says."""
    return [
        {"stage": entry["stage"], "rule": entry["rule"], **_cut(sample)}
        for entry in _all(lake, version)
        for sample in entry["samples"]
        if sample.get("id") == record or record in str(sample.get("why", ""))
    ]


def _all(lake: Lake, version: str) -> list[dict[str, Any]]:
    """Every rule's rows and samples, of all shards together."""
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
    """Whether a report tells of doubts as stages do: what was changed by another hand is not shown."""
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
