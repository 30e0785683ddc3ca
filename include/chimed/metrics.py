"""Figures that people watch and alert on, sent as StatsD lines while work goes on.

`CHIMED_STATSD` names the server, as Prometheus' statsd-exporter; without it nothing is sent. A line is a UDP datagram
with tags as DogStatsD writes them. It is sent and forgotten: a server that is down costs nothing and stops nothing. Its
name is looked up once in a while, found or not: a name server that does not answer takes seconds each time.

| name | tags | what |
|---|---|---|
| chimed.crawl.pages | source, miss | pages that a crawl is done with; miss: why one gave no record, else none |
| chimed.llm.requests | model, result | replies: new, refused, or cached where the store had them |
| chimed.llm.tokens | model, kind | tokens of new replies: prompt, completion |
| chimed.llm.waiting | model, shard | requests that a shard has still to send (a gauge); their sum is the queue |
| chimed.stage.rows | stage, result, reason | rows of a stage: kept, derived, dropped or failed, and why |
| chimed.gpu.seconds | work | seconds times GPUs of training, evaluation and perplexity |
"""

import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from chimed.settings import settings

Address = tuple[int, tuple[Any, ...]]  # a socket's family and address

PORT = 8125
KNOWN, UNKNOWN = 600.0, 60.0  # seconds that a look-up counts: of a name that was found (a pod may move), and of another
LONGEST = 80  # characters of a tag's value: a reason may hold words of a page
UNSAFE = re.compile(r"[^\w .;()%-]")  # a comma, a bar or a colon would begin another tag or field


def count(name: str, value: float = 1, **tags: str) -> None:
    """Add to a counter, as `chimed.crawl.pages`."""
    if value:
        _send(name, value, "c", tags)


def gauge(name: str, value: float, **tags: str) -> None:
    """Say what something is now, as `chimed.llm.waiting`."""
    _send(name, value, "g", tags)


def line(name: str, value: float, kind: str, tags: dict[str, str]) -> str:
    """Return a metric as StatsD reads it."""
    told = ",".join(f"{key}:{_plain(said)}" for key, said in sorted(tags.items()))
    return f"chimed.{name}:{value:g}|{kind}" + (f"|#{told}" if told else "")


def _plain(said: str) -> str:
    return UNSAFE.sub("_", said.replace(",", ";"))[:LONGEST] or "none"


def _send(name: str, value: float, kind: str, tags: dict[str, str]) -> None:
    if settings().statsd is None or (found := _address(time.monotonic())) is None:
        return
    # no server, no room: the figures are lost, the work is not
    with suppress(OSError):
        _socket(found[0]).sendto(line(name, value, kind, tags).encode(), found[1])


def place(statsd: str) -> tuple[str, int]:
    """Return host and port of a `CHIMED_STATSD`."""
    host, _, port = statsd.partition(":")
    return host, int(port or PORT)


def look_up(statsd: str) -> Address:
    """Ask the name server where the metrics' server is. Raises OSError where it has no such name."""
    family, *_, address = socket.getaddrinfo(*place(statsd), type=socket.SOCK_DGRAM)[0]
    return family, address


@dataclass
class _Found:
    """What the last look-up found, and when: of which setting, the address or None."""

    statsd: str | None = None
    at: float = 0.0
    address: Address | None = None


_found = _Found()
_looking = threading.Lock()


def _address(now: float) -> Address | None:
    """Return where metrics are sent; None where that is not known. One thread looks up, the others do not wait."""
    statsd = settings().statsd
    if statsd is None:
        return None
    lasts = KNOWN if _found.address else UNKNOWN
    if (_found.statsd != statsd or now - _found.at > lasts) and _looking.acquire(blocking=False):
        try:
            _found.address = None
            _found.address = look_up(statsd)
        except (OSError, UnicodeError):  # a name that no host can have raises the latter
            pass
        finally:
            _found.statsd, _found.at = statsd, time.monotonic()
            _looking.release()
    return _found.address


@cache
def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
