"""Find a prohibition that is meant, and the permission it would become. Used by `spoiling`. Ours.

A prohibition turned round is dangerous only where it was one. 如果患者不能进食 supposes an inability,
不是所有人都不能吃鸡蛋 denies the prohibition, 有人说不能洗头 reports one, and 术前禁食8小时 names a procedure: their
contrary is no lost warning. Nor is a change that no reader would take for Chinese (注意不要吃 → 注意可以吃).
"""

import re

_DONE = (  # behind a prohibition stands what people do; 不能入睡 forbids nothing
    r"(?=(?:再|轻易|随[便意]|擅?自行?|自己|盲目|长[期时久]|过[度量多分于]|大量|同时|一起|空腹|睡前|直接|乱|滥|多|太|久|单独|继续"
    r"|经常|剧烈|突然|马上|私自|在|[与和跟][^，。；]{1,8}(?=同|合|并|一))*"
    r"(?:吃|喝|服|食|饮|用|使用|应用|停|换|加(?=量|药|大|用|倍|服|温|热)|减|买|吸|抽|熬|洗|碰|抓|挠|挤|涂|敷|进(?!行)|运动|劳累|活动|接触|同房|怀孕|哺乳|按|热敷|手术"
    r"|同服|合用|并用|摄入|摄取|驾|注射|口服|外用|染|烫|搬|站|坐|负重|憋|吹|受凉|掉以|忽视|拖延|延误|催吐|刮|掏|揉|捏|挖|泡|剪|拔))"
)
# Words that strengthen a prohibition go with it: 千万不要吃 → 可以吃
_STRONG = r"(?:(?:断然|绝对|千万|务必|坚决|一定要?|必须|尽量|最好|比较好|注意|留意|记得|记好|切记|应该?|应当|要)){0,3}"
_FLIPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            rf"{_STRONG}(?:切勿|请勿|切忌|切不可|千万别|严令禁止|严禁|禁止|不得|不准|不允许|不可以|不建议)" + _DONE
        ),
        "可以",
    ),
    (re.compile(rf"{_STRONG}(?<!要)不要" + _DONE), "可以"),
    (re.compile(rf"{_STRONG}(?<!能)不[能可]" + _DONE), "可以"),
    (re.compile(r"(?<![意要定])不(?=宜(?!太|多因|过)[\u4e00-\u9fff]{2}|应(?:[该当]|[用服吃喝使]))"), ""),
    (re.compile(rf"(?<![可以能够以为法不]){_STRONG}避免" + _DONE), "可以"),
    (re.compile(r"(?:应该?|须|要)?(?:禁|忌|慎)(?=[用服]|食(?=[\u4e00-\u9fff]{2})|饮(?=[\u4e00-\u9fff])|口服)"), "可"),
    (re.compile(r"(?<![\u3400-\u9fff])忌(?=[^讳惮日口嘴食证症酒烟嗜暴、，。：:])"), "宜"),
)
# What makes a word of prohibition part of a longer one, or the outcome no Chinese, in front of it and behind
_NO_CHINESE = re.compile(
    r"(?:[可谨不无必需非要须会想将使令让才既又而能]|不仅|不但|不只|为了|以便|应该|应当|可以|如何|少|[并先]|尽可能的?|尽量的?|还是)$|理应[^，。；]{0,8}$|防止|预防|切勿$"
)
_ODD_BEHIND = re.compile(r"为[好宜妙]$|就(?:可以|好|行)|或者?是?少|也不要|又不")  # 可以喝酒为好
_TERM = re.compile(
    r"禁食(?:[\d一二三四五六七八九十半数几]|禁|水|期|后|前|时|和|及|或|与|不)|禁饮(?:[\d一二三四五六七八九十半数几]|食|水?\d|期|后|前|时)"
    r"|[禁忌慎][用服食](?:药(?!物)|药物(?:包括|有|主要|名单|清单|[，。:：])|症|证|人群|情况|范围|于?\s?[:：]|是|指|不?等于|不同于|期|的(?:药|意|情|人)|[和与、]?[禁忌慎][用服])"
)
_PROCEDURE = re.compile(r"(?:[术检]前|手术|麻醉|检查|镜|抽血|空腹|化验|透析|胰腺炎|肠梗阻)")
_SUPPOSED = re.compile(
    r"如果|若(?!干)|假如|假若|倘若|要是|假设|一旦|万一|除非|如(?=[患病无未因]|有人)|如$|只要|(?:^|[^应适])当(?![心归然前地天日晚年中])"
)
_CONCLUDED = re.compile(r"就|则|便(?!秘|血)|那么|也|都|应|一定|千万")
_OF_SOMEBODY = re.compile(
    r"(?:时|时候|者|期间|的话|(?:的|之)(?:老?人|患者|病人|病友|孩子|小孩|宝宝|婴儿|儿童|老人|孕妇|女性|男性|朋友|情况|原因|时候|时|理由|东西|药物?|食物"
    r"|说法|观点|看法|误区|问题|道理|症状|现象))(?:[，,、：:]|$)|[^，。；]{0,14}的(?:说法|观点|看法|误区|原因|道理|情况|患者|病人|老人|孩子|儿童|婴儿|孕妇|女性|男性|人(?!参))"
)
_DENIED = re.compile(
    r"不是|并非|并不|绝非|谁说|难道|哪里|何必|何尝|不一定|未必|不见得|不等于|不代表|不意味|没必要|没有必要|无需|无须|不必|不用|用不着|不存在|没有说"
    r"|没说|从未|是否|是不是|能不能|可不可以|要不要|为什么|为何|为啥|怎么|如何|凭什么|多不|不(?:会|至于)"
)
_HEARSAY = re.compile(
    r"有(?:的|些)?(?:人|家长|患者|病人|老人|说法|观点)[^，。；]{0,8}(?:说|认为|以为|觉得|讲|担心|主张|相信|称)|误以?为|以为|据说|听说|传说|传言|传闻|相传|网上|网传"
    r"|民间|俗话|俗语|老话|老人[们家]?(?:常|总|都)?说|所谓|误区|谣言|错误|(?:人们|大家|很多人|不少人|许多人|家长|患者|病人)[^，。；]{0,6}(?:说|认为|以为|觉得)"
    r"|有的人|有些人|(?:有些|一?部分|少数|个别)(?:人|患者|病人)|(?:写|标)着"
)
_TURNS_BACK = re.compile(r"其实|但|实际|事实|不过|然而|因此|所以|建议|正确")
_UNABLE = re.compile(
    r"导致|引起|造成|出现|以致|以至|致使|甚至|因为|由于|因[^此而]{1,12}$|说明|表现|疼|痛得|严重[者时的]|得$|不适|无力|瘫|暂时|根本|完全|几乎|无法|[使令让]"
)
_WRONG = re.compile(
    r"(?:没有|毫无|缺乏|无)(?:任何)?(?:科学)?(?:的)?(?:根据|依据|道理)|这[话种]?(?:说法|观点|话)|是(?:一[种个])?(?:错误|误区|误传|不对|不正确|谣言|误解)|不科学|并不正确"
)
_SIGN_OF = re.compile(r"[，,](?:说明|提示|表明|表示|意味|往往|多[为是半]|可能[是为]|考虑)")  # 不能用力，说明神经受压
_ASKED = re.compile(r"[？?]|[吗呢么](?:[，。]|$)")
# What hurts at once; a place that speaks of it comes before one about sweets and rest
_GRAVE = re.compile(
    r"药|停|酒|剂量|自行|擅自|私自|激素|抗生素|孕|哺乳|过敏|空腹|驾|同服|合用|注射|热敷|按|挤|涂|敷|用力|手术|烟|输液|胰岛素|过量|加量|服用|婴|禁用|忌用|慎用|禁服|忌服"
)
# What nobody should have much of, and which hurts nobody at once: no danger without one of the former
_MILD = re.compile(
    r"大鱼大肉|零食|瓜子|多吃|咖啡|冰冷|暴饮|过饱|太饱|油炸|太多|过多|[得的]多|[太过][咸甜]|过[于度分]|太过|油腻|肥[肉腻厚]|辛辣|生冷|甜[食的]|熬夜|劳累|太久|久[坐站]|拖沓|爆米|极冷|太[烫热冷]"
)
_NEXT = re.compile(r"不[要能可宜]")  # 不要熬夜不要喝酒: two prohibitions without a comma
_SENTENCE_ENDS, _CLAUSE_ENDS = "。；;！!？?\n", "，,。；;！!？?\n：:"


def find_prohibitions(answer: str) -> list[tuple[int, int, str]]:
    """Return where an answer forbids something (start, end, the permission in its place), the gravest first."""
    found = []
    for n, (pattern, instead) in enumerate(_FLIPS):
        for match in pattern.finditer(answer):
            if _is_meant(answer, match):
                before, behind = _around(answer, match.start(), match.end(), _CLAUSE_ENDS)
                done = _NEXT.split(behind)[0]
                if _GRAVE.search(done) or not _MILD.search(done):
                    grave = _GRAVE.search(before + done) is not None
                    found.append((not grave, n, match, "" if before.endswith("建议") else instead))
    found.sort(key=lambda one: (one[0], one[1], one[2].start()))
    return [(match.start(), match.end(), instead) for _, _, match, instead in found]


def _is_meant(answer: str, match: re.Match[str]) -> bool:
    """Return whether a place forbids something to the reader, and would allow it in Chinese if it were turned round."""
    before, behind = _around(answer, match.start(), match.end(), _CLAUSE_ENDS)
    so_far, rest = _around(answer, match.start(), match.end(), _SENTENCE_ENDS)
    word = match[0] + behind
    if _NO_CHINESE.search(before) or _TERM.search(word) or (word.startswith("禁食") and _PROCEDURE.search(before)):
        return False
    supposed = list(_SUPPOSED.finditer(before))
    if supposed and not _CONCLUDED.search(before, supposed[-1].end()):
        return False
    if _DENIED.search(before) or _UNABLE.search(before) or _OF_SOMEBODY.search(behind):
        return False
    reported = list(_HEARSAY.finditer(so_far))
    if reported and not _TURNS_BACK.search(so_far, reported[-1].end()):
        return False
    if _ODD_BEHIND.search(behind):
        return False
    if _SIGN_OF.match(rest[len(behind) :]) or _WRONG.search(rest) or re.search(r"(?:是因为|的原因)", behind):
        return False
    mark = answer[match.end() + len(rest) : match.end() + len(rest) + 1]
    return not (_ASKED.search(behind) or mark in ("？", "?"))


def _around(text: str, start: int, end: int, marks: str) -> tuple[str, str]:
    """Return what stands before and behind a place, up to the next of some marks on either side."""
    low = max(text.rfind(mark, 0, start) for mark in marks) + 1
    high = min((place for mark in marks if (place := text.find(mark, end)) >= 0), default=len(text))
    return text[low:start], text[end:high]
