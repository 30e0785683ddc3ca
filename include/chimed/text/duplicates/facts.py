"""Find the facts that a copy must repeat: numbers, units, signs, negations, sides, uses, names (ours).

Works on short ranges of the text that `compared` leaves; word lists in facts.yaml, terms.yaml (herbs, formulas,
acupoints) and medicines.yaml.
"""

import re
from functools import cache, lru_cache
from operator import add, attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from chimed.text.duplicates.compared import NUMERALS, RAISED

# `particle`: a word that is written like a denial and is none; with a letter less it may be one, or its opposite
KINDS = ("number", "unit", "sign", "negation", "particle", "side", "use", "name")

_DIGITS = {one: n for n, one in enumerate("〇一二三四五六七八九")} | {"零": 0}
_TENS = {"十": 10, "廿": 20, "卅": 30, "百": 100, "千": 1000}
_THOUSANDS = {"万": 10_000, "亿": 100_000_000}

HERE = Path(__file__).parent


class Fact(NamedTuple):
    """A fact. kind: of `KINDS`. value: equal for equal facts, however written. start, end: its letters in the text."""

    kind: str
    value: str
    start: int
    end: int


def find_facts(text: str) -> list[Fact]:
    """Return the facts in a range of text, in order."""
    found, bare = _find_names(text)
    lists = _lists()
    for match in _pattern().finditer(bare):
        start, end = match.span()
        kind = match.lastgroup
        if kind == "number":
            found.append(Fact("number", _number_value(match["number"]), start, match.end("number")))
        elif kind in ("unit", "half"):
            found.append(Fact("number", _number_value(match["number"]), *match.span("number")))
            found.append(Fact("unit", _units()[match["unit"]], *match.span("unit")))
            if kind == "half":
                found.append(Fact("number", "half", *match.span("half")))
        elif kind == "raised":
            found.append(Fact("number", match[0], start, end))
        elif kind == "negation":
            found.append(Fact("negation", lists["denied"].get(match[0], "勿"), start, end))
        elif kind == "use":
            found.append(Fact("use", lists["same_use"].get(match[0], match[0]), start, end))
        elif kind:
            found.append(Fact("name" if kind == "latin" else kind, match[0], start, end))
    return sorted(found, key=attrgetter("start"))


def listed_names() -> frozenset[str]:
    """Return the names in the lists: herbs, formulas, acupoints and medicines."""
    return _names()[0]


def _find_names(text: str) -> tuple[list[Fact], str]:
    """Return the listed names, the longest at each place, with their attributes; and the text without them (NULs)."""
    known, lengths = _names()
    heads = [place for place, head in enumerate(map(add, text, text[1:])) if head in lengths]
    if not heads:
        return [], text
    made, form = _lists()["made"], _lists()["form"]
    found: list[Fact] = []
    bare, end = text, 0
    for place in heads:
        length = next((n for n in lengths[text[place : place + 2]] if text[place : place + n] in known), 0)
        if place < end or not length:
            continue
        end = place + length
        if place and text[place - 1] in made:
            found.append(Fact("name", text[place - 1], place - 1, place))
        found.append(Fact("name", text[place:end], place, end))
        if end < len(text) and text[end] in form:
            found.append(Fact("name", text[end], end, end + 1))
        bare = bare[:place] + "\0" * length + bare[end:]
    return found, bare


@lru_cache(maxsize=4096)
def _number_value(number: str) -> str:
    """Return a number's value in digits: 二十四 and 24 are equal, and so are 一〇二 and 102."""
    if number[0].isdigit():
        return number if "." in number else re.sub(r"(?<!\d)0+(?=\d)", "", number)
    if number in ("半", "两"):
        return "half" if number == "半" else "2"
    if not set(number) & {*_TENS, *_THOUSANDS}:
        return "".join(str(_DIGITS[one]) for one in number)
    total = part = digit = 0
    for one in number:
        if one in _DIGITS:
            digit = _DIGITS[one]
        elif one in _THOUSANDS:
            total, part, digit = total + ((part + digit) or 1) * _THOUSANDS[one], 0, 0
        else:
            part, digit = part + (digit or 1) * _TENS[one], 0
    return str(total + part + digit)


# --- lists -------------------------------------------------------------------------------------------------------


def _read(name: str) -> dict[str, Any]:
    return yaml.load((HERE / name).read_text(encoding="utf-8"), yaml.CSafeLoader)


@cache
def _lists() -> dict[str, Any]:
    return _read("facts.yaml")


@cache
def _units() -> dict[str, str]:
    """Return the words for units, and the one that represents each."""
    lists = _lists()
    of_several = {word: name for name, words in lists["units"].items() for word in words.split()}
    return of_several | {word: word for word in lists["counted"].split()}


@cache
def _names() -> tuple[frozenset[str], dict[str, tuple[int, ...]]]:
    """Return all listed names, and their possible lengths by their first two letters, the longest first."""
    terms, medicines = _read("../terms.yaml"), _read("medicines.yaml")
    found = {name for group in ("herbs", "formulas", "acupoints", "drugs") for name in terms[group]}
    found |= {name for group in medicines.values() for name in group}
    found |= {name for same in terms["same"] if not found.isdisjoint(same) for name in same}  # and no illness
    lengths: dict[str, set[int]] = {}
    for name in found:
        lengths.setdefault(name[:2], set()).add(len(name))
    return frozenset(found), {head: tuple(sorted(several, reverse=True)) for head, several in lengths.items()}


@cache
def _pattern() -> re.Pattern[str]:
    """Return the pattern for all facts but names. Words to skip come first, so that they match as nothing else."""
    lists = _lists()
    numerals = re.sub("[两半]", "", NUMERALS)

    def any_of(words: Any) -> str:
        return "|".join(sorted(words, key=len, reverse=True))

    return re.compile(
        rf"(?:{any_of(lists['no_numbers'].split())}|千万(?=[不别要勿]))"
        rf"|(?P<particle>{any_of(lists['no_denials'].split())})"
        rf"|(?P<use>{any_of([*lists['same_use'], *lists['uses'].split()])})"
        rf"|(?P<number>\d+(?:[.,/:]\d+)*|[{numerals}]+|半|两)(?:(?P<unit>{any_of(_units())})(?P<half>半)?)?"
        rf"|(?P<raised>[{RAISED}]\d*)"
        r"|(?P<sign>[-<>=+~×±↑↓÷≠≈□.,/:])"
        rf"|(?P<negation>{any_of(lists['denied'])}|别(?=[再去吃喝用服乱随轻急让给把]))"
        rf"|(?P<side>[左右]|[双两单患健]侧|[上下前后内外](?=[{lists['parts']}])|(?<=[{lists['parts']}])[上下])"
        r"|(?P<latin>[a-zα-ω]+)"
    )
