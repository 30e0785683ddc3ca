"""Keep the frontier: the known pages of a site, and which of them a crawl still wants (the store's `pages`).

A crawl wants a page as long as `queued` in the page's row names the crawl. The links of a list page are written before
the list page is marked as done, so a kill loses nothing and repeats only the requests in flight. A page belongs to the
week of its own publication day, whichever crawl fetched it.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, func, insert, or_, select, tuple_, update

from chimed.crawl import walks
from chimed.crawl.plan import CrawlPlan
from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources.page import Link, Site
from chimed.storage import layout
from chimed.storage.states import ANSWERED, FAILED, FORBIDDEN, GONE, REFUSED, UNANSWERED, UNKNOWN_STATES, today
from chimed.storage.store import Store, find, upsert
from chimed.storage.store_tables import CRAWLS, PAGES, TAKEDOWNS, WALKS
from chimed.storage.takedowns import read_takedowns

P, C = PAGES.c, CRAWLS.c
MAX_BOUND_PARAMETERS = 500  # SQLite's limit on bound parameters
MAX_URL_LENGTH = 2048


def is_due(by: date) -> ColumnElement[bool]:
    """Return a condition on rows of `pages`: due for a recheck on or before the day `by`."""
    days = settings().recheck_days
    if days is None:
        return and_(P.state.is_not(None), P.due <= by)
    moment = datetime.now(UTC) + (by - today()) - timedelta(days)
    return or_(
        and_(P.state.in_((*UNKNOWN_STATES, FORBIDDEN)), P.due <= by), and_(P.state.is_not(None), P.fetched < moment)
    )


def request_delay(site: Site) -> float:
    """Return the seconds between two requests: of the replica, as agreed with the site's owner, or from the site's
    file.

    A longer delay in the site's robots.txt always takes precedence (`spider`).
    """
    if settings().replica:
        return settings().replica_delay
    return settings().pace.get(site.name, site.delay)


def max_rechecks(delay: float) -> int | None:
    """Return how many known pages a crawl rechecks at this pace; None without a pace."""
    return round(settings().recheck_hours * 3600 / delay) if delay else None


def begin(store: Store, plan: CrawlPlan, most_again: int | None = None) -> None:
    """Queue the crawl's first list pages and the known pages it wants. Can be repeated: pages that are done stay done.

    refresh: pages that were never requested, and at most `most_again` of those due for a recheck. full: every known
    page. Raises UserError for a source that was taken down.
    """
    if plan.site.name in read_takedowns(store).sources:
        raise UserError(f"{plan.site.name} was taken down, so it is not crawled any more")
    _open_crawl(store, plan)
    everything = plan.mode == "full" and not plan.dated
    for start in plan.starts:
        where: str | None = start
        if plan.site.newest_first and not everything:
            where = walks.begin_walk(store, plan.site.name, start, plan.crawl, plan.since, plan.until)
        if where:
            queue_list(store, plan, where, start)
    here = [P.source == plan.site.name, P.kind == "detail", P.url.not_in(select(TAKEDOWNS.c.target))]
    here += [P.start.in_(plan.starts)] if plan.sections else []
    others = or_(P.crawl.is_(None), P.crawl != plan.crawl)
    late = [and_(P.published >= since, P.published < until) for since, until in days_of_other_crawls(store, plan)]
    never = and_(P.state.is_(None), or_(plan.within(), *late))
    wanted = and_(others, plan.within()) if plan.mode == "full" else never
    with store.engine.begin() as connection:
        if not (plan.sections and plan.mode == "full"):
            connection.execute(update(PAGES).where(*here, wanted).values(queued=plan.crawl))
        if not plan.site.newest_first and not plan.sections:
            left = and_(P.source == plan.site.name, others, P.kind == "list", P.queued.is_not(None))
            connection.execute(update(PAGES).where(left).values(queued=plan.crawl))
    if plan.mode == "refresh":
        _queue_due(store, plan, here, most_again)


def _open_crawl(store: Store, plan: CrawlPlan) -> None:
    fresh = dict.fromkeys(("requests", "bytes", "unchanged", "off_site", "seconds", "attempts", "blocked"), 0)
    asked_for = {"since": plan.since, "until": plan.until, "part": bool(plan.sections or plan.max_pages)}
    mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
    with store.engine.begin() as connection:
        if not connection.execute(select(C.crawl).where(mine)).first():
            connection.execute(insert(CRAWLS).values(source=plan.site.name, crawl=plan.crawl, begun=today(), **fresh))
        connection.execute(update(CRAWLS).where(mine).values(attempts=C.attempts + 1, **asked_for))


def days_of_other_crawls(store: Store, plan: CrawlPlan) -> list[tuple[date, date]]:
    """Return the days [since, until) of finished crawls.

    Pages of these days that are listed later belong to this crawl.
    """
    if not plan.dated:
        return []
    with store.engine.connect() as connection:
        done = and_(C.source == plan.site.name, C.crawl != plan.crawl, C.finished.is_not(None), C.until.is_not(None))
        rows = list(connection.execute(select(C.since, C.until).where(done).distinct().order_by(C.until)))
    found: list[tuple[date, date]] = []
    for since, until in sorted((since or date.min, until) for since, until in rows):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(until, found[-1][1])
        else:
            found.append((since, until))
    return found


def _queue_due(store: Store, plan: CrawlPlan, here: list[ColumnElement[bool]], most: int | None) -> None:
    """Queue due pages in this order: refused or failed, open questions, possibly gone, then the rest."""
    again = is_due(today())
    if settings().recheck_days is not None:  # otherwise a second attempt would request again what the first one fetched
        again = and_(again, or_(P.state.in_(UNKNOWN_STATES), P.crawl.is_(None), P.crawl != plan.crawl))
    free = or_(P.queued.is_(None), P.queued != plan.crawl)
    rank = case({REFUSED: 0, FAILED: 0, FORBIDDEN: 0, UNANSWERED: 1, GONE: 2}, value=P.state, else_=3)
    with store.engine.begin() as connection:
        under_way = select(func.count()).select_from(PAGES).where(*here, P.queued == plan.crawl, P.state.is_not(None))
        room = None if most is None else max(0, most - connection.execute(under_way).scalar_one())
        query = select(P.url).where(*here, again, free).order_by(rank, P.due, P.url).limit(room)
        urls = list(connection.execute(query).scalars())
        for place in range(0, len(urls), MAX_BOUND_PARAMETERS):
            some = P.url.in_(urls[place : place + MAX_BOUND_PARAMETERS])
            connection.execute(update(PAGES).where(some).values(queued=plan.crawl))


def reopen(store: Store, plan: CrawlPlan) -> None:
    """Reopen a crawl that finished before its interval was over: its lists are walked again."""
    lists = and_(P.source == plan.site.name, P.kind == "list")
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(lists, P.crawl == plan.crawl).values(crawl=None))
        connection.execute(update(PAGES).where(lists, P.queued == plan.crawl).values(queued=None))
        walked = and_(WALKS.c.source == plan.site.name, WALKS.c.crawl == plan.crawl)
        connection.execute(update(WALKS).where(walked).values(crawl="", shown=None))


def queue_list(store: Store, plan: CrawlPlan, url: str, start: str, found_on: str | None = None) -> None:
    """Queue one list page, known or not."""
    row = find(store, PAGES, [url]).get(url)
    if row and row["crawl"] == plan.crawl and row["queued"] is None and url != start:
        return  # seen by this crawl already
    new = {"url": url, "source": plan.site.name, "kind": "list", "first_seen": datetime.now(UTC), "found_on": found_on}
    kept = {name: row[name] for name in new} if row else new
    upsert(store, PAGES, [{**kept, "start": start, "queued": plan.crawl}])


def add_links(
    store: Store, plan: CrawlPlan, links: Iterable[Link], found_on: str | None, start: str | None = None
) -> dict[str, dict[str, Any]]:
    """Write the links of a list page and queue those the crawl wants; return the rows known before, by URL."""
    gone, source = read_takedowns(store), plan.site.name
    shown = {link.url: link for link in links if len(link.url) <= MAX_URL_LENGTH and not gone.holds(link.url, source)}
    known = find(store, PAGES, shown)
    now, rows, taken = datetime.now(UTC), [], days_of_other_crawls(store, plan)

    def wants(day: date | None) -> bool:
        return plan.wants(day) or any(since <= day < until for since, until in taken if day)

    for url, link in shown.items():
        row = known.get(url)
        day: date | None = link.published
        if row and (day is None or row["fetched"]):  # the day on the page itself takes precedence
            day = row["published"] or day
        if row and row["queued"] == plan.crawl and day == row["published"]:
            continue  # nothing new; another process may have recorded it meanwhile
        if row is None:
            wanted = wants(day)
        elif row["crawl"] == plan.crawl:
            wanted = False
        else:
            wanted = (
                link.kind == "list"
                or (row["state"] is None and wants(day))
                or (plan.mode == "full" and plan.wants(day))
            )
        rows.append(
            {
                "url": url,
                "source": source,
                "kind": row["kind"] if row else link.kind,
                "first_seen": row["first_seen"] if row else now,
                "published": day,
                "queued": plan.crawl if wanted else (row and row["queued"]),
                "found_on": row["found_on"] if row else found_on,
                "start": (row and row["start"]) or start,
            }
        )
    upsert(store, PAGES, rows)
    return known


def queued_rows(
    store: Store, plan: CrawlPlan, kind: str, but: set[str], most: int = 200, after: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return rows of `pages` that the crawl still wants, oldest first, without the URLs in `but` and only after
    `after`.
    """
    with store.engine.connect() as connection:
        query = select(PAGES).where(P.source == plan.site.name, P.queued == plan.crawl, P.kind == kind)
        if after:
            query = query.where(tuple_(P.first_seen, P.url) > (after["first_seen"], after["url"]))
        rows = connection.execute(query.order_by(P.first_seen, P.url).limit(most))
        return [dict(row) for row in rows.mappings() if row["url"] not in but]


def record_results(store: Store, plan: CrawlPlan, pages: list[dict[str, Any]], counted: dict[str, float]) -> None:
    """Mark pages as done by this crawl and add to its counters, in one transaction.

    pages: `url` and the columns of `pages` to set. counted: columns of `crawls` and the amount to add to each.
    """
    with store.engine.begin() as connection:
        for _, some in groupby(pages, key=tuple):  # by the columns they set
            rows = [{"at": page["url"], "queued": None, "crawl": plan.crawl, **page} for page in some]
            connection.execute(update(PAGES).where(P.url == bindparam("at")), rows)
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        connection.execute(update(CRAWLS).where(mine).values({name: C[name] + n for name, n in counted.items()}))


def change_kind(store: Store, url: str, kind: str) -> None:
    """Change a page to the other kind (list or detail) than its address suggested."""
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(P.url == url).values(kind=kind))


def unread_rows(store: Store, plan: CrawlPlan) -> dict[str, dict[str, Any]]:
    """Return rows of detail pages, by URL, that the crawl still wants or that it fetched without getting a record."""
    missed = and_(P.crawl == plan.crawl, P.status == 200, P.miss.is_not(None), P.page.is_not(None))
    with store.engine.connect() as connection:
        query = select(PAGES).where(P.source == plan.site.name, P.kind == "detail")
        rows = connection.execute(query.where(or_(P.queued == plan.crawl, missed)))
        return {row["url"]: dict(row) for row in rows.mappings()}


def requeue(store: Store, plan: CrawlPlan, urls: list[str]) -> None:
    """Queue pages again, for example when the site was down and its answer says nothing about them."""
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(P.url.in_(urls)).values(queued=plan.crawl, crawl=None, miss=None))


def unqueue(store: Store, url: str) -> None:
    """Remove a list page from the queue: the walk does not go there."""
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(P.url == url).values(queued=None))


def find_answered(store: Store, plan: CrawlPlan, but: Iterable[str]) -> dict[str, Any] | None:
    """Return the row of the page that gave records most recently, to test for a block; None if there is none."""
    with store.engine.connect() as connection:
        query = select(PAGES).where(P.source == plan.site.name, P.kind == "detail", P.state == ANSWERED)
        query = query.where(P.url.not_in(list(but)), P.url.not_in(select(TAKEDOWNS.c.target)))
        row = connection.execute(query.order_by(P.fetched.desc()).limit(1)).mappings().first()
        return dict(row) if row else None


def requeue_lost(store: Store, plan: CrawlPlan, there: Callable[[str], bool]) -> int:
    """Queue pages again whose bytes a killed attempt did not upload to the lake; return how many.

    there: whether a page's place is in the lake.
    """
    with store.engine.connect() as connection:
        kept = P.page.like(layout.raw(plan.site.name, plan.crawl, "%"))
        lost = [
            url for url, page in connection.execute(select(P.url, P.page).where(plan.mine(kept))) if not there(page)
        ]
    forgotten = {"crawl": None, "fetched": None, "page": None, "content": None, "state": None}
    with store.engine.begin() as connection:
        for url in lost:
            connection.execute(update(PAGES).where(P.url == url).values(queued=plan.crawl, **forgotten))
    return len(lost)
