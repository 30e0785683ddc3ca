"""What was gained in medicine against what was forgotten, by the general share of the training data. Ours.

A recipe mixes general data in (`mix_share`) so that less is forgotten. Whether that pays is seen where recipes with
several shares stand beside each other: `chimed compare qwen3-1.7b/base qwen3-1.7b,mix_share=0.1/dpo ...`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chimed.evaluate.table import Row

MEDICINE = ("paper", "medical", "professional")  # groups of exams; what was forgotten is seen in `general`


@dataclass(frozen=True)
class Trade:
    """A model beside the reference. share: general tokens of all it was trained on. gain, forgotten: points changed.

    None for either where no exam of its kind was sat.
    """

    model: str
    share: float
    gain: float | None
    forgotten: float | None


def general_share(reports: list[dict[str, Any]]) -> float:
    """Return the general share of all tokens that a model was trained on, an epoch of each phase. reports: of those."""
    general = sum((report.get("mix") or {}).get("tokens", 0) for report in reports)
    seen = sum(report["tokens"] / max(1.0, report["epochs"] or 1.0) for report in reports)
    return general / seen if seen else 0.0


def trades(rows: Sequence[Row], shares: Mapping[str, float | None]) -> list[Trade]:
    """Return a `Trade` for each model of the rows, by share; none where no model was trained on general data."""
    if not any(shares.values()):
        return []
    models = dict.fromkeys(row.model for row in rows)
    found = [
        Trade(
            model,
            shares.get(model) or 0.0,
            _points([row for row in rows if row.model == model and row.group in MEDICINE]),
            _points([row for row in rows if row.model == model and row.group == "general"]),
        )
        for model in models
    ]
    return sorted(found, key=lambda trade: trade.share)


def _points(rows: Sequence[Row]) -> float | None:
    """Return by how many points the share of right answers changed, all questions of the rows taken together."""
    questions = sum(row.questions for row in rows)
    return 100 * sum(row.after - row.before for row in rows) / questions if questions else None


def markdown(found: Sequence[Trade]) -> list[str]:
    """Return lines of a table of trades; none for none."""
    if not found:
        return []
    lines = [
        "## General data",
        "",
        "| model | general share of its training | medicine, points | not medicine, points |",
        "|---|---|---|---|",
    ]
    for trade in found:
        gain, forgotten = ("-" if one is None else f"{one:+.2f}" for one in (trade.gain, trade.forgotten))
        lines.append(f"| {trade.model} | {trade.share:.1%} | {gain} | {forgotten} |")
    told = "All questions of a kind taken together; tests and intervals are with the exams, above."
    return [*lines, "", told, ""]
