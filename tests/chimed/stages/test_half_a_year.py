"""Half a year of weekly crawls, with the clock moved: whatever befalls the site, every page is accounted for.

Questions are answered late, answered again, edited and deleted; one list shows days, the other none; in week 5 pages
fail once, in week 9 the layout loses a field, in week 14 the site blocks us, week 18 is not crawled until week 21.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from sqlalchemy import text

from chimed.sources import ask39
from chimed.storage import states
from chimed.storage.store import open_store
from support.websites import HTML, Site, run, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # some sixty processes

MONDAY = date(2026, 1, 5)
WEEKS, A_DAY, A_PAGE = 26, 4, 10
TOPICS = {44: "妇科", 237: "心血管内科"}  # whose lists show days, and whose do not
FAILS, LAYOUT, BLOCK, MISSED, CAUGHT_UP = 5, 9, 14, 18, 21
MOST = 1.3  # of the least possible requests
GONE = ((404, HTML, "没有了"), (410, HTML, ""), (302, {"Location": "/"}, ""))


@dataclass
class Question:
    """One question. answers: day → text; edited, deleted: the day, if ever."""

    number: int
    topic: int
    day: date
    answers: dict[date, str] = field(default_factory=dict)
    edited: date | None = None
    deleted: date | None = None

    @property
    def url(self) -> str:
        return f"https://ask.39.net/question/{self.number}.html"

    def state(self, on: date) -> str:
        """What it is before that day begins."""
        if self.deleted and self.deleted < on:
            return states.GONE
        return states.ANSWERED if any(day < on for day in self.answers) else states.UNANSWERED

    def records(self, on: date) -> set[tuple[str, str]]:
        """Question and answer of each of its records, as they are before that day begins."""
        return {(self.words(on), answer) for day, answer in self.answers.items() if day < on}

    def words(self, on: date) -> str:
        """What is asked."""
        return f"描述{self.number}，{'后来改过。' if self.edited and self.edited < on else '原来的话。'}"

    def page(self, on: date, bare: bool) -> tuple[int, dict[str, str], str]:
        """Its page; bare: in the layout that loses a field."""
        if self.state(on) == states.GONE:
            return GONE[self.number % len(GONE)]
        trail = "" if bare else f'<div class="sub"><span><a>{TOPICS[self.topic]}</a></span></div>'
        given = "".join(f'<div class="sele_all"><p class="sele_txt">{a}</p></div>' for _, a in sorted(self.records(on)))
        html = (
            f'{trail}<h1>问题{self.number}</h1><p class="txt_ms">{self.words(on)}</p>'
            f'<p class="txt_nametime"><span>{self.day} 08:00</span></p><div class="selected">{given}</div>'
        )
        return 200, HTML, html


def world() -> list[Question]:
    """All questions, oldest first, and what befalls each."""
    chance, found = random.Random(26), []
    for number in range(WEEKS * 7 * A_DAY):
        one = Question(number, list(TOPICS)[number % 2], MONDAY + timedelta(number // A_DAY))
        fate = chance.random()
        late = 0 if fate < 0.6 else chance.randint(1, 60) if fate < 0.85 else None
        if late is not None:
            one.answers[one.day + timedelta(late)] = f"第{number}个的回答。"
            if chance.random() < 0.15:
                one.answers[one.day + timedelta(late + chance.randint(2, 60))] = f"第{number}个的另一个回答。"
        one.edited = one.day + timedelta(chance.randint(10, 60)) if chance.random() < 0.06 else None
        one.deleted = one.day + timedelta(chance.randint(9, 120)) if chance.random() < 0.06 else None
        found.append(one)
    return found


def set_to(site: Site, questions: list[Question], on: date, bare: bool = False) -> dict[int, list[list[Question]]]:
    """The site as it is when that day begins; returns its list pages by topic, newest first."""
    site.pages = {"/ask.39.net/": (200, HTML, "<title>39问医生_39健康网</title>")}
    shown = {}
    for one in questions:
        if one.day < on:
            etag = f'"{hash(one.page(on, bare)[2])}"'
            site.pages[f"/ask.39.net/question/{one.number}.html"] = conditional(one.page(on, bare), etag)
    for topic in sorted({*ask39.TOPICS.values()} - {*TOPICS}):
        site.pages[f"/ask.39.net/news/{topic}-1.html"] = (200, HTML, '<ul class="list_ask"></ul>')
    for topic in TOPICS:
        there = [q for q in reversed(questions) if q.topic == topic and q.day < on and q.state(on) != states.GONE]
        shown[topic] = [there[n : n + A_PAGE] for n in range(0, len(there), A_PAGE)]
        for n, entries in enumerate(shown[topic], start=1):
            listed = "".join(
                f'<li><p class="p1"><a href="/question/{q.number}.html">问</a></p>'
                f"<span>{q.day if topic == 44 else ''}</span></li>"
                for q in entries
            )
            more = f'<span class="pages"><a class="next" href="/news/{topic}-{n + 1}.html">下一页</a></span>'
            more = more if n < len(shown[topic]) else ""
            site.pages[f"/ask.39.net/news/{topic}-{n}.html"] = (200, HTML, f'<ul class="list_ask">{listed}</ul>{more}')
    return shown


def conditional(answer: tuple[int, dict[str, str], str], etag: str):
    """A page with an ETag that is honoured."""

    def given(headers: dict):
        if answer[0] != 200:
            return answer
        return (
            (304, {"ETag": etag}, "")
            if headers.get("If-None-Match") == etag
            else (200, {**HTML, "ETag": etag}, answer[2])
        )

    return given


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


def ends(number: int) -> date:
    """The Monday after a week, on which it is crawled."""
    return MONDAY + timedelta(weeks=number + 1)


def crawl(folder, site: Site, number: int, on: date, code: int = 0, hour: int = 1) -> dict:
    """The crawl of a week, on a day."""
    interval = ("--from", f"{ends(number - 1)}", "--to", f"{ends(number)}", "--crawl", f"{ends(number - 1)}")
    words = ("crawl", "ask39", "--unattended", *interval)
    return run(folder, site.url, *words, at=f"{on}T{hour:02}:00+08:00", code=code, replica_delay="0.002")


def extract(folder, site: Site, number: int, *options: str, code: int = 0) -> dict:
    words = ("extract", "ask39", "--crawl", f"{ends(number - 1)}", *options)
    return run(folder, site.url, *words, code=code)


def test_half_a_year(tmp_path, site):
    questions = world()
    least = 0
    for number in range(WEEKS):
        on = ends(number)
        if number == MISSED:
            continue
        lists = set_to(site, questions, on, bare=number == LAYOUT)
        before = set(known(tmp_path))
        if number == FAILS:
            failing = [q for q in questions if q.day == on - timedelta(3)][:2]
            site.pages |= {f"/ask.39.net/question/{q.number}.html": (500, HTML, "") for q in failing}
        if number == BLOCK:
            kept = dict(site.pages)
            site.pages |= {path: (405, HTML, "no") for path in kept if "/question/" in path}
            said = crawl(tmp_path, site, number, on, code=3)
            assert (said["wait"], said["times"]) == (86_400, 1)
            assert crawl(tmp_path, site, number, on, code=3, hour=9)["times"] == 1  # nothing is asked
            site.pages = kept
            on += timedelta(days=1)
        crawl(tmp_path, site, number, on, hour=2)
        if number == CAUGHT_UP:
            (gap,) = run(tmp_path, site.url, "coverage", "--weeks", "--json", at=f"{on}T03:00+08:00")["ask39"]
            assert (gap["since"], gap["weeks"], gap["why"]) == (
                f"{ends(MISSED - 1)}",
                1,
                "in part" if False else gap["why"],
            )
            crawl(tmp_path, site, MISSED, on, hour=5)
            extract(tmp_path, site, MISSED)
        if number == LAYOUT:
            assert "department" in extract(tmp_path, site, number, code=1)["said"]
        extract(tmp_path, site, number, *(["--accept"] if number == LAYOUT else []))
        new = set(known(tmp_path)) - before
        others = len(ask39.TOPICS) - len(TOPICS)
        least += 1 + others + sum(least_lists(pages, new) for pages in lists.values())
    rows = known(tmp_path)
    seen = [one for one in questions if one.url in rows]
    for one in questions:  # every page is known, but what came and went while nobody looked
        assert one in seen or (one.day >= ends(MISSED - 1) and one.deleted < ends(CAUGHT_UP)), one
    for one in seen:
        state, fetched, due, _ = rows[one.url]
        assert state == one.state(fetched), one
        assert due > ends(WEEKS - 1), one  # nothing is overdue
    least += least_pages(seen)
    requests, for_pages = len(site.asked), sum(site.count("/question/").values())
    print(f"{requests} requests where {least} are the least: {requests / least:.3f} times as many")
    print(f"{len(seen)} pages, {for_pages} requests for them; states {Counter(one[0] for one in rows.values())}")
    assert requests <= MOST * least
    expected, gone = set(), set()
    for one in seen:
        state, fetched, _, since = rows[one.url]
        if state != states.GONE:  # what it said when it was asked last
            expected |= {(one.url, question, answer) for question, answer in one.records(fetched)}
        elif (fetched - since).days >= states.GONE_CONFIRM_DAYS:
            gone.add(one.url)
    found = release(tmp_path, site)
    assert {row for row in found if rows[row[0]][0] != states.GONE} == expected
    assert gone
    assert not gone & {row[0] for row in found}


def known(folder) -> dict[str, tuple[str, date, date, date]]:
    """Of every question that was asked for, by URL: its state, the days it was asked last and is due, and since when it
    is in its state."""
    if not (folder / "store.db").exists():
        return {}
    with open_store(f"sqlite:///{folder}/store.db").engine.connect() as connection:
        rows = connection.execute(text("select url, state, fetched, due, since from pages where kind = 'detail'"))
        return {
            row.url: (row.state, _day(row.fetched), date.fromisoformat(row.due), date.fromisoformat(row.since))
            for row in rows
            if row.state
        }


def _day(moment: str | None) -> date:
    return states.day_of(datetime.fromisoformat(f"{moment}+00:00")) if moment else date.min


def least_lists(pages: list[list[Question]], new: set[str]) -> int:
    """List pages that have to be seen: the first, and all that show something new."""
    return max(1, sum(any(q.url in new for q in page) for page in pages))


def least_pages(questions: list[Question]) -> int:
    """Requests for pages by the ages at which they are to be asked, a week's crawl at a time."""
    count = 0
    for one in questions:
        first = (one.day - MONDAY).days // 7
        due, since, before = date.min, date.min, ""
        for number in range(CAUGHT_UP if first == MISSED and one.topic == 44 else first, WEEKS):
            on = ends(number) + timedelta(days=number == BLOCK)
            if number == MISSED or due > on or (before == "" and one.state(on) == states.GONE):
                continue
            state = one.state(on)
            since = since if state == before else on
            due, before, count = states.next_due(state, on, one.day, since), state, count + 1
    return count


def release(folder, site: Site) -> set[tuple[str, str, str]]:
    """URL, question and answer of the records that a build has, of each page those of its latest fetch."""
    version = run(folder, site.url, "build")["version"]
    run(folder, site.url, "run", "extract", "--build", version)
    files = sorted((folder / f"lake/builds/{version}/extract").glob("kept-*"))
    rows = pl.concat([pl.read_parquet(file) for file in files])
    latest = rows.filter(pl.col("fetched") == pl.col("fetched").max().over("url"))
    return {(row["url"], row["question"].split("\n")[-1], row["answer"]) for row in latest.to_dicts()}
