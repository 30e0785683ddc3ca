"""Play two generators and a judge by rule, for servers that answer without a model: answers of unlike quality.

What they say comes from the demo's own texts and is the same in every run. An answer is thorough, leaves something out,
says the gist, is vague, or is about something else; the second generator is the weaker one. The judge goes by how much
of what is known an answer says, likes the first place a little, and is not always of the same mind: so margins differ,
and some verdicts do not survive the swap.
"""

import json
import random
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

from chimed.rating.rubric import JUDGED
from chimed_demo import lesson_texts
from chimed_demo.lessons import MOST, sentences, worded
from chimed_demo.played_questions import questions
from chimed_demo.played_two_steps import two_step_answers
from chimed_demo.rating_lessons import rated_by_looks

# How often each generator's answers are of a kind
KINDS = {
    "thorough": (5, 3),
    "partial": (5, 4),
    "gist": (3, 4),
    "vague": (0.5, 1),
    "beside": (0.5, 1),
}
_VAGUE = (
    "这种情况因人而异，建议先观察一段时间，平时注意休息，饮食清淡，不要有太大的心理压力。",
    "引起的原因比较多，单凭文字不好判断，可以先调整作息和饮食，看看有没有好转。",
    "您好，这个问题比较常见，一般不用太担心，保持心情舒畅，适当锻炼就可以了。",
    "不同的人反应不一样，可以先按常规方法处理，效果不好再换别的办法。",
    "现在这方面的说法很多，没有统一的意见，可以多看几家的介绍再作决定。",
    "平时多喝水，少吃辛辣刺激的食物，注意保暖，慢慢会好起来的。",
)
_VAGUE_OF_A_THING = (
    "{}是比较常用的，各书说法不完全一样，使用前可以查一查相关的书籍。",
    "{}要看具体情况，配伍不同、体质不同，说法也就不同，不能一概而论。",
    "关于{}，建议咨询当地的中医师，由他们根据情况来判断。",
)
_VAGUE_OF_A_CASE = (
    "{}各位医生的处理不尽相同，要结合当时的舌脉来定，不能一概而论。",
    "{}要看病人的具体情况，这里不好判断，可以请教有经验的中医师。",
)
_ADVICE = ("必要时到医院就诊。", "具体请遵医嘱。", "如果加重，请及时就医。", "可以挂相应的专科看一看。")
_OPENINGS = ("", "", "据记载，", "简单地说，")  # before one sentence; a list cannot begin so


@dataclass(frozen=True)
class Known:
    """What is known about a question: the answer and texts near it; subject: the herb, formula or case asked about.

    asked: a person asks about himself, and is spoken to. half: what answers only half of the question.
    """

    answer: str
    near: tuple[str, ...]
    subject: str = ""
    asked: bool = False
    half: str = ""


def known_of(question: str) -> Known | None:
    """Return what the demo's texts know about a question; None if nothing."""
    asked = question.strip()
    if said := questions().get(asked):
        return Known(said.answer, said.near, said.title if said.field else "")
    if points := two_step_answers().get(asked):
        return Known(points.answer, points.wrong, points.formula, half=points.half)
    return _question_of_forum(question)


def play_answer(question: str, second: bool, sample: int) -> str:
    """Return the answer of the first or the second generator to a question; its samples are of different kinds."""
    rng = random.Random(f"{question}|{second}|{sample}")
    known = known_of(question)
    if known is None:
        return rng.choice(_VAGUE)
    kinds = _kinds(question, second)
    return _WRITERS[kinds[sample % len(kinds)]](known, rng)


def _kinds(question: str, second: bool) -> list[str]:
    """Return the kinds in an order by chance, the frequent ones mostly first; the generators begin with unlike ones."""
    rng = random.Random(f"{question}|{second}")
    order = {kind: rng.random() ** (1 / weights[second]) for kind, weights in KINDS.items()}
    kinds = sorted(order, key=order.__getitem__, reverse=True)
    if second and kinds[0] == _kinds(question, False)[0]:
        kinds[:2] = kinds[1::-1]
    return kinds


def _thorough(known: Known, rng: random.Random) -> str:
    if known.asked:
        return worded(known.answer, rng, full=True)
    first, *more = [one.strip() for one in sentences(known.answer)]
    opening = rng.choice(_OPENINGS) if known.half else ""
    return _fitting([opening + first, *more])


def _partial(known: Known, rng: random.Random) -> str:
    pieces = [one.strip() for one in sentences(known.answer)]
    if len(pieces) == 1:
        clauses = pieces[0].rstrip("。").split("，")
        if len(clauses) > 2:
            clauses.pop(rng.randrange(1, len(clauses)))
        pieces = ["，".join(clauses) + "。"]
    else:
        pieces.pop(rng.randrange(len(pieces)))
    return _fitting([*pieces, *([rng.choice(_ADVICE)] if known.asked else [])])


def _gist(known: Known, rng: random.Random) -> str:
    if known.half:
        return known.half
    if known.subject.endswith("案"):
        return f"{'，'.join(known.answer.split('，')[:2])}等。"
    first = re.split("[；。]", known.answer)[0]
    if known.asked and (shorter := re.match("[^；。]{20,}?(?=，)", first)):
        first = shorter[0]
    if known.subject:
        return _fitting([f"{known.subject}：{first}。"])
    advice = [rng.choice(_ADVICE), rng.choice(("", "不用过于担心。", "注意休息。"))] if known.asked else []
    return _fitting([f"{first}。", *advice])


def _vague(known: Known, rng: random.Random) -> str:
    if known.subject.endswith("案"):
        return rng.choice(_VAGUE_OF_A_CASE).format(known.subject.removesuffix("案"))
    if known.subject:
        return rng.choice(_VAGUE_OF_A_THING).format(known.subject)
    return rng.choice(_VAGUE) + (rng.choice(("", *_ADVICE)) if known.asked else "")


def _beside(known: Known, rng: random.Random) -> str:
    if not known.near:
        return _vague(known, rng)
    return _fitting([one.strip() for one in sentences(rng.choice(known.near))])


_WRITERS = {"thorough": _thorough, "partial": _partial, "gist": _gist, "vague": _vague, "beside": _beside}


def _fitting(pieces: list[str]) -> str:
    """Return as many of these sentences as the paper's limit allows, one at least."""
    text = pieces[0][:MOST]
    for piece in pieces[1:]:
        if len(text) + len(piece) <= MOST:
            text += piece
    return text


@cache
def _question_of_forum(question: str) -> Known | None:
    called = [one for one in lesson_texts.asked() if one.title in question and one.answers]
    if not called:
        return None
    one = max(called, key=lambda one: len(one.title))  # 贫血 is a title, too
    near = [
        max(other.answers, key=len)
        for other in lesson_texts.asked()
        if other.answers and other.breadcrumb == one.breadcrumb and other.title != one.title
    ]
    return Known(max(one.answers, key=len), tuple(near), asked=True)


# --- the judge --------------------------------------------------------------------------------------------------


def play_verdict(question: str, first: str, second: str) -> str:
    """Return A or B. Each order of two answers is a comparison of its own."""
    rng = random.Random(f"{question}|{first}|{second}")
    lead = _worth(question, first) - _worth(question, second) + 0.15 + rng.gauss(0, 0.3)
    return "A" if lead > 0 else "B"


def _worth(question: str, answer: str) -> float:
    known = known_of(question)
    said, wanted = _pairs(answer), _pairs(known.answer if known else "")
    shared = len(said & wanted)
    sends = bool(re.search("就诊|就医|医院|医生|遵医嘱", answer))
    wrong = known is not None and bool(known.half) and answer in known.near
    return 3 * shared / max(1, len(wanted)) - len(said - wanted) / max(1, len(said)) + 0.2 * sends - 3 * wrong


def _pairs(text: str) -> set[str]:
    plain = re.sub(r"\W", "", text)
    return {plain[place : place + 2] for place in range(len(plain) - 1)}


def play_rating(text: str) -> str:
    """Return a rating of a text by the rubric: by its looks, by what is known, and by what was changed in it."""
    asked, _, said = text.partition("\n回答：")
    question = asked.removeprefix("问题：")
    known = known_of(question) if said else None
    if known is None:
        return rated_by_looks(text)
    rated = json.loads(rated_by_looks(text))
    shared = len(_pairs(said) & _pairs(known.answer)) / max(1, len(_pairs(known.answer)))
    rated["factual"]["score"] = round(1.6 + 3.4 * shared)
    rated["answers"]["score"] = round(1.2 + 3.8 * min(1.0, 1.5 * shared))
    if changed := _changed_sentence(said, known.answer):
        sees = random.Random(changed).random() < 0.7
        rated["safe"]["score"] = 1 if sees else rated["safe"]["score"]
        rated["factual"]["score"] = min(2, rated["factual"]["score"]) if sees else rated["factual"]["score"]
    return json.dumps({name: rated[name] for name in JUDGED}, ensure_ascii=False, separators=(",", ":"))


def _changed_sentence(said: str, known: str) -> str | None:
    """Return a sentence that is nearly one of what is known, but says a number or a prohibition otherwise."""
    for one in sentences(said):
        for other in sentences(known):
            alike = SequenceMatcher(None, one, other).ratio()
            if one.strip() not in known and alike > 0.7 and _says(one) != _says(other):
                return one
    return None


def _says(sentence: str) -> list[str]:
    return re.findall(r"\d+|[不忌禁勿]", sentence)
