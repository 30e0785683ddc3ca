"""Text that was decoded wrongly is known as such, and rare characters are not taken for it."""

import pytest
from parsel import Selector

from chimed.sources.page import Miss, read_page
from chimed.sources.parsed import Document
from chimed.sources.text import decode, garbled
from chimed.sources.zydcd import SITE

SAID = "感冒三天，头痛发热，该吃什么药？"


@pytest.mark.parametrize(
    ("read_as", "was"),
    [
        ("gbk", "utf-8"),
        ("gb18030", "utf-8"),
        ("latin-1", "utf-8"),
        ("cp1252", "utf-8"),
        ("latin-1", "gb18030"),
        ("utf-8", "gbk"),
    ],
)
def test_mojibake_of_every_kind(read_as, was):
    assert garbled(f"前一行正常。\n{SAID.encode(was).decode(read_as, errors='replace')}")


@pytest.mark.parametrize(
    "text",
    [
        SAID,
        "龘䶮鱻麤，𠮷野家",
        "血压140/80mmHg，服Ginkgo biloba L.提取物±5％",
        "café、naïve、Ménière病",
        "······×××",
        "栝蒌（瓜蒌）、鳢鱼",
    ],
)
def test_what_only_looks_strange(text):
    assert not garbled(text)


def test_a_few_broken_bytes_do_not_change_the_charset():
    page = (SAID * 20).encode()
    assert decode(page[:60] + b"\xff" + page[60:], None, "utf-8").count("感冒") >= 19
    page = (SAID * 20).encode("gbk")
    assert decode(page[:60] + b"\xff\xff" + page[60:], "text/html; charset=utf-8", "utf-8").count("感冒") >= 19


def entry(title: str, text: str):
    html = f'<h1>{title}</h1><div class="info_txt">{text}</div>'
    return read_page(SITE, "http://www.zydcd.com/zhongyi/zy10001aa/", Selector(text=html))


def test_a_page_of_mojibake_or_that_says_it_is_gone_is_a_miss():
    assert entry("茯苓", SAID.encode().decode("gbk", errors="replace")) == Miss("mojibake")
    assert entry("提示", "对不起，您访问的页面不存在或已被删除") == Miss("says that it is gone")
    assert isinstance(entry("茯苓", "利水渗湿。")[0], Document)
