"""Rows of a release: filters, words, where to go on, one by its id, and no more read than is shown."""

import pytest

from chimed.release import browse, filling
from chimed.release.browse import Wanted, moved, row
from chimed.release.rows import tables_of
from chimed.release.sorting import of_tables
from chimed.release.statistics import statistics
from chimed.storage import lake as lakes
from support.samples import document, qa, rows


@pytest.fixture(params=[10**9, 1_000], ids=["one file", "several files"])
def made(work, monkeypatch, request):
    """Two releases in row groups of eight: sixty questions and twenty documents; the second has other documents."""
    monkeypatch.setattr(filling, "GROUP", 8)
    asked = [
        qa(f"第{n}问，{'茯苓' if n % 7 == 0 else '当归'}怎样用？", "遵医嘱。", department="中医科" if n % 3 else "内科")
        for n in range(60)
    ]
    for version, first in (("2026.11.15", 0), ("2026.11.22", 10)):
        texts = [
            document(f"第{n}篇。", url=f"http://www.zhongyoo.com/name/x_{n}.html") for n in range(first, first + 20)
        ]
        filled = filling.fill(work.lake, version, of_tables(tables_of(rows(*asked, *texts))), request.param)
        lakes.write_json(work.lake, f"releases/{version}/statistics.json", statistics(filled.counts))
    return work.lake


def all_of(lake, wanted: Wanted, most: int = 5) -> list[dict]:
    """Every row wanted, page by page."""
    found, start = [], 0
    while True:
        here = browse.rows(lake, "2026.11.22", wanted, start, most)
        found += here.rows
        assert len(here.rows) <= most
        if here.after is None:
            return found
        assert here.after > start
        start = here.after


def test_pages_show_each_row_once(made):
    train = len(browse.rows(made, "2026.11.22", Wanted("sft/train"), 0, 100).rows)
    ids = [one["id"] for one in all_of(made, Wanted("sft/train"))]
    assert ids == sorted(set(ids))
    assert len(ids) == train > 40


def test_filters_and_words_count_matches(made):
    everything = all_of(made, Wanted("sft/train"))
    inner = all_of(made, Wanted("sft/train", department="内科"))
    assert {one["id"] for one in inner} == {one["id"] for one in everything if one["department"] == "内科"}
    assert browse.rows(made, "2026.11.22", Wanted("sft/train", department="内科")).passing == len(inner)
    said = all_of(made, Wanted("sft/train", words="茯苓"))
    assert {one["id"] for one in said} == {one["id"] for one in everything if "茯苓" in one["said"][0][1]}
    assert said
    assert all_of(made, Wanted("sft/train", words="<没有>")) == []
    assert all_of(made, Wanted("sft/train", source="nobody")) == []


def test_a_long_search_says_where_to_continue(made, monkeypatch):
    monkeypatch.setattr(browse, "LOOKED", 1)  # one group of rows
    first = browse.rows(made, "2026.11.22", Wanted("sft/train", words="没有这句"))
    assert (first.rows, first.looked, first.after) == ([], 8, 8)
    assert all_of(made, Wanted("sft/train", words="没有这句")) == []


def test_a_row_is_found_by_id(made):
    wanted = all_of(made, Wanted("pretrain/train"))[-1]
    found = row(made, "2026.11.22", wanted["id"])
    assert found is not None
    assert (found["table"], found["said"]) == ("pretrain/train", wanted["said"])
    assert row(made, "2026.11.22", "0" * 16) is None


def test_rows_that_came_and_left(made):
    assert moved(made, "2026.11.15", "2026.11.22") == [
        {"subset": "pretrain", "source": "zhongyoo", "rows": 30, "added": 10, "removed": 10, "same": 10},
        {"subset": "sft", "source": "ask120", "rows": 60, "added": 0, "removed": 0, "same": 60},
    ]
