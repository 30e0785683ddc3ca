"""What stands around a text and says nothing of it: courtesies, addresses, signatures. Left aside by `dedup` (ours).

`clean` takes out what it knows; what it leaves must not make two texts of one. Nothing here changes a record.
"""

import re
import unicodedata
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Any

import polars as pl
import yaml

LONGEST = 60  # characters of an end of a text that may be such a thing
SEVERAL = 6  # of them, one behind the other
MOST_LEFT = 0.4  # of a courtesy's letters: names of people and places, which no list has

_STOP = r"[\s\p{P}~～^=+|]"
_HAN = "[\\p{Han}--[不无没未勿别忌禁非左右]]"
_STOPS = "".join(chr(code) for code in range(1, 0xFFFF) if unicodedata.category(chr(code))[0] in "PZ") + "~^=+|\n\t\r～"
_CLAUSE = r"((?:\p{Han}{0,6}[:：]?(?:https?://|www\.)[!-~]+)|[^。！!？?，,；;~～\n]+)$"


@cache
def _lists() -> dict[str, Any]:
    return yaml.load((Path(__file__).parent / "around.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@cache
def _patterns() -> tuple[str, list[str]]:
    """What a text's beginning matches where it is a courtesy; what its last clause may match, one by one.

    All in one pattern would take Rust's regular expressions more states than they keep.
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


def trimmed(column: pl.Series) -> pl.Series:
    """Texts without what stands around them, unless nothing would be left."""
    ahead, behind = _patterns()
    ahead_words, behind_words = (f"(?i){_lists()[name]}" for name in ("ahead_words", "behind_words"))
    heads = column.str.head(LONGEST)
    rows = heads.str.contains(ahead_words).fill_null(False).arg_true()
    heads = heads.gather(rows)
    bare = heads.str.replace(ahead, "")
    moved = (bare != heads).arg_true()
    rows, bare = rows.gather(moved), bare.gather(moved)
    found = _instead(column, rows, bare + column.gather(rows).str.slice(LONGEST))
    rows = found.str.tail(LONGEST).str.contains(behind_words).fill_null(False).arg_true()
    for _ in range(SEVERAL):
        texts = found.gather(rows).str.strip_chars_end(_STOPS)
        clause = texts.str.tail(LONGEST).str.extract(_CLAUSE)
        ended = clause.str.contains(behind_words).fill_null(False).arg_true()
        several = clause.gather(ended)
        ended = ended.filter(reduce(or_, (several.str.contains(one) for one in behind)))
        if not len(ended):
            break
        texts, rows = texts.gather(ended), rows.gather(ended)
        shorter = pl.select(texts.str.head(-clause.gather(ended).str.len_chars().cast(pl.Int64))).to_series()
        found = _instead(found, rows, shorter)
    return found


def _instead(column: pl.Series, rows: pl.Series, texts: pl.Series) -> pl.Series:
    """The column with these texts at these rows, where they say anything."""
    said = texts.str.contains(r"[\p{L}\p{N}]")
    return column.clone().scatter(rows.filter(said), texts.filter(said))


@cache
def _words() -> re.Pattern[str]:
    lists = _lists()
    return re.compile("|".join([*lists["patterns"], *sorted(lists["words"].split(), key=len, reverse=True)]))


def uncourteous(text: str) -> str | None:
    """What is left of an end of a text (without punctuation) once courtesies go; None where they are not most of it."""
    if len(text) > LONGEST:
        return None
    rest = _words().sub("", text)
    return rest if len(rest) <= MOST_LEFT * len(text) else None


def uncourteous_start(text: str) -> tuple[str, bool]:
    """What an end of a text says before its first courtesy, and whether a word of a signature follows that."""
    match = _words().search(text)
    return (text[: match.start()], bool(_signature().match(match[0]))) if match else (text, False)


def uncourteous_end(text: str) -> str:
    """What a beginning of a text says behind its last courtesy."""
    end = 0
    for match in _words().finditer(text):
        end = match.end()
    return text[end:]


@cache
def _signature() -> re.Pattern[str]:
    return re.compile("|".join(_lists()["signature"].split()))
