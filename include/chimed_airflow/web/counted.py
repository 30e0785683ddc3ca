"""Cache counts that take longer than a page may: computed in the background, one at a time, and kept for a minute.

Counting millions of pages takes seconds. A page waits a moment for the count; if it is not ready, the page says so and
asks to be reloaded. Only a few small counts are kept.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

PATIENCE = 0.1  # seconds that a page waits for a count
KEPT = 60  # seconds until a count is made again; the old one is shown meanwhile

MOST = 32  # counts kept at a time

Value = TypeVar("Value")


@dataclass
class _Counting(Generic[Value]):
    of: str
    asked: float
    new: "Future[Value]"
    old: Value | None = None
    counted: float | None = None  # when the old one was asked for


_pool = ThreadPoolExecutor(1, thread_name_prefix="chimed-counts")
_kept: dict[str, _Counting[Any]] = {}


def recent(name: str, of: str, count: Callable[[], Value]) -> Value | None:
    """Return the count of that name for the store `of`; None while it is first computed. Raises an error of `count`."""
    this = _kept.get(name)
    if this is None or this.of != of:
        if len(_kept) >= MOST:
            _kept.pop(min(_kept, key=lambda one: _kept[one].asked))
        this = _kept[name] = _Counting(of, time.monotonic(), _pool.submit(count))
    elif this.new.done() and time.monotonic() - this.asked > KEPT:
        this.old, this.counted = (this.new.result(), this.asked) if this.new.exception() is None else (None, None)
        this.new, this.asked = _pool.submit(count), time.monotonic()
    if this.old is not None and not this.new.done():
        return this.old
    if this.old is not None and this.new.done():
        this.old = this.counted = None
    try:
        return this.new.result(PATIENCE)
    except TimeoutError:
        return None
    except Exception:
        _kept.pop(name, None)  # the next request counts again
        raise


def age(name: str) -> float | None:
    """Return the age in seconds of the count that is shown; None if there is none yet."""
    this = _kept.get(name)
    if this is None:
        return None
    if this.old is not None and this.counted is not None and not this.new.done():
        return time.monotonic() - this.counted
    return time.monotonic() - this.asked if this.new.done() else None
