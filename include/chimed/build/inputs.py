"""What a build reads: every finished crawl of its sources, divided into shards of bounded size.

A shard is named by crawls (`ask39/2026-11-16`) and by shares of those too large for one: `ask39/2026-11-16/2-of-5` is
every fifth of its parts, from the third on. Which parts there are, extract says (`chimed.extraction.crawl_records`).
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from chimed.build.options import Options
from chimed.crawl.finished import report_of
from chimed.sources import FILES
from chimed.sources import NAMES as SOURCES
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.storage.naming import CORPUS

MOST_PARTS = 1_000  # a part is a task in Airflow, which maps a task over 1,024 at most ([core] max_map_length)
PAGES_A_SHARD = 20_000
BYTES_A_SHARD = 64 * 1024 * 1024  # of raw files: pages that are larger than usual are fewer


@dataclass(frozen=True)
class Piece:
    """A crawl, or a share of it: (which, of how many)."""

    source: str
    crawl: str
    share: tuple[int, int] = (0, 1)


def piece(entry: str) -> Piece:
    """A piece by its name in a build's shards."""
    source, crawl, *rest = entry.split("/")
    if not rest:
        return Piece(source, crawl)
    which, of = rest[0].split("-of-")
    return Piece(source, crawl, (int(which), int(of)))


def shard_name(shard: list[str]) -> str:
    """What a person calls a shard: its crawls by source, or which part of a large one it is."""
    pieces = [piece(entry) for entry in shard]
    if len(pieces) == 1:
        one = pieces[0]
        part = f", part {one.share[0] + 1} of {one.share[1]}" if one.share[1] > 1 else ""
        return f"{one.source}, crawl {one.crawl}{part}"
    counted = Counter(one.source for one in pieces)
    return ", ".join(f"{source}: {count} crawl{'s' if count > 1 else ''}" for source, count in counted.items())


def crawls(shards: list[list[str]]) -> list[str]:
    """`<source>/<crawl>` of every crawl that a build reads, sorted."""
    pieces = [piece(entry) for shard in shards for entry in shard]
    return sorted({f"{one.source}/{one.crawl}" for one in pieces})


def shards(lake: Lake, options: Options) -> list[list[str]]:
    """The shards of a new build, each a list of pieces; none where nothing has been crawled yet."""
    finished = [
        f"{source}/{crawl}"
        for source in (*options.sources, *(_corpora(lake) if options.corpora else ()))
        for crawl in lakes.names(lake, f"raw/{source}")
        if report_of(lake, source, crawl) is not None
    ]
    sizes = {crawl: _size(lake, crawl) for crawl in finished}
    limit = 1.0
    while len(found := _packed(sizes, limit)) > MOST_PARTS:
        limit *= 1.1
    return found


def _size(lake: Lake, crawl: str) -> float:
    """How many shards a crawl would fill."""
    pages = (report_of(lake, *crawl.split("/")) or {}).get("pages") or 0
    return max(pages / PAGES_A_SHARD, lakes.size(lake, f"raw/{crawl}") / BYTES_A_SHARD)


def _packed(sizes: dict[str, float], limit: float) -> list[list[str]]:
    """Pieces in the order of their crawls, as many to a shard as it holds: no shard is larger than `limit`."""
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
    """Names of the corpora that `chimed ingest` brought into the lake."""
    names = [name for name in lakes.names(lake, "raw") if name not in SOURCES]
    return [name for name in names if CORPUS.match(name) and any(_is_corpus(lake, name))]


def _is_corpus(lake: Lake, name: str) -> Iterator[bool]:
    for crawl in lakes.names(lake, f"raw/{name}"):
        yield (report_of(lake, name, crawl) or {}).get("form") == FILES
