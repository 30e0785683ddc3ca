"""dedup, step 5, once: decide which of the similar rows are kept, in the order of preference.

The rows are decided one by one. A row that is similar to a kept row before it, and is not a variant of it, is a
duplicate and is dropped. Where the row before it was dropped as a duplicate itself, the row is compared with the kept
one instead; such comparisons run in batches (`settled`). The similar pairs are read a range at a time. Memory:
some ten bytes a row, and some hundred for each row that leaves.

The step writes `left` (row of the part, reason, detail: the id of the kept row, and the similarity of the two) and
`figures`, each with a row group for each part.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby, pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, read_whole, write_groups
from chimed.stages.dedup_sign import rows_of
from chimed.stages.dedup_verify import EDGES, edges_of, looked_at
from chimed.storage import lake as lakes
from chimed.text.duplicates import variants
from chimed.text.duplicates.pairs import SIMILAR

NEAR = "nearly the same text"
SAMPLES = 5  # variants of a kind that a part's report shows

LEFT = pa.schema(
    [pa.field("row", pa.uint32(), False), pa.field("reason", pa.string(), False), pa.field("detail", pa.string())]
)
FIGURES = pa.schema([pa.field("figures", pa.string(), False)])  # JSON, one row


@dataclass(frozen=True)
class Spared:
    """Two rows that look alike and both stay, by their ranks, and what tells them apart."""

    one: int
    two: int
    alike: float
    kind: str
    half: int
    before: str
    after: str


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Name, for every dropped row, the row that it duplicates."""
    edges = chain.from_iterable(_groups(read_whole(work.lake, edges_of(corpus, n))) for n in range(corpus.ranges))
    order = lakes.read_batches(work.lake, corpus.path("exact", "order.parquet"), ["row"])
    rows = np.concatenate([np.empty(0, np.uint32), *(batch["row"].to_numpy() for batch in order)])
    kept_variants = Variants(corpus, rows)
    near, asked = settled(work, corpus, edges, len(rows), kept_variants)
    near = near.with_columns(pl.Series("row", rows[near["row"]]), pl.Series("of", rows[near["of"]]))
    exact = read_whole(work.lake, corpus.path("exact", "copies.parquet"))
    exact = exact.with_columns(alike=pl.lit(None, pl.Float64))
    figures = _figures(work, corpus, kept_variants, rows)
    del rows
    left = _named(work, corpus, _of_what_stays(pl.concat([exact, near]), sum(corpus.rows)))
    write_groups(work.lake, corpus.path("resolve", "left.parquet"), _by_part(left, corpus), LEFT)
    write_groups(
        work.lake,
        corpus.path("resolve", "figures.parquet"),
        (pl.DataFrame({"figures": [json.dumps(one, ensure_ascii=False)]}) for one in figures),
        FIGURES,
    )
    told = {"near copies": len(near), "variants": sum(count.total() for count in kept_variants.counts)}
    return told | {"compared anew": asked, "rows that leave": len(left)}


# --- who stays --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Edge:
    """A row before another one that looks alike, and what was found of the two (`EDGES`)."""

    one: int
    alike: float
    kind: str | None
    half: int | None
    before: str | None
    after: str | None
    met: bool


@dataclass(frozen=True)
class _Wanted:
    """A pair that has to be compared before anything can be said."""

    one: int
    two: int


_Group = tuple[int, list[_Edge]]


@dataclass
class Variants:
    """The variants that were kept, by the part of their second row: how many of each kind, and the first few.

    rows: of each rank the number of its row in the whole table.
    """

    corpus: Corpus
    rows: np.ndarray
    counts: list[Counter[str]] = field(default_factory=list)
    shown: list[dict[str, list[Spared]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ends = np.array(self.corpus.starts[1:])
        self.counts = [Counter() for _ in self.corpus.rows]
        self.shown = [{} for _ in self.corpus.rows]

    def add(self, pair: Spared) -> None:
        """Count a pair, and keep it if it is among the first of its kind in its part, by rank."""
        part = int(np.searchsorted(self.ends, self.rows[pair.two], side="right"))
        self.counts[part][pair.kind] += 1
        several = self.shown[part].setdefault(pair.kind, [])
        several.append(pair)
        several.sort(key=lambda one: one.two)  # rows that waited come later; a row's own pairs stay in order
        del several[SAMPLES:]


def settled(
    work: StageContext, corpus: Corpus, groups: Iterable[_Group], count: int, variants_kept: Variants
) -> tuple[pl.DataFrame, int]:
    """Decide which rows are duplicates.

    groups: the similar pairs, by their second row in order of rank; they are read once, as they come. Returns the
    duplicates (row and of: ranks, of the kept row too; reason; alike), and how many further pairs were compared.

    Each round decides every row it can, in order of rank. A row waits where a pair has to be compared first, or where a
    similar row before it waits, since it matters whether that row is kept. The pairs that a round asks for are compared
    in one batch, because reading letters from the lake pair by pair would be slow. The first waiting row of a round
    waits only for its own comparison, so every round makes progress.
    """
    stays = np.arange(count, dtype=np.uint32)  # of each rank the one that stays for it
    waits = np.zeros(count, bool)
    known: dict[tuple[int, int], _Edge] = {}
    copies, originals, alike = array("I"), array("I"), array("d")
    waiting, asked = groups, 0
    while True:
        wanted, later = [], []
        for two, several in waiting:
            said = _judged(two, several, stays, waits, known)
            waits[two] = said is None or isinstance(said, _Wanted)
            if isinstance(said, _Edge):
                stays[two] = said.one
                copies.append(two)
                originals.append(said.one)
                alike.append(said.alike)
            elif isinstance(said, list):
                for pair in said:
                    variants_kept.add(pair)
            else:
                later.append((two, several))
                wanted += [said] if said else []
        if not later:
            break
        waiting = later
        asked += len(wanted)
        known |= _compared(work, corpus, wanted)
    found = pl.DataFrame({"row": np.array(copies, np.uint32), "of": np.array(originals, np.uint32)})
    return found.with_columns(reason=pl.lit(NEAR), alike=pl.Series(np.array(alike, np.float64))), asked


def _judged(
    two: int, several: list[_Edge], stays: np.ndarray, waits: np.ndarray, known: dict[tuple[int, int], _Edge]
) -> "_Edge | list[Spared] | _Wanted | None":
    """Return the row that `two` duplicates, its variants if it is kept, a pair to compare first, or None to wait."""
    direct = {edge.one: edge for edge in several}
    seen: set[int] = set()
    found: list[Spared] = []
    for edge in several:
        if not edge.met:
            continue
        if waits[edge.one]:
            return None
        first = int(stays[edge.one])
        if first in seen:
            continue
        seen.add(first)
        told = known.get((first, two)) or direct.get(first)
        if told is None or (told.kind is None and told.alike >= SIMILAR):
            return _Wanted(first, two)
        if told.alike < SIMILAR:
            continue
        if told.kind == "":
            return told
        said = told.kind or "", told.half or 0, told.before or "", told.after or ""
        found.append(Spared(first, two, told.alike, *said))
    return found


def _groups(edges: pl.DataFrame) -> list[_Group]:
    """Group the edges by their second row, in order of rank; the most similar first within each group."""
    ordered = edges.sort("two", maintain_order=True)  # the pairs that `verify` guessed lie behind those that met
    several = ((two, _Edge(*rest)) for two, *rest in ordered.select(EDGES.names).iter_rows())
    return [(two, [edge for _, edge in group]) for two, group in groupby(several, key=lambda pair: pair[0])]


def _compared(work: StageContext, corpus: Corpus, wanted: list[_Wanted]) -> dict[tuple[int, int], _Edge]:
    """Compare pairs, each with another second row: `verdicts` skips a row's pairs after its first duplicate."""
    if not wanted:
        return {}
    one, two = (np.array([getattr(pair, name) for pair in wanted], np.uint32) for name in ("one", "two"))
    looked = looked_at(work, corpus, one, two, unlike=True).with_columns(met=False).select(EDGES.names)
    return {(rest[0], second): _Edge(*rest) for second, *rest in looked.iter_rows()}


# --- what is written of it --------------------------------------------------------------------------------------


def _of_what_stays(copies: pl.DataFrame, count: int) -> pl.DataFrame:
    """Follow chains of duplicates, so that each points to a row that is kept.

    A row may duplicate a row that was dropped too. `of` is a forest of parents; `of[of]` doubles how far each row looks
    (pointer jumping), so the number of passes is the logarithm of the longest chain.
    """
    of = np.arange(count, dtype=np.uint32)  # a kept row is its own parent
    of[copies["row"].to_numpy()] = copies["of"].to_numpy()
    while (further := of[of]).tobytes() != of.tobytes():
        of = further
    return copies.with_columns(of=of[copies["row"].to_numpy()])


def _named(work: StageContext, corpus: Corpus, copies: pl.DataFrame) -> pl.DataFrame:
    """Return duplicates as row, reason, detail: the id of the kept row, and the similarity of the two."""
    named = copies.join(_ids(work, corpus, copies["of"]), left_on="of", right_on="row", how="left")
    alike = pl.format(" {}", pl.col("alike").round(2)).fill_null("")
    return named.select("row", "reason", detail=pl.concat_str("id", alike)).sort("row")


def _ids(work: StageContext, corpus: Corpus, rows: pl.Series, *more: str) -> pl.DataFrame:
    """Look up rows of the whole table by number. Columns: id, more columns of `ROWS`, row."""
    wanted = rows.unique().sort().to_numpy()
    bounds = np.searchsorted(wanted, corpus.starts)
    found = []
    for part, (start, end) in enumerate(pairwise(bounds.tolist())):
        if end > start:
            numbers = wanted[start:end]
            table = read_whole(work.lake, rows_of(corpus, part), ["id", *more])
            found.append(table[numbers - corpus.starts[part]].with_columns(row=pl.Series(numbers, dtype=pl.UInt32)))
    nothing = {"id": pl.String, **dict.fromkeys(more, pl.Boolean), "row": pl.UInt32}
    return pl.concat([pl.DataFrame(schema=nothing), *found])


def _by_part(left: pl.DataFrame, corpus: Corpus) -> Iterator[pl.DataFrame]:
    bounds = np.searchsorted(left["row"].to_numpy(), corpus.starts)
    for part, (start, end) in enumerate(pairwise(bounds.tolist())):
        yield left.slice(start, end - start).with_columns(pl.col("row") - corpus.starts[part])


def _figures(work: StageContext, corpus: Corpus, kept: Variants, rows: np.ndarray) -> list[dict[str, Any]]:
    """Return the figures of each part's report: texts compared, and pairs kept as variants by kind, with samples."""
    bounds = np.array([0, *kept.ends])
    texts = np.histogram(rows, bounds)[0].tolist() if len(rows) else [0] * len(corpus.rows)
    places = [rank for of in kept.shown for several in of.values() for pair in several for rank in (pair.one, pair.two)]
    named = _ids(work, corpus, pl.Series("row", rows[places], dtype=pl.UInt32), "document")
    about = {row: (id_, document) for id_, document, row in named.select("id", "document", "row").iter_rows()}
    return [
        {
            "texts_compared": compared_here,
            "pairs_spared": count.total(),
            "doubtful": {
                f"variants, another {kind}": {
                    "rows": count[kind],
                    "samples": [_sample(pair, about[rows[pair.one]], about[rows[pair.two]]) for pair in of[kind]],
                }
                for kind in variants.KINDS
                if count[kind]
            },
        }
        for compared_here, count, of in zip(texts, kept.counts, kept.shown, strict=True)
    ]


def _sample(pair: Spared, one: tuple[str, bool], two: tuple[str, bool]) -> dict[str, str]:
    """Return a sample of a pair of variants, side by side. one, two: the id of each, and whether it is a document."""
    return {
        "id": two[0],
        "column": ("text" if two[1] else "question", "answer")[pair.half],
        "before": pair.before,
        "after": pair.after,
        "why": f"alike {pair.alike:.2f} to {one[0]}, but another {pair.kind}: both stay",
    }
