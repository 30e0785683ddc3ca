"""Pages of www.zhongyoo.com, made by hand: a herb, a formula, their lists."""

# ruff: noqa: E501 (a line of HTML is a line)

import pytest

from chimed.sources.page import Miss
from chimed.sources.text import decode
from chimed.sources.zhongyoo import SITE
from support.reading import links, read

HERB = "http://www.zhongyoo.com/name/huangqi_3001.html"
FORMULA = "http://www.zhongyoo.com/fangji/guizhitang_5005.html"


def herb(fields: str) -> str:
    return f'<title>黄芪_中药查询</title><div class="gaishu"><div class="title"><h1>黄芪</h1></div><div class="text">{fields}</div></div>'


def test_unlabelled_fields_continue():
    fields = (
        "<p>　　<strong>【药名】</strong>黄芪</p><p>　　<strong>【临床应用】</strong>补气。</p><p>　　也可固表。</p>"
        "<p><strong>【相关推荐文章】</strong><a>补益中药</a></p><p>更多</p><p>【使用禁忌】<a>实证</a>忌服。</p>"
    )
    (one,) = read(SITE, HERB, herb(fields))
    assert one.text == "【药名】黄芪\n【临床应用】补气。\n也可固表。\n【使用禁忌】实证忌服。"
    assert (one.title, one.domain, one.language) == ("黄芪", "tcm", "zh")


def test_formula():
    html = '<div class="art_box"><h1>桂枝汤</h1><div id="contentText"><p>【方名】桂枝汤</p><p>【组成】桂枝9克。</p></div></div>'
    (one,) = read(SITE, FORMULA, html)
    assert one.text == "【方名】桂枝汤\n【组成】桂枝9克。"


def test_characters_beyond_gbk():
    html = '<meta charset="gbk">' + herb("<p>【别名】䓖</p>")
    (one,) = read(SITE, HERB, decode(html.encode("gb18030"), None, SITE.encoding))
    assert one.text == "【别名】䓖"


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        (herb('<img src="a.jpg">'), "picture only"),
        (herb(""), "no text"),
        ("<title>中药查询_首页</title><a>x</a>", "home page instead of the page"),
        ("<body>页面不存在</body>", "no h1"),
    ],
)
def test_misses(html, reason):
    assert read(SITE, HERB, html) == Miss(reason)


def test_pager_that_shows_only_some_pages():
    html = (
        '<div class="r2-cons"><div class="r2-con"><div class="sp"><strong><a href="huangqi_3001.html">黄芪</a></strong></div></div></div>'
        '<ul class="pagelist"><li><a href="page_1.html">1</a></li><li><span class="pageinfo">共45页</span></li></ul>'
    )
    found = links(SITE, "http://www.zhongyoo.com/name/page_7.html", html)
    assert found[0] == ("detail", HERB, None)
    assert ("list", "http://www.zhongyoo.com/name/page_8.html", None) in found


def test_formulas_with_relative_and_absolute_links():
    html = f'<div class="listbox"><ul><li><a href="guizhitang_5005.html">一</a></li><li><a href="{FORMULA}">二</a></li></ul></div>'
    assert links(SITE, "http://www.zhongyoo.com/fangji/page_1.html", html) == [("detail", FORMULA, None)]


def test_groups_and_initials():
    html = '<div class="listT1Con"><ul class="ksList"><li><a href="/gx/buqiyao/">补气药</a></li></ul></div>'
    assert links(SITE, "http://www.zhongyoo.com/gx/", html) == [("list", "http://www.zhongyoo.com/gx/buqiyao/", None)]
