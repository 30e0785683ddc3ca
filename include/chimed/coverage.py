"""What is known of each site and what the next refresh will cost: counts from the store, at the polite pace."""

import sys
from datetime import UTC, date, datetime, timedelta

from rich.console import Console
from rich.table import Table
from sqlalchemy import ColumnElement, and_, case, func, or_, select

from chimed.settings import settings
from chimed.sources import NAMES
from chimed.sources.frontier import FORBIDDEN
from chimed.sources.page import Site, load
from chimed.store import CRAWLS, PAGES, Store

P = PAGES.c
_WIDE = 140


def coverage(store: Store) -> list[dict]:
    """One entry a source.

    Keys: source, known (detail pages ever seen), fetched (of them, with a page), unchanged (answered 304 last), waiting
    (never fetched), missed (reason → pages), oldest, newest (days published, else fetched), lists, crawls, requests,
    pages_per_hour (None before the first crawl), next_requests, next_hours (of the next refresh).
    """
    return [_of(store, load(name)) for name in NAMES]


def _of(store: Store, site: Site) -> dict:
    detail = and_(P.source == site.name, P.kind == "detail")
    had = and_(P.fetched.is_not(None), P.miss.is_(None))
    days = site.recheck if settings().recheck_days is None else settings().recheck_days
    due = or_(P.fetched.is_(None), P.fetched < datetime.now(UTC) - timedelta(days=days or 0))
    may = or_(P.miss.is_(None), P.miss != FORBIDDEN)
    counts = {
        "known": func.count(),
        "fetched": _sum(had),
        "unchanged": _sum(P.status == 304),
        "waiting": _sum(and_(P.fetched.is_(None), may)),
        "asked": _sum(P.fetched.is_not(None)),
        "due": _sum(and_(due, may)),
        "first": func.min(case((had, P.published))),
        "last": func.max(case((had, P.published))),
        "first_had": func.min(case((had, P.fetched))),
        "last_had": func.max(case((had, P.fetched))),
    }
    with store.engine.connect() as connection:
        pages = connection.execute(select(*[one.label(name) for name, one in counts.items()]).where(detail)).one()
        missed = select(P.miss, func.count()).where(detail, P.miss.is_not(None)).group_by(P.miss).order_by(P.miss)
        reasons: dict[str, int] = dict(iter(connection.execute(missed)))
        lists = connection.execute(select(func.count()).where(P.source == site.name, P.kind == "list")).scalar_one()
        C = CRAWLS.c
        cost = select(func.count(), func.sum(C.requests), func.sum(C.seconds)).where(C.source == site.name)
        crawls, requests, seconds = connection.execute(cost).one()
    starts = sum(map(len, site.sections.values()))
    # a dated list is left where known ground begins: at its first page, if nothing is new; others are walked whole
    next_requests = 1 + (pages.due or 0) + (starts if site.newest_first else max(starts, lists))
    return {
        "source": site.name,
        "known": pages.known,
        **{name: getattr(pages, name) or 0 for name in ("fetched", "unchanged", "waiting")},
        "missed": reasons,
        "oldest": _day(pages.first or pages.first_had),
        "newest": _day(pages.last or pages.last_had),
        "lists": lists,
        "crawls": crawls,
        "requests": requests or 0,
        "pages_per_hour": round(pages.asked / seconds * 3600, 1) if seconds else None,
        "next_requests": next_requests,
        "next_hours": round(next_requests * site.delay / 3600, 4),
    }


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _day(moment: date | datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%d") if moment else None


def print_coverage(entries: list[dict]) -> None:
    """Prints the entries as a table."""
    table = Table(title="coverage", title_justify="left")
    heads = ("source", "known", "fetched", "unchanged", "waiting", "oldest", "newest", "pages/hour", "next refresh")
    for name in heads:
        table.add_column(name, justify="left" if name in ("source", "next refresh") else "right")
    table.add_column("missed", overflow="fold")
    for entry in entries:
        numbers = [str(entry[name]) for name in ("known", "fetched", "unchanged", "waiting")]
        days = [entry[name] or "-" for name in ("oldest", "newest")]
        pace = f"{entry['pages_per_hour']:.0f}" if entry["pages_per_hour"] else "-"
        cost = f"{entry['next_requests']} requests, {entry['next_hours']:.1f} h"
        missed = "\n".join(f"{reason} {pages}" for reason, pages in entry["missed"].items())
        table.add_row(entry["source"], *numbers, *days, pace, cost, missed)
    Console(width=_WIDE if not sys.stdout.isatty() else None).print(table)
