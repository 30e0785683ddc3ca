"""Types of the store's columns that take whatever a page, a person or a model sends, in SQLite and PostgreSQL alike.

PostgreSQL refuses U+0000 and text over a column's length, both refuse half of a surrogate pair, and SQLite takes long
text without a word. Here every text is made storable first, and one that is too long is cut. What is compared with a
column goes the same way, so that a cut name is found again. Ours; the paper is silent.
"""

import hashlib
from typing import Any

from sqlalchemy import types

from chimed.characters import storable

MARK = 17  # characters of what tells two cut texts apart


class String(types.TypeDecorator):
    """Text of at most so many characters; a longer one keeps its beginning, and its hash in the place of the rest."""

    impl = types.String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        """The text as both databases take it."""
        return fitting(value, self.length) if isinstance(value, str) else value


class Text(types.TypeDecorator):
    """Text of any length."""

    impl = types.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        """The text as both databases take it."""
        return storable(value) if isinstance(value, str) else value


def fitting(text: str, most: int) -> str:
    """The text as a column of `most` characters takes it; the same text always gives the same."""
    text = storable(text)
    if len(text) <= most:
        return text
    if most <= 2 * MARK:
        return text[:most]
    return f"{text[: most - MARK]}~{hashlib.sha256(text.encode()).hexdigest()[: MARK - 1]}"
