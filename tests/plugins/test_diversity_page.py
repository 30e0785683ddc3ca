"""The page of a build's diversity: hostile words, what a cap would take, the file of what nobody asks."""

import polars as pl
import pytest

from chimed.build import order
from chimed.schema import DROPPED, RECORD
from chimed.storage import lake as lakes
from support.samples import qa, rows
from support.state import HOSTILE

BUILD = "2026.11.01"
FIGURES = {
    "placed": 40,
    "taken": {},
    "sample": 40,
    "clusters": [
        {"cluster": 0, "words": ["头痛", HOSTILE], "rows": {"qa": 30}, "taken": 0},
        {"cluster": 1, "words": [], "rows": {"qa": 10}, "taken": 0},
    ],
    "spread": {"qa": {"rows": 40, "unplaced": 0, "clusters": 2, "largest": 0.75, "effective": 1.8}},
    "limits": {"qa": {"most": 20, "clusters": 2, "equal": 0.5, "too_low": True}},
    "would_take": {"0.1": {"qa": 32}, "0.5": {"qa": 10}},
    "leaving": [],
    "paraphrases": {"sample": 40, "same": 3, "found": 2, "low": 0.01, "high": 0.16, "shown": []},
    "coverage": {"herbs": {"listed": 470, "questions": 1, "answers": 2, "documents": 3}},
    "departments": [{"department": "内科", "questions": 0}],
    "unasked": [{"group": "herbs", "name": "川芎", "documents": 3, "answers": 1}],
}


@pytest.fixture
def varied(state):
    """A build whose diversity is measured, with one hostile row."""
    lake = lakes.open_lake(str(state / "lake"))
    table = rows(*(qa(HOSTILE if n == 3 else f"问题{n}？", "答。", title=None) for n in range(40)))
    table = table.with_columns(cluster=pl.Series([int(n >= 30) for n in range(40)], dtype=pl.Int32))
    made = {"version": BUILD, "shards": [["a/b"]], "options": {}, "stages": order.stages_for_build_json()}
    folder = f"builds/{BUILD}/diversify"
    lakes.write_json(lake, f"builds/{BUILD}/build.json", made)
    lakes.write_table(lake, f"{folder}/kept-00000.parquet", table, RECORD)
    lakes.write_table(lake, f"{folder}/dropped-00000.parquet", pl.DataFrame(schema=pl.Schema(DROPPED)), DROPPED)
    report = {"stage": "diversify", "shard": 0, "parts": 1, "figures": FIGURES}
    lakes.write_json(lake, f"{folder}/report-00000.json", report)


def test_the_page_tells_topics_and_what_nobody_asks(pages, varied) -> None:
    client = pages()
    page = client.get(f"/builds/{BUILD}/diversity").text
    assert "<script>document" not in page
    assert "头痛" in page
    assert "川芎" in page
    assert "75.0 %" in page
    assert "looked at only" in page
    assert "below an equal share" in page
    assert "50.0 %" in page
    chinese = client.get(f"/builds/{BUILD}/diversity", cookies={"chimed_language": "zh"}).text
    assert "多样性" in chinese
    assert "上限低于各簇均分的比例" in chinese
    none = client.get("/builds/2026.11.22/diversity")
    assert (none.status_code, none.headers["location"]) == (303, "/builds/2026.11.22")  # it has not measured any


def test_what_nobody_asks_is_a_file(pages, varied) -> None:
    told = pages().get(f"/builds/{BUILD}/unasked.csv")
    assert told.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in told.headers["content-disposition"]
    assert told.content.decode() == "\ufeffgroup,name,documents,answers\r\nherbs,川芎,3,1\r\n"
