"""kto: learning from single answers, each good or bad (arXiv 2402.01306); a neighbour of dpo, in its place.

A pair of the release becomes two rows, the chosen answer a good one and the rejected a bad one. The reference is the
model it starts from, with the adapter switched off. TRL estimates the KL term from the rows that a GPU takes at once,
in the order of the data set, so rows are shuffled here by the recipe's seed and at least two are taken at once. It
takes the mean of that over all GPUs, so the result depends on their number: it is kept, told and not changed under way.
"""

from dataclasses import replace
from typing import Any

from datasets import Dataset
from trl import KTOTrainer

from chimed.errors import UserError
from chimed.train.arguments import arguments
from chimed.train.loop import finish, read_rows, tokenizer, trainer_of, whole_batches
from chimed.train.run import Run
from chimed.train.tokens import check_losses, processes


def train(run: Run) -> dict[str, Any]:
    """Train and return the report. Raises UserError where a GPU would take one row at once."""
    args, lora = arguments(run)
    if args.per_device_train_batch_size < 2:
        raise UserError(
            f"recipe {run.recipe}/kto.yaml: a GPU takes one row at once, and kto needs two or more to estimate its KL "
            "term; raise per_device_train_batch_size or global_batch_size, or use fewer GPUs"
        )
    tokens = tokenizer(run)
    rows = read_rows(run, tokens, args)
    args.dataset_num_proc = processes(run, 2 * len(rows.train))
    seed, batch = run.fields.get("seed", 42), run.fields["global_batch_size"]
    made = replace(
        rows,
        train=whole_batches(single_answers(rows.train).shuffle(seed), batch),
        validation=single_answers(rows.validation) if rows.validation is not None else None,
    )
    trainer = trainer_of(KTOTrainer, run, args, tokens, made, lora)
    for split, pairs, kept in (
        ("train", rows.train, trainer.train_dataset),
        ("validation", rows.validation, trainer.eval_dataset),
    ):
        if pairs is not None:
            single = 2 * len(pairs)
            many = single if split == "validation" else -(-single // batch) * batch
            rows.counts[split] |= {"read": many, "kept": len(kept), "lost": many - len(kept), "cut": cut(kept, args)}
            check_losses(run, split, rows.counts[split])
    return finish(run, trainer, rows)


def single_answers(pairs: Dataset) -> Dataset:
    """Return two rows for each pair, one behind the other: its good answer and its bad one."""

    def parted(batch: dict[str, Any]) -> dict[str, list[Any]]:
        both = list(zip(batch["chosen"], batch["rejected"], strict=True))
        return {
            "prompt": [prompt for prompt in batch["prompt"] for _ in range(2)],
            "completion": [answer for pair in both for answer in pair],
            "label": [True, False] * len(both),
        }

    return pairs.map(parted, batched=True, remove_columns=pairs.column_names, load_from_cache_file=False)


def cut(kept: Dataset, args) -> int:
    """Count rows that are longer than `max_length`."""
    if args.max_length is None:
        return 0
    return sum(
        len(a) + len(b) > args.max_length for a, b in zip(kept["prompt_ids"], kept["completion_ids"], strict=True)
    )
