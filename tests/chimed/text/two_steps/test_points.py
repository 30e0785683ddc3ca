"""Which questions over two steps the facts of some entries allow: only those with one right answer."""

import json
from pathlib import Path

import pytest

from chimed.text.two_steps import points
from chimed.text.two_steps.point import LONGEST_STRETCH, find_stretch
from support.two_steps import FORMULAS, HERBS, all_points, points_of


@pytest.fixture(autouse=True)
def no_limit(monkeypatch):
    monkeypatch.setattr(points, "MOST_OF_A_FORMULA", 99)


def asked(formulas: dict[str, str], herbs: dict[str, str]) -> set[tuple[str, str, str, str | None]]:
    """What is asked: formula, relation, the herb that is the answer, and the property."""
    return {(one.formula, one.relation, one.herb, one.about) for one in points_of(formulas, herbs)}


def changed(name: str, old: str, new: str) -> dict[str, str]:
    """The herbs' entries with some words of one changed."""
    assert old in HERBS[name]
    return HERBS | {name: HERBS[name].replace(old, new)}


ONE = {"麻黄汤": FORMULAS["麻黄汤"]}
WHOLE = {
    ("麻黄汤", "has_taboo", "麻黄", "表虚自汗者"), ("麻黄汤", "has_toxicity", "杏仁", "小毒"),
    ("麻黄汤", "not_given_with", "甘草", "海藻"), ("麻黄汤", "has_effect", "麻黄", "发汗散寒"),
    ("麻黄汤", "has_nature", "甘草", "平"), ("麻黄汤", "enters_channel", "杏仁", "大肠"),
}  # fmt: skip


def test_whole_entries_allow_every_kind(monkeypatch):
    assert asked(ONE, HERBS) == WHOLE
    largest = [one for one, _ in all_points(monkeypatch).values() if one.asks == "largest"]
    assert [(one.formula, one.herb, one.says) for one in largest] == [
        ("四逆汤", "附子", ("大热",))
    ]  # 麻黄汤 has 9克 twice


def test_at_most_a_few_of_one_formula(monkeypatch):
    monkeypatch.setattr(points, "MOST_OF_A_FORMULA", 3)
    assert [one.relation for one in points_of(ONE, HERBS)] == ["has_taboo", "has_toxicity", "not_given_with"]


@pytest.mark.parametrize(
    ("herbs", "gone"),
    [
        # another herb comes near the property, in its fact or anywhere in its entry
        (changed("桂枝", "孕妇慎用", "表虚者慎用"), "has_taboo"),
        (changed("甘草", "调和诸药", "调和诸药，自汗亦可用"), "has_taboo"),
        (changed("麻黄", "性温", "性温，有毒"), "has_toxicity"),
        (changed("桂枝", "煎服", "本品有小毒，煎服"), "has_toxicity"),
        (changed("桂枝", "孕妇慎用", "孕妇慎用，不宜与海藻同用"), "not_given_with"),
        (changed("桂枝", "温通经脉", "解表散寒，温通经脉"), "has_effect"),
        (changed("杏仁", "性微温", "性平"), "has_nature"),
        (changed("桂枝", "归心、肺、膀胱经", "归大肠、膀胱经"), "enters_channel"),
        # the answer holds under a condition, or two entries of the herb disagree
        (changed("甘草", "性平", "生用性平"), "has_nature"),
        (HERBS | {"甘草#2": HERBS["甘草"].replace("性平", "性温")}, "has_nature"),
        (HERBS | {"杏仁#2": HERBS["杏仁"].replace("有小毒", "无毒")}, "has_toxicity"),
        (HERBS | {"杏仁#2": HERBS["杏仁"].replace("归肺、大肠经", "归肺经")}, "enters_channel"),
        # a herb of which this is not stated may have it, too
        (changed("桂枝", "性温", "性见于药典"), "has_nature"),
        (changed("桂枝", "【功效】温通经脉，助阳化气，平冲降气。\n", ""), "has_effect"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_not_asked(herbs, gone):
    left = asked(ONE, herbs)
    assert not [one for one in left & WHOLE if one[1] == gone]
    assert left & WHOLE  # and the others stay


@pytest.mark.parametrize(
    "formulas",
    [
        {"麻黄汤": FORMULAS["麻黄汤"], "麻黄汤#2": FORMULAS["麻黄汤"].replace("、杏仁9克", "")},  # two of this name
        {"麻黄汤": FORMULAS["麻黄汤"], "麻黄汤#2": FORMULAS["麻黄汤"].replace("杏仁9克", "杏仁6克")},
        {"麻黄汤": FORMULAS["麻黄汤"], "麻黄汤#2": "【方剂名】麻黄汤\n【组成】药物见上，共为末。\n【功效】发汗解表。"},
        {"麻黄汤": FORMULAS["麻黄汤"], "还魂汤": "【方名】还魂汤\n【别名】麻黄汤\n【组成】麻黄9克、杏仁6克、甘草3克。"},
        {"麻黄汤": FORMULAS["麻黄汤"].replace("甘草3克", "甘草3克、甘草1克")},  # a herb twice
        {"麻黄汤": FORMULAS["麻黄汤"].replace("甘草3克", "甘草3克、石膏30克")},  # a herb without an entry, 石膏
    ],
)  # fmt: skip
def test_an_unsure_formula_is_not_asked_about(formulas):
    found = {one for one in asked(formulas, HERBS) if one[0] == "麻黄汤"}
    assert not found


def test_the_same_formula_on_two_sites_is_one():
    assert asked({**ONE, "麻黄汤#2": FORMULAS["麻黄汤"]}, HERBS) == WHOLE


def test_a_preparation_is_no_answer():
    roasted = {"四逆汤": FORMULAS["四逆汤"].replace("附子15克", "炮附子15克")}
    assert not [one for one in asked(roasted, HERBS) if one[2] == "附子"]
    sweet = {"四逆汤": FORMULAS["四逆汤"].replace("甘草6克", "炙甘草6克")}
    found = asked(sweet, HERBS)
    assert ("四逆汤", "has_taboo", "附子", "孕妇") in found
    assert not [one for one in found if one[1] == "has_nature" and one[2] == "甘草"]


@pytest.mark.parametrize(("called", "count"), [("【别名】元胡、玄胡\n", 1), ("", 0)])
def test_another_name_counts_if_the_entry_says_it(called, count):
    """Synonyms of a list may be of another plant: 桂皮 is no 肉桂."""
    formulas = {"金铃散": "【方剂名】金铃散\n【组成】川楝子9克、元胡9克。"}
    herbs = {
        "川楝子": "【中药名】川楝子\n【性味归经】味苦，性寒。归肝、小肠、膀胱经。\n【功效】疏肝泄热，杀虫。",
        "延胡索": f"【中药名】延胡索\n{called}【性味归经】味辛，性温。归肝、脾经。\n【功效】活血，止痛。",
    }
    assert len([one for one in points_of(formulas, herbs) if one.relation == "has_nature"]) == count


@pytest.mark.parametrize("dose", ["15枚", "6～15克", "适量", "十五两半"])
def test_doses_that_cannot_be_compared_have_no_largest(dose):
    told = points_of({"四逆汤": FORMULAS["四逆汤"].replace("附子15克", f"附子{dose}")}, HERBS)
    assert not [one for one in told if one.asks == "largest"]


def test_a_stretch_is_whole_lines_with_the_beginning():
    text = "甲\n" + "乙" * 700 + "\n" + "丙" * 700 + "\n" + "丁" * 700
    assert text[slice(*find_stretch(text, (3, 9)) or (0, 0))].endswith("丙")
    late = find_stretch(text, (1_410, 1_420))
    assert late
    assert text[slice(*late)].startswith("丁") or late[0] == text.index("丙")
    assert late[1] - late[0] <= LONGEST_STRETCH
    assert find_stretch("戊" * 4_000, (5, 9)) is None


ENTRIES = [
    json.loads(line) for line in (Path(__file__).parent / "entries.jsonl").read_text(encoding="utf-8").splitlines()
]
LEAST_ASKED = 0.9  # of what has one right answer: the doubts are wide, and may cost some


def is_asked(case: dict) -> bool:
    """Whether with a case's changes the relation is still asked of the herb of which it is asked without them.

    changes: of herbs' entries, each the herb, its words and those instead; second: of a second entry of a herb;
    ingredient: of the formula's entry.
    """
    herbs = dict(HERBS)
    for name, old, new in case["changes"]:
        assert old in herbs[name]
        herbs[name] = herbs[name].replace(old, new)
    if case["second"]:
        name, old, new = case["second"]
        assert old in HERBS[name]
        herbs[f"{name}#2"] = HERBS[name].replace(old, new)
    name, (old, new) = case["formula"], case.get("ingredient", ("", ""))
    assert old in FORMULAS[name]
    relation = case["relation"]
    herb = {one[2] for one in asked({name: FORMULAS[name]}, HERBS) if one[1] == relation and one[3]}
    found = asked({name: FORMULAS[name].replace(old, new)}, herbs)
    return any(one[1] == relation and one[2] in herb and one[3] for one in found)


def test_a_second_right_answer_is_not_asked():
    doubted = [case for case in ENTRIES if not case["asked"]]
    assert len(doubted) >= 100
    assert [case for case in doubted if is_asked(case)] == []


def test_what_has_one_answer_is_asked():
    sure = [case for case in ENTRIES if case["asked"]]
    assert len(sure) >= 30
    assert sum(is_asked(case) for case in sure) >= LEAST_ASKED * len(sure)
