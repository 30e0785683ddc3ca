"""What people read in Airflow of a build: the right numbers, bounded, and nothing in it works as Markdown or HTML."""

from chimed.build import order
from chimed_airflow import summaries

HOSTILE = "<script>alert(1)</script> | [x](http://evil) **`" + "长" * 500
STAGE = {"stage": "clean", "read": 9, "kept": 5, "dropped": {"short": 3, HOSTILE: 1}, "failed": {}, "derived": 2,
         "derived_dropped": {"no evidence": 4}}  # fmt: skip
CHANGES = {
    "before": "2026.11.15",
    "rows": [{"subset": "sft", "source": "ask39", "added": 3, "removed": 0, "changed": 1, "same": 40}],
    "drift": [{"what": "perplexity", "psi": None, "limit": 0.2, "old_median": None, "new_median": 4.5}],
    "stops": ["sft: no row of ask39 is left of 40"],
}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def test_a_ledger_note_has_a_row_each_stage() -> None:
    (row,) = cells(summaries.ledger_table([STAGE]))
    assert row[:6] == ["clean", "9", "5", "4", "0", "2"]
    assert row[6].startswith("derived: no evidence 4, short 3, ")
    assert row[6].endswith("… 1")
    for mark in ("<", "[x]", "**", " | [", "长" * 61):
        assert mark not in summaries.ledger_table([STAGE])


def test_numbers_are_never_cut_in_notes() -> None:
    many = {f"identifier: a kind with a long name, {n}": 123_456 + n for n in range(9)}
    (row,) = cells(summaries.ledger_table([STAGE | {"dropped": many, "derived_dropped": {}}]))
    assert [part.rsplit(" ", 1)[1] for part in row[6].split(", ")] == ["123464", "123463", "123462", "740751"]
    assert "6 more reasons 740751" in row[6]


def test_a_large_builds_note_has_every_stage() -> None:
    many = {"read": 95_601_234, "kept": 94_601_234, "dropped": {"short": 1_000_000}, "failed": {}, "derived": 1_234_567}
    stages = [STAGE | many | {"stage": name} for name in order.NAMES]
    note = summaries.build_note({"build": "2026.11.22.10", "stages": stages})
    assert len(note) <= summaries.NOTE
    assert [row[0].replace("\\", "") for row in cells(note.partition("\n\n")[2])] == list(order.NAMES)


def test_changes_tell_rows_and_drift() -> None:
    said = summaries.changes_table(CHANGES)
    assert "| sft | ask39 | 3 | 0 | 1 | 40 |" in said
    assert "| perplexity | – | 0.2 | – | 4.5 |" in said
    assert "Over the limit: sft: no row of ask39 is left of 40" in said.replace("\\", "")
    assert summaries.changes_table({"before": None}) == "This would be the first release."


def test_tables_are_bounded() -> None:
    said = summaries.ledger_table([STAGE] * 500)
    assert len(said) < 20_000
    assert said.endswith("and 460 more")


def test_a_crawl_is_one_line() -> None:
    report = {
        "source": "ask39",
        "crawl": "2026-11-16",
        "pages": 9,
        "records": 7,
        "dropped": {"no text": 2},
        "failed": {},
    }
    said = summaries.crawl_line(report).replace("\\", "")
    assert said == "ask39, 2026-11-16: 9 pages: 7 records, 2 pages without one"
