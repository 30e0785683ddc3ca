"""Align two similar texts letter by letter, to find where they differ. Used by `variants` (ours).

Levenshtein alignment is quadratic in length, so long texts are first cut at anchors: stretches of 32 letters that occur
exactly once in both texts near each other.
"""

from rapidfuzz.distance import Levenshtein

MAX_ALIGNED = 4_000  # letters that are aligned at once; longer texts are cut where both have the same letters

Region = tuple[int, int, int, int]  # a stretch of the first text and what stands there in the second


def find_differing_regions(one: str, two: str) -> list[Region]:
    """Return where two texts differ, in order."""
    found: list[Region] = []
    for i1, i2, j1, j2 in _cut_at_anchors(one, two):
        if i2 - i1 > 4 * MAX_ALIGNED or j2 - j1 > 4 * MAX_ALIGNED:  # nothing in common that long: no copy's letters
            found.append((i1, i2, j1, j2))
            continue
        for step in Levenshtein.opcodes(one[i1:i2], two[j1:j2]):
            if step.tag == "equal":
                continue
            here = (i1 + step.src_start, i1 + step.src_end, j1 + step.dest_start, j1 + step.dest_end)
            last = found[-1] if found else (-1, -1, -1, -1)
            if last[1] == here[0] and last[3] == here[2]:  # nothing equal is between them
                found[-1] = (last[0], here[1], last[2], here[3])
            else:
                found.append(here)
    return found


def _cut_at_anchors(one: str, two: str) -> list[Region]:
    """Return two texts cut into equally many pieces, at letters they have in common."""
    pieces: list[Region] = []
    i, j, place = 0, 0, MAX_ALIGNED
    while place < len(one) - MAX_ALIGNED // 2:
        mark = one[place : place + 32]
        there = two.find(mark, j, j + (place - i) + 2 * MAX_ALIGNED)
        if there >= 0 and two.find(mark, there + 1, there + 2 * MAX_ALIGNED) < 0:
            pieces.append((i, place, j, there))
            i, j, place = place, there, place + MAX_ALIGNED
        else:
            place += 97
    pieces.append((i, len(one), j, len(two)))
    return pieces


def map_range(start: int, end: int, differing: list[Region]) -> tuple[int, int]:
    """Return where a range of the first text would be in the second, as the two are aligned."""
    low, high = start, end
    for i1, i2, j1, j2 in differing:
        if i1 < start or i1 == start < i2:
            low = j1 if start < i2 else start + j2 - i2
        if i1 < end:
            high = j2 if end <= i2 else end + j2 - i2
    return low, high
