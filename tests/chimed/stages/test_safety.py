"""What a site may not do to the machine that crawls it, nor a full disk or a second machine to the records."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from chimed.storage.store_tables import CRAWLS
from support.websites import HTML, PACE, Site, crawl, question_urls, questions, served, start, stored

PROJECT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.slow  # servers and processes


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


@pytest.mark.parametrize(
    "place",
    [
        "file://ask.39.net/question/1.html",
        "ftp://ask.39.net/question/1.html",
        "s3://ask.39.net/question/1.html",
        "data://ask.39.net/question/1.html",
        "data:text/html,<h1>x</h1>",
    ],
)
def test_a_redirect_elsewhere_opens_nothing(tmp_path, site, place):
    questions(site, 4)
    site.pages["/ask.39.net/question/1.html"] = (302, {"Location": place}, "")
    report = crawl(tmp_path, site, "--crawl", "c1")
    assert report["misses"] == {"redirected to what is no web page": 1}
    assert len(stored(tmp_path, "ask39", "c1")) == 3


@pytest.mark.parametrize("place", ["file://ask.39.net/etc/passwd", "data:,Allow:/", "https://ask.39.net:22/robots.txt"])
def test_robots_at_no_page_are_unknown(tmp_path, site, place):
    questions(site, 4)
    site.pages["/ask.39.net/robots.txt"] = (302, {"Location": place}, "")
    assert "cannot be read" in crawl(tmp_path, site, code=1)["said"]
    assert {path for path, _, _ in site.asked} == {"/ask.39.net/robots.txt"}


@pytest.mark.parametrize("place", ["https://ask.39.net:22/question/1.html", "https://me@ask.39.net/question/1.html"])
def test_another_port_is_not_the_site(tmp_path, site, place):
    questions(site, 4)
    site.pages["/ask.39.net/question/1.html"] = (302, {"Location": place}, "")
    assert crawl(tmp_path, site)["misses"] == {"not on the site": 1}
    assert site.count("question/1.html").total() == 1


def torn(folder: Path, chance: random.Random) -> None:
    """Cuts one record of a finished WARC file short."""
    lake = open_lake(str(folder / "lake"))
    path = warc.list_files(lake, "raw/ask39/c1")[0]
    whole = lakes.read_bytes(lake, path)
    places = [int(one.page.partition("#")[2]) for one in warc.read_responses(lake, path) if one.kind == "detail"]
    at = chance.choice(places[:-1])
    following = places[places.index(at) + 1]
    with open(lake.at(path), "wb") as file:
        file.write(whole[: at + chance.randrange(1, 300)] + whole[following:])


def test_only_torn_pages_are_asked_again(tmp_path, site):
    questions(site, 8)
    kept = site.pages["/ask.39.net/question/7.html"]
    site.pages["/ask.39.net/question/7.html"] = (200, HTML, "<title>安全验证</title>")
    crawl(tmp_path, site, "--crawl", "c1", code=1)
    torn(tmp_path, random.Random(1))
    site.asked.clear()
    site.pages["/ask.39.net/question/7.html"] = kept
    crawl(tmp_path, site, "--crawl", "c1")
    assert stored(tmp_path, "ask39", "c1") == question_urls(*range(8))
    assert 1 <= site.count("/question/").total() - 1 <= 3  # question 7, and from the torn one on to the next whole one


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from chimed.storage import warc
from chimed.storage.store import open_store
from chimed.storage.store_tables import CRAWLS
room = int(sys.argv.pop(1))
keep = warc.write_exchange
def fill(archive, *rest):
    size = archive.file.tell() if archive.file else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
    try:
        return keep(archive, *rest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
warc.write_exchange = fill
from chimed.__main__ import main
main()
"""


def test_full_disks_change_no_record(tmp_path, site):
    questions(site, 10)
    chance = random.Random(7)
    for n in range(10):  # of every size, and none that shrinks
        status, headers, html = site.pages[f"/ask.39.net/question/{n}.html"]
        noise = "".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(200 * n))
        site.pages[f"/ask.39.net/question/{n}.html"] = (status, headers, f"{html}<!--{noise}-->")
    environment = {
        **os.environ,
        "PYTHONPATH": "include",
        "CHIMED_DATA": str(tmp_path / "full" / "lake"),
        "CHIMED_STORE": f"sqlite:///{tmp_path}/full.db",
        "CHIMED_REPLICA": site.url,
        "CHIMED_REPLICA_DELAY": "0.01",
    }
    words = ["crawl", "ask39", "--sections", "妇科", "--crawl", "c1"]
    for attempt in range(5):
        line = [sys.executable, "-c", FULL, str(600 + 900 * attempt), *words]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, cwd=PROJECT)
        assert done.returncode == 1, done.stderr
        assert "cannot be kept" in done.stderr
        assert "Traceback" not in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "chimed", *words], env=environment, capture_output=True, text=True, cwd=PROJECT
    )
    assert json.loads(done.stdout)["pages"] == 10, done.stderr
    crawl(tmp_path / "whole", site, "--crawl", "c1") if (tmp_path / "whole").mkdir() is None else None
    assert bodies(tmp_path / "full") == bodies(tmp_path / "whole")


PLACES = [  # in the order in which a crawl comes there; what is done before each is kept
    ("chimed.crawl.frontier.upsert", 0),  # its first list is queued
    ("chimed.crawl.frontier.upsert", 2),  # what a list shows is written
    ("chimed.storage.warc.open", 0),
    ("chimed.storage.warc._check_free_space", 1),
    ("chimed.storage.warc._write", 2),
    ("chimed.crawl.frontier.record_results", 2),
    ("os.fsync", 0),  # the WARC file is closed
    ("os.replace", 0),  # it gets its name
    ("chimed.storage.lake.write_bytes", 0),  # the index
    ("chimed.storage.lake.write_json", 0),  # the report
    ("chimed.crawl.counts.mark_finished", 0),  # the store is told, after the report
]


@pytest.mark.parametrize("pace", [PACE, "0"])
def test_a_full_disk_anywhere_costs_no_record(tmp_path, site, pace):
    questions(site, 10)
    (tmp_path / "whole").mkdir()
    whole = crawl(tmp_path / "whole", site, "--crawl", "c1", replica_delay=pace)
    words = ("crawl", "ask39", "--sections", "妇科", "--crawl", "c1")
    for place in PLACES:
        running = start(tmp_path, site.url, *words, full=place, replica_delay=pace)
        running.join(60)
        said = (tmp_path / "said.err").read_text()
        assert running.exitcode in (1, 2), (place, said)
        told = said.splitlines()[-1]
        assert re.search("disk is full|(cannot|could not) be kept", told), (place, told)
    report = crawl(tmp_path, site, "--crawl", "c1", replica_delay=pace)
    for name in ("pages", "fetched", "misses"):
        assert report[name] == whole[name]
    assert bodies(tmp_path) == bodies(tmp_path / "whole")
    assert [is_finished(folder) for folder in (tmp_path, tmp_path / "whole")] == [True, True]


def is_finished(folder: Path) -> bool:
    """Whether the store knows that the crawl is done."""
    with open_store(f"sqlite:///{folder}/store.db").engine.connect() as connection:
        return connection.execute(select(CRAWLS.c.finished)).scalar_one() is not None


def bodies(folder: Path) -> dict[str, bytes]:
    """What was kept of each page."""
    lake = open_lake(str(folder / "lake"))
    found = [one for path in warc.list_files(lake, "raw/ask39/c1") for one in warc.read_responses(lake, path)]
    return {one.url: one.body for one in found if one.kind == "detail"}
