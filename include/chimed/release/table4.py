"""The paper's Table 4: how many rows and characters of each subset and domain, with the totals of both."""

from collections.abc import Mapping
from typing import Any

from chimed.release import SUBSETS

PAPER_NAMES = {"tcm": "Trad", "general": "Gen"}  # the columns, by domain
TOTAL = "total"


def table4(statistics: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """Return `rows` and `characters` by subset (or `total`), then by domain (or `total`), of a release's statistics.

    A subset or domain without rows counts 0. Raises LookupError and TypeError where the statistics are not such.
    """
    counts = {(row["subset"], row["domain"]): row for row in statistics["table 4"]}

    def added(subset: str, domain: str) -> dict[str, int]:
        subsets = SUBSETS if subset == TOTAL else (subset,)
        domains = PAPER_NAMES if domain == TOTAL else (domain,)
        rows = [counts[one, of] for one in subsets for of in domains if (one, of) in counts]
        return {what: sum(row[what] for row in rows) for what in ("rows", "characters")}

    return {subset: {domain: added(subset, domain) for domain in (*PAPER_NAMES, TOTAL)} for subset in (*SUBSETS, TOTAL)}
