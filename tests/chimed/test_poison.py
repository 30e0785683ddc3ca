"""Every kind of bad reply, one in fifty, on both stores: 49 rows right, one named, and a rerun asks nothing."""

import dataclasses
import io
import json
from collections.abc import Iterator

import polars as pl
import pytest

from chimed.build.contract import Answer, Failure, ModelStage, Question, Round
from chimed.build.ledger import Outcome
from chimed.llm import asking, connecting
from chimed.llm.protocol import Request
from chimed.schema import table
from chimed.storage import store as stores
from chimed.storage.store_tables import REPLIES
from support import poison, postgres
from support.poison import FAILING, RIGHT

ROWS, BAD = 50, 17

pytestmark = pytest.mark.slow  # a PostgreSQL, and some 8,000 requests


@pytest.fixture(scope="module")
def databases(tmp_path_factory) -> Iterator[dict[str, str]]:
    with postgres.running() as server:
        server.psql("create database poison")
        url = server.get_uri("poison")
        stores.upgrade(url)
        yield {"sqlite": f"sqlite:///{tmp_path_factory.mktemp('poison')}/store.db", "postgresql": url}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.001)


def questions(kind: str) -> list[Question]:
    """Fifty requests that no other kind makes."""
    said = [[{"role": "user", "content": f"{kind} {n}"}] for n in range(ROWS)]
    return [Question(Request("p@1", one, {"max_tokens": 8, "temperature": 0.0}), 1) for one in said]


def answers(kind: str, work) -> list[Answer[str] | Failure]:
    """What a stage gets of its fifty questions."""
    found: list[Answer[str] | Failure] = []

    def accept(state: None, answers) -> None:
        found.extend(answers)

    round_ = Round("llm", "generator", lambda state, options: questions(kind), str.strip, accept)
    stage = ModelStage(lambda records, options: None, (round_,), lambda state, options: Outcome(table([])))
    asking.ask_models("test", stage, table([]), work)
    return found


def bad(kind: str, body: poison.Answer, served) -> None:
    """The server answers one of the fifty with this body, and the others well."""

    def answer(asked: dict):
        n = int(asked["messages"][-1]["content"].split()[-1])
        if n != BAD:
            return f"{poison.GOOD}{n}"
        return body if isinstance(body, tuple) else (200, {"Content-Type": "application/json"}, body)

    served.answer = answer


def check_right(kind: str, found: list[Answer[str] | Failure], without: int) -> None:
    for n, one in enumerate(found):
        if n != without:
            assert isinstance(one, Answer), (kind, one)
            assert one.value == f"{poison.GOOD}{n}", kind


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_one_bad_reply_costs_only_itself(database, databases, served, work):
    settings = work.settings.model_copy(update={"llm_url": served.url})
    work = dataclasses.replace(work, opened=stores.open_store(databases[database]), settings=settings)
    for kind, (body, word) in FAILING.items():
        bad(kind, body, served)
        found = answers(kind, work)
        check_right(kind, found, BAD)
        assert isinstance(found[BAD], Failure), (kind, found[BAD])
        assert word in f"{found[BAD].reason}: {found[BAD].detail}", (kind, found[BAD])
        written_everywhere(kind, found[BAD], work)
        asked = len(served.bodies)
        assert [type(one) for one in answers(kind, work)] == [type(one) for one in found]
        assert len(served.bodies) == asked + kind.startswith("refused"), (
            kind
        )  # a refusal is no reply, and costs nothing


def written_everywhere(kind: str, failed: Failure, work) -> None:
    """A failure's words go through every format that holds rows, and what the store has is what was put in."""
    words = {"reason": failed.reason, "detail": failed.detail}
    assert json.loads(json.dumps(words).encode()) == words
    frame = pl.DataFrame([words])
    assert pl.read_parquet(parquet(frame)).to_dicts() == [words], kind
    if failed.key:
        kept = stores.find(work.store, REPLIES, [failed.key])[failed.key]
        assert kept["fault"], kind
        assert pl.read_parquet(parquet(pl.DataFrame([{"text": kept["text"]}])))["text"].item() == kept["text"], kind


def parquet(frame: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.write_parquet(sink)
    return sink.getvalue()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_surroundings_do_not_cost_the_answer(database, databases, served, work):
    settings = work.settings.model_copy(update={"llm_url": served.url})
    work = dataclasses.replace(work, opened=stores.open_store(databases[database]), settings=settings)
    for kind, made in RIGHT.items():
        text = poison.GOOD if kind in ("usage NaN", "usage infinite", "usage 1e999") else f"{poison.GOOD}{BAD}"
        bad(kind, made(text), served)
        found = answers(kind, work)
        check_right(kind, found, BAD)
        assert isinstance(found[BAD], Answer), (kind, found[BAD])
        assert found[BAD].value == text, kind
        kept = stores.find(work.store, REPLIES, [found[BAD].key])[found[BAD].key]
        assert ("thinking" in kind and "no text" not in kind) == bool(kept["reasoning"]), kind
        assert 0 <= kept["prompt_tokens"] <= 10, kind
        asked = len(served.bodies)
        answers(kind, work)
        assert len(served.bodies) == asked, kind
