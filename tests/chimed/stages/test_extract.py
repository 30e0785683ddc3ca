"""Extract: every page of a crawl ends as records or as a named miss, once; the parser's code decides what is redone."""

import dataclasses
from datetime import UTC, datetime

import pytest

from chimed.build.builds import new_build, read_build, read_stage
from chimed.build.context import StageContext
from chimed.build.ledger import check_ledger
from chimed.build.options import Options
from chimed.errors import UserError
from chimed.extraction import crawl_records
from chimed.extraction.crawl_records import TooManyMisses, check_misses, extract_crawl, read_parts
from chimed.pipeline.runner import run_stage
from chimed.reasons import OVER_LIMIT, TAKEN_DOWN, UNCHANGED
from chimed.settings import Settings
from chimed.sources import ask39
from chimed.stages.extract import OTHER_ANSWER, read_pages
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store, upsert
from chimed.storage.store_tables import TAKEDOWNS

HERB = '<h1>{0}</h1><div class="info_txt">{0}，味甘。</div>'
QUESTION = (
    '<h1>问</h1><p class="txt_ms">血压高。</p><p class="txt_nametime"><span>2026-11-16 08:00</span></p>'
    '<div class="selected"><div class="sele_all"><p class="sele_txt">{}</p></div>'
    '<div class="sele_all"><p class="sele_txt">请就医。</p></div></div>'
)


@pytest.fixture
def work(tmp_path) -> StageContext:
    settings = Settings(data=str(tmp_path / "lake"), store=f"sqlite:///{tmp_path}/store.db")
    return StageContext(
        "2026.11.22", Options(), open_lake(settings.data), open_store(settings.store), settings, lambda _: None
    )


def crawled(
    work: StageContext, source: str, crawl: str, *pages: tuple[str, int, str], file_bytes: int = 1 << 20
) -> None:
    """A finished crawl of (path, status, html)."""
    host = {"zydcd": "http://www.zydcd.com", "ask39": "https://ask.39.net"}[source]
    archive = warc.open_archive(work.lake, f"raw/{source}/{crawl}", file_bytes)
    for path, status, html in pages:
        head = [("Content-Type", "text/html; charset=utf-8")]
        one = warc.Exchange(f"{host}{path}", f"GET {path} HTTP/1.1", [], status, "OK", head, html.encode())
        warc.write_exchange(archive, one, "list" if "list" in path else "detail")
    warc.close_archive(archive)
    lakes.write_json(work.lake, f"raw/{source}/{crawl}/report.json", {"pages": len(pages)})


def pages_of(work: StageContext, **options: object) -> tuple:
    version = new_build(work.lake, options)
    chosen = dataclasses.replace(work, build=version, options=Options(**options))
    pages, outcome = read_pages(chosen, 0)
    check_ledger("extract", pages, outcome)
    return pages, outcome


def reasons(outcome) -> dict[str, int]:
    return dict(outcome.dropped.group_by("reason").len().iter_rows())


def test_every_page_gives_records_or_miss(work):
    crawled(
        work, "zydcd", "c1",
        ("/zhongyi/list_1.html", 200, "list"),
        ("/zhongyi/zy10001aa/", 200, HERB.format("茯苓")),
        ("/zhongyi/zy10002aa/", 404, "none"),
        ("/zhongyi/zy10003aa/", 200, "<title>中医大辞典</title>"),
        ("/zhongyi/zy10004aa/", 200, ""),
    )  # fmt: skip
    pages, outcome = pages_of(work)
    assert pages.height == 4
    assert reasons(outcome) == {"HTTP 404": 1, "home page instead of the page": 1, "empty page": 1}
    (row,) = outcome.derived.to_dicts()
    assert (row["title"], row["text"], row["url"]) == (
        "茯苓",
        "茯苓，味甘。",
        "http://www.zydcd.com/zhongyi/zy10001aa/",
    )
    assert row["page"] in pages["id"]


def test_an_unchanged_page_gives_records_once(work):
    same, changed = (
        ("/question/1.html", 200, QUESTION.format("先测。")),
        ("/question/2.html", 200, QUESTION.format("甲。")),
    )
    crawled(work, "ask39", "2026-11-09", same, changed)
    crawled(work, "ask39", "2026-11-16", same, ("/question/2.html", 200, QUESTION.format("乙。")))
    pages, outcome = pages_of(work)
    assert pages.height == 4
    assert reasons(outcome) == {UNCHANGED: 1}
    latest = outcome.derived.filter(outcome.derived["answer"] == "先测。")
    assert "2026-11-16" in latest["page"][0]
    # the page whose first answer changed still gives its old answer: that is for dedup to judge
    assert sorted(outcome.derived["answer"]) == ["乙。", "先测。", "甲。", "请就医。", "请就医。"]


def test_a_page_twice_in_one_crawl(work):
    same = ("/question/1.html", 200, QUESTION.format("先测。"))
    crawled(work, "ask39", "c1", same, same)
    pages, outcome = pages_of(work)
    assert (pages.height, outcome.derived.height, reasons(outcome)) == (2, 2, {UNCHANGED: 1})


def test_a_parser_that_fails_fails_its_page_only(work, monkeypatch):
    def read(url, page):
        if "1.html" in url:
            raise ZeroDivisionError("x")
        return ask39.read(url, page)

    monkeypatch.setattr(ask39, "SITE", dataclasses.replace(ask39.SITE, read=read))
    monkeypatch.setattr("chimed.crawl.bounded._process", None)  # a reader that was begun before knows no other parser
    crawled(work, "ask39", "c1", *((f"/question/{n}.html", 200, QUESTION.format("先测。")) for n in (1, 2)))
    _, outcome = pages_of(work)
    assert reasons(outcome) == {"parser error": 1}
    assert outcome.dropped["fate"].to_list() == ["failed"]
    assert outcome.derived.height == 2


def test_max_records_of_each_source(work):
    crawled(work, "zydcd", "c1", *((f"/zhongyi/zy1000{n}aa/", 200, HERB.format(f"药{n}")) for n in range(5)))
    crawled(work, "ask39", "c1", *((f"/question/{n}.html", 200, QUESTION.format(f"答{n}")) for n in range(3)))
    version = new_build(work.lake, {"max_records": 3})
    chosen = dataclasses.replace(work, build=version, options=Options(max_records=3))
    (report,) = run_stage(chosen, "extract")
    assert report["sources"]["derived"] == {"ask39": 3, "zydcd": 3}
    assert report["dropped"] == {OVER_LIMIT: 3}
    assert report["derived_dropped"] == {OVER_LIMIT: 1}


def test_done_once_and_again_when_the_parser_changes(work, monkeypatch):
    crawled(work, "ask39", "c1", ("/question/1.html", 200, QUESTION.format("先测。")))
    first = extract_crawl(work.lake, "ask39", "c1")
    before = lakes.read_bytes(work.lake, "extracts/ask39/c1/00000.warc.gz/kept-00000.parquet")
    monkeypatch.setattr("chimed.storage.warc.read_responses", lambda *_: pytest.fail("read again"))
    assert extract_crawl(work.lake, "ask39", "c1") == first
    monkeypatch.undo()
    monkeypatch.setattr("chimed.extraction.crawl_records.fingerprint", lambda *_: "another")
    assert extract_crawl(work.lake, "ask39", "c1")["fingerprint"] == "another"
    assert lakes.read_bytes(work.lake, "extracts/ask39/c1/00000.warc.gz/kept-00000.parquet") == before


def test_an_unfinished_crawl_is_said(work):
    with pytest.raises(UserError, match="not finished"):
        extract_crawl(work.lake, "ask39", "c1")


def test_the_pairing_rule_has_a_name(work):
    crawled(work, "ask39", "c1", ("/question/1.html", 200, QUESTION.format("先测。")))
    _, every = pages_of(work)
    assert every.derived.select("answer", "adopted").rows() == [("先测。", True), ("请就医。", True)]
    _, best = pages_of(work, answers="best")
    assert best.derived["answer"].to_list() == ["先测。"]
    assert best.derived_dropped["reason"].to_list() == [OTHER_ANSWER]


def test_misses_beyond_the_stated_share_fail(work):
    crawled(work, "ask39", "c1", *((f"/question/{n}.html", 200, "<p>新版</p>") for n in range(9)))
    with pytest.raises(TooManyMisses, match=r"9 of 9 .* no h1"):
        check_misses(extract_crawl(work.lake, "ask39", "c1"))


def herbs(*numbers: int) -> list[tuple[str, int, str]]:
    return [(f"/zhongyi/zy{n:05d}aa/", 200, HERB.format(f"药{n}")) for n in numbers]


def test_parts_are_bounded_and_later_pages_win(work, monkeypatch):
    monkeypatch.setattr(crawl_records, "MAX_PART_PAGES", 2)
    crawled(work, "zydcd", "c1", *herbs(1, 2, 3, 1, 4, 4), ("/zhongyi/zy10009aa/", 404, ""))
    report = extract_crawl(work.lake, "zydcd", "c1")
    assert report["parts"] == {"00000.warc.gz": 4}
    assert (report["pages"], report["kept_pages"], report["records"]) == (7, 4, 4)
    assert report["dropped"] == {UNCHANGED: 2, "HTTP 404": 1}
    pages, outcome = pages_of(work)
    assert outcome.derived["title"].to_list() == ["药2", "药3", "药1", "药4"]
    assert (pages.height, reasons(outcome)) == (7, report["dropped"])


def test_bodies_bound_a_part_too(work, monkeypatch):
    monkeypatch.setattr(crawl_records, "MAX_PART_BYTES", 100)
    crawled(work, "zydcd", "c1", *herbs(1, 2, 3))
    assert [len(found) for found, _ in read_parts(work.lake, extract_crawl(work.lake, "zydcd", "c1"), (0, 1))] == [2, 1]


def test_workers_read_each_file_once(work, monkeypatch):
    crawled(work, "zydcd", "c1", *herbs(1, 2, 3, 4, 1), file_bytes=1)
    read, responses = [], warc.read_responses

    def reading(lake, path):
        read.append(int(path[-13:-8]))
        if len(read) == 4:
            raise KeyboardInterrupt  # a worker is killed; another goes on
        return responses(lake, path)

    monkeypatch.setattr(warc, "read_responses", reading)
    with pytest.raises(KeyboardInterrupt):
        extract_crawl(work.lake, "zydcd", "c1", (1, 3))
    assert read[:2] == [1, 4]
    report = extract_crawl(work.lake, "zydcd", "c1", (2, 3))
    assert sorted(read[4:]) == sorted({0, 1, 2, 3, 4} - set(read[:3]))
    assert (report["records"], report["dropped"]) == (4, {UNCHANGED: 1})
    shares = [read_parts(work.lake, report, (which, 3)) for which in range(3)]
    titles = [title for share in shares for found, _ in share for title in found["title"]]
    assert sorted(titles) == ["药1", "药2", "药3", "药4"]


def test_a_large_crawl_has_disjoint_shards(work, monkeypatch):
    monkeypatch.setattr(crawl_records, "MAX_PART_PAGES", 2)
    crawled(work, "ask39", "c1", *((f"/question/{n}.html", 200, QUESTION.format(f"答{n}")) for n in range(8)))
    crawled(work, "zydcd", "c1", *herbs(1))
    version = new_build(work.lake, {"part_rows": 3})
    made = read_build(work.lake, version)["shards"]
    assert made == [["zydcd/c1"], ["ask39/c1/0-of-3"], ["ask39/c1/1-of-3"], ["ask39/c1/2-of-3"]]
    reports = run_stage(dataclasses.replace(work, build=version), "extract")
    assert [report["read"] for report in reports] == [1, 4, 2, 2]
    records = read_stage(work.lake, version, "extract")
    assert (records.height, records["id"].n_unique(), records["page"].n_unique()) == (17, 17, 9)


def test_a_taken_down_shard_is_no_alarm(work):
    crawled(work, "zydcd", "c1", *herbs(*range(9)))
    upsert(work.store, TAKEDOWNS, [{"target": "zydcd", "reason": "asked", "created": datetime.now(UTC)}])
    version = new_build(work.lake)
    (report,) = run_stage(dataclasses.replace(work, build=version), "extract")
    assert (report["kept"], report["dropped"]) == (0, {TAKEN_DOWN: 9})
