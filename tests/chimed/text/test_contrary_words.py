"""A reasoning that ends with the contrary of its answer, and one that only weighs two contraries."""

import json
from pathlib import Path

import pytest

from chimed.text.reasoning import find_contradiction

FILE = Path(__file__).parent / "contrary_ends.jsonl"
CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["reasoning"][-16:])
def test_the_end_of_a_reasoning_against_its_answer(case):
    found = find_contradiction(case["reasoning"], case["question"], case["answer"])
    assert (found is not None) is case["contradicts"]
