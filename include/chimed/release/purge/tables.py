"""Remove the words of some rows from the tables and reports of extracts and builds. Ours.

A removed row stays as a place without words, so what was read, kept and dropped is still accounted for. A part and the
reports that describe it (rows, bytes, hash) are rewritten together, here and nowhere else (`rewrite_part`).
"""

import io
from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from chimed.release.places import has_words
from chimed.release.purge import journal as journals
from chimed.release.purge.journal import Journal
from chimed.release.purge.words import COLUMNS, holding
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.contents import SEAL, as_json, recorded_file, sealed
from chimed.storage.lake import BATCH_ROWS, Lake
from chimed.storage.takedowns import readable

# Columns besides the words that quote them or point into them.
EMPTIED = ("reasoning", "detail", "evidence", "identifiers", "replies", "turns")


def blank(journal: Journal, lake: Lake, path: str, which: pl.Expr, what: str) -> int:
    """Blank the rows of a table that `which` selects; return how many had words."""
    with lakes.open_file(lake, path) as file, lakes.parquet_errors(path):
        table = pq.ParquetFile(file)
        schema = table.schema_arrow
        frame = pl.DataFrame(table.read())
    if not {"url", *COLUMNS} <= {*frame.columns}:
        return 0
    going = readable(frame).select((which & _says_something(frame)).fill_null(False)).to_series()
    if not going.any():
        return 0
    words = [pl.when(going & pl.col(one).is_not_null()).then(pl.lit("")).otherwise(one).alias(one) for one in COLUMNS]
    rest = [one for one in EMPTIED if one in frame.columns]
    frame = frame.with_columns(*words, *(pl.when(going).then(None).otherwise(one).alias(one) for one in rest))
    rewrite_part(journal, lake, path, frame, schema, what, int(going.sum()))
    return int(going.sum())


def _says_something(frame: pl.DataFrame) -> pl.Expr:
    rest = (pl.col(one).is_not_null() for one in EMPTIED if one in frame.columns)
    return has_words() | pl.any_horizontal(rest)


def rewrite_part(
    journal: Journal, lake: Lake, path: str, frame: pl.DataFrame, schema: pa.Schema, what: str, rows: int
) -> None:
    """Rewrite a table of the lake, and what the reports beside it say of its rows, bytes and hash."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        writer.write_table(frame.select(schema.names).to_arrow().cast(schema), row_group_size=BATCH_ROWS)
    journals.rewrite(journal, lake, path, sink.getvalue(), what, rows)
    keep_in_step(journal, lake, path)


def keep_in_step(journal: Journal, lake: Lake, path: str) -> None:
    """Update the reports beside a file, and in the folder above, to the file's present content. Safe to repeat."""
    told = journals.files(journal).get(path)
    if not told or not told.get("after"):
        return
    folder = path.rpartition("/")[0]
    for above in (folder, folder.rpartition("/")[0]):
        for name in lakes.names(lake, above):
            if not (name.startswith("report") and name.endswith(".json")):
                continue
            report = lakes.read_json(lake, f"{above}/{name}")
            before = recorded_file(report.get("written"), path.removeprefix(f"{above}/"))
            if before is None or before["sha256"] == told["after"]:
                continue
            now = {"bytes": told["bytes"], "sha256": told["after"]}
            now |= {"rows": told.get("pages", before["rows"])} if "rows" in before else {}
            report["written"] |= {path.removeprefix(f"{above}/"): written_anew(before, now)}
            whole, place = sealed(report) if SEAL in report else report, f"{above}/{name}"
            if place in journals.files(journal):  # samples left it: the receipt tells the hash that it has in the end
                journals.rewrite(journal, lake, place, as_json(whole), "report", 0)
            else:
                lakes.write_json(lake, place, whole)


def written_anew(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return a report's entry for a rewritten file with as many rows; its earlier hashes stay listed."""
    return {**before, **now, "was": [*before.get("was", []), before["sha256"]]}


# --- reports -----------------------------------------------------------------------------------------------------


def clean_reports(journal: Journal, lake: Lake, wanted: list[str]) -> int:
    """Remove samples of the purged rows, and strings with their words, from all builds' reports; return how many."""
    ids, count = frozenset(journal.ids), 0
    for name in lakes.files(lake, layout.BUILDS):
        if not name.rsplit("/", 1)[-1].startswith("report-"):
            continue
        path = layout.build(name)
        said = lakes.read_json(lake, path)
        texts = pl.Series(sorted(set(_strings(said))), dtype=pl.String)
        goes = set(texts.filter(holding(texts, wanted)))
        goes |= {text for text in texts if any(id in text for id in ids)}
        cleaned, gone = _without(said, goes)
        if gone:
            whole = sealed(cleaned) if SEAL in said else cleaned
            journals.rewrite(journal, lake, path, as_json(whole), "report", gone)
            count += gone
    return count


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(one)


def _without(value: Any, goes: set[str]) -> tuple[Any, int]:
    """Remove strings that must go from a report's value, and the whole sample (member of a list) that holds one."""
    if isinstance(value, list):
        kept = [one for one in value if goes.isdisjoint(_strings(one))]
        return kept, len(value) - len(kept)
    if isinstance(value, dict):
        found = {name: _without(one, goes) for name, one in value.items()}
        return {name: one for name, (one, _) in found.items()}, sum(count for _, count in found.values())
    if isinstance(value, str) and value in goes:
        return "", 1
    return value, 0
