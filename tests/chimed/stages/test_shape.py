"""Verdicts and refusals in the many forms that models give them."""

import json
from pathlib import Path

import pytest

from chimed.build.contract import UnusableReply
from chimed.llm.shape import is_refusal, read_answer
from chimed.stages import prefer
from chimed.stages.screen import read_yes_no

CASES = [json.loads(line) for line in (Path(__file__).parent / "replies.jsonl").read_text("utf-8").splitlines()]
VERDICTS = [case for case in CASES if "verdict" in case]
REFUSALS = [case for case in CASES if "refusal" in case]


@pytest.mark.parametrize("case", VERDICTS, ids=[case["verdict"] for case in VERDICTS])
def test_a_verdict_is_an_undisputed_letter(case):
    if case["is"]:
        assert prefer.read_verdict(case["verdict"]) == case["is"]
    else:
        with pytest.raises(UnusableReply, match="neither A nor B"):
            prefer.read_verdict(case["verdict"])


@pytest.mark.parametrize("case", REFUSALS, ids=[case["refusal"] for case in REFUSALS])
def test_a_models_refusal_is_no_answer(case):
    assert is_refusal(case["refusal"]) == case["is"]
    if case["is"]:
        with pytest.raises(UnusableReply, match="model's refusal"):
            read_answer(case["refusal"])


@pytest.mark.parametrize(
    ("said", "is_yes"), [("是", True), ("否。", False), ("“是”", True), ("**否**", False), ("是的", True)]
)
def test_yes_and_no(said, is_yes):
    assert read_yes_no(said) is is_yes
