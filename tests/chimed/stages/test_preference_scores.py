"""Preferences whose answers the judge also rates by the rubric of `rate`."""

import dataclasses
import json

import pyarrow as pa
import pytest

from chimed.build import order
from chimed.build.ledger import TooManyFailed, check_ledger
from chimed.llm import prompts
from chimed.llm.asking import ask_models
from chimed.pipeline.estimate import estimate_build
from chimed.pipeline.trace import read_row
from chimed.rating import judge, rubric
from chimed.release.pairs import preferences
from chimed.release.rows import shaped
from chimed.schema import FORMER_NAMES, OF_PAIRS, QUALITY_NAMES, RECORD
from chimed.stages import prefer
from chimed.storage import lake as lakes
from support.samples import document, model_outcome, prepared, qa, rows

THIN = "多喝水，多休息。"
GOOD = "尽快到医院呼吸科就诊，查胸片，遵医嘱用药，不要自行服用抗生素。"


def rating(*scores: int) -> str:
    return json.dumps({name: {"why": "说明。", "score": n} for name, n in zip(rubric.JUDGED, scores, strict=True)})


@pytest.fixture
def asked(work, served):
    """The surroundings with a generator that writes a good and a thin answer, and a judge that tells them apart."""

    def answer(body):
        system, said = body["messages"][0]["content"], body["messages"][-1]["content"]
        if system == prompts.load("rate").system:
            return rating(5, 5, 2, 5) if "可以自行服用" in said else rating(5, 5, 5, 5) if GOOD in said else thin[0]
        if "回答A" in said:
            return "A" if said.index(GOOD) < said.index(THIN) else "B"
        return (GOOD, THIN)[body["seed"]]

    thin = [rating(3, 2, 3, 5)]
    served.answer = answer
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    options = work.options.model_copy(update={"preference_share": 1.0, "preference_scores": True})
    return dataclasses.replace(work, settings=where, options=options), thin


def questions(number: int = 4):
    return rows(*(qa(f"咳嗽{n}天怎么办？", "查胸片。") for n in range(1, number + 1)))


def rate_bodies(served) -> list[dict]:
    return [body for body in served.bodies if rated(body)]


def test_both_answers_have_the_rubrics_scores(asked, served):
    work, _ = asked
    table = questions()
    outcome = model_outcome(prefer, table, work)
    check_ledger("prefer", table, outcome)
    row = outcome.derived.to_dicts()[0]
    assert set(row["chosen_scores"]) == set(QUALITY_NAMES)
    assert [row["chosen_scores"][name] for name in rubric.JUDGED] == [5, 5, 5, 5]
    assert [row["rejected_scores"][name] for name in rubric.JUDGED] == [3, 2, 3, 5]
    assert row["chosen_scores"]["quality"] > row["rejected_scores"]["quality"]
    told = outcome.figures["scores"]["judge"]
    assert (told["pairs"], told["higher"], told["same"], told["lower"]) == (4, 4, 0, 0)
    assert (told["difference"]["factual"], told["difference"]["answers"]) == (2.0, 3.0)
    assert outcome.figures["rating"]["requests"] == len(rate_bodies(served)) == 8
    assert len(row["replies"]) == 2 + 2 + 2


def test_rate_finds_the_replies_in_the_store(asked, served):
    work, _ = asked
    made = model_outcome(prefer, questions(), work).derived
    sent = len(rate_bodies(served))
    outcome = ask_models("rate", judge.JUDGE, made, work)
    assert len(rate_bodies(served)) == sent
    assert outcome.kept["quality_factual"].to_list() == [5.0] * 4


def test_scores_tell_whether_they_see_what_was_spoilt(asked):
    work, _ = asked
    spoilt = work.options.model_copy(update={"preference_spoilt": 1.0})
    outcome = model_outcome(prefer, questions(), dataclasses.replace(work, options=spoilt))
    row = outcome.derived.to_dicts()[0]
    assert (row["rejected_by"], row["rejected_model"], row["preference_margin"]) == ("warning", None, None)
    assert (row["chosen_scores"]["safe"], row["rejected_scores"]["safe"]) == (5.0, 2.0)
    told = outcome.figures["scores"]
    assert list(told) == ["warning"]
    assert (told["warning"]["higher"], told["warning"]["difference"]["safe"]) == (4, 3.0)


def test_a_rating_that_cannot_be_read_costs_no_pair(asked, served):
    work, thin = asked
    usual = served.answer
    served.answer = lambda body: "给三分。" if "咳嗽1天" in str(body) and THIN in rated(body) else usual(body)
    outcome = model_outcome(prefer, questions(30), work)
    found = {row["question"]: row for row in outcome.derived.to_dicts()}
    assert (len(found), found["咳嗽1天怎么办？"]["rejected_scores"]) == (30, None)
    assert found["咳嗽1天怎么办？"]["chosen_scores"]["safe"] == 5.0
    assert outcome.figures["scores"]["judge"]["pairs"] == 29
    assert outcome.figures["rating"]["failures"] == {"no rating by the rubric": 1}
    thin[0] = "给三分。"
    with pytest.raises(TooManyFailed, match="not a rating by the rubric"):
        model_outcome(prefer, questions(60), work)


def test_an_estimate_knows_ratings_behind_verdicts(asked, served):
    """Where answers are stored and verdicts are not, as after a build that stopped between the two."""
    work, _ = asked
    for stage in order.NAMES[1 : order.NAMES.index("prefer") + 1]:
        prepared(stage, questions(), work)
    only = dataclasses.replace(work, options=work.options.model_copy(update={"skip": ("reason", "rate")}))
    assert remaining(only) == {"answer": 8, "judge": 8, "rate": 8}
    right = served.answer
    served.answer = lambda body: (400, {}, b"{}") if "回答A" in str(body) else right(body)
    with pytest.raises(TooManyFailed):
        model_outcome(prefer, questions(), only)
    assert remaining(only) == {"answer": 0, "judge": 8, "rate": 8}
    served.answer = right
    model_outcome(prefer, questions(), only)
    assert remaining(only) == {"answer": 0, "judge": 0, "rate": 0}


def remaining(work) -> dict[str, int]:
    return {one["prompt"].split("@")[0]: one["remain"] for one in estimate_build(work, rate=1000)["stages"]}


def rated(body: dict) -> str:
    """The text that a request is to rate; empty of any other request."""
    system = body["messages"][0]["content"]
    return body["messages"][-1]["content"] if system == prompts.load("rate").system else ""


def test_without_the_option_a_build_is_the_papers(asked, served):
    work, _ = asked
    plain = dataclasses.replace(work, options=work.options.model_copy(update={"preference_scores": False}))
    outcome = model_outcome(prefer, questions(), plain)
    assert outcome.derived["chosen_scores"].null_count() == 4
    assert "scores" not in outcome.figures
    assert "rating" not in outcome.figures
    assert rate_bodies(served) == []


def test_a_release_has_them_and_older_tables_are_read(asked):
    work, _ = asked
    made = model_outcome(prefer, questions(), work).derived
    shown = shaped(made, "preference")
    assert shown["rejected_scores"][0]["answers"] == 2.0
    assert shown.columns[-len(OF_PAIRS) :] == list(OF_PAIRS)
    old = rows(document("茯苓味甘。")).drop(OF_PAIRS)
    before = pa.schema([field for field in RECORD if field.name not in OF_PAIRS])
    lakes.write_table(work.lake, "old.parquet", old, before)
    (batch,) = lakes.read_batches(work.lake, "old.parquet", RECORD.names, RECORD)
    assert batch["chosen_scores"].null_count() == 1


def test_margins_of_older_tables_are_read(asked):
    work, _ = asked
    made = model_outcome(prefer, questions(), work).derived
    assert made["preference_margin"].to_list() == [1.0] * len(made)
    path = "builds/2026.11.22/prefer/kept-00000.parquet"
    older = pa.schema([field.with_name(FORMER_NAMES.get(field.name, field.name)) for field in RECORD])
    lakes.write_table(work.lake, path, made.rename(FORMER_NAMES), older)
    assert lakes.read_table(work.lake, path, schema=RECORD).equals(made)
    (batch,) = lakes.read_batches(work.lake, path, ["preference_margin", "id"], RECORD)
    assert batch.equals(made.select("preference_margin", "id"))
    row = read_row(work.lake, path, made["id"][1])
    assert row is not None
    assert (row["preference_margin"], set(row)) == (1.0, set(RECORD.names))


def test_parts_are_added_up():
    one = {"pairs": 3, "higher": 2, "same": 1, "lower": 0, "difference": {"quality": 1.0, "safe": 0.0}}
    two = {"pairs": 1, "higher": 0, "same": 0, "lower": 1, "difference": {"quality": -1.0, "safe": 4.0}}
    wins = {"answers": 4, "met": 4, "won": 3, "lost": 1, "chosen": 3, "rejected": 1}
    shards = [{"generators": {"a": wins}, "scores": {"judge": one}}, {"generators": {"a": wins, "b": wins}}, {}]
    told = preferences([*shards, {"generators": {"b": wins}, "scores": {"judge": two}}])
    assert told["generators"] == {name: {key: 2 * n for key, n in wins.items()} for name in ("a", "b")}
    assert told["scores"]["judge"] == {
        "pairs": 4, "higher": 2, "same": 1, "lower": 1, "difference": {"quality": 0.5, "safe": 1.0},
    }  # fmt: skip
    assert preferences([{}]) is None
