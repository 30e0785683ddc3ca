"""Bytes as servers send them: charsets, addresses with sessions and queries, bases of links; more of the sites."""

import codecs
from datetime import UTC, datetime, time

import pytest
from parsel import Selector

from chimed.crawl import robots
from chimed.errors import UserError
from chimed.settings import settings
from chimed.sources.page import Miss, links_of, load, one_form, read_page
from chimed.sources.text import decode

RULES = "User-agent: *\nDisallow: /question/\n"
ANSWER = "您好，这种情况可能是由于气血不足引起的，建议您到医院检查，注意休息，不要吃辛辣的食物。"
TRADITIONAL = "您好，這種情況可能是由於氣血不足引起的，建議您到醫院檢查，注意休息，不要吃辛辣的食物。"


@pytest.mark.parametrize(
    "body",
    [
        RULES.encode(),
        codecs.BOM_UTF8 + RULES.encode(),
        codecs.BOM_UTF16_LE + RULES.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + RULES.encode("utf-16-be"),
        "\ufeff\ufeff".encode() + RULES.encode(),
        RULES.replace("\n", "\r\n").encode(),
        RULES.replace("\n", "\r").encode(),
        ("# 规则\n" + RULES).encode("gb18030"),
    ],
)
def test_rules_are_read_whatever_stands_before_them(body):
    policy = robots.parse_policy(200, robots.decode_robots(body))
    assert policy.rules is not None
    assert not policy.rules.can_fetch("https://ask.39.net/question/1.html", robots.ROBOT_NAME)


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("User-agent: *\nRequest-rate: 1/5", 5),
        ("User-agent: *\nRequest-rate: 2/1m", 30),
        ("User-agent: *\nRequest-rate: 10/1m\nCrawl-delay: 9", 9),
        ("User-agent: *\nRequest-rate: 1/20 0900-1700\nCrawl-delay: 2", 20),
        ("User-agent: *\nCrawl-delay: 3\nUser-agent: chimed\nCrawl-delay: 7", 7),
    ],
)
def test_the_slower_of_two_paces_counts(text, delay):
    assert robots.parse_policy(200, text).delay == delay


def test_a_rate_that_no_week_could_keep_refuses():
    assert "seconds between" in (robots.parse_policy(200, "User-agent: *\nRequest-rate: 1/1h").refusal or "")


def test_a_rule_for_our_name_counts():
    policy = robots.parse_policy(200, "User-agent: *\nAllow: /\n\nUser-agent: Chimed\nDisallow: /question/")
    assert policy.said == "read, with rules for us by name"
    assert policy.rules is not None
    assert not policy.rules.can_fetch("https://ask.39.net/question/1.html", robots.ROBOT_NAME)
    assert robots.parse_policy(200, "User-agent: chimedical\nDisallow: /").said == "read"


def test_hours_for_visits_may_reach_over_midnight():
    night = robots.parse_policy(200, "User-agent: *\nVisit-time: 2200-0400").visits
    assert night == robots.Visits(time(22, 0), time(4, 0))
    moments = {hour: datetime(2026, 11, 26, hour, 30, tzinfo=UTC) for hour in (1, 12, 23)}
    assert [robots.is_open(night, moments[hour]) for hour in (1, 12, 23)] == [True, False, True]
    assert robots.seconds_until_open(night, moments[12]) == 9.5 * 3600
    assert robots.is_open(robots.Visits(time(9), time(17)), moments[12])
    assert robots.seconds_until_open(robots.Visits(time(9), time(17)), moments[23]) == 9.5 * 3600


def test_pages_in_big5_are_read_said_or_not():
    html = f"<h1>問題</h1><p>{TRADITIONAL}</p>" * 3
    raw = html.encode("big5")
    assert decode(raw, "text/html; charset=big5", "utf-8") == html
    assert decode(raw, None, "gb18030") == html
    assert decode(raw, None, "utf-8") == html
    assert decode(b'<meta charset="gb2312">' + raw, None, "gb18030").endswith(html)


@pytest.mark.parametrize("text", [ANSWER, TRADITIONAL])
def test_gbk_and_utf8_are_not_big5(text):
    for charset in ("gb18030", "utf-8"):
        assert decode(text.encode(charset), None, "gb18030") == text
        assert decode(text.encode(charset), "text/html; charset=big5", "utf-8") == text


@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
@pytest.mark.parametrize("place", [10, 11, 60, 61, 100, 101])
def test_one_broken_byte_drops_no_page(charset, place):
    site = load("ask39")
    body = (ANSWER * 4).encode(charset)
    head, tail = (
        '<h1>气血不足怎么办</h1><div class="selected"><div class="sele_all"><p class="sele_txt">',
        "</p></div></div>",
    )
    raw = head.encode(charset) + body[:place] + b"\xff" + body[place + 1 :] + tail.encode(charset)
    page = Selector(text=decode(raw, f"text/html; charset={charset}", "utf-8"))
    read = read_page(site, "https://ask.39.net/question/1.html", page)
    assert not isinstance(read, Miss)
    assert "建议您到医院检查" in read[0].answer


@pytest.mark.parametrize(
    ("source", "shown", "wanted"),
    [
        ("ask39", "https://ask.39.net/question/1.html?PHPSESSID=abc", "https://ask.39.net/question/1.html"),
        ("ask39", "https://ask.39.net/question/1.html;jsessionid=0A1B.node1", "https://ask.39.net/question/1.html"),
        ("ask39", "https://ask.39.net/question/_ab12cd.html?x=1&y=2", "https://ask.39.net/question/_ab12cd.html"),
        ("ask39", "https://ask.39.net/news/44-2.html?sid=9", "https://ask.39.net/news/44-2.html"),
        ("ask120", "http://www.120ask.com/question/1.htm?fromid=7", "https://www.120ask.com/question/1.htm"),
        ("ask120", "https://www.120ask.com/list/neike/all/2/?v=3", "https://www.120ask.com/list/neike/all/2/"),
        ("zhongyoo", "http://www.zhongyoo.com/name/fuling_1.html?ad=2", "http://www.zhongyoo.com/name/fuling_1.html"),
        ("zhongyoo", "http://www.zhongyoo.com/pianfang/1037.html?i", "http://www.zhongyoo.com/pianfang/1037.html"),
        ("cnkang", "https://www.cnkang.com/dise/1/22.html?session=1", "https://www.cnkang.com/dise/1/22.html"),
        ("zydcd", "http://www.zydcd.com/zhongyi/zy12345ab?s=1", "http://www.zydcd.com/zhongyi/zy12345ab/"),
        ("zydcd", "http://www.zydcd.com/zhongyi/list.html?page=2", "http://www.zydcd.com/zhongyi/list.html?page=2"),
    ],
)
def test_session_queries_do_not_hide_pages(source, shown, wanted):
    site = load(source)
    assert site.canonical(shown) == wanted
    assert site.canonical(wanted) == wanted


def test_a_meaningful_query_stays():
    assert one_form("https://a.b/list?page=2&JSESSIONID=x&utm_source=y", "https", "a.b") == "https://a.b/list?page=2"


@pytest.mark.parametrize(
    ("base", "href"),
    [
        ('<base href="https://ask.39.net/">', "question/1.html"),
        ('<base href="/question/">', "1.html"),
        ('<base href="http://[">', "/question/1.html"),
        ('<base target="_blank">', "../question/1.html"),
        ("", "/question/1.html"),
    ],
)
def test_links_are_relative_to_the_base(base, href):
    html = f'<head>{base}</head><ul class="list_ask"><li><p class="p1"><a href="{href}">问</a></p></li></ul>'
    shown = links_of(load("ask39"), "https://ask.39.net/news/44-1.html", Selector(text=html))
    assert [link.url for link in shown] == ["https://ask.39.net/question/1.html"]


def test_lists_of_a_site_are_configuration(monkeypatch):
    lists = {
        "妇科": ["https://ask.39.net/browse/44-1-1.html"],
        "儿科": ["http://ask.39.net/news/45-1.html"],
        "男科": [],
    }
    monkeypatch.setattr(settings(), "lists", {"ask39": lists})
    sections = load("ask39").sections
    assert sections["妇科"] == ("https://ask.39.net/browse/44-1-1.html",)
    assert sections["儿科"] == ("http://ask.39.net/news/45-1.html",)
    assert "男科" not in sections
    assert "骨科" in sections
    monkeypatch.setattr(settings(), "lists", {"ask39": {"妇科": ["https://evil.example/"]}})
    with pytest.raises(UserError, match=r"not on ask\.39\.net"):
        load("ask39")


OLDER = """<div class="list"><div class="question-ask"><p class="question-ask-title"><a href="/question/{0}.html">问{0}</a></p>
<span class="time">2026-10-31</span></div><div class="question-ask"><p class="question-ask-title">
<a href="/question/{1}.html">问{1}</a></p><span>2026-10-30</span></div></div>
<span class="pgleft"><a href="/browse/44-1-{2}.html">上一页</a><a href="/browse/44-1-{3}.html">{3}</a>
<a href="/browse/44-1-{3}.html">下一页</a></span>"""  # noqa: E501


def test_older_lists_of_ask39_and_their_pager():
    site = load("ask39")
    found = links_of(site, "https://ask.39.net/browse/44-1-2.html", Selector(text=OLDER.format(7, 8, 1, 3)))
    assert [(link.kind, link.url[19:], str(link.published)) for link in found] == [
        ("detail", "question/7.html", "2026-10-31"),
        ("detail", "question/8.html", "2026-10-30"),
        ("list", "browse/44-1-3.html", "None"),
    ]


def test_other_kinds_of_zhongyoo_are_found_and_read():
    site = load("zhongyoo")
    html = """<div class="menu"><a href="/name/">中药</a><a href="/yian/">医案</a></div><div class="box">
    <a href="/pianfang/1037.html">治咳嗽</a><a href="/pianfang/kesou/">咳嗽</a><a href="/pianfang/page_2.html">2</a>
    <a href="/pianfang/">偏方</a><a href="/fangji/1.html">方剂</a></div>"""
    found = links_of(site, "http://www.zhongyoo.com/pianfang/", Selector(text=html))
    assert {(link.kind, link.url[23:]) for link in found} == {
        ("detail", "/pianfang/1037.html"),
        ("list", "/pianfang/kesou/"),
        ("list", "/pianfang/page_2.html"),
    }
    below = links_of(site, "http://www.zhongyoo.com/pianfang/kesou/", Selector(text=html))
    assert ("detail", "/pianfang/1037.html") in {(link.kind, link.url[23:]) for link in below}
    text = "<p>川贝三克，梨一个。</p><p>隔水炖，早晚服。</p>"
    page = f'<div class="art_box"><h1>川贝炖梨</h1><div id="contentText">{text}</div></div>'
    read = read_page(site, "http://www.zhongyoo.com/pianfang/1037.html", Selector(text=page))
    assert not isinstance(read, Miss)
    assert read[0].text == "川贝三克，梨一个。\n隔水炖，早晚服。"
    bare = read_page(site, "http://www.zhongyoo.com/xw/1.html", Selector(text="<h1>合谷</h1><div>别的布局</div>"))
    assert bare == Miss("no text")


FORM = """<h1 id="d_askH1">头痛怎么办</h1><div id="d_msCon"><p class="crazy_new"><span>健康咨询描述：</span>头痛三天。附件：点击查看大图
图片涉及用户隐私，仅医生可见。</p><p class="crazy_new"><span>想得到怎样的帮助：</span>需要医生帮助提供远程诊断：要做什么检查？（感谢医生为我快速解答——该如何治疗和预防。）</p>
<p class="crazy_new">微信扫一扫，随时问医生</p></div><div class="b_answerli"><div class="b_answercont"><div class="b_anscontc">
<div class="b_anscont_cont"><div class="crazy_new"><p>多休息。微信扫一扫，随时问医生</p></div></div></div></div></div>"""  # noqa: E501


def test_form_residue_is_no_question_text():
    read = read_page(load("ask120"), "https://www.120ask.com/question/1.htm", Selector(text=FORM))
    assert not isinstance(read, Miss)
    assert (read[0].question, read[0].answer) == ("头痛怎么办\n头痛三天。\n要做什么检查？", "多休息。")
