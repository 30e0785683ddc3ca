"""Detect blocks: recognize when a site stops serving pages, and stop crawling it (paper §3.1).

A block need not announce itself: it may be a page with status 200, a redirect to the home page or a 404 for every
address. But the answers of a block look alike, and the pages of a site do not. An answer without a page is therefore
held back until the next page arrives. If the site goes on serving pages, the answer was about its own page; if many
like it follow, it is about the site.

When known pages seem to be gone, the crawl requests a page that gave records before (a proof). If that page still gives
records, the others really are gone. If it does not, or if new pages are all alike, the crawl stops. Held answers then
count for nothing: those pages keep their state and are requested again. If the next attempt finds the same, it also
asks for a proof.
"""

import re
from collections.abc import Callable

from chimed.crawl import frontier
from chimed.crawl.download import CrawlRun
from chimed.crawl.seen import PageResult, record_page
from chimed.storage import warc
from chimed.storage.states import ANSWERED, FAILED, GONE, IN_WORDS, MISSED, MOVED, REFUSED, UNANSWERED

# pages that were refused or failed, each requested three times: then the site is down or does not want us
MAX_FAILURES_IN_A_ROW = 10
MAX_REFUSALS_IN_A_ROW = 3  # pages that refuse in words
ALIKE_BEFORE_PROOF = 5  # answers without a page that are alike: then a proof is requested
KEPT_EVIDENCE = 3  # answers of a block that are stored
# seconds for which a site that refuses, or one that is down, is left alone if it names no time
DAY, HOUR = 86_400.0, 3_600.0

_CODES, _DIGIT = re.compile(r"[!-~\d]+"), re.compile(r"\d")


def likeness(text: str) -> str:
    """Return the words of a page without numbers, codes and addresses: the same for two pages of one kind."""
    words = _CODES.sub(lambda run: "" if _DIGIT.search(run[0]) else run[0], text)
    return re.sub(r"\W+", " ", words).strip()[:200] or "nothing to read"


def record_result(run: CrawlRun, seen: PageResult) -> None:
    """Record what an answer says: write it down, hold it back, or stop the crawl."""
    a_list = seen.row["kind"] == "list"
    # first pages of lists are checked at the end (`crawl`); that a list is served says nothing about pages
    quiet = a_list and seen.url in run.plan.starts and seen.state not in (REFUSED, FAILED)
    if seen.like is None or quiet:
        if not a_list:
            release_held(run)
            run.good = seen.url
        record_page(run, seen)
    elif seen.state == seen.row["state"] and seen.state in (GONE, MISSED, MOVED):
        record_page(run, seen)  # as it was before: says nothing new of the page, and nothing of the site
    else:
        run.held.append(seen)
        _check_for_block(run)


def _check_for_block(run: CrawlRun) -> None:
    held, last = run.held, run.held[-1]
    pages = [one for one in held if one.row["kind"] == "detail"]
    alike = _count_at_end(pages, lambda seen: seen.like == last.like)
    fresh = _count_at_end(pages, lambda seen: seen.like == last.like and not seen.row["state"])
    kept_back = _count_at_end(held, lambda seen: seen.state in (REFUSED, FAILED))
    in_words = _count_at_end(held, lambda seen: seen.reason == IN_WORDS)
    if in_words >= MAX_REFUSALS_IN_A_ROW or kept_back >= MAX_FAILURES_IN_A_ROW:
        what = f"{kept_back} pages in a row could not be fetched, the last with {last.reason}"
        stop_at_block(run, what, HOUR if last.state == FAILED else DAY)
    elif last.state in (REFUSED, FAILED) or run.proving:
        return
    elif alike == fresh and not run.suspected:
        if (
            alike > MAX_FAILURES_IN_A_ROW
        ):  # pages that a list has just shown are seldom gone, so the next attempt asks for a proof
            stop_at_block(run, f"{alike} new pages in a row are alike, the last: {last.reason}", DAY)
    elif alike >= (run.alike or ALIKE_BEFORE_PROOF) and not _request_proof(run) and alike > MAX_FAILURES_IN_A_ROW:
        stop_at_block(run, f"{alike} answers in a row are alike, the last: {last.reason}", DAY)
    if len(run.held) > 2 * MAX_FAILURES_IN_A_ROW and not run.proving:
        record_page(run, run.held.pop(0))


def _request_proof(run: CrawlRun) -> bool:
    """Choose a page that gave records before and have it requested; return whether there is one."""
    run.proof = frontier.find_answered(run.store, run.plan, {one.url for one in run.held}) if run.delay else None
    run.proving = run.proof is not None
    return run.proving


def _count_at_end(held: list[PageResult], is_so: Callable[[PageResult], bool]) -> int:
    count = 0
    for one in reversed(held):
        if not is_so(one):
            break
        count += 1
    return count


def record_proof(run: CrawlRun, seen: PageResult) -> None:
    """Record the answer to a proof: it decides whether the held answers are about their pages or a block."""
    run.proving = False
    if seen.state in (ANSWERED, UNANSWERED):
        run.alike = 2 * (run.alike or ALIKE_BEFORE_PROOF)
        release_held(run)
        record_page(run, seen)
        return
    last = run.held[-1].reason if run.held else seen.reason
    run.held.append(seen)
    what = f"{len(run.held)} answers in a row are alike, the last: {last}; {seen.url} gives no page any more either"
    stop_at_block(run, what, DAY)


def release_held(run: CrawlRun) -> None:
    """Record all held results: they are about their pages, not about the site."""
    held, run.held = run.held, []
    for one in held:
        record_page(run, one)


def finish(run: CrawlRun) -> None:
    """Decide what the held answers mean when the crawl has nothing more to request.

    If every page was refused, a short crawl met a block. If a list did not lead on as it announced, or a few pages were
    alike, a proof is requested first (`run.proof`).
    """
    held = run.held
    if run.stopped or run.proving:
        return
    doubtful = (
        any(one.row["kind"] == "list" for one in held) or _count_at_end(held, lambda s: s.like == held[-1].like) > 2
    )
    if held and run.good is None and all(one.state == REFUSED for one in held):
        stop_at_block(run, f"every page was refused, the last with {held[-1].reason}", DAY)
    elif not (doubtful and _request_proof(run)):
        release_held(run)


def stop_at_block(run: CrawlRun, what: str, wait: float) -> None:
    """Stop the crawl because of a block; held pages stay queued, and a few of their answers are kept as evidence."""
    held, run.held = run.held, []
    for one in held[-KEPT_EVIDENCE:]:
        if one.exchange:
            warc.write_exchange(run.archive, one.exchange, "refusal")
    stop_crawl(run, f"{run.plan.site.name} blocks us or is down: {what}; run the crawl again later to continue", wait)


def stop_crawl(run: CrawlRun, why: str, wait: float | None = None) -> None:
    """Request nothing more from the site in this attempt. Only the first reason is kept.

    wait: seconds for which the site is to be left alone; None if the site did not ask for the stop.
    """
    if not run.stopped:
        run.stopped, run.wait = why, wait
