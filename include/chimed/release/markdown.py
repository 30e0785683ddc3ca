"""Crawled words in Markdown: nothing in them is taken for a mark of it, for HTML or for a link."""

import html
import re

# what Markdown marks with, and what makes a link of a bare address
_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~>$-]|:(?=//)|(?<=www)\.)")


def quoted(text: object, most: int) -> str:
    """Return a text on one line as it stands, cut to `most` characters."""
    line = " ".join(str(text).split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return _MARKS.sub(r"\\\1", html.escape(line, quote=False))
