"""General data mixed into cpt and sft in a stated share, against forgetting (replay: arXiv 2403.08763). Ours.

A recipe says `mix: <source>` and `mix_share: 0.2`: of all tokens that are trained on, a fifth are general. A source is a
folder with parquet or JSON-lines files (also `s3://…`), a data set of the hub, or `release:<version>/<subset>`. Rows are
drawn by the recipe's seed before there are processes, so any number of GPUs sees the same ones. Rows that hold a
question of the exams in `CHIMED_EXAMS` are left out, as they are from a release. Validation is on the release alone: the
loss before and after is comparable between shares.
"""

import hashlib
import json
import logging
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from chimed.errors import UserError
from chimed.private import private_folder
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from chimed.train.run import Run

log = logging.getLogger("chimed")

RELEASE = "release:"
ENDINGS = (".parquet", ".jsonl")
PHASES = ("cpt", "sft")  # pairs of answers and exam items have no general counterpart
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


def check(phase: str, fields: dict, where: str) -> None:
    """Raises UserError where a recipe's mix cannot be: another phase's, no share, or a share without a source."""
    source, share = fields.get("mix"), fields.get("mix_share")
    if source is None and share is None:
        return
    if phase not in PHASES:
        raise UserError(f"{where}: mix is for {' and '.join(PHASES)}; take it out of {phase}")
    if source is None or share is None:
        raise UserError(f"{where}: mix names general data and mix_share says how much of them; it has only one of both")
    if not 0 < share < 1:
        raise UserError(f"{where}: mix_share is {share}; it is the general share of all tokens, between 0 and 1")


def on_hub(source: str | None) -> bool:
    """Whether a mix's source is a data set of the hub."""
    return bool(source) and not str(source).startswith((RELEASE, ".", "/", "~")) and "://" not in str(source)


def what_it_is(lake: Lake, fields: dict, begun: str) -> str:
    """The source by content: `<name>@<commit>` of the hub, else `<source>@<hash of its files>`.

    begun: what it was when the run began; a source of the hub stays that. Raises UserError where it cannot be read.
    """
    source = str(fields["mix"])
    if not on_hub(source):
        digest = hashlib.sha256()
        for path in _files(lake, source):
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return f"{source}@{digest.hexdigest()[:16]}"
    if begun.startswith(f"{source}@"):
        return begun
    from huggingface_hub import HfApi

    try:
        return f"{source}@{HfApi().dataset_info(source, revision=fields.get('mix_revision')).sha}"
    except Exception as error:  # of many kinds: names, certificates, proxies, the hub's own
        raise UserError(
            f"mix: {source} cannot be had from the Hugging Face hub or its mirror, HF_ENDPOINT "
            f"({type(error).__name__}); a folder is written with its whole path, or from ./"
        ) from None


def _files(lake: Lake, source: str) -> list[Path]:
    """The files of a source that is no data set of the hub, on this machine."""
    if source.startswith(RELEASE):
        path = f"releases/{source.removeprefix(RELEASE)}/train.parquet"
        if not lakes.exists(lake, path):
            raise UserError(f"mix: no {path} in the lake; write {RELEASE}<version>/<subset>")
        return [lakes.local_path(lake, path)]
    if "://" not in source and not Path(source).expanduser().is_dir():
        raise UserError(f"mix: there is no folder {source}")
    own = lakes.open_lake(source if "://" in source else str(Path(source).expanduser().resolve()))
    found = [lakes.local_path(own, name) for name in lakes.names(own, "") if name.endswith(ENDINGS)]
    if not found:
        raise UserError(f"mix: {source} has no files {' or '.join(ENDINGS)}")
    return found


def prepare(run: "Run", tokenizer: "PreTrainedTokenizerBase", medical: Path) -> Path:
    """A folder with `train/`, the release's rows and the general ones behind them, and `mixed.json` (a `Mixed`).

    medical: the folder of the release's rows as tokens (`tokens.prepare_rows`). Made where it is not there. Raises
    UserError where the source has too few tokens, or no column that the phase could read.
    """
    of = [medical.name, run.mixed, run.fields["mix_share"], run.fields.get("seed", 42), str(settings().exams)]
    folder = private_folder("mixed") / hashlib.sha256(json.dumps(of).encode()).hexdigest()[:24]
    if (folder / "mixed.json").exists():
        return folder
    import datasets

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
    import pyarrow.compute as pc

    table = rows.data.table if rows._indices is None else rows.flatten_indices().data.table
    return np.asarray(pc.list_value_length(table["input_ids"]))


def _drawn(run: "Run", tokenizer: "PreTrainedTokenizerBase", wanted: int) -> tuple[Any, int | None, int]:
    """General rows as tokens, as many as make `wanted` of them: (rows, looked at for exams or None, left out)."""
    import datasets

    from chimed.train.tokens import prepare_rows

    frame = _frame(run)
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
            alike = replace(run, rows={"train": path}, release=f"(mix: {run.fields['mix']})")
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


def _frame(run: "Run") -> pl.LazyFrame:
    """The source's rows in the phase's one column: `text`, or `messages` of role and content."""
    source = str(run.fields["mix"])
    if on_hub(source):
        import datasets

        try:
            rows = datasets.load_dataset(source, split="train", revision=run.mixed.rsplit("@", 1)[1])
        except Exception as error:
            raise UserError(f"mix: {source} of the hub cannot be read: {str(error).splitlines()[0][:200]}") from None
        found = [pl.from_arrow(rows.data.table).lazy()]  # type: ignore[union-attr]
    else:
        files = _files(run.lake, source)
        found = [pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_ndjson(path) for path in files]
    return pl.concat([_column(one, run.phase, source) for one in found])


def _column(frame: pl.LazyFrame, phase: str, source: str) -> pl.LazyFrame:
    """One column of a table in a usual form: text, messages, Alpaca's, or question and answer."""
    schema = frame.collect_schema()
    if phase == "cpt" and schema.get("text") == pl.String:
        return frame.select("text")
    if phase == "sft" and "messages" in schema:
        turn = pl.struct(pl.element().struct["role"], pl.element().struct["content"])
        return frame.select(pl.col("messages").list.eval(turn))
    for asked, answered in (("instruction", "output"), ("question", "answer"), ("prompt", "completion")):
        if phase == "sft" and schema.get(asked) == schema.get(answered) == pl.String:
            ask = pl.col(asked)
            if schema.get("input") == pl.String:
                more = pl.col("input").fill_null("")
                ask = pl.when(more == "").then(ask).otherwise(ask + "\n" + more)
            turns = [
                pl.struct(pl.lit(role).alias("role"), text.alias("content"))
                for role, text in (("user", ask), ("assistant", pl.col(answered)))
            ]
            return frame.select(pl.concat_list(turns).alias("messages"))
    needs = "text" if phase == "cpt" else "messages, instruction and output, or question and answer"
    raise UserError(f"mix: {source} has no column {needs}; it has {', '.join(schema.names())}")


def _rows(frame: pl.LazyFrame, order: np.ndarray) -> pl.DataFrame:
    """The rows of these numbers, in this order."""
    wanted = pl.LazyFrame({"row": order.astype(np.uint32), "place": np.arange(len(order), dtype=np.uint32)})
    found = frame.with_row_index("row").join(wanted, on="row").sort("place")
    return found.drop("row", "place").collect()


def _without_exams(rows: pl.DataFrame, phase: str) -> tuple[pl.DataFrame, int | None]:
    """Rows without a question of the exams that models are measured on, and how many were looked at."""
    if not settings().exams:
        log.warning("CHIMED_EXAMS is not set: general data are mixed in that may hold exam questions")
        return rows, None
    from chimed.train.exam_items import holding_exams

    texts = rows["text"] if phase == "cpt" else rows.select(
        pl.col("messages").list.eval(pl.element().struct["content"]).list.join("\n")
    ).to_series()  # fmt: skip
    return rows.filter(~holding_exams(texts)), len(rows)
