"""Play a generator that asks what a paragraph answers, for servers that answer without a model.

A field of a sheet is asked about by its heading. A remark under a formula may explain or warn, so it is asked for what
its sentences do. What articles and classical passages answer is told in `played_questions.yaml`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from chimed_demo import lesson_texts
from chimed_demo.lesson_texts import Part, Sheet
from chimed_demo.lessons import sentences
from chimed_demo.pages import texts

_TOLD = Path(__file__).parent / "played_questions.yaml"
_WARNS = re.compile(
    r"[忌禁慎勿]|不(?:宜|可|要|当|适合|属|需要)|非所宜|反而伤|容易引起|服之无益|须先|期间应|遵医嘱|少吃"
)
_DOSED = re.compile(r"\d克")


@dataclass(frozen=True)
class Asks:
    """A question that a document answers, and what is near it. title: what it is about; field: as in a sheet.

    near: other things that the document says. thought: what leads to the answer, where it is told and not derived.
    """

    question: str
    answer: str
    title: str
    field: str = ""
    near: tuple[str, ...] = ()
    thought: str = ""


def asked_of(text: str) -> Asks | None:
    """Return what is asked of a document: about the longest of its fields, else what is told of it; None if nothing.

    Lists of ingredients and ways of making are long, but there is little to ask about them.
    """
    found = [one for one in questions().values() if all(said in text for said in _stripped(one.answer))]
    dull = ("ingredients", "making")
    return max(found, key=lambda one: (one.field != "", one.field not in dull, len(one.answer)), default=None)


def _stripped(answer: str) -> list[str]:
    """Return the sentences without stops: some sites leave out the last one."""
    return [one.strip().removesuffix("。") for one in sentences(answer)]


@cache
def questions() -> dict[str, Asks]:
    """Return all that is asked of the demo's documents, by the question; of two with one answer each the longer."""
    told = yaml.safe_load(_TOLD.read_text(encoding="utf-8"))
    found: dict[str, Asks] = {}
    for one in sorted(_all(told), key=lambda one: len(one.answer)):
        found[one.question] = one
    return found


def _all(told: dict[str, dict[str, dict[str, Any]]]) -> Iterator[Asks]:
    for sheet in lesson_texts.sheets():
        if sheet.title in told["articles"]:
            yield _told(sheet.title, [part.text for part in sheet.parts], told["articles"][sheet.title])
        for part in sheet.parts if sheet.parts[0].heads else ():
            yield _of_field(sheet, part)
    for passage in texts("classics")["passages"]:
        yield _told(passage["chapter"], [passage["modern"]], told["classics"][passage["chapter"]])


def _told(title: str, paragraphs: list[str], told: dict[str, Any]) -> Asks:
    """Return what the list tells of a document; raises KeyError where the document has no such words."""
    if start := told.get("paragraph"):
        said = [one for one in paragraphs if one.startswith(start)]
    else:
        every = [one.strip() for paragraph in paragraphs for one in sentences(paragraph)]
        said = [one for start in told["sentences"] for one in every if one.startswith(start)]
    if len(said) != len(told.get("sentences", ["one"])):
        raise KeyError(f"{title}: no sentences of the text begin as played_questions.yaml says")
    near = [one.strip() for paragraph in paragraphs for one in sentences(paragraph)]
    return Asks(
        told["question"],
        "".join(said),
        title,
        near=tuple(one for one in near if one not in "".join(said)),
        thought=told["thought"],
    )


def _of_field(sheet: Sheet, part: Part) -> Asks:
    near = tuple(one.text for one in sheet.parts if one.question != part.question)
    if part.field == "remark":
        said = [one.strip() for one in sentences(part.text)]
        if warns := [one for one in said if _WARNS.search(one)]:
            return Asks(part.question, "".join(warns), sheet.title, "remark", near)
        return Asks(f"{sheet.title}的组方道理是什么？", said[0], sheet.title, "explanation", near)
    if part.field == "indications" and _DOSED.search(part.text):
        question = part.question.replace("？", "？使用时要注意什么？")
        return Asks(question, part.text, sheet.title, part.field, near)
    return Asks(part.question, part.text, sheet.title, part.field, near)
