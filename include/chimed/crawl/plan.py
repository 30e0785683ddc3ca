"""What a crawl wants of a site: its days, its lists, how many pages; also as conditions on the store's `pages`."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, and_, or_

from chimed.sources.page import Site
from chimed.storage.store import PAGES

P = PAGES.c


@dataclass(frozen=True)
class Plan:
    """What a crawl wants. since/until: pages published in [since, until), where the site is dated."""

    site: Site
    crawl: str
    since: date | None = None
    until: date | None = None
    mode: str = "refresh"
    max_pages: int | None = None
    sections: tuple[str, ...] | None = None

    @property
    def dated(self) -> bool:
        """Whether the interval says which pages belong to this crawl."""
        return self.site.newest_first and (self.since is not None or self.until is not None)

    @property
    def starts(self) -> list[str]:
        """Where the lists of its sections begin."""
        names = self.sections or tuple(self.site.sections)
        return list(dict.fromkeys(self.site.canonical(url) for name in names for url in self.site.sections[name]))

    def wants(self, published: date | None) -> bool:
        """Whether a page of that day belongs to the crawl; one whose day is not known yet does."""
        if not self.dated or published is None:
            return True
        return (self.since is None or published >= self.since) and (self.until is None or published < self.until)

    def within(self) -> ColumnElement[bool]:
        """`wants` for rows, in SQL."""
        if not self.dated:
            return P.url.is_not(None)
        bounds = [P.published >= self.since] if self.since else []
        return or_(P.published.is_(None), and_(*bounds, *([P.published < self.until] if self.until else [])))

    def mine(self, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        """Rows of `pages` that this crawl has settled."""
        return and_(P.source == self.site.name, P.crawl == self.crawl, *conditions)
