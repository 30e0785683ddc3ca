"""The polite spider: one site, one connection, its robots.txt, its pace; every response into WARC (paper §3.1).

What to fetch comes out of the frontier and what was found goes back into it, so the spider itself remembers nothing.
It stops at once where the site wants a person (captcha, login), refuses robots, or keeps failing.
"""

import hashlib
import logging
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

from parsel import Selector
from protego import Protego
from scrapy import Request, Spider, signals
from scrapy.exceptions import CloseSpider, DontCloseSpider, IgnoreRequest
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Response
from twisted.python.failure import Failure

from chimed.sources import frontier, robots, warc
from chimed.sources.frontier import FORBIDDEN
from chimed.sources.page import Link, Miss, read_page
from chimed.sources.text import decode
from chimed.sources.wire import Run

log = logging.getLogger("chimed")

REDIRECTS = 5
FAILURES_IN_A_ROW = 10  # of pages, each asked for three times: the site is down or does not want us
CHALLENGE_TITLES = ("安全验证", "访问验证", "人机验证", "请输入验证码", "Just a moment", "Attention Required")


class SiteSpider(Spider):
    """Walks one site's lists and fetches its detail pages, as the frontier and the plan say."""

    name = "site"

    def __init__(self, run: Run, **kwargs):
        super().__init__(**kwargs)
        self.run, self.plan, self.site, self.store = run, run.plan, run.plan.site, run.store
        self.rules: dict[str, Protego | None] = {}
        self.asked: set[str] = set()
        self.failing: list[str] = []  # pages in a row that could not be had
        self.room = self.plan.max_pages and self.plan.max_pages - frontier.asked(self.store, self.plan)

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
        batch = self.next_batch()
        for request in batch:
            self.crawler.engine.crawl(request)
        if batch:
            raise DontCloseSpider

    # --- what to ask for ---------------------------------------------------------------------------------------

    def next_batch(self) -> list[Request]:
        """Details first: a list may be walked further only where its pages' days say so."""
        if self.run.stopped or (self.room is not None and self.room <= 0):
            return []
        while True:
            rows = frontier.take(self.store, self.plan, "detail", self.asked, min(200, self.room or 200))
            if not rows:
                rows = [row for row in frontier.take(self.store, self.plan, "list", self.asked) if self.is_near(row)]
                if not rows and frontier.take(self.store, self.plan, "list", self.asked):
                    continue
            if not rows:
                return []
            requests = [request for row in rows if (request := self.request(row))]
            if requests:
                return requests

    def is_near(self, row: dict) -> bool:
        """Whether a list page is still worth walking to: not, where all days of the one before it are too early."""
        if not (self.plan.dated and self.plan.since and row["found_on"]):
            return True
        newest = frontier.newest_on(self.store, row["found_on"])
        if newest is None or newest >= self.plan.since:
            return True
        frontier.let_go(self.store, row["url"])
        return False

    def request(self, row: dict) -> Request | None:
        """The request for a row of the frontier; conditional where the page is known and was not asked for in full."""
        url = row["url"]
        self.asked.add(url)
        if not self.allowed(url):
            frontier.settle(self.store, self.plan, url, miss=FORBIDDEN)
            return None
        headers = {}
        if row["kind"] == "detail":
            if self.room is not None:
                self.room -= 1
            if self.plan.mode == "refresh" and row["fetched"] and row["page"]:
                conditions = {"If-None-Match": row["etag"], "If-Modified-Since": row["last_modified"]}
                headers = {name: value for name, value in conditions.items() if value}
        return self.ask(url, {"row": row, "hops": 0}, headers)

    def ask(self, url: str, meta: dict, headers: dict) -> Request:
        return Request(url, meta=meta, headers=headers, callback=self.got, errback=self.failed, dont_filter=True)

    def allowed(self, url: str) -> bool:
        rules = self.rules.get(urlsplit(url).hostname or "")
        return rules is None or rules.can_fetch(url, robots.ROBOT)

    # --- robots.txt --------------------------------------------------------------------------------------------

    async def read_robots(self, host: str) -> None:
        """Asks for the rules of a host before anything else; see `robots.policy` for what an answer means."""
        url = self.site.canonical(f"http://{host}/robots.txt")
        try:
            for _ in range(REDIRECTS):
                response = await self.crawler.engine.download_async(Request(url, meta={"robots": True}))
                if response.status not in (301, 302, 303, 307, 308):
                    break
                url = urljoin(url, _header(response, "Location", 2048) or "")
                if self.is_challenge(url, ""):
                    return self.stop(f"{host} answers robots.txt with a page that wants a person")
        except Exception as error:
            log.warning("%s: robots.txt: %r", self.site.name, error)
            self.run.robots = "unreadable"
            return self.stop(
                f"robots.txt of {host} cannot be read ({type(error).__name__}), so its rules are not known"
            )
        policy = robots.policy(response.status, decode(response.body, None, "utf-8"))
        self.run.robots = policy.said
        if policy.refusal:
            return self.stop(f"{host}: {policy.refusal}")
        if self.is_challenge(url, decode(response.body, None, "utf-8")):
            return self.stop(f"{host} answers robots.txt with a page that wants a person")
        self.rules[host] = policy.rules
        if policy.delay > self.run.delay:
            self.set_delay(policy.delay)
        return None

    def set_delay(self, seconds: float) -> None:
        """The pace of the one slot that all requests of the site share; AutoThrottle may only go slower."""
        self.run.delay = seconds
        if throttle := self.crawler.get_extension(AutoThrottle):
            throttle.mindelay = seconds
        downloader = self.crawler.engine.downloader
        downloader.per_slot_settings[self.site.name] = {"concurrency": 1, "delay": seconds, "jitter": 0.0}
        if slot := downloader.slots.get(self.site.name):
            slot.delay = max(slot.delay, seconds)

    # --- what came back ----------------------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        self.run.stopped = self.run.stopped or why

    def got(self, response: Response):
        """Settles the page of a response, whatever it is; a mistake of ours in reading it is named there."""
        row = response.meta["row"]
        try:
            again = self.settle(row, response)
        except CloseSpider:
            raise
        except Exception as error:
            log.exception("%s: %s", self.site.name, row["url"])
            frontier.settle(self.store, self.plan, row["url"], miss=f"reader error: {type(error).__name__}")
            again = None
        if self.run.stopped:
            raise CloseSpider("stopped")
        return again

    def settle(self, row: dict, response: Response) -> Request | None:
        now, status, url = datetime.now(UTC), response.status, row["url"]
        place = urljoin(response.url, _header(response, "Location", 2048) or "")
        text = decode(response.body, _header(response, "Content-Type"), self.site.encoding) if status == 200 else ""
        if self.is_challenge(place, text):
            self.stop(f"{self.site.name} wants a person (captcha or login) at {url}; its frontier keeps its place")
            return None
        if status == 429:
            self.stop(f"{self.site.name} asks to slow down (429) at {url}; its frontier keeps its place")
            return None
        if status in (401, 403, 408) or status >= 500:
            self.fail(row, f"HTTP {status}", status)
            return None
        if row["kind"] == "detail":
            self.failing = []
        if status == 304:
            frontier.settle(self.store, self.plan, url, fetched=now, status=304)
        elif 300 <= status < 400:
            return self.follow(row, response, place)
        elif row["kind"] == "list":
            self.read_list(row, response, text, now)
        else:
            self.read_detail(row, response, text, now)
        return None

    def follow(self, row: dict, response: Response, target: str) -> Request | None:
        """A redirect to the same page's other form is followed; to another page of the site, that page is queued."""
        hops, other = response.meta["hops"] + 1, self.site.canonical(target)
        if urlsplit(target).hostname not in self.site.hosts and urlsplit(other).hostname not in self.site.hosts:
            self.run.off_site += 1
            self.miss(row, response, "redirected off the site")
        elif urlsplit(other).path in ("", "/"):
            self.miss(row, response, "home page instead of the page")
        elif hops > REDIRECTS:
            self.miss(row, response, "redirected without end")
        elif other == row["url"]:
            return self.ask(target, {"row": row, "hops": hops}, {})
        else:
            link = Link(other, row["kind"], row["published"])
            frontier.add(self.store, self.plan, [link], row["found_on"])
            self.miss(row, response, "moved to another address")
        return None

    def read_list(self, row: dict, response: Response, text: str, now: datetime) -> None:
        links = self.site.links(row["url"], Selector(text=text or "<html/>")) if response.status == 200 else []
        if response.status == 200 and not links:
            self.run.empty_lists.append(row["url"])
            log.warning("%s: no link on the list %s", self.site.name, row["url"])
        details = [link for link in links if link.kind == "detail"]
        known_ground = frontier.add(self.store, self.plan, details, row["url"])
        if self.walks_on(details, known_ground):
            frontier.add(self.store, self.plan, [link for link in links if link.kind == "list"], row["url"])
        digest = hashlib.sha256(response.body).hexdigest()
        place = row["page"]
        if digest != row["content"] or self.plan.mode == "full":
            place = warc.keep(self.run.archive, response.meta["exchange"], "list")
        miss = None if response.status == 200 else f"HTTP {response.status}"
        frontier.settle(
            self.store,
            self.plan,
            row["url"],
            fetched=now,
            status=response.status,
            content=digest,
            page=place,
            miss=miss,
        )

    def walks_on(self, details: list, known_ground: bool) -> bool:
        """A dated list is walked while it may still hold a day of the interval; without one, until known ground."""
        if not self.site.newest_first or (self.plan.mode == "full" and not self.plan.dated):
            return True
        if self.plan.dated:
            days = [link.published for link in details if link.published]
            return not (self.plan.since and days and max(days) < self.plan.since)
        return not known_ground

    def read_detail(self, row: dict, response: Response, text: str, now: datetime) -> None:
        url, published = row["url"], row["published"]
        digest = hashlib.sha256(response.body).hexdigest()
        if response.status != 200:
            reason: str | None = f"HTTP {response.status}"
        else:
            page = Selector(text=text or "<html/>")
            read = read_page(self.site, url, page)
            reason = read.reason if isinstance(read, Miss) else None
            published = self.site.published(page) or published
            if not self.plan.wants(published):
                frontier.let_go(self.store, url, published)
                return
        place = row["page"]
        if digest == row["content"] and self.plan.mode == "refresh" and place:
            self.run.unchanged += 1
        else:
            place = warc.keep(self.run.archive, response.meta["exchange"], "detail")
        frontier.settle(
            self.store,
            self.plan,
            url,
            fetched=now,
            status=response.status,
            etag=_header(response, "ETag", 512),
            last_modified=_header(response, "Last-Modified", 64),
            content=digest,
            miss=reason,
            published=published,
            page=place,
        )

    def miss(self, row: dict, response: Response, reason: str) -> None:
        """A response that is no page: kept like any other, and settled."""
        place = warc.keep(self.run.archive, response.meta["exchange"], "redirect")
        now = datetime.now(UTC)
        frontier.settle(self.store, self.plan, row["url"], fetched=now, status=response.status, miss=reason, page=place)

    # --- what did not come back --------------------------------------------------------------------------------

    def failed(self, failure: Failure) -> None:
        error = failure.value
        row = failure.request.meta["row"]  # type: ignore[attr-defined]
        if self.run.stopped:
            return  # still wanted: it was not asked for
        if isinstance(error, IgnoreRequest):
            frontier.settle(self.store, self.plan, row["url"], miss="not on the site")
            return
        self.fail(row, f"failed: {type(error).__name__}", None)
        if self.run.stopped:
            raise CloseSpider("stopped")

    def fail(self, row: dict, reason: str, status: int | None) -> None:
        """A page that could not be had now; the next crawl asks again. Many in a row: the site is left alone."""
        self.failing.append(row["url"])
        frontier.settle(self.store, self.plan, row["url"], miss=reason, status=status)
        if len(self.failing) >= FAILURES_IN_A_ROW:
            frontier.want_again(self.store, self.plan, self.failing)
            self.stop(f"{self.site.name}: {len(self.failing)} pages in a row could not be had, the last with {reason}")

    def is_challenge(self, target: str, text: str) -> bool:
        """Whether an address or a page is one that wants a person."""
        if any(mark in target for mark in self.site.challenge):
            return True
        head = text[:4096]
        title = head[head.find("<title") : head.find("</title")] if "</title" in head else ""
        return any(mark in title for mark in CHALLENGE_TITLES) or any(mark in text for mark in self.site.challenge)


def _header(response: Response, name: str, longest: int = 200) -> str | None:
    value = response.headers.get(name)
    text = value.decode("latin-1") if value else None
    return text if text and len(text) <= longest else None
