"""The inputs of a build: all finished crawls of its sources, divided into shards of bounded size.

A shard is a list of crawls (`ask39/2026-11-16`). A crawl that is too large for one shard is shared out:
`ask39/2026-11-16/2-of-5` is every fifth of its parts, from the third on. `chimed.extraction.crawl_records` defines the
parts.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from chimed.build.corpus import MAX_PARTS
from chimed.build.options import Options
from chimed.crawl.finished import read_report
from chimed.sources import FILES
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.naming import CORPUS_NAME

PAGES_PER_SHARD = 20_000
BYTES_PER_SHARD = 64 * 1024 * 1024  # raw files; fewer pages if they are large


@dataclass(frozen=True)
class Piece:
    """A crawl, or a share of it (share number, number of shares)."""

    source: str
    crawl: str
    share: tuple[int, int] = (0, 1)


def parse_piece(entry: str) -> Piece:
    """Parse the name of a piece, as a build's shards have it."""
    source, crawl, *rest = entry.split("/")
    if not rest:
        return Piece(source, crawl)
    which, of = rest[0].split("-of-")
    return Piece(source, crawl, (int(which), int(of)))


def shard_name(shard: list[str]) -> str:
    """Return a shard's name for people: its crawls by source, or its part of a large crawl."""
    pieces = [parse_piece(entry) for entry in shard]
    if len(pieces) == 1:
        one = pieces[0]
        part = f", part {one.share[0] + 1} of {one.share[1]}" if one.share[1] > 1 else ""
        return f"{one.source}, crawl {one.crawl}{part}"
    counted = Counter(one.source for one in pieces)
    return ", ".join(f"{source}: {count} crawl{'s' if count > 1 else ''}" for source, count in counted.items())


def list_crawls(shards: list[list[str]]) -> list[str]:
    """Return `<source>/<crawl>` of every crawl that a build reads, sorted."""
    pieces = [parse_piece(entry) for shard in shards for entry in shard]
    return sorted({f"{one.source}/{one.crawl}" for one in pieces})


def divide_into_shards(lake: Lake, options: Options) -> list[list[str]]:
    """Divide all finished crawls into a new build's shards, each a list of pieces; [] if nothing has been crawled."""
    finished = [
        f"{source}/{crawl}"
        for source in (*options.sources, *(_corpora(lake) if options.corpora else ()))
        for crawl in lakes.names(lake, layout.raw(source))
        if read_report(lake, source, crawl) is not None
    ]
    sizes = {crawl: _shards_filled(lake, crawl) for crawl in finished}
    limit = 1.0
    while len(found := _pack(sizes, limit)) > MAX_PARTS:
        limit *= 1.1
    return found


def _shards_filled(lake: Lake, crawl: str) -> float:
    """Return how many shards a crawl would fill."""
    pages = (read_report(lake, *crawl.split("/")) or {}).get("pages") or 0
    return max(pages / PAGES_PER_SHARD, lakes.size(lake, layout.raw(crawl)) / BYTES_PER_SHARD)


def _pack(sizes: dict[str, float], limit: float) -> list[list[str]]:
    """Pack crawls into shards no larger than `limit`, in the order of the crawls."""
    found: list[list[str]] = []
    room = 0.0
    for crawl, size in sizes.items():
        of = max(1, math.ceil(size / limit))
        for which in range(of):
            if not found or size / of > room:
                found.append([])
                room = limit
            found[-1].append(f"{crawl}/{which}-of-{of}" if of > 1 else crawl)
            room -= size / of
    return found


def _corpora(lake: Lake) -> list[str]:
    """Return the names of the corpora that `chimed ingest` has read into the lake."""
    names = [name for name in lakes.names(lake, layout.RAW) if name not in source_names()]
    return [name for name in names if CORPUS_NAME.match(name) and any(_is_corpus(lake, name))]


def _is_corpus(lake: Lake, name: str) -> Iterator[bool]:
    for crawl in lakes.names(lake, layout.raw(name)):
        yield (read_report(lake, name, crawl) or {}).get("form") == FILES
