"""Read crawled pages into records: every page ends as records or as a named miss (paper §3.1).

Reads WARC only, so a mended parser needs no second crawl: a crawl's records are made again when the code that reads
its pages has changed, and kept otherwise. `extracts/<source>/<crawl>/` holds kept, dropped and the report.
"""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from datetime import datetime
from types import ModuleType

import polars as pl
from parsel import Selector

from chimed import lake as lakes
from chimed import records as record_schema
from chimed.build import Work, read_build
from chimed.errors import UserError, WorkStopped
from chimed.lake import Lake
from chimed.ledger import Outcome
from chimed.records import DROPPED, RECORD, RECORD_COLUMNS, dropped_table, from_page, table
from chimed.settings import settings
from chimed.sources import corpus, warc
from chimed.sources import page as site_pages
from chimed.sources import parsed as page_parsed
from chimed.sources import text as page_text
from chimed.sources.page import PAGE_BYTES, Miss, Site, load
from chimed.sources.text import decode
from chimed.sources.warc import Stored
from chimed.takedowns import REASON, takedowns

AGAIN = "fetched again unchanged"
OVER = "over max_records"
OTHER = "another answer of its question was taken"
FEW_MISSES = 4  # so many say nothing of a site, whatever their share (settings.miss_share)


class TooManyMisses(WorkStopped):
    """So many of a crawl's pages gave no record that its parser or its site must have changed."""


def extract_crawl(lake: Lake, source: str, crawl: str) -> dict:
    """Records and misses of one crawl; returns the report: pages, records, misses and failures by reason.

    A no-op where they were made by the same code. Raises UserError where the crawl is not finished.
    """
    raw, folder = f"raw/{source}/{crawl}", f"extracts/{source}/{crawl}"
    if not lakes.exists(lake, f"{raw}/report.json"):
        raise UserError(f"crawl {crawl} of {source} is not finished; run: python -m chimed crawl {source}")
    of_files = lakes.read_json(lake, f"{raw}/report.json").get("form") == corpus.FILES
    made_by = fingerprint(corpus if of_files else importlib.import_module(f"chimed.sources.{source}"))
    if lakes.exists(lake, f"{folder}/report.json"):
        report = lakes.read_json(lake, f"{folder}/report.json")
        if report["fingerprint"] == made_by:
            return report
    kept: dict[str, dict] = {}
    left: list[dict] = []
    pages = 0
    for rows in _corpus_pages(lake, source, raw) if of_files else _crawled_pages(lake, source, raw):
        pages += 1
        if isinstance(rows, dict):
            left.append(rows)
        else:
            left += _replace(kept, rows)
    left = _without_kept_pages(left, kept)
    if pages:  # a refresh that found nothing new leaves its report only
        lakes.write_table(lake, f"{folder}/kept.parquet", table(list(kept.values())), RECORD)
        lakes.write_table(lake, f"{folder}/dropped.parquet", dropped_table(left), DROPPED)
    report = {
        "source": source,
        "crawl": crawl,
        "fingerprint": made_by,
        "pages": pages,
        "kept_pages": len({row["page"] for row in kept.values()}),
        "records": len(kept),
        "dropped": _count(left, "dropped"),
        "failed": _count(left, "failed"),
    }
    lakes.write_json(lake, f"{folder}/report.json", report)
    return report


def check_misses(report: dict) -> None:
    """Raises TooManyMisses where the report of `extract_crawl` has more of them than `settings.miss_share` allows."""
    left = {reason: pages for reason, pages in (report["dropped"] | report["failed"]).items() if reason != AGAIN}
    missed, most = sum(left.values()), settings().miss_share
    if missed > max(FEW_MISSES, most * report["pages"]):
        worst = max(left, key=lambda reason: left[reason])
        raise TooManyMisses(
            f"{missed} of {report['pages']} pages of {report['source']} gave no record, {left[worst]} of them: "
            f"{worst}; mend its parser and run extract again, or raise CHIMED_MISS_SHARE ({most:g}) if it is like that"
        )


def _crawled_pages(lake: Lake, source: str, raw: str) -> Iterator[list[dict] | dict]:
    site = load(source)
    for path in warc.files(lake, raw):
        for stored in warc.responses(lake, path):
            if stored.kind == "detail":
                yield read_page(site, stored)


def _corpus_pages(lake: Lake, source: str, raw: str) -> Iterator[list[dict] | dict]:
    fetched = datetime.fromisoformat(lakes.read_json(lake, f"{raw}/report.json")["finished"])
    for place, read in corpus.read_files(lake, raw):
        if isinstance(read, Miss):
            yield _left(source, "tcm", f"corpus:{place}", fetched, place, "dropped", read.reason)
        else:
            yield [from_page(read, source=source, url=corpus.address(source, read), fetched=fetched, page=place)]


def read_pages(work: Work, shard: int) -> tuple[pl.DataFrame, Outcome]:
    """The pages of a build's shard (columns id, source) and what became of them.

    Outcome: kept, the pages that gave records; dropped, the misses; derived, the records. An unchanged page that was
    fetched by several crawls of the shard gives its records once, as the latest fetch; what was taken down gives none.
    """
    made = read_build(work.lake, work.build)
    parts = [entry.split("/", 1) for entry in made["shards"][shard]]
    for source, crawl in parts:
        report = extract_crawl(work.lake, source, crawl)
        work.say(f"extract {source}/{crawl}: {report['pages']} pages, {report['records']} records")
    folders = [f"extracts/{source}/{crawl}" for source, crawl in parts]
    folders = [folder for folder in folders if lakes.exists(work.lake, f"{folder}/kept.parquet")]
    found = [lakes.read_table(work.lake, f"{folder}/kept.parquet") for folder in folders]
    missed = [lakes.read_table(work.lake, f"{folder}/dropped.parquet") for folder in folders]
    every = pl.concat(found) if found else pl.DataFrame(schema=RECORD_COLUMNS)
    dropped = pl.concat([*missed, dropped_table([])])

    standing = every.filter(~takedowns(work.store).rows())
    dropped = pl.concat([dropped, _pages_left(every, standing, REASON)])
    latest = standing.sort("fetched", "page").unique("id", keep="last", maintain_order=True)
    dropped = pl.concat([dropped, _pages_left(standing, latest, AGAIN)])
    chosen, others = _answers(latest, work.options.answers)
    cut, over = _cut(chosen, work.options.max_records, made["shards"], shard)
    dropped = pl.concat([dropped, _pages_left(latest, cut, OVER)])
    kept_pages = cut.select(id="page", source="source").unique(maintain_order=True)
    over = pl.concat([over.with_columns(reason=pl.lit(OVER)), others.with_columns(reason=pl.lit(OTHER))])
    over = over.filter(pl.col("page").is_in(kept_pages["id"].implode()))
    over = over.with_columns(fate=pl.lit("dropped"), detail=pl.lit(None, pl.String))
    pages = pl.concat([kept_pages, dropped.select("id", "source")])
    outcome = Outcome(kept=kept_pages, dropped=dropped, derived=cut, derived_dropped=over.select(DROPPED.names))
    return pages, outcome


def read_page(site: Site, stored: Stored) -> list[dict] | dict:
    """One stored page as record rows (columns of `RECORD`), or as the row of its miss (columns of `DROPPED`)."""
    url = site.canonical(stored.url)

    def left(fate: str, reason: str, detail: str | None = None) -> dict:
        return _left(site.name, site.domain, url, stored.fetched, stored.page, fate, reason, detail)

    if stored.status != 200:
        return left("dropped", f"HTTP {stored.status}")
    if len(stored.body) > PAGE_BYTES:
        return left("dropped", "too large")
    try:
        text = decode(stored.body, stored.content_type, site.encoding)
        read = site_pages.read_page(site, url, Selector(text=text)) if text.strip() else Miss("empty page")
    except Exception as error:  # a page that the parser cannot take is that page's failure, named, and no crash
        return left("failed", f"parser error: {type(error).__name__}", str(error)[:500])
    if isinstance(read, Miss):
        return left("dropped", read.reason)
    rows = [from_page(one, source=site.name, url=url, fetched=stored.fetched, page=stored.page) for one in read]
    return list({row["id"]: row for row in rows}.values())


def fingerprint(module: ModuleType) -> str:
    """A hash over the code that makes records of a site's pages."""
    parts = (module, site_pages, page_parsed, page_text, warc, record_schema, sys.modules[__name__])
    return hashlib.sha256("\0".join(map(inspect.getsource, parts)).encode()).hexdigest()[:16]


def _left(
    source: str, domain: str, url: str, fetched: datetime, page: str, fate: str, reason: str, detail: str | None = None
) -> dict:
    row = dict.fromkeys(DROPPED.names)
    row.update(id=page, source=source, domain=domain, kind="page", language="zh", url=url, fetched=fetched, page=page)
    return row | {"fate": fate, "reason": reason, "detail": detail}


def _replace(kept: dict[str, dict], rows: list[dict]) -> list[dict]:
    """Takes the rows of a later page into `kept`; returns rows for earlier pages that gave the same records."""
    earlier = {kept[row["id"]]["page"]: kept[row["id"]] for row in rows if row["id"] in kept}
    kept.update((row["id"], row) for row in rows)
    return [_again(row) for row in earlier.values()]


def _again(row: dict) -> dict:
    """The row of a page all of whose records stand on a later fetch of it."""
    page = dict.fromkeys(DROPPED.names) | {name: row[name] for name in ("source", "domain", "url", "fetched", "page")}
    return {**page, "id": row["page"], "kind": "page", "language": "zh", "fate": "dropped", "reason": AGAIN}


def _without_kept_pages(left: list[dict], kept: dict[str, dict]) -> list[dict]:
    """An earlier page that still gives a record of its own is no page that left; none is listed twice."""
    standing = {row["page"] for row in kept.values()}
    return list({row["id"]: row for row in left if row["id"] not in standing}.values())


def _pages_left(before: pl.DataFrame, after: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Rows of `DROPPED` for the pages that have records in `before` and none in `after`."""
    gone = before.filter(~pl.col("page").is_in(after["page"].implode())).unique("page", maintain_order=True)
    return dropped_table([{**_again(row), "reason": reason} for row in gone.to_dicts()])


def _answers(found: pl.DataFrame, rule: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The records whose answers become pairs, and the rest. every: each answer of a question is a pair of its own;
    best: one a question, the adopted one if there is one, else the first on the page."""
    if rule == "every" or not len(found):
        return found, found.clear()
    place = pl.int_range(pl.len()) - pl.col("adopted").fill_null(False).cast(pl.Int64) * pl.len()
    first = (place == place.min()).over("page") | (pl.col("kind") != "qa")
    marked = found.with_columns(first=first)
    return marked.filter("first").drop("first"), marked.filter(~pl.col("first")).drop("first")


def _cut(
    found: pl.DataFrame, most: int | None, shards: list[list[str]], shard: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first records of each source, and the rest; `most` of a source is divided among the shards that hold it."""
    if most is None or not len(found):
        return found, found.clear()
    share = {}
    for source in found["source"].unique():
        holders = [n for n, entries in enumerate(shards) if any(entry.startswith(f"{source}/") for entry in entries)]
        share[source] = most // len(holders) + (holders.index(shard) < most % len(holders))
    allowed = pl.col("source").replace_strict(share, return_dtype=pl.Int64)
    within = pl.int_range(pl.len()).over("source") < allowed
    ordered = found.sort("page", "id").with_columns(within=within)
    return ordered.filter("within").drop("within"), ordered.filter(~pl.col("within")).drop("within")


def _count(rows: list[dict], fate: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        if row["fate"] == fate:
            counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    return dict(sorted(counts.items()))
