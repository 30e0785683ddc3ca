"""What a release holds, counted from its tables alone: the paper's Table 4, Figure 1's departments, distributions."""

import polars as pl

from chimed.release import SUBSETS

# a histogram's bins: lengths and perplexities spread over powers of ten
LENGTH_EDGES = [1, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 5_000, 10_000, 100_000]
PERPLEXITY_EDGES = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1_000, 3_000, 10_000, 100_000]


def statistics(tables: dict[str, pl.DataFrame]) -> dict:
    """Counts over a release's tables (`<subset>/<split>`); nothing in them depends on how the release was made.

    Keys: table 4, sources, places (rows and characters by subset, source, domain), departments (of questions),
    splits, lengths and perplexity (histograms), characters, instances.
    """
    rows = counted(tables)
    table = rows.group_by("subset", "domain").agg(rows=pl.len(), characters=pl.col("characters").sum())
    sources = rows.group_by("subset", "source").agg(rows=pl.len(), characters=pl.col("characters").sum())
    places = rows.group_by("subset", "source", "domain").agg(rows=pl.len(), characters=pl.col("characters").sum())
    questions = rows.filter(pl.col("subset") == "sft")
    departments = questions.group_by("department").len("rows")
    at_source = questions.filter(pl.col("department").is_not_null()).group_by("source", "department").len("rows")
    lengths = {
        subset: histogram(rows.filter(pl.col("subset") == subset)["characters"], LENGTH_EDGES) for subset in SUBSETS
    }
    return {
        "table 4": table.sort("subset", "domain").to_dicts(),
        "sources": sources.sort("subset", "source").to_dicts(),
        "places": places.sort("subset", "source", "domain").to_dicts(),
        "departments": departments.sort("rows", "department", descending=[True, False], nulls_last=True).to_dicts(),
        "departments by source": at_source.sort(
            "source", "rows", "department", descending=[False, True, False]
        ).to_dicts(),
        "splits": {name: len(table) for name, table in tables.items()},
        "lengths": lengths,
        "perplexity": histogram(rows["perplexity"].drop_nulls(), PERPLEXITY_EDGES),
        "characters": int(rows["characters"].sum()),
        "instances": len(rows),
    }


def counted(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """All rows of a release: subset, id, url, source, domain, department, perplexity and how many characters.

    Characters are those of the words a model learns from: a text; question and answer; question and both answers.
    """
    frames = []
    for name, table in tables.items():
        subset = name.split("/")[0]
        columns = {"pretrain": ["text"], "sft": ["messages"], "preference": ["prompt", "chosen", "rejected"]}[subset]
        characters = pl.sum_horizontal(_characters(column, table.schema[column]) for column in columns)
        frames.append(
            table.select(
                *(pl.lit(subset).alias("subset"), "id", "url", "source", "domain", "department", "perplexity"),
                characters.cast(pl.Int64).alias("characters"),
            )
        )
    return pl.concat(frames)


def _characters(column: str, kind: pl.DataType) -> pl.Expr:
    if kind == pl.String:
        return pl.col(column).str.len_chars()
    return pl.col(column).list.eval(pl.element().struct.field("content").str.len_chars()).list.sum()


def histogram(values: pl.Series, edges: list[int]) -> dict:
    """Counts of values between edges: [first, second), …, the last bin open to above; with median and extremes."""
    below = [int((values < edge).sum()) for edge in edges[1:]]
    counts = [after - before for before, after in zip([0, *below], [*below, len(values)], strict=True)]
    return {
        "edges": edges,
        "counts": counts,
        "least": values.min(),
        "median": values.median(),
        "most": values.max(),
    }
