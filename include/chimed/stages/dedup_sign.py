"""dedup, step 1, for each part: compute what is compared of every row, and the MinHash signature of its text.

Texts are compared as `clean` leaves them, without layout and courtesies (`compared`). For each part the step writes
`rows-<part>` (hashes, days and lengths of each row), `letters-<part>` (the compared letters, as code points) and
`bands-<part>` (the band keys, a row group for each range of keys, so that step 3 reads only its range).
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.build.builds import read_build, read_stage
from chimed.build.context import StageContext
from chimed.build.order import previous_stage
from chimed.build.steps import Corpus, write_groups
from chimed.concurrency import map_ahead
from chimed.crawl.canonical import canonical, host_forms
from chimed.schema import turn_words
from chimed.sources import names as source_names
from chimed.storage import lake as lakes
from chimed.text.duplicates import facts, minhash
from chimed.text.duplicates.around import trim
from chimed.text.duplicates.compared import compared_points, hash_facts
from chimed.text.duplicates.pairs import GAP, POINT

LEAST = 20  # letters: below, five-character shingles say nothing
_ROWS_AT_A_TIME = 3000  # of a part: their arrays stay small
_COLUMNS = [
    *("id", "source", "url", "page", "fetched", "published", "adopted"),
    *("title", "text", "question", "answer", "turns"),
]

ROWS = pa.schema(
    [
        pa.field("id", pa.string(), False),
        # the id as the number that it is, or a hash of it
        pa.field("number", pa.uint64(), False),
        # hashes of the canonical URL and of the page
        pa.field("url", pa.uint64(), False),
        pa.field("page", pa.uint64(), False),
        # milliseconds and days since 1970
        pa.field("fetched", pa.int64(), False),
        pa.field("published", pa.int32()),
        pa.field("adopted", pa.bool_(), False),
        # the place of its source in the paper's order
        pa.field("rank", pa.uint8(), False),
        # hash of the letters and signs, and how many there are
        pa.field("text", pa.uint64(), False),
        pa.field("length", pa.uint32(), False),
        # what variants differ in, at a glance (`hash_facts`)
        pa.field("tells", pa.uint64(), False),
        # hash of the herb or medicine that a document's title names
        pa.field("named", pa.uint64()),
        pa.field("document", pa.bool_(), False),
        # its place in `letters`, and the letters of its two halves (text, or question and answer)
        pa.field("start", pa.uint64(), False),
        pa.field("first", pa.uint32(), False),
        pa.field("second", pa.uint32(), False),
    ]
)
BANDS = pa.schema([pa.field("key", pa.uint64(), False), pa.field("row", pa.uint32(), False)])


def run(work: StageContext, corpus: Corpus, part: int) -> dict[str, Any]:
    """Compute the signatures of a part. Raises SpoiltFile where the part is not what the stage before wrote."""
    previous = previous_stage(corpus.stage)
    assert previous is not None
    records = read_stage(work.lake, work.build, previous.name, part).select(_COLUMNS)
    name = _signature_name(work, part)
    known = minhash.known(work.lake, name)
    frames, letters, keys, end = [], [], [], 0
    for frame, points, found in map_ahead(lambda batch: _signed(batch, known), _slices(records)):
        frames.append(frame.with_columns(start=pl.col("start") + end))
        letters.append(points)
        keys.append(found)
        end += len(points) // POINT
    del records
    rows = pl.concat(frames) if frames else pl.DataFrame(schema=pl.Schema(ROWS))
    lakes.write_bytes(work.lake, letters_of(corpus, part), b"".join(letters))
    letters.clear()
    signatures = np.concatenate([np.empty((0, minhash.BANDS), np.uint64), *keys])
    long = np.flatnonzero(rows["length"].to_numpy() >= LEAST)
    new = minhash.keep(work.lake, name, known, rows["text"].to_numpy()[long], signatures)
    write_groups(work.lake, bands_of(corpus, part), _by_range(signatures, long, corpus.ranges), BANDS)
    write_groups(work.lake, rows_of(corpus, part), [rows], ROWS)
    return {"rows": len(rows), "signatures computed": new, "signatures known": len(long) - new}


def rows_of(corpus: Corpus, part: int) -> str:
    """Return the path of a part's rows."""
    return corpus.path("sign", f"rows-{part:05d}.parquet")


def letters_of(corpus: Corpus, part: int) -> str:
    """Return the path of a part's letters."""
    return corpus.path("sign", f"letters-{part:05d}.u32")


def bands_of(corpus: Corpus, part: int) -> str:
    """Return the path of a part's band keys."""
    return corpus.path("sign", f"bands-{part:05d}.parquet")


def _signature_name(work: StageContext, part: int) -> str:
    """Return a name for the crawls of a part, under which the next build finds the part's signatures again."""
    pieces = "\n".join(read_build(work.lake, work.build)["shards"][part])
    return hashlib.sha256(pieces.encode()).hexdigest()[:16]


def _slices(records: pl.DataFrame) -> Iterator[pl.DataFrame]:
    yield from (records.slice(start, _ROWS_AT_A_TIME) for start in range(0, len(records), _ROWS_AT_A_TIME))


def _signed(batch: pl.DataFrame, known: minhash.Known) -> tuple[pl.DataFrame, bytes, np.ndarray]:
    """Compute what dedup compares: a batch's rows (`ROWS`), their letters, and the band keys of those long enough."""
    said = pl.concat_str([pl.col("answer"), turn_words()], separator="\n", ignore_nulls=True)  # follow-ups, too
    bodies = batch.select(first=pl.coalesce("text", "question", pl.lit("")), second=pl.coalesce(said, pl.lit("")))
    halves = pl.DataFrame([trim(half) for half in bodies])
    found = compared_points(halves.select(pl.concat_list("first", "second")).to_series().explode(), GAP)
    lengths = found.lengths.reshape(-1, 2)  # the halves of a row follow one another
    ends = np.cumsum(lengths.sum(axis=1) + 2 * GAP)
    data = found.points.data.cast("B")
    bounds = pairwise([0, *(4 * ends).tolist()])
    hashes = [hashlib.blake2b(data[start:end], digest_size=8).digest() for start, end in bounds]
    texts = np.frombuffer(b"".join(hashes), np.uint64)
    whole = lengths.sum(axis=1)
    number = pl.col("id").str.to_integer(base=16, strict=False, dtype=pl.UInt64)
    rows = batch.select(
        "id",
        number.fill_null(pl.col("id").hash(seed=0)).alias("number"),
        canonical(pl.col("url"), _hosts()).hash(seed=0).alias("url"),
        pl.col("page").hash(seed=0),
        pl.col("fetched").cast(pl.Int64),
        pl.col("published").cast(pl.Int32),
        pl.col("adopted").fill_null(False),
        pl.col("source").replace_strict(_places(), default=len(_places()), return_dtype=pl.UInt8).alias("rank"),
        pl.Series("text", texts),
        pl.Series("length", whole.astype(np.uint32)),
        pl.Series("tells", hash_facts(found.points, ends)),
        _name_in(pl.when(pl.col("text").is_not_null()).then("title")).alias("named"),
        pl.col("text").is_not_null().alias("document"),
        pl.Series("start", np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)].astype(np.uint64)),
        pl.Series("first", lengths[:, 0].astype(np.uint32)),
        pl.Series("second", lengths[:, 1].astype(np.uint32)),
    )
    long = np.flatnonzero(whole >= LEAST)
    return rows, found.points.tobytes(), minhash.keys_of(found.points, lengths, ends, texts, long, known)


def _by_range(signatures: np.ndarray, rows: np.ndarray, ranges: int) -> Iterator[pl.DataFrame]:
    """Yield the band keys as entries of `BANDS`, one frame for each range of keys.

    rows: for each row of `signatures`, its row number in the part. A sort by range puts each range into one slice, so
    the keys are read once instead of once for each range.
    """
    keys = signatures.ravel()
    owners = np.repeat(rows.astype(np.uint32), minhash.BANDS)
    within = minhash.range_of(keys, ranges)
    order = np.argsort(within, kind="stable")
    keys, owners = keys[order], owners[order]
    bounds = np.searchsorted(within[order], np.arange(ranges + 1))
    for start, end in pairwise(bounds.tolist()):
        yield pl.DataFrame({"key": keys[start:end], "row": owners[start:end]}, schema=pl.Schema(BANDS))


def _name_in(title: pl.Expr) -> pl.Expr:
    """Hash the first herb, formula or medicine that a title names; null where it names none."""
    return title.str.extract_many(_listed(), leftmost=True).list.first().hash(seed=0)


@cache
def _listed() -> list[str]:
    return sorted(facts.listed_names(), key=lambda name: (-len(name), name))


@cache
def _hosts() -> dict[str, str]:
    return host_forms(source_names())


@cache
def _places() -> dict[str, int]:
    """Return the position of each source in the paper's order."""
    return {name: n for n, name in enumerate(source_names())}
