"""Pairs of similar rows: their similarity, half by half, and whether they are duplicates or variants. Used by `dedup`.

Similarities are computed for many pairs at a time. Differences are searched letter by letter in Python, pair by pair,
and only where the similarity is high enough.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from chimed.concurrency import map_ahead
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.text.duplicates import minhash, variants
from chimed.text.duplicates.shingles import jaccards, shingles_of_points
from chimed.text.duplicates.variants import Difference

SIMILAR = 0.8  # Jaccard similarity from which two texts are one (FineWeb, MinHash at 0.75 to 0.8)
GAP = minhash.SHINGLE - 1  # NULs behind each half
POINT = 4  # bytes
_SHAPE = {"kind": pl.String, "half": pl.UInt8, "before": pl.String, "after": pl.String}

Halves = tuple[str, str]


@dataclass(frozen=True)
class Verdict:
    """The result of comparing two rows: duplicates, or variants that differ in one half."""

    half: int
    differs: Difference | None

    @property
    def kind(self) -> str:
        """The kind of the difference; empty for a copy."""
        return self.differs.kind if self.differs else ""


@dataclass(frozen=True)
class Letters:
    """What is compared of some rows' halves (text, or question and answer), in files of code points (u32).

    paths: of the files. file, start: in which of them each row begins, and where. lengths: the letters of each half
    (two columns). named: a hash of what each row's title names, 0 for nothing.
    """

    lake: Lake
    paths: list[str]
    file: np.ndarray
    start: np.ndarray
    lengths: np.ndarray
    named: np.ndarray

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read the halves of some rows as `shingles_of_points` takes them: their code points, and their lengths."""
        lengths = self.lengths[rows]
        starts = self.start[rows].astype(np.int64) * POINT
        ends = starts + (lengths.sum(axis=1).astype(np.int64) + 2 * GAP) * POINT
        found: list[bytes] = [b""] * len(rows)
        for file in np.unique(self.file[rows]).tolist():
            places = np.flatnonzero(self.file[rows] == file)
            several = _stretches(self.lake, self.paths[file], starts[places].tolist(), ends[places].tolist())
            for place, data in zip(places.tolist(), several, strict=True):
                found[place] = data
        return np.frombuffer(b"".join(found), np.uint32), lengths.ravel().astype(np.int64)

    def halves(self, rows: np.ndarray) -> list[Halves]:
        """Read the halves of some rows as text."""
        points, lengths = self.read(rows)
        text = points.tobytes().decode("utf-32-le")
        ends = np.cumsum(lengths + GAP).tolist()
        found = [text[end - GAP - length : end - GAP] for end, length in zip(ends, lengths.tolist(), strict=True)]
        return list(zip(found[::2], found[1::2], strict=True))


def _stretches(lake: Lake, path: str, starts: list[int], ends: list[int]) -> list[bytes]:
    """Read the bytes of a file from each start to its end."""
    if not lakes.is_local(lake.fs):
        return list(lake.fs.cat_ranges([lake.at(path)] * len(starts), starts, ends, on_error="raise"))
    with open(lake.at(path), "rb") as file:
        return [os.pread(file.fileno(), end - start, start) for start, end in zip(starts, ends, strict=True)]


def similarities(letters: Letters, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Compute the similarity of each pair: the smaller of the Jaccard similarities of the two halves.

    The smaller one, so that two answers to one question, or one answer to two questions, are no duplicates.
    """
    sizes = letters.lengths.sum(axis=1)
    runs = minhash.runs(sizes[one] + sizes[two])
    found = map_ahead(lambda run: _alike(letters, one[run.start : run.stop], two[run.start : run.stop]), runs)
    return np.concatenate([np.empty(0), *found])


def _alike(letters: Letters, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    # a row stands in many pairs: its letters are read once, and `back` maps each side of a pair to them
    places, back = np.unique(np.concatenate([one, two]), return_inverse=True)
    points, lengths = letters.read(places)
    both = back[: len(one)], back[len(one) :]
    # the halves of row n are the texts 2n and 2n + 1: first halves are compared first, second halves behind them
    sides = (np.concatenate([2 * side, 2 * side + 1]) for side in both)
    alike = jaccards(*shingles_of_points(points, lengths, minhash.SHINGLE), *sides)
    return np.minimum(alike[: len(one)], alike[len(one) :])


def verdicts(letters: Letters, one: np.ndarray, two: np.ndarray) -> Iterator[Verdict | None]:
    """Yield the verdict on each pair, in order of the second rows; None for pairs whose verdict is not needed.

    Those are the pairs of a second row that is already a duplicate, and pairs whose first row is a duplicate itself.
    Differences are searched letter by letter in Python, which is slow, so those pairs are skipped.
    """
    sizes = letters.lengths.sum(axis=1)
    copies: set[int] = set()
    for run in minhash.runs(sizes[one] + sizes[two]):
        ones, twos = one[run.start : run.stop], two[run.start : run.stop]
        places = np.unique(np.concatenate([ones, twos]))
        halves = dict(zip(places.tolist(), letters.halves(places), strict=True))
        for first, second in zip(ones.tolist(), twos.tolist(), strict=True):
            if second in copies or first in copies:
                yield None
                continue
            verdict = _verdict(halves[first], halves[second], int(letters.named[first]), int(letters.named[second]))
            if not verdict.differs:
                copies.add(second)
            yield verdict


def _verdict(one: Halves, two: Halves, first_named: int, second_named: int) -> Verdict:
    if first_named != second_named and first_named and second_named:
        return Verdict(0, Difference("name", "", ""))
    for half, (old, new) in enumerate(zip(one, two, strict=True)):
        if found := variants.find_difference(old, new):
            return Verdict(half, found)
    return Verdict(0, None)


def as_columns(found: list[Verdict | None]) -> pl.DataFrame:
    """Convert verdicts to columns: kind (null: not compared, empty: a duplicate), half, before, after."""
    rows = [
        (None, None, None, None)
        if one is None
        else (one.kind, one.half, one.differs and one.differs.one, one.differs and one.differs.two)
        for one in found
    ]
    return pl.DataFrame(rows, schema=_SHAPE, orient="row")
