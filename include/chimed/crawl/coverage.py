"""Report what is known of each site and what the next refreshes will cost at the polite pace (the store)."""

import sys
from datetime import date, datetime, timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import ColumnElement, and_, case, func, or_, select

from chimed.crawl.frontier import is_due, max_rechecks
from chimed.settings import settings
from chimed.sources import names as source_names
from chimed.sources.page import Site, load
from chimed.storage.states import BY_ROBOTS, FORBIDDEN, REFUSED, UNANSWERED, today
from chimed.storage.store import Store
from chimed.storage.store_tables import CRAWLS, PAGES

P = PAGES.c
WEEKS_AHEAD = 4  # that are looked ahead
_WIDTH = 150
_NARROW_BELOW = 130  # columns of a terminal on which the table leaves out its lines and its last two columns


def measure_coverage(store: Store) -> list[dict[str, Any]]:
    """Return one entry per source.

    Keys: source, known (detail pages ever seen), fetched (those that gave a page), unchanged (answered 304 last),
    waiting (never requested), states (state → pages, see storage/states.py), missed (reason → pages, without open
    questions and refused pages), oldest, newest (days published, else fetched), lists, crawls, requests, pages_per_hour
    (None before the first crawl), due (pages to be rechecked now), again (pages that the refresh of today and those of
    the next weeks recheck, within one crawl's limit), left_over (due pages that these refreshes do not reach),
    next_requests, next_hours (of the next refresh).
    """
    return [_measure_site(store, load(name)) for name in source_names()]


def _measure_site(store: Store, site: Site) -> dict[str, Any]:
    detail = and_(P.source == site.name, P.kind == "detail")
    had = and_(P.fetched.is_not(None), P.miss.is_(None))
    may = and_(or_(P.miss.is_(None), P.miss != BY_ROBOTS), or_(P.state.is_(None), P.state != FORBIDDEN))
    ahead = [today() + timedelta(weeks=n) for n in range(WEEKS_AHEAD)]
    counts = {
        "known": func.count(),
        "fetched": _sum(had),
        "unchanged": _sum(P.status == 304),
        "waiting": _sum(and_(P.fetched.is_(None), P.state.is_(None), may)),
        "asked": _sum(P.fetched.is_not(None)),
        **{f"due{n}": _sum(and_(is_due(day), may)) for n, day in enumerate(ahead)},
        "first": func.min(case((had, P.published))),
        "last": func.max(case((had, P.published))),
        "first_had": func.min(case((had, P.fetched))),
        "last_had": func.max(case((had, P.fetched))),
    }
    with store.engine.connect() as connection:
        pages = connection.execute(select(*[one.label(name) for name, one in counts.items()]).where(detail)).one()
        reasons = _count_by(connection, P.miss, detail, or_(P.state.is_(None), P.state.not_in((UNANSWERED, REFUSED))))
        by_state = _count_by(connection, P.state, detail)
        lists = connection.execute(select(func.count()).where(P.source == site.name, P.kind == "list")).scalar_one()
        C = CRAWLS.c
        cost = select(func.count(), func.sum(C.requests), func.sum(C.seconds)).where(C.source == site.name)
        crawls, requests, seconds = connection.execute(cost).one()
    starts = sum(map(len, site.sections.values()))
    # a dated list is left where known ground begins: at its first page, if nothing is new; others are walked whole
    delay = settings().pace.get(site.name, site.delay)  # of the site itself, also where a replica is crawled
    due_by = [getattr(pages, f"due{n}") or 0 for n in range(WEEKS_AHEAD)]
    again = _plan_rechecks(due_by, max_rechecks(delay))
    next_requests = 1 + (pages.waiting or 0) + again[0] + (starts if site.newest_first else max(starts, lists))
    return {
        "source": site.name,
        "known": pages.known,
        **{name: getattr(pages, name) or 0 for name in ("fetched", "unchanged", "waiting")},
        "states": by_state,
        "missed": reasons,
        "oldest": _day(pages.first or pages.first_had),
        "newest": _day(pages.last or pages.last_had),
        "lists": lists,
        "crawls": crawls,
        "requests": requests or 0,
        "pages_per_hour": round(pages.asked / seconds * 3600, 1) if seconds else None,
        "due": pages.due0 or 0,
        "again": again,
        "left_over": due_by[-1] - sum(again),
        "next_requests": next_requests,
        "next_hours": round(next_requests * delay / 3600, 4),
    }


def _count_by(connection, column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> dict[str, int]:
    """Return the number of pages for each value of a column."""
    query = select(column, func.count()).where(column.is_not(None), *conditions).group_by(column).order_by(column)
    return {row[0]: row[1] for row in connection.execute(query)}


def _plan_rechecks(due_by: list[int], most: int | None) -> list[int]:
    """Return how many pages each refresh from now on rechecks, at most `most` each.

    due_by: how many are due by the day of each refresh. A page that is due twice within that time is counted once.
    """
    again: list[int] = []
    for count in due_by:
        left = count - sum(again)
        again.append(left if most is None else min(most, left))
    return again


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _day(moment: date | datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%d") if moment else None


def print_coverage(entries: list[dict[str, Any]]) -> None:
    """Print the entries as a table."""
    console = Console(width=_WIDTH if not sys.stdout.isatty() else None)
    narrow = console.width < _NARROW_BELOW  # then what a source has of states and misses stands below the table
    table = Table(title="coverage", title_justify="left")
    if narrow:
        table.box, table.padding = SIMPLE_HEAD, (0, 1, 0, 0)
    heads = ("source", "known", "fetched", "waiting", "due", "oldest", "newest", "pages/hour", "next refresh")
    for name in [one for one in heads if not (narrow and one == "pages/hour")]:
        table.add_column(name, justify="left" if name in ("source", "next refresh") else "right")
    for name in () if narrow else ("states", "without a record"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        numbers = [str(entry[name]) for name in ("known", "fetched", "waiting", "due")]
        days = [entry[name] or "-" for name in ("oldest", "newest")]
        pace = f"{entry['pages_per_hour']:.0f}" if entry["pages_per_hour"] else "-"
        cost = f"{entry['next_requests']} requests,{chr(10) if narrow else ' '}{entry['next_hours']:.1f} h"
        missed = "\n".join(f"{reason} {pages}" for reason, pages in entry["missed"].items())
        states = "\n".join(f"{state} {pages}" for state, pages in entry["states"].items())
        table.add_row(entry["source"], *numbers, *days, *((cost,) if narrow else (pace, cost, states, missed)))
    console.print(table)
    for entry in entries if narrow else []:
        for name, counts in (("states", entry["states"]), ("without a record", entry["missed"])):
            said = ", ".join(f"{what} {pages}" for what, pages in counts.items())
            if said:
                console.print(f"{entry['source']}, {name}: {said}", markup=False, highlight=False)
