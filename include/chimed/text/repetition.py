"""Find text that repeats itself, as language models write when nothing likely follows (Holtzman et al., arXiv
1904.09751).

Not from the paper; applied to what a model wrote freely, a question or an answer, never to a page's own words.
"""

import re

# A piece of at most 20 characters four times on end, or one character eight times: doses and dates are shorter.
_LOOP = re.compile(r"(?P<piece>[^\d\s].{1,19}?)(?P=piece){3}|(?P<one>\S)(?P=one){7}", re.DOTALL)


def find_loop(text: str) -> str | None:
    """Return the first piece of a text that is repeated several times in a row; None if there is none."""
    found = _LOOP.search(text)
    return (found["piece"] or found["one"]) if found else None
