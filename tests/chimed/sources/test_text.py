"""Which charset a page has, whatever it says; and pages whose text was decoded wrongly before."""

from parsel import Selector

from chimed.sources.page import Miss, read_page
from chimed.sources.parsed import Document
from chimed.sources.text import decode
from chimed.sources.zydcd import SITE

SAID = "感冒三天，头痛发热，该吃什么药？"


def test_few_broken_bytes_keep_the_charset():
    page = (SAID * 20).encode()
    assert decode(page[:60] + b"\xff" + page[60:], None, "utf-8").count("感冒") >= 19
    page = (SAID * 20).encode("gbk")
    assert decode(page[:60] + b"\xff\xff" + page[60:], "text/html; charset=utf-8", "utf-8").count("感冒") >= 19


def entry(title: str, text: str):
    html = f'<h1>{title}</h1><div class="info_txt">{text}</div>'
    return read_page(SITE, "http://www.zydcd.com/zhongyi/zy10001aa/", Selector(text=html))


def test_mojibake_and_deleted_pages_are_misses():
    assert entry("茯苓", SAID.encode().decode("gbk", errors="replace")) == Miss("mojibake")
    assert entry("提示", "对不起，您访问的页面不存在或已被删除") == Miss("says that it is gone")
    assert isinstance(entry("茯苓", "利水渗湿。")[0], Document)
