"""Perplexity in two precisions beside the plain ways: tokens a CPU second, and whether the cut is the same.

    PYTHONPATH=include OMP_NUM_THREADS=1 .venv-models/bin/python tests/benchmarks/perplexity.py

A GPT-2 is trained on sentences of the synthetic crawl, then scores texts of it, as long as real ones are, nearly one
hundredth of them garbage: one by one in fp32 (what the decision must be), in unsorted padded batches (what is often
done), and as the stage does it.
With `--random` the weights are random and of the paper's shape unless others are named: a rate, and no decision.

Wanted: twice the rate of one by one, four times that of unsorted batches. Measured on one core with AVX2 and nothing
newer (no VNNI, bf16 or AMX), 5,000 texts: 1.72 × one by one, 8.3 × unsorted batches; the same 50 texts in the cut, all
45 of garbage among them; no fast score off by more than 0.015 nats a token. There int8 multiplies twice as fast as
fp32, and what is no multiplication (attention, exponentials) stays as it was: the first is not reached.
"""

import argparse
import math
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import synthetic
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.schema import table
from chimed.settings import Settings
from chimed.stages import perplexity
from chimed.stages.filter import cut
from chimed.stages.filter_threshold import thresholds
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from chimed.text.perplexity_model import Scorer, load, split_windows
from chimed_demo.tokens import write_characters

BATCH = 16  # of the unsorted way, as common evaluation code has it
GARBAGE = 100  # one text in so many
# Letters of a text, measured on 3,954 questions with answers and 2,143 chapters of classics: both are log-normal,
# with this median and deviation of the logarithm. Half of the texts are of either kind.
LENGTHS = ((207, 0.19), (160, 0.99))
SHORTEST, LONGEST = 15, 5_000
# One letter in so many of the training text is outside the vocabulary. In those questions it is one in 16,000; a model
# trained for a minute sees so few of them that it does not learn how rare they are, and calls garbage likely, two
# thirds of whose letters are such (0.756 of it in the cut then).
RARE = 1_000
ROWS = ((16, 48), (4, 192), (1, 768))  # rows and tokens of a training step, in turn


def texts_of(number: int, seed: int) -> tuple[list[str], set[int]]:
    """Texts of the crawl's sentences, and which of them are garbage."""
    chance = random.Random(seed)
    pool = [synthetic.filled(chance.choice(synthetic.SHAPES), chance) + "，" for _ in range(20_000)]
    texts = []
    for _ in range(number):
        median, deviation = chance.choice(LENGTHS)
        length = round(min(max(chance.lognormvariate(math.log(median), deviation), SHORTEST), LONGEST))
        texts.append("".join(chance.choices(pool, k=length // 8 + 1))[:length])
    spoiled = set(chance.sample(range(number), number // GARBAGE * 9 // 10))
    for place in spoiled:
        texts[place] = "".join(chance.choices(synthetic.GARBAGE, k=len(texts[place])))
    return texts, spoiled


def train(folder: Path, layers: int, width: int, seconds: float) -> None:
    """A model of that shape, trained for so many CPU seconds on texts of the crawl (0: not at all)."""
    vocabulary = write_characters(folder)
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=1024, n_embd=width, n_layer=layers, n_head=max(1, width // 64),
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    if not seconds:
        return
    scorer = load(str(folder))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    chance = random.Random(9)
    texts, spoiled = texts_of(4_000, seed=7)
    letters = list("".join(text for place, text in enumerate(texts) if place not in spoiled))
    for place in range(0, len(letters), RARE):
        letters[chance.randrange(place, min(place + RARE, len(letters)))] = chr(0x9F00)  # in no vocabulary here
    stream = scorer.tokenizer("".join(letters), add_special_tokens=False, verbose=False)["input_ids"]
    began, step = time.process_time(), 0
    while time.process_time() - began < seconds:
        rows, tokens = ROWS[step % len(ROWS)]
        step += 1
        starts = [chance.randrange(len(stream) - tokens) for _ in range(rows)]
        ids = torch.tensor([[scorer.start, *stream[start : start + tokens]] for start in starts])
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)


def one_by_one(texts: list[str], scorer: Scorer) -> list[float]:
    """Mean negative log-likelihood of each, fp32, a window at a time, logits of all."""
    found = []
    for text in texts:
        ids = scorer.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        total = 0.0
        for window in split_windows(0, ids, scorer.positions):
            row = torch.tensor([[scorer.start, *window.ids]])
            with torch.inference_mode():
                losses = torch.nn.functional.cross_entropy(
                    scorer.model(row).logits[0, :-1], row[0, 1:], reduction="none"
                )
            total += losses[window.first :].sum().item()
        found.append(total / len(ids))
    return found


def unsorted(texts: list[str], scorer: Scorer) -> list[float]:
    """The same in padded batches in the order the texts come."""
    encoded = scorer.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    windows = [one for place, ids in enumerate(encoded) for one in split_windows(place, ids, scorer.positions)]
    sums = [0.0] * len(texts)
    for start in range(0, len(windows), BATCH):
        batch = windows[start : start + BATCH]
        longest = max(len(one.ids) for one in batch) + 1
        ids = torch.tensor([[scorer.start, *one.ids, *[0] * (longest - 1 - len(one.ids))] for one in batch])
        mask = torch.tensor([[1] * (len(one.ids) + 1) + [0] * (longest - 1 - len(one.ids)) for one in batch])
        with torch.inference_mode():
            logits = scorer.model(ids, attention_mask=mask).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        for one, row in zip(batch, losses, strict=True):
            sums[one.text] += row[one.first : len(one.ids)].sum().item()
    return [total / len(ids) for total, ids in zip(sums, encoded, strict=True)]


def timed(way: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds, and what came."""
    began = time.process_time()
    found = way()
    return time.process_time() - began, found


def main() -> None:
    """Prints rates, their ratios, and the two cuts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=5_000)
    parser.add_argument("--sample", type=int, default=400, help="texts of the unsorted way")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--seconds", type=float, default=60, help="CPU seconds of training")
    parser.add_argument("--random", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    texts, spoiled = texts_of(chosen.texts, seed=3)
    layers, width = (12, 768) if chosen.random else (4, 256)
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), chosen.layers or layers, chosen.width or width, 0 if chosen.random else chosen.seconds)
        settings = Settings(perplexity_model=folder, store=f"sqlite:///{folder}/store.db", data=f"{folder}/lake")
        work = StageContext(
            "benchmark", Options(), open_lake(settings.data), open_store(settings.store), settings, print
        )
        fixed = {"source": "synthetic", "domain": "tcm", "kind": "document", "language": "zh", "url": "", "page": ""}
        fixed["fetched"] = synthetic.FETCHED
        records = table([fixed | {"id": f"{n:016x}", "text": text} for n, text in enumerate(texts)])
        plain_model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()  # as it comes
        scorer = replace(load(folder), model=plain_model)
        perplexity.FEW_TEXTS = min(perplexity.FEW_TEXTS, len(texts) // 5)
        one_by_one(texts[:3], scorer)  # what is done once
        plain_seconds, plain = timed(lambda: one_by_one(texts, scorer))
        padded_seconds, _ = timed(lambda: unsorted(texts[: chosen.sample], scorer))
        stage_seconds, _ = timed(lambda: perplexity.run(records, work))
        outcome = perplexity.run(records, work)  # from the store
    tokens = int(outcome.kept["tokens"].sum())
    sample = int(outcome.kept["tokens"].head(chosen.sample).sum())
    rates = {"one by one, fp32": tokens / plain_seconds, "unsorted batches": sample / padded_seconds}
    rates["the stage"] = tokens / stage_seconds
    for name, rate in rates.items():
        print(f"{name:20}{rate:10.0f} tokens/CPU s {rate / rates['one by one, fp32']:6.2f}")
    print(f"the stage is {rates['the stage'] / rates['unsorted batches']:.2f} × the unsorted batches")
    whole = records.with_columns(perplexity=pl.Series(plain).exp())
    cuts = [
        set(cut(frame, thresholds(lambda frame=frame: [frame], 0.01, "corpus"), "corpus").dropped["id"])
        for frame in (whole, outcome.kept)
    ]
    print(f"{len(texts)} texts, {tokens} tokens; the cuts are the same: {cuts[0] == cuts[1]} ({len(cuts[0])} texts)")
    caught = sum(f"{place:016x}" in cuts[1] for place in spoiled) / len(spoiled) if spoiled else float("nan")
    print(f"garbage in the cut: {caught:.3f}; exact above {outcome.figures['exact_above']}, "
          f"largest error {outcome.figures['largest_error']:.4f} nats a token")  # fmt: skip


if __name__ == "__main__":
    main()
