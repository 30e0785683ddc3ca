"""Crawl one site politely: one connection, its robots.txt, its pace (paper §3.1).

What to fetch comes from the frontier, and what was found goes back into it (`responses`), so the spider itself keeps no
state. It stops at once if the site asks for a human (captcha, login), refuses robots, keeps failing or blocks us
(`blocks`).
"""

import logging
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from protego import Protego
from scrapy import Request, Spider, signals
from scrapy.exceptions import CloseSpider, DontCloseSpider, IgnoreRequest
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Response
from twisted.python.failure import Failure

from chimed.crawl import blocks, challenge, counts, frontier, listed, reader_process, responses, robots
from chimed.crawl.blocks import DAY, HOUR
from chimed.crawl.download import CrawlRun, OffSite
from chimed.crawl.responses import MAX_REDIRECTS, SiteResponse
from chimed.crawl.seen import recheck_columns
from chimed.sources.text import decode
from chimed.storage.encodings import PAGE_BYTES, Unreadable, decompress
from chimed.storage.states import ANSWERED, BY_ROBOTS, FORBIDDEN, MISSED, UNANSWERED

log = logging.getLogger("chimed")
ASKED_FOR_ONE = "answers robots.txt with a page that asks for a human"

READ_STATES = (ANSWERED, UNANSWERED, MISSED)
MIN_DAYS_UNCONDITIONAL = (
    150  # days since the last fetch; below the longest recheck interval (states.STEPS, states.LAST)
)


class SiteSpider(Spider):
    """Walk one site's lists and fetch its detail pages, following the frontier and the plan."""

    name = "site"

    def __init__(self, run: CrawlRun, reader: reader_process.Reader | None = None, **kwargs):
        super().__init__(**kwargs)
        self.reader = reader  # only without a pace
        self.run, self.plan, self.site, self.store = run, run.plan, run.plan.site, run.store
        self.rules: dict[str, Protego | None] = {}
        self.asked: set[str] = set()
        self.last: dict[str, Any] | None = None  # the last detail page requested; rows before it need no second look
        self.room = self.plan.max_pages and self.plan.max_pages - counts.count_requested(self.store, self.plan)

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.go_on, signal=signals.spider_idle)
        return spider

    async def start(self):
        for host in self.site.hosts:
            await self.read_robots(host)
        for request in self.next_batch():
            yield request

    def go_on(self) -> None:
        """Request the next batch when nothing is in flight."""
        self.run.write()
        if self.reader:
            reader_process.flush(self.reader, self.run)
        self.last = None
        batch = self.next_batch()
        if not batch:  # results held back may queue more pages
            if self.reader:
                reader_process.finish(self.reader, self.run)
            else:
                blocks.finish(self.run)
            batch = self.proof() or self.next_batch()
        for request in batch:
            self.crawler.engine.crawl(request)
        if batch:
            raise DontCloseSpider

    # --- what to ask for ---------------------------------------------------------------------------------------

    def next_batch(self) -> list[Request]:
        """Return requests for details and lists.

        If days decide, details come first: their days tell how far to walk a list.
        """
        if self.run.stopped or (self.room is not None and self.room <= 0):
            return []
        while True:
            rows = frontier.queued_rows(
                self.store, self.plan, "detail", self.asked, min(200, self.room or 200), self.last
            )
            self.last = rows[-1] if rows else self.last
            if not (rows and self.plan.dated):
                lists = frontier.queued_rows(self.store, self.plan, "list", self.asked)
                near = [row for row in lists if listed.is_worth_reading(self.store, self.plan, row)]
                if lists and not near and not rows:
                    continue
                rows += near
            if not rows:
                return []
            requests = [request for row in rows if (request := self.request(row))]
            self.run.write()
            if requests:
                return requests

    def request(self, row: dict[str, Any]) -> Request | None:
        """Return the request for a row of the frontier, or None; conditional if the page is known and not due for a
        full fetch.
        """
        url = row["url"]
        self.asked.add(url)
        if not self.allowed(url):
            when = recheck_columns(self.run, row, FORBIDDEN, row["published"], datetime.now(UTC))
            self.run.record_result(url, miss=BY_ROBOTS, **when)
            return None
        headers = {}
        if row["kind"] == "detail":
            if self.room is not None:
                self.room -= 1
            if self.plan.mode == "refresh" and row["fetched"] and row["page"] and not self.is_old(row):
                conditions = {"If-None-Match": row["etag"], "If-Modified-Since": row["last_modified"]}
                headers = {name: value for name, value in conditions.items() if value}
        return self.ask(url, {"row": row, "hops": 0}, headers)

    def is_old(self, row: dict[str, Any]) -> bool:
        """Return whether a page is requested unconditionally: it failed last time, or its last fetch is long ago.

        A server that always answers 304 can therefore hide a change only for so long.
        """
        asked = row["fetched"] if row["fetched"].tzinfo else row["fetched"].replace(tzinfo=UTC)
        return row["state"] not in READ_STATES or (datetime.now(UTC) - asked).days >= MIN_DAYS_UNCONDITIONAL

    def ask(self, url: str, meta: dict[str, Any], headers: dict[str, Any]) -> Request:
        # details first, in the order shown; without a pace a list is requested early, so that there is always work
        order = 0 if meta["row"]["kind"] == "detail" else 1 if self.reader else -1
        order = 2 if meta.get("proof") or meta.get("again") else order
        return Request(
            url, meta=meta, headers=headers, callback=self.got, errback=self.failed, priority=order, dont_filter=True
        )

    def proof(self) -> list[Request]:
        """Return the request for a proof, a page that gave records before (`blocks`); empty if none is wanted."""
        known, self.run.proof = self.run.proof, None
        return [self.ask(known["url"], {"row": known, "hops": 0, "proof": True}, {})] if known else []

    def allowed(self, url: str) -> bool:
        rules = self.rules.get(urlsplit(url).hostname or "")
        return rules is None or rules.can_fetch(url, robots.ROBOT_NAME)

    # --- robots.txt --------------------------------------------------------------------------------------------

    async def read_robots(self, host: str) -> None:
        """Ask for the rules of a host before anything else; see `robots.policy` for what an answer means."""
        response = await self._robots_response(host)
        if response is None:
            return None
        try:
            packed = b",".join(response.headers.getlist("Content-Encoding")).decode("latin-1")
            text = robots.decode_robots(decompress(response.body, packed, PAGE_BYTES))
        except Unreadable as error:
            self.run.robots = "unreadable"
            return blocks.stop_crawl(self.run, f"robots.txt of {host} cannot be read ({error})", DAY)
        policy = robots.parse_policy(response.status, text)
        self.run.robots = policy.said
        if policy.refusal:
            wait = HOUR if response.status >= 500 else DAY
            return blocks.stop_crawl(self.run, f"{host}: {policy.refusal}", wait)
        if challenge.needs_human(self.site, "", text):
            return blocks.stop_crawl(self.run, f"{host} {ASKED_FOR_ONE}", DAY)
        self.rules[host] = policy.rules
        if policy.visits:
            self.run.visits = policy.visits
            if not robots.is_open(policy.visits, datetime.now(UTC)):
                return self.run.close()
        if policy.delay > self.run.delay:
            self.set_delay(policy.delay)
        return None

    async def _robots_response(self, host: str) -> Response | None:
        """Return a host's response to /robots.txt, after redirects; None if the crawl stops instead."""
        url = self.site.canonical(f"http://{host}/robots.txt")
        try:
            for _ in range(MAX_REDIRECTS):
                response = await self.crawler.engine.download_async(Request(url, meta={"robots": True}))
                if response.status not in (301, 302, 303, 307, 308):
                    break
                url = urljoin(url, (response.headers.get("Location") or b"").decode("latin-1"))
                if challenge.needs_human(self.site, url, ""):
                    blocks.stop_crawl(self.run, f"{host} {ASKED_FOR_ONE}", DAY)
                    return None
        except Exception as error:  # whatever it was: rules that were not read are not known
            log.warning("%s: robots.txt: %r", self.site.name, error)
            self.run.robots = "unreadable"
            why = f"robots.txt of {host} cannot be read ({type(error).__name__}), so its rules are not known"
            blocks.stop_crawl(self.run, why, HOUR)
            return None
        return response

    def set_delay(self, seconds: float) -> None:
        """Set the pace of the slot that all requests of the site share; AutoThrottle can only slow it down."""
        self.run.not_before += seconds - self.run.delay  # counted from the response to robots.txt
        self.run.delay = seconds
        if throttle := self.crawler.get_extension(AutoThrottle):
            throttle.mindelay = seconds
        downloader = self.crawler.engine.downloader
        downloader.per_slot_settings[self.site.name] = {"concurrency": 1, "delay": seconds, "jitter": 0.0}
        if slot := downloader.slots.get(self.site.name):
            slot.concurrency, slot.delay = 1, max(slot.delay, seconds)

    # --- what came back ----------------------------------------------------------------------------------------

    async def got(self, response: Response):
        """Handle a response and yield the requests that follow from it."""
        row, answer, proof = response.meta["row"], response.meta["answer"], "proof" in response.meta
        if self.reader:
            again = await reader_process.handle_response(self.reader, self.run, row, answer)
        else:
            again = responses.handle_response(self.run, row, answer, proof)
        if self.run.stopped:
            raise CloseSpider("stopped")
        for request in self.proof():
            yield request
        if again and not self.allowed(again.url):
            when = recheck_columns(self.run, row, FORBIDDEN, row["published"], datetime.now(UTC))
            self.run.record_result(row["url"], miss=BY_ROBOTS, **when)
        elif again:
            meta = {"row": row, "hops": again.hops, "again": True, **({"proof": True} if proof else {})}
            yield self.ask(again.url, meta, {})
        elif row["kind"] == "list" and not self.plan.dated:  # its links need not wait until nothing is in flight
            for request in self.next_batch():
                yield request

    def failed(self, failure: Failure) -> None:
        """Record that no response came."""
        error = failure.value
        row = failure.request.meta["row"]  # type: ignore[attr-defined]
        if self.run.stopped:
            return  # the page stays queued: it was not requested
        if isinstance(error, IgnoreRequest):
            when = recheck_columns(self.run, row, MISSED, row["published"], datetime.now(UTC))
            why = "not on the site" if isinstance(error, OffSite) else "not asked"
            self.run.record_result(row["url"], miss=why, **when)
            return
        responses.record_failure(self.run, row, f"failed: {type(error).__name__}", "proof" in failure.request.meta)  # type: ignore[attr-defined]
        if self.run.stopped:
            raise CloseSpider("stopped")


def join_headers(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name; repeated Content-Encoding headers are joined as a list (RFC 9110)."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found and key == "content-encoding" else value
    return found


class BackoffMiddleware:
    """Apply what a response demands (stop, wait) before the next request leaves."""

    def __init__(self, run: CrawlRun):
        self.run = run

    @classmethod
    def from_crawler(cls, crawler) -> "BackoffMiddleware":
        return cls(crawler.spider.run)

    def process_response(self, request: Request, response: Response) -> Response:
        if "row" in request.meta:
            exchange = request.meta["exchange"]
            headers = join_headers(exchange.headers)
            body, why = response.body, None
            try:
                body = decompress(response.body, headers.get("content-encoding"), PAGE_BYTES)
            except Unreadable as error:
                body, why = b"", str(error)
            text = decode(body, headers.get("content-type"), self.run.plan.site.encoding)
            hops = request.meta["hops"]
            answer = SiteResponse(response.url, response.status, body, text, headers, exchange, hops, unreadable=why)
            request.meta["answer"] = answer
            responses.apply_backoff(self.run, answer)
        return response
