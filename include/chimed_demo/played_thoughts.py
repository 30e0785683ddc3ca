"""Play a generator that thinks before it answers, for servers that answer without a model: steps that use the document.

A thought goes the way one would teach it: from nature and flavour to what they do, from effects to whom they help or
hurt, from a formula's purpose to its herbs, from symptoms over the pattern to the treatment, from the part of a plant
to its looks. Where `played_questions` tells a thought, it is that one. Not every try is good: some only repeat the
question, some speak of the text before them.
"""

import random
import re
from collections.abc import Callable, Iterator

from chimed_demo import lesson_texts
from chimed_demo.lessons import sentences
from chimed_demo.played_questions import Asks, questions

# What a nature or a flavour does, and what it is therefore good for
_NATURES = {
    "寒": "寒能清热，合于热证而不合于虚寒",
    "凉": "凉能清热，合于热证而不合于虚寒",
    "热": "热能温里散寒，合于寒证而不合于阴虚火旺",
    "温": "温能散寒、推动气血，合于寒证和虚证，有热的人要斟酌",
    "平": "性平不偏，寒证热证都可以配用",
}
_FLAVOURS = {
    "辛": "辛能发散、行气行血",
    "甘": "甘能补益、缓急",
    "苦": "苦能清泄、燥湿",
    "酸": "酸能收敛固涩",
    "涩": "涩能收敛固涩",
    "咸": "咸能软坚散结",
    "淡": "淡能渗湿利水",
}
# What an effect does to whom it does not suit: words of the effect or nature, words of the warning, and why
_HURTS = (
    ("", "乙醇", "成药还要看剂型：水剂含酒精，影响驾车，也会与一些药相犯；所治的是寒湿，暑热就不合适"),
    ("活血|化瘀|祛瘀", "出血|抗凝|孕|血热", "活血的药会动血，所以先要想到容易出血的人，再想到病情与它不合的人"),
    ("止血|温经|性温|散寒|温中|祛寒", "阴虚|血热|热|火", "温性的药助热，有热的人用了火上加油，所以要问的是寒热对不对"),
    ("燥湿|化痰|理气", "阴虚|伤津|干咳|火", "燥药去湿也会伤津，津液本来不足的人用了更干，所以要看有没有阴虚"),
    ("清热|凉血|清火|泻肝|性寒|性微寒", "寒|脾胃虚|便溏", "清热的药偏寒，脾胃虚弱的人承受不了，所以先要问有没有虚寒"),
    ("收敛|收|固|敛|涩", "表邪|实热|初起", "收敛会把邪气关在里面，所以外邪未解、里有实热时要避开"),
    ("利水|利尿|清热", "小便|虚寒", "通利的药耗阳伤津，所以小便已多、体质虚寒的人要避开"),
    ("消食|化积|健胃", "空腹|胃酸|溃疡", "消食的药味酸，又克伐胃气，所以要看胃本身好不好"),
    ("疏肝|调经|健脾|解郁", "月经|情绪|疏|恼怒", "病从情志和脾胃上来，服药时就要在这两处配合，又要看住病情有没有变化"),
    ("养血|补血|补气|益气", "阴虚|血热|瘀|恶露", "补血温养的药遇上有热、有出血的情况会添乱，所以先要分清虚实寒热"),
)  # fmt: skip
# How a part of a plant looks and what one tells it by
_PARTS = (
    ("果皮", "果皮剥下来是片状，要看外表的油点、内面的颜色，再闻气味"),
    ("树皮|根皮", "皮类药材呈板片或卷筒状，要看内外表面和断面"),
    ("块茎", "块茎多成团块，要看形状、表面的痕迹和断面"),
    ("块根", "块根两头细、中间粗，要看表面、质地和断面"),
    ("根茎", "根茎类药材要看形状、外皮、断面，并尝味道"),
    ("根", "根类药材多呈圆柱形，要看外皮、质地、断面，并尝味道"),
    ("花", "花类药材要看花的形状、颜色和质地"),
    ("果实|种子|种仁", "果实和种子要看大小、形状、表面和味道"),
    ("叶|全草|地上", "草叶类药材要看叶形、颜色和气味"),
    ("菌核|矿|硫酸", "这类药材要看质地、断面和颜色"),
)
# What else leads to a field: {title}, {given} (its first sentence)
_LINKS: dict[str, tuple[tuple[str, str], ...]] = {
    "nature": (("effects", "性味是从功效上体会出来的。{title}能{given}，能有这样的作用，性味就要与它相合。"),),
    "effects": (
        ("ingredients", "一首方的功效由药物合成。{title}的组成是{given}，把各药的长处合在一起来看。"),
        ("indications", "能治什么，就有什么功效。{title}治的是{given}，由这些病证往回推。"),
    ),
    "ingredients": (("indications", "选药要针对病证。{title}治的是{given}，药物就要对着这些来选。"),),
    "habitat": (("source", "{title}来自{given}，要在适合它生长的地方找。"),),
    "source": (("traits", "从形状可以看出用的是哪一部分。{title}的样子是{given}，由此想它来自什么植物、怎样采制。"),),
    "dose": (("nature", "用量要看药性的缓急。{title}{given}，偏性大小决定用多用少。"),),
    "caution": (("nature", "有所偏就有所忌。{title}{given}，与这种偏性相反的体质就不合适。"),),
    "usage": (("effects", "服法要帮助药力。服{title}是为了{given}，服的时候就要顺着这个目的。"),),
    "making": (("ingredients", "制法要照顾药物的质地。{title}由{given}组成，要看这些药怎样处理最好。"),),
    "pattern": (("complaint", "患者的主要痛苦是{given}，把症状和舌脉合起来辨别。"),),
    "treatment": (("pattern", "治法针对病机。辨证属于{given}，虚的要补，实的要泻，郁的要疏。"),),
    "course": (("treatment", "治法是{given}，疗效要看症状和舌脉的变化。"),),
    "comment": (("pattern", "此人属于{given}，值得记住的是怎样辨出来、怎样用药。"),),
}
LONGEST = 60  # characters of what a thought takes from another field, and of the answer with which it ends
_ENDINGS = ("照这样看，", "由此可知，", "所以，", "想到这里就清楚了：")


def play_thought(document: str, question: str, answer: str, sample: int) -> str:
    """Return the thought of one try: steps through the document in most, nothing of its own in some."""
    rng = random.Random(question)
    kind = rng.sample(("steps", "steps", "echo", "mention"), 4)[sample % 4]
    dice = random.Random(f"{question}|{sample}")
    if kind == "echo":
        return f"问题问的是：{question.rstrip('？')}。想清楚以后，可以这样回答：{answer}"
    asked = questions().get(question.strip())
    steps = list(_steps(document, asked)) if asked and answer.startswith(asked.answer[:8]) else []
    if kind == "mention" or not steps:
        return f"文中讲到：{_short(answer)}。问题正是问这一点，因此照此回答。"
    step, end = dice.choice(steps), _conclusion(answer)
    if step.endswith(("，", "：")):
        return f"{step}{end}。"
    return f"{step}{dice.choice([one for one in _ENDINGS if one.rstrip('，') not in f'{step}{end}'])}{end}。"


def _steps(document: str, asked: Asks) -> Iterator[str]:
    """Yield the ways that lead to the answer from other parts of what the document says."""
    if asked.thought:
        yield asked.thought
        return
    for sheet in lesson_texts.sheets():
        there = {one.field: one.text for one in sheet.parts if one.text.rstrip("。") in document}
        if sheet.title == asked.title and asked.answer[:8] in "".join(one.text for one in sheet.parts):
            given = {field: _short(text).replace("\n", "，") for field, text in there.items() if field != asked.field}
            yield from filter(None, (_WAYS[asked.field](asked, given),) if asked.field in _WAYS else ())
            for field, words in _LINKS.get(asked.field, ()):
                if field in given:
                    yield words.format(title=asked.title, given=given[field])


def _from_nature(asked: Asks, given: dict[str, str]) -> str:
    """Go from flavour and nature to what they do, and to the effects: for what a herb is used."""
    if "nature" not in given:
        return _from_purpose(asked, given)
    taste, *_ = re.split("[。；]", given["nature"])
    flavours, _, nature = taste.partition("性")
    does = [words for flavour, words in _FLAVOURS.items() if flavour in flavours]
    does += [words for kind, words in _NATURES.items() if kind in nature][:1]
    if not does:
        return ""
    does_what = "；".join(does)
    if "effects" not in given:
        return f"先看性味：{asked.title}{taste}。{does_what}。顺着药性去找与它相合的病证。"
    effects = given["effects"].rstrip("。")
    return random.Random(asked.title).choice(
        (
            f"先看性味：{asked.title}{taste}。{does_what}。再看功效：{effects}。有哪样功效，就用在哪样病证上。",
            f"用途要从功效来推。{asked.title}的功效是{effects}，这和它的性味分不开：{taste}；{does_what}。"
            f"逐条想下去，每一条都有对应的病证。",
            f"{asked.title}{taste}。{does_what}。{effects}，这些功效就是这样来的；病人需要哪一样，就在那时用它。",
        )
    )


def _from_purpose(asked: Asks, given: dict[str, str]) -> str:
    """Go from the disease to the treatment it wants and to the herbs: why a formula is as it is, what it treats."""
    has = {name: given[name] for name in ("indications", "effects", "ingredients") if name in given}
    if asked.field == "explanation" and {"indications", "effects"} <= has.keys():
        ill, treated = has["indications"], has["effects"]
        return random.Random(asked.title).choice(
            (
                f"先看要治的病：{ill}。这样的病要用{treated}的办法来治。"
                f"再看方中哪些药直接担当，哪些从旁帮助，哪些防止偏差。",
                f"{asked.title}要达到的是{treated}，因为它面对的病人是这样的：{ill}。"
                f"带着这个目的看每一味药，就知道各自为什么在方里。",
                f"病机定治法，治法定药。要治的是：{ill}。治法就是{treated}。"
                f"问每味药起什么作用，就是问它担当治法里的哪一部分。",
            )
        )
    if asked.field == "explanation" and "effects" in has:
        return f"{asked.title}要达到的是{has['effects']}。看一首方，先找担当这个任务的药，再看其余的药怎样配合它。"
    if asked.field == "indications" and {"effects", "ingredients"} <= has.keys():
        return (
            f"{asked.title}由{has['ingredients']}组成，合起来的作用是{has['effects']}。"
            f"反过来想，需要这种作用的病人会有什么表现？"
        )
    if "effects" in has:
        return f"{asked.title}的功效是{has['effects']}。有哪样功效，就用在哪样病证上，再想想这些病证的表现。"
    return ""


def _from_harm(asked: Asks, given: dict[str, str]) -> str:
    """Go from what a medicine does to whom that would hurt."""
    does = "。".join(given[name] for name in ("nature", "effects") if name in given)
    purpose = f"功效是{given['effects']}" if "effects" in given else f"治的是{given.get('indications', '')}"
    nature = f"{given['nature'].partition('。')[0]}，" if "nature" in given else "的" if "effects" in given else ""
    for words, warning, why in _HURTS:
        if re.search(words, does) and re.search(warning, asked.answer) and {"effects", "indications"} & given.keys():
            return f"{asked.title}{nature}{purpose}。{why}。"
    if "indications" in given:
        return (
            f"{asked.title}治的是{given['indications']}。"
            f"一样药只对一类病证，看上去相像而病机不同的，用了无益甚至有害，要分辨的就在这里。"
        )
    return ""


def _from_part(asked: Asks, given: dict[str, str]) -> str:
    """Go from the part of the plant that is used, and from the flavour, to what the drug looks and tastes like."""
    part = next((words for name, words in _PARTS if re.search(name, given.get("source", ""))), "")
    taste = re.match("味([^，。；]+)", given.get("nature", ""))
    if not part:
        return ""
    tasted = f"药性上说它味{taste[1]}，口尝应当与此相近。" if taste else ""
    return f"{asked.title}来自{given['source']}。{part}。{tasted}"


def _from_patient(asked: Asks, given: dict[str, str]) -> str:
    """Go from symptoms over the pattern to the treatment, and to the formula."""
    if not {"pattern", "treatment"} <= given.keys():
        return ""
    seen = f"患者{given['complaint']}。" if "complaint" in given else ""
    signs = f"诊察所见：{given['signs']}。" if "signs" in given else ""
    return f"{seen}{signs}合起来看属于{given['pattern']}，治法就应当是{given['treatment']}。按这个治法选药："


_WAYS: dict[str, Callable[[Asks, dict[str, str]], str]] = {
    "use": _from_nature,
    "indications": _from_nature,
    "explanation": _from_purpose,
    "remark": _from_harm,
    "caution": _from_harm,
    "traits": _from_part,
    "formula": _from_patient,
}


def _conclusion(answer: str) -> str:
    """Return what a thought ends with: the first sentences of the answer, and those that warn."""
    first = _short(answer)
    warns = [one.strip() for one in sentences(answer) if re.search("[忌禁慎勿]|不宜|不可|不要", one)]
    more = "".join(one for one in warns if one.rstrip("。") not in first)
    return f"{first}。{more}".rstrip("。；，")


def _short(text: str) -> str:
    """Return the first sentences of a text up to `LONGEST` characters, one at least, without the last stop."""
    taken = ""
    for one in sentences(text):
        if taken and len(taken) + len(one) > LONGEST:
            break
        taken += one.strip()
    return taken.rstrip("。；，\n")
