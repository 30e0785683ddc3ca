"""Weeks: each page belongs to the week of its own day, and is asked again when that is likely to tell something new."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from chimed.crawl import walks
from chimed.storage import states
from chimed.storage.store import open_store
from support.websites import HTML, Site, crawl, question_urls, questions, run, served, stored

MONDAY = date(2026, 10, 5)


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as serving:
        yield serving


def question(number: int, day: date, *answers: str) -> str:
    """A page of ask.39.net."""
    given = "".join(f'<div class="sele_all"><p class="sele_txt">{one}</p></div>' for one in answers)
    return (
        f'<h1>问题{number}</h1><p class="txt_ms">描述{number}。</p><p class="txt_nametime"><span>{day} 08:00</span></p>'
        f'<div class="selected">{given}</div>'
    )


def listed(site: Site, *entries: tuple[int, date | None]) -> None:
    """One list page, with a day beside each question that has one."""
    shown = "".join(
        f'<li><p class="p1"><a href="/question/{n}.html">问题{n}</a></p><span>{day or ""}</span></li>'
        for n, day in entries
    )
    site.pages["/ask.39.net/news/44-1.html"] = (200, HTML, f'<ul class="list_ask">{shown}</ul>')


def put(site: Site, number: int, html: str, etag: str = "") -> None:
    """A question's page, with an ETag that is honoured."""

    def answer(headers: dict):
        if etag and headers.get("If-None-Match") == etag:
            return 304, {"ETag": etag}, ""
        return 200, {**HTML, **({"ETag": etag} if etag else {})}, html

    site.pages[f"/ask.39.net/question/{number}.html"] = answer


def week(number: int) -> tuple[str, ...]:
    """The interval of a week, counted from `MONDAY`."""
    since = MONDAY + timedelta(weeks=number)
    return "--from", f"{since}", "--to", f"{since + timedelta(weeks=1)}"


def ends(number: int) -> str:
    """The moment at which a week's crawl runs: one in the morning of the Monday after, in China."""
    return f"{MONDAY + timedelta(weeks=number + 1)}T01:00+08:00"


pages_asked = re.compile(r"/question/(\d+)\.html")


def asked(site: Site) -> list[int]:
    """Numbers of the questions asked for since this was asked last."""
    found = [int(number[1]) for path, _, _ in site.asked if (number := pages_asked.search(path))]
    site.asked.clear()
    return found


# --- when a page is asked again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "ages"),
    [(states.UNANSWERED, (1, 3, 10, 28, 208)), (states.ANSWERED, (28, 180, 360)), (states.MISSED, (28, 180, 360))],
)
def test_a_page_is_asked_again_by_its_age(state, ages):
    asked_on, found = MONDAY, []
    while len(found) < len(ages):
        asked_on = states.next_due(state, asked_on, MONDAY, MONDAY)
        found.append((asked_on - MONDAY).days)
    assert tuple(found) == ages


def test_old_pages_are_asked_after_half_a_year():
    long_ago = MONDAY - timedelta(3_000)
    for state in (states.UNANSWERED, states.ANSWERED):
        assert states.next_due(state, MONDAY, long_ago, MONDAY) == MONDAY + timedelta(180)


def test_gone_pages_are_asked_twice_again():
    second = states.next_due(states.GONE, MONDAY, MONDAY, MONDAY)
    assert second == MONDAY + timedelta(10)
    assert states.next_due(states.GONE, MONDAY + timedelta(7), MONDAY, MONDAY) == second
    assert states.next_due(states.GONE, second, MONDAY, MONDAY) == second + timedelta(180)


def test_failed_pages_are_asked_ever_less():
    for state in (states.REFUSED, states.FAILED):
        assert states.next_due(state, MONDAY, MONDAY, MONDAY) == MONDAY
        late = MONDAY + timedelta(40)
        assert states.next_due(state, late, MONDAY, MONDAY) == late + timedelta(28)


@pytest.mark.parametrize(
    ("status", "miss", "state"),
    [
        (200, None, "answered"), (200, "no answer", "unanswered"), (404, "HTTP 404", "gone"), (410, "HTTP 410", "gone"),
        (302, states.HOME, "gone"), (200, states.SAYS_GONE, "gone"), (301, states.ELSEWHERE, "moved"),
        (403, "HTTP 403", "refused"), (405, "HTTP 405", "refused"), (412, "HTTP 412", "refused"),
        (200, states.IN_WORDS, "refused"), (503, "HTTP 503", "failed"), (408, "HTTP 408", "failed"),
        (None, "failed: TimeoutError", "failed"), (200, "no h1", "missed"), (None, states.BY_ROBOTS, "forbidden"),
    ],
)  # fmt: skip
def test_states_mean_what_they_say(status, miss, state):
    assert states.state_of(status, miss) == state


@pytest.mark.slow
def test_an_open_question_is_asked_until_answered(tmp_path, site):
    wednesday = MONDAY + timedelta(2)
    listed(site, (1, wednesday), (2, wednesday))
    put(site, 1, question(1, wednesday), '"open"')
    put(site, 2, question(2, wednesday, "多喝水。"), '"a"')
    report = crawl(tmp_path, site, *week(0), at=ends(0))
    assert report["states"] == {"answered": 1, "unanswered": 1}
    assert report["misses"] == {"no answer": 1}
    assert asked(site) == [1, 2]
    report = crawl(tmp_path, site, *week(1), at=ends(1))  # twelve days old: past the tenth
    assert asked(site) == [1]
    assert (report["not_modified"], report["pages"]) == (1, 0)
    put(site, 1, question(1, wednesday, "可以吃药。"), '"answered"')
    assert crawl(tmp_path, site, *week(2), at=ends(2))["requests"] == 2  # robots.txt and a list
    assert asked(site) == []
    report = crawl(tmp_path, site, *week(3), at=ends(3))  # 26 days old
    assert asked(site) == []
    report = crawl(tmp_path, site, *week(4), at=ends(4))
    assert sorted(asked(site)) == [1, 2]
    assert (report["states"], report["not_modified"], report["pages"]) == ({"answered": 2}, 1, 1)
    name = f"{MONDAY + timedelta(weeks=4)}_{MONDAY + timedelta(weeks=5)}"
    assert run(tmp_path, site.url, "extract", "ask39", "--crawl", name)["records"] == 1
    for number in range(5, 12):
        crawl(tmp_path, site, *week(number), at=ends(number))
    assert asked(site) == []


@pytest.mark.slow
def test_a_failed_page_is_asked_next_time(tmp_path, site):
    days = [MONDAY + timedelta(n) for n in range(4)]
    listed(site, *enumerate(days))
    for n, day in enumerate(days):
        put(site, n, question(n, day, "答。"))
    site.pages["/ask.39.net/question/2.html"] = (503, HTML, "")
    assert crawl(tmp_path, site, *week(0), at=ends(0))["states"] == {"answered": 3, "failed": 1}
    asked(site)
    put(site, 2, question(2, days[2], "答。"))
    assert crawl(tmp_path, site, *week(1), at=ends(1))["states"] == {"answered": 1}
    assert asked(site) == [2]


@pytest.mark.slow
def test_due_pages_keep_to_the_pace(tmp_path, site):
    days = [MONDAY + timedelta(n // 2) for n in range(8)]
    listed(site, *enumerate(days))
    for n, day in enumerate(days):
        put(site, n, question(n, day, *(["答。"] if n % 2 else [])), f'"{n}"')
    crawl(tmp_path, site, *week(0), at=ends(0))
    asked(site)
    words = ("coverage", "--json")
    (entry,) = [one for one in run(tmp_path, site.url, *words, at=ends(4)) if one["source"] == "ask39"]
    assert (entry["due"], entry["states"]) == (8, {"answered": 4, "unanswered": 4})
    assert entry["next_requests"] == 1 + 8 + 33
    hours = str(3 * 0.01 / 3600)  # three pages at this pace
    crawl(tmp_path, site, *week(4), at=ends(4), recheck_hours=hours)
    assert sorted(asked(site)) == [0, 2, 4]
    crawl(tmp_path, site, *week(5), at=ends(5))
    assert sorted(asked(site)) == [1, 3, 5, 6, 7]


# --- whose week --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_misdated_page_belongs_to_its_own_week(tmp_path, site):
    monday, sunday = MONDAY + timedelta(7), MONDAY + timedelta(6)
    listed(site, (1, monday))
    put(site, 1, question(1, sunday, "答。"))
    report = crawl(tmp_path, site, *week(1), at=ends(1))
    assert stored(tmp_path, "ask39", report["crawl"]) == question_urls(1)
    assert (report["of_its_days"], report["of_other_days"]) == (0, 1)
    asked(site)
    report = crawl(tmp_path, site, *week(0), at=ends(1))
    assert (report["of_its_days"], asked(site)) == (1, [])


@pytest.mark.slow
def test_a_late_listed_page_is_fetched(tmp_path, site):
    days = [MONDAY + timedelta(n) for n in range(14)]
    listed(site, *[(n, days[n]) for n in (6, 5, 3)])
    for n, day in enumerate(days):
        put(site, n, question(n, day, "答。"))
    crawl(tmp_path, site, *week(0), at=ends(0))
    asked(site)
    listed(site, *[(n, days[n]) for n in (9, 6, 5, 4, 3)])
    crawl(tmp_path, site, *week(1), at=ends(1))
    assert sorted(asked(site)) == [4, 9]


@pytest.mark.slow
def test_only_an_unfinished_week_is_resumed(tmp_path, site):
    wednesday, friday = MONDAY + timedelta(2), MONDAY + timedelta(4)
    listed(site, (1, wednesday))
    put(site, 1, question(1, wednesday, "答。"))
    first = crawl(tmp_path, site, *week(0), at=f"{wednesday}T12:00+08:00")
    extracted = run(tmp_path, site.url, "extract", "ask39", "--crawl", first["crawl"])
    assert (first["pages"], extracted["records"]) == (1, 1)
    listed(site, (2, friday), (1, wednesday))
    put(site, 2, question(2, friday, "答。"))
    report = crawl(tmp_path, site, *week(0), at=ends(0))
    assert asked(site) == [1, 2]
    assert (report["pages"], report["of_its_days"]) == (2, 2)
    assert run(tmp_path, site.url, "extract", "ask39", "--crawl", first["crawl"])["records"] == 2
    assert crawl(tmp_path, site, *week(0), at=ends(3)) == report
    assert not site.asked


@pytest.mark.slow
@pytest.mark.parametrize("shows_days", [True, False])
@pytest.mark.parametrize("order", ["oldest first", "newest first"])
def test_several_weeks_are_one_walk(tmp_path, site, shows_days, order):
    count, weeks = 55, 8  # down from 2026-10-31, a Saturday, to a Monday
    questions(site, count, a_page=4)
    if not shows_days:
        for path, found in site.pages.items():
            if "/news/" in path:
                site.pages[path] = (200, HTML, re.sub(r'<span class="a_r">.*?</span>', "", found[2]))
    last = date(2026, 10, 26)
    mondays = [last - timedelta(weeks=n) for n in range(weeks)]
    for monday in mondays if order == "newest first" else reversed(mondays):
        until = f"{monday + timedelta(7)}"
        report = crawl(tmp_path, site, "--from", f"{monday}", "--to", until, at="2026-11-26T09:00+08:00")
        days = [date(2026, 10, 31) - timedelta(n) for n in range(count)]
        assert report["of_its_days"] == sum(monday <= day < monday + timedelta(7) for day in days)
    assert site.count("/question/") == dict.fromkeys((f"/ask.39.net/question/{n}.html" for n in range(count)), 1)
    assert set(site.count("/news/").values()) == {1}
    assert len(site.count("/news/")) == 14


@pytest.mark.slow
def test_a_week_walks_to_known_pages_only(tmp_path, site):
    questions(site, 63, a_page=3)  # nine weeks, down from 2026-10-31
    known = date(2026, 9, 7)
    crawl(tmp_path, site, "--from", f"{known}", "--to", "2026-09-14", at="2026-11-23T01:00+08:00")
    lists = site.count("/news/")
    assert max(int(path.split("-")[1].split(".")[0]) for path in lists) == 20
    site.asked.clear()
    crawl(tmp_path, site, "--from", "2026-10-05", "--to", "2026-10-12", at="2026-11-24T01:00+08:00")
    assert not site.count("/news/")  # between the first walk's end and its beginning
    crawl(tmp_path, site, "--from", "2026-08-31", "--to", "2026-09-07", at="2026-11-24T01:00+08:00")
    # the list page seen last, for lists shift, and the one after it
    assert set(site.count("/news/")) == {"/ask.39.net/news/44-20.html", "/ask.39.net/news/44-21.html"}


# --- what is gone ------------------------------------------------------------------------------------------------

GONE_FORMS = {
    "404": (404, HTML, "没有了"),
    "410": (410, HTML, ""),
    "home": (302, {"Location": "/"}, ""),
    "words": (200, HTML, "<h1>提示</h1>"),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["404", "410", "home"])
def test_a_page_gone_twice_leaves_the_build(tmp_path, site, form):
    days = [MONDAY + timedelta(n) for n in range(3)]
    listed(site, *enumerate(days))
    for n, day in enumerate(days):
        put(site, n, question(n, day, f"第{n}个回答。"))
    name = crawl(tmp_path, site, *week(0), at=ends(0))["crawl"]
    run(tmp_path, site.url, "extract", "ask39", "--crawl", name)
    site.pages["/ask.39.net/question/1.html"] = GONE_FORMS[form]
    crawl(tmp_path, site, *week(4), at=ends(4))
    assert records(tmp_path, site) == (3, {})  # once is not enough
    asked(site)
    crawl(tmp_path, site, *week(5), at=ends(5))
    assert asked(site) == []
    crawl(tmp_path, site, *week(6), at=ends(6))
    assert asked(site) == [1]
    assert records(tmp_path, site) == (2, {"gone from its site": 1})
    assert records(tmp_path, site, '{"keep_gone": true}') == (3, {})


def records(folder, site: Site, options: str = "{}") -> tuple[int, dict[str, int]]:
    """Records of a new build, and its pages without one, by reason, but for answers that are no page."""
    version = run(folder, site.url, "build", "--options", options)["version"]
    (report,) = run(folder, site.url, "run", "extract", "--build", version)
    dropped = {reason: pages for reason, pages in report["dropped"].items() if not reason.startswith("HTTP")}
    return report["derived"], dropped


# --- weeks never crawled -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_weeks_that_were_never_crawled_are_listed(tmp_path, site):
    questions(site, 40)  # from 2026-09-22, a Tuesday, on
    for monday in ("2026-09-28", "2026-10-12"):
        until = f"{date.fromisoformat(monday) + timedelta(7)}"
        crawl(tmp_path, site, "ask39", "--from", monday, "--to", until, at="2026-11-02T01:00+08:00")
    crawl(tmp_path, site, "--from", "2026-10-19", "--to", "2026-10-26", at="2026-11-02T01:00+08:00")  # one list of 33
    found = run(tmp_path, site.url, "coverage", "--weeks", "--json", at="2026-11-02T02:00+08:00")["ask39"]
    told = [(one["since"], one["until"], one["weeks"], one["why"]) for one in found]
    assert told == [
        ("2026-09-21", "2026-09-28", 1, "never crawled"),
        ("2026-10-05", "2026-10-12", 1, "never crawled"),
        ("2026-10-19", "2026-10-26", 1, "in part"),
        ("2026-10-26", "2026-11-02", 1, "never crawled"),
    ]


# --- walks -------------------------------------------------------------------------------------------------------


def test_walks_that_meet_become_one():
    def walk(since: int, until: int, end: str | None) -> dict:
        days = {"since": MONDAY + timedelta(since), "until": MONDAY + timedelta(until)}
        return {**days, "last": None, "next": end, "begun": datetime(2026, 11, 1, tzinfo=UTC)}

    found = walks.merge_stretches(
        [walk(10, 20, "b"), walk(0, 10, "a"), walk(25, 30, "c"), walk(5, 12, "d"), walk(9, 9, "e")]
    )
    ends_at = [((one.since - MONDAY).days, (one.until - MONDAY).days, one.next) for one in found]
    assert ends_at == [(0, 20, "a"), (25, 30, "c")]


@pytest.mark.slow
def test_an_old_store_goes_on(tmp_path, site):
    """A store of the version before: what it says of pages becomes their states, and lists know where they begin."""
    from alembic import command
    from sqlalchemy import text

    from chimed.storage.store import Store, _alembic_config, _engine

    engine = _engine(f"sqlite:///{tmp_path}/store.db")
    config = _alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    rows = [
        ("list-1", "list", None, 200, None, None), ("list-2", "list", "2026-10-01", 200, None, "list-1"),
        ("a", "detail", "2026-10-01", 200, None, "list-2"), ("b", "detail", "2026-10-01", 200, "no answer", "list-1"),
        ("c", "detail", "2026-10-02", 404, "HTTP 404", "list-1"), ("d", "detail", None, 503, "HTTP 503", "list-1"),
        ("e", "detail", None, None, "failed: TimeoutError", "list-1"), ("f", "detail", None, None, None, "list-2"),
        ("g", "detail", "2026-10-02", 200, "no h1", "list-1"),
        ("h", "detail", None, None, "forbidden by robots.txt", "list-1"),
    ]  # fmt: skip
    with engine.begin() as connection:
        for url, kind, fetched, status, miss, found_on in rows:
            moment = f"{fetched} 09:00:00.000000" if fetched else None
            connection.execute(
                text("insert into pages (url, source, kind, first_seen, fetched, status, miss, found_on) values "
                     "(:url, 'ask39', :kind, '2026-10-01 09:00:00.000000', :moment, :status, :miss, :found_on)"),
                {"url": url, "kind": kind, "moment": moment, "status": status, "miss": miss, "found_on": found_on},
            )  # fmt: skip
    store: Store = open_store(f"sqlite:///{tmp_path}/store.db")
    with store.engine.begin() as connection:
        found = {
            row.url: (row.state, str(row.due), row.start) for row in connection.execute(text("select * from pages"))
        }
    assert {url: one[0] for url, one in found.items()} == {
        "list-1": None, "list-2": None, "a": "answered", "b": "unanswered", "c": "gone", "d": "failed", "e": "failed",
        "f": None, "g": "missed", "h": "forbidden",
    }  # fmt: skip
    assert (found["a"][1], found["b"][1], found["c"][1]) == ("2026-10-29", "2026-10-02", "2026-10-12")
    assert found["e"][1] < "2026-10-01"
    assert {one[2] for one in found.values()} == {"list-1"}
