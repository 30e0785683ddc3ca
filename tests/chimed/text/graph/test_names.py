"""Which names are one herb or formula, which stay apart, and what is only a preparation."""

import pytest

from chimed.text.graph.names import settle_names

ENTRIES = [
    ("herb", "白芍", ["芍药", "金芍药"]),
    ("herb", "赤芍", ["芍药", "红芍药"]),
    ("herb", "川芎", ["芎䓖", "香果"]),
    ("herb", "甘草", ["国老", "甜草"]),
    ("herb", "麦冬", ["麦门冬", "沿阶草"]),
    ("herb", "山麦冬", ["沿阶草"]),
    ("herb", "炙黄芪", []),
    ("formula", "肾气丸", ["崔氏八味丸", "八味丸", "八味汤"]),
    ("formula", "理中汤", []),
]


@pytest.mark.parametrize(
    ("name", "entity", "how"),
    [
        ("芎䓖", "川芎", None),
        ("白芍药", "白芍", None),
        ("杭芍", "白芍", None),
        ("赤芍药", "赤芍", None),
        ("金芍药", "白芍", None),  # one entry alone gives it
        ("香果", "川芎", None),
        ("国老", "甘草", None),
        ("麦门冬", "麦冬", None),
        ("黄耆", "黄芪", None),
        ("田七", "三七", None),
        ("芍药", "芍药", None),  # 白芍 or 赤芍
        ("贝母", "贝母", None),  # 川贝母 or 浙贝母
        ("沿阶草", "沿阶草", None),  # two entries give it
        ("关木通", "关木通", None),
        ("青木香", "青木香", None),
        ("川牛膝", "川牛膝", None),
        ("归尾", "归尾", None),
        ("归身", "归身", None),
        ("甘草梢", "甘草梢", None),
        ("玄明粉", "玄明粉", None),
        ("炙甘草", "甘草", "炙"),
        ("生甘草", "甘草", "生"),
        ("蜜炙甘草", "甘草", "蜜炙"),
        ("炒白术", "白术", "炒"),
        ("制首乌", "何首乌", "制"),
        ("炮附子", "附子", "炮"),
        ("煅牡蛎", "牡蛎", "煅"),
        ("酒大黄", "大黄", "酒"),
        ("酒芍", "白芍", "酒"),
        ("炙芪", "黄芪", "炙"),
        ("炙黄芪", "炙黄芪", None),  # it has an entry of its own
        ("生姜", "生姜", None),
        ("熟地黄", "熟地黄", None),
        ("酒精草", "酒精草", None),
    ],
)
def test_a_herbs_names(name, entity, how):
    assert settle_names(ENTRIES)("herb", name) == (entity, how)


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("金匮肾气丸", "肾气丸"),
        ("八味肾气丸", "肾气丸"),
        ("八味丸", "肾气丸"),
        ("八味汤", "八味汤"),
        ("理中丸", "理中丸"),
        ("四君子", "四君子汤"),
        ("逍遥丸", "逍遥丸"),
    ],
)
def test_a_formulas_names(name, entity):
    assert settle_names(ENTRIES)("formula", name) == (entity, None)


def test_other_kinds_keep_their_names():
    assert settle_names(ENTRIES)("effect", "芎䓖") == ("芎䓖", None)
