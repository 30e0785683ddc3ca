"""Take out what holds an exam question (ours; the paper trains and tests without a look: arXiv 2311.04850).

Every question of the exams the models are measured on is looked for in every record, generated ones too, in whichever
script and width, with letters changed and options in another order. Of a long document the passage leaves and the rest
stays; a short one, a question or a preference leaves whole. All that left is listed with the exam's question.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import ShardStage
from chimed.build.figures import DecontaminateFigures
from chimed.build.ledger import LedgerError, Outcome
from chimed.schema import RECORD_COLUMNS, derived, dropped_table, left_rows, turn_words
from chimed.text.exams.exam_questions import read_questions
from chimed.text.exams.exam_search import Found, Search
from chimed.text.passages import PASSAGE, Span, merge_spans, passage_around, remove_spans, shift_places

REASON = "exam question"
REST = 300  # characters that stay of a document without its passages, and at least as many as leave: else all leaves
AT_ONCE = 250_000  # characters looked through at once: their arrays stay near the processor
SHOWN, SHOWN_CHARACTERS = 10, 160  # of the report's examples
_EXAM = r"^([^:]+) \d+: "  # of a detail that begins with a question's name
ABOUT = "it was asked about an exam question in"
COLUMNS = ("title", "text", "question", "reasoning", "answer", "turns", "rejected")


@dataclass(frozen=True)
class Match:
    """What may be a question in a record. row: the record's. column, start, end: where it stands. said: its words."""

    row: int
    column: str
    start: int
    end: int
    said: str
    found: Found

    def __str__(self) -> str:
        found = self.found
        how = f"{found.alike:.0%} alike, {found.options} options"
        return f"{found.question.name}: {found.question.stem} ({how}{', ' + found.why if found.why else ''})"


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Remove records that contain an exam question; from a long document remove only the passages that contain one.

    Raises UserError where there are no exams, and LedgerError where a character is neither kept nor listed as removed.
    """
    search = _search(work.settings.exams)
    matches = list(matches_in(records, search))
    held: dict[int, list[Match]] = defaultdict(list)
    for match in matches:
        if match.found.why:
            held[match.row].append(match)
    why: dict[str, tuple[str, str]] = {}
    changed: dict[str, dict[str, Any]] = {}
    spans: dict[str, list[Span]] = {}
    passages: list[dict[str, Any]] = []
    for row, found in sorted(held.items()):
        record = records.row(row, named=True)
        places = {column: _spans(record, column, found) for column in ("title", "text")}
        spans[record["id"]] = places["text"]
        if stays(record, places):
            changed[record["id"]] = _without(record, places)
            passages += [_left(record, column, span, found) for column in places for span in places[column]]
        else:
            why[record["id"]] = (REASON, str(_most(found)))
    for child in records.filter(pl.col("parent").is_in(list(spans)) & pl.col("evidence").is_not_null()).to_dicts():
        evidence = shift_places(child["evidence"], spans[child["parent"]])
        if evidence is None:
            why.setdefault(child["id"], (REASON, f"{ABOUT} {child['parent']}"))
        elif child["parent"] in changed:
            changed[child["id"]] = {**child, "evidence": evidence}
    dropped, lost = left_rows(records, why), dropped_table(passages)
    kept = _changed(records, [row for id, row in changed.items() if id not in why], list(why))
    if _characters(records) != _characters(kept) + _characters(dropped) + _characters(lost):
        raise LedgerError("decontaminate: kept and removed passages do not add up to what was read")
    return Outcome(kept, dropped, derived_dropped=lost, figures=figures(search, matches, records, dropped, lost))


@cache
def _search(folder: str | None) -> Search:
    return Search(read_questions(folder))


# --- looking ----------------------------------------------------------------------------------------------------


def matches_in(records: pl.DataFrame, search: Search) -> Iterator[Match]:
    """Every place of the records that may hold a question, with the verdict on it."""
    whole = pl.concat_str(COLUMNS, separator="\n", ignore_nulls=True)
    words = records.select(_said())
    texts = words.select(whole.fill_null("").str.replace_all("\0", " ", literal=True)).to_series()
    ends = (texts.str.len_chars().cast(pl.Int64) + 1).cum_sum().to_numpy()
    turns = ends // AT_ONCE
    firsts = np.flatnonzero(np.concatenate([[True], turns[1:] != turns[:-1]])[: len(turns)])
    for first, last in pairwise([*firsts.tolist(), len(texts)]):
        before = int(ends[first - 1]) if first else 0
        for found in search.find("\0".join(texts[first:last].to_list())):
            row = int(np.searchsorted(ends, before + found.start, side="right"))
            begin = (int(ends[row - 1]) if row else 0) - before
            start, end = found.start - begin, found.last - begin
            column, offset = _column(words.row(row, named=True), start)
            yield Match(row, column, start - offset, end - offset, texts[row][start:end], found)


def _column(record: dict[str, Any], place: int) -> tuple[str, int]:
    """Return the column that contains a position in the joined columns, and the offset at which that column begins."""
    offset, name = 0, ""
    for name in (name for name in COLUMNS if record[name] is not None):
        if place < offset + len(record[name]) + 1:
            break
        offset += len(record[name]) + 1
    return name, offset


# --- leaving ----------------------------------------------------------------------------------------------------


def _spans(record: dict[str, Any], column: str, matches: list[Match]) -> list[Span]:
    """Of a document, what leaves of a column: passages of its text, the whole title. Nothing of another record."""
    if record["kind"] != "document":
        return []
    here = [match for match in matches if match.column == column]
    if column == "title":
        return [(0, len(record["title"]))] if here else []
    return merge_spans(passage_around(record[column], match.start, match.end) for match in here)


def stays(record: dict[str, Any], places: dict[str, list[Span]]) -> bool:
    """Whether enough is left of a document, and of nothing else, to keep it."""
    leaves = sum(end - start for start, end in places["text"])
    return record["kind"] == "document" and len(record["text"]) - leaves >= max(REST, leaves)


def _without(record: dict[str, Any], places: dict[str, list[Span]]) -> dict[str, Any]:
    title = None if places["title"] else record["title"]
    return {**record, "title": title, "text": remove_spans(record["text"], places["text"])}


def _left(record: dict[str, Any], column: str, span: Span, matches: list[Match]) -> dict[str, Any]:
    """Return a removed passage as a dropped record: its text, and which question was found where in the document."""
    start, end = span
    inside = [match for match in matches if match.column == column and start <= match.start < end]
    words = {"title": None, "text": record[column][start:end]}
    made = derived(record, **words, kind="document", prompt=None, model=None, replies=None)
    where = f"characters {start} to {end} of its {column}"
    return made | {"fate": "dropped", "reason": PASSAGE, "detail": f"{_most(inside)}; {where}"}


def _most(matches: list[Match]) -> Match:
    """Return the match that shares the most characters with its question."""
    return max(matches, key=_says)


def _changed(records: pl.DataFrame, changed: list[dict[str, Any]], gone: list[str]) -> pl.DataFrame:
    """Replace the changed records and remove those in `gone`; the order of the others stays."""
    numbered = records.with_row_index("row").filter(~pl.col("id").is_in(gone))
    if not changed:
        return numbered.drop("row")
    new = pl.DataFrame(changed, schema=RECORD_COLUMNS)
    places = numbered.select("row", "id").join(new, on="id", how="inner")
    others = numbered.join(new.select("id"), on="id", how="anti")
    return pl.concat([others, places.select(numbered.columns)]).sort("row").drop("row")


def _characters(rows: pl.DataFrame) -> int:
    return int(rows.select(_said()).select(pl.sum_horizontal(_lengths().sum())).item() or 0)


def _said() -> list[pl.Expr]:
    """Return `COLUMNS` as texts; the turns of a record are one, a line each."""
    return [turn_words().alias(name) if name == "turns" else pl.col(name) for name in COLUMNS]


def _lengths() -> pl.Expr:
    return pl.col(COLUMNS).str.len_chars().cast(pl.Int64)


# --- the report -------------------------------------------------------------------------------------------------


def figures(
    search: Search, matches: list[Match], records: pl.DataFrame, dropped: pl.DataFrame, passages: pl.DataFrame
) -> DecontaminateFigures:
    """Questions looked for, what left by exam in characters, and for people to look at: what left with the shortest
    match, and what stayed with the longest."""
    left = pl.concat([dropped, passages])
    exam = pl.col("detail").str.extract(_EXAM)
    named = left.select(*_said(), exam=exam.fill_null("asked about one"))
    by_exam = named.group_by("exam").agg(pl.sum_horizontal(_lengths()).sum()).sort("exam")
    held = sorted((match for match in matches if match.found.why), key=_says)
    spared = sorted((match for match in matches if not match.found.why), key=_says, reverse=True)
    return {
        "exams": dict(Counter(question.exam for question in search.questions)),
        "passages": len(passages),
        "characters_left": _characters(left),
        "characters_by_exam": dict(by_exam.iter_rows()),
        "doubtful": {
            "an exam question, the shortest first": _shown(held, records),
            "not an exam question, the most alike first": _shown(spared, records),
        },
    }


def _says(match: Match) -> tuple[Any, ...]:
    found = match.found
    return found.alike * len(found.question.stem), found.options, match.row, match.start


def _shown(matches: list[Match], records: pl.DataFrame) -> dict[str, Any]:
    """How many, and examples: a record's words before and after, and why."""
    samples = [
        {
            "id": records["id"][match.row],
            "column": match.column,
            "before": match.said[:SHOWN_CHARACTERS],
            "after": "" if match.found.why else match.said[:SHOWN_CHARACTERS],
            "why": str(match),
        }
        for match in matches[:SHOWN]
    ]
    return {"rows": len({match.row for match in matches}), "samples": samples}


STAGE = ShardStage(run)
