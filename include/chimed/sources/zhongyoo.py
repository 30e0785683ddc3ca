"""www.zhongyoo.com (中药查询): herbs and formulas of Chinese medicine (paper §3.1).

Static pages over plain http, in GBK. Not dated, and new herbs may stand anywhere: lists are walked to their end.
"""

import re

from parsel import Selector

from chimed.records import QA, Document
from chimed.sources.page import Link, Miss, Site, first_text, lines_of, on_page, one_form

HOST = "www.zhongyoo.com"

_HERB = re.compile(r"^http://www\.zhongyoo\.com/name/[a-z]+\w*_\d+\.html$")
_PAGED = re.compile(r"^(http://www\.zhongyoo\.com/(?:name|fangji|jianding)/)page_(\d+)\.html$")
_LIST = re.compile(
    r"^http://www\.zhongyoo\.com/(?:(?:name|fangji|jianding)/page_\d+\.html|(?:gx|pinyin)/(?:[\w-]+(?:/|\.html)?)?)$"
)
_DETAIL = re.compile(r"^http://www\.zhongyoo\.com/(?!gx/|pinyin/)[\w-]+/(?!page_|index|list_)[\w/-]+\.html$")
_COUNT = re.compile(r"共\s*(\d+)\s*页")
_FIELD = re.compile(r"^【\s*([^】]+?)\s*】")
_DROPPED_FIELDS = ("相关推荐文章", "相关文章", "推荐文章")

# Lists of herbs: by page, by group (/gx/<slug>/), by initial (/pinyin/<x>). The second selector is a group's index.
_HERB_LINKS = "div.r2-con div.sp strong a::attr(href), dl.letList li a::attr(href), dt.letIn a::attr(href)"
_HERB_INDEX = "div.listT1Con ul.ksList li a::attr(href), div.pyBoxCon ul li a::attr(href)"
_FORMULA_LINKS = "div.listbox ul li a::attr(href)"
_PAGER = "ul.pagelist a::attr(href)"


def canonical(url: str) -> str:
    """The site has plain http only."""
    return one_form(url, "http", HOST)


def links(url: str, page: Selector) -> list[Link]:
    """Herbs and formulas of a list page, the groups of an index, and the page of the list after this one."""
    found = []
    for target in map(canonical, on_page(url, page.css(f"{_HERB_LINKS}, {_FORMULA_LINKS}, {_HERB_INDEX}").getall())):
        if _HERB.match(target) or (_DETAIL.match(target) and not _LIST.match(target)):
            found.append(Link(target, "detail"))
        elif _LIST.match(target):
            found.append(Link(target, "list"))
    following = [target for target in map(canonical, on_page(url, page.css(_PAGER).getall())) if _LIST.match(target)]
    here = _PAGED.match(canonical(url))
    count = _COUNT.search(page.css("ul.pagelist").xpath("string()").get(""))
    if here and count and int(here.group(2)) < int(count.group(1)):  # the pager shows only some of the pages
        following.append(f"{here.group(1)}page_{int(here.group(2)) + 1}.html")
    return found + [Link(target, "list") for target in dict.fromkeys(following)]


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """One document of a herb's or a formula's fields, one a line: `【性味归经】味甘，性微温。…`."""
    herb = page.css("div.gaishu")
    title = first_text(page, "div.gaishu div.title h1", "div.art_box h1", "h1")
    if not title:
        home = not herb and page.css("div.r2-cons, div.listbox, title").xpath("string()").get("").startswith("中药查询")
        return Miss("home page instead of the page" if home else "no h1")
    paragraphs = page.css("div.gaishu div.text p") or page.css("#contentText p") or page.css("#contentText")
    lines = _fields([line for paragraph in paragraphs for line in lines_of(paragraph)])
    if not lines:
        return Miss("picture only" if page.css("div.gaishu img, div.art_box img, #contentText img") else "no text")
    return [Document(title, "\n".join(lines), "tcm")]


def _fields(lines: list[str]) -> list[str]:
    """Lines without the fields that only recommend other pages; a line without 【 belongs to the field before it."""
    kept, wanted = [], True
    for line in lines:
        field = _FIELD.match(line)
        if field:
            wanted = field.group(1) not in _DROPPED_FIELDS
            line = f"【{field.group(1)}】{line[field.end() :].lstrip(' ：:')}"
        elif line.startswith(_DROPPED_FIELDS):
            wanted = False
        if wanted:
            kept.append(line)
    return kept


SITE = Site(
    name="zhongyoo",
    domain="tcm",
    hosts=(HOST,),
    sections={
        "herbs": (f"http://{HOST}/name/page_1.html",),
        "groups": (f"http://{HOST}/gx/",),
        "initials": (f"http://{HOST}/pinyin/",),
        "formulas": (f"http://{HOST}/fangji/page_1.html",),
        "identification": (f"http://{HOST}/jianding/page_1.html",),
    },
    canonical=canonical,
    links=links,
    read=read,
    encoding="gb18030",
    delay=2.0,
)
