"""One model's answers, a row a question: what it chose, what is right, and how likely it found each letter."""

from typing import Any

import polars as pl
import pyarrow as pa

from chimed.evaluate.exams import LETTERS
from chimed.evaluate.tasks.written_letters import single, written

SAMPLES = pa.schema(
    [
        pa.field("task", pa.string(), False),
        # the question's number in its file, and lm-eval's hash of it: what two models' answers are paired by
        pa.field("number", pa.int32(), False),
        pa.field("hash", pa.string(), False),
        pa.field("question", pa.string(), False),
        # the right letter or letters; the one of highest log-likelihood, of equal ones the first, as lm-eval has it, or
        # the letters the model wrote (none: empty); do they agree
        pa.field("answer", pa.string(), False),
        pa.field("chosen", pa.string(), False),
        pa.field("correct", pa.bool_(), False),
        # log-likelihoods of A, B, C, …; empty where the model wrote its answer
        pa.field("scores", pa.list_(pa.float64()), False),
    ]
)


def answered(task: str, sample: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `SAMPLES` of one of lm-eval's samples."""
    doc = sample["doc"]
    letters = doc.get("letters") or list("ABCD")
    replies = sample["filtered_resps"]
    if isinstance(replies[0], str):
        scores, right, chosen = [], doc["Answer"], written(replies[0], "".join(letters), single(doc))
    else:
        scores = [float(reply[0]) for reply in replies]
        right, chosen = letters[int(sample["target"])], letters[scores.index(max(scores))]
    return {
        "task": task,
        "number": sample["doc_id"],
        "hash": sample["doc_hash"],
        "question": doc.get("Question") or doc["question"],
        "answer": right,
        "chosen": chosen,
        "correct": right == chosen,
        "scores": scores,
    }


def tied(scores: pl.Series) -> int:
    """Return how many questions have no single most likely letter: there the model does not choose, the order does."""
    return int((scores.list.eval(pl.element() == pl.element().max()).list.sum() > 1).sum())


def fair_score(samples: pl.DataFrame) -> float:
    """Return right answers, where one of n equally likely letters is right counted as 1/n.

    samples: `SAMPLES`. An answer that was written has no ties and counts as it is.
    """
    right = 0.0
    for answer, correct, scores in samples.select("answer", "correct", "scores").iter_rows():
        if scores:
            best = [letter for letter, score in zip(LETTERS, scores, strict=False) if score == max(scores)]
            right += (answer in best) / len(best)
        else:
            right += correct
    return right
