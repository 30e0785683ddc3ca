"""What every site's parser uses: what a site is, bytes to text, a node's text as lines (paper §3.1).

Pure functions; no network. A site's file exposes one `SITE`, and everything known of that site stands in it.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import urljoin, urlsplit, urlunsplit

from parsel import Selector
from w3lib.url import canonicalize_url, url_query_cleaner

from chimed.records import QA, Document

TRACKING = ("utm_source", "utm_medium", "utm_campaign", "from", "spm", "ref", "share", "bd_vid", "fr")
PAGE_BYTES = 4 * 1024 * 1024  # the largest page measured on any of the sites has 68 KB

_LONGEST_TITLE = 300
_BLOCK_TAGS = (
    "address article aside blockquote br center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr "
    "li main nav ol p pre section table tbody td th tr ul"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT_TAGS = "script style noscript textarea audio video select option iframe button"
_SILENT = frozenset(_SILENT_TAGS.split())
_STRAY_BREAK = re.compile(r"^(?:\s*<?\s*/?\s*BR\s*/?\s*>)+", re.I)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]+)", re.I)
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-/年.](\d{1,2})[-/月.](\d{1,2})(?!\d)")
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f"
_HAN = re.compile("[\u4e00-\u9fff]")
_SPACE_IN_CJK = re.compile(rf"(?<=[{_CJK}])[ ]*\n\s*(?=[{_CJK}])")

_SPACE_AT_STOP = re.compile(r"(?<=[，。；：、！？）】》”]) | (?=[，。；：、！？）】》”])")


@dataclass(frozen=True)
class Link:
    """A link that a list page shows: to a detail page or to another list, with the day beside it if there is one."""

    url: str
    kind: Literal["list", "detail"]
    published: date | None = None


@dataclass(frozen=True)
class Miss:
    """A page that gives no record, and why in a few words that are the same for every page of that kind."""

    reason: str


@dataclass(frozen=True)
class Site:
    """All that is known of a site.

    sections: name → URLs where its lists begin. canonical: the one form of a URL. links: what a list page leads to.
    read: a detail page as records, or a Miss. published: the day a detail page was published (None where undated).
    newest_first: lists are dated and show the newest first, so that a walk may end early. delay: seconds between two
    requests. recheck: days after which a known page is asked for again. challenge: marks of a page that wants a
    person (captcha, login), in its HTML or in the address of a redirect: the crawl stops there.
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
    recheck: int = 28
    challenge: tuple[str, ...] = ()


# --- addresses ---------------------------------------------------------------------------------------------------


def one_form(url: str, scheme: str, host: str) -> str:
    """A URL of a site in its one form: `scheme`, `host` for the bare domain too, no index.html, no tracking query."""
    parts = urlsplit(url.strip())
    name = (parts.hostname or host).lower()
    if name == host.removeprefix("www."):
        name = host
    if name == host:
        parts = parts._replace(scheme=scheme, netloc=host)
    path = re.sub(r"(?<=/)index\.html?$", "", re.sub(r"/{2,}", "/", parts.path) or "/")
    plain = urlunsplit(parts._replace(path=path, fragment=""))
    return canonicalize_url(url_query_cleaner(plain, TRACKING, remove=True))


def on_page(url: str, hrefs: Iterable[str]) -> list[str]:
    """Addresses that hrefs of the page at `url` point to, each once, in order; scripts and broken ones left out."""
    found: dict[str, None] = {}
    for href in hrefs:
        try:
            target = urljoin(url, href.strip())
            if urlsplit(target).scheme in ("http", "https") and urlsplit(target).hostname:
                found[target] = None
        except ValueError:  # not an address: `http://[`
            continue
    return list(found)


# --- bytes and text ----------------------------------------------------------------------------------------------


def decode(body: bytes, header: str | None, default: str) -> str:
    """A page's bytes as text: charset of the Content-Type header, else of `<meta>`, else `default`.

    Every GB charset is read as gb18030, which holds them all and takes nearly any bytes: so what was said to be GB
    and is whole UTF-8 with Chinese in it is read as that. What does not decode becomes U+FFFD.
    """
    said = re.search(r"charset\s*=\s*[\"']?([\w-]+)", header or "", re.I)
    meta = _DECLARED.search(body[:4096])
    name = said.group(1) if said else meta.group(1).decode() if meta else default
    is_gb = name.lower().startswith(("gb", "cp936", "x-gbk"))
    try:
        text = body.decode("utf-8")
        if not is_gb or _HAN.search(text):
            return text
    except UnicodeDecodeError:
        pass  # then it is GB, or broken
    try:
        return body.decode("gb18030")
    except UnicodeDecodeError:
        return body.decode("gb18030" if is_gb else "utf-8", errors="replace")


def lines_of(nodes: Iterable[Selector] | Selector, skip: str = "") -> list[str]:
    """The text of nodes as lines: inline elements joined, block elements and `<br>` break; empty lines left out.

    skip: XPath condition on elements left out with all they hold, such as `contains(@class, "advert")`.
    """
    pieces: list[str] = []
    for node in [nodes] if isinstance(nodes, Selector) else nodes:
        left_out = {id(one.root): one.root for one in node.xpath(f".//*[{skip}]")} if skip else {}
        _collect(node.root, left_out, pieces)
        pieces.append("\x00")
    return [line for line in map(tidy, "".join(pieces).split("\x00")) if line]


def text_of(nodes: Iterable[Selector] | Selector, skip: str = "") -> str:
    """`lines_of`, joined with line feeds."""
    return "\n".join(lines_of(nodes, skip))


def _collect(element, left_out: dict, pieces: list[str]) -> None:
    if isinstance(element, str):
        pieces.append(element)
        return
    tag = element.tag if isinstance(element.tag, str) else None  # comments have none
    if tag and tag not in _SILENT and id(element) not in left_out:
        breaks = tag in _BLOCKS
        if breaks:
            pieces.append("\x00")
        pieces.append(element.text or "")
        for child in element:
            _collect(child, left_out, pieces)
            pieces.append(child.tail or "")
        if breaks:
            pieces.append("\x00")


def tidy(text: str) -> str:
    """One line: entities that were escaped twice, hard and ideographic spaces, stray `BR>`, runs of spaces."""
    text = html.unescape(text) if "&" in text else text
    text = text.replace("\xa0", " ").replace("\u3000", " ").replace("\u200b", "").replace("\ufeff", "").strip()
    text = _STRAY_BREAK.sub("", text)
    text = _SPACE_IN_CJK.sub("", text)  # a line break in the source of the page is no space in Chinese
    return _SPACE_AT_STOP.sub("", re.sub(r"\s+", " ", text)).strip()


def day_in(text: str | None) -> date | None:
    """The first day written in a text as 2026-11-16, 2026/11/16 or 2026年11月16日, if it is a day of the calendar."""
    for year, month, day in _DAY.findall(text or ""):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def first_text(selector: Selector, *queries: str) -> str:
    """The text of the first CSS query that finds one, on one line; empty where none does."""
    for query in queries:
        for node in selector.css(query):
            found = " ".join(lines_of(node))
            if found:
                return found[:_LONGEST_TITLE]
    return ""


def merged(*parts: str) -> str:
    """Texts of one question as lines, without those that an earlier or longer one repeats."""
    kept: list[str] = []
    for part in (part.strip() for part in parts):
        bare = _bare(part)
        if not bare or any(bare in _bare(one) for one in kept):
            continue
        kept = [one for one in kept if _bare(one) not in bare] + [part]
    return "\n".join(kept)


def _bare(text: str) -> str:
    """What two texts must share to be the same: no spaces, no punctuation."""
    return re.sub(r"[\W_]+", "", text)
