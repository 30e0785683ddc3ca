"""Fetch one site's pages politely into WARC files; a finished crawl is not fetched again (paper §3.1).

A crawl has a name: its interval or its day. Its files lie in `raw/<source>/<crawl>/`; `report.json` is written last.
A killed crawl goes on where it was when it is started again under the same name.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout
from scrapy.crawler import CrawlerProcess

import chimed
from chimed import lake as lakes
from chimed.errors import CrawlStopped, UserError, choose
from chimed.lake import Lake, open_lake
from chimed.settings import settings
from chimed.sources import answers, apart, frontier, warc
from chimed.sources.frontier import Plan
from chimed.sources.page import load
from chimed.sources.spider import SiteSpider
from chimed.sources.wire import Run, scrapy_settings
from chimed.store import open_store

log = logging.getLogger("chimed")

FEW_MISSES = 4  # so many say nothing of a site, whatever their share (settings.miss_share)


def crawl_source(
    source: str,
    since: date | None = None,
    until: date | None = None,
    mode: str = "refresh",
    max_pages: int | None = None,
    sections: tuple[str, ...] | None = None,
    name: str | None = None,
) -> dict:
    """Crawls a site and returns the crawl's report; once in a process, for Scrapy's reactor runs only once.

    since, until: the interval [since, until); dated sites give the pages published in it. mode: refresh (new and
    changed pages) or full (every page). Raises UserError for what cannot be asked, CrawlStopped where the site must
    not be asked further: then no report is written, and the same call goes on from there.
    """
    site = load(source)
    for section in sections or ():
        choose("section", section, list(site.sections))
    if since and until and since >= until:
        raise UserError(f"the interval from {since} to {until} is empty; --to is the day after its last")
    plan = Plan(site, _name(name, since, until), since, until, mode, max_pages, sections)
    lake, folder = open_lake(), f"raw/{source}/{plan.crawl}"
    if lakes.exists(lake, f"{folder}/report.json"):
        log.info("crawl %s of %s: done before", plan.crawl, source)
        return lakes.read_json(lake, f"{folder}/report.json")
    store = open_store()
    place = hashlib.sha256(lake.at(source).encode()).hexdigest()[:12]
    try:
        with FileLock(Path(tempfile.gettempdir()) / f"chimed-crawl-{place}.lock", timeout=0):
            archive = warc.open_archive(lake, folder)  # brings in what a killed attempt left
            run = Run(plan, store, archive, settings().replica_delay if settings().replica else site.delay)
            frontier.requeue_lost(store, plan, _places(lake))
            frontier.begin(store, plan)
            answers.take_over(run, lake)
            _spider(run)
    except Timeout:
        raise UserError(f"{source} is being crawled by another process; one crawl a site at a time") from None
    return _finish(lake, folder, run)


def _name(name: str | None, since: date | None, until: date | None) -> str:
    if name:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or len(name) > 64:
            raise UserError(f"{name!r} cannot name a crawl; use letters, digits, - _ and .")
        return name
    if since or until:
        return f"{since or 'start'}_{until or 'now'}"
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _places(lake: Lake) -> Callable[[str], bool]:
    """Whether a page's place is in the lake; each file is asked for once."""

    @cache
    def size(path: str) -> int:
        return lake.fs.size(lake.at(path)) if lakes.exists(lake, path) else 0

    return lambda page: size(page.rpartition("#")[0]) > int(page.rpartition("#")[2])


def _spider(run: Run) -> None:
    """Runs Scrapy to its end in this process; whatever ends it, the WARC file is closed and brought into the lake."""
    for handler in logging.getLogger().handlers:  # Scrapy sets its loggers' levels anew when it starts
        handler.addFilter(_is_worth_saying)
    reader = None if run.delay else apart.start(run)
    process = CrawlerProcess(scrapy_settings(run))
    try:
        process.crawl(SiteSpider, run=run, reader=reader)
        process.start(install_signal_handlers=True)
    finally:
        run.write()
        if reader:
            apart.end(reader, run)
        warc.close(run.archive)


def _is_worth_saying(line: logging.LogRecord) -> bool:
    return not line.name.startswith("scrapy") or line.levelno >= logging.WARNING


def _finish(lake: Lake, folder: str, run: Run) -> dict:
    """The report, written last. Raises CrawlStopped where the crawl is not done or not to be trusted."""
    plan, left = run.plan, frontier.waiting(run.store, run.plan)
    if run.stopped:
        raise CrawlStopped(run.stopped)
    counts = frontier.tally(run.store, plan)
    full = plan.max_pages is not None and frontier.asked(run.store, plan) >= plan.max_pages
    if left and not full:
        raise CrawlStopped(f"crawl {plan.crawl} of {plan.site.name} was interrupted, {left} pages are waiting")
    if why := _alarm(run, counts):
        raise CrawlStopped(why)
    cost = frontier.counted(run.store, plan)
    report = {
        "source": plan.site.name,
        "crawl": plan.crawl,
        "since": plan.since,
        "until": plan.until,
        "mode": plan.mode,
        "sections": plan.sections,
        "max_pages": plan.max_pages,
        "pages": warc.index(lake, folder, run.archive.lines),
        **counts,
        "waiting": left,
        **{name: cost[name] for name in ("unchanged", "off_site", "attempts", "requests", "bytes")},
        "seconds": round(cost["seconds"], 3),
        "robots": run.robots,
        "delay": run.delay,
        "replica": bool(settings().replica),
        "code": chimed.__version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    lakes.write_json(lake, f"{folder}/report.json", report)
    return lakes.read_json(lake, f"{folder}/report.json")


def _alarm(run: Run, counts: dict) -> str | None:
    """Why what came back is not to be trusted; what it is about is asked for or read again by the same crawl."""
    site, plan = run.plan.site, run.plan
    silent = frontier.silent_sections(run.store, plan, answers.NO_LINK)
    nothing = counts["lists"] and counts["lists_missed"] >= counts["lists"]
    if silent or nothing:
        frontier.want_again(run.store, plan, silent or counts["empty_lists"])
        which = silent[0] if silent else f"no list of {site.name}"
        return f"{which} shows {'no' if silent else 'a'} page any more; its layout or its addresses changed"
    misses = {reason: count for reason, count in counts["misses"].items() if reason != frontier.FORBIDDEN}
    missed, asked = sum(misses.values()), frontier.asked(run.store, plan)
    if missed <= max(FEW_MISSES, settings().miss_share * asked):
        return None
    frontier.want_again(run.store, plan, frontier.not_had(run.store, plan))
    worst = max(misses, key=lambda reason: misses[reason])
    return (
        f"{missed} of {asked} pages of {site.name} are misses, {misses[worst]} of them: {worst}; mend its parser and "
        f"run the same crawl again, or raise CHIMED_MISS_SHARE ({settings().miss_share:g}) if the site is like that"
    )
