"""Where two texts that look alike differ, letter by letter. Used by `variants` (ours)."""

from rapidfuzz.distance import Levenshtein

LONGEST = 4_000  # letters that are aligned at once; longer texts are cut where both have the same letters

Region = tuple[int, int, int, int]  # a stretch of the first text and what stands there in the second


def regions(one: str, two: str) -> list[Region]:
    """Where two texts differ, in order."""
    found: list[Region] = []
    for i1, i2, j1, j2 in _pieces(one, two):
        if i2 - i1 > 4 * LONGEST or j2 - j1 > 4 * LONGEST:  # nothing in common that long: no copy's letters
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


def _pieces(one: str, two: str) -> list[Region]:
    """Two texts cut, each in as many pieces, between letters that they have in common."""
    pieces: list[Region] = []
    i, j, place = 0, 0, LONGEST
    while place < len(one) - LONGEST // 2:
        mark = one[place : place + 32]
        there = two.find(mark, j, j + (place - i) + 2 * LONGEST)
        if there >= 0 and two.find(mark, there + 1, there + 2 * LONGEST) < 0:
            pieces.append((i, place, j, there))
            i, j, place = place, there, place + LONGEST
        else:
            place += 97
    pieces.append((i, len(one), j, len(two)))
    return pieces


def where(start: int, end: int, differing: list[Region]) -> tuple[int, int]:
    """Between which places of the second text a stretch of the first would stand, as the two are aligned."""
    low, high = start, end
    for i1, i2, j1, j2 in differing:
        if i1 < start or i1 == start < i2:
            low = j1 if start < i2 else start + j2 - i2
        if i1 < end:
            high = j2 if end <= i2 else end + j2 - i2
    return low, high
