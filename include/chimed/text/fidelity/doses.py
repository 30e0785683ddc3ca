"""Find numbers with their units, and the herbs they belong to, in classical and modern Chinese. Used by `fidelity`.

三两, 3 两 and 三 两 are one dose; 两 and 克 are never the same: a translation keeps the old units (paper, Table 2:
保留原文的专业术语).
"""

import re
from collections import Counter
from collections.abc import Iterable

Dose = tuple[float, str]

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0, "半": 0.5, "双": 2}
_TENS = {"十": 10, "廿": 20, "卅": 30, "百": 100, "千": 1000}
# How much of a medicine: a number with one of these may neither be lost nor appear.
WEIGHED = ("两", "钱", "分", "斤", "厘", "铢", "升", "合", "斗", "斛", "克", "毫克", "毫升", "千克", "公斤")
# Everything else that is counted, by the word that stands for all of a line. The old and the new word are one.
_COUNTED = {
    "个": "个 枚 颗 粒 只 箇 丸 片 块",
    "次": "次 服 遍 回 度 剂 帖 付 副 顿",
    "日": "日 天",
    "月": "月 个月",
    "年": "年 载",
    "岁": "岁",
    "夜": "夜 宿 夕 晚",
    "时": "时 时辰 个时辰",
    "碗": "碗 盏 杯 盅 瓯 钟",
    "寸": "寸",
    "尺": "尺",
    "壮": "壮",
    "味": "味",
    "沸": "沸",
    "成": "成",
    "倍": "倍",
    "更": "更",
    "匕": "匕 匙 勺",
    "撮": "撮",
    "握": "握 把",
}
COUNTED = ("次", "日", "月", "年", "个", "倍")  # of these a translation may not make one up
_CLASS = {name: name for name in WEIGHED} | {word: name for name, words in _COUNTED.items() for word in words.split()}
_UNITS = "|".join(sorted(_CLASS, key=len, reverse=True)).replace("两", "两(?![天日次个年月种句手侧者三四])", 1)
_UNITS = _UNITS.replace("分", "分(?!之)", 1)  # 三分之一两 is a third and no 三分
DOSE = re.compile(
    rf"(\d{{1,9}}(?:\.\d{{1,9}})?|[一二三四五六七八九十百]{{1,4}}分之[一二三四五六七八九十]{{1,3}}|[零〇一二三四五六七八九十廿卅百千两半双]{{1,12}})\s{{0,8}}(?:[余多几来]\s{{0,8}})?({_UNITS})(半(?![身夜日天月年夏]))?"
)


_OFTEN = (
    (re.compile(r"日再(?:服|夜[一1]|进|饮)?"), "日二服"),
    (re.compile(r"分(温)?再服"), r"分\1二服"),
    (re.compile(r"日([一二三四五六])(?=[，。；、夜]|$)"), r"日\1服"),
    (re.compile(r"再沸"), "二沸"),
    (re.compile(r"四[时季]"), ""),
)


def spell_out(text: str) -> str:
    """Return the text with counts that lack a number or a unit spelled out: 日再 → 日二服."""
    for pattern, instead in _OFTEN:
        text = pattern.sub(instead, text)
    return text


def parse_number(text: str) -> float:
    """Return the value of an Arabic number or a Chinese one below ten thousand (二十四, 一百零五, 半; 二三 is 3).

    Fractions are understood (三分之一, 1/3). Raise ValueError for what is no single number, such as 一钱五分.
    """
    for mark, upper_first in (("分之", False), ("/", True)):
        first, found, second = text.partition(mark)
        if found:
            upper, lower = (first, second) if upper_first else (second, first)
            if not upper or not lower or not parse_number(lower):
                raise ValueError(f"{text!r} is no fraction; it needs two numbers, the lower one above 0")
            return parse_number(upper) / parse_number(lower)
    if text[0].isdigit():
        return float(text)
    total, digit = 0.0, 0.0
    for character in text:
        if character in _TENS:
            total, digit = total + (digit or 1) * _TENS[character], 0.0
        elif character in _DIGITS:
            digit = _DIGITS[character] if character != "半" else digit + 0.5
        else:
            raise ValueError(f"{text!r} is no single number: {character!r} is no digit; read each number alone")
    return total + digit


def find_doses(text: str) -> Counter[Dose]:
    """Return numbers with their units: 三两, 3 两 → (3.0, 两); 一钱半 → (1.5, 钱); 三服, 三次 → (3.0, 次)."""
    return Counter(_value(match) for match in DOSE.finditer(text))


def list_doses(text: str) -> list[Dose]:
    """Return numbers with their units, in order."""
    return [_value(match) for match in DOSE.finditer(text)]


def format_doses(several: Iterable[Dose]) -> str:
    """Return doses in readable form: 1钱5分."""
    return "".join(f"{n:g}{unit}" for n, unit in several)


def _value(match: re.Match[str]) -> Dose:
    return parse_number(match[1]) + (0.5 if match[3] else 0.0), _CLASS[match[2]]


_LISTS = ("、", "和", "与", "及", "用", "取", "以")  # before a dose that stands before its herb


def doses_of_herbs(text: str, herb: re.Pattern[str]) -> set[tuple[str, str]]:
    """Return herbs with their doses: 茯苓三两; 桂枝、甘草各二两; 用三两茯苓; 连翘一钱五分 → (连翘, 1钱5分)."""
    found: set[tuple[str, str]] = set()
    dosage = re.compile(rf"(?:{DOSE.pattern})(?:{DOSE.pattern})?")
    for clause in re.split(r"[。；！？\n]", text):
        named: list[str] = []
        end, waiting = 0, ""
        for match in re.compile(rf"{herb.pattern}|{dosage.pattern}").finditer(clause):
            between = clause[end : match.start()]
            end = match.end()
            if herb.fullmatch(match[0]):
                if waiting and between in ("", "的", "之"):
                    found.add((match[0], waiting))
                    named = []
                else:
                    named.append(match[0])
                waiting = ""
                continue
            dose, shared = format_doses(_value(one) for one in DOSE.finditer(match[0])), "各" in between
            if between[-1:] in _LISTS and re.compile(f"的?(?:{herb.pattern})").match(clause, end):
                waiting = dose  # 一束灯心草、二十片竹叶
                continue
            if named and (shared or not re.search("[，,]", between)):
                found |= {(name, dose) for name in (named if shared else named[-1:])}
                waiting, named = "", []
            else:
                waiting = dose
    return found
