"""Bytes to text, addresses, and what an answer to robots.txt means."""

import pytest
from parsel import Selector

from chimed.crawl import robots
from chimed.sources.page import on_page, one_form
from chimed.sources.text import day_in, decode, merged, text_of, tidy


@pytest.mark.parametrize(
    ("body", "header", "default"),
    [
        ("茯苓".encode("gbk"), "text/html; charset=gb2312", "utf-8"),
        ("茯苓".encode("gbk"), None, "gb18030"),
        ("茯苓".encode(), "text/html; charset=gbk", "utf-8"),
        ("茯苓".encode("gbk"), "text/html; charset=utf-8", "utf-8"),
    ],
    ids=["said", "default", "wrongly said gbk", "wrongly said utf-8"],
)
def test_decode(body, header, default):
    assert decode(body, header, default) == "茯苓"


def test_broken_bytes_become_marks_and_no_error():
    assert "\ufffd" in decode(b"\xff\xfe\xff abc \x81", None, "utf-8")


def test_text_joins_inline_and_breaks_at_blocks():
    html = "<div>味<a>甘</a>，<b>温</b><!-- x --><script>1</script><p>归\n  经</p>脾<br>肺</div>"
    assert text_of(Selector(text=html).css("div")) == "味甘，温\n归经\n脾\n肺"


def test_deep_pages_are_read():
    assert text_of(Selector(text="<div>" * 200 + "深" + "</div>" * 200).css("div")[:1]) == "深"


@pytest.mark.parametrize(
    ("raw", "said"), [("BR>头痛", "头痛"), ("<br/>头痛", "头痛"), ("&lt;5&nbsp;mm", "<5 mm"), ("\u3000　头", "头")]
)
def test_tidy(raw, said):
    assert tidy(raw) == said


@pytest.mark.parametrize(
    ("text", "day"), [("于2026-02-30", None), ("2026年1月2日", "2026-01-02"), ("电话 12026-01-02", None), (None, None)]
)
def test_day_in(text, day):
    assert (day_in(text) and str(day_in(text))) == day


def test_merged_keeps_the_longer_text():
    assert merged("头痛", "头痛，三天。", "", "头痛三天", "怎么办") == "头痛，三天。\n怎么办"


def test_addresses():
    assert on_page("http://a.cn/x/", ["b", "javascript:void(0)", "mailto:a@b", "http://[", "b#1"]) == [
        "http://a.cn/x/b",
        "http://a.cn/x/b#1",
    ]
    assert one_form("https://a.cn/index.html?from=x&id=2&utm_source=y#t", "http", "www.a.cn") == "http://www.a.cn/?id=2"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 302])
def test_refusing_sites_are_not_crawled(status):
    assert robots.parse_policy(status, "").refusal


def test_robots_rules():
    assert robots.parse_policy(404, "<html>").refusal is None
    read = robots.parse_policy(200, "User-agent: *\nDisallow: /user/\nCrawl-delay: 7")
    assert read.rules is not None
    assert (read.delay, read.refusal) == (7.0, None)
    assert not read.rules.can_fetch("https://a.cn/user/1", robots.ROBOT_NAME)
    assert robots.parse_policy(200, "User-agent: *\nCrawl-delay: 3600").refusal
