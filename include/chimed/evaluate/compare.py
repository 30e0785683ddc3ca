"""The paper's Table 6, with what it leaves out: k of n, intervals, a paired test, and what could be shown.

    python -m chimed compare --recipe qwen3-1.7b --release latest
    python -m chimed compare qwen3-1.7b/base qwen3-14b/base 2026.11.15/qwen3-14b/dpo

The first: a recipe's base and every scored phase. The second: any models that were scored, all beside the first of
them. Prints Markdown and writes it with `compare.json` and `compare.png` to `scores/<release>/<recipe>/`, or for named
models to `scores/compared/<their names>/`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from chimed.errors import UserError, choose
from chimed.evaluate.answering import read_judged
from chimed.evaluate.exams import in_order
from chimed.evaluate.figure import accuracies
from chimed.evaluate.forgetting import markdown as of_shares
from chimed.evaluate.forgetting import trades
from chimed.evaluate.judged import markdown as of_judged
from chimed.evaluate.protocol import differences
from chimed.evaluate.seeds import Spread, others, spreads
from chimed.evaluate.seeds import markdown as of_seeds
from chimed.evaluate.table import Row, markdown, pairs, shares, table
from chimed.evaluate.ties import markdown as of_ties
from chimed.evaluate.ties import ties
from chimed.release import find_release
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.recipe import EVERY_PHASE


def compare_phases(recipe: str, release: str) -> str:
    """Return the table of a recipe's base and every scored phase, as Markdown.

    Raises UserError where base or every phase is missing, or the scores come from different exams or protocols.
    """
    recipe = recipes.known(recipe)
    lake = lakes.find_lake()
    release = find_release(lake, release)
    place = layout.scores(release, recipe)
    scored = [phase for phase in EVERY_PHASE if lakes.exists(lake, f"{place}/{phase}.json")]
    again = f"run: python -m chimed evaluate {{}} --recipe {recipe} --release {release}"
    if not lakes.exists(lake, f"{place}/base.json"):
        raise UserError(f"the base model of {recipe} has not been scored; {again.format('base')}")
    if not scored:
        raise UserError(f"no phase of {recipe} is scored on release {release}; {again.format('dpo')}")
    places = {model: f"{place}/{model}" for model in ("base", *scored)}
    _one_base(lake, places, again.format("base"))
    title = f"{recipe}, release {release}"
    return _compare(
        lake, places, place, title, _seeds(lake, release, recipe, scored), read_judged(lake, release, recipe)
    )


def _seeds(lake: Lake, release: str, recipe: str, phases: Sequence[str]) -> list[Spread]:
    """Return the spread over seeds of each phase that was trained and scored with more than one."""
    base = lakes.read_json(lake, f"{layout.scores(release, recipe)}/base.json")
    found: list[Spread] = []
    for phase in phases:
        score = lakes.read_json(lake, f"{layout.scores(release, recipe, phase)}.json")
        by_seed = others(lake, release, recipe, phase, score)
        if len(by_seed) > 1 and base["tasks"].keys() == score["tasks"].keys():
            found += spreads(phase, base, by_seed)
    return found


def _one_base(lake: Lake, places: dict[str, str], again: str) -> None:
    """Raise UserError where a phase was not trained from the base model that was scored."""
    bases = {model: lakes.read_json(lake, f"{place}.json").get("base_model") for model, place in places.items()}
    for model, base in bases.items():
        if base and bases["base"] and base != bases["base"]:
            raise UserError(
                f"{model} was trained from {base}, and the base that was scored is {bases['base']}; {again}"
            )


def compare_models(models: Sequence[str], release: str) -> str:
    """Compare models named `<recipe>/<phase>` or `<release>/<recipe>/<phase>` with the first of them, as Markdown.

    release: of those that name none. Raises UserError for fewer than two, a name without scores, or scores from
    different exams or protocols.
    """
    if len(set(models)) < 2:
        raise UserError("name two or more different models, as qwen3-1.7b/base qwen3-1.7b/dpo")
    lake = lakes.find_lake()
    places = {}
    for model in models:
        of, recipe, phase = _parts(model)
        of = find_release(lake, of or release)
        places[model] = layout.scores(of, recipe, phase)
        if not lakes.exists(lake, f"{places[model]}.json"):
            raise UserError(
                f"{model} has not been scored; run: python -m chimed evaluate {phase} --recipe {recipe} --release {of}"
            )
    return _compare(
        lake,
        places,
        layout.scores("compared", _named(lake, list(places), release)),
        " against ".join([*reversed(models[:2]), *models[2:]]),
    )


def read_compared(recipe: str, models: Sequence[str], release: str) -> dict[str, Any]:
    """Return what `compare_models`, or without models `compare_phases`, wrote last, as its compare.json has it."""
    lake = lakes.find_lake()
    if not models:
        return lakes.read_json(lake, layout.scores(find_release(lake, release), recipe, layout.COMPARISON))
    return lakes.read_json(lake, layout.scores("compared", _named(lake, models, release), layout.COMPARISON))


def _named(lake: Lake, models: Sequence[str], release: str) -> str:
    """Return what a comparison of these models is called in the lake."""
    places = [(find_release(lake, of or release), recipe, phase) for of, recipe, phase in map(_parts, models)]
    return "+".join("-".join(place) for place in places)


def _parts(model: str) -> tuple[str | None, str, str]:
    """Return (release or none, recipe, phase) of a model's name."""
    release, recipe, phase = ([None] * 3 + list(model.split("/")))[-3:]
    if not recipe or not phase or model.count("/") > 2:
        raise UserError(
            f"{model!r} is not a model that was scored; write <recipe>/<phase> or <release>/<recipe>/<phase>"
        )
    return release, recipes.told_apart(recipe), choose("phase", phase, ("base", *EVERY_PHASE))


def _compare(
    lake: Lake,
    places: dict[str, str],
    target: str,
    title: str,
    seeds: Sequence[Spread] = (),
    judged: dict[str, Any] | None = None,
) -> str:
    """Write the table of models whose scores lie at these places to `target`; the first of them is the reference.

    judged: what a judge said of their answers (`judging`).
    """
    reference, *others = places
    scores = {model: lakes.read_json(lake, f"{place}.json") for model, place in places.items()}
    protocol = scores[reference]["protocol"]
    for model in others:
        if differ := differences(protocol, scores[model]["protocol"]):
            raise UserError(
                f"{reference} and {model} were scored with other {', '.join(differ)}; evaluate both again here"
            )
    samples = {model: lakes.read_table(lake, f"{place}.samples.parquet") for model, place in places.items()}
    groups = {task: scores[reference]["tasks"][task]["group"] for task in in_order(scores[reference]["tasks"])}
    rows = table(
        [pair for model in others for pair in pairs(reference, model, samples[reference], samples[model], groups)]
    )
    tied = ties(samples)
    traded = trades(rows, {model: score.get("general_share") for model, score in scores.items()})
    lines = [markdown(rows, title, reference), *of_shares(traded), *of_seeds(list(seeds)), *of_ties(tied)]
    text = "\n".join([*lines, *(of_judged(judged) if judged else ())])
    _write(lake, target, rows, scores, text, reference, {"seeds": seeds, "ties": tied, "general_data": traded}, judged)
    return text


def _write(
    lake: Lake,
    place: str,
    rows: list[Row],
    scores: dict[str, Any],
    text: str,
    reference: str,
    more: dict[str, Sequence[Any]],
    judged: dict[str, Any] | None,
) -> None:
    """Write a comparison. more: further tables by their key; one without rows is left out."""
    points = {
        model: {task: (right / questions, interval) for task, (right, questions, interval) in tasks.items()}
        for model, tasks in shares(rows, reference).items()
    }
    lakes.write_bytes(lake, f"{place}/compare.md", text.encode())
    lakes.write_bytes(lake, f"{place}/compare.png", accuracies(points))
    models = {model: {"model": score["model"], "checkpoint": score["checkpoint"]} for model, score in scores.items()}
    protocol = scores[reference]["protocol"]
    result = {"rows": [asdict(row) for row in rows], "reference": reference, "models": models, "protocol": protocol}
    result |= {name: [asdict(one) for one in found] for name, found in more.items() if found}
    if judged:
        result["judged"] = judged
    lakes.write_json(lake, f"{place}/{layout.COMPARISON}", result)
