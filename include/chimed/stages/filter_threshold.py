"""filter, its only step, once: compute the perplexity threshold of the corpus, or of each source and language.

Memory: one number a row. The step writes `threshold.json`.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl

from chimed.build import reports
from chimed.build.context import StageContext
from chimed.build.ledger import FEW_FAILED, NothingLeft
from chimed.build.steps import Corpus
from chimed.errors import WorkStopped
from chimed.schema import RECORD, WORD_COLUMNS, words
from chimed.storage import lake as lakes

MIN_TOKENS = 30  # §3.2
# About what the paper's GPT-2 calls a token: a Chinese character, a word or number in ASCII, any other sign.
TOKEN = r"[A-Za-z0-9]+|[^\sA-Za-z0-9]"
COLUMNS = ["id", "source", "language", "perplexity"]
CORPUS = "corpus"  # the name of the only group, where the cut is over the corpus


class RoughCut(WorkStopped):
    """A cut fell where a fast score may have misplaced a record."""


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Compute the threshold of each group. Raises RoughCut where one lies among scores that are not exact."""
    share = work.options.perplexity_cut if "perplexity" not in work.options.skip else 0.0
    found = thresholds(lambda: _scores(work, corpus), share, work.options.perplexity_within)
    if "perplexity" not in work.options.skip:
        check_exact(work, found)
    _check_some_stay(work, corpus)
    lakes.write_json(work.lake, corpus.path("threshold", "threshold.json"), found)
    return {name: sum(one[name] for one in found["cuts"].values()) for name in ("rows", "cut")}


def group_of(within: str) -> pl.Expr:
    """Return the group within which a row's perplexity is compared."""
    return pl.format("{} {}", "source", "language") if within == "source" else pl.lit(CORPUS)


def sortable(column: str = "perplexity") -> pl.Expr:
    """Perplexities as numbers that can be compared; one that is missing counts as the highest."""
    return pl.col(column).fill_null(math.inf).fill_nan(math.inf)


def tokens(scored: bool) -> pl.Expr:
    """Return the token count of a row; a regular expression counts the tokens where no model scored it."""
    return pl.col("tokens") if scored else words().fill_null("").str.count_matches(TOKEN).cast(pl.Int32)


def _scores(work: StageContext, corpus: Corpus) -> Iterator[pl.DataFrame]:
    for part in range(len(corpus.rows)):
        yield from lakes.read_batches(work.lake, corpus.before(part), COLUMNS, RECORD)


def thresholds(read: Callable[[], Iterable[pl.DataFrame]], share: float, within: str) -> dict[str, Any]:
    """Compute the perplexity threshold of each group: the `share` of its rows with the highest perplexity is removed.

    The number of rows is rounded. read: yields the table in batches (`COLUMNS`), the same each time. Keys: median, at
    (the lowest perplexity that is removed), cuts: by group rows, cut (how many), at, and last (the id of the last row
    that is removed among those at the threshold: ties are broken by id, so two builds remove the same rows).
    """
    values: dict[str, list[np.ndarray]] = defaultdict(list)
    for batch in read():
        marked = batch.select(group_of(within).alias("group"), "perplexity")
        for (group,), rows in marked.partition_by("group", as_dict=True).items():
            values[str(group)].append(rows["perplexity"].cast(pl.Float64).fill_null(math.nan).to_numpy())
    whole = {group: np.concatenate(arrays) for group, arrays in sorted(values.items())}
    cuts = {group: _cut(rows, share) for group, rows in whole.items()}
    told = np.concatenate([np.empty(0), *(rows[~np.isnan(rows)] for rows in whole.values())])
    ids = _tied(read(), within, {group: cut["at"] for group, cut in cuts.items() if cut["cut"]})
    for group, cut in cuts.items():
        ties = cut.pop("ties")
        cut["last"] = sorted(ids[group])[ties - 1] if cut["cut"] else None
    lowest = [cut["at"] for cut in cuts.values() if cut["cut"]]
    return {"median": float(np.median(told)) if len(told) else None, "at": min(lowest, default=None), "cuts": cuts}


def _cut(perplexities: np.ndarray, share: float) -> dict[str, Any]:
    """Where a group's cut falls, and how many of the rows that are just there it takes (`ties`)."""
    rows = math.floor(len(perplexities) * share + 0.5)
    if not rows:
        return {"rows": len(perplexities), "cut": 0, "at": None, "ties": 0}
    values = np.where(np.isnan(perplexities), math.inf, perplexities)
    at = np.partition(values, len(values) - rows)[len(values) - rows]
    return {"rows": len(values), "cut": rows, "at": float(at), "ties": rows - int((values > at).sum())}


def _tied(batches: Iterable[pl.DataFrame], within: str, at: dict[str, float]) -> dict[str, list[str]]:
    """By group, the ids of the rows whose perplexity is just where the cut fell."""
    found: dict[str, list[str]] = defaultdict(list)
    for batch in batches if at else ():
        marked = batch.select("id", group_of(within).alias("group"), sortable())
        limit = pl.col("group").replace_strict(at, default=None, return_dtype=pl.Float64)
        there = marked.filter(pl.col("perplexity") == limit)
        for id_, group in there.select("id", "group").iter_rows():
            found[group].append(id_)
    return found


def check_exact(work: StageContext, found: dict[str, Any]) -> None:
    """Raise RoughCut where a threshold lies among inexact scores; `perplexity` reports where the exact ones begin."""
    scored = reports.read_all(work.lake, work.build, "perplexity")
    exact = [report["figures"].get("exact_above", {}) for report in scored]
    for group, cut in found["cuts"].items():
        lowest = max((above.get(group, 0.0) for above in exact), default=0.0)
        if cut["at"] is not None and cut["at"] < lowest:
            raise RoughCut(
                f"filter: the cut of {group} is at {cut['at']:.1f}, but some scores below {lowest:.1f} are not exact; "
                'open the build again with {"perplexity_exact": true}'
            )


def _check_some_stay(work: StageContext, corpus: Corpus) -> None:
    """Raise NothingLeft where every text is too short: a part may lose all its rows, a corpus may not."""
    scored = "perplexity" not in work.options.skip
    columns = ["tokens", *WORD_COLUMNS]
    for part in range(len(corpus.rows)):
        for batch in lakes.read_batches(work.lake, corpus.before(part), columns, RECORD):
            if batch.select((tokens(scored) >= MIN_TOKENS).any()).item():
                return
    if sum(corpus.rows) > FEW_FAILED:
        raise NothingLeft(f"filter: all {sum(corpus.rows)} rows have fewer than {MIN_TOKENS} tokens")
