"""Parse ask.39.net (39问医生): general questions and answers (paper §3.1).

If requests come too fast, the site redirects to a slider captcha; one request every two seconds worked. 39 claims
copyright of its texts, which the data card states.
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

HOST = "ask.39.net"
TOPICS = {
    "心血管内科": 237, "神经内科": 35, "内分泌科": 279, "血液科": 281, "风湿免疫科": 39, "呼吸内科": 280, "骨科": 47,
    "胃肠外科": 201, "烧伤科": 285, "血管外科": 181, "神经外科": 232, "普外科": 304, "肝胆外科": 284, "乳腺外科": 286,
    "肛肠外科": 283, "泌尿外科": 163, "心胸外科": 21, "不孕不育": 3157, "产科": 229, "妇科": 44, "小儿精神科": 3159,
    "新生儿科": 319, "小儿外科": 231, "小儿内科": 45, "整形美容": 3165, "精神心理科": 3166, "肿瘤科": 3162,
    "皮肤性病科": 319465592, "五官科": 323, "中医科": 3163, "减肥科": 27, "男科": 322, "传染病科": 311,
}  # fmt: skip

_DETAIL = re.compile(r"^https://ask\.39\.net/question/(?:\d+|_[a-z0-9]{6})\.html$")
_LIST = re.compile(r"^https://ask\.39\.net/(?:news/\d+-\d+|browse/\d+-\d+-\d+)\.html$")
_TURNING = re.compile(r"^(?:下一?页|后一?页|[>＞»›]+)$")
_TCM = re.compile("中医|针灸|推拿")
_SUPPLEMENT = re.compile(r"^补充说明[：:]\s*")
_MINUTE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}\s+\d{1,2}:\d{2}")
_BUTTON = r"(?:我要咨询|找医生|向医生提问|我来回答|追问|举报|取消|提交|查看更多问题|查看详情)[>＞\s]*"
_ENCYCLOPEDIA = r"疾病百科(?:(?:\s*[|｜:：>＞·-]\s*|\s)(?![上里中说写讲有是的])[^\s。！？，；、,;!?]{1,12}|[>＞\s]*)"
_ADVERT = re.compile(rf"^{_ENCYCLOPEDIA}$")  # by its full form: somebody may say what stands in an encyclopedia
_SLIPPED_IN = re.compile(rf"^(?:{_ENCYCLOPEDIA}|(?:{_BUTTON})+)$")
_AT_THE_END = re.compile(rf"(?<=[。！？!?])\s*(?!(?:取消|提交)$)(?:{_BUTTON})+$")
_MORE = 'contains(@class, "zwenall") or contains(@class, "doc_zwen")'  # follow-ups, of both forms, and their box
_NO_TEXT = of_class("relevant_ask", "ask_doc_box", "sys-box", "txt_answer", "doc_zwen", "doc_time", "zhenshiAD")
_BOX, _PART = of_class("zwenall", "doc_zwenall"), of_class("doczw", "doc_zw")
_SPEAKERS = {of_class("zw1"): ASKER, of_class("zw2"): DOCTOR}
_NOISE = of_class("relevant_ask", "ask_doc_box", "sys-box", "txt_answer") + f" or {_PART} or {_MORE}"
_OTHER_COLUMN = "cont_r"  # of other questions
_BOXES = boxes.Boxes(
    group="selected",
    answer="sele_all",
    content=frozenset(["sele_txt", "doc_name", "doc_info", "doc_time", "doc_yshi", "doc_sc"]),
    box=frozenset(["zwenall", "doc_zwenall"]),
    part=frozenset(["doczw", "doc_zw"]),
    button=frozenset(["txt_answer", "doc_zwen"]),
    other=frozenset([_OTHER_COLUMN]),
)
_NOT_A_DEPARTMENT = ("39问医生", "首页", "问医生", "39健康网", "健康问答", "39健康问答")


_LINKS = "span.a_l p a::attr(href), p.p1 a::attr(href), p.question-ask-title a::attr(href)"


def canonical(url: str) -> str:
    """Return the canonical URL, with one scheme for all pages of the site."""
    return without_query(one_form(url, "https", HOST), _DETAIL, _LIST)


def links(url: str, page: Selector) -> list[Link]:
    """Return the questions of a list page with the day beside each, then the next page of the list."""
    found = []
    for entry in page.css("ul.list_ask > li") or _older(page):
        beside = day_beside(entry)
        for target in on_page(url, entry.css(_LINKS).getall()):
            if _DETAIL.match(canonical(target)):
                found.append(Link(canonical(target), "detail", beside))
    older = [a.root.get("href", "") for a in page.css("span.pgleft a") if _TURNING.match(" ".join(lines_of(a)))]
    following = map(canonical, on_page(url, page.css("span.pages a.next::attr(href)").getall() or older))
    here = canonical(url)
    return found + [Link(target, "list") for target in following if _LIST.match(target) and target != here]


def _older(page: Selector) -> SelectorList[Selector]:
    """Return the entries of an older list, /browse/<id>-1-<n>.html: the elements that hold one title and the day beside
    it.
    """
    entries = page.xpath('//p[contains(concat(" ", normalize-space(@class), " "), " question-ask-title ")]/..')
    return SelectorList(entry for entry in entries if len(entry.css("p.question-ask-title")) == 1) or page.css(
        "p.question-ask-title"
    )


def published(page: Selector) -> date | None:
    """Return the day in the line under the question, from the span that has a day and a time."""
    spans = page.css("p.txt_nametime span::text").getall()
    return next((day_in(span) for span in spans if _MINUTE.search(span)), None)


def read(url: str, page: Selector) -> list[Document | QA] | Miss:
    """Return one QA for each answer, with its follow-ups; the first group (精选回答, adopted) first; or a Miss."""
    page = boxes.mend(page, _BOXES)
    column = page.css("div.cont_l")[:1] or page
    title = first_text(page, "h1.ask_tit", "div.cont_l h1", "p.ask_tit", "h1")
    if not title:
        home = page.css("title::text").get("").strip().startswith(("39问医生", "39健康网"))
        return Miss("home page instead of the page" if home else "no h1")
    asked = column.css(".ask_hid p.txt_ms, .ask_cont p.txt_ms") or column.css("p.txt_ms") or page.css("p.txt_ms")
    more = column.css("p.txt_bc") or page.css("p.txt_bc")
    question = merged(
        title,
        *lines_of(outside(asked, _NOISE)),
        _SUPPLEMENT.sub("", "\n".join(lines_of(outside(more, _NOISE)))),
    )
    department = _department(page, title)
    domain = "tcm" if any(_TCM.search(name) for name in department) else "general"
    said = follow_ups.Said()
    first: str | None = None
    for text, group, answer in _answers(page, column):
        first = group if first is None else first
        said.add(text, _turns(answer, question, text), group == first)
    if not said.answers:
        return Miss("no answer")
    day, found = published(page), said.conversations()
    return [
        QA(title, question, one.answer, domain, department, day, one.adopted, one.turns, one.ended) for one in found
    ]


def _department(page: Selector, title: str) -> tuple[str, ...]:
    """Return the breadcrumb without the site's own name and the question, or the question's labels if it is missing."""
    trail = page.css("div.sub")[:1] or page.css("#sub")[:1]
    nodes = trail.css("span a, span.sub_here") or page.css("p.txt_label > span:not([style]) a")
    parts = [" ".join(lines_of(node)) for node in nodes]
    return tuple(dict.fromkeys(part for part in parts if part and part != title and part not in _NOT_A_DEPARTMENT))


def _answers(page: Selector, column: Selector | SelectorList[Selector]) -> Iterator[tuple[str, str, Any]]:
    """Yield each answer's text, group and element, without lines inserted by the site and without follow-ups.

    If an answer or a group is not closed, the next ones are nested in it: a text belongs to the nearest answer above
    it.
    """
    texts: dict[str, list[Selector]] = {}
    groups: dict[str, str] = {}
    elements: dict[str, Any] = {}
    for text in outside(page.css('div.selected div[class*="sele_all"] p.sele_txt'), _NOISE):
        tree, above = text.root.getroottree(), list(text.root.iterancestors("div"))
        place = next(n for n, one in enumerate(above) if "sele_all" in one.get("class", ""))
        group = next(one for one in above[place:] if "selected" in one.get("class", "").split())
        if not _is_of_column(group, column):
            continue
        answer = tree.getpath(above[place])
        texts.setdefault(answer, []).append(text)
        groups[answer], elements[answer] = tree.getpath(group), above[place]
    for answer, nodes in texts.items():
        yield "\n".join(_words_of(lines_of(nodes, skip=_NOISE))), groups[answer], elements[answer]


def _is_of_column(group: Any, column: Selector | SelectorList[Selector]) -> bool:
    """Return whether a group of answers stands in the column, or right beside it because it was closed too early."""
    around = [one.root for one in ([column] if isinstance(column, Selector) else column)]
    above = list(group.iterancestors())
    if any(_OTHER_COLUMN in one.get("class", "").split() for one in above):
        return False
    return any(one in above or above[:1] == [two] for one in around for two in (one, *one.iterancestors()))


def _words_of(lines: list[str]) -> list[str]:
    """Return lines without those that the site inserts, and without buttons behind a sentence."""
    return [_AT_THE_END.sub("", line) for line in lines if not _SLIPPED_IN.match(line)]


def _turns(answer: Any, question: str, text: str) -> follow_ups.Later:
    """Return what was said after an answer (its element)."""

    def own(condition: str) -> SelectorList[Selector]:
        found = Selector(root=answer, type="html").xpath(f".//*[{condition}]")
        return SelectorList(one for one in found if _nearest(one.root) is answer)

    doctor = next((line for one in own(of_class("doc_name")) for line in lines_of(one)), "")
    skip = f'{_NO_TEXT} or {turn_words.of_no_words()} or contains(@class, "sele_all")'
    spoken = follow_ups.classed(outermost(outside(own(_BOX), _NO_TEXT)), _PART, _SPEAKERS, skip)
    return follow_ups.turns_of(spoken, doctor, question, text, _without_inserted)


def _without_inserted(line: str) -> str:
    """Return a line of a turn without an advert, and without buttons behind a sentence."""
    return "" if _ADVERT.match(line) else _AT_THE_END.sub("", line)


def _nearest(element: Any) -> Any:
    """Return the nearest answer above an element."""
    return next((one for one in element.iterancestors("div") if "sele_all" in one.get("class", "")), None)


SITE = Site(
    name="ask39",
    domain="general",
    hosts=(HOST,),
    sections={name: (f"https://{HOST}/news/{topic}-1.html",) for name, topic in TOPICS.items()},
    canonical=canonical,
    links=links,
    read=read,
    published=published,
    newest_first=True,
    most_lists=1_000,
    challenge=("image.39.net/verify", "滑动拼图验证", "AJ-Captcha", "slideVerify"),
)
