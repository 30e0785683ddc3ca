"""Parse www.zydcd.com (中医大辞典): terms, formulas, physicians, classics and case records of Chinese medicine (§3.1).

Only entries could be seen from outside. Where lists begin, and how chapters of classics and case records are addressed,
is configuration to be checked at the first crawl: `CHIMED_ZYDCD`, JSON with the keys of `DEFAULTS` (`sections`: name →
first list pages; `chapter`, `case`: regular expressions for a path). Any page of the site that links entries or further
lists works as a list. Classical books get language lzh.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from parsel import Selector

from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources.page import Link, Miss, Site, on_page, one_form, turned, without_query
from chimed.sources.parsed import QA, Document
from chimed.sources.text import first_text, lines_of, outermost

HOST = "www.zydcd.com"
DEFAULTS: dict[str, Any] = {
    "sections": {
        "home": [f"http://{HOST}/"],  # whatever its menu leads to below the folders of the other three
        "entries": [f"http://{HOST}/zhongyi/list_1.html"],
        "classics": [f"http://{HOST}/guji/"],
        "cases": [f"http://{HOST}/yian/list_1.html"],
    },
    "chapter": r"/guji/[\w-]+/[\w-]+(?:/|\.html?)",
    "case": r"/yian/(?!list|page)[\w-]{0,80}\d[\w-]{0,80}(?:/|\.html?)",
}
_ENTRY = re.compile(r"/zhongyi/zy\d{5}[A-Za-z]{2}/")
_LIST = re.compile(r"/(?:zhongyi|guji|yian)/(?:[\w-]+/?|(?:list|page)[\w-]*\.html?)?")
_HOME = re.compile(r"^\s*中医大辞典")
_CLASSIC = re.compile(
    r"_(?:中医)?(?:古籍|典籍|医籍|医书)[:：]"
)  # the kind of a page stands before the colon of its title


@dataclass(frozen=True)
class Forms:
    """Where lists begin, and the forms of addresses: of any page with records, of a chapter's and a case's path."""

    sections: dict[str, tuple[str, ...]]
    page: re.Pattern[str]
    chapter: re.Pattern[str]
    case: re.Pattern[str]


@cache
def forms() -> Forms:
    """Return the forms that the settings name, else the usual ones. Raises UserError where `CHIMED_ZYDCD` is wrong."""
    if unknown := set(settings().zydcd) - set(DEFAULTS):
        raise UserError(f"CHIMED_ZYDCD has {', '.join(sorted(unknown))}; choose from: {', '.join(DEFAULTS)}")
    said = DEFAULTS | settings().zydcd
    compiled = {}
    for name in ("chapter", "case"):
        try:
            compiled[name] = re.compile(said[name])
        except (re.error, TypeError) as error:
            raise UserError(f"CHIMED_ZYDCD: {name} is not a regular expression: {error}") from None
    entry = r"/zhongyi/zy\d{5}[A-Za-z]{2}/?"
    page = re.compile(rf"http://{re.escape(HOST)}(?:{entry}|{said['chapter']}|{said['case']})$")
    return Forms({name: tuple(urls) for name, urls in said["sections"].items()}, page, **compiled)


def configure(site: Site) -> Site:
    """Return the site with the lists that the settings name."""
    return replace(site, sections=forms().sections)


def canonical(url: str) -> str:
    """Return the canonical URL: the site has plain http only, and an entry's address ends in a slash."""
    url = without_query(one_form(url, "http", HOST), forms().page)
    return f"{url}/" if re.search(r"/zhongyi/zy\d{5}[A-Za-z]{2}$", url) else url


def links(url: str, page: Selector) -> list[Link]:
    """Return the entries, chapters and cases that a page links, and as lists the pages below them or after this one."""
    found = []
    further = set(map(canonical, turned(url, page)))
    for target in map(canonical, on_page(url, page.css("a::attr(href)").getall())):
        parts = urlsplit(target)
        if parts.hostname != HOST:
            continue
        if any(form.fullmatch(parts.path) for form in (_ENTRY, forms().chapter, forms().case)):
            found.append(Link(target, "detail"))
        elif (_LIST.fullmatch(parts.path) and not parts.query) or target in further:
            found.append(Link(target, "list"))
    return found


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """Return one document of every `div.info_txt` in order, or a Miss. Links within a line do not break it."""
    title = first_text(page, "h1")
    head = page.css("title::text").get("")
    regions = outermost(page.css("div.info_txt"))
    if not title:
        return Miss("home page instead of the page" if _HOME.match(head) and not regions else "no h1")
    lines = lines_of(regions)
    if not lines:
        return Miss("picture only" if page.css("div.info_txt img") else "no text")
    classic = forms().chapter.fullmatch(urlsplit(canonical(url)).path) or _CLASSIC.search(head)
    return [Document(title, "\n".join(lines), "tcm", "lzh" if classic else "zh")]


SITE = Site(
    name="zydcd",
    domain="tcm",
    hosts=(HOST,),
    sections={name: tuple(urls) for name, urls in DEFAULTS["sections"].items()},
    configure=configure,
    canonical=canonical,
    links=links,
    read=read,
    most_lists=10_000,  # 78,680 entries are known
)
