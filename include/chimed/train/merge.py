"""A phase's result as one plain checkpoint: the weights it started from with its adapter added, file by file.

After full fine-tuning there is no adapter: the trained weights are rounded, and nothing is added.

The whole model is never in memory: a file of weights is read, the adapter's product is added to each of its matrices in
fp32 and rounded once to the recipe's dtype, and the file is written. 14 B parameters take a few GB instead of 55.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer

from chimed.errors import UserError
from chimed.train.run import Run

FULL = "full"  # the folder in which a trainer leaves all weights, where it trained them all
INDEX = "model.safetensors.index.json"
PREFIX = "base_model.model."
A, B = ".lora_A.weight", ".lora_B.weight"


def merge(run: Run) -> Path:
    """Write `merged/`, which vLLM serves as it is, and return its folder.

    Base, config and tokenizer are read anew from where the run started: the trainer changes its own (end and padding
    tokens). Raises UserError for an adapter or a start of a form that cannot be added so.
    """
    source = _start_folder(run)
    target, draft = run.folder / "merged", run.folder / "merged.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    dtype = getattr(torch, kept_dtype(run.fields))
    trained = run.folder / FULL
    factors, whole, scale = ({}, {}, 1.0) if trained.is_dir() else _adapter(run.folder / "adapter")
    left, written = set(factors) | set(whole), 0
    weights = trained if trained.is_dir() else source
    for path in _weights(weights):
        with safe_open(path, "pt") as file:
            tensors = {}
            for name in file.keys():  # noqa: SIM118  (a file of safetensors, no dict)
                tensors[name] = _added(file.get_tensor(name), name, factors, whole, scale).to(dtype)
            left -= tensors.keys()
        save_file(tensors, draft / path.name, metadata={"format": "pt"})
        written += sum(tensor.nbytes for tensor in tensors.values())
    if left:
        raise UserError(
            f"the adapter changes {sorted(left)[0]}, which {run.start} does not have: it was made for another"
        )
    if (weights / INDEX).exists():
        index = json.loads((weights / INDEX).read_text())
        index.setdefault("metadata", {})["total_size"] = written
        (draft / INDEX).write_text(json.dumps(index, indent=2))
    config = AutoConfig.from_pretrained(source)
    config.dtype = dtype
    config.save_pretrained(draft)
    if (source / "generation_config.json").exists():
        shutil.copy(source / "generation_config.json", draft)
    AutoTokenizer.from_pretrained(source).save_pretrained(draft)
    for made in draft.iterdir():
        made.chmod(0o644)  # weights are written for their owner only; a server may run as another user
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    shutil.rmtree(trained, ignore_errors=True)
    return target


def kept_dtype(fields: dict[str, Any]) -> str:
    """Return the dtype of what a phase leaves: bf16 where it computes so, even if it keeps its weights in fp32."""
    return "bfloat16" if fields.get("bf16") and fields["dtype"] == "float32" else fields["dtype"]


def _start_folder(run: Run) -> Path:
    """Return the files of what the run started from; those of the hub lie in its cache since they were loaded."""
    if Path(run.start).is_dir():
        return Path(run.start)
    from huggingface_hub import snapshot_download

    files = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]
    return Path(snapshot_download(run.start, revision=run.revision, allow_patterns=files))


def _weights(folder: Path) -> list[Path]:
    """Return the files of weights of a checkpoint. Raises UserError where there are none in safetensors."""
    if (folder / INDEX).exists():
        return [folder / name for name in sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))]
    if not (folder / "model.safetensors").exists():
        raise UserError(f"{folder} has no weights in safetensors; convert them, then train from the result")
    return [folder / "model.safetensors"]


def _adapter(folder: Path) -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], dict[str, torch.Tensor], float]:
    """Return (the two factors by the matrix they change, tensors saved whole by name, the factors' scale)."""
    config = json.loads((folder / "adapter_config.json").read_text())
    if config.get("use_dora"):
        raise UserError("use_dora cannot be merged file by file; take it out of the recipe")
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise UserError("an adapter with a rank of its own for some layers cannot be merged file by file")
    saved = {
        name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / "adapter_model.safetensors").items()
    }
    factors = {
        name.removesuffix(A) + ".weight": (tensor, saved[name.removesuffix(A) + B])
        for name, tensor in saved.items()
        if name.endswith(A)
    }
    whole = {name: tensor for name, tensor in saved.items() if not name.endswith((A, B))}
    if strange := [name for name in whole if "lora_" in name]:
        raise UserError(f"the adapter's {strange[0]} cannot be merged file by file: only linear layers can")
    rank = math.sqrt(config["r"]) if config.get("use_rslora") else config["r"]
    return factors, whole, config["lora_alpha"] / rank


def _added(
    tensor: torch.Tensor, name: str, factors: dict[str, Any], whole: dict[str, Any], scale: float
) -> torch.Tensor:
    if name in whole:
        return whole[name]
    if name not in factors:
        return tensor
    a, b = factors[name]
    return tensor.float() + scale * (b.float() @ a.float())
