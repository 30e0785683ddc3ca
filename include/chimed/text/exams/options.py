"""Read the options of a multiple-choice question in the forms that exams have, and a question that lists its options.

Ours. `evaluate` reads the exams that models sit by it, corpora read the exam questions that are for training, and
`reason` reads the questions that corpora made of them.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

LETTERS = "ABCDEFGH"
LEAST = 2  # options of a question
# A line that may begin an option: A. 白术, (A)白术, A 白术, A白术
_LABELLED = re.compile(
    r"(?P<open>[(（\[【]?)\s{0,4}(?P<letter>[A-HＡ-Ｈ])(?:\s{0,4}(?P<sign>[.．。、:：,，)）\]】]{1,2})|(?P<space>\s)|)"
    r"\s{0,20}(?P<text>.*)",
    re.DOTALL,
)
# What is written behind a letter that is part of a word: B超, A型血, C反应蛋白, E抗原, T波, G蛋白
_LETTERED_WORD = re.compile(
    r"[型超族群组级类期链带波线环区端点角峰键段片层轮]|反应蛋白|蛋白|肽|[- ]?二聚体|抗[原体]|淋巴|细胞|受体|因子|病毒"
    r"|溶血|染色体|核苷|功能区|照射|检查|试验|染色|氨基|亚[型群]|[+\-]"
)
_GOES_ON = re.compile(r"[A-Za-z\d+\-－–—]")  # BCG接种, B12, D-二聚体
# A line of a record's question that is an option, and one of its answer
_OPTION = re.compile(r"([A-H])\. ?(\S.*)")


def option_pairs(options: Any) -> list[tuple[str, str]]:
    """Return (letter, text) of each option of a mapping, of a list of pairs, or of lines that begin with a letter.

    A line such as B超检查 or C反应蛋白 begins with no label: see `_labelled`.
    """
    if isinstance(options, dict):
        return [(str(key).strip(), _said(text)) for key, text in options.items()]
    if isinstance(options, list):
        return [(str(one.get("key", "")).strip(), _said(one.get("value"))) for one in options if isinstance(one, dict)]
    return _labelled([line.strip() for line in str(options or "").splitlines() if line.strip()])


@dataclass(frozen=True)
class _Label:
    """A line that may begin an option. mark: 0 where a sign stands behind the letter, 1 a space, 2 nothing."""

    line: int
    letter: str
    mark: int
    text: str

    @property
    def is_word(self) -> bool:
        """Whether the letter rather belongs to what follows, as in B超 and C反应蛋白."""
        return self.mark > 0 and bool(_LETTERED_WORD.match(self.text) or (self.mark == 2 and _GOES_ON.match(self.text)))


def _labelled(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return the options of lines, of which each begins with its letter; other lines go on with the option above.

    The letters come in order. Of several lines that may begin an option, that with the clearest mark does.
    """
    found = [_label(n, match) for n, line in enumerate(lines) if (match := _LABELLED.fullmatch(line))]
    if all(one.mark == 2 for one in found) and not _are_bare_labels(found, lines):
        return []
    chosen: list[_Label] = []
    for letter in LETTERS:
        behind = [one for one in found if one.line > (chosen[-1].line if chosen else -1)]
        end = min((one.line for one in behind if one.letter > letter and one.mark == 0), default=len(lines))
        fitting = [one for one in behind if one.letter == letter and one.line < end]
        best = min(fitting, key=lambda one: (one.mark, one.is_word, one.line), default=None)
        if best and (not best.is_word or all(one.mark >= best.mark for one in found)):
            chosen.append(best)
    ends = [*(one.line for one in chosen[1:]), len(lines)]
    return [
        (one.letter, "\n".join([one.text, *lines[one.line + 1 : end]])) for one, end in zip(chosen, ends, strict=False)
    ]


def _label(number: int, match: re.Match[str]) -> _Label:
    mark = 0 if match["sign"] or match["open"] else 1 if match["space"] else 2
    return _Label(number, unicodedata.normalize("NFKC", match["letter"]), mark, match["text"])


def _are_bare_labels(found: Sequence[_Label], lines: Sequence[str]) -> bool:
    """Return whether letters with nothing behind them are labels: A白术, B防风, and not A型血, B型血, AB型血.

    Lines that begin with A, B, C … in order and go on unlike each other are options, A细胞转化 among them, unless the
    letters of all belong to what follows.
    """
    in_order = "".join(one.letter for one in found) == LETTERS[: len(lines)]
    texts = {one.text for one in found}
    return in_order and len(texts) == len(lines) and not all(_LETTERED_WORD.match(one.text) for one in found)


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
