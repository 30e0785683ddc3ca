"""Apply one policy to every request: one pace, one connection, the site's own hosts, an honest user agent (paper §3.1).

The politeness rules for all sites are set here and nowhere else; a site's file only sets its delay in seconds.
"""

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from scrapy import Request
from scrapy.core.downloader.handlers import http11
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.settings import default_settings

from chimed import __version__, metrics
from chimed.crawl import frontier, robots
from chimed.crawl.plan import CrawlPlan
from chimed.crawl.robots import MAX_DELAY, ROBOT_NAME, Visits
from chimed.crawl.traps import Bounds
from chimed.settings import settings
from chimed.sources.page import Site
from chimed.storage import warc
from chimed.storage.encodings import ACCEPT_ENCODING, PAGE_BYTES
from chimed.storage.store import Store

if TYPE_CHECKING:
    from chimed.crawl.seen import PageResult

log = logging.getLogger("chimed")

TIMEOUT_SECONDS = 60
SCHEMES = ("http", "https")  # Scrapy would also follow redirects to files, data:, FTP and S3
DEFAULT_PORTS = {"http": 80, "https": 443}
RAW_HEADERS = "X-Chimed-Raw-Headers"  # set by the HTTP parser, removed by `WireMiddleware`
# the only parts of Scrapy that a crawl loads; its consoles and remote control stay out
SCRAPY_PARTS = (
    "DownloadTimeoutMiddleware",
    "DefaultHeadersMiddleware",
    "UserAgentMiddleware",
    "RetryMiddleware",
    "HttpProxyMiddleware",
    "AutoThrottle",
)
PROGRESS_SECONDS = 60  # seconds between two lines of progress
BATCH_SIZE = 64  # results written to the store in one transaction without a pace
UNPACED_CONCURRENCY = 8  # Scrapy's default; only a replica is crawled without a pace (benchmarks)


@dataclass
class CrawlRun:
    """One attempt at a crawl: its inputs, its state, and its counters.

    not_before: no request leaves before this moment (monotonic clock). pending: results not yet written; with a pace
    each result is written at once, without one (benchmarks) in batches. wait: seconds for which the site is to be left
    alone after a stop, None if the site did not ask for it. suspected: the attempt before was stopped by a block. held,
    good, proof, proving, alike: see `blocks`.
    """

    plan: CrawlPlan
    store: Store
    archive: warc.Archive
    delay: float
    stopped: str | None = None
    robots: str = "not read"
    not_before: float = 0.0
    waits: int = 0
    wait: float | None = None
    suspected: bool = False
    held: list["PageResult"] = field(default_factory=list)
    good: str | None = None
    proof: dict[str, Any] | None = None
    proving: bool = False
    alike: int = 0
    requests: int = 0
    bytes: int = 0
    visits: Visits | None = None
    bounds: Bounds = field(default_factory=Bounds)
    unchanged: int = 0
    off_site: int = 0
    started: float = field(default_factory=time.monotonic)
    logged: float = field(default_factory=time.monotonic)
    counts_time: bool = True
    pending: list[dict[str, Any]] = field(default_factory=list)
    written: dict[str, float] = field(default_factory=dict)

    def record_result(self, url: str, **values: object) -> None:
        """Record that a page is done; `values` are columns of `pages`."""
        self.pending.append({"url": url, **values})
        if self.delay or len(self.pending) >= BATCH_SIZE:
            self.write()

    def write(self) -> None:
        """Write pending results and counters to the store in one transaction."""
        now = {
            "requests": self.requests,
            "bytes": self.bytes,
            "unchanged": self.unchanged,
            "off_site": self.off_site,
            "seconds": time.monotonic() - self.started if self.counts_time else 0.0,
        }
        news = {name: value - self.written.get(name, 0) for name, value in now.items()}
        frontier.record_results(self.store, self.plan, self.pending, news)
        for one in self.pending:
            miss = str(one.get("miss") or "none").partition(":")[0]
            metrics.count("crawl.pages", source=self.plan.site.name, miss=miss)
        self.pending, self.written = [], now
        if time.monotonic() - self.logged > PROGRESS_SECONDS:
            self.logged = time.monotonic()
            minutes = (self.logged - self.started) / 60
            log.info(
                "%s: %d requests, %.1f MB in %.0f minutes",
                self.plan.site.name,
                self.requests,
                self.bytes / 1e6,
                minutes,
            )

    def close(self) -> None:
        """Stop the crawl because the site's visiting hours are over."""
        if not self.stopped and self.visits:
            self.stopped = (
                f"{self.plan.site.name}: {robots.describe_visits(self.visits)}; run the crawl again then to continue"
            )
            self.wait = robots.seconds_until_open(self.visits, datetime.now(UTC))

    def pause(self, seconds: float) -> None:
        """Wait as the site asks before the next request, and continue at half the pace."""
        self.not_before = max(self.not_before, time.monotonic() + seconds)
        self.delay = min(2 * self.delay, MAX_DELAY)


def user_agent() -> str:
    """Return the user agent: who we are and how to reach us."""
    return f"{ROBOT_NAME}/{__version__} (+{settings().contact})"


def scrapy_settings(run: CrawlRun) -> dict[str, Any]:
    """Return Scrapy's settings, with one politeness policy for every site.

    The spider itself obeys robots.txt, because Scrapy's middleware would read the body of a refusal as rules and
    continue if robots.txt cannot be read. It also follows redirects itself, because one may lead to the same page's
    other address, to where it moved, or to a captcha.
    """
    at_once = 1 if run.delay else UNPACED_CONCURRENCY
    slot = {"concurrency": at_once, "delay": run.delay, "jitter": 0.0}
    return {
        "USER_AGENT": user_agent(),
        "CONCURRENT_REQUESTS": 2 * at_once if at_once > 1 else 1,
        "CONCURRENT_REQUESTS_PER_DOMAIN": at_once,
        "DOWNLOAD_DELAY": run.delay,
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "DOWNLOAD_SLOTS": {run.plan.site.name: slot},
        "AUTOTHROTTLE_ENABLED": bool(run.delay),
        "AUTOTHROTTLE_START_DELAY": run.delay,
        "AUTOTHROTTLE_MAX_DELAY": MAX_DELAY,
        "DOWNLOAD_MAXSIZE": PAGE_BYTES,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_TIMEOUT": TIMEOUT_SECONDS,
        "DNS_TIMEOUT": 20,
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
        "CONCURRENT_ITEMS": 1,  # the spider yields no items; Scrapy starts this many tasks per page
        "RETRY_TIMES": 2,
        "RETRY_PRIORITY_ADJUST": 3,  # before all others, so that ten pages tell that a site is down, not all of them
        "RETRY_HTTP_CODES": [500, 502, 503, 504, 408, 522, 524],
        "LOG_LEVEL": "WARNING",
        "LOG_INSTALL_ROOT_HANDLER": False,
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",  # `CrawlRun` counts
        "EXTENSIONS_BASE": _select_parts(default_settings.EXTENSIONS_BASE),
        "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
        "HTTPPROXY_ENABLED": bool(getproxies()),
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",  # the frontier knows what was requested
        "DOWNLOAD_HANDLERS_BASE": {},
        "DOWNLOAD_HANDLERS": dict.fromkeys(SCHEMES, SiteDownloadHandler),
        "DOWNLOADER_MIDDLEWARES": {
            "chimed.crawl.spider.BackoffMiddleware": 10,
            WireMiddleware: 950,  # nearest to the network: headers as sent, body as received
        },
        "DOWNLOADER_MIDDLEWARES_BASE": _select_parts(default_settings.DOWNLOADER_MIDDLEWARES_BASE),
        "SPIDER_MIDDLEWARES_BASE": {},
        "DEFAULT_REQUEST_HEADERS": {
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5",
            "Accept-Encoding": ACCEPT_ENCODING,
            "Accept-Language": "zh-CN,zh;q=0.9",
        },
    }


def _select_parts(parts: dict[str, int]) -> dict[str, int]:
    """Return only the parts in `SCRAPY_PARTS`. Scrapy imports a part even if its setting disables it."""
    return {name: place for name, place in parts.items() if name.rpartition(".")[2] in SCRAPY_PARTS}


class OffSite(IgnoreRequest):
    """A request would leave the site for another host, port or scheme, and is not sent."""


class _Parser(http11._LenientHTTPClientParser):
    """Scrapy's response parser, which also keeps the headers as received: their order and their case."""

    came: list[tuple[bytes, bytes]]

    def statusReceived(self, status: bytes) -> None:
        self.came = []
        super().statusReceived(status)

    def headerReceived(self, name: bytes, value: bytes) -> None:
        self.came.append((name, value))
        super().headerReceived(name, value)

    def allHeadersReceived(self) -> None:
        kept = json.dumps([(name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in self.came])
        self.headers.setRawHeaders(RAW_HEADERS, [kept])
        super().allHeadersReceived()


http11._LenientHTTPClientParser = _Parser  # type: ignore[misc]  # Scrapy's client takes its parser by this name


class SiteDownloadHandler(HTTP11DownloadHandler):
    """Fetch from the replica instead of the site if one is set; all other code sees the site's own URL."""

    async def download_request(self, request: Request) -> Response:
        run = self._crawler.spider.run  # type: ignore[union-attr]
        while (left := run.not_before - time.monotonic()) > 0 and not run.stopped:
            await asyncio.sleep(min(left, 1.0))
        if run.visits and not robots.is_open(run.visits, datetime.now(UTC)):
            run.close()
        if run.stopped:  # the last check before the network: no waiting request leaves after a stop
            raise IgnoreRequest("the crawl was stopped")
        try:
            return await self._fetch(request)
        finally:  # counted from the response, so that a delay on the way never brings two requests closer together
            run.not_before = max(run.not_before, time.monotonic() + run.delay)

    async def _fetch(self, request: Request) -> Response:
        replica = settings().replica
        if not replica:
            return await super().download_request(request)
        parts = urlsplit(request.url)
        query = f"?{parts.query}" if parts.query else ""
        there = f"{replica.rstrip('/')}/{parts.netloc}{parts.path or '/'}{query}"
        response = await super().download_request(request.replace(url=there))
        return response.replace(url=request.url)


def is_on_site(site: Site, url: str) -> bool:
    """Return whether an address is the site's own: its hosts, http or https, default ports, no user name."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number
        return False
    own = parts.scheme in SCHEMES and parts.hostname in site.hosts and "@" not in parts.netloc
    return own and port in (None, DEFAULT_PORTS[parts.scheme])


class WireMiddleware:
    """Keep all requests in one slot and on the site's hosts, and record every exchange as it was on the wire."""

    def __init__(self, run: CrawlRun):
        self.run = run

    @classmethod
    def from_crawler(cls, crawler) -> "WireMiddleware":
        return cls(crawler.spider.run)

    def process_request(self, request: Request) -> None:
        if not is_on_site(self.run.plan.site, request.url):
            self.run.off_site += 1
            raise OffSite("not on the site")
        request.meta["download_slot"] = self.run.plan.site.name
        self.run.requests += 1

    def process_response(self, request: Request, response: Response) -> Response:
        self.run.bytes += len(response.body)
        if response.headers.get("Retry-After"):  # no retry before the time the site names
            request.meta["dont_retry"] = True
        parts = urlsplit(request.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        came = response.headers.pop(RAW_HEADERS, None)
        headers = [(name, value) for name, value in json.loads(came[-1])] if came else _header_pairs(response)
        request.meta["exchange"] = warc.Exchange(
            url=request.url,
            method_line=f"GET {path} HTTP/1.1",
            request_headers=[("Host", parts.netloc), *_header_pairs(request)],
            status=response.status,
            reason=_reason(response.status),
            headers=headers,
            body=response.body,
        )
        return response


def _header_pairs(message: Request | Response) -> list[tuple[str, str]]:
    return [
        (key.decode("latin-1"), value.decode("latin-1"))
        for key in message.headers
        for value in message.headers.getlist(key)
    ]


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
