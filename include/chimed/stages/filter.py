"""Drop the top 1 % of perplexity, then texts shorter than 30 tokens (paper §3.2).

The cut is over the corpus as in the paper, or within each source and language (`perplexity_within`): a cut over the
corpus takes classical Chinese first, because a modern model finds it strange (cf. CCNet, arXiv 1911.00359). Where it
falls, a step finds out (`filter_threshold`); then each part is cut by itself. Where a build skips `perplexity` nothing
is cut by it, and tokens are counted by a rule: a Chinese character is one.
"""

from typing import Any

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import SteppedStage
from chimed.build.corpus import left, split
from chimed.build.figures import FilterFigures
from chimed.build.ledger import Outcome
from chimed.build.steps import corpus_of
from chimed.schema import words
from chimed.stages import filter_threshold
from chimed.stages.filter_threshold import MIN_TOKENS, group_of, sortable, tokens
from chimed.storage import lake as lakes

SHOWN = 10  # examples of what the cut took, in a part's report
SHOWN_CHARACTERS = 80
STRANGE, SHORT = "perplexity", "too short"


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Needs `perplexity` and `tokens`, unless the build skips `perplexity`.

    records: a part of the table, of which the step has said where the cut falls.
    """
    found = lakes.read_json(work.lake, corpus_of(work, "filter").path("threshold", "threshold.json"))
    return cut(records, found, work.options.perplexity_within, scored="perplexity" not in work.options.skip)


def cut(records: pl.DataFrame, found: dict[str, Any], within: str, scored: bool = True) -> Outcome:
    """Remove the rows of a part that the thresholds exclude. found: as `filter_threshold.thresholds` returns it."""
    records = records.with_columns(tokens=tokens(scored))
    at = {group: one["at"] for group, one in found["cuts"].items()}
    last = {group: one["last"] for group, one in found["cuts"].items()}
    group = group_of(within)
    limit = group.replace_strict(at, default=None, return_dtype=pl.Float64)
    tied = (sortable() == limit) & (pl.col("id") <= group.replace_strict(last, default=None, return_dtype=pl.String))
    marked = records.with_row_index("row").with_columns(
        strange=((sortable() > limit) | tied).fill_null(False), short=pl.col("tokens") < MIN_TOKENS
    )
    strange = marked.filter("strange").sort("perplexity", "id", descending=[True, False])
    short = marked.filter(pl.col("short") & ~pl.col("strange"))
    gone = pl.concat(
        [
            left(strange["row"], STRANGE, strange.select(pl.format("{}", pl.col("perplexity").round(1))).to_series()),
            left(short["row"], SHORT, short.select(pl.format("{} tokens", "tokens")).to_series()),
        ]
    )
    figures: FilterFigures = {
        "perplexity_cut_at": found["at"],
        "median_perplexity": found["median"],
        "cuts": {group: {key: one[key] for key in ("rows", "cut", "at")} for group, one in found["cuts"].items()},
        "taken": _taken(records, strange, short),
        "highest": _examples(strange),
    }
    return split(records, gone, figures)


def _taken(records: pl.DataFrame, strange: pl.DataFrame, short: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count the rows of the part by source: rows read, and rows removed for each reason."""
    counted = {
        name: dict(frame.group_by("source").len().iter_rows())
        for name, frame in (("read", records), (STRANGE, strange), (SHORT, short))
    }
    return {source: {name: rows.get(source, 0) for name, rows in counted.items()} for source in sorted(counted["read"])}


def _examples(strange: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the removed rows of the highest perplexity, with the beginning of their text."""
    text = words().str.slice(0, SHOWN_CHARACTERS).alias("text")
    shown = strange.head(SHOWN).select("id", "source", "language", pl.col("perplexity").round(1), "tokens", text)
    return shown.to_dicts()


STAGE = SteppedStage(run, steps={"threshold": filter_threshold.run})
