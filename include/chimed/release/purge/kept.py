"""Remove a page's words from the store: requests and replies, perplexities, reviews, free pages of the file. Ours."""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
from sqlalchemy import Table, delete, select, text, update
from sqlalchemy.exc import OperationalError

from chimed.errors import UserError
from chimed.release.purge.words import holding
from chimed.release.review import close
from chimed.settings import settings
from chimed.storage.states import today
from chimed.storage.store import Store
from chimed.storage.store_tables import PAGES, PERPLEXITIES, REPLIES, REVIEW_QUEUE, REVIEWS, TAKEDOWNS
from chimed.text.perplexity_model import score_key

AT_A_TIME = 500  # SQLite's limit on bound parameters
READ = 2_000  # rows searched for the words at a time


def forget_replies(store: Store, keys: Iterable[str], wanted: list[str]) -> int:
    """Delete replies by key, and those whose request or answer holds one of the stretches; return how many."""
    found = set(keys)
    columns = [REPLIES.c.messages, REPLIES.c.text, REPLIES.c.reasoning]
    for key, said in _all(store, REPLIES, REPLIES.c.key, columns) if wanted else ():
        found |= set(key.filter(holding(said, wanted)))
    return _delete(store, REPLIES, REPLIES.c.key, found)


def forget_scores(store: Store, texts: Iterable[str]) -> int:
    """Delete the perplexities of these texts by the configured model; return how many."""
    model = settings().perplexity_model
    keys = {score_key(model, text, kind) for text in texts for kind in ("exact", "fast")}
    return _delete(store, PERPLEXITIES, PERPLEXITIES.c.key, keys)


def forget_reviews(store: Store, ids: Iterable[str], urls: Iterable[str], wanted: list[str]) -> dict[str, int]:
    """Remove records from the review queues, by id, URL and words, and delete the verdicts on them."""
    records = set(ids)
    for record, said in _all(store, REVIEW_QUEUE, REVIEW_QUEUE.c.record, [REVIEW_QUEUE.c.text]) if wanted else ():
        records |= set(record.filter(holding(said, wanted)))
    closed = close(store, records, urls)
    return {"review_queue": closed, "reviews": _delete(store, REVIEWS, REVIEWS.c.record, records)}


def ask_again(store: Store, urls: Iterable[str]) -> None:
    """Have the next crawl fetch pages anew whose stored bytes were removed with the words."""
    names = sorted(set(urls))
    fresh = {"etag": None, "last_modified": None, "content": None, "due": today()}
    with store.engine.begin() as connection:
        for start in range(0, len(names), AT_A_TIME):
            named = PAGES.c.url.in_(names[start : start + AT_A_TIME])
            connection.execute(update(PAGES).where(named).values(**fresh))


def forget_reasons(store: Store, names: Iterable[str], said: str) -> int:
    """Overwrite the recorded reason of takedowns, and who asked for them; return how many."""
    every, changed = sorted(set(names)), 0
    with store.engine.begin() as connection:
        for start in range(0, len(every), AT_A_TIME):
            named = TAKEDOWNS.c.target.in_(every[start : start + AT_A_TIME])
            changed += connection.execute(update(TAKEDOWNS).where(named).values(reason=said)).rowcount
    return changed


def vacuum(store: Store) -> None:
    """Rewrite the store's file, so that nothing is left in its free pages. Raises UserError if it is in use."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            if store.engine.dialect.name == "sqlite":
                connection.execute(text("vacuum"))
                busy = connection.execute(text("pragma wal_checkpoint(truncate)")).one()[0]
                if busy:
                    raise UserError(
                        "the store is being used, and its journal cannot be emptied now; what was asked for is done, "
                        "but old pages of the store are still on the disk: run the same again when no stage runs"
                    )
                return
            for table in (REPLIES, PERPLEXITIES, REVIEW_QUEUE, REVIEWS, TAKEDOWNS, PAGES):
                connection.execute(text(f"vacuum full {table.name}"))
        except OperationalError as error:
            said = str(error.orig).splitlines()[0]
            raise UserError(
                f"the store cannot be written anew now ({said}); run the same again when no stage runs"
            ) from None


def _all(store: Store, table: Table, key, columns: list[Any]) -> Iterator[tuple[pl.Series, pl.Series]]:
    """Yield a table's keys and texts in batches, ordered by key."""
    last = ""
    while True:
        query = select(key, *columns).where(key > last).order_by(key).limit(READ)
        with store.engine.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        words = ["\n".join(str(said) for said in row[1:] if said) for row in rows]
        yield pl.Series([row[0] for row in rows], dtype=pl.String), pl.Series(words, dtype=pl.String)
        last = rows[-1][0]


def _delete(store: Store, table: Table, column, keys: Iterable[str]) -> int:
    names, gone = sorted(set(keys)), 0
    with store.engine.begin() as connection:
        for start in range(0, len(names), AT_A_TIME):
            gone += connection.execute(delete(table).where(column.in_(names[start : start + AT_A_TIME]))).rowcount
    return gone
