"""Build the pages of the replica of www.120ask.com: questions, department and disease lists, home page, robots.txt."""

from typing import Any

from chimed.sources import ask120
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

HOST = "www.120ask.com"
ROBOTS = b"User-agent: *\nDisallow: /user/\nDisallow: /ask/\nDisallow: /search/\n"
LIST_SIZE = 5

DEPARTMENTS = {
    "内科": "neike",
    "外科": "waike",
    "妇产科": "fuchanke",
    "儿科": "erke",
    "中医科": "zhongyike",
    "皮肤性病科": "pfxbk",
    "五官科": "wuguanke",
    "心理健康科": "xljkk",
    "肿瘤科": "zhongliuke",
    "传染科": "chuanranke",
    "营养保健科": "yybjk",
    "遗传科": "yichuan",
}
DISEASES = {"高血压": "gaoxueya", "糖尿病": "tangniaobing"}
SITE_LISTS = (*ask120.DEPARTMENTS, *ask120.DISEASES)  # all that the site has

# Questions that a list still names and the site no longer has.
GONE = (
    {"id": "107301217", "title": "老人突然说话不清嘴歪怎么办", "published": "2026-11-09 10:12:40",
     "list": "neike", "plant": "soft_404"},
    {"id": "107300466", "title": "宝宝夜里哭闹要不要补钙", "published": "2026-10-21 21:30:05",
     "list": "erke", "plant": "hard_404"},
)  # fmt: skip

LABELS = {
    "question": "健康咨询描述：",
    "treated": "曾经的治疗情况和效果：",
    "wish": "想得到怎样的帮助：",
}
PLACES = ("江苏 南桥", "浙江 青禾", "四川 云溪", "河南 望江", "广东 白榆", "山东 临泉")
ADVERTISER = "在线客服"


def url_of(identifier: str) -> str:
    """Return the canonical address of a question."""
    return f"https://{HOST}/question/{identifier}.htm"


def list_url(slug: str, number: int = 1, which: str = "all") -> str:
    """Return the address of page `number` of a list: of all questions, or of those that are `over`, answered."""
    return f"https://{HOST}/list/{slug}/{which}/{number}/"


def patient_line(question: dict[str, Any]) -> list[str]:
    """Return the spans under the title, in an order that varies between pages."""
    chance = dice(question["id"])
    answered = sum(not answer.get("advert") for answer in question["answers"])
    spans = [
        f"{question['sex']} | {question['age']}岁",
        f"来自{chance.choice(PLACES)}",
        question["published"],
        f"{answered}人回复",
    ]
    if chance.random() < 0.4:
        spans.append(f"悬赏{chance.choice((5, 10, 20))}")
    chance.shuffle(spans)
    return spans


def noisy(text: str, plants: list[str]) -> str:
    """Return a patient's text with its planted quirks, before escaping."""
    if "mojibake" in plants:
        text = mojibake(text)
    if "double_escaped" in plants:
        text = "&#8226; " + text.replace("，", "，&#8226;", 1)
    if "nbsp" in plants:
        text = "\xa0\xa0" + text.replace("，", "，\xa0")
    return f"BR>{text}" if "stray_br" in plants else text


def question_parts(question: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the labelled paragraphs of a question."""
    labels = {"question": "健康咨询描述：", "treated": "曾经的治疗情况和效果：", "wish": "想得到怎样的帮助："}
    return [(label, noisy(question[key], question["plants"])) for key, label in labels.items() if key in question]


def answer_lines(answer: dict[str, Any], question: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the paragraphs of an answer with their subheadings: analysis and advice, or one plain text."""
    lines = [("", answer["text"])]
    if "advice" in answer:
        second = dice(answer["time"]).choice(("指导意见：", "处理意见："))
        lines = [("病情分析：", answer["text"]), (second, answer["advice"])]
    if not answer["adopted"]:
        return lines
    if "greeting" in question["plants"]:
        lines = [("", greeted(lines[0][1]))] if len(lines) == 1 else [("", "您好，"), *lines, ("", "祝您早日康复！")]
    if "template_tail" in question["plants"]:
        lines.append(("", f"以上是对“{question['title']}”这个问题的建议，希望对您有帮助，祝您健康！"))
    return lines


def detail(question: dict[str, Any]) -> Page:
    """Return the page of one question with its answers and the adverts among them."""
    plants = question["plants"]
    slug = DEPARTMENTS[question["department"][0]]
    answers = [EMPTY_ANSWER | answer | {"lines": answer_lines(answer, question)} for answer in question["answers"]]
    if "advert" in plants:  # between the answers, as they stand on the site
        answers.sort(key=lambda answer: answer.get("advert", False))
        answers.insert(0, dict(answers.pop(), doctor=ADVERTISER))
    body = render(
        "ask120_question",
        question=question,
        title=question["title"],
        slug=slug,
        spans=patient_line(question),
        parts=question_parts(question),
        answers=answers,
        old="old_layout" in plants,
        nested="nested_box" in plants,  # boxes of follow-ups within one another, and parts that are never closed
        open="open_box" in plants,
        last_is_span=dice(question["id"] + "route").random() < 0.5,
        **noise(),
    )
    return Page(url_of(question["id"]), body.encode(), 200, HTML, plants=tuple(plants), published=day(question))


def lists() -> dict[str, list[dict[str, Any]]]:
    """Return the entries of every list by its slug."""
    found: dict[str, list[dict[str, Any]]] = {slug: [] for slug in (*DEPARTMENTS.values(), *DISEASES.values())}
    for question in questions("ask120"):
        for slug in (DEPARTMENTS[question["department"][0]], *question.get("lists", [])):
            # One question, two ways to write its address: plain in its own department, https elsewhere.
            both = "both_schemes" in question["plants"]
            scheme = ("https:" if slug in question.get("lists", []) else "http:") if both else ""
            found[slug].append({**question, "href": f"{scheme}//{HOST}/question/{question['id']}.htm"})
    for entry in GONE:
        found[entry["list"]].append({**entry, "href": f"//{HOST}/question/{entry['id']}.htm", "answers": []})
    return found


def _list(slug: str, which: str, name: str, number: int, count: int, entries: list[dict[str, Any]]) -> Page:
    shown = {"slug": slug, "which": which, "name": name, "entries": entries, "number": number, "count": count}
    body = render("ask120_list", **shown, title=f"{name}_有问必答_快速问医生", **noise())
    return Page(list_url(slug, number, which), body.encode(), 200, HTML)


def pages() -> list[Page]:
    """Return every page of the site; lists of departments without questions exist and are empty."""
    names = {slug: name for name, slug in (DEPARTMENTS | DISEASES).items()}
    home = render("ask120_home", names=names, title="有问必答_快速问医生", **noise())
    found = [
        Page(f"https://{HOST}/robots.txt", ROBOTS, 200, "text/plain"),
        Page(f"https://{HOST}/", home.encode(), 200, HTML),
    ]
    for slug, entries in {**dict.fromkeys(SITE_LISTS, ()), **lists()}.items():
        for which in ("all", "over"):
            shown = [entry for entry in entries if which == "all" or entry["answers"]]
            found += [_list(slug, which, names.get(slug, slug), *one) for one in list_pages(shown, LIST_SIZE)]
    found += [detail(question) for question in questions("ask120")]
    return found + [gone(url_of(entry["id"]), entry, home, "有问必答") for entry in GONE]
