"""The questions over two steps that `generate_qa` asks where the option `hops` is 2. Ours.

What is asked and what is right comes from the facts of two entries (`generate_qa_points`); the generator words it, and
the gate of `chimed.text.two_steps` checks the wording against both. The record is derived from the formula's row, and
tells the herb's row in `also_from`, so that a takedown of either takes it.
"""

from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import Answer, Failure, Question
from chimed.build.ledger import LedgerError
from chimed.build.steps import corpus_of, read_group
from chimed.llm import asking, prompts
from chimed.schema import derived
from chimed.stages.generate_qa_points import FILE, points_of
from chimed.text.two_steps import wording
from chimed.text.two_steps.gate import Checked, Entries, check
from chimed.text.two_steps.point import Point, find_stretch

SAMPLING = {"max_tokens": 512, "temperature": 0.0}
FORMAT = r"问题：[^\n]{4,200}\n?答案：[^\n]{2,400}"
_OF_A_POINT = [one.name for one in fields(Point)]


@dataclass(frozen=True)
class TwoSteps:
    """A point with the two rows. row: the formula's record. other: id, url, source and page of the herb's row."""

    point: Point
    row: dict[str, Any]
    other: dict[str, str]
    entries: Entries

    @property
    def text(self) -> str:
        """Return both stretches, as the judge reads them."""
        return f"{self.entries.formula}\n\n{self.entries.herb}"


@dataclass(frozen=True)
class Askable:
    """What is asked of a part. allowed: how many points the facts allow, with those that no wording by rule bears."""

    asked: tuple[TwoSteps, ...] = ()
    allowed: int = 0


def read_askable(records: pl.DataFrame, work: StageContext) -> Askable:
    """Return what is asked about the formulas among these records.

    The steps have found it; an estimate, which reads the whole table and takes no steps, finds it here. Raises
    LedgerError where the steps' points are not of this part's rows.
    """
    if work.options.hops < 2:
        return Askable()
    if work.planned is not None:
        points = points_of(lambda: iter([(0, records)]))
    else:
        corpus = corpus_of(work, "generate_qa")
        points = read_group(work.lake, corpus.path("points", FILE), work.part)
    rows = {row["id"]: row for row in records.filter(pl.col("id").is_in(points["formula_row"].implode())).to_dicts()}
    if lacking := set(points["formula_row"]) - set(rows):
        said = f"generate_qa: {len(lacking)} points of part {work.part} are not of its rows"
        raise LedgerError(f"{said}; remove steps/{work.build}/generate_qa")
    found = [_two_steps(one, rows[one["formula_row"]]) for one in points.to_dicts()]
    return Askable(tuple(one for one in found if one and _is_borne_out(one)), len(found))


def _two_steps(found: dict[str, Any], row: dict[str, Any]) -> TwoSteps | None:
    said: dict[str, Any] = {name: found[name] for name in _OF_A_POINT}
    said |= {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    point = Point(**said)
    stretch = find_stretch(row["text"], point.in_formula)
    if not stretch:
        return None
    entries = Entries(row["text"][slice(*stretch)], found["stretch"], stretch[0], found["start"])
    other = {"id": point.herb_row} | {name: found[name] for name in ("url", "source", "page")}
    return TwoSteps(point, row, other, entries)


def _is_borne_out(one: TwoSteps) -> bool:
    """Whether the plainest wording by rule passes the gate: else no model could word what does."""
    asked, answer = draft(one)
    return check(one.point, asked, answer, one.entries).reason is None


def draft(one: TwoSteps) -> tuple[str, str]:
    """Return the plainest question and answer by rule."""
    asked, answers = _drafts(one)
    return asked[0], answers[0]


def _drafts(one: TwoSteps) -> tuple[list[str], list[str]]:
    said = one.entries.herb_words(one.point)
    return wording.questions_of(one.point, said), wording.answers_of(
        one.point, said, one.entries.herb_clause(one.point)
    )


def ask(one: TwoSteps, qa_answer: str) -> Question:
    """Ask for the wording. qa_answer: the option; with `span` only wordings by rule may be chosen from."""
    asked, answers = _drafts(one)
    form = FORMAT
    if qa_answer == "span":
        form = f"问题：(?:{_either(asked)})答案：(?:{_either(answers)})"
    return asking.make_question(
        prompts.load("two_steps"), one.text, SAMPLING, {"regex": form},
        formula=one.entries.formula, herb=one.entries.herb, asked=asked[0], answer=answers[0],
    )  # fmt: skip


def _either(wordings: list[str]) -> str:
    return "|".join(map(asking.literal, wordings))


def judge(
    one: TwoSteps, question: str | None, said: str | None, answer: Answer[Any] | Failure
) -> tuple[dict[str, Any], Checked]:
    """Check a pair by the rules; return its record and what the rules say (with neither, the answer is a failure)."""
    whole = isinstance(answer, Answer) and answer.whole
    checked = check(one.point, question, said, one.entries, whole) if question and said else Checked()
    record = derived(
        one.row,
        kind="qa",
        text=None,
        question=question,
        answer=said,
        evidence=[{"start": start, "end": end} for start, end in checked.in_formula],
        also_from=[{**one.other, "evidence": [{"start": start, "end": end} for start, end in checked.in_herb]}],
        prompt=prompts.load("two_steps").version,
        model=answer.model,
        replies=asking.reply_keys([answer]),
    )
    return record, checked
