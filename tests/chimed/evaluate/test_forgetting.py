"""Medical gain beside what was forgotten, by the share of general data. No torch needed."""

import pytest

from chimed.evaluate.forgetting import Trade, general_share, markdown, trades
from chimed.evaluate.table import Row


def row(model: str, group: str, questions: int, before: int, after: int) -> Row:
    moved = (max(0, after - before), max(0, before - after))
    return Row(
        model, f"{group} exam", group, questions, before, after, *moved,
        (0.0, 1.0), (0.0, 1.0), (-1.0, 1.0), 1.0, 1.0, None, "",
    )  # fmt: skip


ROWS = [
    row("none", "primary", 200, 100, 120), row("none", "paper", 100, 50, 60), row("none", "medical", 300, 150, 160),
    row("none", "general", 100, 80, 70), row("tenth", "paper", 100, 50, 58), row("tenth", "general", 100, 80, 79),
]  # fmt: skip


def test_gain_and_forgetting_stand_beside_the_share() -> None:
    found = trades(ROWS, {"base": None, "tenth": 0.1, "none": 0.0})
    assert found == [Trade("none", 0.0, pytest.approx(5.0), -10.0), Trade("tenth", 0.1, 8.0, -1.0)]
    text = "\n".join(markdown(found))
    assert "| tenth | 10.0% | +8.00 | -1.00 |" in text
    assert markdown(trades(ROWS[:1], {"none": 0.1}))[-4].endswith("| 10.0% | - | - |")


def test_nothing_is_said_where_nothing_was_mixed() -> None:
    assert trades(ROWS, {"none": 0.0, "tenth": None}) == []
    assert markdown([]) == []


def test_a_models_share_is_that_of_all_its_phases() -> None:
    reports = [
        {"tokens": 2000.0, "epochs": 2.0, "mix": {"tokens": 200}},
        {"tokens": 500.0, "epochs": 1.0, "mix": None},
        {"tokens": 500.0, "epochs": 0.5},
    ]
    assert general_share(reports) == pytest.approx(0.1)
    assert general_share([]) == 0.0
