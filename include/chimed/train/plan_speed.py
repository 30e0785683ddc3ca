"""How long a phase takes, by its floating-point operations and what share of a GPU's peak training reaches."""

from dataclasses import dataclass
from typing import Any

# Assumed: the share of the peak which training reaches, recomputation counted as work. 0.3 to 0.5 is usual for dense
# models on GPUs of this kind (PaLM, arXiv 2204.02311, Table 3, gives 0.21 to 0.46 for four systems).
UTILISATION = 0.35
# Forward passes without a gradient that a phase adds for each text: the reference's; kto also estimates how far the
# model has moved, with both, on other texts
REFERENCES = {"dpo": 1.0, "kto": 3.0}


@dataclass(frozen=True)
class Device:
    """What trains. gb: its memory in 10⁹ bytes. flops: a second, at its peak; reached: the share of them.

    bandwidth: bytes a second of its memory, None where not known.
    """

    name: str
    gb: float
    flops: float
    reached: float = UTILISATION
    bandwidth: float | None = None


# NVIDIA's A40 datasheet: 48 GB, bf16 on tensor cores without sparsity, 696 GB/s
A40 = Device("A40", 48, 149.7e12, bandwidth=696e9)
# Assumed: the share of the bandwidth that writing reaches, by transformers' own loop
WRITING = 0.3


def seen(fields: dict[str, Any], flash: bool, batch: int, row: float, text: float) -> float:
    """Return how many tokens attention looks at for each token.

    batch: rows at once. row, text: tokens of a row and of a text in it. With FlashAttention, half of the text: the part
    before a token. Without, all of the row by a mask; and since TRL makes one row of a batch of packed ones, all of
    that.
    """
    if flash:
        return text / 2
    return batch * fields["max_length"] if fields.get("packing") else row


def forward_flops(shape: Any, parameters: int, looked_at: float) -> float:
    """Return floating-point operations of a forward pass for one token that looks at so many (arXiv 2001.08361 §2.1).

    2 a parameter that multiplies, and 4 a query's dimension for each token that attention looks at.
    """
    lookup = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size  # tied, it is the head too
    queries = shape.num_attention_heads * shape.head_dim
    return 2 * (parameters - lookup) + 4 * shape.num_hidden_layers * queries * looked_at


def passes(phase: str, fields: dict[str, Any]) -> float:
    """Return forward passes that the work on a token is worth.

    The forward pass, and as much for the gradient of the activations; frozen weights have none of their own, trained
    ones as much again. With gradient checkpointing the forward pass runs twice. A reference adds its own.
    """
    own = 2 + bool(fields["gradient_checkpointing"]) + (not fields.get("use_peft", True))
    return own + REFERENCES.get(phase, 0.0)


def generation(
    phase: str, fields: dict[str, Any], parameters: int, steps: float, accumulated: int, device: Device
) -> float:
    """Return hours that grpo takes to write its answers: each token of a batch reads all weights once."""
    if phase != "grpo" or device.bandwidth is None:
        return 0.0
    width = 4 if fields["dtype"] == "float32" else 2
    tokens = steps * accumulated * (fields.get("max_completion_length") or 256)
    return tokens * width * parameters / (device.bandwidth * WRITING) / 3600


def validations(fields: dict[str, Any], steps: float) -> float:
    """Return how often the rows held out are looked at: before, after, and by the recipe's `eval_steps`."""
    every = float(fields.get("eval_steps") or 0) if fields.get("eval_strategy") == "steps" else 0.0
    between = (1 / every if every < 1 else steps / every) if every else 0.0
    return 2 + between
