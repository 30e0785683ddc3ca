"""Pages of ask120: none yet."""

from collections.abc import Iterable

from chimed.demo.pages import Page


def pages() -> Iterable[Page]:
    """Every page of the site."""
    return []
