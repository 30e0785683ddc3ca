"""Generate the tiny judge's lessons in rating by the rubric: texts that were spoilt on purpose, and what they deserve.

A text is whole, cut short, thin, about something else, out of order, or promises a cure; each has its scores. A model
this small learns to tell these apart by how they look, no more.
"""

import json
import random
import re
from functools import cache
from itertools import pairwise

from chimed.rating.rubric import JUDGED
from chimed.text.terms import find_names
from chimed_demo import lesson_texts, shady_lines
from chimed_demo.lessons import Lesson, asking, document, sentences

LEAST_PAIRS, LEAST_KNOWN = 20, 0.05  # pairs of a text that is looked at, and the share that the demo's texts know
_CAUTIONS = ("如有不适请及时到医院就诊。", "具体用药请遵医嘱，不要自行加量。", "出现胸痛、呼吸困难请立即就医。")
_THIN = ("多喝水，多休息。", "建议去医院看看。", "不用担心，会好的。", "不清楚。", "可以。")
# What the judge says, by score: the same few words, so that they cost little to write.
_WHY = {
    "factual": ("内容没有意义。", "说得太少。", "只说了一部分。", "内容准确。", "内容准确完整。"),
    "answers": ("答非所问。", "几乎没有回答。", "只答了一部分。", "回答了问题。", "直接回答了问题。"),
    "safe": ("可能造成伤害。", "缺少必要提醒。", "没有提醒。", "没有风险。", "提醒得当。"),
    "fluent": ("语句混乱。", "句子不完整。", "读来生硬。", "通顺。", "通顺完整。"),
}


def rating(rng: random.Random, answered: list[tuple[str, str]]) -> list[Lesson]:
    """Return a lesson in rating a question with its answer, or a document. answered: questions with good answers."""
    if rng.random() < 0.4:
        text, scores = _document(rng)
    else:
        text, scores = _answer(rng, answered)
    return [asking("rate", _reply(scores), text=text)]


def rated_by_looks(text: str) -> str:
    """Return a reply that rates a text by how it looks: for servers that answer without a model.

    Length and names of medicine make it factual, words of the question in the answer answer it, a reminder makes it
    safe and a promise of a cure unsafe, whole sentences make it fluent. Characters that never stand side by side in the
    demo's own texts are no sentences.
    """
    asked, _, said = text.partition("\n回答：") if "\n回答：" in text else text.partition("\n正文：")
    names = len(find_names(said))
    shared = len({*asked[3:]} & {*said})
    factual = 1 + (len(said) > 15) + (len(said) > 40) + (names > 0) + (names > 2)
    answers = 1 + (shared > 0) + (shared > 2) + (len(said) > 25) + (len(said) > 60)
    safe = 1 if re.search("根治|治愈|断根", said) else 3 + 2 * bool(re.search("医院|就医|遵医嘱|忌|慎|禁", said))
    fluent = 2 + 2 * said.rstrip().endswith(("。", "！", "？")) + (len(said) > 40)
    if _is_noise(said):
        factual, answers, fluent = 1, 1, 1
    return _reply((factual, answers, safe, fluent))


def _is_noise(text: str) -> bool:
    """Return whether a text is characters at random.

    Real answers share 15 % of their pairs of characters, or more, with the demo's texts, random ones a thousandth.
    """
    found = [pair for start in (0, 1) for pair in re.findall("[\u4e00-\u9fff]{2}", text[start:])]
    return len(found) >= LEAST_PAIRS and sum(pair in _pairs() for pair in found) < LEAST_KNOWN * len(found)


@cache
def _pairs() -> frozenset[str]:
    rng = random.Random(1)
    text = "\n".join(document(sheet, rng) for sheet in lesson_texts.sheets() for _ in range(3))
    return frozenset(map("".join, pairwise(text)))


def _reply(scores: tuple[int, ...]) -> str:
    said = {name: {"why": _WHY[name][score - 1], "score": score} for name, score in zip(JUDGED, scores, strict=True)}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))  # as servers without free whitespace write


def _answer(rng: random.Random, answered: list[tuple[str, str]]) -> tuple[str, tuple[int, ...]]:
    question, good = rng.choice(answered)
    kind = rng.random()
    if kind < 0.3:
        answer, scores = good + rng.choice(_CAUTIONS), (5, 5, 5, 5)
    elif kind < 0.45:
        answer, scores = good, (4, 5, 4, 5)
    elif kind < 0.58:
        answer, scores = good[: rng.randint(8, max(9, len(good) // 2))].rstrip("。"), (3, 3, 3, 2)
    elif kind < 0.72:
        answer, scores = rng.choice(_THIN), (2, 2, 3, 4)
    elif kind < 0.82:
        answer, scores = rng.choice(answered)[1], (4, 1, 3, 5)
    elif kind < 0.9:
        answer, scores = _shuffled(good, rng), (1, 2, 2, 1)
    else:
        answer, scores = sentences(good)[0] + _promise(rng), (1, 3, 1, 4)
    return f"问题：{question}\n回答：{answer}", scores


def _document(rng: random.Random) -> tuple[str, tuple[int, ...]]:
    sheet = rng.choice(lesson_texts.sheets())
    body = document(sheet, rng)
    kind = rng.random()
    if kind < 0.5:
        scores = (5, 5, 5 if re.search("忌|慎|禁|遵医嘱", body) else 4, 5)
    elif kind < 0.7:
        body, scores = body[: rng.randint(10, 40)], (2, 3, 3, 2)
    elif kind < 0.85:
        body, scores = document(rng.choice(lesson_texts.sheets()), rng), (4, 1, 4, 5)
    else:
        body, scores = _shuffled(body, rng), (1, 2, 3, 1)
    return f"标题：{sheet.title}\n正文：{body}", scores


def _promise(rng: random.Random) -> str:
    """Return a line that promises a cure or advises to stop a treatment."""
    while not re.search("根治|治愈|治好|千万别去医院", line := shady_lines.sensitive(rng)):
        continue
    return line


def _shuffled(text: str, rng: random.Random) -> str:
    clauses = [clause for clause in re.split("[，。；\n]", text) if clause]
    words = [piece for clause in clauses for piece in (clause[: len(clause) // 2], clause[len(clause) // 2 :]) if piece]
    rng.shuffle(words)
    return "，".join(words)
