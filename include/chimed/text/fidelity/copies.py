"""Is a translation the source again: as it stands, in the other script, or with small words strewn in? For `fidelity`.

Names and doses aside: a formula's list reads the same in both languages.
"""

import re
from collections import Counter

COPIED = 0.9  # share of the source's letters found in their order
FILLED = 0.97  # the same where words are strewn in
SHORT = 12  # letters besides names and doses; with fewer both languages may read the same
CLAUSES = 0.6  # share of the letters that stand in clauses taken over whole
_OLD = re.compile(r"[之者也矣焉乎哉曰乃则而其故若俱皆勿毋亦且以于夫盖遂即]")  # what a modern text says otherwise
_MARKS = re.compile(r"[\W_]")


def copied(source: str, modern: str, kept: re.Pattern) -> bool:
    """Whether the source stands in the translation almost unchanged; kept: names and doses, which must stand there."""
    one, two = _MARKS.sub("", source), _MARKS.sub("", modern)
    if one == two and len(one) >= SHORT and _OLD.search(one):
        return True
    bare, said = _MARKS.sub("", kept.sub("", source)), _MARKS.sub("", kept.sub("", modern))
    if len(bare) < SHORT:
        return False
    from rapidfuzz.distance import LCSseq  # here: the models' environment has none, and asks about no copy

    share = LCSseq.similarity(bare, said) / len(bare)
    if share >= COPIED and len(said) < 1.15 * len(bare) and (_OLD.search(bare) or len(bare) >= 3 * SHORT):
        return True
    if share >= FILLED and _strewn(bare, said):
        return True
    return _whole_clauses(source, modern, kept)


def tail(source: str, modern: str, kept: re.Pattern) -> bool:
    """Whether the translation ends as the source does, in clauses that a modern text would say otherwise."""
    one, two = (
        [_MARKS.sub("", clause) for clause in re.split(r"[，,。；;：:！？\n]", text) if _MARKS.sub("", clause)]
        for text in (source, modern)
    )
    same = 0
    while same < min(len(one), len(two)) and one[-1 - same] == two[-1 - same]:
        same += 1
    ending = one[len(one) - same :]
    bare = sum(len(_MARKS.sub("", kept.sub("", clause))) for clause in ending)
    return 3 <= same < len(one) and bare >= SHORT and bool(_OLD.search("".join(ending)))


def _strewn(bare: str, said: str) -> bool:
    """Whether what is said besides the source is few words again and again."""
    from rapidfuzz.distance import Indel

    added = [said[op.dest_start : op.dest_end] for op in Indel.opcodes(bare, said) if op.tag == "insert"]
    if len(added) < 2:
        return False
    (_, most), *_ = Counter(added).most_common(1)
    return most >= 2 and most >= 0.6 * len(added)


def _whole_clauses(source: str, modern: str, kept: re.Pattern) -> bool:
    """Whether most of the source's clauses that a modern text would say otherwise stand in the translation."""
    there = total = 0
    plain = _MARKS.sub("", modern)
    for clause in re.split(r"[，,。；;：:！？\n]", source):
        letters = _MARKS.sub("", clause)
        if len(_MARKS.sub("", kept.sub("", clause))) < 4 or not _OLD.search(letters):
            continue
        total += len(letters)
        there += len(letters) * (letters in plain)
    return total >= SHORT and there >= CLAUSES * total
