"""The table: pairing, sentences, and what the paper's own Table 6 allows to say."""

import json

import polars as pl
import pytest

from chimed.errors import UserError
from chimed.evaluate.compare import compare_models, compare_phases, fair_score
from chimed.evaluate.table import POOLED, Paired, markdown, pairs, table
from chimed.settings import settings
from chimed.storage import lake as lakes

# Table 6 as counts, in the best case for the paper: no question lost. The two CMMLU columns of the 14B rows are
# multiples of 1/273 and 1/176 the other way round than they are headed; here each stands with its own exam.
PAPER = [
    Paired("1.7b", "cmmlu_genetics", "paper", 176, 85, 90, 5, 0),
    Paired("1.7b", "cmmlu_college_medicine", "paper", 273, 164, 167, 3, 0),
    Paired("1.7b", "ceval-valid_physician", "paper", 49, 29, 31, 2, 0),
    Paired("14b", "cmmlu_genetics", "paper", 176, 135, 135, 0, 0),
    Paired("14b", "cmmlu_college_medicine", "paper", 273, 239, 243, 4, 0),
    Paired("14b", "ceval-valid_physician", "paper", 49, 42, 43, 1, 0),
]
PRINTED = [(48.30, 51.14), (60.07, 61.17), (59.18, 63.27), (76.70, 76.70), (87.55, 89.01), (85.71, 87.76)]


def test_the_papers_percentages_are_these_counts() -> None:
    for pair, (before, after) in zip(PAPER, PRINTED, strict=True):
        assert round(100 * pair.before / pair.questions, 2) == before
        assert round(100 * pair.after / pair.questions, 2) == after


def test_the_papers_table_at_its_best_shows_no_difference() -> None:
    first, second, *rows = table(PAPER)
    # pooled, 1.7 B gains ten of 498 and loses none at its best: that alone would be more than chance
    assert (first.task, first.questions, first.gained, first.p) == (POOLED, 498, 10, pytest.approx(2 / 2**10))
    assert (second.gained, second.p) == (5, pytest.approx(0.0625))
    assert [row.holm for row in (first, second)] == pytest.approx([4 / 2**10, 0.0625])
    assert [row.p for row in rows] == pytest.approx([0.0625, 0.25, 0.5, 1, 0.125, 1])
    assert rows[0].holm == pytest.approx(0.375)
    assert all("no evidence of a difference" in row.sentence for row in rows)
    assert rows[0].sentence.startswith("5 of 176 questions changed in favour, 0 against, p = 0.06")
    assert all(row.could_show > row.gained for row in rows)
    small, large = (markdown([row for row in rows if row.model == model], model) for model in ("1.7b", "14b"))
    assert "| cmmlu_genetics | 1.7b | 85/176 48.30 % | 90/176 51.14 % | +2.84 (" in small
    assert "| 5 / 0 | 0.062 | 0.375 |" in small
    # Table 6's own shape: a line a model
    assert "| model | cmmlu_genetics | cmmlu_college_medicine | ceval-valid_physician |" in large
    assert "| base | 135/176 76.70 % (69.9 to 82.3) | 239/273 87.55 % (" in large
    assert "| 14b | 135/176 76.70 % (69.9 to 82.3) | 243/273 89.01 % (" in large


def test_sentences() -> None:
    some = [Paired("m", "a", "paper", 176, 80, 82, 3, 1), Paired("m", "b", "paper", 176, 80, 100, 22, 2)]
    none, gain = table(some)[1:]
    assert none.sentence == "3 of 176 questions changed in favour, 1 against, p = 0.62: no evidence of a difference"
    assert gain.sentence.endswith("p < 0.001: evidence of a gain")
    weak = table([Paired("m", "a", "paper", 99, 50, 56, 6, 0), Paired("m", "b", "paper", 99, 50, 50, 0, 0)])[1]
    assert weak.sentence.endswith("p = 0.031: not enough for a gain among 2 tests (Holm p = 0.062)")
    assert table([Paired("m", "a", "paper", 99, 50, 40, 0, 10)])[0].sentence.endswith("evidence of a loss")


def test_families_do_not_pay_for_each_other_and_forgetting_has_a_margin() -> None:
    pairs = [Paired("m", f"p{n}", "paper", 99, 50, 56, 6, 0) for n in range(2)]
    pairs += [Paired("m", f"g{n}", "general", 200, 100, 100, 3, 3) for n in range(10)]
    rows = {row.task: row for row in table(pairs)}
    assert rows["p0"].holm == pytest.approx(2 * rows["p0"].p)
    assert rows[POOLED].holm == rows[POOLED].p == pytest.approx(2 / 2**12)
    assert "non-inferior" in rows["g0"].sentence
    assert rows["g0"].difference[0] == pytest.approx(-rows["g0"].difference[1], abs=1e-9)
    lost = table([Paired("m", "g", "general", 50, 30, 28, 3, 5)])[0]
    assert "a loss of 5 points is not ruled out" in lost.sentence
    # at the level that two tests leave, an exam shows less than alone
    assert rows["p0"].could_show > table([pairs[0]])[0].could_show


def test_ties_are_worth_their_chance() -> None:
    three = pl.DataFrame(
        {
            "answer": ["A", "B", "C"],
            "scores": [[-1.0, -1.0, -2.0, -3.0], [-1.0, -1.0, -1.0, -1.0], [-2.0, -3.0, -1.0, -4.0]],
        }
    )
    assert fair_score(three) == pytest.approx(0.5 + 0.25 + 1)


def samples(correct: list[bool], task: str = "cmmlu_genetics") -> pl.DataFrame:
    count = len(correct)
    return pl.DataFrame(
        {
            "task": [task] * count,
            "number": range(count),
            "hash": ["same"] * count,  # twins in an exam: the number tells them apart
            "correct": correct,
        }
    )


def test_answers_are_paired_question_by_question() -> None:
    before = samples([True, True, False, False, False])
    after = samples([True, False, True, True, False]).reverse()
    groups = {"cmmlu_genetics": "paper"}
    assert pairs("base", "sft", before, after, groups) == [Paired("sft", "cmmlu_genetics", "paper", 5, 2, 3, 2, 1)]
    with pytest.raises(UserError, match="did not answer the same questions"):
        pairs("base", "sft", before, after.head(4), groups)


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path))
    settings.cache_clear()
    (tmp_path / "releases" / "2026.11.22").mkdir(parents=True)
    (tmp_path / "releases" / "2026.11.22" / "manifest.json").write_text("{}")
    yield lakes.open_lake()
    settings.cache_clear()


def put(lake: lakes.Lake, model: str, correct: list[bool], protocol: dict, recipe: str = "demo", tied: int = 0) -> None:
    place = f"scores/2026.11.22/{recipe}/{model}"
    tasks = {"cmmlu_genetics": {"correct": sum(correct), "questions": len(correct), "group": "paper", "tied": tied}}
    lakes.write_json(
        lake, f"{place}.json", {"tasks": tasks, "protocol": protocol, "model": model, "checkpoint": f"/{model}"}
    )
    with lake.fs.open(lake.at(f"{place}.samples.parquet"), "wb") as file:
        samples(correct).write_parquet(file)


def test_files_and_refusals(lake) -> None:
    with pytest.raises(
        UserError, match="the base model of demo has not been scored; run: python -m chimed evaluate base"
    ):
        compare_phases("demo", "latest")
    put(lake, "base", [True, False, False, False], {"shots": 0})
    with pytest.raises(UserError, match="no phase of demo is scored"):
        compare_phases("demo", "latest")
    put(lake, "sft", [True, True, False, False], {"shots": 0})
    put(lake, "dpo", [True, True, True, False], {"shots": 0})
    text = compare_phases("demo", "latest")
    assert "| cmmlu_genetics | dpo | 1/4 25.00 % | 3/4 75.00 % |" in text
    place = "scores/2026.11.22/demo"
    assert lakes.read_bytes(lake, f"{place}/compare.md").decode() == text
    assert lakes.read_bytes(lake, f"{place}/compare.png").startswith(b"\x89PNG")
    written = json.loads(lakes.read_bytes(lake, f"{place}/compare.json"))
    assert [row["model"] for row in written["rows"]] == ["sft", "dpo"]
    put(lake, "base", [True, False, False, False], {"shots": 0}, tied=3)
    assert "base: 3 answers are ties between letters" in compare_phases("demo", "latest")
    for model in ("base", "dpo"):
        score = lakes.read_json(lake, f"{place}/{model}.json")
        lakes.write_json(lake, f"{place}/{model}.json", score | {"base_model": f"org/model@{model}"})
    with pytest.raises(UserError, match="dpo was trained from org/model@dpo, and the base that was scored is"):
        compare_phases("demo", "latest")
    put(lake, "dpo", [True, True, True, False], {"shots": 5})
    with pytest.raises(UserError, match="scored with other shots"):
        compare_phases("demo", "latest")


def test_any_models_are_compared_with_the_first(lake) -> None:
    put(lake, "base", [True, False, False, False], {"shots": 0}, "qwen3-1.7b")
    put(lake, "base", [True, True, True, False], {"shots": 0}, "qwen3-14b")
    put(lake, "dpo", [False, True, True, True], {"shots": 0}, "qwen3-14b")
    text = compare_models(["qwen3-1.7b/base", "qwen3-14b/base", "2026.11.22/qwen3-14b/dpo"], "latest")
    assert "| exam | model | qwen3-1.7b/base | model |" in text
    assert "- cmmlu_genetics, 2026.11.22/qwen3-14b/dpo: 3 of 4 questions changed in favour, 1 against" in text
    (named,) = lakes.names(lake, "scores/compared")
    written = lakes.read_json(lake, f"scores/compared/{named}/compare.json")
    assert written["reference"] == "qwen3-1.7b/base"
    assert [row["base_interval"] for row in written["rows"]] == [written["rows"][0]["base_interval"]] * 2
    for wrong, says in (
        (["qwen3-1.7b/base"], "two or more"),
        (["qwen3-1.7b/base", "sft"], "write <recipe>/<phase>"),
        (
            ["qwen3-1.7b/base", "demo/sft"],
            "demo/sft has not been scored; run: python -m chimed evaluate sft --recipe demo",
        ),
    ):
        with pytest.raises(UserError, match=says):
            compare_models(wrong, "latest")
    put(lake, "dpo", [True] * 4, {"shots": 0, "backend": "vllm"}, "qwen3-14b")
    with pytest.raises(UserError, match="scored with other backend"):
        compare_models(["qwen3-1.7b/base", "qwen3-14b/dpo"], "latest")
