"""How many copies of classical passages the fidelity gate lets pass, on books of your own.

    PYTHONPATH=include python tests/benchmarks/fidelity_copies.py books/*.txt

The books are GB18030 or UTF-8. Every passage is given back as it stands, in traditional script, with other marks, and
with small words strewn in: none of it is a translation.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from opencc import OpenCC

from chimed.stages import translate
from chimed.text import fidelity

EACH = 40  # passages of a book
LETTERS = 40  # characters that a passage must have
COPIES: dict[str, Callable[[str], str]] = {
    "as it stands": str,
    "other script": OpenCC("s2t").convert,
    "other marks": lambda text: re.sub(r"[，、]", "；", text),
    "的话 after commas": lambda text: text.replace("，", "的话，"),
    "呢 after commas": lambda text: text.replace("，", "呢，"),
    "了 after commas, 的 after 之": lambda text: text.replace("，", "了，").replace("之", "之的"),
    "就是 before clauses": lambda text: text.replace("，", "，就是"),
    "one word changed": lambda text: text.replace("者", "的人", 1),
    "也 becomes 啊": lambda text: text.replace("也", "啊"),
    "a greeting before": lambda text: f"好的，翻译如下：{text}",
}


def main(books: list[str]) -> None:
    """Prints how many of each kind pass."""
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for book in books:
        raw = Path(book).read_bytes()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("gb18030", errors="replace")
        passages = [one if isinstance(one, str) else one[-1] for one in translate.split(text)]
        for passage in [one for one in passages if len(one) >= LETTERS and "，" in one][:EACH]:
            for kind, copy in COPIES.items():
                total[kind] += 1
                if fidelity.find_fault(passage, copy(passage)) is None:
                    passed[kind] += 1
                    if passed[kind] <= 2:
                        print("PASSED", kind, passage[:100])
    for kind, count in total.items():
        print(f"{kind:32} {passed[kind]:5} of {count:5} passed  {passed[kind] / count:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
