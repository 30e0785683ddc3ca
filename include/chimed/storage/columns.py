"""Define column types that accept any text from a page, a person or a model, in SQLite and PostgreSQL alike.

PostgreSQL rejects U+0000 and text longer than a column, both reject half of a surrogate pair, and SQLite accepts text
that is too long. Here every text is made storable first, and truncated if needed. Values in a comparison get the same
treatment, so that a truncated name is found again. Ours; the paper does not cover it.
"""

import hashlib
from typing import Any

from sqlalchemy import types

from chimed.characters import storable

MARK_LENGTH = 17  # characters of what tells two cut texts apart


class String(types.TypeDecorator[Any]):
    """Text of limited length. A longer text keeps its beginning, followed by its hash."""

    impl = types.String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        """Return the text as both databases accept it."""
        return fit_to_length(value, self.length) if isinstance(value, str) else value


class Text(types.TypeDecorator[Any]):
    """Text of any length."""

    impl = types.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Any) -> Any:
        """Return the text as both databases accept it."""
        return storable(value) if isinstance(value, str) else value


def fit_to_length(text: str, most: int) -> str:
    """Return the text as a column of `most` characters stores it; the result is always the same for the same text."""
    text = storable(text)
    if len(text) <= most:
        return text
    if most <= 2 * MARK_LENGTH:
        return text[:most]
    return f"{text[: most - MARK_LENGTH]}~{hashlib.sha256(text.encode()).hexdigest()[: MARK_LENGTH - 1]}"
