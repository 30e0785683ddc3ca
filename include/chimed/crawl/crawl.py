"""Fetch one site's pages politely into WARC files (paper §3.1).

A crawl is named after its interval or its day. Its files are in `raw/<source>/<crawl>/`, and `report.json` is written
last. A crawl that was killed continues when it is started again under the same name. So does one that finished before
its interval was over; any other finished crawl is not fetched again.
"""

import logging
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from scrapy.crawler import CrawlerProcess
from sqlalchemy.exc import SQLAlchemyError

import chimed
from chimed.crawl import blocks, counts, finished, frontier, reader_process, responses
from chimed.crawl.blocks import DAY
from chimed.crawl.download import CrawlRun, scrapy_settings
from chimed.crawl.plan import CrawlPlan
from chimed.crawl.spider import SiteSpider
from chimed.errors import CrawlStopped, UserError, choose
from chimed.settings import settings
from chimed.sources.page import load
from chimed.storage import layout, states, warc
from chimed.storage.lake import Lake, open_lake
from chimed.storage.lease import hold_lease
from chimed.storage.naming import check_name
from chimed.storage.states import UNANSWERED
from chimed.storage.store import Store, open_store

log = logging.getLogger("chimed")

MAX_HARMLESS_MISSES = 4  # up to this many say nothing about a site, whatever their share (settings.miss_share)
MIN_SHARE_OF_USUAL = 1 / 3  # of a usual week's pages: with fewer, the crawl fails
MIN_USUAL_PAGES = 20  # pages of a usual week: smaller weeks vary too much to compare


def crawl_source(
    source: str,
    since: date | None = None,
    until: date | None = None,
    mode: str = "refresh",
    max_pages: int | None = None,
    sections: tuple[str, ...] | None = None,
    name: str | None = None,
    accept: bool = False,
    unattended: bool = False,
) -> dict[str, Any]:
    """Crawl a site and return the crawl's report. Works once per process, because Scrapy's reactor cannot be restarted.

    since, until: the interval [since, until); dated sites give the pages published in it. mode: refresh (new and
    changed pages) or full (every page). accept: accept an unusually small week. unattended: request nothing while the
    site wants to be left alone. Raises UserError for invalid arguments, and CrawlStopped if the site must not be
    requested further: no report is written then, and the same call continues from there.
    """
    site = load(source)
    for section in sections or ():
        choose("section", section, list(site.sections))
    if since and until and since >= until:
        raise UserError(f"the interval from {since} to {until} is empty; --to is the day after the last one")
    plan = CrawlPlan(site, _name(name, since, until), since, until, mode, max_pages, sections)
    lake, folder = open_lake(), layout.raw(source, plan.crawl)
    done = finished.read_report(lake, source, plan.crawl)
    store = open_store()
    if done and _is_over(done):
        log.info("crawl %s of %s: already done", plan.crawl, source)
        if counts.is_open(store, plan):  # it was killed between writing its report and updating the store
            counts.mark_finished(store, plan, part=bool(done["sections"] or done["waiting"]))
        return done
    log.info("%s", _describe(plan, frontier.request_delay(site)))
    if unattended:
        _check_wait(store, source)
    run = CrawlRun(plan, store, warc.Archive(lake, folder, Path()), frontier.request_delay(site))
    with hold_lease(store, lake.at(layout.RAW), source, partial(blocks.stop_crawl, run)):
        run.archive = warc.open_archive(lake, folder)  # brings in what a killed attempt left
        if done:
            log.info("crawl %s of %s: finished before its last day was over; it is completed now", plan.crawl, source)
            frontier.reopen(store, plan)
        frontier.requeue_lost(store, plan, warc.find_whole_places(lake))
        responses.recover_unread(run, lake)
        frontier.begin(store, plan, frontier.max_rechecks(run.delay))
        run.suspected = counts.read_cost(store, plan)["blocked"] > 0
        _run_spider(run)
    try:
        return _finish(lake, folder, run, accept)
    except CrawlStopped as stopped:
        blocked = counts.mark_stopped(store, plan, str(stopped), run.wait)
        raise CrawlStopped(str(stopped), run.wait, blocked) from None


def _describe(plan: CrawlPlan, delay: float) -> str:
    """Return a sentence on what a crawl is about to do: the first line of its log."""
    if plan.dated:
        days = f"pages published from {plan.since or 'the first day'} to the day before {plan.until or 'today'}"
    else:
        days = "all pages" if plan.mode == "full" else "what is new or changed"
    sections = f"in {', '.join(plan.sections)}" if plan.sections else f"in all {len(plan.site.sections)} sections"
    most = f", at most {plan.max_pages} pages" if plan.max_pages else ""
    where = "a replica of the site" if settings().replica else ", ".join(plan.site.hosts)
    pace = f"one request every {delay:g} s" if delay else "without a pause"
    return f"crawl {plan.crawl} of {plan.site.name} begins: {days}, {sections}{most}, from {where}, {pace}"


def _is_over(report: dict[str, Any]) -> bool:
    """Return whether a finished crawl was finished after the end of its interval; True for one without an interval."""
    if not (report["since"] or report["until"]):
        return True
    ended = states.day_of(datetime.fromisoformat(report["finished"]))
    return bool(report["until"]) and ended >= date.fromisoformat(report["until"])


def _check_wait(store: Store, source: str) -> None:
    """Raise CrawlStopped if the site still wants to be left alone."""
    seconds, why, blocked = counts.remaining_wait(store, source)
    if seconds:
        raise CrawlStopped(
            f"{source} asked to be left alone for another {seconds / 3600:.1f} hours: {why}", seconds, blocked
        )


def _name(name: str | None, since: date | None, until: date | None) -> str:
    if name:
        return check_name("crawl", name)
    if since or until:
        return f"{since or 'start'}_{until or 'now'}"
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _run_spider(run: CrawlRun) -> None:
    """Run Scrapy to its end in this process; always close the WARC file and upload it to the lake."""
    for handler in logging.getLogger().handlers:  # Scrapy resets its loggers' levels when it starts
        handler.addFilter(_is_worth_logging)
    reader = None if run.delay else reader_process.start(run)
    process = CrawlerProcess(scrapy_settings(run))
    try:
        process.crawl(SiteSpider, run=run, reader=reader)
        process.start(install_signal_handlers=True)
    finally:
        try:
            try:
                run.write()
            finally:
                if reader:
                    reader_process.close(reader, run)
            warc.close_archive(run.archive)
        except (SQLAlchemyError, OSError) as error:  # a full disk, a store that is down: the next attempt recovers
            log.warning("%s: %s", run.plan.site.name, error)
            blocks.stop_crawl(
                run,
                f"responses cannot be kept ({type(error).__name__}); repair that, and run the crawl again to continue",
            )


def _is_worth_logging(line: logging.LogRecord) -> bool:
    return not line.name.startswith("scrapy") or line.levelno >= logging.WARNING


def _finish(lake: Lake, folder: str, run: CrawlRun, accept: bool) -> dict[str, Any]:
    """Write the report and return it. Raise CrawlStopped if the crawl is not done or its result cannot be trusted."""
    plan, left = run.plan, counts.count_queued(run.store, run.plan)
    if run.stopped:
        raise CrawlStopped(run.stopped)
    tally = counts.count_outcomes(run.store, plan)
    full = plan.max_pages is not None and counts.count_requested(run.store, plan) >= plan.max_pages
    if left and not full:
        raise CrawlStopped(
            f"crawl {plan.crawl} of {plan.site.name} was interrupted; {left} pages remain. "
            "Run the same command again to continue"
        )
    if why := _find_problem(run, tally, accept):
        raise CrawlStopped(why)
    cost = counts.read_cost(run.store, plan)
    report = {
        "source": plan.site.name,
        "crawl": plan.crawl,
        "since": plan.since,
        "until": plan.until,
        "mode": plan.mode,
        "sections": plan.sections,
        "max_pages": plan.max_pages,
        "pages": warc.write_index(lake, folder, run.archive.lines),
        **tally,
        "waiting": left,
        **{name: cost[name] for name in ("unchanged", "off_site", "attempts", "requests", "bytes")},
        "seconds": round(cost["seconds"], 3),
        "lists_cut": dict(sorted(run.bounds.cut.items())),
        "robots": run.robots,
        "delay": run.delay,
        "replica": bool(settings().replica),
        "code": chimed.__version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    report = finished.write_report(lake, folder, report)
    counts.mark_finished(run.store, plan, part=bool(plan.sections or left))
    return report


def _find_problem(run: CrawlRun, tally: dict[str, Any], accept: bool) -> str | None:
    """Return why the result cannot be trusted, or None; the same crawl requests or reads the affected pages again."""
    site, plan, store = run.plan.site, run.plan, run.store
    if why := _find_list_problem(run, tally):
        return why
    asked, states_of = counts.count_requested(store, plan), tally["states"]
    if asked > MAX_HARMLESS_MISSES and states_of.get(UNANSWERED, 0) == asked:
        return (
            f"none of {asked} pages of {site.name} has an answer; "
            "its layout changed or its parser is wrong: compare a page with its parser and correct it"
        )
    misses = counts.count_new_misses(store, plan)
    missed = sum(misses.values())
    if missed > max(MAX_HARMLESS_MISSES, settings().miss_share * asked):
        worst = max(misses, key=lambda reason: misses[reason])
        return (
            f"{missed} of {asked} pages of {site.name} gave no record, {misses[worst]} of them: "
            f"{worst}; correct its parser "
            f"and run the same crawl again, or raise CHIMED_MISS_SHARE ({settings().miss_share:g}) if that is right"
        )
    found, before = counts.compare_size(store, plan)
    if before >= MIN_USUAL_PAGES and found < MIN_SHARE_OF_USUAL * before and not accept:
        frontier.requeue(store, plan, plan.starts)
        return (
            f"{found} pages of {site.name} are known for {plan.since} to {plan.until}, "
            f"and usually {before:.0f} for as many days; "
            "if that is right, run the same crawl with --accept"
        )
    return None


def _find_list_problem(run: CrawlRun, tally: dict[str, Any]) -> str | None:
    """Return what is wrong with the crawl's lists, or None; the affected lists are requested again."""
    store, plan, site = run.store, run.plan, run.plan.site
    silent = counts.find_silent_sections(store, plan, responses.NO_LINK)
    nothing = tally["lists"] and tally["lists_missed"] >= tally["lists"]
    if nothing and frontier.find_answered(store, plan, ()):  # the site gave pages before, so this may be a block
        run.wait = DAY
    dead, late = counts.find_dead_lists(store, plan), counts.find_missing_lists(store, plan, states.UNKNOWN_STATES)
    if silent or (nothing and not dead and not late):
        frontier.requeue(store, plan, silent or tally["empty_lists"])
        which = silent[0] if silent else f"no list of {site.name}"
        return (
            f"{which} shows {'no' if silent else 'a'} page any more; "
            "its layout or its addresses changed: correct its file or CHIMED_LISTS"
        )
    if late:
        frontier.requeue(store, plan, list(late))
        url, reason = next(iter(late.items()))
        run.wait = DAY if counts.find_missing_lists(store, plan, (states.REFUSED,)) else None
        return (
            f"{len(late)} lists of {site.name} could not be fetched, such as {url}: {reason}; "
            "run the same crawl again later"
        )
    if len(dead) > settings().dead_lists:
        frontier.requeue(store, plan, list(dead))
        url, reason = next(iter(dead.items()))
        return (
            f"{len(dead)} of {len(plan.starts)} lists of {site.name} are dead, such as {url}: {reason}; set where they "
            f"begin now, or raise CHIMED_DEAD_LISTS ({settings().dead_lists}) if they are gone for good"
        )
    return None
