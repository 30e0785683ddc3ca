"""Parse www.cnkang.com (中华康网): articles on diseases, general, and a section on Chinese medicine, /cm (paper §3.1).

The pages are of several ages: old channels are gb2312 and declare it only in `<meta>`, and one layout has the parts of
an article in reverse order. Not dated by day (old paths have year and month).
"""

import re
from urllib.parse import urlsplit

from parsel import Selector, SelectorList

from chimed.sources.page import Link, Miss, Site, on_page, one_form, turned, without_query
from chimed.sources.parsed import QA, Document
from chimed.sources.text import first_text, lines_of, of_class, outermost

HOST = "www.cnkang.com"

_SITE = r"^https://www\.cnkang\.com"
_ARTICLE = re.compile(rf"{_SITE}/(?:dise/[\w-]+/\d+\.html?|(?!cm/)[\w-]+/(?:[\w-]+/)*(?:19|20)\d{{4}}/\d+\.html?)$")
_DISEASE_LIST = re.compile(rf"{_SITE}/dise/[\w-]+(?:/(?:[\w-]+/)*(?:[\w-]+\.html?)?)?$")  # and no article
_CM = re.compile(rf"{_SITE}/cm/.")
_HERB_GROUP = re.compile(rf"{_SITE}/cm/(?:zcy/(?:[a-z]+/)?)?$")

_DISEASES = "div.w920.right > div > div > ul > li > a::attr(href)"
_MENU = "dl.dise_menu01 dd p a::attr(href), dl.dise_menu02 dd p a::attr(href)"
_ARTICLES = "div.w680.left dl dt a::attr(href)"
_HERBS = ".catalog04 dd a::attr(href), .catalog04 dt a::attr(href)"
_PAGER = ".page a::attr(href), .pages a::attr(href), .pagelist a::attr(href)"

_SKIP = of_class("article_intro") + ' or @id="jkpl"'
_PART = re.compile(r"^jbk(\d+)$")
_REMINDER = re.compile(r"(?:温馨提示[：:]?\s*)?以上资料仅供参考.*$|^温馨提示[：:]?$")
_PAGER_LINE = re.compile(r"^(?=.*[\[【页])(?:[\[\]【】\d\s…|]|\.{3}|上一页|下一页|首页|尾页|末页)+$")
_PAGER_TAIL = re.compile(r"(?<=[。！？])\s*(?:[\[【]\d+[\]】]\s*){1,9}(?:…|\.{3})?\s*(?:下一页)?$")
_HERB_FIELDS = ("简介", "药性", "功效", "适应症")


def canonical(url: str) -> str:
    """Return the canonical URL: http redirects to https, and links use both."""
    return without_query(one_form(url, "https", HOST), _ARTICLE, _HERB_GROUP)


def links(url: str, page: Selector) -> list[Link]:
    """Return the articles and herbs of a list page, and the lists it links."""
    here, found = canonical(url), []
    for target in map(canonical, on_page(url, page.css(f"{_DISEASES}, {_MENU}, {_ARTICLES}").getall())):
        if _ARTICLE.match(target):
            found.append(Link(target, "detail"))
        elif _DISEASE_LIST.match(target):
            found.append(Link(target, "list"))
    for target in map(canonical, on_page(url, page.css(_HERBS).getall())):
        if _CM.match(target) and target != here:  # a herb's address is not known, a group's is
            found.append(Link(target, "list" if _HERB_GROUP.match(target) else "detail"))
    further = [*on_page(url, page.css(_PAGER).getall()), *turned(url, page)]
    if _CM.match(here):  # groups also lead to each other by the menu
        further += on_page(url, page.css('a[href*="/cm/zcy/"]::attr(href)').getall())
    known = {link.url for link in found}
    for target in map(canonical, further):
        if target in known or target == here or _ARTICLE.match(target):
            continue
        if (_CM.match(here) and _is_cm_list(target, here)) or (not _CM.match(here) and _DISEASE_LIST.match(target)):
            found.append(Link(target, "list"))
    return list(dict.fromkeys(found))


def _is_cm_list(target: str, here: str) -> bool:
    """Return whether a URL is a group of herbs, or another page of this one."""
    own = here if here.endswith("/") else here.rsplit("/", 1)[0] + "/"
    paged = target.startswith(own) and re.fullmatch(r"(?:[a-z]+_)?\d+(?:/|\.html?)", target.removeprefix(own))
    return bool(_HERB_GROUP.match(target) or paged)


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """Return one document, an article of any of the four layouts or a herb of /cm; or a Miss."""
    title = first_text(page, "h1.detaila", "h1#h1title", "h1")
    if not title or title == "中华康网":
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
        lines = _lines(region)
    if not lines:
        return Miss("picture only")
    return [Document(title, "\n".join(lines), "tcm" if tcm else "general")]


def _region(page: Selector) -> SelectorList[Selector]:
    """Return the body of an article: the first layout that matches, even if it is empty (then it is only a picture)."""
    if region := page.css(".detailc"):
        return outermost(region)
    if region := page.css("#endText")[:1]:
        parts = [part for part in region.css('[id^="jbk"]') if _PART.match(part.root.get("id"))]
        # div#jbkN … div#jbk0 on the page; read from 0
        return SelectorList(sorted(parts, key=lambda part: int(part.root.get("id").removeprefix("jbk")))) or region
    return page.css("td.style3")[:1] or page.css(".conmain")[:1]


def _lines(region: SelectorList[Selector] | Selector) -> list[str]:
    """Return a region's lines without the site's own: the pager of a long article, and the reminder at its end."""
    lines = [line for line in lines_of(region, skip=_SKIP) if not _PAGER_LINE.match(line)]
    return list(filter(None, (_PAGER_TAIL.sub("", _REMINDER.sub("", line)).strip() for line in lines)))


def _herb(paragraphs: SelectorList[Selector]) -> list[str]:
    """Return a herb's paragraphs as lines, each with its field's name in front; their fixed order tells the field."""
    texts = ["\n".join(_lines(paragraph)) for paragraph in outermost(paragraphs)]
    if len(texts) > len(_HERB_FIELDS):  # then the empty ones only keep the others apart
        texts = [text for text in texts if text]
    lines = []
    for place, text in enumerate(texts):
        name = _HERB_FIELDS[place] if place < len(_HERB_FIELDS) else ""
        if text and name and not any(field in text[: len(field) + 2] for field in _HERB_FIELDS):
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
    most_lists=50_000,  # 884 diseases, each with lists of its own
)
