"""Count the outcomes of a crawl, for its report and its checks, and record how its attempts ended (the store)."""

from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from chimed.crawl.plan import CrawlPlan
from chimed.storage.states import BY_ROBOTS, FORBIDDEN, GONE, NOWHERE, REFUSED, UNANSWERED
from chimed.storage.store import Store
from chimed.storage.store_tables import CRAWLS, PAGES

P, C = PAGES.c, CRAWLS.c
MAX_EARLIER_CRAWLS = 8  # crawls that a week is compared with


def count_queued(store: Store, plan: CrawlPlan) -> int:
    """Return how many pages the crawl still wants."""
    return _count(store, P.source == plan.site.name, P.queued == plan.crawl)


def count_requested(store: Store, plan: CrawlPlan) -> int:
    """Return how many detail pages of the crawl were decided by a request (not by robots.txt)."""
    return _count(store, plan.mine(P.kind == "detail", or_(P.miss.is_(None), P.miss != BY_ROBOTS)))


def _count(store: Store, *conditions: ColumnElement[bool]) -> int:
    with store.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(PAGES).where(*conditions)).scalar_one()


def count_outcomes(store: Store, plan: CrawlPlan) -> dict[str, Any]:
    """Return the crawl's outcomes as counts.

    Keys: lists, lists_missed; empty_lists (URLs); fetched, not_modified; misses, refused (reason → pages); states
    (state → pages); of_its_days (known pages of its interval, whichever crawl fetched them) and of_other_days (pages it
    fetched for other weeks), both 0 for a crawl without an interval.
    """
    with store.engine.connect() as connection:
        groups = (P.kind, P.status, P.miss, P.state)
        rows = connection.execute(select(*groups, func.count()).where(plan.mine()).group_by(*groups)).all()
        bare = plan.mine(P.kind == "list", P.status == 200, P.miss.is_not(None))
        empty = list(connection.execute(select(P.url).where(bare).order_by(P.url)).scalars())
    details = [row[1:] for row in rows if row[0] == "detail"]
    reasons: dict[str, dict[str, int]] = {"misses": {}, "refused": {}}
    states: dict[str, int] = {}
    for _, miss, state, count in details:
        if miss:
            of = reasons["refused" if state == REFUSED else "misses"]
            of[miss] = of.get(miss, 0) + count
        if state:
            states[state] = states.get(state, 0) + count
    days = [0, 0]
    if plan.dated:
        of_a_day = and_(P.source == plan.site.name, P.kind == "detail", P.published.is_not(None))
        others = plan.mine(P.kind == "detail", P.published.is_not(None), ~plan.within())
        days = [_count(store, of_a_day, plan.within()), _count(store, others)]
    return {
        "lists": sum(count for kind, *_, count in rows if kind == "list"),
        "lists_missed": sum(count for kind, _, miss, _, count in rows if kind == "list" and miss),
        "empty_lists": empty,
        "fetched": sum(count for status, _, _, count in details if status == 200),
        "not_modified": sum(count for status, _, _, count in details if status == 304),
        "misses": dict(sorted(reasons["misses"].items())),
        "refused": dict(sorted(reasons["refused"].items())),
        "states": dict(sorted(states.items())),
        "of_its_days": days[0],
        "of_other_days": days[1],
    }


def count_new_misses(store: Store, plan: CrawlPlan) -> dict[str, int]:
    """Return the crawl's new misses as reason → pages.

    A miss is new if the page gave a record before, or was requested for the first time. Open questions and pages that
    were refused or forbidden are not counted.
    """
    told = P.state.not_in((UNANSWERED, REFUSED, FORBIDDEN))
    with store.engine.connect() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        begun = connection.execute(select(C.begun).where(mine)).scalar()
        news = or_(P.since.is_(None), P.since >= begun) if begun else P.url.is_not(None)
        of_it = plan.mine(P.kind == "detail", P.miss.is_not(None), or_(P.state.is_(None), told), news)
        rows = connection.execute(select(P.miss, func.count()).where(of_it).group_by(P.miss).order_by(P.miss))
        return {miss: pages for miss, pages in rows}  # noqa: C416 (rows are no pairs to mypy)


def read_cost(store: Store, plan: CrawlPlan) -> dict[str, Any]:
    """Return the crawl's row of `crawls`: its cost over all attempts."""
    with store.engine.connect() as connection:
        query = select(CRAWLS).where(C.source == plan.site.name, C.crawl == plan.crawl)
        return dict(connection.execute(query).mappings().one())


def find_missing_lists(store: Store, plan: CrawlPlan, of: tuple[str, ...]) -> dict[str, str]:
    """Return list pages (URL → reason) that were requested and are in one of the states `of`."""
    return _lists(store, plan, P.state.in_(of))


def find_dead_lists(store: Store, plan: CrawlPlan) -> dict[str, str]:
    """Return first pages of the crawl's lists (URL → reason) that are gone or lead nowhere."""
    return _lists(store, plan, or_(P.state == GONE, P.miss.in_(NOWHERE)), P.url.in_(plan.starts))


def _lists(store: Store, plan: CrawlPlan, *conditions: ColumnElement[bool]) -> dict[str, str]:
    with store.engine.connect() as connection:
        query = select(P.url, P.miss).where(plan.mine(P.kind == "list", *conditions)).order_by(P.url)
        return {row.url: row.miss for row in connection.execute(query)}


def find_silent_sections(store: Store, plan: CrawlPlan, reason: str) -> list[str]:
    """Return first lists of sections that showed pages before and show none in this crawl (`reason` is their miss)."""
    other = PAGES.alias("other")
    shown = select(other.c.url).where(other.c.found_on == P.url).exists()
    with store.engine.connect() as connection:
        query = select(P.url).where(plan.mine(P.kind == "list", P.miss == reason, P.found_on.is_(None), shown))
        return list(connection.execute(query).scalars())


def compare_size(store: Store, plan: CrawlPlan) -> tuple[int, float]:
    """Return how many pages of the crawl's days are known, and the median for earlier intervals of the same length.

    Only intervals that were crawled completely count. Returns (0, 0) if there are fewer than three, or if the crawl has
    no interval.
    """
    if not (plan.dated and plan.since and plan.until) or plan.sections:
        return 0, 0.0
    length = plan.until - plan.since
    with store.engine.connect() as connection:
        done = and_(C.source == plan.site.name, C.finished.is_not(None), C.part.is_(False), C.until <= plan.since)
        query = select(C.since, C.until).where(done, C.since.is_not(None)).distinct().order_by(C.until.desc())
        before = [(since, until) for since, until in connection.execute(query) if until - since == length][
            :MAX_EARLIER_CRAWLS
        ]
        counts = [_count_known(connection, plan, since, until) for since, until in before]
        this = _count_known(connection, plan, plan.since, plan.until)
    return (this, float(median(counts))) if len(counts) >= 3 else (0, 0.0)


def _count_known(connection, plan: CrawlPlan, since: date, until: date) -> int:
    of_it = and_(P.source == plan.site.name, P.kind == "detail", P.published >= since, P.published < until)
    return connection.execute(select(func.count()).select_from(PAGES).where(of_it)).scalar_one()


# --- how its attempts ended --------------------------------------------------------------------------------------


def mark_finished(store: Store, plan: CrawlPlan, part: bool) -> None:
    """Mark the crawl as finished and clear the site's request to wait, since the site answers again."""
    with store.engine.begin() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        ended = {"finished": datetime.now(UTC), "stopped": None, "blocked": 0, "part": part}
        connection.execute(update(CRAWLS).where(mine).values(ended))
        connection.execute(update(CRAWLS).where(C.source == plan.site.name).values(not_before=None))


def is_open(store: Store, plan: CrawlPlan) -> bool:
    """Return whether the store has the crawl and it is not finished."""
    with store.engine.connect() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl, C.finished.is_(None))
        return connection.execute(select(C.crawl).where(mine)).first() is not None


def mark_stopped(store: Store, plan: CrawlPlan, why: str, wait: float | None) -> int:
    """Record why an attempt ended before the crawl was done; return how many attempts in a row the site refused.

    wait: seconds for which the site is to be left alone; None if the site did not ask for the stop.
    """
    with store.engine.begin() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        connection.execute(update(CRAWLS).where(mine).values(stopped=why[:400]))
        if wait is not None:
            later = datetime.now(UTC) + timedelta(seconds=wait)
            connection.execute(update(CRAWLS).where(mine).values(not_before=later, blocked=C.blocked + 1))
        return connection.execute(select(C.blocked).where(mine)).scalar_one()


def remaining_wait(store: Store, source: str) -> tuple[float, str, int]:
    """Return for how many more seconds a site is to be left alone, why, and how often in a row it refused; else (0, "",
    0).
    """
    with store.engine.connect() as connection:
        query = select(C.not_before, C.stopped, C.blocked).where(C.source == source, C.not_before.is_not(None))
        rows = connection.execute(query.order_by(C.not_before.desc()).limit(1)).all()
    if not rows:
        return 0.0, "", 0
    moment, why, blocked = rows[0]
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return (seconds, why or "", blocked) if seconds > 0 else (0.0, "", 0)
