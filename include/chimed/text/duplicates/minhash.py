"""MinHash signatures of texts, kept in the lake, and the pairs of texts that share a band of them.

MinHash with locality-sensitive hashing (Lee et al., arXiv 2107.06499). A text's signature is computed when a build
first sees the text, and read from `signatures/<scheme>/` ever after: one file a build, a column a band.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import polars as pl
import pyarrow as pa
import rensa

from chimed.concurrency import map_ahead
from chimed.errors import UserError
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.text.duplicates.shingles import distinct, shingles_of_points

SHINGLE = 5  # characters; Chinese has no spaces to shingle words by
BANDS, ROWS = 21, 6  # finds a pair of similarity 0.8 with 1 - (1 - 0.8^6)^21 = 0.998, one of 0.3 with 0.015
SEED = 42
SCHEME = f"shingle{SHINGLE}-{BANDS}x{ROWS}-rensa{rensa.RMinHash.ALGORITHM_VERSION}-3"  # 3: of what `compared` leaves
AT_A_TIME = 500_000  # letters: what is made of them is used again and again, not asked of the system anew

log = logging.getLogger("chimed")

_NAMES = [f"band{n:02d}" for n in range(BANDS)]
_SCHEMA = pa.schema([pa.field("text", pa.uint64(), False), *(pa.field(name, pa.uint64(), False) for name in _NAMES)])
_STEP = np.uint64(0x9E3779B97F4A7C15)


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


def sign(
    lake: Lake,
    build: str,
    texts: np.ndarray,
    lengths: np.ndarray,
    read: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> tuple[int, Callable[[int], np.ndarray]]:
    """Sees that every text has a signature; returns how many were new, and a function that reads one band of all.

    texts: a hash of each, u64, none twice. lengths: their letters and signs. read: the halves of those at some places.
    The signatures are there whole when this returns; killed before, it has written none.
    """
    folder = layout.signatures(SCHEME)
    files, known = _known(lake, folder)
    new = np.flatnonzero(~np.isin(texts, known))
    if len(new):
        several = [new[run.start : run.stop] for run in runs(lengths[new])]
        files.append(_free(lake, folder, build))
        with lakes.table_writer(lake, f"{folder}/{files[-1]}", _SCHEMA) as write:
            for places, keys in zip(several, map_ahead(lambda places: band_keys(*read(places)), several), strict=True):
                write(pl.DataFrame({"text": texts[places], **dict(zip(_NAMES, keys.T, strict=True))}))
        known = np.concatenate([known, _column(lake, folder, files[-1:], "text")])
    order = np.argsort(known, kind="stable")
    places = order[np.searchsorted(known, texts, sorter=order)]
    return len(new), lambda band: _column(lake, folder, files, _NAMES[band])[places]


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


def _known(lake: Lake, folder: str) -> tuple[list[str], np.ndarray]:
    """The signature files that can be read, and the texts that they hold the signatures of, in the files' order.

    What is in another one is only lost time: its texts are signed again.
    """
    files, texts = [], [np.empty(0, np.uint64)]
    for file in (name for name in lakes.names(lake, folder) if name.endswith(".parquet")):
        try:
            texts.append(_column(lake, folder, [file], "text"))
        except UserError as error:
            log.warning("%s", error)
        else:
            files.append(file)
    return files, np.concatenate(texts)


def _column(lake: Lake, folder: str, files: list[str], name: str) -> np.ndarray:
    """A column of signature files, in their order. Raises UserError where one cannot be read."""
    columns = []
    for file in files:
        path = f"{folder}/{file}"
        try:
            table = lakes.read_table(lake, path, [name])
        except UserError as error:
            what = str(error).split("; ")[0]
            raise UserError(f"{what}; take it away: what it holds is computed again") from None
        if table.schema != {name: pl.UInt64}:
            raise UserError(f"{path} holds no signatures; take it away: what it holds is computed again")
        columns.append(table[name].to_numpy())
    return np.concatenate([np.empty(0, np.uint64), *columns])


def _free(lake: Lake, folder: str, build: str) -> str:
    """A file name for a build's new signatures; a build that was killed after it had written some has several."""
    taken = lakes.names(lake, folder)
    return next(name for n in range(10_000) if (name := f"{build}-{n}.parquet") not in taken)
