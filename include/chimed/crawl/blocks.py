"""Blocks: a site that gives no page any more, and the answers by which that is told (paper §3.1).

A block need not say so: it may be a page of status 200, a redirect home or a 404 for whatever is asked. But its answers
look alike, and pages of a site do not. So an answer that gave no page is held back until the next one that did: alone
it says something of its page, in a row of its like it says something of the site. Where known pages seem to be gone, a
page that gave records before is asked for: if it still does, the others are gone indeed. If not, or where new pages are
all alike, the site is left alone, and nothing that was held counts as an answer: those pages are as they were, and are
asked again. If that attempt finds the same, it asks for a proof too.
"""

import re
from collections.abc import Callable

from chimed.crawl import frontier
from chimed.crawl.download import Run
from chimed.crawl.seen import Seen, write_down
from chimed.storage import warc
from chimed.storage.states import ANSWERED, FAILED, GONE, IN_WORDS, MISSED, MOVED, REFUSED, UNANSWERED

IN_A_ROW = 10  # pages that were refused or failed, each asked for three times: the site is down or does not want us
REFUSALS = 3  # pages in a row that refuse in words
ALIKE = 5  # answers alike, and no page: the site has to prove that it still gives pages
EVIDENCE = 3  # of the answers of a block, kept
DAY, HOUR = 86_400.0, 3_600.0  # seconds for which a site is left alone that refuses, or that is down, and says no time

_CODES, _DIGIT = re.compile(r"[!-~\d]+"), re.compile(r"\d")


def likeness(text: str) -> str:
    """What two pages of one kind have in common: their words without numbers, codes and addresses."""
    words = _CODES.sub(lambda run: "" if _DIGIT.search(run[0]) else run[0], text)
    return re.sub(r"\W+", " ", words).strip()[:200] or "nothing to read"


def weigh(run: Run, seen: Seen) -> None:
    """Takes in what an answer says: writes it down, holds it back, or stops the crawl."""
    a_list = seen.row["kind"] == "list"
    # where a list begins is looked at in the end; that others are given says nothing of pages
    quiet = a_list and seen.url in run.plan.starts and seen.state not in (REFUSED, FAILED)
    if seen.like is None or quiet:
        if not a_list:
            settle_held(run)
            run.good = seen.url
        write_down(run, seen)
    elif seen.state == seen.row["state"] and seen.state in (GONE, MISSED, MOVED):
        write_down(run, seen)  # as it was before: says nothing new of the page, and nothing of the site
    else:
        run.held.append(seen)
        _look_at_row(run)


def _look_at_row(run: Run) -> None:
    held, last = run.held, run.held[-1]
    pages = [one for one in held if one.row["kind"] == "detail"]
    alike = _at_the_end(pages, lambda seen: seen.like == last.like)
    fresh = _at_the_end(pages, lambda seen: seen.like == last.like and not seen.row["state"])
    kept_back = _at_the_end(held, lambda seen: seen.state in (REFUSED, FAILED))
    in_words = _at_the_end(held, lambda seen: seen.reason == IN_WORDS)
    if in_words >= REFUSALS or kept_back >= IN_A_ROW:
        what = f"{kept_back} pages in a row could not be had, the last with {last.reason}"
        stop_at_block(run, what, HOUR if last.state == FAILED else DAY)
    elif last.state in (REFUSED, FAILED) or run.proving:
        return
    elif alike == fresh and not run.suspected:
        if alike > IN_A_ROW:  # pages that a list has just shown are seldom gone: the next attempt asks for a proof
            stop_at_block(run, f"{alike} new pages in a row are alike, the last: {last.reason}", DAY)
    elif alike >= (run.alike or ALIKE) and not _asks_for_proof(run) and alike > IN_A_ROW:
        stop_at_block(run, f"{alike} answers in a row are alike, the last: {last.reason}", DAY)
    if len(run.held) > 2 * IN_A_ROW and not run.proving:
        write_down(run, run.held.pop(0))


def _asks_for_proof(run: Run) -> bool:
    """Has a page asked for that gave records before; whether there is one."""
    run.proof = frontier.one_answered(run.store, run.plan, {one.url for one in run.held}) if run.delay else None
    run.proving = run.proof is not None
    return run.proving


def _at_the_end(held: list[Seen], is_so: Callable[[Seen], bool]) -> int:
    count = 0
    for one in reversed(held):
        if not is_so(one):
            break
        count += 1
    return count


def prove(run: Run, seen: Seen) -> None:
    """What a page that gave records before gives now says what the held answers are: of their pages, or of a block."""
    run.proving = False
    if seen.state in (ANSWERED, UNANSWERED):
        run.alike = 2 * (run.alike or ALIKE)
        settle_held(run)
        write_down(run, seen)
        return
    last = run.held[-1].reason if run.held else seen.reason
    run.held.append(seen)
    what = f"{len(run.held)} answers in a row are alike, the last: {last}; {seen.url} is not given any more either"
    stop_at_block(run, what, DAY)


def settle_held(run: Run) -> None:
    """What was held back says something of its pages."""
    held, run.held = run.held, []
    for one in held:
        write_down(run, one)


def end(run: Run) -> None:
    """The crawl has no more to ask for. Where every page of it was refused, that was a block of a small week; where a
    list did not lead on as it said, or a few pages were alike, a proof is asked for first (`run.proof`)."""
    held = run.held
    if run.stopped or run.proving:
        return
    doubtful = (
        any(one.row["kind"] == "list" for one in held) or _at_the_end(held, lambda s: s.like == held[-1].like) > 2
    )
    if held and run.good is None and all(one.state == REFUSED for one in held):
        stop_at_block(run, f"every page was refused, the last with {held[-1].reason}", DAY)
    elif not (doubtful and _asks_for_proof(run)):
        settle_held(run)


def stop_at_block(run: Run, what: str, wait: float) -> None:
    """The site is left alone; what was held is still wanted, and a few of its answers are kept as evidence."""
    held, run.held = run.held, []
    for one in held[-EVIDENCE:]:
        if one.exchange:
            warc.keep(run.archive, one.exchange, "refusal")
    stop(run, f"{run.plan.site.name} blocks us or is down: {what}; its frontier keeps its place", wait)


def stop(run: Run, why: str, wait: float | None = None) -> None:
    """Nothing more is asked of the site in this attempt; the first reason counts.

    wait: seconds for which the site is to be left alone; None where the stop is not its will.
    """
    if not run.stopped:
        run.stopped, run.wait = why, wait
