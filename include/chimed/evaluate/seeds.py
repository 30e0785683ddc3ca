"""What chance in training does to a score: the same recipe on the same release, trained with two seeds or more.

The intervals and tests of `table` are about the questions: would another exam of this kind say the same? They know one
trained model. Another seed gives other adapters and another order of the rows, and its score differs for no reason that
is of interest; a gain that is smaller than this spread is none of the recipe's (Dodge et al. 2020, arXiv 2002.06305).
"""

import hashlib
import json
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from chimed.evaluate.exams import in_order
from chimed.evaluate.protocol import differences
from chimed.evaluate.table import POOLED
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train.recipe import BY_ROWS, free_fields

SEEDS = ("seed", "data_seed")


@dataclass(frozen=True)
class Spread:
    """A phase's results on one exam by seed. right: questions by seed; mean and deviation (of a sample) in points."""

    phase: str
    task: str
    questions: int
    base: int
    right: dict[str, int]
    mean: float
    deviation: float


def training(reports: list[dict[str, Any]]) -> dict[str, str]:
    """Return what a score keeps of how its model was trained. reports: of the phases up to it, in order.

    seed: of each phase where they differ, else the one of all. settings: a hash of everything else that makes the model
    what it is, without what is free to change.
    """
    seeds = [str(report["fields"].get("seed", 42)) for report in reports]
    made = [
        {
            "phase": report["phase"],
            "release": report["release"],
            "fields": _fixed(report["phase"], report["fields"]),
        }
        | ({"batch": report.get("batch")} if report["phase"] in BY_ROWS else {})
        for report in reports
    ]
    told = json.dumps([reports[0].get("base_model"), made], sort_keys=True)
    return {
        "seed": seeds[0] if len(set(seeds)) == 1 else "-".join(seeds),
        "settings": hashlib.sha256(told.encode()).hexdigest()[:16],
    }


def _fixed(phase: str, fields: dict[str, Any]) -> dict[str, Any]:
    free = (*SEEDS, *free_fields(phase, fields))
    return {name: value for name, value in fields.items() if name not in free}


def others(lake: Lake, release: str, recipe: str, phase: str, score: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Score of the same phase of the same recipe with another seed, by seed; `score` itself among them.

    Only those under the same protocol. A score of an earlier version does not know its training, and is alone.
    """
    known = score.get("training")
    if not known:
        return {}
    found = {known["seed"]: score}
    for name in sorted(lakes.names(lake, layout.scores(release))):
        place = f"{layout.scores(release, name, phase)}.json"
        if name == recipe or not lakes.exists(lake, place):
            continue
        other = lakes.read_json(lake, place)
        trained = other.get("training") or {}
        if trained.get("settings") == known["settings"] and not differences(score["protocol"], other["protocol"]):
            found.setdefault(trained["seed"], other)
    return found


def spreads(phase: str, base: dict[str, Any], by_seed: dict[str, dict[str, Any]]) -> list[Spread]:
    """Return the spread of every exam, and of the paper's exams pooled where there are several."""
    seeds = sorted(by_seed, key=lambda seed: (len(seed), seed))
    tasks: dict[str, list[str]] = {task: [task] for task in in_order(base["tasks"])}
    paper = [task for task in tasks if base["tasks"][task]["group"] == "paper"]
    if len(paper) > 1:
        tasks = {POOLED: paper} | tasks
    found = []
    for name, of in tasks.items():
        questions = sum(base["tasks"][task]["questions"] for task in of)
        right = {seed: sum(by_seed[seed]["tasks"][task]["correct"] for task in of) for seed in seeds}
        points = [100 * count / questions for count in right.values()]
        before = sum(base["tasks"][task]["correct"] for task in of)
        found.append(Spread(phase, name, questions, before, right, mean(points), stdev(points)))
    return found


def markdown(found: list[Spread]) -> list[str]:
    """Return lines of a table by phase and exam, and a sentence for the first exam of each phase."""
    if not found:
        return []
    lines = ["## Seeds", ""]
    for phase in dict.fromkeys(one.phase for one in found):
        of = [one for one in found if one.phase == phase]
        seeds = list(of[0].right)
        lines += [f"| {phase} | base | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | standard deviation |"]
        lines += ["|---" * (len(seeds) + 4) + "|"]
        for one in of:
            cells = [f"{100 * count / one.questions:.2f} %" for count in (one.base, *one.right.values())]
            lines.append(f"| {one.task} | {' | '.join(cells)} | {one.mean:.2f} % | {one.deviation:.2f} points |")
        lines += ["", f"{sentence(of[0])}", ""]
    return lines


def sentence(one: Spread) -> str:
    """Return whether a phase's change is larger than what the seed alone does."""
    changes = [100 * (count - one.base) / one.questions for count in one.right.values()]
    low, high = min(changes), max(changes)
    said = f"{one.phase} on {one.task}: {len(changes)} seeds change the score by {low:+.2f} to {high:+.2f} points"
    if low > 0 or high < 0:
        return f"{said}, all in one direction; {len(changes)} seeds are few, see the tests above for the questions."
    return f"{said}: what the seed does is as large as the change, which says nothing for the recipe."
