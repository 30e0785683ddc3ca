"""Show how a build's rows are rated, and what a cut would take, before it is made: `python -m chimed ratings`. Ours.

Ratings are read from the tables of `rate`, kept rows and dropped ones, so any share can be looked at without running
anything again. Where the tables are gone, because a build was pruned or only its reports were handed on, the reports
still have means, examples and what some shares would take. The cut itself is made by a build that is opened with the
option `quality_cut`; the judge's replies are in the store, so such a build asks only about what is new.
"""

from collections import Counter
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
    (whether the build made that cut); rows (rated); from_reports (whether the tables with the ratings are gone, so that
    all of this is what the reports have); rubric; judge (the model); judged (rows it rated); agreement (by criterion,
    see `chimed.rating.agreement`; {} where too few were rated to learn from); sources (each with its rows, the means of
    its ratings, and takes: rows that the cut would take, None where the reports have no such share); shown: best, worst
    and line, rows with their ratings and the beginning of their text. Raises UserError where the build has no ratings.
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
    reported = _reported_sources(found, told.get("would_take", {}).get(f"{wanted:g}"))
    gone = len(ranked) < sum(one["rows"] for one in reported)
    return {
        "build": version,
        "share": wanted,
        "made": own > 0 and wanted == own,
        "rows": sum(one["rows"] for one in reported) if gone else len(ranked),
        "from_reports": gone,
        "rubric": told.get("rubric"),
        "judge": told.get("judge", {}).get("model"),
        "judged": sum(one["figures"].get("judged", 0) for one in found),
        "agreement": told.get("agreement", {}),
        "sources": reported if gone else _by_source(rows, ranking.count_taken(ranked, wanted)),
        "shown": _reported_examples(found)
        if gone
        else {name: _examples(lake, rows, ids) for name, ids in ranking.choose_shown(ranked, wanted).items()},
    }


def _reported_sources(found: list[dict[str, Any]], takes: dict[str, int] | None) -> list[dict[str, Any]]:
    """Return what the parts' reports have by source, as `_by_source` does. takes: None where it is unknown."""
    sums: dict[str, Counter[str]] = {}
    for report in found:
        for source, one in report["figures"].get("ratings", {}).items():
            sums.setdefault(source, Counter()).update(one)
    return [
        {
            "source": source,
            "rows": int(one["rows"]),
            **{name: round(one[name] / one["rows"], 2) for name in QUALITY},
            "takes": None if takes is None else takes.get(source, 0),
        }
        for source, one in sorted(sums.items())
        if one["rows"]
    ]


def _reported_examples(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that the parts' reports show, the best and the worst first and the line from below."""
    shown = {}
    for name in HEADS:
        rows = [row for report in found for row in report["figures"].get("shown", {}).get(name, ())]
        shown[name] = sorted(rows, key=lambda row: (row["quality"], row["id"]), reverse=name == "best")
    return shown


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
    print(_opening(told))
    if told["agreement"]:
        print(
            "\nHow well the ratings agree with the judge's, on rows that the classifier has not seen\n"
            "(kappa: 0 is no more than chance, 1 is perfect; error: root of the mean square, in points;\n"
            "always the mean: the error of giving every row the mean)"
        )
        console.print(_agreement_table(told["agreement"], titles))
    elif told["rows"]:
        print("too few rows were rated to learn from: no row has a rating but for the medicine it teaches")
    if not told["rows"]:
        return
    done = "took" if told["made"] else "would take"
    print(f"\nMean ratings by source, from 1 to 5, and how many rows a cut of the lowest {told['share']:.1%} {done}")
    console.print(_source_table(told["sources"], done))
    if any(one["takes"] is None for one in told["sources"]):
        known = ", ".join(f"{share:g}" for share in ranking.SHARES)
        print(f"? is not known: the reports have what a cut of {known} would take")
    for name, head in HEADS.items():
        print(f"\n{head}")
        console.print(_examples_table(told["shown"][name]))


def _opening(told: dict[str, Any]) -> str:
    """Say how many rows are rated and by whom, and where that is known from if the rows themselves are gone."""
    build, rows, judged = f"build {told['build']}", told["rows"], told["judged"]
    if not rows and not judged:
        return f"{build}: no row is rated."
    by_judge = "none of them" if not judged else "all of them" if judged == rows else f"{judged:,} of them"
    if not rows:
        return f"{build}: no row has a rating, for the {judged:,} that {told['judge']} rated are too few to learn from."
    opening = f"{build}: {rows:,} rows are rated, {by_judge} by the judge too ({told['judge']})."
    if not told["from_reports"]:
        return opening
    return f"{opening}\nThe rows' own ratings are not in this lake any more; what follows is from the build's reports."


def _agreement_table(agreement: dict[str, Any], titles: dict[str, tuple[str, str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("criterion", "kappa", "95 % interval", "rank corr.", "error", "always the mean"):
        table.add_column(head, justify="left" if head == "criterion" else "right")
    for name, one in agreement.items():
        interval = "–" if one["low"] is None else f"{one['low']:.2f} to {one['high']:.2f}"
        constant = f"{_number(one['constant_error'])}{'' if one['better'] else ' (no better)'}"
        numbers = (_number(one["kappa"]), interval, _number(one["spearman"]), _number(one["error"]), constant)
        table.add_row(titles[name][0], *numbers)
    return table


def _source_table(sources: list[dict[str, Any]], done: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    criteria = ("rating" if name == "quality" else name.removeprefix("quality_") for name in QUALITY)
    for head in ("source", "rows", *criteria, done):
        table.add_column(head, justify="left" if head == "source" else "right")
    for one in sources:
        takes = "?" if one["takes"] is None else f"{one['takes']:,}"
        table.add_row(one["source"], f"{one['rows']:,}", *(_number(one[name]) for name in QUALITY), takes)
    return table


def _examples_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("rating", "record", "source", "text"):
        table.add_column(head, justify="right" if head == "rating" else "left")
    for row in rows:
        words = Text(short(one_line(row["text"] or "(purged)"), BEGINNING))
        table.add_row(_number(row["quality"]), row["id"], row["source"], words)
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
