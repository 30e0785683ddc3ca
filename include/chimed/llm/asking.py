"""What all stages that ask models share: requests, replies, failures, and costs. Paper §3.2.

Such a stage is a `ModelStage` (`chimed.build.contract`): one or more rounds, each a set of requests to one model, over
a state of its own. A round has three pure functions: `build_requests` makes requests from the state, `parse_reply`
reads a value from a reply's text or raises `UnusableReply`, and `accept` returns the state with the answers. `prepare`
makes the first state from the records, `finish` the stage's `Outcome` from the last one:

    STAGE = ModelStage(prepare, (Round("llm", "generator", build_requests, parse_reply, accept),), finish)

Everything else is here, once: which server is asked, that no reply is paid for twice, what counts as a failure and how
many are too many, what a round cost, and, in an estimate, what it would cost.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import polars as pl

from chimed import reasons
from chimed.build.context import StageContext
from chimed.build.contract import Answer, Expected, Failure, ModelStage, Question, Role, Round, UnusableReply
from chimed.build.ledger import EXAMPLE_CHARACTERS, MAX_REASONS, Outcome, TooManyFailed, too_many
from chimed.build.options import Options
from chimed.characters import short
from chimed.llm import client, connecting, generators, prompts
from chimed.llm.cost import measure_cost
from chimed.llm.protocol import Refused, Request, Server
from chimed.llm.reply import Reply
from chimed.text.control_tokens import without_control_tokens

# Reasons (`chimed.reasons`) of failures that any stage may meet.
NOT_ASKED = "not asked: only planned"
REFUSED = "request refused"
NO_TEXT = ("empty reply", "thinking and no answer")
UNUSABLE = "unusable reply"

ACCESS_REFUSED = ("HTTP 401", "HTTP 403", "HTTP 402")  # the beginning of a refused request's detail
CHECK_KEY = "the server refuses access: check CHIMED_LLM_KEY and its permissions"
CHECK_LOG = "see the server's log"
USE_STRUCTURED_OUTPUTS = "the model ignores the allowed answers: serve it with structured outputs (see chimed check)"
# What to do about a failure, by its reason.
REMEDIES = {
    REFUSED: "the server says why; if a text is too long, raise --max-model-len",
    "empty reply": "try the model by hand: a base model without a chat template answers nothing",
    "thinking and no answer": "serve a model without thinking, or start its server with --reasoning-parser",
    "model's refusal": "the model refuses this work; serve another one",
    UNUSABLE: "see the server's log; python -m chimed store forget-faults asks such requests again",
}

# Sampling and allowed answers of a yes-or-no question.
YES_NO_SAMPLING = {"max_tokens": 4, "temperature": 0.0}
YES_NO = {"choice": ["是", "否"]}

Value = TypeVar("Value")


@dataclass(frozen=True)
class PlannedRequest:
    """A request that would be sent. known: its reply is in the store. brings: requests that follow from its answer."""

    server: Server
    question: Question
    known: bool
    brings: tuple[Expected, ...] = ()


# --- what a stage is written with -------------------------------------------------------------------------------


def make_question(
    prompt: prompts.Prompt,
    about: str,
    sampling: dict[str, Any],
    constraint: dict[str, Any] | None = None,
    sample: int = 0,
    **fields: str,
) -> Question:
    """Make a request from a prompt and its fields. about: the text it is about. sample: tells equal requests apart."""
    request = Request(prompt.version, prompts.build_messages(prompt, **fields), sampling, constraint, sample)
    return Question(request, len(about))


def literal(text: str) -> str:
    """Escape a text for a constraint's regular expression: only the characters that every dialect treats as special."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)


def reply_keys(answers: Iterable[Answer[Any] | Failure]) -> list[str]:
    """Return the keys of the replies behind these answers."""
    return [answer.key for answer in answers if answer.key]


def join_replies(column: str) -> pl.Expr:
    """Return an expression for a record's `replies` followed by those of `column` that are not among them."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    every = pl.concat_list(pl.col("replies").fill_null(empty), pl.col(column).fill_null(empty))
    return every.list.unique(maintain_order=True)


# --- what is done with it ---------------------------------------------------------------------------------------


def ask_models(name: str, stage: ModelStage[Any], records: pl.DataFrame, work: StageContext) -> Outcome:
    """Run a stage's rounds on one part's records; the figures of the outcome hold each round's cost.

    Raises TooManyFailed if too many answers of a round are failures, and whatever `client.ask` raises. In an estimate
    nothing is sent: the requests are appended to `work.planned`, and those without a stored reply fail as `NOT_ASKED`.
    """
    rounds = [one for one in stage.rounds if one.applies(work.options)]
    state = stage.add_known(stage.prepare(records, work.options), work)
    costs: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(rounds):
        questions = one.build_requests(state, work.options)
        follows = _following(rounds, number, work.options)
        batch = _Batch(name, one.name, questions, one.parse_reply, one.among(state), follows)
        answers, spent = _ask_round(batch, _servers(one.server, stage, work) if questions else [], work)
        costs |= spent
        state = one.accept(state, answers)
    outcome = stage.finish(state, work.options)
    if work.planned is None:
        stage.publish(outcome, work)
    return replace(outcome, figures={**outcome.figures, **costs})


def _following(rounds: Sequence[Round[Any, Any]], number: int, options: Options) -> tuple[Expected, ...]:
    """Return what later rounds are likely to ask for each answer of this one.

    A later round says it for each answer of the first. If this round says so too, their ratio is what follows from it:
    where two verdicts decide a pair and both its answers are rated, a verdict brings one rating.
    """
    this = rounds[number]
    if this.opens or not number:
        return tuple(one.expected(options) for one in rounds[1:] if one.expected)
    if this.expected is None:
        return ()
    each = this.expected(options).times
    later = [one.expected(options) for one in rounds[number + 1 :] if one.expected]
    return tuple(replace(one, times=one.times / each) for one in later)


@dataclass(frozen=True)
class _Batch(Generic[Value]):
    """The requests of a round as they are sent. brings: the requests that follow from each answer that is missing."""

    stage: str
    name: str
    questions: Sequence[Question]
    parse_reply: Callable[[str], Value]
    among: int = 0
    brings: tuple[Expected, ...] = field(default=())


def _servers(role: Role, stage: ModelStage[Any], work: StageContext) -> list[Server]:
    """Return the servers that a round asks. Who judges what all generators wrote must be none of them."""
    if role == "generators":
        return generators.all_generators(work)
    if role == "generator":
        return [connecting.generator_server(work)]
    wrote = {one.server for one in stage.rounds}
    return [generators.impartial_judge(work) if "generators" in wrote else connecting.judge_server(work)]


def _ask_round(
    batch: _Batch[Value], servers: Sequence[Server], work: StageContext
) -> tuple[list[Answer[Value] | Failure], dict[str, dict[str, Any]]]:
    """Return the answers to a round's requests, in their order, and what each server cost, by the round's name.

    Of several servers the second one's cost is under `<name>_2`. They are asked one after another: each with its own
    limits and patience, so that one that is away is named, and what the others wrote is stored before it is asked.
    """
    if not batch.questions:
        return [], {batch.name: measure_cost([], [], work)}
    turns = [generators.take_turns(one, len(servers)) for one in batch.questions]
    answers: list[Answer[Value] | Failure | None] = [None] * len(turns)
    costs: dict[str, dict[str, Any]] = {}
    for number, server in enumerate(servers):
        places = [place for place, (turn, _) in enumerate(turns) if turn == number]
        share = replace(batch, questions=[turns[place][1] for place in places])
        name = f"{batch.name}_{number + 1}" if number else batch.name
        heard, costs[name] = _ask_server(share, server, work)
        for place, answer in zip(places, heard, strict=True):
            answers[place] = answer
    return [answer for answer in answers if answer is not None], costs


def _ask_server(
    batch: _Batch[Value], server: Server, work: StageContext
) -> tuple[list[Answer[Value] | Failure], dict[str, Any]]:
    """Return a server's answers to its share of a round, and their cost."""
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


def _plan_round(batch: _Batch[Any], server: Server, work: StageContext) -> list[Reply | Refused]:
    """Return the stored replies of a round; append each different request to `work.planned`."""
    assert work.planned is not None
    each = [client.request_key(one.request, server.who) for one in batch.questions]
    known = client.find_stored_replies([one.request for one in batch.questions], server, work)
    different = dict(zip(each, batch.questions, strict=True))
    work.planned.extend(PlannedRequest(server, one, key in known, batch.brings) for key, one in different.items())
    return [known.get(key) or Refused(key, NOT_ASKED) for key in each]


def _without_control_tokens(reply: Reply | Refused) -> Reply | Refused:
    """Remove control tokens from a reply: what a model writes goes into a release, and no later stage cleans it.

    The store keeps the reply unchanged, so a person can look at it, and so replies stored by older versions are cleaned
    too.
    """
    if isinstance(reply, Refused) or reply.fault or (text := without_control_tokens(reply.text)) == reply.text:
        return reply
    text = text.strip()
    return replace(reply, text=text, fault=None if text else "empty reply")


def _parse_answer(reply: Reply | Refused, parse_reply: Callable[[str], Value], model: str) -> Answer[Value] | Failure:
    """Turn a reply into an answer. The kinds of failure are the same in every stage."""
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
    """Describe a failed round: how much failed, why, one example, and what may fix it."""
    commonest = Counter(one.reason for one in failures).most_common(MAX_REASONS)
    first = next(one for one in failures if one.reason == commonest[0][0])
    told = ", ".join(f"{reasons.words(reason)} ({rows})" for reason, rows in commonest)
    unparsed = reasons.read(first.reason)[0].family == "unparsed reply"
    remedy = REMEDIES.get(first.reason, CHECK_LOG)
    if first.detail.startswith(ACCESS_REFUSED):
        remedy = CHECK_KEY
    elif unparsed:
        remedy = USE_STRUCTURED_OUTPUTS
    return (
        f"{batch.stage}: {len(failures)} of {len(batch.questions)} answers of {server.who} at {server.url} could "
        f"not be used ({batch.name}): {told}; for example: {first.detail or 'nothing'}; {remedy}"
    )
