"""Let a checkpoint write answers in this process, by its own chat template with thinking off. Ours.

Text of a question is never read as a control token: those of the tokenizer are taken out, wherever they stand. A reply
is bounded by its number of tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer
from transformers.utils import logging as transformers_logging

from chimed.errors import UserError
from chimed.text.control_tokens import without_control_tokens
from chimed.train.rows import control_tokens, defused

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn: at most so many tokens; temperature 0 is greedy, else seeded."""

    tokens: int = 512
    temperature: float = 0.0
    top_p: float = 0.8  # what Qwen3's card advises without thinking
    seed: int = 0


@dataclass(frozen=True)
class Writer:
    """A model that is loaded. context: how many tokens question and reply may have together."""

    tokenizer: Any
    model: Any
    context: int


@dataclass(frozen=True)
class Written:
    """A reply. whole: the model ended it; else it was cut at its number of tokens."""

    text: str
    tokens: int
    whole: bool


def load(checkpoint: str, revision: str | None, dtype: str) -> Writer:
    """Load a model onto the GPU, or the CPU where there is none.

    Raises UserError where it cannot be read, or has no chat template.
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=revision or "main", padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(checkpoint, revision=revision or "main", dtype=dtype)
    except (OSError, ValueError) as error:
        raise UserError(f"{checkpoint} cannot be read as a model: {str(error).strip().splitlines()[0][:200]}") from None
    if not tokenizer.chat_template:
        raise UserError(f"{checkpoint} has no chat template, so nobody can put a question to it")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    context = int(getattr(model.config, "max_position_embeddings", 0) or 32_768)
    return Writer(tokenizer, model.to(device).eval(), context)


def clean(writer: Writer, messages: Messages) -> Messages:
    """Return messages in whose words there is no control token, of this tokenizer or of the common families."""
    control = control_tokens(writer.tokenizer)
    return [one | {"content": defused(without_control_tokens(one["content"]), control)} for one in messages]


def prompt_ids(writer: Writer, messages: Messages) -> list[int]:
    """Return the tokens of a conversation up to where the model's reply begins."""
    text = writer.tokenizer.apply_chat_template(
        clean(writer, messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return writer.tokenizer(text, add_special_tokens=False)["input_ids"]


def write(writer: Writer, conversations: Sequence[Messages], sampling: Sampling, batch: int) -> Iterator[Written]:
    """Yield the reply to each conversation, in order. Raises UserError for one that leaves no room for a reply."""
    prompts = [prompt_ids(writer, one) for one in conversations]
    if long := [len(one) for one in prompts if len(one) + sampling.tokens > writer.context]:
        raise UserError(
            f"a question of {max(long):,} tokens and a reply of {sampling.tokens:,} do not fit the model's "
            f"{writer.context:,}; ask for fewer tokens"
        )
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        padded = writer.tokenizer.pad({"input_ids": some}, return_tensors="pt").to(writer.model.device)
        made = _generate(writer, padded, sampling)[:, padded["input_ids"].shape[1] :]
        for ids in made.tolist():
            yield _written(writer, ids, sampling)


def stream(writer: Writer, ids: list[int], sampling: Sampling, say: Callable[[str], None]) -> Written:
    """Return the reply to one conversation; `say` hears each piece of it as it is written."""
    known = torch.tensor([ids], device=writer.model.device)
    inputs = {"input_ids": known, "attention_mask": torch.ones_like(known)}
    made = _generate(writer, inputs, sampling, streamer=_Pieces(writer.tokenizer, say))
    return _written(writer, made[0, len(ids) :].tolist(), sampling)


class _Pieces(TextStreamer):
    """Hands on each piece of a text instead of printing it."""

    def __init__(self, tokenizer: Any, say: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.say = say

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Hear a piece."""
        if text:
            self.say(text)


def _generate(writer: Writer, inputs: Any, sampling: Sampling, **more: Any) -> torch.Tensor:
    drawn = sampling.temperature > 0
    torch.manual_seed(sampling.seed)
    how = {"temperature": sampling.temperature, "top_p": sampling.top_p} if drawn else dict.fromkeys(_OF_DRAWING)
    with torch.inference_mode():
        return writer.model.generate(
            **inputs,
            max_new_tokens=sampling.tokens,
            do_sample=drawn,
            pad_token_id=writer.tokenizer.pad_token_id,
            **how,
            **more,
        )


_OF_DRAWING = ("temperature", "top_p", "top_k")  # a checkpoint's own would be warned of in greedy decoding


def _written(writer: Writer, ids: list[int], sampling: Sampling) -> Written:
    ends = writer.model.generation_config.eos_token_id
    ends = set(ends) if isinstance(ends, list) else {ends}
    length = next((place for place, one in enumerate(ids) if one in ends), len(ids))
    text = writer.tokenizer.decode(ids[:length], skip_special_tokens=True)
    return Written(text, length, whole=length < len(ids) or len(ids) < sampling.tokens)
