"""What the tiny judge is taught: the paper's ranking prompt (Table 2), A or B, every pair in both orders.

The better answer is about the question and whole; the worse one is about something else, cut short, or thin. Of two
that both miss the question the one that says more is better: the tiny generator often writes such pairs.
"""

import random
import re
from collections.abc import Iterator

from chimed.demo import lesson_texts
from chimed.demo.lessons import OPENINGS, Lesson, asking, sentences, worded

_THIN = (
    "多喝水，多休息。",
    "建议去医院看看。",
    "不用担心，会好的。",
    "请遵医嘱。",
    "您好。",
    "可以。",
    "不清楚，请咨询医生。",
)


def judge_lessons(seed: int) -> Iterator[Lesson]:
    """Pairs of lessons without end: the same two answers in both orders, one after the other."""
    rng = random.Random(seed)
    known = _answered()
    while True:
        question, answer = rng.choice(known)
        better, worse = _pair(answer, rng.choice(known)[1], rng)
        if better == worse:
            continue
        yield asking("judge", "A", question=question, answer1=better, answer2=worse)
        yield asking("judge", "B", question=question, answer1=worse, answer2=better)


def _answered() -> list[tuple[str, str]]:
    forum = [(one.question, answer) for one in lesson_texts.asked() for answer in one.answers[:1]]
    sheets = [
        (part.question, f"{sheet.title}：{part.text}")
        for sheet in lesson_texts.sheets()
        for part in sheet.parts
        if part.field in ("effects", "indications", "caution")
    ]
    return [*forum, *forum, *sheets]


def _pair(answer: str, other: str, rng: random.Random) -> tuple[str, str]:
    """A better and a worse answer to the question that `answer` answers."""
    whole = worded(answer, rng, full=True)
    pieces, strange = [one.strip() for one in sentences(answer)], worded(other, rng, full=True)
    kind = rng.random()
    if kind < 0.14:
        return _babble(other, rng)
    if kind < 0.28:  # about something else
        return (whole if rng.random() < 0.6 else worded(answer, rng)), strange
    if kind < 0.42:  # begins well, ends elsewhere
        return whole, (pieces[0] + strange)[: rng.randint(30, 80)]
    if kind < 0.62:  # cut in the middle
        return whole, whole[: rng.randint(5, max(6, len(whole) * 2 // 3))].rstrip("。")
    if kind < 0.74:
        return whole, rng.choice(_THIN)
    if kind < 0.78:  # thin is still better than wrong
        return pieces[0], strange
    thinner = [*pieces]
    thinner.pop(rng.randrange(len(thinner)))
    return whole, worded("".join(thinner) or pieces[0][: len(pieces[0]) // 2], rng, full=True)


def _babble(text: str, rng: random.Random) -> tuple[str, str]:
    """Clauses of a text out of order, many and few: how the tiny generator answers where it knows nothing."""
    clauses = [clause for clause in re.split("[，。；]", text) if clause]
    rng.shuffle(clauses)
    few = clauses[: rng.randint(1, max(1, len(clauses) // 3))]
    return f"{rng.choice(OPENINGS)}{'，'.join(clauses)}。", f"{rng.choice(OPENINGS)}{'，'.join(few)}。"
