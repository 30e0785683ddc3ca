"""Play a generator that thinks before it answers, for servers that answer without a model: steps that use the document.

A thought goes from one field of a sheet to another, as one would teach it: from nature to effect, from effect to use,
from symptoms to pattern. Not every try is good: some only repeat the question, some speak of the text before them.
"""

import random
import re
from collections.abc import Iterator

from chimed_demo import lesson_texts
from chimed_demo.lesson_texts import Part, Sheet
from chimed_demo.lessons import sentences
from chimed_demo.pages import texts
from chimed_demo.played_pairs import ASKED_OF

# From which field one comes to the field that is asked about: {title}, {given} (its first sentence)
STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "effects": (
        ("nature", "先看{title}的药性：{given}。药性决定它作用于何处、能纠正哪种偏差，"),
        ("ingredients", "先看{title}的组成：{given}。把各药的长处合在一起，"),
        ("use", "从应用倒推：{given}。能治这些，可知{title}有相应的作用，"),
        ("indications", "从主治倒推：{given}。要治好这些，{title}就须有相应的作用，"),
    ),
    "indications": (
        ("effects", "{title}的作用是{given}。需要这样治的病证才在主治之列，"),
        ("nature", "{title}的药性是{given}，正与要治的病证相反，"),
        ("ingredients", "{title}由{given}组成，药物所长就是全方所治，"),
    ),
    "use": (
        ("effects", "{title}的功效是{given}，一条功效对应一类病证，"),
        ("nature", "{title}的药性是{given}，用它要看病性与之是否相宜，"),
    ),
    "caution": (
        ("effects", "{title}能{given}，作用有所偏，体质相反的人就会受害，"),
        ("nature", "{title}的药性是{given}，药性有偏，就有不宜的人，"),
        ("indications", "{title}本来治的是{given}，病证与此相反的就不合适，"),
    ),
    "remark": (
        ("effects", "{title}的功效是{given}，用得对与不对，要看是否需要这样的作用，"),
        ("indications", "{title}所治的是{given}，用时先要分清是不是这类病证，"),
        ("nature", "{title}的药性是{given}，偏性是使用时首先要顾到的，"),
    ),
    "dose": (
        ("nature", "{title}的药性是{given}，用量要与药性的缓急相称，"),
        ("caution", "用{title}要顾忌的是{given}，用量由此有了限度，"),
        ("effects", "用{title}是为了{given}，达到这个目的的常用量是有定数的，"),
    ),
    "usage": (
        ("effects", "服{title}是为了{given}，服法要帮助药力达到这个目的，"),
        ("ingredients", "{title}由{given}组成，服法要适合这些药，"),
    ),
    "pairing": (("effects", "{title}本身能{given}，配伍是让它在某一方面更强，"),),
    "explanation": (
        ("ingredients", "先看药物：{given}。再问{title}里每味药起什么作用，"),
        ("effects", "{title}要达到的是{given}，各药的安排都为此，"),
    ),
    "ingredients": (
        ("effects", "{title}要达到{given}的作用，用药须与之相应，"),
        ("indications", "{title}要治的是{given}，用药须针对这些，"),
    ),
    "nature": (
        ("effects", "从功效推药性：{title}能{given}，药性应当与此相合，"),
        ("indications", "从所治推药性：{title}治{given}，药性应当与病性相反，"),
    ),
    "traits": (("source", "{title}来自{given}，入药部位决定它的外形，"),),
    "source": (
        ("traits", "{title}的样子是{given}，与它的来源相符，"),
        ("habitat", "{title}的产地是{given}，"),
    ),
    "habitat": (("source", "{title}来自{given}，要在适合它生长的地方找，"),),
    "making": (("ingredients", "{title}由{given}组成，制法要照顾这些药的质地，"),),
    "pattern": (
        ("complaint", "患者的主要痛苦是{given}。把症状和舌脉合起来辨别，"),
        ("signs", "诊察所见：{given}。症状要与舌脉对照，"),
    ),
    "signs": (("complaint", "患者诉说{given}，舌脉应当与这些症状相应，"),),
    "treatment": (("pattern", "辨证属于{given}，治法要针对病机，"),),
    "formula": (
        ("treatment", "治法已定：{given}。选方用药随治法而来，"),
        ("pattern", "辨证是{given}，用药要与之相应，"),
    ),
    "course": (
        ("formula", "用了{given}，要看服后症状有没有减轻，"),
        ("treatment", "治法是{given}，疗效要看症状的变化，"),
    ),
    "comment": (("pattern", "本案辨为{given}，值得记住的是辨别的关键，"),),
}
LONGEST = 60  # characters of what a thought takes from another field, and of the answer with which it ends


def play_thought(document: str, question: str, answer: str, sample: int) -> str:
    """Return the thought of one try: steps through the document in most, nothing of its own in some."""
    rng = random.Random(question)
    kind = rng.sample(("steps", "steps", "echo", "mention"), 4)[sample % 4]
    dice = random.Random(f"{question}|{sample}")
    if kind == "echo":
        return f"问题问的是：{question.rstrip('？')}。想清楚以后，可以这样回答：{answer}"
    steps = list(_steps(document, question, answer))
    if kind == "mention" or not steps:
        return f"文中讲到：{_short(answer)}。问题正是问这一点，因此照此回答。"
    ending = dice.choice(("因此", "所以", "由此可知，"))
    return f"{dice.choice(steps)}{ending}{_conclusion(answer)}。"


def _steps(document: str, question: str, answer: str) -> Iterator[str]:
    """Yield the steps that lead to the answer from another part of what the document says."""
    for sheet in lesson_texts.sheets():
        for part in sheet.parts:
            if part.question == question and part.text.startswith(answer[:8]):
                yield from _through_fields(sheet, part, document)
    for passage in texts("classics")["passages"]:
        said = [one.strip() for one in sentences(passage["modern"])]
        if ASKED_OF[passage["book"]].format(passage["chapter"]) == question and len(said) > 1:
            for other in (said[0], *said[2:3]):
                if other in document and other[:8] != answer[:8]:
                    yield f"{passage['chapter']}的道理在于{_short(other)}。顺着这一层意思推下去，"


def _through_fields(sheet: Sheet, part: Part, document: str) -> Iterator[str]:
    there = {one.field: one for one in sheet.parts if one is not part and one.text.rstrip("。") in document}
    for field, words in STEPS.get(part.field, ()):
        if field in there:
            given = _short(there[field].text).replace("。", "，").replace("\n", "，")
            yield words.format(title=sheet.title, given=given)
    if not part.field:
        place = sheet.parts.index(part)
        for other in (*sheet.parts[:place][-1:], *sheet.parts[place + 1 :][:1]):
            if other.text.rstrip("。") in document:
                yield f"讲{sheet.title}，先要明白{_short(other.text)}。明白了这一层，再看要注意的是什么，"


def _conclusion(answer: str) -> str:
    """Return what a thought ends with: the sentences of the answer that warn, if any does, else its first ones."""
    warns = [one for one in sentences(answer) if re.search("[忌禁慎勿]|不宜|不可|不要", one)]
    return _short("".join(warns) or answer)


def _short(text: str) -> str:
    """Return the first sentences of a text up to `LONGEST` characters, one at least, without the last stop."""
    taken = ""
    for one in sentences(text):
        if taken and len(taken) + len(one) > LONGEST:
            break
        taken += one.strip()
    return taken.rstrip("。；，\n")
