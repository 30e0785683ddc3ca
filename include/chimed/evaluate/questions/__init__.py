"""Questions that models answer freely, each with a rubric: what a good answer must say, and what it must not. Ours.

`open_ended.yaml`: answers of two models are compared by the rubric. `safety.yaml`: each point is judged with yes or no.
A file of your own has the same form; a question without a rubric is only shown side by side.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chimed.characters import first_invalid_character
from chimed.errors import UserError

HERE = Path(__file__).parent
OPEN_ENDED, SAFETY = "open_ended", "safety"
SETS = (OPEN_ENDED, SAFETY)
MOST_BYTES, MOST_QUESTIONS, MOST_CHARACTERS = 1 << 20, 2_000, 4_000
_NAME = re.compile(r"[\w.-]{1,60}")
FORM = "a list of questions, each with id, question and, if it is judged, must and must_not"


@dataclass(frozen=True)
class Rubric:
    """A question. must, must_not: points of its rubric. kind: what it is about."""

    id: str
    kind: str
    question: str
    must: tuple[str, ...]
    must_not: tuple[str, ...]


@dataclass(frozen=True)
class QuestionSet:
    """The questions of a file. content: hash of all of it, rubrics included."""

    name: str
    questions: tuple[Rubric, ...]
    content: str


def load(name: str) -> QuestionSet:
    """Return a set of the project by its name, or one of a file's path. Raises UserError for what is none."""
    path = HERE / f"{name}.yaml" if name in SETS else Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"no set of questions {name!r}; take {' or '.join(SETS)}, or the path of a YAML file")
    if path.stem in SETS and path.parent != HERE:
        raise UserError(f"{name}: a file of your own must not be named as a set of the project; rename it")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"{name} is larger than {MOST_BYTES >> 20} MB, the limit for a set of questions")
    try:
        rows = yaml.safe_load(data.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{name} is not readable as YAML: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_QUESTIONS:
        raise UserError(f"{name} is not {FORM}, at most {MOST_QUESTIONS:,}")
    questions = tuple(_question(row, name, number) for number, row in enumerate(rows, 1))
    ids = [one.id for one in questions]
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        raise UserError(f"{name}: the id {twice!r} stands twice")
    if not _NAME.fullmatch(path.stem):
        raise UserError(f"{path.stem!r} cannot name a set; give the file a name of letters, digits and . _ -")
    return QuestionSet(path.stem, questions, hashlib.sha256(repr(questions).encode()).hexdigest()[:16])


def _question(row: Any, name: str, number: int) -> Rubric:
    where = f"{name}, question {number}"
    if not isinstance(row, dict):
        raise UserError(f"{where}: {name} is not {FORM}")
    if unknown := sorted(str(key) for key in row.keys() - {"id", "kind", "question", "must", "must_not"}):
        raise UserError(f"{where} has a field {unknown[0]!r}; the form is {FORM}")
    points = {key: row.get(key) or [] for key in ("must", "must_not")}
    if not all(isinstance(several, list) for several in points.values()):
        raise UserError(f"{where}: must and must_not are lists of points")
    texts = [row.get("question"), row.get("kind", "other"), *points["must"], *points["must_not"]]
    if not all(isinstance(text, str) and text.strip() and len(text) <= MOST_CHARACTERS for text in texts):
        raise UserError(f"{where} has a text that is empty, no text, or longer than {MOST_CHARACTERS:,} characters")
    if odd := next(filter(None, map(first_invalid_character, texts)), None):
        raise UserError(f"{where} has a character that is no text: {odd}")
    key = str(row.get("id", ""))
    if not _NAME.fullmatch(key):
        raise UserError(f"{where} needs an id of letters, digits and . _ -")
    return Rubric(key, row.get("kind", "other"), row["question"], tuple(points["must"]), tuple(points["must_not"]))
