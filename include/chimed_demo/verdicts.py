"""Generate the tiny judge's training examples: the paper's ranking prompt (Table 2), second opinions, ratings.

The better answer fits the question and is complete; the worse one is about something else, cut short, or thin. Of two
that both miss the question, the longer one is better: the tiny generator often writes such pairs. Every pair is trained
in both orders. A second opinion is 是 for a correct answer, question or translation, and 否 for one that belongs to
another text or names nothing: a model this small cannot judge more.
"""

import random
import re
from collections.abc import Callable, Iterator
from functools import cache

from chimed_demo import lesson_texts, rating_lessons, two_step_lessons
from chimed_demo.lessons import OPENINGS, Lesson, asking, document, sentences, worded

_THIN = (
    "多喝水，多休息。",
    "建议去医院看看。",
    "不用担心，会好的。",
    "请遵医嘱。",
    "您好。",
    "可以。",
    "不清楚，请咨询医生。",
)


# How many of the lessons each task gets; ranking takes two at a time.
SHARES = {"judge": 0.41, "supports": 0.31, "stands_alone": 0.06, "faithful": 0.12, "rate": 0.1}
TWO_STEPS = 0.2  # share of the lessons of `supports` that are about two documents


def judge_lessons(seed: int) -> Iterator[Lesson]:
    """Yield the judge's lessons without end; a ranking has the same two answers in both orders, one after the other."""
    rng = random.Random(seed)
    draws: dict[str, Callable[[random.Random], list[Lesson]]] = {
        "judge": _ranking,
        "supports": _supports,
        "stands_alone": _stands_alone,
        "faithful": _faithful,
        "rate": lambda dice: rating_lessons.rating(dice, _answered()),
    }
    while True:
        yield from draws[rng.choices(list(SHARES), list(SHARES.values()))[0]](rng)


def _ranking(rng: random.Random) -> list[Lesson]:
    known = _answered()
    question, answer = rng.choice(known)
    better, worse = _pair(answer, rng.choice(known)[1], rng)
    if better == worse:
        return []
    return [
        asking("judge", "A", question=question, answer1=better, answer2=worse),
        asking("judge", "B", question=question, answer1=worse, answer2=better),
    ]


def _supports(rng: random.Random) -> list[Lesson]:
    """Return an answer that is a sentence of its document, and one that is from another; or such of two steps."""
    if rng.random() < TWO_STEPS:
        return two_step_lessons.supports(rng)
    sheet, other = rng.sample(lesson_texts.sheets(), 2)
    start = rng.randrange(len(sheet.parts))
    parts = sheet.parts[start : start + rng.randint(1, 4)]
    text = document(sheet, rng, parts)
    part, strange = rng.choice(parts), rng.choice(other.parts)
    right, wrong = (rng.choice([one.strip() for one in sentences(each.text)]) for each in (part, strange))
    if wrong.strip("。") in text:
        return []
    return [
        asking("supports", "是", text=text, question=part.question, answer=right),
        asking("supports", "否", text=text, question=strange.question, answer=wrong),
    ]


def _stands_alone(rng: random.Random) -> list[Lesson]:
    sheet = rng.choice(lesson_texts.sheets())
    question = rng.choice(sheet.parts).question
    pointing = question.replace(sheet.title, rng.choice(("它", "本品", "该药", "上文")))
    lessons = [asking("stands_alone", "是", question=question)]
    return lessons + ([asking("stands_alone", "否", question=pointing)] if pointing != question else [])


def _faithful(rng: random.Random) -> list[Lesson]:
    passage, other = rng.sample(lesson_texts.passages(), 2)
    return [
        asking("faithful", "是", text=passage.text, modern=passage.modern),
        asking("faithful", "否", text=passage.text, modern=other.modern),
    ]


@cache
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
    """Return a better and a worse answer to the question that `answer` answers."""
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
    """Return clauses of a text out of order, many and few: how the tiny generator answers without knowledge."""
    clauses = [clause for clause in re.split("[，。；]", text) if clause]
    rng.shuffle(clauses)
    few = clauses[: rng.randint(1, max(1, len(clauses) // 3))]
    return f"{rng.choice(OPENINGS)}{'，'.join(clauses)}。", f"{rng.choice(OPENINGS)}{'，'.join(few)}。"
