"""What a build reads: shards of bounded size, every crawl in them once."""

import pytest

from chimed.build import inputs
from chimed.build.corpus import MOST_PARTS
from chimed.build.inputs import _packed, crawls, piece
from chimed.build.options import Options
from chimed.storage import lake as lakes


def size_of(shard: list[str], sizes: dict[str, float]) -> float:
    return sum(sizes[f"{one.source}/{one.crawl}"] / one.share[1] for one in map(piece, shard))


@pytest.mark.parametrize(
    "sizes",
    [
        {"a/1": 0.0},
        {"a/1": 0.4, "a/2": 0.4, "b/1": 0.4},
        {"a/1": 7.3, "b/1": 0.1, "b/2": 0.9, "c/1": 1.0},
        {f"a/{week}": 0.01 * (week % 30) for week in range(500)},
    ],
)
def test_no_shard_is_larger_than_the_limit_and_every_share_is_in_one(sizes):
    shards = _packed(sizes, 1.0)
    assert all(size_of(shard, sizes) <= 1.0001 for shard in shards)
    assert crawls(shards) == sorted(sizes)
    pieces = [piece(entry) for shard in shards for entry in shard]
    for crawl in sizes:
        shares = [one.share for one in pieces if f"{one.source}/{one.crawl}" == crawl]
        assert shares == [(which, len(shares)) for which in range(len(shares))]


def test_small_crawls_share_a_shard_and_a_large_one_has_several():
    assert _packed({"a/1": 0.2, "a/2": 0.2, "b/1": 1.5}, 1.0) == [["a/1", "a/2"], ["b/1/0-of-2"], ["b/1/1-of-2"]]


def test_there_are_never_more_shards_than_tasks_may_be(work, monkeypatch):
    monkeypatch.setattr(inputs, "PAGES_A_SHARD", 10)
    for week in range(4):
        lakes.write_json(work.lake, f"raw/ask39/{week}/report.json", {"pages": 5_000 * week})
    shards = inputs.shards(work.lake, Options())
    assert len(shards) <= MOST_PARTS
    assert crawls(shards) == [f"ask39/{week}" for week in range(4)]
