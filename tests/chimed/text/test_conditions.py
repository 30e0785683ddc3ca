"""A reasoning that turns its answer's conditions round or exchanges them, and one that says them otherwise."""

import json
from pathlib import Path

from chimed.text.conditions import find_exchange
from chimed.text.reasoning import find_contradiction, find_strange_quantity

FILE = Path(__file__).parent / "contrary_times.jsonl"
CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def is_refused(case):
    """Whether the rules refuse a thought about a document."""
    known = (case["text"], case["question"]) if "text" in case else None
    return bool(
        (known and find_strange_quantity(case["reasoning"], known))
        or find_contradiction(case["reasoning"], case["question"], case["answer"])
    )


def test_thoughts_that_turn_conditions_are_refused():
    """Of each part, whether written before the rule or after it: precision and recall."""
    for part in ("written before the rule", "written after the rule", "written last"):
        told = [(is_refused(case), not case["sound"]) for case in CASES if case["part"] == part]
        right = sum(refused and bad for refused, bad in told)
        assert right / sum(refused for refused, _ in told) >= 0.95
        assert right / sum(bad for _, bad in told) >= 0.95


def test_times_are_compared_in_one_unit():
    answer = "48小时内冷敷，48小时后热敷。"
    assert find_exchange("头两天冷敷，过了两天再热敷。", answer) is None
    assert find_exchange("头两天热敷，之后冷敷。", answer)


def test_twelve_weeks_are_three_months():
    assert find_strange_quantity("要服12周。", ("疗程为3个月。",)) is None
    assert find_strange_quantity("要服10周。", ("疗程为3个月。",))
