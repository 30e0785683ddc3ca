"""Split a modern Chinese text into the words that carry its meaning. Used by `grounding` and `questions`.

A quantity is one word: number and unit together, in one spelling (3-9g, 三至九克 → #3~9克). So are words that change a
statement: negations, prohibitions, permissions, toxicity, routes, quantifiers, comparisons. Function words without
content (的, 可以, 主要, 该药) are left out of both texts. The rest is single characters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from chimed.text.fidelity.doses import parse_number
from chimed.text.writing import simplify

# Boundaries before a word, from the weakest: in a list, between clauses, between sentences.
ITEM, CLAUSE, SENTENCE = 1, 2, 3
_ENDS = (
    dict.fromkeys("。！？!?\n\r【】；;", SENTENCE)
    | dict.fromkeys(",，:：", CLAUSE)
    | dict.fromkeys("、/|()（）[]{}", ITEM)
)
NEGATING = frozenset(["不", "没有", "未", "非"])
_FIGURE = r"\d{1,9}(?:\.\d{1,6})?"
_NUMERAL = r"[零〇一二三四五六七八九十百千两半]{1,9}"
_TO = r"[~\-–—―‐‑−至到]{1,2}"


@cache
def _known() -> dict[str, Any]:
    return yaml.load((Path(__file__).parent / "wording.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@cache
def scope() -> frozenset[str]:
    """Return what holds for everything behind it in its clause, or before it at a clause's end."""
    return frozenset(_known()["scope"])


@cache
def heads() -> frozenset[str]:
    """Return the words behind one of which a list stands, or before it."""
    return scope() | {"治", "宜", "用", "推荐", "首选"}


@cache
def prohibiting() -> frozenset[str]:
    """Return the words of `scope` that say no."""
    return scope() - {"可能", "部分", "少数", "偶", "罕"}


@cache
def leads() -> frozenset[str]:
    """Return the words that may lead a list."""
    return frozenset(_known()["leads"])


@cache
def endings() -> frozenset[str]:
    """Return the words that may end a list."""
    return frozenset(_known()["endings"])


@cache
def templates() -> frozenset[str]:
    """Return the words that frame an answer and say nothing."""
    return frozenset(_known()["templates"])


@cache
def implicit() -> frozenset[str]:
    """Return the words that may be left unsaid."""
    return frozenset(_known()["implicit"])


@cache
def _units() -> dict[str, str]:
    """Return each unit's one spelling, by every way to write it."""
    return {word: name for name, words in _known()["units"].items() for word in words}


@cache
def _quantities() -> re.Pattern[str]:
    unit = "|".join(map(re.escape, sorted(_units(), key=len, reverse=True)))
    return re.compile(
        rf"(?P<daily>(?:每|一|1)[日天](?=[^\d一二两三四五六七八九。，；,;\n]{{0,4}}(?:{_FIGURE}|{_NUMERAL})[次剂丸片粒]))"
        rf"|(?P<each>(?:每|一|1)[次](?=(?:{_FIGURE}|{_NUMERAL})\s?(?:{unit})))"
        rf"|(?P<one>{_FIGURE})(?:\s?(?P<unit1>{unit})?\s?{_TO}\s?(?P<two>{_FIGURE}))?"
        rf"(?:\s?(?P<unit>{unit})(?![A-Za-z]))?"
        rf"|(?P<han>{_NUMERAL})(?:(?:{unit})?[至到~\-](?P<han2>{_NUMERAL}))?(?P<hanunit>{unit})(?![A-Za-z])"
        r"|(?P<word>[A-Za-zα-ωΑ-Ω][A-Za-zα-ωΑ-Ω.'-]*)"
    )


@dataclass(frozen=True)
class Words:
    """The words of a text. value: normalized. start, end: place in the text. before: the boundary before it.

    sentence, clause, item: which sentence, clause and item it is in, counted from the text's start.
    """

    value: tuple[str, ...]
    start: tuple[int, ...]
    end: tuple[int, ...]
    before: tuple[int, ...]
    sentence: tuple[int, ...]
    clause: tuple[int, ...]
    item: tuple[int, ...]


@lru_cache
def _by_first() -> dict[str, list[tuple[str, str | None]]]:
    """Return first character → (word, its normalized form; None for a word without content; "" for a conjunction)."""
    words: dict[str, str | None] = dict.fromkeys(_known()["empty"]) | dict.fromkeys(_known()["joined"], "")
    words |= {way: name for name, ways in _known()["turning"].items() for way in ways}
    words |= {same: same for same in _known()["as_they_are"]}
    by_first: dict[str, list[tuple[str, str | None]]] = {}
    for word in sorted(words, key=len, reverse=True):
        by_first.setdefault(word[0], []).append((word, words[word]))
    return by_first


def split_words(text: str, free: tuple[str, ...] = ()) -> Words:
    """Return the text's words. free: names that may be left out, such as the document's subject."""
    rows = list(_rows(simplify(text), tuple(map(simplify, free))))
    value, start, end, before = zip(*rows, strict=True) if rows else ((), (), (), ())
    counted: list[tuple[int, int, int]] = []
    sentence = clause = item = 0
    for boundary in before:
        sentence += boundary >= SENTENCE
        clause += boundary >= CLAUSE
        item += boundary >= ITEM
        counted.append((sentence, clause, item))
    sentences, clauses, items = zip(*counted, strict=True) if counted else ((), (), ())
    return Words(value, start, end, before, sentences, clauses, items)


def _rows(text: str, free: tuple[str, ...]) -> Iterator[tuple[str, int, int, int]]:
    by_first = _by_first()
    quantities = {match.start(): match for match in _quantities().finditer(text)}
    at, boundary = 0, SENTENCE
    while at < len(text):
        character = text[at]
        if name := next((name for name in free if text.startswith(name, at) and not _longer(text, at)), None):
            at += len(name)
            continue
        if match := quantities.get(at):
            yield _quantity(match), at, match.end(), boundary
            at, boundary = match.end(), 0
            continue
        for word, spelling in by_first.get(character, ()):
            if text.startswith(word, at):
                if spelling:
                    yield spelling, at, at + len(word), boundary
                    boundary = 0
                elif spelling == "":
                    boundary = max(boundary, ITEM)
                at += len(word)
                break
        else:
            if character.isalnum() or character in "+±≥≤<>=":
                yield character, at, at + 1, boundary
                boundary = 0
            else:
                boundary = max(boundary, _ENDS.get(character, 0))
            at += 1


_BEFORE_A_NAME = ("加味", "加减", "丹栀", "新加", "复方", "参苓", *"黑小大新野假伪")


def _longer(text: str, at: int) -> bool:
    """Return whether a name is the end of a longer one: 加味逍遥散, 黑逍遥散 and 复方丹参片 are other medicines."""
    return text[max(0, at - 2) : at].endswith(_BEFORE_A_NAME)


def _quantity(match: re.Match[str]) -> str:
    if match["daily"]:
        return "每天"
    if match["each"]:
        return "每次"
    if match["word"]:
        return match["word"].lower()
    if match["han"]:
        one, two, unit = parse_number(match["han"]), match["han2"] and parse_number(match["han2"]), match["hanunit"]
    else:
        one, two, unit = float(match["one"]), match["two"] and float(match["two"]), match["unit"]
        if match["unit1"] and unit and _units()[match["unit1"]] != _units()[unit]:
            unit = None
    return f"#{one:g}{'' if two is None else f'~{two:g}'}{_units().get(unit or '', '')}"
