"""Takes a page or a whole source out, for good: frontier, builds, releases. Ours.

    python -m chimed takedown <url|page|source> --reason "…" [--releases]

The target is written to the store. From then on it is not crawled (`sources.frontier`), and `extract` and `release`
drop its records, and with them everything derived from them. With `releases` every whole release that holds a row of it
is rewritten as a patch without it, and withdrawn. What lies in `raw/`, in earlier builds and in the store's replies
stays, so that what was made of it can still be explained; nobody is handed it.
"""

import importlib
from datetime import UTC, datetime
from urllib.parse import urlsplit

from sqlalchemy import delete

from chimed import lake as lakes
from chimed.errors import UserError
from chimed.lake import Lake
from chimed.release import WITHDRAWN, folder_of, is_whole, read_manifest, releases
from chimed.release.rows import read_tables
from chimed.release.write import write_release
from chimed.sources import NAMES as SOURCES
from chimed.sources import warc
from chimed.store import PAGES, TAKEDOWNS, Store, upsert
from chimed.takedowns import Takedowns, of


def take_down(lake: Lake, store: Store, target: str, reason: str, rewrite: bool) -> dict:
    """Takes out a page (its URL, or its place in the lake as in a row's `page`) or a source.

    Returns target (as it is recorded), pages (that left the frontier), and releases: withdrawn version → its patch.
    Raises UserError for a target that is none of these, or no reason.
    """
    if not reason.strip():
        raise UserError("a takedown needs its --reason; it is kept in the store and told in the patch's card")
    a_source = target in (*SOURCES, *lakes.names(lake, "raw"))
    name = target if a_source else canonical(_url_at(lake, target) if target.startswith("raw/") else target)
    upsert(store, TAKEDOWNS, [{"target": name, "reason": reason, "created": datetime.now(UTC)}])
    with store.engine.begin() as connection:
        left = connection.execute(delete(PAGES).where((PAGES.c.source if a_source else PAGES.c.url) == name)).rowcount
    patches = {version: _rewrite(lake, version, of([name]), reason) for version in (releases(lake) if rewrite else ())}
    if rewrite:
        _empty_withdrawn(lake)
    return {"target": name, "pages": left, "releases": {old: new for old, new in patches.items() if new}}


def canonical(url: str) -> str:
    """The one form of a page's URL, as records and the frontier have it. Raises UserError for no site's URL."""
    host = (urlsplit(url).hostname or "").lower()
    for source in SOURCES:
        site = importlib.import_module(f"chimed.sources.{source}").SITE
        if host in site.hosts or f"www.{host}" in site.hosts:
            return site.canonical(url)
    raise UserError(f"{url!r} is no page of a known site, no place as raw/…#…, and no source ({', '.join(SOURCES)})")


def _url_at(lake: Lake, page: str) -> str:
    """The URL of the page at a place in the lake."""
    path = page.partition("#")[0]
    if lakes.exists(lake, path):
        for stored in warc.responses(lake, path):
            if stored.page == page:
                return stored.url
    raise UserError(f"no page at {page}; a release's column page has such places")


def _rewrite(lake: Lake, version: str, gone: Takedowns, reason: str) -> str | None:
    """Writes a release without what is gone and withdraws it; returns the patch, None where it has no such row."""
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
