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
    """What trains. gb: its memory in 10⁹ bytes. flops: a second, at its peak; reached: the share of them."""

    name: str
    gb: float
    flops: float
    reached: float = UTILISATION


# NVIDIA's A40 datasheet: 48 GB, bf16 on tensor cores without sparsity
A40 = Device("A40", 48, 149.7e12)


def forward_flops(shape: Any, parameters: int, length: float, flash: bool = True) -> float:
    """Floating-point operations of a forward pass for one token in a text of `length` (arXiv 2001.08361 §2.1).

    2 a parameter that multiplies, and attention: with FlashAttention over half the text, the part before a token, with
    a mask over all of it.
    """
    lookup = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size  # tied, it is the head too
    queries = shape.num_attention_heads * shape.head_dim
    seen = length / 2 if flash else length
    return 2 * (parameters - lookup) + 4 * shape.num_hidden_layers * queries * seen


def flops_per_token(phase: str, fields: dict, shape: Any, parameters: int, length: float, flash: bool = True) -> float:
    """Floating-point operations to train on one token in a text of `length` tokens.

    A forward pass, and as much for the gradient of the activations; frozen weights have none of their own, trained ones
    as much again. With gradient checkpointing the forward pass runs twice.
    """
    passes = 2 + bool(fields["gradient_checkpointing"]) + (not fields.get("use_peft", True))
    return forward_flops(shape, parameters, length, flash) * (passes + REFERENCES.get(phase, 0.0))


def validations(fields: dict, steps: float) -> float:
    """How often the rows held out are looked at: before, after, and by the recipe's `eval_steps`."""
    every = float(fields.get("eval_steps") or 0) if fields.get("eval_strategy") == "steps" else 0.0
    between = (1 / every if every < 1 else steps / every) if every else 0.0
    return 2 + between
