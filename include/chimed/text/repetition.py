"""Text that goes round in circles, as language models write where nothing follows (Holtzman et al., arXiv 1904.09751).

Not of the paper; asked of what a model wrote freely, a question or an answer, never of a page's own words.
"""

import re

# A piece of at most 20 characters four times on end, or one character eight times: doses and dates are shorter.
_LOOP = re.compile(r"(?P<piece>[^\d\s].{1,19}?)(?P=piece){3}|(?P<one>\S)(?P=one){7}", re.DOTALL)


def loop(text: str) -> str | None:
    """The first piece of a text that repeats itself on end; None where there is none."""
    found = _LOOP.search(text)
    return (found["piece"] or found["one"]) if found else None
