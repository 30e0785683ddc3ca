"""The records that left a build are found by stage, reason and words, page by page, in one build or in all."""

from datetime import UTC, datetime

import pytest

from chimed.errors import UserError
from chimed.pipeline.dropped import Search, find_dropped
from chimed.schema import DROPPED, dropped_table
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake


def row(number: int, reason: str, text: str = "茯苓健脾") -> dict:
    return {
        **dict.fromkeys(DROPPED.names), "id": f"{number:016x}", "source": "zydcd", "domain": "tcm", "kind": "document",
        "language": "zh", "url": f"http://x/{number}", "page": "raw/zydcd/1#0", "title": f"第{number}", "text": text,
        "fetched": datetime(2026, 11, 16, tzinfo=UTC), "replies": [], "fate": "dropped", "reason": reason,
    }  # fmt: skip


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = open_lake(str(tmp_path / "lake"))
    for version in ("2026.11.15", "2026.11.22"):
        lakes.write_json(made, f"builds/{version}/build.json", {"version": version, "shards": [], "options": {}})
        for shard in range(2):
            rows = [row(shard * 10 + n, "too short" if n % 2 else "perplexity") for n in range(10)]
            rows[3]["text"] = "党参补气"
            path = f"builds/{version}/filter/dropped-{shard:05d}.parquet"
            lakes.write_table(made, path, dropped_table(rows), DROPPED)
    copies = dropped_table([row(77, "same text")])
    lakes.write_table(made, "builds/2026.11.22/dedup/dropped-00000.parquet", copies, DROPPED)
    return made


def every(lake: Lake, sought: Search, most: int) -> list[dict]:
    found, start = [], ""
    while True:
        left = find_dropped(lake, sought, start, most)
        assert len(left.rows) <= most
        found += left.rows
        if left.after is None:
            return found
        start = left.after


@pytest.mark.parametrize("most", [1, 3, 100])
@pytest.mark.parametrize(
    ("sought", "count"),
    [
        (Search("2026.11.22"), 21),
        (Search("2026.11.22", "filter"), 20),
        (Search("2026.11.22", "filter", "too short"), 10),
        (Search("2026.11.22", "filter", "", "党参"), 2),
        (Search("2026.11.22", "filter", "perplexity", "党参"), 0),
        (Search("", "filter", "too short"), 20),
        (Search("", "", "same text"), 1),
        (Search("2026.11.22", "", "never heard of"), 0),
    ],
)
def test_each_is_found_once_whatever_the_pages_length(lake, sought, count, most) -> None:
    found = every(lake, sought, most)
    assert len(found) == count
    assert len({(one["build"], one["stage"], one["id"]) for one in found}) == count
    assert all(one["reason"] == sought.reason for one in found if sought.reason)


def test_the_newest_build_comes_first(lake) -> None:
    first = find_dropped(lake, Search(), most=1).rows[0]
    assert (first["build"], first["stage"], first["said"][0]) == ("2026.11.22", "dedup", ("title", "第77"))
    assert find_dropped(lake, Search(), "../../etc/passwd#5", 1).rows[0] == first


def test_an_unknown_build_is_the_users_mistake(lake) -> None:
    with pytest.raises(UserError, match=r"2026\.11\.22"):
        find_dropped(lake, Search("1999.1.1"))
