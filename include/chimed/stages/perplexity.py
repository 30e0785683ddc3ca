"""Score every record with a Chinese GPT-2: the perplexity of its question and answer, or of its text (paper §3.2).

Perplexity is exp of the mean negative log-likelihood (natural logarithm) of the text's own tokens, each given `[CLS]`
and what stands before it; the closing `[SEP]` is neither read nor scored. A text longer than the model's positions is
read in windows that overlap by half, every token scored once, with as much before it as its window has. The model
reads characters: those outside its vocabulary are all one `[UNK]`, cheap wherever it is common, so their share is in
the report by source.

A score is kept in the store under the hash of model and text and never computed twice; where all are known, no model
is loaded and torch is not needed. fp32 on a CPU and on a GPU: the cut comes later (`filter`) and is exact.
"""

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from chimed import store as stores
from chimed.build import Outcome, Work
from chimed.errors import UserError
from chimed.records import left_rows, words
from chimed.store import PERPLEXITIES

# Tokens of one batch, padding included: a CPU gains nothing from more (measured), a GPU is idle with less.
BATCH_TOKENS = {"cpu": 2_048, "cuda": 32_768}
HEAD_TOKENS = 2_048  # rows of logits at a time: with 21,128 words they are 90 KB each
WRITE_EVERY = 2_000  # scores written to the store at a time
SAY_EVERY = 10.0  # seconds between two progress lines


@dataclass(frozen=True)
class Scorer:
    """A loaded model. ids before a text: `start`; `positions`: the longest row it reads."""

    tokenizer: Any
    model: Any
    device: str
    start: int
    unknown: int | None
    positions: int


@dataclass(frozen=True)
class Window:
    """A stretch of a text for one row: its ids, of which those from `first` on are scored here."""

    text: int
    ids: tuple[int, ...]
    first: int


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Fills `tokens` and `perplexity`; keeps every row but those without a token, which fail.

    Raises UserError where the model is needed and cannot be loaded.
    """
    started = time.monotonic()
    name = work.settings.perplexity_model
    texts = records.select(words().fill_null("")).to_series().to_list()
    keys = [score_key(name, text) for text in texts]
    known = stores.find(work.store, PERPLEXITIES, keys)
    wanted = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    figures: dict[str, Any] = {"known": len(texts) - sum(key in wanted for key in keys), "scored": len(wanted)}
    if wanted:
        work.say(f"perplexity: {len(wanted)} of {len(set(keys))} texts are new; loading {name}")
        scorer = load(name)
        figures["device"] = scorer.device
        began = time.monotonic()
        known |= _score_new(wanted, scorer, work)
        seconds = time.monotonic() - began
        figures["tokens/s"] = round(sum(known[key]["tokens"] for key in wanted) / max(seconds, 1e-9))
    scored = records.with_columns(
        pl.Series("tokens", [known[key]["tokens"] for key in keys], pl.Int32),
        pl.Series("perplexity", [_perplexity(known[key]) for key in keys], pl.Float64),
        pl.Series("unknown", [known[key]["unknown"] for key in keys], pl.Int64),
    )
    empty = scored.filter(pl.col("tokens") == 0)["id"].to_list()
    kept = scored.filter(pl.col("tokens") > 0)
    figures |= _figures(kept) | {"seconds": round(time.monotonic() - started, 3)}
    return Outcome(
        kept=kept.select(records.columns),
        dropped=left_rows(records, dict.fromkeys(empty, ("no token to score", "")), "failed"),
        figures=figures,
    )


def _perplexity(score: dict) -> float | None:
    return math.exp(score["nll"] / score["tokens"]) if score["tokens"] else None


def _figures(scored: pl.DataFrame) -> dict:
    """Unknown-token share by source, and what the perplexities look like."""
    shares = scored.group_by("source").agg(pl.col("unknown").sum() / pl.col("tokens").sum()).sort("source")
    return {
        "unknown share": {source: round(share, 5) for source, share in shares.iter_rows()},
        "tokens": int(scored["tokens"].sum()),
        "median": scored["perplexity"].median(),
        "99th percentile": scored["perplexity"].quantile(0.99, "linear"),
    }


# --- the store --------------------------------------------------------------------------------------------------


def score_key(model: str, text: str) -> str:
    """What a score is kept under: hash of the model and the text."""
    return hashlib.sha256(f"{model_identity(model)}\x00{text}".encode()).hexdigest()


@lru_cache
def model_identity(model: str) -> str:
    """What tells two models apart: a hub's name; of a folder the names and sizes of its files and its weights' head.

    A folder that moves keeps its identity; one whose weights were trained anew does not.
    """
    folder = Path(model)
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in (".json", ".txt", ".safetensors", ".bin"):
            digest.update(f"{file.name} {file.stat().st_size}\n".encode())
            with file.open("rb") as content:
                digest.update(content.read(1 << 22))
    return f"{folder.name}:{digest.hexdigest()[:16]}"


def _score_new(wanted: dict[str, str], scorer: Scorer, work: Work) -> dict[str, dict]:
    """Scores texts and writes them to the store as they come: a killed run loses the last few."""
    keys, found, unwritten = list(wanted), {}, []
    said = time.monotonic()
    for place, scored in score(list(wanted.values()), scorer):
        row = {"key": keys[place], **scored}
        found[row["key"]] = row
        unwritten.append(row)
        if len(unwritten) >= WRITE_EVERY:
            stores.upsert(work.store, PERPLEXITIES, unwritten)
            unwritten = []
        if time.monotonic() - said > SAY_EVERY:
            said = time.monotonic()
            work.say(f"perplexity: {len(found)} of {len(wanted)} texts scored")
    stores.upsert(work.store, PERPLEXITIES, unwritten)
    return found


# --- the model --------------------------------------------------------------------------------------------------


def load(name: str) -> Scorer:
    """Tokenizer and model, a hub name or a folder; on the GPU where there is one. Raises UserError."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise UserError(f"perplexity needs torch and transformers ({error}); CHIMED_MODELS_PYTHON has them") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"CHIMED_PERPLEXITY_MODEL={name} cannot be loaded ({first}); it may be a hub name or a folder"
        ) from None
    start = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    if start is None:
        raise UserError(f"CHIMED_PERPLEXITY_MODEL={name} has no [CLS] or start token; a Chinese GPT-2 has")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    positions = min(getattr(model.config, "max_position_embeddings", 1024), 1024)
    return Scorer(tokenizer, model.to(device).eval(), device, start, tokenizer.unk_token_id, positions)


def score(texts: list[str], scorer: Scorer, batch_tokens: int | None = None) -> Iterator[tuple[int, dict]]:
    """(place in `texts`, {nll, tokens, unknown}) for every text, longest first, so that too long a batch fails at once.

    nll is summed over the text's tokens, in nats.
    """
    encoded = scorer.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    windows = [one for place, ids in enumerate(encoded) for one in windows_of(place, ids, scorer.positions)]
    open_windows = [0] * len(texts)
    for window in windows:
        open_windows[window.text] += 1
    sums = [0.0] * len(texts)
    for place in (place for place, count in enumerate(open_windows) if not count):
        yield place, {"nll": 0.0, "tokens": 0, "unknown": 0}
    for batch in batches(windows, batch_tokens or BATCH_TOKENS[scorer.device]):
        for window, nll in zip(batch, _nll(batch, scorer), strict=True):
            place = window.text
            sums[place] += nll
            open_windows[place] -= 1
            if not open_windows[place]:
                ids = encoded[place]
                yield place, {"nll": sums[place], "tokens": len(ids), "unknown": ids.count(scorer.unknown)}


def windows_of(text: int, ids: list[int], positions: int) -> Iterator[Window]:
    """Windows over a text's ids: one where it fits beside `[CLS]`, else steps of half the positions."""
    room, step = positions - 1, positions // 2
    if not ids:
        return
    scored = 0
    while True:
        end = min(len(ids), room if not scored else scored + step)
        begin = max(0, end - room)
        yield Window(text, tuple(ids[begin:end]), scored - begin)
        scored = end
        if scored == len(ids):
            return


def batches(windows: list[Window], budget: int) -> Iterator[list[Window]]:
    """Windows of like length together, longest first, at most `budget` tokens with padding (or one window)."""
    batch: list[Window] = []
    for window in sorted(windows, key=lambda one: -len(one.ids)):
        if batch and (len(batch) + 1) * (len(batch[0].ids) + 1) > budget:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _nll(batch: list[Window], scorer: Scorer) -> list[float]:
    """Summed negative log-likelihood of each window's scored tokens.

    Rows are padded on the right without a mask: a causal model never looks there. Logits are made only where a token
    is scored, a few thousand rows at a time.
    """
    import torch

    longest = len(batch[0].ids) + 1
    ids = torch.full((len(batch), longest), scorer.start, dtype=torch.long)
    wanted = torch.zeros(
        (len(batch), longest), dtype=torch.bool
    )  # wanted[row, i]: token i is scored, given those before
    for row, window in enumerate(batch):
        ids[row, 1 : len(window.ids) + 1] = torch.tensor(window.ids)
        wanted[row, window.first + 1 : len(window.ids) + 1] = True
    ids, wanted = ids.to(scorer.device), wanted.to(scorer.device)
    with torch.inference_mode():
        hidden = scorer.model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][wanted[:, 1:]]
        targets = ids[wanted]
        parts = [
            torch.nn.functional.cross_entropy(scorer.model.lm_head(rows).float(), said, reduction="none")
            for rows, said in zip(hidden.split(HEAD_TOKENS), targets.split(HEAD_TOKENS), strict=True)
        ]
    losses = torch.cat(parts).double()
    rows = wanted.nonzero()[:, 0]
    sums = torch.zeros(len(batch), dtype=torch.float64, device=scorer.device).index_add(0, rows, losses)
    return sums.tolist()
