"""Check whether an aligned clause of a translation became its opposite (better and worse). Used by `fidelity`.

`opposites` compares words over a whole passage, which only works if a passage has few of them. Here the two texts are
aligned first (`negations.group_clauses`), and a fault needs both: the classical clause has a word and no reason for its
opposite, and the modern clause has the opposite and nothing that keeps the word.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

_PULSE = re.compile(r"脉(?:象|搏|息)?(?:也|又|都|皆|则|见|显得?|表现为|呈)?([^，。；：、脉]{1,8})")
_QUALITIES = "浮沉迟数滑涩洪细弦紧濡芤弱"


@lru_cache
def _known() -> dict[str, Any]:
    return yaml.load((Path(__file__).parent / "contraries.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def find_reversal(pairs: tuple[tuple[str, str], ...]) -> str | None:
    """Return the first pair of aligned clauses in which a word became its opposite, in a few Chinese words; or None."""
    for old, new in pairs:
        for what, said, kept, contrary, reason in _contraries():
            found, heard = said.search(old), contrary.search(new)
            if found and heard and not kept.search(new) and not reason.search(old):
                return f"{what}颠倒：{found[0]}译成{heard[0]}"
    return None


@lru_cache
def _contraries() -> list[tuple[str, re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]]:
    """Return tuples: name; patterns for the source's word, what keeps it, its opposite, and what justifies the
    opposite.
    """
    return [
        (what, *(re.compile(one[part]) for part in ("old", "kept", "new", "reason")))
        for what, several in _known()["contraries"].items()
        for one in several
    ]


def find_added_pulse(source: str, modern: str) -> str | None:
    """Return a quality of the pulse that the modern text has and the source does not; or None."""
    if "脉" not in source:
        return None
    for match in _PULSE.finditer(modern):
        for quality in match[1]:
            if quality in _QUALITIES and not set(source) & {quality, *_known()["pulses"].get(quality, "")}:
                return f"脉象不符：多出{quality}"
    return None
