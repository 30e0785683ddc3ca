"""The crawler's manners over real HTTP: robots.txt, pace, captcha and login, 429, limits, a site that is down."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest

from chimed.storage.encodings import PAGE_BYTES
from support.websites import HTML, Site, crawl, questions, served

PROJECT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.slow  # servers and processes


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


@pytest.mark.parametrize(
    "person",
    [
        (302, {"Location": "http://image.39.net/verify.html?referer=x"}, ""),
        (200, HTML, '<title>安全验证</title><div id="slideVerify">滑动拼图验证</div>'),
        (302, {"Location": "https://passport.39.net/login?back=x"}, ""),
        (403, HTML, "<TITLE lang=en>Just a moment...</TITLE>"),
    ],
    ids=["redirect to a captcha", "captcha", "login", "challenge"],
)
def test_a_captcha_stops_the_crawl_at_once(tmp_path, site, person):
    questions(site, 12)
    kept = site.pages["/ask.39.net/question/2.html"]
    site.pages["/ask.39.net/question/2.html"] = person
    said = crawl(tmp_path, site, "--crawl", "c1", code=1)["said"]
    assert "captcha" in said
    assert {path.split("/")[1] for path in site.count()} == {"ask.39.net"}
    assert sum(site.count("/question/").values()) <= 4
    assert not (tmp_path / "lake/raw/ask39/c1/report.json").exists()
    site.pages["/ask.39.net/question/2.html"] = kept
    assert crawl(tmp_path, site, "--crawl", "c1")["fetched"] == 12
    again = [path for path, count in site.count("/question/").items() if count > 1]
    assert again == ["/ask.39.net/question/2.html"]


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_robots_that_refuse_or_cannot_be_read(tmp_path, site, status):
    questions(site, 4)
    site.pages["/ask.39.net/robots.txt"] = (status, HTML, "no")
    assert "robots.txt" in crawl(tmp_path, site, code=1)["said"]
    assert {path for path, _, _ in site.asked} == {"/ask.39.net/robots.txt"}


def test_robots_rules_and_delay_are_kept(tmp_path, site):
    questions(site, 4)
    site.pages["/ask.39.net/robots.txt"] = (200, {}, "User-agent: *\nDisallow: /question/3.html\nCrawl-delay: 0.3")
    report = crawl(tmp_path, site)
    assert not site.count("/question/3.html")
    assert report["misses"] == {"forbidden by robots.txt": 1}
    moments = [moment for _, moment, _ in site.asked]
    assert min(b - a for a, b in pairwise(moments)) >= 0.3
    assert report["delay"] == 0.3


def later(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
def test_a_requested_pause_is_kept(tmp_path, site, status):
    questions(site, 5)
    kept, said = site.pages["/ask.39.net/question/1.html"], iter(["1", later(2)])

    def busy(headers: dict):
        wait = next(said, None)
        return kept if wait is None else (status, {"Retry-After": wait}, "")

    site.pages["/ask.39.net/question/1.html"] = busy
    report = crawl(tmp_path, site)
    assert (report["fetched"], report["misses"]) == (5, {})
    moments = [moment for _, moment, _ in site.asked]
    tries = [n for n, (path, _, _) in enumerate(site.asked) if path.endswith("question/1.html")]
    assert len(tries) == 3
    assert moments[tries[0] + 1] - moments[tries[0]] >= 1
    assert report["delay"] > 0.01


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "86400"}, {"Retry-After": "soon"}])
def test_an_overlong_pause_stops_the_crawl(tmp_path, site, headers):
    questions(site, 5)
    site.pages["/ask.39.net/question/1.html"] = (429, headers, "")
    assert "slow down" in crawl(tmp_path, site, code=1)["said"]
    assert sum(site.count("/question/").values()) <= 3


def test_a_down_site_loses_no_page(tmp_path, site):
    questions(site, 20)
    kept = dict(site.pages)
    for n in range(20):
        site.pages[f"/ask.39.net/question/{n}.html"] = (403, HTML, "no")
    assert "in a row" in crawl(tmp_path, site, "--crawl", "c1", code=1)["said"]
    assert len(site.count("/question/")) in (10, 11)  # one may be in flight
    site.pages.update(kept)
    assert crawl(tmp_path, site, "--crawl", "c1")["fetched"] == 20


def test_oversized_and_endless_pages_are_misses(tmp_path, site):
    questions(site, 5)
    site.pages["/ask.39.net/question/1.html"] = (200, HTML, "大" * PAGE_BYTES)

    def never(headers: dict):
        time.sleep(3)
        return 200, HTML, "late"

    site.pages["/ask.39.net/question/3.html"] = never
    # the command line with a shorter patience: a minute for each of three tries is too long for a test
    words = (
        "import sys; from chimed.crawl import download; download.TIMEOUT_SECONDS = 1; "
        "from chimed.__main__ import main; main()"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": "include",
        "CHIMED_DATA": str(tmp_path / "lake"),
        "CHIMED_STORE": f"sqlite:///{tmp_path}/store.db",
        "CHIMED_REPLICA": site.url,
        "CHIMED_REPLICA_DELAY": "0.01",
    }
    line = [sys.executable, "-c", words, "crawl", "ask39", "--sections", "妇科"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["fetched"] == 3
    assert report["misses"] == {"failed: DownloadCancelledError": 1, "failed: DownloadTimeoutError": 1}
    assert report["bytes"] < PAGE_BYTES


def test_missing_robots_are_unknown_rules(tmp_path, site):
    questions(site, 4)

    def cut(headers: dict):
        raise ConnectionAbortedError

    site.pages["/ask.39.net/robots.txt"] = cut
    assert "cannot be read" in crawl(tmp_path, site, code=1)["said"]
    assert {path for path, _, _ in site.asked} == {"/ask.39.net/robots.txt"}


def test_robots_elsewhere_are_not_followed(tmp_path, site):
    questions(site, 4)
    site.pages["/ask.39.net/robots.txt"] = (302, {"Location": "http://127.0.0.1:9/robots.txt"}, "")
    assert "cannot be read" in crawl(tmp_path, site, code=1)["said"]
    assert {path for path, _, _ in site.asked} == {"/ask.39.net/robots.txt"}
