"""Compare pairs of similar rows: how similar their halves are, and what makes them variants. Used by `dedup`.

Variants are recognized letter by letter in Python, one pair at a time. With many pairs this is done ahead in several
processes, for the pairs that are likely to be needed.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO

import numpy as np

from chimed.concurrency import MAX_PROCESSES, available_cores, worker_processes
from chimed.text.duplicates import minhash, variants
from chimed.text.duplicates.shingles import jaccards, shingles_of_points
from chimed.text.duplicates.variants import Difference

MIN_PAIRS_FOR_PROCESSES = 20_000  # pairs, from which on processes are worth their start
PAIRS_PER_TASK = 1_000  # pairs that a process is given at once
MIN_SIMILARITY = 0.8  # Jaccard similarity from which two texts are one (FineWeb, MinHash at 0.75 to 0.8)
GAP = minhash.SHINGLE - 1  # NULs behind each half


Halves = tuple[str, str]
Differs = tuple[int, Difference]  # the half in which two rows are variants, and what makes them so
Group = tuple[int, list[tuple[int, float]]]  # a row, and the rows before it that look alike to it, with how much


@dataclass(frozen=True)
class Letters:
    """The compared letters of every row's two halves (text, or question and answer), in a file of code points (u32).

    ends: where each row begins, and the end of the last. lengths: letters of each half (two columns).
    """

    file: IO[bytes]
    ends: np.ndarray
    lengths: np.ndarray

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the points and lengths of the halves of some rows, as `shingles_of_points` takes them."""
        file, starts = self.file.fileno(), self.ends[rows] * 4
        sizes = self.ends[rows + 1] * 4 - starts
        found = [os.pread(file, size, start) for size, start in zip(sizes.tolist(), starts.tolist(), strict=True)]
        return np.frombuffer(b"".join(found), np.uint32), self.lengths[rows].ravel()

    def halves(self, row: int) -> Halves:
        """Return the halves of a row as text."""
        start, end = int(self.ends[row]) * 4, int(self.ends[row + 1]) * 4
        text = os.pread(self.file.fileno(), end - start, start).decode("utf-32-le")
        first, second = self.lengths[row].tolist()
        return text[:first], text[first + GAP : first + GAP + second]


@dataclass(frozen=True)
class Pair:
    """Two similar rows, by their places among the compared rows: their similarity, and the half in which they are
    variants.
    """

    one: int
    two: int
    alike: float
    half: int
    differs: Difference


@dataclass(frozen=True)
class Comparison:
    """Compare rows by their places. numbers: of the rows; named: a hash of the names in their titles, 0 for none.

    known: what makes pairs variants that were computed ahead, until it is requested.
    """

    texts: Letters
    numbers: np.ndarray
    named: np.ndarray
    known: dict[tuple[int, int], Differs | None] = field(default_factory=dict)

    def alike(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        """Return the similarity of each pair of rows: the smaller of the Jaccard similarities of their two halves."""
        places, back = np.unique(np.concatenate([one, two]), return_inverse=True)
        points, lengths = self.texts.read(self.numbers[places])
        both = back[: len(one)], back[len(one) :]
        sides = (np.concatenate([2 * side, 2 * side + 1]) for side in both)
        alike = jaccards(*shingles_of_points(points, lengths, minhash.SHINGLE), *sides)
        return np.minimum(alike[: len(one)], alike[len(one) :])

    def alike_each(self, one: int, two: int) -> float:
        """Return the similarity of two rows, as `alike` does; for a single pair this is ten times as fast."""
        points, lengths = self.texts.read(self.numbers[[one, two]])
        hashes, bounds = shingles_of_points(points, lengths, minhash.SHINGLE)
        whole = (hashes >> np.uint64(32)).tolist()
        sets = [set(whole[start:end]) for start, end in pairwise(bounds.tolist())]
        pairs = ((sets[half], sets[half + 2]) for half in (0, 1))
        return min(len(old & new) / len(old | new) if old or new else 1.0 for old, new in pairs)

    def difference(self, one: int, two: int) -> Differs | None:
        """Return the half in which two rows are variants, and why; None if they are copies."""
        if (one, two) in self.known:
            return self.known.pop((one, two))
        if self.named[one] != self.named[two] and self.named[one] and self.named[two]:
            return 0, Difference("name", "", "")
        return _find_difference(self._halves(one), self._halves(two))

    def _halves(self, place: int) -> Halves:
        return self.texts.halves(int(self.numbers[place]))

    def ahead(self, groups: Iterable[Group], count: int, copies: Mapping[int, tuple[int, float]]) -> Iterator[Group]:
        """Yield the groups in order; with many pairs, other processes compute their differences ahead.

        count: maximum number of pairs. copies: place → what it is a copy of, as far as decided.
        """
        processes = min(available_cores(), MAX_PROCESSES)
        if count < MIN_PAIRS_FOR_PROCESSES or processes < 2:
            yield from groups
            return
        with worker_processes("dedup", processes) as pool:
            waiting: deque[tuple[list[Group], list[list[int]], Future[list[list[Differs | None]]]]] = deque()
            for run in _group_into_tasks(groups):
                firsts = [
                    list(dict.fromkeys(copies[one][0] if one in copies else one for one, _ in of)) for _, of in run
                ]
                asked = [
                    (self._halves(two), list(map(self._halves, several)))
                    for (two, _), several in zip(run, firsts, strict=True)
                ]
                waiting.append((run, firsts, pool.submit(find_differences, asked)))
                if len(waiting) > 2 * processes:
                    yield from self._answered(*waiting.popleft())
            while waiting:
                yield from self._answered(*waiting.popleft())

    def _answered(
        self, run: list[Group], firsts: list[list[int]], future: Future[list[list[Differs | None]]]
    ) -> Iterator[Group]:
        self.known.clear()
        for (two, _), several, found in zip(run, firsts, future.result(), strict=True):
            for one, differs in zip(several, found, strict=False):  # behind the first copy nothing is asked
                if self.named[one] == self.named[two] or not self.named[one] or not self.named[two]:
                    self.known[one, two] = differs
        yield from run


def find_differences(asked: list[tuple[Halves, list[Halves]]]) -> list[list[Differs | None]]:
    """Return how each row differs from the rows before it, one by one, up to the first one it is a copy of."""
    found = []
    for two, several in asked:
        differs: list[Differs | None] = []
        for one in several:
            differs.append(_find_difference(one, two))
            if not differs[-1]:
                break
        found.append(differs)
    return found


def _find_difference(one: Halves, two: Halves) -> Differs | None:
    for half, (old, new) in enumerate(zip(one, two, strict=True)):
        if found := variants.find_difference(old, new):
            return half, found
    return None


def _group_into_tasks(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Yield lists of groups with about `PAIRS_PER_TASK` pairs."""
    run: list[Group] = []
    pairs = 0
    for group in groups:
        run.append(group)
        pairs += len(group[1])
        if pairs >= PAIRS_PER_TASK:
            yield run
            run, pairs = [], 0
    if run:
        yield run
