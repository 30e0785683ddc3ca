"""Say a point by rule: what a model is asked to word, and what a small one may choose from. Ours.

What is written here passes the gate wherever the two entries bear it out; a point of which it does not is not asked.
"""

import re

from chimed.text.two_steps.point import Point

_ASKED = {  # by relation: what "which herb" has, and what is asked of the largest ingredient
    "has_nature": ("药性为{}", "药性如何"),
    "has_toxicity": ("{}", ""),
    "has_effect": ("有{}的功效", "有什么功效"),
    "enters_channel": ("归{}经", "归哪些经"),
    "has_taboo": ("{}", ""),
    "not_given_with": ("不宜与{}同用", ""),
}
_FRAMES = (
    "{formula}的组成药物中，哪一味{asked}？",
    "{formula}所用的药物里，{asked}的是哪一味药？",
    "组成{formula}的各味药中，哪味药{asked}？",
)
_LARGEST = (
    "{formula}中用量最大的是哪一味药？这味药{asked}？",
    "{formula}里用量最大的药物是什么？它{asked}？",
)
_CARES = "{who}服用{formula}时，应当留意其中的哪一味药？为什么？"


def questions_of(point: Point, said: str) -> list[str]:
    """Return the question in a few wordings, the plainest first. said: the words of the fact in the herb's entry."""
    which, told = _ASKED[point.relation]
    if point.asks == "largest":
        return [frame.format(formula=point.formula, asked=told) for frame in _LARGEST]
    has = point.about or ""
    if point.relation == "has_taboo":
        has += _care(said)
    elif point.relation == "has_toxicity" and not has.startswith("有"):
        has = f"有{has}"
    frames = [frame.format(formula=point.formula, asked=which.format(has)) for frame in _FRAMES]
    if point.relation == "has_taboo":
        who = point.about if re.search(r"(?:[者妇儿童]|妇女)$", point.about or "") else f"{point.about}的人"
        return [_CARES.format(who=who, formula=point.formula), *frames]
    return frames


def answers_of(point: Point, said: str, clause: str) -> list[str]:
    """Return the answer in a few wordings: whole sentences with the herb's name and what its entry says.

    said, clause: the words of the fact in the herb's entry, and the clause that holds them.
    """
    told = _told(point, said, clause)
    if point.asks == "largest":
        return [
            f"{point.formula}中用量最大的是{point.herb}，{told}。",
            f"用量最大的一味药是{point.herb}。{told}。",
        ]
    if point.relation == "has_taboo":
        return [
            f"应当留意{point.formula}中的{point.herb}，因为{told}。",
            f"需要留意的是{point.herb}，{told}。",
        ]
    return [f"这味药是{point.herb}，{told}。", f"{point.formula}中的{told}。"]


def _told(point: Point, said: str, clause: str) -> str:
    """Return a clause about the herb that says what its entry says."""
    listed = "、".join(point.says)
    against = clause.removeprefix("反")
    words = {
        "has_nature": f"性{listed}",
        "has_toxicity": listed if listed.startswith("有") else f"有{listed}",
        "has_effect": f"有{listed}的功效",
        "enters_channel": f"归{listed}经",
        "has_taboo": said,
        # 反藜芦 is the old books' word for it
        "not_given_with": f"不宜与{against}同用" if against == listed else clause,
    }[point.relation]
    return words if point.relation == "has_taboo" else f"{point.herb}{words}"


def _care(said: str) -> str:
    """Return how a clause forbids: 慎用, 禁服."""
    match = re.search(r"(?:不宜[用使服]?用?|[慎忌禁][用服]?)$", said)
    return match[0] if match else "慎用"
