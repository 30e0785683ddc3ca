"""Why rows leave: codes with words in both languages, and what older versions wrote."""

import pytest

from chimed import reasons


@pytest.mark.parametrize(
    ("written", "code", "detail", "chinese"),
    [
        ("same text", "same text", "", "文字相同"),
        ("identifier: ID card", "identifier: ID card", "", "标识符：身份证号"),
        ("identifier: a kind of a later version", "identifier: a kind of a later version", "", None),
        ("neither A nor B", "neither A nor B", "", "回复无法解析：既不是 A 也不是 B"),
        ("unparsed reply: neither A nor B", "neither A nor B", "", "回复无法解析：既不是 A 也不是 B"),
        ("second opinion: not what the passage says", "not what the passage says", "",
         "复核未通过：译文与原文意思不符"),
        ("parser error: ValueError", "parser error", "ValueError", "解析出错：ValueError"),
        ("unusable reply: cut off", "unusable reply", "cut off", "回复不可用：回复被截断"),
        ("no verdict: unparsed reply: neither A nor B", "no verdict", "unparsed reply: neither A nor B",
         "没有判断：回复无法解析：既不是 A 也不是 B"),
        ("剂量不符", "剂量不符", "", "剂量不符"),
        ("a site's own reason: with a colon", "a site's own reason: with a colon", "", None),
    ],
)  # fmt: skip
def test_reasons_of_older_versions_are_read(written, code, detail, chinese):
    reason, more = reasons.read(written)
    assert (reason.code, more) == (code, detail)
    assert reasons.words(written, "zh") == (chinese or written)


def test_every_reason_has_words_in_both_languages():
    for reason in reasons.known().values():
        assert reason.english.isascii() or reason.family == "unparsed reply", reason
        assert any("\u4e00" <= letter <= "\u9fff" for letter in reason.chinese), reason


def test_a_person_is_identified_by_two_families():
    families = {reason.family for reason in reasons.known().values()}
    assert set(reasons.IDENTIFYING) < families
