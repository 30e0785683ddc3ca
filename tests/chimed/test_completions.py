"""The wire: which server is held to an answer how, and what of its reply is believed."""

import json

import pytest

from chimed.errors import UserError
from chimed.llm import client
from chimed.llm.protocol import DIALECTS, Reply, Request, Server, TransientError, parse_completion, request_body
from support.model_server import completion

YES_NO = Request("p@1", [{"role": "user", "content": "q"}], {"max_tokens": 4}, {"choice": ["是", "否"]})
REFUSED = (400, {}, b'{"error": "unknown field"}')


def ask(served, work):
    (answer,) = client.ask([YES_NO], Server(served.url, "m", "none", "CHIMED_LLM_URL"), work)
    return answer


def test_structured_outputs_hold_a_server(served, work):
    served.answer = lambda said: "是"
    assert ask(served, work).text == "是"
    assert served.bodies[-1]["structured_outputs"] == {"choice": ["是", "否"]}
    assert "response_format" not in served.bodies[-1]


def test_an_ignoring_server_is_held_by_schema(served, work):
    """llama.cpp and SGLang, say: a choice comes back as the one field of an object."""
    served.probed = False

    def answer(said):
        schema = said.get("response_format", {}).get("json_schema", {}).get("schema")
        return json.dumps({"answer": schema["properties"]["answer"]["enum"][0]}) if schema else "Certainly! I say OK."

    served.answer = answer
    assert ask(served, work).text == "是"
    assert served.bodies[-1]["response_format"]["json_schema"]["schema"]["required"] == ["answer"]
    assert served.bodies[-1]["max_tokens"] > YES_NO.sampling["max_tokens"]
    before = len(served.bodies)
    other = Request("p@1", [{"role": "user", "content": "another"}], {"max_tokens": 4}, {"choice": ["是", "否"]})
    client.ask([other], Server(served.url, "m", "none", "CHIMED_LLM_URL"), work)
    assert len(served.bodies) == before + 1  # probed once


def test_a_strict_server_is_asked_plainly(served, work):
    served.probed = False
    unknown = {"structured_outputs", "response_format", "chat_template_kwargs"}
    served.answer = lambda said: REFUSED if unknown & said.keys() else "是的"
    assert ask(served, work).text == "是的"
    assert set(served.bodies[-1]) == {"model", "messages", "max_tokens", "seed"}


def test_a_refusing_server_is_the_users_mistake(served, work):
    served.probed = False
    served.answer = lambda said: REFUSED
    with pytest.raises(UserError, match="rejects every request"):
        ask(served, work)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"choices": []}',
        completion("好")[:-30],
        completion("半句", finish="abort"),
        b"\xff\xfe" + completion("好"),
        b"[" * 100_000,
    ],
)
def test_an_incomplete_body_is_tried_again(content):
    with pytest.raises(TransientError):
        parse_completion("k", content, 0.1)


def test_a_disobeyed_schema_keeps_the_text():
    assert parse_completion("k", completion('{"answer": "是"'), 0.1, wrapped=True).text == '{"answer": "是"'
    assert parse_completion("k", completion('["是"]'), 0.1, wrapped=True).text == '["是"]'
    assert isinstance(parse_completion("k", completion("是"), 0.1, wrapped=True), Reply)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sampling_is_equal_in_every_dialect(dialect):
    said = request_body(YES_NO, "m", dialect)
    assert said["seed"] == 0
    assert ("chat_template_kwargs" in said) == dialect.template
