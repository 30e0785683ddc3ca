"""The paper's Table 6, with what it leaves out: k of n, intervals, a paired test, and what could be shown.

    python -m chimed compare --recipe qwen3-1.7b --release latest
    python -m chimed compare qwen3-1.7b/base qwen3-14b/base 2026.11.15/qwen3-14b/dpo

The first: a recipe's base and every scored phase. The second: any models that were scored, all beside the first of
them. Prints Markdown and writes it with `compare.json` and `compare.png` to `scores/<release>/<recipe>/`, or for named
models to `scores/compared/<their names>/`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl

from chimed import lake as lakes
from chimed.errors import UserError, choose
from chimed.evaluate.exams import in_order
from chimed.evaluate.figure import accuracies
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
    """A line of the table. interval: of after, base_interval: of before. holm: p corrected for every test of the table.

    could_show: questions; None for no gain at all.
    """

    model: str
    task: str
    group: str
    questions: int
    before: int
    after: int
    gained: int
    lost: int
    interval: tuple[float, float]
    base_interval: tuple[float, float]
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
    return _compare(
        lake, {model: f"{place}/{model}" for model in ("base", *scored)}, place, f"{recipe}, release {release}"
    )


def compare_models(models: Sequence[str], release: str) -> str:
    """The table of models named `<recipe>/<phase>` or `<release>/<recipe>/<phase>`, all against the first, as Markdown.

    release: of those that name none. Raises UserError for fewer than two, a name without scores, or scores from
    different exams or protocols.
    """
    if len(set(models)) < 2:
        raise UserError("name two or more different models, as qwen3-1.7b/base qwen3-1.7b/dpo")
    lake = lakes.open_lake()
    places = {}
    for model in models:
        of, recipe, phase = _parts(model)
        of = find_release(lake, of or release)
        places[model] = f"scores/{of}/{recipe}/{phase}"
        if not lakes.exists(lake, f"{places[model]}.json"):
            raise UserError(
                f"{model} is not scored; run: python -m chimed evaluate {phase} --recipe {recipe} --release {of}"
            )
    named = "+".join(place.removeprefix("scores/").replace("/", "-") for place in places.values())
    return _compare(lake, places, f"scores/compared/{named}", " against ".join([*reversed(models[:2]), *models[2:]]))


def _parts(model: str) -> tuple[str | None, str, str]:
    """(release or none, recipe, phase) of a model's name."""
    release, recipe, phase = ([None] * 3 + list(model.split("/")))[-3:]
    if not recipe or not phase or model.count("/") > 2:
        raise UserError(f"{model!r} is not a scored model; write <recipe>/<phase> or <release>/<recipe>/<phase>")
    return release, choose("recipe", recipe, recipes.names()), choose("phase", phase, ("base", *PHASES))


def _compare(lake: Lake, places: dict[str, str], target: str, title: str) -> str:
    """The table of models whose scores lie at these places, the first of them the reference; written to `target`."""
    reference, *others = places
    scores = {model: lakes.read_json(lake, f"{place}.json") for model, place in places.items()}
    protocol = scores[reference]["protocol"]
    for model in others:
        found = scores[model]["protocol"]
        differ = sorted(name for name in found.keys() | protocol.keys() if found.get(name) != protocol.get(name))
        if differ:
            raise UserError(
                f"{reference} and {model} were scored with other {', '.join(differ)}; evaluate both again here"
            )
    samples = {model: lakes.read_table(lake, f"{place}.samples.parquet") for model, place in places.items()}
    groups = {task: scores[reference]["tasks"][task]["group"] for task in in_order(scores[reference]["tasks"])}
    rows = table(
        [pair for model in others for pair in pairs(reference, model, samples[reference], samples[model], groups)]
    )
    text = markdown(rows, title, reference)
    _write(lake, target, rows, scores, text, reference)
    return text


def pairs(
    reference: str, model: str, before: pl.DataFrame, after: pl.DataFrame, groups: dict[str, str]
) -> list[Paired]:
    """Two models' samples (`harness.SAMPLES`) side by side, one `Paired` a task. Raises UserError if they differ."""
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


def table(found: list[Paired]) -> list[Row]:
    """The rows of a table; Holm's correction is over all of them."""
    ps = [mcnemar(pair.gained, pair.lost) for pair in found]
    return [
        Row(
            **asdict(pair),
            interval=wilson(pair.after, pair.questions),
            base_interval=wilson(pair.before, pair.questions),
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


GROUPS = {
    "paper": "the paper's exams",
    "medical": "other medical subjects",
    "general": "no medicine: what was forgotten",
    "other": "other exams",
}


def markdown(rows: list[Row], title: str, reference: str = "base") -> str:
    """Table 6 with counts and intervals, group by group; then every model beside the reference, with its test."""
    lines = [f"# Before and after: {title}"]
    models = [reference, *dict.fromkeys(row.model for row in rows)]
    for group, heading in GROUPS.items():
        tasks = list(dict.fromkeys(row.task for row in rows if row.group == group))
        if not tasks:
            continue
        lines += ["", f"## {heading[0].upper()}{heading[1:]}", ""]
        lines += [f"| model | {' | '.join(tasks)} |", "|---" * (1 + len(tasks)) + "|"]
        shares = _shares(rows, reference)
        for model in models:
            cells = [_cell(*shares[model][task]) for task in tasks]
            lines.append(f"| {model} | {' | '.join(cells)} |")
    lines += [
        "",
        "## What changed",
        "",
        f"| exam | model | {reference} | model | change | in favour / against | p | Holm | could show |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: [other.task for other in rows].index(row.task)):
        n = row.questions
        shows = "nothing" if row.could_show is None else f"{row.could_show} ({100 * row.could_show / n:.1f} points)"
        lines.append(
            f"| {row.task} | {row.model} | {row.before}/{n} {100 * row.before / n:.2f} % "
            f"| {row.after}/{n} {100 * row.after / n:.2f} % "
            f"| {100 * (row.after - row.before) / n:+.2f} | {row.gained} / {row.lost} | {row.p:.3f} | {row.holm:.3f} "
            f"| {shows} |"
        )
    lines += ["", *[f"- {row.task}, {row.model}: {row.sentence}." for row in rows], ""]
    lines += [
        "In brackets: Wilson's 95 % interval. p: McNemar's exact test on the same questions. "
        f"Holm: corrected for the {len(rows)} tests of this table. "
        "Could show: the smallest true gain, in questions, that an exam of this size would find in "
        f"{POWER:.0%} of cases (p < {ALPHA}) with as many answers changing as here. "
        f"Fewer than {least_gain()} questions gained, even with none lost, cannot be significant in any exam.",
        "",
    ]
    return "\n".join(lines)


Share = tuple[int, int, tuple[float, float]]


def _shares(rows: list[Row], reference: str) -> dict[str, dict[str, Share]]:
    """(right, questions, interval) by model, the reference first, and exam."""
    found: dict[str, dict[str, Share]] = {reference: {}}
    for row in rows:
        found[reference][row.task] = (row.before, row.questions, row.base_interval)
        found.setdefault(row.model, {})[row.task] = (row.after, row.questions, row.interval)
    return found


def _cell(right: int, questions: int, interval: tuple[float, float]) -> str:
    low, high = (100 * share for share in interval)
    return f"{right}/{questions} {100 * right / questions:.2f} % ({low:.1f} to {high:.1f})"


def _write(lake: Lake, place: str, rows: list[Row], scores: dict, text: str, reference: str) -> None:
    points = {
        model: {task: (right / questions, interval) for task, (right, questions, interval) in tasks.items()}
        for model, tasks in _shares(rows, reference).items()
    }
    lakes.write_bytes(lake, f"{place}/compare.md", text.encode())
    lakes.write_bytes(lake, f"{place}/compare.png", accuracies(points))
    models = {model: {"model": score["model"], "checkpoint": score["checkpoint"]} for model, score in scores.items()}
    protocol = scores[reference]["protocol"]
    result = {"rows": [asdict(row) for row in rows], "reference": reference, "models": models, "protocol": protocol}
    lakes.write_json(lake, f"{place}/compare.json", result)
