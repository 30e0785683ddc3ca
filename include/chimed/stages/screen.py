"""Drop private and inappropriate texts: by rules with checksums, then by the paper's prompt, then by §3.2's attributes.

Paper §3.2, sensitive content cleaning. Each check has its own reason; a rule's detail is the kind and the span, never
the number. Rules are free, so what they flag is not sent to a model. With the option `redact`, what a rule finds is
replaced and the record is kept. A sample of flagged and of passed records is queued for review by people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import Answer, Expected, Failure, ModelStage, Question, Round, UnusableReply
from chimed.build.figures import ScreenFigures
from chimed.build.ledger import Outcome
from chimed.build.options import Options
from chimed.llm import asking, prompts
from chimed.schema import left_rows, turn_words, words
from chimed.storage import store as stores
from chimed.storage.takedowns import read_takedowns
from chimed.text import identifiers

PROMPTS = {
    "screen": "toxic or personal, by the paper's prompt",
    "sensitive": "sensitive attribute or misleading claim",
}
MAX_PIECE = (
    6_000  # characters of one text that are put to the model; longer ones go in pieces, and one 是 flags the record
)
REVIEW_SAMPLE = 200  # records of a build queued for review, both of the flagged and of the passed
REVIEW_CHARACTERS = 2_000  # characters of a record that a reviewer sees


@dataclass(frozen=True)
class Screening:
    """Records not flagged so far (`rest`), and the others. flagged, failed: id → reason, detail. redacted: kinds."""

    records: pl.DataFrame
    rest: pl.DataFrame
    flagged: dict[str, tuple[str, str]]
    by_rule: int
    redacted: dict[str, int]
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)


def prepare(records: pl.DataFrame, options: Options) -> Screening:
    """Apply the rules first, because they are free: what they flag is not sent to a model."""
    redacted: dict[str, int] = {}
    if options.redact:  # cleaning redacted already; this catches what only shows in the cleaned text
        records, redacted = identifiers.mark_identifiers(records, redact=True)
    flagged = rule_flags(records)
    rest = records.filter(~pl.col("id").is_in(list(flagged)))
    return Screening(records, rest, dict(flagged), len(flagged), redacted)


def _make_round(name: str, expected: Callable[[Options], Expected] | None = None) -> Round[Screening, bool]:
    """Make the round of one of `PROMPTS`. The second asks about what the first accepted."""

    def build_requests(state: Screening, options: Options) -> list[Question]:
        return [ask_yes_no(name, text) for _, text in _pieces(state.rest)]

    def accept(state: Screening, answers: Sequence[Answer[bool] | Failure]) -> Screening:
        ids = [id for id, _ in _pieces(state.rest)]
        yes, broken = sort_answers(ids, answers, PROMPTS[name])
        rest = state.rest.filter(~pl.col("id").is_in([*yes, *broken]))
        return replace(state, rest=rest, flagged=state.flagged | yes, failed=state.failed | broken)

    return Round(name, "generator", build_requests, read_yes_no, accept, lambda options: options.screen_model, expected)


def _second_round(options: Options) -> Expected:
    second = prompts.load("sensitive")
    return Expected(second.version, "generator", tokens=1, more=len(second.user))


def finish(state: Screening, options: Options) -> Outcome:
    """Keep what neither the rules nor the two prompts flag; a record fails if a reply is neither 是 nor 否."""
    figures: ScreenFigures = {"by_rule": state.by_rule, "redacted": state.redacted}
    return Outcome(
        kept=state.rest,
        dropped=pl.concat([left_rows(state.records, state.flagged), left_rows(state.records, state.failed, "failed")]),
        figures=figures,
    )


def rule_flags(records: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Return the records in which a rule finds an identifier or a name: id → reason, and the kinds with their spans.

    What was found before cleaning (the column `identifiers`) comes first; its spans are in the page's own words. Then
    the present words are searched, the title with them.
    """
    now, _ = identifiers.mark_identifiers(records)
    both = records.select("id", before="identifiers").with_columns(now=now["identifiers"])
    flags = {}
    for id, before, after in both.filter(pl.any_horizontal(pl.col("before", "now").list.len() > 0)).iter_rows():
        entries = [*(before or []), *(after or [])]
        detail = "; ".join(dict.fromkeys([*(f"{entry} before cleaning" for entry in before or []), *(after or [])]))
        flags[id] = (identifiers.reason_of(entries[0]), detail)
    return flags


def ask_yes_no(name: str, text: str) -> Question:
    """Fill one of `PROMPTS` with a text."""
    return asking.make_question(prompts.load(name), text, asking.YES_NO_SAMPLING, asking.YES_NO, text=text)


def read_yes_no(text: str) -> bool:
    """Read 是 or 否 at the beginning of a reply. Raises UnusableReply if there is neither."""
    said = text.strip().lstrip("“‘\"'*")
    if not said.startswith(("是", "否")):
        raise UnusableReply("neither 是 nor 否")
    return said.startswith("是")


def sort_answers(
    ids: list[str], answers: Sequence[Answer[bool] | Failure], reason: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the records that a round flags and those that fail (id → reason, detail). One 是 flags a record."""
    flagged: dict[str, tuple[str, str]] = {}
    failed: dict[str, tuple[str, str]] = {}
    for id, answer in zip(ids, answers, strict=True):
        if isinstance(answer, Failure):
            failed[id] = (answer.reason, answer.detail)
        elif answer.value:
            flagged[id] = (reason, f"reply {answer.key}")
    return flagged, {id: why for id, why in failed.items() if id not in flagged}


def _pieces(records: pl.DataFrame) -> list[tuple[str, str]]:
    return [
        (id, text[start : start + MAX_PIECE])
        for id, text in records.select("id", with_title()).iter_rows()
        for start in range(0, max(len(text), 1), MAX_PIECE)
    ]


def with_title() -> pl.Expr:
    """Return an expression for a record's title and words in one string, since the title is released too."""
    return pl.concat_str([pl.col("title"), words().alias("words")], separator="\n", ignore_nulls=True)


def queue_for_review(found: Outcome, work: StageContext) -> None:
    """Queue a sample of flagged and passed records for review: those with the smallest ids.

    Ids are hashes, so the sample is random, and the same whenever the build runs again.
    """
    gone = read_takedowns(work.store).rows()  # taken down since extract
    found = replace(found, kept=found.kept.filter(~gone), dropped=found.dropped.filter(~gone))
    flagged = dict(found.dropped.filter(pl.col("fate") == "dropped").select("id", "reason").iter_rows())
    chosen = [(id, "flagged", flagged[id]) for id in sorted(flagged)[:REVIEW_SAMPLE]]
    chosen += [(id, "passed", "") for id in sorted(found.kept["id"])[:REVIEW_SAMPLE]]
    ids = [id for id, *_ in chosen]
    shown = pl.concat_str(
        [pl.col("title"), words(turns=False), turn_words(named=True)], separator="\n", ignore_nulls=True
    )
    both = pl.concat([frame.select("id", "url", text=shown) for frame in (found.kept, found.dropped)])
    texts = {id: (url, text) for id, url, text in both.filter(pl.col("id").is_in(ids)).iter_rows()}
    now = datetime.now(UTC)
    rows = [
        {
            "record": id,
            "stage": "screen",
            "build": work.build,
            "kind": kind,
            "reason": reason,
            "text": _excerpt(texts[id][1]),
            "sampled": now,
            "url": texts[id][0],
        }
        for id, kind, reason in chosen
    ]
    stores.queue_for_review(work.store, rows, REVIEW_SAMPLE)


def _excerpt(text: str) -> str:
    """Return what a reviewer sees of a long text: the part around the first identifier, else the beginning."""
    found = identifiers.find_identifiers(text)
    start = max(0, found[0].start - REVIEW_CHARACTERS // 2) if found else 0
    return text[start : start + REVIEW_CHARACTERS]


STAGE = ModelStage(prepare, (_make_round("screen"), _make_round("sensitive", _second_round)), finish, queue_for_review)
