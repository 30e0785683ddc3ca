"""The frontier: which pages of a site are known, and which of them a crawl still wants (the store's `pages`).

A page is wanted by a crawl as long as its row's `queued` names the crawl. What a list page showed and that the list
page itself is done are written in this order, so a kill loses nothing and repeats only what was in flight. A page
belongs to the week of its own day, whichever crawl fetched it.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from sqlalchemy import ColumnElement, and_, bindparam, case, func, insert, or_, select, tuple_, update

from chimed.crawl import walks
from chimed.crawl.plan import Plan
from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources.page import Link, Site
from chimed.storage import layout
from chimed.storage.states import ANSWERED, FAILED, FORBIDDEN, GONE, REFUSED, UNANSWERED, UNTOLD, today
from chimed.storage.store import CRAWLS, PAGES, TAKEDOWNS, WALKS, Store, find, upsert
from chimed.storage.takedowns import takedowns

P, C = PAGES.c, CRAWLS.c
AT_A_TIME = 500  # SQLite's limit on bound parameters
LONGEST_URL = 2048


def due(by: date) -> ColumnElement[bool]:
    """Rows of `pages` that are to be asked again on that day, or were to be before."""
    days = settings().recheck_days
    if days is None:
        return and_(P.state.is_not(None), P.due <= by)
    moment = datetime.now(UTC) + (by - today()) - timedelta(days)
    return or_(and_(P.state.in_((*UNTOLD, FORBIDDEN)), P.due <= by), and_(P.state.is_not(None), P.fetched < moment))


def pace(site: Site) -> float:
    """Seconds between two requests to a site: of a replica, as agreed with its owner, or as its file says. What its
    robots.txt asks for is never undercut (`spider`)."""
    if settings().replica:
        return settings().replica_delay
    return settings().pace.get(site.name, site.delay)


def most_again(delay: float) -> int | None:
    """How many known pages a crawl asks for again at this pace; None where there is no pace."""
    return round(settings().recheck_hours * 3600 / delay) if delay else None


def begin(store: Store, plan: Plan, most_again: int | None = None) -> None:
    """Queues where the crawl's lists go on and the known pages it wants. Safe to repeat: done pages stay done.

    refresh: pages known and never asked for, and those due to be asked again, `most_again` of them at most; full:
    every known page. Raises UserError for a source taken down.
    """
    if plan.site.name in takedowns(store).sources:
        raise UserError(f"{plan.site.name} was taken down and is not crawled any more")
    _open_crawl(store, plan)
    everything = plan.mode == "full" and not plan.dated
    for start in plan.starts:
        where: str | None = start
        if plan.site.newest_first and not everything:
            where = walks.begin(store, plan.site.name, start, plan.crawl, plan.since, plan.until)
        if where:
            queue_list(store, plan, where, start)
    here = [P.source == plan.site.name, P.kind == "detail", P.url.not_in(select(TAKEDOWNS.c.target))]
    here += [P.start.in_(plan.starts)] if plan.sections else []
    others = or_(P.crawl.is_(None), P.crawl != plan.crawl)
    late = [and_(P.published >= since, P.published < until) for since, until in taken_days(store, plan)]
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


def _open_crawl(store: Store, plan: Plan) -> None:
    fresh = dict.fromkeys(("requests", "bytes", "unchanged", "off_site", "seconds", "attempts", "blocked"), 0)
    asked_for = {"since": plan.since, "until": plan.until, "part": bool(plan.sections or plan.max_pages)}
    mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
    with store.engine.begin() as connection:
        if not connection.execute(select(C.crawl).where(mine)).first():
            connection.execute(insert(CRAWLS).values(source=plan.site.name, crawl=plan.crawl, begun=today(), **fresh))
        connection.execute(update(CRAWLS).where(mine).values(attempts=C.attempts + 1, **asked_for))


def taken_days(store: Store, plan: Plan) -> list[tuple[date, date]]:
    """Days [since, until) that other crawls have taken: what is listed of them later none of theirs will ask for."""
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


def _queue_due(store: Store, plan: Plan, here: list[ColumnElement[bool]], most: int | None) -> None:
    """Queues what is due: what could not be had first, then open questions, then what may be gone, then the rest."""
    again = due(today())
    if settings().recheck_days is not None:  # else a second attempt would ask again for what the first one had
        again = and_(again, or_(P.state.in_(UNTOLD), P.crawl.is_(None), P.crawl != plan.crawl))
    free = or_(P.queued.is_(None), P.queued != plan.crawl)
    rank = case({REFUSED: 0, FAILED: 0, FORBIDDEN: 0, UNANSWERED: 1, GONE: 2}, value=P.state, else_=3)
    with store.engine.begin() as connection:
        under_way = select(func.count()).select_from(PAGES).where(*here, P.queued == plan.crawl, P.state.is_not(None))
        room = None if most is None else max(0, most - connection.execute(under_way).scalar_one())
        query = select(P.url).where(*here, again, free).order_by(rank, P.due, P.url).limit(room)
        urls = list(connection.execute(query).scalars())
        for place in range(0, len(urls), AT_A_TIME):
            some = P.url.in_(urls[place : place + AT_A_TIME])
            connection.execute(update(PAGES).where(some).values(queued=plan.crawl))


def take_up(store: Store, plan: Plan) -> None:
    """A crawl that was done before its days were over goes on: its lists are walked anew."""
    lists = and_(P.source == plan.site.name, P.kind == "list")
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(lists, P.crawl == plan.crawl).values(crawl=None))
        connection.execute(update(PAGES).where(lists, P.queued == plan.crawl).values(queued=None))
        walked = and_(WALKS.c.source == plan.site.name, WALKS.c.crawl == plan.crawl)
        connection.execute(update(WALKS).where(walked).values(crawl="", shown=None))


def queue_list(store: Store, plan: Plan, url: str, start: str, found_on: str | None = None) -> None:
    """Queues one list page, known or not."""
    row = find(store, PAGES, [url]).get(url)
    if row and row["crawl"] == plan.crawl and row["queued"] is None and url != start:
        return  # seen by this crawl already
    new = {"url": url, "source": plan.site.name, "kind": "list", "first_seen": datetime.now(UTC), "found_on": found_on}
    kept = {name: row[name] for name in new} if row else new
    upsert(store, PAGES, [{**kept, "start": start, "queued": plan.crawl}])


def add(
    store: Store, plan: Plan, links: Iterable[Link], found_on: str | None, start: str | None = None
) -> dict[str, dict]:
    """Writes what a list page showed and queues what the crawl wants of it; returns the rows known before, by URL."""
    gone, source = takedowns(store), plan.site.name
    shown = {link.url: link for link in links if len(link.url) <= LONGEST_URL and not gone.holds(link.url, source)}
    known = find(store, PAGES, shown)
    now, rows, taken = datetime.now(UTC), [], taken_days(store, plan)

    def wants(day: date | None) -> bool:
        return plan.wants(day) or any(since <= day < until for since, until in taken if day)

    for url, link in shown.items():
        row = known.get(url)
        day: date | None = link.published
        if row and (day is None or row["fetched"]):  # the page's own day is the one that counts
            day = row["published"] or day
        if row and row["queued"] == plan.crawl and day == row["published"]:
            continue  # nothing new; and another process may have settled it by now
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
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        connection.execute(update(CRAWLS).where(mine).values({name: C[name] + n for name, n in counted.items()}))


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


def let_go(store: Store, url: str) -> None:
    """A list page that is not walked to after all."""
    with store.engine.begin() as connection:
        connection.execute(update(PAGES).where(P.url == url).values(queued=None))


def one_answered(store: Store, plan: Plan, but: Iterable[str]) -> dict | None:
    """The row of a page that gave records when it was asked last, the latest one; what a block is told by."""
    with store.engine.connect() as connection:
        query = select(PAGES).where(P.source == plan.site.name, P.kind == "detail", P.state == ANSWERED)
        query = query.where(P.url.not_in(list(but)), P.url.not_in(select(TAKEDOWNS.c.target)))
        row = connection.execute(query.order_by(P.fetched.desc()).limit(1)).mappings().first()
        return dict(row) if row else None


def requeue_lost(store: Store, plan: Plan, there: Callable[[str], bool]) -> int:
    """Queues again the pages whose bytes a killed attempt did not bring into the lake; returns how many.

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
