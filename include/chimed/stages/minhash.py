"""MinHash signatures of texts, kept in the lake, and the pairs of texts that share a band of them.

MinHash with locality-sensitive hashing (Lee et al., arXiv 2107.06499). A text's signature is computed when a build
first sees the text, and read from `signatures/<scheme>/` ever after: one file a build, a column a band.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

import numpy as np
import polars as pl
import pyarrow as pa
import rensa

from chimed import lake as lakes
from chimed.lake import Lake
from chimed.stages.shingles import distinct, shingles

SHINGLE = 5  # characters; Chinese has no spaces to shingle words by
BANDS, ROWS = 21, 6  # finds a pair of similarity 0.8 with 1 - (1 - 0.8^6)^21 = 0.998, one of 0.3 with 0.015
SEED = 42
SCHEME = f"shingle{SHINGLE}-{BANDS}x{ROWS}-rensa{rensa.RMinHash.ALGORITHM_VERSION}-1"  # 1: of letters and hashes
AT_A_TIME = 2_000_000  # letters
AT_ONCE = 2  # runs of so many letters: hashing leaves Python, so two threads are worth nearly two cores

_NAMES = [f"band{n:02d}" for n in range(BANDS)]
_SCHEMA = pa.schema([pa.field("text", pa.uint64(), False), *(pa.field(name, pa.uint64(), False) for name in _NAMES)])
_STEP = np.uint64(0x9E3779B97F4A7C15)


def band_keys(texts: list[tuple[str, str]]) -> np.ndarray:
    """One key for each band (columns) of the shingles of both halves of each text (rows), u64."""
    hashes, offsets = shingles([half for text in texts for half in text], SHINGLE)
    digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets[::2], BANDS * ROWS, SEED)
    flat = np.fromiter(chain.from_iterable(digests.to_rows()), np.uint64, len(texts) * BANDS * ROWS)
    rows = flat.reshape(len(texts), BANDS, ROWS)
    keys = np.zeros((len(texts), BANDS), np.uint64)
    for n in range(ROWS):
        keys = keys * _STEP + rows[:, :, n]
    return keys


def sign(
    lake: Lake, build: str, texts: np.ndarray, lengths: np.ndarray, read: Callable[[np.ndarray], list[tuple[str, str]]]
) -> tuple[int, Callable[[int], np.ndarray]]:
    """Sees that every text has a signature; returns how many were new, and a function that reads one band of all.

    texts: a hash of each, u64, none twice. lengths: their letters. read: the halves of those at some places.
    The signatures are there whole when this returns; killed before, it has written none.
    """
    folder = f"signatures/{SCHEME}"
    known = _column(lake, folder, "text")
    new = np.flatnonzero(~np.isin(texts, known))
    if len(new):
        with lakes.table_writer(lake, f"{folder}/{_free(lake, folder, build)}", _SCHEMA) as write:
            for places, keys in _keys([new[run.start : run.stop] for run in runs(lengths[new])], read):
                write(pl.DataFrame({"text": texts[places], **dict(zip(_NAMES, keys.T, strict=True))}))
        known = _column(lake, folder, "text")
    order = np.argsort(known, kind="stable")
    places = order[np.searchsorted(known, texts, sorter=order)]
    return len(new), lambda band: _column(lake, folder, _NAMES[band])[places]


def _keys(
    several: list[np.ndarray], read: Callable[[np.ndarray], list[tuple[str, str]]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The places of each run of texts and their keys, in order; `AT_ONCE` runs at a time, while the last is written."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting: deque[tuple[np.ndarray, Future]] = deque()
        for places in several:
            if len(waiting) == AT_ONCE:
                before, keys = waiting.popleft()
                yield before, keys.result()
            waiting.append((places, pool.submit(lambda at: band_keys(read(at)), places)))
        for places, keys in waiting:
            yield places, keys.result()


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


def alike(band: np.ndarray) -> np.ndarray:
    """Pairs (u64, the smaller place above) that share a key: each with the first of its key, and with the one before.

    So their number stays that of the texts however many share a key.
    """
    order = np.argsort(band, kind="stable").astype(np.uint64)
    same = np.flatnonzero(band[order[1:]] == band[order[:-1]]) + 1
    starts = np.ones(len(order), bool)
    starts[same] = False
    first = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    half = np.uint64(32)
    found = [(order[before] << half) | order[same] for before in (first[same], same - 1)]
    return distinct(np.concatenate(found))


def _column(lake: Lake, folder: str, name: str) -> np.ndarray:
    """A column of all signature files, in the files' order."""
    files = [file for file in lakes.names(lake, folder) if file.endswith(".parquet")]
    columns = [lakes.read_table(lake, f"{folder}/{file}", [name])[name].to_numpy() for file in files]
    return np.concatenate([np.empty(0, np.uint64), *columns])


def _free(lake: Lake, folder: str, build: str) -> str:
    """A file name for a build's new signatures; a build that was killed after it had written some has several."""
    taken = lakes.names(lake, folder)
    return next(name for n in range(10_000) if (name := f"{build}-{n}.parquet") not in taken)
