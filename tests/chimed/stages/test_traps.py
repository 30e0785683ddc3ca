"""Traps: what leads on for ever is walked to a bound that is told, and what hangs is a miss with a name."""

import re
from collections.abc import Callable, Iterator

import pytest

from chimed.crawl import traps
from support.websites import HTML, Site, crawl, questions, served, stored

pytestmark = pytest.mark.slow  # servers and processes


class Made(dict):
    """Pages that are made when they are asked for."""

    def __init__(self, make: Callable[[str], tuple | None]):
        super().__init__()
        self.make = make

    def get(self, path: str, default=None):
        return super().get(path) or self.make(path) or default


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


def list_page(number: int, shown: list[str]) -> tuple:
    entries = "".join(f'<li><p class="p1"><a href="/question/{name}.html">问</a></p></li>' for name in shown)
    more = f'<span class="pages"><a class="next" href="/news/44-{number + 1}.html">下一页</a></span>'
    return 200, HTML, f'<ul class="list_ask">{entries}</ul>{more}'


def test_redirects_from_page_to_page_end(tmp_path, site):
    def make(path: str):
        found = re.fullmatch(r"/ask\.39\.net/question/9(\d+)\.html", path)
        return (301, {"Location": f"/question/9{int(found[1]) + 1}.html"}, "") if found else None

    site.pages = Made(make)
    questions(site, 12)
    site.pages["/ask.39.net/question/1.html"] = (301, {"Location": "/question/90.html"}, "")
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert site.count("/question/9").total() <= 6
    assert report["misses"]["redirected without end"] == 1


def test_an_endless_next_page_is_cut(tmp_path, site):
    def make(path: str):
        found = re.fullmatch(r"/ask\.39\.net/news/44-(\d+)\.html", path)
        return list_page(int(found[1]), ["1", "2"]) if found else None

    site.pages = Made(make)
    questions(site, 3)
    site.pages.pop("/ask.39.net/news/44-1.html")
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert site.count("/news/").total() <= traps.MAX_BARREN_LISTS + 1
    assert report["lists_cut"] == {"https://ask.39.net/news/44-1.html": "5 of its pages in a row show nothing new"}
    assert len(stored(tmp_path, "ask39", "c1")) == 2


@pytest.mark.parametrize("delay", ["0.01", "0"])  # without a pace another process reads, and has a reader of its own
def test_a_hanging_page_costs_only_itself(tmp_path, site, delay):
    questions(site, 4)
    html = "<h1>问</h1><div class=selected><div class=sele_all>" + "<p class=sele_txt>答。<span>" * 4_000
    site.pages["/ask.39.net/question/1.html"] = (200, HTML, html)
    report = crawl(tmp_path, site, "--crawl", "c1", replica_delay=delay)
    assert report["misses"] == {"takes too long to read": 1}
    assert len(stored(tmp_path, "ask39", "c1")) == 4  # the page that hangs is kept too
