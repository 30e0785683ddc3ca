"""What counts as going round in circles, and what only looks like it."""

import json
import random
import time
from pathlib import Path

import pytest

from chimed.text.repetition import find_loop, find_repeated_sentence

CASES = Path(__file__).parent.parent / "text" / "loops.jsonl"


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("使用使用使用使用有什么禁忌？", "使用"),
        ("宜清热：消肿散结，消肿散结，消肿散结，消肿散结，益气。", "消肿散结，"),
        ("每次10000000000克", "0"),
        ("多喝水，\n多休息。\n多喝水，\n多休息。\n多喝水，\n多休息。\n多喝水，\n多休息。\n", "多喝水，\n多休息。\n"),
    ],
)
def test_what_repeats_itself_is_found(text: str, piece: str) -> None:
    assert find_loop(text) == piece


@pytest.mark.parametrize(
    "text",
    [
        "慢慢慢慢好起来，好好好",
        "10mg，10mg，10mg",
        "3～9克，6～9克，3～6克，1～3克",
        "黄芪15克，白术15克，茯苓15克，甘草15克，陈皮15克",
        "0.00000001",
        "",
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert find_loop(text) is None


@pytest.mark.parametrize("case", [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()])
def test_long_loops_and_lists_of_one_form(case) -> None:
    assert (find_loop(case["text"]) is not None) is case["loop"]


def test_a_sentence_counts_under_any_number() -> None:
    said = "黄芪的用量在方中最大"
    assert find_repeated_sentence(f"1. {said}。白术居中。2. {said}。防风最小。所以{said}。")
    assert find_repeated_sentence(f"{said}。白术居中。{said}。") is None


def test_loops_are_found_in_linear_time() -> None:
    dice = random.Random(1)
    text = "".join(chr(0x4E00 + dice.randrange(5_000)) + ("。" if n % 17 == 0 else "") for n in range(400_000))

    def seconds(length: int) -> float:
        began = time.process_time()
        assert find_loop(text[:length]) is None
        return time.process_time() - began

    seconds(1_000)
    assert seconds(400_000) < 16 * seconds(100_000) + 0.1
