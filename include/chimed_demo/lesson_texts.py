"""Provide the demo's texts for training the tiny models: sheets (documents), questions, classical passages.

The texts of the replica's pages are read from `texts/*.yaml`; the words of the exam (`exam/`) are never trained on.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from chimed_demo.pages import texts

# A field of a text: how the sites head it, and what one may ask about it (`{}` is the sheet's title).
_HEADS = {
    "alias": ("别名", "{}有哪些别名？"),
    "origin": ("出处", "{}出自哪里？"),
    "source": ("来源 药用部位", "{}来源于什么植物？"),
    "intro": ("简介", "{}是什么药材？"),
    "habitat": ("产地分布 生境分布 产地", "{}主要产于哪里？"),
    "traits": ("药材性状 性状 形态特征", "{}有什么性状？"),
    "nature": ("性味归经 性味归经 药性", "{}的性味归经是什么？"),
    "ingredients": ("组成 配方组成", "{}由哪些药物组成？"),
    "making": ("制法", "{}怎样制作？"),
    "effects": ("功效 功效与作用 功效作用", "{}的功效是什么？"),
    "indications": ("主治 功效主治 适应症", "{}主治哪些病证？"),
    "use": ("临床应用 应用", "{}用于哪些情况？"),
    "usage": ("用法 用法用量", "{}怎样服用？"),
    "dose": ("用法用量 用量", "{}的用量是多少？"),
    "pairing": ("配伍药方 配伍", "{}怎样配伍？"),
    "explanation": ("方解", "{}的组方道理是什么？"),
    "caution": ("使用禁忌 注意事项 禁忌", "使用{}有什么禁忌？"),
    "remark": ("按语 备注", "使用{}要注意什么？"),
    "complaint": ("主诉", "{}的患者有什么症状？"),
    "signs": ("诊察", "{}的舌脉如何？"),
    "pattern": ("辨证", "{}属于什么证？"),
    "treatment": ("治法", "{}用什么治法？"),
    "formula": ("处方", "{}用了什么方药？"),
    "course": ("复诊", "{}的治疗经过如何？"),
    "comment": ("按 按语", "{}给人什么启示？"),
}


@dataclass(frozen=True)
class Part:
    """A field or paragraph: its headings on the sites (none for prose), its text, and a question it answers."""

    field: str
    heads: tuple[str, ...]
    text: str
    question: str


@dataclass(frozen=True)
class Sheet:
    """A document of the demo."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Asked:
    """A question of the demo as its record has it (with the title), its answers, and its page's departments.

    consultations: each answer with what asker and doctor said after it.
    """

    title: str
    question: str
    answers: tuple[str, ...]
    consultations: tuple[str, ...]
    breadcrumb: str


@dataclass(frozen=True)
class Passage:
    """A classical passage and its translation."""

    chapter: str
    text: str
    modern: str


@cache
def sheets() -> tuple[Sheet, ...]:
    """Return herbs, formulas, dictionary entries, cases, diseases and articles."""
    found = [
        _of_fields(entry) for name in ("herbs", "formulas", "entries", "cases", "cnkang_herbs") for entry in texts(name)
    ]
    return (*found, *(_of_prose(entry) for name in ("diseases", "articles") for entry in texts(name)))


def _of_fields(entry: dict[str, Any]) -> Sheet:
    title = entry.get("name") or entry["title"]
    parts = []
    for field, (heads, question) in _HEADS.items():
        value = entry.get(field)
        if isinstance(value, list):
            value = "，".join("".join(pair) for pair in value)
        if value:
            text = value if value.endswith("。") else f"{value}。"
            parts.append(Part(field, tuple(heads.split()), text, question.format(title)))
    return Sheet(title, tuple(parts))


def _of_prose(entry: dict[str, Any]) -> Sheet:
    title = entry["title"]
    asks = any(word in title for word in ("怎", "吗", "如何", "为什么", "什么", "哪"))
    question = f"{title}？" if asks else f"关于{title}，应当注意什么？"
    return Sheet(title, tuple(Part("", (), paragraph, question) for paragraph in entry["paragraphs"]))


@cache
def planted() -> tuple[str, ...]:
    """Return the paragraphs of planted pages that are neither insulting nor personal: clean prose, odd characters."""
    clean = ("greeting", "marked_up", "injection")
    plants = texts("plants")
    return tuple("\n".join(plants[name]["paragraphs"]) for name in clean if name in plants)


@cache
def asked() -> tuple[Asked, ...]:
    """Return the questions of both forums, without those planted with a person or an insult."""
    found = []
    for name in ("questions_ask39", "questions_ask120"):
        for entry in texts(name):
            if {"pii", "insult", "mojibake"} & set(entry["plants"]):
                continue
            extra = [entry[key] for key in ("treated", "wish") if entry.get(key)]
            found.append(
                Asked(
                    entry["title"],
                    "\n".join([entry["title"], entry["question"], *extra]),
                    tuple(filter(None, map(_answer, entry["answers"]))),
                    tuple(filter(None, map(_consultation, entry["answers"]))),
                    " > ".join(entry["department"]),
                )
            )
    return tuple(found)


def _answer(entry: dict[str, Any]) -> str:
    if entry.get("advert") or entry.get("audio"):
        return ""
    return "\n".join(filter(None, (entry["text"], entry.get("advice"))))


def _consultation(entry: dict[str, Any]) -> str:
    turns = [more["text"] for more in entry.get("followups", ()) if more["who"] in ("patient", "doctor")]
    return "\n".join(filter(None, (answer, *turns))) if (answer := _answer(entry)) else ""


@cache
def passages() -> tuple[Passage, ...]:
    """Return the classical passages with their translations."""
    return tuple(Passage(one["chapter"], one["text"], one["modern"]) for one in texts("classics")["passages"])
