"""Set aside what surrounds a text and carries no content: courtesies, addresses, signatures. Used by `dedup` (ours).

`clean` removes what it recognizes; what it leaves must not make two texts of one. Nothing here changes a record.
"""

import re
import unicodedata
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Any

import polars as pl
import yaml

MAX_END_LENGTH = 60  # characters of an end of a text that may be such a thing
MAX_ENDINGS = 6  # of them, one behind the other
MAX_REST_SHARE = 0.4  # of a courtesy's letters: names of people and places, which no list has

_STOP = r"[\s\p{P}~～^=+|]"
_HAN = "[\\p{Han}--[不无没未勿别忌禁非左右]]"
_STOPS = "".join(chr(code) for code in range(1, 0xFFFF) if unicodedata.category(chr(code))[0] in "PZ") + "~^=+|\n\t\r～"
_CLAUSE = r"((?:\p{Han}{0,6}[:：]?(?:https?://|www\.)[!-~]+)|[^。！!？?，,；;~～\n]+)$"


@cache
def _lists() -> dict[str, Any]:
    return yaml.load((Path(__file__).parent / "around.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@cache
def _patterns() -> tuple[str, list[str]]:
    """Return the pattern for courtesies at a text's beginning, and the patterns for its last clause, one by one.

    Combined into one pattern they would exceed the state limit of Rust's regular expressions.
    """
    lists = _lists()

    def named(pattern: str) -> str:
        parts = {"<whom>": lists["whom"], "<surname>": lists["surname"], "<stop>": _STOP, "<han>": _HAN}
        for name, part in {"<day>": lists["day"], **parts}.items():
            pattern = pattern.replace(name, part)
        return pattern

    first = "|".join(f"(?:{named(one)})" for one in lists["ahead"])
    ahead = rf"(?i)^{_STOP}*(?:(?:{first}){_STOP}+){{1,6}}"
    return ahead, [rf"(?i)^[\s—–\-·(（【\[]*(?:{named(one)})[\s—–\-·()（）]*$" for one in lists["behind"]]


def trim(column: pl.Series) -> pl.Series:
    """Return texts without what surrounds them, unless nothing would be left."""
    ahead, behind = _patterns()
    ahead_words, behind_words = (f"(?i){_lists()[name]}" for name in ("ahead_words", "behind_words"))
    heads = column.str.head(MAX_END_LENGTH)
    rows = heads.str.contains(ahead_words).fill_null(False).arg_true()
    heads = heads.gather(rows)
    bare = heads.str.replace(ahead, "")
    moved = (bare != heads).arg_true()
    rows, bare = rows.gather(moved), bare.gather(moved)
    found = _replace_rows(column, rows, bare + column.gather(rows).str.slice(MAX_END_LENGTH))
    rows = found.str.tail(MAX_END_LENGTH).str.contains(behind_words).fill_null(False).arg_true()
    for _ in range(MAX_ENDINGS):
        texts = found.gather(rows).str.strip_chars_end(_STOPS)
        clause = texts.str.tail(MAX_END_LENGTH).str.extract(_CLAUSE)
        ended = clause.str.contains(behind_words).fill_null(False).arg_true()
        several = clause.gather(ended)
        ended = ended.filter(reduce(or_, (several.str.contains(one) for one in behind)))
        if not len(ended):
            break
        texts, rows = texts.gather(ended), rows.gather(ended)
        shorter = pl.select(texts.str.head(-clause.gather(ended).str.len_chars().cast(pl.Int64))).to_series()
        found = _replace_rows(found, rows, shorter)
    return found


def _replace_rows(column: pl.Series, rows: pl.Series, texts: pl.Series) -> pl.Series:
    """Return the column with these texts at these rows, where they have content."""
    said = texts.str.contains(r"[\p{L}\p{N}]")
    return column.clone().scatter(rows.filter(said), texts.filter(said))


@cache
def _words() -> re.Pattern[str]:
    lists = _lists()
    return re.compile("|".join([*lists["patterns"], *sorted(lists["words"].split(), key=len, reverse=True)]))


def remove_courtesies(text: str) -> str | None:
    """Return what is left of an end of a text (without punctuation) after its courtesies;

    None if they are not most of it.
    """
    if len(text) > MAX_END_LENGTH:
        return None
    rest = _words().sub("", text)
    return rest if len(rest) <= MAX_REST_SHARE * len(text) else None


def text_before_courtesy(text: str) -> tuple[str, bool]:
    """Return the text before the first courtesy of an end, and whether that courtesy belongs to a signature."""
    match = _words().search(text)
    return (text[: match.start()], bool(_signature().match(match[0]))) if match else (text, False)


def text_after_courtesy(text: str) -> str:
    """Return the text after the last courtesy of a beginning."""
    end = 0
    for match in _words().finditer(text):
        end = match.end()
    return text[end:]


@cache
def _signature() -> re.Pattern[str]:
    return re.compile("|".join(_lists()["signature"].split()))
