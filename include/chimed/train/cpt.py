"""cpt: continued pre-training on the release's documents (paper §4.1, first phase of Table 5).

Documents are packed into rows of `max_length` by best fit; what is longer is split, not cut off (`bfd_split`), and no
document sees another in its row. The loss counts every token.
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
    # A chat model's end is the end of a turn; a document's is the end of text (the recipe's `eos_token`).
    trainer = trainer_of(SFTTrainer, run, args, tokens, rows, lora)
    return finish(run, trainer, rows)
