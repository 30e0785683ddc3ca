"""prefer with more than two candidates, with a bound on lengths, and with answers that are spoilt on purpose."""

import dataclasses
import json
from itertools import combinations
from pathlib import Path

import pytest

from chimed.build.contract import Answer, Failure
from chimed.build.ledger import check_ledger
from chimed.llm import comparisons
from chimed.stages import prefer
from chimed.stages.prefer_contest import Contest, find_fit_candidates
from chimed.text import spoiling
from chimed.text.fidelity import coverage, negations
from support.samples import model_outcome, qa, rows

CASES = [json.loads(line) for line in (Path(__file__).parent / "spoilt_answers.jsonl").read_text("utf-8").splitlines()]
PLACES = [json.loads(line) for line in (Path(__file__).parent / "spoilt_places.jsonl").read_text("utf-8").splitlines()]
ANSWERS = (
    "多喝水。多休息。",
    "多喝水，注意休息，避免受凉。",
    "尽快到医院呼吸科就诊，遵医嘱用药。",
    "多喝水，不要自行用药。",
)


@pytest.fixture
def asked(work, served):
    """The surroundings with both models at the test's own server, a preference for each question."""
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    return dataclasses.replace(work, settings=where), {"preference_share": 1.0, "preference_candidates": 4}


def made(asked, served, order, **options):
    """What `prefer` makes of one question whose judge prefers `ANSWERS` in this order, the best first."""

    def answer(body):
        said = body["messages"][-1]["content"]
        if "回答A" not in said:
            return ANSWERS[body["seed"]]
        first, second = said.split("回答A：")[1].split("\n\n请比较")[0].split("\n\n回答B：")
        return "A" if order.index(first) < order.index(second) else "B"

    served.answer = answer
    work, base = asked
    work = dataclasses.replace(work, options=work.options.model_copy(update=base | options))
    table = rows(qa("咳嗽一个月怎么办？", "查胸片。"))
    outcome = model_outcome(prefer, table, work)
    check_ledger("prefer", table, outcome)
    return outcome


def test_the_best_of_four_meets_the_worst(asked, served):
    outcome = made(asked, served, [ANSWERS[n] for n in (2, 3, 1, 0)])
    (row,) = outcome.derived.to_dicts()
    assert (row["answer"], row["rejected"], row["preference_margin"]) == (ANSWERS[2], ANSWERS[0], 1.0)
    assert (row["rejected_by"], len(row["replies"])) == ("judge", 2 + 12)
    assert len(served.bodies) == 4 + 12
    assert (outcome.figures["judged"], outcome.figures["mean_margin"]) == (6, 1.0)


def test_a_bound_on_lengths_takes_another_pair(asked, served):
    outcome = made(asked, served, [ANSWERS[n] for n in (2, 3, 1, 0)], preference_length_ratio=1.5)
    (row,) = outcome.derived.to_dicts()
    assert (row["answer"], row["rejected"], row["preference_margin"]) == (ANSWERS[2], ANSWERS[1], 0.6667)
    nothing = made(asked, served, list(ANSWERS), preference_length_ratio=1.0)
    assert nothing.derived_dropped["reason"].to_list() == ["answers of unlike length"]
    assert nothing.figures["unlike_length"] == 1


def test_a_share_of_rejected_answers_is_spoilt(asked, served):
    outcome = made(asked, served, [ANSWERS[n] for n in (3, 2, 1, 0)], preference_spoilt=1.0)
    (row,) = outcome.derived.to_dicts()
    assert (row["answer"], row["rejected"]) == (ANSWERS[3], "多喝水，可以自行用药。")
    assert (row["rejected_by"], row["preference_margin"]) == ("warning", None)
    assert "a rule (rejected)" in row["model"]
    assert (outcome.figures["spoilt_warning"], outcome.figures["spoilt_dose"]) == (1, 0)


def test_a_missing_candidate_leaves_the_others():
    good = [Answer(text, str(n), "m", True) for n, text in enumerate(ANSWERS[:2])]
    lost = Failure("empty reply", "", "m", "k")
    contest = find_fit_candidates(Contest({}, (lost, *good, good[0])))
    assert (contest.fit, contest.fate) == ((1, 2), None)
    assert find_fit_candidates(Contest({}, (lost, good[0]))).fate == "failed"


@pytest.mark.parametrize("of", [2, 3, 5])
def test_a_consistent_judge_gives_the_widest_margin(of):
    numbers = range(of)
    straight = {(a, b): ["A", "B"] for a, b in combinations(numbers, 2)}  # the smaller number always wins
    assert comparisons.choose(straight, lambda one, two: True) == comparisons.Choice(0, of - 1, 1.0)
    assert comparisons.choose({(0, 1): ["A", "A"]}, lambda one, two: True) is None
    assert comparisons.choose({(0, 1): ["A", ""]}, lambda one, two: True) is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["answer"][:24])
def test_an_answer_is_spoilt_in_one_place(case):
    spoilt = spoiling.spoil(case["answer"], case.get("question", ""))
    assert (spoilt and (spoilt.kind, spoilt.text)) == (tuple(case["spoilt"]) if case["spoilt"] else None)


@pytest.mark.parametrize("case", PLACES, ids=lambda case: case["answer"][:24])
def test_only_a_meant_prohibition_is_spoilt(case):
    spoilt = spoiling.spoil(case["answer"])
    assert (spoilt and spoilt.text) == case["spoilt"]


def test_a_gate_refuses_every_spoilt_answer():
    found = 0
    for case in (case for case in CASES if case["spoilt"]):
        good, bad = case["answer"], case["spoilt"][1]
        groups = negations.group_clauses(good, bad)
        found += bool(
            spoiling.grounding.align(bad, good).fault
            or negations.find_lost(good, bad)
            or coverage.find_missing_sentence(good, bad, groups)
            or coverage.find_missing_clause(groups, bad)
        )
    assert found == sum(case["spoilt"] is not None for case in CASES) > 20
