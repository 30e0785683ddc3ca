"""Read an entry's fields: lines that begin with a label in brackets, such as 【性味归经】味甘，性温。 (paper §3.1).

The herb and formula pages of zhongyoo and the entries of zydcd have this form. A line without a label belongs to the
field before it. Offsets are characters of the whole text, so that a fact can be shown in its row.
"""

import re
from dataclasses import dataclass

_LABEL = re.compile(r"^[ \t\u3000]{0,8}【([^】【\n]{1,20})】[ \t\u3000]{0,8}[：:]?", re.MULTILINE)

# Where the ailments begin in such a field is known only from a word such as 主治 or 用于
_EFFECTS_AND_AILMENTS = frozenset(
    [
        "功效主治",
        "功用主治",
        "功能主治",
        "功能与主治",
        "功效与主治",
        "主治功效",
        "功效应用",
        "功能应用",
        "作用与主治",
        "主治功用",
    ]
)
# The labels of both sites, by what a field tells. A label that tells several things at once stands under each.
LABELS: dict[str, frozenset[str]] = {
    "herb": frozenset(["中药名", "药名", "药材名", "中药名称"]),
    "formula": frozenset(["方剂名", "方名", "方剂名称"]),
    "alias": frozenset(["别名", "异名", "又名", "别称"]),
    "nature": frozenset(["性味归经", "性味", "性味与归经", "药性", "四气五味"]),
    "channel": frozenset(["性味归经", "归经", "性味与归经", "药性"]),
    "effect": frozenset(["功效", "功用", "功能", "功效与作用", "功效作用", "作用"]),
    "ailment": frozenset(["主治", "主治病证", "主治病症", "主治症", "适应症", "适应证"]),
    "use": frozenset(["临床应用", "应用"]),
    "effect and ailment": _EFFECTS_AND_AILMENTS,
    "dose": frozenset(["用法用量", "用量", "用量用法", "用法与用量", "临床应用"]),
    "taboo": frozenset(["使用禁忌", "禁忌", "注意", "注意事项", "宜忌", "使用注意", "用药禁忌"]),
    "contains": frozenset(["组成", "配方组成", "方剂组成", "药物组成", "配方", "处方"]),
}
_OF_A_HERB = LABELS["herb"] | LABELS["nature"] | LABELS["channel"] | {"药用部位", "药材性状", "植物形态", "入药部位"}
_OF_A_FORMULA = LABELS["formula"] | (LABELS["contains"] - {"处方"})  # a case record has a 处方, too
_OF_A_CASE = frozenset(["主诉", "诊察", "辨证", "复诊", "按", "治法", "病史", "初诊"])


@dataclass(frozen=True)
class Field:
    """A field of an entry. start, end: the characters of its words in the text, without its label."""

    label: str
    start: int
    end: int


def read_fields(text: str) -> list[Field]:
    """Return the fields of a text, in order; an empty list where no line begins with a label."""
    found = list(_LABEL.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    return [Field(match[1].strip(), match.end(), end) for match, end in zip(found, ends, strict=True)]


def kind_of(fields: list[Field]) -> str | None:
    """Return whether the fields are those of a herb's or a formula's entry; None for anything else."""
    labels = {field.label for field in fields}
    if labels & _OF_A_CASE:
        return None
    if labels & _OF_A_FORMULA:
        return "formula"
    return "herb" if labels & _OF_A_HERB else None
