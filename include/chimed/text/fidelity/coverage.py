"""Check whether a sentence of the source is missing in a translation, or one was added. Used by `fidelity`.

Classical and modern Chinese share characters: a sentence has no counterpart if none of its own characters (those that
no other sentence has) is in the other text.
"""

import re
from collections import Counter

from chimed.text import terms

MIN_OWN_CHARACTERS = 3  # characters of a sentence that no other sentence has, from which their loss is evidence
MIN_SHARE_FOUND = 0.2  # share of a sentence's own characters that must be met
MIN_ADDED_CHARACTERS = 11  # content characters of a modern clause from which it must share one with the source
_SMALL = frozenset(
    "的了是在有和与及或也都就又还而且但则者之其此这那个些以为于由从把被将会可能应当要不没无未得着过很更最所来去到上下中里时后前"
    "夫盖乃曰故若如即皆俱焉矣乎哉耳尔何凡亦并各因使令对进行起用人一二三四五六七八九十两种样么什"
)


def find_missing_sentence(source: str, modern: str, groups: tuple[tuple[str, str], ...] = ()) -> str | None:
    """Return the sentence of the source that is missing in the modern text; or None. groups: the aligned clauses of
    both.

    A paraphrased sentence still has its place: as much text, with one of its characters in it.
    """
    sentences = _sentences(source)
    if len(sentences) < 2:
        return None
    content = [_content(one) for one in sentences]
    heard = set(modern)
    for n, mine in enumerate(content):
        others = set().union(*content[:n], *content[n + 1 :])
        own = mine - others
        if len(own) < MIN_OWN_CHARACTERS and len(mine) >= 2 * MIN_OWN_CHARACTERS:
            own = mine
        if (
            len(own) >= MIN_OWN_CHARACTERS
            and len(own & heard) < MIN_SHARE_FOUND * len(own)
            and not _has_place(sentences[n], own, groups)
        ):
            return sentences[n][:30]
    return None


def _has_place(sentence: str, own: set[str], groups: tuple[tuple[str, str], ...]) -> bool:
    clauses = set(re.split(r"[，,：:]", sentence))
    there = "".join(new for old, new in groups if set(old.split("，")) <= clauses)
    return len(there) >= len(sentence) and bool(own & set(there))


def find_missing_clause(groups: tuple[tuple[str, str], ...], modern: str) -> str | None:
    """Return the clause that the aligned modern text neither mentions nor has room for; or None."""
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
    return next(iter(lost.values()))[:30] if len(lost) >= MIN_OWN_CHARACTERS - 1 else None


def find_added(source: str, modern: str) -> str | None:
    """Return the sentence, clause or modern disease that the modern text has and the source does not; or None."""
    there = set(source)
    for sentence in _sentences(modern):
        own = _content(sentence)
        if len(own) >= 5 and len(own & there) < 0.1 * len(own):
            return sentence[:30]
        for clause in re.split(r"[，,：:]", sentence):
            own = _content(clause)
            if len(own) >= MIN_ADDED_CHARACTERS and not own & there:
                return clause[:30]
    inflamed = re.search(
        r"[\u3400-\u9fff]{1,3}炎(?![热夏暑上凉])|[\u3400-\u9fff]{2,4}综合征|[\u3400-\u9fff]{1,3}癌", modern
    )
    if inflamed and not re.search(r"[炎癌岩]", source):
        return inflamed[0]
    strange = [name for name in terms.load_terms()["diseases"] if name in modern and name not in source]
    return strange[0] if strange else None


def _sentences(text: str) -> list[str]:
    return [one.strip() for one in re.split(r"[。；;！？!?\n]", text) if len(re.sub(r"[\W_]", "", one)) > 3]


def _content(text: str) -> set[str]:
    return {character for character in text if character not in _SMALL and "\u3400" <= character <= "\u9fff"}
