"""Fetch one site's pages politely into WARC files; a finished crawl is not fetched again (paper §3.1).

A crawl has a name: its interval or its day. Its files lie in `raw/<source>/<crawl>/`; `report.json` is written last.
A killed crawl goes on where it was when it is started again under the same name, and so does one whose days were not
over when it was done.
"""

import logging
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from scrapy.crawler import CrawlerProcess
from sqlalchemy.exc import SQLAlchemyError

import chimed
from chimed.crawl import blocks, counts, finished, frontier, reader_process, responses
from chimed.crawl.blocks import DAY
from chimed.crawl.download import Run, scrapy_settings
from chimed.crawl.plan import Plan
from chimed.crawl.spider import SiteSpider
from chimed.errors import CrawlStopped, UserError, choose
from chimed.settings import settings
from chimed.sources.page import load
from chimed.storage import layout, states, warc
from chimed.storage.lake import Lake, open_lake
from chimed.storage.lease import lease
from chimed.storage.naming import check_name
from chimed.storage.states import UNANSWERED
from chimed.storage.store import Store, open_store

log = logging.getLogger("chimed")

FEW_MISSES = 4  # so many say nothing of a site, whatever their share (settings.miss_share)
SMALL = 1 / 3  # of the pages that weeks have usually: fewer are told
ENOUGH = 20  # pages a week from which on its size says something


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
) -> dict:
    """Crawls a site and returns the crawl's report; once in a process, for Scrapy's reactor runs only once.

    since, until: the interval [since, until); dated sites give the pages published in it. mode: refresh (new and
    changed pages) or full (every page). accept: a week is taken though it is unusually small. unattended: nobody
    watches, so that nothing is asked while the site wants to be left alone. Raises UserError for what cannot be asked,
    CrawlStopped where the site must not be asked further: then no report is written, and the same call goes on from
    there. A crawl that was done before its interval was over is taken up again.
    """
    site = load(source)
    for section in sections or ():
        choose("section", section, list(site.sections))
    if since and until and since >= until:
        raise UserError(f"the interval from {since} to {until} is empty; --to is the day after its last")
    plan = Plan(site, _name(name, since, until), since, until, mode, max_pages, sections)
    lake, folder = open_lake(), layout.raw(source, plan.crawl)
    done = finished.report_of(lake, source, plan.crawl)
    store = open_store()
    if done and _is_over(done):
        log.info("crawl %s of %s: already done", plan.crawl, source)
        if counts.is_open(store, plan):  # it ended between its report and the store
            counts.note_done(store, plan, part=bool(done["sections"] or done["waiting"]))
        return done
    log.info("%s", _intent(plan, frontier.pace(site)))
    if unattended:
        _leave_alone(store, source)
    run = Run(plan, store, warc.Archive(lake, folder, Path()), frontier.pace(site))
    with lease(store, lake.at(layout.RAW), source, partial(blocks.stop, run)):
        run.archive = warc.open_archive(lake, folder)  # brings in what a killed attempt left
        if done:
            log.info(
                "crawl %s of %s: was crawled before its last day was over; it is completed now", plan.crawl, source
            )
            frontier.take_up(store, plan)
        frontier.requeue_lost(store, plan, warc.whole_places(lake))
        responses.take_over(run, lake)
        frontier.begin(store, plan, frontier.most_again(run.delay))
        run.suspected = counts.cost(store, plan)["blocked"] > 0
        _spider(run)
    try:
        return _finish(lake, folder, run, accept)
    except CrawlStopped as stopped:
        blocked = counts.note_stop(store, plan, str(stopped), run.wait)
        raise CrawlStopped(str(stopped), run.wait, blocked) from None


def _intent(plan: Plan, delay: float) -> str:
    """What a crawl is about to do, in a sentence: the first line of its log."""
    if plan.dated:
        days = f"pages published from {plan.since or 'the first day'} to the day before {plan.until or 'today'}"
    else:
        days = "all pages" if plan.mode == "full" else "what is new or changed"
    sections = f"in {', '.join(plan.sections)}" if plan.sections else f"in all {len(plan.site.sections)} sections"
    most = f", at most {plan.max_pages} pages" if plan.max_pages else ""
    where = "a replica of the site" if settings().replica else ", ".join(plan.site.hosts)
    pace = f"one request every {delay:g} s" if delay else "without a pause"
    return f"crawl {plan.crawl} of {plan.site.name} begins: {days}, {sections}{most}, from {where}, {pace}"


def _is_over(report: dict) -> bool:
    """Whether the days of a finished crawl were over when it was done; one without an interval is."""
    if not (report["since"] or report["until"]):
        return True
    ended = states.day_of(datetime.fromisoformat(report["finished"]))
    return bool(report["until"]) and ended >= date.fromisoformat(report["until"])


def _leave_alone(store: Store, source: str) -> None:
    """Raises CrawlStopped where the site wants to be left alone for some time yet."""
    seconds, why, blocked = counts.left_alone(store, source)
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


def _spider(run: Run) -> None:
    """Runs Scrapy to its end in this process; whatever ends it, the WARC file is closed and brought into the lake."""
    for handler in logging.getLogger().handlers:  # Scrapy sets its loggers' levels anew when it starts
        handler.addFilter(_is_worth_saying)
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
                    reader_process.end(reader, run)
            warc.close(run.archive)
        except (SQLAlchemyError, OSError) as error:  # a disk that filled, a store that is down: told, and taken over
            log.warning("%s: %s", run.plan.site.name, error)
            blocks.stop(run, f"what came could not be kept ({type(error).__name__}); the frontier keeps its place")


def _is_worth_saying(line: logging.LogRecord) -> bool:
    return not line.name.startswith("scrapy") or line.levelno >= logging.WARNING


def _finish(lake: Lake, folder: str, run: Run, accept: bool) -> dict:
    """The report, written last. Raises CrawlStopped where the crawl is not done or not to be trusted."""
    plan, left = run.plan, counts.waiting(run.store, run.plan)
    if run.stopped:
        raise CrawlStopped(run.stopped)
    tally = counts.tally(run.store, plan)
    full = plan.max_pages is not None and counts.asked(run.store, plan) >= plan.max_pages
    if left and not full:
        raise CrawlStopped(
            f"crawl {plan.crawl} of {plan.site.name} was interrupted; {left} pages remain. "
            "Run the same command again to continue"
        )
    if why := _alarm(run, tally, accept):
        raise CrawlStopped(why)
    cost = counts.cost(run.store, plan)
    report = {
        "source": plan.site.name,
        "crawl": plan.crawl,
        "since": plan.since,
        "until": plan.until,
        "mode": plan.mode,
        "sections": plan.sections,
        "max_pages": plan.max_pages,
        "pages": warc.index(lake, folder, run.archive.lines),
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
    counts.note_done(run.store, plan, part=bool(plan.sections or left))
    return report


def _alarm(run: Run, tally: dict, accept: bool) -> str | None:
    """Why what came back is not to be trusted; what it is about is asked for or read again by the same crawl."""
    site, plan, store = run.plan.site, run.plan, run.store
    if why := _lists_amiss(run, tally):
        return why
    asked, states_of = counts.asked(store, plan), tally["states"]
    if asked > FEW_MISSES and states_of.get(UNANSWERED, 0) == asked:
        return f"none of {asked} pages of {site.name} has an answer; its layout changed, or its parser is wrong"
    misses = counts.new_misses(store, plan)
    missed = sum(misses.values())
    if missed > max(FEW_MISSES, settings().miss_share * asked):
        worst = max(misses, key=lambda reason: misses[reason])
        return (
            f"{missed} of {asked} pages of {site.name} are misses, {misses[worst]} of them: {worst}; mend its parser "
            f"and run the same crawl again, or raise CHIMED_MISS_SHARE ({settings().miss_share:g}) if it is like that"
        )
    found, before = counts.usual(store, plan)
    if before >= ENOUGH and found < SMALL * before and not accept:
        frontier.want_again(store, plan, plan.starts)
        return (
            f"{found} pages of {site.name} are known of {plan.since} to {plan.until}, and {before:.0f} of such a time "
            "before; where that is right, run the same crawl with --accept"
        )
    return None


def _lists_amiss(run: Run, tally: dict) -> str | None:
    """What is wrong with the lists of a crawl, if anything is; they are asked for again."""
    store, plan, site = run.store, run.plan, run.plan.site
    silent = counts.silent_sections(store, plan, responses.NO_LINK)
    nothing = tally["lists"] and tally["lists_missed"] >= tally["lists"]
    if nothing and frontier.one_answered(store, plan, ()):  # a site that gave pages before: it may be a block
        run.wait = DAY
    dead, late = counts.dead_lists(store, plan), counts.lists_not_had(store, plan, states.UNTOLD)
    if silent or (nothing and not dead and not late):
        frontier.want_again(store, plan, silent or tally["empty_lists"])
        which = silent[0] if silent else f"no list of {site.name}"
        return f"{which} shows {'no' if silent else 'a'} page any more; its layout or its addresses changed"
    if late:
        frontier.want_again(store, plan, list(late))
        url, reason = next(iter(late.items()))
        run.wait = DAY if counts.lists_not_had(store, plan, (states.REFUSED,)) else None
        return f"{len(late)} lists of {site.name} could not be had, as {url}: {reason}; what they show is not known"
    if len(dead) > settings().dead_lists:
        frontier.want_again(store, plan, list(dead))
        url, reason = next(iter(dead.items()))
        return (
            f"{len(dead)} of {len(plan.starts)} lists of {site.name} are dead, as {url}: {reason}; say where they "
            f"begin now, or raise CHIMED_DEAD_LISTS ({settings().dead_lists}) if they are gone for good"
        )
    return None
