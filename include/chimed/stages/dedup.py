"""Drop what is there twice: the same URL, the same text, nearly the same text (paper §3.2: by URL; the rest is ours).

What is compared is what `clean` left, without layout and courtesies (`compared`). Near-duplicates: MinHash over
character shingles finds candidates (`minhash`), the true Jaccard similarity decides; question and answer must both be
alike. Two texts that differ in a dose, a sign, a name, a negation or a side are variants and both stay (`variants`). Of
what is alike the adopted answer stays, then the longest, then the oldest, then the first by id, in whatever order and
parts the rows come; a row that leaves names the row that stays.

Five steps find that out (`dedup_sign`, `dedup_exact`, `dedup_bucket`, `dedup_verify`, `dedup_resolve`); then each part
is split by itself. No step holds the corpus.
"""

import json

import polars as pl

from chimed.build.context import Work
from chimed.build.contract import SteppedStage
from chimed.build.corpus import LEFT, split
from chimed.build.ledger import Outcome
from chimed.build.steps import corpus_of, read_group
from chimed.stages import dedup_bucket, dedup_exact, dedup_resolve, dedup_sign, dedup_verify


def run(records: pl.DataFrame, work: Work) -> Outcome:
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
