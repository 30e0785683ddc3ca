"""How many wrong answers the grounding gate lets pass, and how many good ones it refuses, on herb pages of your own.

    PYTHONPATH=include:tests python tests/benchmarks/grounding_mutations.py herbs.json [shown] [every]

The file is a list of objects, label → text. Answers are quoted from every page, whole and in part, as they are and
lightly reworded; each is then changed in every way of `mutations`. Prints a table of rates by kind of change.
"""

import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from chimed.stages import generate_qa_chunks
from chimed.text import grounding
from chimed.text.grounding import questions
from support.mutations import wrong_answers

ASKED = {
    "别名": "{}有哪些别名？",
    "来源": "{}来源于什么植物？",
    "植物形态": "{}的植物形态是怎样的？",
    "产地分布": "{}分布在哪里？",
    "采收加工": "{}怎样采收加工？",
    "药材性状": "{}的药材性状如何？",
    "功效作用": "{}有什么功效？",
    "临床应用": "{}的临床应用有哪些？",
    "主要成分": "{}含有哪些成分？",
    "药理研究": "{}有哪些药理研究？",
    "使用禁忌": "{}有哪些使用禁忌？",
    "性味": "{}的性味是什么？",
    "归经": "{}归哪些经？",
}
REFERRING = ("根据上文，它的{}是什么？", "文中如何说明{}？", "本品的{}是什么？", "What is the {} of it?", "{}是什么？")


def document(page: dict[str, str]) -> str:
    """The page as `extract` makes it: a line a label."""
    return "\n".join(f"【{label}】{text}" for label, text in page.items() if text)


def good_answers(name: str, label: str, text: str, dice: random.Random) -> Iterator[tuple[str, str]]:
    """What is done to it, and the answer: quoted, shortened, in another order, reworded."""
    text = text.strip()
    yield "quoted", text
    sentences = [one for one in re.split(r"(?<=。)", text) if len(one) > 4]
    if len(sentences) > 1:
        yield "a sentence", dice.choice(sentences)
        yield "sentences in another order", "".join(dice.sample(sentences, 2))
    yield "subject restated", f"{name}的{label}是：{text}" if label not in ("归经", "来源") else f"{name}{text}"
    yield "marks changed", text.replace("，", "、").replace("～", "-").rstrip("。")
    items = re.split("、", sentences[0].rstrip("。")) if sentences else []
    if len(items) > 2 and not re.search(r"[，；]", sentences[0]):
        yield "with and", "、".join(items[:-1]) + "和" + items[-1] + "。"
    if re.search(r"(?<=\d)克", text):
        yield "unit in letters", re.sub(r"(?<=\d)克", "g", text)
    yield (
        "small words",
        re.sub("用治(?!疗)", "主要用于治疗", re.sub("(?<!可)用于(?!治)", "可用于治疗", text)).replace(
            "含有", "主要含有"
        ),
    )


def judged(page: str, question: str, answer: str) -> str | None:
    """The gate's reason, or None where the pair passes."""
    if wrong := questions.find_question_fault(question, page):
        return f"question: {wrong}"
    return grounding.align(answer, page, question).fault


def main(path: str, shown: int = 0, every: int = 1) -> None:
    """Prints the table."""
    dice = random.Random(0)
    good: dict[str, list[bool]] = defaultdict(list)
    wrong: dict[str, list[bool]] = defaultdict(list)
    samples: list[tuple] = []
    spent, calls = 0.0, 0
    for page in json.loads(Path(path).read_text(encoding="utf-8"))[::every]:
        text, name = document(page), page["中药名"]
        for _, chunk in generate_qa_chunks.split(text):
            for label, question in ASKED.items():
                value = page.get(label, "").strip()
                if len(value) < 4 or value not in chunk:
                    continue
                asked = question.format(name)
                for kind, answer in good_answers(name, label, value, dice):
                    began = time.perf_counter()
                    fault = judged(chunk, asked, answer)
                    spent, calls = spent + time.perf_counter() - began, calls + 1
                    good[kind].append(fault is not None)
                    if fault:
                        samples.append(("REFUSED", kind, fault, asked, answer))
                for kind, answer in wrong_answers(value, chunk):
                    fault = judged(chunk, asked, answer)
                    wrong[kind].append(fault is None)
                    if not fault:
                        samples.append(("PASSED", kind, "", asked, answer))
                for referring in REFERRING:
                    wrong["question that cannot stand alone"].append(
                        judged(chunk, referring.format(label), value) is None
                    )
    for title, table in (("good answers refused", good), ("wrong answers passed", wrong)):
        print(f"\n{title}")
        for kind, several in sorted(table.items()):
            print(f"  {kind:36} {sum(several):6} of {len(several):6}  {sum(several) / len(several):.3f}")
        total = [one for several in table.values() for one in several]
        print(f"  {'all':36} {sum(total):6} of {len(total):6}  {sum(total) / len(total):.4f}")
    print(f"\n{spent / calls * 1000:.2f} ms a call")
    counted: Counter[tuple[str, str]] = Counter()
    dice.shuffle(samples)
    for sample in samples:
        counted[sample[:2]] += 1
        if counted[sample[:2]] <= shown:
            print(*sample, sep=" | ")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
