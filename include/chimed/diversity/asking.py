"""Reduce a question to what it asks and what it is about, at column speed. Ours.

What it asks is one of a few kinds (how it is treated, which medicine, which department, what it costs, whether one
may): each kind has many phrases, which count as one. What it is about is the rest, where words that mean the same are
written as one (`_SAME`, and names of medicine), and words that say nothing are left out (`_EMPTY`).
"""

from functools import cache
from itertools import product

import polars as pl

from chimed.diversity.medicine import listed, numbers_of_names

TAIL = 40  # letters at the end in which the kind is looked for: a long question begins with a story
_FIRST_MARK = 0xF0000  # each kind is marked by a letter of its own, from Unicode's private plane
# kind → phrases: one of each group of alternatives after the other
_WHAT, _HOW, _WHICH = (
    "什么|哪些|啥|何种|哪种|什么样的|哪几种",
    "怎么|如何|怎样|咋|怎么样",
    "有什么|有哪些|有啥|是什么|都有哪些|都有什么",
)
_SPECIFIC = {
    "treatment": (
        f"{_HOW} 治疗|治|医治|办|处理|医|治好|解决|办好|办呢", "如何是好|咋整|怎么弄|怎么搞好", f"{_WHAT} 办法|治疗方法|方法治疗|疗法",
        f"治疗方法|治疗办法|治法 {_WHICH}",
    ),
    "medicine": (f"|吃|用|服|服用|使用|涂|抹|吃点|喝 {_WHAT} 药|药物|药膏|西药|药好", f"用药 {_WHICH}"),
    "herbal medicine": (f"|吃|用|服|服用 {_WHAT} 中药|中成药",),
    "food": (
        f"吃|喝|吃点|喝点|多吃|多吃点 {_WHAT} |食物|东西|食品|好", f"|吃 {_WHAT} 食物|食品",
        f"饮食 {_HOW} |调理|安排",
    ),
    "department": (
        f"|挂|看|去|到|上|应挂|应看 什么|哪个|哪|啥|何 科|科室|门诊|号", "挂|看 哪个|什么 医生|大夫",
    ),
    "hospital": ("|去|到|在 哪家|什么|哪个|哪里的|哪些 医院", "去|到|在 哪里|哪儿|哪 |看|治|治疗|看病"),
    "cost": (
        "|要|需要|需|花|得花|大概|大概要|大约要 多少钱|多少费用|多少元|多少块钱", "费用|价格|价钱|收费 是多少|多少|高吗|贵吗|贵不贵|怎么样|如何",
        "贵吗|贵不贵",
    ),
    "cause": (
        f"|是|是由|由 {_WHAT} 原因|病因|引起|造成|导致|因素", f"{_HOW} 回事|引起|造成|导致|得的|得上的|来的|搞的|形成",
        "为什么|为何|为啥|怎么会|怎么回事|咋回事", f"原因|病因|诱因 |都 {_WHICH}",
    ),
    "symptom": (f"|有|会有|出现 {_WHAT} 症状|表现|征兆|反应|迹象", f"症状|表现|征兆 |都 {_WHICH}"),
    "check": (
        f"|做|要做|需要做|查|应做 {_WHAT} 检查|化验|项目", f"{_HOW} 检查|诊断|确诊|判断|检测", "检查项目|查什么|检查什么|检查哪些",
    ),
    "attention": (f"注意|留意 |点|些|的 {_WHAT} |事项|问题|方面|事", f"注意事项 |{_WHICH}"),
    "prevention": (f"{_HOW} 预防|避免|防止|防治", f"预防 |方法|措施 {_WHICH}"),
    "how long": ("|要|需要|得|会 多久|多长时间|多少天|几天|几个月|多少时间|多长时间", "几天|多少天 能|可以|会 好"),
    "when": ("什么时候|何时|啥时候|什么时间|哪天",),
    "how much": ("一天|一次|每天|每次|一日 |吃|用|喝|服 多少|几片|几粒|几次|几克", "用量 |是 多少"),
    "harm": (f"|有 {_WHAT} 危害|害处|后果|影响|坏处|副作用|不良反应", f"危害|害处|后果|副作用|不良反应 {_WHICH}"),
    "benefit": (f"|有 {_WHAT} 好处|功效|作用|用处|效果", f"功效|作用|好处|功效与作用 {_WHICH}"),
    "meaning": ("什么意思|啥意思|是什么病|是啥病|什么病",),
    "cure": ("能|可以|会 治好|根治|治愈|好|断根 吗|么|嘛|不", "能不能|可不可以|能否|可否 治好|根治|治愈|断根", "治得好吗|好得了吗"),
    "seriousness": ("严重吗|严重不严重|要紧吗|要不要紧|有事吗|有没有事|危险吗|有危险吗|有没有危险|严重么|厉害吗",),
    "heredity": ("会|会不会|是否会|能 遗传|遗传给孩子 |吗|么", "遗传吗"),
    "contagion": ("|会|会不会|是否会|能 传染 |给别人|人 吗|么", "会不会|是否会 传染"),
}  # fmt: skip
# what a question asks where none of the others is found: many of these phrases stand in others, too
_GENERAL = {
    "may": ("能不能|可不可以|可以不可以|能否|可否|是否能|是否可以|能够|能|可以|行不行|行吗|好不好|适合|适不适合",),
    "will": ("会不会|是否会|会",),
    "is": ("是不是|是否是|是否",),
    "has": ("有没有|是否有|有无",),
    "must": ("要不要|用不用|需不需要|必须|需要|是否需要|是否要|一定要|有必要",),
    "how": (_HOW,),
    "where": ("哪里|哪儿|什么部位|什么地方|哪个部位|哪个位置",),
    "what": (_WHAT,),
}
# words that are written as the first of their line
_SAME = (
    "孩子 小孩 小孩子 宝宝 小朋友 娃 小娃 娃娃 儿童 小儿",
    "父亲 爸爸 老爸 爸", "母亲 妈妈 老妈 妈", "丈夫 老公", "妻子 老婆", "爷爷 祖父", "老人 老年人 老人家",
    "男 男性 男人 男士 男的", "女 女性 女人 女士 妇女 女的", "孕妇 怀孕期间 怀孕的人 怀孕 孕期 怀孕了 怀孕时", "哺乳 哺乳期 喂奶 喂奶期",
    "发烧 发热 高烧 发高烧", "腹泻 拉肚子 拉稀 闹肚子", "腹痛 肚子痛 肚子疼 腹疼", "腹胀 肚子胀 肚子发胀", "头痛 头疼", "痛 疼 疼痛",
    "失眠 睡不着 睡不着觉", "喉 嗓子 喉咙 咽喉 咽部", "痒 瘙痒 发痒", "流涕 流鼻涕", "鼻塞 鼻子不通 鼻子不通气", "呕吐 吐 恶心想吐",
    "月经 例假 大姨妈", "手术 开刀", "喝酒 饮酒", "抽烟 吸烟", "吃 服用 食用 口服", "剖宫产 剖腹产 剖腹", "顺产 自然分娩", "晚上 夜里 夜间 半夜 晚间",
    "早上 早晨 清晨", "餐后 饭后", "餐前 饭前", "之后 以后", "之前 以前", "经常 总是 老是 常常 一直 总", "反复 反反复复", "疫苗 预防针",
    "跑步 慢跑", "锻炼 运动", "胃癌 胃部肿瘤", "大便 便便 粪便", "小便 尿尿 排尿", "出血 流血", "肿 肿胀 红肿", "无力 没劲 没有力气 没力气",
    "没有 没", "检查 化验", "增高 偏高 升高", "降低 偏低", "起 长 出 冒出", "红点 红疙瘩 红疹",
)  # fmt: skip
_EMPTY = (
    "患者 病人 病患 病患者 人群 的人 的时候 请问 请教 求问 咨询 咨询一下 想咨询 想问 想问一下 问一下 一下 医生 大夫 你好 您好 谢谢 帮忙 帮我 看看 应该 应当 该 应 到底 究竟 "
    "患了 得了 患有 患上 得上 得 患 平时 日常 生活中 比较好 最好 比较 较好 好 好呢 的 了 吗 呢 啊 吧 呀 么 嘛 哦 我 我的 我家 他 她 您 你 这 "
    "这个 那个 这种 最近 目前 现在 然后 后来 已经 就 都 也 还 又 很 非常 特别 有点 有些 一些 有 出现 出现了 感觉 觉得 来 去 一般 通常 主要 患病 人 对 "
    "里 时 之 呵 啦 什么样 想 知道 想知道 要 和 与 跟 家里 家 一个 个 情况 一种 是 点 引起的 导致的"
).split()
# words that have such a word in them and are left as they are
_WHOLE = (
    "功能 机能 能量 智能 性能 会阴 社会 会厌 可能 人参 人流 人工 老人 成人 大人 工人 目的 了解 得益 心得 对症 对侧 是非 家族 里急后重 里脊 不是 好转 良好 爱好 "
    "个子 人中 患处 患侧 必要 主要 重要 要害 要点 点滴 红点 斑点 有效 有氧 现有 有害 小时 时间 同时 和解 中和 柔和 缓和 来月经 来例假 去皮 去除 白点 还原 "
    "就医 就诊 都梁 对比 反对 相对 没有"
).split()  # fmt: skip


def _phrases(lines: tuple[str, ...]) -> set[str]:
    """Return all phrases of a kind: one alternative of each group after the other."""
    groups = ([group.split("|") for group in line.split(" ")] for line in lines)
    return {"".join(parts) for line in groups for parts in product(*line)} - {""}


@cache
def _table() -> tuple[list[str], list[str]]:
    """Return all phrases and what each becomes, the longest first, for a search in which the first in order counts."""
    becomes = {name: listed()[number].name for name, number in numbers_of_names().items() if len(name) > 1}
    becomes |= {f"{name}人": known for name, known in becomes.items() if name.endswith("病")}  # who has it
    for word in _EMPTY:
        becomes[word] = ""
    for line in _SAME:
        first, *others = line.split(" ")
        becomes |= dict.fromkeys(others, first) | {first: first}
    for word in _WHOLE:
        becomes[word] = word
    kinds = [*_GENERAL.values(), *_SPECIFIC.values()]
    for number in range(len(kinds)):
        becomes |= dict.fromkeys(_phrases(kinds[number]), chr(_FIRST_MARK + number))
    ordered = sorted(becomes, key=lambda phrase: (-len(phrase), phrase))
    return ordered, [becomes[phrase] for phrase in ordered]


def _marks(first: int, number: int) -> str:
    return f"[\\x{{{_FIRST_MARK + first:X}}}-\\x{{{_FIRST_MARK + first + number - 1:X}}}]"


_ANY = _marks(0, len(_GENERAL) + len(_SPECIFIC))


def reduce_questions(questions: pl.Series) -> pl.DataFrame:
    """Return what each question (no nulls) is about and what it asks: columns `about` and `asks`.

    about: its words without those that ask or say nothing, clauses parted by a blank. asks: one letter for each kind of
    question at its end, each once and in order; the general kinds only where there is no other.
    """
    phrases, becomes = _table()
    bare = questions.str.to_lowercase().str.replace_all(_ANY, "").str.replace_all(r"[\s\p{P}\p{S}]+", " ")
    marked = bare.str.replace_many(phrases, becomes, leftmost=True)
    about = marked.str.replace_all(_ANY, "").str.replace_all(r" +", " ").str.strip_chars(" ")
    tail = marked.str.slice(-TAIL)
    specific, general = (
        tail.str.extract_all(_marks(first, number)).list.unique().list.sort().list.join("")
        for first, number in ((len(_GENERAL), len(_SPECIFIC)), (0, len(_GENERAL)))
    )
    both = pl.DataFrame({"about": about, "specific": specific, "general": general})
    asks = pl.when(pl.col("specific") != "").then("specific").otherwise("general")
    return both.select("about", asks=asks)
