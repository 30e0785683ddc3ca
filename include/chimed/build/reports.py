"""The reports of a build's stages, one for each shard. A report is written last, so it also marks the shard done. Ours.

A damaged or incomplete report counts as missing: its shard runs again, which pays for no reply twice and writes the
same bytes.
"""

import logging
import re
from typing import Any

from chimed.build import order
from chimed.build.figures import rename_old_figures
from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.checked import find_fault
from chimed.storage.contents import recorded_file
from chimed.storage.lake import Lake

log = logging.getLogger("chimed")

MAX_PARTS = 100_000  # parts of a stage; a real build has less than a hundredth
_REPORT = re.compile(r"report-(\d{5})\.json\Z")


def report_path(version: str, stage: str, shard: int) -> str:
    """Return the path of a shard's report."""
    return layout.build(version, stage, layout.report(shard))


def read(lake: Lake, version: str, stage: str, shard: int) -> dict[str, Any] | None:
    """Read a shard's report; None if the shard is not finished."""
    path = report_path(version, stage, shard)
    try:
        report = lakes.read_json(lake, path)
    except FileNotFoundError:
        return None
    except UserError as error:
        log.warning("%s; its shard counts as not finished and runs again", error)
        return None
    numbers = all(isinstance(report.get(name, 0), int) for name in ("parts", "shard"))
    if numbers and isinstance(report.get("figures", {}), dict) and 0 <= report.get("parts", 0) <= MAX_PARTS:
        return report | {"figures": rename_old_figures(report["figures"])} if "figures" in report else report
    log.warning("%s is not a stage's report; its shard counts as not finished and runs again", path)
    return None


def read_all(lake: Lake, version: str, stage: str) -> list[dict[str, Any]]:
    """Read the reports of a stage's finished shards, in order."""
    found = map(_REPORT.match, lakes.names(lake, layout.build(version, stage)))
    every = [read(lake, version, stage, int(one[1])) for one in found if one]
    return [report for report in every if report is not None]


def lost_files(lake: Lake, version: str, stage: str) -> list[str]:
    """Describe each file of a stage that is missing or has the wrong size, one sentence each. Reads no file."""
    told = {name: one for report in read_all(lake, version, stage) for name, one in _written(report).items()}
    paths = {layout.build(version, stage, name): recorded_file(told, name) for name in sorted(told)}
    faults = {path: find_fault(lake, path, said, whole=False) for path, said in paths.items()}
    return [f"{path} {fault}" for path, fault in faults.items() if fault]


def _written(report: dict[str, Any]) -> dict[str, Any]:
    written = report.get("written")
    return written if isinstance(written, dict) else {}


def recorded_contents(lake: Lake, version: str, stage: order.Stage, part: int) -> dict[str, Any] | None:
    """Return the record of a part's kept rows (`chimed.storage.contents`); None if an older version wrote them."""
    report = read(lake, version, stage.name, 0 if stage.scope == "corpus" else part)
    return recorded_file((report or {}).get("written"), layout.kept(part))


def repair_hint(version: str, stage: order.Stage, part: int) -> str:
    """Say how to repair a part of a stage that differs from what was written."""
    report = report_path(version, stage.name, 0 if stage.scope == "corpus" else part)
    return f"restore it from a copy, or remove {report} and run: python -m chimed run {stage.name} --build {version}"
