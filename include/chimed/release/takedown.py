"""Takes a page, a row of a corpus or a whole source out, for good: frontier, reviews, builds, releases. Ours.

    python -m chimed takedown <url|place|id|source> --reason "…" [--code privacy] [--releases | --purge]

The target is written to the store, with its reason, which is private; a card, a manifest and a withdrawal note tell the
code only (`codes`). From then on it is not crawled (`sources.frontier`), `extract` and `release` drop its records and
all that was derived from them, and no reviewer gets them any more. The same words at another address go with it, those
that are in the lake and those that come later (`same_words`). With `releases` every whole release that holds a row of
it is rewritten as a patch without it, and withdrawn. Where its words still lie is listed, with what to do about each
(`places`); `chimed.release.purge` takes them out there too.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from sqlalchemy import delete, select

from chimed.characters import storable
from chimed.errors import UserError, choose
from chimed.extraction.same_words import find_taken_down, remember_words
from chimed.release import WITHDRAWN, folder_of, is_whole, read_manifest, releases, review
from chimed.release.codes import CODES, UNSPECIFIED, code_of
from chimed.release.filling import Filled
from chimed.release.places import named, places, rows_held, tables_of_records
from chimed.release.sorting import of_release
from chimed.release.tables import counted
from chimed.release.target import Target, find_target, pages_of, see_that_it_is_read
from chimed.release.write import data_files, write_around, write_release
from chimed.schema import RECORD, WORD_COLUMNS
from chimed.sources import names as source_names
from chimed.storage import audit_log, layout
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.storage.lease import wait_for_lease
from chimed.storage.store import KEYS_AT_ONCE, Store, upsert
from chimed.storage.store_tables import PAGES, TAKEDOWNS
from chimed.storage.takedowns import COLUMNS, Takedowns, parse_targets

log = logging.getLogger("chimed")

OF_FILES = ("version", "checksum", "accepted", "files", "made_of", "seal")  # of a manifest: what another one has anew


def take_down(
    lake: Lake,
    store: Store,
    target: str,
    reason: str,
    rewrite: bool,
    unseen: bool = False,
    code: str = UNSPECIFIED,
    by: str = "",
) -> dict[str, Any]:
    """Take out a page, a row of a corpus (by URL, by its place in the lake, by a record's id) or a source.

    reason: private. code: of `codes.CODES`. unseen: take down a site's page that was never met too, so that it will not
    be crawled. by: who does it. Returns target (as it is recorded), code, pages (that left the frontier; of a corpus
    its rows), twins (addresses at which the same words stood), reviews (closed), releases (withdrawn version → its
    patch) and places (where it still is, with what to do). Raises UserError for a target that is none of these or that
    nothing is known of, an unknown code, or no reason.
    """
    noted = note(lake, store, target, reason, code, by, unseen)
    gone = parse_targets(noted.names)
    patches = {
        version: rewrite_release(lake, store, version, gone, code) for version in (releases(lake) if rewrite else ())
    }
    if rewrite:
        empty_withdrawn(lake)
    return {
        "target": noted.target,
        "code": code,
        "pages": noted.pages,
        "twins": noted.twins,
        "reviews": noted.reviews,
        "releases": {old: new for old, new in patches.items() if new},
        "places": places(lake, store, gone),
    }


@dataclass(frozen=True)
class Noted:
    """A takedown in the store. target: as it is recorded; names: it, its places and its twins' (`takedowns.of`)."""

    target: str
    names: list[str]
    twins: list[str]
    pages: int
    reviews: int


def note(lake: Lake, store: Store, said: str, reason: str, code: str, by: str, unseen: bool) -> Noted:
    """Write a takedown to the store: nothing of it is crawled, built or handed to a reviewer from now on.

    Raises UserError as `take_down` does.
    """
    if not reason.strip():
        raise UserError("a takedown needs its --reason; it stays in the store and is not published")
    choose("code", code, tuple(CODES))
    found = find_target(lake, store, said)
    if not found.is_source and not found.of_corpus:
        see_that_it_is_read(lake, store, found.name)
    left, names = _known(lake, store, found, unseen)
    twins = _twins(lake, store, parse_targets(names)) - set(names) if not found.is_source else set()
    every = [*names, *sorted(twins)]
    kept = {"reason": storable(reason), "code": code, "by": by or None, "created": datetime.now(UTC)}
    before = _taken_before(store, twins)  # a twin that has a takedown of its own keeps its reason
    upsert(store, TAKEDOWNS, [{"target": name, **kept} for name in every if name not in before])
    gone = parse_targets(every)
    with store.engine.begin() as connection:
        if found.is_source:
            connection.execute(delete(PAGES).where(PAGES.c.source == found.name))
        urls = sorted(gone.urls)
        for start in range(0, len(urls), KEYS_AT_ONCE):
            connection.execute(delete(PAGES).where(PAGES.c.url.in_(urls[start : start + KEYS_AT_ONCE])))
    audit_log.record_decision(store, "takedown", found.name, f"{left} pages, {code}", by or None)
    closed = review.close(store, _ids(lake, gone), gone.urls)
    return Noted(found.name, every, sorted(one for one in twins if not one.startswith("raw/")), left, closed)


def _taken_before(store: Store, names: set[str]) -> set[str]:
    with store.engine.connect() as connection:
        return names & set(connection.execute(select(TAKEDOWNS.c.target)).scalars())


def _is(target: Target):
    return (PAGES.c.source if target.is_source else PAGES.c.url) == target.name


def _known(lake: Lake, store: Store, target: Target, unseen: bool) -> tuple[int, list[str]]:
    """How many pages of the frontier, or rows of a corpus, the target is, and by which names it is kept.

    A corpus's row is kept by its places too: its address is made of its words, which a mended reader reads otherwise.
    Raises UserError where nothing knows the target, and for a list page, which is no text.
    """
    with store.engine.connect() as connection:
        kinds = connection.execute(select(PAGES.c.kind).where(_is(target))).scalars().all()
        before = connection.execute(select(TAKEDOWNS.c.target).where(TAKEDOWNS.c.target == target.name)).first()
    if target.of_corpus or (target.is_source and target.name not in source_names()):
        found = pages_of(lake, target)
        return len(found), [target.name, *(sorted(found) if target.of_corpus else ())]
    if not target.is_source and "list" in kinds:
        raise UserError(
            f"{target.name} is a list of pages, and no page with a text; name the page itself, or "
            f"{_source_of(store, target)} to take the whole site down"
        )
    known = kinds or before or unseen or target.is_source or pages_of(lake, target)
    if not known and not any(_holds(lake, version, target) for version in releases(lake)):
        raise UserError(
            f"looked for the page {target.name} in the frontier, in the records of every crawl and in the releases, "
            "and found nothing; see the column url of a release. To block a page that was never seen, "
            "add --unseen"
        )
    return len(kinds), [target.name]


def _source_of(store: Store, target: Target) -> str:
    with store.engine.connect() as connection:
        return str(connection.scalar(select(PAGES.c.source).where(_is(target))))


def _holds(lake: Lake, version: str, target: Target) -> bool:
    return rows_held(lake, version, parse_targets([target.name])) > 0


def _twins(lake: Lake, store: Store, gone: Takedowns) -> set[str]:
    """Addresses and places at which the words of what is taken down stand too; its words are remembered for later.

    Words of earlier takedowns do not count: what they name is gone for reasons of its own.
    """
    paths = tables_of_records(lake)
    words: set[str] = set()
    for path in paths:
        if len(named(lake, path, gone)):
            words |= remember_words(store, lakes.read_table(lake, path, schema=RECORD).filter(gone.rows()))
    twins: set[str] = set()
    for path in paths if words else ():
        columns = ["url", "page", *WORD_COLUMNS]
        for batch in lakes.read_batches(lake, path, columns, RECORD):
            same = batch.filter(find_taken_down(store, batch, words))
            twins |= set(same["url"])
            twins |= set(same.filter(pl.col("url").str.starts_with("corpus:"))["page"])
    return twins


def _ids(lake: Lake, gone: Takedowns) -> set[str]:
    """Ids of all records of what is gone, as crawls and builds have them."""
    ids: set[str] = set()
    for path in [*tables_of_records(lake), *build_tables(lake)]:
        if len(named(lake, path, gone)):
            table = lakes.read_table(lake, path, ["id", *COLUMNS], RECORD)
            ids |= set(table.filter(gone.rows())["id"])
    return ids


def build_tables(lake: Lake) -> list[str]:
    """Every stage's tables of every build, kept and dropped rows."""
    return [
        layout.build(name) for name in lakes.files(lake, layout.BUILDS) if name.endswith(".parquet") and "-" in name
    ]


# --- releases ----------------------------------------------------------------------------------------------------


def rewrite_release(lake: Lake, store: Store, version: str, gone: Takedowns, code: str) -> str | None:
    """Write a release without what is gone and withdraw it; return the patch, None where it has no such row."""
    with wait_for_lease(store, lake.root, f"release {version}", log.info):
        return _patched(lake, version, gone, code) if is_whole(lake, version) else None


def _patched(lake: Lake, version: str, gone: Takedowns, code: str) -> str | None:
    removed = rows_held(lake, version, gone)
    if not removed:
        _tell_no_reason(lake, version)
        return None
    manifest = read_manifest(lake, version)
    base, _, number = version.rpartition(".p")
    patch = f"{base}.p{int(number) + 1}" if base and number.isdigit() else f"{version}.p1"
    names = "\n".join(sorted(gone.urls | gone.sources | gone.places))
    rest = of_release(lake, folder_of(version), gone.rows(), f"{manifest['checksum']} without {names}")
    made = _as_made(manifest) | {"patch_of": version, "removed": removed, "takedown": code}
    write_release(lake, patch, rest, made, before=None)
    _withdraw(lake, version, code, patch)
    return patch


def _as_made(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest tells of how the release was made."""
    return {name: value for name, value in manifest.items() if name not in OF_FILES}


def _tell_no_reason(lake: Lake, version: str) -> None:
    """Write the card and manifest of an older version's patch anew: they tell a reason that is private today."""
    manifest, folder = read_manifest(lake, version), folder_of(version)
    if "takedown" not in manifest or code_of(manifest["takedown"]) == manifest["takedown"]:
        return
    tables = set(data_files(manifest["files"])) - {"dataset_info.json", "statistics.json"}
    files = {name: manifest["files"][name] for name in tables}
    write_around(
        lake, version, Filled(files, counted(lake, folder)), _as_made(manifest) | {"takedown": UNSPECIFIED}, before=None
    )


def _withdraw(lake: Lake, version: str, code: str, replaced_by: str) -> None:
    """Make a release invisible; what stays in its place says why, in a code, and where its patch is."""
    folder, now = folder_of(version), datetime.now(UTC).isoformat(timespec="seconds")
    said = {"version": version, "code": code, "replaced_by": replaced_by, "withdrawn": now}
    checksum = read_manifest(lake, version).get("checksum")
    lakes.write_json(lake, f"{folder}/{WITHDRAWN}", said | {"checksum": checksum})
    lakes.remove(lake, f"{folder}/{layout.MANIFEST}")


def empty_withdrawn(lake: Lake) -> None:
    """Take the files of withdrawn releases away, also of one whose withdrawal was interrupted; a note of an older
    version loses its reason, which is private today."""
    for version in lakes.names(lake, layout.RELEASES):
        folder = folder_of(version)
        left = lakes.files(lake, folder)
        if WITHDRAWN not in left or is_whole(lake, version):
            continue
        for name in left:
            if name != WITHDRAWN:
                lakes.remove(lake, f"{folder}/{name}")
        said = lakes.read_json(lake, f"{folder}/{WITHDRAWN}")
        if "reason" in said:
            told = {name: value for name, value in said.items() if name != "reason"}
            lakes.write_json(lake, f"{folder}/{WITHDRAWN}", {"code": UNSPECIFIED} | told)
