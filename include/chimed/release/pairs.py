"""Add up what the parts of a build say of its preferences: whose answers win, and how scores and verdicts agree.

For the manifest and the card; what the counts mean is in `chimed.build.figures` (`PreferFigures`).
"""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

KINDS = ("judge", "dose", "warning")  # what is against a rejected answer
COUNTS = ("pairs", "higher", "same", "lower")


def preferences(shards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return `generators` and `scores` of all parts; None where no pair was made, or by an earlier version."""
    told = [one for one in shards if one.get("generators")]
    if not told:
        return None
    return {
        "generators": add_wins(one["generators"] for one in told),
        "scores": add_scores(one.get("scores", {}) for one in told),
    }


def add_wins(shards: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Add up what was counted by generator in several parts."""
    total: dict[str, Counter[str]] = {}
    for model, counts in chain.from_iterable(one.items() for one in shards):
        total.setdefault(model, Counter()).update(counts)
    return {model: dict(total[model]) for model in sorted(total)}


def add_scores(shards: Iterable[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Add up how scores and verdicts agree in several parts; means are weighted by their pairs."""
    total: dict[str, dict[str, Any]] = {}
    for kind, one in chain.from_iterable(shard.items() for shard in shards):
        if (sums := total.get(kind)) is None:
            total[kind] = {**one, "difference": dict(one["difference"])}
            continue
        pairs = sums["pairs"] + one["pairs"]
        for name, mean in one["difference"].items():
            before = sums["difference"].get(name, 0.0)
            sums["difference"][name] = round((before * sums["pairs"] + mean * one["pairs"]) / pairs, 4)
        for name in COUNTS:
            sums[name] += one[name]
    return {kind: total[kind] for kind in KINDS if kind in total}
