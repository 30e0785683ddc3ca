"""Content encodings: what a server packed a body with, taken off again, within bounds (paper §3.1).

A crawl and every later reading of its WARC files unpack with the same code, so that a page cannot be read by the one
and not by the other. What is asked for is gzip, deflate and br, which other readers of WARC files know too; a server
that sends zstd all the same, or packs twice, is read as well.
"""

import sys
import zlib
from collections.abc import Callable
from functools import partial

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ASKED_FOR = "gzip, deflate, br"
PIECE = 1 << 16
PAGE_BYTES = 4 * 1024 * 1024  # the largest page measured on any of the sites has 68 KB
LAYERS = 4  # more encodings than this are a trap, not a server


class Unreadable(Exception):
    """A body that cannot be unpacked; its text says why, in a few words that are the same for every such page."""


def unpacked(body: bytes, said: str | None, most: int) -> bytes:
    """A body without the encodings that its Content-Encoding header says, outermost first.

    most: bytes beyond which it is too large. A body that is not packed in the way that is said is taken as it is, as
    browsers do, and of one that breaks off what came before. Raises Unreadable for an encoding that is not known, and
    for a body that grows too large.
    """
    names = [name.strip().lower() for name in (said or "").split(",")]
    names = [name for name in names if name and name not in ("identity", "none")]
    if len(names) > LAYERS:
        raise Unreadable("packed too often")
    for name in reversed(names):
        unpack = _READERS.get(name)
        if unpack is None:
            raise Unreadable("unknown content encoding")
        body = unpack(body, most)
    return body


def _gzip(body: bytes, most: int) -> bytes:
    """Every member of the file."""
    if body[:2] != b"\x1f\x8b":
        return body
    whole = b""
    while body[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        whole += _in_pieces(body, stream.decompress, partial(getattr, stream, "eof"), most - len(whole))
        body = stream.unused_data
    return whole


def _deflate(body: bytes, most: int) -> bytes:
    """With the header that the standard wants, or without it, as some servers send it."""
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        stream = zlib.decompressobj(bits)
        found = _in_pieces(body, stream.decompress, partial(getattr, stream, "eof"), most)
        if found or not body:
            return found
    return body


def _brotli(body: bytes, most: int) -> bytes:
    stream = brotli.Decompressor()
    return _in_pieces(body, stream.process, stream.is_finished, most) or body


def _zstd(body: bytes, most: int) -> bytes:
    """Every frame of the file."""
    if body[:4] != b"\x28\xb5\x2f\xfd":
        return body
    whole = b""
    while body[:4] == b"\x28\xb5\x2f\xfd":
        stream = zstd.ZstdDecompressor()
        whole += _in_pieces(body, stream.decompress, partial(getattr, stream, "eof"), most - len(whole))
        body = stream.unused_data if stream.eof else b""
    return whole


_READERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def _in_pieces(body: bytes, unpack: Callable[[bytes], bytes], is_done: Callable[[], bool], most: int) -> bytes:
    """What `unpack` makes of a body, up to where it breaks off. Raises Unreadable beyond `most` bytes."""
    found, size = [], 0
    step = PIECE if len(body) > PIECE else 4096  # of what is packed a thousandfold a piece is bounded too
    for place in range(0, len(body), step):
        try:
            piece = unpack(body[place : place + step])
        except (zlib.error, brotli.error, zstd.ZstdError):
            break
        found.append(piece)
        size += len(piece)
        if size > most:
            raise Unreadable("too large")
        if is_done():
            break
    return b"".join(found)
