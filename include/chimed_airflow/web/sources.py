"""The sources page: what is known, missed and due of each site, weeks never crawled, last crawls, crawl settings."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from chimed.crawl.finished import read_report
from chimed.storage import layout
from chimed_airflow.web.charts import bars
from chimed_airflow.web.counted import age, recent
from chimed_airflow.web.opened import open_store
from chimed_airflow.web.page import page

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from chimed.sources.page import Site
    from chimed.storage.lake import Lake
    from chimed.storage.store import Store

EXAMPLES = 3  # pages shown of each kind of miss
CRAWLS_SHOWN = 12  # last crawls of a site: a quarter of a year
MONTHS = 24  # if there are more, pages are counted by year

router = APIRouter()


@router.get("/sources")
def sources(request: Request) -> HTMLResponse:
    """Show all sites."""
    from chimed.crawl.frontier import request_delay
    from chimed.sources import names as source_names
    from chimed.sources.page import load
    from chimed.storage.lake import lake_at

    store, lake = open_store(), lake_at()
    known = recent("sources", str(store.engine.url), lambda: _known(store, lake))
    entries = []
    for name in source_names():
        site = load(name)
        entries.append(
            {
                "name": name,
                "hosts": site.hosts,
                "domain": site.domain,
                "pace": request_delay(site),
                "again": _asked_again(site),
                "newest_first": site.newest_first,
                "last": _last_crawl(lake, name),
                "known": known[name] if known else None,
                "weekly": known[name]["weekly"] if known else [],
            }
        )
    return page(request, "sources.html.j2", here="sources", sources=entries, counting=known is None, age=age("sources"))


@router.get("/sources/{source}/crawl")
def crawl(source: str, request: Request) -> HTMLResponse:
    """Show the trigger form of a site's DAG."""
    from chimed.errors import choose
    from chimed.sources import names as source_names

    return page(request, "crawl.html.j2", here="sources", source=choose("source", source, source_names()))


@router.get("/sources/{source}/page")
def miss(source: str, url: str, request: Request) -> HTMLResponse:
    """Show a page's text beside what the parser makes of it."""
    from chimed.crawl.misses import describe_miss
    from chimed.errors import UserError, choose
    from chimed.sources import names as source_names
    from chimed.storage.lake import lake_at

    shown: dict[str, Any] = {"here": "sources", "source": choose("source", source, source_names()), "url": url}
    try:
        found = describe_miss(lake_at(), open_store(), url)
    except UserError as trouble:
        return page(request, "miss.html.j2", **shown, view=None, trouble=str(trouble))
    return page(request, "miss.html.j2", **shown, view=found, trouble=None)


def _asked_again(site: "Site") -> list[dict[str, Any]]:
    """Return by kind of page the age in days at which it is fetched again; one entry if one age is set for all."""
    from chimed.settings import settings
    from chimed.storage.states import ANSWERED, GONE, GONE_CONFIRM_DAYS, RECHECK_AGES, RECHECK_DAYS, UNANSWERED

    if settings().recheck_days is not None:
        return [{"state": "", "days": [settings().recheck_days]}]
    open_ones = [{"state": UNANSWERED, "days": [*RECHECK_AGES[UNANSWERED], RECHECK_DAYS]}] if site.newest_first else []
    rest = [
        {"state": ANSWERED, "days": [site.recheck, RECHECK_DAYS]},
        {"state": GONE, "days": [GONE_CONFIRM_DAYS, RECHECK_DAYS]},
    ]
    return open_ones + rest


def _known(store: "Store", lake: "Lake") -> dict[str, dict[str, Any]]:
    """Return by source: `coverage`, `misses` (reason → pages, examples), `published` (bars), incomplete `weeks`."""
    from chimed.crawl.coverage import measure_coverage
    from chimed.crawl.weeks import list_missing_weeks

    found, not_crawled = {}, list_missing_weeks(store, lake)
    for entry in measure_coverage(store):
        name = entry["source"]
        misses = [
            {"reason": reason, "pages": pages, "examples": _examples(store, name, reason)}
            for reason, pages in sorted(entry["missed"].items(), key=lambda one: -one[1])
        ]
        published = bars(_published(store, name))
        found[name] = {"coverage": entry, "misses": misses, "published": published, "weeks": not_crawled[name]}
        found[name]["weekly"] = _weekly(store, lake, name)
    return found


def _weekly(store: "Store", lake: "Lake", source: str) -> list[dict[str, Any]]:
    """Return a site's last finished crawls, newest first.

    Keys: crawl, since, finished, pages, records, misses, requests, bytes, hours, an_hour (pages fetched an hour).
    """
    from sqlalchemy import select

    from chimed.storage.lake import exists, read_json
    from chimed.storage.store_tables import CRAWLS

    C = CRAWLS.c
    wanted = (
        select(CRAWLS)
        .where(C.source == source, C.finished.is_not(None))
        .order_by(C.finished.desc())
        .limit(CRAWLS_SHOWN)
    )
    with store.engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(wanted).mappings()]
    found = []
    for row in rows:
        raw, extract = (f"{top}/{source}/{row['crawl']}/{layout.REPORT}" for top in ("raw", "extracts"))
        report = read_json(lake, raw) if exists(lake, raw) else {}
        made = read_json(lake, extract) if exists(lake, extract) else None
        hours = row["seconds"] / 3600
        found.append(
            {
                **{name: row[name] for name in ("crawl", "since", "finished", "requests", "bytes")},
                "pages": report.get("pages"),
                "records": made["records"] if made else None,
                "misses": sum((made["dropped"] | made["failed"]).values()) if made else None,
                "hours": hours,
                "an_hour": round(report["pages"] / hours) if hours and "pages" in report else None,
            }
        )
    return found


def _examples(store: "Store", source: str, reason: str) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from chimed.storage.store_tables import PAGES

    named = PAGES.c
    wanted = select(named.url, named.status, named.fetched, named.found_on)
    wanted = wanted.where(named.source == source, named.kind == "detail", named.miss == reason).limit(EXAMPLES)
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(wanted).mappings()]


def _published(store: "Store", source: str) -> dict[str, int]:
    """Return detail pages by year of publication, or by month if there are few years; no gaps between."""
    from sqlalchemy import extract, func, select

    from chimed.storage.store_tables import PAGES

    named = PAGES.c
    when = (extract("year", named.published), extract("month", named.published))
    wanted = select(*when, func.count()).where(named.source == source, named.kind == "detail").group_by(*when)
    with store.engine.connect() as connection:
        found = connection.execute(wanted.where(named.published.is_not(None))).all()
    counts = {int(year) * 12 + int(month) - 1: pages for year, month, pages in found}
    if not counts:
        return {}
    months = range(min(counts), max(counts) + 1)
    if len(months) <= MONTHS:
        return {f"{month // 12}-{month % 12 + 1:02}": counts.get(month, 0) for month in months}
    years: dict[str, int] = {}
    for month in months:
        years[str(month // 12)] = years.get(str(month // 12), 0) + counts.get(month, 0)
    return years


def _last_crawl(lake: "Lake", source: str) -> dict[str, Any] | None:
    """Return the report of the crawl that finished last, among the newest few by name."""
    from chimed.storage.lake import names

    found = [read_report(lake, source, crawl) for crawl in names(lake, layout.raw(source))[-5:]]
    return max((report for report in found if report), key=lambda report: str(report.get("finished", "")), default=None)
