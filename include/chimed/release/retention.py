"""How long is kept what nobody needs for ever: rows that were dropped, raw pages. By age, as the settings say. Ours.

    python -m chimed retention [--dry-run]

Rows that left a build for an identifier or a name, or with one, lose their words in every table of that build after
`CHIMED_RETENTION_IDENTIFIERS` days (90), and their texts leave the review queue. All other dropped rows
(`CHIMED_RETENTION_DROPPED`) and raw pages (`CHIMED_RETENTION_RAW`) are kept for ever unless a number of days is set.
Counts stay as they were. Of a crawl whose raw pages went, the records stay as they were read last: a mended parser does
not change them any more.
"""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from sqlalchemy import delete, or_

from chimed.build.builds import list_builds, read_build
from chimed.crawl.finished import INDEX
from chimed.extraction.crawl_records import RETIRED, extract_crawl
from chimed.release.places import has_words
from chimed.release.purge import journal as journals
from chimed.release.purge import tables
from chimed.release.purge.journal import Journal
from chimed.schema import DROPPED
from chimed.settings import Settings
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.storage import layout, warc
from chimed.storage.contents import SEAL, sealed
from chimed.storage.lake import Lake
from chimed.storage.store import Store
from chimed.storage.store_tables import REVIEW_QUEUE
from chimed.storage.versions import delete_older

FOR_AN_IDENTIFIER = ("identifier: ", "name: ")  # how the reasons of `screen`'s rules begin
NAME = "retention"

log = logging.getLogger("chimed")


def retain(lake: Lake, store: Store, settings: Settings, dry_run: bool = False) -> dict[str, Any]:
    """Apply the retention settings and return what was deleted.

    Keys: rows (by build), reviews, raw (crawls whose pages were deleted), older versions. dry_run: only count. Safe to
    run again after an interruption. Raises UserError where a table or a report cannot be read.
    """
    now = datetime.now(UTC)
    journal = None if dry_run else journals.unfinished(store, NAME) or journals.begin(store, NAME, NAME, [])
    rows: dict[str, int] = {}
    for version in list_builds(lake):
        made = datetime.fromisoformat(read_build(lake, version)["made"])
        which = _reasons(settings, now - _aware(made))
        if which is not None and (count := _blank(journal, lake, version, which)):
            rows[version] = count
    told = {
        "rows": rows,
        "reviews": _reviews(store, settings.retention_identifiers, now, dry_run),
        "raw": _raw(journal, lake, store, settings.retention_raw, now),
    }
    if journal is None:
        return told | {"dry_run": True}
    paths = journals.files(journal)
    for path in paths:
        tables.keep_in_step(journal, lake, path)
    told["older versions"] = sum(delete_older(lake, path) for path in paths)
    journals.save(journal, datetime.now(UTC))
    return told


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reasons(settings: Settings, age: timedelta) -> pl.Expr | None:
    """Which dropped rows of a build of that age lose their words; None: none do."""
    if settings.retention_dropped and age >= timedelta(days=settings.retention_dropped):
        return pl.lit(True)
    if settings.retention_identifiers and age >= timedelta(days=settings.retention_identifiers):
        said = [pl.col("reason").str.starts_with(begin) for begin in FOR_AN_IDENTIFIER]
        return pl.any_horizontal(*said, pl.col("identifiers").list.len().fill_null(0) > 0)  # a copy of one, too
    return None


def _blank(journal: Journal | None, lake: Lake, version: str, which: pl.Expr) -> int:
    """Take the words of a build's dropped rows out of all its tables; returns how many rows had some.

    The drops go last: they say which rows of the tables before are meant.
    """
    names = [layout.build(version, name) for name in lakes.files(lake, layout.build(version))]
    drops = [name for name in names if "/dropped-" in name]
    ids: set[str] = set()
    count = 0
    for path in drops:
        columns = ["id", "reason", "identifiers", "title", "text", "question", "answer", "rejected"]
        left = lakes.read_table(lake, path, columns, DROPPED)
        chosen = left.filter(which & has_words())
        ids |= set(chosen["id"])
        count += len(chosen)
    if journal is None or not ids:
        return count
    named = pl.col("id").is_in(sorted(ids))
    for path in [*(name for name in names if "/kept-" in name), *drops]:
        tables.blank(journal, lake, path, named, "build")
    return count


def _reviews(store: Store, days: int, now: datetime, dry_run: bool) -> int:
    """Take texts that were flagged for an identifier so long ago out of the review queue; returns how many."""
    if not days or dry_run:
        return 0
    named = REVIEW_QUEUE.c
    said = or_(*(named.reason.startswith(begin) for begin in FOR_AN_IDENTIFIER))
    with store.engine.begin() as connection:
        old = named.sampled < now - timedelta(days=days)
        return connection.execute(delete(REVIEW_QUEUE).where(said, old)).rowcount


def _raw(journal: Journal | None, lake: Lake, store: Store, days: int, now: datetime) -> list[str]:
    """Take the WARC files of finished crawls of that age away, once their records are read; returns the crawls."""
    gone: Counter[str] = Counter()
    for source in source_names() if days else ():
        for crawl in lakes.names(lake, layout.raw(source)):
            folder = layout.raw(source, crawl)
            if not lakes.exists(lake, f"{folder}/{layout.REPORT}"):
                continue
            report = lakes.read_json(lake, f"{folder}/{layout.REPORT}")
            finished = _aware(datetime.fromisoformat(report["finished"])) if report.get("finished") else now
            files = warc.list_files(lake, folder)
            if not files or now - finished < timedelta(days=days):
                continue
            gone[f"{source}/{crawl}"] += len(files)
            if journal is None:
                continue
            if RETIRED not in report:
                extract_crawl(lake, source, crawl, store=store)
                retired = report | {RETIRED: now.isoformat(timespec="seconds")}
                if "written" in report:  # what is not there is not looked for; the index stays
                    retired["written"] = {name: told for name, told in report["written"].items() if name == INDEX}
                lakes.write_json(lake, f"{folder}/{layout.REPORT}", sealed(retired) if SEAL in report else retired)
            for path in files:
                journals.take_away(journal, lake, path, "WARC file")
            log.info("%s/%s: %d raw files are over %d days old and were removed", source, crawl, len(files), days)
    return sorted(gone)
