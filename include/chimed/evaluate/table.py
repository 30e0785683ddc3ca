"""What two or more models' answers say: paired question by question, tested, and told as a table and in sentences."""

from dataclasses import asdict, dataclass

import polars as pl

from chimed.errors import UserError
from chimed.intervals import ALPHA, POWER, detectable_gain, holm, least_gain, mcnemar, newcombe, wilson

GROUPS = {
    "primary": "the primary endpoint",
    "paper": "the paper's exams",
    "medical": "other medical subjects",
    "professional": "the exams of the medical professions",
    "general": "no medicine: what was forgotten",
    "other": "other exams",
}
# The primary endpoint: the paper's exams as one exam of 498 questions, tested before all others and alone (ours; the
# paper names no test). Each group below is a family of its own.
POOLED = "the paper's exams, pooled"
# Ours: the share of answers that change between two models, for what an exam could show. It is stated beforehand: taken
# from the outcome, as the observed share would be, such a figure only says the p value again.
CHANGED = 0.1
# Ours: what may be forgotten of what is no medicine before it is called a loss, in points of a hundred
MARGIN = 0.05
Share = tuple[int, int, tuple[float, float]]


@dataclass(frozen=True)
class Paired:
    """One exam before and after: questions right in each, and how the single answers moved."""

    model: str
    task: str
    group: str
    questions: int
    before: int
    after: int
    gained: int
    lost: int


@dataclass(frozen=True)
class Row(Paired):
    """A line of the table. interval: of after, base_interval: of before, difference: of their difference (Newcombe).

    holm: p corrected for the tests of its family: its group's exams, for every model beside the reference. could_show:
    questions, at the level that Holm's first step asks of this family, where `CHANGED` of the answers change; None for
    no gain at all.
    """

    interval: tuple[float, float]
    base_interval: tuple[float, float]
    difference: tuple[float, float]
    p: float
    holm: float
    could_show: int | None
    sentence: str


def pairs(
    reference: str, model: str, before: pl.DataFrame, after: pl.DataFrame, groups: dict[str, str]
) -> list[Paired]:
    """Pair two models' samples (`answers.SAMPLES`), one `Paired` a task. Raises UserError if they differ."""
    keys = ["task", "number", "hash"]
    both = before.select(*keys, was=pl.col("correct")).join(after.select(*keys, now=pl.col("correct")), on=keys)
    if not both.height == before.height == after.height:
        raise UserError(f"{reference} and {model} did not answer the same questions; evaluate both again")
    found = []
    for task, group in groups.items():
        was, now = (both.filter(pl.col("task") == task)[name] for name in ("was", "now"))
        gained, lost = int((~was & now).sum()), int((was & ~now).sum())
        found.append(Paired(model, task, group, len(was), int(was.sum()), int(now.sum()), gained, lost))
    return found


def pooled(found: list[Paired]) -> list[Paired]:
    """For each model the exams of the paper as one, where it sat more than one of them."""
    made = []
    for model in dict.fromkeys(pair.model for pair in found):
        of = [pair for pair in found if pair.model == model and pair.group == "paper"]
        if len(of) > 1:
            sums = {
                name: sum(getattr(pair, name) for pair in of)
                for name in ("questions", "before", "after", "gained", "lost")
            }
            made.append(Paired(model, POOLED, "primary", **sums))
    return made


def table(found: list[Paired]) -> list[Row]:
    """Return the rows of a table, the pooled exams of the paper first; Holm's correction is within each family."""
    found = [*pooled(found), *found]
    adjusted: dict[int, float] = {}
    family = {group: [n for n, pair in enumerate(found) if pair.group == group] for group in GROUPS}
    ps = [mcnemar(pair.gained, pair.lost) for pair in found]
    for members in family.values():
        adjusted |= dict(zip(members, holm([ps[n] for n in members]), strict=True))
    return [_row(pair, ps[n], adjusted[n], len(family[pair.group])) for n, pair in enumerate(found)]


def _row(pair: Paired, p: float, adjusted: float, tests: int) -> Row:
    both = pair.before - pair.lost
    difference = newcombe(both, pair.gained, pair.lost, pair.questions - both - pair.gained - pair.lost)
    said = sentence(pair, p, adjusted, tests)
    if pair.group == "general":
        said += f"; {forgotten(difference[0])}"
    return Row(
        **asdict(pair),
        interval=wilson(pair.after, pair.questions),
        base_interval=wilson(pair.before, pair.questions),
        difference=difference,
        p=p,
        holm=adjusted,
        could_show=detectable_gain(pair.questions, round(CHANGED * pair.questions), ALPHA / tests),
        sentence=said,
    )


def forgotten(low: float) -> str:
    """Return whether an exam shows that nothing much was forgotten. low: the lower end of the difference's interval."""
    points = 100 * MARGIN
    if low > -MARGIN:
        return f"not worse by {points:g} points or more (non-inferior: the interval ends at {100 * low:+.1f})"
    return f"a loss of {points:g} points is not ruled out (the interval ends at {100 * low:+.1f})"


def sentence(pair: Paired, p: float, adjusted: float, tests: int) -> str:
    """Return what a row says, plainly."""
    said = f"{pair.gained} of {pair.questions} questions changed in favour, {pair.lost} against, {_p(p)}"
    if p >= ALPHA:
        return f"{said}: no evidence of a difference"
    direction = "gain" if pair.gained > pair.lost else "loss"
    if adjusted >= ALPHA:
        return f"{said}: not enough for a {direction} among {tests} tests (Holm {_p(adjusted)})"
    return f"{said}: evidence of a {direction}"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.3f}"


def markdown(rows: list[Row], title: str, reference: str = "base") -> str:
    """Write Table 6 with counts and intervals, group by group; then every model beside the reference, with its test."""
    lines = [f"# Before and after: {title}"]
    right = shares(rows, reference)
    for group, heading in GROUPS.items():
        tasks = list(dict.fromkeys(row.task for row in rows if row.group == group))
        if not tasks:
            continue
        lines += ["", f"## {heading[0].upper()}{heading[1:]}", ""]
        lines += [f"| model | {' | '.join(tasks)} |", "|---" * (1 + len(tasks)) + "|"]
        for model in right:
            cells = [_cell(*right[model][task]) for task in tasks]
            lines.append(f"| {model} | {' | '.join(cells)} |")
    lines += [
        "",
        "## What changed",
        "",
        f"| exam | model | {reference} | model | change (95 %) | in favour / against | p | Holm | could show |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: [other.task for other in rows].index(row.task)):
        n = row.questions
        shows = "nothing" if row.could_show is None else f"{row.could_show} ({100 * row.could_show / n:.1f} points)"
        lines.append(
            f"| {row.task} | {row.model} | {row.before}/{n} {100 * row.before / n:.2f} % "
            f"| {row.after}/{n} {100 * row.after / n:.2f} % "
            f"| {100 * (row.after - row.before) / n:+.2f} ({100 * row.difference[0]:+.1f} to "
            f"{100 * row.difference[1]:+.1f}) | {row.gained} / {row.lost} | {row.p:.3f} | {row.holm:.3f} "
            f"| {shows} |"
        )
    lines += ["", *[f"- {row.task}, {row.model}: {row.sentence}." for row in rows], ""]
    lines += [
        "In brackets: 95 % intervals, Wilson's of a share, Newcombe's of a paired difference. p: McNemar's exact test "
        "on the same questions. The paper's exams pooled are the primary endpoint, tested first; the others are looked "
        "at by group. Holm: corrected for the tests of the exam's own group. "
        "Could show: the smallest true gain, in questions, that an exam of this size would find in "
        f"{POWER:.0%} of cases at p < {ALPHA} by the number of tests of its group, if {CHANGED:.0%} of the answers "
        f"change. Of what is no medicine, a loss below {100 * MARGIN:g} points counts as none (non-inferiority). "
        f"Fewer than {least_gain()} questions gained, even with none lost, cannot be significant in any exam.",
        "",
    ]
    return "\n".join(lines)


def shares(rows: list[Row], reference: str) -> dict[str, dict[str, Share]]:
    """Return (right, questions, interval) by model, the reference first, and exam."""
    found: dict[str, dict[str, Share]] = {reference: {}}
    for row in rows:
        found[reference][row.task] = (row.before, row.questions, row.base_interval)
        found.setdefault(row.model, {})[row.task] = (row.after, row.questions, row.interval)
    return found


def _cell(right: int, questions: int, interval: tuple[float, float]) -> str:
    low, high = (100 * share for share in interval)
    return f"{right}/{questions} {100 * right / questions:.2f} % ({low:.1f} to {high:.1f})"
