"""Build the pages of the replica of ask.39.net: questions, topic lists, home page; it has no robots.txt."""

from typing import Any

from chimed.sources import ask39
from chimed_demo.pages import Page, render
from chimed_demo.sites.question_pages import (
    EMPTY_ANSWER,
    HTML,
    day,
    dice,
    gone,
    greeted,
    list_pages,
    mojibake,
    noise,
    questions,
)

HOST = "ask.39.net"
LIST_SIZE = 4

# The topic a question is listed under, by the last part of its department.
TOPICS = {
    "心血管内科": 237,
    "内分泌科": 279,
    "呼吸内科": 280,
    "骨科": 47,
    "肛肠外科": 283,
    "妇科": 44,
    "产科": 229,
    "小儿内科": 45,
    "中医科": 3163,
    "皮肤性病科": 319465592,
    "精神心理科": 3166,
    "肿瘤科": 3162,
    "五官科": 323,
    "男科": 322,
    "传染病科": 311,
    "减肥科": 27,
}

# Questions that a list still names and the site no longer has.
GONE: tuple[dict[str, Any], ...] = (
    {"id": "78213377", "title": "高血压能不能喝蜂蜜水", "published": "2026-11-05 09:41:00",
     "topic": 237, "plant": "soft_404"},
    {"id": "_q7m2x0", "title": "月经提前一周正常吗", "published": "2026-10-14 20:18:00",
     "topic": 44, "plant": "hard_404"},
)  # fmt: skip


def url_of(identifier: str) -> str:
    """Return the canonical address of a question."""
    return f"https://{HOST}/question/{identifier}.html"


def list_url(topic: int, number: int = 1) -> str:
    """Return the address of page `number` of a topic's list."""
    return f"https://{HOST}/news/{topic}-{number}.html"


def topic_of(question: dict[str, Any]) -> int:
    """Return the topic of a question: its own clinic's, else its department's."""
    first, last = question["department"][0], question["department"][-1]
    return TOPICS.get(last) or TOPICS[first]


def patient_line(question: dict[str, Any]) -> list[str]:
    """Return sex, age and duration; newer generated questions only say that the duration is unknown."""
    onset = f"发病时间：{question['onset']}"
    if "generated" in question["plants"]:
        return [onset]
    return [question["sex"], f"{question['age']}岁", onset]


def answer_lines(answer: dict[str, Any], question: dict[str, Any]) -> list[str]:
    """Return the lines of an answer, with the lines that the site inserts."""
    text = greeted(answer["text"]) if answer["adopted"] and "greeting" in question["plants"] else answer["text"]
    lines = [text]
    if "inserted_lines" in question["plants"]:
        lines += [f"疾病百科 | {question['department'][-1]}常见病", "我要咨询", "找医生", "举报"]
    return lines


def groups(question: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answers in the groups of the page; the first group counts as adopted."""
    answers = [EMPTY_ANSWER | answer | {"lines": answer_lines(answer, question)} for answer in question["answers"]]
    best = [answer for answer in answers if answer["adopted"]]
    doctors = [answer for answer in answers if not answer["adopted"] and not answer.get("netizen")]
    netizens = [answer for answer in answers if answer.get("netizen")]
    first = "医生回答" if "doctor_group" in question["plants"] else "精选回答"
    named = ((first, best), ("医生回答", doctors), ("网友回答", netizens))
    return [{"head": f"{name}({len(some)})", "answers": some} for name, some in named if some]


def detail(question: dict[str, Any]) -> Page:
    """Return the page of one question with its groups of answers."""
    plants = question["plants"]
    chance = dice(question["id"])
    if "mojibake" in plants:
        question = {**question, "question": mojibake(question["question"])}
    body = render(
        "ask39_question",
        question=question,
        supplement=question["question"] if "repeated_supplement" in plants else "",
        title=question["title"],
        topic=topic_of(question),
        heading=chance.choice(("classed", "classed", "plain", "paragraph")),
        box=chance.choice(("ask_hid", "ask_cont")),
        older="old_follow_up" in plants,
        asker=f"健康用户{chance.randint(1000, 9999)}",
        spans=patient_line(question),
        groups=groups(question),
        **noise(),
    )
    return Page(url_of(question["id"]), body.encode(), 200, HTML, plants=tuple(plants), published=day(question))


def lists() -> dict[int, list[dict[str, Any]]]:
    """Return the entries of every topic's list."""
    found: dict[int, list[dict[str, Any]]] = {topic: [] for topic in TOPICS.values()}
    for question in questions("ask39"):
        found[topic_of(question)].append(question)
    for entry in GONE:
        found[entry["topic"]].append({**entry, "answers": []})
    return found


def pages() -> list[Page]:
    """Return every page of the site; lists of topics without questions exist and are empty."""
    names = {topic: name for name, topic in ask39.TOPICS.items()}
    home = render("ask39_home", names=names, title="39问医生_39健康网", **noise())
    found = [
        Page(f"https://{HOST}/robots.txt", render("ask_missing", site_name="39健康网").encode(), 404, HTML),
        Page(f"https://{HOST}/", home.encode(), 200, HTML),
    ]
    for topic, entries in {**{topic: [] for topic in names}, **lists()}.items():
        for number, count, some in list_pages(entries, LIST_SIZE):
            body = render(
                "ask39_list",
                topic=topic,
                name=names[topic],
                entries=some,
                number=number,
                count=count,
                title=f"{names[topic]}_39问医生_39健康网",
                **noise(),
            )
            found.append(Page(list_url(topic, number), body.encode(), 200, HTML))
    found += [detail(question) for question in questions("ask39")]
    return found + [gone(url_of(entry["id"]), entry, home, "39健康网") for entry in GONE]
