"""The inputs of a build: all finished crawls of its sources, divided into shards of bounded size, and the build's plan.

A shard becomes a part of every stage's table, and each part is a task. The number of parts grows with the data up to
`CHIMED_MAX_PARTS`; beyond that the parts grow.

A shard is a list of crawls (`ask39/2026-11-16`). A crawl that is too large for one shard is shared out:
`ask39/2026-11-16/2-of-5` is every fifth of its parts, from the third on. `chimed.extraction.crawl_records` defines the
parts.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from chimed.build.options import Options
from chimed.build.order import STAGES
from chimed.crawl.finished import read_report
from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources import FILES
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.naming import CORPUS_NAME

BYTES_PER_SHARD = 64 * 1024 * 1024  # of raw files: pages that are larger than usual are fewer
ROWS_PER_RANGE = 20_000  # of a small corpus, so that two cores have something to share
FEW_RANGES, ROWS_PER_LARGE_RANGE = 32, 200_000  # from so many ranges on they grow: each reads a little of every part


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


@dataclass(frozen=True)
class Size:
    """How much a crawl is. rows: its records, or where it was not extracted yet its pages. bytes: of its raw files.
    parts: how many pieces it can be divided into; None where that is not known yet."""

    rows: int
    bytes: int
    parts: int | None = None

    def shards(self, rows: int) -> float:
        """How many shards of so many rows a crawl would fill."""
        return max(self.rows / rows, self.bytes / BYTES_PER_SHARD)


def divide_into_shards(lake: Lake, options: Options) -> list[list[str]]:
    """Divide all finished crawls into a new build's shards, each a list of pieces; [] if nothing has been crawled."""
    sizes = {crawl: size_of(lake, crawl) for crawl in finished(lake, options)}
    limit = 1.0
    while len(found := packed(sizes, options.part_rows, limit)) > settings().max_parts:
        limit *= 1.1
    return found


def finished(lake: Lake, options: Options) -> list[str]:
    """`<source>/<crawl>` of every finished crawl of a build's sources."""
    return [
        f"{source}/{crawl}"
        for source in (*options.sources, *(_corpora(lake) if options.corpora else ()))
        for crawl in lakes.names(lake, layout.raw(source))
        if read_report(lake, source, crawl) is not None
    ]


def size_of(lake: Lake, crawl: str) -> Size:
    """How much a finished crawl is: a page with many answers is many rows, once it has been extracted."""
    rows, parts = (read_report(lake, *crawl.split("/")) or {}).get("pages") or 0, None
    try:
        extracted = lakes.read_json(lake, layout.extracts(crawl, layout.REPORT))
        rows, parts = max(rows, int(extracted["records"])), sum(map(int, extracted["parts"].values()))
    except (FileNotFoundError, UserError, KeyError, TypeError, ValueError, AttributeError):
        pass  # not extracted yet, or by an older version: its pages are counted
    return Size(rows, lakes.size(lake, layout.raw(crawl)), parts)


def packed(sizes: dict[str, Size], rows: int, limit: float) -> list[list[str]]:
    """Pieces in the order of their crawls, as many to a shard as it holds: none is larger than `limit` × rows.

    Only a crawl's smallest piece may be larger: a part of its extract is not divided.
    """
    found: list[list[str]] = []
    room = 0.0
    for crawl, one in sizes.items():
        size = one.shards(rows)
        of = max(1, math.ceil(size / limit))
        of = min(of, max(1, one.parts)) if one.parts is not None else of
        for which in range(of):
            if not found or size / of > room:
                found.append([])
                room = limit
            found[-1].append(f"{crawl}/{which}-of-{of}" if of > 1 else crawl)
            room -= size / of
    return found


# --- the plan ---------------------------------------------------------------------------------------------------


def ranges_of(rows: int) -> int:
    """How many ranges a corpus of so many rows is divided into: more with its size, then larger ones."""
    few = max(1, min(math.ceil(rows / ROWS_PER_RANGE), FEW_RANGES + rows // ROWS_PER_LARGE_RANGE))
    return min(settings().max_parts, few)


def plan(lake: Lake, options: Options, parts: int) -> dict[str, int]:
    """How large a build will be, as far as its crawls tell: rows, parts, tasks of all stages, bytes of raw files."""
    sizes = [size_of(lake, crawl) for crawl in finished(lake, options)]
    rows = sum(one.rows for one in sizes)
    over = {"part": parts, "range": ranges_of(rows), "all": 1}
    tasks = sum(
        (parts if stage.scope == "shard" else 1) + sum(over[step.over] for step in stage.steps_of(options))
        for stage in STAGES
    )
    return {"rows": rows, "parts": parts, "tasks": tasks, "bytes": sum(one.bytes for one in sizes)}


def _corpora(lake: Lake) -> list[str]:
    """Return the names of the corpora that `chimed ingest` has read into the lake."""
    names = [name for name in lakes.names(lake, layout.RAW) if name not in source_names()]
    return [name for name in names if CORPUS_NAME.match(name) and any(_is_corpus(lake, name))]


def _is_corpus(lake: Lake, name: str) -> Iterator[bool]:
    for crawl in lakes.names(lake, layout.raw(name)):
        yield (read_report(lake, name, crawl) or {}).get("form") == FILES
