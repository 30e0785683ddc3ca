"""The parts of a release on made-up rows: shape and split, drift and gates, versions, a card nobody can write into."""

import random
from itertools import chain

import polars as pl
import pytest

from chimed.errors import UserError
from chimed.release import find_release, version_key
from chimed.release.card import LONGEST, examples, size_category
from chimed.release.diff import PSI_LIMIT, Side, difference, side_of_tables
from chimed.release.filling import fill
from chimed.release.markdown import quoted
from chimed.release.rows import COLUMNS, is_validation, tables_of
from chimed.release.sorting import of_tables
from chimed.release.statistics import statistics, total
from chimed.storage import lake as lakes
from chimed.storage.lake import open_lake, write_json
from chimed.storage.takedowns import parse_targets
from support.samples import document, qa, rows


def release(count: int, longest: int, seed: int, first: int = 0) -> Side:
    """`count` documents of as many pages, their lengths and perplexities by chance."""
    chance = random.Random(seed)
    return side_of(
        rows(
            *(
                document(
                    f"{seed}第{n}篇" + "甲" * chance.randint(30, longest),
                    url=f"http://www.zhongyoo.com/name/x_{n}.html",
                    perplexity=chance.uniform(2, 90),
                )
                for n in range(first, first + count)
            )
        )
    )


def side_of(records: pl.DataFrame) -> Side:
    return side_of_tables(tables_of(records))


def drift_of(found: dict, what: str) -> dict:
    return next(one for one in found["drift"] if one["what"] == what)


def test_a_pages_rows_share_one_split():
    several = [qa(f"问{n}？", "答。", url=f"https://ask.39.net/question/{n // 3}.html") for n in range(90)]
    pairs = [{**row, "kind": "preference", "rejected": "不。", "id": f"p{n:015}"} for n, row in enumerate(several)]
    tables = tables_of(rows(*several, *pairs))
    for subset in ("sft", "preference"):
        train, held = tables[f"{subset}/train"], tables[f"{subset}/validation"]
        assert not set(train["url"]) & set(held["url"])
        assert set(held["url"]) == {row["url"] for row in several if is_validation(row["url"])}
    assert tables_of(rows(*reversed(several), *pairs))["sft/train"].equals(tables["sft/train"])
    assert "prompt" not in COLUMNS["sft"].names  # a trainer would take it for a conversation's


def both(one: Side, two: Side) -> Side:
    return Side(total([one.counts, two.counts]), lambda: chain(one.read(), two.read()))


def test_drift_and_not_chance_stops_releases():
    old = release(120, 300, seed=1)
    same = difference(old, release(120, 300, seed=2))
    assert same["stops"] == []
    assert same["rows"] == [
        {"subset": "pretrain", "source": "zhongyoo", "added": 0, "removed": 0, "changed": 120, "same": 0}
    ]
    longer = difference(old, release(120, 900, seed=3))
    assert drift_of(longer, "length of pretrain")["psi"] > drift_of(longer, "length of pretrain")["limit"] > PSI_LIMIT
    assert [sentence.split(" drifts")[0] for sentence in longer["stops"]] == ["length of pretrain"]


def test_only_lost_rows_stop_a_release():
    old = release(60, 300, seed=1)
    assert difference(old, release(40, 300, seed=1))["stops"] == ["pretrain: 20 of 60 rows of zhongyoo are gone"]
    assert "no row of zhongyoo is left of 60" in difference(old, release(0, 300, seed=1))["stops"][0]
    assert difference(old, both(old, release(30, 300, seed=1, first=60)))["stops"] == []


def test_departments_drift_too():
    def asked(department: str, count: int) -> list[dict]:
        return [qa(f"{department}{n}？", "答。", department=department) for n in range(count)]

    old = side_of(rows(*asked("内科", 80), *asked("外科", 80)))
    new = side_of(rows(*asked("内科", 80), *asked("儿科", 80)))
    assert any(sentence.startswith("departments drifts") for sentence in difference(old, new)["stops"])


def test_versions_sort_with_their_patches():
    ordered = ["2026.11.9", "2026.11.22", "2026.11.22.p1", "2026.11.22.p2", "2026.11.22.1", "2026.11.22.1.p1"]
    assert sorted(random.Random(1).sample(ordered, len(ordered)), key=version_key) == ordered


def test_a_withdrawn_release_names_its_patch(tmp_path):
    lake = open_lake(str(tmp_path))
    write_json(lake, "releases/2026.11.22/statistics.json", {})
    with pytest.raises(UserError, match="none yet"):
        find_release(lake, "latest")
    write_json(lake, "releases/2026.11.22.p1/manifest.json", {})
    write_json(lake, "releases/2026.11.22/withdrawn.json", {"reason": "asked", "replaced_by": "2026.11.22.p1"})
    assert find_release(lake, "latest") == "2026.11.22.p1"
    with pytest.raises(UserError, match="withdrawn"):
        find_release(lake, "2026.11.22")


def test_nothing_crawled_can_write_into_the_card(work):
    wild = '<script>x</script> [a](javascript:x) ![i](u) `c` | **b** # h\n> q\n- l\n{{ 1 }} "茯苓"'
    told = quoted(wild, LONGEST)
    assert "\n" not in told
    assert "<" not in told
    for mark in "[]()`|*#>{}!-":
        assert told.count(mark) == told.count(f"\\{mark}")
    assert "茯苓" in told
    filled = fill(work.lake, "2026.11.22", of_tables(tables_of(rows(document(wild * 30)))), 10**9)
    lakes.write_json(work.lake, "releases/2026.11.22/statistics.json", statistics(filled.counts))
    (shown,) = examples(work.lake, "releases/2026.11.22", filled.counts)
    assert len(quoted(shown["words"][""], LONGEST)) < 1000
    assert [size_category(n) for n in (3, 1_000, 558_100, 10**8)] == ["n<1K", "1K<n<10K", "100K<n<1M", "n>10M"]


def test_a_takedown_holds_a_page_or_a_source():
    gone = parse_targets(["http://www.zhongyoo.com/name/a_1.html", "ask39"])
    assert gone.holds("http://www.zhongyoo.com/name/a_1.html", "zhongyoo")
    assert gone.holds("https://ask.39.net/question/1.html", "ask39")
    assert not gone.holds("http://www.zhongyoo.com/name/a_2.html", "zhongyoo")
