"""One crawl as records, in part files of bounded size: what is held at once is a part, and a few bytes a record.

`extracts/<source>/<crawl>/<raw file>/` holds the pages of one raw file (kept-00000, dropped-00000 …) and its report.
Raw files are read in any order by any worker, and none again that the same code has read: a mended parser needs no
second crawl, and a killed extraction goes on. Only the whole crawl tells which records stand on a later fetch of their
page too: those rows are listed in `again.parquet`. The crawl's report is written last.
"""

import hashlib
import inspect
import logging
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from chimed import schema as record_schema
from chimed import sources
from chimed.crawl import finished, reading
from chimed.errors import UserError, WorkStopped
from chimed.extraction import corpus_files, raw_pages
from chimed.extraction.fields import COLUMNS, fields, marks
from chimed.extraction.raw_pages import Page, is_corpus, pages_of, raw_files
from chimed.reasons import AGAIN, TWICE
from chimed.schema import DROPPED, RECORD, dropped_table, keyed, table
from chimed.settings import settings
from chimed.sources import FILES, page, parsed, text
from chimed.storage import encodings, layout, warc, warc_records
from chimed.storage import lake as lakes
from chimed.storage.checked import read_checked
from chimed.storage.contents import SpoiltFile, sealed, told_of
from chimed.storage.lake import Lake
from chimed.storage.states import NO_ANSWER
from chimed.storage.store import Store, open_store, secret
from chimed.text import raised
from chimed.text.encoding import misread, mojibake, surprise

log = logging.getLogger("chimed")

PAGES_A_PART = 5_000
BYTES_A_PART = 64 * 1024 * 1024  # of the pages' bodies, beyond which a part ends
RETIRED = "retired"  # in a crawl's report: when its raw pages went by their age; its records stay as they are
FEW_MISSES = 4  # so many say nothing of a site, whatever their share (settings.miss_share)

# Rows of a crawl's parts that leave: their records stand on a later page. part: its place among the crawl's.
SUPERSEDED = pa.schema([pa.field("part", pa.int32(), False), pa.field("row", pa.int32(), False)])


class TooManyMisses(WorkStopped):
    """So many of a crawl's pages gave no record that its parser or its site must have changed."""


def extract_crawl(
    lake: Lake, source: str, crawl: str, share: tuple[int, int] = (0, 1), store: Store | None = None
) -> dict:
    """Records and misses of one crawl; returns the report: pages, records, misses by reason, parts by raw file.

    A no-op where they were made by the same code. share: (which, of how many) raw files are read before the others, so
    that workers on one crawl divide them. store: whose secret makes the addresses of a corpus's rows; the settings'
    where none is given. Raises UserError where the crawl is not finished, SpoiltFile where its files are not what it
    left.
    """
    folder, raw = layout.extracts(source, crawl), layout.raw(source, crawl)
    if (finished.report_of(lake, source, crawl) or {}).get(RETIRED):
        return _as_read_last(lake, source, crawl)
    names = raw_files(lake, source, crawl)
    crawled = lakes.read_json(lake, f"{raw}/{layout.REPORT}")
    finished.check_there(lake, crawled, raw)
    lakes.clear_drafts(lake, folder)
    key = secret(store or open_store()) if is_corpus(lake, source, crawl) else None
    made_by = fingerprint(lake, source, crawl, key)
    report = _made(lake, folder, made_by)
    if report is not None and set(report["parts"]) == set(names):  # else the crawl went on since
        return report
    made = {}
    others = random.Random(share[0]).sample(names, len(names))  # so that two workers seldom meet at one file
    for name in dict.fromkeys([*names[share[0] :: share[1]], *others]):
        made[name] = _extract_file(lake, f"{folder}/{name}", pages_of(lake, source, crawl, name, key), made_by)
    _check_pages(lake, raw, crawled, made)
    files = {name: made[name]["parts"] for name in names}
    parts = _parts(files)
    again = _superseded(lake, folder, parts)
    written = {f"{name}/{file}": said for name in names for file, said in made[name].get("written", {}).items()}
    if parts:  # a refresh that found nothing new leaves its report only
        written[layout.SUPERSEDED] = lakes.write_table(lake, f"{folder}/{layout.SUPERSEDED}", again, SUPERSEDED)
    fates = {fate: sum((Counter(one[fate]) for one in made.values()), Counter()) for fate in ("dropped", "failed")}
    repeated = TWICE if is_corpus(lake, source, crawl) else AGAIN
    fates["dropped"] += Counter({repeated: _pages_gone(lake, folder, parts, again)})
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
            "fields": fields(_marks(lake, folder, parts, again), fates["dropped"]),
            "repeated": repeated,
            "parts": files,
            "written": written,
            "inputs": {f"{raw}/{name}": (told_of(crawled.get("written"), name) or {}).get("sha256") for name in names},
        }
    )
    lakes.write_json(lake, f"{folder}/{layout.REPORT}", report)
    return report


def _check_pages(lake: Lake, raw: str, crawled: dict, made: dict[str, dict]) -> None:
    """Raises SpoiltFile where an older crawl's report, which tells of no file, says more pages than there are."""
    said, read = crawled.get("pages"), sum(one["pages"] for one in made.values())
    if "written" in crawled or crawled.get("form") == FILES or not isinstance(said, int) or read >= said:
        return
    there = sum(1 for path in warc.files(lake, raw) for _ in warc.responses(lake, path))
    if there < said:
        raise SpoiltFile(f"{raw} holds {there} whole pages of the {said} that were crawled; {finished.mend(raw)}")


def _as_read_last(lake: Lake, source: str, crawl: str) -> dict:
    """The report of a crawl whose raw pages are there no more."""
    path = layout.extracts(source, crawl, layout.REPORT)
    if not lakes.exists(lake, path):
        raise UserError(f"the raw pages of crawl {crawl} of {source} are gone by their age, and so are its records")
    return lakes.read_json(lake, path)


def fingerprint(lake: Lake, source: str, crawl: str, key: bytes | None = None) -> str:
    """A hash over the code that makes records of a crawl's pages, and of a corpus's over the store's key."""
    if is_corpus(lake, source, crawl):
        own = corpus_files.fingerprinted(lakes.read_json(lake, layout.raw(source, crawl, layout.REPORT)))
    else:
        own = inspect.getsource(sources.module(source))
    reads = (page, parsed, reading, text, raised, mojibake, misread, surprise, encodings, warc, warc_records)
    parts = (*reads, record_schema, raw_pages, sys.modules[__name__])
    made_by = hashlib.sha256("\0".join([own, *map(inspect.getsource, parts)]).encode()).hexdigest()[:16]
    return keyed(key, made_by) if key else made_by


def check_misses(report: dict) -> None:
    """Raises TooManyMisses where the report of `extract_crawl` has more of them than `settings.miss_share` allows."""
    told = (AGAIN, TWICE, NO_ANSWER)  # an open question is no miss
    left = {reason: pages for reason, pages in (report["dropped"] | report["failed"]).items() if reason not in told}
    missed, most = sum(left.values()), settings().miss_share
    unit, mend = "pages", "mend its parser and run extract again"
    if report["repeated"] == TWICE:
        unit = "rows"
        mend = "mend the files, or say what they are (--columns, --encoding, --language), and ingest them again"
        if left and not report["records"]:  # a site's refresh may find nothing new, a corpus may not
            raise TooManyMisses(f"none of {missed} rows of {report['source']} gave a record, {_worst(left)}; {mend}")
    if missed > max(FEW_MISSES, most * report["pages"]):
        raise TooManyMisses(
            f"{missed} of {report['pages']} {unit} of {report['source']} gave no record, {_worst(left)}; {mend}, "
            f"or raise CHIMED_MISS_SHARE ({most:g}) if it is like that"
        )


def _worst(left: dict[str, int]) -> str:
    worst = max(left, key=lambda reason: left[reason])
    return f"{left[worst]} of them: {worst}"


def read_parts(lake: Lake, report: dict, share: tuple[int, int]) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Of an extracted crawl every so-manyth part: its records (`RECORD`), and its pages that gave none (`DROPPED`)."""
    folder = layout.extracts(report["source"], report["crawl"])
    parts = _parts(report["parts"])
    for number in range(share[0], len(parts), share[1]):
        again = _read(lake, folder, report, f"{folder}/{layout.SUPERSEDED}")
        found = _read(lake, folder, report, _file(folder, parts[number], "kept"), RECORD)
        missed = _read(lake, folder, report, _file(folder, parts[number], "dropped"), DROPPED)
        standing = _standing(found, again, number)
        yield standing, pl.concat([missed, pages_left(found, standing, report["repeated"])])


def _read(lake: Lake, folder: str, report: dict, path: str, schema: pa.Schema | None = None) -> pl.DataFrame:
    """A table of an extracted crawl. Raises SpoiltFile where it is not what was written."""
    told = told_of(report.get("written"), path.removeprefix(f"{folder}/"))
    mend = f"take {path.rsplit('/', 1)[0]} away; its pages are then read again, and cost nothing"
    with lakes.parquet_errors(path):
        return lakes.table_of(pq.ParquetFile(read_checked(lake, path, told, mend)), schema=schema)


def raw_inputs(lake: Lake, report: dict, share: tuple[int, int]) -> dict[str, str | None]:
    """The raw files whose pages are in a share of an extracted crawl, with the hashes they had (null: not recorded)."""
    read = {part.rsplit("/", 1)[0] for part in _parts(report["parts"])[share[0] :: share[1]]}
    return {path: digest for path, digest in report.get("inputs", {}).items() if path.rsplit("/", 1)[-1] in read}


def pages_left(before: pl.DataFrame, after: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Rows of `DROPPED` for the pages that have records in `before` and none in `after`."""
    gone = before.filter(~pl.col("page").is_in(after["page"].implode())).unique("page", maintain_order=True)
    known = ("source", "domain", "url", "fetched", "page")
    said = {"kind": "page", "language": "zh", "fate": "dropped", "reason": reason}
    empty = dict.fromkeys(DROPPED.names)
    return dropped_table([{**empty, **row, **said, "id": row["page"]} for row in gone.select(known).to_dicts()])


# --- raw files ---------------------------------------------------------------------------------------------------


def _made(lake: Lake, folder: str, made_by: str) -> dict | None:
    """The report of what this code made there before; None where files of it are gone or cut since."""
    try:
        report = lakes.read_json(lake, f"{folder}/{layout.REPORT}")
    except (FileNotFoundError, UserError):  # a report that was cut short is as good as none
        return None
    if report.get("fingerprint") != made_by or not isinstance(report.get("parts"), dict | int):
        return None
    sizes, written = lakes.sizes(lake, folder), report.get("written", {})
    lost = [name for name in written if sizes.get(name) != written[name]["bytes"]]
    if lost:
        log.warning("%s/%s is not as it was written; its pages are read again", folder, lost[0])
    return None if lost else report


def _extract_file(lake: Lake, folder: str, pages: Iterable[Page], made_by: str) -> dict:
    """Writes the pages of one raw file in parts; returns its report. A no-op where the same code did it before."""
    if (report := _made(lake, folder, made_by)) is not None:
        return report
    totals: Counter[str] = Counter()
    fates: dict[str, Counter[str]] = {"dropped": Counter(), "failed": Counter()}
    written = {}
    for part in _in_parts(pages):
        kept = [row for rows in part if isinstance(rows, list) for row in rows]
        left = [rows for rows in part if isinstance(rows, dict)]
        for fate, rows, schema in (("kept", table(kept), RECORD), ("dropped", dropped_table(left), DROPPED)):
            name = f"{fate}-{totals['parts']:05d}.parquet"
            written[name] = lakes.write_table(lake, f"{folder}/{name}", rows, schema)
        totals.update(parts=1, pages=len(part), records=len(kept))
        for row in left:
            fates[row["fate"]][row["reason"]] += 1
    counts = {name: totals[name] for name in ("parts", "pages", "records")}
    report = sealed(
        {"made_of": folder.removeprefix("extracts/"), "fingerprint": made_by, **counts, **fates, "written": written}
    )
    lakes.write_json(lake, f"{folder}/{layout.REPORT}", report)
    return report


def _in_parts(pages: Iterable[Page]) -> Iterator[list[list[dict] | dict]]:
    """What the pages gave, as many at a time as a part holds."""
    part: list[list[dict] | dict] = []
    held = 0
    for one in pages:
        part.append(one.rows)
        held += max(one.size, _characters(one.rows))
        if len(part) == PAGES_A_PART or held >= BYTES_A_PART:
            yield part
            part, held = [], 0
    if part:
        yield part


def _characters(rows: list[dict] | dict) -> int:
    """Of the words of a page's records: a question counts with each of its answers, for it stands in each record."""
    several = rows if isinstance(rows, list) and len(rows) > 1 else []
    return sum(len(row[name] or "") for row in several for name in ("title", "text", "question", "answer"))


def _parts(files: dict[str, int]) -> list[str]:
    """The parts of a crawl (`<raw file>/<number>`) in the order of its pages, by how many each raw file has."""
    return [f"{name}/{number:05d}" for name in sorted(files) for number in range(files[name])]


def _file(folder: str, part: str, fate: str) -> str:
    """Where a part has its kept or dropped rows."""
    name, number = part.rsplit("/", 1)
    return f"{folder}/{name}/{fate}-{number}.parquet"


# --- a later fetch of the same page ------------------------------------------------------------------------------


def _superseded(lake: Lake, folder: str, parts: list[str]) -> pl.DataFrame:
    """Rows whose record stands on a later page of the crawl too (`SUPERSEDED`). An id is held as the number it is."""
    number = pl.col("id").str.to_integer(base=16, dtype=pl.UInt64)
    ids = [pl.DataFrame(schema={"id": pl.UInt64, "part": pl.Int32, "row": pl.Int32})]
    for n, part in enumerate(parts):
        column = pl.concat(
            [batch.select(number) for batch in lakes.read_batches(lake, _file(folder, part, "kept"), ["id"])]
        )
        ids.append(column.with_columns(part=pl.lit(n, pl.Int32), row=pl.int_range(pl.len(), dtype=pl.Int32)))
    return pl.concat(ids).filter(~pl.col("id").is_last_distinct()).drop("id")


def _standing(found: pl.DataFrame, again: pl.DataFrame, number: int) -> pl.DataFrame:
    """The rows of a part that no later page took over."""
    gone = again.filter(pl.col("part") == number)["row"]
    return found.filter(~pl.int_range(pl.len(), dtype=pl.Int32).is_in(gone.implode()))


def _marks(lake: Lake, folder: str, parts: list[str], again: pl.DataFrame) -> list[pl.DataFrame]:
    """What each record of each part has (`stages.fields`), without those that stand on a later page."""
    found = []
    for number, part in enumerate(parts):
        columns = lakes.read_table(lake, _file(folder, part, "kept"), COLUMNS)
        found.append(marks(_standing(columns, again, number)))
    return found


def _pages_gone(lake: Lake, folder: str, parts: list[str], again: pl.DataFrame) -> int:
    """How many pages have no record left."""
    gone = 0
    for number in again["part"].unique():
        pages = lakes.read_table(lake, _file(folder, parts[number], "kept"), ["page"])
        gone += pages["page"].n_unique() - _standing(pages, again, number)["page"].n_unique()
    return gone
