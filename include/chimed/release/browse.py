"""Rows of a release for people to look at: some by filters or words, or one by its id. No table is read whole.

A release's tables are sorted by id and lie in row groups (`release.rows.GROUP`): of a filter only its columns are read,
of a search the words of one group after the other until enough is found, of a row its group.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chimed.release import TABLES, folder_of
from chimed.release.rows import WORDS, split_thought
from chimed.release.tables import files_in
from chimed.roles import ASKER, DOCTOR, FOLLOW_UP, REPLY
from chimed.schema import with_present_names
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

SHOWN = ["id", "source", "domain", "department", "title", "url", "made_by"]
LOOKED = 8_000_000  # bytes of words a search looks through before it asks whether to go on: it answers at once


@dataclass(frozen=True)
class Wanted:
    """Which rows: a table (`<subset>/<split>`), filters (empty: any) and words that must stand in the row."""

    table: str
    source: str = ""
    domain: str = ""
    department: str = ""
    words: str = ""

    @property
    def subset(self) -> str:
        """The table's subset."""
        return self.table.split("/")[0]

    @property
    def filters(self) -> dict[str, str]:
        """The columns that must have a value, and which."""
        chosen = {"source": self.source, "domain": self.domain, "department": self.department}
        return {name: value for name, value in chosen.items() if value}


@dataclass(frozen=True)
class Found:
    """rows: dicts of `SHOWN` and `said`, the row's words as (what, text). passing: rows that pass the filters, of `of`.

    after: the row number to go on from, None at the end. looked: rows whose words were looked through.
    """

    rows: list[dict[str, Any]]
    passing: int
    of: int
    after: int | None
    looked: int


def rows(lake: Lake, version: str, wanted: Wanted, start: int = 0, most: int = 10) -> Found:
    """Return the first `most` rows wanted from row number `start` on. Raises FileNotFoundError."""
    if wanted.table not in _filled(lake, version):
        return Found([], 0, 0, None, 0)
    with _table(lake, version, wanted.table) as files:
        passing = _passing(files, wanted.filters)
        found: list[dict[str, Any]] = []
        looked, read, after = 0, 0, None
        for file, group, first, end in _groups(files):
            numbers = passing[np.searchsorted(passing, max(first, start)) : np.searchsorted(passing, end)]
            if not len(numbers):
                continue
            if len(found) == most or read >= LOOKED:
                after = int(numbers[0])
                break
            if wanted.words:
                looked += len(numbers)
                said = file.read_row_group(group, columns=list(WORDS[wanted.subset]))
                read += said.nbytes
                numbers = numbers[_saying(said, wanted.words)[numbers - first]]
            room = most - len(found)
            found += _read(file, wanted.subset, group, numbers[:room] - first, SHOWN)
            if len(numbers) > room:
                after = int(numbers[room])
                break
        return Found(found, len(passing), sum(file.metadata.num_rows for file in files), after, looked)


def row(lake: Lake, version: str, id: str) -> dict[str, Any] | None:
    """Return a release's row by its id: all its columns, `table` and `said`; None where it is not there."""
    for name in _filled(lake, version):
        with _table(lake, version, name) as files:
            for file, group, _, _ in _groups(files):
                column = next(n for n in range(file.metadata.num_columns) if file.schema.column(n).path == "id")
                bounds = file.metadata.row_group(group).column(column).statistics
                if bounds is not None and not bounds.min <= id <= bounds.max:
                    continue
                place = pc.index(file.read_row_group(group, columns=["id"])["id"], id).as_py()
                if place >= 0:
                    return {**_read(file, name.split("/")[0], group, np.array([place]), None)[0], "table": name}
    return None


def _filled(lake: Lake, version: str) -> list[str]:
    """Return the tables that have a file: those with rows."""
    rows = lakes.read_json(lake, f"{folder_of(version)}/{layout.STATISTICS}")["splits"]
    return [name for name in TABLES if rows.get(name)]


@contextmanager
def _table(lake: Lake, version: str, name: str) -> Iterator[list[pq.ParquetFile]]:
    """Return a table's files, opened: they are read as one."""
    with ExitStack() as opened:
        paths = files_in(lake, folder_of(version))[name]
        files = [opened.enter_context(lake.fs.open(lake.at(path), "rb")) for path in paths]
        yield [pq.ParquetFile(file, read_dictionary=["source", "domain", "department"]) for file in files]


def _groups(files: list[pq.ParquetFile]) -> Iterator[tuple[pq.ParquetFile, int, int, int]]:
    """Every row group: its file, its number there, and in the table its first row and the one behind its last."""
    first = 0
    for file in files:
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            yield file, group, first, end
            first = end


def _passing(files: list[pq.ParquetFile], filters: dict[str, str]) -> np.ndarray:
    """Return the numbers of the rows that pass the filters."""
    if not filters:
        return np.arange(sum(file.metadata.num_rows for file in files))
    passes = [np.empty(0, dtype=bool)]
    for file in files:
        columns = file.read(columns=list(filters))
        passes.append(np.ones(file.metadata.num_rows, dtype=bool))
        for name, value in filters.items():
            passes[-1] &= pc.fill_null(pc.equal(columns[name], value), False).to_numpy()
    return np.flatnonzero(np.concatenate(passes))


def _saying(table: pa.Table, words: str) -> np.ndarray:
    """Of every row, whether the words stand in one of its columns, texts or lists of messages."""
    says = np.zeros(table.num_rows, dtype=bool)
    for column in table.combine_chunks().itercolumns():
        for chunk in column.chunks:
            if isinstance(chunk, pa.ListArray):
                hits = pc.match_substring(chunk.flatten().field("content"), words).to_numpy(zero_copy_only=False)
                says[pc.list_parent_indices(chunk).to_numpy()[hits]] = True
            else:
                says |= pc.match_substring(chunk, words).to_numpy(zero_copy_only=False)
    return says


def _read(
    file: pq.ParquetFile, subset: str, group: int, places: np.ndarray, columns: list[str] | None
) -> list[dict[str, Any]]:
    """Rows of a group by their places in it: the columns (None: all) and `said`."""
    if not len(places):
        return []
    names = (
        None if columns is None else [*(name for name in columns if name in file.schema_arrow.names), *WORDS[subset]]
    )
    found = file.read_row_group(group, columns=names).take(pa.array(places)).to_pylist()
    return [{**with_present_names(one), "said": _said(one, subset)} for one in found]


def _said(one: dict[str, Any], subset: str) -> list[tuple[str, str]]:
    """Return a row's words with what they are: text; or question, answer, and by whom it goes on; or with rejected."""
    if subset == "pretrain":
        return [("text", one["text"])]
    if subset == "reasoning":
        thought, answer = split_thought(one["messages"][1]["content"])
        return [("question", one["messages"][0]["content"]), ("reasoning", thought), ("answer", answer)]
    if subset == "sft":
        names = {ASKER: ("question", FOLLOW_UP), DOCTOR: ("answer", REPLY)}
        return [(names[message["role"]][n > 1], message["content"]) for n, message in enumerate(one["messages"])]
    said = zip(("question", "answer", "rejected"), WORDS[subset], strict=True)
    return [(what, one[name][0]["content"]) for what, name in said]


def moved(lake: Lake, old: str, new: str) -> list[dict[str, Any]]:
    """Rows by subset and source that are in both releases, only in the new or only in the old: same, added, removed.

    Only ids and sources are read. A row whose words changed has another id: it counts as removed and added.
    """
    counted = []
    for subset in WORDS:
        before, after = (_ids(lake, version, subset) for version in (old, new))
        both = before.join(after, on="id", how="full", coalesce=True)
        counts = both.select(
            source=pl.coalesce("source_right", "source"),
            added=pl.col("source").is_null(),
            removed=pl.col("source_right").is_null(),
        )
        sums = counts.group_by("source").agg(pl.len().alias("rows"), pl.col("added", "removed").sum())
        counted += [{"subset": subset, **row} for row in sums.sort("source").to_dicts()]
    return [{**row, "same": row["rows"] - row["added"] - row["removed"]} for row in counted]


def changed(lake: Lake, old: str, new: str, subset: str, most: int = 5) -> dict[str, list[dict[str, Any]]]:
    """Return some rows themselves: `added`, `removed`, and `edited`, where a row of the same page took another's place.

    Each is a dict of `old` and `new`, rows as `row` gives them, or None. Only ids and addresses are read of the rest.
    """
    before, after = (_placed(lake, version, subset) for version in (old, new))
    removed, added = before.join(after, on="id", how="anti"), after.join(before, on="id", how="anti")
    alone = [side.filter(pl.col("url").is_unique()) for side in (removed, added)]
    edited = alone[0].join(alone[1], on="url", suffix="_new").sort("id")
    gone = removed.join(edited, on="id", how="anti").sort("id")
    come = added.join(edited.select(id="id_new"), on="id", how="anti").sort("id")
    return {
        "edited": [
            {"old": row(lake, old, one["id"]), "new": row(lake, new, one["id_new"])}
            for one in edited.head(most).to_dicts()
        ],
        "added": [{"old": None, "new": row(lake, new, id)} for id in come["id"].head(most)],
        "removed": [{"old": row(lake, old, id), "new": None} for id in gone["id"].head(most)],
    }


def _placed(lake: Lake, version: str, subset: str) -> pl.DataFrame:
    """id and url of every row of a subset."""
    frames = [pl.DataFrame(schema={"id": pl.String, "url": pl.String})]
    for name in _filled(lake, version):
        if name.startswith(f"{subset}/"):
            with _table(lake, version, name) as files:
                read = [pl.DataFrame(file.read(columns=["id", "url"])) for file in files]
            frames += [one.cast(frames[0].schema) for one in read]
    return pl.concat(frames)


def _ids(lake: Lake, version: str, subset: str) -> pl.DataFrame:
    """id (its number) and source of every row of a subset."""
    frames = [pl.DataFrame(schema={"id": pl.String, "source": pl.String})]
    for name in _filled(lake, version):
        if name.startswith(f"{subset}/"):
            with _table(lake, version, name) as files:
                read = [pl.DataFrame(file.read(columns=["id", "source"])) for file in files]
            frames += [one.cast(frames[0].schema) for one in read]
    return pl.concat(frames).select(pl.col("id").str.to_integer(base=16, dtype=pl.UInt64), "source")
