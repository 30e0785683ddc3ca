"""A model server that goes away for a while: work waits and goes on; one that is gone for good ends it, and says so."""

import dataclasses
import threading
import time

import pytest

from chimed.errors import UserError
from chimed.llm import client, connecting, sending
from chimed.llm.patience import patience
from chimed.llm.protocol import Refused, Reply, Request, Server

REQUESTS = [Request("p@1", [{"role": "user", "content": f"第{n}题"}], {"max_tokens": 8}) for n in range(20)]
HTML = (200, {"Content-Type": "text/html"}, b"<html><h1>We are down for maintenance</h1></html>")
GONE = {
    "503 for a while": (503, {}, b"no endpoints"),
    "a gateway's page with status 200": HTML,
    "429 for a while": (429, {"Retry-After": "0"}, b"slow down"),
    "500 for a while": (500, {}, b"engine is dead"),
    "connections that break": (200, {"Cut": "1"}, b""),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.005)
    monkeypatch.setattr(connecting, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(connecting, "TRIES", 3)
    monkeypatch.setattr(sending, "PATIENCE", 0.2)
    monkeypatch.setattr(sending, "IDENTITY_EVERY", 0.0)


def asked(work, served, waits: float, requests=REQUESTS):
    where = work.settings.model_copy(update={"llm_patience": waits, "llm_concurrency": 8, "llm_timeout": 0.3})
    server = Server(served.url, "chimed-generator", "-", "CHIMED_LLM_URL", identity="test/generator")
    return client.ask(requests, server, dataclasses.replace(work, settings=where))


class Outage:
    """Answers five requests, then misbehaves for so many seconds, the probe included."""

    def __init__(self, served, how, seconds: float):
        self.served, self.how, self.seconds, self.began, self.answered = served, how, seconds, 0.0, 0

    def __call__(self, body):
        if self.answered >= 5:
            self.began = self.began or time.monotonic()
            if time.monotonic() - self.began < self.seconds:
                return self.how
        said = body["messages"][0]["content"]
        self.answered += said.startswith("第")
        choice = body.get("structured_outputs", {}).get("choice")
        return choice[0] if choice else f"a{said}"


@pytest.mark.parametrize("kind", GONE)
def test_an_absence_costs_no_request(served, work, kind):
    served.probed, served.answer = False, Outage(served, GONE[kind], 1.5)
    replies = asked(work, served, 30)
    assert [reply.text for reply in replies] == [f"a{one.messages[0]['content']}" for one in REQUESTS]


@pytest.mark.parametrize("kind", GONE)
def test_a_server_that_stays_away_ends_work(served, work, kind):
    served.probed, served.answer = False, Outage(served, GONE[kind], 99)
    began = time.monotonic()
    with pytest.raises(connecting.ServerDown, match=r"stopped answering .* ago .*5 of 20 answers are stored"):
        asked(work, served, 1)
    assert time.monotonic() - began < 15


def test_a_hanging_server_is_waited_for(served, work):
    hanging = threading.Event()
    outage = Outage(served, None, 0)

    def answer(body):
        if outage.answered == 5 and not hanging.is_set():
            hanging.set()
            time.sleep(1.5)  # the whole server: it has one loop
        return outage(body)

    served.probed, served.answer = False, answer
    assert all(isinstance(reply, Reply) for reply in asked(work, served, 30))


def test_a_request_that_ends_the_server_is_refused(served, work):
    state = {"until": 0.0, "crashes": 0}

    def answer(body):
        said = body["messages"][0]["content"]
        if said == "第7题":
            state["until"], state["crashes"] = time.monotonic() + 0.4, state["crashes"] + 1
        if time.monotonic() < state["until"]:
            return GONE["connections that break"]
        choice = body.get("structured_outputs", {}).get("choice")
        return choice[0] if choice else "否"

    served.probed, served.answer = False, answer
    answers = asked(work, served, 30)
    assert [n for n, one in enumerate(answers) if isinstance(one, Refused)] == [7]
    assert "the server went away 3 times" in answers[7].reason


def test_a_server_back_under_another_name_ends_work(served, work):
    def answer(body):
        if len(served.bodies) < 6:
            return "否"
        served.roots.pop("chimed-generator", None)
        return (404, {}, b'{"message": "the model chimed-generator does not exist"}')

    served.answer = answer
    with pytest.raises(sending.AnotherModel, match=r"serves chimed-judge, not chimed-generator.*answers are stored"):
        asked(work, served, 30)


def test_work_begins_once_the_server_is_up(served, work):
    begun = time.monotonic()

    def answer(body):
        if time.monotonic() - begun < 1:
            return (503, {}, b"loading")
        choice = body.get("structured_outputs", {}).get("choice")
        return choice[0] if choice else "否"

    served.probed, served.answer = False, answer
    assert all(isinstance(reply, Reply) for reply in asked(work, served, 30))


def test_a_server_that_never_was_is_named(work):
    nowhere = Server("http://127.0.0.1:9/v1", "m", "none", "CHIMED_LLM_URL")
    with pytest.raises(UserError, match=r"no LLM server answers at .*CHIMED_LLM_URL"):
        client.ask(REQUESTS, nowhere, work)
    patient = work.settings.model_copy(update={"llm_patience": 0.5, "llm_url": nowhere.url})
    for look in (
        lambda waiting: client.ask(REQUESTS, nowhere, waiting),
        lambda waiting: connecting.generator_server(waiting, 2),
    ):
        with pytest.raises(connecting.ServerDown, match=r"asked for 0 s|asked for 1 s"):
            look(dataclasses.replace(work, settings=patient))


def test_who_starts_the_server_says_how_long(work):
    def waits(serve: str, before: bool, given: float | None = None) -> float:
        return patience(work.settings.model_copy(update={"serve": serve, "llm_patience": given}), before)

    assert [waits(serve, False) for serve in ("kubernetes", "external", "local")] == [3600, 600, 0]
    assert [waits(serve, True) for serve in ("kubernetes", "external", "local")] == [3600, 0, 0]
    assert waits("local", False, 42) == waits("kubernetes", True, 42) == 42
