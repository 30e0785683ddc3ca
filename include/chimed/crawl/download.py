"""What every request of a crawl obeys: one pace, one connection, the site's own hosts, an honest name (paper §3.1).

Politeness of all sites is set here and nowhere else; a site's file only says how many seconds it wants.
"""

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from scrapy import Request
from scrapy.core.downloader.handlers import http11
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.settings import default_settings

from chimed import __version__
from chimed.crawl import frontier, robots
from chimed.crawl.plan import Plan
from chimed.crawl.robots import LONGEST_DELAY, ROBOT, Visits
from chimed.crawl.traps import Bounds
from chimed.settings import settings
from chimed.sources.page import Site
from chimed.storage import warc
from chimed.storage.encodings import ASKED_FOR, PAGE_BYTES
from chimed.storage.store import Store

if TYPE_CHECKING:
    from chimed.crawl.seen import Seen

log = logging.getLogger("chimed")

TIMEOUT = 60
SCHEMES = ("http", "https")  # Scrapy also reads files, data:, FTP and S3, for whoever writes such a redirect
DEFAULT_PORTS = {"http": 80, "https": 443}
RAW_HEADERS = "X-Chimed-Raw-Headers"  # from the parser of HTTP to `WireMiddleware`, which takes it off
# Of all that Scrapy puts around a download, what a crawl uses; all else (its consoles and remote control too) stays out
USED = (
    "DownloadTimeoutMiddleware",
    "DefaultHeadersMiddleware",
    "UserAgentMiddleware",
    "RetryMiddleware",
    "HttpProxyMiddleware",
    "AutoThrottle",
)
SAID_EVERY = 60  # seconds between two lines of progress
TOGETHER = 64  # pages written to the store at once where there is no pace
AT_ONCE_UNPACED = 8  # Scrapy's own default; only a replica is ever asked without a pace (benchmarks)


@dataclass
class Run:
    """One attempt at a crawl: what it needs, how it goes, and what it has to tell afterwards.

    not_before: no request leaves before this moment (monotonic). settled: pages done and not yet written; with a pace
    every page is written at once, without one (benchmarks) in groups. wait: seconds for which the site is to be left
    alone after a stop, None where that is not its will. suspected: the attempt before was stopped by a block. held,
    good, proof, proving, alike: see `blocks`.
    """

    plan: Plan
    store: Store
    archive: warc.Archive
    delay: float
    stopped: str | None = None
    robots: str = "not read"
    not_before: float = 0.0
    waits: int = 0
    wait: float | None = None
    suspected: bool = False
    held: list["Seen"] = field(default_factory=list)
    good: str | None = None
    proof: dict | None = None
    proving: bool = False
    alike: int = 0
    requests: int = 0
    bytes: int = 0
    visits: Visits | None = None
    bounds: Bounds = field(default_factory=Bounds)
    unchanged: int = 0
    off_site: int = 0
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)
    counts_time: bool = True
    settled: list[dict] = field(default_factory=list)
    told: dict[str, float] = field(default_factory=dict)

    def settle(self, url: str, **values: object) -> None:
        """A page is done: `values` are columns of `pages`."""
        self.settled.append({"url": url, **values})
        if self.delay or len(self.settled) >= TOGETHER:
            self.write()

    def write(self) -> None:
        """Brings what was settled and counted into the store, in one transaction."""
        now = {
            "requests": self.requests,
            "bytes": self.bytes,
            "unchanged": self.unchanged,
            "off_site": self.off_site,
            "seconds": time.monotonic() - self.started if self.counts_time else 0.0,
        }
        news = {name: value - self.told.get(name, 0) for name, value in now.items()}
        frontier.settle(self.store, self.plan, self.settled, news)
        self.settled, self.told = [], now
        if time.monotonic() - self.said > SAID_EVERY:
            self.said = time.monotonic()
            minutes = (self.said - self.started) / 60
            log.info(
                "%s: %d requests, %.1f MB in %.0f minutes",
                self.plan.site.name,
                self.requests,
                self.bytes / 1e6,
                minutes,
            )

    def close(self) -> None:
        """The site's hours for visits are over."""
        if not self.stopped and self.visits:
            self.stopped = f"{self.plan.site.name}: {robots.closed(self.visits)}; its frontier keeps its place"
            self.wait = robots.until_open(self.visits, datetime.now(UTC))

    def pause(self, seconds: float) -> None:
        """The site asked for a pause: all requests wait for its end, and go on at half the pace."""
        self.not_before = max(self.not_before, time.monotonic() + seconds)
        self.delay = min(2 * self.delay, LONGEST_DELAY)


def user_agent() -> str:
    """Who we are and how to reach us."""
    return f"{ROBOT}/{__version__} (+{settings().contact})"


def scrapy_settings(run: Run) -> dict:
    """Politeness of every site, from one place. robots.txt is obeyed by the spider itself: Scrapy's own middleware
    would read the body of a refusal as rules and go on where robots.txt cannot be read. So are redirects: one may lead
    to a page's twin, to where it moved, or to a captcha."""
    at_once = 1 if run.delay else AT_ONCE_UNPACED
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
        "AUTOTHROTTLE_MAX_DELAY": LONGEST_DELAY,
        "DOWNLOAD_MAXSIZE": PAGE_BYTES,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_TIMEOUT": TIMEOUT,
        "DNS_TIMEOUT": 20,
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
        "CONCURRENT_ITEMS": 1,  # the spider yields none; Scrapy makes this many tasks for every page
        "RETRY_TIMES": 2,
        "RETRY_PRIORITY_ADJUST": 3,  # before all others: that a site is down is told by ten pages, not by all there are
        "RETRY_HTTP_CODES": [500, 502, 503, 504, 408, 522, 524],
        "LOG_LEVEL": "WARNING",
        "LOG_INSTALL_ROOT_HANDLER": False,
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",  # the run counts
        "EXTENSIONS_BASE": _used(default_settings.EXTENSIONS_BASE),
        "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
        "HTTPPROXY_ENABLED": bool(getproxies()),
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",  # the frontier knows what was asked for
        "DOWNLOAD_HANDLERS_BASE": {},
        "DOWNLOAD_HANDLERS": dict.fromkeys(SCHEMES, SiteDownloadHandler),
        "DOWNLOADER_MIDDLEWARES": {
            "chimed.crawl.spider.HeedMiddleware": 10,
            WireMiddleware: 950,  # nearest to the wire: headers as sent, body as received
        },
        "DOWNLOADER_MIDDLEWARES_BASE": _used(default_settings.DOWNLOADER_MIDDLEWARES_BASE),
        "SPIDER_MIDDLEWARES_BASE": {},
        "DEFAULT_REQUEST_HEADERS": {
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5",
            "Accept-Encoding": ASKED_FOR,
            "Accept-Language": "zh-CN,zh;q=0.9",
        },
    }


def _used(parts: dict[str, int]) -> dict[str, int]:
    """Those of Scrapy's parts that are `USED`; one that is switched off by its own setting would still be imported."""
    return {name: place for name, place in parts.items() if name.rpartition(".")[2] in USED}


class OffSite(IgnoreRequest):
    """A request that would leave the site: for another host, port or scheme. It is not sent."""


class _Parser(http11._LenientHTTPClientParser):
    """Scrapy's parser of an answer, which also keeps the headers as they came: their order, their letters' case."""

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
    """Fetches from the replica instead of the site where there is one; everything above sees the site's own URL."""

    async def download_request(self, request: Request) -> Response:
        run = self._crawler.spider.run  # type: ignore[union-attr]
        while (left := run.not_before - time.monotonic()) > 0 and not run.stopped:
            await asyncio.sleep(min(left, 1.0))
        if run.visits and not robots.is_open(run.visits, datetime.now(UTC)):
            run.close()
        if run.stopped:  # the last gate before the wire: nothing that waits leaves after a stop
            raise IgnoreRequest("the crawl was stopped")
        try:
            return await self._fetch(request)
        finally:  # counted from the answer, so that no delay on the way brings two requests closer at the site
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
    """Whether an address is one of the site's own: its hosts, by http or https, at their own ports, without a user."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number
        return False
    own = parts.scheme in SCHEMES and parts.hostname in site.hosts and "@" not in parts.netloc
    return own and port in (None, DEFAULT_PORTS[parts.scheme])


class WireMiddleware:
    """Keeps all requests of a site in one slot and on its own hosts, and notes every exchange as it was on the wire."""

    def __init__(self, run: Run):
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
        if response.headers.get("Retry-After"):  # no third try before the site wants it
            request.meta["dont_retry"] = True
        parts = urlsplit(request.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        came = response.headers.pop(RAW_HEADERS, None)
        headers = [(name, value) for name, value in json.loads(came[-1])] if came else _pairs(response)
        request.meta["exchange"] = warc.Exchange(
            url=request.url,
            method_line=f"GET {path} HTTP/1.1",
            request_headers=[("Host", parts.netloc), *_pairs(request)],
            status=response.status,
            reason=_reason(response.status),
            headers=headers,
            body=response.body,
        )
        return response


def _pairs(message: Request | Response) -> list[tuple[str, str]]:
    return [
        (key.decode("latin-1"), value.decode("latin-1"))
        for key in message.headers
        for value in message.headers.getlist(key)
    ]


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
