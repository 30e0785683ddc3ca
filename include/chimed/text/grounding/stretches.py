"""Decide which ranges of a document an answer may put side by side. Used by `joining`."""

from dataclasses import dataclass

from chimed.text.grounding.wording import CLAUSE, ITEM, SENTENCE, Words, heads

SUBJECT = 8  # words of a sentence's subject that may be said again before a later clause of it


@dataclass(frozen=True)
class State:
    """One way to read the clause so far: the current piece, begun at `first`, and the states before it."""

    first: int
    before: "tuple[tuple[int, int], ...]" = ()


def may_join(text: Words, state: State, last: int, place: int, boundary: int, listed: bool = True) -> bool:
    """Return whether an answer may continue at `place` after `last`. boundary: what is between the two in the answer.

    listed: whether items may come from another sentence's list.
    """
    if text.sentence[place] == text.sentence[last] and place > last:
        between = text.value[last + 1 : place]
        if text.item[place] == text.item[last]:
            return False
        headless = not any(value in heads() for value in between)
        if headless and text.before[place] >= ITEM and (boundary >= ITEM or text.value[last] in heads()):
            return True  # a list that leaves items out
        if (
            headless
            and text.value[place] in heads()
            and text.before[last + 1] >= ITEM
            and text.clause[place] == text.clause[last]
        ):
            return True  # items, and what is said of all of them behind the last
        if (
            text.before[place] >= CLAUSE
            and text.before[state.first] >= SENTENCE
            and last - state.first < SUBJECT
            and not state.before
        ):
            return not any(value[0] == "#" or value in heads() for value in text.value[state.first : last + 1])
    if boundary < ITEM:
        return False
    starts = text.before[place] >= ITEM or text.value[place - 1] in heads()
    near = text.sentence[place] == text.sentence[last]
    return starts and (listed or near) and _head(text, last) == _head(text, place)


def _head(text: Words, place: int) -> str | None:
    """Return the word before the list that this word is in."""
    for n in range(place, -1, -1):
        if text.sentence[n] != text.sentence[place]:
            return None
        if text.value[n] in heads():
            return text.value[n]
    return None
