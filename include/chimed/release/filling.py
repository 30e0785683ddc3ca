"""Writes a release's tables: rows in order into parquet files of bounded size, and the same rows as JSON lines. Ours.

Which file a row is in depends on the rows alone: the same rows give the same files in whatever number of parts they
come. What a file holds is noted when it and its JSON lines are whole, with the sums over
its rows; a writer that was killed goes on behind the last file that has a note, and counts none of its rows again.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from chimed.release import TABLES, folder_of
from chimed.release.file_names import jsonl_name, parquet_name
from chimed.release.rows import COLUMNS, GROUP, arrow, jsonl
from chimed.release.sorting import Rows, Size
from chimed.release.statistics import Counter, Counts, as_dict, of_dict, total
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake

UNFINISHED = (
    "unfinished"  # the folder beside a release's files with what its writing goes on from; gone when it is whole
)


@dataclass(frozen=True)
class Filled:
    """A release's table files as its manifest tells of them (rows, bytes, sha256), and the sums over their rows."""

    files: dict[str, dict[str, Any]]
    counts: Counts


def fill(lake: Lake, version: str, rows: Rows, file_bytes: int) -> Filled:
    """Write what is not there yet of a release's table files. file_bytes: about how many, of words, a file holds."""
    folder, prepared = f"{folder_of(version)}/{UNFINISHED}", False
    if not is_of(lake, version, rows, file_bytes):
        lakes.write_json(lake, f"{folder}/plan.json", {"made_of": rows.key, "file_bytes": file_bytes})
    if not lakes.exists(lake, f"{folder}/sizes.json"):
        told, prepared = {table: [size.rows, size.bytes] for table, size in rows.prepare(folder).items()}, True
        lakes.write_json(lake, f"{folder}/sizes.json", told)
    sizes = {table: Size(*said) for table, said in lakes.read_json(lake, f"{folder}/sizes.json").items()}
    notes: list[dict[str, Any]] = []
    for table in (name for name in TABLES if sizes[name].rows):
        count = min(sizes[table].rows, max(1, -(-sizes[table].bytes // file_bytes)))
        done = _notes(lake, version, table, count)
        if len(done) < count:
            if not prepared:  # what was sorted before an earlier attempt was killed is not sorted again
                rows.prepare(folder)
                prepared = True
            done += _fill_table(lake, version, rows, table, sizes[table], done, count)
        notes += done
    for name in lakes.names(lake, folder):
        if name.startswith("run-"):  # what was sorted is in the files now
            lakes.remove(lake, f"{folder}/{name}")
    files = {name: said for note in notes for name, said in note["files"].items()}
    return Filled(files, total(of_dict(note["counts"]) for note in notes))


def is_of(lake: Lake, version: str, rows: Rows, file_bytes: int) -> bool:
    """Whether what an interrupted writer left is of these very rows, in files of this size."""
    plan = f"{folder_of(version)}/{UNFINISHED}/plan.json"
    if rows.key is None or not lakes.exists(lake, plan):
        return False
    said = lakes.read_json(lake, plan)
    return (said.get("made_of"), said.get("file_bytes")) == (rows.key, file_bytes)


def _note(version: str, table: str, number: int) -> str:
    return f"{folder_of(version)}/{UNFINISHED}/{table.replace('/', '.')}-{number:05d}.json"


def _notes(lake: Lake, version: str, table: str, count: int) -> list[dict[str, Any]]:
    """Return the notes on the files that are whole, from the first on without a gap."""
    there = lakes.sizes(lake, folder_of(version))
    found: list[dict[str, Any]] = []
    for path in (_note(version, table, number) for number in range(count)):
        note = lakes.read_json(lake, path) if lakes.exists(lake, path) else None
        if note is None or any(there.get(name) != said["bytes"] for name, said in note["files"].items()):
            break
        found.append(note)
    return found


def _fill_table(
    lake: Lake, version: str, rows: Rows, table: str, size: Size, done: list[dict[str, Any]], of: int
) -> list[dict[str, Any]]:
    """Write the files of a table behind those that are done; returns their notes."""
    after = done[-1]["last"] if done else None
    notes = []
    placed = _placed(rows.read(table, after), sum(note["rows"] for note in done), size.rows, of)
    for number, pieces in groupby(placed, key=itemgetter(0)):
        note = _write_file(lake, version, table, (number, of), _groups(piece for _, piece in pieces))
        lakes.write_json(lake, _note(version, table, number), note)
        notes.append(note)
    return notes


def _placed(batches: Iterator[pl.DataFrame], before: int, rows: int, of: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Rows with the number of the file they are in: each of the files gets as many rows, one more or less.

    before: rows that are in files already. Ids are hashes, so files with as many rows are about as large.
    """
    for batch in batches:
        numbers = pl.int_range(before, before + len(batch), dtype=pl.Int64, eager=True) * of // rows
        before += len(batch)
        for number in numbers.unique(maintain_order=True):
            yield number, batch.filter(numbers == number)


def _groups(pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Return the same rows, `GROUP` at a time: the bytes of a file do not tell in what pieces its rows came."""
    held: list[pl.DataFrame] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= GROUP:
            rows = pl.concat(held)
            whole = len(rows) // GROUP * GROUP
            yield from (rows.slice(start, GROUP) for start in range(0, whole, GROUP))
            held = [rows.slice(whole)] if whole < len(rows) else []
    if held:
        yield pl.concat(held)


def _write_file(
    lake: Lake, version: str, table: str, place: tuple[int, int], groups: Iterator[pl.DataFrame]
) -> dict[str, Any]:
    """Write one file and its JSON lines side by side; returns its note. place: its number, and of how many.

    Of the note: files (rows, bytes, sha256), rows, last (the largest id), counts (`statistics.as_dict`).
    """
    folder, subset = folder_of(version), table.split("/")[0]
    names = parquet_name(table, *place), jsonl_name(table, *place)
    counter, last = Counter(), ""
    with ExitStack() as stack, ThreadPoolExecutor(1) as beside:
        rows_file, lines_file = (stack.enter_context(lakes.file_writer(lake, f"{folder}/{name}")) for name in names)
        writer = stack.enter_context(pq.ParquetWriter(rows_file, COLUMNS[subset], compression="zstd"))
        for group in groups:
            lines = beside.submit(jsonl, group, subset)
            writer.write_table(arrow(group, subset))
            counter.add(table, group)
            last = group["id"][-1]
            lines_file.write(lines.result())
            rows_file.rows += len(group)
            lines_file.rows += len(group)
    told = {name: file.describe() for name, file in zip(names, (rows_file, lines_file), strict=True)}
    return {"files": told, "rows": rows_file.rows, "last": last, "counts": as_dict(counter.counts())}
