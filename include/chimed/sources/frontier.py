"""The frontier: which pages of a site are known, and which of them a crawl still wants (the store's `pages`).

A page is wanted by a crawl as long as its row's `queued` names the crawl. What a list page showed and that the list
page itself is done are written in one transaction, so a kill loses nothing and repeats only what was in flight.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, or_, select, tuple_, update

from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources.page import Link, Site
from chimed.store import CRAWLS, PAGES, Store, find, upsert
from chimed.takedowns import takedowns

P = PAGES.c
FORBIDDEN = "forbidden by robots.txt"


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

    def wants(self, published: date | None) -> bool:
        """Whether a page of that day belongs to the crawl; one whose day is not known yet does."""
        if not self.dated or published is None:
            return True
        return (self.since is None or published >= self.since) and (self.until is None or published < self.until)

    def within(self) -> ColumnElement[bool]:
        """`wants` for rows whose day is known, in SQL; every row where the crawl has no dated interval."""
        if not self.dated:
            return P.url.is_not(None)
        bounds = [P.published >= self.since] if self.since else []
        return and_(P.published.is_not(None), *bounds, *([P.published < self.until] if self.until else []))

    def recheck_before(self) -> datetime:
        """Pages fetched before this are asked for again."""
        days = settings().recheck_days
        return datetime.now(UTC) - timedelta(days=self.site.recheck if days is None else days)


def begin(store: Store, plan: Plan) -> None:
    """Queues where the crawl's lists begin and the known pages it wants. Safe to repeat: done pages stay done.

    refresh: pages known and never fetched, and those due for a re-check; full: every known page. A crawl without a
    dated interval also takes over the lists that an abandoned one left. Raises UserError for a source taken down.
    """
    if plan.site.name in takedowns(store).sources:
        raise UserError(f"{plan.site.name} was taken down: it is not crawled any more")
    names = plan.sections or tuple(plan.site.sections)
    starts = [Link(plan.site.canonical(url), "list") for name in names for url in plan.site.sections[name]]
    add(store, plan, starts, found_on=None)
    fresh = {"requests": 0, "bytes": 0, "unchanged": 0, "off_site": 0, "seconds": 0.0, "attempts": 0}
    with store.engine.begin() as connection:
        mine = and_(CRAWLS.c.source == plan.site.name, CRAWLS.c.crawl == plan.crawl)
        if not connection.execute(select(CRAWLS.c.crawl).where(mine)).first():
            connection.execute(insert(CRAWLS).values(source=plan.site.name, crawl=plan.crawl, **fresh))
        connection.execute(update(CRAWLS).where(mine).values(attempts=CRAWLS.c.attempts + 1))
    if plan.sections:
        return
    mine = and_(P.source == plan.site.name, or_(P.crawl.is_(None), P.crawl != plan.crawl))
    ripe = or_(P.fetched.is_(None), P.fetched < plan.recheck_before())
    due = ripe if plan.mode == "refresh" else P.url.is_not(None)
    with store.engine.begin() as connection:
        details = update(PAGES).where(mine, P.kind == "detail", due, plan.within())
        connection.execute(details.values(queued=plan.crawl))
        if not plan.dated:
            left = update(PAGES).where(mine, P.kind == "list", P.queued.is_not(None))
            connection.execute(left.values(queued=plan.crawl))


def add(store: Store, plan: Plan, links: Iterable[Link], found_on: str | None) -> None:
    """Writes what the list page `found_on` showed and queues what the crawl wants of it; further lists only where the
    walk goes on."""
    gone, source = takedowns(store), plan.site.name
    shown = {link.url: link for link in links if len(link.url) <= 2048 and not gone.holds(link.url, source)}
    known = find(store, PAGES, shown)
    now, due, rows = datetime.now(UTC), plan.recheck_before(), []
    walks_on = _walks_on(plan, [(link, known.get(url)) for url, link in shown.items() if link.kind == "detail"])
    for url, link in shown.items():
        row = known.get(url)
        if link.kind == "list" and not walks_on:
            continue
        if row and row["queued"] == plan.crawl and link.published in (None, row["published"]):
            continue  # nothing new; and another process may have settled it by now
        if row is None:
            wanted = plan.wants(link.published)
        else:
            fetched = _utc(row["fetched"])
            day = link.published or row["published"]
            ripe = link.kind == "list" or plan.mode == "full" or fetched is None or fetched < due
            wanted = row["crawl"] != plan.crawl and ripe and plan.wants(day)
        rows.append(
            {
                "url": url,
                "source": plan.site.name,
                "kind": row["kind"] if row else link.kind,
                "first_seen": row["first_seen"] if row else now,
                "published": link.published or (row and row["published"]),
                "queued": plan.crawl if wanted else (row and row["queued"]),
                "found_on": row["found_on"] if row else found_on,
            }
        )
    upsert(store, PAGES, rows)


def _walks_on(plan: Plan, details: list[tuple[Link, dict | None]]) -> bool:
    """A dated list is walked while it may still hold a day of the interval; without one, until known ground: a page
    that shows only what an earlier crawl has fetched."""
    if not plan.site.newest_first or (plan.mode == "full" and not plan.dated):
        return True
    if plan.dated:
        days = [link.published for link, _ in details if link.published]
        return not (plan.since and days and max(days) < plan.since)
    return not details or not all(row and row["fetched"] and row["crawl"] != plan.crawl for _, row in details)


def take(store: Store, plan: Plan, kind: str, but: set[str], most: int = 200, after: dict | None = None) -> list[dict]:
    """Rows of `pages` that the crawl still wants, oldest first, without the URLs in `but`; only from `after` on."""
    with store.engine.connect() as connection:
        query = select(PAGES).where(P.source == plan.site.name, P.queued == plan.crawl, P.kind == kind)
        if after:
            query = query.where(tuple_(P.first_seen, P.url) > (after["first_seen"], after["url"]))
        rows = connection.execute(query.order_by(P.first_seen, P.url).limit(most))
        return [dict(row) for row in rows.mappings() if row["url"] not in but]


def settle(store: Store, plan: Plan, pages: list[dict], counted: dict[str, float]) -> None:
    """Marks pages as done by this crawl, and adds to its counts, in one transaction.

    pages: `url` and the columns of `pages` to set. counted: columns of `crawls` and what is added to each.
    """
    with store.engine.begin() as connection:
        for _, some in groupby(pages, key=tuple):  # by the columns they set
            rows = [{"at": page["url"], "queued": None, "crawl": plan.crawl, **page} for page in some]
            connection.execute(update(PAGES).where(P.url == bindparam("at")), rows)
        mine = and_(CRAWLS.c.source == plan.site.name, CRAWLS.c.crawl == plan.crawl)
        connection.execute(update(CRAWLS).where(mine).values({name: CRAWLS.c[name] + n for name, n in counted.items()}))


def counted(store: Store, plan: Plan) -> dict:
    """The crawl's counts over all its attempts: columns of `crawls`."""
    with store.engine.connect() as connection:
        query = select(CRAWLS).where(CRAWLS.c.source == plan.site.name, CRAWLS.c.crawl == plan.crawl)
        return dict(connection.execute(query).mappings().one())


def write_as(store: Store, url: str, kind: str) -> None:
    """A page is of the other kind than its address led to expect."""
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(P.url == url).values(kind=kind))


def unread(store: Store, plan: Plan) -> dict[str, dict]:
    """Rows of detail pages that the crawl still wants, and of those it has whose reading was a miss, by URL."""
    missed = and_(P.crawl == plan.crawl, P.status == 200, P.miss.is_not(None), P.page.is_not(None))
    with store.engine.connect() as connection:
        query = select(PAGES).where(P.source == plan.site.name, P.kind == "detail")
        rows = connection.execute(query.where(or_(P.queued == plan.crawl, missed)))
        return {row["url"]: dict(row) for row in rows.mappings()}


def want_again(store: Store, plan: Plan, urls: list[str]) -> None:
    """Queues pages once more: a site that is down says nothing about them."""
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(P.url.in_(urls)).values(queued=plan.crawl, crawl=None, miss=None))


def not_had(store: Store, plan: Plan) -> list[str]:
    """URLs of the crawl's detail pages that could not be had, as the site or the network was."""
    had = and_(P.status.is_not(None), P.status < 500, P.status.not_in((401, 403, 408)))
    with store.engine.connect() as connection:
        query = select(P.url).where(P.source == plan.site.name, P.crawl == plan.crawl, P.kind == "detail")
        return list(connection.execute(query.where(P.miss.is_not(None), P.miss != FORBIDDEN, ~had)).scalars())


def silent_sections(store: Store, plan: Plan, reason: str) -> list[str]:
    """First lists of sections that showed pages once and show none in this crawl (`reason` is their miss)."""
    other = PAGES.alias("other")
    shown = select(other.c.url).where(other.c.found_on == P.url).exists()
    with store.engine.connect() as connection:
        query = select(P.url).where(P.source == plan.site.name, P.crawl == plan.crawl, P.kind == "list")
        return list(connection.execute(query.where(P.miss == reason, P.found_on.is_(None), shown)).scalars())


def let_go(store: Store, url: str, published: date | None = None) -> None:
    """A page that turned out not to belong to this crawl: known, not fetched, for the crawl of its own days."""
    with store.engine.begin() as connection:
        day = {"published": published} if published else {}
        connection.execute(update(PAGES).where(P.url == url).values(queued=None, **day))


def newest_on(store: Store, found_on: str) -> date | None:
    """The newest day among the pages that a list page showed first; None where no day is known."""
    with store.engine.connect() as connection:
        query = select(func.max(P.published)).where(P.found_on == found_on, P.kind == "detail")
        return connection.execute(query).scalar()


def waiting(store: Store, plan: Plan) -> int:
    """How many pages the crawl still wants."""
    return _count(store, P.source == plan.site.name, P.queued == plan.crawl)


def asked(store: Store, plan: Plan) -> int:
    """How many detail pages the crawl has settled by asking the site."""
    said = or_(P.miss.is_(None), P.miss != FORBIDDEN)
    return _count(store, P.source == plan.site.name, P.crawl == plan.crawl, P.kind == "detail", said)


def _count(store: Store, *conditions: ColumnElement[bool]) -> int:
    with store.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(PAGES).where(*conditions)).scalar_one()


def tally(store: Store, plan: Plan) -> dict:
    """What became of the crawl's detail pages: fetched, not_modified, misses by reason; also lists walked."""
    with store.engine.connect() as connection:
        query = select(P.kind, P.status, P.miss, func.count()).where(P.source == plan.site.name, P.crawl == plan.crawl)
        rows = connection.execute(query.group_by(P.kind, P.status, P.miss)).all()
        query = select(P.url).where(
            P.source == plan.site.name, P.crawl == plan.crawl, P.kind == "list", P.status == 200
        )
        empty = list(connection.execute(query.where(P.miss.is_not(None)).order_by(P.url)).scalars())
    details = [(status, miss, count) for kind, status, miss, count in rows if kind == "detail"]
    misses: dict[str, int] = {}
    for _, miss, count in details:
        if miss:
            misses[miss] = misses.get(miss, 0) + count
    return {
        "lists": sum(count for kind, _, _, count in rows if kind == "list"),
        "lists_missed": sum(count for kind, _, miss, count in rows if kind == "list" and miss),
        "empty_lists": empty,
        "fetched": sum(count for status, _, count in details if status == 200),
        "not_modified": sum(count for status, _, count in details if status == 304),
        "misses": dict(sorted(misses.items())),
    }


def requeue_lost(store: Store, plan: Plan, there: Callable[[str], bool]) -> int:
    """Queues again the pages whose bytes a killed attempt did not bring into the lake; returns how many.

    there: whether a page's place is in the lake.
    """
    with store.engine.connect() as connection:
        query = select(P.url, P.page).where(
            P.source == plan.site.name, P.crawl == plan.crawl, P.page.like(f"raw/{plan.site.name}/{plan.crawl}/%")
        )
        lost = [url for url, page in connection.execute(query) if not there(page)]
    with store.engine.begin() as connection:
        for url in lost:
            again = update(PAGES).where(P.url == url)
            connection.execute(again.values(queued=plan.crawl, crawl=None, fetched=None, page=None, content=None))
    return len(lost)


def _utc(moment: datetime | None) -> datetime | None:
    """SQLite gives times back without their zone; they are UTC."""
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
