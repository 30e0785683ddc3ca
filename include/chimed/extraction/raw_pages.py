"""Read the pages of one raw file, a WARC file or a corpus file, each as records or as a miss (paper §3.1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chimed.crawl import bounded, finished
from chimed.crawl.bounded import TooLong
from chimed.crawl.reading import read_records
from chimed.errors import UserError
from chimed.extraction import corpus_files
from chimed.extraction.parsed_records import record_from_page
from chimed.schema import DROPPED
from chimed.sources import FILES
from chimed.sources.page import Miss, Site, load
from chimed.sources.parsed import Document
from chimed.sources.text import decode
from chimed.storage import lake as lakes
from chimed.storage import layout, warc
from chimed.storage.checked import check_file
from chimed.storage.contents import recorded_file
from chimed.storage.encodings import PAGE_BYTES
from chimed.storage.lake import Lake
from chimed.storage.warc import StoredResponse


@dataclass(frozen=True)
class Page:
    """What a page gave. rows: its records (columns of `RECORD`), or the row of its miss (columns of `DROPPED`).

    size: bytes of the body, or characters of a corpus row: an upper bound of the page's text.
    """

    size: int
    rows: list[dict[str, Any]] | dict[str, Any]


def is_corpus(lake: Lake, source: str, crawl: str) -> bool:
    """Return whether a finished crawl has the files of an ingested corpus instead of WARC files."""
    return _read_finished_report(lake, source, crawl).get("form") == FILES


def _read_finished_report(lake: Lake, source: str, crawl: str) -> dict[str, Any]:
    """Return the report of a finished crawl. Raise UserError if it is not finished."""
    report = finished.read_report(lake, source, crawl)
    if report is None:
        raise UserError(f"crawl {crawl} of {source} is not finished; run: python -m chimed crawl {source}")
    return report


def list_raw_files(lake: Lake, source: str, crawl: str) -> list[str]:
    """Return the names of a finished crawl's WARC files or of an ingested corpus's files, in order."""
    report = _read_finished_report(lake, source, crawl)
    if report.get("form") == FILES or "written" in report:
        return finished.file_names(report)
    return [path.rsplit("/", 1)[-1] for path in warc.list_files(lake, layout.raw(source, crawl))]


def read_pages(lake: Lake, source: str, crawl: str, name: str, key: bytes | None = None) -> Iterator[Page]:
    """Yield every page of a raw file in order: detail pages of a WARC file; rows, herbs and chapters of a corpus file.

    key: the store's, for the addresses of corpus rows. Raises SpoiltFile if the file or a page is not what was crawled
    or ingested, or if pages are missing.
    """
    raw = layout.raw(source, crawl)
    report = _read_finished_report(lake, source, crawl)
    if report.get("form") == FILES:
        assert key is not None
        check_file(lake, f"{raw}/{name}", recorded_file(report.get("written"), name), finished.restore_hint(raw))
        yield from _read_corpus_pages(lake, report, f"{raw}/{name}", key)
        return
    site = load(source)
    expected = finished.expect_file(lake, report, raw, name)
    for stored in warc.read_responses(lake, f"{raw}/{name}"):
        if stored.kind == "detail":
            expected.count_page(stored)
            yield Page(len(stored.body), read_page(site, stored))
    expected.check_complete()


def _read_corpus_pages(lake: Lake, report: dict[str, Any], path: str, key: bytes) -> Iterator[Page]:
    source, fetched = report["source"], datetime.fromisoformat(report["finished"])
    name = path.rsplit("/", 1)[-1]
    with lakes.open_file(lake, path) as file:
        choices, known = corpus_files.recorded_choices(report), corpus_files.recorded_survey(report, name)
        for number, read in corpus_files.read_file(name, file, choices, known):
            place = f"{path}#{number}"
            if isinstance(read, Miss):
                yield Page(0, _missed_row(source, "tcm", f"corpus:{place}", fetched, place, "dropped", read.reason))
                continue
            sizes = (
                len(one.text)
                if isinstance(one, Document)
                else len(one.question) + len(one.answer) + sum(len(turn.text) for turn in one.turns)
                for one in read
            )
            url = corpus_files.corpus_address(source, read, key)
            rows = [record_from_page(one, source=source, url=url, fetched=fetched, page=place, key=key) for one in read]
            yield Page(sum(sizes), list({row["id"]: row for row in rows}.values()))


def read_page(site: Site, stored: StoredResponse) -> list[dict[str, Any]] | dict[str, Any]:
    """Return a stored page as record rows (columns of `RECORD`), or as the row of its miss (columns of `DROPPED`)."""
    url = site.canonical(stored.url)

    def left(fate: str, reason: str, detail: str | None = None) -> dict[str, Any]:
        return _missed_row(site.name, site.domain, url, stored.fetched, stored.page, fate, reason, detail)

    if stored.status != 200:
        return left("dropped", f"HTTP {stored.status}")
    if stored.unreadable:
        return left("dropped", stored.unreadable)
    if len(stored.body) > PAGE_BYTES:
        return left("dropped", "too large")
    try:
        text = decode(stored.body, stored.content_type, site.encoding)
        read = bounded.run_bounded(read_records, site.name, url, text) if text.strip() else Miss("empty page")
    except TooLong as error:
        return left("dropped", str(error))
    except Exception as error:  # a page that the parser cannot take is that page's failure, named, and no crash
        return left("failed", "parser error", f"{type(error).__name__}: {str(error)[:500]}")
    if isinstance(read, Miss):
        return left("dropped", read.reason)
    rows = [record_from_page(one, source=site.name, url=url, fetched=stored.fetched, page=stored.page) for one in read]
    return list({row["id"]: row for row in rows}.values())


def _missed_row(
    source: str, domain: str, url: str, fetched: datetime, page: str, fate: str, reason: str, detail: str | None = None
) -> dict[str, Any]:
    row = dict.fromkeys(DROPPED.names)
    row.update(id=page, source=source, domain=domain, kind="page", language="zh", url=url, fetched=fetched, page=page)
    return row | {"fate": fate, "reason": reason, "detail": detail}
