"""Pages of www.cnkang.com, made by hand: four layouts of an article, and a herb."""

# ruff: noqa: E501 (a line of HTML is a line)

import pytest
from parsel import Selector

from chimed.sources.cnkang import SITE
from chimed.sources.page import Miss
from chimed.sources.text import decode
from support.reading import links, read

URL = "http://www.cnkang.com/yycs/200911/880101.html"
HEAD = '<title>高血压_中华康网</title><h1 id="h1title">高血压的护理</h1>'
TAIL = '<p>[1] <a href="1_2.html">[2]</a> … 下一页</p><p>温馨提示：以上资料仅供参考，请咨询医生。</p>'
COMMENTS = '<div id="jkpl">网友：学到了</div>'


@pytest.mark.parametrize(
    "body",
    [
        '<div class="detailc"><div class="article_intro">核心提示：少盐…</div><p>　　少盐。</p><p>多动。</p>{tail}</div>',
        '<div id="endText"><div id="jbk1"><p>多动。</p></div><div id="jbk0"><p>少盐。</p></div>{tail}</div>',
        '<table><tr><td class="style3"><p>少盐。</p><p>多动。</p>{tail}</td></tr></table>',
        '<div class="conmain"><p>少盐。<br>多动。</p>{tail}</div>',
    ],
    ids=["detailc", "reversed blocks", "style3", "conmain"],
)
def test_layouts(body):
    (one,) = read(SITE, URL, HEAD + body.format(tail=TAIL) + COMMENTS)
    assert (one.title, one.text, one.domain, one.language) == ("高血压的护理", "少盐。\n多动。", "general", "zh")


def test_blocks_are_sorted_by_number_not_by_text():
    blocks = "".join(f'<div id="jbk{n}"><p>第{n}段</p></div>' for n in reversed(range(12)))
    (one,) = read(SITE, URL, f'{HEAD}<div id="endText">{blocks}</div>')
    assert one.text.split("\n") == [f"第{n}段" for n in range(12)]


def test_charset_said_only_in_meta():
    html = (
        f'<meta http-equiv="Content-Type" content="text/html; charset=gb2312">{HEAD}<div class="conmain">瓊玉膏</div>'
    )
    text = decode(html.encode("gb18030"), "text/html", "utf-8")
    (one,) = read(SITE, URL, text)
    assert one.text == "瓊玉膏"


@pytest.mark.parametrize("labels", [("", "", "", ""), ("简介：", "药性：", "功效：", "适应症：")])
def test_herb_fields_are_known_by_their_order(labels):
    texts = ("草质茎。", "辛，温。", "发汗。", "风寒感冒。")
    fields = "".join(f"<p><b>{label}</b>{text}</p>" for label, text in zip(labels, texts, strict=True))
    (one,) = read(
        SITE,
        "/cm/zcy/jby/mahuang.html".join(["https://www.cnkang.com", ""]),
        f'<h1>麻黄</h1><div class="zh05b">{fields}</div>',
    )
    assert one.text == "简介：草质茎。\n药性：辛，温。\n功效：发汗。\n适应症：风寒感冒。"
    assert one.domain == "tcm"


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        (HEAD + '<div class="detailc"><img src="1.jpg"></div><div class="conmain">菜单</div>', "picture only"),
        (HEAD + "<p>菜单</p>", "no text"),
        ("<title>中华康网</title>", "home page instead of the page"),
        ("<title>x</title>", "no h1"),
    ],
)
def test_misses(html, reason):
    assert read(SITE, URL, html) == Miss(reason)


def test_many_digits_are_read_at_once():
    (one,) = read(SITE, URL, f'{HEAD}<div class="conmain"><p>{"1" * 5000}年</p></div>')
    assert len(one.text) == 5001


def test_links_of_index_disease_and_group():
    index = '<div class="w920 right"><div><div><ul><li><a href="//www.cnkang.com/dise/ganmao/?from=x">感冒</a></li></ul></div></div></div>'
    assert links(SITE, "https://www.cnkang.com/dise/keshi/list_1.html", index) == [
        ("list", "https://www.cnkang.com/dise/ganmao/", None)
    ]
    disease = (
        '<dl class="dise_menu01"><dd><p><a href="/dise/ganmao/wenzhang_1.html">文章</a></p></dd></dl><div class="w680 left">'
        '<dl><dt><a href="/dise/ganmao/10021.html">一</a></dt></dl><dl><dt><a href="http://www.cnkang.com/yycs/200911/88.html">二</a></dt></dl></div>'
    )
    assert [kind for kind, _, _ in links(SITE, "https://www.cnkang.com/dise/ganmao/", disease)] == [
        "list",
        "detail",
        "detail",
    ]
    group = '<div class="catalog04"><dl><dd><a href="/cm/zcy/jry/huanglian.html">黄连</a></dd></dl></div>'
    assert links(SITE, "https://www.cnkang.com/cm/zcy/jry/", group) == [
        ("detail", "https://www.cnkang.com/cm/zcy/jry/huanglian.html", None)
    ]


def test_links_of_the_menu_are_not_followed():
    assert SITE.links("https://www.cnkang.com/dise/ganmao/", Selector(text='<a href="/dise/ganmao/1.html">x</a>')) == []


def test_pager_and_reminder_within_the_last_paragraph():
    body = '<div class="detailc"><p>少盐。温馨提示：以上资料仅供参考，请咨询医生。</p><p>多动。 [1] [2] … 下一页</p><p>上一页</p></div>'
    (one,) = read(SITE, URL, HEAD + body)
    assert one.text == "少盐。\n多动。"


def test_lists_continue_by_number_or_word():
    html = '<div class="w680 left"><dl><dt><a href="10021.html">一</a></dt></dl></div><a href="wenzhang_2.html">2</a><a href="wz/2.html">下一页</a>'
    assert links(SITE, "https://www.cnkang.com/dise/ganmao/wenzhang_1.html", html) == [
        ("detail", "https://www.cnkang.com/dise/ganmao/10021.html", None),
        ("list", "https://www.cnkang.com/dise/ganmao/wenzhang_2.html", None),
        ("list", "https://www.cnkang.com/dise/ganmao/wz/2.html", None),
    ]


def test_herbs_are_found_by_any_address():
    html = '<div class="menu"><a href="/cm/zcy/bxy/">补虚药</a></div><div class="catalog04"><dl><dd><a href="/cm/10231/">黄连</a></dd></dl></div>'
    found = links(SITE, "https://www.cnkang.com/cm/zcy/jry/", html)
    assert sorted(found) == [
        ("detail", "https://www.cnkang.com/cm/10231/", None),
        ("list", "https://www.cnkang.com/cm/zcy/bxy/", None),
    ]
