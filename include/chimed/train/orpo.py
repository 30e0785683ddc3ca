"""orpo: fine-tuning on the chosen answers and preferring them in one loss (arXiv 2403.07691); a neighbour of dpo.

It needs no reference. The loss of the chosen answer counts its prompt, as in the paper's code. TRL keeps its trainer
among the experimental ones; it takes a batch's mean over the rows a GPU takes at once.
"""

import os
from dataclasses import replace
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # the pinned version is the one that the tests run

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.experimental.orpo import ORPOTrainer

from chimed.train.arguments import arguments
from chimed.train.loop import finish, read_rows, tokenizer, trainer_of
from chimed.train.run import Run
from chimed.train.tokens import check_losses, processes


def train(run: Run) -> dict[str, Any]:
    """Train and return the report."""
    args, lora = arguments(run)
    # its trainer would spread one model over all GPUs of this process
    here = {"": int(os.environ.get("LOCAL_RANK", "0"))} if torch.cuda.is_available() else None
    args.model_init_kwargs = {"device_map": here} | args.model_init_kwargs
    tokens = tokenizer(run)
    rows = read_rows(run, tokens, args)
    args.dataset_num_proc = processes(run, len(rows.train))
    validation = rendered(rows.validation, tokens, args) if rows.validation is not None else None
    made = replace(rows, train=rendered(rows.train, tokens, args), validation=validation)
    for split, kept in (("train", made.train), ("validation", made.validation)):
        if kept is not None:
            rows.counts[split] |= count(kept, rows.counts[split]["read"], tokens, args)
            check_losses(run, split, rows.counts[split])
    trainer = trainer_of(ORPOTrainer, run, args, tokens, made, lora)
    return finish(run, trainer, rows)


def rendered(pairs: Dataset, tokens: PreTrainedTokenizerBase, args) -> Dataset:
    """Return pairs as texts in the chat template, without those whose prompt alone fills `max_length`.

    An answer ends with the end of its turn: what the template writes behind that would be followed by a second end.
    """

    def text(row: dict[str, Any]) -> dict[str, str]:
        prompt = tokens.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        both = {
            name: tokens.apply_chat_template(row["prompt"] + row[name], tokenize=False)
            .removeprefix(prompt)
            .rstrip("\n")
            for name in ("chosen", "rejected")
        }
        return {"prompt": prompt} | both

    made = pairs.map(
        text, remove_columns=pairs.column_names, num_proc=args.dataset_num_proc, load_from_cache_file=False
    )
    if args.max_length is None:
        return made
    fits = [len(ids) < args.max_length for ids in tokens(made["prompt"][:], add_special_tokens=False)["input_ids"]]
    return made.select(index for index, one in enumerate(fits) if one)


def count(kept: Dataset, read: int, tokens: PreTrainedTokenizerBase, args) -> dict[str, int]:
    """Count pairs read, kept, lost, and those of which an answer is cut."""
    cut = 0
    if args.max_length is not None and len(kept):
        both = [
            tokens([a + b for a, b in zip(kept["prompt"], kept[name], strict=True)], add_special_tokens=False)[
                "input_ids"
            ]
            for name in ("chosen", "rejected")
        ]
        cut = sum(max(len(a), len(b)) > args.max_length for a, b in zip(*both, strict=True))
    return {"read": read, "kept": len(kept), "lost": read - len(kept), "cut": cut}
