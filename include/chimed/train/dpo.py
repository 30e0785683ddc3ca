"""dpo: preference tuning on the release's chosen and rejected answers (paper §4.1 "RLHF", third phase of Table 5).

The reference is the sft model: the run starts from its merged weights, so the same model with the new adapter
switched off is the policy it must not stray from. No second copy is loaded.
"""

from trl import DPOConfig, DPOTrainer

from chimed.train.loop import arguments, finish, tokenizer
from chimed.train.rows import read_rows
from chimed.train.run import Run

COLUMNS = ["prompt", "chosen", "rejected"]


def train(run: Run) -> dict:
    """Trains and returns the report."""
    args, lora = arguments(run, DPOConfig)
    tokens = tokenizer(run)
    rows = read_rows(run, COLUMNS, tokens)
    trainer = DPOTrainer(
        model=run.start,
        args=args,
        processing_class=tokens,
        train_dataset=rows.train,
        eval_dataset=rows.validation,
        peft_config=lora,
    )
    return finish(run, trainer, rows)
