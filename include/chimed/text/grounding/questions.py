"""Check whether a question is self-contained, and what it asks for. Used by `generate_qa`.

Ours: a reader of the release sees a question without its document. It must be Chinese, name its subject, ask something,
and not refer to a text. A name that its document does not have is a false premise.
"""

import re
from functools import lru_cache

from chimed.text import terms
from chimed.text.repetition import find_loop
from chimed.text.writing import simplify

_NAMED = re.compile(
    r"【(?:中药名|药名|名称|方名|穴位名?|品名|通用名称?|病名|疾病名称?)】\s*([^\s【】，。；、：:（(]{1,12})"
)
_OPENING = re.compile(
    r"\A\s*((?:(?!的)[\u3400-\u9fff]){2,10}?)(?:[：:（(]|[，,]?(?:味[^道]|性[温寒凉热平味]|[又亦]名|别名)|为|是|[，,]?(?:具有|由[^于]|位于|系))"
)
_HEADING = re.compile(r"\A\s*([\u3400-\u9fff]{2,10}(?<!说明书))(?:[（(][^）)\n]{1,20}[）)])?\s*\n")
_LEAFLET = re.compile(r"\A\s*([\u3400-\u9fff]{2,14}?)(?:药品)?(?:使用)?说明书")
_OF_THE_TEXT = re.compile(
    r"上文|上述|(?<![\d岁周月天年度℃%米两克级人位倍次个程龄期gGlL半])以[上下](?!肢)|下文|下述|前文|前面|本文|文中|该文|文本|文档|文章|原文|材料|资料中|短文|段落|篇中|本段|本节|本章|文献中|书中|作者|"
    r"图中|表中|给出的|提供的|所述|描述中|例子中"
)
_POINTING = re.compile(
    r"本[\u3400-\u9fff]{0,2}?[药品方]|本病|本穴|本证|本法|(?<!应)该(?!如何|怎|不该)[\u3400-\u9fff]{0,3}?[药品方病穴证法草物症]|(?<!应)该|此(?:药|方|病|穴|证|法|草|品|物|种|类)|"
    r"[两二三]者|前者|后者|第[一二三四五][种个类味](?=[药方法]|的|[适用])|它们?|其(?!他|它|实|中|余|次)|他们?|她们?|这[种个类些味首次位]?|那[种个类些味]?"
)
_ASKING = re.compile(
    r"什么|哪|吗|呢|怎|如何|多少|几|谁|为何|为啥|何|是否|能否|可否|是不是|能不能|可不可以|会不会|有没有|有无|多大|多长|多久|多高|多宽|多重|"
    r"请(?:介绍|说明|简述|列举|问|描述|解释|说出|给出|谈谈|写出|概述)|简述|试述|列举|说明|介绍|区别|[?？]\s*$"
)
_YES_OR_NO = re.compile(r"吗|能不能|可不可以|是不是|是否|能否|可否|会不会|有没有|有无|应不应该|需不需要|要不要|宜不宜")
# Said when asking, of anything: what remains must name something.
_GENERAL = re.compile(
    r"什么样?|哪些|哪[里儿个种类味几]?|怎么样?|怎样|如何|多少|几[个种类味岁次天年月]?|为什么|为何|是否|能否|可否|是不是|能不能|可不可以|会不会|有没有|"
    r"请问?|介绍|说明|简述|描述|列举|解释|概述|给出|"
    r"使用禁忌|用法用量|功能主治|功效作用|性味归经|临床应用|药理作用|药理研究|主要成分|化学成分|植物形态|药材性状|产地分布|采收加工|"
    r"功效|作用|疗效|效果|功能|主治|用量|剂量|用法|性味|归经|药性|味道|气味|性质|禁忌|注意事项|成分|成份|产地|分布|别名|来源|形态|性状|外形|外观|"
    r"颜色|表面|断面|质地|长度|宽度|直径|高度|大小|形状|特征|特点|特性|采收|采集|加工|炮制|储存|贮藏|保存|规格|价格|"
    r"症状|表现|病因|原因|病机|原理|机制|治疗|预防|治法|方法|方式|步骤|措施|诊断|检查|护理|饮食|预后|并发症|传播|途径|组成|方解|配伍|"
    r"主要|可以|能够|应该|应当|需要|必须|不能|不可以?|不宜|不要|禁用|慎用|忌|宜|适合|适用|用于|使用|服用|应用|口服|内服|外用|煎服|食用|治|用|吃|服|喝|"
    r"孕妇|儿童|小孩|孩子|老人|患者|病人|人群|人们|人|者|哪|谁|何|每天|每日|每次|一日|一天|一次|一般|通常|正常|常见|包括|含有|具有|属于|属|"
    r"对于|关于|方面|情况|问题|答案|内容|信息|地方|部位|位置|时间|时候|季节|药用|药物|药材|药品|中药|植物|疾病|病症|病证|方剂|穴位|翅膀?|对|"
    r"[的了是有在和与及或吗呢吧啊么为于由从把被让给会能可应需要得着过都也还就又再很最多少长宽高大小归经味性进行做有以个种类量名叫称作]"
)
# What a question asks for, and what a document's label promises.
_KINDS = {
    "dose": (r"用量|剂量|用法|(?:怎么|如何)服|怎[样么]用|如何使?用|[用吃服]多少", r"用量|用法|剂量|应用"),
    "contents": (r"(?:主要|化学|有效)?成[分份]|含有(?:什么|哪些)", r"成分|成份"),
    "effects": (r"功效|功能|有(?:什么|哪些|何)(?:药理)?作用", r"功效|功能|作用|药理|应用|主治"),
    "treats": (r"治(?:疗)?(?:什么|哪些)|主治|(?:什么|哪些)(?:病|症)", r"主治|应用|功效|功能|作用|药理|适应"),
    "channels": (r"归(?:哪|什么|何|经)|归经", r"归经"),
    "nature": (r"性味|药性|味道|什么味|四气", r"性味"),
    "limits": (r"禁忌|[禁忌慎]用|注意事项|不[宜能]|(?:能|可以|能否|可否)使?[用吃服]", r"禁忌|注意|应用|用法|毒|不良"),
    "grows": (r"产地|分布|生长在|产于|哪里生长", r"产地|分布|来源|生境|形态"),
    "gathering": (r"采收|采集|何时采|什么时候采|加工|炮制", r"采收|加工|炮制|采集"),
    "names": (r"别名|别称|又叫|又称|也叫", r"别名|名称|异名|又名|药名"),
}  # fmt: skip
_SURELY = {
    "dose": r"^\W*(?:用法用量|用量|剂量)",
    "contents": r"^\W*(?:主要成分|含有?)",
    "channels": r"^\W*归",
    "nature": r"^\W*(?:性味|味)",
}
LISTED = frozenset({"effects", "treats", "contents", "limits", "names"})  # what a document may tell in several lists
_NARROW = frozenset({"nature", "channels", "contents", "grows", "gathering", "names"})  # told under their own label
_LABEL = re.compile(r"【([^【】\n]{1,12})】|(?m:^)([\u3400-\u9fff]{2,8})[：:]")
_NAMES = ("herbs", "formulas", "acupoints", "drugs", "diseases", "ailments")


@lru_cache(maxsize=64)
def find_subjects(document: str, title: str = "") -> tuple[str, ...]:
    """Return what the document is about, by its beginning or its title; longest name first."""
    named = set(_NAMED.findall(document[:20_000]))
    if len(named) > 1:
        return ()
    if not named and (heading := _HEADING.match(document)):
        named = {heading[1]}
    if not named and (leaflet := _LEAFLET.match(document)):
        named = {leaflet[1]}
    if not named and (opening := _OPENING.match(document)):
        named = {opening[1]} if not _GENERAL.fullmatch(opening[1]) else set()
    if not _NAMED.search(document) and len(_opening_names(document)) > 1:
        named = set()  # a document of several things: each must be named where it is spoken of
    if title and 2 <= len(title) <= 12:
        named.add(title)
    return tuple(sorted({simplify(name) for name in named if len(name) > 1}, key=len, reverse=True))


def _opening_names(document: str) -> set[str]:
    """Return the names of herbs, formulas, medicines and acupoints at the beginning of the document's sentences."""
    pattern = terms.names_pattern("herbs", "formulas", "drugs", "acupoints")
    starts = (match.end() for match in re.finditer(r"(?:^|[。；\n])\s*", document[:20_000]))
    return {match[0] for at in starts if (match := pattern.match(document, at))}


def find_question_fault(question: str, document: str, title: str = "") -> str | None:
    """Return why the question is not self-contained, in a few words; or None."""
    said = simplify(question).strip()
    letters = re.sub(r"[\W_]", "", said)
    if len(re.findall(r"[\u3400-\u9fff]", letters)) < 0.4 * max(1, len(letters)):
        return "not Chinese"
    if piece := find_loop(question):
        return f"repeats itself: {piece}"
    if re.search(r"\[[^\[\]]*\]|【[^【】]*】|<[^<>]*>", said):
        return "a placeholder"
    if found := _OF_THE_TEXT.search(said):
        return f"speaks of a text: {found[0]}"
    if not _ASKING.search(said):
        return "asks nothing"
    return _names_amiss(said, document, title)


def _names_amiss(said: str, document: str, title: str) -> str | None:
    """Return what is wrong with a question's names: it has none, or others than the document; or None."""
    bare = said
    for name in find_subjects(document, title):
        bare = bare.replace(name, "○")
    rest = re.sub(r"[\W_]", "", _GENERAL.sub("|", re.sub(r"[○]", "", bare)).replace("|", ""))
    named = "○" in bare or bool(terms.names_pattern(*_NAMES).search(bare)) or len(rest) >= 2
    if found := _POINTING.search(said):
        names_it = "○" in bare or terms.names_pattern(*_NAMES).search(said[: found.start()])
        if not names_it:
            return f"points at what only the document names: {found[0]}"
    if not named:
        return "does not name what it is about"
    if "○" not in bare or len(rest) >= 2:
        strange = [name for name in terms.find_names(bare, *_NAMES) if not _has(simplify(document) + title, name)]
        if strange:
            return f"names what the document does not: {'、'.join(strange)}"
    chunks = [
        chunk for chunk in re.split(r"[\W_|]+", _GENERAL.sub("|", bare.replace("○", "|"))) if 3 <= len(chunk) <= 6
    ]
    for chunk in chunks:
        if (other := _nearly(chunk, simplify(document))) and chunk not in simplify(document):
            return f"names what the document does not: {chunk}, it has {other}"
    return None


_CONTRARIES = (
    "心肝脾肺肾胃胆",
    "寒热温凉",
    "虚实",
    "阴阳",
    "气血津液",
    "左右",
    "上下",
    "内外",
    "急慢",
    "男女",
    "风火湿燥暑",
    "春夏秋冬",
    "表里",
    "大小",
    "升降",
    "早晚",
    "高低",
)


def _nearly(chunk: str, document: str) -> str | None:
    """Return a text of the document that differs only by one character's opposite or neighbour; or None."""
    for n, character in enumerate(chunk):
        others = next((several for several in _CONTRARIES if character in several), "")
        one = others and re.search(re.escape(chunk[:n]) + f"[{others}]" + re.escape(chunk[n + 1 :]), document)
        if one:
            return one[0]
    return None


def _has(document: str, name: str) -> bool:
    return name in document or any(other in document for other in terms.other_names(name))


def find_unanswered(question: str, answer: str) -> str | None:
    """Return what the question asks for and the answer does not give (an amount, a nature); or None."""
    for what, asked, given in _GIVEN:
        if asked.search(question) and not given.search(answer):
            return what
    return None


# What is asked for in so many words, and the least that an answer to it must have.
_GIVEN = (
    (
        "an amount",
        re.compile(
            r"(?:用量|剂量|服用?量|数量|人数|比例|浓度|温度|长度|高度|重量)(?:范围)?(?:分别)?(?:是|为|有)?多(?:少|大|高|长)|多少(?:克|毫克|家|人|个|片|次|天|%)"
        ),
        re.compile(
            r"\d|[〇零一二三四五六七八九十百千万亿半两]{1,12}[余多几]?[两钱分厘克斤升合斗毫公片粒丸枚个只滴勺匙碗杯盏剂次家人例种成倍天日周月年岁小米厘寸尺度]"
            r"|适量|少许|酌|遵医嘱|不(?:限|拘|详)|倍"
        ),
    ),
    (
        "a nature or taste",
        re.compile(r"(?:性味|药性|四气五味)(?:是|为|如何|怎|有)"),
        re.compile(r"[味性][^，。]{0,8}[寒热温凉平甘苦辛酸咸淡涩]|[甘苦辛酸咸淡涩]"),
    ),
    (
        "a channel",
        re.compile(r"归(?:哪|什么|何)[些个几]?经|归经(?:是|为|如何)"),
        re.compile(r"[心肝脾肺肾胃胆肠焦包膀]|十二经"),
    ),
)


def is_yes_or_no(question: str) -> bool:
    """Return whether the question can be answered with yes or no."""
    return _YES_OR_NO.search(question) is not None


def asked_kinds(question: str) -> set[str]:
    """Return what the question asks for, as far as its words say; else empty."""
    return {kind for kind, (asked, _) in _KINDS.items() if re.search(asked, question)}


def has_labels(document: str) -> bool:
    """Return whether the document has labelled sections."""
    return _LABEL.search(document) is not None


def find_sections(document: str, wanted: set[str]) -> list[tuple[int, int]] | None:
    """Return the sections with what is wanted, if the document has labels for all of it and says it nowhere else; or
    None.
    """
    if not wanted or not wanted <= _NARROW:
        return None
    labels = [(match.start(), match[1] or match[2]) for match in _LABEL.finditer(document)]
    ends = [*(at for at, _ in labels[1:]), len(document)]
    found = {
        kind: [(at, end) for (at, label), end in zip(labels, ends, strict=False) if re.search(_KINDS[kind][1], label)]
        for kind in wanted
    }
    return [span for spans in found.values() for span in spans] if all(found.values()) else None


def find_other_label(question: str, document: str, spans: tuple[tuple[int, int], ...]) -> str | None:
    """Return the label that the question names if none of these places is under it; or None."""
    labels = [(match.start(), match[1] or match[2]) for match in _LABEL.finditer(document)]
    named = [label for _, label in labels if len(label) > 1 and label in question and not _NAMED.match(f"【{label}】x")]
    under = {next((name for at, name in reversed(labels) if at <= start), "") for start, _ in spans}
    return named[0] if named and not under & set(named) and not asked_kinds(question) else None


def kinds_of_places(document: str, spans: tuple[tuple[int, int], ...]) -> set[str]:
    """Return what these places are about, by their labels; empty if one has no known label."""
    told: set[str] = set()
    labels = [(match.start(), match[1] or match[2]) for match in _LABEL.finditer(document)]
    for start, end in spans:
        said = document[start:end]
        sure = {kind for kind, opening in _SURELY.items() if re.search(opening, said)}
        label = next((name for at, name in reversed(labels) if at <= start), "")
        under = {kind for kind, (_, promised) in _KINDS.items() if re.search(promised, label)}
        inside = {kind for kind, (asked, _) in _KINDS.items() if re.search(asked, said)}
        if not under and not sure:
            return set()
        told |= sure | under | inside
    return told
