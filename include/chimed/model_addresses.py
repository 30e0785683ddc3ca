"""Read the addresses of further generators from the setting that names them (`CHIMED_MORE_GENERATORS`). Ours.

    http://gpu2:8000/v1 qwen3-8b, https://api.example.org/v1 glm-4-air GLM-4-Air-0520

An entry is an address and the model's name there, with a blank between, and a third word where the server does not say
which model that is. Commas, semicolons, 、 or new lines part the entries, and full-width ones do too: nothing in it has
to be quoted or escaped in an env file or a chart's values.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from chimed import lists

MOST = 7  # further generators: a question gets at most eight candidates (`preference_candidates`)


@dataclass(frozen=True)
class ModelAddress:
    """A model at a server: the address up to /v1, the model's name there, and what it really is, if that is said."""

    url: str
    model: str
    named: str | None = None


def read_addresses(said: str) -> tuple[ModelAddress, ...]:
    """Return the entries of the setting, in their order. Raises ValueError with a sentence that repeats no value."""
    entries = [entry.split() for entry in lists.entries(said)]
    if len(entries) > MOST:
        raise ValueError(f"it names {len(entries)} further generators, and {MOST} are the most")
    found: list[ModelAddress] = []
    for number, words in enumerate(entries, 1):
        if not is_address(words[0]):
            raise ValueError(f"its entry {number} does not begin with an address such as http://host:8000/v1")
        if len(words) == 1:
            raise ValueError(
                f"its entry {number} has no model's name behind the address, as in http://host:8000/v1 qwen3-8b"
            )
        if len(words) > 3:
            raise ValueError(
                f"its entry {number} has {len(words)} words, and three are the most: address, model, and what it is; a "
                "comma parts entries"
            )
        if any("://" in word for word in (words[0].partition("://")[2], *words[1:])):
            raise ValueError(f"its entry {number} holds two addresses; a comma parts entries")
        if not all(word.isprintable() for word in words):
            raise ValueError(f"its entry {number} holds a character that cannot be seen; type it anew")
        one = ModelAddress(words[0].rstrip("/"), *words[1:])
        if any((other.url, other.model) == (one.url, one.model) for other in found):
            raise ValueError(f"its entry {number} names a model that an entry before it names")
        found.append(one)
    return tuple(found)


def is_address(said: str) -> bool:
    """Return whether this is the address of an HTTP server."""
    try:
        parts = urlsplit(said)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False
