"""Learn the judge's ratings from its sample, to rate every row on a CPU: character n-grams and ridge regression. Ours.

scikit-learn and not fastText: its ridge regression has one solution, so the same ratings give the same classifier on
any machine; it learns from a few dozen ratings as from thousands, chooses its strength by leave-one-out, and what it
knows is one number a feature, a file that holds no text and cannot run code. fastText trains in random order on several
threads, needs many more examples, and its archived package has no wheels for this project's Python.

Features are hashed, so there is no vocabulary with words of the corpus in it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from chimed.rating.judge import rated_text
from chimed.rating.rubric import JUDGED, LEAST, MOST, density
from chimed.schema import content_id
from chimed.storage import layout
from chimed.storage.arrays import read_arrays, write_arrays
from chimed.storage.lake import Lake

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BITS = 18  # 262,144 hashed n-grams: with twice as many the agreement is the same
NGRAMS = (1, 3)  # characters
MEASURES = 3  # plain numbers beside the n-grams: length of the question, of the rest, share of medical names
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the ridge; leave-one-out chooses, for each criterion by itself
FOLDS = 5
FEWEST = 20  # rated rows; from fewer nothing is learned


@dataclass(frozen=True)
class Classifier:
    """weights: (features, criteria). start: what is added to each criterion. rubric, judge: whose ratings it learned.

    rows: how many it learned from.
    """

    weights: np.ndarray
    start: np.ndarray
    rubric: str
    judge: str
    rows: int


def features(rows: pl.DataFrame) -> "csr_matrix":
    """Return the features of rows (kind, title, text, question, answer), one line each: n-grams, then `MEASURES`."""
    from scipy.sparse import csr_matrix, hstack  # here, not above: scikit-learn takes seconds to load
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    words = rows.select(text=rated_text().fill_null(""))
    hashing = HashingVectorizer(
        analyzer="char", ngram_range=NGRAMS, n_features=1 << BITS, alternate_sign=False, norm=None, dtype=np.float32
    )
    grams = hashing.transform(words["text"].to_list())
    grams.data = np.log1p(grams.data)
    numbers = rows.with_columns(rated=words["text"]).select(
        asked=(pl.col("question").fill_null("").str.len_chars() + 1).log10() / 4,
        said=(pl.coalesce("text", "answer").fill_null("").str.len_chars() + 1).log10() / 4,
        names=density(pl.col("rated")) * 5,
    )
    return hstack([normalize(grams), csr_matrix(numbers.to_numpy().astype(np.float32))], format="csr")


def learn(rows: pl.DataFrame, rubric: str, judge: str) -> Classifier:
    """Learn from rows that the judge rated (`features`, quality_…). There must be at least two."""
    found = _fit(features(rows), _scores(rows))
    weights = np.atleast_2d(found.coef_).T.astype(np.float32)
    return Classifier(weights, np.atleast_1d(found.intercept_).astype(np.float32), rubric, judge, len(rows))


def predict(classifier: Classifier, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the ratings of rows, a column `quality_…` for each judged criterion, 1 to 5 to two places."""
    if not len(rows):
        return pl.DataFrame(schema=dict.fromkeys([f"quality_{name}" for name in JUDGED], pl.Float64))
    return _as_table(features(rows) @ classifier.weights + classifier.start)


def held_out(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what is predicted of each rated row by a classifier that has not seen its page, as `predict` does.

    Pages are divided into `FOLDS` by their URLs' hashes: two answers to a question are never on both sides.
    """
    fold = np.array([int(content_id(url)[:8], 16) % FOLDS for url in rows["url"]])
    have, scores = features(rows), _scores(rows)
    found = np.tile(scores.mean(axis=0), (len(rows), 1))  # where all rows are of one page nothing can be held out
    for number in np.unique(fold):
        seen, unseen = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(seen) > 1:
            found[unseen] = _fit(have[seen], scores[seen]).predict(have[unseen]).reshape(len(unseen), -1)
    return _as_table(found)


def _fit(have: "csr_matrix", scores: np.ndarray) -> Any:
    from sklearn.linear_model import RidgeCV

    return RidgeCV(STRENGTHS, alpha_per_target=True).fit(have.astype(np.float64), scores)


def _scores(rows: pl.DataFrame) -> np.ndarray:
    return rows.select(f"quality_{name}" for name in JUDGED).to_numpy()


def _as_table(found: np.ndarray) -> pl.DataFrame:
    clipped = np.clip(np.asarray(found, dtype=np.float64), LEAST, MOST)
    return pl.DataFrame(clipped, schema=[f"quality_{name}" for name in JUDGED]).with_columns(pl.all().round(2))


# --- in the lake ------------------------------------------------------------------------------------------------


def save(lake: Lake, build: str, classifier: Classifier) -> None:
    """Write a build's classifier: numbers only, in NumPy's own format."""
    told = {name: np.array(getattr(classifier, name)) for name in ("rubric", "judge", "rows")}
    arrays = {"weights": classifier.weights, "start": classifier.start, **told, "criteria": np.array(JUDGED)}
    write_arrays(lake, layout.build(build, layout.CLASSIFIER), arrays)


def read(lake: Lake, build: str) -> Classifier:
    """Read a build's classifier. Raises FileNotFoundError where it has none."""
    kept = read_arrays(lake, layout.build(build, layout.CLASSIFIER))
    return Classifier(kept["weights"], kept["start"], str(kept["rubric"]), str(kept["judge"]), int(kept["rows"]))
