"""What every stage that asks models shares: requests, replies, failures, and what they cost. Paper §3.2.

Such a stage is a `ModelStage` (`chimed.build.contract`): one or more rounds, each a set of requests to one model, over
a state of its own. A round has three pure functions: `build_requests` makes requests of the state, `parse_reply` makes
a value of a reply's text or raises `UnusableReply`, and `accept` returns the state with the answers in it. `prepare`
makes the first state of the records, `finish` the stage's `Outcome` of the last one:

    STAGE = ModelStage(prepare, (Round("llm", "generator", build_requests, parse_reply, accept),), finish)

Everything else is here, once: which server is asked, that no reply is paid for twice, what counts as a failure and how
many are too many, what the round cost, and, where a build is only planned, what it would cost.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import polars as pl

from chimed import reasons
from chimed.build.context import Work
from chimed.build.contract import Answer, Expected, Failure, ModelStage, Question, Role, UnusableReply
from chimed.build.ledger import EXAMPLE_CHARACTERS, MAX_REASONS, Outcome, TooManyFailed, too_many
from chimed.characters import short
from chimed.llm import client, prompts
from chimed.llm.cost import measure_cost
from chimed.llm.protocol import Refused, Request, Server
from chimed.llm.reply import Reply
from chimed.text.control_tokens import without_control_tokens

# Reasons (`chimed.reasons`) of failures that any stage may meet.
NOT_ASKED = "not asked: only planned"
REFUSED = "request refused"
NO_TEXT = ("empty reply", "thinking and no answer")
UNUSABLE = "unusable reply"

ACCESS_REFUSED = ("HTTP 401", "HTTP 403", "HTTP 402")  # how the detail of a refused request begins
CHECK_KEY = "the server refuses access: check CHIMED_LLM_KEY and its permissions"
CHECK_LOG = "see the server's log"
USE_STRUCTURED_OUTPUTS = "the model ignores the allowed answers: serve it with structured outputs (see chimed check)"
# What mends a failure, by its reason.
REMEDIES = {
    REFUSED: "the server says why; if a text is too long, raise --max-model-len",
    "empty reply": "try the model by hand: a base model without a chat template answers nothing",
    "thinking and no answer": "serve a model without thinking, or start its server with --reasoning-parser",
    "model's refusal": "the model refuses this work; serve another one",
    UNUSABLE: "see the server's log; python -m chimed store forget-faults asks such requests again",
}

# How a question that wants yes or no is sampled, and the two answers it may have.
YES_NO_SAMPLING = {"max_tokens": 4, "temperature": 0.0}
YES_NO = {"choice": ["是", "否"]}

Value = TypeVar("Value")


@dataclass(frozen=True)
class PlannedRequest:
    """A request that would be sent. known: its reply is in the store. brings: what its answer will have asked."""

    server: Server
    question: Question
    known: bool
    brings: tuple[Expected, ...] = ()


# --- what a stage is written with -------------------------------------------------------------------------------


def make_question(
    prompt: prompts.Prompt, about: str, sampling: dict, constraint: dict | None = None, sample: int = 0, **fields: str
) -> Question:
    """Fill a prompt's fields, about a text; `sample` tells equal requests apart."""
    request = Request(prompt.version, prompts.build_messages(prompt, **fields), sampling, constraint, sample)
    return Question(request, len(about))


def reply_keys(answers: Iterable[Answer[Any] | Failure]) -> list[str]:
    """Return the keys of the replies behind these answers."""
    return [answer.key for answer in answers if answer.key]


def join_replies(column: str) -> pl.Expr:
    """Return a record's `replies` with those of `column` behind them."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    return pl.concat_list(pl.col("replies").fill_null(empty), pl.col(column).fill_null(empty))


# --- what is done with it ---------------------------------------------------------------------------------------


def ask_models(name: str, stage: ModelStage[Any], records: pl.DataFrame, work: Work) -> Outcome:
    """Run a stage's rounds on one part's records; the cost of each round is in the outcome's figures.

    Raises TooManyFailed where too many answers of a round are failures, and whatever `llm.ask` raises. Where the work
    is only planned nothing is sent: what would be is in `work.planned`, and unknown answers are `NOT_ASKED`.
    """
    rounds = [one for one in stage.rounds if one.applies(work.options)]
    later = tuple(one.expected(work.options) for one in rounds[1:] if one.expected)
    state = stage.prepare(records, work.options)
    costs: dict[str, dict] = {}
    for number, one in enumerate(rounds):
        questions = one.build_requests(state, work.options)
        batch = _Batch(
            name, one.name, one.server, questions, one.parse_reply, one.among(state), () if number else later
        )
        answers, costs[one.name] = _ask_round(batch, work)
        state = one.accept(state, answers)
    outcome = stage.finish(state, work.options)
    if work.planned is None:
        stage.publish(outcome, work)
    return replace(outcome, figures={**outcome.figures, **costs})


@dataclass(frozen=True)
class _Batch(Generic[Value]):
    """The requests of a round, as they are sent. brings: what each answer will have asked, where it is not there."""

    stage: str
    name: str
    server: Role
    questions: Sequence[Question]
    parse_reply: Callable[[str], Value]
    among: int = 0
    brings: tuple[Expected, ...] = field(default=())


def _ask_round(batch: _Batch[Value], work: Work) -> tuple[list[Answer[Value] | Failure], dict]:
    """Return the answers to a round's requests, in their order, and what they cost."""
    if not batch.questions:
        return [], measure_cost([], [], work)
    server = client.judge_server(work) if batch.server == "judge" else client.generator_server(work)
    requests = [one.request for one in batch.questions]
    replies = client.ask(requests, server, work) if work.planned is None else _plan_round(batch, server, work)
    heard = [_without_control_tokens(reply) for reply in replies]
    answers = [_parse_answer(reply, batch.parse_reply, server.who) for reply in heard]
    failures = [answer for answer in answers if isinstance(answer, Failure)]
    if work.planned is None and too_many(len(failures), max(len(answers), batch.among)):
        raise TooManyFailed(_describe_failures(batch, server, failures))
    spent = measure_cost(replies, [one.about for one in batch.questions], work)
    spent |= {"model": server.who, "failures": dict(Counter(one.reason for one in failures))}
    if held := sum(one is not reply for one, reply in zip(heard, replies, strict=True)):
        spent["replies_with_control_tokens"] = held
    return answers, spent


def _plan_round(batch: _Batch[Any], server: Server, work: Work) -> list[Reply | Refused]:
    """Return what the store has of a round; the rest is put down as planned, once each."""
    assert work.planned is not None
    each = [client.request_key(one.request, server.who) for one in batch.questions]
    known = client.find_stored_replies([one.request for one in batch.questions], server, work)
    different = dict(zip(each, batch.questions, strict=True))
    work.planned.extend(PlannedRequest(server, one, key in known, batch.brings) for key, one in different.items())
    return [known.get(key) or Refused(key, NOT_ASKED) for key in each]


def _without_control_tokens(reply: Reply | Refused) -> Reply | Refused:
    """Return the reply as a stage may read it: what a model writes goes into a release, and nothing cleans it later.

    The store keeps it as it came, for it may have been stored by an older version or be looked at by a person.
    """
    if isinstance(reply, Refused) or reply.fault or (text := without_control_tokens(reply.text)) == reply.text:
        return reply
    text = text.strip()
    return replace(reply, text=text, fault=None if text else "empty reply")


def _parse_answer(reply: Reply | Refused, parse_reply: Callable[[str], Value], model: str) -> Answer[Value] | Failure:
    """Make an answer of a reply; the kinds of failure are the same in every stage."""
    if isinstance(reply, Refused):
        return Failure(NOT_ASKED if reply.reason == NOT_ASKED else REFUSED, reply.reason[:EXAMPLE_CHARACTERS], model)
    if reply.fault:
        reason = reply.fault if reply.fault in NO_TEXT else UNUSABLE
        seen = reply.text or reply.reasoning or ""
        return Failure(reason, short(f"{reply.fault} | {seen}", EXAMPLE_CHARACTERS), model, reply.key)
    try:
        return Answer(parse_reply(reply.text), reply.key, model, reply.finish_reason == "stop")
    except UnusableReply as error:
        return Failure(str(error), short(reply.text, EXAMPLE_CHARACTERS), model, reply.key)


def _describe_failures(batch: _Batch[Any], server: Server, failures: list[Failure]) -> str:
    """Say what a person needs to know of a round that failed: how much, why, one example, and what may mend it."""
    commonest = Counter(one.reason for one in failures).most_common(MAX_REASONS)
    first = next(one for one in failures if one.reason == commonest[0][0])
    told = ", ".join(f"{reasons.words(reason)} ({rows})" for reason, rows in commonest)
    unparsed = reasons.read(first.reason)[0].family == "unparsed reply"
    mend = (
        CHECK_KEY
        if first.detail.startswith(ACCESS_REFUSED)
        else USE_STRUCTURED_OUTPUTS
        if unparsed
        else REMEDIES.get(first.reason)
    )
    return (
        f"{batch.stage}: {len(failures)} of {len(batch.questions)} answers of {server.who} at {server.url} are of "
        f"no use ({batch.name}): {told}; for example: {first.detail or 'nothing'}; {mend or CHECK_LOG}"
    )
