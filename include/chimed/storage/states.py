"""What a page's last answer says of it, and the day on which it is asked again (paper §3.1).

A question is asked again while an answer is likely to come, and a page while it is likely to change: both become
rarer with its age. Pure functions; days are those of the sites' own clock.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = "Asia/Shanghai"

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
UNTOLD = (REFUSED, FAILED)  # what the page is now is not known

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
STEPS = {UNANSWERED: (1, 3, 10, 28), ANSWERED: (28, 180), MISSED: (28, 180), MOVED: (180,)}
LAST = 180
GONE_TWICE = 10  # days between two answers that a page is gone, from which on it is gone for good
PATIENT = 28  # days for which every crawl asks again for what fails; then it is asked as rarely as that


def today() -> date:
    """The day by the sites' clock."""
    return day_of(datetime.now(ZoneInfo(ZONE)))


def day_of(moment: datetime) -> date:
    """The day of a moment (with its zone) by the sites' clock."""
    return moment.astimezone(ZoneInfo(ZONE)).date()


def state_of(status: int | None, miss: str | None) -> str:
    """The state of a page whose last request ended with this status (None: with nothing) and this miss."""
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


def due(state: str, asked: date, born: date, since: date, steps: Mapping[str, tuple[int, ...]] = STEPS) -> date:
    """The day from which on a page is asked again.

    asked: the day it was asked last. born: the day it was published, or first seen. since: the day since which it is
    in this state.
    """
    if state == GONE:
        second = since + timedelta(GONE_TWICE)
        return second if asked < second else asked + timedelta(LAST)
    if state in UNTOLD:
        return asked if asked < since + timedelta(PATIENT) else asked + timedelta(PATIENT)
    if state == FORBIDDEN:  # its rules are read by every crawl, which costs no request
        return asked
    later = (born + timedelta(step) for step in steps[state])
    return next((day for day in later if day > asked), asked + timedelta(LAST))
