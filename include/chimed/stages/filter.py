"""Drop the top 1 % of perplexity, then texts shorter than 30 tokens (paper §3.2).

The cut is over the corpus as in the paper, or within each source and language (`perplexity_within`): a cut over the
corpus takes classical Chinese first, because a modern model finds it strange (cf. CCNet, arXiv 1911.00359).
"""

import math

import polars as pl

from chimed.build import Outcome, Work
from chimed.records import left_rows

MIN_TOKENS = 30  # §3.2


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Needs `perplexity` and `tokens`. Ties at the cut are broken by id, so two builds cut alike."""
    groups = ["source", "language"] if work.options.perplexity_within == "source" else []
    parts = records.partition_by(groups) if groups else [records]
    strange = [row for part in parts for row in highest(part, work.options.perplexity_cut).iter_rows()]
    why = {id: ("perplexity", f"{perplexity:.1f}") for id, perplexity in strange}
    short = records.filter((pl.col("tokens") < MIN_TOKENS) & ~pl.col("id").is_in(list(why)))
    why |= {id: ("too short", f"{tokens} tokens") for id, tokens in short.select("id", "tokens").iter_rows()}
    least = min((perplexity for _, perplexity in strange), default=None)
    return Outcome(
        kept=records.filter(~pl.col("id").is_in(list(why))),
        dropped=left_rows(records, why),
        figures={"perplexity cut at": least, "median perplexity": records["perplexity"].median()},
    )


def highest(records: pl.DataFrame, share: float) -> pl.DataFrame:
    """Id and perplexity of the `share` of rows with the highest perplexity (rounded to whole rows)."""
    rows = math.floor(len(records) * share + 0.5)
    return records.select("id", "perplexity").sort("perplexity", "id", descending=[True, False]).head(rows)
