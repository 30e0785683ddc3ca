"""Find the weeks of a site that were not crawled, or only partly: what a backfill is for.

A week is crawled if a crawl that finished after its end included all its days. An undated site has no weeks of its own:
a crawl takes everything that is new until then.
"""

import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from chimed.sources import names as source_names
from chimed.sources.page import Site, load
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.states import day_of, today
from chimed.storage.store import Store
from chimed.storage.store_tables import CRAWLS, PAGES

NEVER_CRAWLED, IN_PART = "never crawled", "in part"
WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class CrawledDays:
    """The days [since, until) that a crawl took. whole: of all lists, to their end. stopped: why it is not finished."""

    since: date
    until: date
    whole: bool
    stopped: str | None = None


def list_missing_weeks(store: Store, lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """Return, by source, the stretches of weeks that are not crawled completely, oldest first.

    Keys of a stretch: since (a Monday), until (the Monday after the last week), weeks (how many), why. They begin with
    the first day for which any page of the site is known; the current week is not counted.
    """
    return {name: _missing_weeks(store, lake, load(name)) for name in source_names()}


def last_week() -> date:
    """Return the Monday of the last complete week, by the sites' clock."""
    day = today()
    return day - timedelta(day.weekday()) - WEEK


def check_week(store: Store, lake: Lake, monday: date) -> dict[str, str | None]:
    """Return, by source, why the week from this Monday is not crawled completely; None if it is."""
    return {name: _why_not(monday, _crawled_days(store, lake, load(name))) for name in source_names()}


def ever_crawled(store: Store) -> set[str]:
    """Return the sources of which a crawl was ever begun."""
    with store.engine.connect() as connection:
        return set(connection.execute(select(CRAWLS.c.source).distinct()).scalars())


def _missing_weeks(store: Store, lake: Lake, site: Site) -> list[dict[str, Any]]:
    taken = _crawled_days(store, lake, site)
    P = PAGES.c
    with store.engine.connect() as connection:
        of_a_day = select(func.min(P.published)).where(P.source == site.name, P.kind == "detail")
        oldest = connection.execute(of_a_day).scalar() if site.newest_first else None
    first = min([day for day in (oldest, *(one.since for one in taken if one.since > date.min)) if day], default=None)
    if first is None:
        return []
    monday = first - timedelta(first.weekday())
    found = []
    while monday + WEEK <= today():
        if why := _why_not(monday, taken):
            found.append((monday, why))
        monday += WEEK
    # weeks that follow each other, for the same reason
    groups = groupby(enumerate(found), key=lambda one: (one[1][0] - one[0] * WEEK, one[1][1]))
    stretches = [([monday for _, (monday, _) in some], why) for (_, why), some in groups]
    return [
        {"since": mondays[0], "until": mondays[-1] + WEEK, "weeks": len(mondays), "why": why}
        for mondays, why in stretches
    ]


def _crawled_days(store: Store, lake: Lake, site: Site) -> list[CrawledDays]:
    """Return the days that each crawl of a site took."""
    with store.engine.connect() as connection:
        rows = list(connection.execute(select(CRAWLS).where(CRAWLS.c.source == site.name)).mappings())
    found = []
    for row in rows:
        since, until, finished, part = row["since"], row["until"], row["finished"], row["part"]
        path = layout.raw(site.name, row["crawl"], layout.REPORT)
        if finished is None and row["stopped"] is None and lakes.exists(lake, path):  # an older version made it
            report = lakes.read_json(lake, path)
            since, until = (date.fromisoformat(report[one]) if report[one] else None for one in ("since", "until"))
            finished, part = datetime.fromisoformat(report["finished"]), bool(report["sections"] or report["waiting"])
        stopped = None if finished else row["stopped"] or "not done"
        ended = day_of(finished if finished.tzinfo else finished.replace(tzinfo=UTC)) if finished else date.max
        begins = (since or date.min) if site.newest_first else date.min
        found.append(CrawledDays(begins, min(until or date.max, ended), not part and not stopped, stopped))
    return found


def _why_not(monday: date, taken: list[CrawledDays]) -> str | None:
    """Return why the week from this Monday is not crawled completely; None if it is."""
    days = [monday + timedelta(n) for n in range(7)]
    for why, some in (
        (None, [one for one in taken if one.whole]),
        (IN_PART, [one for one in taken if not one.stopped]),
    ):
        if all(any(one.since <= day < one.until for one in some) for day in days):
            return why
    stopped = [one.stopped for one in taken if one.stopped and one.since <= days[-1] and one.until > days[0]]
    return stopped[-1] if stopped else NEVER_CRAWLED


def print_weeks(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the stretches of all sources as a table."""
    table = Table(title="weeks that are not crawled wholly", title_justify="left")
    for name in ("source", "from", "to", "weeks", "why"):
        table.add_column(name, justify="right" if name == "weeks" else "left", overflow="fold")
    for source, stretches in found.items():
        for one in stretches:
            table.add_row(source, str(one["since"]), str(one["until"]), str(one["weeks"]), one["why"])
    Console(width=140 if not sys.stdout.isatty() else None).print(table)
