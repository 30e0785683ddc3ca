"""Answers made wrong on purpose, one change each: what a model does to a text that it should only quote."""

import re
from collections.abc import Callable, Iterator

CHANGES: dict[str, Callable[[str], str | None]] = {}


def change(name: str, pattern: str, instead: str | Callable[[re.Match], str], *, last: bool = False) -> None:
    """A change that replaces the first (or last) place where the pattern is found; none where it is not."""

    def changed(answer: str) -> str | None:
        found = list(re.finditer(pattern, answer))
        if not found:
            return None
        match = found[-1] if last else found[0]
        made = instead(match) if callable(instead) else match.expand(instead)
        return answer[: match.start()] + made + answer[match.end() :]

    CHANGES[name] = changed


def swapped(pairs: str) -> Callable[[re.Match], str]:
    """Each word of `a-b c-d` for its partner."""
    other = {one: two for pair in pairs.split() for one, two in (pair.split("-"), pair.split("-")[::-1])}
    return lambda match: other[match[0]]


def appended(words: str) -> Callable[[str], str | None]:
    """The words behind the answer, before its last mark."""
    return lambda answer: answer.rstrip("。.；;") + words


NUMBER = r"\d+(?:\.\d+)?"
change("unit cm to m", "厘米", "米")
change("unit mm to cm", "毫米", "厘米")
change("unit g to mg", r"(?<=\d)(?:克|g)", "毫克")
change("unit g to kg", r"(?<=\d)(?:克|g)", "千克", last=True)
change("unit g to liang", r"(?<=\d)克", "两")
change("unit m to km", r"(?<=\d)米", "千米")
change("unit month to week", r"(?<=\d)月", "周")
change("number ten times", rf"{NUMBER}(?!\d)", lambda match: f"{float(match[0]) * 10:g}")
change("number one more", rf"{NUMBER}(?!\d)", lambda match: f"{float(match[0]) + 1:g}", last=True)
change("number loses its point", r"(\d)\.(\d)", r"\1\2")
change("range swapped", rf"({NUMBER})([～~\-—至])({NUMBER})", r"\3\2\1")
change(
    "range's end only",
    rf"({NUMBER})([～~\-—至])({NUMBER})",
    lambda match: f"{match[1]}{match[2]}{float(match[3]) * 2:g}",
)
change(
    "two numbers change places",
    rf"({NUMBER})([^\d～~.]{{2,20}}?)({NUMBER})",
    lambda match: match[0] if match[1] == match[3] else match[3] + match[2] + match[1],
)
change("negation inserted before a verb", r"(?<=.)(?=用于|用治|主治|含有|具有|归|可)", "不")
change("negation inserted anywhere", r"(?<=[\u4e00-\u9fff]{4})(?=[\u4e00-\u9fff]{4})", "不")
change("negation removed", r"不(?=[宜可能得应易])|未(?=见|成)|无(?=毒|毛|味|臭)|勿|没", "")
change("prohibited becomes allowed", r"禁[用服食]|忌[用服食]|不宜[使服]?用?", "宜用")
change("prohibited becomes with care", r"禁[用服]", "慎用")
change("with care becomes prohibited", r"慎[用服]", "禁用")
change("for becomes against", r"用于|用治|主治", "禁用于")
change("an effect appended", "(?!)", "")
CHANGES["an effect appended"] = appended("、抗癌。")
CHANGES["an effect appended with and"] = appended("，并能治疗糖尿病。")
CHANGES["a sentence appended"] = appended("。长期服用可以延年益寿。")
CHANGES["a herb appended"] = appended("，常与麝香、牛黄配伍。")
CHANGES["a dose appended"] = appended("，每日3次，每次15克。")
CHANGES["praise appended"] = appended("，安全有效，没有任何副作用。")
CHANGES["an effect put first"] = lambda answer: f"降血糖、{answer}"
CHANGES["a caution appended"] = appended("，儿童禁用。")
change("an item in the midst", "、", "、抗衰老、")
change("an organ in the midst", r"(?<=[经])、", "、心包经、三焦经、大肠经、")
change("nature turned", r"(?<=性)[温寒凉热]|[寒热](?=证|邪|症)", swapped("温-凉 寒-热"))
change("taste turned", r"(?<=味)[甘苦辛咸酸淡涩]", swapped("甘-苦 辛-酸 咸-淡 涩-甘"))
change("channel replaced", r"[肝心脾肺肾胃胆](?=、|经|。|$)", swapped("肝-心 脾-肺 肾-胃 胆-膀胱"))
change("poison turned", r"有小毒|有大毒|有毒|无毒|小毒|大毒", swapped("有小毒-有大毒 有毒-无毒 小毒-大毒"))
change(
    "side turned",
    r"左侧?|右侧?|上部|下部|内侧|外侧|内面|外面|上面|下面|顶端|基部|背面|腹面",
    swapped("左-右 左侧-右侧 上部-下部 内侧-外侧 内面-外面 上面-下面 顶端-基部 背面-腹面"),
)
change(
    "route turned",
    r"内服|外用|煎服|外敷|煎汤|研末|生用|炒用|捣敷",
    swapped("内服-外用 煎服-外敷 煎汤-研末 生用-炒用 捣敷-含服"),
)
change(
    "comparison turned",
    r"升高|降低|增强|抑制|增加|减少|兴奋|扩张|收缩|促进|延长|缩短|高于|低于|加强|减弱",
    swapped("升高-降低 增强-抑制 增加-减少 兴奋-镇静 扩张-收缩 促进-阻碍 延长-缩短 高于-低于 加强-减弱"),
)
change(
    "effect turned",
    r"补[气血阴阳肾脾肺肝]|清热|散寒|止[血泻咳痛汗]|利[尿水]|温[中肾阳经]|活血|滋阴|收敛|发汗|泻下|安神|祛风",
    lambda match: {
        "清热": "散寒",
        "散寒": "清热",
        "活血": "止血",
        "滋阴": "壮阳",
        "收敛": "发散",
        "发汗": "止汗",
        "泻下": "固涩",
        "安神": "醒神",
        "祛风": "祛痰",
    }.get(match[0], {"补": "泻", "止": "促", "利": "缩", "温": "清"}.get(match[0][0], "抗") + match[0][1:]),
)
change("colour turned", r"[红黄白绿紫黑棕蓝](?=色)", swapped("红-绿 黄-紫 白-黑 棕-蓝"))
change(
    "degree turned",
    r"所有|部分|全部|少数|多数|常|可能|必须|稀|偶|略|明显|显著",
    lambda match: {
        "所有": "部分",
        "全部": "少数",
        "部分": "全部",
        "少数": "多数",
        "多数": "少数",
        "常": "偶",
        "可能": "必定",
        "必须": "不必",
        "稀": "常",
        "偶": "常",
        "略": "极",
        "明显": "轻微",
        "显著": "轻微",
    }[match[0]],
)
change(
    "place replaced",
    r"四川|云南|广东|广西|浙江|江苏|湖北|湖南|河南|河北|山东|山西|陕西|甘肃|贵州|福建|安徽|江西",
    swapped(
        "四川-黑龙江 云南-辽宁 广东-内蒙古 广西-新疆 浙江-青海"
        " 江苏-宁夏 湖北-吉林 湖南-西藏 河南-海南 河北-台湾 山东-辽宁省 山西-上海"
        " 陕西-北京 甘肃-天津 贵州-重庆 福建-香港 安徽-澳门 江西-拉萨"
    ),
)
change("season replaced", r"[春夏秋冬](?=季|、|末|初|采)", swapped("春-秋 夏-冬"))
change(
    "part replaced",
    r"根茎|块茎|果实|种子|叶|花|全草|树皮|根|茎",
    swapped("根茎-花蕾 块茎-果皮 果实-树根 种子-嫩枝 叶-根 花-皮 全草-果核 树皮-茎髓 茎-仁"),
)
change("an item of a list lost its head", r"[止抗化利清补活祛](?=[\u4e00-\u9fff]、)", "")


def wrong_answers(answer: str, document: str) -> Iterator[tuple[str, str]]:
    """Kind of change and the changed answer; only what the document does not say somewhere as it stands."""
    for kind, changed in CHANGES.items():
        made = changed(answer)
        if made and made != answer and made not in document:
            yield kind, made
