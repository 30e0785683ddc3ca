"""Where the words of what was taken down still lie, as far as lake and store know, and what to do about each. Ours."""

import re
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import select

from chimed.release import WITHDRAWN, folder_of, is_whole, releases
from chimed.release.push import MODEL_COPY
from chimed.release.tables import rows_in
from chimed.schema import RECORD
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.store import Store
from chimed.storage.store_tables import PUSHES
from chimed.storage.takedowns import COLUMNS, Takedowns
from chimed.storage.versions import list_older

PURGE = "python -m chimed takedown … --purge takes them out"
OF_RELEASES = "--releases, or --purge, withdraws it for a patch without them"
FOLDERS = ("raw", "extracts", "builds", "steps", "releases")  # of a lake: where words of pages lie


def places(lake: Lake, store: Store, gone: Takedowns) -> list[dict[str, Any]]:
    """Return one entry for each place that holds rows of what was taken down.

    Keys: what (raw, extract, build, release, copy, model, older versions), where, rows (None where that cannot be
    counted from here), do (what to do about it).
    """
    held = {version: rows_held(lake, version, gone) for version in releases(lake)}
    withdrawn = [
        one for one in lakes.names(lake, layout.RELEASES) if lakes.exists(lake, f"{folder_of(one)}/{WITHDRAWN}")
    ]
    patches = {one: lakes.read_json(lake, f"{folder_of(one)}/{WITHDRAWN}").get("replaced_by") for one in withdrawn}
    versions = sum(len(list_older(lake, f"{folder}/")) for folder in FOLDERS)
    found = [
        *_crawls(lake, gone),
        *(
            _place("build", layout.build(one), _in_build(lake, one, gone), PURGE)
            for one in lakes.names(lake, layout.BUILDS)
        ),
        *(_place("release", folder_of(version), rows, OF_RELEASES) for version, rows in held.items()),
        *_copies(store, held, patches),
        *(
            _place("model", layout.models(one), None, "trained on it: train again on the patch, then delete the folder")
            for one in lakes.names(lake, layout.MODELS)
            if one in patches or held.get(one)
        ),
        _place("older versions", lake.at(""), versions, "the bucket keeps what was replaced; --purge deletes it"),
    ]
    return [one for one in found if one["rows"] is None or one["rows"]]


def _place(what: str, where: str, rows: int | None, do: str) -> dict[str, Any]:
    return {"what": what, "where": where, "rows": rows, "do": do}


def _crawls(lake: Lake, gone: Takedowns) -> list[dict[str, Any]]:
    """Raw pages and extracted records, by crawl."""
    by_crawl: dict[str, int] = {}
    pages: dict[str, set[str]] = {}
    for path in tables_of_records(lake):
        table = named(lake, path, gone)
        crawl = "/".join(path.split("/")[1:3])
        by_crawl[crawl] = by_crawl.get(crawl, 0) + len(table)
        pages.setdefault(crawl, set()).update(page for page in table["page"] if _is_there(lake, page))
    both = (
        (
            _place("raw", layout.raw(crawl), len(pages[crawl]), PURGE),
            _place("extract", layout.extracts(crawl), rows, PURGE),
        )
        for crawl, rows in by_crawl.items()
    )
    return [one for pair in both for one in pair]


def _copies(store: Store, held: dict[str, int], patches: dict[str, str | None]) -> list[dict[str, Any]]:
    """Copy that were pushed of releases which hold rows, or of withdrawn ones."""
    return [
        _place(
            "copy",
            _copy(row["address"], row["version"]),
            held.get(row["version"]),
            _at_a_copy(row["address"], row["version"], patches.get(row["version"])),
        )
        for row in _pushes(store)
        if row["version"] in patches or held.get(row["version"], 0)
    ]


def tables_of_records(lake: Lake) -> list[str]:
    """Return the tables of all records as crawls and corpora had them."""
    return [
        layout.extracts(name)
        for name in lakes.files(lake, layout.EXTRACTS)
        if re.search(r"/(?:kept|dropped)-\d+\.parquet$", f"/{name}")
    ]


def named(lake: Lake, path: str, gone: Takedowns) -> pl.DataFrame:
    """Return the rows of a table (url, source, page) that stand on what is gone; no row without words counts."""
    columns = [*COLUMNS, "title", "text", "question", "answer", "rejected"]
    frames = [batch.filter(gone.rows() & has_words()) for batch in lakes.read_batches(lake, path, columns, RECORD)]
    return pl.concat(frames).select("url", "source", "page")


def has_words() -> pl.Expr:
    """Whether a row has words: one that was purged has none, and a page that gave no record never had.

    Turns stand behind a question and an answer, so they need no look of their own.
    """
    said = (pl.col(name).fill_null("") != "" for name in ("title", "text", "question", "answer", "rejected"))
    return pl.any_horizontal(said)


def _is_there(lake: Lake, page: str) -> bool:
    return lakes.exists(lake, page.rpartition("#")[0])


def _in_build(lake: Lake, version: str, gone: Takedowns) -> int:
    """Rows of a build's tables, the same row counted in each."""
    tables = [name for name in lakes.files(lake, layout.build(version)) if re.search(r"-\d+\.parquet$", name)]
    return sum(len(named(lake, layout.build(version, name), gone)) for name in tables)


def rows_held(lake: Lake, version: str, gone: Takedowns) -> int:
    """How many rows of a release stand on what is gone."""
    named = rows_in(lake, folder_of(version), lambda _: [*COLUMNS])
    return sum(len(rows.filter(gone.rows())) for _, rows in named)


# --- copies ------------------------------------------------------------------------------------------------------


def _pushes(store: Store) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        rows = connection.execute(select(PUSHES).order_by(PUSHES.c.version, PUSHES.c.address)).mappings()
        return [dict(row) for row in rows]


def _copy(address: str, version: str) -> str:
    if address.startswith(MODEL_COPY):
        return address.removeprefix(MODEL_COPY)
    return f"{address}@{version}" if address.startswith("hf://") else f"{address.rstrip('/')}/{folder_of(version)}"


def _at_a_copy(address: str, version: str, patch: str | None) -> str:
    """Return what to do about a pushed copy, for whoever may."""
    if address.startswith(MODEL_COPY):
        return (
            "trained on it: train again on the patch, push that model, and delete this one; who loaded it has it still"
        )
    again = f"then python -m chimed push {patch or '<the patch>'} {address}"
    if address.startswith("hf://"):
        name = address.removeprefix("hf://").strip("/")
        return (
            f"delete the tag (hf repos tag delete {name} {version} --repo-type dataset), {again}, then take the older "
            f'commits away (HfApi().super_squash_history("{name}", repo_type="dataset")); who loaded it has it still'
        )
    where = _copy(address, version)
    if "://" in address:
        return f"delete {where} with all its objects' versions, {again}"
    return f"delete {Path(where)}, {again}"


def is_held_back(lake: Lake, version: str) -> bool:
    """Whether a release's folder has files and no manifest: it was interrupted, or waits for someone to accept it."""
    left = lakes.files(lake, folder_of(version))
    return bool(left) and WITHDRAWN not in left and not is_whole(lake, version)
