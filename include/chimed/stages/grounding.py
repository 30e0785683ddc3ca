"""Where an answer stands in its document, and whether all of it does. Used by `generate_qa`.

Ours; the paper only asks the model for it (§3.2, Table 2: 答案必须直接从文档中得出). An answer may leave things out,
change their order and punctuation, restate the question's subject and join its parts with small words. Its words must
be the document's: so must its numbers, and a 不 before or between its pieces may not be skipped.
What the gate cannot see: pieces joined into something the document does not say, an answer to another question.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

COVERED = 0.9  # share of the answer's own letters that must stand in the document
CLAUSE = 0.5  # the same of every clause: nothing is smuggled in beside a long quotation
BLOCK = 4  # letters in a row from which an alignment is evidence and not chance
GAP = 3  # letters of the document between two pieces of evidence that are read as one phrase
_SMALL = re.compile(
    r"主要|包括|可以|用于|具有|属于|以及|因此|所以|因为|如果|此外|同时|需要|应该|应当|通常|一般|分别|为了|这是|它|其|的|是|为|和|与|及|"
    r"等|也|并|或|了|有|可|应|能|会|时|者"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NO = re.compile(r"[不无未勿禁忌非没]")
_NO_BEFORE = re.compile(r"[不未勿莫]$")


@dataclass(frozen=True)
class Alignment:
    """evidence: spans of the document's characters, in its order. fault: what of the answer is not there, or None."""

    evidence: tuple[tuple[int, int], ...]
    fault: str | None


def letters(text: str) -> str:
    """The text without punctuation and spaces."""
    return re.sub(r"[\W_]", "", text)


def align(answer: str, document: str, question: str = "") -> Alignment:
    """Finds the answer's words in the document, longest piece first from left to right."""
    places = [n for n, character in enumerate(document) if letters(character)]
    plain, said = "".join(document[n] for n in places), letters(answer)
    at = document.find(answer)
    if at >= 0 and said:  # as it stands, its punctuation too
        return Alignment(((at, at + len(answer)),), _said_no(document[:at], answer))
    pieces = _pieces(said, plain)
    spans = sorted({(places[a], places[a + size - 1] + 1) for _, a, size in pieces})
    return Alignment(tuple(spans), _fault(answer, document, question, pieces, plain, places))


def _said_no(before: str, answer: str) -> str | None:
    return f"left out: {before[-1]}" if _NO_BEFORE.search(before) and not answer.startswith(before[-1]) else None


def _pieces(said: str, plain: str) -> list[tuple[int, int, int]]:
    """(start in said, start in plain, length) of the stretches of `said` that stand in `plain`."""
    found: list[tuple[int, int, int]] = []
    start = after = 0
    while start < len(said):
        size, at = 0, -1
        while start + size < len(said):
            further = plain.find(said[start : start + size + 1], after)
            further = further if further >= 0 else plain.find(said[start : start + size + 1])
            if further < 0:
                break
            size, at = size + 1, further
        goes_on = found and after <= at <= after + GAP
        if size >= (2 if goes_on else min(BLOCK, len(said))):
            found.append((start, at, size))
            start, after = start + size, at + size
        else:
            start += 1
    return found


def _fault(
    answer: str, document: str, question: str, pieces: list[tuple[int, int, int]], plain: str, places: list[int]
) -> str | None:
    strange = set(_NUMBER.findall(answer)) - set(_NUMBER.findall(document)) - set(_NUMBER.findall(question))
    if strange:
        return f"numbers not found: {'、'.join(sorted(strange))}"
    said = letters(answer)
    for start, a, _ in pieces:
        if wrong := _said_no(document[: places[a]], said[max(0, start - 1) : start]):
            return wrong
    for (one, a, size), (two, b, _) in pairwise(pieces):
        left_out, between = plain[a + size : b], said[one + size : two]
        if 0 < len(left_out) <= GAP and _NO.search(left_out) and not _NO.search(between):
            return f"left out: {left_out}"
    covered = [False] * len(said)
    for start, _, size in pieces:
        covered[start : start + size] = [True] * size
    own = [not free for free in _free(said, letters(question))]
    counted = [n for n in range(len(said)) if own[n] or covered[n]]
    share = sum(covered[n] for n in counted) / max(1, len(counted))
    if share < COVERED:
        return f"{share:.2f} of it found"
    start = 0
    for clause in re.split(r"[，,。；;！!？?：:\n]", answer):
        size = len(letters(clause))
        mine = [n for n in range(start, start + size) if own[n] or covered[n]]
        if len(mine) >= BLOCK and sum(covered[n] for n in mine) < CLAUSE * len(mine):
            return f"not found: {clause.strip()}"
        start += size
    return None


def _free(said: str, question: str) -> list[bool]:
    """Which letters of the answer need no evidence: small words, and two or more letters that the question has."""
    free = [False] * len(said)
    for match in _SMALL.finditer(said):
        free[match.start() : match.end()] = [True] * len(match[0])
    for n in range(len(said) - 1):
        if said[n : n + 2] in question:
            free[n] = free[n + 1] = True
    return free
