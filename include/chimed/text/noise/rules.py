"""Define a rule of `clean`: a named kind of noise, and how the safety net checks its rows (paper §3.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

NOTHING = r"\A\z"  # a pattern that no span has


@dataclass(frozen=True)
class Rule:
    """One kind of noise. pattern: its spans. rewritten: returns a column without it. sooner: a fast filter to apply
    before a slow pattern.

    net: how its rows are checked. `spans`: removed spans may contain nothing guarded but `may_hold`, and no text may
    end torn. `form`: the spans are safe by their form (a tag, an address). `raised`: digits stay, in any form. `kept`:
    nothing guarded changes at all.
    """

    name: str
    pattern: str
    rewritten: Callable[[pl.Series], pl.Series]
    sooner: str
    net: Literal["spans", "form", "raised", "kept"]
    may_hold: str = NOTHING


def removal_rule(
    name: str,
    pattern: str,
    instead: str = "",
    *,
    net: Literal["spans", "form", "raised", "kept"] = "kept",
    sooner: str = "",
    may_hold: str = NOTHING,
) -> Rule:
    """Return a rule that replaces its pattern by `instead`; `$1` is the first group."""
    return Rule(
        name, pattern, lambda column: column.str.replace_all(pattern, instead), sooner or pattern, net, may_hold
    )


def any_of(words: str) -> str:
    """Return a pattern for any of the words, which are separated by spaces."""
    return f"(?:{'|'.join(words.split())})"


def any_sooner(*rules: Rule) -> str:
    """Return a pattern for the fast filters of all the rules."""
    return "|".join(dict.fromkeys(f"(?:{rule.sooner})" for rule in rules))
