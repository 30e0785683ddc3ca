"""The fidelity gate on written pairs: faithful ones pass, planted faults are caught; rates printed and held."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chimed.text import fidelity, terms
from chimed.text.fidelity import doses, negations
from chimed_demo.pages import texts

PAIRS = yaml.safe_load((Path(__file__).parent / "fidelity_pairs.yaml").read_text(encoding="utf-8"))
ADVERSARIAL = [
    json.loads(line)
    for line in (Path(__file__).parent / "translation_pairs.jsonl").read_text(encoding="utf-8").splitlines()
]
CAUGHT, REFUSED = 0.95, 0.05
DOSE = re.compile(r"[一二三四五六七八九十半]+(?=[两钱分斤升合斗])")
COUNT = re.compile(r"[一二三四五六七八九十]+(?=(?:枚|个月|寸|壮|天|次|剂|丸|年|岁))")
OTHER = dict(zip("一二三四五六七八九十半", "三四五六八九十二一七三", strict=True))
POSITIVE = (
    ("千万不可以", "可以"), ("不可以", "可以"), ("不要", "要"), ("不能", "能"), ("没有", "有"), ("不是", "是"),
    ("禁止", "可以"), ("禁用", "可用"), ("禁食", "可食"), ("忌吃", "宜吃"), ("忌用", "宜用"),
    ("不超过", "可超过"), ("没", ""), ("不(?!仅)", ""),
)  # fmt: skip
STRANGERS = ("蒲公英", "鹿茸", "砂仁", "麻黄", "牛膝", "菊花")


def planted(faithful: list) -> Iterator[tuple[str, str, str]]:
    """Source, wrong translation and kind of fault: one of each kind for every place in every faithful pair."""
    for source, modern in faithful:
        for match in DOSE.finditer(modern):
            yield source, _put(modern, match, OTHER[match[0][-1]]), "dose"
        for match in COUNT.finditer(modern):
            if any(number + unit in source for number, unit in [(match[0], modern[match.end()])]):
                yield source, _put(modern, match, OTHER[match[0][-1]]), "number"
        for match in terms.names_pattern(*terms.GROUPS).finditer(modern):
            stranger = next(name for name in STRANGERS if name not in source)
            yield source, _put(modern, match, stranger), "herb"
        for match in re.finditer("|".join(f"({no})" for no, _ in POSITIVE), modern):
            if negations._OLD.search(negations._NEUTRAL.sub("", source)):
                yield source, _put(modern, match, POSITIVE[match.lastindex - 1][1]), "negation"


def _put(text: str, match: re.Match, instead: str) -> str:
    return text[: match.start()] + instead + text[match.end() :]


@pytest.mark.parametrize("which", ["written with the gate", "of the demo, written without it"])
def test_faithful_pairs_pass_and_planted_faults_are_caught(which):
    ours = "with the gate" in which
    faithful = PAIRS["faithful"] if ours else [(one["text"], one["modern"]) for one in texts("classics")["passages"]]
    refused = [(fidelity.find_fault(*pair), *pair) for pair in faithful if fidelity.find_fault(*pair)]
    print(f"\npairs {which}: {len(refused)} of {len(faithful)} faithful ones refused")
    print(*refused, sep="\n")
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for source, modern, kind in [*planted(faithful), *(PAIRS["by_hand"] if ours else [])]:
        by_kind[kind].append(fidelity.find_fault(source, modern) is not None)
        if not by_kind[kind][-1]:
            print("missed:", kind, source, modern)
    for kind, found in by_kind.items():
        print(f"{kind:10} {len(found)} planted, {sum(found)} caught ({sum(found) / len(found):.3f})")
    assert len(refused) <= REFUSED * len(faithful)
    assert set(by_kind) == {"dose", "number", "herb", "negation"}
    for kind, found in by_kind.items():
        assert sum(found) / len(found) >= (CAUGHT if ours else 0.9), kind  # few pairs: one fault is one hundredth


def test_the_faults_written_by_hand_are_caught():
    missed = [one for one in PAIRS["by_hand"] if fidelity.find_fault(*one[:2]) is None]
    print(f"\n{len(PAIRS['by_hand'])} by hand, missed: {missed}")
    assert len(missed) <= (1 - CAUGHT) * len(PAIRS["by_hand"])


def test_pairs_written_against_the_gate():
    good = [one for one in ADVERSARIAL if one["verdict"] == "faithful"]
    wrong = [one for one in ADVERSARIAL if one["verdict"] != "faithful"]
    refused = [one for one in good if fidelity.find_fault(one["source"], one["translation"])]
    passed = [one for one in wrong if not fidelity.find_fault(one["source"], one["translation"])]
    print(f"\n{len(good)} faithful, {len(refused)} refused; {len(wrong)} wrong, {len(passed)} passed")
    print(*[one["why"] for one in passed], sep="\n")
    assert len(ADVERSARIAL) >= 490
    assert len(refused) <= REFUSED * len(good)
    assert len(passed) <= (1 - CAUGHT) * len(wrong)


@pytest.mark.parametrize(
    ("source", "modern", "fault"),
    [
        ("黄耆三钱，水煎服。", "黄芪三钱，用水煎服。", None),
        ("黃耆三錢，水煎服。", "黄芪三钱，用水煎服。", None),
        ("巴豆有大毒。", "巴豆有小毒。", "毒性不符"),
        ("左手脉沉。", "右手脉象沉。", "左右颠倒"),
        ("此散外敷，勿入口。", "这种散剂口服，不要入口。", "用法不符"),
        ("产后宜服之。", "产后不宜服用它。", "多出否定"),
        ("如无汗者，宜发之。", "如果没有汗，应当发汗。", None),
        ("水煎服，日再。", "用水煎服，一天五次。", "剂量不符"),
        ("凡病久不愈者，必先调其脾胃。", "好的，以下是译文：凡是病久不愈的，必须先调理脾胃。", "译文前有多余的话"),
        ("凡病久不愈者，必先调其脾胃。", "凡是病久不愈的，必须先调理脾胃。注：脾胃为后天之本。", "译文里有注解"),
        ("凡病久不愈者，必先调其脾胃。", "抱歉，我无法翻译这段文字。", "拒绝翻译"),
        ("凡病久不愈者，必先调其脾胃。", "凡病久不愈者的话，必先调其脾胃的话。", "照抄原文"),
        ("凡病久不癒者，必先調其脾胃，而後治之。", "凡病久不愈者，必先调其脾胃，而后治之。", "照抄原文"),
    ],
)
def test_kinds_of_faults(source, modern, fault):
    found = fidelity.find_fault(source, modern)
    assert (found and found.split("：")[0]) == fault


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("茯苓三两", {(3.0, "两")}),
        ("茯苓 3 两", {(3, "两")}),
        ("一钱半", {(1.5, "钱")}),
        ("一斗二升", {(1, "斗"), (2, "升")}),
        ("十二枚", {(12, "个")}),
        ("日三服", {(3, "次")}),
        ("每天服三次", {(3, "次")}),
        ("三个月不来", {(3, "月")}),
        ("一两天就好", {(2, "日")}),
        ("45克", {(45, "克")}),
        ("无数字", set()),
    ],
)
def test_doses_are_the_same_in_both_languages(text, found):
    assert set(doses.find_doses(text)) == found


def test_a_dose_belongs_to_its_herb():
    text = "桂枝、甘草各二两，茯苓（去皮）三两，用五钱的白术，连翘一钱五分"
    found = {("桂枝", "2两"), ("甘草", "2两"), ("茯苓", "3两"), ("白术", "5钱"), ("连翘", "1钱5分")}
    assert doses.doses_of_herbs(text, terms.names_pattern("herbs")) == found
