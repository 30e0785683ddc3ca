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
        """Look up texts by hash: a mask of the known ones, and the rows of `keys` that hold them."""
        if not len(self.texts):
            return np.zeros(len(texts), bool), np.empty(0, np.int64)
        # searchsorted gives len(self.texts) for a hash above all others, which would be out of bounds
        places = np.minimum(np.searchsorted(self.texts, texts), len(self.texts) - 1)
        found = self.texts[places] == texts
        return found, places[found]


def band_keys(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Compute one key for each band (columns) of each text (rows), u64, over the shingles of both halves.

    points, lengths: of all halves, as `shingles_of_points` takes them.
    """
    texts = len(lengths) // 2
    hashes, offsets = shingles_of_points(points, lengths, SHINGLE)
    # a text begins at every second offset, since each has two halves
    digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets[::2], BANDS * ROWS, SEED)
    flat = np.fromiter(chain.from_iterable(digests.to_rows()), np.uint32, texts * BANDS * ROWS)
    rows = flat.reshape(texts, BANDS, ROWS)
    # A key is a polynomial in the band's rows: equal bands have equal keys, other bands almost never (64 bits).
    keys = np.zeros((texts, BANDS), np.uint64)
    for n in range(ROWS):
        keys = keys * _STEP + rows[:, :, n]
    return keys


def keys_of(
    points: np.ndarray, lengths: np.ndarray, ends: np.ndarray, texts: np.ndarray, rows: np.ndarray, known: Known
) -> np.ndarray:
    """Return the band keys of some rows; known signatures are looked up, the others computed.

    points: the halves of all rows, with a gap after each. lengths: of both halves of each row. ends: where each row
    ends in `points`. texts: a hash of each row's text. rows: the numbers of the rows that are asked for.
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
    """Return the range of each key, u16. Equal keys are in one range, and the ranges are about equally full."""
    # Multiplying carries the low bits of a key into its upper half, u32; scaling that half by `ranges` and dividing by
    # 2**32 gives a range without a modulo, which is slow in NumPy.
    return (((keys * _MIX) >> _HALF) * np.uint64(ranges) >> _HALF).astype(np.uint16)


def runs(lengths: np.ndarray) -> Iterator[range]:
    """Yield ranges of consecutive texts of at most `AT_A_TIME` letters together; a longer text is its own range."""
    start, total = 0, 0
    for place, length in enumerate(lengths.tolist()):
        if total + length > AT_A_TIME and place > start:
            yield range(start, place)
            start, total = place, 0
        total += length
    if start < len(lengths):
        yield range(start, len(lengths))


def alike(keys: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Pair the ranks that share a key: each with the first of its key, and with the one before it.

    All pairs of a key would be quadratic in the texts that share it; these are linear. Returns sorted pairs (u64, the
    smaller rank in the upper 32 bits). keys, ranks (u64): of each entry; an entry that is there twice counts once.
    """
    order = np.lexsort((ranks, keys))
    keys, ranks = keys[order], ranks[order]
    same = keys[1:] == keys[:-1]
    once = np.concatenate([[True], ~(same & (ranks[1:] == ranks[:-1]))])[: len(keys)]
    keys, ranks = keys[once], ranks[once]
    same = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    starts = np.ones(len(keys), bool)
    starts[same] = False
    # a running maximum over the positions at which a key begins gives each entry the first position of its key
    first = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    found = [(ranks[before] << _HALF) | ranks[same] for before in (first[same], same - 1)]
    return distinct(np.concatenate(found))


# --- signatures that are kept ----------------------------------------------------------------------------------


def known(lake: Lake, name: str) -> Known:
    """Read the signatures kept under a name; empty where there are none, or where they cannot be read.

    Signatures that cannot be read cost only time: they are computed again.
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
    """Write the signatures of texts under a name, together with those known before; return how many are new.

    The write is atomic. The older signatures are left out once they would outweigh those of the part (`UNUSED`).
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
