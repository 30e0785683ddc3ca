"""When two herbs come near one property: families of natures, words for who must take care, effects by another word.

Ours. A question "which herb" has one answer only if no other herb comes near.
"""

import re
from functools import lru_cache

FAMILIES = (
    frozenset(["大寒", "寒", "微寒", "凉"]),
    frozenset(["大热", "热", "大温", "温", "微温"]),
    frozenset(["平"]),
)
POISONOUS = r"有毒|[大小]毒|毒性"
# Who must take care: as a clause names them, and the words that may say so anywhere in another herb's entry
WHO = {
    "pregnant": ("孕妇|妊娠妇女|妊娠期|妊娠|怀孕妇女", "孕妇|妊娠|胎|怀孕|孕期"),
    "nursing": ("哺乳期妇女|哺乳期|哺乳妇女", "哺乳|乳母"),
    "menses": ("月经过多者?|经期妇女|经期", "月经|经期"),
    "infants": ("婴幼儿|婴儿|幼儿|小儿|儿童", "婴|幼儿|小儿|儿童"),
    "yin": ("阴虚火旺者?|阴虚者", "阴虚"),
    "spleen": ("脾胃虚寒者?|脾胃虚弱者?|脾虚便溏者?", "脾胃虚|脾虚|中寒|胃寒|虚寒"),
    "exterior": ("表虚自汗者?|表虚多汗者?", "表虚|自汗"),
    "heat": ("实热者?|实热证者?", "实热|内热|热盛"),
    "damp": ("湿盛中满者?|湿阻中满者?", "湿盛|中满|湿阻"),
    "bleeding": ("有出血倾向者?|出血者", "出血|失血|血证"),
}
_CARE = r"(?:均|应|当|须|宜)?(?:慎用|慎服|忌用|忌服|禁用|禁服|不宜用|不宜服用?|不宜使用|不宜|忌|禁|慎)"
TAKES_CARE = {
    who: re.compile(rf"(?:[^者]{{1,12}}[、及和或])?(?P<who>{named})(?:[、及和或][^者]{{1,12}}者?)?{_CARE}")
    for who, (named, _) in WHO.items()
}
CLAUSE = re.compile(r"[^，,。；;]+")
# Words of effects that say about the same as the first
_SAME_EFFECT = {
    "补气": "益气",
    "补血": "养血 生血",
    "养阴": "滋阴 育阴",
    "化瘀": "祛瘀 散瘀 逐瘀 行瘀",
    "止咳": "止嗽 镇咳",
    "化痰": "祛痰 消痰 豁痰",
    "祛风": "疏风 散风",
    "祛湿": "除湿 胜湿 渗湿 燥湿 利湿 化湿",
    "清热": "泻火 泻热 清火 降火",
    "安神": "宁心 宁神 养心",
    "利水": "利尿 行水",
    "行气": "理气",
    "和中": "和胃",
    "降逆": "止呕",
    "解表": "发表 解肌 发汗",
    "止汗": "敛汗",
    "温中": "散寒 祛寒",
    "止泻": "止泄",
    "泻下": "通便",
    "平喘": "定喘 止喘",
}
_ONE_WORD = {other: one for one, others in _SAME_EFFECT.items() for other in others.split()}


@lru_cache(maxsize=4096)
def pieces_of(effect: str) -> frozenset[str]:
    """Return the two-character words of an effect: 健脾益气 is 健脾 and 补气."""
    for other, one in _ONE_WORD.items():
        effect = effect.replace(other, one)
    return frozenset(effect[n : n + 2] for n in range(max(1, len(effect) - 1)))
