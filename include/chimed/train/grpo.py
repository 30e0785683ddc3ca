"""grpo: learning from rewards that a program can check (arXiv 2402.03300); optional, after dpo. Ours.

Prompts are exam items of a training split (`exam_items`), and questions about documents of the release. To each prompt
the model writes several answers; those with more reward than their group's mean become more likely. Some prompts are
held out: the reward on them before and after is in the report.
"""

import hashlib
import json
from typing import Any

import numpy as np
import polars as pl
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import GRPOTrainer

from chimed.errors import UserError
from chimed.storage import copies, layout
from chimed.storage import lake as lakes
from chimed.train.arguments import arguments
from chimed.train.exam_items import read_items
from chimed.train.loop import Rows, finish, tokenizer, trainer_of
from chimed.train.rewards import REWARDS
from chimed.train.rows import control_tokens, defused
from chimed.train.run import Run

HELD_OUT = 0.1  # of the prompts, where the recipe does not say
GROUNDED = "请根据下面的文档回答问题，只说文档里有的内容。\n\n文档：\n{document}\n\n问题：{question}"
COLUMNS = ("prompt", "answer", "document", "question", "title")


def train(run: Run) -> dict[str, Any]:
    """Train and return the report. Raises UserError where there is nothing to learn from."""
    args, lora = arguments(run)
    tokens = tokenizer(run)
    with args.main_process_first():  # one fetches the items
        rows = prompts(run, tokens)
    trainer = trainer_of(GRPOTrainer, run, args, tokens, rows, lora, reward_funcs=list(REWARDS))
    return finish(run, trainer, rows)


def prompts(run: Run, tokens: PreTrainedTokenizerBase) -> Rows:
    """Return the prompts to learn from and those held out, the same on every machine.

    Raises UserError where there are too few, or a recipe's numbers do not fit together.
    """
    source, share = run.fields.get("items"), float(run.fields.get("grounded_share", 0.0))
    draw = np.random.default_rng(run.fields.get("seed", 42))
    made: list[dict[str, Any]] = []
    told: dict[str, Any] = {"source": source, "read": 0, "measured": 0, "doubled": 0, "faulty": 0}
    if source:
        items = read_items(source)
        kept = sorted(items.kept, key=lambda item: item.prompt)
        chosen = draw.permutation(len(kept))[: run.fields.get("most_items")]
        made = [row(kept[index].prompt, answer=kept[index].answer) for index in chosen]
        told |= {"read": items.read, "measured": items.measured, "doubled": items.doubled, "faulty": items.faulty}
    if share:
        about = documents(run)
        many = round(len(made) * share / (1 - share)) if made else len(about)
        made += [about[index] for index in draw.permutation(len(about))[:many]]
    control = control_tokens(tokens)
    clean = [defused(one, control) for one in made]
    held = held_out(clean, float(run.fields.get("items_held_out", HELD_OUT)))
    train = [one for one, out in zip(clean, held, strict=True) if not out]
    validation = [one for one, out in zip(clean, held, strict=True) if out]
    if not train or not validation:
        raise UserError(f"grpo has {len(clean)} prompts, too few to learn from and to hold some out; name more items")
    content = hashlib.sha256(json.dumps([train, validation], ensure_ascii=False).encode()).hexdigest()[:16]
    told |= {
        "content": content,
        "trained": len(train),
        "held_out": len(validation),
        "grounded": sum(not one["answer"] for one in clean),
    }
    count = {"defused": sum(one != raw for one, raw in zip(clean, made, strict=True))}
    return Rows(Dataset.from_list(train), Dataset.from_list(validation), {"train": count}, items=told)


def row(prompt: str, **known: str) -> dict[str, Any]:
    """Return a row of `COLUMNS`, those that a kind of prompt does not have empty."""
    empty = dict.fromkeys(COLUMNS[1:], "")
    return {"prompt": [{"role": "user", "content": prompt}]} | empty | known


def held_out(rows: list[dict[str, Any]], share: float) -> list[bool]:
    """Return which rows are held out, by what they ask: the same row is on the same side in any data set."""
    return [int(hashlib.sha256(str(one["prompt"]).encode()).hexdigest()[:8], 16) < share * 2**32 for one in rows]


def documents(run: Run) -> list[dict[str, Any]]:
    """Return questions of the release that were made from a document of it, with that document.

    Raises UserError where the release has none.
    """
    asked = _table(run, layout.release(run.release, "sft", "train.parquet"), ["messages", "parent", "made_by"])
    read = _table(run, layout.release(run.release, "pretrain", "train.parquet"), ["id", "text", "title"])
    if asked is None or read is None:
        raise UserError(
            f"release {run.release} does not say which document a question was made from; take grounded_share out"
        )
    both = asked.filter(pl.col("made_by").str.starts_with("generate_qa")).join(read, left_on="parent", right_on="id")
    if both.is_empty():
        raise UserError(f"release {run.release} has no question that was made from a document; take grounded_share out")
    most = int(run.fields.get("max_length", 2048))  # characters: a token of Chinese has one or more
    found = []
    for one in both.sort("parent").iter_rows(named=True):
        question, document = one["messages"][0]["content"], one["text"]
        if len(document) + len(question) < most:
            asked_so = GROUNDED.format(document=document, question=question)
            found.append(row(asked_so, document=document, question=question, title=one["title"] or ""))
    return found


def _table(run: Run, path: str, columns: list[str]) -> pl.DataFrame | None:
    """Return columns of a table of the lake; None where it, or one of them, is not there."""
    if not lakes.exists(run.lake, path):
        return None
    frame = pl.scan_parquet(copies.local_path(run.lake, path))
    return frame.select(columns).collect() if set(columns) <= set(frame.collect_schema()) else None
