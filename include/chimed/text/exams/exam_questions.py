"""Read the questions of the exams that models are evaluated on, in the form that `decontaminate` searches for."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chimed.errors import UserError
from chimed.text.exams.exam_table import csv_rows, read_file
from chimed.text.exams.letters_alike import as_text, normalize_letters

OPTIONS = "ABCDEFGH"  # columns of an exam's file: CMMLU and C-Eval have four of them, CMB five
MIN_STEM_LETTERS = 4  # letters of a stem below which it says nothing, even with its options

# A stem that asks: with words, with a blank, with a question mark, or by where it breaks off. One that does not
# (动脉韧带) is a term or a saying that any text may hold.
_ASKS = re.compile(
    r"[?？]|_{2,}|[(（【\[]\s*[)）】\]]|^关于|下列|以下|下述|下面|上述|哪|什么|何[^首]|多少|几[种个项]|怎样|如何|是否"
    r"|(是|为|有|宜|属|属于|指|在|于|包括|称|叫|叫做|来自|除外|例外|错误的?|正确的?|不当的?|首选|可见|引起|经过|考虑|治以"
    r"|当用|宜用|应用|[易多常好]患|时|方用|诊断|证候?|治法|病机|平对|伤及|反映|注入|产生|导致|表明|证明|提示|说明|一种)[\s:：,，。…]*$"
)
# Where modern Chinese breaks off, and where a saying of the classics may end
_MAY_ASK = re.compile(r"[选用应需取与因由可能会行时的使呈患现][\s:：,，。…]*$")
_MODERN = re.compile(
    r"[的了吗呢哪酶腺癌炎]|是$|是指|什[么幺]|[下以][列下述]|主要|首选|最好|患者|病人|位于|见于|称为|认为|说明|导致|发生|出现"
    r"|给予|遵循|注意|治疗|诊断|证候|细胞|染色|基因|突变|倍体|杂交|蛋白|分子|组织|神经|动脉|静脉|血管|骨折|营养|食品|食物"
    r"|饮片|调剂|发病率|[a-z\d]"
)
_CLASSICAL = re.compile(r"[之也则乃矣焉曰其]|(?<![患或前后])者")
_SAYING = 0.1  # share of letters that are such words


@dataclass(frozen=True)
class Question:
    """A question of an exam, with its letters in the form of `letters_alike`.

    exam: the file's name. name: the exam and the row. asks: whether the stem reads as a question. modern: whether it
    has words that no classic has. saying: whether it has the function words of the classics.
    """

    exam: str
    name: str
    stem: str
    options: tuple[str, ...]
    asks: bool
    modern: bool
    saying: bool


@dataclass(frozen=True)
class Grams:
    """Runs of four letters of all stems, sorted: each as a number, its question, and its place in the stem (int32)."""

    keys: np.ndarray
    question: np.ndarray
    place: np.ndarray


def read_questions(folder: str | None) -> list[Question]:
    """Return every test question under a folder of exams that is distinctive enough, with its options.

    Raises UserError if there is no folder, no question in it, or a file that is no whole table.
    """
    if not folder:
        raise UserError(
            "no exams to decontaminate against; CHIMED_EXAMS must name a folder with test/<subject>.csv in CMMLU's "
            "columns "
            '(python -m chimed exams <folder> fetches them), or open the build with {"skip": ["decontaminate"]}'
        )
    files = sorted(Path(folder).glob("test/*.csv"))
    read = [parse_question(path.stem, n, row) for path in files for n, row in enumerate(_read_rows(path))]
    if not read:
        raise UserError(f"no questions in {folder}; CHIMED_EXAMS must name a folder with test/<subject>.csv")
    known = [one for one in read if len(one.stem) >= MIN_STEM_LETTERS]
    if not known:
        raise UserError(f"no question in {folder} has {MIN_STEM_LETTERS} letters or more, so none can be looked for")
    return known


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Return a file's rows. Raise UserError if it has no column of questions, or is no whole table."""
    names, rows = csv_rows(read_file(path), str(path))
    if "Question" not in names:
        raise UserError(f"{path} has no column Question; an exam has CMMLU's columns ,Question,A,B,C,D,Answer")
    return rows


def parse_question(exam: str, number: int, row: dict[str, Any]) -> Question:
    """Return a row of an exam's file as a question."""
    said = row["Question"] or ""
    stem = _normalize(said)
    options = dict.fromkeys(_normalize(row.get(name) or "") for name in OPTIONS)
    modern = bool(_MODERN.search(stem))
    asks = bool(_ASKS.search(said)) or (modern and bool(_MAY_ASK.search(said)))
    saying = len(_CLASSICAL.findall(stem)) >= _SAYING * len(stem)
    return Question(exam, f"{exam} {number}", stem, tuple(filter(None, options)), asks, modern, saying)


def _normalize(text: str) -> str:
    return as_text(normalize_letters(text.replace("\0", "")).codes)


def index_grams(questions: list[Question]) -> Grams:
    """Return the runs of four letters of all stems."""
    runs = [four_letters(np.frombuffer(one.stem.encode("utf-16-le"), np.uint16)) for one in questions]
    counts = [len(run) for run in runs]
    keys = np.concatenate(runs)
    order = np.argsort(keys, kind="stable")
    owner = np.repeat(np.arange(len(questions)), counts)
    place = np.concatenate([np.arange(count) for count in counts])
    return Grams(keys[order], owner[order].astype(np.int32), place[order].astype(np.int32))


def four_letters(codes: np.ndarray) -> np.ndarray:
    """Return every run of four letters as a number (uint64): four times 16 bits, a view of the array without a copy."""
    return np.ndarray((max(0, len(codes) - 3),), "<u8", codes.tobytes(), strides=(2,)) if len(codes) > 3 else _NONE


_NONE = np.empty(0, np.uint64)
