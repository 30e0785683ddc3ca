"""Interpret robots.txt (paper §3.1): stricter than the standard if a site's answer is unclear."""

import codecs
import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from protego import Protego

from chimed.sources.text import decode

ROBOT_NAME = "chimed"
MAX_DELAY = 60.0  # a site that wants more seconds than this between two requests cannot be refreshed by the week
MAX_BYTES = 512 * 1024  # of robots.txt that are read, as RFC 9309 has it

_OUR_NAME = re.compile(rf"^[ \t]{{0,40}}user-?agent[ \t]{{0,40}}(?::[ \t]{{0,40}})?{ROBOT_NAME}\b", re.I | re.M)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Visits:
    """The hours of the day, UTC, in which a site accepts visits; they may span midnight."""

    start: time
    end: time


@dataclass(frozen=True)
class Policy:
    """What robots.txt allows.

    said: for the report. refusal: why the site is not crawled at all. rules: None if everything is allowed. visits:
    None if every hour is allowed.
    """

    said: str
    refusal: str | None = None
    rules: Protego | None = None
    delay: float = 0.0
    visits: Visits | None = None


def decode_robots(body: bytes) -> str:
    """Return the text of robots.txt without a byte order mark."""
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return body[len(mark) : MAX_BYTES].decode(charset, errors="replace")
    return decode(body[:MAX_BYTES], None, "utf-8").lstrip("\ufeff")


def parse_policy(status: int, text: str) -> Policy:
    """Return the policy of a robots.txt response.

    404 and the like mean no rules; 401 and 403 refuse crawlers; 429, 5xx and endless redirects leave the rules unknown,
    so the site is not crawled. The slower of Crawl-delay and Request-rate applies, at every hour.
    """
    if status in (401, 403):
        return Policy("refused", f"robots.txt answers {status}, which refuses crawlers")
    if status >= 500 or status == 429 or 300 <= status < 400:
        return Policy("unreadable", f"robots.txt answers {status}, so its rules are not known")
    if status != 200:
        return Policy(f"none ({status})")
    rules = Protego.parse(text.lstrip("\ufeff"))
    said = "read, with rules for us by name" if _OUR_NAME.search(text) else "read"
    rate, hours = rules.request_rate(ROBOT_NAME), rules.visit_time(ROBOT_NAME)
    delay = max(
        float(rules.crawl_delay(ROBOT_NAME) or 0), rate.seconds / rate.requests if rate and rate.requests else 0.0
    )
    visits = Visits(hours.start_time, hours.end_time) if hours else None
    if delay > MAX_DELAY:
        return Policy(said, f"it asks for {delay:g} seconds between two requests; agree on a pace with its owner")
    return Policy(said, None, rules, delay, visits)


def is_open(visits: Visits, now: datetime) -> bool:
    """Return whether a moment (UTC) is within the visiting hours."""
    moment = now.time()
    if visits.start <= visits.end:
        return visits.start <= moment <= visits.end
    return moment >= visits.start or moment <= visits.end


def seconds_until_open(visits: Visits, now: datetime) -> float:
    """Return the seconds from a moment (UTC) to the next visiting hours."""
    opens = datetime.combine(now.date(), visits.start, now.tzinfo)
    return ((opens if opens > now else opens + timedelta(days=1)) - now).total_seconds()


def describe_visits(visits: Visits) -> str:
    """Return a sentence that says why nothing is requested now."""
    return f"robots.txt allows visits from {visits.start:%H:%M} to {visits.end:%H:%M} UTC only (Visit-time)"
