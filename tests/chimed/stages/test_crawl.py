"""The crawler over real HTTP: completeness, kills, refreshes, intervals, redirects, alarms, the replica's sites."""

import json
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import polars as pl
import pytest

from chimed.sources import PAPER
from chimed.storage.lake import open_lake
from support.websites import FIRST, HTML, PACE, Site, crawl, mimes, question_urls, questions, run, served, start, stored

pytestmark = pytest.mark.slow  # servers, and processes that are killed

GONE = (200, HTML, "<title>39问医生_39健康网</title>")


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


def test_a_refresh_asks_for_lists_only(tmp_path, site):
    questions(site, 10)
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert (report["pages"], report["fetched"], report["lists"], report["misses"]) == (10, 10, 3, {})
    assert set(site.count("/question/").values()) == {1}
    assert site.count("robots.txt") == {"/ask.39.net/robots.txt": 1}
    agents = {headers["User-Agent"] for _, _, headers in site.asked}
    assert all(agent.startswith("chimed/") and "+http" in agent for agent in agents)
    before = len(site.asked)
    assert report["requests"] == before
    assert crawl(tmp_path, site, "--crawl", "c1") == report
    assert len(site.asked) == before

    site.asked.clear()
    again = crawl(tmp_path, site, "--crawl", "c2")
    assert not site.count("/question/")
    assert site.count("/news/") == {"/ask.39.net/news/44-1.html": 1}  # known ground: no need to walk on
    assert again["pages"] == 0
    assert mimes(tmp_path, "ask39", "c2") == {"warc/revisit"}  # the list, unchanged
    run(tmp_path, site.url, "extract", "ask39", "--crawl", "c2")
    extracted = json.loads((tmp_path / "lake/extracts/ask39/c2/report.json").read_text())
    assert (extracted["pages"], extracted["records"]) == (0, 0)

    (entry,) = [one for one in run(tmp_path, site.url, "coverage", "--json") if one["source"] == "ask39"]
    assert (entry["known"], entry["fetched"], entry["crawls"], entry["missed"]) == (10, 10, 2, {})
    assert (entry["oldest"], entry["newest"]) == ("2026-10-22", "2026-10-31")
    assert entry["next_requests"] == 1 + 33


def test_three_kills_repeat_only_requests_in_flight(tmp_path, site):
    questions(site, 40)
    site.slow = 0.02
    kills = []
    for _ in range(3):
        before = len(site.asked)
        running = start(tmp_path, site.url, "crawl", "ask39", "--sections", "妇科", "--crawl", "c1")
        while len(site.asked) < before + 9:
            assert running.is_alive()
            time.sleep(0.005)
        running.kill()
        running.join()
        kills.append(len(site.asked))
    site.slow = 0
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert (report["fetched"], report["attempts"]) == (40, 4)
    assert len(site.asked) - 3 <= report["requests"] <= len(site.asked)  # of all attempts, but for those in flight
    asked = site.count("/question/")
    assert len(asked) == 40
    assert sum(asked.values()) <= 43
    assert sorted(set(stored(tmp_path, "ask39", "c1"))) == question_urls(*range(40))


def test_twenty_kills_change_no_record(tmp_path, site):
    chance, found = random.Random(9), {}
    for folder, kills in ((tmp_path / "whole", 0), (tmp_path / "broken", 10)):
        folder.mkdir()
        for name, clock, more in (("c1", "2026-11-02T01:00+08:00", 0), ("c2", "2026-12-07T01:00+08:00", 12)):
            questions(site, 72)
            for path in [path for path in site.pages if "/news/" in path and not more]:  # the newest are not there yet
                early = re.sub(
                    r'<li><p class="p1"><a href="/question/(?:\d|1[01])\.html.*?</li>', "", site.pages[path][2]
                )
                site.pages[path] = (200, HTML, early)
            for n in range(14, 72, 7):  # open in the first crawl, answered in the second; some fail, some go
                html = site.pages[f"/ask.39.net/question/{n}.html"][2]
                open_one = (200, HTML, re.sub('<div class="sele_all">.*?</div>', "", html))
                site.pages[f"/ask.39.net/question/{n}.html"] = (200, HTML, html) if more else open_one
            for n in (25, 45, 65) if more else ():
                site.pages[f"/ask.39.net/question/{n}.html"] = (404, HTML, "")
            words = ("ask39", "--sections", "妇科", "--crawl", name)
            for _ in range(kills):
                before, blow = len(site.asked), chance.randint(1, 9)
                running = start(folder, site.url, "crawl", *words, at=clock, recheck_days="20")
                while running.is_alive() and len(site.asked) < before + blow:
                    time.sleep(0.002)
                time.sleep(chance.random() / 50)
                running.kill()
                running.join()
            crawl(folder, site, *words, at=clock, recheck_days="20")
            run(folder, site.url, "extract", "ask39", "--crawl", name)
            parts = sorted((folder / f"lake/extracts/ask39/{name}").glob("*/kept-*.parquet"))
            rows = pl.concat([pl.read_parquet(part) for part in parts]).drop("fetched", "page")
            found[folder.name, name] = rows.unique("id").sort("id").to_dicts()
        found[folder.name, "states"] = _states(folder)
    assert len(found["whole", "c1"]) == 51
    assert len(found["whole", "c2"]) == 21
    for what in ("c1", "c2", "states"):
        assert found["broken", what] == found["whole", what]


def _states(folder) -> list[tuple]:
    from sqlalchemy import text

    from chimed.storage.store import open_store

    with open_store(f"sqlite:///{folder}/store.db").engine.connect() as connection:
        rows = connection.execute(text("select url, state, since, due, published, queued from pages order by url"))
        return [tuple(row) for row in rows]


def test_a_crawl_without_pace_is_equal(tmp_path, site):
    questions(site, 240, a_page=10)
    site.pages["/ask.39.net/question/3.html"] = GONE
    site.pages["/ask.39.net/question/4.html"] = (404, HTML, "")
    moved = site.pages["/ask.39.net/question/5.html"]
    site.pages["/ask.39.net/question/5.html"] = (301, {"Location": "http://ask.39.net/question/5.html?from=a"}, "")
    site.pages["/ask.39.net/question/5.html?from=a"] = moved
    site.slow = 0.02
    words = ("crawl", "ask39", "--sections", "妇科", "--crawl", "c1")
    running = start(tmp_path, site.url, *words, replica_delay="0")
    while len(site.asked) < 60:
        assert running.is_alive()
        time.sleep(0.005)
    running.kill()
    running.join()
    site.slow = 0
    report = crawl(tmp_path, site, "--crawl", "c1", replica_delay="0")
    misses = {"HTTP 404": 1, "home page instead of the page": 1}
    assert (report["fetched"], report["misses"], report["waiting"]) == (239, misses, 0)
    assert len(set(stored(tmp_path, "ask39", "c1"))) == 240
    assert max(site.count("/question/").values()) <= 2


def test_a_kill_after_keeping_costs_no_request(tmp_path, site):
    questions(site, 10)
    crawl(tmp_path, site, "--crawl", "c1")
    os.remove(tmp_path / "lake/raw/ask39/c1/report.json")
    _sql(
        tmp_path, "update pages set queued='c1', crawl=null, fetched=null, page=null where url like '%/question/3.html'"
    )
    site.asked.clear()
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert (report["fetched"], sum(site.count("/question/").values())) == (10, 0)


def _sql(folder, statement: str) -> None:
    from sqlalchemy import text

    from chimed.storage.store import open_store

    with open_store(f"sqlite:///{folder}/store.db").engine.begin() as connection:
        connection.execute(text(statement))


def test_rechecks_are_conditional_requests(tmp_path, site):
    site.pages["/www.zydcd.com/"] = (
        200,
        HTML,
        '<a href="/zhongyi/zy10001aa/">一</a><a href="/zhongyi/zy10002aa/">二</a>',
    )
    page = '<h1>方</h1><div class="info_txt">{}</div>'
    site.pages["/www.zydcd.com/zhongyi/zy10001aa/"] = lambda headers: (
        (304, {}, "") if headers.get("If-None-Match") == '"1"' else (200, {**HTML, "ETag": '"1"'}, page.format("甲"))
    )
    site.pages["/www.zydcd.com/zhongyi/zy10002aa/"] = (200, HTML, page.format("乙"))
    assert crawl(tmp_path, site, "zydcd", "--crawl", "c1")["fetched"] == 2
    report = crawl(tmp_path, site, "zydcd", "--crawl", "c2", recheck_days="0")
    assert (report["not_modified"], report["unchanged"], report["pages"]) == (1, 1, 0)
    site.pages["/www.zydcd.com/zhongyi/zy10002aa/"] = (200, HTML, page.format("乙，已改"))
    report = crawl(tmp_path, site, "zydcd", "--crawl", "c3", recheck_days="0")
    assert (report["not_modified"], report["fetched"], report["pages"]) == (1, 1, 1)
    assert stored(tmp_path, "zydcd", "c3") == ["http://www.zydcd.com/zhongyi/zy10002aa/"]


def test_zydcds_lists_and_books_are_configuration(tmp_path, site):
    page = (200, HTML, '<h1>篇</h1><div class="info_txt">咳者，肺气上逆也。</div>')
    site.pages["/www.zydcd.com/shu/index_1.html"] = (
        200,
        HTML,
        '<a href="/shu/1/2.htm">二</a><a href="index_2.html">2</a>',
    )
    site.pages["/www.zydcd.com/shu/index_2.html"] = (200, HTML, '<a href="/shu/1/3.htm">三</a>')
    site.pages |= {f"/www.zydcd.com/shu/1/{n}.htm": page for n in (2, 3)}
    where = '{"sections": {"books": ["http://www.zydcd.com/shu/index_1.html"]}, "chapter": "/shu/\\\\d+/\\\\d+.htm"}'
    assert crawl(tmp_path, site, "zydcd", "--crawl", "c1", zydcd=where)["fetched"] == 2
    assert run(tmp_path, site.url, "extract", "zydcd", "--crawl", "c1", zydcd=where)["records"] == 2


def test_an_interval_gives_exactly_its_days(tmp_path, site):
    questions(site, 40)
    # a question without a day belongs to no week; it is kept by the crawl that saw it
    list_page = site.pages["/ask.39.net/news/44-3.html"]
    undated = list_page[2].replace("</ul>", '<li><p class="p1"><a href="/question/900.html">无</a></p></li></ul>')
    site.pages["/ask.39.net/news/44-3.html"] = (200, HTML, undated)
    site.pages["/ask.39.net/question/900.html"] = (
        200,
        HTML,
        re.sub("<span>.*?</span>", "", site.pages["/ask.39.net/question/9.html"][2]),
    )
    weeks = [(FIRST - timedelta(days=n + 7), FIRST - timedelta(days=n)) for n in (4, 11, 18)]
    for since, until in weeks:
        report = crawl(tmp_path, site, "--from", f"{since}", "--to", f"{until}")
        assert report["crawl"] == f"{since}_{until}"
        wanted = [n for n in range(40) if since <= FIRST - timedelta(days=n) < until]
        wanted += [900] if since == weeks[0][0] else []
        assert stored(tmp_path, "ask39", report["crawl"]) == question_urls(*wanted)
    assert max(site.count("/question/").values()) == 1
    assert sum(site.count("/question/").values()) == 21 + 1
    assert "/ask.39.net/news/44-9.html" not in site.count()  # all days of the eighth are before the third week
    before = len(site.asked)
    crawl(tmp_path, site, "--from", f"{weeks[0][0]}", "--to", f"{weeks[0][1]}")
    assert len(site.asked) == before
    assert os.listdir(tmp_path / "lake/raw") == ["ask39"]


def test_an_interval_of_undated_lists(tmp_path, site):
    questions(site, 24)
    for path, found in site.pages.items():
        if "/news/" in path:
            site.pages[path] = (200, HTML, re.sub(r'<span class="a_r">.*?</span>', "", found[2]))
    report = crawl(tmp_path, site, "--from", "2026-10-28", "--to", "2026-10-31")
    assert (report["of_its_days"], report["of_other_days"]) == (3, 5)
    assert stored(tmp_path, "ask39", report["crawl"]) == question_urls(*range(8))  # kept for their own weeks
    assert len(site.count("/news/")) == 2
    site.asked.clear()
    report = crawl(tmp_path, site, "--from", "2026-10-25", "--to", "2026-10-28")
    assert stored(tmp_path, "ask39", report["crawl"]) == question_urls(*range(8, 12))
    assert report["of_its_days"] == 3
    assert set(site.count("/news/")) == {"/ask.39.net/news/44-3.html"}


def test_redirects_stay_on_the_site(tmp_path, site):
    questions(site, 14, a_page=14)
    kept = site.pages["/ask.39.net/question/5.html"]
    moved = {0: "http://169.254.169.254/latest", 1: "https://other.example/x", 2: "/", 3: "/question/4.html?from=x"}
    moved |= {6: "http://[", 7: "http://ask.39.net:port/"}
    moved[5] = "http://ask.39.net/question/5.html?from=a"
    for n, target in moved.items():
        site.pages[f"/ask.39.net/question/{n}.html"] = (301, {"Location": target}, "")
    site.pages["/ask.39.net/question/5.html?from=a"] = kept
    report = crawl(tmp_path, site)
    assert report["misses"] == {
        "home page instead of the page": 1, "moved to another address": 1, "redirected off the site": 2,
        "HTTP 301": 2,
    }  # fmt: skip
    assert (report["off_site"], report["fetched"]) == (2, 8)
    assert {path.split("/")[1] for path, _, _ in site.asked} == {"ask.39.net"}
    assert site.count("/question/4.html") == {"/ask.39.net/question/4.html": 1}


def test_max_pages_and_the_rest_next_time(tmp_path, site):
    questions(site, 10)
    report = crawl(tmp_path, site, "--max-pages", "3", "--crawl", "c1")
    assert (report["pages"], sum(site.count("/question/").values())) == (3, 3)
    report = crawl(tmp_path, site, "ask39", "--crawl", "c2")
    assert report["fetched"] == 7


@pytest.mark.parametrize("pace", [PACE, "0"])
def test_empty_lists_raise_an_alarm(tmp_path, site, pace):
    questions(site, 3)
    kept = dict(site.pages)
    site.pages["/ask.39.net/news/44-1.html"] = (200, HTML, "<div class='new_layout'></div>")
    assert "layout" in crawl(tmp_path, site, "--crawl", "c1", code=1, replica_delay=pace)["said"]
    site.pages.update(kept)
    assert crawl(tmp_path, site, "--crawl", "c1", replica_delay=pace)["fetched"] == 3
    site.pages |= {path.replace("44", "237"): page for path, page in kept.items() if "/news/" in path}
    site.pages["/ask.39.net/news/44-1.html"] = (200, HTML, "<div class='new_layout'></div>")
    both = ("ask39", "--sections", "妇科,心血管内科", "--crawl", "c2")
    assert "44-1.html shows no page any more" in crawl(tmp_path, site, *both, code=1, replica_delay=pace)["said"]


def test_a_crawl_of_misses_fails_until_mended(tmp_path, site):
    questions(site, 12)
    kept = dict(site.pages)
    site.pages |= {f"/ask.39.net/question/{n}.html": GONE for n in range(10)}
    said = crawl(tmp_path, site, "--crawl", "c1", code=1)["said"]
    assert "10 of 12" in said
    assert "home page instead of the page" in said
    site.asked.clear()
    report = crawl(tmp_path, site, "--crawl", "c1", miss_share="0.9")
    assert (report["misses"], sum(site.count("/question/").values())) == ({"home page instead of the page": 10}, 0)
    assert run(tmp_path, site.url, "extract", "ask39", "--crawl", "c1", miss_share="0.9")["records"] == 2
    assert "10 of 12" in run(tmp_path, site.url, "extract", "ask39", "--crawl", "c1", code=1)["said"]
    site.pages.update(kept)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sections", "牙科"), "妇科"),
        (("--sections", "妇科、牙科"), "妇科"),
        (("--sections", "，"), "names no list"),
        (("--from", "2026-11-16", "--to", "2026-11-16"), "empty"),
        (("--crawl", "../x"), "letters"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(tmp_path, site, options, said):
    assert said in run(tmp_path, site.url, "crawl", "ask39", *options, code=2)["said"]
    assert not site.asked


@pytest.fixture(scope="module")
def replica() -> Iterator[Site]:
    """The demo's replica, with a shorter Crawl-delay at cnkang and no captcha at this pace."""
    from chimed_demo import replica
    from chimed_demo.sites import cnkang

    patch = pytest.MonkeyPatch()
    patch.setattr(cnkang, "ROBOTS", cnkang.ROBOTS.replace("Crawl-delay: 0.5", f"Crawl-delay: {PACE}"))
    listening, serving = replica.listen("127.0.0.1", 0), replica.server(captcha_rate=10_000)
    patch.undo()
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield Site(url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    serving.should_exit = True
    thread.join(10)


@pytest.mark.parametrize("source", PAPER)
def test_the_replica_is_crawled_completely(tmp_path, replica, source):
    from chimed.extraction.crawl_records import extract_crawl
    from chimed.sources.page import load
    from chimed_demo.pages import all_pages, key_of
    from chimed_demo.replica import DETAIL

    known = load(source)
    report = crawl(tmp_path, replica, source, "--crawl", "c1")
    details = {
        known.canonical(page.url)
        for place, page in all_pages().items()
        if place[0] in known.hosts and DETAIL.fullmatch(key_of(page.url)[1]) and not page.location
    }
    assert stored(tmp_path, source, "c1") == sorted(details)
    extracted = extract_crawl(open_lake(str(tmp_path / "lake")), source, "c1")
    assert extracted["pages"] == report["pages"] == len(details)
    assert extracted["kept_pages"] + sum(extracted["dropped"].values()) == len(details)
    assert extracted["failed"] == {}
    again = crawl(tmp_path, replica, source, "--crawl", "c2", recheck_days="0")
    assert again["pages"] == 0
    assert again["not_modified"] > 0
    assert mimes(tmp_path, source, "c2") <= {"warc/revisit"}  # nothing is stored twice
