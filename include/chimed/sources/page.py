"""Define what a site is, and turn its pages into links, records or a named miss (paper §3.1).

Pure functions; no network. A site's file exposes one `SITE`, which has everything known of that site.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Literal
from urllib.parse import urljoin, urlsplit, urlunsplit

from parsel import Selector
from w3lib.url import canonicalize_url, url_query_cleaner

from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources import module
from chimed.sources.parsed import QA, Document
from chimed.sources.text import lines_of
from chimed.text.encoding.mojibake import is_garbled

TRACKING = ("utm_source", "utm_medium", "utm_campaign", "from", "spm", "ref", "share", "bd_vid", "fr")
# of a session, by the names that PHP, Java, ASP and forums give it; in a path after a semicolon too
SESSIONS = ("phpsessid", "jsessionid", "aspsessionid", "sessionid", "session_id", "session", "sid", "cfid", "cftoken")

_SESSION_IN_PATH = re.compile(r";(?:jsessionid|sid|phpsessid)=[\w.!-]*", re.I)
_NOTICE_LENGTH = 80  # characters; a page that says it is gone says little else
_GONE = re.compile(
    r"(?:页面?|内容|文章|问题|帖子|词条|信息|资源|链接).{0,8}(?:不存在|被?删除|找不到|已下线|正在审核)|"
    r"(?:找不到|没有找到|无法找到|不存在|已删除).{0,8}(?:页面?|内容|文章|问题|帖子|词条|信息|资源|链接)|404 not found",
    re.I,
)
_NEXT = re.compile(r"^(?:下一?页|后一?页|下页|[>＞»›]{1,2})\s*[>＞»›]*$")


@dataclass(frozen=True)
class Link:
    """A link on a list page, to a detail page or another list, with the day beside it if there is one."""

    url: str
    kind: Literal["list", "detail"]
    published: date | None = None


@dataclass(frozen=True)
class Miss:
    """A page that gives no record. The reason is a few words, the same for every page of that kind."""

    reason: str


@dataclass(frozen=True)
class Site:
    """All that is known of a site.

    sections: name → URLs where its lists begin. canonical: the one form of a URL. links: what a list page leads to.
    read: a detail page as records, or a Miss. published: the day a detail page was published (None where undated).
    newest_first: lists are dated and show the newest first, so that a walk may end early. delay: seconds between two
    requests. most_lists: pages of one list, beyond which it is a trap. recheck: days of age at which an answered page
    is asked for again first. challenge: marks of a page that wants a person (captcha, login), in its HTML or in the
    address of a redirect: the crawl stops there. twins: other hosts that show the same pages under the same paths, such
    as a mobile site; never crawled, but known for the same. configure: the site as settings of its own make it.
    """

    name: str
    domain: str
    hosts: tuple[str, ...]
    sections: Mapping[str, tuple[str, ...]]
    canonical: Callable[[str], str]
    links: Callable[[str, Selector], list[Link]]
    read: Callable[[str, Selector], list[Document | QA] | Miss]
    published: Callable[[Selector], date | None] = lambda selector: None
    encoding: str = "utf-8"
    newest_first: bool = False
    delay: float = 2.0
    most_lists: int = 2_000
    recheck: int = 28
    challenge: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    configure: Callable[["Site"], "Site"] | None = None


def load(source: str) -> Site:
    """Return the site of that name: `SITE` of its file, with the lists in `CHIMED_LISTS` replacing those of the same
    name.

    Raises UserError for a list that is not on the site.
    """
    site: Site = module(source).SITE
    site = site.configure(site) if site.configure else site
    said = settings().lists.get(source)
    if not said:
        return site
    for url in (url for urls in said.values() for url in urls):
        if urlsplit(site.canonical(url)).hostname not in site.hosts:
            raise UserError(f"CHIMED_LISTS has {url}, which is not on {', '.join(site.hosts)}")
    sections = {**site.sections, **{name: tuple(urls) for name, urls in said.items()}}
    return replace(site, sections={name: urls for name, urls in sections.items() if urls})


# --- addresses ---------------------------------------------------------------------------------------------------


@lru_cache(4096)  # a list page shows most addresses twice
def one_form(url: str, scheme: str, host: str) -> str:
    """Return the canonical form of a site's URL:

    `scheme`, `host` (also for the bare domain), no index.html, no tracking query.
    """
    parts = urlsplit(url.strip())
    name = (parts.hostname or host).lower()
    if name == host.removeprefix("www."):
        name = host
    if name == host:
        parts = parts._replace(scheme=scheme, netloc=host)
    path = re.sub(r"(?<=/)index\.html?$", "", re.sub(r"/{2,}", "/", _SESSION_IN_PATH.sub("", parts.path)) or "/")
    plain = urlunsplit(parts._replace(path=path, fragment=""))
    if not parts.query:
        return canonicalize_url(plain)
    names = [part.partition("=")[0] for part in parts.query.split("&")]
    gone = {name for name in names if name.lower() in SESSIONS or name.lower().startswith("aspsessionid")}
    return canonicalize_url(url_query_cleaner(plain, (*TRACKING, *gone), remove=True))


def without_query(url: str, *forms: re.Pattern[str]) -> str:
    """Return an address without its query if the rest matches one of the forms.

    Such pages have no query: it can only be a session, a campaign or something unknown, and the page is the same.
    """
    bare, mark, _ = url.partition("?")
    return bare if mark and any(form.match(bare) for form in forms) else url


def on_page(url: str, hrefs: Iterable[str]) -> list[str]:
    """Return the absolute addresses of hrefs on the page at `url`, each once, in order; scripts and invalid ones left
    out.
    """
    found: dict[str, None] = {}
    for href in hrefs:
        try:
            target = urljoin(url, href.strip())
            parts = urlsplit(target)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                found[target] = None
        except ValueError:  # not an address: `http://[`, `http://host:port/`
            continue
    return list(found)


def links_of(site: Site, url: str, page: Selector) -> list[Link]:
    """Return the links of a list page, resolved against its `<base href>` if it has one."""
    base = page.css("base::attr(href)").get("").strip()
    for anchor in page.css("a[href], area[href]") if base else ():
        # where either is no address, or holds a control character, which lxml refuses: as if there were no base
        with contextlib.suppress(ValueError):
            anchor.root.set("href", urljoin(urljoin(url, base), anchor.root.get("href").strip()))
    return site.links(url, page)


def turned(url: str, page: Selector) -> list[str]:
    """Return further pages of a list: links that differ from `url` only in numbers, or that say 下一页."""
    shape = _shape(url)
    found = []
    for anchor in page.css("a[href]"):
        for target in on_page(url, [anchor.root.get("href")]):
            says_next = "next" in anchor.root.get("class", "").split() or any(map(_NEXT.match, lines_of(anchor)))
            if says_next or ("#" in shape and _shape(target) == shape):
                found.append(target)
    return list(dict.fromkeys(found))


def _shape(url: str) -> str:
    """Return an address without its numbers, scheme and `www.`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    return host + re.sub(r"\d+", "#", parts.path + (f"?{parts.query}" if parts.query else ""))


# --- a page ------------------------------------------------------------------------------------------------------


def read_page(site: Site, url: str, page: Selector) -> list[Document | QA] | Miss:
    """Return the records of a detail page, or its Miss.

    A page that is mojibake throughout is a miss. If only some of its answers are garbled, every record is read: `clean`
    drops the garbled ones, so that the ledger has their rows.
    """
    read = site.read(url, page)
    if isinstance(read, Miss):
        return read
    if any(isinstance(one, Document) and _says_gone(one) for one in read):
        return Miss("says that it is gone")
    if read and all(is_garbled("\n".join(_words(one))) for one in read):
        return Miss("mojibake")
    return read or Miss("no text")


def _says_gone(one: Document) -> bool:
    return len(one.text) <= _NOTICE_LENGTH and bool(_GONE.search(one.text) or _GONE.search(one.title))


def _words(one: Document | QA) -> tuple[str, ...]:
    return (one.title, one.text) if isinstance(one, Document) else (one.title, one.question, one.answer)
