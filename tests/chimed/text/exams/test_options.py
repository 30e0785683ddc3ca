"""Options of exams are told apart from words that begin with a letter, such as B超 and C反应蛋白."""

import json
from pathlib import Path

import pytest

from chimed.text.exams.options import option_pairs

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "options.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["options"])[:24])
def test_a_letter_is_a_label_or_a_word(case):
    assert [text for _, text in option_pairs(case["options"])] == case["want"]


def test_letters_stay_those_of_the_exam():
    assert [letter for letter, _ in option_pairs("A. 5岁\nB. 6岁\nD. 8岁")] == ["A", "B", "D"]
