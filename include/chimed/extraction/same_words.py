"""Recognize the words of a takedown at another address, without storing them, by keyed hashes.

A page that was taken down often has a twin: a mobile page, a copy under another number, the same row in another file of
a corpus. Its words are hashed with the store's secret (HMAC-SHA-256), so that nobody who has the hash can find the
words by trying. Only letters and digits count, whatever their width and case.
"""

import hmac
from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl
from sqlalchemy import select

from chimed.schema import words
from chimed.storage.store import Store, secret, upsert
from chimed.storage.store_tables import TAKEN_WORDS

MIN_QUESTION_LETTERS = 30  # a shorter question is not one person's, and not recognized with other answers


def normalize_letters(said: pl.Expr) -> pl.Expr:
    """Return an expression for texts without what copies differ in: signs, spaces, width, case."""
    return said.fill_null("").str.normalize("NFKC").str.replace_all(r"[^\p{L}\p{N}]", "").str.to_lowercase()


def remember_words(store: Store, records: pl.DataFrame) -> set[str]:
    """Store hashes of the words of records that were taken down (columns of `RECORD`); return them."""
    key, now = secret(store), datetime.now(UTC)
    said = {text for column in _hashed_texts(records) for text in column if text}
    rows = [{"key": _hash(key, text), "letters": len(text), "created": now} for text in sorted(said)]
    upsert(store, TAKEN_WORDS, rows)
    return {str(row["key"]) for row in rows}


def find_taken_down(store: Store, records: pl.DataFrame, among: set[str] | None = None) -> pl.Series:
    """Return for each record (columns of `RECORD`) whether its words were taken down, at any address.

    among: the hashes that count (`remember_words`), else all that are remembered. Only texts as long as one that was
    taken down are hashed; lengths are compared at column speed.
    """
    with store.engine.connect() as connection:
        rows = connection.execute(select(TAKEN_WORDS.c.key, TAKEN_WORDS.c.letters)).all()
    rows = [row for row in rows if among is None or row.key in among]
    found = pl.repeat(False, len(records), eager=True)
    if not rows or not len(records):
        return found
    known, lengths, key = {row.key for row in rows}, sorted({row.letters for row in rows}), secret(store)
    for column in _hashed_texts(records):
        places = column.str.len_chars().is_in(lengths).fill_null(False).arg_true()
        said = [_hash(key, text) in known for text in column.gather(places)]
        found = found | found.scatter(places.filter(pl.Series(said, dtype=pl.Boolean)), True)
    return found


def _hashed_texts(records: pl.DataFrame) -> Iterable[pl.Series]:
    """Return the texts of records to hash: all their words, those up to the first answer, because a page may have been
    taken down before its conversation went on, and a question long enough to be one person's.
    """
    asked = normalize_letters(pl.col("question"))
    both = records.select(
        words=normalize_letters(words()),
        first=pl.when(pl.col("turns").is_not_null()).then(normalize_letters(words(turns=False))),
        question=pl.when(asked.str.len_chars() >= MIN_QUESTION_LETTERS).then(asked).otherwise(None),
    )
    return both.get_columns()


def _hash(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(errors="surrogatepass"), "sha256").hex()
