"""Records of a WARC file, each checked when it is read: a record is a gzip member of its own, whole or passed over.

A disk that filled, a machine that died or a copy that broke off leaves a member that ends too soon. Its checksum says
so, and where the next one begins is found by its first bytes.
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

MAGIC = b"\x1f\x8b\x08"
PIECE = 1 << 16
MOST_BYTES = 64 * 1024 * 1024  # of a record unpacked; a page has 4 MB at most


@dataclass(frozen=True)
class Member:
    """A whole gzip member. length: bytes in the file; plain: what it holds."""

    offset: int
    length: int
    plain: bytes


@dataclass(frozen=True)
class Record:
    """A whole record. body: its payload as it was on the wire."""

    offset: int
    length: int
    record: ArcWarcRecord
    body: bytes


def records(lake: Lake, path: str, start: int = 0) -> Iterator[Record]:
    """Every whole record of a WARC file of the lake from `start` on, in order, by their checksums and digests."""
    with open_file(lake, path) as file:
        for member in members(file, start):
            found = record_of(member)
            if found:
                yield found


def members(file: BinaryIO, place: int = 0) -> Iterator[Member]:
    """Every whole gzip member of a file from `place` on; what lies between two of them is passed over."""
    while True:
        file.seek(place)
        member = _member(file, place)
        if member:
            yield member
            place += member.length
            continue
        found = _next_start(file, place + 1)
        if found is None:
            return
        place = found


def _member(file: BinaryIO, start: int) -> Member | None:
    stream, read, plain, size = zlib.decompressobj(16 + zlib.MAX_WBITS), 0, [], 0
    while piece := file.read(PIECE):
        read += len(piece)
        try:
            plain.append(stream.decompress(piece, MOST_BYTES - size + 1))
        except zlib.error:
            return None
        size += len(plain[-1])
        if size > MOST_BYTES:
            return None
        if stream.eof:  # only where its checksum and its length are right
            return Member(start, read - len(stream.unused_data), b"".join(plain))
    return None


def _next_start(file: BinaryIO, place: int) -> int | None:
    """Where the first bytes of a gzip member stand, from `place` on."""
    file.seek(place)
    tail = b""
    while piece := file.read(PIECE):
        found = (tail + piece).find(MAGIC)
        if found >= 0:
            return place - len(tail) + found
        place += len(piece)
        tail = piece[-(len(MAGIC) - 1) :]
    return None


def record_of(member: Member) -> Record | None:
    """The record of a member; None where it is none, or its digest says that it is not what was written."""
    try:
        record = next(iter(ArchiveIterator(io.BytesIO(member.plain), check_digests=True)))
        body = record.raw_stream.read()
    except (ArchiveLoadFailed, StopIteration, ValueError, UnicodeError):
        return None
    checked = record.digest_checker.passed
    return Record(member.offset, member.length, record, body) if checked is not False else None
