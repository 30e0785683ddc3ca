"""Raw pages without what is purged: its records, lists that show it, other pages that hold its words. Ours.

Another record of the same length stands in the place of what is taken out of a WARC file, so that every other record
stays as it is, where it is: records, builds and releases name pages by their place. Rows of a corpus's file are emptied
in their place (`sources.corpus.blanked`).
"""

import html
import io
import re
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import urlsplit

import polars as pl

from chimed.crawl import finished
from chimed.extraction import corpus_files
from chimed.extraction.corpus_files.blanked import blank_rows
from chimed.extraction.raw_pages import is_corpus
from chimed.release.purge import journal as journals
from chimed.release.purge.journal import Journal
from chimed.release.purge.tables import written_anew
from chimed.release.purge.words import holding
from chimed.sources import names as source_names
from chimed.sources.page import Site, load, on_page
from chimed.sources.text import decode
from chimed.storage import lake as lakes
from chimed.storage import layout, warc
from chimed.storage.checked import hash_file
from chimed.storage.contents import SEAL, sealed
from chimed.storage.encodings import PAGE_BYTES, Unreadable, decompress
from chimed.storage.lake import Lake
from chimed.storage.takedowns import Takedowns
from chimed.storage.warc_records import Member, parse_record, read_members

AT_A_TIME = 500  # pages whose words are looked through at once
STORED = 65_535  # bytes of a stored block of deflate
_HEADER = (
    "WARC/1.1\r\nWARC-Type: metadata\r\nWARC-Record-ID: <urn:uuid:{id}>\r\nWARC-Date: {date}\r\n"
    "Content-Type: text/plain\r\nContent-Length: {length:010d}\r\n\r\n"
)
_SAID = b"What stood here was taken out.\n"
_HREF = re.compile(r"""href\s{0,9}=\s{0,9}["']?([^"'\s<>]{1,2048})""", re.I)
_NAME = re.compile(rb"^([\w-]+):[ \t]*([^\r\n]*)", re.M)


@dataclass(frozen=True)
class Cut:
    """A stretch of a WARC file that goes. why: page (the target's own), list (shows it), words (another page with its
    words), torn (no whole record, with its words or its address). url: whose record it is."""

    start: int
    end: int
    why: str
    url: str


def crawl_files(lake: Lake, gone: Takedowns) -> list[str]:
    """Return the raw WARC files in which pages that go may stand, those that a killed crawl left open among them."""
    sources = {
        source for source in source_names() if source in gone.sources or any(_of(source, url) for url in gone.urls)
    }
    return [
        layout.raw(source, name)
        for source in sorted(sources)
        for name in lakes.files(lake, layout.raw(source))
        if name.endswith((".warc.gz", ".warc.gz.open"))
    ]


def _of(source: str, url: str) -> bool:
    host = urlsplit(url).hostname or ""
    site = load(source)
    return host in site.hosts or host in site.twins


def purge_crawl(journal: Journal, lake: Lake, path: str, wanted: list[str]) -> tuple[Counter[str], set[str]]:
    """Rewrites a WARC file without what is purged; returns how many records went and why, and URLs of other pages that
    went with their words. A no-op where nothing is to go."""
    source = path.split("/")[1]
    with lakes.open_file(lake, path) as file:
        size = file.seek(0, io.SEEK_END)
        found = cuts(file, size, load(source), journal.gone, wanted)
        if not found:
            return Counter(), set()
        file.seek(0)
        data = bytearray(file.read())
    for start, end in _joined(found):
        data[start:end] = stand_in(end - start)
    journals.rewrite(journal, lake, path, bytes(data), "WARC file", len(found))
    return Counter(one.why for one in found), {one.url for one in found if one.why == "words"}


def keep_in_step(journal: Journal, lake: Lake) -> None:
    """Write the index of every crawl of which a file was rewritten anew, and has its report say so. Safe to repeat."""
    told = journals.files(journal)
    folders: dict[str, list[str]] = {}
    for path, one in told.items():
        if one["what"] == "WARC file" and one["after"] and path.endswith(".warc.gz"):
            folders.setdefault(path.rpartition("/")[0], []).append(path)
    for folder, paths in folders.items():
        source, crawl = folder.split("/")[1:]
        report = finished.read_report(lake, source, crawl)
        if report is None:
            continue  # it is not finished: whoever finishes it writes both
        pages = _index(journal, lake, folder)
        written = report.get("written")
        if isinstance(written, dict):
            now = finished.describe_files(lake, folder)
            names = [path.rsplit("/", 1)[-1] for path in paths]
            for name in (*names, finished.INDEX):
                if name in written and name in now and now[name]["sha256"] != written[name]["sha256"]:
                    written |= {name: written_anew(written[name], now[name])}
        report |= {"pages": pages} if "pages" in report else {}
        lakes.write_json(lake, f"{folder}/{layout.REPORT}", sealed(report) if SEAL in report else report)


def _index(journal: Journal, lake: Lake, folder: str) -> int:
    """Write a crawl's index anew, an empty one where nothing is left; returns how many detail pages there are."""
    path = f"{folder}/{finished.INDEX}"
    before = hash_file(lake, path) if lakes.exists(lake, path) else None
    lakes.write_bytes(lake, path, b"")
    pages = warc.write_index(lake, folder)
    told = {"what": "index", "rows": 0, "before": before, "after": hash_file(lake, path)}
    journals.put_down(journal, path, told | {"bytes": lake.fs.size(lake.at(path))})
    return pages


def cuts(file: BinaryIO, size: int, site: Site, gone: Takedowns, wanted: list[str]) -> list[Cut]:
    """Return what goes of a WARC file: by address, by what lists show, by the words of pages."""
    search = _Search(site, gone, wanted)
    place = 0
    for member in read_members(file):
        if member.offset > place:
            search.found += _torn(file, place, member.offset, gone, wanted)
        place = member.offset + member.length
        search.look_at(member)
    if size > place:
        search.found += _torn(file, place, size, gone, wanted)
    search.look_through()
    return sorted([*search.found, *search.requests()], key=lambda cut: cut.start)


@dataclass
class _Search:
    """What was found in a WARC file so far.

    ids: of responses that go, for their requests go too. asked: requests, with the response they belong to and their
    URL. waiting: pages whose words are to be looked through, with their ids and texts.
    """

    site: Site
    gone: Takedowns
    wanted: list[str]
    found: list[Cut] = field(default_factory=list)
    ids: set[bytes] = field(default_factory=set)
    asked: list[tuple[Member, bytes, str]] = field(default_factory=list)
    waiting: list[tuple[Cut, bytes, str]] = field(default_factory=list)

    def look_at(self, member: Member) -> None:
        """Look at a record: a request waits for its response, a page for the others' words."""
        head = dict(_NAME.findall(member.plain.partition(b"\r\n\r\n")[0]))
        url = head.get(b"WARC-Target-URI", b"").decode(errors="replace")
        match head.get(b"WARC-Type"):
            case b"request":
                self.asked.append((member, head.get(b"WARC-Concurrent-To", b""), url))
            case b"response" | b"revisit":
                self._look_at_page(member, head, url)

    def _look_at_page(self, member: Member, head: dict[bytes, bytes], url: str) -> None:
        start, end, id = member.offset, member.offset + member.length, head.get(b"WARC-Record-ID", b"")
        refers = head.get(b"WARC-Refers-To-Target-URI", b"").decode(errors="replace")
        if any(self._goes(one) for one in (url, refers) if one):
            return self._take(Cut(start, end, "page", url), id)
        text = _text(member, self.site)
        why = "list" if head.get(warc.KIND.encode()) == b"list" else "words"
        if why == "list" and _shows(text, self.site, url, self.gone):
            self._take(Cut(start, end, why, url), id)
        elif self.wanted:
            self.waiting.append((Cut(start, end, why, url), id, text))
            if len(self.waiting) == AT_A_TIME:
                self.look_through()
        return None

    def look_through(self) -> None:
        """Look for the words in the pages that wait: at once, for a column costs little more than a page."""
        texts = pl.Series([text for *_, text in self.waiting], dtype=pl.String)
        for (cut, id, _), holds in zip(self.waiting, holding(texts, self.wanted), strict=True):
            if holds:
                self._take(cut, id)
        self.waiting.clear()

    def requests(self) -> Iterator[Cut]:
        """Yield the requests that go, by their own address or with their response."""
        for member, id, url in self.asked:
            if id in self.ids or self._goes(url):
                yield Cut(member.offset, member.offset + member.length, "request", url)

    def _goes(self, url: str) -> bool:
        return self.gone.holds(self.site.canonical(url), self.site.name)

    def _take(self, cut: Cut, id: bytes) -> None:
        self.found.append(cut)
        self.ids.add(id)


def _text(member: Member, site: Site) -> str:
    """Return what a stored page says, as its reader would have it; where it cannot be read, its bytes as they are."""
    found = parse_record(member)
    if found is None or found.record.http_headers is None:
        return member.plain.decode(errors="replace")
    http = found.record.http_headers
    said = ", ".join(value for name, value in http.headers if name.lower() == "content-encoding")
    try:
        return decode(decompress(found.body, said, PAGE_BYTES), http.get_header("Content-Type"), site.encoding)
    except Unreadable:
        return member.plain.decode(errors="replace")


def _shows(text: str, site: Site, url: str, gone: Takedowns) -> bool:
    """Whether a page links to one that goes, whatever its layout: beside the link stands its title, or more of it."""
    tails = [urlsplit(one).path.rstrip("/").rsplit("/", 1)[-1] for one in gone.urls]
    if not any(tail and tail in text for tail in tails):
        return False
    links = on_page(url, (html.unescape(href) for href in _HREF.findall(text)))
    return any(gone.holds(site.canonical(link), site.name) for link in links)


def _torn(file, start: int, end: int, gone: Takedowns, wanted: list[str]) -> list[Cut]:
    """Bytes between whole records, if what can be unpacked of them is of what goes."""
    file.seek(start)
    raw = file.read(end - start)
    file.seek(end)
    text = (_unpacked_as_far_as_possible(raw) + raw).decode(errors="replace")
    ours = any(url in text for url in gone.urls) or holding(pl.Series([text]), wanted)[0]
    return [Cut(start, end, "torn", "")] if ours else []


def _unpacked_as_far_as_possible(raw: bytes) -> bytes:
    stream, plain = zlib.decompressobj(16 + zlib.MAX_WBITS), b""
    for start in range(0, len(raw), 256):
        try:
            plain += stream.decompress(raw[start : start + 256], PAGE_BYTES)
        except zlib.error:
            return plain
        if len(plain) > PAGE_BYTES:
            return plain
    return plain


def _joined(found: list[Cut]) -> Iterator[tuple[int, int]]:
    """Stretches that touch, as one."""
    start, end = found[0].start, found[0].end
    for cut in found[1:]:
        if cut.start > end:
            yield start, end
            start = cut.start
        end = max(end, cut.end)
    yield start, end


def stand_in(length: int) -> bytes:
    """A gzip member of exactly so many bytes: a WARC record that says nothing. One too short for a record is empty."""
    blocks = -(-max(0, length - 18) // (STORED + 5)) or 1
    room = length - 18 - 5 * blocks
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = _HEADER.format(id=uuid.uuid4(), date=date, length=0).encode()
    said = room - len(head) - 4
    if said < len(_SAID):
        return _empty(length)
    head = _HEADER.format(id=uuid.uuid4(), date=date, length=said).encode()
    plain = head + _SAID.ljust(said) + b"\r\n\r\n"
    packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    for number in range(blocks):
        piece = plain[number * STORED : (number + 1) * STORED]
        size = len(piece).to_bytes(2, "little")
        packed += bytes([number == blocks - 1]) + size + bytes(255 - byte for byte in size) + piece
    return packed + zlib.crc32(plain).to_bytes(4, "little") + len(plain).to_bytes(4, "little")


def _empty(length: int) -> bytes:
    """A gzip member without content, filled up by its header; what is too short for one is zeros, which are none."""
    extra = length - 22
    if not 0 <= extra < 1 << 16:
        return bytes(length)
    head = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff" + extra.to_bytes(2, "little") + bytes(extra)
    return head + zlib.compress(b"", 6, -zlib.MAX_WBITS) + bytes(8)


# --- corpora -----------------------------------------------------------------------------------------------------


def purge_corpora(journal: Journal, lake: Lake) -> int:
    """Empties the rows that go in the files of corpora, and takes whole corpora away; returns how many rows or files.

    Raises CannotBlank for a book of which one chapter is to go.
    """
    gone, count = journal.gone, 0
    for name in sorted(gone.sources - set(source_names())):
        for file in lakes.files(lake, layout.raw(name)):
            if not file.endswith("report.json"):  # so that the same files are known when somebody brings them again
                journals.take_away(journal, lake, layout.raw(name, file), "corpus's file")
                count += 1
    by_file: dict[str, set[int]] = {}
    for place in gone.places:
        path, _, number = place.rpartition("#")
        by_file.setdefault(path, set()).add(int(number))
    for path, rows in sorted(by_file.items()):
        if not lakes.exists(lake, path):
            continue
        _, source, crawl, name = path.split("/", 3)
        if not is_corpus(lake, source, crawl):
            continue
        report = lakes.read_json(lake, layout.raw(source, crawl, layout.REPORT))
        body = lakes.read_bytes(lake, path)
        known = corpus_files.recorded_survey(report, name) or corpus_files.survey_file(
            name, io.BytesIO(body), corpus_files.recorded_choices(report)
        )
        data = blank_rows(name, body, known, rows)
        if data != body:
            journals.rewrite(journal, lake, path, data, "corpus's file", len(rows))
            count += len(rows)
    return count
