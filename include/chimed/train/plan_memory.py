"""How much memory and disk a phase needs, by formulas: of a GPU, of the machine, and of its disk.

Nothing here was measured on an A40; the tests hold the formulas against autograd's own account of a layer, and
against a measured run of the demo's recipe.
"""

from typing import Any

from chimed.train.sharding import shards_weights

# Assumed: CUDA context, NCCL's and cuBLAS's buffers, what the allocator cannot use, in GB
RESERVE_GB = 2.0
# Bits that a weight of a linear layer takes in NF4 with double quantization (QLoRA, arXiv 2305.14314 §3)
NF4_BITS = 4.127
# TRL's fused head makes logits tile by tile: positions and vocabulary entries of one (trl/kernels/chunked_logprob.py)
TILE = (4096, 32768)
# Sequences that are in a batch for each row that a GPU takes at once: a pair is two
SEQUENCES = {"dpo": 2, "orpo": 2}
PROMPT_AND_MORE = 512  # tokens of grpo's longest prompt, assumed
ADAM = 16  # bytes a trained fp32 parameter: weight, gradient and two moments (ZeRO, arXiv 1910.02054 §3.1)


def on_meta(fields: dict[str, Any], shape: Any) -> tuple[int, int]:
    """Return (all parameters, trainable ones) of the model with the recipe's adapter, if any; no weight is made."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, HfArgumentParser
    from trl import ModelConfig, get_peft_config

    (chosen,) = HfArgumentParser(ModelConfig).parse_dict(fields, allow_extra_keys=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
        if (adapter := get_peft_config(chosen)) is not None:
            model = get_peft_model(model, adapter)
    trainable = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return sum(one.numel() for one in model.parameters()), trainable


def memory(
    phase: str,
    fields: dict[str, Any],
    shape: Any,
    parameters: int,
    trainable: int,
    per_device: int,
    gpus: int,
    flash: bool,
) -> dict[str, float]:
    """Return GB (10⁹ bytes) of one GPU, by what takes them. flash: whether FlashAttention is there.

    - weights: of the frozen model, in the recipe's dtype, or in 4 or 8 bits.
    - trained: adapter or all weights in fp32, with gradient and Adam's two moments; DDP's buckets hold the gradients
      once more. Shared out among the GPUs where the recipe names an accelerate configuration that shards.
    - kept: with gradient checkpointing, the input of every layer (arXiv 1604.06174); else all that autograd keeps.
    - layer: the gradients within one layer, at most as large as what autograd keeps of it (`layer_bytes`); and where it
      is recomputed, that itself.
    - mask: without FlashAttention, what a token may look at is a mask over its row; over the whole batch where rows are
      packed, as TRL makes one row of them.
    - logits: TRL's fused head makes one tile of them, its rows' gradients in fp32 beside it.
    - reserve: assumed, see above.
    """
    width = 2 if fields.get("bf16") else bytes_of(fields)  # of activations: fp32 weights may be trained in bf16
    longest = longest_of(fields)
    tokens = per_device * longest * SEQUENCES.get(phase, 1)
    rows, columns = min(TILE[0], tokens), TILE[1]  # its width is asked for even where the vocabulary is smaller
    rank = fields.get("lora_r", 0) if fields.get("use_peft", True) else 0
    layer = tokens * layer_bytes(shape, rank, fields.get("lora_dropout", 0.0)) * width / 2
    again = fields["gradient_checkpointing"]
    kept = shape.num_hidden_layers * (tokens * shape.hidden_size * width if again else layer)
    shards = gpus if shards_weights(fields.get("accelerate_config")) else 1
    found = {
        "weights": frozen_bytes(fields, shape, parameters - trainable) / shards,
        "trained": trainable * (ADAM + (4 if gpus > shards else 0)) / shards,
        "kept": kept,
        "layer": (1 + again) * layer,
        "mask": 0.0 if flash else width * tokens * (tokens if fields.get("packing") else longest),
        "logits": width * (rows * columns + tokens * shape.hidden_size) + 4 * tokens * shape.hidden_size,
        "reserve": RESERVE_GB * 1e9,
    }
    if shards > 1:  # the layer that is at work, and the one being fetched, are there as a whole
        found["gathered"] = 2 * width * parameters / shape.num_hidden_layers
    return {name: size / 1e9 for name, size in found.items()}


def smaller(fields: dict[str, Any], need: dict[str, float], gpus: int, rows: int, gb: float) -> str:
    """Return what to change in a recipe that needs more than a GPU's memory: only what lowers what takes it.

    need: as `memory` returns it. rows: what a GPU takes at once. gb: what a GPU has.
    """
    adapted, sharded = fields.get("use_peft", True), shards_weights(fields.get("accelerate_config"))
    fixed = sum(size for name, size in need.items() if name in ("weights", "trained", "gathered", "reserve"))
    said, lower = [], []
    if fixed <= gb:  # else no row is short enough
        lengths = ("max_length",) if fields.get("max_length") else ("max_completion_length",)
        lower = [f"per_device_train_batch_size ({rows})"] * (rows > 1)
        lower += [
            f"{name} ({fields[name]})" for name in (*lengths, *(("lora_r",) if adapted else ())) if name in fields
        ]
        said += [f"lower {' or '.join(lower)}"] if lower else []
        said += [] if fields["gradient_checkpointing"] else ["set gradient_checkpointing: true"]
    if not adapted:
        said.append(f"set use_peft: true (training all weights takes {need['trained']:.0f} GB)")
    elif fixed > gb and not (fields.get("load_in_4bit") or fields.get("load_in_8bit")):
        said.append("set load_in_4bit: true")
    if not sharded and gpus > 1:
        said.append(f"set accelerate_config: fsdp2, which shares the weights out among the {gpus} GPUs")
    return ", or ".join(said or ["take more GPUs, or a smaller model"])


def longest_of(fields: dict[str, Any]) -> int:
    """Return tokens of the longest row; grpo, which has no such limit, has a prompt and an answer."""
    return int(fields.get("max_length") or PROMPT_AND_MORE + (fields.get("max_completion_length") or 256))


def bytes_of(fields: dict[str, Any]) -> int:
    """Return bytes of a number in the recipe's dtype."""
    return 4 if fields["dtype"] == "float32" else 2


def frozen_bytes(fields: dict[str, Any], shape: Any, frozen: int) -> float:
    """Return bytes of the weights that are not trained; quantized are the linear layers, not embeddings and head."""
    width = bytes_of(fields)
    bits = NF4_BITS if fields.get("load_in_4bit") else 8 if fields.get("load_in_8bit") else None
    if bits is None:
        return float(width * frozen)
    whole = (1 if shape.tie_word_embeddings else 2) * shape.vocab_size * shape.hidden_size
    return whole * width + max(0, frozen - whole) * bits / 8


def layer_bytes(shape: Any, rank: int, dropout: float) -> int:
    """Return bytes a token that autograd keeps of one Qwen3 layer in bf16, attention by FlashAttention or sdpa.

    Counted as in arXiv 2205.05198 §4.1, for grouped queries, a gated MLP and adapters on all seven linear layers:
    frozen weights need no input kept, an adapter keeps its own. The tests count the same from autograd itself.
    """
    queries, keys = (heads * shape.head_dim for heads in (shape.num_attention_heads, shape.num_key_value_heads))
    hidden, inner = shape.hidden_size, shape.intermediate_size
    kept = 18 * hidden + 10 * queries + 8 * keys + 8 * inner + 14 * rank
    masks = 4 * (5 * hidden + queries + inner) if dropout else 0
    return kept + masks


def storage(fields: dict[str, Any], parameters: int, trainable: int, gpus: int) -> tuple[float, float]:
    """Return (GB of disk, GB of the machine's memory) of one phase.

    Disk: each checkpoint has what is trained and Adam's two moments in fp32, one more while the newest is written; the
    adapter; the merged weights, twice while they are written anew. Memory: safetensors are mapped, so the processes of
    a machine share the file's pages; each adds what a Python with torch takes, assumed 4 GB.
    """
    width = bytes_of(fields)
    base = max(parameters - trainable, trainable)
    checkpoints = (fields.get("save_total_limit") or 10) + 1
    disk = 12 * trainable * checkpoints + 4 * trainable + 2 * width * base
    return disk / 1e9, width * base / 1e9 + 4 * gpus
