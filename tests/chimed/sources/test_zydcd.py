"""Pages of www.zydcd.com, made by hand: an entry, a chapter of a classic, lists."""

# ruff: noqa: E501 (a line of HTML is a line)

import pytest

from chimed.sources.page import Miss
from chimed.sources.zydcd import SITE
from support.reading import links, read

ENTRY = "http://www.zydcd.com/zhongyi/zy10231yp/"


def test_links_inside_a_line_do_not_break_it():
    html = (
        '<h1>玉屏风散</h1><div class="menu">菜单</div><div class="info_txt"><b>【组成】</b><a>黄芪</a>（二两）、<a>白术</a>（二两）。</div>'
        '<div class="info_txt"><p>【功效】益气。</p></div>'
    )
    (one,) = read(SITE, ENTRY, html)
    assert (one.title, one.text) == ("玉屏风散", "【组成】黄芪（二两）、白术（二两）。\n【功效】益气。")
    assert (one.domain, one.language) == ("tcm", "zh")


def test_a_chapter_of_a_classic_is_classical_chinese():
    (one,) = read(
        SITE, "http://www.zydcd.com/guji/xingwu/3/", '<h1>咳嗽</h1><div class="info_txt">咳者，肺气上逆也。</div>'
    )
    assert one.language == "lzh"


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ('<h1>图</h1><div class="info_txt"><img src="a"></div>', "picture only"),
        ("<h1>空</h1>", "no text"),
        ("<title>中医大辞典</title><a>词条</a>", "home page instead of the page"),
        ('<title>中医大辞典</title><div class="info_txt">已删除</div>', "no h1"),
    ],
)
def test_misses(html, reason):
    assert read(SITE, ENTRY, html) == Miss(reason)


def test_any_page_that_links_entries_is_a_list():
    html = (
        '<a href="/">首页</a><a href="/zhongyi/list_2.html">二</a><a href="/guji/xingwu/">书</a><a href="/guji/xingwu/3/">章</a>'
        '<a href="https://www.zydcd.com/zhongyi/zy10231yp">方</a><a href="/yian/2/">案</a><a href="/so/白术/">搜</a><a href="http://else.cn/zhongyi/">外</a>'
    )
    assert [(kind, url.removeprefix("http://www.zydcd.com")) for kind, url, _ in links(SITE, ENTRY, html)] == [
        ("list", "/zhongyi/list_2.html"),
        ("list", "/guji/xingwu/"),
        ("detail", "/guji/xingwu/3/"),
        ("detail", "/zhongyi/zy10231yp/"),
        ("detail", "/yian/2/"),
    ]
