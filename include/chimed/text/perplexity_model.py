"""Score texts with a language model: windows, batches of similar length, log-likelihoods (paper §3.2).

A text longer than the model's context is read in windows that overlap by half: each window scores only the tokens that
no window before it scored, so every token is scored once, with at least half a window of context (the strided
perplexity of Hugging Face's documentation). torch and transformers are imported only when a model is loaded.
"""

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from chimed.errors import UserError

# Tokens of one batch, padding included: more no longer fit a CPU's cache (measured), a GPU is idle with less.
BATCH_TOKENS = {"cpu": 1_024, "cuda": 32_768}
HEAD_TOKENS = {"cpu": 256, "cuda": 4_096}  # rows of logits at a time, as above: of 21,128 words they are 90 KB each

Precision = Literal["fast", "exact"]


@dataclass(frozen=True)
class Scorer:
    """A loaded model. start: id placed before a text; positions: maximum row length."""

    tokenizer: Any
    model: Any
    device: str
    start: int
    unknown: int | None
    positions: int


@dataclass(frozen=True)
class Window:
    """A part of a text for one row: its ids, of which those from `first` on are scored here."""

    text: int
    ids: tuple[int, ...]
    first: int


def load(name: str, kind: Precision = "exact") -> Scorer:
    """Return tokenizer and model, from a hub name or a folder, on the GPU if there is one. Raises UserError.

    Exact weights are fp32. Fast weights are bf16 on a GPU and int8 on a CPU: twice the rate of fp32 on one core, which
    is close to the core's peak already.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise UserError(f"perplexity needs torch and transformers ({error}); CHIMED_MODELS_PYTHON has them") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        config = AutoConfig.from_pretrained(name)
        if getattr(config, "activation_function", None) == "gelu_new":
            config.activation_function = "gelu_pytorch_tanh"  # the same function, in one kernel and not in eight
        model = AutoModelForCausalLM.from_pretrained(name, config=config, dtype=torch.float32)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"CHIMED_PERPLEXITY_MODEL={name} cannot be loaded ({first}); it may be a hub name or a folder"
        ) from None
    start = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    if start is None:
        raise UserError(f"CHIMED_PERPLEXITY_MODEL={name} has no [CLS] or start token; a Chinese GPT-2 has")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "fast":
        model = model.to(torch.bfloat16) if device == "cuda" else _int8(model)
    positions = min(getattr(model.config, "max_position_embeddings", 1024), 1024)
    return Scorer(tokenizer, model.to(device).eval(), device, start, tokenizer.unk_token_id, positions)


def _int8(model: Any) -> Any:
    """Return the model with int8 weights; activations are quantized dynamically.

    GPT-2's `Conv1D` becomes a linear layer.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Conv1D):
                linear = torch.nn.Linear(*layer.weight.shape)
                linear.weight = torch.nn.Parameter(layer.weight.t().contiguous())
                linear.bias = layer.bias
                setattr(parent, name, linear)
    torch.backends.quantized.engine = "onednn"  # 1.2 times the default's rate on AVX2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is to move to another package, which does not have it for CPUs yet
        return torch.ao.quantization.quantize_dynamic(model.eval(), {torch.nn.Linear}, dtype=torch.qint8)


def score(texts: list[str], scorer: Scorer, batch_tokens: int | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (index in `texts`, {nll, tokens, unknown}) for every text, longest first, so that an oversized batch fails
    at once.

    nll: negative log-likelihood, summed over the text's tokens, in nats.
    """
    return (one for group in score_groups(texts, scorer, batch_tokens) for one in group)


def score_groups(
    texts: list[str], scorer: Scorer, batch_tokens: int | None = None
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Yield the scores of `score` in groups of whole batches that end with whole texts.

    The last digits of a score depend on the batch it was computed in, because the order of additions does (for int8
    also earlier digits). When the texts of the first groups are left out, the others fall into the same batches as
    before.
    """
    encoded = scorer.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    windows = [one for place, ids in enumerate(encoded) for one in split_windows(place, ids, scorer.positions)]
    open_windows = [0] * len(texts)
    for window in windows:
        open_windows[window.text] += 1
    group = [(place, {"nll": 0.0, "tokens": 0, "unknown": 0}) for place, count in enumerate(open_windows) if not count]
    sums = [0.0] * len(texts)
    for batch in make_batches(windows, batch_tokens or BATCH_TOKENS[scorer.device]):
        for window, nll in zip(batch, _nll(batch, scorer), strict=True):
            place = window.text
            sums[place] += nll
            open_windows[place] -= 1
            if not open_windows[place]:
                ids = encoded[place]
                group.append((place, {"nll": sums[place], "tokens": len(ids), "unknown": ids.count(scorer.unknown)}))
        if not open_windows[place]:  # windows of one text stand together: they are of one length
            yield group
            group = []
    if group:
        yield group


def split_windows(text: int, ids: list[int], positions: int) -> Iterator[Window]:
    """Yield windows over a text's ids: one if it fits after `[CLS]`, else steps of half the positions."""
    room, step = positions - 1, positions // 2
    if not ids:
        return
    scored = 0
    while True:
        end = min(len(ids), room if not scored else scored + step)
        begin = max(0, end - room)
        yield Window(text, tuple(ids[begin:end]), scored - begin)
        scored = end
        if scored == len(ids):
            return


def make_batches(windows: list[Window], budget: int) -> Iterator[list[Window]]:
    """Yield windows of similar length together, longest first, at most `budget` tokens with padding (or one window).

    Sorting by length keeps padding, which costs as much as text, to a few percent.
    """
    batch: list[Window] = []
    for window in sorted(windows, key=lambda one: -len(one.ids)):
        if batch and (len(batch) + 1) * (len(batch[0].ids) + 1) > budget:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _nll(batch: list[Window], scorer: Scorer) -> list[float]:
    """Return the summed negative log-likelihood of each window's scored tokens.

    Rows are padded on the right without a mask: a causal model never looks there. Logits are computed only where a
    token is scored, a few thousand rows at a time: over a vocabulary of 21,128 they are the largest tensor.
    """
    import torch

    longest = len(batch[0].ids) + 1
    ids = torch.full((len(batch), longest), scorer.start, dtype=torch.long)
    wanted = torch.zeros((len(batch), longest), dtype=torch.bool)  # [row, i]: token i is scored, given those before
    for row, window in enumerate(batch):
        ids[row, 1 : len(window.ids) + 1] = torch.tensor(window.ids)
        wanted[row, window.first + 1 : len(window.ids) + 1] = True
    ids, wanted = ids.to(scorer.device), wanted.to(scorer.device)
    with torch.inference_mode():
        hidden = scorer.model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][wanted[:, 1:]]
        targets, at_once = ids[wanted], HEAD_TOKENS[scorer.device]
        parts = [
            torch.nn.functional.cross_entropy(scorer.model.lm_head(rows).float(), said, reduction="none")
            for rows, said in zip(hidden.split(at_once), targets.split(at_once), strict=True)
        ]
    losses = torch.cat(parts).double()
    rows = wanted.nonzero()[:, 0]
    sums = torch.zeros(len(batch), dtype=torch.float64, device=scorer.device).index_add(0, rows, losses)
    return sums.tolist()


# --- what scores are kept under ---


def score_key(model: str, text: str, kind: Precision = "exact") -> str:
    """Return the key of a score in the store: a hash of the model and the text, marked if the score is not exact."""
    mark = "" if kind == "exact" else "\x00fast"
    return hashlib.sha256(f"{model_identity(model)}{mark}\x00{text}".encode()).hexdigest()


@lru_cache
def model_identity(model: str) -> str:
    """Return what identifies a model: its hub name, or the names and sizes of its files and the head of its weights.

    A folder that moves keeps its identity; one with retrained weights does not.
    """
    folder = Path(model)
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in (".json", ".txt", ".safetensors", ".bin"):
            digest.update(f"{file.name} {file.stat().st_size}\n".encode())
            with file.open("rb") as content:
                digest.update(content.read(1 << 22))
    return f"{folder.name}:{digest.hexdigest()[:16]}"
