"""Compare which fields a crawl's records have with earlier crawls: it reveals a layout that changed while pages parse.

A parser that lost a field still gives records, so no page is a miss (paper §3.1).
"""

from statistics import median
from typing import Any

import polars as pl

from chimed.errors import WorkStopped
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.states import NO_ANSWER

MIN_RECORDS = 20  # in a crawl; with fewer, its shares say little
MAX_EARLIER_CRAWLS = 8  # that a crawl is compared with
MIN_EARLIER_CRAWLS = 3  # with fewer there is nothing to compare with
MAX_DROP = 0.3  # of a share, in absolute terms; a larger drop is an error
MIN_SHARE_OF_USUAL = 0.6  # of the usual number of records per page; less is an error
COLUMNS = ["page", "title", "text", "question", "answer", "department", "published", "adopted"]


class FieldsChanged(WorkStopped):
    """Records of a crawl lack fields that records of earlier crawls had."""


def mark_fields(records: pl.DataFrame) -> pl.DataFrame:
    """Return which fields each record (columns `COLUMNS`) has, in a few bytes per row.

    question: it says more than its title; answer, text, day, department; adopted: the answer was chosen; page: a number
    for its page.
    """
    return records.select(
        page=pl.col("page").hash(),
        question=pl.col("question").str.len_chars() > pl.col("title").str.len_chars(),
        answer=pl.col("answer").str.len_chars() > 0,
        text=pl.col("text").str.len_chars() > 0,
        day=pl.col("published").is_not_null(),
        department=pl.col("department").is_not_null(),
        adopted=pl.col("adopted"),
    )


def field_shares(marked: list[pl.DataFrame], dropped: dict[str, int]) -> dict[str, float]:
    """Return the share of a crawl's records that have each field. Empty without records.

    Further keys: answered, the share of questions with an answer; records and records_a_page, counts. marked:
    `mark_fields` of the crawl's parts. dropped: pages by the reason why they gave no record.
    """
    whole = pl.concat(marked) if marked else pl.DataFrame()
    if not len(whole):
        return {}
    pages = whole["page"].n_unique()
    shares = whole.drop("page").select(pl.all().fill_null(False).mean())
    found = {name: round(float(share), 4) for name, share in shares.row(0, named=True).items()}
    found["answered"] = round(pages / (pages + dropped.get(NO_ANSWER, 0)), 4)
    return found | {"records": len(whole), "records_a_page": round(len(whole) / pages, 3)}


def check_fields(lake: Lake, report: dict[str, Any]) -> None:
    """Raise FieldsChanged if records of an extracted crawl have a field much more rarely than before."""
    now = report.get("fields") or {}
    before = _earlier_shares(lake, report["source"], report["crawl"])
    if now.get("records", 0) < MIN_RECORDS or len(before) < MIN_EARLIER_CRAWLS:
        return
    lost = []
    for name, share in now.items():
        usual = median(one[name] for one in before if name in one) if any(name in one for one in before) else 0.0
        if name == "records_a_page" and share <= MIN_SHARE_OF_USUAL * usual:
            lost.append(f"{share:.1f} records a page, {usual:.1f} before")
        elif not name.startswith("records") and usual - share >= MAX_DROP:
            lost.append(f"{name} {share:.0%}, {usual:.0%} before")
    if lost:
        raise FieldsChanged(
            f"records of {report['source']}, {report['crawl']}, lack what those of the {len(before)} crawls before "
            f"had: {'; '.join(lost)}; its layout may have changed: correct its parser and run extract again, or accept "
            "them with --accept"
        )


def _earlier_shares(lake: Lake, source: str, crawl: str) -> list[dict[str, float]]:
    """Return the field shares of the last crawls before this one that have enough records."""
    done = {}
    for name in lakes.names(lake, layout.extracts(source)):
        paths = [tree(source, name, layout.REPORT) for tree in (layout.raw, layout.extracts)]
        if all(lakes.exists(lake, path) for path in paths):
            done[name] = lakes.read_json(lake, paths[0])["finished"]
    this = done.pop(crawl, None)
    before = [name for name in done if this is None or (done[name], name) < (this, crawl)]  # of one second: by name
    earlier = sorted(before, key=lambda name: (done[name], name))
    found: list[dict[str, float]] = []
    for name in reversed(earlier):
        shares = lakes.read_json(lake, layout.extracts(source, name, layout.REPORT)).get("fields") or {}
        if shares.get("records", 0) >= MIN_RECORDS:
            found.append(shares)
        if len(found) == MAX_EARLIER_CRAWLS:
            break
    return found
