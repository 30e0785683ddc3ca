"""Tell a herb's name from other words, by the term list and by the words for its preparation. Ours."""

import re
from functools import cache

from chimed.text.terms import load_terms

_BEFORE = re.compile(r"^(?:生|炒|炙|制|煅|焦|鲜|酒|醋|盐|法|蜜炙|净|炮|煨|熟|土炒|麸炒|姜|清|干)")
_BEHIND = re.compile(r"(?:酒|姜|醋|盐|蜜|土|麸)?(?:炒|炙|煅|制|洗|浸|煨|炮)$")


@cache
def _herbs() -> frozenset[str]:
    terms = load_terms()
    herbs = set(terms["herbs"])
    return frozenset(herbs | {name for line in terms["same"] if herbs & set(line) for name in line})


def is_herb(name: str) -> bool:
    """Return whether the term list has a herb of that name, also with a word of its preparation before it."""
    return name in _herbs() or _BEFORE.sub("", name) in _herbs()


def bare_name(name: str) -> str:
    """Return 枳实 of 枳实炒: how a herb is prepared is said behind its name, too."""
    before = _BEHIND.sub("", name)
    return before if before != name and is_herb(before) else name
