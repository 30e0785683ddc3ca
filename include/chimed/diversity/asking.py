"""Reduce a question to what it asks and what it is about, at column speed. Ours.

What it asks is one of a few kinds (how it is treated, which medicine, which department, what it costs, whether one
may): each kind has many phrases, which count as one. What it is about is the rest, where words that mean the same are
written as one (`same`, and names of medicine), and words that say nothing are left out (`empty`). The words
are in `asking.yaml`.
"""

from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import polars as pl
import yaml

from chimed.diversity.medicine import listed, numbers_of_names

TAIL = 40  # letters at the end in which the kind is looked for: a long question begins with a story
_FIRST_MARK = 0xF0000  # each kind is marked by a letter of its own, from Unicode's private plane


@cache
def _told() -> dict[str, Any]:
    """Return what `asking.yaml` says, each phrase a list of groups of alternatives."""
    told = yaml.safe_load(files(__package__).joinpath("asking.yaml").read_text(encoding="utf-8"))
    return told | {name: told[name].split() for name in ("empty", "whole")}


def _phrases(lines: list[str]) -> set[str]:
    """Return all phrases of a kind: one alternative of each group after the other."""
    found = set()
    for line in lines:
        for name, words in _told()["words"].items():
            line = line.replace(f"<{name}>", words)
        found |= {"".join(parts) for parts in product(*(group.split("|") for group in line.split(" ")))}
    return found - {""}


@cache
def _table() -> tuple[list[str], list[str]]:
    """Return all phrases and what each becomes, the longest first, for a search in which the first in order counts."""
    told = _told()
    becomes = {name: listed()[number].name for name, number in numbers_of_names().items() if len(name) > 1}
    becomes |= {f"{name}人": known for name, known in becomes.items() if name.endswith("病")}  # who has it
    for word in told["empty"]:
        becomes[word] = ""
    for line in told["same"]:
        first, *others = line.split(" ")
        becomes |= dict.fromkeys(others, first) | {first: first}
    for word in told["whole"]:
        becomes[word] = word
    kinds = [*told["general"].values(), *told["kinds"].values()]
    for number in range(len(kinds)):
        becomes |= dict.fromkeys(_phrases(kinds[number]), chr(_FIRST_MARK + number))
    ordered = sorted(becomes, key=lambda phrase: (-len(phrase), phrase))
    return ordered, [becomes[phrase] for phrase in ordered]


def _marks(first: int, number: int) -> str:
    return f"[\\x{{{_FIRST_MARK + first:X}}}-\\x{{{_FIRST_MARK + first + number - 1:X}}}]"


def reduce_questions(questions: pl.Series) -> pl.DataFrame:
    """Return what each question (no nulls) is about and what it asks: columns `about` and `asks`.

    about: its words without those that ask or say nothing, clauses parted by a blank. asks: one letter for each kind of
    question at its end, each once and in order; the general kinds only where there is no other.
    """
    phrases, becomes = _table()
    general, specific = len(_told()["general"]), len(_told()["kinds"])
    mark = _marks(0, general + specific)
    bare = questions.str.to_lowercase().str.replace_all(mark, "").str.replace_all(r"[\s\p{P}\p{S}]+", " ")
    marked = bare.str.replace_many(phrases, becomes, leftmost=True)
    about = marked.str.replace_all(mark, "").str.replace_all(r" +", " ").str.strip_chars(" ")
    tail = marked.str.slice(-TAIL)
    asks = {
        name: tail.str.extract_all(_marks(first, number)).list.unique().list.sort().list.join("")
        for name, first, number in (("general", 0, general), ("specific", general, specific))
    }
    both = pl.DataFrame({"about": about, **asks})
    kind = pl.when(pl.col("specific") != "").then("specific").otherwise("general")
    return both.select("about", asks=kind)
