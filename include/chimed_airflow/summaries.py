"""What people read of a build in Airflow: a ledger and the changes to the last release, as Markdown that is bounded.

Reasons and names in it may hold words of crawled pages: they are escaped, cut, and never more than a few lines.
"""

import html
import re
from typing import Any

CELL = 60  # characters of one cell or reason
REASONS = 3  # of a stage, the most frequent ones
LINES = 40  # of one table; a build has fewer stages, a release rarely more sources


def plain(text: object, most: int = CELL) -> str:
    """Text that is shown as it is, whatever it holds: no Markdown, no HTML, no line breaks; cut at `most`."""
    said = re.sub(r"\s+", " ", str(text)).strip()
    said = said if len(said) <= most else f"{said[: most - 1]}…"
    # what is not marked up is no link either: a bare address would become one
    return re.sub(r"([\\`*_\[\]{}#!|~]|:(?=//)|(?<=www)\.)", r"\\\1", html.escape(said))


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table, its cells escaped; rows past `LINES` are counted, not shown."""
    lines = [head, ["---"] * len(head), *([plain(cell) for cell in row] for row in rows[:LINES])]
    said = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return said if len(rows) <= LINES else f"{said}\n\nand {len(rows) - LINES} more"


def ledger_table(stages: list[dict[str, Any]]) -> str:
    """A ledger (`chimed ledger --json`, stages): a row a stage, with its most frequent reasons."""
    head = ["stage", "read", "kept", "dropped", "failed", "derived", "why"]
    return table(head, [_stage(entry) for entry in stages])


def _stage(entry: dict[str, Any]) -> list[object]:
    why = entry["dropped"] | entry["failed"] | {f"derived: {name}": n for name, n in entry["derived_dropped"].items()}
    most = sorted(why, key=lambda reason: (-why[reason], reason))[:REASONS]
    reasons = ", ".join(f"{reason[: CELL // REASONS]} {why[reason]}" for reason in most)
    left = [sum(entry[name].values()) for name in ("dropped", "failed")]
    return [entry["stage"], entry["read"], entry["kept"], *left, entry["derived"], reasons]


def changes_table(changes: dict[str, Any]) -> str:
    """What a release changes against the one before (`chimed preview`, changes): rows, drift, what is over a limit."""
    if changes["before"] is None:
        return "There is no release before it."
    names = ["subset", "source", "added", "removed", "changed", "same"]
    parts = [f"Against release {plain(changes['before'])}:", table(names, [_row(r, names) for r in changes["rows"]])]
    names = ["what", "psi", "limit", "old_median", "new_median"]
    parts.append(table(["drift of", *names[1:]], [_row(one, names) for one in changes["drift"]]))
    parts += [f"Over its limit: {plain(sentence, 200)}" for sentence in changes["stops"][:LINES]]
    return "\n\n".join(parts)


def _row(values: dict[str, Any], names: list[str]) -> list[object]:
    return ["–" if values[name] is None else values[name] for name in names]


def crawl_line(report: dict[str, Any]) -> str:
    """A crawl's extract in one line."""
    missed = sum((report["dropped"] | report["failed"]).values())
    said = f"{report['pages']} pages: {report['records']} records, {missed} pages without one"
    return plain(f"{report['source']}, {report['crawl']}: {said}", 200)


def build_note(found: dict[str, Any]) -> str:
    """A build's ledger (`chimed ledger --json`), as its run's note."""
    return f"build {plain(found['build'])}\n\n{ledger_table(found['stages'])}"
