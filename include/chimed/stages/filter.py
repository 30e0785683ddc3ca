"""Drop the top 1 % of perplexity, then texts shorter than 30 tokens (paper §3.2).

The cut is over the corpus as in the paper, or within each source and language (`perplexity_within`): a cut over the
corpus takes classical Chinese first, because a modern model finds it strange (cf. CCNet, arXiv 1911.00359).
Where a build skips `perplexity` nothing is cut by it, and tokens are counted by a rule: a Chinese character is one.
"""

import math
from collections.abc import Iterator

import polars as pl

from chimed.build import reports
from chimed.build.context import Work
from chimed.build.contract import CorpusStage
from chimed.build.corpus import Parts, Verdicts, left
from chimed.build.figures import FilterFigures
from chimed.errors import WorkStopped
from chimed.schema import words

MIN_TOKENS = 30  # §3.2
SHOWN = 10  # examples of what the cut took, in the report
SHOWN_CHARACTERS = 80
# About what the paper's GPT-2 calls a token: a Chinese character, a word or number in ASCII, any other sign.
TOKEN = r"[A-Za-z0-9]+|[^\sA-Za-z0-9]"
STRANGE, SHORT = "perplexity", "too short"


class RoughCut(WorkStopped):
    """A cut fell where a fast score may have misplaced a record."""


def select_dropped(parts: Parts, work: Work) -> Verdicts:
    """Needs `perplexity` and `tokens`, unless the build skips `perplexity`.

    Ties at the cut are broken by id, so two builds cut alike.
    """
    scored = "perplexity" not in work.options.skip
    scores = pl.concat(_scores(parts, scored))
    groups = ["source", "language"] if work.options.perplexity_within == "source" else []
    kinds = scores.partition_by(groups) if groups and len(scores) else [scores]
    cuts = [highest(kind, work.options.perplexity_cut if scored else 0.0) for kind in kinds]
    strange = pl.concat(cuts)
    if scored:
        _check_exact(work, groups, kinds, cuts)
    short = scores.filter(pl.col("tokens") < MIN_TOKENS).join(strange, on="row", how="anti")
    gone = pl.concat(
        [
            left(strange["row"], STRANGE, strange.select(pl.format("{}", pl.col("perplexity").round(1))).to_series()),
            left(short["row"], SHORT, short.select(pl.format("{} tokens", "tokens")).to_series()),
        ]
    )
    figures: FilterFigures = {
        "perplexity_cut_at": _number(strange["perplexity"].min()),
        "median_perplexity": _number(scores["perplexity"].median()),
        "cuts": _cuts(groups, kinds, cuts),
        "taken": _taken(scores, strange, short),
        "highest": _examples(parts, strange),
    }
    return Verdicts(gone, figures)


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _scores(parts: Parts, scored: bool) -> Iterator[pl.DataFrame]:
    """Every row's id, source, language, tokens and perplexity; tokens are counted here where no model scored them."""
    columns = ["id", "source", "language", "tokens", "perplexity"]
    if scored:
        yield from parts.read(columns)
        return
    for batch in parts.read([*columns, "text", "question", "answer", "rejected"]):
        counted = words().fill_null("").str.count_matches(TOKEN).cast(pl.Int32)
        yield batch.with_columns(tokens=counted).drop("text", "question", "answer", "rejected")


def highest(scores: pl.DataFrame, share: float) -> pl.DataFrame:
    """The `share` of rows with the highest perplexity (rounded to whole rows), highest first."""
    rows = math.floor(len(scores) * share + 0.5)
    return scores.sort("perplexity", "id", descending=[True, False]).head(rows)


def _cuts(groups: list[str], kinds: list[pl.DataFrame], cuts: list[pl.DataFrame]) -> dict[str, dict]:
    """Of each group that is cut on its own: its rows, how many left, and the lowest perplexity that did."""
    return {
        " ".join(kind.row(0, named=True)[name] for name in groups) or "corpus": {
            "rows": len(kind),
            "cut": len(cut),
            "at": cut["perplexity"].min(),
        }
        for kind, cut in zip(kinds, cuts, strict=True)
        if len(kind)
    }


def _check_exact(work: Work, groups: list[str], kinds: list[pl.DataFrame], cuts: list[pl.DataFrame]) -> None:
    """Raises RoughCut where a cut fell among scores that are not exact; `perplexity` says above what they all are."""
    scored = reports.read_all(work.lake, work.build, "perplexity")
    exact = [report["figures"].get("exact_above", {}) for report in scored]
    for kind, cut in zip(kinds, cuts, strict=True):
        name = " ".join(kind.row(0, named=True)[column] for column in groups) if len(kind) and groups else "corpus"
        lowest = max((above.get(name, 0.0) for above in exact), default=0.0)
        rough = cut.filter(pl.col("perplexity") < lowest)["perplexity"].to_list()
        if rough:
            raise RoughCut(
                f"filter: the cut of {name} is at {min(rough):.1f}, but some scores below {lowest:.1f} are not exact; "
                'open the build again with {"perplexity_exact": true}'
            )


def _taken(scores: pl.DataFrame, strange: pl.DataFrame, short: pl.DataFrame) -> dict[str, dict[str, int]]:
    """What each cut took, by source: rows read, and rows that left for each reason."""
    counted = {
        name: dict(frame.group_by("source").len().iter_rows())
        for name, frame in (("read", scores), (STRANGE, strange), (SHORT, short))
    }
    sources = sorted(counted["read"])
    return {source: {name: rows.get(source, 0) for name, rows in counted.items()} for source in sources}


def _examples(parts: Parts, strange: pl.DataFrame) -> list[dict]:
    """The highest that left, with the beginning of their words."""
    top = strange.sort("perplexity", "id", descending=[True, False]).head(SHOWN)
    shown = [
        batch.join(top.select("row"), on="row", how="semi").select("row", text=words().str.slice(0, SHOWN_CHARACTERS))
        for batch in parts.read(["text", "question", "answer", "rejected"])
    ]
    joined = top.join(pl.concat(shown), on="row", how="left", maintain_order="left")
    return joined.select("id", "source", "language", pl.col("perplexity").round(1), "tokens", "text").to_dicts()


STAGE = CorpusStage(select_dropped)
