"""Which of several answers is better? What a judge says of each two of them, counted (paper §3.2, stage 4; Table 2).

The paper compares two answers. With more, every two are compared: n answers make n (n − 1) / 2 comparisons, each in one
order or in both. A knockout would need fewer, but in rounds that wait for each other, and says nothing of how much
better an answer is. Here an answer's share is that of its comparisons which it won, and the margin of a pair is the
difference of two shares: 1 where one answer won everything and the other nothing, as it always is with two answers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from chimed.build.contract import UnusableReply

Pairing = tuple[int, int]  # the numbers of two answers, the smaller first: A and B in the first order
# A verdict names a letter and does not argue: A, **A**, 回答A, 答案是 A。, Ａ; never 我认为A和B各有优劣.
_VERDICT = re.compile(r"(?:答案|选择|输出|结果|结论|ANSWER|VERDICT)?(?:是|为|IS)?(?:回答|答案|选项)?(?P<letter>[AB])")
_MARKS = re.compile(r"[\s*_`#.,:!()\[\]\"'。，：！“”‘’「」『』【】（）]+")
_WIDTH = str.maketrans("ＡＢａｂ", "ABab")


@dataclass(frozen=True)
class Choice:
    """The numbers of the better and the worse answer, and the difference of their shares of comparisons won."""

    chosen: int
    rejected: int
    margin: float


def read_verdict(text: str) -> str:
    """Read A or B from a reply that names one of them and says nothing else. Raises UnusableReply."""
    found = _VERDICT.fullmatch(_MARKS.sub("", text.translate(_WIDTH)).upper())
    if not found:
        raise UnusableReply("neither A nor B")
    return found["letter"]


def pair_up(answers: Sequence[int]) -> list[Pairing]:
    """Return every two of these answers."""
    return list(combinations(answers, 2))


def winner(pairing: Pairing, said: Sequence[str]) -> int | None:
    """Return which of two answers won by the verdicts in the first order and, if asked for, in the swapped one.

    None: a verdict is missing (an empty string), or both orders prefer the same place.
    """
    won = {pairing[(letter == "B") != swapped] if letter else None for swapped, letter in enumerate(said)}
    return won.pop() if len(won) == 1 else None


def choose(verdicts: Mapping[Pairing, Sequence[str]], fits: Callable[[int, int], bool]) -> Choice | None:
    """Return the pair with the largest margin among those of which the judge always said the same; None without one.

    fits: whether two answers may be a pair. Of pairs with equal margins the one with the best answer is taken.
    """
    won: dict[int, int] = {}
    played: dict[int, int] = {}
    for pairing, said in verdicts.items():
        for swapped, letter in enumerate(said):
            for place, number in enumerate(pairing):
                played[number] = played.get(number, 0) + bool(letter)
                won[number] = won.get(number, 0) + (letter == ("B" if place != swapped else "A"))
    share = {number: won[number] / played[number] for number in played if played[number]}
    possible = []
    for pairing, said in verdicts.items():
        better = winner(pairing, said)
        if better is not None and fits(*pairing):
            worse = pairing[pairing[0] == better]
            possible.append(Choice(better, worse, round(share[better] - share[worse], 4)))
    best = max(possible, key=lambda one: (one.margin, share[one.chosen]), default=None)
    return best if best and best.margin > 0 else None
