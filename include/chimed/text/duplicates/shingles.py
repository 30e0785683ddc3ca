"""Letters and character shingles of whole columns, as flat arrays: what dedup compares by.

The shingles of all texts lie in one array of hashes, and an array of offsets says where those of each text begin, so
that NumPy works on the whole column and Python never loops over texts.
"""

import numpy as np
import polars as pl

_AT_A_TIME = 1 << 14  # code points: what a pass over them touches stays in the processor's cache
_STEP, _MIX, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(32)
# What leaves, and cannot be a letter or digit in another form; and all that needs no folding once it has left
_NO_LETTER = r"[\p{P}\p{Z}\s$+<=>^`|~～×]+"
_TO_FOLD = r"[^a-z0-9\x{3400}-\x{4DB5}\x{4E00}-\x{9FA5}]"


def letters(texts: pl.Series) -> pl.Series:
    """Reduce texts to letters and digits, full-width forms folded: no layout, no punctuation, no tags."""
    bare = texts.str.replace_all(r"(?is)<script\b.*?</script\s*>", "").str.replace_all(r"</?[A-Za-z!][^<>]*>", "")
    bare = bare.str.replace_all(r"&[a-z]{2,8};", "")
    found = bare.str.replace_all(_NO_LETTER, "")
    places = found.str.contains(_TO_FOLD).fill_null(False).arg_true()
    if len(places):  # folding is slow, and most Chinese needs none
        folded = bare.gather(places).str.normalize("NFKC").str.to_lowercase()
        found = found.scatter(places, folded.str.replace_all(r"[^\p{L}\p{N}]+", ""))
    return found


def shingles(texts: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash all runs of `size` characters of all texts (u64); return the hashes, and offsets (one more than texts).

    A shorter text is one shingle, an empty text has none. Equal runs have equal hashes, in any process.
    """
    padding = "\0" * (size - 1)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    return shingles_of(padding.join(texts) + padding, lengths, size)


def shingles_of(padded: str, lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash as `shingles` does, but take the texts in one string, with `size` - 1 NULs after each."""
    return shingles_of_points(np.frombuffer(padded.encode("utf-32-le"), np.uint32), lengths, size)


def shingles_of_points(points: np.ndarray, lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash as `shingles_of` does, but take code points (u32).

    Every window of the padded array is hashed at once, and the windows that belong to no text are removed afterwards:
    this costs a few hashes too many, but needs no loop over texts. The padding completes the one window of a text that
    is shorter than `size`.
    """
    counts = np.where(lengths > 0, np.maximum(1, lengths - size + 1), 0)
    hashes = np.empty(max(0, len(points) - size + 1), np.uint64)
    for start in range(0, len(hashes), _AT_A_TIME):
        part = hashes[start : start + _AT_A_TIME]
        window = points[start : start + len(part) + size - 1].astype(np.uint64)
        part[:] = window[: len(part)]
        # Horner's rule modulo 2**64, for all windows of the part at once: one pass for each character of a shingle
        for place in range(1, size):
            part *= _STEP
            part += window[place : place + len(part)]
        # The last character was only added, so it hardly reaches the upper half, which `jaccards` compares by: mix.
        part ^= part >> _HALF
        part *= _MIX
        part ^= part >> _HALF
    ends = np.cumsum(lengths + size - 1)
    crossing = lengths + size - 1 - counts  # windows that begin in a text or its padding and are no shingle of it
    within = np.ones(len(hashes), bool)
    # the last `size` - 1 positions begin no window; `or None` keeps all positions where `size` is 1
    within[_ragged(ends - crossing, crossing)[: -(size - 1) or None]] = False
    return hashes[within], np.concatenate([[0], np.cumsum(counts)])


def jaccards(hashes: np.ndarray, offsets: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Compute the Jaccard similarity of the shingle sets of texts one[i] and two[i]; 1 where both are empty.

    hashes, offsets: as `shingles` returns them. Two sorts replace a set for each text: the first removes a text's
    repeated shingles, the second brings together the shingles that the two texts of a pair share.
    """
    texts = len(offsets) - 1
    owner = np.repeat(np.arange(texts, dtype=np.uint64), np.diff(offsets))
    # One u64 holds the text and the upper half of a hash, so that one sort does both. Half a hash is enough: two
    # different shingles share it once in 2**32.
    members = distinct((owner << _HALF) | (hashes >> _HALF))
    sizes = np.bincount((members >> _HALF).astype(np.int64), minlength=texts)
    starts = np.cumsum(sizes) - sizes
    pair = np.arange(len(one), dtype=np.uint64)
    both = np.concatenate(
        [
            (np.repeat(pair, sizes[side]) << _HALF)
            | (members[_ragged(starts[side], sizes[side])] & np.uint64(2**32 - 1))
            for side in (one, two)
        ]
    )
    # each side is a set, so a number occurs at most twice in a pair: equal neighbours are the shared shingles
    both.sort()
    shared = np.bincount((both[1:][both[1:] == both[:-1]] >> _HALF).astype(np.int64), minlength=len(one))
    either = sizes[one] + sizes[two] - shared
    return np.where(either > 0, shared / np.maximum(either, 1), 1.0)


def distinct(numbers: np.ndarray) -> np.ndarray:
    """Return the sorted distinct numbers. Sorting is faster here than the hashing of `np.unique`."""
    numbers = np.sort(numbers)
    return numbers[np.concatenate([[True], numbers[1:] != numbers[:-1]])[: len(numbers)]]


def _ragged(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return starts[0], starts[0] + 1, …, `counts[0]` of them, then `counts[1]` numbers from starts[1] on, …"""
    ends = np.cumsum(counts)
    # a running number over all, shifted in each run by the distance from its position to its start
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


def without_others(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the positions from starts[0] up to ends[0], then from starts[1] up to ends[1], and so on."""
    return _ragged(starts, ends - starts)
