"""www.cnkang.com (中华康网): articles on diseases, general, and a section on Chinese medicine, /cm (paper §3.1).

Pages of several ages: old channels are gb2312 and say so only in `<meta>`, and one layout stores the parts of an
article in reverse. Not dated by day (old paths hold year and month).
"""

import re
from urllib.parse import urlsplit

from parsel import Selector, SelectorList

from chimed.records import QA, Document
from chimed.sources.page import Link, Miss, Site, first_text, lines_of, on_page, one_form

HOST = "www.cnkang.com"

_ARTICLE = re.compile(
    r"^https://www\.cnkang\.com/(?:dise/[\w-]+/\d+\.html|(?!cm/)[\w-]+/(?:[\w-]+/)*(?:19|20)\d{4}/\d+\.html)$"
)
_DISEASE_LIST = re.compile(r"^https://www\.cnkang\.com/dise/[\w-]+/(?:[\w-]+/?|[\w-]+\.html)?$")  # and no article
_HERB_GROUP = re.compile(r"^https://www\.cnkang\.com/cm/[\w-]+/(?:[\w-]+/)?$")
_TCM_PAGE = re.compile(r"^https://www\.cnkang\.com/cm/.+\.html$")

_DISEASE_LINKS = (
    "div.w920.right > div > div > ul > li > a::attr(href), "
    "dl.dise_menu01 dd p a::attr(href), dl.dise_menu02 dd p a::attr(href), "
    "div.w680.left dl dt a::attr(href)"
)
_HERB_LINKS = ".catalog04 dd a::attr(href), .catalog04 dt a::attr(href)"
_PAGER = ".page a::attr(href), .pages a::attr(href), .pagelist a::attr(href)"

_SKIP = 'contains(@class, "article_intro") or @id="jkpl"'
_REMINDER = "温馨提示：以上资料仅供参考"
_PAGER_LINE = re.compile(r"^(?=.*[\[页])(?:[\[\]\d\s…|]|上一页|下一页|首页|尾页)+$")
_HERB_FIELDS = ("简介", "药性", "功效", "适应症")


def canonical(url: str) -> str:
    """http redirects to https; both occur in links."""
    return one_form(url, "https", HOST)


def links(url: str, page: Selector) -> list[Link]:
    """Articles and herbs of a list page, and the lists it leads to."""
    found = []
    queries = f"{_DISEASE_LINKS}, {_HERB_LINKS}, {_PAGER}"
    for target in map(canonical, on_page(url, page.css(queries).getall())):
        if _ARTICLE.match(target) or _TCM_PAGE.match(target):
            found.append(Link(target, "detail"))
        elif _DISEASE_LIST.match(target) or _HERB_GROUP.match(target):
            found.append(Link(target, "list"))
    return found


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """One document: an article of any of the four layouts, or a herb of /cm."""
    title = first_text(page, "h1.detaila", "h1#h1title", "h1")
    if not title:
        home = page.css("title::text").get("").strip().startswith("中华康网")
        return Miss("home page instead of the page" if home else "no h1")
    tcm = urlsplit(url).path.startswith("/cm/")
    herb = page.css("div.zh05b p")
    if tcm and herb:
        lines = _herb(herb)
    else:
        region = _region(page)
        if not region:
            return Miss("no text")
        lines = [line for line in lines_of(region, skip=_SKIP) if not _is_noise(line)]
    if not lines:
        return Miss("picture only")
    return [Document(title, "\n".join(lines), "tcm" if tcm else "general")]


def _region(page: Selector) -> SelectorList:
    """The body of an article: the first of the layouts that matches, even where it is empty (then only a picture)."""
    if region := page.css(".detailc")[:1]:
        return region
    if region := page.css("#endText")[:1]:
        parts = region.css('div[id^="jbk"]')  # div#jbkN … div#jbk0 on the page; read from 0
        numbered = sorted(parts, key=lambda part: int(re.sub(r"\D", "", part.attrib["id"]) or 0))
        return SelectorList(numbered) if numbered else region
    return page.css("td.style3")[:1] or page.css(".conmain")[:1]


def _is_noise(line: str) -> bool:
    """Lines that stand among the text and are the site's: the pager of a long article, the reminder at its end."""
    return line.replace(":", "：").startswith(_REMINDER) or bool(_PAGER_LINE.match(line))


def _herb(paragraphs: SelectorList) -> list[str]:
    """A herb's paragraphs stand in a fixed order and are known by it: each gets its name in front, once."""
    lines = []
    for place, paragraph in enumerate(paragraphs):
        text = "\n".join(line for line in lines_of(paragraph, skip=_SKIP) if not _is_noise(line))
        name = _HERB_FIELDS[place] if place < len(_HERB_FIELDS) else ""
        if text and name and name not in text[: len(name) + 2]:
            text = f"{name}：{text}"
        if text:
            lines.append(text)
    return lines


SITE = Site(
    name="cnkang",
    domain="general",
    hosts=(HOST,),
    sections={
        # the index, never seen from outside, and the two groups that were: 清热药, 补虚药
        "herbs": tuple(f"https://{HOST}/cm/zcy/{group}" for group in ("", "jry/", "bxy/")),
        "diseases": (f"https://{HOST}/dise/keshi/list_1.html",),
    },
    canonical=canonical,
    links=links,
    read=read,
    delay=2.0,
)
