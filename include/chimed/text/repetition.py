"""Find text that repeats itself, as language models write when nothing likely follows (Holtzman et al., arXiv
1904.09751).

Not from the paper; applied to what a model wrote freely, a question or an answer, never to a page's own words.
"""

import re
from collections import Counter

# A piece of at most 20 characters four times on end, or one character eight times: doses and dates are shorter.
_LOOP = re.compile(r"(?P<piece>[^\d\s].{1,19}?)(?P=piece){3}|(?P<one>\S)(?P=one){7}", re.DOTALL)


SENTENCE = re.compile(r"[^。！？；\n]+")
LEAST_SENTENCE, MOST_OFTEN = 8, 2  # letters of a sentence that counts, and how often a text may say it


def find_loop(text: str) -> str | None:
    """Return the first piece of a text that is repeated several times in a row; None if there is none."""
    found = _LOOP.search(text)
    return (found["piece"] or found["one"]) if found else None


def find_repeated_sentence(text: str) -> str | None:
    """Return the first sentence that a text says three times, wherever; None if there is none."""
    said = Counter(one.strip() for one in SENTENCE.findall(text) if len(one.strip()) >= LEAST_SENTENCE)
    return next((sentence for sentence, times in said.items() if times > MOST_OFTEN), None)
