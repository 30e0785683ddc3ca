"""The crawler over real HTTP: small sites made by hand that misbehave on demand, and the replica of all five."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from chimed.lake import open_lake
from chimed.sources import NAMES, warc

pytestmark = pytest.mark.slow  # every crawl is a process of its own

Answer = tuple[int, dict[str, str], str]
HTML = {"Content-Type": "text/html; charset=utf-8"}
FIRST = date(2026, 10, 31)


@dataclass
class Site:
    """A web server that answers `/<host>/<path>` from `pages`; what is asked for is kept with its time."""

    url: str = ""
    pages: dict[str, Answer | Callable[[dict], Answer]] = field(default_factory=dict)
    asked: list[tuple[str, float, dict]] = field(default_factory=list)
    slow: float = 0.0

    def count(self, part: str = "") -> Counter:
        return Counter(path for path, _, _ in self.asked if part in path)


@pytest.fixture
def site() -> Iterator[Site]:
    serving = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            serving.asked.append((self.path, time.monotonic(), dict(self.headers)))
            time.sleep(serving.slow)
            found = serving.pages.get(self.path, (404, HTML, "none"))
            status, headers, body = found(dict(self.headers)) if callable(found) else found
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serving.url = f"http://127.0.0.1:{server.server_port}"
    yield serving
    server.shutdown()
    server.server_close()


def questions(site: Site, count: int, a_page: int = 4) -> None:
    """ask.39.net's topic 44 with `count` questions, one a day, newest first."""
    for n in range(count):
        day = FIRST - timedelta(days=n)
        html = (
            f'<h1>问题{n}</h1><p class="txt_ms">描述{n}。</p><p class="txt_nametime"><span>{day} 08:00</span></p>'
            f'<div class="selected"><div class="sele_all"><p class="sele_txt">第{n}个回答。</p></div></div>'
        )
        site.pages[f"/ask.39.net/question/{n}.html"] = (200, {**HTML, "ETag": f'"{n}"'}, html)
    for number in range((count + a_page - 1) // a_page):
        shown = range(number * a_page, min(count, (number + 1) * a_page))
        entries = "".join(
            f'<li><p class="p1"><a href="/question/{n}.html">问题{n}</a></p>'
            f'<span class="a_r">{FIRST - timedelta(days=n)}</span></li>'
            for n in shown
        )
        more = f'<span class="pages"><a class="next" href="/news/44-{number + 2}.html">下一页</a></span>'
        following = more if shown.stop < count else ""
        site.pages[f"/ask.39.net/news/44-{number + 1}.html"] = (
            200,
            HTML,
            f'<ul class="list_ask">{entries}</ul>{following}',
        )


def command(folder: Path, site_url: str, source: str, *options: str) -> tuple[list[str], dict]:
    environment = {
        **os.environ,
        "PYTHONPATH": "include",
        "CHIMED_DATA": str(folder / "lake"),
        "CHIMED_STORE": f"sqlite:///{folder}/store.db",
        "CHIMED_REPLICA": site_url,
    }
    return [sys.executable, "-m", "chimed", "crawl", source, *options], environment


def crawl(folder: Path, site: Site, source: str = "ask39", *options: str, code: int = 0) -> dict:
    """Runs the command; returns its report, or {"said": stderr} where it is to fail."""
    chosen = options or (("--sections", "妇科") if source == "ask39" else ())
    words, environment = command(folder, site.url, source, *chosen)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if code == 0 else {"said": done.stderr.strip().splitlines()[-1]}


def stored(folder: Path, source: str, name: str, kind: str = "detail") -> list[str]:
    lake = open_lake(str(folder / "lake"))
    files = warc.files(lake, f"raw/{source}/{name}")
    return [one.url for path in files for one in warc.responses(lake, path) if one.kind == kind]


def test_all_pages_once_and_a_finished_crawl_is_not_fetched_again(tmp_path, site):
    questions(site, 10)
    options = ("--sections", "妇科", "--crawl", "c1")
    report = crawl(tmp_path, site, "ask39", *options)
    assert (report["pages"], report["fetched"], report["lists"], report["misses"]) == (10, 10, 3, {})
    assert set(site.count("/question/").values()) == {1}
    assert site.count("robots.txt") == {"/ask.39.net/robots.txt": 1}
    agents = {headers["User-Agent"] for _, _, headers in site.asked}
    assert all(agent.startswith("chimed/") and "+http" in agent for agent in agents)
    before = len(site.asked)
    assert crawl(tmp_path, site, "ask39", *options) == report
    assert len(site.asked) == before


def test_killed_three_times_it_misses_nothing_and_asks_again_only_for_what_was_in_flight(tmp_path, site):
    questions(site, 40)
    site.slow = 0.05
    options = ("--sections", "妇科", "--crawl", "c1")
    for _ in range(3):
        words, environment = command(tmp_path, site.url, "ask39", *options)
        before = len(site.asked)
        running = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while len(site.asked) < before + 9:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
    site.slow = 0
    report = crawl(tmp_path, site, "ask39", *options)
    assert report["fetched"] == 40
    asked = site.count("/question/")
    assert len(asked) == 40
    assert sum(asked.values()) <= 43
    assert sorted(set(stored(tmp_path, "ask39", "c1"))) == sorted(
        f"https://ask.39.net/question/{n}.html" for n in range(40)
    )


def test_a_second_refresh_asks_for_lists_only_and_writes_a_report_only(tmp_path, site):
    questions(site, 10)
    crawl(tmp_path, site, "ask39", "--sections", "妇科", "--crawl", "c1")
    site.asked.clear()
    report = crawl(tmp_path, site, "ask39", "--sections", "妇科", "--crawl", "c2")
    assert not site.count("/question/")
    assert site.count("/news/") == {"/ask.39.net/news/44-1.html": 1}  # known ground: no need to walk on
    assert report["pages"] == 0
    assert os.listdir(tmp_path / "lake/raw/ask39/c2") == ["report.json"]


def test_pages_due_for_a_re_check_are_asked_for_conditionally(tmp_path, site):
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
    from sqlalchemy import text

    from chimed.store import open_store

    with open_store(f"sqlite:///{tmp_path}/store.db").engine.begin() as connection:
        connection.execute(text("update pages set fetched = '2026-01-01 00:00:00.000000' where kind = 'detail'"))
    site.pages["/www.zydcd.com/zhongyi/zy10002aa/"] = (200, HTML, page.format("乙，已改"))
    report = crawl(tmp_path, site, "zydcd", "--crawl", "c2")
    assert (report["not_modified"], report["fetched"], report["pages"]) == (1, 1, 1)
    assert stored(tmp_path, "zydcd", "c2") == ["http://www.zydcd.com/zhongyi/zy10002aa/"]


def test_an_interval_gives_exactly_its_days_and_walks_no_further(tmp_path, site):
    questions(site, 40)
    report = crawl(tmp_path, site, "ask39", "--sections", "妇科", "--from", "2026-10-21", "--to", "2026-10-26")
    days = {FIRST - timedelta(days=n): f"https://ask.39.net/question/{n}.html" for n in range(40)}
    assert sorted(stored(tmp_path, "ask39", report["crawl"])) == sorted(
        url for day, url in days.items() if date(2026, 10, 21) <= day < date(2026, 10, 26)
    )
    assert report["crawl"] == "2026-10-21_2026-10-26"
    assert sum(site.count("/question/").values()) == 5
    assert len(site.count("/news/")) == 4  # three hold days since the 21st, the fourth shows that none follows


def test_an_interval_where_only_the_pages_themselves_are_dated(tmp_path, site):
    questions(site, 24)
    for path, found in site.pages.items():
        if "/news/" in path:
            site.pages[path] = (200, HTML, re.sub(r'<span class="a_r">.*?</span>', "", found[2]))
    report = crawl(tmp_path, site, "ask39", "--sections", "妇科", "--from", "2026-10-28", "--to", "2026-10-31")
    assert sorted(stored(tmp_path, "ask39", report["crawl"])) == [
        f"https://ask.39.net/question/{n}.html" for n in (1, 2, 3)
    ]
    assert len(site.count("/news/")) == 2


@pytest.mark.parametrize(
    "captcha",
    [
        (302, {"Location": "http://image.39.net/verify.html?referer=x"}, ""),
        (200, HTML, '<title>安全验证</title><div id="slideVerify">滑动拼图验证</div>'),
    ],
    ids=["redirect", "page"],
)
def test_a_captcha_stops_at_once_and_the_place_is_kept(tmp_path, site, captcha):
    questions(site, 12)
    kept = site.pages["/ask.39.net/question/2.html"]
    site.pages["/ask.39.net/question/2.html"] = captcha
    options = ("--sections", "妇科", "--crawl", "c1")
    said = crawl(tmp_path, site, "ask39", *options, code=1)["said"]
    assert "captcha" in said
    assert not site.count("image.39.net")
    assert sum(site.count("/question/").values()) <= 4
    assert not (tmp_path / "lake/raw/ask39/c1/report.json").exists()
    before = site.count("/question/")
    site.pages["/ask.39.net/question/2.html"] = kept
    assert crawl(tmp_path, site, "ask39", *options)["fetched"] == 12
    again = [path for path, count in site.count("/question/").items() if count > 1]
    assert again == ["/ask.39.net/question/2.html"]
    assert sum(before.values()) >= 1


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_robots_that_refuse_or_cannot_be_read(tmp_path, site, status):
    questions(site, 4)
    site.pages["/ask.39.net/robots.txt"] = (status, HTML, "no")
    assert "robots.txt" in crawl(tmp_path, site, code=1)["said"]
    assert {path for path, _, _ in site.asked} == {"/ask.39.net/robots.txt"}


def test_disallowed_pages_are_never_asked_for_and_crawl_delay_is_kept(tmp_path, site):
    questions(site, 4)
    site.pages["/ask.39.net/robots.txt"] = (200, {}, "User-agent: *\nDisallow: /question/3.html\nCrawl-delay: 0.4")
    report = crawl(tmp_path, site)
    assert not site.count("/question/3.html")
    assert report["misses"] == {"forbidden by robots.txt": 1}
    moments = [moment for _, moment, _ in site.asked][1:]  # the rules are known after the first
    assert min(b - a for a, b in pairwise(moments)) >= 0.39
    assert report["delay"] == 0.4


def test_redirects_stay_on_the_site(tmp_path, site):
    questions(site, 5, a_page=5)
    moved = {0: "http://169.254.169.254/latest", 1: "https://other.example/x", 2: "/", 3: "/question/4.html?from=x"}
    for n, target in moved.items():
        site.pages[f"/ask.39.net/question/{n}.html"] = (301, {"Location": target}, "")
    report = crawl(tmp_path, site)
    assert report["misses"] == {
        "home page instead of the page": 1, "moved to another address": 1, "redirected off the site": 2,
    }  # fmt: skip
    assert report["off_site"] == 2
    assert {path.split("/")[1] for path, _, _ in site.asked} == {"ask.39.net"}
    assert site.count("/question/4.html") == {"/ask.39.net/question/4.html": 1}


def test_a_redirect_to_the_same_page_in_another_form_is_followed(tmp_path, site):
    questions(site, 2)
    kept = site.pages["/ask.39.net/question/1.html"]
    site.pages["/ask.39.net/question/1.html?from=a"] = kept
    site.pages["/ask.39.net/question/1.html"] = (301, {"Location": "http://ask.39.net/question/1.html?from=a"}, "")
    assert crawl(tmp_path, site)["fetched"] == 2


def test_a_site_that_is_down_is_left_alone_and_its_pages_are_not_lost(tmp_path, site):
    questions(site, 30)
    kept = dict(site.pages)
    for n in range(30):
        site.pages[f"/ask.39.net/question/{n}.html"] = (403, HTML, "no")
    options = ("--sections", "妇科", "--crawl", "c1")
    assert "in a row" in crawl(tmp_path, site, "ask39", *options, code=1)["said"]
    assert len(site.count("/question/")) in (10, 11)  # one may be in flight
    site.pages.update(kept)
    assert crawl(tmp_path, site, "ask39", *options)["fetched"] == 30


def test_max_pages_and_the_rest_next_time(tmp_path, site):
    questions(site, 10)
    report = crawl(tmp_path, site, "ask39", "--sections", "妇科", "--max-pages", "3", "--crawl", "c1")
    assert (report["pages"], sum(site.count("/question/").values())) == (3, 3)
    for path in [path for path in site.pages if "/news/44-" not in path and "/question/" not in path]:
        del site.pages[path]
    report = crawl(tmp_path, site, "ask39", "--crawl", "c2")
    assert report["fetched"] == 7


def test_a_site_whose_lists_show_nothing_any_more_is_an_alarm(tmp_path, site):
    site.pages["/ask.39.net/news/44-1.html"] = (200, HTML, "<div class='new_layout'></div>")
    assert "layout" in crawl(tmp_path, site, code=1)["said"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sections", "牙科"), "妇科"),
        (("--from", "2026-11-16", "--to", "2026-11-16"), "empty"),
        (("--crawl", "../x"), "letters"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(tmp_path, site, options, said):
    assert said in crawl(tmp_path, site, "ask39", *options, code=2)["said"]


@pytest.fixture(scope="module")
def replica() -> Iterator[Site]:
    environment = {**os.environ, "PYTHONPATH": "include"}
    words = [sys.executable, "-m", "chimed.demo.replica", "--port", "0"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield Site(url=running.stdout.readline().split()[-1])
        running.terminate()


@pytest.mark.parametrize("source", NAMES)
def test_the_replica_is_crawled_completely(tmp_path, replica, source):
    from chimed.demo.pages import all_pages, key_of
    from chimed.demo.replica import DETAIL
    from chimed.stages.crawl import load
    from chimed.stages.extract import extract_crawl

    known = load(source)
    report = crawl(tmp_path, replica, source, "--crawl", "c1")
    details = {
        known.canonical(page.url)
        for place, page in all_pages().items()
        if place[0] in known.hosts and DETAIL.fullmatch(key_of(page.url)[1]) and not page.location
    }
    assert sorted(stored(tmp_path, source, "c1")) == sorted(details)
    extracted = extract_crawl(open_lake(str(tmp_path / "lake")), source, "c1")
    assert extracted["pages"] == report["pages"] == len(details)
    assert extracted["kept_pages"] + sum(extracted["dropped"].values()) == len(details)
    assert extracted["failed"] == {}
