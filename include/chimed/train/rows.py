"""The rows of a release as a trainer may have them: text in them is never read as a control token (paper §4.1).

A tokenizer finds its control tokens anywhere: a question that holds `<|im_end|>` would end its turn, an answer's would
be learnt. A release is free of those of the common families already (`chimed.text.control_tokens`); here it is the very
tokenizer's own, whatever it has and wherever the release comes from.
"""

import re
import unicodedata
from typing import Any

import datasets
from pyarrow import parquet
from transformers import PreTrainedTokenizerBase

from chimed.errors import UserError
from chimed.release.rows import THOUGHT, split_thought
from chimed.train.run import SUBSET, Run


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Return a pattern of every string that the tokenizer reads as one id of its own; runs of spaces are text."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    named = sorted((token for token in added if token.strip()), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, named)) or r"(?!)")


def defused(value: Any, control: re.Pattern[str]) -> Any:
    """Return a text, or a list or mapping of texts, with a space in the place of each control token.

    Repeated until none is left: a token may hold a space itself. Some tokenizers fold compatibility forms first
    (＜s＞ is <s> to them), so a text in which folding would bring a token to light is folded.
    """
    if isinstance(value, list):
        return [defused(one, control) for one in value]
    if isinstance(value, dict):
        return {name: defused(one, control) for name, one in value.items()}
    if not isinstance(value, str):
        return value
    value = _without(value, control)
    if not value.isascii() and control.search(folded := unicodedata.normalize("NFKC", value)):
        return _without(folded, control)
    return value


def _without(text: str, control: re.Pattern[str]) -> str:
    while control.search(text):
        text = control.sub(" ", text)
    return text


def defused_row(row: dict[str, Any], control: re.Pattern[str]) -> dict[str, Any]:
    """Return a row of the subset `reasoning` with a space in the place of each control token.

    The tokens around its thought are the release's own and stay; one in the thought or in a text around it does not.
    """
    *before, last = row["messages"]
    thought, answer = split_thought(last["content"])
    if not thought:
        return defused(row, control)
    said = f"{THOUGHT[0]}{defused(thought, control)}{THOUGHT[1]}{defused(answer, control)}"
    return {**row, "messages": [*defused(before, control), {**last, "content": said}]}


def read_split(run: Run, split: str, columns: list[str], subset: str | None = None) -> datasets.Dataset:
    """Return a split of a subset of the release, the phase's unless another is named, with only these columns.

    Raises UserError where it is empty or a column is missing.
    """
    subset = subset or SUBSET[run.phase]
    name = f"{subset}/{split}.parquet of release {run.release}"
    paths = [path for path in run.rows[split] if path.parent.name == subset]
    # datasets cannot read a parquet file without rows
    if not any(parquet.read_metadata(path).num_rows for path in paths):
        raise UserError(f"{name} is empty: there is nothing to train {run.phase} on")
    rows = datasets.Dataset.from_parquet([str(path) for path in paths])
    missing = [column for column in columns if column not in rows.column_names]
    if missing:
        raise UserError(f"{name} has no column {', '.join(missing)}; it has {', '.join(rows.column_names)}")
    return rows.select_columns(columns)
