"""Remove the words of a page, a row or a source from everything in lake and store, for good, with a receipt. Ours.

    python -m chimed takedown <url|place|id|source> --reason "…" --purge

A purge starts as a takedown. Then everything that must be found by the words is found while they are still there:
requests and replies, perplexities, reviews, and lists and reports that show them. Then the words are removed from raw
pages, extracts, builds and releases, from free pages in the store's file, and from older versions of a bucket's
objects. Each file is recorded in the store before it is rewritten, and rewritten atomically, so a purge that was killed
at any point is finished by running it again. The receipt lists what is out of reach: copies elsewhere, models, logs,
backups.
"""

import logging
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

from chimed.errors import UserError, WorkStopped
from chimed.release import WITHDRAWN, folder_of, releases
from chimed.release.codes import UNSPECIFIED
from chimed.release.places import FOLDERS, is_held_back, places, tables_of_records
from chimed.release.purge import journal as journals
from chimed.release.purge import kept, raw, tables, words
from chimed.release.purge.journal import Journal
from chimed.release.takedown import build_tables, empty_withdrawn, note, rewrite_release
from chimed.schema import words as own_words
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.lease import hold_lease
from chimed.storage.store import Store
from chimed.storage.versions import delete_older

log = logging.getLogger("chimed")

# what no purge reaches, told in every receipt
ELSEWHERE = (
    "models that were trained on a release with these words, and their checkpoints",
    "backups of lake and store, and a PostgreSQL server's own log (WAL) until it is recycled",
    "logs of Airflow and of the model servers, and caches of who loaded a release",
)


def purge(
    lake: Lake, store: Store, said: str, reason: str, unseen: bool = False, code: str = UNSPECIFIED, by: str = ""
) -> dict[str, Any]:
    """Take a target down and remove its words everywhere; return the receipt, which is also written to `purges/`.

    said, reason, code, unseen, by: as for `take_down`; the reason is not kept. A purge of the same target that was
    killed is continued. Raises UserError as `take_down` does, if the site is being crawled, or if the store is in use.
    """
    journal = journals.unfinished(store, said)
    if journal is None:
        noted = note(lake, store, said, reason, code, by, unseen)
        journal = journals.begin(store, said, noted.target, noted.names)
        _count(journal, "review_queue", noted.reviews)
    else:
        log.info("purge %s of %s was begun before and goes on", journal.id, journal.target)
        _keep_in_step(journal, lake)
    with ExitStack() as held:
        for source in sorted(
            {path.split("/")[1] for path in raw.crawl_files(lake, journal.gone)} & set(source_names())
        ):
            held.enter_context(hold_lease(store, lake.at(layout.RAW), source, partial(_lost, source)))
        if not journal.searched:
            _find_by_words(journal, lake)
        _take_out(journal, lake, code)
    journal.counts["older versions"] = journal.counts.get("older versions", 0) + sum(
        delete_older(lake, f"{folder}/") for folder in FOLDERS
    )
    kept.forget_reasons(store, journal.names, f"not kept: purge {journal.id}")
    journals.save(journal)
    kept.vacuum(store)
    return _receipt(journal, lake, code, by)


def _lost(source: str, why: str) -> None:
    log.warning("%s: %s; run the same purge again when the crawl is done", source, why)


def _find_by_words(journal: Journal, lake: Lake) -> None:
    """Find and remove everything that must be found by the words or the rows' own columns, before these are gone."""
    gone, store = journal.gone, journal.store
    said: set[str] = set()
    keys: set[str] = set()
    scored: set[str] = set()
    for path in [*tables_of_records(lake), *build_tables(lake), *_tables_of_releases(lake)]:
        rows = words.rows_of(lake, path, gone)
        if not len(rows):
            continue
        said |= words.texts_of(rows)
        keys |= words.replies_of(rows)
        journal.ids = sorted({*journal.ids, *rows["id"]})
        if "answer" in rows.columns:  # a stage's rows; a release's have messages
            scored |= set(rows.select(own_words().fill_null("")).to_series())
    journals.save(journal)
    wanted = words.stretches(lake, said, gone)
    log.info("%d records, %d stretches of their words to look for", len(journal.ids), len(wanted))
    _count(journal, "replies", kept.forget_replies(store, keys, wanted))
    _count(journal, "perplexities", kept.forget_scores(store, scored))
    for name, count in kept.forget_reviews(store, journal.ids, gone.urls, wanted).items():
        _count(journal, name, count)
    _count(journal, "samples in reports", tables.clean_reports(journal, lake, wanted))
    found: Counter[str] = Counter()
    for path in raw.crawl_files(lake, gone):
        why, others = raw.purge_crawl(journal, lake, path, wanted)
        kept.ask_again(store, others)
        found += why
    for name, count in found.items():
        _count(journal, f"raw records: {name}", count)
    journal.searched = True
    journals.save(journal)


def _take_out(journal: Journal, lake: Lake, code: str) -> None:
    """Remove the words themselves from every file whose rows say whose they are."""
    gone = journal.gone
    for path in raw.crawl_files(lake, gone):  # what a killed crawl has added since
        raw.purge_crawl(journal, lake, path, [])
    _count(journal, "rows of corpora", raw.purge_corpora(journal, lake))
    which = gone.rows()
    for what, paths in (("extract", tables_of_records(lake)), ("build", build_tables(lake))):
        _count(journal, f"rows of {what}s", sum(tables.blank(journal, lake, path, which, what) for path in paths))
    for version in lakes.names(lake, layout.RELEASES):
        if is_held_back(lake, version) and _held_back_holds(lake, version, journal):
            for name in lakes.files(lake, folder_of(version)):
                journals.take_away(journal, lake, f"{folder_of(version)}/{name}", "release held back")
    for version in releases(lake):
        patch = rewrite_release(lake, journal.store, version, gone, code)
        if patch:
            told = {"what": "release", "rows": 0, "before": None, "after": None, "replaced_by": patch}
            journals.put_down(journal, folder_of(version), told)
    empty_withdrawn(lake)
    if lakes.exists(lake, layout.STEPS):  # a stage that is under way takes its steps again: they hold letters of texts
        lakes.remove_folder(lake, layout.STEPS)
    _keep_in_step(journal, lake)
    for folder in FOLDERS:
        lakes.clear_drafts(lake, folder)  # left by killed writers


def _keep_in_step(journal: Journal, lake: Lake) -> None:
    """Update all reports to the rewritten files, because readers compare the two."""
    raw.keep_in_step(journal, lake)
    for path in journals.files(journal):
        tables.keep_in_step(journal, lake, path)


def _held_back_holds(lake: Lake, version: str, journal: Journal) -> bool:
    names = [name for name in lakes.files(lake, folder_of(version)) if name.endswith(".parquet")]
    try:
        return any(len(words.rows_of(lake, f"{folder_of(version)}/{name}", journal.gone)) for name in names)
    except (OSError, ValueError, UserError):  # half a file, of a writer that was killed: it is written anew in any case
        return True


def _tables_of_releases(lake: Lake) -> list[str]:
    names = [name for name in lakes.files(lake, layout.RELEASES) if name.endswith(".parquet")]
    broken = {version for version in lakes.names(lake, layout.RELEASES) if is_held_back(lake, version)}
    return [layout.release(name) for name in names if name.split("/")[0] not in broken]


def _count(journal: Journal, what: str, count: int) -> None:
    if count:
        journal.counts[what] = journal.counts.get(what, 0) + count
        journals.save(journal)


# --- the receipt -------------------------------------------------------------------------------------------------


def _receipt(journal: Journal, lake: Lake, code: str, by: str) -> dict[str, Any]:
    """Write the receipt: what was rewritten, with hashes before and after, and what is left to do by hand.

    It holds none of the removed words. Raises WorkStopped if words are left in lake or store, from a stage that ran
    meanwhile.
    """
    left = places(lake, journal.store, journal.gone)
    inside = [one["where"] for one in left if one["what"] in ("raw", "extract", "build", "release")]
    if inside:
        raise WorkStopped(
            f"purge {journal.id}: {', '.join(inside[:5])} hold words again, of a stage that ran meanwhile; run the "
            "same again when none runs"
        )
    finished = datetime.now(UTC)
    withdrawn = {
        version: lakes.read_json(lake, f"{folder_of(version)}/{WITHDRAWN}").get("replaced_by")
        for version in lakes.names(lake, layout.RELEASES)
        if lakes.exists(lake, f"{folder_of(version)}/{WITHDRAWN}")
    }
    files = [{"path": path, **told} for path, told in journals.files(journal).items()]
    receipt = {
        "purge": journal.id,
        "target": journal.target,
        "code": code,
        "by": by or None,
        "begun": journal.begun.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "counts": dict(sorted(journal.counts.items())),
        "files": files,
        "withdrawn": withdrawn,
        "left to you": left,
        "not reached": list(ELSEWHERE),
    }
    lakes.write_json(lake, f"purges/{journal.id}.json", receipt)
    journals.save(journal, finished)
    return receipt


def receipts(lake: Lake) -> list[dict[str, Any]]:
    """Return all receipts, oldest first. Raises UserError if one cannot be read."""
    try:
        found = [lakes.read_json(lake, f"purges/{name}") for name in lakes.names(lake, "purges")]
    except FileNotFoundError as error:
        raise UserError(f"a receipt was taken away meanwhile: {error}") from None
    return sorted(found, key=lambda one: one["finished"])
