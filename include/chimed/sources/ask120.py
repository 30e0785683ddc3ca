"""www.120ask.com (有问必答 / 快速问医生): general questions and answers (paper §3.1).

Lists are dated, newest first. Most question numbers are empty, so lists are walked and numbers never counted up.
"""

import re
from datetime import date

from parsel import Selector

from chimed.records import QA, Document
from chimed.sources.page import Link, Miss, Site, day_in, first_text, lines_of, merged, on_page, one_form

HOST = "www.120ask.com"
DEPARTMENTS = (  # noqa: SIM905
    "neike waike fuchanke erke zhongyike pfxbk wuguanke chuanranke xljkk zxmrk zhongliuke fzjck ydss bjys znjy jjhj "
    "yaopin kfyxk yybjk yichuan tijianke qtks"
).split()
DISEASES = ("gaoxueya", "tangniaobing")

_DETAIL = re.compile(r"^https://www\.120ask\.com/question/\d+\.htm$")
_LIST = re.compile(r"^https://www\.120ask\.com/list/[a-z0-9]+/(?:all|over)/\d+/$")
_TCM = re.compile("中医|针灸|推拿")
_TAIL = re.compile(r"以上是对[“\"「].*?[”\"」]这个?问题的(?:建议|回答|解答).*$", re.S)
_HEADS = re.compile(r"^(?:健康咨询描述|曾经的治疗情况和效果|想得到怎样的帮助)[：:]\s*")
_NO_AUDIO = "您的浏览器不支持"
_NOISE = (
    'contains(@class, "b_answerarea") or contains(@class, "b_askbot_ad") or contains(@class, "tousu") or '
    'contains(@class, "codeposition") or contains(@class, "b_askbox_btn") or contains(@class, "b_answertop") or '
    'contains(@class, "b_bico") or contains(@class, "b_ansaddbox") or @id="area"'
)


def canonical(url: str) -> str:
    """http redirects to https; both occur in links."""
    return one_form(url, "https", HOST)


def links(url: str, page: Selector) -> list[Link]:
    """Questions of a list page with the day beside each, then the pages of the list after this one."""
    found = []
    for entry in page.css("ul.h-ul3 > li"):
        beside = day_in(" ".join(lines_of(entry.css(".h-right-p"))))
        for target in map(canonical, on_page(url, entry.css("a.q-quename::attr(href)").getall())):
            if _DETAIL.match(target):
                found.append(Link(target, "detail", beside))
    pager = map(canonical, on_page(url, page.css("div.h-page span a::attr(href)").getall()))
    following = _after(canonical(url))
    return found + [Link(target, "list") for target in pager if target == following and _LIST.match(target)][:1]


def _after(url: str) -> str:
    """The address of the page of a list after this one."""
    return re.sub(r"(\d+)/$", lambda number: f"{int(number.group(1)) + 1}/", url)


def published(page: Selector) -> date | None:
    """The spans of the patient line stand in any order: the date is known by its form."""
    return next(filter(None, map(day_in, page.css("div.b_askab1 > span::text").getall())), None)


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """One QA for each answer that is not an advert, the adopted one first; or why there is none."""
    title = first_text(page, "h1#d_askH1", ".b_askti h1", "h1")
    asked = page.css("#d_msCon, .b_askcont")
    if not asked and page.css("ul.h-ul3, .b_index, .h-tab") and not title:
        return Miss("home page instead of the page")
    if not title:
        return Miss("home page instead of the page" if _is_home(page) else "no h1")
    question = _question(title, asked)
    department = _department(page)
    answers = [(_is_adopted(one), _answer(one)) for one in page.css("div.b_answerli") if not _is_advert(one)]
    answers = [one for one in sorted(answers, key=lambda one: not one[0]) if one[1]]
    if not answers:
        return Miss("no answer")
    domain = "tcm" if any(_TCM.search(name) for name in department) else "general"
    day = published(page)
    return [QA(title, question, text, domain, department, day) for text in dict.fromkeys(text for _, text in answers)]


def _is_home(page: Selector) -> bool:
    title = page.css("title::text").get("")
    return title.strip().startswith("有问必答")


def _department(page: Selector) -> tuple[str, ...]:
    """The breadcrumb after the site's own name; the last part may be a span."""
    parts = [" ".join(lines_of(node)) for node in page.css("div.b_route > a, div.b_route > span")]
    return tuple(dict.fromkeys(part for part in parts[1:] if part))


def _question(title: str, asked) -> str:
    paragraphs = asked[:1].css("p.crazy_new") or asked[:1]
    lines = [_HEADS.sub("", line) for line in lines_of(paragraphs)]
    # `BR>` may stand behind the label, where the line does not begin with it
    return merged(title, *(re.sub(r"^(?:BR>)+", "", line) for line in lines))


def _is_advert(answer: Selector) -> bool:
    return "zhenshiAD" in answer.attrib.get("class", "")


def _is_adopted(answer: Selector) -> bool:
    return bool(answer.css(".b_acceptcont"))


def _answer(answer: Selector) -> str:
    """Newer pages keep the text in `div.crazy_new`, older ones right under `.b_anscont_cont`."""
    region = answer.css(".b_anscontc .b_anscont_cont")[:1] or answer.css(".b_anscont_cont")[:1]
    body = region.css("div.crazy_new p") or region.xpath("./p") or region
    lines = [line for line in lines_of(body, skip=_NOISE) if not line.startswith(_NO_AUDIO)]
    return _TAIL.sub("", "\n".join(lines)).strip()


SITE = Site(
    name="ask120",
    domain="general",
    hosts=(HOST,),
    sections={slug: (f"https://{HOST}/list/{slug}/all/1/",) for slug in (*DEPARTMENTS, *DISEASES)},
    canonical=canonical,
    links=links,
    read=read,
    published=published,
    newest_first=True,
    delay=2.0,
)
