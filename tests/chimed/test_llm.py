"""The client against a real server that misbehaves: nothing lost, nothing paid twice, no reply on the wrong request."""

import dataclasses

import pytest

from chimed.errors import UserError
from chimed.llm import client, connecting, sending
from chimed.llm.cost import measure_cost
from chimed.llm.protocol import Refused, Reply, Request, Server
from support.model_server import completion

SAMPLING = {"max_tokens": 8, "temperature": 0.0}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(connecting, "TRIES", 3)


def requests(n: int) -> list[Request]:
    return [Request("p@1", [{"role": "user", "content": f"q{k}"}], SAMPLING) for k in range(n)]


def server(served) -> Server:
    return Server(served.url, "m", "none", "CHIMED_LLM_URL")


def test_every_reply_reaches_its_own_request(served, work):
    seen: dict[str, int] = {}

    def answer(body):
        said = body["messages"][0]["content"]
        seen[said] = seen.get(said, 0) + 1
        faults = [(429, {"Retry-After": "0"}, b""), (503, {}, b"down"), (200, {}, b'{"choices": []}'), (200, {}, b"{")]
        if seen[said] == 1 and int(said[1:]) % 5 < 4:
            return faults[int(said[1:]) % 5]
        return f"a{said[1:]}"

    served.answer = answer
    replies = client.ask(requests(60), server(served), work)
    assert [reply.text for reply in replies] == [f"a{n}" for n in range(60)]


def test_nothing_is_paid_twice(served, work):
    served.answer = lambda body: body["messages"][0]["content"]
    client.ask(requests(20), server(served), work)
    again = client.ask(requests(25), server(served), work)
    assert len(served.bodies) == 25
    assert [reply.known for reply in again] == [True] * 20 + [False] * 5
    assert measure_cost(again, [2] * 25, work)["known"] == 20


def test_equal_requests_are_asked_once_and_samples_apart(served, work):
    served.answer = lambda body: f"s{body['seed']}"
    twins = [requests(1)[0], requests(1)[0], dataclasses.replace(requests(1)[0], sample=1)]
    assert [reply.text for reply in client.ask(twins, server(served), work)] == ["s0", "s0", "s1"]
    assert len(served.bodies) == 2


def test_a_down_server_keeps_paid_replies(served, work):
    served.answer = lambda body: "ok" if len(served.bodies) <= 5 else (500, {}, b"")
    work = dataclasses.replace(work, settings=work.settings.model_copy(update={"llm_concurrency": 1}))
    with pytest.raises(connecting.ServerDown, match="5 of 10 answers are stored"):
        client.ask(requests(10), server(served), work)
    served.answer = lambda body: "ok"
    assert sum(reply.known for reply in client.ask(requests(10), server(served), work)) == 5


def test_unanswerable_requests_are_refused_alone(served, work):
    bad = (400, {}, b'{"message": "too long"}')
    served.answer = lambda body: bad if body["messages"][0]["content"] == "q1" else "ok"
    replies = client.ask(requests(3), server(served), work)
    assert isinstance(replies[1], Refused)
    assert "too long" in replies[1].reason
    assert [type(reply) for reply in replies] == [Reply, Refused, Reply]


def test_no_server_names_the_setting(work):
    with pytest.raises(UserError, match=r"127.0.0.1:9/v1 .*CHIMED_LLM_URL"):
        client.ask(requests(1), Server("http://127.0.0.1:9/v1", "m", "none", "CHIMED_LLM_URL"), work)


def test_constraints_are_sent_and_thinking_is_off(served, work):
    served.answer = lambda body: (200, {}, completion("是"))
    request = dataclasses.replace(requests(1)[0], constraint={"choice": ["是", "否"]})
    client.ask([request], server(served), work)
    assert served.bodies[0]["structured_outputs"] == {"choice": ["是", "否"]}
    assert served.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_failing_server_is_given_up_early(served, work, monkeypatch):
    monkeypatch.setattr(sending, "PATIENCE", 0.0)
    monkeypatch.setattr(connecting, "TRIES", 50)
    served.answer = lambda body: (503, {}, b"")
    with pytest.raises(connecting.ServerDown, match="stopped answering"):
        client.ask(requests(40), server(served), work)
    assert len(served.bodies) < 200


def test_an_unwritable_store_stops_the_paying(served, work, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    served.answer = lambda body: "ok"
    monkeypatch.setattr(client.stores, "upsert", full)
    with pytest.raises((OSError, ExceptionGroup)):
        client.ask(requests(400), server(served), work)
    assert len(served.bodies) <= 2 * work.settings.llm_concurrency


def test_cost_counts_payment_and_time_in_flight(work):
    paid = [Reply("a", "t", "stop", 10, 2, 4.0, ended=14.0), Reply("b", "t", "stop", 10, 2, 4.0, ended=16.0, tries=2)]
    answers = [*paid, Reply("c", "t", "stop", 9, 9, 9.0, known=True), Refused("d", "no")]
    work = dataclasses.replace(work, settings=work.settings.model_copy(update={"llm_gpus": 2}))
    assert measure_cost(answers, [100, 300, 500, 700], work) == {
        "requests": 4,
        "known": 1,
        "refused": 1,
        "retried": 1,
        "prompt_tokens": 20,
        "completion_tokens": 4,
        "characters": 400,
        "seconds": 8.0,
        "wall_seconds": 6.0,
        "gpu_seconds": 12.0,
        "gpu_seconds_per_million": 30_000.0,
    }
