"""Raw pages as WARC files: written as they arrive, readable after a kill, indexed when the crawl is done.

A file grows under `<n>.warc.gz.open` and gets its name when it is closed; where the lake is not a folder of this
machine, that is every few minutes, so that a lost machine costs no more. Request and response are kept as they were on
the wire, but for chunked transfer. `Chimed-Kind` in a response's WARC header says whether it is a detail page. A record
is read only if it is whole: by the checksum of its gzip member and the digests in its header (`records`).
"""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from warcio.recordloader import ArcWarcRecord
from warcio.statusandheaders import StatusAndHeaders
from warcio.utils import Digester
from warcio.warcwriter import WARCWriter

from chimed.private import private_folder
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.encodings import PAGE_BYTES, Unreadable, unpacked
from chimed.storage.lake import Lake
from chimed.storage.warc_records import members, records

KIND = "Chimed-Kind"
FILE_BYTES = 64 * 1024 * 1024  # some 6,000 pages: what a worker reads at a time (extract)
SHIPPED_EVERY = 300.0  # seconds, where the lake lies elsewhere: what a lost machine costs
SPARE = 64 * 1024 * 1024  # bytes of the disk left free: the store, its journal and other programs live on it too
LEVEL = 5  # of gzip; warcio's 9 takes half as long again for files 0.3 % smaller
_OPEN = ".open"


@dataclass
class Archive:
    """The WARC files of one crawl; the newest is open for writing once something was stored."""

    lake: Lake
    folder: str  # raw/<source>/<crawl>
    work: Path
    file_bytes: int = FILE_BYTES
    name: str = ""
    file: BinaryIO | None = None
    lines: dict[str, list[str]] = field(default_factory=dict)  # of the index, by the files written here
    opened: float = 0.0  # when `file` was opened (monotonic)


class DiskFull(OSError):
    """Nothing more can be kept on this machine; what was kept is whole."""


@dataclass(frozen=True)
class Exchange:
    """One request and what came back, as on the wire."""

    url: str
    method_line: str
    request_headers: list[tuple[str, str]]
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Stored:
    """A response read back. page: `<WARC path>#<offset>`. body: content encoding taken off."""

    page: str
    url: str
    kind: str
    status: int
    content_type: str | None
    fetched: datetime
    body: bytes
    headers: dict[str, str]  # names in small letters
    unreadable: str | None = None  # why its content encoding could not be taken off; then there is no body
    digest: str | None = None  # of the body on the wire, as the record says it


def open_archive(lake: Lake, folder: str, file_bytes: int = FILE_BYTES) -> Archive:
    """The archive of a crawl; what a killed attempt left is cut after its last whole record and put into the lake."""
    if lakes.is_local(lake.fs):
        work = Path(lake.at(folder))
    else:
        place = hashlib.sha256(lake.at(folder).encode()).hexdigest()[:16]
        work = private_folder("crawl", place)
    work.mkdir(parents=True, exist_ok=True)
    archive = Archive(lake, folder, work, file_bytes)
    for left in sorted(work.glob(f"*.warc.gz{_OPEN}")):
        _cut_to_whole_records(left)
        _bring(archive, left)
    return archive


def keep(archive: Archive, exchange: Exchange, kind: str) -> str:
    """Writes a request and its response; returns the response's place. It is on the disk's side before this returns.

    Both are written or neither: a write that breaks off is cut away. Raises DiskFull before the disk is.
    """
    _make_ready(archive)
    writer = WARCWriter(None, warc_version="1.1")
    response = writer.create_warc_record(
        exchange.url,
        "response",
        payload=io.BytesIO(exchange.body),
        length=len(exchange.body),
        warc_headers_dict={KIND: kind},
        http_headers=_http_headers(exchange),
    )
    return _add(archive, response, _request(writer, exchange, response))


def keep_again(archive: Archive, exchange: Exchange, place: str) -> None:
    """Notes that a page came again as it was kept at `place`: a revisit record, without the body, that replaying tools
    follow. Nothing is written where the body on the wire was another, as of a page that was packed anew."""
    path, _, offset = place.partition("#")
    if not lakes.exists(archive.lake, path):  # it is the file that is open, or an older one was taken away
        return
    first = next(records(archive.lake, path, int(offset)), None)
    digest = Digester("sha1")
    digest.update(exchange.body)
    if first is None or first.record.rec_headers.get_header("WARC-Payload-Digest") != str(digest):
        return
    _make_ready(archive)
    writer = WARCWriter(None, warc_version="1.1")
    header = first.record.rec_headers.get_header
    revisit = writer.create_revisit_record(
        exchange.url,
        digest=str(digest),
        refers_to_uri=header("WARC-Target-URI"),
        refers_to_date=header("WARC-Date"),
        http_headers=_http_headers(exchange),
    )
    _add(archive, revisit, _request(writer, exchange, revisit))


def _add(archive: Archive, response: ArcWarcRecord, request: ArcWarcRecord) -> str:
    """Writes both records and the index's line of the first; returns its place."""
    file = archive.file
    assert file is not None
    offset, member = file.tell(), _member(response)
    _write(archive, member + _member(request))
    archive.lines.setdefault(archive.name, []).append(_index_line(archive.name, response, offset, len(member)))
    place = f"{archive.folder}/{archive.name}#{offset}"
    is_late = not lakes.is_local(archive.lake.fs) and time.monotonic() - archive.opened >= SHIPPED_EVERY
    if file.tell() >= archive.file_bytes or is_late:
        close(archive)
    return place


def _make_ready(archive: Archive) -> None:
    """Opens a file where none is open. Raises DiskFull, and OSError where a process elsewhere has taken the file over,
    as it may while this one stands still: that one is finished, and nothing may be added to it."""
    _see_to_room(archive)
    if archive.file is not None and not (archive.work / f"{archive.name}{_OPEN}").exists():
        raise OSError(errno.ESTALE, f"another process took over {archive.folder}")
    if archive.file is None:
        archive.name = f"{_next_number(archive):05d}.warc.gz"
        # without a buffer, so that what was not written is not written later, after what was cut
        archive.file = open(archive.work / f"{archive.name}{_OPEN}", "wb", buffering=0)  # noqa: SIM115
        archive.opened = time.monotonic()
        _write(archive, _info(archive.name))


def _http_headers(exchange: Exchange) -> StatusAndHeaders:
    said = f"{exchange.status} {exchange.reason}"
    return StatusAndHeaders(said, _plain_transfer(exchange.headers), protocol="HTTP/1.1")


def _request(writer: WARCWriter, exchange: Exchange, response: ArcWarcRecord) -> ArcWarcRecord:
    sent = StatusAndHeaders(exchange.method_line, exchange.request_headers, protocol="HTTP/1.1", is_http_request=True)
    request = writer.create_warc_record(exchange.url, "request", http_headers=sent)
    request.rec_headers.add_header("WARC-Concurrent-To", response.rec_headers.get_header("WARC-Record-ID"))
    return request


def _see_to_room(archive: Archive) -> None:
    """Raises DiskFull while there is room yet: half a record would be the last thing on the disk."""
    free = shutil.disk_usage(archive.work).free
    if free < SPARE:
        raise DiskFull(errno.ENOSPC, f"{free >> 20} MB are free at {archive.work}, {SPARE >> 20} are wanted")


def _write(archive: Archive, data: bytes) -> None:
    """Appends to the open file all of `data`, or nothing. Raises DiskFull, and OSError for other failures."""
    file = archive.file
    assert file is not None
    start = file.tell()
    try:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        file.seek(start)
        file.truncate(start)  # gives room back, so it does not fail for want of it
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(error.errno, f"{error.strerror} at {archive.work}; what was kept is whole") from None
        raise


def close(archive: Archive) -> None:
    """Closes the open file and brings it into the lake."""
    if archive.file is not None:
        archive.file.flush()
        os.fsync(archive.file.fileno())
        archive.file.close()
        archive.file = None
        _bring(archive, archive.work / f"{archive.name}{_OPEN}")


def files(lake: Lake, folder: str) -> list[str]:
    """Paths of a crawl's finished WARC files, relative to the lake."""
    return [f"{folder}/{name}" for name in lakes.names(lake, folder) if name.endswith(".warc.gz")]


def responses(lake: Lake, path: str) -> Iterator[Stored]:
    """Every whole response of a WARC file of the lake, in order; torn records are passed over."""
    for one in records(lake, path):
        if one.record.rec_type != "response":
            continue
        header, http = one.record.rec_headers.get_header, one.record.http_headers
        why = None
        try:
            body = unpacked(one.body, _joined(http.headers, "content-encoding"), PAGE_BYTES)
        except Unreadable as error:
            body, why = b"", str(error)
        yield Stored(
            page=f"{path}#{one.offset}",
            url=header("WARC-Target-URI"),
            kind=header(KIND) or "",
            status=int(http.get_statuscode()),
            content_type=http.get_header("Content-Type"),
            fetched=datetime.fromisoformat(header("WARC-Date")).astimezone(UTC),
            body=body,
            headers={name.lower(): value for name, value in http.headers},
            unreadable=why,
            digest=header("WARC-Payload-Digest"),
        )


def whole_places(lake: Lake) -> Callable[[str], bool]:
    """Whether a page's place (`<WARC path>#<offset>`) holds a whole record; each file is read once."""

    @cache
    def offsets(path: str) -> frozenset[int]:
        if not lakes.exists(lake, path):
            return frozenset()
        return frozenset(one.offset for one in records(lake, path) if one.record.rec_type == "response")

    return lambda page: int(page.rpartition("#")[2]) in offsets(page.rpartition("#")[0])


def _joined(headers: list[tuple[str, str]], name: str) -> str:
    """All values of a header that is a list."""
    return ", ".join(value for key, value in headers if key.lower() == name)


def index(lake: Lake, folder: str, known: dict[str, list[str]] | None = None) -> int:
    """Writes `index.cdxj` over the crawl's responses (pywb's format); returns how many detail pages there are.

    known: lines by file name, for files that need not be read again.
    """
    lines: list[str] = []
    for path in files(lake, folder):
        name = path.rsplit("/", 1)[-1]
        lines += known[name] if known and name in known else _index_of(lake, path)
    if lines:
        lakes.write_bytes(lake, f"{folder}/{layout.INDEX}", "".join(sorted(lines)).encode())
    return sum(f'"{KIND}": "detail"' in line for line in lines)


def _index_of(lake: Lake, path: str) -> list[str]:
    name = path.rsplit("/", 1)[-1]
    found = (one for one in records(lake, path) if one.record.rec_type in ("response", "revisit"))
    return [_index_line(name, one.record, one.offset, one.length) for one in found]


def _index_line(name: str, record, offset: int, length: int) -> str:
    header = record.rec_headers.get_header
    url, moment = header("WARC-Target-URI"), re.sub(r"\D", "", header("WARC-Date"))[:14]
    said = record.http_headers.get_header("Content-Type")
    entry = {
        "url": url,
        "mime": "warc/revisit" if record.rec_type == "revisit" else (said or "unk").split(";")[0],
        "status": record.http_headers.get_statuscode(),
        "digest": (header("WARC-Payload-Digest") or "").removeprefix("sha1:"),
        "length": str(length),
        "offset": str(offset),
        "filename": name,
        KIND: header(KIND) or "",
    }
    return f"{_surt(url)} {moment} {json.dumps(entry)}\n"


def _surt(url: str) -> str:
    """The key by which CDX sorts: host reversed, then path and query."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    host = (parts.hostname or "").removeprefix("www.")
    return f"{','.join(reversed(host.split('.')))}){parts.path or '/'}{query}".lower()


def _info(name: str) -> bytes:
    writer = WARCWriter(None, warc_version="1.1")
    info = {"software": "chimed", "format": "WARC File Format 1.1"}
    return _member(writer.create_warcinfo_record(name, info))


def _member(record) -> bytes:
    """A WARC record as a gzip member of its own."""
    plain = io.BytesIO()
    WARCWriter(plain, gzip=False, warc_version="1.1").write_record(record)
    return zlib.compress(plain.getvalue(), LEVEL, 16 + zlib.MAX_WBITS)


def _plain_transfer(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The body was received whole: a header that says chunked would be untrue here."""
    return [(f"X-Archive-Orig-{key}" if key.lower() == "transfer-encoding" else key, text) for key, text in headers]


def _next_number(archive: Archive) -> int:
    taken = [path.rsplit("/", 1)[-1][:5] for path in files(archive.lake, archive.folder)]
    return max((int(name) for name in taken if name.isdigit()), default=-1) + 1


def _bring(archive: Archive, file: Path) -> None:
    name = file.name.removesuffix(_OPEN)
    if file.stat().st_size == 0:
        file.unlink()
    elif lakes.is_local(archive.lake.fs):
        os.replace(file, archive.work / name)
    else:
        archive.lake.fs.put(str(file), archive.lake.at(archive.folder, name))
        file.unlink()


def _cut_to_whole_records(file: Path) -> None:
    """Keeps the whole records at the front of a file that was being written, and cuts what a kill tore."""
    whole = 0
    with open(file, "rb") as raw:
        for one in members(raw):
            if one.offset != whole:
                break
            whole = one.offset + one.length
    os.truncate(file, whole)
