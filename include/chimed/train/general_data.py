"""Where general data come from that are mixed into training (`mix`): folders, the hub, other releases. Ours."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl

from chimed.errors import UserError
from chimed.storage import copies, layout
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake

RELEASE = "release:"
ENDINGS = (".parquet", ".jsonl")
PHASES = ("cpt", "sft")  # pairs of answers and exam items have no general counterpart


def check(phase: str, fields: dict[str, Any], where: str) -> None:
    """Raise UserError where a recipe's mix cannot be: another phase's, no share, or a share without a source."""
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
    """Tell whether a mix's source is a data set of the hub."""
    return bool(source) and not str(source).startswith((RELEASE, ".", "/", "~")) and "://" not in str(source)


def what_it_is(lake: Lake, fields: dict[str, Any], begun: str) -> str:
    """Return the source by content: `<name>@<commit>` of the hub, else `<source>@<hash of its files>`.

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
    """Return the files of a source that is no data set of the hub, on this machine."""
    if source.startswith(RELEASE):
        path = layout.release(source.removeprefix(RELEASE), "train.parquet")
        if not lakes.exists(lake, path):
            raise UserError(f"mix: no {path} in the lake; write {RELEASE}<version>/<subset>")
        return [copies.local_path(lake, path)]
    if "://" not in source and not Path(source).expanduser().is_dir():
        raise UserError(f"mix: there is no folder {source}")
    own = lakes.open_lake(source if "://" in source else str(Path(source).expanduser().resolve()))
    found = [copies.local_path(own, name) for name in lakes.names(own, "") if name.endswith(ENDINGS)]
    if not found:
        raise UserError(f"mix: {source} has no files {' or '.join(ENDINGS)}")
    return found


def read_source(lake: Lake, source: str, identity: str, phase: str) -> pl.LazyFrame:
    """Return the source's rows in the phase's one column: `text`, or `messages` of role and content.

    identity: what `what_it_is` said. Raises UserError where it cannot be read, or has no column that the phase knows.
    """
    if on_hub(source):
        import datasets

        try:
            rows = datasets.load_dataset(source, split="train", revision=identity.rsplit("@", 1)[1])
        except Exception as error:
            raise UserError(f"mix: {source} of the hub cannot be read: {str(error).splitlines()[0][:200]}") from None
        found = [pl.from_arrow(rows.data.table).lazy()]  # type: ignore[union-attr]
    else:
        files = _files(lake, source)
        found = [pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_ndjson(path) for path in files]
    return pl.concat([_column(one, phase, source) for one in found])


def _column(frame: pl.LazyFrame, phase: str, source: str) -> pl.LazyFrame:
    """Return one column of a table in a usual form: text, messages, Alpaca's, or question and answer."""
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
