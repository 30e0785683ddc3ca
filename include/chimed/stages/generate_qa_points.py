"""generate_qa, step 2 of 2, once: find what the facts of all entries allow to be asked over two steps.

Each question needs a formula's row and the row of one of its herbs (`chimed.text.two_steps`). The step writes what is
asked, and of the herb's row the address and the stretch of text that is asked about: a group for each part, that of the
formula's row. Of all entries it holds the facts, and the texts only of herbs that some formula names.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, read_whole, write_groups
from chimed.stages.generate_qa_facts import ENTRIES, file_of
from chimed.text.graph.fact import Fact
from chimed.text.graph.facts import Entry
from chimed.text.two_steps.point import find_stretch
from chimed.text.two_steps.points import Told, find_points, herbs_of

_PLACE = pa.list_(pa.int32())
POINTS = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("asks", "formula", "herb", "relation", "about")),
        *(pa.field(name, pa.list_(pa.string())) for name in ("others", "says")),
        *(pa.field(name, pa.string()) for name in ("formula_row", "herb_row")),
        *(pa.field(name, _PLACE) for name in ("in_formula", "in_herb")),
        # of the herb's row: its address, and the stretch of its text with the place where that begins
        *(pa.field(name, pa.string()) for name in ("url", "source", "page", "stretch")),
        pa.field("start", pa.int32()),
    ]
)
FILE = "points.parquet"


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Write the points of all parts, a group for each."""
    paths = [corpus.path("facts", file_of(part)) for part in range(len(corpus.rows))]
    plain = [name for name in ENTRIES.names if name != "text"]
    every = pl.concat([read_whole(work.lake, path, plain).with_columns(part=n) for n, path in enumerate(paths)])
    needed = every.filter(pl.col("name").is_in(_herbs(every)), kind="herb")["id"]
    texts = [read_whole(work.lake, path, ["id", "text"]).filter(pl.col("id").is_in(needed.implode())) for path in paths]
    points = points_of(every.join(pl.concat(texts), on="id", how="left", maintain_order="left"))
    parts = points.join(every.select("part", formula_row="id"), on="formula_row", how="left", maintain_order="left")
    groups = (parts.filter(part=part) for part in range(len(corpus.rows)))
    write_groups(work.lake, corpus.path("points", FILE), groups, POINTS)
    return {"entries": len(every), "points": len(points)}


def points_of(entries: pl.DataFrame) -> pl.DataFrame:
    """Return what may be asked about these entries (columns `ENTRIES`), as rows of `POINTS`.

    A herb whose lines are too long for a request is not asked about.
    """
    formulas, herbs = _told(entries, "formula"), _told(entries.filter(pl.col("name").is_in(_herbs(entries))), "herb")
    rows = entries.select("id", "url", "source", "page", "text")
    by_id = {row["id"]: row for row in rows.filter(pl.col("id").is_in({told.row for told in herbs})).to_dicts()}
    found = []
    for point in find_points(formulas, herbs):
        herb = by_id[point.herb_row]
        if stretch := find_stretch(herb["text"], point.in_herb):
            more = {"stretch": herb["text"][slice(*stretch)], "start": stretch[0]}
            found.append(vars(point) | {name: herb[name] for name in ("url", "source", "page")} | more)
    return pl.DataFrame(found, schema=pl.Schema(POINTS))


def _herbs(entries: pl.DataFrame) -> list[str]:
    return sorted(herbs_of(_told(entries, "formula")))


def _told(entries: pl.DataFrame, kind: str) -> list[Told]:
    return list(_iterate(entries.filter(kind=kind)))


def _iterate(entries: pl.DataFrame) -> Iterator[Told]:
    for row in entries.to_dicts():
        facts = tuple(Fact(**fact) for fact in row["facts"])
        yield Told(row["id"], Entry(row["kind"], row["name"], facts), row.get("text") or "")
