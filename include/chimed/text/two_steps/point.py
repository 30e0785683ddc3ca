"""What a two-step question asks, and the stretch of an entry that it is asked about. Ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chimed.text.graph.fact import Fact

LONGEST_STRETCH = 1_500  # characters of an entry in one request; two of them stand in it


@dataclass(frozen=True)
class Point:
    """A question whose answer needs two rows, and its one right answer.

    asks: which herb of the formula has the property, or what holds for the herb with the largest dose. formula, herb:
    names; others: the formula's other herbs. relation: what is stated of the herb. says: the words of its entry that
    the answer must have. about: the words that a question "which" must have: the property, who must take care, with
    which herb it may not be given; else None.
    in_formula, in_herb: the places of the facts in their rows. formula_row, herb_row: ids of the two rows.
    """

    asks: Literal["which", "largest"]
    formula: str
    herb: str
    others: tuple[str, ...]
    relation: str
    says: tuple[str, ...]
    about: str | None
    formula_row: str
    herb_row: str
    in_formula: tuple[int, int]
    in_herb: tuple[int, int]


def place_of(facts: Sequence[Fact]) -> tuple[int, int]:
    """Return the characters from the first of these facts to the end of the last."""
    return min(fact.start for fact in facts), max(fact.end for fact in facts)


def find_stretch(text: str, place: tuple[int, int]) -> tuple[int, int] | None:
    """Return the whole lines around a place of a text, at most `LONGEST_STRETCH` characters; None if they are longer.

    The stretch begins at the text's beginning where that fits, for there stands the entry's name.
    """
    start, end = text.rfind("\n", 0, place[0]) + 1, _end_of_line(text, place[1])
    if end - start > LONGEST_STRETCH:
        return None
    if end <= LONGEST_STRETCH:
        start = 0
    while end < len(text) and (further := _end_of_line(text, end + 1)) - start <= LONGEST_STRETCH:
        end = further
    return start, end


def _end_of_line(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found
