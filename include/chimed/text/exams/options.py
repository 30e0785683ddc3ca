"""Read the options of a multiple-choice question in the forms that exams have, and a question that lists its options.

Ours. `evaluate` reads the exams that models sit by it, corpora read the exam questions that are for training, and
`reason` reads the questions that corpora made of them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

LETTERS = "ABCDEFGH"
LEAST = 2  # options of a question
# A line of a record's question that is an option, and one of its answer
_OPTION = re.compile(r"([A-H])\. ?(\S.*)")


def option_pairs(options: Any) -> list[tuple[str, str]]:
    """Return (letter, text) of each option of a mapping, of a list of pairs, or of lines that begin with a letter."""
    if isinstance(options, dict):
        return [(str(key).strip(), _said(text)) for key, text in options.items()]
    if isinstance(options, list):
        return [(str(one.get("key", "")).strip(), _said(one.get("value"))) for one in options if isinstance(one, dict)]
    pairs: list[tuple[str, str]] = []
    for line in str(options or "").splitlines():
        letter, text = line.strip()[:1], line.strip()[1:].lstrip(" .．、:：\t")
        if letter in LETTERS and letter:
            pairs.append((letter, text))
        elif pairs:  # an option of two lines
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}\n{line}")
    return pairs


def _said(value: Any) -> str:
    """Return an option's text; a number is one too, and a list or an object is none."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def right_letters(answer: str, options: Sequence[tuple[str, str]]) -> str:
    """Return the letters of an exam's answer, sorted; empty for one that is neither letters nor an option's text."""
    letters = {letter for letter, _ in options}
    said = set(answer) - set(" ,，、")
    if said and said <= letters:
        return "".join(sorted(said))
    return next((letter for letter, text in options if text.strip() == answer.strip()), "")


def write_choice(stem: str, options: Iterable[tuple[str, str]], right: str) -> tuple[str, str]:
    """Return a choice as a record's question, its options a line each, and its answer, a line for each right one."""
    lines = {letter: f"{letter}. {' '.join(text.split())}" for letter, text in options}
    return "\n".join((stem, *lines.values())), "\n".join(lines[letter] for letter in right)


def read_choice(question: str, answer: str) -> tuple[dict[str, str], str] | None:
    """Return the options (letter → text) and right letters of a record that `write_choice` made; None of any other."""
    offered = _options(question.split("\n")[1:])
    right = _options(answer.split("\n"))
    if len(offered) < LEAST or not right or any(offered.get(letter) != text for letter, text in right.items()):
        return None
    return offered, "".join(sorted(right))


def _options(lines: Iterable[str]) -> dict[str, str]:
    """Return the options among lines; {} where the last lines are something else, or a letter stands twice."""
    found: dict[str, str] = {}
    for line in lines:
        match = _OPTION.fullmatch(line.strip())
        if match and match[1] not in found:
            found[match[1]] = match[2].strip()
        elif found:
            return {}
    return found
