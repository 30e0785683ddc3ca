"""Drop records that hold an exam question (ours; the paper trains and tests without a look: arXiv 2311.04850).

Every question of the exams the models are measured on, against every record, generated ones too. A shared run of
letters finds candidates, an alignment decides, so a question with a letter changed is still found. The dropped rows are
listed with the exam, the question's number and how alike they are.
"""

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from rapidfuzz import fuzz

from chimed.build import Work
from chimed.errors import UserError
from chimed.records import words
from chimed.stages.shingles import letters, shingles
from chimed.streaming import LEFT, Parts, Verdicts

# Letters in a row that make a candidate. Measured on 1,622 medical questions of CMMLU hidden in other text, with two
# letters of twenty changed: a run of 5 and the alignment find 0.93 of them, five runs of 8 0.43, five of 13 0.12; and
# of 6,410 unrelated questions, herbs and chapters this rule takes one, which asks what an exam asks.
GRAM = 5
ALIKE = 80  # of 100, by the longest common subsequence of the question and the stretch it is aligned with
LEAST = 8  # letters of a question below which sharing all of it says nothing
COMMON = 10  # questions that share a run; in more of them it is how exams speak
AROUND = 5  # letters more than the question on both sides of a run, for what was put in

REASON = "exam question"


@dataclass(frozen=True)
class Exams:
    """names and letters of questions; grams: their runs' hashes, sorted, each with its `question`."""

    names: list[str]
    questions: list[str]
    grams: np.ndarray
    question: np.ndarray


def judge(parts: Parts, work: Work) -> Verdicts:
    """Drops what holds a question, verbatim or with small changes. Raises UserError where there are no exams."""
    exams = exam_grams(read_exams(work.settings.exams))
    columns = ["title", "text", "question", "answer", "rejected"]
    rows = [
        (row, "dropped", REASON, f"{exams.names[question]}: {exams.questions[question]} {alike:.0f}")
        for batch in parts.read(columns)
        for row, question, alike in _hits(batch, exams)
    ]
    figures = {"exam questions": len(exams.names), "exam n-grams": len(np.unique(exams.grams)), "hits": len(rows)}
    return Verdicts(pl.DataFrame(rows, schema=LEFT, orient="row"), figures)


def read_exams(folder: str | None) -> list[tuple[str, str]]:
    """Every test question under a folder of exams: (subject and row number, question).

    Raises UserError where there is no folder, or no question in it.
    """
    if not folder:
        raise UserError(
            "no exams to decontaminate against; CHIMED_EXAMS must name a folder with test/<subject>.csv in CMMLU's "
            "columns "
            '(python -m chimed exams <folder> fetches them), or open the build with {"skip": ["decontaminate"]}'
        )
    questions = []
    for path in sorted(Path(folder).glob("test/*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            questions += [(f"{path.stem} {n}", row["Question"]) for n, row in enumerate(csv.DictReader(file))]
    if not questions:
        raise UserError(f"no questions in {folder}; CHIMED_EXAMS must name a folder with test/<subject>.csv")
    return questions


def exam_grams(questions: list[tuple[str, str]]) -> Exams:
    """The questions that can be told from other text, and their runs of `GRAM` letters."""
    bare = [(name, re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text)).lower()) for name, text in questions]
    known = [(name, text) for name, text in bare if len(text) >= LEAST]
    texts = [text for _, text in known]
    hashes, offsets = shingles(texts, GRAM)
    owner = np.repeat(np.arange(len(texts)), np.diff(offsets))
    frame = pl.DataFrame({"gram": hashes, "question": owner}).unique()
    telling = frame.filter(pl.len().over("gram") <= COMMON)
    silent = frame.join(telling, on="question", how="anti")  # a question that says only what others say
    runs = pl.concat([telling, silent]).sort("gram", "question")
    return Exams([name for name, _ in known], texts, runs["gram"].to_numpy(), runs["question"].to_numpy())


def _hits(batch: pl.DataFrame, exams: Exams) -> Iterator[tuple[int, int, float]]:
    """(row, question, how alike) of the rows that hold a question: the one most alike."""
    whole = pl.concat_str([pl.col("title"), words()], separator="\n", ignore_nulls=True)
    texts = letters(batch.select(whole).to_series()).to_list()
    hashes, offsets = shingles(texts, GRAM)
    places = np.flatnonzero(np.isin(hashes, exams.grams))
    owners = np.searchsorted(offsets, places, side="right") - 1
    starts, ends = (np.searchsorted(exams.grams, hashes[places], side=side) for side in ("left", "right"))
    candidates: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, owner, start, end in zip(places.tolist(), owners.tolist(), starts.tolist(), ends.tolist(), strict=True):
        for question in exams.question[start:end].tolist():
            candidates[owner][question].append(place - int(offsets[owner]))
    for owner, asked in candidates.items():
        alike, question = max((aligned(exams.questions[q], texts[owner], at), -q) for q, at in asked.items())
        if alike >= ALIKE:
            yield int(batch["row"][owner]), -question, alike


def aligned(question: str, text: str, places: list[int]) -> float:
    """How alike, of 100, a question and the stretch of a text around one of these places are at best."""
    best, looked = 0.0, -1
    for place in places:
        if place < looked:
            continue
        around = text[max(0, place - len(question) - AROUND) : place + len(question) + GRAM + AROUND]
        looked = place + len(question) - GRAM
        score = fuzz.partial_ratio if len(around) > len(question) else fuzz.ratio  # the first aligns the shorter one
        best = max(best, score(question, around))
    return best
