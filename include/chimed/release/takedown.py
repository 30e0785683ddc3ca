"""Takes a page, a row of a corpus or a whole source out, for good: frontier, builds, releases. Ours.

    python -m chimed takedown <url|place|id|source> --reason "…" [--releases]

The target is written to the store. From then on it is not crawled (`sources.frontier`), and `extract` and `release`
drop its records, and with them everything derived from them. With `releases` every whole release that holds a row of it
is rewritten as a patch without it, and withdrawn. What lies in `raw/`, in earlier builds and in the store's replies
stays, so that what was made of it can still be explained; nobody is handed it.
"""

import logging
from datetime import UTC, datetime

from sqlalchemy import delete, select

from chimed import lake as lakes
from chimed.errors import UserError
from chimed.lake import Lake
from chimed.lease import turn
from chimed.release import WITHDRAWN, folder_of, is_whole, read_manifest, releases
from chimed.release.rows import read_tables
from chimed.release.target import Target, find_target, pages_of
from chimed.release.write import write_release
from chimed.sources import NAMES as SOURCES
from chimed.store import PAGES, TAKEDOWNS, Store, upsert
from chimed.takedowns import Takedowns, of

log = logging.getLogger("chimed")


def take_down(lake: Lake, store: Store, target: str, reason: str, rewrite: bool, unseen: bool = False) -> dict:
    """Takes out a page, a row of a corpus (by URL, by its place in the lake, by a record's id) or a source.

    unseen: take down a site's page that was never met too, so that it will not be crawled. Returns target (as it is
    recorded), pages (that left the frontier; of a corpus its rows), and releases: withdrawn version → its patch.
    Raises UserError for a target that is none of these or that nothing is known of, or no reason.
    """
    if not reason.strip():
        raise UserError("a takedown needs its --reason; it is stored and printed in the card of the patch")
    found = find_target(lake, target)
    left, names = _known(lake, store, found, unseen)
    upsert(store, TAKEDOWNS, [{"target": name, "reason": reason, "created": datetime.now(UTC)} for name in names])
    with store.engine.begin() as connection:
        connection.execute(delete(PAGES).where(_is(found)))
    gone = of(names)
    patches = {version: _rewrite(lake, store, version, gone, reason) for version in (releases(lake) if rewrite else ())}
    if rewrite:
        _empty_withdrawn(lake)
    return {"target": found.name, "pages": left, "releases": {old: new for old, new in patches.items() if new}}


def _is(target: Target):
    return (PAGES.c.source if target.is_source else PAGES.c.url) == target.name


def _known(lake: Lake, store: Store, target: Target, unseen: bool) -> tuple[int, list[str]]:
    """How many pages of the frontier, or rows of a corpus, the target is, and by which names it is kept.

    A corpus's row is kept by its places too: its address is made of its words, which a mended reader reads otherwise.
    Raises UserError where nothing knows the target.
    """
    with store.engine.connect() as connection:
        pages = len(connection.execute(select(PAGES.c.url).where(_is(target))).all())
        before = connection.execute(select(TAKEDOWNS.c.target).where(TAKEDOWNS.c.target == target.name)).first()
    if target.of_corpus or (target.is_source and target.name not in SOURCES):
        places = pages_of(lake, target)
        return len(places), [target.name, *(sorted(places) if target.of_corpus else ())]
    known = pages or before or unseen or target.is_source or pages_of(lake, target)
    if not known and not any(_holds(lake, version, target) for version in releases(lake)):
        raise UserError(
            f"looked for the page {target.name} in the frontier, in the records of every crawl and in the releases, "
            "and found nothing; see the column url of a release. To block a page that was never seen, "
            "add --unseen"
        )
    return pages, [target.name]


def _holds(lake: Lake, version: str, target: Target) -> bool:
    gone = of([target.name])
    return any(len(table.filter(gone.rows())) for table in read_tables(lake, version).values())


def _rewrite(lake: Lake, store: Store, version: str, gone: Takedowns, reason: str) -> str | None:
    """Writes a release without what is gone and withdraws it; returns the patch, None where it has no such row."""
    with turn(store, lake.root, f"release {version}", log.info):
        return _patched(lake, version, gone, reason) if is_whole(lake, version) else None


def _patched(lake: Lake, version: str, gone: Takedowns, reason: str) -> str | None:
    tables = read_tables(lake, version)
    rest = {name: table.filter(~gone.rows()) for name, table in tables.items()}
    removed = sum(map(len, tables.values())) - sum(map(len, rest.values()))
    if not removed:
        return None
    manifest = read_manifest(lake, version)
    base, _, number = version.rpartition(".p")
    patch = f"{base}.p{int(number) + 1}" if base and number.isdigit() else f"{version}.p1"
    made = {name: value for name, value in manifest.items() if name not in ("version", "checksum", "accepted", "files")}
    write_release(lake, patch, rest, made | {"patch_of": version, "removed": removed, "takedown": reason}, before=None)
    _withdraw(lake, version, reason, patch)
    return patch


def _withdraw(lake: Lake, version: str, reason: str, replaced_by: str) -> None:
    """Makes a release invisible; what stays in its place says why, and where its patch is."""
    folder, now = folder_of(version), datetime.now(UTC).isoformat(timespec="seconds")
    said = {"version": version, "reason": reason, "replaced_by": replaced_by, "withdrawn": now}
    checksum = read_manifest(lake, version).get("checksum")
    lakes.write_json(lake, f"{folder}/{WITHDRAWN}", said | {"checksum": checksum})
    lakes.remove(lake, f"{folder}/manifest.json")


def _empty_withdrawn(lake: Lake) -> None:
    """Takes the files of withdrawn releases away, also of one whose withdrawal was interrupted."""
    for version in lakes.names(lake, "releases"):
        left = lakes.files(lake, folder_of(version))
        for name in left if WITHDRAWN in left and not is_whole(lake, version) else ():
            if name != WITHDRAWN:
                lakes.remove(lake, f"{folder_of(version)}/{name}")
