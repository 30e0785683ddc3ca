"""Pairs of rows that look alike: how alike the two are, half by half, and what makes them variants. Used by `dedup`."""

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

import numpy as np

from chimed.stages import minhash, variants
from chimed.stages.shingles import jaccards, shingles_of_points
from chimed.stages.variants import Difference

SIMILAR = 0.8  # Jaccard similarity from which two texts are one (FineWeb, MinHash at 0.75 to 0.8)
GAP = minhash.SHINGLE - 1  # NULs behind each half


@dataclass(frozen=True)
class Letters:
    """What is compared of every row's two halves (text, or question and answer), in a file of code points (u32).

    ends: where each row begins, and the last ends. lengths: the letters of each half (two columns).
    """

    file: IO[bytes]
    ends: np.ndarray
    lengths: np.ndarray

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The halves of some rows as `shingles_of_points` takes them: their points, and their lengths."""
        file, starts = self.file.fileno(), self.ends[rows] * 4
        sizes = self.ends[rows + 1] * 4 - starts
        found = [os.pread(file, size, start) for size, start in zip(sizes.tolist(), starts.tolist(), strict=True)]
        return np.frombuffer(b"".join(found), np.uint32), self.lengths[rows].ravel()

    def halves(self, row: int) -> tuple[str, str]:
        """The halves of a row, as text."""
        start, end = int(self.ends[row]) * 4, int(self.ends[row + 1]) * 4
        text = os.pread(self.file.fileno(), end - start, start).decode("utf-32-le")
        first, second = self.lengths[row].tolist()
        return text[:first], text[first + GAP : first + GAP + second]


@dataclass(frozen=True)
class Pair:
    """Two rows that look alike, as places among the rows compared: how alike, and in which half they are variants."""

    one: int
    two: int
    alike: float
    half: int
    differs: Difference


@dataclass(frozen=True)
class Comparison:
    """Compares rows by their places. numbers: of the rows; named: a hash of what their titles name, 0 for nothing."""

    texts: Letters
    numbers: np.ndarray
    named: np.ndarray

    def alike(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        """How alike the rows of each pair are: the smaller of the similarities of their halves."""
        places, back = np.unique(np.concatenate([one, two]), return_inverse=True)
        points, lengths = self.texts.read(self.numbers[places])
        both = back[: len(one)], back[len(one) :]
        sides = (np.concatenate([2 * side, 2 * side + 1]) for side in both)
        alike = jaccards(*shingles_of_points(points, lengths, minhash.SHINGLE), *sides)
        return np.minimum(alike[: len(one)], alike[len(one) :])

    def alike_each(self, one: int, two: int) -> float:
        """How alike two rows are, as `alike` has it: for one pair ten times as fast."""
        points, lengths = self.texts.read(self.numbers[[one, two]])
        hashes, bounds = shingles_of_points(points, lengths, minhash.SHINGLE)
        whole = (hashes >> np.uint64(32)).tolist()
        sets = [set(whole[start:end]) for start, end in pairwise(bounds.tolist())]
        pairs = ((sets[half], sets[half + 2]) for half in (0, 1))
        return min(len(old & new) / len(old | new) if old or new else 1.0 for old, new in pairs)

    def difference(self, one: int, two: int) -> tuple[int, Difference] | None:
        """In which half two rows are variants, and what makes them so; None where they are copies."""
        if self.named[one] != self.named[two] and self.named[one] and self.named[two]:
            return 0, Difference("name", "", "")
        halves = (self.texts.halves(int(self.numbers[place])) for place in (one, two))
        for half, (old, new) in enumerate(zip(*halves, strict=True)):
            if found := variants.difference(old, new):
                return half, found
        return None
