"""sft: supervised fine-tuning on the release's questions and answers (paper §4.1, second phase of Table 5).

The loss counts the answer only. Qwen3's template puts an empty thinking block before an answer: the model learns to
answer at once, as it is asked to at inference with thinking off.
"""

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from chimed.train.loop import arguments, finish, tokenizer
from chimed.train.rows import read_rows
from chimed.train.run import Run


def train(run: Run) -> dict:
    """Trains and returns the report."""
    args, lora = arguments(run, SFTConfig)
    tokens = tokenizer(run)
    rows = read_rows(run, ["messages"], tokens)
    trainer = SFTTrainer(
        model=run.start,
        args=args,
        processing_class=tokens,
        train_dataset=_completions(rows.train),
        eval_dataset=_completions(rows.validation),
        peft_config=lora,
    )
    return finish(run, trainer, rows)


def _completions(rows: Dataset | None) -> Dataset | None:
    """`messages` as `prompt` and `completion`, the columns from which TRL learns what not to count."""
    if rows is None:
        return None
    return rows.map(
        lambda row: {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}, remove_columns=["messages"]
    )
