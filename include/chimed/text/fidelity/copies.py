"""Check whether a translation is only the source: unchanged, in the other script, or with words inserted. For
`fidelity`.

Names and doses are ignored, since a formula's list reads the same in both languages.
"""

import re
from collections import Counter

MIN_COPIED_SHARE = 0.9  # share of the source's letters found in their order
MIN_FILLED_SHARE = 0.97  # the same where words are strewn in
MIN_LETTERS = 12  # letters besides names and doses; with fewer both languages may read the same
MIN_CLAUSE_SHARE = 0.6  # share of the letters that stand in clauses taken over whole
_OLD = re.compile(r"[之者也矣焉乎哉曰乃则而其故若俱皆勿毋亦且以于夫盖遂即]")  # what a modern text says otherwise
_MARKS = re.compile(r"[\W_]")


def is_copied(source: str, modern: str, kept: re.Pattern[str]) -> bool:
    """Return whether the source is in the translation almost unchanged. kept: names and doses, which must be there."""
    one, two = _MARKS.sub("", source), _MARKS.sub("", modern)
    if one == two and len(one) >= MIN_LETTERS and _OLD.search(one):
        return True
    bare, said = _MARKS.sub("", kept.sub("", source)), _MARKS.sub("", kept.sub("", modern))
    if len(bare) < MIN_LETTERS:
        return False
    from rapidfuzz.distance import LCSseq  # here: the models' environment has none, and asks about no copy

    share = LCSseq.similarity(bare, said) / len(bare)
    if (
        share >= MIN_COPIED_SHARE
        and len(said) < 1.15 * len(bare)
        and (_OLD.search(bare) or len(bare) >= 3 * MIN_LETTERS)
    ):
        return True
    if share >= MIN_FILLED_SHARE and _strewn(bare, said):
        return True
    return _whole_clauses(source, modern, kept)


def ends_copied(source: str, modern: str, kept: re.Pattern[str]) -> bool:
    """Return whether the translation ends like the source, in clauses that modern Chinese would say differently."""
    one, two = (
        [_MARKS.sub("", clause) for clause in re.split(r"[，,。；;：:！？\n]", text) if _MARKS.sub("", clause)]
        for text in (source, modern)
    )
    same = 0
    while same < min(len(one), len(two)) and one[-1 - same] == two[-1 - same]:
        same += 1
    ending = one[len(one) - same :]
    bare = sum(len(_MARKS.sub("", kept.sub("", clause))) for clause in ending)
    return 3 <= same < len(one) and bare >= MIN_LETTERS and bool(_OLD.search("".join(ending)))


def _strewn(bare: str, said: str) -> bool:
    """Return whether the words added to the source are a few, repeated."""
    from rapidfuzz.distance import Indel

    added = [said[op.dest_start : op.dest_end] for op in Indel.opcodes(bare, said) if op.tag == "insert"]
    if len(added) < 2:
        return False
    (_, most), *_ = Counter(added).most_common(1)
    return most >= 2 and most >= 0.6 * len(added)


def _whole_clauses(source: str, modern: str, kept: re.Pattern[str]) -> bool:
    """Return whether most of the source's clauses that modern Chinese would say differently are in the translation."""
    there = total = 0
    plain = _MARKS.sub("", modern)
    for clause in re.split(r"[，,。；;：:！？\n]", source):
        letters = _MARKS.sub("", clause)
        if len(_MARKS.sub("", kept.sub("", clause))) < 4 or not _OLD.search(letters):
            continue
        total += len(letters)
        there += len(letters) * (letters in plain)
    return total >= MIN_LETTERS and there >= MIN_CLAUSE_SHARE * total
