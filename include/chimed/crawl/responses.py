"""Interpret a site's responses: a page, a list, a redirect, a captcha, a request to wait (paper §3.1).

Works on the frontier, the WARC files and the run's counters, never on the network. A page is in its WARC file before
the frontier says so; `recover_unread` reads back what a killed attempt left between the two. What a response says of
the site as a whole is decided in `blocks`.
"""

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from chimed.crawl import blocks, bounded, frontier, listed, traps
from chimed.crawl.blocks import DAY, stop_crawl
from chimed.crawl.bounded import TOO_LONG, TooLong
from chimed.crawl.challenge import needs_human
from chimed.crawl.download import SCHEMES, CrawlRun, is_on_site
from chimed.crawl.reading import PageContent, read_detail, read_list
from chimed.crawl.seen import PageResult, record_page
from chimed.crawl.visible import is_refusal
from chimed.retry_after import retry_after
from chimed.sources.page import Link, Miss
from chimed.sources.text import decode
from chimed.storage import warc
from chimed.storage.lake import Lake
from chimed.storage.states import (
    ANSWERED,
    ELSEWHERE,
    ENDLESS,
    FAILED,
    GONE,
    HOME,
    IN_WORDS,
    MISSED,
    MOVED,
    OFF_SITE,
    REFUSED,
    UNANSWERED,
    state_of,
)

log = logging.getLogger("chimed")

MAX_REDIRECTS = 5
MAX_WAIT_SECONDS = 600.0  # seconds of Retry-After that a crawl waits; if a site asks for more, the crawl stops
MAX_WAITS = 3  # in a crawl
NO_LINK = "no link on the list"
SCRIPTS_ONLY = "nothing but scripts"


@dataclass(frozen=True)
class SiteResponse:
    """The response to a request for a page of the frontier.

    body: decompressed; text: the decoded body; headers: by lower-case name; hops: redirects before it; led_on: it is a
    list and its links are queued; unreadable: why the body could not be decompressed, or None.
    """

    url: str
    status: int
    body: bytes
    text: str
    headers: dict[str, str]
    exchange: warc.Exchange | None  # None: it is in a WARC file already
    hops: int = 0
    led_on: bool = False
    unreadable: str | None = None

    @property
    def target(self) -> str:
        """Where a redirect leads; empty for other responses and for an invalid address."""
        if not 300 <= self.status < 400:
            return ""
        try:
            target = urljoin(self.url, self.headers.get("location", ""))
            return target if urlsplit(target).port != 0 else ""
        except ValueError:  # `http://[`, `http://host:port/`
            return ""


@dataclass(frozen=True)
class Retry:
    """A second request for the same page, at this address."""

    url: str
    hops: int


def apply_backoff(run: CrawlRun, answer: SiteResponse) -> None:
    """Stop or pause the crawl as a response demands, before another request leaves.

    A captcha, login or challenge page stops the crawl; nothing tries to pass it. After 429, or 503 with Retry-After,
    the crawl waits as long as the site says, within limits, and continues at half the pace; otherwise it stops.
    """
    site = run.plan.site
    if needs_human(site, answer.target, answer.text):
        stop_crawl(
            run,
            f"{site.name} asks for a human (captcha or login) at {answer.url}; run the crawl again later to continue",
            DAY,
        )
    elif _is_busy(answer):
        seconds = retry_after(answer.headers.get("retry-after"))
        run.waits += 1
        if seconds is None or seconds > MAX_WAIT_SECONDS or run.waits > MAX_WAITS:
            asked = f"{answer.status}, {'without a time' if seconds is None else f'for {seconds:.0f} seconds'}"
            why = f"{site.name} asks to slow down ({asked}) at {answer.url}; run the crawl again later to continue"
            stop_crawl(run, why, DAY if seconds is None else max(seconds, MAX_WAIT_SECONDS))
        else:
            log.warning("%s: HTTP %d, waiting %.0f seconds as it asks", site.name, answer.status, seconds)
            run.pause(seconds)


def handle_response(run: CrawlRun, row: dict[str, Any], answer: SiteResponse, proof: bool = False) -> Retry | None:
    """Handle a response whatever happens: a parser's error is a miss, and an error of the store stops the crawl."""
    try:
        return _handle_response(run, row, answer, proof)
    except (SQLAlchemyError, OSError) as error:
        log.exception("%s: %s", run.plan.site.name, row["url"])
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        stop_crawl(run, f"responses cannot be kept ({why}); repair that, and run the crawl again to continue")
    except Exception as error:  # a parser may fail in any way on a hostile page; the log has the traceback
        log.exception("%s: %s", run.plan.site.name, row["url"])
        record_page(run, PageResult(row, MISSED, f"reader error: {type(error).__name__}", status=answer.status))
    return None


def _handle_response(run: CrawlRun, row: dict[str, Any], answer: SiteResponse, proof: bool = False) -> Retry | None:
    """Record what a response says of its page; return a Retry if the page must be requested again.

    proof: the page was requested to tell a block from pages that are gone.
    """
    if run.stopped:
        return None
    if _is_busy(answer):
        return Retry(answer.url, answer.hops)
    seen = interpret_response(run, row, answer)
    if isinstance(seen, Retry):
        return seen
    if proof:
        blocks.record_proof(run, seen)
    else:
        blocks.record_result(run, seen)
    return None


def interpret_response(run: CrawlRun, row: dict[str, Any], answer: SiteResponse) -> PageResult | Retry:
    """Return what a response says of its page. The links of a list are queued here."""
    if answer.status == 304:
        seen = PageResult(row, row["state"] or ANSWERED, row["miss"], status=304)
        return _with_validators(seen, answer)
    if answer.target:
        return follow_redirect(run, row, answer)
    if answer.status != 200:
        reason = f"HTTP {answer.status}"
        state = state_of(answer.status, reason)
        kept = None if state == FAILED else answer.exchange
        digest = hashlib.sha256(answer.body).hexdigest()
        return PageResult(row, state, reason, reason, answer.status, kept, row["kind"], digest)
    if answer.unreadable:
        digest = hashlib.sha256(answer.exchange.body if answer.exchange else b"").hexdigest()
        reason = answer.unreadable
        return PageResult(row, MISSED, reason, reason, answer.status, answer.exchange, row["kind"], digest)
    return interpret_list(run, row, answer) if row["kind"] == "list" else interpret_detail(run, row, answer)


def _is_busy(answer: SiteResponse) -> bool:
    return answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers)


def follow_redirect(run: CrawlRun, row: dict[str, Any], answer: SiteResponse) -> PageResult | Retry:
    """Return a Retry for a redirect to the same page; for another page of the site, a result that queues it."""
    site, target, hops = run.plan.site, answer.target, answer.hops + 1
    other = site.canonical(target)
    links: tuple[Link, ...] = ()
    state, reason = MISSED, OFF_SITE
    if urlsplit(target).scheme not in SCHEMES:  # a file, data:, FTP: a site must not send us there
        run.off_site += 1
        reason = "redirected to what is no web page"
    elif not is_on_site(site, target) and not is_on_site(site, other):
        run.off_site += 1
    elif urlsplit(other).path in ("", "/"):
        state, reason = GONE, HOME
    elif hops > MAX_REDIRECTS:
        reason = ENDLESS
    elif other == row["url"]:
        return Retry(target, hops)
    elif traps.count_redirects(run, row["url"], other) > MAX_REDIRECTS:
        reason = ENDLESS
    else:
        state, reason, links = MOVED, ELSEWHERE, (Link(other, row["kind"], row["published"]),)
    digest = hashlib.sha256(f"{answer.status} {answer.target}".encode()).hexdigest()
    like = f"{reason} {other if links else ''}"
    return PageResult(row, state, reason, like, answer.status, answer.exchange, "redirect", digest, links=links)


def queue_links(run: CrawlRun, row: dict[str, Any], text: str) -> tuple[bool, PageContent]:
    """Queue the links of a list page; return whether there are any, and the page's content."""
    shown = bounded.run_bounded(read_list, run.plan.site.name, row["url"], text)
    listed.follow_list(run.store, run.plan, row, traps.apply_bounds(run, row, shown.links))
    return bool(shown.links), shown


def interpret_list(run: CrawlRun, row: dict[str, Any], answer: SiteResponse) -> PageResult | Retry:
    """Return the result for a list page; one that turns out to be a detail page is read as one."""
    url = row["url"]
    digest = hashlib.sha256(answer.body).hexdigest()
    seen = PageResult(row, ANSWERED, status=200, exchange=answer.exchange, kind="list", digest=digest)
    if answer.led_on:
        return seen
    try:
        led_on, shown = queue_links(run, row, answer.text)
    except TooLong:
        return replace(seen, state=MISSED, reason=TOO_LONG)
    if led_on:
        return seen
    text = shown.text
    if is_refusal(text) or (not text and shown.has_scripts):
        return replace(seen, state=REFUSED, reason=IN_WORDS if text else SCRIPTS_ONLY, like=IN_WORDS)
    if shown.is_page:
        frontier.change_kind(run.store, url, "detail")
        return interpret_detail(run, {**row, "kind": "detail"}, answer)
    return replace(seen, state=MISSED, reason=NO_LINK, like=f"{NO_LINK}: {blocks.likeness(text)}")


def interpret_detail(run: CrawlRun, row: dict[str, Any], answer: SiteResponse) -> PageResult:
    """Return the result for a detail page: answered, an open question, refused, or a miss with its reason."""
    try:
        shown = bounded.run_bounded(read_detail, run.plan.site.name, row["url"], answer.text)
    except TooLong:
        shown = PageContent(records=Miss(TOO_LONG))
    read = shown.records
    seen = PageResult(
        row,
        ANSWERED,
        status=200,
        exchange=answer.exchange,
        digest=hashlib.sha256(answer.body).hexdigest(),
        published=shown.published if isinstance(read, Miss) else read[0].published,
    )
    seen = _with_validators(seen, answer)
    if not isinstance(read, Miss):
        return seen
    state, text = state_of(200, read.reason), shown.text
    if state == UNANSWERED and not shown.has_refusal_title:
        return replace(seen, state=state, reason=read.reason)
    if is_refusal(text) and state in (MISSED, UNANSWERED):
        return replace(seen, state=REFUSED, reason=IN_WORDS, like=IN_WORDS)
    return replace(seen, state=state, reason=read.reason, like=f"{state}: {blocks.likeness(text)}")


def _with_validators(seen: PageResult, answer: SiteResponse) -> PageResult:
    """Return the result with the validators of a conditional request; those too long for the store are left out."""
    etag, changed = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    return replace(
        seen, etag=etag if 0 < len(etag) <= 512 else None, last_modified=changed if 0 < len(changed) <= 64 else None
    )


def record_failure(run: CrawlRun, row: dict[str, Any], reason: str, proof: bool = False) -> None:
    """Record that a page could not be fetched; the next crawl requests it again."""
    (blocks.record_proof if proof else blocks.record_result)(run, PageResult(row, FAILED, reason, FAILED))


def recover_unread(run: CrawlRun, lake: Lake) -> None:
    """Read pages that earlier attempts stored but did not record, or recorded as misses.

    So neither a kill between storing and recording a page nor a corrected parser costs a second request.
    """
    paths = warc.list_files(lake, run.archive.folder)
    rows = frontier.unread_rows(run.store, run.plan) if paths else {}
    for path in paths if rows else ():
        for stored in warc.read_responses(lake, path):
            row = rows.get(run.plan.site.canonical(stored.url)) if stored.kind == "detail" else None
            if row is None:
                continue
            text = decode(stored.body, stored.content_type, run.plan.site.encoding)
            answer = SiteResponse(
                stored.url, stored.status, stored.body, text, stored.headers, None, unreadable=stored.unreadable
            )
            if stored.page == row["page"] or not row["fetched"] or stored.fetched > _as_utc(row["fetched"]):
                seen = interpret_response(run, row, answer)
                if isinstance(seen, PageResult):  # otherwise a redirect, which is followed again
                    record_page(run, replace(seen, place=stored.page, moment=stored.fetched))
    run.write()


def _as_utc(moment: datetime) -> datetime:
    """Return a moment with its time zone: SQLite drops it, and all times are UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
