"""MinHash signatures of texts, kept in the lake from build to build, and the pairs of texts that share a band of them.

MinHash with locality-sensitive hashing (Lee et al., arXiv 2107.06499). A text's signature is computed when a build
first sees the text. `signatures/<scheme>/` has a file for each part of the crawls, a column a band: whoever signs the
part again reads that file alone.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl
import pyarrow as pa
import rensa

from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.text.duplicates.shingles import distinct, shingles_of_points, without_others

SHINGLE = 5  # characters; Chinese has no spaces to shingle words by
BANDS, ROWS = 21, 6  # finds a pair of similarity 0.8 with 1 - (1 - 0.8^6)^21 = 0.998, one of 0.3 with 0.015
SEED = 42
SCHEME = f"shingle{SHINGLE}-{BANDS}x{ROWS}-rensa{rensa.RMinHash.ALGORITHM_VERSION}-4"  # 4: a file for each part
AT_A_TIME = 500_000  # letters: what is made of them is used again and again, not asked of the system anew
WORTH_IT = 1.2  # times as many texts as are wanted, up to which all between them are signed
UNUSED = 2  # times as many signatures as a part has texts; beyond that those that it has no more are forgotten

log = logging.getLogger("chimed")

_NAMES = [f"band{n:02d}" for n in range(BANDS)]
_SCHEMA = pa.schema([pa.field("text", pa.uint64(), False), *(pa.field(name, pa.uint64(), False) for name in _NAMES)])
_STEP, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Known:
    """Signatures that were computed before. texts: hashes, sorted. keys: of each, one for each band (columns), u64."""

    texts: np.ndarray
    keys: np.ndarray

    def places(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some texts are known, and where those are."""
        if not len(self.texts):
            return np.zeros(len(texts), bool), np.empty(0, np.int64)
        places = np.minimum(np.searchsorted(self.texts, texts), len(self.texts) - 1)
        found = self.texts[places] == texts
        return found, places[found]


def band_keys(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """One key for each band (columns) of the shingles of both halves of each text (rows), u64.

    points, lengths: of all halves, as `shingles_of_points` takes them.
    """
    texts = len(lengths) // 2
    hashes, offsets = shingles_of_points(points, lengths, SHINGLE)
    digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets[::2], BANDS * ROWS, SEED)
    flat = np.fromiter(chain.from_iterable(digests.to_rows()), np.uint32, texts * BANDS * ROWS)
    rows = flat.reshape(texts, BANDS, ROWS)
    keys = np.zeros((texts, BANDS), np.uint64)
    for n in range(ROWS):
        keys = keys * _STEP + rows[:, :, n]
    return keys


def keys_of(
    points: np.ndarray, lengths: np.ndarray, ends: np.ndarray, texts: np.ndarray, rows: np.ndarray, known: Known
) -> np.ndarray:
    """The band keys of some rows, known ones as they are.

    points: of all rows, their halves with gaps behind each. lengths: of both halves of each row. ends: where each row
    ends. texts: a hash of each row's text. rows: the places of those that are asked for.
    """
    keys = np.empty((len(rows), BANDS), np.uint64)
    found, places = known.places(texts[rows])
    keys[found] = known.keys[places]
    new = np.flatnonzero(~found)
    starts = ends - np.diff(ends, prepend=0)
    for run in runs(lengths[rows[new]].sum(axis=1)):
        wanted = new[run.start : run.stop]
        first, last = rows[wanted[0]], rows[wanted[-1]]
        if last - first < WORTH_IT * len(wanted):  # a few others between them cost less than to leave them out
            all_between = band_keys(points[starts[first] : ends[last]], lengths[first : last + 1].ravel())
            keys[wanted] = all_between[rows[wanted] - first]
        else:
            within = without_others(starts[rows[wanted]], ends[rows[wanted]])
            keys[wanted] = band_keys(points[within], lengths[rows[wanted]].ravel())
    return keys


def range_of(keys: np.ndarray, ranges: int) -> np.ndarray:
    """The range of each key, u16: equal keys have one range, and every range has about as many."""
    return (((keys * _MIX) >> _HALF) * np.uint64(ranges) >> _HALF).astype(np.uint16)


def runs(lengths: np.ndarray) -> Iterator[range]:
    """Runs of texts of at most `AT_A_TIME` letters together (or one text)."""
    start, total = 0, 0
    for place, length in enumerate(lengths.tolist()):
        if total + length > AT_A_TIME and place > start:
            yield range(start, place)
            start, total = place, 0
        total += length
    if start < len(lengths):
        yield range(start, len(lengths))


def alike(keys: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Pairs (u64, the smaller rank above) that share a key: each with the first of its key, and with the one before.

    So their number stays that of the texts however many share a key. keys, ranks (u64): of each entry; an entry that is
    there twice counts once.
    """
    order = np.lexsort((ranks, keys))
    keys, ranks = keys[order], ranks[order]
    same = keys[1:] == keys[:-1]
    once = np.concatenate([[True], ~(same & (ranks[1:] == ranks[:-1]))])[: len(keys)]
    keys, ranks = keys[once], ranks[once]
    same = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    starts = np.ones(len(keys), bool)
    starts[same] = False
    first = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    found = [(ranks[before] << _HALF) | ranks[same] for before in (first[same], same - 1)]
    return distinct(np.concatenate(found))


# --- signatures that are kept ----------------------------------------------------------------------------------


def known(lake: Lake, name: str) -> Known:
    """The signatures that were kept under a name; none where there are none, or where they cannot be read.

    What cannot be read is only lost time: its texts are signed again.
    """
    path = layout.signatures(SCHEME, f"{name}.parquet")
    nothing = Known(np.empty(0, np.uint64), np.empty((0, BANDS), np.uint64))
    try:
        table = lakes.read_table(lake, path)
    except FileNotFoundError:
        return nothing
    except UserError as error:
        log.warning("%s; what it holds is computed again", str(error).split("; ")[0])
        return nothing
    if table.schema != pl.Schema(_SCHEMA):
        log.warning("%s holds no signatures; they are computed again", path)
        return nothing
    table = table.sort("text")
    return Known(table["text"].to_numpy(), table.select(_NAMES).to_numpy())


def keep(lake: Lake, name: str, before: Known, texts: np.ndarray, keys: np.ndarray) -> int:
    """Keeps the signatures of texts, with those known before, under a name; returns how many are new.

    The file is there whole or as it was. Where it would hold many that the part has no more, they are forgotten.
    """
    texts, first = np.unique(texts, return_index=True)
    keys = keys[first]
    found, places = before.places(texts)
    if found.all():
        return 0
    older = np.ones(len(before.texts), bool)
    older[places] = False
    if older.sum() + len(texts) <= UNUSED * len(texts):
        texts = np.concatenate([texts, before.texts[older]])
        keys = np.concatenate([keys, before.keys[older]])
    table = pl.DataFrame({"text": texts, **dict(zip(_NAMES, keys.T, strict=True))})
    lakes.write_table(lake, layout.signatures(SCHEME, f"{name}.parquet"), table, _SCHEMA)
    return int((~found).sum())
