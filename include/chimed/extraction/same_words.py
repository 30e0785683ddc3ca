"""The words of what was taken down, known again at another address without being kept: by keyed hashes.

A page that was taken down often has a twin: a mobile page, a copy under another number, the same row in another file of
a corpus. Its words are hashed with the store's secret (HMAC-SHA-256), so that nobody who has the hash can find words
by trying. Only letters and digits count, whatever their width and case.
"""

import hmac
from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl
from sqlalchemy import select

from chimed.schema import words
from chimed.storage.store import TAKEN_WORDS, Store, secret, upsert

QUESTION = 30  # letters of a question from which on it is known again with other answers: a short one is everybody's


def letters(said: pl.Expr) -> pl.Expr:
    """Texts without what copies differ in: signs, spaces, width, case."""
    return said.fill_null("").str.normalize("NFKC").str.replace_all(r"[^\p{L}\p{N}]", "").str.to_lowercase()


def remember(store: Store, records: pl.DataFrame) -> int:
    """Keeps hashes of the words of records that were taken down (columns of `RECORD`); returns how many."""
    key, now = secret(store), datetime.now(UTC)
    said = {text for column in _looked_at(records) for text in column if text}
    rows = [{"key": _hash(key, text), "letters": len(text), "created": now} for text in sorted(said)]
    upsert(store, TAKEN_WORDS, rows)
    return len(rows)


def taken_before(store: Store, records: pl.DataFrame) -> pl.Series:
    """Of each record (columns of `RECORD`), whether its words were taken down, at whatever address.

    Only texts that are as long as one that was taken down are hashed: the others are compared by a column's length.
    """
    with store.engine.connect() as connection:
        rows = connection.execute(select(TAKEN_WORDS.c.key, TAKEN_WORDS.c.letters)).all()
    found = pl.repeat(False, len(records), eager=True)
    if not rows or not len(records):
        return found
    known, lengths, key = {row.key for row in rows}, sorted({row.letters for row in rows}), secret(store)
    for column in _looked_at(records):
        places = column.str.len_chars().is_in(lengths).fill_null(False).arg_true()
        said = [_hash(key, text) in known for text in column.gather(places)]
        found = found | found.scatter(places.filter(pl.Series(said, dtype=pl.Boolean)), True)
    return found


def _looked_at(records: pl.DataFrame) -> Iterable[pl.Series]:
    """What is hashed of records: all their words, and a question that is long enough to be one person's."""
    asked = letters(pl.col("question"))
    both = records.select(
        words=letters(words()), question=pl.when(asked.str.len_chars() >= QUESTION).then(asked).otherwise(None)
    )
    return both.get_columns()


def _hash(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(errors="surrogatepass"), "sha256").hex()
