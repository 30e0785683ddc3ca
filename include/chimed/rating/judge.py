"""Ask the judge to rate texts by the rubric, and read its reply: four scores, each with one sentence why. Ours.

The reply is held to a JSON schema where the server can do that, and read strictly in any case. Each reply stays in the
store, so a text that was rated once under this wording costs nothing again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from chimed.build.contract import Answer, Failure, ModelStage, Question, Round, UnusableReply
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.rating import sample
from chimed.rating.rubric import JUDGED, LEAST, MOST, PROMPT
from chimed.roles import ASKER

READ = 1_200  # characters of a text that are rated; by then a text has shown what it is
LONGEST_WHY = 60  # characters of a reason that the schema allows
TOLERATED_WHY = 200  # characters of a reason from a server without schemas
LONGEST_REPLY = 4_000
SAMPLING = {"max_tokens": 400, "temperature": 0.0}
NO_RATING = "no rating by the rubric"


def schema() -> dict[str, Any]:
    """Return the JSON schema of a reply: for each criterion a reason in one line, then a score from 1 to 5."""
    why = {"type": "string", "pattern": f'^[^"\\\\\\n]{{1,{LONGEST_WHY}}}$'}
    one = _closed_object({"why": why, "score": {"type": "integer", "enum": list(range(LEAST, MOST + 1))}})
    return _closed_object(dict.fromkeys(JUDGED, one))


def _closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def rated_text() -> pl.Expr:
    """Return the text of a row that is rated, at most `READ` characters.

    Of a question it is question and answer and what was said afterwards, of a preference question and chosen answer, of
    a document title and body.
    """
    asked = pl.concat_str(
        [
            pl.lit("问题：") + pl.col("question").fill_null("").str.slice(0, READ // 2),
            pl.lit("回答：") + pl.col("answer").fill_null(""),
            _later_turns(),
        ],
        separator="\n",
        ignore_nulls=True,
    )
    told = pl.concat_str(
        [pl.lit("标题：") + pl.col("title").str.slice(0, READ // 10), pl.lit("正文：") + pl.col("text").fill_null("")],
        separator="\n",
        ignore_nulls=True,
    )
    return pl.when(pl.col("kind") == "document").then(told).otherwise(asked).str.slice(0, READ)


def _later_turns() -> pl.Expr:
    """Return what was said after the answer, one line for each turn; null where nothing was."""
    turn = pl.element().struct
    by_asker = turn.field("role") == ASKER
    lines = pl.when(by_asker).then(pl.lit("追问：")).otherwise(pl.lit("追答：")) + turn.field("text")
    said = pl.col("turns").list.eval(lines).list.join("\n")
    return pl.when(said.str.len_chars() > 0).then(said)


def rate(text: str) -> Question:
    """Ask for a rating of this text."""
    return asking.make_question(prompts.load(PROMPT), text, SAMPLING, {"json": schema()}, text=text)


def parse_rating(text: str) -> dict[str, int]:
    """Return the scores of a reply by criterion. Raises UnusableReply unless it is the JSON that the schema describes.

    A score is a whole number from 1 to 5, a reason is not empty and of one line; nothing may be missing, added or said
    twice.
    """
    if len(text) > LONGEST_REPLY:
        raise UnusableReply(NO_RATING)
    try:
        said = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise UnusableReply(NO_RATING) from None
    if not isinstance(said, dict) or set(said) != set(JUDGED):
        raise UnusableReply(NO_RATING)
    return {name: _score(said[name]) for name in JUDGED}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _score(said: Any) -> int:
    if not isinstance(said, dict) or set(said) != {"why", "score"}:
        raise UnusableReply(NO_RATING)
    why, score = said["why"], said["score"]
    if not isinstance(why, str) or not why.strip() or len(why) > TOLERATED_WHY or not why.isprintable():
        raise UnusableReply(NO_RATING)
    if type(score) is not int or not LEAST <= score <= MOST:
        raise UnusableReply(NO_RATING)
    return score


# --- the round --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rating:
    """The records, and the rows of them that are rated (id, text). answers: of those, in their order."""

    records: pl.DataFrame
    rated: pl.DataFrame
    answers: Sequence[Answer[dict[str, int]] | Failure] = ()


def prepare(records: pl.DataFrame, options: Options) -> Rating:
    """Choose the sample of a table in memory."""
    ids = sample.choose([records], options.rate_sample)
    return Rating(records, records.filter(pl.col("id").is_in(sorted(ids))).sort("id").select("id", text=rated_text()))


def build_requests(state: Rating, options: Options) -> list[Question]:
    """Ask about each row of the sample."""
    return [rate(text) for text in state.rated["text"]]


def accept(state: Rating, answers: Sequence[Answer[dict[str, int]] | Failure]) -> Rating:
    """Store the answers."""
    return replace(state, answers=answers)


def finish(state: Rating, options: Options) -> Outcome:
    """Keep every row; a row that the judge rated has its scores, and the reply's key after its other replies.

    A row whose reply could not be used stays without a score: it is only one less to learn from.
    """
    columns = [f"quality_{name}" for name in JUDGED]
    told = [
        (id, [answer.key], *(float(answer.value[name]) for name in JUDGED))
        for id, answer in zip(state.rated["id"], state.answers, strict=True)
        if isinstance(answer, Answer)
    ]
    kinds: dict[str, pl.DataType] = {"id": pl.String(), "keys": pl.List(pl.String)}
    kinds |= dict.fromkeys(columns, pl.Float64())
    scores = pl.DataFrame(told, schema=kinds, orient="row")
    plain = state.records.drop(columns).join(scores, on="id", how="left", maintain_order="left")
    kept = plain.with_columns(
        replies=pl.when(pl.col("keys").is_null()).then("replies").otherwise(asking.join_replies("keys"))
    )
    return Outcome(kept.select(state.records.columns))


JUDGE = ModelStage(prepare, (Round("judge", "judge", build_requests, parse_rating, accept),), finish)
