"""Drop records that hold an exam question (ours; the paper trains and tests without a look: arXiv 2311.04850).

Character n-grams against every question of the exams the models are measured on. The dropped rows are listed with
the exam, the question's number and the words they share.
"""

import csv
import re
import unicodedata
from pathlib import Path

import polars as pl

from chimed.build import Outcome, Work
from chimed.errors import UserError
from chimed.records import left_rows, words

GRAM = 13  # letters in a row, as GPT-3 (arXiv 2005.14165, appendix C) chose for words and the field for characters
LEAST = 8  # letters of a question below which sharing all of it says nothing


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Drops what shares `GRAM` letters in a row with a question. Raises UserError where there are no exams."""
    grams = exam_grams(read_exams(work.settings.exams))
    letters = records.select("id", letters=_letters_of(words()))
    hits = (
        letters.select("id", gram=pl.col("letters").str.extract_many(list(grams), overlapping=True).list.first())
        .drop_nulls("gram")
        .sort("id")
    )
    why = {id: ("exam question", f"{grams[gram]}: {gram}") for id, gram in hits.iter_rows()}
    return Outcome(
        kept=records.filter(~pl.col("id").is_in(list(why))),
        dropped=left_rows(records, why),
        figures={"exam n-grams": len(grams), "hits": len(why)},
    )


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


def exam_grams(questions: list[tuple[str, str]]) -> dict[str, str]:
    """Each n-gram of the questions' letters and where it is from; a question shorter than `GRAM` is one itself."""
    grams: dict[str, str] = {}
    for name, question in questions:
        letters = re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", question)).lower()
        for start in range(max(1, len(letters) - GRAM + 1)):
            gram = letters[start : start + GRAM]
            if len(gram) >= LEAST:
                grams.setdefault(gram, name)
    return grams


def _letters_of(text: pl.Expr) -> pl.Expr:
    return text.str.normalize("NFKC").str.replace_all(r"[\W_]", "").str.to_lowercase()
