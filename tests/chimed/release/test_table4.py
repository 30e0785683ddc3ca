"""Table 4 of a release's statistics: every cell, and both totals."""

from chimed.release.table4 import table4


def test_cells_add_up_to_both_totals() -> None:
    rows = [
        {"subset": "pretrain", "domain": "tcm", "rows": 3, "characters": 300},
        {"subset": "sft", "domain": "tcm", "rows": 2, "characters": 20},
        {"subset": "sft", "domain": "general", "rows": 5, "characters": 50},
    ]
    made = table4({"table 4": rows})
    assert made["sft"] == {
        "tcm": {"rows": 2, "characters": 20},
        "general": {"rows": 5, "characters": 50},
        "total": {"rows": 7, "characters": 70},
    }
    assert made["preference"]["total"] == {"rows": 0, "characters": 0}
    assert made["total"]["tcm"] == {"rows": 5, "characters": 320}
    assert made["total"]["total"] == {"rows": 10, "characters": 370}
