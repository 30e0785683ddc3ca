"""A page that gave no record, as a reader sees it, beside what the site's parser makes of it: what mends a parser."""

from typing import Any

from parsel import Selector
from warcio.archiveiterator import ArchiveIterator

from chimed.errors import UserError
from chimed.sources.page import Miss, load, read_page
from chimed.sources.parsed import Document
from chimed.sources.text import decode, lines_of
from chimed.storage.lake import Lake
from chimed.storage.store import PAGES, Store, find

LINES = 400  # of a page's text that are shown
LETTERS = 2_000  # of one line


def view(lake: Lake, store: Store, url: str) -> dict[str, Any]:
    """What is known of a page (`row`), the lines of its text (`lines`), its headings and classes by how many (`parts`),
    and what the parser makes of it now: `reason` of its miss, or `records` (name → text). Raises UserError where the
    page is not known or its bytes are not in the lake."""
    row = find(store, PAGES, [url]).get(url)
    if row is None:
        raise UserError(f"page {url!r} is not known; the page Sources and the url column of a release list addresses")
    if not row["page"]:
        raise UserError(f"no content of {url} is stored; its last response was: {row['miss'] or row['status']}")
    site = load(row["source"])
    page = Selector(text=_text(lake, row["page"], site.encoding) or "<html/>", type="html")
    read = read_page(site, url, page)
    records = [] if isinstance(read, Miss) else [_said(one) for one in read]
    return {
        "row": row,
        "lines": [line[:LETTERS] for line in lines_of(page.css("body") or page)[:LINES]],
        "title": page.css("title").xpath("string()").get("").strip()[:LETTERS],
        "headings": [" ".join(lines_of(one))[:LETTERS] for one in page.css("h1, h2")[:20]],
        "reason": read.reason if isinstance(read, Miss) else None,
        "records": records,
    }


def _text(lake: Lake, place: str, encoding: str) -> str:
    path, _, offset = place.rpartition("#")
    try:
        with lake.fs.open(lake.at(path), "rb") as file:
            file.seek(int(offset))
            record = next(iter(ArchiveIterator(file)))
            body, header = record.content_stream().read(), record.http_headers.get_header("Content-Type")
    except (FileNotFoundError, StopIteration):
        raise UserError(f"{place} is not in the lake") from None
    return decode(body, header, encoding)


def _said(one: Any) -> dict[str, str]:
    names = ("title", "text") if isinstance(one, Document) else ("title", "question", "answer")
    more = {"published": str(one.published or ""), "department": " > ".join(getattr(one, "department", ()))}
    return {name: getattr(one, name) for name in names} | {name: said for name, said in more.items() if said}
