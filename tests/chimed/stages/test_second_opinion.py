"""What the judge's word does to answers and translations that the rules pass, and what it costs."""

import dataclasses

import pytest

from chimed.build.contract import Answer, Failure
from chimed.build.ledger import TooManyFailed, check_ledger
from chimed.llm import second_opinion
from chimed.pipeline import estimate
from chimed.stages import generate_qa, translate
from support.samples import document, model_outcome, rows

TEXT = "茯苓味甘、淡，性平。归心、肺、脾、肾经。利水渗湿，健脾宁心。用于水肿尿少，痰饮眩悸，脾虚食少，便溏泄泻。"
CLASSIC = "凡水肿之证，用茯苓三两，白术二两，水煎，日再服，勿食咸物。"
MODERN = "凡是水肿的病证，用茯苓三两、白术2两，加水煎煮，一天服用两次，不要吃咸的食物。"


@pytest.fixture
def both(work, served):
    """The surroundings with rules and judge."""
    where = work.settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
    options = work.options.model_copy(update={"second_opinion": True})
    return dataclasses.replace(work, settings=where, options=options)


def judging(made: str, verdict: str):
    """A server that writes, and whose judge says the same of everything; the question's prompt apart."""

    def answer(body: dict) -> str:
        system = body["messages"][0]["content"]
        if "没有读过任何文本" in system:
            return "否" if verdict == "unclear" else "是"
        if "校对员" in system:
            return "是" if verdict == "unclear" else verdict
        return made

    return answer


@pytest.mark.parametrize(
    ("verdict", "reason", "asked"),
    [
        ("是", None, 3),
        ("否", "the document does not support the answer", 2),
        ("unclear", "the question does not stand alone", 3),
    ],
)
def test_the_judge_decides_on_what_the_rules_pass(both, served, verdict, reason, asked):
    served.answer = judging("问题：茯苓归哪些经？答案：归心、肺、脾、肾经。", verdict)
    table = rows(document(TEXT))
    outcome = model_outcome(generate_qa, table, both)
    check_ledger("generate_qa", table, outcome)
    told = (outcome.derived if reason is None else outcome.derived_dropped).to_dicts()
    assert [row.get("reason") for row in told] == [reason]
    assert len(told[0]["replies"]) == asked
    assert outcome.figures["rules_and_judge"]["both_pass"] == (verdict != "否")
    assert outcome.figures["second_opinion"]["requests"] == 1


@pytest.mark.parametrize(("verdict", "kept"), [("是", 1), ("否", 0)])
def test_a_translation_the_judge_refuses_is_dropped(both, served, verdict, kept):
    served.answer = judging(MODERN, verdict)
    table = rows(document(CLASSIC, language="lzh", source="zydcd"))
    outcome = model_outcome(translate, table, both)
    check_ledger("translate", table, outcome)
    assert len(outcome.derived) == kept
    (row,) = (outcome.derived if kept else outcome.derived_dropped).to_dicts()
    assert len(row["replies"]) == 2
    assert kept or row["reason"] == "not what the passage says"


def test_an_undecided_judge_fails_the_stage(both, served):
    served.answer = judging(MODERN, "我认为可以")
    table = rows(
        *(document(f"{CLASSIC}{'水' * n}", language="lzh", source="zydcd", url=f"http://a/{n}") for n in range(30))
    )
    with pytest.raises(TooManyFailed, match="neither 是 nor 否"):
        model_outcome(translate, table, both)


def test_without_the_option_nobody_is_asked(both, served):
    served.answer = judging("问题：茯苓归哪些经？答案：归心、肺、脾、肾经。", "否")
    alone = dataclasses.replace(both, options=both.options.model_copy(update={"second_opinion": False}))
    outcome = model_outcome(generate_qa, rows(document(TEXT)), alone)
    assert len(outcome.derived) == 1
    assert "second_opinion" not in outcome.figures


def test_what_the_rules_refuse_is_sampled_and_compared():
    texts = [f"答案{n}" for n in range(2_000)]
    chosen = second_opinion.sample_rejected(texts, texts)
    assert 60 <= len(chosen) <= 140
    assert chosen == second_opinion.sample_rejected(texts, texts)
    yes, no = (Answer(value, "k", "m", True) for value in (True, False))
    failed = Failure("unparsed reply", "", "m")
    assert second_opinion.count_agreement([yes, yes, no, failed], [no, no, yes]) == {
        "both_pass": 2,
        "only_rules_pass": 1,
        "only_judge_passes": 1,
        "both_refuse": 2,
    }


def test_an_estimate_counts_the_second_opinions(both, served):
    served.answer = judging(MODERN, "是")
    planning = dataclasses.replace(both, planned=[])
    model_outcome(translate, rows(document(CLASSIC, language="lzh", source="zydcd")), planning)
    (one,) = planning.planned
    assert [brings.prompt.split("@")[0] for brings in one.brings] == ["faithful"]
    entry = estimate._entry_for_expected(both, "translate", one.brings[0], [one], 1_000.0)
    assert (entry["requests"], entry["completion_tokens"]) == (1, 1)
    planning = dataclasses.replace(both, planned=[])
    model_outcome(generate_qa, rows(document(TEXT)), planning)
    assert [brings.prompt.split("@")[0] for brings in planning.planned[0].brings] == ["supports", "stands_alone"]
