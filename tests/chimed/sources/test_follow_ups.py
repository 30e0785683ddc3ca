"""What asker and doctor said after an answer: every box of `follow_ups.yaml`, and conversations of whole pages."""

from pathlib import Path

import pytest
import yaml
from parsel import Selector

from chimed.crawl import bounded
from chimed.crawl.reading import read_records
from chimed.roles import ASKER, DOCTOR
from chimed.sources import ask39, ask120
from chimed.sources.follow_ups import MAX_TURNS

CASES = yaml.safe_load((Path(__file__).parent / "follow_ups.yaml").read_text(encoding="utf-8"))
ROLES = {"u": ASKER, "a": DOCTOR}
ASK120, ASK39 = "https://www.120ask.com/question/1.htm", "https://ask.39.net/question/1.html"


def answered_120(answer: str, rest: str, doctor: str = "柯思齐", adopted: bool = False) -> str:
    kind = "b_acceptcont" if adopted else "b_answercont"
    return (
        f'<div class="b_answerli"><div class="b_answertl"><span class="b_sp1"><a>{doctor}</a> 主治医师</span></div>'
        f'<div class="{kind} clears"><div class="b_anscontc"><div class="b_anscont_cont"><div class="crazy_new">'
        f"<p>{answer}</p></div></div></div>{rest}</div></div>"
    )


def page_120(*answers: str) -> str:
    return (
        '<h1 id="d_askH1">吃药后腹泻</h1><div id="d_msCon"><p class="crazy_new">刚查出糖尿病，吃药后腹泻。</p></div>'
        + "".join(answers)
    )


def answered_39(answer: str, rest: str, doctor: str = "柯思齐") -> str:
    return (
        f'<div class="sele_all"><span class="doc_name">{doctor}</span><p class="sele_txt">{answer}</p>{rest}'
        '<p class="doc_time">2026-08-31 18:16</p></div>'
    )


def page_39(*answers: str) -> str:
    return (
        '<div class="cont_l"><h1 class="ask_tit">吃药后腹泻</h1>'
        '<div class="ask_hid"><p class="txt_ms">刚查出糖尿病，吃药后腹泻。</p></div>'
        f'<div class="selected"><p class="sele_img">医生回答</p>{"".join(answers)}</div></div>'
    )


def box_120(parts) -> str:
    label = {"u": '<div class="b_ansaddti">追问</div>', "a": '<div class="b_docaddti">柯思齐回复</div>'}
    return "".join(f'<div class="b_ansaddli">{label[role]}<p>{said}</p></div>' for role, said in parts)


def box_39(parts) -> str:
    label = {"u": "zw1", "a": "zw2"}
    return "".join(f'<div class="doczw"><span class="{label[role]}">{said}</span></div>' for role, said in parts)


SITES = {
    "ask120": (ask120, ASK120, page_120, answered_120, box_120, '<div class="b_ansaddbox">{}</div>'),
    "ask39": (ask39, ASK39, page_39, answered_39, box_39, '<div class="zwenall">{}</div>'),
}


def turns_read(source: str, case: dict) -> list[str]:
    site, url, page, answered, box_of, around = SITES[source]
    box = case["box"] if "box" in case else box_of(case["parts"])
    html = page(answered("改为餐后服用二甲双胍。", case.get("around", around).replace("{}", box)))
    (one,) = site.read(url, Selector(text=html))
    assert one.answer == "改为餐后服用二甲双胍。"
    assert one.question == "吃药后腹泻\n刚查出糖尿病，吃药后腹泻。" or one.question == "刚查出糖尿病，吃药后腹泻。"
    return [f"{turn.role[0]} {turn.text}" for turn in one.turns]


CHOSEN = [(source, case) for case in CASES for source in SITES if case.get("site", source) == source]


@pytest.mark.parametrize(("source", "case"), CHOSEN, ids=lambda one: one if isinstance(one, str) else one["name"])
def test_turns_of_a_box(source, case):
    assert turns_read(source, case) == case["turns"]


@pytest.mark.parametrize("source", SITES)
def test_each_doctor_has_a_conversation_of_its_own(source):
    site, url, page, answered, box_of, around = SITES[source]
    first = answered("先停药。", around.replace("{}", box_of([("u", "停几天？"), ("a", "三天。")])))
    second = answered("先复查。", around.replace("{}", box_of([("a", "要空腹。")])), "裴若安")
    found = site.read(
        url, Selector(text=page(first, second.replace("柯思齐回复", "裴若安回复"), answered("多喝水。", "")))
    )
    assert [(one.answer, [turn.text for turn in one.turns]) for one in found] == [
        ("先停药。", ["停几天？", "三天。"]),
        ("先复查。", ["要空腹。"]),
        ("多喝水。", []),
    ]


@pytest.mark.parametrize("source", SITES)
def test_answers_that_were_never_closed_keep_their_own_turns(source):
    site, url, page, answered, box_of, around = SITES[source]
    answers = [
        answered(f"第{n}个回答。", around.replace("{}", box_of([("u", f"追问{n}？"), ("a", f"追答{n}。")])))
        for n in (1, 2, 3)
    ]
    opened = [answer.removesuffix("</div></div>").removesuffix("</div>") for answer in answers]
    found = site.read(url, Selector(text=page(*opened)))
    assert [(one.answer, [turn.text for turn in one.turns]) for one in found] == [
        (f"第{n}个回答。", [f"追问{n}？", f"追答{n}。"]) for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("source", SITES)
def test_an_answer_shown_twice_is_one_conversation(source):
    site, url, page, answered, box_of, around = SITES[source]
    box = around.replace("{}", box_of([("u", "停几天？"), ("a", "三天。")]))
    found = site.read(url, Selector(text=page(answered("先停药。", ""), answered("先停药。", box))))
    assert [(one.answer, len(one.turns)) for one in found] == [("先停药。", 2)]
    other = around.replace("{}", box_of([("u", "能喝茶吗？"), ("a", "不能。")]))
    found = site.read(url, Selector(text=page(answered("先停药。", other), answered("先停药。", box))))
    assert sorted(one.turns[0].text for one in found) == ["停几天？", "能喝茶吗？"]


@pytest.mark.parametrize("source", SITES)
def test_ten_thousand_turns_are_read_in_time(source):
    _, url, page, answered, box_of, around = SITES[source]
    parts = [("ua"[n % 2], f"第{n}句话，说得很长很长。") for n in range(10_000)]
    html = page(answered("先停药。", around.replace("{}", box_of(parts))))
    (one,) = bounded.run_bounded(read_records, source, url, html)
    assert len(one.turns) == MAX_TURNS
    assert one.turns[-1].text == f"第{MAX_TURNS - 1}句话，说得很长很长。"


@pytest.mark.parametrize("source", SITES)
def test_no_person_in_any_turn(source):
    site, url, page, answered, box_of, around = SITES[source]
    box = around.replace("{}", box_of([("u", "来自江苏 南桥<br>停几天？"), ("a", "柯思齐<br>三天。")]))
    (one,) = site.read(url, Selector(text=page(answered("先停药。", box))))
    assert not any(word in f"{one}" for word in ("柯思齐", "南桥"))
