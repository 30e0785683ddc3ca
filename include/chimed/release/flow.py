"""The ledger drawn as a flow: from pages through every stage to the subsets; what left, what was derived."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chimed.build import order

_GOING, _GONE, _MADE = "#9db8d2", "#d9a3a0", "#a9cdb0"
_NODE = 0.12  # half a node's width, where stages are one apart


def draw_flow(axes: Axes, ledger: list[dict[str, Any]], subsets: list[tuple[str, int, str]]) -> None:
    """Draws the entries of a ledger (`making`), then the subsets: name, rows, colour. Heights are rows."""
    tallest = max([entry["read"] for entry in ledger] + [sum(rows for _, rows, _ in subsets)] + [1])
    for n, entry in enumerate(ledger):
        _node(axes, n, 0, entry["read"], "#3b6ea5")
        axes.annotate(f"{entry['read']:,}", (n, entry["read"]), ha="center", va="bottom", size=8)
    for n, (one, after) in enumerate(pairwise(ledger)):
        _passing(axes, n, one, after["read"], n == 0)
    if ledger:
        last = len(ledger) - 1
        _passing(axes, last, ledger[-1], sum(rows for _, rows, _ in subsets), last == 0)
    floor = 0
    for name, rows, colour in subsets:
        _node(axes, len(ledger), floor, rows, colour)
        axes.annotate(f" {name} {rows:,}", (len(ledger) + _NODE, floor + rows / 2), va="center", size=9)
        floor += rows
    titles = {stage.name: stage.title_zh for stage in order.STAGES}
    names = [titles.get(entry["stage"], entry["stage"]) for entry in ledger]
    axes.set_xticks(range(len(ledger) + 1), [*names, "子集"])
    axes.set_xlim(-0.4, len(ledger) + 1.1)
    axes.set_ylim(0, 1.1 * tallest)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title("从网页到子集：每一步保留（蓝）、剔除（红）、派生（绿）的条数")


def _node(axes: Axes, x: float, floor: float, height: float, colour: str) -> None:
    axes.fill_between([x - _NODE, x + _NODE], floor, floor + height, color=colour, linewidth=0)


def _passing(axes: Axes, n: int, entry: dict[str, Any], arriving: int, of_pages: bool) -> None:
    """Return the band from a stage to the next: what it kept, and above it what it derived. Pages turn into records."""
    _leaving(axes, n, entry, arriving if of_pages else entry["kept"])
    if of_pages:
        _band(axes, n, (0, entry["kept"]), (0, arriving), _GOING)
        return
    _band(axes, n, (0, entry["kept"]), (0, entry["kept"]), _GOING)
    if entry["derived"]:
        top = entry["kept"] + entry["derived"]
        _band(axes, n, (entry["kept"], entry["kept"]), (entry["kept"], top), _MADE)
        axes.annotate(f"+{entry['derived']:,}", (n + 0.5, top), ha="center", va="bottom", size=8, color="#3d7a4b")


def _band(axes: Axes, n: int, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    t = np.linspace(0, 1, 30)
    bend = t * t * (3 - 2 * t)
    x = n + _NODE + t * (1 - 2 * _NODE)
    low, high = (start[side] + (end[side] - start[side]) * bend for side in (0, 1))
    axes.fill_between(x, low, high, color=colour, alpha=0.7, linewidth=0)


def _leaving(axes: Axes, n: int, entry: dict[str, Any], on: int) -> None:
    """Return what a stage dropped or could not judge thins out above the band that goes `on`, with its number."""
    left = sum(entry["dropped"].values()) + sum(entry["failed"].values())
    if left:
        _band(axes, n, (entry["kept"], entry["read"]), (on, on), _GONE)
        axes.annotate(f"−{left:,}", (n + 0.5, entry["read"]), ha="center", va="bottom", size=8, color="#a04040")
