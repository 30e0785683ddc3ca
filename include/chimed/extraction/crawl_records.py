"""Turn one crawl into records, in part files of limited size, so that memory holds only one part at a time.

`extracts/<source>/<crawl>/<raw file>/` has the pages of one raw file (kept-00000, dropped-00000 …) and its report. Any
worker may read raw files in any order, and a file that the same code has read is not read again: a corrected parser
needs no second crawl, and a killed extraction continues. Whether a record also appears on a later fetch of its page is
known only for the whole crawl: such rows are listed in `again.parquet`. The crawl's report is written last.
"""

import hashlib
import inspect
import logging
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from chimed import schema as record_schema
from chimed import sources
from chimed.crawl import finished, reading
from chimed.errors import UserError, WorkStopped
from chimed.extraction import corpus_files, parsed_records, raw_pages
from chimed.extraction.fields import COLUMNS, field_shares, mark_fields
from chimed.extraction.raw_pages import Page, is_corpus, list_raw_files, read_pages
from chimed.reasons import DUPLICATE_ROW, UNCHANGED
from chimed.schema import DROPPED, RECORD, dropped_table, keyed_hash, table
from chimed.settings import settings
from chimed.sources import FILES, boxes, follow_ups, page, parsed, text, turn_words
from chimed.storage import encodings, layout, warc, warc_records
from chimed.storage import lake as lakes
from chimed.storage.checked import read_checked
from chimed.storage.contents import SpoiltFile, recorded_file, sealed
from chimed.storage.lake import Lake
from chimed.storage.states import NO_ANSWER
from chimed.storage.store import Store, open_store, secret
from chimed.text import raised
from chimed.text.encoding import misread, mojibake, surprise

log = logging.getLogger("chimed")

MAX_PART_PAGES = 5_000
MAX_PART_BYTES = 64 * 1024 * 1024  # of the pages' bodies, beyond which a part ends
RETIRED = "retired"  # in a crawl's report: when its raw pages went by their age; its records stay as they are
MAX_HARMLESS_MISSES = 4  # up to this many say nothing about a site, whatever their share (settings.miss_share)

# Rows of a crawl's parts that leave: their records stand on a later page. part: its place among the crawl's.
SUPERSEDED = pa.schema([pa.field("part", pa.int32(), False), pa.field("row", pa.int32(), False)])


class TooManyMisses(WorkStopped):
    """So many pages of a crawl gave no record that its site or its parser must have changed."""


def extract_crawl(
    lake: Lake, source: str, crawl: str, share: tuple[int, int] = (0, 1), store: Store | None = None
) -> dict[str, Any]:
    """Extract one crawl and return its report: pages, records, misses by reason, parts by raw file.

    Does nothing if the same code did it before. share: (which, of how many) raw files are read first, so that
    concurrent workers divide a crawl. store: its secret is the key of the addresses of corpus rows; default: the
    settings' store. Raises UserError if the crawl is not finished, and SpoiltFile if its files changed.
    """
    folder, raw = layout.extracts(source, crawl), layout.raw(source, crawl)
    if (finished.read_report(lake, source, crawl) or {}).get(RETIRED):
        return _read_last_report(lake, source, crawl)
    names = list_raw_files(lake, source, crawl)
    crawled = lakes.read_json(lake, f"{raw}/{layout.REPORT}")
    finished.check_files_exist(lake, crawled, raw)
    lakes.clear_drafts(lake, folder)
    key = secret(store or open_store()) if is_corpus(lake, source, crawl) else None
    made_by = fingerprint(lake, source, crawl, key)
    report = _read_current_report(lake, folder, made_by)
    if report is not None and set(report["parts"]) == set(names):  # otherwise the crawl has continued since
        return report
    made = {}
    others = random.Random(share[0]).sample(names, len(names))  # so that two workers rarely choose the same file
    for name in dict.fromkeys([*names[share[0] :: share[1]], *others]):
        made[name] = _extract_file(lake, f"{folder}/{name}", read_pages(lake, source, crawl, name, key), made_by)
    _check_pages(lake, raw, crawled, made)
    files = {name: made[name]["parts"] for name in names}
    parts = _part_names(files)
    ended = [told for name in sorted(names) for told in made[name]["ended"]]
    again = _find_superseded(lake, folder, parts)
    written = {f"{name}/{file}": said for name in names for file, said in made[name].get("written", {}).items()}
    if parts:  # a refresh that found nothing new leaves its report only
        written[layout.SUPERSEDED] = lakes.write_table(lake, f"{folder}/{layout.SUPERSEDED}", again, SUPERSEDED)
    fates = {fate: sum((Counter(one[fate]) for one in made.values()), Counter()) for fate in ("dropped", "failed")}
    repeated = DUPLICATE_ROW if is_corpus(lake, source, crawl) else UNCHANGED
    fates["dropped"] += Counter({repeated: _count_emptied_pages(lake, folder, parts, again)})
    pages = sum(one["pages"] for one in made.values())
    report = sealed(
        {
            "source": source,
            "crawl": crawl,
            "made_of": "a crawl",
            "fingerprint": made_by,
            "pages": pages,
            "kept_pages": pages - fates["dropped"].total() - fates["failed"].total(),
            "records": sum(one["records"] for one in made.values()) - len(again),
            **{fate: dict(sorted(counts.items())) for fate, counts in fates.items()},
            "fields": field_shares(_mark_parts(lake, folder, parts, again), fates["dropped"]),
            "repeated": repeated,
            "ended": {part: told for part, told in zip(parts, ended, strict=True) if told},
            "parts": files,
            "written": written,
            "inputs": {
                f"{raw}/{name}": (recorded_file(crawled.get("written"), name) or {}).get("sha256") for name in names
            },
        }
    )
    lakes.write_json(lake, f"{folder}/{layout.REPORT}", report)
    return report


def _check_pages(lake: Lake, raw: str, crawled: dict[str, Any], made: dict[str, dict[str, Any]]) -> None:
    """Raise SpoiltFile if an older crawl, whose report lists no files, has fewer pages than its report says."""
    said, read = crawled.get("pages"), sum(one["pages"] for one in made.values())
    if "written" in crawled or crawled.get("form") == FILES or not isinstance(said, int) or read >= said:
        return
    there = sum(1 for path in warc.list_files(lake, raw) for _ in warc.read_responses(lake, path))
    if there < said:
        raise SpoiltFile(f"{raw} has {there} whole pages of the {said} that were crawled; {finished.restore_hint(raw)}")


def _read_last_report(lake: Lake, source: str, crawl: str) -> dict[str, Any]:
    """Return the report of a crawl whose raw pages have been removed."""
    path = layout.extracts(source, crawl, layout.REPORT)
    if not lakes.exists(lake, path):
        raise UserError(
            f"the raw pages of crawl {crawl} of {source} were removed for their age, "
            "and its records are gone too; crawl again"
        )
    return lakes.read_json(lake, path)


def fingerprint(lake: Lake, source: str, crawl: str, key: bytes | None = None) -> str:
    """Return a hash over the code that makes records of a crawl's pages, and for a corpus over the store's key."""
    if is_corpus(lake, source, crawl):
        own = corpus_files.fingerprint_text(lakes.read_json(lake, layout.raw(source, crawl, layout.REPORT)))
    else:
        own = inspect.getsource(sources.module(source))
    reads = (
        page,
        parsed,
        parsed_records,
        follow_ups,
        turn_words,
        boxes,
        reading,
        text,
        raised,
        mojibake,
        misread,
        surprise,
        encodings,
        warc,
        warc_records,
    )
    parts = (*reads, record_schema, raw_pages, sys.modules[__name__])
    made_by = hashlib.sha256("\0".join([own, *map(inspect.getsource, parts)]).encode()).hexdigest()[:16]
    return keyed_hash(key, made_by) if key else made_by


def check_misses(report: dict[str, Any]) -> None:
    """Raise TooManyMisses if the report of `extract_crawl` has more misses than `settings.miss_share` allows."""
    told = (UNCHANGED, DUPLICATE_ROW, NO_ANSWER)  # an open question is no miss
    left = {reason: pages for reason, pages in (report["dropped"] | report["failed"]).items() if reason not in told}
    missed, most = sum(left.values()), settings().miss_share
    unit, mend = "pages", "correct its parser and run extract again"
    if report["repeated"] == DUPLICATE_ROW:
        unit = "rows"
        mend = "correct the files, or describe them (--columns, --encoding, --language), and ingest them again"
        if left and not report["records"]:  # a site's refresh may find nothing new, a corpus may not
            raise TooManyMisses(
                f"none of {missed} rows of {report['source']} gave a record, {_describe_worst(left)}; {mend}"
            )
    if missed > max(MAX_HARMLESS_MISSES, most * report["pages"]):
        raise TooManyMisses(
            f"{missed} of {report['pages']} {unit} of {report['source']} gave no record, "
            f"{_describe_worst(left)}; {mend}, "
            f"or raise CHIMED_MISS_SHARE ({most:g}) if that is right"
        )


def _describe_worst(left: dict[str, int]) -> str:
    worst = max(left, key=lambda reason: left[reason])
    return f"{left[worst]} of them: {worst}"


def read_parts(
    lake: Lake, report: dict[str, Any], share: tuple[int, int]
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield every n-th part of an extracted crawl: its records (`RECORD`), and its pages without one (`DROPPED`)."""
    folder = layout.extracts(report["source"], report["crawl"])
    parts = _part_names(report["parts"])
    for number in range(share[0], len(parts), share[1]):
        again = _read_part(lake, folder, report, f"{folder}/{layout.SUPERSEDED}")
        found = _read_part(lake, folder, report, _part_file(folder, parts[number], "kept"), RECORD)
        missed = _read_part(lake, folder, report, _part_file(folder, parts[number], "dropped"), DROPPED)
        standing = _drop_superseded(found, again, number)
        yield standing, pl.concat([missed, dropped_pages(found, standing, report["repeated"])])


def count_ended(report: dict[str, Any], share: tuple[int, int]) -> Counter[str]:
    """Return why conversations of a share of an extracted crawl end before their page does, with how many do."""
    told = report.get("ended", {})  # none in the report of an older version
    parts = _part_names(report["parts"])[share[0] :: share[1]]
    return sum((Counter(told.get(part, {})) for part in parts), Counter())


def _read_part(
    lake: Lake, folder: str, report: dict[str, Any], path: str, schema: pa.Schema | None = None
) -> pl.DataFrame:
    """Return a table of an extracted crawl. Raise SpoiltFile if it is not what was written."""
    told = recorded_file(report.get("written"), path.removeprefix(f"{folder}/"))
    mend = f"remove {path.rsplit('/', 1)[0]}; its pages are then read again without a crawl"
    with lakes.parquet_errors(path):
        return lakes.table_of(pq.ParquetFile(read_checked(lake, path, told, mend)), schema=schema)


def raw_inputs(lake: Lake, report: dict[str, Any], share: tuple[int, int]) -> dict[str, str | None]:
    """Return the raw files in a share of an extracted crawl, with their recorded hashes (or None)."""
    read = {part.rsplit("/", 1)[0] for part in _part_names(report["parts"])[share[0] :: share[1]]}
    return {path: digest for path, digest in report.get("inputs", {}).items() if path.rsplit("/", 1)[-1] in read}


def dropped_pages(before: pl.DataFrame, after: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Return rows of `DROPPED` for the pages that have records in `before` and none in `after`."""
    gone = before.filter(~pl.col("page").is_in(after["page"].implode())).unique("page", maintain_order=True)
    known = ("source", "domain", "url", "fetched", "page")
    said = {"kind": "page", "language": "zh", "fate": "dropped", "reason": reason}
    empty = dict.fromkeys(DROPPED.names)
    return dropped_table([{**empty, **row, **said, "id": row["page"]} for row in gone.select(known).to_dicts()])


# --- raw files ---------------------------------------------------------------------------------------------------


def _read_current_report(lake: Lake, folder: str, made_by: str) -> dict[str, Any] | None:
    """Return the report of what this code wrote there before; None if its files are gone or truncated."""
    try:
        report = lakes.read_json(lake, f"{folder}/{layout.REPORT}")
    except (FileNotFoundError, UserError):  # a report that was cut short is as good as none
        return None
    if report.get("fingerprint") != made_by or not isinstance(report.get("parts"), dict | int):
        return None
    sizes, written = lakes.sizes(lake, folder), report.get("written", {})
    lost = [name for name in written if sizes.get(name) != written[name]["bytes"]]
    if lost:
        log.warning("%s/%s is not what was written; its pages are read again", folder, lost[0])
    return None if lost else report


def _extract_file(lake: Lake, folder: str, pages: Iterable[Page], made_by: str) -> dict[str, Any]:
    """Write the pages of one raw file in parts and return its report. Does nothing if the same code did it before."""
    if (report := _read_current_report(lake, folder, made_by)) is not None:
        return report
    totals: Counter[str] = Counter()
    fates: dict[str, Counter[str]] = {"dropped": Counter(), "failed": Counter()}
    written = {}
    ended: list[dict[str, int]] = []
    for part in _split_into_parts(pages):
        kept = [row for rows in part if isinstance(rows, list) for row in rows]
        left = [rows for rows in part if isinstance(rows, dict)]
        for fate, rows, schema in (("kept", table(kept), RECORD), ("dropped", dropped_table(left), DROPPED)):
            name = f"{fate}-{totals['parts']:05d}.parquet"
            written[name] = lakes.write_table(lake, f"{folder}/{name}", rows, schema)
        ended.append(dict(sorted(Counter(row["ended"] for row in kept if "ended" in row).items())))
        totals.update(parts=1, pages=len(part), records=len(kept))
        for row in left:
            fates[row["fate"]][row["reason"]] += 1
    counts = {name: totals[name] for name in ("parts", "pages", "records")}
    report = sealed(
        {
            "made_of": folder.removeprefix("extracts/"),
            "fingerprint": made_by,
            **counts,
            **fates,
            "ended": ended,
            "written": written,
        }
    )
    lakes.write_json(lake, f"{folder}/{layout.REPORT}", report)
    return report


def _split_into_parts(pages: Iterable[Page]) -> Iterator[list[list[dict[str, Any]] | dict[str, Any]]]:
    """Yield the rows of pages, one list per part."""
    part: list[list[dict[str, Any]] | dict[str, Any]] = []
    held = 0
    for one in pages:
        part.append(one.rows)
        held += max(one.size, _characters(one.rows))
        if len(part) == MAX_PART_PAGES or held >= MAX_PART_BYTES:
            yield part
            part, held = [], 0
    if part:
        yield part


def _characters(rows: list[dict[str, Any]] | dict[str, Any]) -> int:
    """Of the words of a page's records: a question counts with each of its answers, for it stands in each record."""
    several = rows if isinstance(rows, list) and len(rows) > 1 else []
    turns = sum(len(turn["text"]) for row in several for turn in row["turns"] or ())
    return turns + sum(len(row[name] or "") for row in several for name in ("title", "text", "question", "answer"))


def _part_names(files: dict[str, int]) -> list[str]:
    """Return the parts of a crawl (`<raw file>/<number>`) in page order, from the number of parts per raw file."""
    return [f"{name}/{number:05d}" for name in sorted(files) for number in range(files[name])]


def _part_file(folder: str, part: str, fate: str) -> str:
    """Return the path of a part's kept or dropped rows."""
    name, number = part.rsplit("/", 1)
    return f"{folder}/{name}/{fate}-{number}.parquet"


# --- a later fetch of the same page ------------------------------------------------------------------------------


def _find_superseded(lake: Lake, folder: str, parts: list[str]) -> pl.DataFrame:
    """Return the rows whose record also appears on a later page (`SUPERSEDED`). Ids are compared as 64-bit numbers."""
    number = pl.col("id").str.to_integer(base=16, dtype=pl.UInt64)
    ids = [pl.DataFrame(schema={"id": pl.UInt64, "part": pl.Int32, "row": pl.Int32})]
    for n, part in enumerate(parts):
        column = pl.concat(
            [batch.select(number) for batch in lakes.read_batches(lake, _part_file(folder, part, "kept"), ["id"])]
        )
        ids.append(column.with_columns(part=pl.lit(n, pl.Int32), row=pl.int_range(pl.len(), dtype=pl.Int32)))
    return pl.concat(ids).filter(~pl.col("id").is_last_distinct()).drop("id")


def _drop_superseded(found: pl.DataFrame, again: pl.DataFrame, number: int) -> pl.DataFrame:
    """Return the rows of a part that no later page replaces."""
    gone = again.filter(pl.col("part") == number)["row"]
    return found.filter(~pl.int_range(pl.len(), dtype=pl.Int32).is_in(gone.implode()))


def _mark_parts(lake: Lake, folder: str, parts: list[str], again: pl.DataFrame) -> list[pl.DataFrame]:
    """Return which fields each record of each part has (`extraction.fields`), without superseded records."""
    found = []
    for number, part in enumerate(parts):
        columns = lakes.read_table(lake, _part_file(folder, part, "kept"), COLUMNS)
        found.append(mark_fields(_drop_superseded(columns, again, number)))
    return found


def _count_emptied_pages(lake: Lake, folder: str, parts: list[str], again: pl.DataFrame) -> int:
    """Return how many pages have no record left."""
    gone = 0
    for number in again["part"].unique():
        pages = lakes.read_table(lake, _part_file(folder, parts[number], "kept"), ["page"])
        gone += pages["page"].n_unique() - _drop_superseded(pages, again, number)["page"].n_unique()
    return gone
