"""Counts that take longer than a page may: made beside the request, kept for a minute, one at a time.

Where millions of pages are known a count over them takes seconds. A page waits a moment for it; if it is not there yet,
the page says so and asks to be loaded again. What is kept is a few small counts, however large what they are of.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

PATIENCE = 0.1  # seconds a page waits
KEPT = 60  # seconds after which a count is made anew; until then, and meanwhile, the old one is shown

MOST = 32  # counts that are kept

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
    """The count of that name, of the store `of`; None while the first is being made. An error of `count` is raised."""
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
    """Seconds since the count of that name that is shown was asked for; None where there is none yet."""
    this = _kept.get(name)
    if this is None:
        return None
    if this.old is not None and this.counted is not None and not this.new.done():
        return time.monotonic() - this.counted
    return time.monotonic() - this.asked if this.new.done() else None
