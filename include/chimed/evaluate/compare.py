"""The paper's Table 6 for a recipe, with what it leaves out: k of n, intervals, a paired test, and what could be shown.

    python -m chimed compare --recipe qwen3-1.7b --release latest

Prints a Markdown table and writes it with `compare.json` and `compare.png` to `scores/<release>/<recipe>/`.
"""

import io
from dataclasses import asdict, dataclass

import polars as pl

from chimed import lake as lakes
from chimed.errors import UserError, choose
from chimed.evaluate.exams import in_order
from chimed.evaluate.statistics import ALPHA, POWER, detectable_gain, holm, least_gain, mcnemar, wilson
from chimed.lake import Lake
from chimed.release import find_release
from chimed.train import recipe as recipes
from chimed.train.run import PHASES


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
class Row:
    """A line of the table. holm: p corrected for every test of it. could_show: questions, None for no gain at all."""

    model: str
    task: str
    group: str
    questions: int
    before: int
    after: int
    gained: int
    lost: int
    interval: tuple[float, float]
    p: float
    holm: float
    could_show: int | None
    sentence: str


def compare_phases(recipe: str, release: str) -> str:
    """The table of a recipe's base and every scored phase, as Markdown.

    Raises UserError where base or every phase is missing, or the scores come from different exams or protocols.
    """
    choose("recipe", recipe, recipes.names())
    lake = lakes.open_lake()
    release = find_release(lake, release)
    place = f"scores/{release}/{recipe}"
    scored = [phase for phase in PHASES if lakes.exists(lake, f"{place}/{phase}.json")]
    again = f"run: python -m chimed evaluate {{}} --recipe {recipe} --release {release}"
    if not lakes.exists(lake, f"{place}/base.json"):
        raise UserError(f"the base model of {recipe} is not scored; {again.format('base')}")
    if not scored:
        raise UserError(f"no phase of {recipe} is scored on release {release}; {again.format('dpo')}")
    scores = {model: lakes.read_json(lake, f"{place}/{model}.json") for model in ("base", *scored)}
    for model, score in scores.items():
        if score["protocol"] != scores["base"]["protocol"]:
            differ = [
                name for name, value in score["protocol"].items() if scores["base"]["protocol"].get(name) != value
            ]
            raise UserError(f"base and {model} were scored with other {', '.join(differ)}; evaluate both again here")
    samples = {model: lakes.read_table(lake, f"{place}/{model}.samples.parquet") for model in scores}
    groups = {task: scores["base"]["tasks"][task]["group"] for task in in_order(scores["base"]["tasks"])}
    rows = table([pair for model in scored for pair in pairs(model, samples["base"], samples[model], groups)])
    text = markdown(rows, f"{recipe}, release {release}")
    _write(lake, place, rows, scores, text)
    return text


def pairs(model: str, before: pl.DataFrame, after: pl.DataFrame, groups: dict[str, str]) -> list[Paired]:
    """Two models' samples (`harness.SAMPLES`) side by side, one `Paired` a task. Raises UserError if they differ."""
    keys = ["task", "number", "hash"]
    both = before.select(*keys, was=pl.col("correct")).join(after.select(*keys, now=pl.col("correct")), on=keys)
    if not both.height == before.height == after.height:
        raise UserError(f"base and {model} did not answer the same questions; evaluate both again")
    found = []
    for task, group in groups.items():
        was, now = (both.filter(pl.col("task") == task)[name] for name in ("was", "now"))
        gained, lost = int((~was & now).sum()), int((was & ~now).sum())
        found.append(Paired(model, task, group, len(was), int(was.sum()), int(now.sum()), gained, lost))
    return found


def table(found: list[Paired]) -> list[Row]:
    """The rows of a table; Holm's correction is over all of them."""
    ps = [mcnemar(pair.gained, pair.lost) for pair in found]
    return [
        Row(
            **asdict(pair),
            interval=wilson(pair.after, pair.questions),
            p=p,
            holm=adjusted,
            could_show=detectable_gain(pair.questions, pair.gained + pair.lost),
            sentence=sentence(pair, p, adjusted, len(found)),
        )
        for pair, p, adjusted in zip(found, ps, holm(ps), strict=True)
    ]


def sentence(pair: Paired, p: float, adjusted: float, tests: int) -> str:
    """What a row says, plainly."""
    said = f"{pair.gained} of {pair.questions} questions changed in favour, {pair.lost} against, {_p(p)}"
    if p >= ALPHA:
        return f"{said}: no evidence of a difference"
    direction = "gain" if pair.gained > pair.lost else "loss"
    if adjusted >= ALPHA:
        return f"{said}: not enough for a {direction} among {tests} tests (Holm {_p(adjusted)})"
    return f"{said}: evidence of a {direction}"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.3f}"


def markdown(rows: list[Row], title: str) -> str:
    """The table for a person's eyes, base first in each line."""
    lines = [
        f"# Before and after: {title}",
        "",
        "| exam | model | base | after | 95 % interval | change | in favour / against | p | Holm | could show |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: [other.task for other in rows].index(row.task)):
        n = row.questions
        low, high = (100 * share for share in row.interval)
        shows = "nothing" if row.could_show is None else f"{row.could_show} ({100 * row.could_show / n:.1f} points)"
        lines.append(
            f"| {row.task} | {row.model} | {row.before}/{n} {100 * row.before / n:.2f} % "
            f"| {row.after}/{n} {100 * row.after / n:.2f} % | {low:.1f} to {high:.1f} "
            f"| {100 * (row.after - row.before) / n:+.2f} | {row.gained} / {row.lost} | {row.p:.3f} | {row.holm:.3f} "
            f"| {shows} |"
        )
    lines += ["", *[f"- {row.task}, {row.model}: {row.sentence}." for row in rows], ""]
    lines += [
        "Interval: Wilson. p: McNemar's exact test on the same questions. "
        f"Holm: corrected for the {len(rows)} tests of this table. "
        "Could show: the smallest true gain, in questions, that an exam of this size would find in "
        f"{POWER:.0%} of cases (p < {ALPHA}) with as many answers changing as here. "
        f"Fewer than {least_gain()} questions gained, even with none lost, cannot be significant in any exam.",
        "",
    ]
    return "\n".join(lines)


def _write(lake: Lake, place: str, rows: list[Row], scores: dict, text: str) -> None:
    lakes.write_bytes(lake, f"{place}/compare.md", text.encode())
    lakes.write_bytes(lake, f"{place}/compare.png", _figure(rows))
    models = {model: {"model": score["model"], "checkpoint": score["checkpoint"]} for model, score in scores.items()}
    result = {"rows": [asdict(row) for row in rows], "models": models, "protocol": scores["base"]["protocol"]}
    lakes.write_json(lake, f"{place}/compare.json", result)


def _figure(rows: list[Row]) -> bytes:
    """Accuracy with its interval, base and every phase, one line of points an exam; PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tasks = list(dict.fromkeys(row.task for row in rows))
    models = list(dict.fromkeys(row.model for row in rows))
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.55 * len(tasks)), layout="constrained")
    for place, model in enumerate(["base", *models]):
        points = []
        for row in rows:
            if row.model == (models[0] if model == "base" else model):
                correct = row.before if model == "base" else row.after
                points.append((tasks.index(row.task), correct / row.questions, *wilson(correct, row.questions)))
        at = [height + 0.16 * (place - len(models) / 2) for height, *_ in points]
        errors = [[share - low for _, share, low, _ in points], [high - share for _, share, _, high in points]]
        axes.errorbar([share for _, share, *_ in points], at, xerr=errors, fmt="o", ms=4, capsize=2, label=model)
    axes.axvline(0.25, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="share of right answers, 95 % interval (dotted: guessing)", xlim=(0, 1))
    axes.set_yticks(range(len(tasks)), tasks)
    axes.invert_yaxis()
    axes.legend(loc="lower right", fontsize="small")
    out = io.BytesIO()
    figure.savefig(out, dpi=120)
    plt.close(figure)
    return out.getvalue()
