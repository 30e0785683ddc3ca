"""A recipe as TRL's arguments on this machine. What a recipe asks for is honoured or refused, never passed over."""

import os
from importlib.util import find_spec
from typing import Any

import torch
from peft import LoraConfig
from transformers import HfArgumentParser
from trl import ModelConfig, get_peft_config, get_quantization_config

from chimed.errors import UserError
from chimed.train import checkpoint
from chimed.train.recipe import OURS, batches
from chimed.train.run import Run

# What the run says itself: a recipe that says it too would be passed over.
THE_RUNS = (
    *("output_dir", "gradient_accumulation_steps", "resume_from_checkpoint", "push_to_hub", "use_cpu"),
    *("model_init_kwargs", "disable_tqdm", "eval_on_start", "ddp_backend", "train_batch_size", "auto_find_batch_size"),
)
# Seconds that processes wait for each other: more than a checkpoint's upload or a validation in one of them takes.
WAIT = 2 * 3600
# The packages of the trackers that TRL's users name in `report_to`
TRACKERS = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow"}


def arguments(run: Run, config: type) -> tuple[Any, LoraConfig]:
    """TRL's arguments of a run on this machine, and its LoRA. Raises UserError for a field that cannot be honoured.

    bf16, gradient checkpointing and FlashAttention are of the GPU; without one everything is fp32.
    """
    where = f"recipe {run.recipe}/{run.phase}.yaml"
    fields = {name: value for name, value in run.fields.items() if name not in OURS}
    for name in THE_RUNS:
        if name in fields:
            raise UserError(f"{where}: {name} is not a recipe's to say, the run sets it; take that line out")
    if fields.get("trust_remote_code"):
        raise UserError(f"{where}: trust_remote_code would run a stranger's code; no model here needs it")
    if fields.get("use_dora"):
        raise UserError(f"{where}: use_dora is not supported: its result cannot be merged file by file")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    per_device, accumulated = batches(run.fields["global_batch_size"], fields["per_device_train_batch_size"], world)
    fields |= {"per_device_train_batch_size": per_device, "gradient_accumulation_steps": accumulated}
    fields |= {"output_dir": str(run.folder / "checkpoints"), "disable_tqdm": True}
    fields["report_to"] = trackers(run, where)
    fields.setdefault("ddp_timeout", WAIT)
    if not torch.cuda.is_available():
        fields |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
        fields |= {"dtype": "float32", "attn_implementation": "sdpa"}
        if world > 1:
            fields["ddp_backend"] = "gloo"
    elif find_spec("flash_attn"):
        # sdpa isolates packed documents as exactly, but by a dense mask over the whole row
        fields.setdefault("attn_implementation", "flash_attention_2")
    try:
        args, model = HfArgumentParser((config, ModelConfig)).parse_dict(fields)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    args.model_init_kwargs = _loading(run, model, where)
    # The validation loss before the first step is half of "did it fall"; a resumed run has it in its state.
    with args.main_process_first():  # one fetches for all processes of this machine
        found = checkpoint.resumable(run.lake, f"{run.place}/checkpoints", run.folder / "checkpoints")
    args.eval_on_start = "validation" in run.rows and found is None
    lora = get_peft_config(model)
    if lora is None:
        raise UserError(f"{where}: use_peft must be true, the paper trains with LoRA")
    return args, lora


def _loading(run: Run, model: ModelConfig, where: str) -> dict[str, Any]:
    """How the weights are loaded: dtype, attention, the pinned commit, and quantized for QLoRA (arXiv 2305.14314)."""
    loading = {"dtype": model.dtype, "attn_implementation": model.attn_implementation, "revision": run.revision}
    bits = next((bits for bits in ("load_in_4bit", "load_in_8bit") if getattr(model, bits)), None)
    if bits:
        if not torch.cuda.is_available():
            raise UserError(f"{where}: {bits} needs a CUDA GPU, and this machine has none; take the line out here")
        if not find_spec("bitsandbytes"):
            raise UserError(f"{where}: {bits} needs the package bitsandbytes; install it, or take the line out")
        loading["quantization_config"] = get_quantization_config(model)
        loading["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    return {name: value for name, value in loading.items() if value is not None}


def trackers(run: Run, where: str) -> list[str]:
    """Where metrics go beside metrics.jsonl: what the recipe's `report_to` names, else TensorBoard where it is there.

    Raises UserError for one that is not installed.
    """
    asked = run.fields.get("report_to")
    if asked is None:
        asked = ["tensorboard"] if find_spec("tensorboard") else []
    named = [asked] if isinstance(asked, str) else list(asked)
    if named == ["none"]:
        named = []
    for name in named:
        if name not in TRACKERS:
            raise UserError(f"{where}: report_to {name!r} is not supported; choose from: none, {', '.join(TRACKERS)}")
        if not find_spec(TRACKERS[name]):
            raise UserError(f"{where}: report_to names {name}, which is not installed here; install it, or write none")
    if "tensorboard" in named:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(run.folder / "tensorboard"))
    return named
