"""The contract of a stage: the three types of stages, and what a stage of each type provides. Ours.

A stage's module ends with one object, `STAGE`, of one of these types:

- `ShardStage` works on one part of the corpus. `run` turns the part's records into an `Outcome`. A `SteppedStage` first
  has to know the whole corpus: its `steps` find that out, each in tasks of its own.
- `CorpusStage` works on the whole corpus. `select_dropped` names the rows to drop from a table of any size.
- `ModelStage` asks language models about one part. Its rounds are pure functions: `build_requests` makes requests,
  `parse_reply` reads a reply's text, and `accept` adds the answers to the state.

The first stage has no table to read. It is a `PageStage`: it works on a shard of crawled pages.

Everything else is written once, for all stages: reading, splitting, counting and writing in `chimed.pipeline.runner`,
requests and costs in `chimed.llm.asking`, estimates in `chimed.pipeline.estimate`. What a stage is called, does and
needs is in `chimed.build.order`, which Airflow parses and which imports none of this.
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
    from chimed.build.context import StageContext
    from chimed.build.steps import Corpus
    from chimed.llm.protocol import Request

Value = TypeVar("Value")
State = TypeVar("State")
Role = Literal["generator", "generators", "judge"]  # generators: all of them, in turn


@dataclass(frozen=True)
class ShardStage:
    """A stage that works on one part. run: turns the part's records (columns of `RECORD`) into an outcome."""

    run: Callable[[pl.DataFrame, StageContext], Outcome]


@dataclass(frozen=True)
class SteppedStage(ShardStage):
    """A stage of a shard that has to know the whole corpus first.

    steps: what is done before any part, by the names that `chimed.build.order` has; of each the tasks are numbered, and
    what a task returns are its figures (`chimed.build.steps`). asks: for a stage of which a step asks models, what it
    asks about the whole table, so that it can be estimated.
    """

    steps: Mapping[str, Callable[[StageContext, Corpus, int], dict[str, Any]]]
    asks: ModelStage[Any] | None = None


@dataclass(frozen=True)
class PageStage:
    """The first stage, which reads a shard of crawled pages.

    read_pages: returns the shard's pages (columns id, source) and the outcome, whose `derived` rows are the records.
    raw_inputs: returns the crawled files that the shard was read from, with their hashes.
    """

    read_pages: Callable[[StageContext, int], tuple[pl.DataFrame, Outcome]]
    raw_inputs: Callable[[StageContext, int], dict[str, str | None]]


@dataclass(frozen=True)
class CorpusStage:
    """A stage that works on the whole corpus. select_dropped: returns the numbers of the rows to drop, and figures.

    It reads only the columns it needs, in batches and as often as it likes, so the corpus need not fit in memory.
    """

    select_dropped: Callable[[Parts, StageContext], Verdicts]


# --- stages that ask models -------------------------------------------------------------------------------------


class UnusableReply(Exception):
    """Raised by `parse_reply` for a text it cannot use. The message is a reason: the same few words for each kind."""


@dataclass(frozen=True)
class Question:
    """A request. about: how many characters of a record's text it is about, for the cost figures.

    turn: with which generator a question's turn begins, where several write samples (`chimed.llm.generators`).
    """

    request: Request
    about: int
    turn: int = 0


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """A usable reply. model: the model that wrote it. whole: the reply is complete, not cut off at max_tokens."""

    value: Value
    key: str
    model: str
    whole: bool


@dataclass(frozen=True)
class Failure:
    """A request without a usable reply. reason: what the ledger counts by. detail: the beginning of the reply.

    key: the reply's key, if there is a reply.
    """

    reason: str
    detail: str
    model: str
    key: str | None = None


@dataclass(frozen=True)
class Expected:
    """How many requests a later round is likely to send for each answer of the first round. Used for estimates.

    prompt: the prompt's version. tokens: expected length of one reply. The messages hold `about` times the text of the
    first request, and `more` characters. times: requests for each answer.
    """

    prompt: str
    server: Role
    tokens: int
    about: float = 1.0
    more: int = 0
    times: float = 1.0


@dataclass(frozen=True)
class Round(Generic[State, Value]):
    """Requests that are sent together to one model, or to all generators in turn.

    name: its key in the report's figures. build_requests: makes the requests from the state. parse_reply: reads the
    value from a reply's text; raises UnusableReply. accept: returns the state with the answers, which come in the order
    of the requests. applies: whether the build's options ask for this round. expected: for a later round, what it is
    likely to send. among: if the requests are the rest of a larger set, the size of that set; failures are counted as a
    share of it.
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

    prepare: makes the state before the first round. finish: makes the outcome from the state after the last one.
    publish: called with the outcome after a real run, not after an estimate.
    """

    prepare: Callable[[pl.DataFrame, Options], State]
    rounds: tuple[Round[State, Any], ...]
    finish: Callable[[State, Options], Outcome]
    publish: Callable[[Outcome, StageContext], None] = lambda outcome, work: None


Implementation = PageStage | ShardStage | CorpusStage | ModelStage[Any]


def load_stage(stage: Stage) -> Implementation:
    """Import the module of a stage and return its `STAGE`.

    The import happens only when the stage runs, because some stages need torch or scrapy.
    """
    return importlib.import_module(f"chimed.stages.{stage.name}").STAGE
