"""A fact that an entry states, and the form of amounts. Ours."""

from dataclasses import dataclass

_DIGITS = "[一二三四五六七八九十百半两]{1,4}"
_NUMBER = rf"(?:\d{{1,5}}(?:\.\d{{1,3}})?|{_DIGITS}分之{_DIGITS}|{_DIGITS}|\d{{1,2}}/\d{{1,2}})"
_UNIT = (
    "(?:千克|公斤|毫克|微克|毫升|[kKm]?g|G|m[lL]|克|升|钱匕|钱半|钱|两半|两|斤|分(?![钟之])|厘|枚|个|片|粒|条|只|对|根|茎|尺|寸|"
    "合|撮|把|张|付|丸|滴)"
)
_LARGER = rf"(?:{_NUMBER}\s{{0,2}}(?:斤|两|钱|分(?![钟之])|升|合|斗)\s{{0,2}}){{0,2}}"  # 一两 of 一两二钱
# of 一钱七 nobody can say what it means, so that 一钱 is not read from it
_WHOLE = r"(?!(?<=[斤两钱])[一二三四五六七八九\d](?![日天次剂服]))"
# a pattern, to be built into others: 9克, 3～10克, 6g至10g, 二两半, 一钱五分, 三分之一两, 十二枚
AMOUNT = (
    rf"{_LARGER}{_NUMBER}\s{{0,2}}{_UNIT}?(?:\s{{0,2}}(?:[～~〜－—―–-]|至|到)\s{{0,2}}{_LARGER}{_NUMBER})?"
    rf"\s{{0,2}}{_UNIT}半?{_WHOLE}"
)


@dataclass(frozen=True)
class Fact:
    """One statement of an entry.

    relation: what is stated. kind, object: the entity that it is about (a herb, a nature ...), or None and None.
    value: words of the text, such as a dose or a taboo. condition: when it holds, such as 外用 or 生用; of an
    ingredient how it is prepared, or which other herb may stand for it (`ingredients.find_alternates`). start, end: the
    characters of the text that state it.
    """

    relation: str
    kind: str | None
    object: str | None
    value: str | None
    condition: str | None
    start: int
    end: int
