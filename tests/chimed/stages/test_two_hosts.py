"""Two machines that share lake and store, and nothing else: one crawls a site, and the other can take over."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from chimed.crawl import finished
from chimed.storage.lake import open_lake
from support.websites import Site, crawl, questions, run, served, start

pytestmark = pytest.mark.slow  # servers, and processes that are killed

WORDS = ("crawl", "ask39", "--sections", "妇科", "--crawl", "c1")
PAGES = 40
PACES = [("0.01", 12), ("0", 32)]  # with the number of questions asked from which on the site answers no more


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        questions(serving, PAGES)
        yield serving


def answers_no_more(site: Site, number: int) -> Callable[[], None]:
    """From the question of that number on the site lets wait, until it is told to answer again."""
    again = threading.Event()
    site.instead = lambda path, headers: again.wait(60) and None if len(site.asked) >= number else None

    def answer() -> None:
        site.instead = None
        again.set()

    return answer


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def said(folder: Path, machine: str) -> str:
    return (folder / f"said{machine}.err").read_text()


def records(folder: Path, site: Site) -> list[dict]:
    run(folder, site.url, "extract", "ask39", "--crawl", "c1")
    parts = sorted((folder / "lake/extracts/ask39/c1").glob("*/kept-*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts]).drop("fetched", "page").sort("id").to_dicts()


def undisturbed(folder: Path, site: Site) -> list[dict]:
    folder.mkdir()
    assert crawl(folder, site, "--crawl", "c1", replica_delay="0")["fetched"] == PAGES
    return records(folder, site)


@pytest.mark.parametrize(("pace", "number"), PACES)
def test_the_second_follows_a_killed_one(tmp_path, site, pace, number):
    answer = answers_no_more(site, number)
    one = start(tmp_path, site.url, *WORDS, machine="one", replica_delay=pace)
    until(lambda: len(site.asked) >= number)
    two = start(tmp_path, site.url, *WORDS, machine="two", replica_delay=pace)
    two.join(60)
    assert two.exitcode == 2
    assert f"ask39 is being crawled by process {one.pid} on one, since 2" in said(tmp_path, "two")
    assert site.count("robots.txt").total() == 1  # which is what a crawl asks for first

    assert one.is_alive()
    one.kill()
    one.join()
    answer()
    before = site.count("/question/")
    two = start(tmp_path, site.url, *WORDS, machine="two", replica_delay=pace)
    two.join(60)
    assert two.exitcode == 0, said(tmp_path, "two")
    assert "was held by process" in said(tmp_path, "two")
    assert (site.count("/question/") - before).total() < PAGES  # it went on, and did not begin anew
    assert records(tmp_path, site) == undisturbed(tmp_path / "whole", site)


@pytest.mark.parametrize(("pace", "number"), PACES)
def test_a_stalled_process_changes_nothing(tmp_path, site, pace, number):
    answer = answers_no_more(site, number)
    one = start(tmp_path, site.url, *WORDS, machine="one", replica_delay=pace)
    until(lambda: len(site.asked) >= number)
    os.kill(one.pid, signal.SIGSTOP)
    answer()  # answers lie ready when it goes on
    two = start(tmp_path, site.url, *WORDS, machine="two", replica_delay=pace)
    two.join(60)
    assert two.exitcode == 0, said(tmp_path, "two")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "lake/raw/ask39/c1").iterdir()}
    os.kill(one.pid, signal.SIGCONT)
    one.join(60)
    assert one.exitcode == 1, said(tmp_path, "one")
    assert "another process took over" in said(tmp_path, "one")
    assert {path.name: path.read_bytes() for path in (tmp_path / "lake/raw/ask39/c1").iterdir()} == kept
    lake = open_lake(str(tmp_path / "lake"))
    assert finished.describe_files(lake, "raw/ask39/c1") == finished.read_report(lake, "ask39", "c1")["written"]
    assert records(tmp_path, site) == undisturbed(tmp_path / "whole", site)
