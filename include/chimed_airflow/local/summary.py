"""What a finished demo prints: pages, the ledger, the release's subsets, scores, seconds, and where to look."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from chimed.release.table4 import TOTAL, table4
from chimed.settings import PROJECT
from chimed.sources import names as source_names


def show(
    environment: dict[str, str], release: str, recipe: str, seconds: dict[tuple[str, str], float], total: float
) -> None:
    """Print the summary of a release and of the recipe trained on it."""
    lake = Path(environment["CHIMED_DATA"])
    print("\n── pages crawled ──")
    for source in source_names():
        paths = sorted((lake / "raw" / source).glob("*/report.json"))
        reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        print(f"  {source:<10} {sum(report['pages'] for report in reports):>5} in {len(reports)} crawls")
    print(f"\n── build {release}: its ledger ──")
    argv = [sys.executable, "-m", "chimed", "ledger", release]
    told = subprocess.run(argv, env=environment, capture_output=True, encoding="utf-8", check=True)
    print(told.stdout.rstrip())
    print(f"\n── release {release} ──")
    statistics = json.loads((lake / "releases" / release / "statistics.json").read_text(encoding="utf-8"))
    print(_table(statistics))
    print(f"\n── recipe {recipe}, before and after (models of a few million parameters: expect random scores) ──")
    print((lake / "scores" / release / recipe / "compare.md").read_text(encoding="utf-8").rstrip())
    print("\n── seconds of the tasks (shards added up) ──")
    for dag in dict.fromkeys(dag for dag, _ in seconds):
        print(f"  {dag:<15} " + ", ".join(f"{task} {took:.0f}" for (of, task), took in seconds.items() if of == dag))
    print(f"\ndone in {int(total) // 60} min {int(total) % 60} s. Where to look:")
    for what, path in (
        ("release", lake / "releases" / release),
        ("models", lake / "models" / release / recipe),
        ("scores", lake / "scores" / release / recipe),
    ):
        print(f"  {what:<8} {_short(path)}")
    print("  Airflow  make up, then open the address it prints")


def _table(statistics: dict[str, Any]) -> str:
    """Rows of each subset, by source, and the characters of each subset."""
    rows = {(one["subset"], one["source"]): one["rows"] for one in statistics["sources"]}
    lines = [f"  {'':<10}" + "".join(f"{source:>10}" for source in source_names()) + f"{'all':>10}{'characters':>12}"]
    for subset in sorted({subset for subset, _ in rows}):
        counts = [rows.get((subset, source), 0) for source in source_names()]
        characters = table4(statistics)[subset][TOTAL]["characters"]
        lines.append(
            f"  {subset:<10}" + "".join(f"{count:>10}" for count in [*counts, sum(counts)]) + f"{characters:>12}"
        )
    return "\n".join(lines)


def _short(path: Path) -> Path:
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
