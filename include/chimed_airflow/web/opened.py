"""Open the store once in a process, so that its schema is not checked again for every page."""

from functools import lru_cache
from typing import Any

from chimed.settings import settings


def open_store() -> Any:
    """Return the configured store (a `chimed.storage.store.Store`)."""
    return _opened(settings().store)


@lru_cache(maxsize=1)
def _opened(url: str) -> Any:
    from chimed.storage import store  # here, not above: the scheduler loads plugins too

    return store.open_store(url)
