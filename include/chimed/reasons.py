"""Why rows leave, as data: a code, its words in English and Chinese, and a detail of its own. Ours.

A row that left has a code in its column `reason`, and what is said besides (the copied record's id, a span, the reply)
in `detail`. The words of all codes are in `reasons.yaml`. Versions before 2026.12 wrote some codes together with their
detail (`no verdict: empty reply`); `read` takes such a text apart, and nothing else has to know that.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

UNLISTED = "unlisted"  # family of a code that stands in no list, such as one of a site of somebody's own
IDENTIFYING = ("identifier", "name")  # families: the row names or identifies a person

# Reasons for which pages leave that nothing is wrong with: a shard may lose all of its own so.
UNCHANGED = "fetched again unchanged"
DUPLICATE_ROW = "same row twice in the corpus"
OVER_LIMIT = "over max_records"
TAKEN_DOWN = "taken down"
GONE = "gone from its site"
EXPECTED_REASONS = (UNCHANGED, DUPLICATE_ROW, OVER_LIMIT, TAKEN_DOWN, GONE)


@dataclass(frozen=True)
class Reason:
    """A reason for which rows leave. code: what tables hold. family: what kind of reason it is."""

    code: str
    family: str
    english: str
    chinese: str

    def words(self, language: str) -> str:
        """Return its words in `zh`, else in English."""
        return self.chinese if language == "zh" else self.english


@cache
def known() -> dict[str, Reason]:
    """Return every reason that has words, by its code."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return {
        code: Reason(code, family, *((code, said) if isinstance(said, str) else said))
        for family, reasons in yaml.safe_load(text).items()
        for code, said in reasons.items()
    }


def read(written: str) -> tuple[Reason, str]:
    """Return the reason that a table, report or the store names, and the detail that an older version wrote with it.

    A code that stands in no list is its own words.
    """
    if written in known():
        return known()[written], ""
    head, _, tail = written.partition(": ")
    if tail in known() and known()[tail].family == head:  # second opinion: not what the passage says
        return known()[tail], ""
    if tail and head in known():
        return known()[head], tail
    return Reason(written, UNLISTED, written, written), ""


def words(written: str, language: str = "en") -> str:
    """Return what people read of a reason as it was written, by this version or one before."""
    reason, detail = read(written)
    if not detail:
        return reason.words(language)
    inner = words(detail, language)  # an older version's detail may be a reason, too: no verdict: empty reply
    return f"{reason.words(language)}{'：' if language == 'zh' else ': '}{inner}"
