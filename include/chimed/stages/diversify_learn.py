"""diversify, step 1 of 3, once: learn clusters from a sample of the corpus, name them, and choose questions to compare.

The sample has the rows of each kind with the smallest ids; ids are hashes, so it is random, and the same in every run.
The step writes `learn.json` (how many rows, the clusters' names, and the labels of pages, which are no topics); from
fewer than `clusters.FEWEST` rows nothing is learned, else it writes `clusters.npz` and `questions.npz`, too.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from chimed.build.context import StageContext
from chimed.build.steps import Corpus
from chimed.diversity import clusters, paraphrases
from chimed.diversity.features import topic
from chimed.diversity.labels import blank, learn_labels
from chimed.diversity.naming import name_clusters
from chimed.schema import RECORD, RECORD_COLUMNS
from chimed.storage import lake as lakes

READ = ["id", "kind", "url", "title", "text", "question", "answer"]
MODEL, QUESTIONS, TOLD = "clusters.npz", "questions.npz", "learn.json"
NAMED_BY = 40  # rows of a cluster, those nearest to its middle, of which its name is made


def run(work: StageContext, corpus: Corpus, _: int) -> dict[str, Any]:
    """Learn from the sample. Memory: the ids of the corpus's rows of the sample, and the words of these."""
    ids = _choose(_batches(work, corpus, ["id", "kind"]))
    chosen = pl.col("id").is_in(sorted(ids))
    columns = {name: RECORD_COLUMNS[name] for name in READ}
    found = [batch.filter(chosen) for batch in _batches(work, corpus, READ)]
    sample = pl.concat([pl.DataFrame(schema=columns), *found]).unique("id", keep="first").sort("id")
    told: dict[str, Any] = {"rows": sum(corpus.rows), "sample": len(sample), "names": [], "labels": []}
    for name in (MODEL, QUESTIONS):
        if lakes.exists(work.lake, corpus.path("learn", name)):
            lakes.remove(work.lake, corpus.path("learn", name))
    if len(sample) >= clusters.FEWEST:
        told["labels"] = learn_labels(sample)
        told["names"] = _learn(work, corpus, sample, told["labels"])
    lakes.write_json(work.lake, corpus.path("learn", TOLD), told)
    return {"sample": len(sample), "clusters": len(told["names"])}


def _learn(work: StageContext, corpus: Corpus, sample: pl.DataFrame, labels: list[str]) -> list[list[str]]:
    texts = blank(sample.select(topic()).to_series(), labels)
    found, own = clusters.learn(texts)
    clusters.save(work.lake, corpus.path("learn", MODEL), found)
    questions = paraphrases.learn(sample.filter(pl.col("kind") == "qa"))
    paraphrases.save(work.lake, corpus.path("learn", QUESTIONS), questions)
    middle = clusters.middle(found, texts, NAMED_BY)
    names = name_clusters(texts.gather(middle), own[np.array(middle, np.int64)])
    return [*names, *([[]] * (len(found.centres) - len(names)))]


def _choose(batches: Iterator[pl.DataFrame]) -> set[str]:
    """Return the ids of the sample: of each kind the smallest, `clusters.SAMPLE` at most."""
    held = pl.DataFrame(schema={"id": pl.String, "kind": pl.String})
    for batch in batches:
        both = pl.concat([held, batch.select("id", "kind")])
        held = both.filter(pl.col("id").rank("ordinal").over("kind") <= clusters.SAMPLE)
    return set(held["id"])


def _batches(work: StageContext, corpus: Corpus, columns: list[str]) -> Iterator[pl.DataFrame]:
    for part in range(len(corpus.rows)):
        yield from lakes.read_batches(work.lake, corpus.before(part), columns, RECORD)
