"""sft: supervised fine-tuning on the release's questions and answers (paper §4.1, second phase of Table 5).

The loss counts the answer only. Qwen3's template puts an empty thinking block before an answer: the model learns to
answer at once, as it is asked to at inference with thinking off.
"""

from typing import Any

from trl import SFTTrainer

from chimed.train.arguments import arguments
from chimed.train.loop import finish, read_rows, tokenizer, trainer_of
from chimed.train.run import Run


def train(run: Run) -> dict[str, Any]:
    """Train and return the report."""
    args, lora = arguments(run)
    tokens = tokenizer(run)
    rows = read_rows(run, tokens, args)
    # The labels say what counts, and lengths are cut: what TRL would do to rows one by one is done.
    args.completion_only_loss, args.assistant_only_loss = None, False
    if not args.packing and not args.shuffle_dataset:
        args.dataset_kwargs = {"skip_prepare_dataset": True}
    trainer = trainer_of(SFTTrainer, run, args, tokens, rows, lora)
    return finish(run, trainer, rows)
