"""The GPUs that a training or an evaluation has for itself (see `chimed.gpu_locks`)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from chimed import gpu_locks


@contextmanager
def held(what: str, many: int) -> Iterator[None]:
    """For the length of a `with`, the first GPUs that this process sees are its own; waits until they are free.

    what: what a process that waits is told is going on. many: how many GPUs; without one nothing is held. Processes
    that another one started to train together hold nothing: that one does.
    """
    if "WORLD_SIZE" in os.environ:
        yield
        return
    with gpu_locks.held(visible()[:many], what):
        yield


def visible() -> list[str]:
    """Return the names of the GPUs that this process may use, in its order: numbers, or CUDA_VISIBLE_DEVICES's."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]
