"""The one shape of a stage that asks models, and all that such stages share. Paper §3.2, advanced processing.

A stage is a generator of rounds. It yields what is to be asked, gets what was made of each answer, asks again with what
it learnt, if it must, and returns its `Outcome`:

    def rounds(records: pl.DataFrame, options: Options) -> Rounds:
        texts = records["text"].to_list()
        answers = yield from put(Round("llm", "generator", [question(text) for text in texts], read))
        return accept(records, answers)

Its own parts are pure: `question` builds a request, `read` makes a value of a reply's text or raises `Unusable`,
`accept` turns values and failures into rows. Everything else is here, once: who is asked, that no reply is paid for
twice, what is a failure and how many are too many, what it cost, and, where a build is only planned, what it would.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import polars as pl

from chimed.build.context import Work
from chimed.build.ledger import COMMONEST, SHOWN, Outcome, TooManyFailed, too_many
from chimed.characters import short
from chimed.llm import client, prompts
from chimed.llm.cost import cost
from chimed.llm.protocol import Refused, Request, Server
from chimed.llm.reply import Reply
from chimed.text.control_tokens import without_control_tokens

NOT_ASKED = "not asked: only planned"
REFUSED = "request refused"

# What mends a failure, by how its reason begins.
NO_KEY = ("HTTP 401", "HTTP 403", "HTTP 402")
MENDS = (
    (NO_KEY[0], "the server refuses access: check CHIMED_LLM_KEY and its permissions"),
    (REFUSED, "the server says why; if a text is too long, raise --max-model-len"),
    ("empty reply", "try the model by hand: a base model without a chat template answers nothing"),
    ("thinking and no answer", "serve a model without thinking, or start its server with --reasoning-parser"),
    (
        "unparsed reply",
        "the model ignores the allowed answers: serve it with structured outputs (see chimed check)",
    ),
    ("model's refusal", "the model refuses this work; serve another one"),
    ("unusable reply", "see the server's log; python -m chimed store forget-faults asks such requests again"),
)

# how a question that wants yes or no is sampled, and the two answers it may have
YES_NO_SAMPLING = {"max_tokens": 4, "temperature": 0.0}
YES_NO = {"choice": ["是", "否"]}

T = TypeVar("T")
Role = Literal["generator", "judge"]


class Unusable(Exception):
    """What a reader raises for a text that it can make nothing of: a few words, the same for all of one kind."""


@dataclass(frozen=True)
class Question:
    """A request, and how many characters of a record's text it is about (for the cost)."""

    request: Request
    about: int


@dataclass(frozen=True)
class Brings:
    """What an answer yet to be given will have asked, for estimates: a request of a prompt to a model.

    about: so many times the text that the answer's own question is about, and `more` characters, are in the messages.
    times: so many such requests for one answer. tokens: of a reply.
    """

    prompt: str
    of: Role
    tokens: int
    about: float = 1.0
    more: int = 0
    times: float = 1.0


@dataclass(frozen=True)
class Round(Generic[T]):
    """Questions that are put to one model together.

    name: what the report's figures call it. read: the value of a reply's text; raises Unusable. among: of how many
    the questions are the rest, where they are one: failures are a share of those.
    """

    name: str
    of: Role
    questions: list[Question]
    read: Callable[[str], T]
    brings: tuple[Brings, ...] = ()
    among: int = 0


@dataclass(frozen=True)
class Said(Generic[T]):
    """An answer that could be read. model: who gave it. whole: the model came to its end, and not to max_tokens."""

    value: T
    key: str
    model: str
    whole: bool


@dataclass(frozen=True)
class Failed:
    """No answer, or none that could be read. reason: what the ledger counts by; detail: the reply's beginning.

    key: of the reply, where there is one.
    """

    reason: str
    detail: str
    model: str
    key: str | None = None


Rounds = Generator[Round[Any], list[Any], Outcome]


@dataclass(frozen=True)
class Planned:
    """A question that would be put; known: its reply is in the store."""

    server: Server
    question: Question
    known: bool
    brings: tuple[Brings, ...] = ()


# --- what a stage is written with -------------------------------------------------------------------------------


def put(asked: Round[T]) -> Generator[Round[Any], list[Any], list[Said[T] | Failed]]:
    """Puts a round; its answers in the order of its questions. For `yield from` in a stage."""
    answers: list[Said[T] | Failed] = yield asked
    return answers


def question(
    prompt: prompts.Prompt, about: str, sampling: dict, constraint: dict | None = None, sample: int = 0, **fields: str
) -> Question:
    """A prompt with its fields filled, about a text; `sample` tells equal requests apart."""
    request = Request(prompt.version, prompts.messages(prompt, **fields), sampling, constraint, sample)
    return Question(request, len(about))


def keys(answers: Iterable[Said[Any] | Failed]) -> list[str]:
    """The keys of the replies behind these answers."""
    return [answer.key for answer in answers if answer.key]


def joined_replies(column: str) -> pl.Expr:
    """A record's `replies` with those of `column` behind them."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    return pl.concat_list(pl.col("replies").fill_null(empty), pl.col(column).fill_null(empty))


# --- what is done with it ---------------------------------------------------------------------------------------


def outcome(stage: str, rounds: Rounds, work: Work) -> Outcome:
    """Asks round after round; what the stage makes of the answers, with the cost of each round in its figures.

    Raises TooManyFailed where too many answers of a round are failures, and whatever `llm.ask` raises. Where the work
    is only planned nothing is asked: what would be is in `work.planned`, and unknown answers are `NOT_ASKED`.
    """
    figures: dict[str, dict] = {}
    try:
        asked = next(rounds)
        while True:
            answers, spent = _answers(stage, asked, work)
            figures[asked.name] = spent
            asked = rounds.send(answers)
    except StopIteration as end:
        made: Outcome = end.value
    return replace(made, figures=made.figures | figures)


def _answers(stage: str, asked: Round[T], work: Work) -> tuple[list[Said[T] | Failed], dict]:
    if not asked.questions:
        return [], cost([], [], work)
    server = client.judge(work) if asked.of == "judge" else client.generator(work)
    requests = [one.request for one in asked.questions]
    replies = client.ask(requests, server, work) if work.planned is None else _plan(asked, server, work)
    heard = [_without_control_tokens(reply) for reply in replies]
    answers = [_read(reply, asked.read, server.who) for reply in heard]
    failures = [answer for answer in answers if isinstance(answer, Failed)]
    if work.planned is None and too_many(len(failures), max(len(answers), asked.among)):
        raise TooManyFailed(_complaint(stage, asked, server, failures))
    spent = cost(replies, [one.about for one in asked.questions], work)
    spent |= {"model": server.who, "failures": dict(Counter(one.reason for one in failures))}
    if held := sum(one is not reply for one, reply in zip(heard, replies, strict=True)):
        spent["replies with control tokens"] = held
    return answers, spent


def _plan(asked: Round, server: Server, work: Work) -> list[Reply | Refused]:
    """What the store has of a round; the rest is put down as planned, once each."""
    assert work.planned is not None
    each = [client.request_key(one.request, server.who) for one in asked.questions]
    known = client.kept([one.request for one in asked.questions], server, work)
    different = dict(zip(each, asked.questions, strict=True))
    work.planned.extend(Planned(server, one, key in known, asked.brings) for key, one in different.items())
    return [known.get(key) or Refused(key, NOT_ASKED) for key in each]


def _without_control_tokens(reply: Reply | Refused) -> Reply | Refused:
    """The reply as a stage may read it: what a model writes goes into a release, and nothing cleans it after this.

    The store keeps it as it came, for it may have been stored by an older version or be looked at by a person.
    """
    if isinstance(reply, Refused) or reply.fault or (text := without_control_tokens(reply.text)) == reply.text:
        return reply
    text = text.strip()
    return replace(reply, text=text, fault=None if text else "empty reply")


def _read(reply: Reply | Refused, read: Callable[[str], T], model: str) -> Said[T] | Failed:
    """What is made of a reply: the same kinds of failure in every stage."""
    if isinstance(reply, Refused):
        return Failed(NOT_ASKED if reply.reason == NOT_ASKED else REFUSED, reply.reason[:SHOWN], model)
    if reply.fault:
        kind = reply.fault.split(":")[0]
        reason = kind if kind in ("empty reply", "thinking and no answer") else f"unusable reply: {kind}"
        seen = reply.text or reply.reasoning or ""
        return Failed(reason, short(f"{reply.fault} | {seen}", SHOWN), model, reply.key)
    try:
        return Said(read(reply.text), reply.key, model, reply.finish_reason == "stop")
    except Unusable as error:
        return Failed(str(error), short(reply.text, SHOWN), model, reply.key)


def _complaint(stage: str, asked: Round, server: Server, failures: list[Failed]) -> str:
    """What a person needs to know of a round that failed: how much, why, one example, and what may mend it."""
    reasons = Counter(one.reason for one in failures).most_common(COMMONEST)
    first = next(one for one in failures if one.reason == reasons[0][0])
    told = ", ".join(f"{reason} ({rows})" for reason, rows in reasons)
    told_of = reasons[0][0] if not first.detail.startswith(NO_KEY) else NO_KEY[0]
    mend = next((what for begin, what in MENDS if told_of.startswith(begin)), "see the server's log")
    return (
        f"{stage}: {len(failures)} of {len(asked.questions)} answers of {server.who} at {server.url} are of no use "
        f"({asked.name}): {told}; for example: {first.detail or 'nothing'}; {mend}"
    )
