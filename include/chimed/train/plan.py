"""What training a recipe will take, before anything is loaded: parameters, memory a GPU, steps, hours (paper §4.1).

    python -m chimed train --recipe qwen3-14b --plan

The model is built on `meta` tensors, which have shapes and no memory. Everything printed is an estimate by the
formulas of `memory` and `flops_per_token`; nothing of it was measured on an A40.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimed.errors import UserError, choose
from chimed.release import find_release, releases
from chimed.release.table4 import TOTAL, table4
from chimed.settings import settings
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.train import recipe as recipes
from chimed.train.run import PHASES, SUBSET, base_of

# NVIDIA's A40 datasheet: 48 GB, bf16 on tensor cores without sparsity
GPU, GPU_GB, GPU_FLOPS = "A40", 48, 149.7e12
# Assumed: the share of that peak which training reaches, recomputation counted as work. 0.3 to 0.5 is usual for dense
# models on GPUs of its kind (PaLM, arXiv 2204.02311, Table 3, gives 0.21 to 0.46 for four systems).
UTILISATION = 0.35
# Assumed: CUDA context, NCCL's and cuBLAS's buffers, what the allocator cannot use, in GB
RESERVE_GB = 2.0

# Rows and characters of the paper's Table 4, both domains, where there is no release to count
TABLE_4 = {"cpt": (164_800, 57.8e6), "sft": (351_600, 138.3e6), "dpo": (41_700, 8.3e6)}
# Measured with Qwen3's tokenizer on texts of the five sites: 1.06 on classics, 1.29 on herbs, 1.58 on answers of
# doctors. Documents are the first two kinds, questions and answers the third.
CHARACTERS_A_TOKEN = {"cpt": 1.2, "sft": 1.58, "dpo": 1.58}
HELD_OUT = 0.05  # share of rows held out for validation, where there is no release to count
# What the template puts around a row: the end of a text; two turns of ChatML and the empty thinking block, twice in dpo
AROUND = {"cpt": 1, "sft": 14, "dpo": 28}
# TRL's fused head makes logits tile by tile: positions and vocabulary entries of one (trl/kernels/chunked_logprob.py)
TILE = (4096, 32768)


@dataclass(frozen=True)
class Plan:
    """One phase. parameters include the trainable ones. memory: GB of a GPU by what takes it. hours: on all GPUs.

    checking: hours of the validations, not in `hours`. disk: GB that checkpoints, adapter and merged weights take.
    host: GB of the machine's memory while all GPUs' processes load the weights. checkpointed: by gradients recomputed.
    """

    phase: str
    gpus: int
    parameters: int
    trainable: int
    batch: tuple[int, int, int]
    memory: dict[str, float]
    tokens: int
    epochs: float
    steps: int
    hours: float
    checking: float
    disk: float
    host: float
    checkpointed: bool
    without_checkpointing: float | None


def plan_recipe(recipe: str, phase: str | None, release: str, gpus: int | None) -> str:
    """The plan of a recipe's phases as text; see `plans_of`."""
    of, plans = plans_of(recipe, phase, release, gpus)
    return told(recipe, of, plans)


def plans_of(recipe: str, phase: str | None, release: str, gpus: int | None) -> tuple[str, list[Plan]]:
    """What the plans of a recipe's phases are counted from, and they. gpus: how many A40s, default the recipe's own.

    Raises UserError for an unknown name, a batch that so many GPUs cannot share, or a phase that does not fit one.
    """
    choose("recipe", recipe, recipes.names())
    phases = PHASES if phase is None else (choose("phase", phase, PHASES),)
    lake = lakes.open_lake()
    counts, of = TABLE_4, "the paper's Table 4, for want of a release"
    if release != "latest" or releases(lake):
        release = find_release(lake, release)
        counts, of = release_counts(lake, release), f"release {release}"
    shape = model_shape(recipe)
    return of, [plan_phase(one, recipes.load(recipe, one), shape, counts[one], gpus) for one in phases]


def release_counts(lake: Lake, release: str) -> dict[str, tuple[int, float]]:
    """(rows, characters) that each phase trains on; characters as the release counted them, a prompt once."""
    known = lakes.read_json(lake, layout.release(release, layout.STATISTICS))
    counts = {}
    for phase, subset in SUBSET.items():
        train, held = (known["splits"].get(f"{subset}/{split}", 0) for split in ("train", "validation"))
        characters = table4(known)[subset][TOTAL]["characters"]
        counts[phase] = (train, characters * train / max(1, train + held))
    return counts


def model_shape(recipe: str) -> Any:
    """The config of a recipe's model: of `CHIMED_BASE_CHECKPOINT` if that is set, else the recipe's model.yaml."""
    from transformers import AutoConfig

    base = settings().base_checkpoint
    fields = recipes.shape(recipe)
    if base or fields is None:
        return AutoConfig.from_pretrained(base_of(recipe, base), local_files_only=Path(base or "").is_dir())
    return AutoConfig.for_model(**fields)


def plan_phase(phase: str, fields: dict, shape: Any, count: tuple[int, float], gpus: int | None) -> Plan:
    """The plan of one phase, of a model of this shape, for a number of rows and characters."""
    gpus = gpus or fields["gpus"]
    per_device, accumulated = recipes.batches(fields["global_batch_size"], fields["per_device_train_batch_size"], gpus)
    parameters, trainable = on_meta(fields, shape)
    need = memory(phase, fields, shape, parameters, trainable, per_device, gpus)
    if sum(need.values()) > GPU_GB:
        raise UserError(
            f"{phase} needs about {sum(need.values()):.0f} GB of a GPU and an {GPU} has {GPU_GB}; "
            f"lower per_device_train_batch_size ({per_device}), max_length or lora_r in the recipe"
        )
    rows, characters = count
    tokens = characters / CHARACTERS_A_TOKEN[phase] + rows * AROUND[phase]
    sequences = math.ceil(tokens / fields["max_length"]) if fields.get("packing") else rows
    epochs = float(fields.get("num_train_epochs", 1))
    steps = math.ceil(sequences / fields["global_batch_size"]) * epochs
    if fields.get("max_steps", 0) > 0 and steps:
        epochs, steps = epochs * fields["max_steps"] / steps, fields["max_steps"]
    length, again = tokens / max(1, sequences), bool(fields["gradient_checkpointing"])
    speed = gpus * GPU_FLOPS * UTILISATION * 3600
    hours = tokens * epochs * flops_per_token(phase, shape, parameters, length, again) / speed
    checks = validations(fields, steps) * tokens * HELD_OUT
    checking = checks * forward_flops(shape, parameters, length) * (2 if phase == "dpo" else 1) / speed
    batch = (gpus, per_device, accumulated)
    kept = memory(phase, fields | {"gradient_checkpointing": False}, shape, parameters, trainable, per_device, gpus)
    without = sum(kept.values())
    disk, host = storage(fields, parameters, trainable, gpus)
    return Plan(
        phase, gpus, parameters, trainable, batch, need, round(tokens), epochs, round(steps), hours, checking, disk,
        host, again, without if again and without <= GPU_GB else None,
    )  # fmt: skip


def validations(fields: dict, steps: float) -> float:
    """How often the rows held out are looked at: before, after, and by the recipe's `eval_steps`."""
    every = float(fields.get("eval_steps") or 0) if fields.get("eval_strategy") == "steps" else 0.0
    between = (1 / every if every < 1 else steps / every) if every else 0.0
    return 2 + between


def storage(fields: dict, parameters: int, trainable: int, gpus: int) -> tuple[float, float]:
    """(GB of disk, GB of the machine's memory) of one phase.

    Disk: each checkpoint has the adapter and Adam's two moments in fp32, one more while the newest is written; the
    adapter; the merged weights, twice while they are written anew. Memory: safetensors are mapped, so the processes of
    a machine share the file's pages; each adds what a Python with torch takes, assumed 4 GB.
    """
    width = 4 if fields["dtype"] == "float32" else 2
    checkpoints = (fields.get("save_total_limit") or 10) + 1
    disk = 12 * trainable * checkpoints + 4 * trainable + 2 * width * (parameters - trainable)
    return disk / 1e9, (width * (parameters - trainable)) / 1e9 + 4 * gpus


def on_meta(fields: dict, shape: Any) -> tuple[int, int]:
    """(all parameters, trainable ones) of the model with the recipe's adapter; no weight is made."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, HfArgumentParser
    from trl import ModelConfig, get_peft_config

    (chosen,) = HfArgumentParser(ModelConfig).parse_dict(fields, allow_extra_keys=True)
    with torch.device("meta"):
        model = get_peft_model(AutoModelForCausalLM.from_config(shape), get_peft_config(chosen))
    trainable = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return sum(one.numel() for one in model.parameters()), trainable


def memory(
    phase: str, fields: dict, shape: Any, parameters: int, trainable: int, per_device: int, gpus: int
) -> dict[str, float]:
    """GB (10⁹ bytes) of one GPU, by what takes them.

    - weights: of the frozen model, in the recipe's dtype.
    - adapter: PEFT keeps it in fp32; weight, gradient and Adam's two moments are 16 bytes a parameter (ZeRO,
      arXiv 1910.02054 §3.1, without its half-precision copies), and DDP's buckets hold the gradients once more.
    - kept: with gradient checkpointing, the input of every layer (arXiv 1604.06174).
    - layer: what autograd keeps of the one layer being recomputed (`layer_bytes`), and as much for its gradients.
    - logits: TRL's fused head makes one tile of them, its rows' gradients in fp32 beside it.
    - reserve: assumed, see above.
    """
    width = 4 if fields["dtype"] == "float32" else 2
    tokens = per_device * fields["max_length"] * (2 if phase == "dpo" else 1)
    rows, columns = min(TILE[0], tokens), min(TILE[1], shape.vocab_size)
    layer = tokens * layer_bytes(shape, fields["lora_r"], fields["lora_dropout"]) * width / 2
    kept = shape.num_hidden_layers * tokens * shape.hidden_size * width
    if not fields["gradient_checkpointing"]:
        kept = shape.num_hidden_layers * layer
    found = {
        "weights": (parameters - trainable) * width,
        "adapter": trainable * (16 + (4 if gpus > 1 else 0)),
        "kept": kept,
        "layer": 2 * layer,
        "logits": width * (rows * columns + tokens * shape.hidden_size) + 4 * tokens * shape.hidden_size,
        "reserve": RESERVE_GB * 1e9,
    }
    return {name: size / 1e9 for name, size in found.items()}


def layer_bytes(shape: Any, rank: int, dropout: float) -> int:
    """Bytes a token that autograd keeps of one Qwen3 layer in bf16, attention by FlashAttention or sdpa.

    Counted as in arXiv 2205.05198 §4.1, for grouped queries, a gated MLP and adapters on all seven linear layers:
    frozen weights need no input kept, an adapter keeps its own. The tests count the same from autograd itself.
    """
    queries, keys = (heads * shape.head_dim for heads in (shape.num_attention_heads, shape.num_key_value_heads))
    hidden, inner = shape.hidden_size, shape.intermediate_size
    kept = 18 * hidden + 10 * queries + 8 * keys + 8 * inner + 14 * rank
    masks = 4 * (5 * hidden + queries + inner) if dropout else 0
    return kept + masks


def forward_flops(shape: Any, parameters: int, length: float) -> float:
    """Floating-point operations of a forward pass for one token in a text of `length` (arXiv 2001.08361 §2.1).

    2 a parameter that multiplies, and attention over half the text before it.
    """
    lookup = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size  # tied, it is the head too
    queries = shape.num_attention_heads * shape.head_dim
    return 2 * (parameters - lookup) + 4 * shape.num_hidden_layers * queries * length / 2


def flops_per_token(phase: str, shape: Any, parameters: int, length: float, again: bool = True) -> float:
    """Floating-point operations to train on one token in a text of `length` tokens.

    A forward pass, and as much for the gradient of the activations; frozen weights have none. again: with gradient
    checkpointing the forward pass runs twice. dpo adds the reference's forward pass.
    """
    passes = 2 + again + (phase == "dpo")
    return forward_flops(shape, parameters, length) * passes


def told(recipe: str, of: str, plans: list[Plan]) -> str:
    """Plans for a person's eyes."""
    lines = [f"{recipe} on {plans[0].gpus} {GPU}, for {of}:"]
    for plan in plans:
        gpus, rows, accumulated = plan.batch
        need = " + ".join(f"{name} {size:.1f}" for name, size in plan.memory.items())
        lines += [
            "",
            f"{plan.phase}  {plan.parameters:,} parameters, {plan.trainable:,} trainable "
            f"({100 * plan.trainable / plan.parameters:.2f} %)",
            f"     batch   {gpus * rows * accumulated} = {gpus} GPUs × {rows} at once × {accumulated} accumulated",
            f"     memory  {need} = {sum(plan.memory.values()):.1f} of {GPU_GB} GB a GPU",
            f"     time    {plan.tokens / 1e6:,.2f} M tokens, {plan.epochs:g} times: "
            f"{plan.steps:,} steps, {plan.hours:,.1f} h, and {plan.checking:,.1f} h of validation",
            f"     machine {plan.disk:,.0f} GB of disk, {plan.host:,.0f} GB of memory; gradient checkpointing is "
            f"{'on' if plan.checkpointed else 'off'}",
        ]
        if plan.checkpointed and (without := plan.without_checkpointing) is not None:
            lines.append(
                f"             off it would fit, too ({without:.0f} GB a GPU), and save a quarter of the time or more"
            )
    lines += [
        "",
        f"All phases: {sum(plan.hours + plan.checking for plan in plans):,.1f} h. Estimates, not measured: "
        f"{GPU_FLOPS / 1e12:g} TFLOPS a GPU of which {UTILISATION:.0%} are reached, {told_density()} "
        "characters a token, padding, saving and merging not counted; without FlashAttention packed rows take a mask "
        "of max_length² more, and longer. The formulas and their sources: chimed/train/plan.py.",
    ]
    return "\n".join(lines)


def told_density() -> str:
    """The characters a token of each phase, for the plan's last line."""
    return ", ".join(f"{phase} {many:g}" for phase, many in CHARACTERS_A_TOKEN.items())
