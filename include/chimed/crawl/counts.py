"""What became of a crawl: counts of its pages and lists, for its report and for what is amiss with it (the store)."""

from datetime import UTC, date, datetime, timedelta
from statistics import median

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from chimed.crawl.plan import Plan
from chimed.storage.states import BY_ROBOTS, FORBIDDEN, GONE, NOWHERE, REFUSED, UNANSWERED
from chimed.storage.store import CRAWLS, PAGES, Store

P, C = PAGES.c, CRAWLS.c
BEFORE = 8  # crawls that a week is compared with


def waiting(store: Store, plan: Plan) -> int:
    """How many pages the crawl still wants."""
    return _count(store, P.source == plan.site.name, P.queued == plan.crawl)


def asked(store: Store, plan: Plan) -> int:
    """How many detail pages the crawl has settled by asking the site."""
    return _count(store, plan.mine(P.kind == "detail", or_(P.miss.is_(None), P.miss != BY_ROBOTS)))


def _count(store: Store, *conditions: ColumnElement[bool]) -> int:
    with store.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(PAGES).where(*conditions)).scalar_one()


def tally(store: Store, plan: Plan) -> dict:
    """What became of the crawl's pages.

    lists, lists_missed; empty_lists (URLs); fetched, not_modified; misses, refused (reason → pages); states (state →
    pages); of_its_days (pages known of its interval, whoever fetched them) and of_other_days (fetched by it, kept for
    their own weeks), both 0 where it has none.
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


def new_misses(store: Store, plan: Plan) -> dict[str, int]:
    """Reason → pages of the crawl that gave no record and did before, or were asked for the first time; without open
    questions, and what was refused or forbidden."""
    told = P.state.not_in((UNANSWERED, REFUSED, FORBIDDEN))
    with store.engine.connect() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        begun = connection.execute(select(C.begun).where(mine)).scalar()
        news = or_(P.since.is_(None), P.since >= begun) if begun else P.url.is_not(None)
        of_it = plan.mine(P.kind == "detail", P.miss.is_not(None), or_(P.state.is_(None), told), news)
        rows = connection.execute(select(P.miss, func.count()).where(of_it).group_by(P.miss).order_by(P.miss))
        return {miss: pages for miss, pages in rows}  # noqa: C416 (rows are no pairs to mypy)


def cost(store: Store, plan: Plan) -> dict:
    """What the crawl cost over all its attempts: columns of `crawls`."""
    with store.engine.connect() as connection:
        query = select(CRAWLS).where(C.source == plan.site.name, C.crawl == plan.crawl)
        return dict(connection.execute(query).mappings().one())


def lists_not_had(store: Store, plan: Plan, of: tuple[str, ...]) -> dict[str, str]:
    """List pages that the crawl asked for and the site did not give for now (in these states), with why."""
    return _lists(store, plan, P.state.in_(of))


def dead_lists(store: Store, plan: Plan) -> dict[str, str]:
    """First pages of the crawl's lists that are not there (any more), or lead nowhere, with why."""
    return _lists(store, plan, or_(P.state == GONE, P.miss.in_(NOWHERE)), P.url.in_(plan.starts))


def _lists(store: Store, plan: Plan, *conditions: ColumnElement[bool]) -> dict[str, str]:
    with store.engine.connect() as connection:
        query = select(P.url, P.miss).where(plan.mine(P.kind == "list", *conditions)).order_by(P.url)
        return {row.url: row.miss for row in connection.execute(query)}


def silent_sections(store: Store, plan: Plan, reason: str) -> list[str]:
    """First lists of sections that showed pages once and show none in this crawl (`reason` is their miss)."""
    other = PAGES.alias("other")
    shown = select(other.c.url).where(other.c.found_on == P.url).exists()
    with store.engine.connect() as connection:
        query = select(P.url).where(plan.mine(P.kind == "list", P.miss == reason, P.found_on.is_(None), shown))
        return list(connection.execute(query).scalars())


def usual(store: Store, plan: Plan) -> tuple[int, float]:
    """How many pages are known of the crawl's days; and of the same number of days before them, where they were
    crawled whole: the median. (0, 0) where too few were, or the crawl has no such interval."""
    if not (plan.dated and plan.since and plan.until) or plan.sections:
        return 0, 0.0
    length = plan.until - plan.since
    with store.engine.connect() as connection:
        done = and_(C.source == plan.site.name, C.finished.is_not(None), C.part.is_(False), C.until <= plan.since)
        query = select(C.since, C.until).where(done, C.since.is_not(None)).distinct().order_by(C.until.desc())
        before = [(since, until) for since, until in connection.execute(query) if until - since == length][:BEFORE]
        counts = [_known(connection, plan, since, until) for since, until in before]
        this = _known(connection, plan, plan.since, plan.until)
    return (this, float(median(counts))) if len(counts) >= 3 else (0, 0.0)


def _known(connection, plan: Plan, since: date, until: date) -> int:
    of_it = and_(P.source == plan.site.name, P.kind == "detail", P.published >= since, P.published < until)
    return connection.execute(select(func.count()).select_from(PAGES).where(of_it)).scalar_one()


# --- how its attempts ended --------------------------------------------------------------------------------------


def note_done(store: Store, plan: Plan, part: bool) -> None:
    """The crawl is done, and the site answers: nothing that it asked or refused before holds any more."""
    with store.engine.begin() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        ended = {"finished": datetime.now(UTC), "stopped": None, "blocked": 0, "part": part}
        connection.execute(update(CRAWLS).where(mine).values(ended))
        connection.execute(update(CRAWLS).where(C.source == plan.site.name).values(not_before=None))


def is_open(store: Store, plan: Plan) -> bool:
    """Whether the store knows the crawl, and not that it is done."""
    with store.engine.connect() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl, C.finished.is_(None))
        return connection.execute(select(C.crawl).where(mine)).first() is not None


def note_stop(store: Store, plan: Plan, why: str, wait: float | None) -> int:
    """The crawl's attempt ended before it was done. wait: seconds for which the site is left alone, None where it is
    not the site's will; returns how many attempts in a row the site refused."""
    with store.engine.begin() as connection:
        mine = and_(C.source == plan.site.name, C.crawl == plan.crawl)
        connection.execute(update(CRAWLS).where(mine).values(stopped=why[:400]))
        if wait is not None:
            later = datetime.now(UTC) + timedelta(seconds=wait)
            connection.execute(update(CRAWLS).where(mine).values(not_before=later, blocked=C.blocked + 1))
        return connection.execute(select(C.blocked).where(mine)).scalar_one()


def left_alone(store: Store, source: str) -> tuple[float, str, int]:
    """Seconds for which a site is still to be left alone, why, and how often in a row it refused; (0, "", 0) if not."""
    with store.engine.connect() as connection:
        query = select(C.not_before, C.stopped, C.blocked).where(C.source == source, C.not_before.is_not(None))
        rows = connection.execute(query.order_by(C.not_before.desc()).limit(1)).all()
    if not rows:
        return 0.0, "", 0
    moment, why, blocked = rows[0]
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return (seconds, why or "", blocked) if seconds > 0 else (0.0, "", 0)
