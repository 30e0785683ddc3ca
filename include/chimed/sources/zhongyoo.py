"""Parse www.zhongyoo.com (中药查询): herbs, formulas and other texts of Chinese medicine (paper §3.1).

Static pages over plain http, in GBK. Not dated, and new herbs may appear anywhere, so lists are walked to their end.
"""

import re
from urllib.parse import urlsplit

from parsel import Selector

from chimed.sources.page import Link, Miss, Site, on_page, one_form, turned, without_query
from chimed.sources.parsed import QA, Document
from chimed.sources.text import first_text, lines_of, outermost

HOST = "www.zhongyoo.com"
MOST_LISTS = 500  # pages of one list; 45 were seen

# Seen in the menu of a page only: processing, cases, health preservation, patent medicines, acupoints, folk remedies.
OTHERS = {
    "processing": "paozhi",
    "cases": "yian",
    "health": "yangsheng",
    "patents": "zhongchengyao",
    "acupoints": "xw",
    "remedies": "pianfang",
}
_FOLDERS = "|".join(OTHERS.values())
_PAGED = re.compile(
    rf"^(http://www\.zhongyoo\.com/(?:name|fangji|jianding|(?:{_FOLDERS})(?:/[a-z][\w-]*)?)/)page_(\d+)\.html$"
)
_LIST = re.compile(
    r"^http://www\.zhongyoo\.com/(?:(?:name|fangji|jianding)/(?:page_\d+\.html)?|(?:gx|pinyin)/(?:[\w%-]+(?:/|\.html)?)?"
    rf"|(?:{_FOLDERS})/(?:[a-z][\w-]*/)?(?:(?:page|list)_[\d_]+\.html)?)$"
)
_OTHER = re.compile(rf"^http://www\.zhongyoo\.com/(?:{_FOLDERS})/")
_DETAIL = re.compile(r"^http://www\.zhongyoo\.com/(?!gx/|pinyin/)(?:[^/?]+/)*(?!page_|index|list_)[^/?]+\.html?$")
_COUNT = re.compile(r"共\s*(\d+)\s*页")
_FIELD = re.compile(r"^【([^】]{1,100})】")
_LABELS = (
    "药名|中药名|别名|英文名|来源|药用部位|植物形态|形态|产地分布|生境分布|采收加工|药材性状|性味归经|功效与作用|临床应用|"
    "药理研究|主要成分|化学成分|使用禁忌|配伍药方|相关药方|用法用量|相关推荐文章|"
    "方剂名|方名|组成|配方组成|用法|功效|功效作用|主治|功效主治"
)
_WITHIN = re.compile(rf"(?<=.)(?=【\s*(?:{_LABELS})\s*】)")
_DROPPED_FIELDS = ("相关推荐文章", "相关文章", "推荐文章")

# Lists of herbs: by page, by group (/gx/<slug>/), by initial (/pinyin/<x>). The second selector is a group's index.
_HERB_LINKS = "div.r2-con div.sp strong a::attr(href), dl.letList li a::attr(href), dt.letIn a::attr(href)"
_HERB_INDEX = "div.listT1Con ul.ksList li a::attr(href), div.pyBoxCon ul li a::attr(href)"
_FORMULA_LINKS = "div.listbox ul li a::attr(href)"
_PAGER = "ul.pagelist a::attr(href)"


def canonical(url: str) -> str:
    """Return the canonical URL: the site has only plain http."""
    return without_query(one_form(url, "http", HOST), _DETAIL, _LIST)


def links(url: str, page: Selector) -> list[Link]:
    """Return the herbs and formulas of a list page, the groups of an index, and the other pages of the list."""
    here = canonical(url)
    shown = page.css(f"{_HERB_LINKS}, {_FORMULA_LINKS}, {_HERB_INDEX}").getall()
    found = [link for link in map(_link, on_page(url, shown)) if link]
    if not any(link.kind == "detail" for link in found):  # a layout not seen yet: what lies in the list's own folder
        within = here.rsplit("/", 1)[0] + "/"
        every = map(_link, on_page(url, page.css("a::attr(href)").getall()))
        found += [link for link in every if link and link.kind == "detail" and link.url.startswith(within)]
    if other := _OTHER.match(here):  # its lists were never seen: what lies in its folder, and the lists below it
        below = map(_link, on_page(url, page.css("a::attr(href)").getall()))
        found = [link for link in below if link and link.url.startswith(other.group()) and link.url != other.group()]
    following = [canonical(target) for target in [*on_page(url, page.css(_PAGER).getall()), *turned(url, page)]]
    paged, count = _PAGED.match(here), _COUNT.search(page.css("ul.pagelist").xpath("string()").get(""))
    if paged and count:  # the pager shows only some of the pages
        following += [f"{paged.group(1)}page_{n}.html" for n in range(1, min(int(count.group(1)), MOST_LISTS) + 1)]
    found += [Link(target, "list") for target in following if _LIST.match(target)]
    return list({link.url: link for link in reversed(found) if link.url != here}.values())[::-1]


def _link(target: str) -> Link | None:
    """Return a link to a herb, a formula or a list; None for another site and the home page."""
    target = canonical(target)
    if _LIST.match(target):
        return Link(target, "list")
    return Link(target, "detail") if _DETAIL.match(target) and urlsplit(target).path != "/" else None


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """Return one document with a herb's or formula's fields, one per line (`【性味归经】味甘`); or a Miss."""
    herb = page.css("div.gaishu")
    title = first_text(page, "div.gaishu div.title h1", "div.art_box h1", "h1")
    if not title:
        home = not herb and page.css("title").xpath("string()").get("").strip().startswith("中药查询")
        return Miss("home page instead of the page" if home else "no h1")
    paragraphs = (
        page.css("div.gaishu div.text p")
        or page.css("div.gaishu div.text")
        or page.css("#contentText p")
        or page.css("#contentText")
    )
    lines = _fields([part for line in lines_of(outermost(paragraphs)) for part in _WITHIN.split(line)])
    if not lines:
        return Miss("picture only" if page.css("div.gaishu img, div.art_box img, #contentText img") else "no text")
    return [Document(title, "\n".join(lines), "tcm")]


def _fields(lines: list[str]) -> list[str]:
    """Return lines without fields that only recommend other pages; a line without 【 belongs to the field before it."""
    kept, wanted = [], True
    for line in lines:
        field = _FIELD.match(line)
        if field and (name := field[1].strip()):
            wanted = name not in _DROPPED_FIELDS
            line = f"【{name}】{line[field.end() :].lstrip(' ：:')}"
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
        **{name: (f"http://{HOST}/{folder}/",) for name, folder in OTHERS.items()},
    },
    canonical=canonical,
    links=links,
    read=read,
    encoding="gb18030",
    most_lists=MOST_LISTS,
)
