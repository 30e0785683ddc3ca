"""Parse www.120ask.com (有问必答 / 快速问医生): general questions and answers (paper §3.1).

Lists are dated, newest first. Most question numbers are unused, so lists are walked and numbers never counted up.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from parsel import Selector, SelectorList

from chimed.roles import ASKER, DOCTOR
from chimed.sources import boxes, follow_ups, turn_words
from chimed.sources.page import Link, Miss, Site, on_page, one_form, without_query
from chimed.sources.parsed import QA, Document
from chimed.sources.text import day_beside, day_in, first_text, lines_of, merged, of_class, outermost, outside

HOST = "www.120ask.com"
DEPARTMENTS = (  # noqa: SIM905
    "neike waike fuchanke erke zhongyike pfxbk wuguanke chuanranke xljkk zxmrk zhongliuke fzjck ydss bjys znjy jjhj "
    "yaopin kfyxk yybjk yichuan tijianke qtks"
).split()
DISEASES = ("gaoxueya", "tangniaobing")

_DETAIL = re.compile(r"^https://www\.120ask\.com/question/\d+\.htm$")
_LIST = re.compile(r"^https://www\.120ask\.com/list/([\w-]+)/(all|over)/(\d+)/$")
_TCM = re.compile("中医|针灸|推拿")
_TAIL = re.compile(r"以上(?:就?是|为)对[“\"「].{0,400}?[”\"」](?:这个?问题)?的(?:建议|回答|解答|意见).*$", re.S)
_HEADS = re.compile(r"(?:健康咨询描述|曾经的治疗情况和效果|想得到怎样的帮助)[：:]\s*")
_NO_AUDIO = re.compile(r"您的浏览器不支持\s*audio\s*元素[。.！!]?", re.I)
_FORM = re.compile(  # what the form for a question leaves in its text
    r"附件[：:]\s*(?:(?:点击查看大图\s*)+|(?=图片涉及用户隐私|\Z))|图片涉及用户隐私[^。！\n]{0,30}[。！]?|[（(]感谢医生为我快速解答[^）)\n]{0,40}[）)]"
    r"|需要医生帮助提供远程诊断[：:]|微信扫一扫[，,]?\s*随时问医生[。！]?|点击查看大图"
)
_BREAKS = re.compile(r"^(?:\s*+<?/?BR\s*+/?>)++\s*", re.I)
_ADVERT = of_class("zhenshiAD")
_BOX, _PART = of_class("b_ansaddbox"), of_class("b_ansaddli")  # follow-ups: 追问 and what the doctor says to it
_SPEAKERS = {of_class("b_ansaddti"): ASKER, of_class("b_docaddti"): DOCTOR}
_BOXES = boxes.Boxes(
    group=None,
    answer="b_answerli",
    content=frozenset(["b_acceptcont", "b_answercont", "b_anscontc", "b_anscont_cont", "b_answertl"]),
    box=frozenset(["b_ansaddbox"]),
    part=frozenset(["b_ansaddli"]),
    button=frozenset(["b_askbox_btn", "tousu"]),
    other=frozenset(),
)
_NO_TEXT = (
    of_class(
        "b_answerarea", "b_askbot_ad", "tousu", "codeposition", "b_askbox_btn", "b_answertop", "b_bico", "img",
        "b_askab1", "b_anscont_time", "b_answertl",
    )
    + f' or @id="area" or {_ADVERT}'
)  # fmt: skip
_ANSWER = of_class("b_answerli")
_NOISE = f"{_NO_TEXT} or {_BOX} or {_PART} or {_ANSWER}"


def canonical(url: str) -> str:
    """Return the canonical URL: http redirects to https, and links use both."""
    return without_query(one_form(url, "https", HOST), _DETAIL, _LIST)


def links(url: str, page: Selector) -> list[Link]:
    """Return the questions of a list page with the day beside each, then the next page of the list."""
    found = []
    for entry in page.css("ul.h-ul3 > li"):
        beside = day_beside(entry)
        for target in map(canonical, on_page(url, entry.css("a.q-quename::attr(href)").getall())):
            if _DETAIL.match(target):
                found.append(Link(target, "detail", beside))
    pager = map(canonical, on_page(url, page.css("div.h-page a::attr(href)").getall()))
    return found + [Link(target, "list") for target in _after(canonical(url), list(pager))]


def _after(url: str, pager: list[str]) -> list[str]:
    """Return the nearest later page of the same list among those in the pager."""
    here = _LIST.match(url)
    shown = [
        there for target in pager if (there := _LIST.match(target)) and here and there.groups()[:2] == here.groups()[:2]
    ]
    later = [there for there in shown if here and int(there.group(3)) > int(here.group(3))]
    return [min(later, key=lambda there: int(there.group(3))).group()] if later else []


def published(page: Selector) -> date | None:
    """Return the day of the question. The spans of the patient line have no fixed order, so it is found by its form."""
    return next(filter(None, map(day_in, page.css("div.b_askab1 span::text").getall())), None)


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """Return one QA for each answer that is not an advert, with its follow-ups, the adopted one first; or a Miss."""
    title = first_text(page, "h1#d_askH1", ".b_askti h1", "h1")
    if not title:
        return Miss("home page instead of the page" if _is_home(page) else "no h1")
    page = boxes.mend(page, _BOXES)
    question = _question(title, page)
    department = _department(page, title)
    said = follow_ups.Said()
    for one in outside(page.css("div.b_answerli"), _ADVERT):
        text = _answer(one)
        said.add(text, _turns(one, question, text), bool(_own(one, one.css(".b_acceptcont"))))
    if not said.answers:
        return Miss("no answer")
    domain = "tcm" if any(_TCM.search(name) for name in department) else "general"
    day = published(page)
    ordered = sorted(said.conversations(), key=lambda one: not one.adopted)
    return [
        QA(title, question, one.answer, domain, department, day, one.adopted, one.turns, one.ended) for one in ordered
    ]


def _is_home(page: Selector) -> bool:
    return page.css("title::text").get("").strip().startswith("有问必答")


def _department(page: Selector, title: str) -> tuple[str, ...]:
    """Return the breadcrumb after the site's name. Its last part may be a span, and may be the question."""
    nodes = outermost(page.css("div.b_route a, div.b_route span"))
    parts = [re.sub(r"^[\s>＞»›]+|[\s>＞»›]+$", "", " ".join(lines_of(node))) for node in nodes]
    return tuple(dict.fromkeys(part for part in parts[1:] if part and part != title))


def _question(title: str, page: Selector) -> str:
    asked = page.css("#d_msCon")[:1] or page.css(".b_askcont")[:1]
    every = [*asked.css("p.crazy_new"), *asked.xpath("following-sibling::p").css("p.crazy_new")]  # closed too early
    paragraphs = outside(SelectorList(every), _NOISE) or asked
    lines = [part for line in lines_of(paragraphs, skip=_NOISE) for part in _HEADS.split(_clean(line))]
    # `BR>` may stand behind the label, where the line does not begin with it
    return merged(title, *(_BREAKS.sub("", line) for line in lines))


def _own(answer: Selector, nodes: SelectorList[Selector]) -> SelectorList[Selector]:
    """Return the nodes of an answer that are not another's: one that was never closed holds the next ones."""
    return SelectorList(node for node in nodes if next(_classes_above(node, "b_answerli"))[0] is answer.root)


def _classes_above(node: Selector, *names: str) -> Iterator[tuple[Any, str]]:
    """Yield the elements above a node that have one of the classes, the nearest first, with the class."""
    for one in node.root.iterancestors():
        held = one.get("class", "").split()
        yield from ((one, name) for name in names if name in held)


def _is_answer(node: Selector) -> bool:
    """Return whether a node stands in an answer and not in the follow-ups to it."""
    return next(_classes_above(node, "b_answerli", "b_ansaddbox", "b_ansaddli"))[1] == "b_answerli"


def _answer(answer: Selector) -> str:
    """Return an answer's text. Newer pages have it in `div.crazy_new`, older ones directly in `.b_anscont_cont`."""
    found = _own(answer, answer.css(".b_anscontc .b_anscont_cont") or answer.css(".b_anscont_cont"))
    regions = outermost(SelectorList(filter(_is_answer, found)))
    body = (
        _words(answer, regions.css("div.crazy_new p, div.crazy_new ~ p:not([class])"))
        or _words(answer, regions.css("p"))
        or regions
    )
    lines = [_clean(line) for line in lines_of(body, skip=_NOISE)]
    return _TAIL.sub("", "\n".join(filter(None, lines))).strip()


def _words(answer: Selector, paragraphs: SelectorList[Selector]) -> SelectorList[Selector]:
    """Return the paragraphs of an answer itself."""
    return SelectorList(filter(_is_answer, outside(_own(answer, paragraphs), _NO_TEXT)))


def _turns(answer: Selector, question: str, text: str) -> follow_ups.Later:
    """Return what was said after an answer."""
    boxes = _own(answer, answer.css(".b_ansaddbox")) or _own(answer, answer.css(".b_ansaddli"))
    doctor = first_text(answer, ".b_answertl .b_sp1 a", ".b_answertl .b_sp1 var")
    skip = f"{_NO_TEXT} or {turn_words.of_no_words()} or {_ANSWER}"
    spoken = follow_ups.labelled(outermost(outside(boxes, _ADVERT)), _PART, _SPEAKERS, skip)
    return follow_ups.turns_of(spoken, doctor, question, text, _clean)


def _clean(line: str) -> str:
    """Return a line without text left by the site's form and audio player."""
    return _FORM.sub("", _NO_AUDIO.sub("", line)).strip()


SITE = Site(
    name="ask120",
    domain="general",
    hosts=(HOST,),
    sections={
        # over, the answered ones, reaches further back than all: either ends after 200 pages
        slug: (f"https://{HOST}/list/{slug}/all/1/", f"https://{HOST}/list/{slug}/over/1/")
        for slug in (*DEPARTMENTS, *DISEASES)
    },
    canonical=canonical,
    links=links,
    read=read,
    published=published,
    newest_first=True,
    most_lists=200,
)
