"""dpo: preference tuning on the release's chosen and rejected answers (paper §4.1 "RLHF", third phase of Table 5).

The reference is the sft model: the run starts from its merged weights, so the same model with the new adapter
switched off is the policy it must not stray from. No second copy is loaded.
"""

from typing import Any

import pyarrow.compute as pc
from datasets import Dataset
from trl import DPOTrainer

from chimed.train.arguments import arguments
from chimed.train.loop import finish, read_rows, tokenizer, trainer_of
from chimed.train.run import Run
from chimed.train.tokens import check_losses, processes


def train(run: Run) -> dict[str, Any]:
    """Train and return the report."""
    args, lora = arguments(run)
    tokens = tokenizer(run)
    rows = read_rows(run, tokens, args)
    args.dataset_num_proc = processes(run, len(rows.train))
    trainer = trainer_of(DPOTrainer, run, args, tokens, rows, lora)
    for split, kept in (("train", trainer.train_dataset), ("validation", trainer.eval_dataset)):
        if kept is not None:
            rows.counts[split] |= count(kept, rows.counts[split]["read"], args)
            check_losses(run, split, rows.counts[split])
    return finish(run, trainer, rows)


def count(kept: Dataset, read: int, args: Any) -> dict[str, int]:
    """Count pairs that TRL kept of those read, those it lost (a prompt that fills the length), and those it cuts."""
    table = kept.data.table if kept._indices is None else kept.flatten_indices().data.table
    asked, chosen, rejected = (
        pc.list_value_length(table[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids")
    )
    cut = 0
    if args.max_length is not None and len(kept):
        longest = pc.add(asked, pc.max_element_wise(chosen, rejected))
        cut = pc.sum(pc.greater(longest, args.max_length)).as_py()
    return {"read": read, "kept": len(kept), "lost": read - len(kept), "cut": cut}
