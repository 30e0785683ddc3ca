"""What an entry denies, takes back or says under a condition; amounts of two units; formulas with two lists."""

import json
from pathlib import Path

import pytest

from chimed.text.fidelity.doses import find_doses, parse_number
from chimed.text.graph.fact import Fact
from chimed.text.graph.facts import read_entry
from chimed.text.graph.ingredients import find_alternates

_LINES = (Path(__file__).parent / "statements.jsonl").read_text("utf-8").splitlines()
_CASES = [json.loads(line) for line in _LINES]


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in _CASES}))
def test_entries_state_this_and_no_more(kind) -> None:
    wrong = {}
    for case in _CASES:
        if case["kind"] == kind and sorted(said := _said(case)) != sorted(case["facts"]):
            wrong[case["text"]] = said
    assert wrong == {}


def _said(case) -> list[str]:
    name, label = ("某汤", "方名") if case["relations"] == ["contains"] else ("某草", "中药名")
    field = f"【{case['label']}】{case['text']}" if case["label"] else case["text"]
    text = f"【{label}】{name}\n{field}"
    entry = read_entry(name, text)
    facts = [fact for fact in (entry.facts if entry else ()) if fact.relation in case["relations"]]
    assert all((fact.object or fact.value) in text[fact.start : fact.end] for fact in facts)
    return [" ".join(filter(None, (fact.relation, fact.object, fact.value, fact.condition))) for fact in facts]


@pytest.mark.parametrize(
    ("name", "condition", "others"),
    [
        ("人参", "可用党参30克代", ["党参"]),
        ("犀角", "水牛角代", ["水牛角"]),
        ("人参", "党参", ["党参"]),
        ("羚羊角", "或山羊角15克", ["山羊角"]),
        ("远志", "甘草水制", []),
        ("芍药", "白芍", []),
        ("甘草", "炙", []),
        ("人参", None, []),
    ],
)
def test_a_note_names_another_herb(name, condition, others) -> None:
    assert find_alternates(Fact("contains", "herb", name, "9克", condition, 0, 0)) == others


def test_fractions_are_read_and_compounds_refused() -> None:
    assert (parse_number("三分之一"), parse_number("1/4")) == (1 / 3, 0.25)
    assert find_doses("三分之一两") == {(1 / 3, "两"): 1}
    for text in ("一钱五分", "1两2钱", "分之一", "1/0"):
        with pytest.raises(ValueError, match=r"一钱五分|1两2钱|fraction"):
            parse_number(text)
