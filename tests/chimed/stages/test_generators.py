"""Preferences whose candidates several generators write: two servers of the test's own, and one that is not well."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from chimed.build import order
from chimed.build.ledger import TooManyFailed, check_ledger
from chimed.errors import UserError
from chimed.llm import connecting, generators, sending
from chimed.model_addresses import ModelAddress, read_addresses
from chimed.operations.check import run_checks
from chimed.pipeline.estimate import estimate_build
from chimed.settings import Settings
from chimed.stages import prefer
from chimed.storage import store as stores
from chimed.storage.store_tables import REPLIES
from support.model_server import serving
from support.samples import model_outcome, prepared, qa, rows

CASES = [json.loads(line) for line in (Path(__file__).parent / "generators.jsonl").read_text("utf-8").splitlines()]
FIRST, SECOND = "多喝水，注意休息，避免受凉，第{}次。", "尽快到医院呼吸科就诊，遵医嘱用药，第{}次。"


def said(body: dict) -> str:
    return body["messages"][-1]["content"]


def sides(body: dict) -> list[str]:
    """The two answers that a judge is shown."""
    return said(body).split("回答A：")[1].split("\n\n请比较")[0].split("\n\n回答B：")


@pytest.fixture
def second():
    """Another generator at a server of its own."""
    with serving() as state:
        state.roots = {"other": "test/other"}
        state.answer = lambda body: SECOND.format(body["seed"])
        yield state


@pytest.fixture
def asked(work, served, second):
    """The surroundings with both generators, and a judge who prefers what sends to a doctor."""

    def answer(body):
        if "回答A" not in said(body):
            return FIRST.format(body["seed"])
        first, last = sides(body)
        if ("医院" in first) == ("医院" in last):
            return "A"
        return "A" if "医院" in first else "B"

    served.answer = answer
    urls = {"llm_url": served.url, "judge_url": served.url, "more_generators": f"{second.url} other"}
    options = work.options.model_copy(update={"preference_share": 1.0})
    return dataclasses.replace(work, settings=work.settings.model_copy(update=urls), options=options)


def with_candidates(work, number: int):
    return dataclasses.replace(work, options=work.options.model_copy(update={"preference_candidates": number}))


def questions(number: int = 12):
    return rows(*(qa(f"咳嗽{n}天怎么办？", "查胸片。") for n in range(1, number + 1)))


def test_each_generator_writes_in_turn(asked, served, second):
    table = questions()
    outcome = model_outcome(prefer, table, asked)
    check_ledger("prefer", table, outcome)
    made = outcome.derived.to_dicts()
    assert len(made) == len(table)
    assert {(row["chosen_model"], row["rejected_model"]) for row in made} == {("test/other", "test/generator")}
    assert made[0]["model"] == "test/other (chosen); test/generator (rejected); test/judge (judge)"
    counts = {"answers": 12, "met": 12, "won": 12, "lost": 0, "chosen": 12, "rejected": 0}
    other = {"answers": 12, "met": 12, "won": 0, "lost": 12, "chosen": 0, "rejected": 12}
    assert outcome.figures["generators"] == {"test/other": counts, "test/generator": other}
    writers = [body for body in served.bodies if "回答A" not in said(body)]
    assert (len(writers), len(second.bodies)) == (12, 12)
    assert {body["seed"] for body in (*writers, *second.bodies)} == {0}  # the first sample of each
    first = [sides(body)[0] for body in served.bodies if "回答A" in said(body)]
    assert Counter("医院" in one for one in first) == {True: 12, False: 12}  # both places, in both orders
    costs = outcome.figures["writer"], outcome.figures["writer_2"]
    assert [(one["model"], one["requests"]) for one in costs] == [("test/generator", 12), ("test/other", 12)]


def test_replies_are_stored_by_model_and_asked_once(asked, served, second):
    first = model_outcome(prefer, questions(), asked)
    sent = len(served.bodies), len(second.bodies)
    again = model_outcome(prefer, questions(), asked)
    assert (len(served.bodies), len(second.bodies)) == sent
    assert again.derived.equals(first.derived)
    keys = [key for row in first.derived.to_dicts() for key in row["replies"]]
    known = stores.find(asked.store, REPLIES, keys)
    assert Counter(row["model"] for row in known.values()) == {"test/generator": 12, "test/other": 12, "test/judge": 24}
    alone = dataclasses.replace(asked, settings=asked.settings.model_copy(update={"more_generators": ""}))
    model_outcome(prefer, questions(), alone)
    fresh = [body for body in served.bodies[sent[0] :] if "回答A" not in said(body)]
    assert {body["seed"] for body in fresh} == {1}  # its first sample is there already


@pytest.mark.parametrize("candidates", [3, 4, 5])
def test_more_candidates_are_shared_evenly(asked, second, candidates):
    model_outcome(prefer, questions(40), with_candidates(asked, candidates))
    share = len(second.bodies) / (40 * candidates)
    assert share == 0.5 if candidates % 2 == 0 else abs(share - 0.5) < 0.1
    assert max(body["seed"] for body in second.bodies) == (candidates - 1) // 2


def test_one_that_is_away_is_named(asked, served, second, monkeypatch):
    monkeypatch.setattr(connecting, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(connecting, "TRIES", 2)
    monkeypatch.setattr(sending, "PATIENCE", 0.05)
    asked = dataclasses.replace(asked, settings=asked.settings.model_copy(update={"llm_patience": 0.2}))
    model_outcome(prefer, questions(1), asked)  # it was there when work began
    second.probed, second.answer = False, lambda body: (503, {}, b"no endpoints")
    with pytest.raises(
        connecting.ServerDown, match=rf"{second.url} stopped answering .*check the server and CHIMED_MORE"
    ):
        model_outcome(prefer, questions(12), asked)
    kept = [body for body in served.bodies if "回答A" not in said(body)]
    second.probed, second.answer = True, lambda body: SECOND.format(body["seed"])
    made = model_outcome(prefer, questions(12), asked)
    assert len(made.derived) == 12
    assert len([body for body in served.bodies if "回答A" not in said(body)]) == len(kept) == 12  # nothing paid twice


def test_one_that_writes_nonsense_fails_by_its_name(asked, second):
    second.answer = lambda body: ""
    with pytest.raises(TooManyFailed, match=rf"12 of 12 answers of test/other at {second.url}"):
        model_outcome(prefer, questions(), asked)


def test_the_judge_and_generators_are_different_models(asked, served, second):
    second.roots = {"other": "test/judge"}
    with pytest.raises(UserError, match="the judge is one of the generators: test/judge; take it out of CHIMED_MORE"):
        model_outcome(prefer, questions(), asked)
    allowed = asked.options.model_copy(update={"judge_is_generator": True})
    assert len(model_outcome(prefer, questions(), dataclasses.replace(asked, options=allowed)).derived) == 12
    second.roots = {"other": "test/generator"}
    with pytest.raises(UserError, match=r"two generators are one model: .* both are test/generator"):
        generators.all_generators(asked)
    second.roots = {"another": "test/another"}
    with pytest.raises(UserError, match="serves another, not other; correct the second word of its entry in CHIMED_M"):
        generators.all_generators(asked)
    second.roots = {"other": "/models/other"}
    with pytest.raises(UserError, match="set the third word of its entry in CHIMED_MORE_GENERATORS"):
        generators.all_generators(asked)


def test_check_looks_at_each_generator(asked, second):
    told = {one.what: one for one in run_checks(asked, only_servers=True)}
    assert list(told) == ["generator", "generator 2", "judge"]
    assert told["generator 2"].fine
    assert f"test/other answers at {second.url}" in told["generator 2"].said
    second.roots = {"other": "test/generator"}
    (wrong,) = [one for one in run_checks(asked, only_servers=True) if not one.fine]
    assert (wrong.what, "two generators are one model" in wrong.said) == ("generator 2", True)
    gone = asked.settings.model_copy(update={"more_generators": "http://127.0.0.1:9/v1 other"})
    told = {one.what: one for one in run_checks(dataclasses.replace(asked, settings=gone), only_servers=True)}
    assert "no model server answers at http://127.0.0.1:9/v1" in told["generator 2"].said
    assert "correct CHIMED_MORE_GENERATORS" in told["generator 2"].said
    skipped = asked.options.model_copy(update={"skip": ("prefer",)})
    told = run_checks(dataclasses.replace(asked, settings=gone, options=skipped), only_servers=True)
    assert [one.what for one in told if not one.fine] == []


def test_an_estimate_tells_each_server(asked):
    for stage in order.NAMES[1 : order.NAMES.index("prefer") + 1]:
        prepared(stage, questions(), asked)
    scored = asked.options.model_copy(update={"preference_scores": True, "skip": ("reason", "rate")})
    told = estimate_build(dataclasses.replace(asked, options=scored), rate=1000)
    remain = {(one["prompt"].split("@")[0], one["model"]): one["remain"] for one in told["stages"]}
    assert remain == {
        ("answer", "test/generator"): 12, ("answer", "test/other"): 12, ("judge", "test/judge"): 24,
        ("rate", "test/judge"): 24,
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["said"][:40] or "empty")
def test_the_setting_is_read_or_refused(case):
    if "wrong" in case:
        with pytest.raises(ValidationError, match=case["wrong"]):
            Settings(more_generators=case["said"])
    else:
        assert Settings(more_generators=case["said"]).more_generators == case["said"]
        assert read_addresses(case["said"]) == tuple(ModelAddress(*one) for one in case["read"])
