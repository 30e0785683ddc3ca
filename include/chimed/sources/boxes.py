"""Put the boxes of a consultation back where they belong, where a page has an end tag too few or too many (paper §3.1).

A browser shows such a page all the same: each answer begins where its box begins. In the tree it may stand within the
answer before it, in the follow-ups of that answer, or outside of all boxes. Here the order of the page decides: what
belongs to an answer belongs to the last one that began before it.
"""

import copy
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from parsel import Selector


@dataclass(frozen=True)
class Boxes:
    """The classes of a site's boxes.

    group: of answers; None where a site has none. answer: what an answer's class begins with. content: what an answer
    is made of. box, part: its follow-ups, and what one of them is. button: what stands between them and holds none.
    other: columns of other questions, of which nothing moves.
    """

    group: str | None
    answer: str
    content: frozenset[str]
    box: frozenset[str]
    part: frozenset[str]
    button: frozenset[str]
    other: frozenset[str]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """A pattern for the class attributes of all of them."""
        names = "|".join(sorted(filter(None, self.content | self.box | self.part | {self.group})))
        return re.compile(rf"(?<!\S)(?:{names}|{self.answer}\S*)(?!\S)")


def mend(page: Selector, boxes: Boxes) -> Selector:
    """Return a copy of a page whose groups, answers and follow-ups are within what they belong to and nothing else.

    What stands outside moves into the answer only where the answer's end tag came too early, so that it stands beside
    the answer or one of the boxes around it; another column of the page has boxes of its own.
    """
    root = copy.deepcopy(page.root)
    last = _Last()
    for element in [one for one in root.xpath("//*[@class]") if boxes.pattern.search(one.get("class"))]:
        classes = frozenset(element.get("class").split())
        above = _above(element, boxes)
        if "other" in above:
            continue
        if boxes.group in classes:
            _place_group(element, above, last)
        elif any(name.startswith(boxes.answer) for name in classes):
            _place_answer(element, above, last)
        elif boxes.box & classes:
            if "button" in above or ("answer" not in above and _stands_beside(element, last.answer)):
                last.answer.append(element)
            last.box = element
        elif boxes.part & classes:
            if "box" not in above and _stands_beside(element, last.box):
                last.box.append(element)
            _take_paragraphs(element)
        elif boxes.content & classes and "answer" not in above and _stands_beside(element, last.answer):
            last.answer.append(element)
    return Selector(root=root, type="html")


@dataclass
class _Last:
    """The boxes that began last, in the order of the page; None where none did."""

    group: Any = None
    answer: Any = None
    box: Any = None


def _place_group(group: Any, above: set[str], last: _Last) -> None:
    if last.group is not None and "answer" in above:
        last.group.addnext(group)
    last.group, last.answer, last.box = group, None, None


def _place_answer(answer: Any, above: set[str], last: _Last) -> None:
    if last.answer is not None and "answer" in above:
        last.answer.addnext(answer)
    elif "group" not in above and _stands_beside(answer, last.group):
        last.group.append(answer)
    last.answer, last.box = answer, None


def _above(element: Any, boxes: Boxes) -> set[str]:
    """Return which kinds of boxes an element stands in; a button only where it is within the nearest answer."""
    found: set[str] = set()
    for one in element.iterancestors():
        classes = frozenset(one.get("class", "").split())
        if boxes.other & classes:
            found.add("other")
        if boxes.group in classes:
            found.add("group")
        if any(name.startswith(boxes.answer) for name in classes):
            found.add("answer")
        if boxes.box & classes:
            found.add("box")
        if boxes.button & classes and "answer" not in found:
            found.add("button")
    return found if "answer" in found else found - {"button"}


def _stands_beside(element: Any, box: Any) -> bool:
    """Return whether an element stands right beside a box or one that is around it."""
    return box is not None and any(one is element.getparent() for one in box.iterancestors())


def _take_paragraphs(part: Any) -> None:
    """Move plain paragraphs behind a part into it: they are its words, and it was closed too early."""
    while (behind := part.getnext()) is not None and behind.tag == "p" and not behind.get("class"):
        part.append(behind)
