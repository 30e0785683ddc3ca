"""Play what two generators know about questions over two steps: the right answer, half of it, and other herbs.

The questions are those that the facts of the replica's entries allow; asked and answered they are by the project's own
rules (`chimed.text.two_steps`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from chimed.text.two_steps import wording
from chimed.text.two_steps.gate import Entries
from chimed.text.two_steps.known import Told, read_told
from chimed.text.two_steps.point import Point
from chimed.text.two_steps.points import find_points
from chimed_demo import lesson_texts


@dataclass(frozen=True)
class TwoStepAnswer:
    """The right answer to a question; half: only the herb's name; wrong: the same said of the formula's other herbs."""

    formula: str
    answer: str
    half: str
    wrong: tuple[str, ...]


@cache
def two_step_answers() -> dict[str, TwoStepAnswer]:
    """Return what is known about each question over two steps, by the question's words."""
    entries = list(_entries())
    texts = {told.row: told.text for told in entries}
    by_kind = [[told for told in entries if told.entry.kind == kind] for kind in ("formula", "herb")]
    found: dict[str, TwoStepAnswer] = {}
    for point in find_points(*by_kind):
        both = Entries(texts[point.formula_row], texts[point.herb_row])
        said = both.herb_words(point)
        answer = wording.answers_of(point, said, both.herb_clause(point))[0]
        known = TwoStepAnswer(point.formula, answer, _half(answer), _wrong(point, answer))
        found |= dict.fromkeys(wording.questions_of(point, said), known)
    return found


def _entries() -> Iterator[Told]:
    for number, sheet in enumerate(lesson_texts.sheets()):
        text = "\n".join(f"【{part.heads[0]}】{part.text}" for part in sheet.parts if part.heads)
        if text and (entry := read_told(sheet.title, text)):
            yield Told(str(number), entry, text)


def _half(answer: str) -> str:
    """Return the answer's first clause, which only names the herb."""
    return f"{answer.partition('，')[0]}。"


def _wrong(point: Point, answer: str) -> tuple[str, ...]:
    """Return the answer as it would be of other herbs of the formula, for which it is not true."""
    return tuple(answer.replace(point.herb, other) for other in point.others if other not in answer)
