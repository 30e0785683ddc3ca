"""Track walks over the dated lists of a site, so that no later crawl walks known ground again.

A list shows the newest pages first. A walk that began on some day and, from some page on, saw only older days has shown
every page of the days between: a stretch [since, until) of known days. A crawl whose days lie within a stretch requests
no list at all. One that wants earlier days begins where that walk ended. One that wants later days walks from the first
page down to known ground and jumps over it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, insert, select, update

from chimed.storage.states import day_of, today
from chimed.storage.store import Store
from chimed.storage.store_tables import PAGES, WALKS

W = WALKS.c
EARLIEST = date.min
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Stretch:
    """Known days [since, until) of a list. last, next: the list pages where the walk down to `since` ended."""

    since: date
    until: date
    last: str | None
    next: str | None
    begun: datetime

    def holds(self, since: date, until: date) -> bool:
        """Return whether every day of [since, until) is known."""
        return self.since <= since and until <= self.until


def begin_walk(store: Store, source: str, start: str, crawl: str, since: date | None, until: date | None) -> str | None:
    """Return where a walk for the days [since, until) begins; None if they are known, or the crawl's walk has begun."""
    rows = _rows(store, source, start)
    mine = rows[-1] if rows and rows[-1]["crawl"] == crawl else None
    if mine and (mine["shown"] or _is_queued(store, mine["next"], crawl)):
        return None
    first, behind = _bounds(since, until)
    known = merge_stretches(rows)
    if any(one.holds(first, behind) for one in known):
        return None
    above = [one for one in known if one.until >= behind and one.next]
    new = {"source": source, "start": start, "begun": datetime.now(UTC), "crawl": crawl}
    if above:
        lowest = min(above, key=lambda one: one.since)
        # deleted entries moved later ones up, so the last page is requested again, unless it is the same day
        entry = lowest.next if day_of(lowest.begun) == today() else lowest.last or lowest.next
        new |= {"since": lowest.since, "until": lowest.until, "last": lowest.last, "next": entry}
    else:
        entry = start
        new |= {"since": today(), "until": today(), "last": None, "next": start}
    with store.engine.begin() as connection:
        for row in rows:
            later = [one for one in rows if one["begun"] > row["begun"]]
            if any(one["since"] <= row["since"] and row["until"] <= one["until"] for one in later):
                connection.execute(delete(WALKS).where(_same(row)))  # a later walk covered all of it
        connection.execute(insert(WALKS).values(**new))
    return entry


def advance_walk(
    store: Store,
    source: str,
    crawl: str,
    seen: str,
    start: str,
    newest: date | None,
    following: str | None,
    since: date | None,
    shows_new: bool = True,
    known_ground: bool = False,
    everything: bool = False,
) -> str | None:
    """Record what a list page showed; return the list page to request after it, or None if the walk ends.

    newest: the newest day on the page, None if it shows none. following: the next list page it links. since: the first
    day that is wanted. shows_new: the page shows an unknown page, such as one that is listed days after its own day.
    known_ground: every page on it was fetched before. everything: walk known ground too.
    """
    rows = _rows(store, source, start)
    mine = next((row for row in reversed(rows) if row["crawl"] == crawl and row["next"] == seen), None)
    floor = since or EARLIEST
    if mine is None:  # not the next page of this walk, so it says nothing about the days before it
        return None if (newest and newest < floor) or (known_ground and not everything) else following
    known_since = min(mine["since"], newest + _DAY) if newest else mine["since"]
    after, leads_to = following, following
    if following is None:
        known_since = EARLIEST
    elif newest is not None and newest < floor:
        after = None
    elif not everything:
        others = merge_stretches(row for row in rows if row["begun"] != mine["begun"])
        met = newest is not None and not shows_new
        below = next((one for one in others if met and newest and one.since <= newest < one.until), None)
        if below:
            known_since, leads_to = min(known_since, below.since), below.next
            after = None if below.since <= floor else below.next
        elif known_ground:
            after = None
    with store.engine.begin() as connection:
        news = {"since": known_since, "last": seen, "next": leads_to, "shown": None}
        connection.execute(update(WALKS).where(_same(mine)).values(news))
    return after


def mark_end(store: Store, source: str, crawl: str, seen: str, start: str) -> None:
    """Record that the list page to be requested next does not exist: the list ends before it."""
    mine = and_(W.source == source, W.start == start, W.crawl == crawl, W.next == seen, W.start != seen)
    with store.engine.begin() as connection:
        connection.execute(update(WALKS).where(mine).values(since=EARLIEST, next=None))


def mark_moved(store: Store, source: str, crawl: str, seen: str, to: str) -> None:
    """Record the new address of the list page to be requested next."""
    mine = and_(W.source == source, W.crawl == crawl, W.next == seen)
    with store.engine.begin() as connection:
        connection.execute(update(WALKS).where(mine).values(next=to))


def mark_undated(store: Store, source: str, crawl: str, seen: str, start: str, shown: str) -> None:
    """Record the pages (JSON) of a list page without days: their own days later tell how far the walk came."""
    mine = and_(W.source == source, W.start == start, W.crawl == crawl, W.next == seen)
    with store.engine.begin() as connection:
        connection.execute(update(WALKS).where(mine).values(shown=shown))


def find_undated_walk(store: Store, source: str, crawl: str, start: str) -> dict[str, Any] | None:
    """Return the crawl's walk (columns of `walks`) whose last list page showed no days, or None."""
    with store.engine.connect() as connection:
        query = select(WALKS).where(W.source == source, W.start == start, W.crawl == crawl, W.shown.is_not(None))
        row = connection.execute(query.order_by(W.begun.desc()).limit(1)).mappings().first()
        return dict(row) if row else None


def merge_stretches(rows: Iterable[dict[str, Any]]) -> list[Stretch]:
    """Return known days as stretches, oldest first. Walks that touch are merged; the end of the lowest one counts."""
    found: list[Stretch] = []
    for row in sorted((row for row in rows if row["since"] < row["until"]), key=lambda row: row["since"]):
        one = Stretch(row["since"], row["until"], row["last"], row["next"], _aware(row["begun"]))
        if found and one.since <= found[-1].until:
            low = found.pop()
            one = Stretch(low.since, max(low.until, one.until), low.last, low.next, low.begun)
        found.append(one)
    return found


def _bounds(since: date | None, until: date | None) -> tuple[date, date]:
    """Return the wanted days that can be known by now: days after today do not exist yet."""
    tomorrow = today() + _DAY
    return since or EARLIEST, min(until or tomorrow, tomorrow)


def _rows(store: Store, source: str, start: str) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        query = select(WALKS).where(W.source == source, W.start == start).order_by(W.begun)
        return [dict(row) for row in connection.execute(query).mappings()]


def _same(row: dict[str, Any]):
    return and_(W.source == row["source"], W.start == row["start"], W.begun == row["begun"])


def _is_queued(store: Store, url: str | None, crawl: str) -> bool:
    with store.engine.connect() as connection:
        query = select(PAGES.c.url).where(PAGES.c.url == url, PAGES.c.queued == crawl)
        return connection.execute(query).first() is not None


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
