"""Score every record with a Chinese GPT-2: the perplexity of its question and answer, or of its text (paper §3.2).

Perplexity is exp of the mean negative log-likelihood (natural logarithm) of the text's tokens, each given `[CLS]` and
the tokens before it; the closing `[SEP]` is neither read nor scored. A text longer than the model's context is read in
windows that overlap by half, so every token is scored once, with the start of its window before it. The model reads
characters. Those outside its vocabulary are all one `[UNK]`, which is cheap where it is common, so the report has the
share of unknown tokens by source.

There are two scores. A fast one (int8 on a CPU, bf16 on a GPU) is computed for all texts; an exact one (fp32) for all
texts that the cut of `filter` may drop, so that its decision equals that of fp32 (`score_above_cut`). The option
`perplexity_exact` scores all texts in fp32. Scores are stored under the hash of model, text and precision and never
computed twice. If all are known, no model is loaded and torch is not needed.
"""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import polars as pl

from chimed.build.context import StageContext
from chimed.build.contract import ShardStage
from chimed.build.figures import PerplexityFigures
from chimed.build.ledger import Outcome
from chimed.schema import left_rows, words
from chimed.storage import store as stores
from chimed.storage.store_tables import PERPLEXITIES
from chimed.text.perplexity_model import Precision, Scorer, load, score_groups, score_key

WRITE_EVERY = 500  # scores in one write to the store
PROGRESS_EVERY = 10.0  # seconds between two progress lines
FEW_TEXTS = 1_000  # up to this many texts are all scored in fp32: loading two models would cost more than it saves
CUT_MARGIN = 2.0  # times the share that is cut, because a shard's highest are not quite the corpus's
ERROR_MARGIN = 3.0  # times the largest error seen of a fast score, to allow for larger ones


def run(records: pl.DataFrame, work: StageContext) -> Outcome:
    """Fill `tokens` and `perplexity`. Rows without a token fail; all others are kept.

    Raises UserError if the model is needed and cannot be loaded.
    """
    started = time.monotonic()
    texts = records.select(words().fill_null("")).to_series().to_list()
    scores = Scores(work, texts)
    figures: dict[str, Any] = {"known": len(texts) - scores.unknown_texts("exact")}
    if (
        work.options.perplexity_exact or len(texts) <= FEW_TEXTS
    ):  # independent of what is known, so that running again decides alike
        scores.compute("exact", range(len(texts)))
    else:
        scores.compute("fast", range(len(texts)))
        figures["exact_above"], figures["largest_error"] = score_above_cut(records, scores, work)
    found = scores.best()
    scored = records.with_columns(
        pl.Series("tokens", [one["tokens"] for one in found], pl.Int32),
        pl.Series("perplexity", [_perplexity(one) for one in found], pl.Float64),
        pl.Series("unknown", [one["unknown"] for one in found], pl.Int64),
    )
    empty = scored.filter(pl.col("tokens") == 0)["id"].to_list()
    kept = scored.filter(pl.col("tokens") > 0)
    figures |= scores.figures() | _figures(kept) | {"seconds": round(time.monotonic() - started, 3)}
    return Outcome(
        kept=kept.select(records.columns),
        dropped=left_rows(records, dict.fromkeys(empty, ("no token to score", "")), "failed"),
        figures=cast(PerplexityFigures, figures),
    )


def score_above_cut(records: pl.DataFrame, scores: "Scores", work: StageContext) -> tuple[dict[str, float], float]:
    """Score exactly all texts that may be above the cut; return, by group, the perplexity above which all are exact.

    `filter` cuts each group on its own. Exact scores are computed for all texts above a cut `CUT_MARGIN` times as deep,
    and for everything so close below it that the error of the fast score may hide it, until no text is in doubt. Texts
    count as close within `ERROR_MARGIN` times the largest error seen among texts with both scores. That largest error
    is the second value returned.
    """
    named = work.options.perplexity_within == "source"
    group = pl.concat_str("source", "language", separator=" ") if named else pl.lit("corpus")
    frame = records.with_columns(group=group).with_row_index("row")
    lowest, largest = {}, 0.0
    for name, rows in sorted(frame.group_by("group").agg("row").rows()):
        wanted = min(len(rows), math.ceil(len(rows) * work.options.perplexity_cut * CUT_MARGIN) + 1)
        while True:
            means = scores.means(rows)
            ordered = sorted(means.values(), reverse=True)
            cut = ordered[min(wanted, len(ordered)) - 1] if ordered else 0.0
            largest = max([largest, *(abs(fast - exact) for fast, exact in scores.both(rows))])
            doubtful = [
                row for row, mean in means.items() if mean >= cut - ERROR_MARGIN * largest and not scores.is_exact(row)
            ]
            if not doubtful:
                break
            scores.compute("exact", doubtful)
        lowest[name] = math.exp(min(cut, 700.0))
    return lowest, largest


def _perplexity(score: dict[str, Any]) -> float | None:
    return math.exp(score["nll"] / score["tokens"]) if score["tokens"] else None


def _figures(scored: pl.DataFrame) -> dict[str, Any]:
    """Return the unknown-token share by source, and the distribution of perplexities."""
    shares = scored.group_by("source").agg(pl.col("unknown").sum() / pl.col("tokens").sum()).sort("source")
    return {
        "unknown_share": {source: round(share, 5) for source, share in shares.iter_rows()},
        "tokens": int(scored["tokens"].sum()),
        "median": scored["perplexity"].median(),
        "percentile_99": scored["perplexity"].quantile(0.99, "linear"),
    }


@lru_cache(maxsize=2)  # the two kinds of one model; further shards of this process do not load it again
def _loaded(name: str, kind: Precision) -> Scorer:
    return load(name, kind)


# --- the store --------------------------------------------------------------------------------------------------


class Scores:
    """The fast and exact scores of some texts: stored ones, and newly computed ones, which are stored."""

    def __init__(self, work: StageContext, texts: list[str]):
        self.work, self.texts = work, texts
        self.name = work.settings.perplexity_model
        self.keys = {kind: [score_key(self.name, text, kind) for text in texts] for kind in ("exact", "fast")}
        self.known = {kind: stores.find(work.store, PERPLEXITIES, self.keys[kind]) for kind in self.keys}
        self.spent = {kind: [0, 0, 0.0] for kind in self.keys}  # texts, tokens, seconds
        self.scorers: dict[str, Scorer] = {}

    def unknown_texts(self, kind: Precision) -> int:
        """Return how many texts have no such score yet."""
        return sum(key not in self.known[kind] for key in self.keys[kind])

    def compute(self, kind: Precision, rows: "range | list[int]") -> None:
        """Compute the missing scores of these texts. A fast score is not computed if there is an exact one."""
        keys, exact = self.keys[kind], self.keys["exact"]
        lacking = (row for row in rows if keys[row] not in self.known[kind] and exact[row] not in self.known["exact"])
        wanted = {keys[row]: self.texts[row] for row in lacking}
        if not wanted:
            return
        if kind not in self.scorers:
            self.work.say(f"perplexity: {len(wanted)} texts have no {kind} score yet; loading {self.name}")
            self.scorers[kind] = _loaded(self.name, kind)
        began = time.monotonic()
        found = _score_new(wanted, self.scorers[kind], self.work)
        self.known[kind] |= found
        spent = (len(wanted), sum(one["tokens"] for one in found.values()), time.monotonic() - began)
        self.spent[kind] = [before + now for before, now in zip(self.spent[kind], spent, strict=True)]

    def is_exact(self, row: int) -> bool:
        """Return whether a text's exact score is known."""
        return self.keys["exact"][row] in self.known["exact"]

    def best(self) -> list[dict[str, Any]]:
        """Return each text's exact score if there is one, else the fast one."""
        both = zip(self.keys["exact"], self.keys["fast"], strict=True)
        return [self.known["exact"].get(exact) or self.known["fast"][fast] for exact, fast in both]

    def means(self, rows: list[int]) -> dict[int, float]:
        """Return the mean negative log-likelihood of the texts that have a token, from the best score known."""
        found = self.best()
        return {row: found[row]["nll"] / found[row]["tokens"] for row in rows if found[row]["tokens"]}

    def both(self, rows: list[int]) -> Iterator[tuple[float, float]]:
        """Yield the fast and exact mean of the texts that have both."""
        for row in rows:
            fast, exact = (self.known[kind].get(self.keys[kind][row]) for kind in ("fast", "exact"))
            if fast and exact and exact["tokens"]:
                yield fast["nll"] / fast["tokens"], exact["nll"] / exact["tokens"]

    def figures(self) -> dict[str, Any]:
        """Return how many texts were scored, at what rate and on which device."""
        told: dict[str, Any] = {"scored": sum(texts for texts, _, _ in self.spent.values())}
        if self.scorers:
            told["device"] = next(iter(self.scorers.values())).device
            tokens, seconds = (sum(column) for column in list(zip(*self.spent.values(), strict=True))[1:])
            told["tokens_per_second"] = round(tokens / max(seconds, 1e-9))
            told["scored_exactly"] = self.spent["exact"][0]
        return told


def _score_new(wanted: dict[str, str], scorer: Scorer, work: StageContext) -> dict[str, dict[str, Any]]:
    """Score texts and store the scores as they come.

    A killed run loses only the last few; running it again gives the same scores.
    """
    keys = list(wanted)
    found: dict[str, dict[str, Any]] = {}
    unwritten: list[dict[str, Any]] = []
    began = said = time.monotonic()
    letters, done = sum(map(len, wanted.values())), 0
    for group in score_groups(list(wanted.values()), scorer):
        now = datetime.now(UTC)
        unwritten += [{"key": keys[place], **score, "created": now} for place, score in group]
        done += sum(len(wanted[keys[place]]) for place, _ in group)
        if len(unwritten) >= WRITE_EVERY:
            stores.upsert(work.store, PERPLEXITIES, unwritten)
            found |= {row["key"]: row for row in unwritten}
            unwritten = []
        if time.monotonic() - said > PROGRESS_EVERY:
            said = time.monotonic()
            left = (said - began) / max(done, 1) * (letters - done)
            scored = len(found) + len(unwritten)
            work.say(f"perplexity: {scored} of {len(wanted)} texts scored, about {left / 60:.0f} min left")
    stores.upsert(work.store, PERPLEXITIES, unwritten)
    return found | {row["key"]: row for row in unwritten}


STAGE = ShardStage(run)
