"""Remove greetings, wishes and thanks: whole sentences, whole leading clauses, or nothing.

A courtesy consists of clauses that say nothing else. A sentence of such clauses is removed
(谢谢您的信任，祝早日康复。). One that says something else too stays whole (感谢医生的解答，我的血压降下来了。
坚持治疗，有希望痊愈。). A greeting that leads a sentence is removed as a clause (医生，您好，…). A wish that ends one
is removed if what is before its comma is a whole sentence, which then gets a full stop (多喝水，祝您早日康复。). Part
of `clean` (paper §3.2).

Patterns are for Rust's regular expressions: linear time, no look-around; what is before a sentence is group 1.
"""

import polars as pl

from chimed.text.noise.rules import Rule, any_of, removal_rule

# --- where a sentence begins and ends ------------------------------------------------------------------------------

# at the start, on a line that does not go on from the one before, after a stop, after a space between words
_BEGINS = r"(\A|[^，、,：:\s]\s*\n|[。！!？?；;…~～]|[^，、,：:\sA-Za-z][ \t　]+|[^0-9]\.)[\s　]*"
_ENDS = r"(?:[\s　]*[。！!.~～…；;]+[”」）)]?|[ \t　]|[，,、]?[\s　]*(?:\n|\z))"
_PAUSE = r"[，,。！!：:~～、…;；.\s　]+"

# --- who -----------------------------------------------------------------------------------------------------------

_TITLES = any_of("医生 大夫 医师 专家 教授 主任 老师 护士 博士 院长 药师")
_PEOPLE = any_of(
    "医生 大夫 医师 专家 教授 主任 老师 护士 博士 院长 药师 患者 病友 朋友 网友 楼主 家长 患友 病人 女士 先生 同志 "
    "宝妈 妈妈 爸爸 咨询者 提问者 提问的朋友 用户 亲 同学 美女 帅哥 大哥 大姐 姐妹 宝贝 小姐 阿姨 叔叔 题主 各位"
)
_SURNAME = (
    "[王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟"
    "汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段钱汤尹黎易常武乔贺赖龚文]"
)
_WHO = rf"(?:(?:尊敬的|敬爱的|亲爱的|这位|各位|诸位|{_SURNAME})?{_PEOPLE}{{1,2}}们?)"
_YOU = any_of(
    "[您你他她妳咱]们? 大家 各位 广大 患者 病人 病友 老人家? 宝宝 孩子 小孩 宝贝 小朋友 全?家人? 亲人 父亲 母亲 爸爸 "
    "妈妈 奶奶 爷爷 外公 外婆 老公 老婆 丈夫 妻子 爱人 朋友 楼主 女士 先生 亲爱的 的 和 与 及 以及 、 早 阖家"
)

# --- greetings -----------------------------------------------------------------------------------------------------

_HELLO = (
    r"(?:[你您妳们]们?好|大家好|各位好|(?:早上|上午|中午|下午|晚上)好|早安|晚安|哈[喽啰罗]|嗨"
    rf"|[各诸]位{_TITLES}们?好|(?:新年|元旦|春节|新春|元宵节?|端午节?|中秋节?|国庆节?|教师节|圣诞节?|节日|周末)(?:好|快乐|愉快))"
)
_LATIN_HELLO = r"(?:[Hh]i|[Hh]ello|HELLO)"
_CALL = rf"(?:(?:[嗯哎喂哦噢恩唉][，,！!\s　]*)?(?:{_WHO}[，,、：:！!\s　]*)?{_HELLO}[啊呀哦哈呢吖哟]?{_WHO}?)"
_SERVICE = (
    r"(?:(?:很|非常|十分)?(?:高兴|荣幸)(?:能够?|可以|有机会)?(?:[为给]?(?:您|你|大家)?们?)?来?(?:提供)?"
    r"(?:服务|解答|解惑|回答|帮助|咨询)(?:您|你)?们?的?(?:病情|问题|咨询|疑问|疑惑)?)"
)
# a greeting that runs into its sentence: only before words that no 好 belongs to, as it does in 您好转后 and 你好像
_RUNS_INTO = any_of(
    "我[^好] 请问 想问 想咨询 想知道 想了解 根据[你您] 按照[你您] 针对[你您] "
    "很高兴 非常高兴 首先 建议[你您] 这种情况 这个情况 这种病 如果[你您] 医生 大夫 专家 请教 咨询一下 "
    "这位 朋友[^好] 可以 怀孕 老人 打完 有[高糖什] 先天 "
    "为什么 怎么 怎样 如何 高血压 低血压 糖尿病 癫痫 乙肝 大三阳 小三阳 脂肪肝 感冒 肝 肾 "
    "胃[^口] 脑 男 女 孩子 宝宝 患者 您 你 目前 最近 一般 对于 由于 关于"
)
_GREETING = (
    rf"{_BEGINS}(?:{_CALL}{_PAUSE}|{_CALL}\z|{_LATIN_HELLO}[，,。！!~～]+[\s　]*"
    rf"|{_LATIN_HELLO}[\s　]+(?P<next>{_TITLES}))"
)
_GLUED_GREETING = rf"{_BEGINS}(?:{_WHO}[，,]?)?[你您]好(?P<next>{_RUNS_INTO})"

# --- wishes --------------------------------------------------------------------------------------------------------

_LATELY = any_of("最后 同时 再次 在此 也 还 并 衷心 真心 真诚 诚挚 由衷 我们? 本人 地 的 , ，") + "*"
_HOW = any_of(
    "能够? 可以 都 也 会 能早日 早日 早些 尽早 尽快 快点 快些 身体 身心 生活 工作 学习 一切 万事 天天 永远 每天 心情 "
    "顺利 事事 新年 节日 春节 健健康康 平平安安 幸福 快乐"
)
_GOOD = any_of(
    "健康 康复 痊愈 安康 平安 好起来 好转 愉快 快乐 幸福 顺利 如意 安好 好运 好孕 吉祥 长寿 早康复 开心 美满 恢复 康 好"
)
_MORE_GOOD = any_of("快乐 平安 幸福 愉快 健康 康复 安康 美满 顺利 长寿 如意 的身体 和美好的生活 成长 每一?天 永远")
_GOODS = rf"(?:{_HOW}*(?:恢复|取得|获得|重获|拥有|保持)?(?:身体|的)?{_GOOD}{_MORE_GOOD}*[吧哦啊呀啦]?)"
_WISH = (
    rf"(?:{_LATELY}(?:祝福?|祝愿|预祝|恭祝|敬祝)[：: ]?{_YOU}*{_GOODS}(?:[、，, ]{_GOODS})*"
    rf"|{_LATELY}(?:愿|希望|期望|期待|但愿|盼望?){_YOU}+{_GOODS}"
    r"|拥有健康的身体和美好的生活|祝福(?:[您你]|大家|宝宝)们?|早日康复|保重身体|多多?保重|此致[\s　，,]*敬礼)"
)

# --- thanks --------------------------------------------------------------------------------------------------------

_WARMLY = any_of(
    "非常 十分 万分 衷心 真心 诚心 深表 最后 首先 先 在此 再次 也 很 真的 真是 由衷 "
    "这里 对此 我 们 不胜 跪 叩 万 太 表示 的"
)
_FOR = any_of(
    "[您你他她妳我]们 [您你他她妳] 大家 各位 医生 大夫 专家 老师 教授 主任 护士 好心人 网友 "
    "与 和 及 以及 、 本院 本站 工作 朋友们? 贵院 平台 啊 了 啦 哦 呀 喽 的 对 我 "
    "之 本人 非常 支持 咨询 进行 提问 信任 解答 解释 回答 答复 "
    "答覆 回复 解惑 帮助 帮忙 指导 指点 关注 配合 理解 阅读 耐心 "
    "热心 细心 精心 及时 百忙之中 抽空 抽出 宝贵 时间 意见 建议 好意 关心 详细 谢"
)
_ONE = r"(?:[您你]|医生|大夫|专家|各位|大家)?们?"
_THANKS = (
    rf"(?:{_WARMLY}*(?:感谢|谢谢|多谢|感激|谢过|谢了|谢){_FOR}*(?:不尽|之至)?"
    rf"|{_WARMLY}*(?:衷心|诚挚|深深|万分|由衷)?的?(?:感谢|谢意)|[Tt]hanks|[Tt]hank you|3[qQ]"
    rf"|{_ONE}(?:辛苦|打扰|打搅|麻烦|拜托|有劳){_ONE}(?:一下)?了|给[您你]添麻烦了|不用?客气|不用谢|不谢)"
)
_WAITS = (
    r"(?:(?:急切?|急需|焦急)?(?:期待|期盼|盼望?|等待|等候|静候|坐等|恳请|恳求|望)"
    rf"(?:{_ONE}|好心人|尽快|尽早|早日|及时|能|的)*(?:回复|答复|解答|回答|指点|佳音|回信|答覆))"
)

# --- an answer about itself ----------------------------------------------------------------------------------------

_ANSWER = any_of(
    "以上 上述 上面 望 述 这些? 我们? 本次 此 的 问题 答案 解释 建议 回答 解答 答覆 答复 回复 意见 内容 分析 信息 介绍 "
    "讲解 讲述 说明 观点 仅供参考"
)
_TO_YOU = r"(?:[您你]们?|大家|各位|患者|朋友|楼主|提问者|家长)?们?(?:的病情|的疾病|的健康|的问题)?"
_HELPS = (
    rf"(?:(?:能够?|可以|可|会|都)?(?:对于?|给|为)?{_TO_YOU}(?:能够?|可以|都|会|能)?"
    r"(?:有所|有一定的?|有些|有点|有|带来一些|带来|提供一些|提供|起到一?些?|所)?"
    r"(?:帮助|协助|参考作用|参考价值|参考|借鉴)(?:作用)?"
    rf"|(?:能够?|可以|可|会)?(?:帮助|协助|帮)(?:得?到|了)?{_TO_YOU})(?:的|哦|啊|吧|呀|一些|一下|忙)?"
)
_HOPE = rf"(?:{_LATELY}{_ANSWER}*(?:期望|希望|但愿|望|愿){_ANSWER}*{_HELPS})"
_QUOTED = r"[“\"「《][^”\"」》\n]{0,200}[”\"」》]"
_ABOUT = (
    rf"(?:以上(?:就是|便是|是|为)?我?(?:对于?|关于|针对)?(?:{_QUOTED})?(?:这个|[您你]的?|该|此|本)?(?:问题)?的?"
    r"(?:建议|解答|回答|解释|意见|分析|介绍|内容|看法)|以上仅供参考|仅供[您你]?参考|以上(?:建议|意见|回答|内容)仅供参考)"
)

# an answer that asks to be chosen, or to be asked again
_IF_IT_HELPED = (
    rf"(?:(?:如果?|若|要是|假如)?(?:[您你]|大家)?(?:觉得|认为)?(?:(?:我|以上)的?)?(?:回答|答案|解答|答复|回复|建议)?(?:对于?{_TO_YOU})?"
    r"(?:能?有所?帮助|有用|还?满意|可以|认可)(?:的话)?[，, ]?)"
)
_CHOOSE = (
    rf"(?:{_IF_IT_HELPED}?(?:请|敬请|望|还望|希望|期望|求|麻烦|记得|烦请|谢谢){_TO_YOU}"
    r"(?:能够?|及时|给予|予以|给个?|点个?|点击|选择)*(?:采纳|好评|点赞|五星)(?:我的(?:回答|答案|建议)|为?最佳答案|好评|一下|下|吧|哦|啊|呀)*)"
)
_ASK_AGAIN = (
    r"(?:(?:如果?|若)?[您你]?(?:还|仍)?有(?:其他|其它|任何|什么|不明白的?|不清楚的?)*(?:疑问|问题|地方)?(?:的话)?"
    r"[，, ]?)?"
    rf"欢迎{_TO_YOU}(?:再次|随时|继续|在线|免费|来电|致电|电话|前来)+(?:进行)?(?:咨询|提问|追问|交流)(?:我们?|医生|专家|在线医生|在线专家)?"
)

_CLAUSE = f"(?:{_WISH}|{_THANKS}|{_HOPE}|{_ABOUT}|{_WAITS}|{_CHOOSE}|{_ASK_AGAIN}|{_CALL}|{_SERVICE})"
_SENTENCE = rf"{_BEGINS}{_CLAUSE}(?:[，,、：:；; 　！!]*{_CLAUSE})*{_ENDS}"

# --- a wish that ends a sentence -----------------------------------------------------------------------------------

# 早日康复 and 保重身体 behind a comma are what the sentence advises, and 希望孩子健康 what a mother hopes
_ENDING_WISH = (
    rf"(?:{_LATELY}(?:祝福?|祝愿|预祝|恭祝|敬祝)[：: ]?{_YOU}*{_GOODS}(?:[、，, ]{_GOODS})*"
    rf"|{_LATELY}(?:愿|希望|期望|期待|但愿|盼望?)(?:[您你]们?{_YOU}*|\p{{Han}}{{0,6}}患者们?)"
    rf"{_GOODS}(?:[、，, ]{_GOODS})*"
    rf"|祝福[您你]们?|{_HOPE})"
)
_IN_CLAUSE = r"[^，,。！!？?；;：:…~～\n]"
_ENDING = (
    rf"({_IN_CLAUSE}{{3,}}[^，,。！!？?；;：:…~～\s\x01])[，,][\s　]*(?:{_CLAUSE}[，,、 　！!]+)*{_ENDING_WISH}"
    rf"(?:[，,、：:；; 　！!]*{_CLAUSE})*(?:[\s　]*[。！!.~～…；;]+[”」）)]?|[ \t　]|[ \t　]*(?P<line>\n|\z))"
)
# a clause that is no sentence without what follows it, or that asks: by how it begins, by a word in it, by its end
_CONDITION = any_of(
    "如果 如 若 假如 要是 倘若 只要 只有 一旦 除非 因为 因 由于 鉴于 为了 为 虽然 虽 尽管 即使 无论 不管 当 在 "
    "对于 对 关于 针对 根据 按照 通过 经过 随着 除了 请问"
)
_ASKING = any_of("吗 呢 怎么 怎样 怎么样 什么 多少 如何 哪 是否 为何 能不能 可不可以 要不要 请问")
_HANGS = any_of(
    "时 时候 之后 以后 后 之前 以前 前 期间 同时 下 上 中 里 的话 和 与 及 以及 而 但 对 为 是 有 在 等待 以便 以免"
)
_INCOMPLETE = (
    rf"((?:\A|[，,。！!？?；;：:…~～\n])[\s　]*{_CONDITION}{_IN_CLAUSE}*)",
    rf"({_ASKING}{_IN_CLAUSE}*)",
    rf"({_HANGS}[\s　]*)",
)


def _without_ending_wishes(column: pl.Series) -> pl.Series:
    """Remove wishes that end a sentence which is whole without them; the others are marked while searching."""
    marked = column.str.replace_all("\x01", "", literal=True)
    first, asking, hangs = _INCOMPLETE
    marked = marked.str.replace_all(first, "$1\x01").str.replace_all(asking, "$1\x01")
    marked = marked.str.replace_all(rf"{hangs}([，,])", "$1\x01$2")
    return marked.str.replace_all(_ENDING, "${1}。${line}").str.replace_all("\x01", "", literal=True)


# --- labels of a form, and the rules -------------------------------------------------------------------------------

_LABELS = any_of(
    "健康咨询描述 曾经的?治疗情况和效果 想得到怎样的帮助 病情描述(?:（[^（）\\n]{0,40}）)? 病情分析 "
    "问题分析 指导意见 处理意见 指导建议 意见建议"
)
_LABELLED = rf"(\A|[\s。！!？?；;，,：:”）】]){_LABELS}[：:∶]"

# words of courtesies that the net would take for numbers, units or negations
_MAY_HOLD = f"{_QUOTED}|" + any_of(
    "五星 支持 配合 再次 不明白 不清楚 "
    "一切 百忙之中 万分 万事 万 每一?天 天天 每天 今天 一些 一下 一定 一般 [大小]三阳 不尽 不胜 不用?客气 不用谢 不谢 "
    "[Hh]i [Hh]ello HELLO 3[qQ] [Tt]hanks? you 分析 恢复 十分 非常 [.~～：:…]+"
)
# what is looked for first, in plain words: these are found fastest
_GREETS = (
    "你好|您好|妳好|们好|家好|位好|上好|午好|早安|晚安|哈喽|哈啰|哈罗|嗨|Hi|hi|ello|HELLO"
    "|[生夫师授任节日旦春中末年]好|快乐|愉快"
)
_SAYS = (
    "祝|谢|感激|望|愿|盼|高兴|荣幸|客气|辛苦|打扰|打搅|麻烦|拜托|有劳|以上|仅供|康复|保重|敬礼|hank|3q|3Q|期待|等待|等候|"
    f"静候|坐等|采纳|好评|点赞|欢迎|{_GREETS}"
)
COURTESIES = (
    removal_rule("field's label", _LABELLED, "$1", net="spans", sooner=f"{_LABELS}[：:∶]", may_hold="[：:∶]|分析"),
    removal_rule("greeting", _GREETING, "${1}${next}", net="spans", sooner=_GREETS, may_hold=_MAY_HOLD),
    removal_rule("greeting", _BEGINS + _SERVICE + _PAUSE, "${1}", net="spans", sooner="高兴|荣幸", may_hold=_MAY_HOLD),
    removal_rule("greeting", _GLUED_GREETING, "${1}${next}", net="spans", sooner="[你您]好", may_hold=_MAY_HOLD),
    removal_rule("courtesy", _SENTENCE, "${1}", net="spans", sooner=_SAYS, may_hold=_MAY_HOLD),
    Rule(
        "wish that ends a sentence",
        _ENDING,
        _without_ending_wishes,
        "[，,][^，,。\\n]*[祝愿望盼期]",
        "spans",
        _MAY_HOLD,
    ),
)
