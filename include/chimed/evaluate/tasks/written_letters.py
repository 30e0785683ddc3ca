"""The letters of an answer that a model wrote: as CMB-Exam and CMExam read and count them.

CMB's own script (src/utils.py, `match_choice`) takes every capital letter behind 答案是 or 答案：, else every one of
the reply, and for 单项选择题 only the first of them. This does the same on the reply's first line, with two
differences: a letter within a Latin word (ATP, Ca) is none, and the order of the letters does not matter.
"""

import re
import unicodedata
from typing import Any

_BEHIND = re.compile(r"(?:答案|正确选项)(?:应该是|应该为|是|为|:)")
_LETTER = re.compile(r"(?<![A-Za-z])[A-H]+(?![A-Za-z])")
LONGEST = 2_000  # characters of a reply that are looked at; a task stops a model after 16 tokens


def written(reply: str, letters: str, single: bool = False) -> str:
    """Return the letters that a reply names among `letters`, in order and each once; empty where it names none.

    single: whether the question asks for one letter; then only the first counts.
    """
    line = unicodedata.normalize("NFKC", reply[:LONGEST]).strip().partition("\n")[0]
    if behind := _BEHIND.search(line):
        line = line[behind.end() :].partition("。")[0]
    named = [letter for run in _LETTER.findall(line) for letter in run if letter in letters]
    return "".join(sorted(set(named[:1] if single else named)))


def score(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Score an answer, as lm-eval's `process_results`: 1 where the reply names exactly the right letters."""
    return {"acc": float(written(results[0], doc["letters"], single(doc)) == doc["Answer"])}


def single(doc: dict[str, Any]) -> bool:
    """Return whether the question itself says that one letter is right, as CMB's instructions do."""
    return "单项选择题" in (doc.get("Instruction") or "")
