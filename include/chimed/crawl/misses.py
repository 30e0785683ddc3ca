"""Show a page that gave no record, beside what the site's parser makes of it: for fixing the parser."""

from typing import Any

from parsel import Selector
from warcio.archiveiterator import ArchiveIterator

from chimed.errors import UserError
from chimed.roles import SPOKEN
from chimed.sources.page import Miss, load, read_page
from chimed.sources.parsed import Document
from chimed.sources.text import decode, lines_of
from chimed.storage.lake import Lake
from chimed.storage.store import Store, find
from chimed.storage.store_tables import PAGES

MAX_LINES = 400  # of a page's text that are shown
MAX_LINE_LENGTH = 2_000  # of one line


def describe_miss(lake: Lake, store: Store, url: str) -> dict[str, Any]:
    """Return what is known of a page.

    Keys: row (of the store), lines (of its text), title, headings, reason (of its miss now), records (name → text, as
    parsed now). Raises UserError if the page is not known or its bytes are not in the lake.
    """
    row = find(store, PAGES, [url]).get(url)
    if row is None:
        raise UserError(
            f"page {url!r} is not known; find its address on the page Sources or in the url column of a release"
        )
    if not row["page"]:
        raise UserError(f"no content of {url} is stored; its last response was: {row['miss'] or row['status']}")
    site = load(row["source"])
    page = Selector(text=_read_page_text(lake, row["page"], site.encoding) or "<html/>", type="html")
    read = read_page(site, url, page)
    records = [] if isinstance(read, Miss) else [_record_fields(one) for one in read]
    return {
        "row": row,
        "lines": [line[:MAX_LINE_LENGTH] for line in lines_of(page.css("body") or page)[:MAX_LINES]],
        "title": page.css("title").xpath("string()").get("").strip()[:MAX_LINE_LENGTH],
        "headings": [" ".join(lines_of(one))[:MAX_LINE_LENGTH] for one in page.css("h1, h2")[:20]],
        "reason": read.reason if isinstance(read, Miss) else None,
        "records": records,
    }


def _read_page_text(lake: Lake, place: str, encoding: str) -> str:
    path, _, offset = place.rpartition("#")
    try:
        with lake.fs.open(lake.at(path), "rb") as file:
            file.seek(int(offset))
            record = next(iter(ArchiveIterator(file)))
            body, header = record.content_stream().read(), record.http_headers.get_header("Content-Type")
    except (FileNotFoundError, StopIteration):
        raise UserError(f"{place} is not in the lake; restore the file from a copy") from None
    return decode(body, header, encoding)


def _record_fields(one: Any) -> dict[str, str]:
    names = ("title", "text") if isinstance(one, Document) else ("title", "question", "answer")
    more = {"published": str(one.published or ""), "department": " > ".join(getattr(one, "department", ()))}
    turns = [f"{SPOKEN[turn.role]}: {turn.text}" for turn in getattr(one, "turns", ())]
    more["turns"] = "\n".join(turns)
    return {name: getattr(one, name) for name in names} | {name: said for name, said in more.items() if said}
