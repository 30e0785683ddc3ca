"""Find names of herbs, formulas, acupoints, medicines and diseases, and their synonyms (`terms.yaml`).

Used by the gates of `translate` and `generate_qa`: no name may be lost, added or replaced by another.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

GROUPS = ("herbs", "formulas", "acupoints")  # what a translation must keep


@lru_cache
def load_terms() -> dict[str, list[Any]]:
    """Return the lists of `terms.yaml`: names by kind, and in `same` the synonyms."""
    return yaml.load((Path(__file__).parent / "terms.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@lru_cache
def names_pattern(*kinds: str) -> re.Pattern[str]:
    """Return a pattern for the names of these kinds and all their synonyms, the longest first."""
    every = {name for kind in kinds for name in load_terms()[kind]}
    every |= {name for line in load_terms()["same"] if every & set(line) for name in line}
    return re.compile(_branches(sorted(every)))


def _branches(names: list[str]) -> str:
    """Return the names as one pattern that reads each character once: 人(?:参|中)|…; a name before its own prefix."""
    by_first: dict[str, list[str]] = {}
    for name in names:
        if name:
            by_first.setdefault(name[0], []).append(name[1:])
    branches = [
        re.escape(first) + (re.escape(rest[0]) if len(rest) == 1 else f"(?:{_branches(rest)})")
        for first, rest in by_first.items()
    ]
    return "|".join(branches + [""] * ("" in names))


@lru_cache
def _same() -> dict[str, frozenset[str]]:
    others: dict[str, set[str]] = {}
    for line in load_terms()["same"]:
        for name in line:
            others.setdefault(name, set()).update(line)
    return {name: frozenset(several - {name}) for name, several in others.items()}


_PREPARED = re.compile(r"^(?:生|炒|炙|制|煅|焦|鲜|酒炒?|醋炒?|盐炒?|法|蜜炙?|净|炮|煨|熟|土炒|麸炒|姜)(?=..)")
_PREPARED_BEHIND = re.compile(r"(?:酒|姜|醋|盐|蜜|土|麸)?(?:炒|炙|煅|制|洗|浸|煨|炮)$")
_NOT_ONLY_PREPARED = frozenset(["生地", "生地黄", "熟地", "熟地黄", "生姜", "鲜姜", "炮姜", "生姜皮"])


@lru_cache(maxsize=4096)
def other_names(name: str) -> frozenset[str]:
    """Return the synonyms of a name in `terms.yaml`; 生半夏 and 炒白术 are the herbs themselves."""
    others = _same().get(name, frozenset())
    if name not in _NOT_ONLY_PREPARED and (bare := _PREPARED.sub("", name)) != name and bare in _herbs():
        others = others | {bare} | _same().get(bare, frozenset())
    return others


@lru_cache
def _herbs() -> frozenset[str]:
    return frozenset(load_terms()["herbs"])


def is_herb(name: str) -> bool:
    """Return whether this is a herb's name or a synonym of one, also with a word of its preparation before it."""
    return any(one in _herbs() or _same().get(one, frozenset()) & _herbs() for one in (name, _PREPARED.sub("", name)))


def split_preparation(name: str) -> tuple[str, str]:
    """Return a herb's name without the word of its preparation, and that word: 炒白术 and 枳实炒 are 白术, 枳实 and 炒.

    A name that the list has as it stands (炙甘草, 生姜) is a medicine of its own and stays whole.
    """
    for pattern in (_PREPARED, _PREPARED_BEHIND):
        bare = pattern.sub("", name)
        if bare != name and name not in _herbs() | _NOT_ONLY_PREPARED and is_herb(bare):
            return bare, name.removesuffix(bare) if name.endswith(bare) else name.removeprefix(bare)
    return name, ""


def find_names(text: str, *kinds: str) -> list[str]:
    """Return the names of these kinds in the text (default: herbs, formulas and acupoints), each once."""
    return list(dict.fromkeys(names_pattern(*(kinds or GROUPS)).findall(text)))
