"""Raw pages as WARC files: written as they arrive, readable after a kill, indexed when the crawl is done.

A file grows under `<n>.warc.gz.open` and gets its name when it is closed. Request and response are kept as they were
on the wire, but for chunked transfer. `Chimed-Kind` in a response's WARC header says whether it is a detail page.
"""

import hashlib
import io
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from chimed import lake as lakes
from chimed.lake import Lake

KIND = "Chimed-Kind"
FILE_BYTES = 64 * 1024 * 1024  # some 6,000 pages: what a worker reads at a time (extract)
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


def open_archive(lake: Lake, folder: str, file_bytes: int = FILE_BYTES) -> Archive:
    """The archive of a crawl; what a killed attempt left is cut after its last whole record and put into the lake."""
    if lakes.is_local(lake.fs):
        work = Path(lake.at(folder))
    else:
        place = hashlib.sha256(lake.at(folder).encode()).hexdigest()[:16]
        work = Path(tempfile.gettempdir()) / "chimed-crawl" / place
    work.mkdir(parents=True, exist_ok=True)
    archive = Archive(lake, folder, work, file_bytes)
    for left in sorted(work.glob(f"*.warc.gz{_OPEN}")):
        _cut_to_whole_records(left)
        _bring(archive, left)
    return archive


def keep(archive: Archive, exchange: Exchange, kind: str) -> str:
    """Writes a request and its response; returns the response's place. It is on the disk's side before this returns."""
    if archive.file is None:
        archive.name = f"{_next_number(archive):05d}.warc.gz"
        archive.file = open(archive.work / f"{archive.name}{_OPEN}", "wb")  # noqa: SIM115 (stays open between records)
        _write_info(archive.file, archive.name)
    file = archive.file
    writer = WARCWriter(None, warc_version="1.1")
    response = writer.create_warc_record(
        exchange.url,
        "response",
        payload=io.BytesIO(exchange.body),
        length=len(exchange.body),
        warc_headers_dict={KIND: kind},
        http_headers=StatusAndHeaders(
            f"{exchange.status} {exchange.reason}", _plain_transfer(exchange.headers), protocol="HTTP/1.1"
        ),
    )
    request = writer.create_warc_record(
        exchange.url,
        "request",
        http_headers=StatusAndHeaders(
            exchange.method_line, exchange.request_headers, protocol="HTTP/1.1", is_http_request=True
        ),
    )
    request.rec_headers.add_header("WARC-Concurrent-To", response.rec_headers.get_header("WARC-Record-ID"))
    offset, member = file.tell(), _member(response)
    file.write(member + _member(request))
    file.flush()
    archive.lines.setdefault(archive.name, []).append(_index_line(archive.name, response, offset, len(member)))
    place = f"{archive.folder}/{archive.name}#{offset}"
    if file.tell() >= archive.file_bytes:
        close(archive)
    return place


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
    """Every response of a WARC file of the lake, in order."""
    with lake.fs.open(lake.at(path), "rb") as file:
        reader = ArchiveIterator(file)
        for record in reader:
            if record.rec_type != "response":
                continue
            body = record.content_stream().read()
            header = record.rec_headers.get_header
            yield Stored(
                page=f"{path}#{reader.get_record_offset()}",
                url=header("WARC-Target-URI"),
                kind=header(KIND) or "",
                status=int(record.http_headers.get_statuscode()),
                content_type=record.http_headers.get_header("Content-Type"),
                fetched=datetime.fromisoformat(header("WARC-Date")).astimezone(UTC),
                body=body,
                headers={name.lower(): value for name, value in record.http_headers.headers},
            )


def index(lake: Lake, folder: str, known: dict[str, list[str]] | None = None) -> int:
    """Writes `index.cdxj` over the crawl's responses (pywb's format); returns how many detail pages there are.

    known: lines by file name, for files that need not be read again.
    """
    lines: list[str] = []
    for path in files(lake, folder):
        name = path.rsplit("/", 1)[-1]
        lines += known[name] if known and name in known else _index_of(lake, path)
    if lines:
        lakes.write_bytes(lake, f"{folder}/index.cdxj", "".join(sorted(lines)).encode())
    return sum(f'"{KIND}": "detail"' in line for line in lines)


def _index_of(lake: Lake, path: str) -> list[str]:
    lines = []
    with lake.fs.open(lake.at(path), "rb") as file:
        reader = ArchiveIterator(file)
        for record in reader:
            if record.rec_type == "response":
                place = reader.get_record_offset(), reader.get_record_length()
                lines.append(_index_line(path.rsplit("/", 1)[-1], record, *place))
    return lines


def _index_line(name: str, record, offset: int, length: int) -> str:
    header = record.rec_headers.get_header
    url, moment = header("WARC-Target-URI"), re.sub(r"\D", "", header("WARC-Date"))[:14]
    entry = {
        "url": url,
        "mime": (record.http_headers.get_header("Content-Type") or "unk").split(";")[0],
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


def _write_info(file: BinaryIO, name: str) -> None:
    writer = WARCWriter(None, warc_version="1.1")
    info = {"software": "chimed", "format": "WARC File Format 1.1"}
    file.write(_member(writer.create_warcinfo_record(name, info)))
    file.flush()


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
    """Every record is a gzip member of its own: keeps the whole ones at the front, cuts what a kill tore."""
    whole = 0
    with open(file, "rb") as raw:
        while True:
            raw.seek(whole)
            end = _end_of_member(raw)
            if end is None:
                break
            whole = end
    os.truncate(file, whole)


def _end_of_member(raw: BinaryIO) -> int | None:
    """Where the gzip member that begins here ends; None where it does not end or none begins."""

    stream, start = zlib.decompressobj(16 + zlib.MAX_WBITS), raw.tell()
    read = 0
    while piece := raw.read(1 << 16):
        read += len(piece)
        try:
            stream.decompress(piece)
        except zlib.error:
            return None
        if stream.eof:
            return start + read - len(stream.unused_data)
    return None
