"""Check by its form whether a reply is a translation at all. Used by `fidelity`.

Models greet, refuse, explain, comment, repeat themselves and answer in English. Each pattern is searched for in the
reply, and is a fault only if the source does not have the words itself.
"""

import re

from chimed.text.repetition import find_loop

MAX_LATIN_SHARE = 0.15  # share of a translation's letters that may be Latin: a dose in mg, a name
MIN_REPEATED_LETTERS = 10  # letters of a sentence that may not come twice where the source has it once

_GREETING = re.compile(
    r"^[\W_]*(?:好的|好[，,！!]|当然(?:可以)?[，,！!：:。]|没问题|明白|收到|您好|你好|非常感谢|谢谢|作为(?:一[名个位])|我(?:将|会|来|可以)|让我|首先，我|"
    r"(?:以下|下面|这里)(?:是|为|就是|将)|根据(?:您|你|上述|以上|原文|提供)|(?:现代(?:汉语|文|中文)|白话文?|今)(?:的)?(?:翻译|译文|译|解释|意思)|"
    r"(?:参考|中文|全文|直|意)?(?:译文|翻译|译作|译)(?:结果|内容|如下|文本)?\s*[：:为是】\]）)]|翻译(?:如下|结果|成)|输出|答案?[：:]|回答[：:]|"
    r"(?:这|此|该|本|上述|原)(?:段|句|篇|则)?(?:话|文字|古文|原文|内容|文|条文|段落|句子)(?:的)?(?:意思|大意|翻译|译文|可以|含义|是说|讲|说|描述|介绍|主要|出自|翻译)|"
    r"(?:意思|大意)(?:是|为)|用(?:现代汉语|白话|通俗)|(?:Sure|Here|Translation|Certainly|Of course|OK)\b)",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^[^\n。；]{0,25}(?:译文|翻译|现代汉语|白话|原文|古文|如下)[^\n。；]{0,10}[：:]")
_NOTE = re.compile(
    r"(?:^|[\n。；！？!?”\"』」）)\]]|\*\*)\s{0,8}[（(【\[*#\-—]{0,4}\s{0,8}(?:译者|编者|译|重要|特别|名词|词语|术语|补充|背景|简要|医学)?"
    r"(?:注释?\d{0,2}|备注|附注|说明|解析|解释|注意(?:事项)?|按语?|点评|评析|评注|补充|提示|小结|总结|赏析|参考(?:文献|资料)?|原文|出处|关键词|译文|现代应用|临床应用|"
    r"临床意义|启示|用法提示|免责声明|声明|延伸|拓展|知识点|要点|ps|note)\d{0,2}\s*[】）)\]*]{0,4}\s{0,8}[：:]",
    re.IGNORECASE,
)
_COMMENT = re.compile(
    r"现代医学|西医|中医|这(?:体现|说明|反映|揭示|表明)了?|由此可见|综上|总之|值得注意|从(?:现代|医学|中医)(?:的)?(?:角度|观点)|仅供参考|遵(?:从)?医嘱|咨询(?:专业|医生|医师)|医(?:师|生)指导|就医|谨遵|不构成|"
    r"希望(?:以上|对您|对你|这|我的|能)|以上(?:就是|即为?|是|为)(?:该|这|此|对|我|全|原|本|上)?[^，。]{0,12}(?:译文|翻译|解释|内容)|(?:这|此|以上)(?:即|就)?(?:是|为)(?:其|该|全文|原文)?(?:的)?(?:译文|翻译|白话)|如(?:果)?(?:您|你|有|需)[^。]{0,15}(?:疑问|帮助|问题|告诉|修改|调整)|"
    r"(?:这|该|此)(?:段|句)(?:话|文字|古文|原文|译文|条文)|原文(?:中|为|是|的|说)|译者|翻译(?:时|中|成|为|如)|古人认为|古代(?:的)?(?:一[两钱斤]|医家认为|计量)|相当于(?:今|现)|约合|换算|"
    r"[（(](?:即|指|也就是|相当于|约|又称|意思|意为|译者|编者|按|注|现称|今称|现代|古代|此处|这里|笔者|一种)|研究(?:表明|显示|发现|证实)|您|亲爱的"
)
_REFUSAL = re.compile(
    r"抱歉|对不起|很遗憾|不好意思|无法(?:为您|翻译|提供|完成|处理|回答|满足|给出|识别|理解|协助)|不能(?:为您|翻译|提供(?:翻译|译文|医)|协助|回答)|不便(?:翻译|提供)|拒绝(?:翻译|回答)|"
    r"作为(?:一[个名款])?\s*(?:AI|人工智能|语言模型|大模型|智能助手|助手)|我(?:只)?是(?:一[个名款])?\s*(?:AI|人工智能|语言模型|大模型|智能|助手)|请(?:您)?(?:提供|输入|给出|补充)(?:需要|要|更多|完整|待)?[^，。]{0,8}(?:原文|古文|文本|内容|信息|文字|句子|段落)|"
    r"(?:没有|未)(?:提供|看到|收到|找到)[^，。]{0,6}(?:原文|文本|古文|内容)|\b(?:sorry|cannot|can't|unable|as an ai)\b",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"</?[A-Za-z文输原译古][^<>\n]{0,20}>|```|^\s{0,3}#{1,4}\s|\*\*|^\s{0,20}(?:[-*•]|\d{1,2}[.、])\s", re.MULTILINE
)


def find_fault(source: str, modern: str) -> str | None:
    """Return what in the reply's form shows that it is not a translation, in a few Chinese words; or None."""
    letters = re.sub(r"[\W\d_]", "", modern)
    latin = len(re.findall(r"[A-Za-z]", letters))
    if latin > MAX_LATIN_SHARE * len(letters) and latin > len(re.findall(r"[A-Za-z]", source)):
        return "不是中文"
    foreign = re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^<>]*>", "", modern))
    if found := _strange(_REFUSAL, source, modern):
        return f"拒绝翻译：{found}"
    if found := _strange(_GREETING, source, modern) or _strange(_HEADING, source, modern):
        return f"译文前有多余的话：{found}"
    if found := _strange(_NOTE, source, modern) or _strange(_COMMENT, source, modern):
        return f"译文里有注解：{found}"
    if found := _strange(_TAG, source, modern):
        return f"译文里有标记：{found}"
    if strange := [word for word in foreign if word not in source]:
        return f"不是中文：{strange[0]}"
    if (piece := find_loop(modern)) and not find_loop(source):
        return f"重复：{piece}"
    return _repeated(source, modern)


def _strange(pattern: re.Pattern[str], source: str, modern: str) -> str | None:
    match = pattern.search(modern)
    return match[0].strip() if match and match[0].strip("\n。；：:，") not in source else None


def _repeated(source: str, modern: str) -> str | None:
    said = [re.sub(r"[\W_]", "", one) for one in re.split(r"[。！？!?\n]", modern)]
    long = [one for one in said if len(one) >= MIN_REPEATED_LETTERS]
    if len(set(long)) == len(long):
        return None
    old = [re.sub(r"[\W_]", "", one) for one in re.split(r"[。！？!?\n]", source)]
    twice = next(one for n, one in enumerate(long) if one in long[:n])
    return None if len(set(old)) < len(old) else f"重复：{twice[:20]}"
