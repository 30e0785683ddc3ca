"""Figures that people watch and alert on, sent as StatsD lines while work goes on.

`CHIMED_STATSD` names the server, as Prometheus' statsd-exporter; without it nothing is sent. A line is a UDP datagram
with tags as DogStatsD writes them. It is sent and forgotten: a server that is down costs nothing and stops nothing.

| name | tags | what |
|---|---|---|
| chimed.crawl.pages | source, miss | pages that a crawl is done with; miss: why one gave no record, else none |
| chimed.llm.requests | model, result | replies: new, refused, or cached where the store had them |
| chimed.llm.tokens | model, kind | tokens of new replies: prompt, completion |
| chimed.llm.waiting | model | requests of a shard that are still to be sent (a gauge) |
| chimed.stage.rows | stage, result, reason | rows of a stage: kept, derived, dropped or failed, and why |
| chimed.gpu.seconds | work | seconds times GPUs of training, evaluation and perplexity |
"""

import re
import socket
from functools import cache
from typing import Any

from chimed.settings import settings

PORT = 8125
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
    place = settings().statsd
    if place is None:
        return
    host, _, port = place.partition(":")
    try:
        found = _address(host, int(port or PORT))
        _socket(found[0]).sendto(line(name, value, kind, tags).encode(), found[1])
    except OSError:  # no server, no name for it, no room: the figures are lost, the work is not
        _address.cache_clear()


@cache
def _address(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """Resolve a server's address family and address. The result is cached: DNS is asked once."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    return family, address


@cache
def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
