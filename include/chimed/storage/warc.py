"""Store raw pages as WARC files: written as they arrive, readable after a kill, indexed when the crawl is done.

A file grows under `<n>.warc.gz.open` and gets its name when it is closed. If the lake is remote, that happens every few
minutes, which limits what a lost machine costs. Request and response are stored as they were on the wire, except for
chunked transfer. `Chimed-Kind` in a response's WARC header says whether it is a detail page. A record is read only if
it is complete, by the checksum of its gzip member and the digests in its header (`warc_records`).
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
from chimed.storage.encodings import PAGE_BYTES, Unreadable, decompress
from chimed.storage.lake import Lake
from chimed.storage.warc_records import read_members, read_whole_records

KIND = "Chimed-Kind"
MAX_FILE_BYTES = 64 * 1024 * 1024  # about 6,000 pages; a worker of `extract` reads one file at a time
UPLOAD_SECONDS = 300.0  # between uploads to a remote lake: what a lost machine costs
MIN_FREE_BYTES = 64 * 1024 * 1024  # left for the store, its journal and other programs
GZIP_LEVEL = 5  # warcio's default 9 takes 50 % longer for files 0.3 % smaller
_OPEN = ".open"


@dataclass
class Archive:
    """The WARC files of one crawl; the newest is open for writing after the first record."""

    lake: Lake
    folder: str  # raw/<source>/<crawl>
    work: Path
    file_bytes: int = MAX_FILE_BYTES
    name: str = ""
    file: BinaryIO | None = None
    lines: dict[str, list[str]] = field(default_factory=dict)  # of the index, by the files written here
    opened: float = 0.0  # when `file` was opened (monotonic)


class DiskFull(OSError):
    """Nothing more can be stored on this machine; what was stored is complete."""


@dataclass(frozen=True)
class Exchange:
    """One request and its response, as on the wire."""

    url: str
    method_line: str
    request_headers: list[tuple[str, str]]
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class StoredResponse:
    """A response read back. page: `<WARC path>#<offset>`. body: decompressed."""

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


def open_archive(lake: Lake, folder: str, file_bytes: int = MAX_FILE_BYTES) -> Archive:
    """Open the archive of a crawl; truncate what a killed attempt left to whole records and move it into the lake."""
    if lakes.is_local(lake.fs):
        work = Path(lake.at(folder))
    else:
        place = hashlib.sha256(lake.at(folder).encode()).hexdigest()[:16]
        work = private_folder("crawl", place)
    work.mkdir(parents=True, exist_ok=True)
    archive = Archive(lake, folder, work, file_bytes)
    for left in sorted(work.glob(f"*.warc.gz{_OPEN}")):
        _truncate_to_whole_records(left)
        _move_to_lake(archive, left)
    return archive


def write_exchange(archive: Archive, exchange: Exchange, kind: str) -> str:
    """Write a request and its response; return the response's place. Both are handed to the system before this returns.

    Both are written or neither: a partial write is cut off again. Raises DiskFull before the disk is full.
    """
    _ensure_open_file(archive)
    writer = WARCWriter(None, warc_version="1.1")
    response = writer.create_warc_record(
        exchange.url,
        "response",
        payload=io.BytesIO(exchange.body),
        length=len(exchange.body),
        warc_headers_dict={KIND: kind},
        http_headers=_http_headers(exchange),
    )
    return _write_records(archive, response, _request(writer, exchange, response))


def write_revisit(archive: Archive, exchange: Exchange, place: str) -> None:
    """Write a revisit record: the page is unchanged since it was stored at `place`.

    It has no body; replay tools follow it to the first record. Nothing is written if the body on the wire differs, for
    example because it was compressed again.
    """
    path, _, offset = place.partition("#")
    if not lakes.exists(archive.lake, path):  # the file is still open, or it was removed
        return
    first = next(read_whole_records(archive.lake, path, int(offset)), None)
    digest = Digester("sha1")
    digest.update(exchange.body)
    if first is None or first.record.rec_headers.get_header("WARC-Payload-Digest") != str(digest):
        return
    _ensure_open_file(archive)
    writer = WARCWriter(None, warc_version="1.1")
    header = first.record.rec_headers.get_header
    revisit = writer.create_revisit_record(
        exchange.url,
        digest=str(digest),
        refers_to_uri=header("WARC-Target-URI"),
        refers_to_date=header("WARC-Date"),
        http_headers=_http_headers(exchange),
    )
    _write_records(archive, revisit, _request(writer, exchange, revisit))


def _write_records(archive: Archive, response: ArcWarcRecord, request: ArcWarcRecord) -> str:
    """Write both records and the index line of the response; return its place."""
    file = archive.file
    assert file is not None
    offset, member = file.tell(), _member(response)
    _write(archive, member + _member(request))
    archive.lines.setdefault(archive.name, []).append(_index_line(archive.name, response, offset, len(member)))
    place = f"{archive.folder}/{archive.name}#{offset}"
    is_late = not lakes.is_local(archive.lake.fs) and time.monotonic() - archive.opened >= UPLOAD_SECONDS
    if file.tell() >= archive.file_bytes or is_late:
        close_archive(archive)
    return place


def _ensure_open_file(archive: Archive) -> None:
    """Open a file if none is open.

    Raises DiskFull, and OSError if another process took over the open file while this one was suspended: that process
    has finished it, and nothing may be appended.
    """
    _check_free_space(archive)
    if archive.file is not None and not (archive.work / f"{archive.name}{_OPEN}").exists():
        raise OSError(errno.ESTALE, f"another process took over {archive.folder}")
    if archive.file is None:
        archive.name = f"{_next_number(archive):05d}.warc.gz"
        # unbuffered, so that data of a failed write cannot be written later, behind the truncation
        archive.file = open(archive.work / f"{archive.name}{_OPEN}", "wb", buffering=0)  # noqa: SIM115
        archive.opened = time.monotonic()
        _write(archive, _info(archive.name))


def _http_headers(exchange: Exchange) -> StatusAndHeaders:
    said = f"{exchange.status} {exchange.reason}"
    return StatusAndHeaders(said, _archived_headers(exchange.headers), protocol="HTTP/1.1")


def _request(writer: WARCWriter, exchange: Exchange, response: ArcWarcRecord) -> ArcWarcRecord:
    sent = StatusAndHeaders(exchange.method_line, exchange.request_headers, protocol="HTTP/1.1", is_http_request=True)
    request = writer.create_warc_record(exchange.url, "request", http_headers=sent)
    request.rec_headers.add_header("WARC-Concurrent-To", response.rec_headers.get_header("WARC-Record-ID"))
    return request


def _check_free_space(archive: Archive) -> None:
    """Raise DiskFull while there is still some space, so that the last record on the disk is never half a record."""
    free = shutil.disk_usage(archive.work).free
    if free < MIN_FREE_BYTES:
        raise DiskFull(
            errno.ENOSPC,
            f"{free >> 20} MB are free at {archive.work}, but {MIN_FREE_BYTES >> 20} MB are needed; free some space",
        )


def _write(archive: Archive, data: bytes) -> None:
    """Append all of `data` to the open file, or nothing. Raises DiskFull, and OSError for other failures."""
    file = archive.file
    assert file is not None
    start = file.tell()
    try:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        file.seek(start)
        file.truncate(start)  # frees space, so a full disk cannot make it fail
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(error.errno, f"{error.strerror} at {archive.work}; what was kept is whole") from None
        raise


def close_archive(archive: Archive) -> None:
    """Close the open file and move it into the lake."""
    if archive.file is not None:
        archive.file.flush()
        os.fsync(archive.file.fileno())
        archive.file.close()
        archive.file = None
        _move_to_lake(archive, archive.work / f"{archive.name}{_OPEN}")


def list_files(lake: Lake, folder: str) -> list[str]:
    """Return the paths of a crawl's finished WARC files, relative to the lake."""
    return [f"{folder}/{name}" for name in lakes.names(lake, folder) if name.endswith(".warc.gz")]


def read_responses(lake: Lake, path: str) -> Iterator[StoredResponse]:
    """Yield every complete response of a WARC file, in order; torn records are skipped."""
    for one in read_whole_records(lake, path):
        if one.record.rec_type != "response":
            continue
        header, http = one.record.rec_headers.get_header, one.record.http_headers
        why = None
        try:
            body = decompress(one.body, _join_values(http.headers, "content-encoding"), PAGE_BYTES)
        except Unreadable as error:
            body, why = b"", str(error)
        yield StoredResponse(
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


def find_whole_places(lake: Lake) -> Callable[[str], bool]:
    """Return a function: whether a place (`<WARC path>#<offset>`) has a complete record. It reads each file once."""

    @cache
    def offsets(path: str) -> frozenset[int]:
        if not lakes.exists(lake, path):
            return frozenset()
        return frozenset(one.offset for one in read_whole_records(lake, path) if one.record.rec_type == "response")

    return lambda page: int(page.rpartition("#")[2]) in offsets(page.rpartition("#")[0])


def _join_values(headers: list[tuple[str, str]], name: str) -> str:
    """Return all values of a header that is a list."""
    return ", ".join(value for key, value in headers if key.lower() == name)


def write_index(lake: Lake, folder: str, known: dict[str, list[str]] | None = None) -> int:
    """Write `index.cdxj` (pywb's format) over the crawl's responses; return the number of detail pages.

    known: index lines by file name, for files that need not be read again.
    """
    lines: list[str] = []
    for path in list_files(lake, folder):
        name = path.rsplit("/", 1)[-1]
        lines += known[name] if known and name in known else _index_file(lake, path)
    if lines:
        lakes.write_bytes(lake, f"{folder}/{layout.INDEX}", "".join(sorted(lines)).encode())
    return sum(f'"{KIND}": "detail"' in line for line in lines)


def _index_file(lake: Lake, path: str) -> list[str]:
    name = path.rsplit("/", 1)[-1]
    found = (one for one in read_whole_records(lake, path) if one.record.rec_type in ("response", "revisit"))
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
    """Return the sort key of CDX: host reversed, then path and query."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    host = (parts.hostname or "").removeprefix("www.")
    return f"{','.join(reversed(host.split('.')))}){parts.path or '/'}{query}".lower()


def _info(name: str) -> bytes:
    writer = WARCWriter(None, warc_version="1.1")
    info = {"software": "chimed", "format": "WARC File Format 1.1"}
    return _member(writer.create_warcinfo_record(name, info))


def _member(record) -> bytes:
    """Return a WARC record as its own gzip member."""
    plain = io.BytesIO()
    WARCWriter(plain, gzip=False, warc_version="1.1").write_record(record)
    return zlib.compress(plain.getvalue(), GZIP_LEVEL, 16 + zlib.MAX_WBITS)


def _archived_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers without transfer encoding: the body is stored whole, so "chunked" would be wrong."""
    return [(f"X-Archive-Orig-{key}" if key.lower() == "transfer-encoding" else key, text) for key, text in headers]


def _next_number(archive: Archive) -> int:
    taken = [path.rsplit("/", 1)[-1][:5] for path in list_files(archive.lake, archive.folder)]
    return max((int(name) for name in taken if name.isdigit()), default=-1) + 1


def _move_to_lake(archive: Archive, file: Path) -> None:
    name = file.name.removesuffix(_OPEN)
    if file.stat().st_size == 0:
        file.unlink()
    elif lakes.is_local(archive.lake.fs):
        os.replace(file, archive.work / name)
    else:
        archive.lake.fs.put(str(file), archive.lake.at(archive.folder, name))
        file.unlink()


def _truncate_to_whole_records(file: Path) -> None:
    """Truncate a file that was being written to the whole records at its start."""
    whole = 0
    with open(file, "rb") as raw:
        for one in read_members(raw):
            if one.offset != whole:
                break
            whole = one.offset + one.length
    os.truncate(file, whole)
