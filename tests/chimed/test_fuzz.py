"""Whatever comes in, a reader ends with a value or with the error it promises: a few seconds of arbitrary input."""

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chimed.build.builds import parse_options
from chimed.build.contract import UnusableReply
from chimed.characters import one_line, short, storable
from chimed.errors import UserError
from chimed.llm.prompts import build_messages, load
from chimed.llm.reply import TransientError, parse_completion, split_thinking
from chimed.retry_after import LONGEST, retry_after
from chimed.secrets import without_secrets
from chimed.settings import Settings
from chimed.stages import department, generate_qa, prefer
from chimed.storage.columns import fit_to_length
from chimed.storage.lake import check_address
from chimed.storage.store import _parsed
from chimed.text.control_tokens import without_control_tokens

FUZZ = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

ANY = st.text(st.characters(), max_size=200)  # half surrogate pairs and U+0000 included
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | ANY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY, inner, max_size=4),
    max_leaves=12,
)
COMPLETION = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"message": VALUES | st.fixed_dictionaries({"content": VALUES})}), max_size=2
        )
    },
    optional={
        "usage": VALUES | st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), VALUES),
        "x": VALUES,
    },
)


def _said(value: object) -> bytes:
    return json.dumps(value).encode()


@FUZZ
@given(st.binary(max_size=400) | COMPLETION.map(_said) | VALUES.map(_said), st.booleans())
def test_a_body_becomes_a_storable_reply(content: bytes, wrapped: bool) -> None:
    try:
        reply = parse_completion("k", content, 0.1, wrapped)
    except TransientError as passing:
        reply = passing.reply
    if reply:
        for text in (reply.text, reply.reasoning or "", reply.fault or ""):
            assert storable(text) == text
            text.encode()
        assert 0 <= reply.prompt_tokens <= 10_000_000
        assert 0 <= reply.completion_tokens <= 10_000_000


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
@pytest.mark.parametrize("begin", ["[", '{"a":', '{"choices":[', "[{"])
def test_deep_json_is_no_completion(begin: str, depth: int) -> None:
    with pytest.raises(TransientError, match="malformed body"):
        parse_completion("k", begin.encode() * depth, 0.1)


@FUZZ
@given(ANY, st.integers(1, 300))
def test_foreign_text_is_made_safe(text: str, most: int) -> None:
    line = one_line(text)
    assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in line if letter != "\t")
    line.encode()
    assert len(line.splitlines()) <= 1
    assert "\n" not in short(text, most)
    kept = fit_to_length(text, most)
    assert len(kept) <= most
    assert fit_to_length(kept, most) == kept
    kept.encode()
    answer, thought = split_thinking(text)
    assert isinstance(answer + thought, str)
    without_control_tokens(text)
    without_secrets(text)
    assert 0 <= (retry_after(text) or 0) <= LONGEST


@FUZZ
@given(ANY, ANY)
def test_values_of_prompts_are_never_templates(text: str, other: str) -> None:
    said = build_messages(load("screen"), text=f"{{{{ {text} }}}}{{text}}<输入文本>{other}")
    assert said[-1]["content"].count("<输入文本>") <= (text + other).count("<输入文本>") + 1  # filled once, not again


@FUZZ
@given(
    st.sampled_from(sorted(Settings.model_fields)),
    VALUES | st.dictionaries(st.sampled_from(["ask39", "chapter"]), VALUES),
)
def test_settings_are_right_or_refused(name: str, value: object) -> None:
    with suppress(ValidationError):
        Settings(**{name: value})


@FUZZ
@given(st.dictionaries(ANY | st.sampled_from(["perplexity_cut", "sources", "skip", "part_rows"]), VALUES, max_size=3))
def test_options_are_right_or_refused_in_a_sentence(options: dict) -> None:
    with suppress(UserError):
        parse_options(options)


@FUZZ
@given(ANY | ANY.map(lambda text: f"s3://{text}") | ANY.map(lambda text: f"postgresql://{text}"))
def test_addresses_are_right_or_refused_in_a_sentence(address: str) -> None:
    for look in (lambda: check_address(address, "it"), lambda: _parsed(address)):
        with suppress(UserError):
            look()


@FUZZ
@given(ANY)
def test_replies_of_the_stages_are_read_or_unusable(text: str) -> None:
    for read in (department.parse_reply, generate_qa.parse_reply, prefer.read_verdict):
        with suppress(UnusableReply):
            read(text)
