"""Decide whether a text is about traditional Chinese medicine (the paper's Trad) or medicine in general (Gen, §3.1)."""

import re

TCM, GENERAL = "tcm", "general"
MIN_TCM_SHARE = 0.012  # of a text's characters, in words of traditional medicine, from which it is one of it

_DEPARTMENTS = re.compile("中医|针灸|推拿|中药|中醫|針灸")
_WORDS = re.compile(
    "中医|中药|中醫|中藥|辨证|辨證|气血|氣血|阴虚|阳虚|肾虚|脾虚|气虚|血虚|肝郁|湿热|風寒|风寒|风热|痰湿|瘀血|血瘀|经络|經絡|"
    "穴|针灸|艾灸|推拿|脉象|脉弦|脉细|脉沉|舌苔|舌质|苔白|苔黄|方剂|水煎|煎服|归经|味甘|味辛|味苦|清热|活血|补气|滋阴|温阳|化痰|祛风|解表|"
    "健脾|益气|养血|补肾|疏肝|黄芪|当归|甘草|白术|茯苓|人参|川芎|白芍|熟地|桂枝|柴胡|陈皮|半夏|阴阳|陰陽|五行|本草|君臣|"
    "性味|主治|功能主治|炮制|本品|药材|块茎|根茎|入药|"
    "太阳病|少阴|厥阴|太阴|阳明|汤证|伤寒论|内经|难经|汤主之"
)


def domain_of_department(department: tuple[str, ...]) -> str:
    """Return the domain of a row by its department; empty if it has none."""
    if not department:
        return ""
    return TCM if _DEPARTMENTS.search(department[0]) else GENERAL


def domain_of(text: str, language: str) -> str:
    """Return the domain by a text's own words; a text in classical Chinese is about traditional medicine."""
    if language == "lzh":
        return TCM
    found = sum(map(len, _WORDS.findall(text)))
    return TCM if found >= MIN_TCM_SHARE * len(text) and found >= 4 else GENERAL
