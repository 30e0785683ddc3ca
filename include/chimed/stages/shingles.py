"""Letters and character shingles of whole columns, as flat arrays: what dedup and decontaminate compare by."""

import numpy as np
import polars as pl

_AT_A_TIME = 1 << 18  # code points: what a pass over them touches stays in the processor's cache
_STEP, _MIX, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(32)


def letters(text: pl.Expr) -> pl.Expr:
    """Letters and digits of a text, full-width forms folded: what stays when layout, punctuation and tags go."""
    bare = text.str.replace_all(r"(?is)<script\b.*?</script\s*>", "").str.replace_all(r"</?[A-Za-z!][^<>]*>", "")
    return (
        bare.str.replace_all(r"&[a-z]{2,8};", "")
        .str.normalize("NFKC")
        .str.to_lowercase()
        .str.replace_all(r"[^\p{L}\p{N}]+", "")
    )


def shingles(texts: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes (u64) of all runs of `size` characters of all texts, and where each text's begin (one more than texts).

    A shorter text is one shingle itself, an empty one has none. Equal runs have equal hashes, in any process.
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    counts = np.where(lengths > 0, np.maximum(1, lengths - size + 1), 0)
    padding = "\0" * (size - 1)
    points = np.frombuffer((padding.join(texts) + padding).encode("utf-32-le"), np.uint32)
    hashes = np.empty(max(0, len(points) - size + 1), np.uint64)
    for start in range(0, len(hashes), _AT_A_TIME):
        part = hashes[start : start + _AT_A_TIME]
        window = points[start : start + len(part) + size - 1].astype(np.uint64)
        part[:] = window[: len(part)]
        for place in range(1, size):
            part *= _STEP
            part += window[place : place + len(part)]
        part ^= part >> _HALF
        part *= _MIX
        part ^= part >> _HALF
    starts = np.cumsum(lengths + size - 1) - (lengths + size - 1)
    return hashes[_ragged(starts, counts)], np.concatenate([[0], np.cumsum(counts)])


def jaccards(texts: list[str], one: np.ndarray, two: np.ndarray, size: int) -> np.ndarray:
    """Jaccard similarity of the shingle sets of texts[one[i]] and texts[two[i]]; 1 where both are empty."""
    hashes, offsets = shingles(texts, size)
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), np.diff(offsets))
    members = distinct((owner << _HALF) | (hashes >> _HALF))
    sizes = np.bincount((members >> _HALF).astype(np.int64), minlength=len(texts))
    starts = np.cumsum(sizes) - sizes
    pair = np.arange(len(one), dtype=np.uint64)
    both = np.concatenate(
        [
            (np.repeat(pair, sizes[side]) << _HALF)
            | (members[_ragged(starts[side], sizes[side])] & np.uint64(2**32 - 1))
            for side in (one, two)
        ]
    )
    both.sort()
    shared = np.bincount((both[1:][both[1:] == both[:-1]] >> _HALF).astype(np.int64), minlength=len(one))
    either = sizes[one] + sizes[two] - shared
    return np.where(either > 0, shared / np.maximum(either, 1), 1.0)


def distinct(numbers: np.ndarray) -> np.ndarray:
    """The numbers sorted, each once; sorting is faster here than the hashing of `np.unique`."""
    numbers = np.sort(numbers)
    return numbers[np.concatenate([[True], numbers[1:] != numbers[:-1]])[: len(numbers)]]


def _ragged(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, … `counts[0]` of them, then starts[1], …"""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
