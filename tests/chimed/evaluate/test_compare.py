"""The table: pairing, sentences, and what the paper's own Table 6 allows to say."""

import json

import polars as pl
import pytest

from chimed.errors import UserError
from chimed.evaluate import paper, seeds
from chimed.evaluate.answers import fair_score
from chimed.evaluate.compare import compare_models, compare_phases
from chimed.evaluate.table import POOLED, Paired, markdown, pairs, table
from chimed.intervals import mcnemar
from chimed.settings import settings
from chimed.storage import lake as lakes


def test_the_papers_table_shows_no_difference() -> None:
    first, second, *rows = table(paper.paired())
    # pooled, 1.7 B gains ten of 498 and loses none at its best: that alone would be more than chance
    assert (first.task, first.questions, first.gained, first.p) == (POOLED, 498, 10, pytest.approx(2 / 2**10))
    assert (second.gained, second.p) == (5, pytest.approx(0.0625))
    assert [row.holm for row in (first, second)] == pytest.approx([4 / 2**10, 0.0625])
    assert [row.p for row in rows] == pytest.approx([0.0625, 0.25, 0.5, 1, 0.125, 1])
    assert rows[0].holm == pytest.approx(0.375)
    assert all("no evidence of a difference" in row.sentence for row in rows)
    assert rows[0].sentence.startswith("5 of 176 questions changed in favour, 0 against, p = 0.06")
    assert all(row.could_show > row.gained for row in rows)
    small, large = (
        markdown([row for row in rows if row.model == model], model) for model in ("Qwen3-1.7B", "Qwen3-14B")
    )
    assert "| cmmlu_genetics | Qwen3-1.7B | 85/176 48.30 % | 90/176 51.14 % | +2.84 (" in small
    assert "| 5 / 0 | 0.062 | 0.375 |" in small
    # Table 6's own shape: a line a model
    assert "| model | cmmlu_genetics | cmmlu_college_medicine | ceval-valid_physician |" in large
    assert "| base | 135/176 76.70 % (69.9 to 82.3) | 239/273 87.55 % (" in large
    assert "| Qwen3-14B | 135/176 76.70 % (69.9 to 82.3) | 243/273 89.01 % (" in large


def test_the_papers_percentages_are_these_counts() -> None:
    for cell in paper.TABLE_6:
        right = [round(share * paper.QUESTIONS[cell.exam] / 100) for share in (cell.before, cell.after)]
        assert tuple(right) == cell.right
        exact = [round(100 * count / paper.QUESTIONS[cell.exam], 2) for count in right]
        # (1.46 is what the text says for 89.01 less 87.55)
        assert exact == [cell.before, cell.after]
        if cell.heading != cell.exam:  # under its heading no whole number of questions gives that share
            questions = paper.QUESTIONS[cell.heading]
            shares = {round(100 * count / questions, 2) for count in range(questions + 1)}
            assert cell.before not in shares
            assert cell.after not in shares
    assert [cell.exam for cell in paper.TABLE_6 if cell.heading != cell.exam] == list(paper.PAPER[:2])


def test_what_may_have_been_lost() -> None:
    assert [paper.most_lost(gain) for gain in (0, 5, 6, 10)] == [None, None, 0, 5]
    assert mcnemar(10 + 5, 5) < 0.05 < mcnemar(10 + 6, 6)
    said = paper.told()
    assert "| 10/498" not in said
    assert "| Qwen3-1.7B | the paper's exams, pooled | 278/498 (55.82 %) | 288/498 (57.83 %) |" in said
    assert "none could be significant on its own" in said
    assert "columns of CMMLU are swapped" in said


def test_sentences() -> None:
    some = [Paired("m", "a", "paper", 176, 80, 82, 3, 1), Paired("m", "b", "paper", 176, 80, 100, 22, 2)]
    none, gain = table(some)[1:]
    assert none.sentence == "3 of 176 questions changed in favour, 1 against, p = 0.62: no evidence of a difference"
    assert gain.sentence.endswith("p < 0.001: evidence of a gain")
    weak = table([Paired("m", "a", "paper", 99, 50, 56, 6, 0), Paired("m", "b", "paper", 99, 50, 50, 0, 0)])[1]
    assert weak.sentence.endswith("p = 0.031: not enough for a gain among 2 tests (Holm p = 0.062)")
    assert table([Paired("m", "a", "paper", 99, 50, 40, 0, 10)])[0].sentence.endswith("evidence of a loss")


def test_families_are_corrected_separately() -> None:
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
            "correct": [True, False, True],
            "scores": [[-1.0, -1.0, -2.0, -3.0], [-1.0, -1.0, -1.0, -1.0], [-2.0, -3.0, -1.0, -4.0]],
        }
    )
    assert fair_score(three) == pytest.approx(0.5 + 0.25 + 1)
    wrote = pl.DataFrame({"answer": ["ABD", "AB"], "correct": [True, False], "scores": [[], []]}, three.schema)
    assert fair_score(pl.concat([three, wrote])) == pytest.approx(2.75)


def samples(correct: list[bool], task: str = "cmmlu_genetics", tied: int = 0) -> pl.DataFrame:
    count = len(correct)
    return pl.DataFrame(
        {
            "task": [task] * count,
            "number": range(count),
            "hash": ["same"] * count,  # twins in an exam: the number tells them apart
            "correct": correct,
            "answer": ["A"] * count,
            # the first `tied` questions have four letters of one likelihood
            "scores": [
                [-1.0] * 4 if n < tied else [-1.0 if correct[n] else -3.0, -2.0, -4.0, -5.0] for n in range(count)
            ],
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
        samples(correct, tied=tied).write_parquet(file)


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
    assert "base: some answers are ties between letters, of which lm-eval takes the first" in (
        text := compare_phases("demo", "latest")
    )
    assert "cmmlu_genetics 3 (lm-eval 1 right, as chance 0.75)" in text
    assert json.loads(lakes.read_bytes(lake, f"{place}/compare.json"))["ties"] == [
        {"model": "base", "task": "cmmlu_genetics", "questions": 4, "tied": 3, "right": 1, "fair": 0.75}
    ]
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


def test_seeds_have_a_table_of_their_own(lake) -> None:
    protocol = {"shots": 0}
    put(lake, "base", [True, False, False, False, False], protocol)
    for recipe, seed, right in (("demo", 42, 2), ("demo+seed=43", 43, 4), ("demo+lr", 42, 5), ("demo+seed=44", 44, 5)):
        put(lake, "sft", [n < right for n in range(5)], {"shots": 5} if seed == 44 else protocol, recipe)
        reports = [
            {"phase": phase, "release": "2026.11.22", "base_model": "b", "fields": {"seed": seed, "lr": recipe[5:7]}}
            for phase in ("cpt", "sft")
        ]
        for report in reports:
            report["fields"]["lr"] = 2 if recipe.endswith("lr") else 1
        path = f"scores/2026.11.22/{recipe}/sft.json"
        lakes.write_json(lake, path, lakes.read_json(lake, path) | {"training": seeds.training(reports)})
    text = compare_phases("demo", "latest")
    # another rate is another recipe, and another protocol is not compared
    assert "| sft | base | seed 42 | seed 43 | mean | standard deviation |" in text
    assert "| cmmlu_genetics | 20.00 % | 40.00 % | 80.00 % | 60.00 % | 28.28 points |" in text
    assert "2 seeds change the score by +20.00 to +60.00 points, all in one direction" in text
    (one,) = lakes.read_json(lake, "scores/2026.11.22/demo/compare.json")["seeds"]
    assert (one["right"], one["questions"]) == ({"42": 2, "43": 4}, 5)
    put(lake, "base", [True, True, True, False, False], protocol)
    assert "what the seed does is as large as the change" in compare_phases("demo", "latest")


def test_seeds_of_phases_may_differ() -> None:
    reports = [{"phase": p, "release": "r", "fields": {"seed": s}} for p, s in (("cpt", 1), ("sft", 2))]
    assert seeds.training(reports)["seed"] == "1-2"
    same = [{"phase": p, "release": "r", "fields": {"seed": 7}} for p in ("cpt", "sft")]
    assert seeds.training(same) == {"seed": "7", "settings": seeds.training(reports)["settings"]}
