"""dedup, step 4, for each range of rows: compare the pairs, and tell duplicates from variants.

The true Jaccard similarity of a pair decides, not that of its signatures. Two texts that differ in a dose, a sign, a
name, a negation or a side are variants (`variants`). The step writes `edges-<range>`: the similar pairs, by their
second row. Once a row is found to be a duplicate, its other pairs are not examined for variants.
"""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, read_group, write_groups
from chimed.stages.dedup_bucket import pairs_of
from chimed.stages.dedup_exact import ORDER
from chimed.stages.dedup_sign import letters_of
from chimed.storage import lake as lakes
from chimed.text.duplicates.pairs import SIMILAR, Letters, as_columns, similarities, verdicts
from chimed.text.duplicates.shingles import distinct

EDGES = pa.schema(
    [
        # ranks: of the row, and of a similar row before it
        pa.field("two", pa.uint32(), False),
        pa.field("one", pa.uint32(), False),
        pa.field("alike", pa.float64(), False),
        # what makes them variants; empty: a duplicate; null: not examined
        pa.field("kind", pa.string()),
        # in which half they differ, and the text of each around the difference
        pa.field("half", pa.uint8()),
        pa.field("before", pa.string()),
        pa.field("after", pa.string()),
        # true: they share a band; false: compared because a row between them is a duplicate
        pa.field("met", pa.bool_(), False),
    ]
)


def run(work: StageContext, corpus: Corpus, number: int) -> dict[str, Any]:
    """Compare the pairs whose second row is in a range."""
    frames = [read_group(work.lake, pairs_of(corpus, n), number)["pair"].to_numpy() for n in range(corpus.ranges)]
    pairs = distinct(np.concatenate(frames))
    # a pair is one u64: the first rank in its upper half, the second in its lower half, which the cast to u32 keeps
    one, two = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
    order = np.lexsort((one, two))
    edges = looked_at(work, corpus, one[order], two[order]).with_columns(met=True)
    wanted = _instead_of_copies(edges)
    more = looked_at(work, corpus, wanted["one"].to_numpy(), wanted["two"].to_numpy(), unlike=True)
    more = more.with_columns(met=False)
    write_groups(work.lake, edges_of(corpus, number), [pl.concat([edges, more])], EDGES)
    return {"pairs": len(pairs) + len(wanted), "alike": len(edges), "copies": int((edges["kind"] == "").sum())}


def _instead_of_copies(edges: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs that `resolve` will ask for: a row with the kept row that its similar row duplicates.

    Columns: one, two, sorted by two; pairs that were compared already are left out. This is a guess that saves rounds:
    another range may show that the row duplicates something else, and `resolve` then compares that pair itself.
    """
    stays = dict(edges.filter(pl.col("kind") == "").select("two", "one").iter_rows())
    for two, one in stays.items():  # in order of rank, so the rows before are decided, as far as this range goes
        stays[two] = stays.get(one, one)
    copied = edges.filter(pl.col("one").is_in(list(stays)))
    wanted = copied.select("two", pl.col("one").replace(stays)).unique()
    return wanted.join(edges, on=["two", "one"], how="anti").sort("two", "one")


def edges_of(corpus: Corpus, number: int) -> str:
    """Return the path of the similar pairs of a range of rows."""
    return corpus.path("verify", f"edges-{number:05d}.parquet")


def looked_at(
    work: StageContext, corpus: Corpus, one: np.ndarray, two: np.ndarray, unlike: bool = False
) -> pl.DataFrame:
    """Compare pairs of ranks, sorted by the second, and return those that are similar (`EDGES`).

    The pairs of one second row come in order of similarity, the highest first. unlike: append the pairs that are not
    similar, too.
    """
    ranks, back = np.unique(np.concatenate([one, two]), return_inverse=True)
    letters = letters_at(work, corpus, ranks)
    first, second = back[: len(one)], back[len(one) :]
    alike = similarities(letters, first, second)
    order = np.lexsort((one, -alike, two))  # the last key is the first to sort by
    wanted = order[alike[order] >= SIMILAR]
    found = as_columns(list(verdicts(letters, first[wanted], second[wanted])))
    others = order[alike[order] < SIMILAR] if unlike else order[:0]
    found = pl.concat([found, as_columns([None] * len(others))])
    places = np.concatenate([wanted, others])
    return pl.DataFrame({"two": two[places], "one": one[places], "alike": alike[places]}).hstack(found)


def letters_at(work: StageContext, corpus: Corpus, ranks: np.ndarray) -> Letters:
    """Locate the letters of rows, by their ranks (sorted, distinct).

    The order of the whole corpus is read in batches, and only the wanted rows of each are kept.
    """
    found, done = [], 0
    for batch in lakes.read_batches(work.lake, corpus.path("exact", "order.parquet"), ORDER.names):
        bounds = np.searchsorted(ranks, [done, done + len(batch)])
        found.append(batch[ranks[bounds[0] : bounds[1]].astype(np.int64) - done])
        done += len(batch)
    table = pl.concat(found)
    return Letters(
        work.lake,
        [letters_of(corpus, part) for part in range(len(corpus.rows))],
        np.searchsorted(np.array(corpus.starts[1:]), table["row"].to_numpy(), side="right"),
        table["start"].to_numpy(),
        table.select("first", "second").to_numpy(),
        table["named"].to_numpy(),
    )
