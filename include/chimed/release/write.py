"""Writes a release: every file, then the manifest that makes it visible (paper §3.3).

A writer that is killed leaves a folder without a manifest, which no reader takes for a release; run again on the same
rows it goes on where it was (`filling`). Before the manifest the gates of `diff` are asked: a release that drifts is
held back, its files lie there to be looked at, and `diff --accept` lets it through.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

import polars as pl

from chimed.build.options import Options, current_names
from chimed.errors import UserError, WorkStopped
from chimed.release import SUBSETS, folder_of, is_whole, place_of, read_manifest, releases
from chimed.release.card import examples, render_card
from chimed.release.diff import Side, difference, side_of
from chimed.release.figures import figures
from chimed.release.file_names import jsonl_beside, jsonl_places, table_files
from chimed.release.filling import UNFINISHED, Filled, fill, is_of
from chimed.release.graph import graph_of
from chimed.release.rows import dataset_info
from chimed.release.sorting import Rows
from chimed.release.statistics import statistics
from chimed.release.tables import files_in, read_batches
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import as_json, sealed
from chimed.storage.lake import Lake

ACCEPTED = "accepted.json"
CLUSTERS = "clusters.json"  # what the column `cluster` numbers: words and rows by kind, of the build
# options that say how large files are: no row is another by them
OF_FILES = ("part_rows", "file_bytes")


class Drifted(WorkStopped):
    """A release is over a limit of `diff` against the one before and is held back until someone accepts it."""


def write_release(lake: Lake, version: str, rows: Rows, made: dict[str, Any], before: str | None) -> dict[str, Any]:
    """Write `releases/<version>/` from its rows and `made` (`making`); returns its manifest.

    before: the release to compare with. A whole release that holds the same rows is left as it is. Raises Drifted.
    """
    file_bytes = made["options"].get("file_bytes", Options().file_bytes)
    if is_whole(lake, version):
        if _holds(lake, version, rows):
            _remove_unfinished(lake, version)
            return read_manifest(lake, version)
        lakes.remove(lake, f"{folder_of(version)}/{layout.MANIFEST}")  # the same build, but a page was taken down
    _clear(lake, version, keep_tables=is_of(lake, version, rows, file_bytes))
    manifest = write_around(lake, version, fill(lake, version, rows, file_bytes), made | {"made_of": rows.key}, before)
    _remove_unfinished(lake, version)
    return manifest


def write_around(lake: Lake, version: str, tables: Filled, made: dict[str, Any], before: str | None) -> dict[str, Any]:
    """Write all that a release has besides its tables, its manifest last; returns that. Raises Drifted."""
    folder, counts = folder_of(version), tables.counts
    files, numbers = dict(tables.files), statistics(counts)
    put = partial(_put, lake, version, files)
    put("dataset_info.json", as_json(dataset_info(jsonl_places(files))))
    put("statistics.json", as_json(numbers))
    checksum = checksum_of(files)
    changes = compare(lake, before, side_of(lake, folder, counts), made["options"]) | {"checksum": checksum}
    put("changes.json", as_json(changes))
    accepted = _judged(lake, version, changes, checksum)
    for name, drawn in figures(numbers, made).items():
        put(f"figures/{name}", drawn)
    graph = graph_of(lake, folder)
    for name, table in graph.files().items():
        put(name, table)
    if (made.get("diversity") or {}).get("clusters"):
        put(CLUSTERS, as_json({"clusters": made["diversity"]["clusters"]}))
    shown = examples(lake, folder, counts)
    card = render_card(version, counts, list(files), shown, made, changes, accepted, checksum, graph.numbers())
    put("README.md", card.encode())
    manifest = sealed(made | {"version": version, "checksum": checksum, "accepted": accepted, "files": files})
    _check_there(lake, version, files)
    lakes.write_json(lake, f"{folder}/{layout.MANIFEST}", manifest)
    return manifest


def _holds(lake: Lake, version: str, rows: Rows) -> bool:
    """Whether a whole release holds these rows: by what they are made of, else by looking at them all."""
    if rows.key is not None and read_manifest(lake, version).get("made_of") == rows.key:
        return True
    folder = folder_of(version)
    sizes = rows.prepare(f"{folder}/{UNFINISHED}")
    for table, paths in files_in(lake, folder).items():
        there = chain.from_iterable(read_batches(lake, path, table.split("/")[0]) for path in paths)
        if not _same_rows(there, rows.read(table, None) if sizes[table].rows else iter(())):
            return False
    return True


def _same_rows(one: Iterator[pl.DataFrame], two: Iterator[pl.DataFrame]) -> bool:
    """Whether two streams bring the same rows, in whatever batches."""
    held: list[pl.DataFrame | None] = [None, None]
    while True:
        for side, stream in enumerate((one, two)):
            if held[side] is None:
                held[side] = next((batch for batch in stream if len(batch)), None)
        first, second = held
        if first is None or second is None:
            return first is second
        count = min(len(first), len(second))
        if not first.head(count).equals(second.head(count)):
            return False
        held = [batch.slice(count) if len(batch) > count else None for batch in (first, second)]


def data_files(files: Iterable[str]) -> list[str]:
    """Of a manifest's files those that two people compare to know that they hold the same rows.

    The other files tell of the rows, and of the day they were made. Raises UserError where one of a table's is missing.
    """
    tables = [name for several in table_files(files).values() for name in several]
    return ["dataset_info.json", "statistics.json", *tables, *map(jsonl_beside, tables)]


def checksum_of(files: dict[str, dict[str, Any]]) -> str:
    """One hash over the checksums of a manifest's `data_files`: equal where two releases hold the same rows."""
    return _digest("".join(f"{files[name]['sha256']}  {name}\n" for name in sorted(data_files(files))).encode())


def compare(lake: Lake, before: str | None, after: Side, options: dict[str, Any]) -> dict[str, Any]:
    """Return what `changes.json` says: `difference` to the release before, and whether the gates judge it.

    before: null for the first release. judged: whether both were built with the same options; else stops is empty.
    """
    if before is None:
        return {"before": None, "judged": False, "rows": [], "drift": [], "stops": []}
    judged = _of_rows(read_manifest(lake, before)["options"]) == _of_rows(options)
    found = difference(side_of(lake, folder_of(before)), after)
    return {"before": before, "judged": judged, **found, "stops": found["stops"] if judged else []}


def _of_rows(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in current_names(options).items() if name not in OF_FILES}


def previous(lake: Lake, version: str) -> str | None:
    """Return the whole release before a version; None for the first."""
    here = place_of(lake, version)
    earlier = [name for name in releases(lake) if place_of(lake, name) < here]
    return earlier[-1] if earlier else None


def _judged(lake: Lake, version: str, changes: dict[str, Any], checksum: str) -> dict[str, Any] | None:
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


def accept(lake: Lake, before: str, version: str, reason: str, by: str) -> dict[str, Any]:
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


def _check_there(lake: Lake, version: str, files: dict[str, dict[str, Any]]) -> None:
    """Raise WorkStopped where a file is not there any more: no manifest names what a reader would not find."""
    there = lakes.sizes(lake, folder_of(version))
    if lost := [name for name, said in files.items() if there.get(name) != said["bytes"]]:
        raise WorkStopped(
            f"release {version}: {len(lost)} files are gone or others since they were written, as {lost[0]}; something "
            "else writes there; run release again"
        )


def _clear(lake: Lake, version: str, keep_tables: bool) -> None:
    """Take away what a killed or held writer left, but for an acceptance, and for tables that are of the same rows."""
    folder = folder_of(version)
    lakes.clear_drafts(lake, folder, lambda _: True)  # who calls has the version's lease
    of_tables = {*SUBSETS, "jsonl", UNFINISHED} if keep_tables else set()
    for name in lakes.files(lake, folder):
        if name != ACCEPTED and name.split("/")[0] not in of_tables:
            lakes.remove(lake, f"{folder}/{name}")


def _remove_unfinished(lake: Lake, version: str) -> None:
    """Take away what the writing of a whole release would have gone on from."""
    folder = f"{folder_of(version)}/{UNFINISHED}"
    if lakes.exists(lake, folder):
        lakes.remove_folder(lake, folder)


def _put(lake: Lake, version: str, files: dict[str, dict[str, Any]], name: str, data: bytes, **more: int) -> None:
    lakes.write_bytes(lake, f"{folder_of(version)}/{name}", data)
    files[name] = {"bytes": len(data), "sha256": _digest(data), **more}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
