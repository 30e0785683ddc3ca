"""The contract of a stage: three types of stages, and what a stage of each type has to give. Ours.

A stage's module ends with one object, `STAGE`, of one of these types:

- `ShardStage`: a stage of a shard. `run` makes an `Outcome` of one part's records. Where the whole corpus has to be
  known before a part can be judged it is a `SteppedStage`: `steps` find that out, each in tasks of its own.
- `CorpusStage`: a stage of the corpus. `select_dropped` names the rows that leave a table of any size.
- `ModelStage`: a stage of a model, one part at a time. Its rounds are pure functions: `build_requests` makes requests,
  `parse_reply` makes a value of a reply's text, `accept` takes the answers in.

The first stage has no table to read: it is a stage of a shard whose input is crawled pages, a `PageStage`.

Everything else is done once, for all stages: reading, splitting, counting, writing and the order in
`chimed.pipeline.runner`, asking and costing in `chimed.llm.asking`, estimating in `chimed.pipeline.estimate`. What a
stage is called, does and needs is in `chimed.build.order`, which Airflow parses and which imports none of this.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import polars as pl

from chimed.build.corpus import Parts, Verdicts
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.build.order import Stage

if TYPE_CHECKING:
    from chimed.build.context import Work
    from chimed.build.steps import Corpus
    from chimed.llm.protocol import Request

Value = TypeVar("Value")
State = TypeVar("State")
Role = Literal["generator", "judge"]


@dataclass(frozen=True)
class ShardStage:
    """A stage of a shard. run: the outcome of one part's records (columns of `RECORD`)."""

    run: Callable[[pl.DataFrame, Work], Outcome]


@dataclass(frozen=True)
class SteppedStage(ShardStage):
    """A stage of a shard that has to know the whole corpus first.

    steps: what is done before any part, by the names that `chimed.build.order` has; of each the tasks are numbered, and
    what a task returns are its figures (`chimed.build.steps`).
    """

    steps: Mapping[str, Callable[[Work, Corpus, int], dict]]


@dataclass(frozen=True)
class PageStage:
    """The first stage: of a shard, but what it reads is crawled pages.

    read_pages: the pages of a shard (columns id, source) and what became of them; the records are the outcome's
    `derived`. raw_inputs: the crawled files that a shard was read from, with their hashes.
    """

    read_pages: Callable[[Work, int], tuple[pl.DataFrame, Outcome]]
    raw_inputs: Callable[[Work, int], dict[str, str | None]]


@dataclass(frozen=True)
class CorpusStage:
    """A stage of the corpus. select_dropped: the rows that leave, by number, and figures; all others stay.

    It reads the columns it needs, a batch at a time and as often as it likes, so that no corpus has to fit in memory.
    """

    select_dropped: Callable[[Parts, Work], Verdicts]


# --- stages that ask models -------------------------------------------------------------------------------------


class UnusableReply(Exception):
    """Raised by a `parse_reply` for a text that it can make nothing of: a few words, the same for all of one kind."""


@dataclass(frozen=True)
class Question:
    """A request, and how many characters of a record's text it is about (for the cost)."""

    request: Request
    about: int


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """A reply that could be read. model: who gave it. whole: the model came to its end, and not to max_tokens."""

    value: Value
    key: str
    model: str
    whole: bool


@dataclass(frozen=True)
class Failure:
    """No reply, or none that could be read. reason: what the ledger counts by; detail: the reply's beginning.

    key: of the reply, where there is one.
    """

    reason: str
    detail: str
    model: str
    key: str | None = None


@dataclass(frozen=True)
class Expected:
    """How many requests a later round is likely to make for each answer of the first round, for estimates.

    prompt: its version. tokens: of one reply. about: so many times the text that the first request is about, and `more`
    characters, are in the messages. times: so many requests for one answer.
    """

    prompt: str
    server: Role
    tokens: int
    about: float = 1.0
    more: int = 0
    times: float = 1.0


@dataclass(frozen=True)
class Round(Generic[State, Value]):
    """Requests that are sent to one model together.

    name: what the report's figures call it. build_requests: requests made of the state. parse_reply: the value of a
    reply's text; raises UnusableReply. accept: the state after the answers, which come in the order of the requests.
    applies: whether the build's options ask for this round. expected: of a later round, what it is likely to ask.
    among: of how many requests these are the rest, where they are one; failures are counted as a share of those.
    """

    name: str
    server: Role
    build_requests: Callable[[State, Options], Sequence[Question]]
    parse_reply: Callable[[str], Value]
    accept: Callable[[State, Sequence[Answer[Value] | Failure]], State]
    applies: Callable[[Options], bool] = lambda options: True
    expected: Callable[[Options], Expected] | None = None
    among: Callable[[State], int] = lambda state: 0


@dataclass(frozen=True)
class ModelStage(Generic[State]):
    """A stage that asks models about the records of one part.

    prepare: the state before the first round. finish: the outcome of the state after the last one. publish: called with
    the outcome where models were asked, and not where a build is only planned.
    """

    prepare: Callable[[pl.DataFrame, Options], State]
    rounds: tuple[Round[State, Any], ...]
    finish: Callable[[State, Options], Outcome]
    publish: Callable[[Outcome, Work], None] = lambda outcome, work: None


Implementation = PageStage | ShardStage | CorpusStage | ModelStage[Any]


def load_stage(stage: Stage) -> Implementation:
    """Import what a stage does. It is imported when it runs, and not before: some stages need torch or scrapy."""
    return importlib.import_module(f"chimed.stages.{stage.name}").STAGE
