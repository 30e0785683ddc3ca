"""A fact that an entry states, and the form of amounts. Ours."""

from dataclasses import dataclass

_NUMBER = r"(?:\d{1,5}(?:\.\d{1,3})?|[一二三四五六七八九十百半两]{1,4}|\d{1,2}/\d{1,2})"
_UNIT = (
    "(?:千克|公斤|毫克|微克|毫升|[kKm]?g|G|m[lL]|克|升|钱匕|钱半|钱|两半|两|斤|分(?!钟)|厘|枚|个|片|粒|条|只|对|根|茎|尺|寸|"
    "合|撮|把|张|付|丸|滴)"
)
# a pattern, to be built into others: 9克, 3～10克, 6g至10g, 二两半, 十二枚
AMOUNT = rf"{_NUMBER}\s{{0,2}}{_UNIT}?(?:\s{{0,2}}(?:[～~〜－—―–-]|至|到)\s{{0,2}}{_NUMBER})?\s{{0,2}}{_UNIT}半?"


@dataclass(frozen=True)
class Fact:
    """One statement of an entry.

    relation: what is stated. kind, object: the entity that it is about (a herb, a nature ...), or None and None.
    value: words of the text, such as a dose or a taboo. condition: when it holds, such as 外用 or 生用; of an
    ingredient how it is prepared. start, end: the characters of the text that state it.
    """

    relation: str
    kind: str | None
    object: str | None
    value: str | None
    condition: str | None
    start: int
    end: int
