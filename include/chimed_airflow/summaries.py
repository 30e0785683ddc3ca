"""What people read of a build in Airflow: a ledger and the changes to the last release, as Markdown that is bounded.

Reasons and names in it may hold words of crawled pages: they are escaped, cut, and never more than a few lines.
"""

from typing import Any

from chimed import reasons
from chimed.release.markdown import quoted

CELL = 60  # characters of one cell or reason
LONG = 200  # of a sentence
REASONS = 3  # of a stage, the most frequent ones
NOTE = 950  # characters of a run's note: Airflow keeps a thousand
LINES = 40  # of one table; a build has fewer stages, a release rarely more sources


def table(head: list[str], rows: list[list[object]]) -> str:
    """Format a Markdown table and escape its cells; the rows after `LINES` are counted, not shown."""
    lines = [head, ["---"] * len(head), *([quoted(cell, LONG) for cell in row] for row in rows[:LINES])]
    said = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return said if len(rows) <= LINES else f"{said}\n\nand {len(rows) - LINES} more"


def ledger_table(stages: list[dict[str, Any]], reasons_each: int = REASONS) -> str:
    """Format the stages of `chimed ledger --json`: one row for each stage, with its most frequent reasons."""
    head = ["stage", "read", "kept", "dropped", "failed", "derived", "why"]
    return table(head, [_stage(entry, reasons_each) for entry in stages])


def _stage(entry: dict[str, Any], reasons_each: int) -> list[object]:
    why = {reasons.words(code): n for code, n in (entry["dropped"] | entry["failed"]).items()}
    why |= {f"derived: {reasons.words(code)}": n for code, n in entry["derived_dropped"].items()}
    # a reason may be cut, its number never: a cut number is a wrong one
    most = sorted(why, key=lambda reason: (-why[reason], reason))
    said = [f"{_cut(reason, CELL // 2)} {why[reason]}" for reason in most[:reasons_each]]
    rest = sum(why[reason] for reason in most[reasons_each:]) if reasons_each else 0
    told = ", ".join([*said, *([f"{len(most) - reasons_each} more reasons {rest}"] if rest else [])])
    told = "skipped" if entry.get("skipped") else told
    left = [sum(entry[name].values()) for name in ("dropped", "failed")]
    return [entry["stage"], entry["read"], entry["kept"], *left, entry["derived"], told]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def changes_table(changes: dict[str, Any]) -> str:
    """Format the changes from the previous release (`chimed preview`): rows, drift, and what exceeds a limit."""
    if changes["before"] is None:
        return "This would be the first release."
    names = ["subset", "source", "added", "removed", "changed", "same"]
    parts = [
        f"Compared with release {quoted(changes['before'], CELL)}:",
        table(names, [_row(r, names) for r in changes["rows"]]),
    ]
    names = ["what", "psi", "limit", "old_median", "new_median"]
    parts.append(table(["drift in", *names[1:]], [_row(one, names) for one in changes["drift"]]))
    parts += [f"Over the limit: {quoted(sentence, LONG)}" for sentence in changes["stops"][:LINES]]
    return "\n\n".join(parts)


def _row(values: dict[str, Any], names: list[str]) -> list[object]:
    return ["–" if values[name] is None else _cut(str(values[name]), CELL) for name in names]


def crawl_line(report: dict[str, Any]) -> str:
    """Describe what was extracted from a crawl in one line."""
    missed = sum(report["dropped"].values()) + sum(report["failed"].values())
    said = f"{report['pages']} pages: {report['records']} records, {missed} pages without one"
    return quoted(f"{report['source']}, {report['crawl']}: {said}", LONG)


def build_note(found: dict[str, Any]) -> str:
    """Format a build's ledger (`chimed ledger --json`) as a run's note: every stage, and the columns that fit."""
    head, names = f"build {quoted(found['build'], CELL)}\n\n", ["stage", "read", "kept"]
    tables = [ledger_table(found["stages"], reasons_each) for reasons_each in range(REASONS, -1, -1)]
    tables.append(table(names, [_row(entry, names) for entry in found["stages"]]))
    return head + next((one for one in tables if len(head) + len(one) <= NOTE), tables[-1])
