"""The store, opened once in a process: whether its schema fits is not asked anew for every page."""

from functools import lru_cache
from typing import Any

from chimed.settings import settings


def open_store() -> Any:
    """The store of the settings (a `chimed.storage.store.Store`)."""
    return _opened(settings().store)


@lru_cache(maxsize=1)
def _opened(url: str) -> Any:
    from chimed.storage import store  # here, not above: the scheduler loads plugins too

    return store.open_store(url)
