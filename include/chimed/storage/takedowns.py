"""Read takedowns: pages, rows of corpora and sources that are excluded from every build (the store's `takedowns`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from chimed.storage.store import Store
from chimed.storage.store_tables import PAGES, TAKEDOWNS

CORPUS_ROW_PREFIX = "corpus:"  # how the URL of a corpus's row begins
COLUMNS = ("url", "source", "page", "also_from")  # that `Takedowns.rows` reads

if TYPE_CHECKING:  # a crawl asks for URLs only
    import polars as pl


@dataclass(frozen=True)
class Takedowns:
    """Canonical URLs of pages and corpus rows (`corpus:<name>/<hash>`), names of sources, and places of rows
    (`raw/…#…`).
    """

    urls: frozenset[str]
    sources: frozenset[str]
    places: frozenset[str] = frozenset()

    def holds(self, url: str, source: str) -> bool:
        """Return whether a page was taken down."""
        return url in self.urls or source in self.sources

    def rows(self) -> pl.Expr:
        """Return an expression: whether a row with `COLUMNS` comes from what was taken down.

        By its own page, or by that of another row that it was made from, too.
        """
        import polars as pl

        names = {"url": self.urls, "source": self.sources, "page": self.places}
        own = [pl.col(column).is_in(sorted(gone)) for column, gone in names.items()]
        one = pl.element().struct
        others = [one.field(column).is_in(sorted(gone)) for column, gone in names.items()]
        also = pl.col("also_from").list.eval(pl.any_horizontal(others)).list.any().fill_null(False)
        return pl.any_horizontal(*own, also)


def readable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table for `Takedowns.rows`: one that was written before there was `also_from` has it, null."""
    import polars as pl

    from chimed.schema import RECORD_COLUMNS

    if "also_from" in frame.columns:
        return frame
    return frame.with_columns(pl.lit(None, RECORD_COLUMNS["also_from"]).alias("also_from"))


def read_takedowns(store: Store) -> Takedowns:
    """Return all takedowns of a store."""
    with store.engine.connect() as connection:
        return parse_targets(connection.execute(select(TAKEDOWNS.c.target)).scalars().all())


def is_gone_for_good(store: Store) -> pl.Expr:
    """Return an expression: whether a row's page is gone for good (`storage.states`).

    That is so if two responses, ten days or more apart, said that it is gone.
    """
    import polars as pl

    from chimed.storage.states import GONE, GONE_CONFIRM_DAYS, day_of

    named = PAGES.c
    query = select(named.url, named.since, named.fetched).where(named.state == GONE, named.kind == "detail")
    with store.engine.connect() as connection:
        rows = connection.execute(query.where(named.since.is_not(None), named.fetched.is_not(None))).all()
    urls = [url for url, since, asked in rows if (day_of(_utc(asked)) - since).days >= GONE_CONFIRM_DAYS]
    return pl.col("url").is_in(urls)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_targets(targets: Iterable[str]) -> Takedowns:
    """Return the takedowns of these URLs, names of sources, and places."""
    names = frozenset(targets)
    urls = frozenset(name for name in names if "://" in name or name.startswith(CORPUS_ROW_PREFIX))
    places = frozenset(name for name in names if name.startswith("raw/"))
    return Takedowns(urls, names - urls - places, places)
