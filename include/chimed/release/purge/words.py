"""Cut the purged words into short stretches by which requests, lists and reports that hold them are found. Ours.

A stretch that other people's records hold too identifies nothing, so it is left out. Texts are compared by their
letters and digits only (`same_words.letters`), because a page has tags between them and a stored request has escapes.
"""

import re

import polars as pl

from chimed.extraction.same_words import normalize_letters
from chimed.release.places import tables_of_records
from chimed.schema import RECORD, words
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.storage.takedowns import COLUMNS as FROM
from chimed.storage.takedowns import Takedowns, readable
from chimed.text import identifiers

STRETCH, STEP = 16, 8  # letters: every copy of 23 letters in a row holds a whole stretch
SHORTEST = 10  # letters; a text shorter than a stretch must have as many
IDENTIFIER = 6  # letters; a shorter number or address identifies nothing by itself
MOST = 200_000  # stretches; a whole site has more, and is found by its names only
COLUMNS = ("title", "text", "question", "answer", "rejected")

_REPLY = re.compile(r"\breply ([0-9a-f]{64})\b")
_MARKUP = r"<[^<>]{0,2000}>|\\[nrtbf]|&(?:nbsp|amp|lt|gt|quot|#\d{1,5});"


def rows_of(lake: Lake, path: str, gone: Takedowns) -> pl.DataFrame:
    """Return the rows of a table that are to be purged, with all their columns; one of records has `turns`, too."""
    table = lakes.read_table(lake, path)
    if "answer" in table.columns and "turns" not in table.columns:
        table = table.with_columns(pl.lit(None, pl.Schema(RECORD)["turns"]).alias("turns"))
    return readable(table).filter(gone.rows()) if {"url", "source", "page"} <= {*table.columns} else table.clear()


def texts_of(rows: pl.DataFrame) -> set[str]:
    """Return all texts in rows of any table."""
    said: set[str] = set()
    for name in (*COLUMNS, "reasoning", "detail"):
        if rows.schema.get(name) == pl.String:
            said |= set(rows[name].drop_nulls())
    if "turns" in rows.columns:
        said |= {turn["text"] for several in rows["turns"].drop_nulls() for turn in several}
    for name in ("messages", "prompt", "chosen", "rejected"):  # of a release
        if rows.schema.get(name) == pl.List:
            said |= {one["content"] for several in rows[name].drop_nulls() for one in several}
    return {text for text in said if text}


def replies_of(rows: pl.DataFrame) -> set[str]:
    """Return the keys of the replies that rows of a build name."""
    keys: set[str] = set()
    if "replies" in rows.columns:
        keys |= set(rows["replies"].explode().drop_nulls())
    if "detail" in rows.columns:
        keys |= {key for detail in rows["detail"].drop_nulls() for key in _REPLY.findall(detail)}
    return keys


def stretches(lake: Lake, said: set[str], gone: Takedowns) -> list[str]:
    """Return stretches of these texts that no other record holds; [] if there are too many to search for."""
    texts = pl.Series(sorted(said), dtype=pl.String)
    plain = texts.to_frame("text").select(normalize_letters(pl.col("text"))).to_series()
    found = {piece for text in plain for piece in _cut(text)}
    numbers = {text[one.start : one.end] for text in texts for one in identifiers.find_identifiers(text)}
    named = (
        pl.Series(sorted(numbers), dtype=pl.String)
        .to_frame("text")
        .select(normalize_letters(pl.col("text")))
        .to_series()
    )
    found |= {one for one in named if len(one) >= IDENTIFIER}
    if not found or len(found) > MOST:
        return []
    for path in tables_of_records(lake):
        for batch in lakes.read_batches(lake, path, [*COLUMNS, "turns", *FROM], RECORD):
            others = batch.filter(~gone.rows())
            both = others.select(normalize_letters(pl.concat_str(pl.col("title").fill_null(""), words().fill_null(""))))
            found -= set(both.to_series().str.extract_many(sorted(found), overlapping=True).explode().drop_nulls())
            if not found:
                return []
    return sorted(found)


def _cut(text: str) -> set[str]:
    if len(text) < STRETCH:
        return {text} if len(text) >= SHORTEST else set()
    return {text[start : start + STRETCH] for start in (*range(0, len(text) - STRETCH, STEP), len(text) - STRETCH)}


def holding(texts: pl.Series, wanted: list[str]) -> pl.Series:
    """Return, for each text of a page, request or report, whether it holds one of the stretches."""
    if not wanted:
        return pl.repeat(False, len(texts), eager=True)
    plain = texts.fill_null("").str.replace_all(_MARKUP, "")
    return plain.to_frame("text").select(normalize_letters(pl.col("text")).str.contains_any(wanted)).to_series()
