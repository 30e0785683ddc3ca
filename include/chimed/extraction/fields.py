"""Which fields a crawl's records have, against the crawls before: what tells a layout that changed while pages parse.

Light shares of the records (paper §3.1): a parser that lost a field still gives records, and no page is a miss.
"""

from statistics import median

import polars as pl

from chimed.errors import WorkStopped
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.states import NO_ANSWER

ENOUGH = 20  # records of a crawl from which on its shares say something
BEFORE = 8  # crawls that one is compared with
FEW = 3  # of them: too few to compare with
DROP = 0.3  # of a share, from which on it is told
FEWER = 0.6  # of the records that a page has usually, below which it is told
COLUMNS = ["page", "title", "text", "question", "answer", "department", "published", "adopted"]


class FieldsChanged(WorkStopped):
    """Records of a crawl lack what those of the crawls before had."""


def marks(records: pl.DataFrame) -> pl.DataFrame:
    """What each record has (of its columns `COLUMNS`): a few bytes a row. question: one that says more than its title;
    answer, text, day, department; adopted: an answer that was chosen; page: a number for its page."""
    return records.select(
        page=pl.col("page").hash(),
        question=pl.col("question").str.len_chars() > pl.col("title").str.len_chars(),
        answer=pl.col("answer").str.len_chars() > 0,
        text=pl.col("text").str.len_chars() > 0,
        day=pl.col("published").is_not_null(),
        department=pl.col("department").is_not_null(),
        adopted=pl.col("adopted"),
    )


def fields(marked: list[pl.DataFrame], dropped: dict[str, int]) -> dict[str, float]:
    """Shares of a crawl's records (`marks` of its parts) that have each field; `answered`, of its questions those with
    any answer; and the counts `records` and `records_a_page`. Empty without records. dropped: pages by why they gave
    none."""
    whole = pl.concat(marked) if marked else pl.DataFrame()
    if not len(whole):
        return {}
    pages = whole["page"].n_unique()
    shares = whole.drop("page").select(pl.all().fill_null(False).mean())
    found = {name: round(float(share), 4) for name, share in shares.row(0, named=True).items()}
    found["answered"] = round(pages / (pages + dropped.get(NO_ANSWER, 0)), 4)
    return found | {"records": len(whole), "records_a_page": round(len(whole) / pages, 3)}


def check_fields(lake: Lake, report: dict) -> None:
    """Raises FieldsChanged where the records of an extracted crawl have a field much more seldom than before."""
    now = report.get("fields") or {}
    before = _before(lake, report["source"], report["crawl"])
    if now.get("records", 0) < ENOUGH or len(before) < FEW:
        return
    lost = []
    for name, share in now.items():
        usual = median(one[name] for one in before if name in one) if any(name in one for one in before) else 0.0
        if name == "records_a_page" and share <= FEWER * usual:
            lost.append(f"{share:.1f} records a page, {usual:.1f} before")
        elif not name.startswith("records") and usual - share >= DROP:
            lost.append(f"{name} {share:.0%}, {usual:.0%} before")
    if lost:
        raise FieldsChanged(
            f"records of {report['source']}, {report['crawl']}, lack what those of the {len(before)} crawls before "
            f"had: {'; '.join(lost)}; its layout may have changed: mend its parser and run extract again, or let "
            "them pass with --accept"
        )


def _before(lake: Lake, source: str, crawl: str) -> list[dict[str, float]]:
    """The fields of the crawls that were done last before this one, of those with enough records."""
    done = {}
    for name in lakes.names(lake, layout.extracts(source)):
        paths = [tree(source, name, layout.REPORT) for tree in (layout.raw, layout.extracts)]
        if all(lakes.exists(lake, path) for path in paths):
            done[name] = lakes.read_json(lake, paths[0])["finished"]
    this = done.pop(crawl, None)
    earlier = sorted((name for name in done if this is None or done[name] < this), key=lambda name: done[name])
    found: list[dict[str, float]] = []
    for name in reversed(earlier):
        shares = lakes.read_json(lake, layout.extracts(source, name, layout.REPORT)).get("fields") or {}
        if shares.get("records", 0) >= ENOUGH:
            found.append(shares)
        if len(found) == BEFORE:
            break
    return found
