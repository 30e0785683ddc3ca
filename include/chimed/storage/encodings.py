"""Decompress content encodings within limits (paper §3.1).

A crawl and every later reading of its WARC files use the same code, so that a page is readable to both or to neither.
Requests accept gzip, deflate and br, which other WARC readers also support; a response in zstd, or one that was
compressed twice, is decompressed as well.
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

ACCEPT_ENCODING = "gzip, deflate, br"
CHUNK_BYTES = 1 << 16
PAGE_BYTES = 4 * 1024 * 1024  # the largest page measured on any of the sites has 68 KB
MAX_LAYERS = 4  # more encodings than this are a trap, not a server


class Unreadable(Exception):
    """A body cannot be decompressed. The message says why in a few words, the same for every such page."""


def decompress(body: bytes, said: str | None, most: int) -> bytes:
    """Return a body without the encodings named in its Content-Encoding header, outermost first.

    most: maximum size in bytes. Like in browsers, a body that is not compressed in the declared way is returned as it
    is, and of a truncated one the part before the break is returned. Raises Unreadable for an unknown encoding and for
    a body that grows too large.
    """
    names = [name.strip().lower() for name in (said or "").split(",")]
    names = [name for name in names if name and name not in ("identity", "none")]
    if len(names) > MAX_LAYERS:
        raise Unreadable("packed too often")
    for name in reversed(names):
        unpack = _READERS.get(name)
        if unpack is None:
            raise Unreadable("unknown content encoding")
        body = unpack(body, most)
    return body


def _gzip(body: bytes, most: int) -> bytes:
    """Decompress every member of a gzip file."""
    if body[:2] != b"\x1f\x8b":
        return body
    whole = b""
    while body[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        whole += _decompress_in_chunks(body, stream.decompress, partial(getattr, stream, "eof"), most - len(whole))
        body = stream.unused_data
    return whole


def _deflate(body: bytes, most: int) -> bytes:
    """Decompress deflate, with the header that the standard requires or without it, as some servers send it."""
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        stream = zlib.decompressobj(bits)
        found = _decompress_in_chunks(body, stream.decompress, partial(getattr, stream, "eof"), most)
        if found or not body:
            return found
    return body


def _brotli(body: bytes, most: int) -> bytes:
    stream = brotli.Decompressor()
    return _decompress_in_chunks(body, stream.process, stream.is_finished, most) or body


def _zstd(body: bytes, most: int) -> bytes:
    """Decompress every frame of a zstd file."""
    if body[:4] != b"\x28\xb5\x2f\xfd":
        return body
    whole = b""
    while body[:4] == b"\x28\xb5\x2f\xfd":
        stream = zstd.ZstdDecompressor()
        whole += _decompress_in_chunks(body, stream.decompress, partial(getattr, stream, "eof"), most - len(whole))
        body = stream.unused_data if stream.eof else b""
    return whole


_READERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def _decompress_in_chunks(
    body: bytes, unpack: Callable[[bytes], bytes], is_done: Callable[[], bool], most: int
) -> bytes:
    """Return the decompressed body up to where it breaks off. Raise Unreadable beyond `most` bytes."""
    found, size = [], 0
    step = CHUNK_BYTES if len(body) > CHUNK_BYTES else 4096  # of what is packed a thousandfold a piece is bounded too
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
