"""The store, opened once in a process: whether its schema fits is not asked anew for every page."""

from functools import lru_cache
from typing import TYPE_CHECKING

from chimed.settings import settings

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from chimed.storage.store import Store


def open_store() -> "Store":
    """The store of the settings."""
    return _opened(settings().store)


@lru_cache(maxsize=1)
def _opened(url: str) -> "Store":
    from chimed.storage import store  # here, not above: the scheduler loads plugins too

    return store.open_store(url)
