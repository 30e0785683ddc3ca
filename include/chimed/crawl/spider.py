"""The polite spider: one site, one connection, its robots.txt, its pace (paper §3.1).

What to fetch comes out of the frontier and what was found goes back into it (`answers`), so the spider itself remembers
nothing. It stops at once where the site wants a person (captcha, login), refuses robots, keeps failing or
blocks us (`blocks`).
"""

import logging
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

from protego import Protego
from scrapy import Request, Spider, signals
from scrapy.exceptions import CloseSpider, DontCloseSpider, IgnoreRequest
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Response
from twisted.python.failure import Failure

from chimed.crawl import blocks, challenge, counts, frontier, listed, reader_process, responses, robots
from chimed.crawl.blocks import DAY, HOUR
from chimed.crawl.download import OffSite, Run
from chimed.crawl.responses import REDIRECTS, Answer
from chimed.crawl.seen import dated
from chimed.sources.text import decode
from chimed.storage.encodings import PAGE_BYTES, Unreadable, unpacked
from chimed.storage.states import ANSWERED, BY_ROBOTS, FORBIDDEN, MISSED, UNANSWERED

log = logging.getLogger("chimed")
ASKED_FOR_ONE = "answers robots.txt with a page that wants a person"

HAD = (ANSWERED, UNANSWERED, MISSED)
LONG_AGO = 150  # days: less than between the last times that a page is asked (states.STEPS, states.LAST)


class SiteSpider(Spider):
    """Walks one site's lists and fetches its detail pages, as the frontier and the plan say."""

    name = "site"

    def __init__(self, run: Run, reader: reader_process.Reader | None = None, **kwargs):
        super().__init__(**kwargs)
        self.reader = reader  # where there is no pace (apart)
        self.run, self.plan, self.site, self.store = run, run.plan, run.plan.site, run.store
        self.rules: dict[str, Protego | None] = {}
        self.asked: set[str] = set()
        self.last: dict | None = None  # the detail page asked for last: those before it need not be looked at
        self.room = self.plan.max_pages and self.plan.max_pages - counts.asked(self.store, self.plan)

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
        """Nothing is in flight: what does the crawl want next?"""
        self.run.write()
        if self.reader:
            reader_process.write(self.reader, self.run)
        self.last = None
        batch = self.next_batch()
        if not batch:  # what was held back may lead further
            if self.reader:
                reader_process.settle_held(self.reader, self.run)
            else:
                blocks.end(self.run)
            batch = self.proof() or self.next_batch()
        for request in batch:
            self.crawler.engine.crawl(request)
        if batch:
            raise DontCloseSpider

    # --- what to ask for ---------------------------------------------------------------------------------------

    def next_batch(self) -> list[Request]:
        """Details and lists; where days decide, details first: their days say whether a list is walked further."""
        if self.run.stopped or (self.room is not None and self.room <= 0):
            return []
        while True:
            rows = frontier.take(self.store, self.plan, "detail", self.asked, min(200, self.room or 200), self.last)
            self.last = rows[-1] if rows else self.last
            if not (rows and self.plan.dated):
                lists = frontier.take(self.store, self.plan, "list", self.asked)
                near = [row for row in lists if listed.is_near(self.store, self.plan, row)]
                if lists and not near and not rows:
                    continue
                rows += near
            if not rows:
                return []
            requests = [request for row in rows if (request := self.request(row))]
            self.run.write()
            if requests:
                return requests

    def request(self, row: dict) -> Request | None:
        """The request for a row of the frontier; conditional where the page is known and was not asked for in full."""
        url = row["url"]
        self.asked.add(url)
        if not self.allowed(url):
            when = dated(self.run, row, FORBIDDEN, row["published"], datetime.now(UTC))
            self.run.settle(url, miss=BY_ROBOTS, **when)
            return None
        headers = {}
        if row["kind"] == "detail":
            if self.room is not None:
                self.room -= 1
            if self.plan.mode == "refresh" and row["fetched"] and row["page"] and not self.is_old(row):
                conditions = {"If-None-Match": row["etag"], "If-Modified-Since": row["last_modified"]}
                headers = {name: value for name, value in conditions.items() if value}
        return self.ask(url, {"row": row, "hops": 0}, headers)

    def is_old(self, row: dict) -> bool:
        """Whether a page is asked for whole: it was not had when asked last, or that is long ago. So a server that says
        304 whatever changed hides a change no longer than that."""
        asked = row["fetched"] if row["fetched"].tzinfo else row["fetched"].replace(tzinfo=UTC)
        return row["state"] not in HAD or (datetime.now(UTC) - asked).days >= LONG_AGO

    def ask(self, url: str, meta: dict, headers: dict) -> Request:
        # details first, in the order shown; without a pace a list is asked for ahead, so that there is always work
        order = 0 if meta["row"]["kind"] == "detail" else 1 if self.reader else -1
        order = 2 if meta.get("proof") or meta.get("again") else order
        return Request(
            url, meta=meta, headers=headers, callback=self.got, errback=self.failed, priority=order, dont_filter=True
        )

    def proof(self) -> list[Request]:
        """The request for a page that gave records before, where it is to show that it still does (`blocks`)."""
        known, self.run.proof = self.run.proof, None
        return [self.ask(known["url"], {"row": known, "hops": 0, "proof": True}, {})] if known else []

    def allowed(self, url: str) -> bool:
        rules = self.rules.get(urlsplit(url).hostname or "")
        return rules is None or rules.can_fetch(url, robots.ROBOT)

    # --- robots.txt --------------------------------------------------------------------------------------------

    async def read_robots(self, host: str) -> None:
        """Ask for the rules of a host before anything else; see `robots.policy` for what an answer means."""
        response = await self._robots_response(host)
        if response is None:
            return None
        try:
            packed = b",".join(response.headers.getlist("Content-Encoding")).decode("latin-1")
            text = robots.text_of(unpacked(response.body, packed, PAGE_BYTES))
        except Unreadable as error:
            self.run.robots = "unreadable"
            return blocks.stop(self.run, f"robots.txt of {host} cannot be read ({error})", DAY)
        policy = robots.policy(response.status, text)
        self.run.robots = policy.said
        if policy.refusal:
            wait = HOUR if response.status >= 500 else DAY
            return blocks.stop(self.run, f"{host}: {policy.refusal}", wait)
        if challenge.wants_a_person(self.site, "", text):
            return blocks.stop(self.run, f"{host} {ASKED_FOR_ONE}", DAY)
        self.rules[host] = policy.rules
        if policy.visits:
            self.run.visits = policy.visits
            if not robots.is_open(policy.visits, datetime.now(UTC)):
                return self.run.close()
        if policy.delay > self.run.delay:
            self.set_delay(policy.delay)
        return None

    async def _robots_response(self, host: str) -> Response | None:
        """A host's answer to /robots.txt, behind its redirects; None where the crawl stops instead."""
        url = self.site.canonical(f"http://{host}/robots.txt")
        try:
            for _ in range(REDIRECTS):
                response = await self.crawler.engine.download_async(Request(url, meta={"robots": True}))
                if response.status not in (301, 302, 303, 307, 308):
                    break
                url = urljoin(url, (response.headers.get("Location") or b"").decode("latin-1"))
                if challenge.wants_a_person(self.site, url, ""):
                    blocks.stop(self.run, f"{host} {ASKED_FOR_ONE}", DAY)
                    return None
        except Exception as error:  # whatever it was: rules that were not read are not known
            log.warning("%s: robots.txt: %r", self.site.name, error)
            self.run.robots = "unreadable"
            why = f"robots.txt of {host} cannot be read ({type(error).__name__}), so its rules are not known"
            blocks.stop(self.run, why, HOUR)
            return None
        return response

    def set_delay(self, seconds: float) -> None:
        """The pace of the one slot that all requests of the site share; AutoThrottle may only go slower."""
        self.run.not_before += seconds - self.run.delay  # counted from the answer to robots.txt
        self.run.delay = seconds
        if throttle := self.crawler.get_extension(AutoThrottle):
            throttle.mindelay = seconds
        downloader = self.crawler.engine.downloader
        downloader.per_slot_settings[self.site.name] = {"concurrency": 1, "delay": seconds, "jitter": 0.0}
        if slot := downloader.slots.get(self.site.name):
            slot.concurrency, slot.delay = 1, max(slot.delay, seconds)

    # --- what came back ----------------------------------------------------------------------------------------

    async def got(self, response: Response):
        """Settles the page of a response, whatever it is."""
        row, answer, proof = response.meta["row"], response.meta["answer"], "proof" in response.meta
        if self.reader:
            again = await reader_process.settle(self.reader, self.run, row, answer)
        else:
            again = responses.settle_surely(self.run, row, answer, proof)
        if self.run.stopped:
            raise CloseSpider("stopped")
        for request in self.proof():
            yield request
        if again and not self.allowed(again.url):
            when = dated(self.run, row, FORBIDDEN, row["published"], datetime.now(UTC))
            self.run.settle(row["url"], miss=BY_ROBOTS, **when)
        elif again:
            meta = {"row": row, "hops": again.hops, "again": True, **({"proof": True} if proof else {})}
            yield self.ask(again.url, meta, {})
        elif row["kind"] == "list" and not self.plan.dated:  # what it shows need not wait until nothing is in flight
            for request in self.next_batch():
                yield request

    def failed(self, failure: Failure) -> None:
        """What did not come back."""
        error = failure.value
        row = failure.request.meta["row"]  # type: ignore[attr-defined]
        if self.run.stopped:
            return  # still wanted: it was not asked for
        if isinstance(error, IgnoreRequest):
            when = dated(self.run, row, MISSED, row["published"], datetime.now(UTC))
            why = "not on the site" if isinstance(error, OffSite) else "not asked"
            self.run.settle(row["url"], miss=why, **when)
            return
        responses.fail(self.run, row, f"failed: {type(error).__name__}", "proof" in failure.request.meta)  # type: ignore[attr-defined]
        if self.run.stopped:
            raise CloseSpider("stopped")


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in small letters; those that may come several times are lists, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found and key == "content-encoding" else value
    return found


class HeedMiddleware:
    """Nearest to the spider, but before it: what an answer asks of us holds before the next request leaves."""

    def __init__(self, run: Run):
        self.run = run

    @classmethod
    def from_crawler(cls, crawler) -> "HeedMiddleware":
        return cls(crawler.spider.run)

    def process_response(self, request: Request, response: Response) -> Response:
        if "row" in request.meta:
            exchange = request.meta["exchange"]
            headers = joined(exchange.headers)
            body, why = response.body, None
            try:
                body = unpacked(response.body, headers.get("content-encoding"), PAGE_BYTES)
            except Unreadable as error:
                body, why = b"", str(error)
            text = decode(body, headers.get("content-type"), self.run.plan.site.encoding)
            hops = request.meta["hops"]
            answer = Answer(response.url, response.status, body, text, headers, exchange, hops, unreadable=why)
            request.meta["answer"] = answer
            responses.heed(self.run, answer)
        return response
