"""Writes a release: every file, then the manifest that makes it visible (paper §3.3).

A writer that is killed leaves a folder without a manifest, which no reader takes for a release; the next one starts
over. Before the manifest the gates of `diff` are asked: a release that drifts is held back, its files lie there to be
looked at, and `diff --accept` lets it through.
"""

import hashlib
from datetime import UTC, datetime
from functools import partial

import polars as pl

from chimed.errors import UserError, WorkStopped
from chimed.release import TABLES, folder_of, is_whole, place_of, read_manifest, releases
from chimed.release.card import render_card
from chimed.release.diff import difference
from chimed.release.figures import figures
from chimed.release.rows import dataset_info, jsonl, jsonl_name, parquet, read_tables, with_rows
from chimed.release.statistics import statistics
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import as_json, sealed
from chimed.storage.lake import Lake

ACCEPTED = "accepted.json"


class Drifted(WorkStopped):
    """A release is over a limit of `diff` against the one before and is held back until someone accepts it."""


def write_release(lake: Lake, version: str, tables: dict[str, pl.DataFrame], made: dict, before: str | None) -> dict:
    """Writes `releases/<version>/` from its six tables and `made` (`making`); returns its manifest.

    before: the release to compare with. A whole release that holds the same rows is left as it is. Raises Drifted.
    """
    if is_whole(lake, version):
        manifest = read_manifest(lake, version)
        digests = {f"{name}.parquet": _digest(parquet(tables[name], _subset(name))) for name in with_rows(tables)}
        if digests == {name: said["sha256"] for name, said in manifest["files"].items() if name.endswith(".parquet")}:
            return manifest
        lakes.remove(lake, f"{folder_of(version)}/{layout.MANIFEST}")  # the same build, but a page was taken down
    _clear(lake, version)
    files: dict[str, dict] = {}
    put = partial(_put, lake, version, files)
    for name in with_rows(tables):
        table = tables[name]
        put(f"{name}.parquet", parquet(table, _subset(name)), rows=len(table))
        put(jsonl_name(name), jsonl(table, _subset(name)), rows=len(table))
    put("dataset_info.json", as_json(dataset_info(tables)))
    numbers = statistics(tables)
    put("statistics.json", as_json(numbers))
    checksum = checksum_of(files, numbers)
    changes = compare(lake, before, tables, made["options"]) | {"checksum": checksum}
    put("changes.json", as_json(changes))
    accepted = _judged(lake, version, changes, checksum)
    for name, drawn in figures(numbers, made).items():
        put(f"figures/{name}", drawn)
    put("README.md", render_card(version, tables, numbers, made, changes, accepted, checksum).encode())
    manifest = sealed(made | {"version": version, "checksum": checksum, "accepted": accepted, "files": files})
    _check_there(lake, version, files)
    lakes.write_json(lake, f"{folder_of(version)}/{layout.MANIFEST}", manifest)
    return manifest


def data_files(numbers: dict) -> list[str]:
    """What two people compare to know that they hold the same rows, by a release's `statistics`.

    A table without rows has no file. The other files tell of the rows, and of the day they were made.
    """
    tables = [name for name in TABLES if numbers["splits"][name]]
    return ["dataset_info.json", "statistics.json", *(f"{name}.parquet" for name in tables), *map(jsonl_name, tables)]


def checksum_of(files: dict[str, dict], numbers: dict) -> str:
    """One hash over the checksums of a manifest's `data_files`: equal where two releases hold the same rows."""
    return _digest("".join(f"{files[name]['sha256']}  {name}\n" for name in sorted(data_files(numbers))).encode())


def compare(lake: Lake, before: str | None, tables: dict[str, pl.DataFrame], options: dict) -> dict:
    """What `changes.json` says: `difference` to the release before, and whether the gates judge it.

    before: null for the first release. judged: whether both were built with the same options; else stops is empty.
    """
    if before is None:
        return {"before": None, "judged": False, "rows": [], "drift": [], "stops": []}
    judged = read_manifest(lake, before)["options"] == options
    found = difference(read_tables(lake, before), tables)
    return {"before": before, "judged": judged, **found, "stops": found["stops"] if judged else []}


def previous(lake: Lake, version: str) -> str | None:
    """The whole release before a version; None for the first."""
    here = place_of(lake, version)
    earlier = [name for name in releases(lake) if place_of(lake, name) < here]
    return earlier[-1] if earlier else None


def _judged(lake: Lake, version: str, changes: dict, checksum: str) -> dict | None:
    """Who accepted the drift of these very rows, and why; None where nothing drifts. Raises Drifted."""
    if not changes["stops"]:
        return None
    before, path = changes["before"], f"{folder_of(version)}/{ACCEPTED}"
    accepted = lakes.read_json(lake, path) if lakes.exists(lake, path) else {}
    if (accepted.get("checksum"), accepted.get("before")) == (checksum, before):
        return accepted
    raise Drifted(
        f"release {version} is held back: {'; '.join(changes['stops'])}. To inspect: python -m chimed diff {before} "
        f'{version}. To accept: the same command with --accept "<reason>", then run release again'
    )


def accept(lake: Lake, before: str, version: str, reason: str, by: str) -> dict:
    """Lets a held release's drift pass, for these very rows; `release`, run again, then writes its manifest.

    Returns what is kept of it. Raises UserError where nothing is held back, or not against `before`.
    """
    folder = folder_of(version)
    if is_whole(lake, version) or not lakes.exists(lake, f"{folder}/changes.json"):
        raise UserError(f"release {version} is not held back: there is nothing to accept")
    changes = lakes.read_json(lake, f"{folder}/changes.json")
    if changes["before"] != before or not changes["stops"]:
        raise UserError(f"release {version} is held back against {changes['before']}, not against {before}")
    if not reason.strip():
        raise UserError("--accept needs a reason; it is printed in the card")
    said = {name: changes[name] for name in ("before", "checksum", "stops")}
    said |= {"reason": reason, "by": by, "accepted": datetime.now(UTC).isoformat(timespec="seconds")}
    lakes.write_json(lake, f"{folder}/{ACCEPTED}", said)
    return said


def _check_there(lake: Lake, version: str, files: dict[str, dict]) -> None:
    """Raises WorkStopped where a file is not there any more: no manifest names what a reader would not find."""
    there = lakes.sizes(lake, folder_of(version))
    if lost := [name for name, said in files.items() if there.get(name) != said["bytes"]]:
        raise WorkStopped(
            f"release {version}: {len(lost)} files are gone or others since they were written, as {lost[0]}; something "
            "else writes there; run release again"
        )


def _clear(lake: Lake, version: str) -> None:
    """Takes away what a killed or held writer left, but for an acceptance."""
    lakes.clear_drafts(lake, folder_of(version), lambda _: True)  # who calls has the version's lease
    for name in lakes.files(lake, folder_of(version)):
        if name != ACCEPTED:
            lakes.remove(lake, f"{folder_of(version)}/{name}")


def _put(lake: Lake, version: str, files: dict[str, dict], name: str, data: bytes, **more: int) -> None:
    lakes.write_bytes(lake, f"{folder_of(version)}/{name}", data)
    files[name] = {"bytes": len(data), "sha256": _digest(data), **more}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _subset(name: str) -> str:
    return name.split("/")[0]
