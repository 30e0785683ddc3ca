"""Generate the tiny generator's training examples: the tasks of the paper's §3.2, in the prompts that the stages send.

An endless stream of lessons is drawn, with a seed, from the demo's own texts. The model does not learn medicine: it
only does the pipeline's tasks on the replica's pages, and must always be called tiny.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chimed.llm import prompts
from chimed.stages.department import DEPARTMENTS, from_breadcrumb
from chimed_demo import lesson_texts, shady_lines
from chimed_demo.lesson_texts import Asked, Part, Passage, Sheet

MOST = 100  # the paper's limit for an answer, in characters

# How many of the lessons each task gets.
SHARES = {
    "translate": 0.12,
    "answer": 0.17,
    "generate_qa": 0.18,
    "reason": 0.07,
    "screen": 0.19,
    "sensitive": 0.09,
    "department": 0.15,
    "read": 0.03,
}

OPENINGS = ("", "", "", "建议您：", "根据您的描述，", "从您说的情况看，", "一般来说，", "请您放心，")
_CLOSINGS = ("", "", "", "必要时请到医院就诊。", "具体用药请遵医嘱。", "如有不适请及时就医。")

# What people say who sit in the wrong waiting room: for departments that the forums' own questions seldom name.
COMPLAINTS = {
    "内科": ("贫血乏力头晕", "浑身关节晨僵", "尿里泡沫很多", "总是低烧查不出原因"),
    "外科": ("肛门疼痛便血", "阑尾炎要不要手术", "小腿静脉曲张像蚯蚓", "胆结石绞痛", "烫伤起水泡"),
    "骨科": ("膝盖上下楼疼", "腰椎间盘突出腿麻", "脚踝扭伤肿了", "骨折后多久拆石膏", "肩膀抬不起来"),
    "妇产科": ("月经推迟十天", "白带多有异味", "怀孕八周见红", "子宫肌瘤要不要切", "产后恶露不尽"),
    "儿科": ("宝宝发烧咳嗽", "孩子挑食不长个", "婴儿湿疹", "小孩夜里磨牙", "新生儿黄疸"),
    "男科": ("前列腺炎尿频", "阴囊潮湿坠痛", "精子活力低", "包皮过长"),
    "眼科": ("眼睛干涩怕光", "近视度数涨得快", "飞蚊症眼前黑影", "眼皮长麦粒肿", "白内障看不清"),
    "耳鼻咽喉科": ("鼻塞流清涕打喷嚏", "耳鸣听力下降", "扁桃体反复发炎", "打呼噜憋醒", "嗓子有异物感"),
    "口腔科": ("牙龈出血", "智齿发炎脸肿", "口腔溃疡反复", "蛀牙疼得睡不着", "牙齿松动"),
    "皮肤性病科": ("身上起红疹很痒", "脚气脱皮", "脸上长痘", "手上长小水泡", "头皮屑多掉发"),
    "传染病科": ("乙肝小三阳要不要治", "被狗咬了打疫苗", "结核病要不要隔离", "丙肝抗体阳性"),
    "肿瘤科": ("肺癌化疗后恶心", "靶向药起皮疹", "乳腺癌术后复查", "胃癌晚期营养"),
    "精神心理科": ("心情低落不想见人", "紧张焦虑手抖", "反复洗手停不下来", "突然心慌濒死感"),
    "神经科": ("偏头痛恶心", "手脚发麻走路不稳", "癫痫发作抽搐", "面瘫嘴歪", "记性越来越差"),
    "心血管科": ("血压高头晕", "胸闷心慌早搏", "支架术后吃药", "冠心病胸口疼", "心跳太慢"),
    "消化科": ("胃胀反酸烧心", "拉肚子好几天", "幽门螺杆菌阳性", "便秘腹胀", "胃息肉"),
    "呼吸科": ("咳嗽痰多气喘", "哮喘发作", "慢阻肺吸氧", "肺结节复查", "咳血丝痰"),
    "内分泌科": ("血糖高口渴", "甲亢手抖消瘦", "甲减吃优甲乐", "二甲双胍拉肚子", "甲状腺结节"),
    "中医科": ("脾胃虚弱喝什么中药", "体寒手脚冰凉想调理", "针灸能治吗", "舌苔厚腻湿气重", "气虚自汗吃黄芪"),
    "营养与保健": ("减肥怎么吃", "尿酸高饮食", "体检前要空腹吗", "补钙吃什么", "维生素要不要天天吃"),
}
# What the second request for a translation may name.
_FAULTS = ("照抄原文", "长度不合：译文是原文的0.5倍", "漏译药名或方名：黄芪", "剂量不符：3钱", "漏译否定", "译文不完整")
_ASKS = ("怎么办？", "应该挂什么科？", "要紧吗，需要做什么检查？", "怎么治疗？", "可以自己吃药吗？")


@dataclass(frozen=True)
class Lesson:
    """A conversation: messages to the model, and its answer. Without messages: prose to continue."""

    messages: tuple[dict[str, str], ...]
    answer: str


def generator_lessons(seed: int) -> Iterator[Lesson]:
    """Yield the generator's lessons, without end, the same for the same seed and texts."""
    rng = random.Random(seed)
    draws: dict[str, Callable[[random.Random], Lesson]] = {
        "translate": _in_turn(lesson_texts.passages(), rng, _translate),
        "answer": _in_turn(_questions(), rng, _answer),
        "generate_qa": _in_turn(lesson_texts.sheets(), rng, _generate_qa),
        "reason": _in_turn(lesson_texts.sheets(), rng, _reason),
        "screen": _screen,
        "sensitive": _sensitive,
        "department": _department,
        "read": _read,
    }
    names, shares = list(SHARES), list(SHARES.values())
    while True:
        yield draws[rng.choices(names, shares)[0]](rng)


def asking(name: str, answer: str, /, **fields: str) -> Lesson:
    """Return a lesson in the prompt of that name."""
    return Lesson(tuple(prompts.build_messages(prompts.load(name), **fields)), answer)


def _in_turn(
    things: tuple[Any, ...], rng: random.Random, make: Callable[..., Any]
) -> Callable[[random.Random], Lesson]:
    """Return a function that draws every item equally often: learning by heart must not depend on chance."""
    left: list[Any] = []

    def draw(_rng: random.Random) -> Lesson:
        if not left:
            left.extend(rng.sample(things, len(things)))
        return make(left.pop(), rng)

    return draw


# --- texts as pages have them -----------------------------------------------------------------------------------


def document(sheet: Sheet, rng: random.Random, parts: tuple[Part, ...] | None = None) -> str:
    """Return a sheet, or some of its parts, as one of the sites might print it: bracketed heads, heads with a colon,
    none.
    """
    style = rng.choice(("【{}】{}", "【{}】{}", "{}：{}", "{1}"))
    stop = rng.choice(("。", ""))
    lines = []
    if parts is None and sheet.parts[0].heads and rng.random() < 0.5:
        lines.append(style.format(rng.choice(("药名", "中药名", "方名", "方剂名")), sheet.title))
    for part in parts or sheet.parts:
        text = part.text.removesuffix("。") + stop if len(part.text) < 20 else part.text
        if part.field == "ingredients" and rng.random() < 0.5:
            text = text.replace("，", "、")
        lines.append(style.format(rng.choice(part.heads), text) if part.heads else text)
    return "\n".join(lines)


def conversation(one: Asked, rng: random.Random) -> str:
    """Return a forum's question and answer, and what followed, as a record's words."""
    said = rng.choice(one.consultations) if one.consultations else ""
    return "\n".join(filter(None, (one.question, said)))


def clean_text(rng: random.Random) -> str:
    """Return a harmless text of the demo, whole or in part."""
    kind = rng.random()
    if kind < 0.42:
        text = document(rng.choice(lesson_texts.sheets()), rng)
    elif kind < 0.82:
        text = conversation(rng.choice(lesson_texts.asked()), rng)
    elif kind < 0.94:
        text = getattr(rng.choice(lesson_texts.passages()), rng.choice(("text", "modern")))
    else:
        text = rng.choice(lesson_texts.planted())
    if rng.random() < 0.6:  # short ones teach as well and cost less
        return stretch(text, rng, 20, 90)
    return text


def stretch(text: str, rng: random.Random, least: int, most: int) -> str:
    """Return a run of whole sentences of a text."""
    pieces = sentences(text)
    start = rng.randrange(len(pieces))
    taken = ""
    for piece in pieces[start:]:
        if len(taken) >= least and len(taken) + len(piece) > most:
            break
        taken += piece
    return taken.strip("\n")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each with its stop."""
    return re.findall(r"[^。！？\n]*[。！？\n]+|[^。！？\n]+$", text)


def planted_in(text: str, line: str, rng: random.Random) -> str:
    """Return the text with a line inserted between two of its sentences."""
    pieces = sentences(text)
    place = rng.randint(0, len(pieces))
    return "".join([*pieces[:place], line, *pieces[place:]])


# --- one lesson of each task ------------------------------------------------------------------------------------


def _screen(rng: random.Random) -> Lesson:
    text = clean_text(rng)
    if rng.random() < 0.25:  # numbers, reminders and commands alone are no reason
        text = planted_in(text, shady_lines.harmless(rng), rng)
    if bad := rng.random() < 0.5:
        text = planted_in(
            text, rng.choice((shady_lines.personal, shady_lines.personal, shady_lines.insulting))(rng), rng
        )
    return asking("screen", "是" if bad else "否", text=text)


def _sensitive(rng: random.Random) -> Lesson:
    text = clean_text(rng)
    if rng.random() < 0.2:
        text = planted_in(text, shady_lines.harmless(rng), rng)
    if bad := rng.random() < 0.45:
        text = planted_in(text, shady_lines.sensitive(rng), rng)
    return asking("sensitive", "是" if bad else "否", text=text)


def _department(rng: random.Random) -> Lesson:
    if rng.random() < 0.6:
        one = rng.choice(lesson_texts.asked())
        name = from_breadcrumb(one.breadcrumb)
        if name:
            return asking("department", name, text="\n".join((one.title, one.question)))
    name = rng.choice(list(DEPARTMENTS))
    complaint = rng.choice(COMPLAINTS[name])
    return asking("department", name, text=f"{complaint}\n{complaint}，{rng.choice(_ASKS)}")


def _translate(passage: Passage, rng: random.Random) -> Lesson:
    if rng.random() < 0.12:
        return asking("translate_again", passage.modern, text=passage.text, fault=rng.choice(_FAULTS))
    return asking("translate", passage.modern, text=passage.text)


def _generate_qa(sheet: Sheet, rng: random.Random) -> Lesson:
    if rng.random() < 0.15:
        passage = rng.choice(lesson_texts.passages())
        said = rng.choice([one.strip() for one in sentences(passage.modern)])
        return asking("generate_qa", f"问题：{passage.chapter}应当怎样辨别和治疗？答案：{said}", text=passage.modern)
    part, text = _asked_of(sheet, rng)
    return asking("generate_qa", f"问题：{part.question}答案：{_sentence_of(part, rng)}", text=text)


def _reason(sheet: Sheet, rng: random.Random) -> Lesson:
    part, text = _asked_of(sheet, rng)
    answer = _sentence_of(part, rng)
    behind = _BEHIND.get(part.field, _BEHIND[""])
    thought = rng.choice(_THOUGHTS).format(part.heads[0] if part.heads else "这一点", behind)
    return asking("reason", f"思考：{thought}\n答案：{answer}", text=text, question=part.question)


# A model this small cannot reason about what it was asked; it can tell what kind of thing is wanted, and what lies
# behind things of that kind.
_THOUGHTS = (
    "问的是{0}。{1}，因此用讲{0}的这一句来回答。",
    "{1}，要的正是{0}，所以取讲它的这一句。",
)
_BEHIND = {
    "alias": "同一味药各地叫法不同，名称多由形色气味而来",
    "origin": "方药多出自古代医家的著作",
    "source": "药材取自植物的根茎花果，入药部位不同则药性不同",
    "intro": "药材的根茎花果各有药性，要先认清形状和气味",
    "habitat": "药材的质地受水土气候影响，道地产区的药性最好",
    "traits": "辨别药材凭形状、颜色、气味和质地",
    "nature": "药性有寒热温凉，五味有甘苦辛酸咸，各归脏腑经络",
    "ingredients": "方剂由君臣佐使各药组成，药物各有所主",
    "making": "丸散膏汤制法不同，都要保住药性",
    "effects": "药性的寒热和五味决定它能补、能泻还是能散",
    "indications": "病证有寒热虚实，主治的病证与药性相反，与功效相应",
    "use": "病证有表里虚实，用药须与病情相合",
    "usage": "服法要照顾脾胃和药性",
    "dose": "用量随药性的缓急和体质的虚实而定",
    "pairing": "两药相配，可以增强药力，也可以制约偏性",
    "explanation": "方中各药有主有辅，合起来才对病机",
    "caution": "药性有偏，体质或病证与它相反的人用了会受害",
    "remark": "药性有偏，用时须辨清体质和病证",
    "complaint": "病人的痛苦所在是辨证的起点",
    "signs": "舌象和脉象反映脏腑气血的虚实",
    "pattern": "把症状和舌脉合起来，就能辨出病机所在的脏腑",
    "treatment": "治法针对病机，虚则补之，实则泻之",
    "formula": "治法定了，方药随病机而选",
    "course": "疗效要看症状和舌脉的变化",
    "comment": "一个病案的价值在于辨证的关键",
    "": "身体的症状各有病因，治疗和调养要对着病因",
}


def _asked_of(sheet: Sheet, rng: random.Random) -> tuple[Part, str]:
    """Return a part of a sheet to ask about, and the document, whole or a few fields of it."""
    if len(sheet.parts) > 2 and rng.random() < 0.75:  # a few fields teach as well and cost less
        start = rng.randrange(len(sheet.parts) - 1)
        parts = sheet.parts[start : start + rng.randint(2, 4)]
        text = document(sheet, rng, parts)
    else:
        parts, text = sheet.parts, document(sheet, rng)
    return rng.choice(parts), text


def _sentence_of(part: Part, rng: random.Random) -> str:
    return part.text if len(part.text) < 60 else rng.choice([one.strip() for one in sentences(part.text)])


def _questions() -> tuple[tuple[str, str], ...]:
    """Return questions with an answer: the forums', and some about documents."""
    forum = [(one.question, answer) for one in lesson_texts.asked() for answer in one.answers[:1]]
    sheet = [
        (part.question, f"{sheet.title}：{part.text}" if part.heads else part.text)
        for sheet in lesson_texts.sheets()
        for part in sheet.parts
        if part.field in ("effects", "indications", "caution", "")
    ]
    return (*forum, *forum, *sheet)


def _answer(pair: tuple[str, str], rng: random.Random) -> Lesson:
    question, answer = pair
    return asking("answer", worded(answer, rng), question=question)


def worded(answer: str, rng: random.Random, *, full: bool = False) -> str:
    """Return an answer in one of many wordings, within the paper's 100 characters, so that two samples differ."""
    pieces = [one.strip() for one in sentences(answer)]
    if not full and len(pieces) > 1 and rng.random() < 0.5:
        pieces.pop(rng.randrange(len(pieces)))
    text = rng.choice(OPENINGS) + pieces[0]
    for piece in pieces[1:]:
        if len(text) + len(piece) <= MOST:
            text += piece
    closing = rng.choice(_CLOSINGS)
    return (text + closing if len(text) + len(closing) <= MOST else text)[:MOST]


def _read(rng: random.Random) -> Lesson:
    return Lesson((), clean_text(rng))
