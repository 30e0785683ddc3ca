"""Names of herbs, formulas, acupoints, medicines and diseases, and which are names of one thing (`terms.yaml`).

Used by the gates of `translate` and `generate_qa`: a name may neither be lost nor appear nor become another one.
"""

import re
from functools import lru_cache
from pathlib import Path

import yaml

GROUPS = ("herbs", "formulas", "acupoints")  # what a translation must keep


@lru_cache
def groups() -> dict[str, list]:
    """The lists of `terms.yaml`: a name a line under its kind, and in `same` the names of one thing."""
    return yaml.load((Path(__file__).parent / "terms.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@lru_cache
def pattern(*kinds: str) -> re.Pattern:
    """A pattern of the names of these kinds and of all their other names, the longest first."""
    every = {name for kind in kinds for name in groups()[kind]}
    every |= {name for line in groups()["same"] if every & set(line) for name in line}
    return re.compile(_branches(sorted(every)))


def _branches(names: list[str]) -> str:
    """The names as one pattern that looks at each character once: 人(?:参|中)|…; a name before its own beginning."""
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
    for line in groups()["same"]:
        for name in line:
            others.setdefault(name, set()).update(line)
    return {name: frozenset(several - {name}) for name, several in others.items()}


_PREPARED = re.compile(r"^(?:生|炒|炙|制|煅|焦|鲜|酒炒?|醋炒?|盐炒?|法|蜜炙?|净|炮|煨|熟|土炒|麸炒|姜)(?=..)")
_NOT_ONLY_PREPARED = frozenset(["生地", "生地黄", "熟地", "熟地黄", "生姜", "鲜姜", "炮姜", "生姜皮"])


@lru_cache(maxsize=4096)
def same(name: str) -> frozenset[str]:
    """The other names of a thing, as `terms.yaml` knows them; 生半夏 and 炒白术 are the herbs themselves."""
    others = _same().get(name, frozenset())
    if name not in _NOT_ONLY_PREPARED and (bare := _PREPARED.sub("", name)) != name and bare in _herbs():
        others = others | {bare} | _same().get(bare, frozenset())
    return others


@lru_cache
def _herbs() -> frozenset[str]:
    return frozenset(groups()["herbs"])


def names(text: str, *kinds: str) -> list[str]:
    """Names of these kinds in the text (herbs, formulas and acupoints if none is given), each once."""
    return list(dict.fromkeys(pattern(*(kinds or GROUPS)).findall(text)))
