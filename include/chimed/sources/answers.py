"""What a site's answer means: a page kept and read, a list that leads on, a redirect, a captcha, a request to wait.

Works on the frontier, the WARC files and the run's counts, never on the network (paper §3.1). A page is in its WARC
file before the frontier says so; what a killed attempt left between the two is read back by `take_over`.
"""

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from parsel import Selector
from sqlalchemy.exc import SQLAlchemyError

from chimed.lake import Lake
from chimed.sources import frontier, warc
from chimed.sources.challenge import wants_a_person
from chimed.sources.page import Link, Miss, read_page
from chimed.sources.text import decode
from chimed.sources.wire import Run

log = logging.getLogger("chimed")

REDIRECTS = 5
FAILURES_IN_A_ROW = 10  # of pages, each asked for three times: the site is down or does not want us
LONGEST_WAIT = 600.0  # seconds of a Retry-After that a crawl waits; a site that wants more is left alone
WAITS = 3  # in a crawl
HOME = "home page instead of the page"
NO_DAY = "no day on the page"
NO_LINK = "no link on the list"
NOT_HAD = (401, 403, 408)  # and 5xx: says nothing of the page itself


@dataclass(frozen=True)
class Answer:
    """What came back for a page of the frontier.

    body: content encoding taken off; text: it decoded; headers: names in small letters; hops: redirects before it;
    led_on: a list, and what it shows is queued.
    """

    url: str
    status: int
    body: bytes
    text: str
    headers: dict[str, str]
    exchange: warc.Exchange | None  # None: it lies in a WARC file already
    hops: int = 0
    led_on: bool = False

    @property
    def target(self) -> str:
        """Where a redirect leads; empty where it is none."""
        return urljoin(self.url, self.headers.get("location", "")) if 300 <= self.status < 400 else ""


@dataclass(frozen=True)
class Again:
    """The same page, to be asked for at this address."""

    url: str
    hops: int


def stop(run: Run, why: str) -> None:
    """Nothing more is asked of the site in this attempt; the first reason counts."""
    run.stopped = run.stopped or why


def heed(run: Run, answer: Answer) -> None:
    """What an answer asks of us at once, before another request may leave: to stop, or to wait.

    A captcha, login or challenge page stops the crawl; nothing tries to pass it. 429 and 503 with Retry-After: the
    crawl waits as long as they say, within bounds, and goes on at half the pace; else it stops.
    """
    site = run.plan.site
    if wants_a_person(site, answer.target, answer.text):
        stop(run, f"{site.name} wants a person (captcha or login) at {answer.url}; its frontier keeps its place")
    elif _is_busy(answer):
        seconds = _seconds(answer.headers.get("retry-after"))
        run.waits += 1
        if seconds is None or seconds > LONGEST_WAIT or run.waits > WAITS:
            asked = f"{answer.status}, {'no time said' if seconds is None else f'for {seconds:.0f} seconds'}"
            stop(run, f"{site.name} asks to slow down ({asked}) at {answer.url}; its frontier keeps its place")
        else:
            log.warning("%s: HTTP %d, waiting %.0f seconds as it asks", site.name, answer.status, seconds)
            run.pause(seconds)


def settle_surely(run: Run, row: dict, answer: Answer) -> Again | None:
    """`settle`; a page that the site's parser fails on is a miss with that reason, a store that fails is the end."""
    try:
        return settle(run, row, answer)
    except (SQLAlchemyError, OSError) as error:
        log.exception("%s: %s", run.plan.site.name, row["url"])
        stop(run, f"what comes cannot be kept ({type(error).__name__}); the frontier keeps its place")
    except Exception as error:  # a parser of a hostile page: any mistake is possible, and told whole in the log
        log.exception("%s: %s", run.plan.site.name, row["url"])
        run.settle(row["url"], miss=f"reader error: {type(error).__name__}")
    return None


def settle(run: Run, row: dict, answer: Answer) -> Again | None:
    """Does with an answer what is to be done with the page; returns what to ask next for the same page."""
    if run.stopped:
        return None
    if _is_busy(answer):
        return Again(answer.url, answer.hops)
    if answer.status in NOT_HAD or answer.status >= 500:
        fail(run, row, f"HTTP {answer.status}", answer.status)
        return None
    if row["kind"] == "detail":
        run.failing = []
    if answer.target and answer.status != 304:
        return follow(run, row, answer)
    if row["kind"] == "list":
        read_list(run, row, answer)
    else:
        read_detail(run, row, answer)
    return None


def _is_busy(answer: Answer) -> bool:
    return answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers)


def _seconds(said: str | None) -> float | None:
    """Retry-After in seconds: a number, or a date."""
    if said is None:
        return None
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # neither: as if it said nothing
        return None


def follow(run: Run, row: dict, answer: Answer) -> Again | None:
    """A redirect to the same page's other form is followed; to another page of the site, that page is queued."""
    site, target, hops = run.plan.site, answer.target, answer.hops + 1
    other = site.canonical(target)
    if urlsplit(target).hostname not in site.hosts and urlsplit(other).hostname not in site.hosts:
        run.off_site += 1
        _miss(run, row, answer, "redirected off the site")
    elif urlsplit(other).path in ("", "/"):
        _miss(run, row, answer, HOME)
    elif hops > REDIRECTS:
        _miss(run, row, answer, "redirected without end")
    elif other == row["url"]:
        return Again(target, hops)
    else:
        frontier.add(run.store, run.plan, [Link(other, row["kind"], row["published"])], row["found_on"])
        _miss(run, row, answer, "moved to another address")
    return None


def lead_on(run: Run, row: dict, page: Selector) -> bool:
    """Queues what a list shows; whether it shows anything."""
    found = run.plan.site.links(row["url"], page)
    frontier.add(run.store, run.plan, found, row["url"])
    return bool(found)


def read_list(run: Run, row: dict, answer: Answer) -> None:
    """Follows a list and keeps it; one that is a page itself, as some addresses do not tell, is read as one."""
    site, url, miss = run.plan.site, row["url"], None
    if answer.status != 200:
        miss = f"HTTP {answer.status}"
    elif not answer.led_on:
        page = Selector(text=answer.text or "<html/>")
        if not lead_on(run, row, page):
            if not isinstance(read_page(site, url, page), Miss):
                frontier.write_as(run.store, url, "detail")
                return read_detail(run, {**row, "kind": "detail"}, answer)
            miss = NO_LINK
            log.warning("%s: no link on the list %s", site.name, url)
    digest = hashlib.sha256(answer.body).hexdigest()
    place = row["page"]
    if digest != row["content"] or run.plan.mode == "full":
        place = _keep(run, answer, "list")
    run.settle(url, fetched=datetime.now(UTC), status=answer.status, content=digest, page=place, miss=miss)
    return None


def read_detail(run: Run, row: dict, answer: Answer, place: str | None = None) -> None:
    """Keeps a page, unless it is what was kept before or belongs to other days. place: where it is kept already."""
    plan, url, published, now = run.plan, row["url"], row["published"], datetime.now(UTC)
    if answer.status == 304:
        return run.settle(url, fetched=now, status=304)
    digest = hashlib.sha256(answer.body).hexdigest()
    if answer.status == 200:
        page = Selector(text=answer.text or "<html/>")
        read = read_page(plan.site, url, page)
        reason = read.reason if isinstance(read, Miss) else None
        published = (plan.site.published(page) if isinstance(read, Miss) else read[0].published) or published
    else:
        reason = f"HTTP {answer.status}"
    if not plan.wants(published):
        return run.let_go(url, published)
    if plan.dated and published is None:  # of no week: for a crawl without an interval
        return run.settle(url, fetched=now, status=answer.status, miss=reason or NO_DAY)
    if place is None and digest == row["content"] and plan.mode == "refresh" and row["page"]:
        run.unchanged += 1
        place = row["page"]
    return run.settle(
        url,
        fetched=now,
        status=answer.status,
        etag=_short(answer.headers.get("etag"), 512),
        last_modified=_short(answer.headers.get("last-modified"), 64),
        content=digest,
        miss=reason,
        published=published,
        page=place or _keep(run, answer, "detail"),
    )


def _short(value: str | None, longest: int) -> str | None:
    return value if value and len(value) <= longest else None


def _keep(run: Run, answer: Answer, kind: str) -> str:
    assert answer.exchange is not None  # what lies in a WARC file is never kept again
    return warc.keep(run.archive, answer.exchange, kind)


def _miss(run: Run, row: dict, answer: Answer, reason: str) -> None:
    """A redirect that leads to no page: kept, unless it was before, and settled."""
    digest = hashlib.sha256(f"{answer.status} {answer.target}".encode()).hexdigest()
    place = row["page"] if digest == row["content"] else _keep(run, answer, "redirect")
    now = datetime.now(UTC)
    run.settle(row["url"], fetched=now, status=answer.status, content=digest, miss=reason, page=place)


def fail(run: Run, row: dict, reason: str, status: int | None) -> None:
    """A page that could not be had now; the next crawl asks again. Many in a row: the site is left alone."""
    run.failing.append(row["url"])
    run.settle(row["url"], miss=reason, status=status)
    if len(run.failing) >= FAILURES_IN_A_ROW:
        run.write()
        frontier.want_again(run.store, run.plan, run.failing)
        stop(run, f"{run.plan.site.name}: {len(run.failing)} pages in a row could not be had, the last with {reason}")


def take_over(run: Run, lake: Lake) -> None:
    """Reads what attempts before this one kept of pages that the frontier still wants, or holds for misses: a kill
    between keeping a page and saying so costs no second request, and a mended parser none either."""
    paths = warc.files(lake, run.archive.folder)
    rows = frontier.unread(run.store, run.plan) if paths else {}
    for path in paths if rows else ():
        for stored in warc.responses(lake, path):
            row = rows.get(run.plan.site.canonical(stored.url)) if stored.kind == "detail" else None
            if row is None:
                continue
            text = decode(stored.body, stored.content_type, run.plan.site.encoding)
            answer = Answer(stored.url, stored.status, stored.body, text, stored.headers, None)
            read_detail(run, row, answer, place=stored.page)
    run.write()
