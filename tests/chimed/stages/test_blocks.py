"""A site that blocks us, in whatever form: it is left alone early, nothing is lost by it, and a person is told when."""

import itertools
import json
import re
import secrets
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from parsel import Selector

from chimed.crawl.blocks import likeness
from chimed.crawl.visible import is_refusal, visible_text
from chimed.sources.ask39 import TOPICS
from support.websites import HTML, Site, crawl, question_urls, questions, run, served, stored

JSON = {"Content-Type": "application/json"}
COUNT = 40


def scripts(headers: dict) -> tuple[int, dict, str]:
    """A page that only a browser gets past, other from request to request."""
    return (
        200,
        HTML,
        f"<html><head><script>var _0x={secrets.token_hex(200)!r};eval(_0x)</script></head><body></body></html>",
    )


def notice(headers: dict) -> tuple[int, dict, str]:
    """A notice with a code of its own for each request."""
    return (
        200,
        HTML,
        f"<title>提示</title><div>系统开小差了</div><p>编号 {secrets.token_hex(8)}-{secrets.randbelow(10**6)}</p>",
    )


FORMS = {
    "words": (200, HTML, "<title>提示信息</title><p>访问过于频繁，请稍后再试</p>"),
    "words in the heading": (200, HTML, "<h1>您的访问过于频繁</h1><p>请于 10 分钟后再来</p>"),
    "words in English": (200, HTML, "<title>Access Denied</title><h1>Access Denied</h1><p>Reference #18.2f3e</p>"),
    "firewall": (200, HTML, "<title>网站防火墙</title><p>您的请求带有不合法参数，已被网站管理员设置拦截！</p>"),
    "405": (405, HTML, "<h1>405</h1>"),
    "412": (412, HTML, ""),
    "403": (403, HTML, "<h1>Forbidden</h1>"),
    "418": (418, HTML, ""),
    "503": (503, HTML, ""),
    "404 for everything": (404, HTML, "<h1>404 Not Found</h1>"),
    "redirect home": (302, {"Location": "/"}, ""),
    "home itself": (200, HTML, "<title>39问医生_39健康网</title><p>首页</p>"),
    "redirect to one page": (302, {"Location": "/busy.html"}, ""),
    "redirect off the site": (302, {"Location": "https://www.39.example/"}, ""),
    "a wall of scripts": scripts,
    "a notice with a number": notice,
    "nothing": (200, HTML, ""),
    "JSON": (200, JSON, '{"code": -1, "msg": "limited"}'),
    "cookie loop": None,  # each page to itself, with a cookie
}


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


def blocked(site: Site, form: str, numbers: range) -> None:
    """From now on the site answers so for these questions."""
    site.pages["/ask.39.net/busy.html"] = (200, HTML, "<title>忙</title>")
    for n in numbers:
        path = f"/ask.39.net/question/{n}.html"
        loop = (302, {"Location": f"/question/{n}.html", "Set-Cookie": f"wzws={n}"}, "")
        site.pages[path] = FORMS[form] if FORMS[form] is not None else loop


def pages_asked(site: Site) -> int:
    """How many different questions were asked for."""
    return len(site.count("/question/"))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_block_stops_early_and_is_retried_later(tmp_path, site, form):
    questions(site, COUNT)
    kept = dict(site.pages)
    blocked(site, form, range(COUNT))
    said = crawl(tmp_path, site, "--crawl", "c1", code=1)["said"]
    assert "in a row" in said
    assert pages_asked(site) <= (20 if form == "503" else 12)  # one that fails is asked three times, in between
    assert not (tmp_path / "lake/raw/ask39/c1/report.json").exists()
    site.pages.update(kept)
    site.pages.pop("/ask.39.net/busy.html")
    site.asked.clear()
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert (report["states"], report["misses"], report["refused"]) == ({"answered": COUNT}, {}, {})
    assert pages_asked(site) == COUNT
    assert sorted(set(stored(tmp_path, "ask39", "c1"))) == question_urls(*range(COUNT))
    assert run(tmp_path, site.url, "extract", "ask39", "--crawl", "c1")["records"] == COUNT


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_block_in_midcrawl_loses_nothing(tmp_path, site, form):
    questions(site, COUNT)

    def instead(path: str, headers: dict):
        if len(site.asked) <= 9:
            return None
        answer = FORMS[form]
        if answer is None:
            return 302, {"Location": path.removeprefix("/ask.39.net"), "Set-Cookie": "wzws=1"}, ""
        return answer(headers) if callable(answer) else answer

    site.instead = instead
    crawl(tmp_path, site, "--crawl", "c1", code=1)
    assert len(site.count()) <= 9 + 14
    site.instead = None
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert (report["states"], report["misses"], report["refused"]) == ({"answered": COUNT}, {}, {})
    assert sorted(set(stored(tmp_path, "ask39", "c1"))) == question_urls(*range(COUNT))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["words", "405", "redirect home", "404 for everything", "a wall of scripts"])
def test_a_block_takes_nothing_from_known_pages(tmp_path, site, form):
    questions(site, 15)
    kept = dict(site.pages)
    crawl(tmp_path, site, "--crawl", "c1")
    blocked(site, form, range(15))
    crawl(tmp_path, site, "--crawl", "c2", code=1, recheck_days="0")
    states = {one["source"]: one["states"] for one in run(tmp_path, site.url, "coverage", "--json")}["ask39"]
    assert states == {"answered": 15}
    site.pages.update(kept)
    report = crawl(tmp_path, site, "--crawl", "c2", recheck_days="0")
    assert (report["states"], report["unchanged"], report["pages"]) == ({"answered": 15}, 15, 0)


@pytest.mark.slow
def test_many_gone_pages_are_no_block(tmp_path, site):
    questions(site, 40)
    crawl(tmp_path, site, "--crawl", "c1")
    for n in range(3, 30):
        site.pages[f"/ask.39.net/question/{n}.html"] = (404, HTML, "没有这个问题")
    site.asked.clear()
    report = crawl(tmp_path, site, "--crawl", "c2", recheck_days="0", miss_share="0.8")
    assert report["states"] == {"answered": 13, "gone": 27}
    assert sum(site.count("/question/").values()) <= 40 + 3  # a few proofs
    later = "2027-01-15T01:00+08:00"  # what is known to be gone is no news, and no alarm
    assert crawl(tmp_path, site, "--crawl", "c3", at=later)["states"]["gone"] == 27


@pytest.mark.slow
def test_one_refusal_is_retried_later(tmp_path, site):
    questions(site, 8)
    kept = site.pages["/ask.39.net/question/3.html"]
    blocked(site, "words", range(3, 4))
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert (report["misses"], report["refused"]) == ({}, {"refused in words": 1})
    assert report["pages"] == 7  # a refusal is no page
    site.pages["/ask.39.net/question/3.html"] = kept
    site.asked.clear()
    assert crawl(tmp_path, site, "--crawl", "c2")["states"] == {"answered": 1}
    assert set(site.count("/question/")) == {"/ask.39.net/question/3.html"}


@pytest.mark.slow
def test_a_week_of_refusals_is_a_block(tmp_path, site):
    questions(site, 2)
    blocked(site, "405", range(2))
    assert "every page was refused" in crawl(tmp_path, site, code=1)["said"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "header", "wait"),
    [
        ("words", {}, 86_400),
        ("405", {}, 86_400),
        ("429", {}, 86_400),
        ("429", {"Retry-After": "200000"}, 200_000),
        ("503", {"Retry-After": "86400"}, 86_400),
        ("503", {}, 3_600),
        ("captcha", {}, 86_400),
    ],
)
def test_an_unattended_crawl_waits_out_a_block(tmp_path, site, form, header, wait):
    questions(site, 30)
    answer = FORMS.get(form, (429, HTML, ""))
    if form == "captcha":
        answer = (200, HTML, "<title>安全验证</title>")
    for n in range(30):
        site.pages[f"/ask.39.net/question/{n}.html"] = (answer[0], {**answer[1], **header}, answer[2])
    words = ("--crawl", "c1", "--unattended")
    now = "2026-11-02T01:00+08:00"
    said = crawl(tmp_path, site, *words, code=3, at=now)
    assert (said["wait"], said["times"]) == (wait, 1)
    site.asked.clear()
    soon = crawl(tmp_path, site, "--crawl", "c2", "--unattended", code=3, at="2026-11-02T01:30+08:00")
    assert not site.asked  # another crawl of the site waits too
    assert soon["wait"] == pytest.approx(wait - 1_800, abs=120)
    later = "2026-11-05T01:00+08:00"
    assert crawl(tmp_path, site, *words, code=3, at=later)["times"] == 2
    assert site.asked


@pytest.mark.slow
def test_a_manual_crawl_may_end_the_wait(tmp_path, site):
    questions(site, 30)
    kept = dict(site.pages)
    blocked(site, "words", range(30))
    crawl(tmp_path, site, "--crawl", "c1", "--unattended", code=3)
    site.pages.update(kept)
    assert crawl(tmp_path, site, "--crawl", "c1")["fetched"] == 30
    assert crawl(tmp_path, site, "--crawl", "c2", "--unattended")["lists"] == 1


# --- lists and weeks ---------------------------------------------------------------------------------------------

DEAD = {
    "404": (404, HTML, "no"),
    "410": (410, HTML, ""),
    "500": (500, HTML, ""),
    "home": (302, {"Location": "https://ask.39.net/"}, ""),
    "refused": (200, HTML, "<p>访问过于频繁</p>"),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", DEAD)
def test_a_dead_list_fails_and_is_retried(tmp_path, site, form):
    questions(site, 6)
    site.pages |= {path.replace("44", "237"): page for path, page in site.pages.items() if "/news/" in path}
    kept = dict(site.pages)
    site.pages["/ask.39.net/news/237-1.html"] = DEAD[form]
    both = ("ask39", "--sections", "妇科,心血管内科", "--crawl", "c1")
    said = crawl(tmp_path, site, *both, code=1, dead_lists="0")["said"]
    assert "237-1.html" in said or "in a row" in said
    site.pages.update(kept)
    assert crawl(tmp_path, site, *both, dead_lists="0")["fetched"] == 6


@pytest.mark.slow
def test_thirty_dead_lists_are_no_success(tmp_path, site):
    questions(site, 6)
    assert "32 of 33 lists" in crawl(tmp_path, site, "ask39", "--crawl", "c1", code=1, dead_lists="0")["said"]


@pytest.mark.slow
def test_a_small_week_may_be_accepted(tmp_path, site):
    days = [date(2026, 10, 5) + timedelta(n) for n in range(28)]
    numbers = [day for place, day in enumerate(days) for _ in range(4 if place < 21 else place % 7 // 3)]
    for n, day in enumerate(numbers):
        answer = f'<div class="selected"><div class="sele_all"><p class="sele_txt">答{n}。</p></div></div>'
        page = f'<h1>问{n}</h1><p class="txt_nametime"><span>{day} 08:00</span></p>{answer}'
        site.pages[f"/ask.39.net/question/{n}.html"] = (200, HTML, page)
    links = [f'<li><p class="p1"><a href="/question/{n}.html">问</a></p></li>' for n in reversed(range(len(numbers)))]
    for topic in TOPICS.values():
        shown = "".join(links) if topic == 44 else ""
        site.pages[f"/ask.39.net/news/{topic}-1.html"] = (200, HTML, f'<ul class="list_ask">{shown}</ul>')
    for n in range(4):
        words = ("ask39", "--from", f"{days[7 * n]}", "--to", f"{days[7 * n] + timedelta(7)}")
        at = f"{days[7 * n] + timedelta(7)}T01:00+08:00"
        if n < 3:
            crawl(tmp_path, site, *words, at=at)
    said = crawl(tmp_path, site, *words, at=at, code=1)["said"]
    assert "5 pages of ask39 are known" in said
    assert "usually 28 for as many days" in said
    assert crawl(tmp_path, site, *words, "--accept", at=at)["of_its_days"] == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (r'<div class="sub">.*?</div>', "department"),
        (r'<p class="txt_nametime">.*?</p>', "day"),
        (r'<p class="txt_ms">.*?</p>', "question"),
        (r'<div class="sele_all"><p class="sele_txt">又.*?</div>', "records a page"),
    ],
)
def test_a_changed_layout_is_told_by_lost_fields(tmp_path, site, lost, said):
    for n in range(4):
        questions(site, 24)
        for path, (status, _, html) in list(site.pages.items()):
            if "/question/" in path:
                number = path.rsplit("/", 1)[1].removesuffix(".html")
                page = html.replace("<h1>", '<div class="sub"><span><a>妇科</a></span></div><h1>')
                page = page.replace("第", f"第{n}周第").replace(
                    "</div></div>", f'</div><div class="sele_all"><p class="sele_txt">又{number}。</p></div></div>'
                )
                site.pages[path] = (status, HTML, re.sub(lost, "", page) if n == 3 else page)
        crawl(tmp_path, site, "--crawl", f"c{n}", "--mode", "full")
        code = 1 if n == 3 else 0
        done = run(tmp_path, site.url, "extract", "ask39", "--crawl", f"c{n}", code=code)
    assert said in done["said"]
    assert run(tmp_path, site.url, "extract", "ask39", "--crawl", "c3", "--accept")["pages"] == 24


# --- by which a block is told ------------------------------------------------------------------------------------

CASES = [json.loads(line) for line in Path(__file__).with_name("refusals.jsonl").read_text("utf-8").splitlines()]
PAGES = [case["text"] for case in CASES if not case["refuses"]]


def test_refusals_are_told_from_pages_without_a_record():
    assert [case["text"] for case in CASES if is_refusal(case["text"]) != case["refuses"]] == []


def test_a_long_page_is_no_refusal():
    assert not is_refusal("访问过于频繁" + "这是一篇关于网站使用的文章。" * 60)


def test_refusals_differ_only_by_numbers():
    numbered = [f"您的 IP 10.0.{n}.7 访问异常，编号 {secrets.token_hex(8)}" for n in range(5)]
    assert len({likeness(text) for text in numbered}) == 1
    assert len({likeness(text) for text in PAGES}) == len(PAGES)
    walls = [likeness(visible_text(Selector(text=scripts({})[2]))) for _ in range(3)]
    assert set(walls) == {"nothing to read"}
    for one, other in itertools.pairwise(f"第{n}问：{title}" for n, title in enumerate(PAGES)):
        assert likeness(one) != likeness(other)
