"""Exam items to learn from by reward: of training splits only, and none that models are measured on. Ours.

Read are CSV files in CMMLU's columns, CMExam's (`Question`, `Options`, `Answer`), and JSON or JSON lines as CMB-Exam
(`question`, `option`, `answer`) and MedQA (`options`, `answer_idx`) have them; five options and several right letters
included. A file counts only where its name, or a folder's above it, says `train`.
"""

import csv
import io
import logging
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from chimed.errors import UserError
from chimed.settings import settings
from chimed.text.exams.exam_questions import read_questions
from chimed.text.exams.exam_search import Search
from chimed.text.exams.exam_table import json_rows, read_file, text_of

log = logging.getLogger("chimed")

LETTERS = "ABCDEFGH"
MOST_BYTES = 200 << 20  # of one file; CMB-Exam's training split, the largest of these, has about 100 MB
ENDINGS = (".csv", ".json", ".jsonl")
AT_ONCE = 250_000  # characters looked through at once
_OPTION = re.compile(r"^\s{0,5}([A-H])[\s.、．:：]{1,3}", re.MULTILINE)
_MEASURED = re.compile(r"(?<![a-z])(test|dev|val|valid|validation)(?![a-z])")
# what lm-eval puts before an exam's question
ASKED = "以下是单项选择题，请直接给出正确答案的选项。"
ASKED_SEVERAL = "以下是多项选择题，请直接给出所有正确答案的选项。"


@dataclass(frozen=True)
class Item:
    """One item. options: by letter, in order. answer: the right letters, sorted."""

    question: str
    options: tuple[str, ...]
    answer: str

    @property
    def prompt(self) -> str:
        """The item as it is asked, in the wording of the evaluation."""
        lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        asked = ASKED if len(self.answer) == 1 else ASKED_SEVERAL
        return "\n".join([asked, "", self.question.strip(), *lines, "答案："])


@dataclass(frozen=True)
class Items:
    """The items of a source that may be learnt from, and those left out. measured: they are of the exams measured."""

    kept: list[Item]
    read: int
    measured: int
    doubled: int
    faulty: int


def check_items(fields: dict[str, Any], where: str) -> None:
    """Raise UserError where grpo's prompts do not add up: no items, an impossible share, a batch that cuts a group."""
    source, share = fields.get("items"), float(fields.get("grounded_share", 0.0))
    if not source and not share:
        raise UserError(f"{where} names no items, and no grounded_share; it needs one of both")
    if not 0 <= share <= 1 or (share == 1) == bool(source):
        raise UserError(
            f"{where}: grounded_share is the share of prompts without an item; with items it is 0 or more and below 1, "
            "without items it is 1"
        )
    batch, several = fields["global_batch_size"], fields.get("num_generations", 8)
    if batch % several:
        raise UserError(
            f"{where}: global_batch_size {batch} counts answers, and must hold {several} (num_generations) of each"
        )


def read_items(source: str) -> Items:
    """Return the items of a folder, or of a data set of the hub, that are not of the exams that models are measured on.

    Raises UserError where CHIMED_EXAMS is not set or is this very folder, where nothing is of a training split, or no
    item is left.
    """
    exams = settings().exams
    if not exams:
        raise UserError(
            "grpo learns from exam items, and without CHIMED_EXAMS nothing says which ones models are measured on; "
            "fetch them: python -m chimed exams <folder>"
        )
    folder = _folder(source)
    if folder.resolve() == Path(exams).expanduser().resolve():
        raise UserError(f"items: {source} is CHIMED_EXAMS, on which models are measured; name another exam's items")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in ENDINGS and _of_training(path, folder)]
    found: list[Item] = []
    faulty = 0
    for path in files:
        for row in _read(path):
            item = item_of(row)
            faulty += item is None
            found += [item] if item else []
    if not found:
        raise UserError(
            f"items: {source} has no exam items of a training split: a file {', '.join(ENDINGS)} whose name, or whose "
            f"folder's, says train (of {len(files)} such files {faulty} rows could not be read)"
        )
    single = list(dict.fromkeys(found))
    held = holding_exams(pl.Series([item.prompt.partition("\n\n")[2] for item in single]))
    kept = [item for item, measured in zip(single, held, strict=True) if not measured]
    if not kept:
        raise UserError(f"items: every item of {source} is a question of the exams in CHIMED_EXAMS; name other ones")
    log.info("%d items: %d kept, %d of the exams measured, %d faulty", len(found), len(kept), held.sum(), faulty)
    return Items(kept, len(found) + faulty, int(held.sum()), len(found) - len(single), faulty)


def _folder(source: str) -> Path:
    """Return the folder with a source's files; of the hub, fetched."""
    if source.startswith((".", "/", "~")):
        folder = Path(source).expanduser()
        if not folder.is_dir():
            raise UserError(f"items: there is no folder {source}")
        return folder
    from huggingface_hub import snapshot_download

    try:
        wanted = [f"*train*{end}" for end in ENDINGS] + [f"*train*/*{end}" for end in ENDINGS]
        return Path(snapshot_download(source, repo_type="dataset", allow_patterns=wanted))
    except Exception as error:  # of many kinds: names, certificates, proxies, the hub's own
        raise UserError(
            f"items: {source} cannot be had from the Hugging Face hub or its mirror, HF_ENDPOINT "
            f"({type(error).__name__}); a folder is written with its whole path, or from ./"
        ) from None


def _of_training(path: Path, folder: Path) -> bool:
    parts = [part.lower() for part in path.relative_to(folder).parts]
    return any("train" in part for part in parts) and not any(_MEASURED.search(part) for part in parts)


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file. Raises UserError for one that is too large, cut short or in no such form."""
    content = read_file(path, MOST_BYTES)
    if path.suffix != ".csv":
        return json_rows(content, f"items: {path}")
    try:
        return list(csv.DictReader(io.StringIO(text_of(content, f"items: {path}"), newline="")))
    except csv.Error as error:
        raise UserError(f"items: {path} cannot be read: {error}") from None


def item_of(row: object) -> Item | None:
    """Return a row of any of the forms as an item; None for one without a question, two options or a right letter."""
    if not isinstance(row, dict):
        return None
    fields = {str(name).strip().lower(): value for name, value in row.items()}
    options = fields.get("option", fields.get("options"))
    if isinstance(options, str):
        parts = _OPTION.split(options)
        options = dict(zip(parts[1::2], parts[2::2], strict=False))
    elif isinstance(options, list) and all(isinstance(one, dict) for one in options):
        options = {one.get("key"): one.get("value") for one in options}
    elif options is None:
        options = {letter: fields[letter.lower()] for letter in LETTERS if letter.lower() in fields}
    if not isinstance(options, dict):
        return None
    texts = {str(letter).strip().upper(): str(text or "").strip() for letter, text in options.items()}
    there = [letter for letter in LETTERS if texts.get(letter)]
    answer = str(fields.get("answer_idx") or fields.get("answer") or "").strip().upper()
    answer = "".join(sorted(set(re.sub(r"[\s,，、;；]", "", answer))))
    question = str(fields.get("question") or "").strip()
    if not question or len(there) < 2 or there != list(LETTERS[: len(there)]):
        return None
    if not answer or any(letter not in there for letter in answer):
        return None
    return Item(question, tuple(texts[letter] for letter in there), answer)


def holding_exams(texts: pl.Series) -> pl.Series:
    """Tell whether each text holds a question of the exams in `CHIMED_EXAMS`, as `decontaminate` finds them."""
    search = _search(str(settings().exams))
    clean = texts.fill_null("").str.replace_all("\0", " ", literal=True)
    ends = (clean.str.len_chars().cast(pl.Int64) + 1).cum_sum().to_numpy()
    held = np.zeros(len(clean), bool)
    first = 0
    while first < len(clean):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + AT_ONCE)))
        for found in search.find("\0".join(clean[first:last].to_list())):
            if found.why:
                held[np.searchsorted(ends, before + found.start, side="right")] = True
        first = last
    return pl.Series(held)


@cache
def _search(folder: str) -> Search:
    return Search(read_questions(str(Path(folder).expanduser())))
