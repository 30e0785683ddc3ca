"""The paper's Table 6 as counts, and what they allow to say (`python -m chimed compare --paper`).

The paper prints shares and no counts, no interval and no test. Its exams have 176, 273 and 49 questions, and of these
each printed share is a whole number, with one exception: the two CMMLU columns of the 14B model stand under each
other's heading. 87.55 and 89.01 % are 239 and 243 of 273, and no whole number of 176; 76.70 % is 135 of 176, and no
whole number of 273. So the gain of 1.46 points that the text (§4.2) reports for genetics is one on college medicine,
and on genetics nothing changed. (The text also calls the physician exam "Physics".)

Which answers changed is not printed either. The table says what would follow in the best case, in which no question
was lost, and how many may have been lost before it follows no longer.
"""

from dataclasses import dataclass

from chimed.evaluate.exams import PAPER
from chimed.evaluate.table import CHANGED, POOLED, Paired, Row, table
from chimed.intervals import ALPHA, least_gain, mcnemar

QUESTIONS = dict(zip(PAPER, (176, 273, 49), strict=True))
GENETICS, MEDICINE, PHYSICIAN = PAPER


@dataclass(frozen=True)
class Printed:
    """A cell pair of Table 6. heading: the exam it stands under; exam: the one whose counts it is.

    before, after: per cent, as printed. right: the counts that they are.
    """

    model: str
    heading: str
    exam: str
    before: float
    after: float
    right: tuple[int, int]


TABLE_6 = (
    Printed("Qwen3-1.7B", GENETICS, GENETICS, 48.30, 51.14, (85, 90)),
    Printed("Qwen3-1.7B", MEDICINE, MEDICINE, 60.07, 61.17, (164, 167)),
    Printed("Qwen3-1.7B", PHYSICIAN, PHYSICIAN, 59.18, 63.27, (29, 31)),
    Printed("Qwen3-14B", MEDICINE, GENETICS, 76.70, 76.70, (135, 135)),
    Printed("Qwen3-14B", GENETICS, MEDICINE, 87.55, 89.01, (239, 243)),
    Printed("Qwen3-14B", PHYSICIAN, PHYSICIAN, 85.71, 87.76, (42, 43)),
)


def paired(lost: float = 0.0) -> list[Paired]:
    """Return Table 6 as paired counts, where a share of the questions changed their answer from right to wrong."""
    found = []
    for cell in TABLE_6:
        questions, (before, after) = QUESTIONS[cell.exam], cell.right
        gone = round(lost * questions)
        found.append(Paired(cell.model, cell.exam, "paper", questions, before, after, after - before + gone, gone))
    return found


def most_lost(gain: int, level: float = ALPHA) -> int | None:
    """Return how many questions may have been lost beside a gain that is still significant; None where none may."""
    if gain <= 0 or mcnemar(gain, 0) >= level:
        return None
    lost = 0
    while mcnemar(gain + lost + 1, lost + 1) < level:
        lost += 1
    return lost


def told() -> str:
    """Return Table 6 as Markdown: its counts, the best case for each, and what it would take."""
    rows = table(paired())
    spread = {(row.model, row.task): row for row in table(paired(CHANGED / 2))}
    lines = [
        "| model | exam | before | after | change | best case: p | Holm | significant with | 95 % if a tenth changes "
        "| could show |",
        "|---" * 10 + "|",
    ]
    for row in rows:
        low, high = spread[row.model, row.task].difference
        lines.append(
            f"| {row.model} | {row.task} | {_share(row.before, row.questions)} | {_share(row.after, row.questions)} "
            f"| {_signed(row)} | {row.p:.3f} | {row.holm:.3f} | {_lost(row)} "
            f"| {100 * low:+.1f} to {100 * high:+.1f} | {row.could_show} |"
        )
    return "\n".join([*lines, "", *_sentences(rows)])


def _share(right: int, questions: int) -> str:
    return f"{right}/{questions} ({100 * right / questions:.2f} %)"


def _signed(row: Row) -> str:
    return f"{row.after - row.before:+d} ({100 * (row.after - row.before) / row.questions:+.2f} points)"


def _lost(row: Row) -> str:
    """Return how many questions may have been lost, at the level that Holm's first step asks of the row's family."""
    models = len({cell.model for cell in TABLE_6})
    tests = models if row.task == POOLED else len(TABLE_6)
    most = most_lost(row.after - row.before, ALPHA / tests)
    if most is None:
        return "no number lost"
    return f"at most {most} lost"


def _sentences(rows: list[Row]) -> list[str]:
    """Return what follows, in sentences; read off the rows, so that they cannot say another thing than the table."""
    single = [row for row in rows if row.task != POOLED]
    whole = [row for row in rows if row.task == POOLED]
    shown = [row for row in single if row.p < ALPHA]
    said = [
        f"- Of the {len(single)} comparisons of the paper, {len(shown) or 'none'} could be significant on its own, "
        f"even if not one question was lost: it takes {least_gain()} gained, and none gained more than "
        f"{max(row.gained for row in single)}."
    ]
    for row in whole:
        best = f"p = {row.p:.3f} in the best case, {row.holm:.3f} with Holm's correction for two models"
        verdict = "it could be more than chance" if row.holm < ALPHA else "that is not enough"
        said.append(
            f"- {row.model}, the three exams pooled: {row.gained} of {row.questions} questions more, {best}: {verdict}"
            + (f", if {_lost(row).replace('lost', 'questions were lost')}." if row.holm < ALPHA else ".")
        )
    said.append(
        "- The 14B model's columns of CMMLU are swapped in the paper: what it prints under genetics are counts of "
        "college medicine, and the other way round. Here they stand with their own exams."
    )
    return said
