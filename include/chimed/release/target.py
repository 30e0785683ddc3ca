"""What a takedown's words point at: a source, a page by its URL, place or record, or a row of a corpus. Ours."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import polars as pl

from chimed.build.builds import list_builds
from chimed.errors import UserError
from chimed.extraction import corpus_files
from chimed.extraction.crawl_records import extract_crawl
from chimed.extraction.raw_pages import is_corpus
from chimed.release import folder_of, releases
from chimed.release.tables import rows_in
from chimed.sources import module as source_module
from chimed.sources import names as source_names
from chimed.sources.page import Miss
from chimed.storage import lake as lakes
from chimed.storage import layout, warc
from chimed.storage.lake import Lake
from chimed.storage.store import Store, secret
from chimed.storage.takedowns import CORPUS_ROW_PREFIX

_ID = re.compile(r"[0-9a-f]{16}$")
_PLACE = re.compile(r"raw/([^/]+)/([^/]+)/([^/]+)#(\d+)$")


@dataclass(frozen=True)
class Target:
    """A page's canonical URL, a corpus's row (`corpus:<name>/<hash>`), or a source's or corpus's name."""

    name: str
    is_source: bool = False

    @property
    def of_corpus(self) -> bool:
        """Whether it is a row of a corpus."""
        return self.name.startswith(CORPUS_ROW_PREFIX)


def find_target(lake: Lake, store: Store, said: str) -> Target:
    """Find what a URL, a position (`raw/…#…`), a record's id or a source's name means.

    Raises UserError where nothing matches.
    """
    said = said.strip()
    name = said.removeprefix(CORPUS_ROW_PREFIX)
    if name in (*source_names(), *lakes.names(lake, layout.RAW)):
        return Target(name, is_source=True)
    if said.startswith(CORPUS_ROW_PREFIX):
        return _row(lake, store, said)
    if said.startswith("raw/"):
        return Target(_url_at(lake, store, said))
    if _ID.match(said):
        return Target(_url_of(lake, store, said))
    return Target(canonical(lake, said))


def canonical(lake: Lake, url: str) -> str:
    """Return the one form of a page's URL, as records and the frontier have it. Raises UserError for no site's URL."""
    try:
        host = (urlsplit(url).hostname or "").lower() if "://" in url else ""
    except ValueError:  # brackets that hold no address
        host = ""
    for source in source_names() if host else ():
        site = source_module(source).SITE
        if host in site.hosts or f"www.{host}" in site.hosts:
            return site.canonical(url)
    corpora = [name for name in lakes.names(lake, layout.RAW) if name not in source_names()]
    raise UserError(
        f"{url[:200]!r} is not a page of a known site ({', '.join(source_names())}), a row of a corpus as "
        "corpus:name/…, a place raw/…#…, a record's id of 16 hex digits, a source or a corpus "
        f"({', '.join(corpora) or 'there is no corpus yet'})"
    )


def pages_of(lake: Lake, target: Target) -> set[str]:
    """Places of the crawled pages, or rows of corpora, in the lake that a target is."""
    source = target.name.removeprefix(CORPUS_ROW_PREFIX).split("/")[0] if target.of_corpus else None
    pages: set[str] = set()
    for path in _kept(lake, target.name if target.is_source else source):
        table = lakes.read_table(lake, path, ["url", "page"])
        pages.update((table if target.is_source else table.filter(url=target.name))["page"])
    return pages


# --- rows and records --------------------------------------------------------------------------------------------


def _row(lake: Lake, store: Store, said: str) -> Target:
    name = said.removeprefix(CORPUS_ROW_PREFIX).split("/")[0]
    if name not in lakes.names(lake, layout.RAW):
        raise UserError(f"unknown corpus {name!r}, so no row {said[:200]}; choose from: {_corpora(lake)}")
    _extracted(lake, store, name)
    target = Target(said)
    if pages_of(lake, target):
        return target
    place = _place_of(lake, said)  # addresses of earlier versions were other hashes
    if place is None:
        raise UserError(
            f"looked for {said[:200]} in all rows of the corpus {name} and found nothing; a release's column url has "
            "such addresses"
        )
    return Target(_url_at(lake, store, place))


def _place_of(lake: Lake, url: str) -> str | None:
    """Return the place of a row that a release or a build has under this address."""
    for frame in _tables(lake, ["url", "page"]):
        if len(found := frame.filter(url=url)):
            return found["page"][0]
    return None


def _url_at(lake: Lake, store: Store, said: str) -> str:
    """Return the URL of what stands at a place of a raw file."""
    found = _PLACE.match(said)
    path = said.rpartition("#")[0]
    if not found or not lakes.exists(lake, path):
        raise UserError(f"looked for {said[:300]} and found no such file; a release's column page has such places")
    source, crawl, name, number = found.groups()
    if lakes.exists(lake, layout.raw(source, crawl, layout.REPORT)) and is_corpus(lake, source, crawl):
        return _corpus_row(lake, store, source, crawl, name, int(number))
    for stored in warc.read_responses(lake, path):
        if stored.page == said:
            return canonical(lake, stored.url)
    raise UserError(f"looked through {path} and found no page at {number}; a release's column page has such places")


def _corpus_row(lake: Lake, store: Store, source: str, crawl: str, name: str, number: int) -> str:
    key = secret(store)
    report = lakes.read_json(lake, layout.raw(source, crawl, layout.REPORT))
    place = 0
    with lake.fs.open(lake.at(layout.raw(source, crawl, name)), "rb") as file:
        known = corpus_files.recorded_survey(report, name)
        for place, read in corpus_files.read_file(name, file, corpus_files.recorded_choices(report), known):
            if place == number and isinstance(read, Miss):
                raise UserError(f"row {number} of {name} gave no record ({read.reason}): there is nothing to take down")
            if place == number and not isinstance(read, Miss):
                return corpus_files.corpus_address(source, read, key)
    raise UserError(f"looked for row {number} of {name} in corpus {source} and found nothing; it has {place} rows")


def _url_of(lake: Lake, store: Store, record: str) -> str:
    """Return the URL of the page that a record, or what it was made from, stands on."""
    for source in lakes.names(lake, layout.RAW):
        if source not in source_names():
            _extracted(lake, store, source)
    for frame in _tables(lake, ["id", "url", "page"]):
        found = frame.filter(id=record)
        if len(found):
            url, page = found.select("url", "page").row(0)
            return _url_at(lake, store, page) if url.startswith(CORPUS_ROW_PREFIX) else url
    raise UserError(
        f"looked for the record {record} in every crawl and corpus, in every build and in the releases, and found "
        "nothing; see the column id of a release"
    )


def _tables(lake: Lake, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Columns of the records as they were read, of the releases, then of the builds' stages."""
    for path in _kept(lake, None):
        yield lakes.read_table(lake, path, columns)
    for version in reversed(releases(lake)):
        yield from (rows for _, rows in rows_in(lake, folder_of(version), lambda _: columns))
    for version in reversed(list_builds(lake)):
        for name in lakes.files(lake, layout.build(version)):
            if re.search(r"/(?:kept|dropped)-\d+\.parquet$", f"/{name}"):
                yield lakes.read_table(lake, layout.build(version, name), columns)


def _kept(lake: Lake, source: str | None) -> list[str]:
    """Return the tables of records that were read, of one source or of all."""
    folder = layout.extracts(source) if source else layout.EXTRACTS
    return [f"{folder}/{name}" for name in lakes.files(lake, folder) if re.search(r"/kept-\d+\.parquet$", f"/{name}")]


def see_that_it_is_read(lake: Lake, store: Store, url: str) -> None:
    """Read the finished crawls of a page's site that nobody has read yet: else its words are not known."""
    host = urlsplit(url).hostname or ""
    for source in source_names():
        site = source_module(source).SITE
        for crawl in lakes.names(lake, layout.raw(source)) if host in (*site.hosts, *site.twins) else ():
            read = lakes.exists(lake, layout.extracts(source, crawl, layout.REPORT))
            if not read and lakes.exists(lake, layout.raw(source, crawl, layout.REPORT)):
                extract_crawl(lake, source, crawl, store=store)


def _extracted(lake: Lake, store: Store, source: str) -> None:
    """Sees to it that a corpus's rows are read by this code."""
    for crawl in lakes.names(lake, layout.raw(source)):
        if lakes.exists(lake, layout.raw(source, crawl, layout.REPORT)) and is_corpus(lake, source, crawl):
            extract_crawl(lake, source, crawl, store=store)


def _corpora(lake: Lake) -> str:
    return ", ".join(name for name in lakes.names(lake, layout.RAW) if name not in source_names()) or "none yet"
