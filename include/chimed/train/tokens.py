"""The rows of a release as tokens: made by every core before the GPUs' processes start, and once for the same content.

334,000 questions and answers take one core half an hour, in which seven GPUs would wait for the eighth. So the tokens
are made first and kept on this machine, by the hash of what they depend on: the rows, the tokenizer, the template, the
lengths. (Preference pairs are tokenized by TRL's trainer, which takes none that are; also by every core.) What no run
has used for a month is removed: a cache must not keep texts for longer than they are needed.

Every row is counted: what a length cuts, and what it leaves nothing of. A run that would train on much less than it
was given stops.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from chimed.errors import UserError
from chimed.private import private_folder
from chimed.train.rows import control_tokens, defused, defused_row, read_split
from chimed.train.run import REASONING, SUBSET, Run

log = logging.getLogger("chimed")

FORM = 1  # of what is kept; another number makes all of it anew
IGNORED = -100  # a label that the loss does not count
BATCH = 500  # rows tokenized at once
KEPT_DAYS = 30  # days after its last use that a folder of tokens stays
LEAST = 2_000  # rows a process is worth starting for
# Ours: a release's rows are short questions and answers; more losses than these mean that lengths do not suit it
MOST_LOST, MOST_CUT = 0.01, 0.1
WHOLE = ("bfd_split", "wrapped")  # packings that split what is too long and cut nothing
PAIRS = ("dpo", "kto", "orpo")  # phases whose rows TRL's trainer tokenizes
COLUMNS = {"cpt": ["text"], "sft": ["messages"]} | {phase: ["prompt", "chosen", "rejected"] for phase in PAIRS}


def prepare_rows(run: Run, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Return the folder with the run's tokenized rows, for `load_rows`; create it where it does not exist.

    `train/` and, where rows are held out, `validation/`: `input_ids` and `labels` for cpt and sft, the texts without
    control tokens for dpo. Raises UserError where there is nothing to train on, a column is missing, or more rows than
    the recipe allows are lost or cut.
    """
    if "train" not in run.rows:
        raise UserError(
            f"release {run.release} has no rows in {SUBSET[run.phase]}/train.parquet to train {run.phase} on"
        )
    folder = private_folder("tokens") / _key(run, tokenizer)
    forget_unused(folder.parent)
    if (folder / "counts.json").exists():
        os.utime(folder)
        log.info("the rows of %s are tokenized already: %s", run.phase, folder)
    else:
        _make(run, tokenizer, folder)
    if run.phase not in PAIRS:  # of pairs the trainer says what it lost
        for split, count in json.loads((folder / "counts.json").read_text()).items():
            check_losses(run, split, count)
    return folder


def _make(run: Run, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Create the folder. It appears under its name only when it is complete."""
    draft = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        counts = {split: _made(run, split, tokenizer, draft / split) for split in run.rows}
        (draft / "counts.json").write_text(json.dumps(counts))
        draft.rename(folder)
    except OSError:
        if not (folder / "counts.json").exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def forget_unused(home: Path) -> None:
    """Delete tokenized rows that no run has used for `KEPT_DAYS`, and the drafts of killed runs."""
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for folder in home.iterdir():
        with contextlib.suppress(OSError):  # another process may have removed it first
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)


def check_losses(run: Run, split: str, count: dict[str, int]) -> None:
    """Says what became of a split's rows. Raises UserError where more were lost or cut than the recipe allows."""
    log.info(
        "%s %s: %d rows, %d kept, %d lost, %d cut",
        run.phase,
        split,
        *(count[n] for n in ("read", "kept", "lost", "cut")),
    )
    if not count["kept"]:
        raise UserError(
            f"no row of {SUBSET[run.phase]}/{split} of release {run.release} has a token that counts within "
            f"max_length {run.fields['max_length']}; raise it"
        )
    for what, limit, told in (
        ("lost", MOST_LOST, "have no token left that counts within"),
        ("cut", MOST_CUT, "are cut at"),
    ):
        most = float(run.fields.get(f"most_{what}", limit))
        if count[what] > most * count["read"]:
            raise UserError(
                f"{count[what]} of {count['read']} rows of {SUBSET[run.phase]}/{split} {told} max_length "
                f"{run.fields['max_length']}, and the recipe {run.recipe}/{run.phase} allows {most:.0%}; "
                f"raise max_length, or most_{what} if that is wanted"
            )


def processes(run: Run, rows: int) -> int | None:
    """How many processes tokenize so many rows: the recipe's `dataset_num_proc`, else every core that is worth it."""
    asked = run.fields.get("dataset_num_proc")
    many = int(asked) if asked else min(len(os.sched_getaffinity(0)), rows // LEAST)
    return many if many > 1 else None


def _key(run: Run, tokenizer: PreTrainedTokenizerBase) -> str:
    digest = hashlib.sha256(f"{FORM} {run.phase}\n".encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(f"{tokenizer.chat_template}\n{tokenizer.special_tokens_map}\n".encode())
    names = ("max_length", "packing", "packing_strategy", "eos_token", "completion_only_loss", "assistant_only_loss")
    digest.update(json.dumps({name: run.fields.get(name) for name in names}).encode())
    for split, paths in sorted(run.rows.items()):
        for path in paths:
            with path.open("rb") as file:
                digest.update(split.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:24]


def _made(run: Run, split: str, tokenizer: PreTrainedTokenizerBase, target: Path) -> dict[str, int]:
    """Write a split and return its counts: rows read, kept, lost, cut, and those that contained control tokens."""
    control = control_tokens(tokenizer)

    def cleaned(row: dict[str, Any], subset: str) -> dict[str, Any]:
        clean = (defused_row if subset == REASONING else defused)(dict(row), control)
        return {**clean, "held": clean != row}

    parts = []
    for subset in dict.fromkeys(path.parent.name for path in run.rows[split]):
        part = read_split(run, split, COLUMNS[run.phase], subset)
        many = processes(run, len(part))
        parts.append(part.map(cleaned, fn_kwargs={"subset": subset}, num_proc=many, load_from_cache_file=False))
    rows = concatenate_datasets(parts)
    many = processes(run, len(rows))
    count = {"read": len(rows), "defused": sum(rows["held"]), "kept": len(rows), "lost": 0, "cut": 0}
    rows = rows.remove_columns("held")
    if run.phase not in PAIRS:
        make = _documents if run.phase == "cpt" else _answers
        given = {"tokenizer": tokenizer, "fields": run.fields}
        rows = rows.map(
            make, batched=True, batch_size=BATCH, fn_kwargs=given, num_proc=many, remove_columns=rows.column_names,
            load_from_cache_file=False,
        )  # fmt: skip
        count |= {what: int(np.sum(rows[what])) for what in ("lost", "cut")}
        lost = np.asarray(rows["lost"], bool)
        rows = rows.remove_columns(["lost", "cut"]).select(np.flatnonzero(~lost))
        count["kept"] = len(rows)
    rows.save_to_disk(target)
    return count


def tokenized(phase: str, rows: Dataset, fields: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens of each row that training would keep, in order; of a pair, those of both texts. For the plan.

    rows: the columns of `COLUMNS`. fields: a recipe's.
    """
    control = control_tokens(tokenizer)
    lengths: list[int] = []
    for first in range(0, len(rows), BATCH):
        batch = defused(rows[first : first + BATCH], control)
        if phase in PAIRS:
            lengths += _pairs(batch, tokenizer, fields)
            continue
        made = (_documents if phase == "cpt" else _answers)(batch, tokenizer, fields)
        lengths += [len(ids) for ids, lost in zip(made["input_ids"], made["lost"], strict=True) if not lost]
    return lengths


def _pairs(batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]) -> list[int]:
    """Tokens of both texts of each pair, without those whose prompt fills the length, as TRL leaves them out."""
    most = fields.get("max_length") or sys.maxsize
    asked = [[*prompt] for prompt in batch["prompt"]]
    prompts = tokenizer(_rendered(tokenizer, asked, add_generation_prompt=True), add_special_tokens=False)["input_ids"]
    found = [0] * len(asked)
    for name in ("chosen", "rejected"):
        whole = [prompt + answer for prompt, answer in zip(asked, batch[name], strict=True)]
        texts = tokenizer(_rendered(tokenizer, whole), add_special_tokens=False)["input_ids"]
        found = [many + min(len(ids), most) for many, ids in zip(found, texts, strict=True)]
    return [many for many, prompt in zip(found, prompts, strict=True) if len(prompt) < most]


def _documents(
    batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]
) -> dict[str, list[Any]]:
    """Documents as tokens, each with its end; every token counts."""
    end = fields.get("eos_token") or tokenizer.eos_token
    texts = [text if text.endswith(end) else text + end for text in batch["text"]]
    found = tokenizer(texts)["input_ids"]
    return _within(found, [0] * len(found), fields)


def _answers(batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]) -> dict[str, list[Any]]:
    """Conversations as tokens; what counts is the last answer, or every one (`assistant_only_loss`)."""
    if fields.get("assistant_only_loss"):
        return _every_answer(batch["messages"], tokenizer, fields)
    whole = tokenizer(_rendered(tokenizer, batch["messages"]), add_special_tokens=False)["input_ids"]
    if fields.get("completion_only_loss") is False:
        return _within(whole, [0] * len(whole), fields)
    asked = [messages[:-1] for messages in batch["messages"]]
    before = tokenizer(_rendered(tokenizer, asked, add_generation_prompt=True), add_special_tokens=False)["input_ids"]
    # tokens may merge across the border: what counts begins where the two part
    return _within(whole, [_shared(one, other) for one, other in zip(before, whole, strict=True)], fields)


def _rendered(tokenizer: PreTrainedTokenizerBase, conversations: list[Any], **how: bool) -> list[str]:
    return [tokenizer.apply_chat_template(messages, tokenize=False, **how) for messages in conversations]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts share from their beginning."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(np.asarray(one[:length]) != np.asarray(other[:length]))
    return int(differ[0]) if len(differ) else length


def _within(found: list[list[int]], counted_from: list[int], fields: dict[str, Any]) -> dict[str, list[Any]]:
    """Tokens and labels, cut at the recipe's length unless packing splits them instead."""
    labels = [[IGNORED] * start + ids[start:] for ids, start in zip(found, counted_from, strict=True)]
    return _cut(found, labels, fields)


def _cut(found: list[list[int]], labels: list[list[int]], fields: dict[str, Any]) -> dict[str, list[Any]]:
    most = fields.get("max_length")
    if most is None or (fields.get("packing") and fields.get("packing_strategy") in WHOLE):
        cut = [False] * len(found)
    else:
        cut = [len(ids) > most for ids in found]
        found, labels = [ids[:most] for ids in found], [ids[:most] for ids in labels]
    lost = [all(label == IGNORED for label in ids) for ids in labels]
    # a row that is lost is not told as cut, too
    cut = [one and not gone for one, gone in zip(cut, lost, strict=True)]
    return {"input_ids": found, "labels": labels, "cut": cut, "lost": lost}


def _every_answer(
    conversations: list[Any], tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]
) -> dict[str, list[Any]]:
    """Tokens and labels by the template's own marks of what the assistant says; TRL knows those of the usual models."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        template = get_training_chat_template(tokenizer)
    except ValueError as error:
        raise UserError(f"assistant_only_loss needs a template that marks answers: {error}") from None
    found, labels = [], []
    for messages in conversations:
        made = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, chat_template=template
        )
        found.append(made["input_ids"])
        marked = zip(made["input_ids"], made["assistant_masks"], strict=True)
        labels.append([token if mark else IGNORED for token, mark in marked])
    return _cut(found, labels, fields)
