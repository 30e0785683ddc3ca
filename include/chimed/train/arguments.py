"""A recipe as TRL's arguments on this machine. What a recipe asks for is honoured or refused, never passed over."""

import importlib
import logging
import os
from importlib.util import find_spec
from typing import Any

import torch
from peft import LoraConfig
from transformers import HfArgumentParser
from trl import ModelConfig, get_peft_config, get_quantization_config

from chimed.errors import UserError
from chimed.train import checkpoint, general_data, sharding
from chimed.train import recipe as recipes
from chimed.train.exam_items import check_items
from chimed.train.field_types import check_fields, with_lists
from chimed.train.recipe import BY_ROWS, OURS, batches, fewer
from chimed.train.run import Run, keep_rows_at_once
from chimed.train.tracking import trackers

log = logging.getLogger("chimed")

# What the run says itself: a recipe that says it too would be passed over.
THE_RUNS = (
    *("output_dir", "gradient_accumulation_steps", "resume_from_checkpoint", "push_to_hub", "use_cpu"),
    *("model_init_kwargs", "disable_tqdm", "eval_on_start", "ddp_backend", "train_batch_size", "auto_find_batch_size"),
    *("restore_callback_states_from_checkpoint", "deepspeed", "fsdp", "fsdp_config", "logging_dir"),
)
# Seconds that processes wait for each other: more than a checkpoint's upload or a validation in one of them takes.
WAIT = 2 * 3600
# TRL's configuration of each phase
CONFIGS = {
    "cpt": ("trl", "SFTConfig"),
    "sft": ("trl", "SFTConfig"),
    "dpo": ("trl", "DPOConfig"),
    "kto": ("trl", "KTOConfig"),
    "orpo": ("trl.experimental.orpo", "ORPOConfig"),
    "grpo": ("trl", "GRPOConfig"),
}


def config_of(phase: str) -> type:
    """Return TRL's configuration of a phase."""
    module, name = CONFIGS[phase]
    return getattr(importlib.import_module(module), name)


def check(recipe: str, phase: str) -> None:
    """Raise UserError for a field that a phase of a recipe cannot have, or a value it cannot take; make nothing."""
    check_recipe(recipes.load(recipe, phase), phase, f"recipe {recipe}/{phase}.yaml")


def check_recipe(fields: dict[str, Any], phase: str, where: str) -> None:
    """Raise UserError as `check` does, for fields that were read already. where: what an error calls them."""
    check_settings(fields, phase, where)
    _check_quantization(fields, where)
    if sharded := fields.get("accelerate_config"):
        if not torch.cuda.is_available():
            raise UserError(
                f"{where}: accelerate_config shards a model over GPUs, and this machine has none; take it out"
            )
        sharding.check_installed(sharded)
    general_data.check(phase, fields, where)
    if phase == "grpo":
        check_items(fields, where)


def check_settings(fields: dict[str, Any], phase: str, where: str) -> None:
    """Raise UserError for what no machine would accept: unknown fields, wrong types, fields that exclude each other."""
    for name in THE_RUNS:
        if name in fields:
            raise UserError(f"{where}: {name} is not a recipe's to say, the run sets it; take that line out")
    check_fields(fields, (config_of(phase), ModelConfig), OURS, where)
    if fields.get("reasoning") and phase != "sft":
        raise UserError(f"{where}: reasoning is for sft; take it out of {phase}, or write sft.reasoning")
    if fields.get("trust_remote_code"):
        raise UserError(f"{where}: trust_remote_code would run a stranger's code; no model here needs it")
    if fields.get("use_dora"):
        raise UserError(f"{where}: use_dora is not supported: its result cannot be merged file by file")
    if fields.get("use_peft") is None:
        raise UserError(f"{where}: use_peft must be true, as the paper trains with LoRA, or false for all weights")
    if not fields["use_peft"] and _bits(fields):
        raise UserError(f"{where}: {_bits(fields)} needs use_peft: quantized weights cannot be trained")
    if sharded := fields.get("accelerate_config"):
        sharding.read_config(sharded)
    if fields.get("early_stopping_patience") and not fields.get("load_best_model_at_end"):
        raise UserError(
            f"{where}: early_stopping_patience needs load_best_model_at_end: true, else the last model stays"
        )


def arguments(run: Run) -> tuple[Any, LoraConfig | None]:
    """Return TRL's arguments of a run on this machine, and its LoRA; None where all weights are trained.

    bf16, gradient checkpointing and FlashAttention are of the GPU; without one everything is fp32. Raises UserError for
    a field that cannot be honoured.
    """
    where, configs = f"recipe {run.recipe}/{run.phase}.yaml", (config_of(run.phase), ModelConfig)
    check_recipe(run.fields, run.phase, where)
    fields = with_lists({name: value for name, value in run.fields.items() if name not in OURS}, configs)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    per_device, accumulated = batches(run.fields["global_batch_size"], fields["per_device_train_batch_size"], world)
    if per_device < (asked := fields["per_device_train_batch_size"]) and os.environ.get("RANK", "0") == "0":
        log.info("%s: %s", run.phase, fewer(asked, per_device))
    fields |= {"per_device_train_batch_size": per_device, "gradient_accumulation_steps": accumulated}
    fields |= {"output_dir": str(run.folder / "checkpoints"), "disable_tqdm": True}
    fields["report_to"] = trackers(run.fields, run.folder, where)
    fields["restore_callback_states_from_checkpoint"] = True
    fields.setdefault("run_name", f"{recipes.placed(run.recipe, run.phase)}/{run.phase}/{run.release}")
    fields.setdefault("project", "chimed")
    fields.setdefault("ddp_timeout", WAIT)
    if fields.get("load_best_model_at_end") and run.phase != "grpo" and "validation" not in run.rows:
        raise UserError(
            f"{where}: load_best_model_at_end compares losses on held-out rows, and release {run.release} has none for "
            f"{run.phase}; say load_best_model_at_end: false"
        )
    if not torch.cuda.is_available():
        fields |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
        fields |= {"dtype": "float32", "attn_implementation": "sdpa"}
        if world > 1:
            fields["ddp_backend"] = "gloo"
    elif find_spec("flash_attn"):
        # sdpa isolates packed documents as exactly, but by a dense mask over the whole row
        fields.setdefault("attn_implementation", "flash_attention_2")
    try:
        args, model = HfArgumentParser(configs).parse_dict(fields)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    args.model_init_kwargs = _loading(run, model, where)
    # The validation loss before the first step is half of "did it fall"; a resumed run has it in its state.
    with args.main_process_first():  # one fetches for all processes of this machine
        found = checkpoint.resumable(run.lake, f"{run.place}/checkpoints", run.folder / "checkpoints")
    if run.phase in BY_ROWS:
        keep_rows_at_once(run, world, per_device, resumed=found is not None)
    args.eval_on_start = ("validation" in run.rows or run.phase == "grpo") and found is None
    return args, get_peft_config(model)


def _bits(fields: dict[str, Any]) -> str | None:
    return next((bits for bits in ("load_in_4bit", "load_in_8bit") if fields.get(bits)), None)


def _check_quantization(fields: dict[str, Any], where: str) -> None:
    if not (bits := _bits(fields)):
        return
    if not torch.cuda.is_available():
        raise UserError(f"{where}: {bits} needs a CUDA GPU, and this machine has none; take the line out here")
    if not find_spec("bitsandbytes"):
        raise UserError(f"{where}: {bits} needs the package bitsandbytes; install it, or take the line out")
    if (sharded := fields.get("accelerate_config")) and sharding.is_zero3(sharded):
        raise UserError(f"{where}: {bits} and ZeRO-3 do not go together; take accelerate_config out, or {bits}")


def _loading(run: Run, model: ModelConfig, where: str) -> dict[str, Any]:
    """Return how weights are loaded: dtype, attention, pinned commit, and quantized for QLoRA (arXiv 2305.14314)."""
    _check_quantization(vars(model), where)
    loading = {"dtype": model.dtype, "attn_implementation": model.attn_implementation, "revision": run.revision}
    if _bits(vars(model)):
        loading["quantization_config"] = get_quantization_config(model)
        loading["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    return {name: value for name, value in loading.items() if value is not None}
