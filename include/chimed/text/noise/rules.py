"""What a rule of `clean` is: a kind of noise with a name, and how the net under it checks its rows (paper §3.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

NOTHING = r"\A\z"  # a pattern that no span has


@dataclass(frozen=True)
class Rule:
    """One kind of noise. pattern: its spans. rewritten: a column without it. sooner: what is looked for first, where
    the pattern itself is slow to look for.

    net: how its rows are checked. `spans`: what it takes out may hold nothing guarded but `may_hold`, and no text may
    end torn. `form`: the form of its spans vouches for them (a tag, an address). `raised`: digits stay, in whatever
    form. `kept`: nothing guarded changes at all.
    """

    name: str
    pattern: str
    rewritten: Callable[[pl.Series], pl.Series]
    sooner: str
    net: Literal["spans", "form", "raised", "kept"]
    may_hold: str = NOTHING


def taking(
    name: str,
    pattern: str,
    instead: str = "",
    *,
    net: Literal["spans", "form", "raised", "kept"] = "kept",
    sooner: str = "",
    may_hold: str = NOTHING,
) -> Rule:
    """A rule that puts `instead` where its pattern is found; `$1` stands for the first group."""
    return Rule(
        name, pattern, lambda column: column.str.replace_all(pattern, instead), sooner or pattern, net, may_hold
    )


def any_of(words: str) -> str:
    """A pattern for any of the words, which spaces divide."""
    return f"(?:{'|'.join(words.split())})"


def any_sooner(*rules: Rule) -> str:
    """A pattern for what any of the rules looks for first."""
    return "|".join(dict.fromkeys(f"(?:{rule.sooner})" for rule in rules))
