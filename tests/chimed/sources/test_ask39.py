"""Pages of ask.39.net, made by hand."""

# ruff: noqa: E501 (a line of HTML is a line)

from datetime import date

import pytest

from chimed.sources.ask39 import SITE
from chimed.sources.page import Miss
from support.reading import links, read

URL = "https://ask.39.net/question/78218259.html"
ANSWER = (
    '<div class="sele_all marg_top"><span class="doc_name">柯景行</span><span class="doc_yshi">主治医师 白榆医院</span>'
    '<p class="sele_txt">{text}</p><div class="doc_zwen"><a>追问</a></div><p class="doc_time">2026-08-31 18:16</p></div>'
)


def page(
    groups: str, heading: str = '<h1 class="ask_tit">吸氧要多久</h1>', asked: str = "血氧88。", more: str = "血氧88。"
) -> str:
    return (
        '<title>吸氧要多久_39问医生_39健康网</title><div class="sub"><span><a>内科</a></span> &gt; '
        f'<span class="sub_here">呼吸内科</span></div>{heading}<p class="mation"><span>男</span><span>67岁</span></p>'
        f'<div class="ask_hid"><p class="txt_ms">{asked}</p><p class="txt_bc">补充说明：{more}</p></div>'
        '<p class="txt_nametime"><span>健康用户2026</span><span>2026-08-31 16:51</span></p>'
        f'{groups}<div class="relevant_ask"><p class="sele_txt">别的问题</p></div>'
    )


def group(head: str, *texts: str) -> str:
    return (
        f'<div class="selected"><p class="sele_img">{head}</p>{"".join(ANSWER.format(text=one) for one in texts)}</div>'
    )


@pytest.mark.parametrize(
    "heading", ['<h1 class="ask_tit">吸氧要多久</h1>', "<h1>吸氧要多久</h1>", '<p class="ask_tit">吸氧要多久</p>']
)
def test_the_three_forms_of_the_title(heading):
    (one,) = read(SITE, URL, page(group("精选回答(1)", "每天15小时。"), heading))
    assert (one.title, one.question, one.answer) == ("吸氧要多久", "吸氧要多久\n血氧88。", "每天15小时。")
    assert (one.department, one.published) == (("内科", "呼吸内科"), date(2026, 8, 31))


def test_supplement_is_added_only_where_it_says_more():
    (one,) = read(SITE, URL, page(group("精选回答(1)", "好。"), more="夜里更重。"))
    assert one.question == "吸氧要多久\n血氧88。\n夜里更重。"
    (one,) = read(SITE, URL, page(group("精选回答(1)", "好。"), more="血氧88，走路就喘。"))
    assert one.question == "吸氧要多久\n血氧88，走路就喘。"


def test_first_group_first_and_slipped_in_lines_out():
    html = page(
        group("精选回答(1)", "先吸氧。<br>疾病百科 | 慢阻肺<br>我要咨询<br>举报") + group("网友回答(1)", "我爸也是。")
    )
    assert [one.answer for one in read(SITE, URL, html)] == ["先吸氧。", "我爸也是。"]


def test_no_person_in_any_record():
    (one,) = read(SITE, URL, page(group("医生回答(1)", "先吸氧。")))
    assert not any(name in f"{one}" for name in ("健康用户", "柯景行", "白榆", "67岁"))


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        (page(""), "no answer"),
        ("<title>39问医生_39健康网</title>", "home page instead of the page"),
        ("<title>404</title>", "no h1"),
    ],
)
def test_misses(html, reason):
    assert read(SITE, URL, html) == Miss(reason)


def test_list_in_both_forms():
    html = (
        '<ul class="list_ask list_ask2"><li><span class="a_l"><p><a href="/question/78.html">一</a></p></span>'
        '<span class="a_r">1个回答 <em>2026-09-01</em></span></li>'
        '<li><p class="p1"><a href="/question/_q7m2x0.html">二</a></p></li><li><p class="p1"><a href="/other/1.html">广告</a></p></li></ul>'
        '<span class="pages"><a href="/news/44-1.html">1</a><a class="next" href="/news/44-2.html">下一页</a></span>'
    )
    assert links(SITE, "https://ask.39.net/news/44-1.html", html) == [
        ("detail", "https://ask.39.net/question/78.html", "2026-09-01"),
        ("detail", "https://ask.39.net/question/_q7m2x0.html", None),
        ("list", "https://ask.39.net/news/44-2.html", None),
    ]


def test_older_follow_ups_buttons_and_the_other_column():
    inside = '先吸氧。<a>我要咨询</a> <a>举报</a></p><div class="doc_zwenall"><div class="doc_zw"><span>还喘</span></div></div><p>'
    other = '<div class="cont_r"><div class="selected"><div class="sele_all"><p class="sele_txt">别人的</p></div></div></div>'
    html = f'<div class="cont_l">{page(group("精选回答(1)", inside) + group("医生回答(1)", "再查。"))}</div>{other}'
    found = read(SITE, URL, html)
    assert [(one.answer, one.adopted) for one in found] == [("先吸氧。", True), ("再查。", False)]


def test_labels_replace_a_missing_breadcrumb():
    labels = '<p class="txt_label"><span style="display:none"><a>隐藏</a></span><span><a>中医科</a></span></p>'
    html = page(group("医生回答(1)", "好。") + labels).replace('class="sub"', 'class="x"')
    (one,) = read(SITE, URL, html)
    assert (one.department, one.domain) == (("中医科",), "tcm")


def test_a_paragraphs_title_wins():
    html = "<h1>39问医生</h1>" + page(group("医生回答(1)", "好。"), '<p class="ask_tit">吸氧要多久</p>')
    (one,) = read(SITE, URL, html)
    assert one.title == "吸氧要多久"
