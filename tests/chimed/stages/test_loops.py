"""What counts as going round in circles, and what only looks like it."""

import pytest

from chimed.text.repetition import find_loop


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
