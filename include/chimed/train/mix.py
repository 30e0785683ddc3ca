"""General data mixed into cpt and sft in a stated share, against forgetting (replay: arXiv 2403.08763). Ours.

A recipe says `mix: <source>` and `mix_share: 0.2`: of all tokens that are trained on, a fifth are general. A source is
a folder with parquet or JSON-lines files (also `s3://…`), a data set of the hub, or `release:<version>/<subset>`. Rows
are drawn by the recipe's seed before there are processes, so any number of GPUs sees the same ones. Rows that hold a
question of the exams in `CHIMED_EXAMS` are left out, as they are from a release. Validation is on the release alone:
the loss before and after is comparable between shares.
"""

import hashlib
import json
import logging
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow.compute as pc
from transformers import PreTrainedTokenizerBase

from chimed.errors import UserError
from chimed.private import private_folder
from chimed.settings import settings
from chimed.train.exam_items import holding_exams
from chimed.train.general_data import read_source
from chimed.train.run import Run
from chimed.train.tokens import prepare_rows

log = logging.getLogger("chimed")

# Characters a token that are drawn at first; where they make too few tokens, twice as many are.
FIRST_GUESS = 2.0


@dataclass(frozen=True)
class Mixed:
    """What was mixed into a phase. share: of all tokens trained on. rows, tokens: general ones among them.

    looked_at: rows that were drawn and compared with the exams, None where there were no exams. held_exams: how many of
    them held a question and were left out.
    """

    source: str
    share: float
    rows: int
    tokens: int
    looked_at: int | None
    held_exams: int


def prepare(run: Run, tokenizer: PreTrainedTokenizerBase, medical: Path) -> Path:
    """Return a folder with `train/`, the release's rows with general ones behind them, and `mixed.json` (a `Mixed`).

    medical: the folder of the release's rows as tokens (`tokens.prepare_rows`). Made where it is not there. Raises
    UserError where the source has too few tokens, or no column that the phase could read.
    """
    of = [medical.name, run.mixed, run.fields["mix_share"], run.fields.get("seed", 42), str(settings().exams)]
    folder = private_folder("mixed") / hashlib.sha256(json.dumps(of).encode()).hexdigest()[:24]
    if (folder / "mixed.json").exists():
        return folder
    release = datasets.load_from_disk(medical / "train")
    share = float(run.fields["mix_share"])
    wanted = round(_lengths(release).sum() * share / (1 - share))
    general, looked_at, held = _drawn(run, tokenizer, wanted)
    both = datasets.concatenate_datasets([release, general.cast(release.features)])
    tokens = int(_lengths(general).sum())
    made = Mixed(run.mixed, tokens / int(_lengths(both).sum()), len(general), tokens, looked_at, held)
    log.info("%s: %d general rows mixed in, %.1f %% of all tokens", run.phase, made.rows, 100 * made.share)
    draft = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    both.save_to_disk(draft / "train")
    (draft / "mixed.json").write_text(json.dumps(asdict(made)))
    try:
        draft.rename(folder)
    except OSError:
        if not (folder / "mixed.json").exists():  # else another process was faster
            raise
        shutil.rmtree(draft)
    return folder


def _lengths(rows: Any) -> np.ndarray:
    table = rows.data.table if rows._indices is None else rows.flatten_indices().data.table
    return np.asarray(pc.list_value_length(table["input_ids"]))


def _drawn(run: Run, tokenizer: PreTrainedTokenizerBase, wanted: int) -> tuple[Any, int | None, int]:
    """Draw general rows until they have `wanted` tokens: return (rows, looked at for exams or None, left out)."""
    frame = read_source(run.lake, str(run.fields["mix"]), run.mixed, run.phase)
    size = pl.col("text") if run.phase == "cpt" else pl.col("messages").list.eval(pl.element().struct["content"])
    length = size.str.len_chars() if run.phase == "cpt" else size.list.eval(pl.element().str.len_chars()).list.sum()
    characters = frame.select(length.fill_null(0)).collect().to_series().to_numpy()
    order = np.random.default_rng(run.fields.get("seed", 42)).permutation(len(characters))
    reached = characters[order].cumsum()
    many = FIRST_GUESS * wanted
    while True:
        count = min(len(order), int(np.searchsorted(reached, many)) + 1)
        rows = _rows(frame, order[:count])
        kept, looked_at = _without_exams(rows, run.phase)
        path = private_folder("mixed") / f"{uuid.uuid4().hex}.parquet"
        try:
            kept.write_parquet(path)
            alike = replace(run, rows={"train": [path]}, release=f"(mix: {run.fields['mix']})")
            made = datasets.load_from_disk(prepare_rows(alike, tokenizer) / "train")
        finally:
            path.unlink(missing_ok=True)
        tokens = _lengths(made).cumsum()
        if tokens[-1] >= wanted:
            return made.select(range(int(np.searchsorted(tokens, wanted)) + 1)), looked_at, len(rows) - len(kept)
        if count == len(order):
            raise UserError(
                f"mix: {run.fields['mix']} has {tokens[-1]:,} tokens for {run.phase}, and mix_share "
                f"{run.fields['mix_share']} of this release needs {wanted:,}; lower mix_share, or name more data"
            )
        many *= 2


def _rows(frame: pl.LazyFrame, order: np.ndarray) -> pl.DataFrame:
    """Return the rows of these numbers, in this order."""
    wanted = pl.LazyFrame({"row": order.astype(np.uint32), "place": np.arange(len(order), dtype=np.uint32)})
    found = frame.with_row_index("row").join(wanted, on="row").sort("place")
    return found.drop("row", "place").collect()


def _without_exams(rows: pl.DataFrame, phase: str) -> tuple[pl.DataFrame, int | None]:
    """Return rows without a question of the exams that models are measured on, and how many were looked at."""
    if not settings().exams:
        log.warning("CHIMED_EXAMS is not set: general data are mixed in that may hold exam questions")
        return rows, None
    texts = rows["text"] if phase == "cpt" else rows.select(
        pl.col("messages").list.eval(pl.element().struct["content"]).list.join("\n")
    ).to_series()  # fmt: skip
    return rows.filter(~holding_exams(texts)), len(rows)
