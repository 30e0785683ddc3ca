"""Consultations whose boxes have an end tag too few, too many, or in the wrong place: nothing is lost or mixed up."""

import re
from collections.abc import Iterator

import pytest
from parsel import Selector

from chimed.sources import ask39, ask120
from chimed.sources.parsed import QA


def answered_39(n: int, follow_ups: bool = True, button: str = "") -> str:
    said = (
        f'<div class="zwenall"><div class="doczw"><span class="zw1">追问{n}要空腹吗？</span></div>'
        f'<div class="doczw"><span class="zw2">回复{n}要空腹八小时。</span></div></div>'
    )
    return (
        f'<div class="sele_all marg"><p class="doc_info"><span class="doc_name">医生{n}名</span>'
        f'<span class="doc_yshi">主治医师</span></p><p class="doc_sc">擅长：内科</p>'
        f'<p class="sele_txt">第{n}位的回答，先做检查再说。<br>注意休息{n}。</p>{button}'
        f'<p class="doc_time">2026-08-31 18:1{n}</p>{said if follow_ups else ""}</div>'
    )


PAGE_39 = (
    '<html><body><div class="wrap"><div class="cont_l"><div class="sub"><span><a>39问医生</a></span>'
    '<span><a>内科</a></span><span class="sub_here">吃药后腹泻</span></div><div class="ask_cont">'
    '<h1 class="ask_tit">吃药后腹泻</h1><p class="mation"><span>男</span><span>25岁</span></p><div class="ask_hid">'
    '<p class="txt_ms">刚查出糖尿病，吃药后腹泻怎么回事。</p><p class="txt_bc">补充说明：没有发烧。</p></div>'
    '<p class="txt_nametime"><span>2026-08-30 10:10</span></p></div>'
    f'<div class="selected"><p class="sele_img">精选回答(1)</p>{answered_39(1)}</div>'
    '<div class="selected"><p class="sele_img">医生回答(3)</p>'
    + answered_39(2, button='<div class="txt_answer"><a>我要咨询</a></div>')
    + answered_39(3, follow_ups=False)
    + answered_39(4)
    + '</div><div class="relevant_ask"><p class="sele_txt">别的问题</p></div></div><div class="cont_r">'
    '<div class="selected"><div class="sele_all"><p class="sele_txt">别人的回答</p></div></div></div></div>'
    "</body></html>"
)


def answered_120(n: int, follow_ups: bool = True, kind: str = "b_answercont") -> str:
    said = (
        f'<div class="b_ansaddbox"><div class="b_ansaddli"><div class="b_ansaddti">追问</div>'
        f"<p>追问{n}要空腹吗？</p></div>"
        f'<div class="b_ansaddli"><div class="b_docaddti">医生{n}名回复</div><p>回复{n}要空腹八小时。</p></div></div>'
    )
    return (
        f'<div class="b_answerli"><div class="b_answertl"><span class="b_sp1"><a>医生{n}名</a> 主治医师</span>'
        f'<span class="b_sp2">擅长:内科</span></div><div class="{kind} clears"><div class="b_anscontc">'
        f'<div class="b_anscont_cont"><div class="crazy_new"><p>第{n}位的回答，先做检查再说。</p><p>注意休息{n}。</p>'
        f'</div></div></div><span class="b_anscont_time">2026-08-31 18:1{n}:00</span>'
        f"{said if follow_ups else ''}</div></div>"
    )


ADVERT = (
    '<div class="b_answerli zhenshiAD"><div class="b_answercont">'
    '<div class="b_anscont_cont"><p>广告</p></div></div></div>'
)
PAGE_120 = (
    '<html><body><div class="w"><div class="b_route"><a>首页</a><a>内科</a></div><div class="b_askti">'
    '<h1 id="d_askH1">吃药后腹泻</h1></div><div class="b_askab1"><span>男 | 25岁</span><span>2026-08-30 10:10:10</span>'
    '</div><div class="b_askcont" id="d_msCon">'
    '<p class="crazy_new">健康咨询描述：刚查出糖尿病，吃药后腹泻怎么回事。</p>'
    '<p class="crazy_new">没有发烧。</p></div><div class="b_answerarea"><div class="b_askbot_ad">广告</div></div>'
    '<div class="b_answerbox">'
    + answered_120(1, kind="b_acceptcont")
    + answered_120(2)
    + answered_120(3, follow_ups=False)
    + ADVERT
    + answered_120(4)
    + "</div></div></body></html>"
)
SITES = {"ask39": (ask39, "https://ask.39.net/question/1.html", PAGE_39)}
SITES["ask120"] = (ask120, "https://www.120ask.com/question/1.htm", PAGE_120)


def read(site: str, page: str) -> list[tuple[str, str, bool, tuple[str, ...]]]:
    parser, url, _ = SITES[site]
    found = parser.read(url, Selector(text=page))
    assert isinstance(found, list), found
    return [
        (one.question, one.answer, one.adopted, tuple(f"{turn.role}: {turn.text}" for turn in one.turns))
        for one in found
        if isinstance(one, QA)
    ]


def broken(page: str) -> Iterator[tuple[str, str]]:
    """Yield the page with each end tag left out, with another one before it, and with two of them changed over."""
    for match in re.finditer(r"</(?!body|html)(\w+)>", page):
        yield f"without {match[0]} at {match.start()}", page[: match.start()] + page[match.end() :]
        for other in ("div", "span", "p"):
            yield (
                f"another </{other}> at {match.start()}",
                page[: match.start()] + f"</{other}>" + page[match.start() :],
            )
    for match in re.finditer(r"(</(\w+)>)(</(?!\2)\w+>)", page):
        yield f"changed over at {match.start()}", page[: match.start()] + match[3] + match[1] + page[match.end() :]
    for tag in ("</div>", "</span>", "</p>"):
        yield f"no {tag} at all", page.replace(tag, "")


@pytest.mark.parametrize("site", SITES)
def test_a_broken_page_reads_like_the_whole_one(site: str) -> None:
    page = SITES[site][2]
    whole = read(site, page)
    assert [len(turns) for *_, turns in whole] == [2, 2, 0, 2]
    assert [adopted for _, _, adopted, _ in whole] == [True, False, False, False]
    assert {how for how, one in broken(page) if read(site, one) != whole} == set()


@pytest.mark.parametrize("site", SITES)
def test_a_page_stays_as_it_was_read(site: str) -> None:
    parser, url, page = SITES[site]
    selector = Selector(text=page.replace("</div>", "", 30))
    before = selector.get()
    parser.read(url, selector)
    assert selector.get() == before
