"""Define what a crawl wants from a site: days, lists and number of pages, also as conditions on the store's `pages`."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, and_, or_

from chimed.sources.page import Site
from chimed.storage.store_tables import PAGES

P = PAGES.c


@dataclass(frozen=True)
class CrawlPlan:
    """What a crawl wants. since, until: pages published in [since, until), if the site is dated."""

    site: Site
    crawl: str
    since: date | None = None
    until: date | None = None
    mode: str = "refresh"
    max_pages: int | None = None
    sections: tuple[str, ...] | None = None

    @property
    def dated(self) -> bool:
        """Whether the interval decides which pages belong to this crawl."""
        return self.site.newest_first and (self.since is not None or self.until is not None)

    @property
    def starts(self) -> list[str]:
        """First list pages of the crawl's sections."""
        names = self.sections or tuple(self.site.sections)
        return list(dict.fromkeys(self.site.canonical(url) for name in names for url in self.site.sections[name]))

    def wants(self, published: date | None) -> bool:
        """Return whether a page of that day belongs to the crawl; True while its day is unknown."""
        if not self.dated or published is None:
            return True
        return (self.since is None or published >= self.since) and (self.until is None or published < self.until)

    def within(self) -> ColumnElement[bool]:
        """Return `wants` as a condition on rows."""
        if not self.dated:
            return P.url.is_not(None)
        bounds = [P.published >= self.since] if self.since else []
        return or_(P.published.is_(None), and_(*bounds, *([P.published < self.until] if self.until else [])))

    def mine(self, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        """Return the condition for rows that this crawl has done."""
        return and_(P.source == self.site.name, P.crawl == self.crawl, *conditions)
