"""Show what a build's rows vary in, and what nobody asks about: `python -m chimed diversity`. Ours.

All of it is in the report of `diversify`; only the rows that are shown of each cluster are read from its tables. A cap
is made by a build that is opened with the option `cluster_cap`; what it would take is told before.
"""

import csv
import io
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chimed.build import reports
from chimed.build.builds import count_parts, read_build, stages_of
from chimed.characters import one_line, short
from chimed.diversity.features import topic
from chimed.diversity.medicine import WHERE
from chimed.errors import UserError
from chimed.pipeline.trace import read_row
from chimed.schema import RECORD, RECORD_COLUMNS
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake

CLUSTERS = 20  # the largest, which are shown with rows
ROWS = 2  # of each, those with the smallest ids
WORDS = 120  # characters of a row
LINES = 20  # of a list at a terminal
HEADS = ("group", "name", "documents", "answers")  # of the file of what nobody asks


def read_diversity(lake: Lake, build: str) -> dict[str, Any]:
    """Return what a build's rows vary in: its version, cap, taken (rows), rows, too_low (kinds), and the figures
    of the corpus.

    The figures are those of `DiversifyFigures`; clusters come by size, the largest first, those shown with `examples`
    (id and beginning). Raises UserError where the build has not measured it.
    """
    made = read_build(lake, build)
    version = made["version"]
    if "diversify" not in {stage.name for stage in stages_of(lake, version)}:
        raise UserError(
            f"build {version} was opened before there was diversify; open a new one to measure its diversity"
        )
    found = reports.read_all(lake, version, "diversify")
    if not found:
        command = f"python -m chimed run diversify --build {version}"
        raise UserError(f"the diversity of build {version} is not measured yet; run: {command}")
    if found[0]["figures"].get("skipped"):
        raise UserError(f"build {version} skips diversify; open one without that in its option skip")
    count_parts(lake, version, "diversify")
    told = dict(found[0]["figures"])
    ordered = sorted(told.pop("clusters"), key=lambda one: (-sum(one["rows"].values()), one["cluster"]))
    shown = {one["cluster"] for one in ordered[:CLUSTERS]}
    examples = _examples(lake, version, shown) if shown else {}
    return {
        **told,
        "build": version,
        "cap": made["options"].get("cluster_cap"),
        "too_low": too_low(told),
        "rows": sum(one["rows"] for one in told["spread"].values()),
        "taken": sum(one["taken"] for one in ordered),
        "clusters": [{**one, "examples": examples.get(one["cluster"], [])} for one in ordered],
    }


def unasked_csv(told: dict[str, Any]) -> str:
    """Return what documents name and no question does as CSV with a byte order mark, for a spreadsheet."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, HEADS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(told["unasked"])
    return "\ufeff" + sink.getvalue()


def _examples(lake: Lake, version: str, clusters: set[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the rows of each of these clusters that are shown; one that was purged has no words."""
    folder = layout.build(version, "diversify")
    paths = [f"{folder}/{name}" for name in lakes.names(lake, folder) if name.startswith("kept-")]
    held = pl.DataFrame(schema={"id": pl.String, "cluster": pl.Int32, "path": pl.String})
    for path in paths:
        rows = lakes.read_table(lake, path, ["id", "cluster"], RECORD).with_columns(path=pl.lit(path))
        rows = rows.filter(pl.col("cluster").is_in(list(clusters)))
        held = (
            pl.concat([held, rows]).sort("id").group_by("cluster", maintain_order=True).head(ROWS).select(held.columns)
        )
    found: dict[int, list[dict[str, Any]]] = {}
    for id, cluster, path in held.sort("cluster", "id").iter_rows():
        row = read_row(lake, path, id)
        if row is not None:
            only = pl.DataFrame([{name: row.get(name) for name in RECORD.names}], schema=RECORD_COLUMNS)
            text = only.select(topic().str.slice(0, WORDS)).item()
            found.setdefault(cluster, []).append({"id": id, "kind": row["kind"], "text": text})
    return found


# --- at a terminal ------------------------------------------------------------------------------------------------


def print_diversity(told: dict[str, Any]) -> None:
    """Print what `read_diversity` returned, for a person."""
    console = Console()
    if not told["clusters"]:
        print(f"build {told['build']}: {told['rows']:,} rows are too few to learn topics from")
    else:
        print(f"build {told['build']}: {told['rows']:,} rows in {len(told['clusters'])} clusters of topics")
    spread = [
        (kind, one["rows"], one["clusters"], _share(one["largest"]), one["effective"] or "–")
        for kind, one in told["spread"].items()
    ]
    _print(console, ("kind", "rows", "clusters", "largest share", "as even as so many equal ones"), spread)
    if told["paraphrases"]:
        print(sentence_about(told["paraphrases"]))
    caps = [(f"{float(share):.0%}", *_by_kind(taken, told)) for share, taken in told["would_take"].items()]
    _print(console, ("a cap of", *(f"takes {kind}" for kind in told["spread"])), caps)
    if told["cap"] is not None:
        print(f"this build's cap of {told['cap']:.1%} took {told['taken']:,} rows")
        for kind, one in told["too_low"].items():
            print(
                f"warning: a cap of {told['cap']:.1%} is below an equal share of {kind}, which has {one['clusters']} "
                f"clusters ({one['equal']:.1%} each); clusters may have up to {one['most']:,} rows of it"
            )
    largest = [
        (one["cluster"], " ".join(one["words"]), sum(one["rows"].values()), one["taken"])
        for one in told["clusters"][:LINES]
    ]
    _print(console, ("cluster", "words", "rows", "taken"), largest)
    names = [(group, one["listed"], *(one[where] for where in WHERE)) for group, one in told["coverage"].items()]
    _print(console, ("names of", "listed", "in questions", "in answers", "in documents"), names)
    unasked = [tuple(one[head] for head in HEADS) for one in told["unasked"][:LINES]]
    print(f"{len(told['unasked'])} names are in documents and in no question; --unasked <file> writes them all:")
    _print(console, HEADS, unasked)


def too_low(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the kinds of which the build's cap is below an equal share of their clusters, each with its limit.

    A build of an earlier version told no limits.
    """
    return {kind: one for kind, one in told.get("limits", {}).items() if one["too_low"]}


def sentence_about(near: dict[str, Any]) -> str:
    """Return a sentence that says how many questions are near-paraphrases."""
    share = f"{near['found'] / near['sample']:.1%}; 95 % interval {near['low']:.1%} to {near['high']:.1%}"
    return (
        f"of {near['sample']:,} questions, compared with all, {near['found']} ({share}) are asked on another page in "
        f"nearly the same words, and {near['same']} in the same"
    )


def _by_kind(taken: dict[str, int], told: dict[str, Any]) -> list[int]:
    return [taken.get(kind, 0) for kind in told["spread"]]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _print(console: Console, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = Table(box=SIMPLE_HEAD)
    for head in heads:
        is_text = head in ("kind", "words", "names of", "group", "name", "a cap of")
        table.add_column(head, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*(Text(short(one_line(str(cell)), 60)) for cell in row))
    console.print(table)
