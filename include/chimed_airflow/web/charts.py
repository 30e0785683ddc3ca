"""Charts as data for inline SVG: where bars, bands, points and lines lie. Templates draw them, the style colours."""

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 26  # left of a chart of lines stand numbers


@dataclass(frozen=True)
class Line:
    """A line of a chart: name, SVG path, dots (x, y, what they say)."""

    name: str
    path: str
    dots: list[tuple[float, float, str]]


def flow(ledger: list[dict[str, Any]], subsets: dict[str, int]) -> list[dict[str, Any]]:
    """The ledger's entries as bands, widest first; shares are of the widest. The last one parts into the subsets.

    Each: stage, skipped, read, on (rows that go on), left (reason → rows, most first), lost, derived, refused; of 1 the
    band's width at its top (start), of what stays (stays), at its bottom (kept), and how much of the bottom is new
    (made).
    """
    made = []
    widest = max([entry["read"] for entry in ledger] + [sum(subsets.values()), 1])
    for n, entry in enumerate(ledger):
        of_pages = n == 0  # pages become records: what goes on is what was read out of them
        kept = 0 if of_pages else entry["kept"]
        left: dict[str, int] = {}
        for reasons in (entry["dropped"], entry["failed"]):
            for reason, count in reasons.items():
                left[reason] = left.get(reason, 0) + count
        on = kept + entry["derived"]
        made.append(
            {
                "stage": entry["stage"],
                "skipped": entry.get("skipped", False),  # a release of an earlier version does not tell
                "of_pages": of_pages,
                "read": entry["read"],
                "on": on,
                "left": dict(sorted(left.items(), key=lambda one: (-one[1], one[0]))),
                "lost": sum(left.values()),
                "derived": entry["derived"],
                "refused": entry["derived_dropped"],
                "start": entry["read"] / widest,
                "stays": entry["kept"] / widest,
                "kept": (on if of_pages else kept) / widest,
                "made": 0.0 if of_pages else entry["derived"] / widest,
            }
        )
    return made


def bars(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Counts as upright bars in a chart of `WIDTH` × `HEIGHT`: label, count, x, y, width, height."""
    most = max([*counts.values(), 1])
    step = (WIDTH - 2 * RIGHT) / max(len(counts), 1)
    room = HEIGHT - TOP - BOTTOM
    return [
        {
            "label": label,
            "count": count,
            "x": round(RIGHT + n * step + step * 0.1, 1),
            "width": round(step * 0.8, 1),
            "y": round(TOP + room * (1 - count / most), 1),
            "height": round(room * count / most, 1),
        }
        for n, (label, count) in enumerate(counts.items())
    ]


def lines(series: dict[str, list[tuple[float, float]]], most: int = 300) -> dict[str, Any]:
    """Series of points as lines of one chart; `ticks` (place, label) of both axes. At most `most` points a line."""
    every = [point for points in series.values() for point in points]
    if not every:
        return {"lines": [], "x": [], "y": []}
    left, right = min(x for x, _ in every), max(x for x, _ in every)
    low, high = min(y for _, y in every), max(y for _, y in every)
    pad = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    low, high = low - pad, high + pad

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - left) / (right - left) if right > left else 0.5
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM), 1),
        )

    drawn = []
    for name, points in series.items():
        kept = points[:: -(-len(points) // most)] if points else []
        if points and kept[-1] != points[-1]:
            kept.append(points[-1])
        places = [at(x, y) for x, y in kept]
        path = " ".join(f"{'L' if n else 'M'}{x} {y}" for n, (x, y) in enumerate(places))
        dots = [(x, y, f"{step:g}: {value:.3f}") for (x, y), (step, value) in zip(places, kept, strict=True)]
        drawn.append(Line(name, path, dots if len(dots) <= 12 else [dots[0], dots[-1]]))
    x_ticks = [(at(x, low)[0], f"{x:g}") for x in sorted({left, round((left + right) / 2), right})]
    y_ticks = [(at(left, y)[1], f"{y:.2f}") for y in (low + pad, (low + high) / 2, high - pad)]
    return {"lines": drawn, "x": x_ticks, "y": y_ticks}
