"""Read the records of a WARC file, checking each: a record is its own gzip member, and is either whole or skipped.

A full disk, a crashed machine or an interrupted copy leaves a member that ends too soon. Its checksum reveals that, and
the next member is found by its first bytes.
"""

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from chimed.storage.lake import Lake, open_file

GZIP_MAGIC = b"\x1f\x8b\x08"
CHUNK_BYTES = 1 << 16
MAX_RECORD_BYTES = 64 * 1024 * 1024  # of a record unpacked; a page has 4 MB at most


@dataclass(frozen=True)
class Member:
    """A whole gzip member. length: bytes in the file; plain: the decompressed content."""

    offset: int
    length: int
    plain: bytes


@dataclass(frozen=True)
class Record:
    """A whole record. body: its payload as on the wire."""

    offset: int
    length: int
    record: ArcWarcRecord
    body: bytes


def read_whole_records(lake: Lake, path: str, start: int = 0) -> Iterator[Record]:
    """Yield every whole record of a WARC file from `start` on, in order, checked by checksum and digest."""
    with open_file(lake, path) as file:
        for member in read_members(file, start):
            found = parse_record(member)
            if found:
                yield found


def read_members(file: BinaryIO, place: int = 0) -> Iterator[Member]:
    """Yield every whole gzip member of a file from `place` on; bytes between two of them are skipped."""
    while True:
        file.seek(place)
        member = _read_member(file, place)
        if member:
            yield member
            place += member.length
            continue
        found = _next_start(file, place + 1)
        if found is None:
            return
        place = found


def _read_member(file: BinaryIO, start: int) -> Member | None:
    stream, read, plain, size = zlib.decompressobj(16 + zlib.MAX_WBITS), 0, [], 0
    while piece := file.read(CHUNK_BYTES):
        read += len(piece)
        try:
            plain.append(stream.decompress(piece, MAX_RECORD_BYTES - size + 1))
        except zlib.error:
            return None
        size += len(plain[-1])
        if size > MAX_RECORD_BYTES:
            return None
        if stream.eof:  # only where its checksum and its length are right
            return Member(start, read - len(stream.unused_data), b"".join(plain))
    return None


def _next_start(file: BinaryIO, place: int) -> int | None:
    """Return the offset of the next first bytes of a gzip member from `place` on; None if there are none."""
    file.seek(place)
    tail = b""
    while piece := file.read(CHUNK_BYTES):
        found = (tail + piece).find(GZIP_MAGIC)
        if found >= 0:
            return place - len(tail) + found
        place += len(piece)
        tail = piece[-(len(GZIP_MAGIC) - 1) :]
    return None


def parse_record(member: Member) -> Record | None:
    """Return the record of a member; None if it has none or its digest does not match."""
    try:
        record = next(iter(ArchiveIterator(io.BytesIO(member.plain), check_digests=True)))
        body = record.raw_stream.read()
    except (ArchiveLoadFailed, StopIteration, ValueError, UnicodeError):
        return None
    checked = record.digest_checker.passed
    return Record(member.offset, member.length, record, body) if checked is not False else None
