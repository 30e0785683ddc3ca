"""Verdicts: who and when, blind order, precision and misses with intervals, two reviewers who differ."""

from datetime import UTC, datetime

import pytest

from chimed.build.context import StageContext
from chimed.errors import UserError
from chimed.intervals import wilson
from chimed.rating import rubric
from chimed.release.people import rated_by_people
from chimed.release.review import judge, queues, standing, waiting
from chimed.storage.store import upsert
from chimed.storage.store_tables import REVIEW_QUEUE, REVIEWS

BUILD = "2026.11.22"


@pytest.fixture
def queue(work: StageContext) -> StageContext:
    """Ten flagged and ten passed texts of a build, and one of the build before."""
    rows = [
        {
            "record": f"{n:016x}", "stage": "screen", "build": BUILD, "kind": "passed" if n % 2 else "flagged",
            "reason": "" if n % 2 else "identifier: ID card", "text": f"第{n}条", "sampled": datetime.now(UTC),
        }
        for n in range(20)
    ]  # fmt: skip
    older = {**rows[0], "build": "2026.11.15", "sampled": datetime(2026, 11, 15, tzinfo=UTC)}
    upsert(work.store, REVIEW_QUEUE, [*rows, older])
    return work


def say(work: StageContext, verdicts: dict[int, str], reviewer: str = "li") -> None:
    for n, verdict in verdicts.items():
        judge(work.store, BUILD, "screen", f"{n:016x}", reviewer, verdict)


def test_a_reviewer_judges_blind_and_once(queue):
    say(queue, {0: "flagged", 1: "passed"})
    records = waiting(queue.store, BUILD, "screen", "li", 3, [f"{2:016x}"])
    assert [one["record"] for one in records] == [f"{n:016x}" for n in (3, 4, 5)]
    assert set(records[0]) == {"record", "text"}
    assert len(waiting(queue.store, BUILD, "screen", "wang", 50)) == 20
    assert [one["build"] for one in queues(queue.store)] == [BUILD, "2026.11.15"]


def test_precision_and_misses_grow_with_their_intervals(queue):
    nothing = standing(queue.store, BUILD, "screen")
    assert nothing["precision"] == {"part": 0, "of": 0, "low": None, "high": None, "sampled": 10}
    say(queue, {0: "flagged", 2: "flagged", 4: "passed", 1: "passed", 3: "flagged"})
    now = standing(queue.store, BUILD, "screen")
    low, high = wilson(2, 3)
    assert now["precision"] == {"part": 2, "of": 3, "low": low, "high": high, "sampled": 10}
    assert (now["missed"]["part"], now["missed"]["of"]) == (1, 2)
    assert [(one["name"], one["verdicts"]) for one in now["reviewers"]] == [("li", 5)]
    say(queue, {4: "flagged"})  # he looks again: his second verdict stands in the place of the first
    assert standing(queue.store, BUILD, "screen")["precision"]["part"] == 3


def test_the_last_of_two_reviewers_counts(queue):
    say(queue, {0: "flagged", 1: "passed", 2: "flagged"})
    say(queue, {0: "passed", 1: "passed"}, "wang")
    now = standing(queue.store, BUILD, "screen")
    assert (now["agreement"]["part"], now["agreement"]["of"]) == (1, 2)
    assert [(one["record"], one["verdicts"]) for one in now["disputed"]] == [
        ("0" * 16, {"li": "flagged", "wang": "passed"})
    ]
    assert (now["precision"]["part"], now["precision"]["of"]) == (1, 2)


def test_people_and_the_judge_are_compared(queue):
    version = rubric.load().version
    rows = [
        {
            "record": f"{n:016x}", "stage": "rate", "build": BUILD, "kind": "rated", "text": f"第{n}条",
            "reason": f"{1 + n % 5} 4 3 5 {version}", "sampled": datetime.now(UTC),
        }
        for n in range(10)
    ]  # fmt: skip
    upsert(queue.store, REVIEW_QUEUE, rows)
    assert [one["stage"] for one in queues(queue.store)][:2] == ["screen", "rate"]  # what was screened comes first
    for n in range(8):
        judge(queue.store, BUILD, "rate", f"{n:016x}", "li", f"{1 + n % 5} 4 {2 + n % 2} 5")
    old = {"record": f"{9:016x}", "stage": "rate", "reviewer": "li", "verdict": "1 1 1 1 rate@00000000"}
    upsert(queue.store, REVIEWS, [{**old, "created": datetime.now(UTC)}])  # by another wording: not compared
    told = rated_by_people(queue.store, BUILD)
    assert (told["rated"], told["sampled"]) == (8, 10)
    assert (told["criteria"]["factual"]["kappa"], told["criteria"]["factual"]["same"]) == (1.0, 8)
    assert (told["criteria"]["safe"]["kappa"], told["criteria"]["safe"]["same"]) == (0.0, 4)
    assert told["criteria"]["safe"]["low"] is None  # the judge always says 3
    assert told["criteria"]["fluent"]["kappa"] is None  # both always say 5
    judge(queue.store, BUILD, "rate", f"{0:016x}", "wang", "5 4 3 5")  # the last of two counts
    assert rated_by_people(queue.store, BUILD)["criteria"]["factual"]["same"] == 7
    assert standing(queue.store, BUILD, "screen")["precision"]["of"] == 0


@pytest.mark.parametrize("said", ["flagged", "", "4 3 5", "4 3 5 6", "4 3 5 4 4", "4  3 5 4", "４ 3 5 4", "4 3 5 -1"])
def test_what_is_no_rating_is_refused(queue, said):
    row = {"record": "a" * 16, "stage": "rate", "build": BUILD, "kind": "rated", "text": "一条"}
    upsert(queue.store, REVIEW_QUEUE, [{**row, "reason": "4 4 4 4 rate@12345678", "sampled": datetime.now(UTC)}])
    with pytest.raises(UserError, match="no rating"):
        judge(queue.store, BUILD, "rate", "a" * 16, "li", said)


def test_invalid_verdicts_are_refused(queue):
    with pytest.raises(UserError, match="choose from: flagged, passed"):
        say(queue, {0: "maybe"})
    with pytest.raises(UserError, match="no record"):
        judge(queue.store, BUILD, "screen", "f" * 16, "li", "passed")
