"""Show how a build's rows are rated, and what a cut would take, before it is made: `python -m chimed ratings`. Ours.

Ratings are read from the tables of `rate`, kept rows and dropped ones, so any share can be looked at without running
anything again. The cut itself is made by a build that is opened with the option `quality_cut`; the judge's replies are
in the store, so such a build asks only about what is new.
"""

from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chimed.build import reports
from chimed.build.builds import count_parts, read_build
from chimed.characters import one_line, short
from chimed.errors import UserError
from chimed.pipeline.trace import read_row
from chimed.rating import judge, ranking, rubric
from chimed.schema import QUALITY, RECORD, RECORD_COLUMNS
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

WORDS = 200  # characters of a text that are shown
BEGINNING = 60  # of them on a terminal


def read_ratings(lake: Lake, build: str, share: float | None = None) -> dict[str, Any]:
    """Return how a build's rows are rated, and what a cut of this share would take.

    Keys: build; share (the build's own `quality_cut` by default, or `ranking.LOOKED_AT` where it makes none); made
    (whether the build made that cut); rows (rated); rubric; judge (the model); judged (rows it rated); agreement (by
    criterion, see `chimed.rating.agreement`; {} where too few were rated to learn from); sources (each with its rows,
    the means of its ratings, and takes: rows that the cut would take); shown: best, worst and line, rows with their
    ratings and the beginning of their text. Raises UserError where the build has no ratings.
    """
    made = read_build(lake, build)
    version = made["version"]
    found = reports.read_all(lake, version, "rate")
    if not found:
        raise UserError(f"build {version} has no ratings yet; run: python -m chimed run rate --build {version}")
    if found[0]["figures"].get("skipped"):
        raise UserError(f"build {version} rates nothing: it skips rate; open one without that in its option skip")
    own = float(made["options"].get("quality_cut") or 0.0)
    wanted = share if share is not None else own or ranking.LOOKED_AT
    count_parts(lake, version, "rate")
    rows = _rated_rows(lake, version)
    ranked = ranking.rank(rows)
    told = found[0]["figures"]
    return {
        "build": version,
        "share": wanted,
        "made": own > 0 and wanted == own,
        "rows": len(ranked),
        "rubric": told.get("rubric"),
        "judge": told.get("judge", {}).get("model"),
        "judged": sum(one["figures"].get("judged", 0) for one in found),
        "agreement": told.get("agreement", {}),
        "sources": _by_source(rows, ranking.count_taken(ranked, wanted)),
        "shown": {name: _examples(lake, rows, ids) for name, ids in ranking.choose_shown(ranked, wanted).items()},
    }


def _rated_rows(lake: Lake, version: str) -> pl.DataFrame:
    """Read the ratings of all rows that the stage kept or dropped, with the file that each is in."""
    folder = layout.build(version, "rate")
    columns = list(dict.fromkeys([*ranking.COLUMNS, *QUALITY]))
    paths = [f"{folder}/{name}" for name in lakes.names(lake, folder) if name.endswith(".parquet")]
    frames = [
        lakes.read_table(lake, path, columns, RECORD).with_columns(file=pl.lit(path, pl.Categorical)) for path in paths
    ]
    empty = pl.DataFrame(schema={name: RECORD_COLUMNS[name] for name in columns} | {"file": pl.Categorical})
    return pl.concat([empty, *frames])


def _by_source(rows: pl.DataFrame, takes: dict[str, int]) -> list[dict[str, Any]]:
    means = rows.group_by("source").agg(pl.len().alias("rows"), pl.col(QUALITY).mean().round(2)).sort("source")
    return [{**row, "takes": takes.get(row["source"], 0)} for row in means.to_dicts()]


def _examples(lake: Lake, rows: pl.DataFrame, ids: list[str]) -> list[dict[str, Any]]:
    """Return rows with the beginning of what was rated, in the order of `ids`; one that was purged has no words."""
    files = dict(rows.filter(pl.col("id").is_in(ids)).select("id", pl.col("file").cast(pl.String)).iter_rows())
    found = []
    for id in ids:
        row = read_row(lake, files[id], id)
        if row is not None:
            only = pl.DataFrame([{name: row.get(name) for name in RECORD.names}], schema=RECORD_COLUMNS)
            text = only.select(judge.rated_text().str.slice(0, WORDS)).item()
            found.append({**{name: row.get(name) for name in ("id", "kind", "source", *QUALITY)}, "text": text})
    return found


# --- at a terminal ------------------------------------------------------------------------------------------------

HEADS = {
    "best": "Best",
    "worst": "Worst",
    "line": "At the line of the cut",
}


def print_ratings(told: dict[str, Any]) -> None:
    """Print what `read_ratings` returned, for a person."""
    console = Console()
    titles = rubric.load().titles
    print(f"build {told['build']}: {told['rows']:,} rows rated, {told['judged']:,} of them also by {told['judge']}")
    table = Table(box=SIMPLE_HEAD)
    for head in (
        "agreement with the judge, on rows not seen",
        "kappa",
        "95 %",
        "rank correlation",
        "error",
        "of always the mean",
    ):
        table.add_column(head, justify="left" if head.startswith("agreement") else "right")
    for name, one in told["agreement"].items():
        interval = "–" if one["low"] is None else f"{one['low']:.2f} to {one['high']:.2f}"
        table.add_row(
            titles[name][0],
            _number(one["kappa"]),
            interval,
            _number(one["spearman"]),
            f"{one['error']:.2f}",
            f"{one['constant_error']:.2f}{'' if one['better'] else ' (no better)'}",
        )
    if told["agreement"]:
        console.print(table)
    else:
        print("too few rows were rated to learn from: no row has a rating but for the medicine it teaches")
    done = "took" if told["made"] else "would take"
    table = Table(box=SIMPLE_HEAD)
    for head in (
        "source",
        "rows",
        *(name.removeprefix("quality_") for name in QUALITY),
        f"a cut of {told['share']:.1%} {done}",
    ):
        table.add_column(head, justify="left" if head == "source" else "right")
    for one in told["sources"]:
        table.add_row(one["source"], f"{one['rows']:,}", *(_number(one[name]) for name in QUALITY), f"{one['takes']:,}")
    console.print(table)
    for name, head in HEADS.items():
        table = Table(box=SIMPLE_HEAD, title=head, title_justify="left")
        for column in ("rating", "record", "source", "text"):
            table.add_column(column, justify="right" if column == "rating" else "left")
        for row in told["shown"][name]:
            words = Text(short(one_line(row["text"] or "(purged)"), BEGINNING))
            table.add_row(_number(row["quality"]), row["id"], row["source"], words)
        console.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
