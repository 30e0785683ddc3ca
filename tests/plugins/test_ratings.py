"""The page of a build's ratings, and people who rate: hostile words, cuts to look at, verdicts that are none."""

import re
from datetime import UTC, datetime

import polars as pl
import pytest

from chimed.build import order
from chimed.pipeline.ratings import print_ratings, read_ratings
from chimed.rating import rubric
from chimed.schema import DROPPED, QUALITY, RECORD
from chimed.storage import lake as lakes
from chimed.storage.store import open_store, upsert
from chimed.storage.store_tables import REVIEW_QUEUE
from support.samples import qa, rows
from support.state import HOSTILE

BUILD = "2026.11.01"
SURE = {
    "kappa": 0.61,
    "low": 0.5,
    "high": 0.72,
    "of": 40,
    "spearman": 0.6,
    "mean_error": 0.4,
    "error": 0.5,
    "constant_error": 0.8,
}


@pytest.fixture
def rated(state):
    """A build whose rows are rated, one of them hostile, and one row of it in the review queue."""
    lake, store = lakes.open_lake(str(state / "lake")), open_store(f"sqlite:///{state}/store.db")
    table = rows(*(qa(f"问题{n}？", HOSTILE if n == 3 else f"回答{n}。") for n in range(40)))
    ratings = [pl.Series(name, [1 + n / 10 for n in range(40)], pl.Float64) for name in QUALITY]
    made = {"version": BUILD, "shards": [["a/b"]], "options": {}, "stages": order.stages_for_build_json()}
    lakes.write_json(lake, f"builds/{BUILD}/build.json", made)
    lakes.write_table(lake, f"builds/{BUILD}/rate/kept-00000.parquet", table.with_columns(ratings), RECORD)
    lakes.write_table(
        lake, f"builds/{BUILD}/rate/dropped-00000.parquet", pl.DataFrame(schema=pl.Schema(DROPPED)), DROPPED
    )
    agreement = {name: SURE | {"better": name != "fluent"} for name in rubric.JUDGED}
    figures = {"rubric": rubric.load().version, "judged": 40, "judge": {"model": HOSTILE}, "agreement": agreement}
    report = {"stage": "rate", "shard": 0, "parts": 1, "figures": figures}
    lakes.write_json(lake, f"builds/{BUILD}/rate/report-00000.json", report)
    row = {"record": "b" * 16, "stage": "rate", "build": BUILD, "kind": "rated", "text": HOSTILE}
    row |= {"reason": f"4 3 5 4 {rubric.load().version}", "sampled": datetime(2026, 11, 1, tzinfo=UTC)}
    upsert(store, REVIEW_QUEUE, [row])
    return table


def test_a_cut_is_looked_at_before_it_is_made(pages, rated) -> None:
    client = pages()
    page = client.get(f"/builds/{BUILD}/ratings?cut=10").text
    assert "<script>document" not in page
    assert page.count("no better than always giving the mean") == 1
    assert "looked at only" in page
    assert page.count('<td class="n">4</td></tr>') == 1  # ten per cent of forty rows
    assert "评分" in client.get(f"/builds/{BUILD}/ratings", cookies={"chimed_language": "zh"}).text
    assert client.get(f"/builds/{BUILD}/ratings?cut=100").status_code == 422
    none = client.get("/builds/2026.11.22/ratings")
    assert (none.status_code, none.headers["location"]) == (303, "/builds/2026.11.22")  # it has no ratings


def test_ratings_are_told_from_reports_alone(pages, rated, state, capsys) -> None:
    lake = lakes.open_lake(str(state / "lake"))
    path = f"builds/{BUILD}/rate/report-00000.json"
    report, sums = lakes.read_json(lake, path), dict.fromkeys(QUALITY, 120.0)
    row = {"id": "c" * 16, "kind": "qa", "source": "ask39", "text": "问题：头晕怎么办？", **dict.fromkeys(QUALITY, 3.0)}
    report["figures"] |= {
        "ratings": {"ask39": {"rows": 40, **sums}},
        "would_take": {"0.05": {"ask39": 2}},
        "shown": {"best": [row], "worst": [row], "line": [row]},
    }
    lakes.write_json(lake, path, report)
    lakes.remove(lake, f"builds/{BUILD}/rate/kept-00000.parquet")
    told = read_ratings(lake, BUILD)
    assert (told["rows"], told["from_reports"]) == (40, True)
    assert told["sources"] == [{"source": "ask39", "rows": 40, **dict.fromkeys(QUALITY, 3.0), "takes": 2}]
    assert [one["id"] for one in told["shown"]["line"]] == [row["id"]]
    assert read_ratings(lake, BUILD, 0.03)["sources"][0]["takes"] is None
    print_ratings(told)
    said = capsys.readouterr().out
    assert "40 rows are rated, all of them by the judge" in said
    assert "from the build's reports" in said
    assert "from the build&#39;s reports" in pages().get(f"/builds/{BUILD}/ratings").text


def test_people_rate_blind_by_four_digits(pages, rated) -> None:
    client = pages()
    page = client.get(f"/review?build={BUILD}&stage=rate").text
    assert page.count("<fieldset data-criterion=") == 4
    assert "4 3 5 4" not in page
    token = re.search(r'data-token="([^"]+)"', page)[1]
    (item,) = client.get(f"/review/items?build={BUILD}&stage=rate").json()
    assert set(item) == {"record", "text"}

    def say(verdict: str):
        said = {"build": BUILD, "stage": "rate", "record": "b" * 16, "verdict": verdict}
        headers = {"X-Chimed-Token": token, "origin": "http://testserver"}
        return client.post("/review/verdicts", json=said, headers=headers)

    assert say("flagged").status_code >= 400
    told = say("5 3 5 4").json()
    assert told["stage"]["reason"].startswith("4 3 5 4 ")
    assert told["standing"]["judged"] == 1
    assert (told["standing"]["factual"]["counts"], told["standing"]["answers"]["counts"]) == ("0 / 1", "1 / 1")
