"""The scores page: before and after each phase, with intervals, ties and the sentences of `compare`; what a seed does;
loss curves."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from chimed.storage import layout
from chimed_airflow.web.charts import LEFT, lines
from chimed_airflow.web.page import page

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from chimed.storage.lake import Lake

GUESSING = 0.25  # chance of guessing one of four letters
RELEASES = 8  # releases whose scores are shown side by side

router = APIRouter(prefix="/scores")


@router.get("")
def scores(request: Request, release: str = "", recipe: str = "") -> HTMLResponse:
    """Show a recipe's scores on a release, by default the newest that was trained."""
    from chimed.errors import choose
    from chimed.storage.lake import lake_at
    from chimed.train.recipe import EVERY_PHASE

    lake = lake_at()
    known = runs(lake)
    if not known:
        return page(request, "scores.html.j2", here="scores", known=[], chosen=None)
    if release or recipe:
        wanted = choose("scored run", f"{release}/{recipe}", [f"{one[0]}/{one[1]}" for one in known])
        chosen = next(one for one in known if "/".join(one) == wanted)
    else:
        chosen = known[0]
    return page(
        request,
        "scores.html.j2",
        here="scores",
        known=known,
        chosen=chosen,
        compared=_compared(lake, *chosen),
        over=_over(lake, known, chosen[1]),
        left=LEFT,
        phases=[phase for name in EVERY_PHASE if (phase := _phase(lake, *chosen, name))],
    )


def runs(lake: "Lake") -> list[tuple[str, str]]:
    """Return (release, recipe) of everything trained or scored, newest release first."""
    from chimed.release import version_key
    from chimed.storage.lake import names

    found = {
        (release, recipe)
        for top in ("scores", "models")
        for release in names(lake, top)
        if release[:1].isdigit()
        for recipe in names(lake, f"{top}/{release}")
    }
    return sorted(found, key=lambda one: (version_key(one[0]), one[1]), reverse=True)


def _over(lake: "Lake", known: list[tuple[str, str]], recipe: str) -> dict[str, Any] | None:
    """Return a recipe's last scores by exam over its releases, oldest first, in per cent; None for a single release."""
    from chimed.storage.lake import exists, read_json

    shares: dict[str, dict[str, float]] = {}
    versions = []
    for release, of in reversed(known):
        path = layout.scores(release, recipe, layout.COMPARISON)
        if of != recipe or not exists(lake, path):
            continue
        versions.append(release)
        for row in read_json(lake, path)["rows"]:  # a later phase stands behind an earlier one
            shares.setdefault(row["task"], {})[release] = 100 * row["after"] / row["questions"]
    versions = versions[-RELEASES:]
    if len(versions) < 2:
        return None
    return {"versions": versions, "exams": {exam: [of.get(one) for one in versions] for exam, of in shares.items()}}


def _compared(lake: "Lake", release: str, recipe: str) -> dict[str, Any] | None:
    """Return the comparison by exam: each model's share with its interval, in per cent, and each phase's sentence."""
    from chimed.intervals import wilson
    from chimed.storage.lake import exists, read_json

    path = layout.scores(release, recipe, layout.COMPARISON)
    if not exists(lake, path):
        return None
    compared = read_json(lake, path)
    ties = {(one["model"], one["task"]): one for one in compared.get("ties", ())}
    exams: dict[str, dict[str, Any]] = {}
    for row in compared["rows"]:
        exam = exams.setdefault(
            row["task"], {"task": row["task"], "questions": row["questions"], "group": row["group"], "models": []}
        )
        if not exam["models"]:
            low, high = wilson(row["before"], row["questions"])
            exam["models"].append({"model": "base", "right": row["before"], "low": low, "high": high, "row": None})
        low, high = row["interval"]
        exam["models"].append({"model": row["model"], "right": row["after"], "low": low, "high": high, "row": row})
    for exam in exams.values():
        for one in exam["models"]:
            one["tie"] = ties.get((one["model"], exam["task"]))
        exam["tied"] = any(one["tie"] for one in exam["models"])
    return {
        "exams": list(exams.values()),
        "tied": bool(ties),
        "seeds": _seeds(compared.get("seeds", ())),
        "protocol": compared["protocol"],
        "guessing": GUESSING,
    }


def _seeds(spreads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each phase that was trained with several seeds: its exams' shares by seed, in per cent, and a sentence."""
    from chimed.evaluate.seeds import Spread, sentence

    phases: dict[str, dict[str, Any]] = {}
    for one in spreads:
        right = one["right"]
        phase = phases.setdefault(
            one["phase"],
            {"phase": one["phase"], "seeds": list(right), "exams": [], "sentence": sentence(Spread(**one))},
        )
        shares = [100 * count / one["questions"] for count in (one["base"], *right.values())]
        phase["exams"].append({**one, "shares": shares})
    return list(phases.values())


def _phase(lake: "Lake", release: str, recipe: str, phase: str) -> dict[str, Any] | None:
    """Return a phase's loss curves, and its report if it is finished."""
    from chimed.storage.lake import exists, read_bytes, read_json

    place = layout.models(release, recipe, phase)
    if not exists(lake, f"{place}/metrics.jsonl"):
        return None
    steps = [json.loads(line) for line in read_bytes(lake, f"{place}/metrics.jsonl").splitlines() if line.strip()]
    series = {
        name: [(step["step"], step[key]) for step in steps if isinstance(step.get(key), int | float)]
        for name, key in (("training loss", "loss"), ("validation loss", "eval_loss"))
    }
    report = read_json(lake, f"{place}/{layout.REPORT}") if exists(lake, f"{place}/{layout.REPORT}") else None
    return {"phase": phase, "chart": lines(series), "report": report}
