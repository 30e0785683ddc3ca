"""diversify, step 2 of 3, each part: the cluster of every row, the medicine that it names, and near-paraphrases.

The step writes `rows-<part>.parquet`, in the order of the part's rows: id, kind, cluster, rating, what question, answer
and document name, and the signature of the question; and `alike-<part>.parquet`: of the questions of the sample those
that a question of the part paraphrases.
"""

import time
from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from chimed.build.context import StageContext
from chimed.build.steps import Corpus, write_groups
from chimed.diversity import clusters, medicine, paraphrases
from chimed.diversity.features import topic
from chimed.diversity.labels import blank
from chimed.schema import RECORD
from chimed.stages.diversify_learn import MODEL, QUESTIONS, TOLD
from chimed.storage import lake as lakes

READ = ["id", "kind", "url", "department", "quality", "title", "text", "question", "answer"]
SIGNATURE = [f"band_{n}" for n in range(paraphrases.BANDS)]
ROWS = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("id", "kind", "department")),
        pa.field("cluster", pa.int32()),
        pa.field("quality", pa.float64()),
        *(pa.field(name, pa.list_(pa.uint16())) for name in medicine.WHERE),
        *(pa.field(name, pa.uint64()) for name in SIGNATURE),
    ]
)


def rows_file(part: int) -> str:
    """Name the file of a part's rows."""
    return f"rows-{part:05d}.parquet"


def alike_file(part: int) -> str:
    """Name the file of the questions that a part's questions paraphrase."""
    return f"alike-{part:05d}.parquet"


def run(work: StageContext, corpus: Corpus, part: int) -> dict[str, Any]:
    """Find what is to be known of a part's rows. Where nothing was learned, rows have no cluster."""
    began = time.monotonic()
    model: clusters.Clusters | None = None
    probes: paraphrases.Probes | None = None
    labels: list[str] = lakes.read_json(work.lake, corpus.path("learn", TOLD)).get("labels", [])
    if lakes.exists(work.lake, corpus.path("learn", MODEL)):
        model = clusters.read(work.lake, corpus.path("learn", MODEL))
        probes = paraphrases.read(work.lake, corpus.path("learn", QUESTIONS))
    alike: list[pl.DataFrame] = []

    def found() -> Iterator[pl.DataFrame]:
        for batch in lakes.read_batches(work.lake, corpus.before(part), READ, RECORD):
            yield describe(batch, model, labels)
            if probes is not None:
                alike.append(paraphrases.compare(probes, batch.filter(pl.col("kind") == "qa")))

    write_groups(work.lake, corpus.path("assign", rows_file(part)), found(), ROWS)
    write_groups(work.lake, corpus.path("assign", alike_file(part)), [paraphrases.nearest(alike)], paraphrases.PAIRS)
    seconds = time.monotonic() - began
    rows = corpus.rows[part]
    return {"rows": rows, "rows_per_second": round(rows / seconds) if seconds else 0}


def describe(rows: pl.DataFrame, model: clusters.Clusters | None, labels: list[str]) -> pl.DataFrame:
    """Return what is to be known of rows (`READ`), as `ROWS` has it. labels: of pages, which are no topics."""
    if model is None:
        own = pl.Series("cluster", [None] * len(rows), dtype=pl.Int32)
    else:
        own = clusters.assign(model, blank(rows.select(topic()).to_series(), labels))
    is_document = pl.col("kind") == "document"
    texts = rows.select(
        questions="question",
        answers=pl.when(~is_document).then("answer"),
        documents=pl.when(is_document).then(pl.concat_str("title", "text", separator="\n", ignore_nulls=True)),
    )
    named = {where: medicine.find_numbers(texts[where]) for where in medicine.WHERE}
    keys = pl.DataFrame(paraphrases.signatures(rows), schema=SIGNATURE)
    return rows.select("id", "kind", "department", "quality").with_columns(own, **named).hstack(keys).select(ROWS.names)
