"""What a build reads: shards of bounded size, every crawl in them once; and the plan that is told when it is opened."""

import pytest

from chimed.build import inputs
from chimed.build.builds import new_build, read_build
from chimed.build.inputs import Size, list_crawls, packed, parse_piece, ranges_of
from chimed.build.options import Options
from chimed.build.order import STAGES
from chimed.settings import settings
from chimed.storage import lake as lakes

ROWS = 1_000


def size_of(shard: list[str], sizes: dict[str, Size]) -> float:
    return sum(sizes[f"{one.source}/{one.crawl}"].rows / ROWS / one.share[1] for one in map(parse_piece, shard))


@pytest.mark.parametrize(
    "rows",
    [
        {"a/1": 0},
        {"a/1": 400, "a/2": 400, "b/1": 400},
        {"a/1": 7_300, "b/1": 100, "b/2": 900, "c/1": 1_000},
        {f"a/{week}": 10 * (week % 30) for week in range(500)},
    ],
)
def test_shards_are_bounded_and_complete(rows):
    sizes = {crawl: Size(number, 0) for crawl, number in rows.items()}
    shards = packed(sizes, ROWS, 1.0)
    assert all(size_of(shard, sizes) <= 1.0001 for shard in shards)
    assert list_crawls(shards) == sorted(sizes)
    pieces = [parse_piece(entry) for shard in shards for entry in shard]
    for crawl in sizes:
        shares = [one.share for one in pieces if f"{one.source}/{one.crawl}" == crawl]
        assert shares == [(which, len(shares)) for which in range(len(shares))]


def test_small_crawls_share_a_shard():
    sizes = {"a/1": Size(200, 0), "a/2": Size(200, 0), "b/1": Size(1_500, 0)}
    assert packed(sizes, ROWS, 1.0) == [["a/1", "a/2"], ["b/1/0-of-2"], ["b/1/1-of-2"]]


def test_few_parts_make_no_empty_shards():
    assert packed({"a/1": Size(9_000, 0, parts=2)}, ROWS, 1.0) == [["a/1/0-of-2"], ["a/1/1-of-2"]]
    assert packed({"a/1": Size(9_000, 0, parts=0)}, ROWS, 1.0) == [["a/1"]]


def test_many_answers_count_as_many_rows(work):
    lakes.write_json(work.lake, "raw/ask39/1/report.json", {"pages": 30})
    assert inputs.divide_into_shards(work.lake, Options(part_rows=50)) == [["ask39/1"]]
    lakes.write_json(work.lake, "extracts/ask39/1/report.json", {"records": 400, "parts": {"a": 3, "b": 4}})
    assert len(inputs.divide_into_shards(work.lake, Options(part_rows=50))) == 7
    lakes.write_json(work.lake, "extracts/ask39/1/report.json", {"records": "many"})
    assert inputs.divide_into_shards(work.lake, Options(part_rows=50)) == [["ask39/1"]]


def test_shards_never_exceed_mapped_tasks(work):
    for week in range(4):
        lakes.write_json(work.lake, f"raw/ask39/{week}/report.json", {"pages": 5_000 * week})
    shards = inputs.divide_into_shards(work.lake, Options(part_rows=10))
    assert settings().max_parts / 2 < len(shards) <= settings().max_parts
    assert list_crawls(shards) == [f"ask39/{week}" for week in range(4)]


def test_ranges_grow_in_number_and_then_in_size():
    assert [ranges_of(rows) for rows in (0, 1, 20_000, 20_001, 500_000)] == [1, 1, 1, 2, 25]
    assert ranges_of(2_300_000) < 50
    assert ranges_of(10**9) == settings().max_parts


def test_the_plan_is_kept_with_the_build(work):
    for week in range(2):
        lakes.write_json(work.lake, f"raw/ask39/{week}/report.json", {"pages": 50_000})
    made = read_build(work.lake, new_build(work.lake))
    parts = len(made["shards"])
    assert parts == 6
    tasks = parts * (len(STAGES) - 1) + 1  # all stages but the release are mapped
    steps = parts + 1 + 2 * ranges_of(100_000) + 1  # dedup
    steps += 1 + 2 * (1 + parts + 1)  # filter; rate, diversify
    assert made["plan"] == {"rows": 100_000, "parts": 6, "tasks": tasks + steps, "bytes": made["plan"]["bytes"]}
    assert made["plan"]["bytes"] > 0
