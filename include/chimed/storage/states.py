"""Derive a page's state from its last response, and the day on which it is requested again (paper §3.1).

A question is rechecked while an answer is likely, and a page while it is likely to change; both become less likely with
age. Pure functions; days are those of the sites' time zone.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

TIME_ZONE = "Asia/Shanghai"

# The states of a page that was asked for; one that never was has none.
UNANSWERED = "unanswered"  # an open question
ANSWERED = "answered"  # the page gave its records
GONE = "gone"  # 404, 410, the home page instead, a note that it was deleted
MOVED = "moved"  # the address leads to another page
REFUSED = "refused"  # the site did not want to answer: says nothing of the page
FAILED = "failed"  # the site or the network could not: says nothing of the page either
MISSED = "missed"  # it came, and the parser found no record in it
FORBIDDEN = "forbidden"  # by robots.txt: not asked for
STATES = (ANSWERED, UNANSWERED, GONE, MOVED, MISSED, REFUSED, FAILED, FORBIDDEN)
UNKNOWN_STATES = (REFUSED, FAILED)  # what the page is now is not known

# Reasons of misses that are states of their own.
BY_ROBOTS = "forbidden by robots.txt"
NO_ANSWER = "no answer"
HOME = "home page instead of the page"
SAYS_GONE = "says that it is gone"
ELSEWHERE = "moved to another address"
IN_WORDS = "refused in words"
OFF_SITE, ENDLESS = "redirected off the site", "redirected without end"
NOWHERE = (OFF_SITE, ENDLESS)

# Days of age at which a page is asked again; it is `LAST` days after the last time once it is older than all of them.
# An answered page's first step is its site's own (`Site.recheck`).
RECHECK_AGES = {UNANSWERED: (1, 3, 10, 28), ANSWERED: (28, 180), MISSED: (28, 180), MOVED: (180,)}
RECHECK_DAYS = 180
GONE_CONFIRM_DAYS = 10  # days between two answers that a page is gone, from which on it is gone for good
RETRY_DAYS = 28  # days for which every crawl asks again for what fails; then it is asked as rarely as that


def today() -> date:
    """Return the current day in the sites' time zone."""
    return day_of(datetime.now(ZoneInfo(TIME_ZONE)))


def day_of(moment: datetime) -> date:
    """Return the day of a moment (with a zone) in the sites' time zone."""
    return moment.astimezone(ZoneInfo(TIME_ZONE)).date()


def state_of(status: int | None, miss: str | None) -> str:
    """Return the state of a page whose last request had this status (None: no response) and this miss."""
    named = {
        None: ANSWERED,
        NO_ANSWER: UNANSWERED,
        HOME: GONE,
        SAYS_GONE: GONE,
        ELSEWHERE: MOVED,
        IN_WORDS: REFUSED,
        BY_ROBOTS: FORBIDDEN,
    }
    if miss in named:
        return named[miss]
    if status in (404, 410):
        return GONE
    if status is None or status >= 500 or status == 408:
        return FAILED
    return REFUSED if status >= 400 else MISSED


def next_due(
    state: str, asked: date, born: date, since: date, steps: Mapping[str, tuple[int, ...]] = RECHECK_AGES
) -> date:
    """Return the day from which a page is requested again.

    asked: the day of the last request. born: the day the page was published, or first seen. since: the day since which
    it has been in this state.
    """
    if state == GONE:
        second = since + timedelta(GONE_CONFIRM_DAYS)
        return second if asked < second else asked + timedelta(RECHECK_DAYS)
    if state in UNKNOWN_STATES:
        return asked if asked < since + timedelta(RETRY_DAYS) else asked + timedelta(RETRY_DAYS)
    if state == FORBIDDEN:  # its rules are read by every crawl, which costs no request
        return asked
    later = (born + timedelta(step) for step in steps[state])
    return next((day for day in later if day > asked), asked + timedelta(RECHECK_DAYS))
