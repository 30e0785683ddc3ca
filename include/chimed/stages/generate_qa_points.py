"""generate_qa, its one step, once: find what the facts of all entries allow to be asked over two steps.

Taken only with the option `hops: 2`. Each question needs a formula's row and the row of one of its herbs, which lie in
different parts (`chimed.text.two_steps`). An entry is read by rule (`chimed.text.graph`), and only of a page's own
words: what a model made of them is no statement of their source. The step writes what is asked, and of the herb's row
the address and the stretch of text that is asked about: a group for each part, that of the formula's row. It holds the
facts of all entries, and the texts only of herbs that some formula names.
"""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, write_groups
from chimed.release.rows import is_validation
from chimed.schema import RECORD
from chimed.storage import lake as lakes
from chimed.text.graph.facts import Entry
from chimed.text.two_steps.known import Told, herbs_of, read_told
from chimed.text.two_steps.point import find_stretch
from chimed.text.two_steps.points import find_points

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
READ = ["id", "url", "source", "page", "title", "text", "kind", "language", "parent"]

Batches = Callable[[], Iterator[tuple[int, pl.DataFrame]]]  # the table's batches (columns `READ`), each with its part


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Write the points of all parts, a group for each."""

    def batches() -> Iterator[tuple[int, pl.DataFrame]]:
        for part in range(len(corpus.rows)):
            for batch in lakes.read_batches(work.lake, corpus.before(part), READ, RECORD):
                yield part, batch

    points = points_of(batches)
    groups = (points.filter(part=part) for part in range(len(corpus.rows)))
    write_groups(work.lake, corpus.path("points", FILE), groups, POINTS)
    return {"points": len(points)}


def points_of(batches: Batches) -> pl.DataFrame:
    """Return what may be asked about the entries of a table, which is read twice: `POINTS`, and the formula's `part`.

    A herb whose lines are too long for a request is not asked about, nor one whose page is on the other side of the
    release's split than the formula's: no page may be on both.
    """
    formulas: list[Told] = []
    herbs: list[Told] = []
    places: dict[str, tuple[int, bool]] = {}
    for part, batch in batches():
        for id, url, entry in _entries(batch):
            (formulas if entry.kind == "formula" else herbs).append(Told(id, entry))
            places[id] = part, is_validation(url)
    named = herbs_of(formulas)
    wanted = pl.Series([told.row for told in herbs if told.entry.name in named], dtype=pl.String)
    rows = {
        row["id"]: row
        for _, batch in batches()
        for row in batch.filter(pl.col("id").is_in(wanted.implode())).select(READ[:6]).to_dicts()
    }
    known = [Told(told.row, told.entry, rows[told.row]["text"]) for told in herbs if told.row in rows]
    found = []
    for point in find_points(formulas, known):
        herb, (part, side) = rows[point.herb_row], places[point.formula_row]
        stretch = find_stretch(herb["text"], point.in_herb)
        if stretch and places[point.herb_row][1] == side:
            more = {"stretch": herb["text"][slice(*stretch)], "start": stretch[0], "part": part}
            found.append(vars(point) | {name: herb[name] for name in ("url", "source", "page")} | more)
    return pl.DataFrame(found, schema=pl.Schema(POINTS) | {"part": pl.Int64()})


def _entries(batch: pl.DataFrame) -> Iterator[tuple[str, str, Entry]]:
    """Yield the entries of herbs and formulas among these records, each with its row's id and URL."""
    own = batch.filter(
        pl.col("kind") == "document", pl.col("language") == "zh", pl.col("parent").is_null(),
        pl.col("text").str.contains("【", literal=True),
    )  # fmt: skip
    for row in own.select("id", "url", "title", "text").to_dicts():
        if entry := read_told(row["title"], row["text"]):
            yield row["id"], row["url"], entry
