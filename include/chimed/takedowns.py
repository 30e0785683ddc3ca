"""What was taken down: pages, rows of corpora, and sources, which leave every build (the store's `takedowns`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from chimed.store import TAKEDOWNS, Store

ROW = "corpus:"  # how the URL of a corpus's row begins

if TYPE_CHECKING:  # a crawl asks for URLs only
    import polars as pl


@dataclass(frozen=True)
class Takedowns:
    """Canonical URLs of pages and of corpora's rows (`corpus:<name>/<hash>`), names of whole sources, and places of
    rows in corpora's files (`raw/…#…`)."""

    urls: frozenset[str]
    sources: frozenset[str]
    places: frozenset[str] = frozenset()

    def holds(self, url: str, source: str) -> bool:
        """Whether a page was taken down."""
        return url in self.urls or source in self.sources

    def rows(self) -> pl.Expr:
        """Whether a row with `url`, `source` and `page` stands on what was taken down."""
        import polars as pl

        names = {"url": self.urls, "source": self.sources, "page": self.places}
        return pl.any_horizontal(pl.col(column).is_in(sorted(gone)) for column, gone in names.items())


def takedowns(store: Store) -> Takedowns:
    """All takedowns of a store."""
    with store.engine.connect() as connection:
        return of(connection.execute(select(TAKEDOWNS.c.target)).scalars().all())


def of(targets: Iterable[str]) -> Takedowns:
    """Takedowns of these URLs, names of sources, and places."""
    names = frozenset(targets)
    urls = frozenset(name for name in names if "://" in name or name.startswith(ROW))
    places = frozenset(name for name in names if name.startswith("raw/"))
    return Takedowns(urls, names - urls - places, places)
