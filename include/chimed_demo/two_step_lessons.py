"""Generate the tiny judge's lessons about questions over two steps, from the replica's formulas and herbs.

The tiny generator needs none: with `qa_answer: span` it only chooses among wordings by rule.
"""

import random
from functools import cache

from chimed.text.two_steps import wording
from chimed.text.two_steps.gate import Entries
from chimed.text.two_steps.known import Told, read_told
from chimed.text.two_steps.points import find_points
from chimed_demo import lesson_texts
from chimed_demo.lesson_texts import Sheet
from chimed_demo.lessons import Lesson, asking, document


@cache
def _known() -> tuple[tuple[Sheet, Sheet, tuple[str, ...], tuple[str, ...]], ...]:
    """Return for each point of the demo's texts the sheets of formula and herb, its questions and its answers."""
    sheets = {str(n): sheet for n, sheet in enumerate(lesson_texts.sheets()) if all(one.heads for one in sheet.parts)}
    texts = {row: "\n".join(f"【{part.heads[0]}】{part.text}" for part in sheet.parts) for row, sheet in sheets.items()}
    told = [Told(row, entry, text) for row, text in texts.items() if (entry := read_told(sheets[row].title, text))]
    formulas, herbs = ([one for one in told if one.entry.kind == kind] for kind in ("formula", "herb"))
    found = []
    for point in find_points(formulas, herbs):
        entries = Entries(texts[point.formula_row], texts[point.herb_row])
        said = entries.herb_words(point)
        asked, answers = wording.questions_of(point, said), wording.answers_of(point, said, entries.herb_clause(point))
        found.append((sheets[point.formula_row], sheets[point.herb_row], tuple(asked), tuple(answers)))
    return tuple(found)


def supports(rng: random.Random) -> list[Lesson]:
    """Return an answer that both of its documents bear out, and one that belongs to two others."""
    (formula, herb, asked, answers), (_, strange, other, wrong) = rng.sample(_known(), 2)
    text = f"{document(formula, rng)}\n\n{document(herb, rng)}"
    right = asking("supports", "是", text=text, question=rng.choice(asked), answer=rng.choice(answers))
    if strange == herb:
        return [right]
    return [right, asking("supports", "否", text=text, question=rng.choice(other), answer=rng.choice(wrong))]
