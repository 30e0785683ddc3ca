"""www.zydcd.com (中医大辞典): terms, formulas, physicians, classics and case records of Chinese medicine (paper §3.1).

Where its lists begin was never seen from outside: `SECTIONS` is configuration, to be checked at the first crawl, and
any page of the site that links entries or further lists serves as a list. Classical books are read as language lzh.
"""

import re

from parsel import Selector

from chimed.records import QA, Document
from chimed.sources.page import Link, Miss, Site, first_text, lines_of, on_page, one_form

HOST = "www.zydcd.com"
SECTIONS = {
    "home": (f"http://{HOST}/",),  # whatever its menu leads to below the folders of the other three
    "entries": (f"http://{HOST}/zhongyi/list_1.html",),
    "classics": (f"http://{HOST}/guji/",),
    "cases": (f"http://{HOST}/yian/list_1.html",),
}

_ENTRY = re.compile(r"^http://www\.zydcd\.com/zhongyi/zy\d{5}[a-z]{2}/$")
_CHAPTER = re.compile(r"^http://www\.zydcd\.com/guji/[\w-]+/[\w-]+(?:/|\.html?)$")
_CASE = re.compile(r"^http://www\.zydcd\.com/yian/(?!list|page)[\w-]*\d[\w-]*(?:/|\.html?)$")
_LIST = re.compile(r"^http://www\.zydcd\.com/(?:zhongyi|guji|yian)/(?:[\w-]+/?|(?:list|page)[\w-]*\.html?)?$")
_HOME = re.compile(r"^\s*中医大辞典")


def canonical(url: str) -> str:
    """The site has plain http only; an entry's address ends with a slash."""
    url = one_form(url, "http", HOST)
    return f"{url}/" if re.search(r"/zhongyi/zy\d{5}[a-z]{2}$", url) else url


def links(url: str, page: Selector) -> list[Link]:
    """Entries, chapters and cases among all links of the page; whatever else lies below a section is a list."""
    found = []
    for target in map(canonical, on_page(url, page.css("a::attr(href)").getall())):
        if _ENTRY.match(target) or _CHAPTER.match(target) or _CASE.match(target):
            found.append(Link(target, "detail"))
        elif _LIST.match(target):
            found.append(Link(target, "list"))
    return found


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """One document: every `div.info_txt` in order. Links inside a line (a formula's herbs) do not break it."""
    title = first_text(page, "h1")
    if not title:
        home = _HOME.match(page.css("title::text").get("")) and not page.css("div.info_txt")
        return Miss("home page instead of the page" if home else "no h1")
    lines = [line for region in page.css("div.info_txt") for line in lines_of(region)]
    if not lines:
        return Miss("picture only" if page.css("div.info_txt img") else "no text")
    language = "lzh" if _CHAPTER.match(canonical(url)) else "zh"
    return [Document(title, "\n".join(lines), "tcm", language)]


SITE = Site(
    name="zydcd",
    domain="tcm",
    hosts=(HOST,),
    sections=SECTIONS,
    canonical=canonical,
    links=links,
    read=read,
    delay=2.0,
)
