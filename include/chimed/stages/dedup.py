"""Drop duplicates: the same URL, the same text, nearly the same text (the paper, §3.2, deduplicates by URL only).

Texts are compared as `clean` leaves them, without layout and courtesies (`compared`). Near-duplicates: MinHash over
character shingles finds candidates (`minhash`), and their true Jaccard similarity decides; both question and answer
must be similar. Two texts that differ in a dose, a sign, a name, a negation or a side are variants, and both are kept
(`variants`). Of similar rows the adopted answer is kept, then the longest, then the oldest, then the first by id,
whatever the order and the parts in which the rows come. A dropped row names the row that is kept.

Five steps find the duplicates (`dedup_sign`, `dedup_exact`, `dedup_bucket`, `dedup_verify`, `dedup_resolve`); then each
part is split on its own. No step holds the whole corpus in memory.
"""

import json

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import SteppedStage
from chimed.build.corpus import LEFT, split
from chimed.build.ledger import Outcome
from chimed.build.steps import corpus_of, read_group
from chimed.stages import dedup_bucket, dedup_exact, dedup_resolve, dedup_sign, dedup_verify


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Keep one row of each group of duplicates.

    The detail of a dropped row is the id of the row that it duplicates, and the similarity of the two. records: a part
    of the table, for which the steps have decided what is dropped.
    """
    corpus = corpus_of(work, "dedup")
    left = read_group(work.lake, corpus.path("resolve", "left.parquet"), work.part)
    figures = read_group(work.lake, corpus.path("resolve", "figures.parquet"), work.part)
    return split(records, left.with_columns(fate=pl.lit("dropped")).select(LEFT.names()), json.loads(figures.item()))


STAGE = SteppedStage(
    run,
    steps={
        "sign": dedup_sign.run,
        "exact": dedup_exact.run,
        "bucket": dedup_bucket.run,
        "verify": dedup_verify.run,
        "resolve": dedup_resolve.run,
    },
)
