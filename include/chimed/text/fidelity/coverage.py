"""Is a sentence of the source left out of a translation, or one put in? Used by `fidelity`.

Classical and modern Chinese share characters: a sentence none of whose own characters is met in the other text has
no counterpart there. Which ones are its own is told by the other sentences.
"""

import re
from collections import Counter

from chimed.text import terms

OWN = 3  # characters of a sentence that no other sentence has, from which their loss is evidence
LOST = 0.2  # share of a sentence's own characters that must be met
ADDED = 11  # content characters of a modern clause from which it must share one with the source
_SMALL = frozenset(
    "的了是在有和与及或也都就又还而且但则者之其此这那个些以为于由从把被将会可能应当要不没无未得着过很更最所来去到上下中里时后前"
    "夫盖乃曰故若如即皆俱焉矣乎哉耳尔何凡亦并各因使令对进行起用人一二三四五六七八九十两种样么什"
)


def missing(source: str, modern: str, groups: tuple[tuple[str, str], ...] = ()) -> str | None:
    """The sentence of the source that the modern text leaves out; or None. groups: the clauses of both, aligned.

    One that is told in other words has its place all the same: as much text, in which one of its characters is met.
    """
    sentences = _sentences(source)
    if len(sentences) < 2:
        return None
    content = [_content(one) for one in sentences]
    heard = set(modern)
    for n, mine in enumerate(content):
        others = set().union(*content[:n], *content[n + 1 :])
        own = mine - others
        if len(own) < OWN and len(mine) >= 2 * OWN:
            own = mine
        if len(own) >= OWN and len(own & heard) < LOST * len(own) and not _has_place(sentences[n], own, groups):
            return sentences[n][:30]
    return None


def _has_place(sentence: str, own: set[str], groups: tuple[tuple[str, str], ...]) -> bool:
    clauses = set(re.split(r"[，,：:]", sentence))
    there = "".join(new for old, new in groups if set(old.split("，")) <= clauses)
    return len(there) >= len(sentence) and bool(own & set(there))


def left_out(groups: tuple[tuple[str, str], ...], modern: str) -> str | None:
    """The clause that nothing of the aligned modern text speaks of, and for which it has no room; or None."""
    heard = set(modern)
    counted = Counter(one for old, _ in groups for clause in old.split("，") for one in _content(clause))
    lost: dict[str, str] = {}  # a character of its own: its clause
    for old, new in groups:
        if len(new) >= len(old):
            continue
        for clause in old.split("，"):
            own = {one for one in _content(clause) if counted[one] == 1}
            if own and len(own & heard) <= (len(own) >= 4):
                lost |= dict.fromkeys(own, clause)
    return next(iter(lost.values()))[:30] if len(lost) >= OWN - 1 else None


def added(source: str, modern: str) -> str | None:
    """The sentence or clause of the modern text, or the modern disease, that the source does not have; or None."""
    there = set(source)
    for sentence in _sentences(modern):
        own = _content(sentence)
        if len(own) >= 5 and len(own & there) < 0.1 * len(own):
            return sentence[:30]
        for clause in re.split(r"[，,：:]", sentence):
            own = _content(clause)
            if len(own) >= ADDED and not own & there:
                return clause[:30]
    inflamed = re.search(
        r"[\u3400-\u9fff]{1,3}炎(?![热夏暑上凉])|[\u3400-\u9fff]{2,4}综合征|[\u3400-\u9fff]{1,3}癌", modern
    )
    if inflamed and not re.search(r"[炎癌岩]", source):
        return inflamed[0]
    strange = [name for name in terms.groups()["diseases"] if name in modern and name not in source]
    return strange[0] if strange else None


def _sentences(text: str) -> list[str]:
    return [one.strip() for one in re.split(r"[。；;！？!?\n]", text) if len(re.sub(r"[\W_]", "", one)) > 3]


def _content(text: str) -> set[str]:
    return {character for character in text if character not in _SMALL and "\u3400" <= character <= "\u9fff"}
