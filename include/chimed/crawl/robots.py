"""What an answer to robots.txt means for us (paper §3.1): stricter than the rule where a site says nothing clear."""

import codecs
import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from protego import Protego

from chimed.sources.text import decode

ROBOT = "chimed"
LONGEST_DELAY = 60.0  # a site that wants more seconds than this between two requests cannot be refreshed by the week
MOST_BYTES = 512 * 1024  # of robots.txt that are read, as RFC 9309 has it

_OUR_NAME = re.compile(rf"^[ \t]{{0,40}}user-?agent[ \t]{{0,40}}(?::[ \t]{{0,40}})?{ROBOT}\b", re.I | re.M)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Visits:
    """The hours of the day, UTC, in which a site wants visits; they may reach over midnight."""

    start: time
    end: time


@dataclass(frozen=True)
class Policy:
    """said: for the report. refusal: why the site is not crawled at all. rules: None where everything is allowed.
    visits: None where every hour is right."""

    said: str
    refusal: str | None = None
    rules: Protego | None = None
    delay: float = 0.0
    visits: Visits | None = None


def text_of(body: bytes) -> str:
    """The text of robots.txt, without the mark that some editors set before it."""
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return body[len(mark) : MOST_BYTES].decode(charset, errors="replace")
    return decode(body[:MOST_BYTES], None, "utf-8").lstrip("\ufeff")


def policy(status: int, text: str) -> Policy:
    """404 and the like: no rules. 401, 403: refused. 429, 5xx and endless redirects: not known, so not crawled.

    Of Crawl-delay and Request-rate the slower one counts, at every hour.
    """
    if status in (401, 403):
        return Policy("refused", f"robots.txt answers {status}, which refuses crawlers")
    if status >= 500 or status == 429 or 300 <= status < 400:
        return Policy("unreadable", f"robots.txt answers {status}, so its rules are not known")
    if status != 200:
        return Policy(f"none ({status})")
    rules = Protego.parse(text.lstrip("\ufeff"))
    said = "read, with rules for us by name" if _OUR_NAME.search(text) else "read"
    rate, hours = rules.request_rate(ROBOT), rules.visit_time(ROBOT)
    delay = max(float(rules.crawl_delay(ROBOT) or 0), rate.seconds / rate.requests if rate and rate.requests else 0.0)
    visits = Visits(hours.start_time, hours.end_time) if hours else None
    if delay > LONGEST_DELAY:
        return Policy(said, f"it asks for {delay:g} seconds between two requests; agree on a pace with its owner")
    return Policy(said, None, rules, delay, visits)


def is_open(visits: Visits, now: datetime) -> bool:
    """Whether a moment (UTC) lies in the hours for visits."""
    moment = now.time()
    if visits.start <= visits.end:
        return visits.start <= moment <= visits.end
    return moment >= visits.start or moment <= visits.end


def until_open(visits: Visits, now: datetime) -> float:
    """Seconds from a moment (UTC) to when visits are wanted next."""
    opens = datetime.combine(now.date(), visits.start, now.tzinfo)
    return ((opens if opens > now else opens + timedelta(days=1)) - now).total_seconds()


def closed(visits: Visits) -> str:
    """Why nothing is asked now."""
    return f"robots.txt allows visits from {visits.start:%H:%M} to {visits.end:%H:%M} UTC only (Visit-time)"
