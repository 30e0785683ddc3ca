"""What of a body is believed: the answer, the thinking apart from it, and what makes it no use to anyone."""

import json
from pathlib import Path

import pytest

from chimed.characters import first_invalid_character, printable, storable
from chimed.llm.reply import TransientError, parse_completion, split_thinking
from support.poison import FAILING, GOOD, RIGHT

CASES = [json.loads(line) for line in (Path(__file__).parent / "thinking.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kind", [kind for kind, (body, _) in FAILING.items() if isinstance(body, bytes)])
def test_a_bad_body_is_faulty_or_retried(kind):
    body, word = FAILING[kind]
    if word == "more than":
        return  # the wire stops reading it
    try:
        reply = parse_completion("k", body, 0.1)
    except TransientError as error:
        reply = error.reply
    assert word in (reply.fault or ("thinking" if not reply.text else "")), reply
    for text in (reply.text, reply.reasoning or "", reply.fault or "", reply.finish_reason):
        assert text == storable(text)
    assert len(reply.fault) <= 200
    assert len(reply.finish_reason) <= 32


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_answer_is_found(kind):
    reply = parse_completion("k", RIGHT[kind](GOOD), 0.1)
    assert (reply.text.strip(), reply.fault, reply.finish_reason) == (GOOD, None, "stop")
    assert "想" not in reply.text
    assert (reply.reasoning or "") == storable(reply.reasoning or "")


@pytest.mark.parametrize("case", CASES, ids=[case["said"][:30] for case in CASES])
def test_thinking_is_taken_off_whole(case):
    text, thought = split_thinking(case["said"])
    assert text.strip() == case["answer"]
    assert bool(thought) == case["thinks"]


def test_a_reply_of_tags_takes_linear_time():
    said = "<think>" * 200_000 + "好"
    assert split_thinking(said) == ("", "好")
    assert split_thinking("so " * 400_000)[0].startswith("so so")


def test_one_place_defines_storable_and_printable():
    assert storable("a\x00b\ud835c😀\n") == "a\ufffdb\ufffdc😀\n"
    assert [first_invalid_character(text) for text in ("好\t\n°C①，😀", "\x00", "好\ud835", "\ufffd", "\x1b[m")] == [
        None, "U+0000", "U+D835", "U+FFFD", "U+001B",
    ]  # fmt: skip
    assert printable("\x1b]0;owned\x07\u202eabc\r好\n") == "⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+202E⟩abc⟨U+000D⟩好\n"
