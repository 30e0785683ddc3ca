"""Find a thought that only says its question or its answer again: there is nothing in it to learn. Used by `reason`.

Ours. A small model, or one that was told to think and had no need to, announces what it is asked, announces that it
will answer, and then gives the answer. Such a thought passes every rule of form. People announce in endless ways, so
what is looked for is the contrary: something of medicine, or of the document, that neither question nor answer says.
Whether it is a reason, no rule can see.
"""

import re
import unicodedata

LEAST = 2  # characters of medicine, or of the document, that a thought has of its own
SHARED = 2  # characters in a row that count as said by the question or the answer already
TOLD = 3  # characters in a row that count as taken from the document: 可以 stands in every text

_SUPPOSES = re.compile(r"若|如果|假如|假设|假定|倘若|要是|先设|再设")
_RULED_OUT = re.compile(
    r"不符|不合|矛盾|相悖|冲突|不成立|说不通|讲不通|不能解释|无法解释|解释不了|排除|并非|并不是|却不是|而非|不是|不可能|与.{1,8}相反"
)
_REASON = 6  # letters that say what follows: 若选A则错 gives no reason

# Characters of which words of medicine are made and talk about questions hardly ever is. Not 主治, 用量, 注意 and other
# words that questions are asked with.
_MEDICINE = frozenset(
    # natures, flavours, qualities
    "视听觉嗅质色材归味甘苦辛酸咸淡涩寒热温凉燥湿润滋腻毒香臭烈峻缓刚柔厚薄浓稀稠粘滑浮沉迟弦紧洪细弱"
    # what is treated and how
    "补泻泄渗利祛散疏宣降升托敛固摄止镇潜软坚消导化淤瘀活破攻逐杀驱清养益安宁窍醒息舒调治疗愈防护"
    # body and substances
    "气血阴阳津液精神魂髓骨筋肌肉皮肤毛发头面目眼耳鼻口舌唇齿咽喉颈肩背胸胁腰腹脐臂肘腕掌膝踝趾足脚心肝脾肺肾胃肠胆膀胱胞宫脏腑脉络经穴腺膜腔管"
    "脑胎乳尿便汗涕泪痰唾涎脓脂糖盐钙铁锌碘酶素碱醇蛋维菌虫卵抗体免疫激荷尔蒙"
    # what one suffers from
    "病症证患痛疼痒肿胀麻木瘫痪疮痈疽疖疹癣癌瘤炎疡溃烂裂伤烫烧折咳喘哮呕吐逆噎嗝痞满痢秘闭癃淋浊遗崩漏带痨疟疠瘴厥脱晕眩悸怔忡烦躁狂癫痫惊痉搐抽颤惧郁焦虑眠睡梦"
    "肥胖瘦羸佝偻驼聋哑盲虚损劳衰竭坏死梗塞栓堵痹阻滞壅结积聚块癥瘕蓄停饮水黄疸斑痕痔瘘疝孕娠产育哺婴儿幼老妇邪风暑火"
    # drugs and doctors
    "药剂汤丸膏丹片粒胶囊煎煮熬炖炒炙炮制蒸洗浸泡敷贴熏灸针刺拔罐按摩注射输服含嚼吞餐空忌禁慎误减副抑促兴奋代谢吸收排泌扩张缩"
    "术缝醉检验诊断拍超镜测压频偏达危险急重轻慢久暂复转移感染传苗"
    "君臣佐性根茎叶花籽芽树草矿贝壳角鳞甲蜜酒醋姜枣葱蒜谷麦米豆瓜菜茶奶鱼虾蟹饭食膳营"
    # of healthy life
    "冷暖冰卧躺坐站走跑运动锻炼戒烟夜"
    # parts of chemistry and physiology
    "氧碳氮磷硫钠钾镁氯氟铅汞砷离突触纤组织器官循环呼生殖卫"
)
# Common words that are made of such characters and speak of no medicine
_COMMON = re.compile(
    "题目|目的|目前|根据|根本|判断|断定|关心|核心|中心|用心|细心|满足|足够|足以|足矣|回复|答复|重复|复杂|结合|结果|结论|总结|归结|归纳|归类|小结"
    "|上面|下面|方面|全面|里面|前面|后面|表面上|经过|已经|曾经|经验|排除|排列|安排|真正|认真|发现|出发|开始|展开|开头|开口|打开|离开|公开"
    "|清楚|清晰|清单|弄清|想清|认清|问清|分清|理清|具体|整体|总体|大体|表示|表达|代表|列表|调整|强调|验证|主动|动手|动笔|运用|运算"
    "|走一遍|脑海|脑子|头脑|从头|回头|随口|一眼|眼前|字眼|重要|重点|慎重|着重|重新|轻松|着急|慢慢|组织语言|精确|精简|精准|语气|口气|心虚"
    "|为止|不止|收到|接收|性质|本质|实质|重视|视为|无视|感觉|感到|觉得|原则|可能性|准确性|正确性|完整性|特色|角色|材料|题材|多余|遗漏"
)


def find_echo(reasoning: str, question: str, answer: str, text: str = "") -> tuple[str, str] | None:
    """Return how a reasoning only says its question or answer again (reason, detail); None if it says more.

    text: the document that the question was made from; what stands in it and not in the answer counts as more. So does
    an option that is supposed and then ruled out by what would follow (若选A，则用量最大者为白术，与原方不符).
    """
    if rules_out(reasoning):
        return None
    own = own_content(reasoning, question, answer, text)
    return ("reasoning only repeats question and answer", own or "nothing more") if len(own) < LEAST else None


def rules_out(reasoning: str) -> bool:
    """Return whether a thought supposes something and rules it out by what would follow."""
    for sentence in re.split(r"[。；;！!？?\n]", reasoning):
        supposed = _SUPPOSES.search(sentence)
        if supposed is None:
            continue
        follows = re.search(r"[，,则]|那么|就", sentence[supposed.end() :])
        if follows is None:
            continue
        consequence = sentence[supposed.end() + follows.end() :]
        ruled_out = _RULED_OUT.search(consequence)
        if ruled_out and sum(map(str.isalnum, consequence[: ruled_out.end() + _REASON])) >= _REASON:
            return True
    return False


def own_content(reasoning: str, question: str, answer: str, text: str = "") -> str:
    """Return the characters of a thought that are of medicine or of the document, and not of question or answer."""
    said = {pair for one in (question, answer) for pair in _runs(_plain(one), SHARED)}
    told = set(_runs(_plain(text), TOLD))
    thought = _plain(reasoning)
    common = _COMMON.sub(lambda match: "，" * len(match[0]), thought)
    known, new = [False] * len(thought), [letter in _MEDICINE for letter in common]
    for place, run in enumerate(_runs(thought, SHARED)):
        if run in said:
            known[place : place + SHARED] = [True] * SHARED
    for place, run in enumerate(_runs(thought, TOLD)):
        if run in told and "，" not in run:
            new[place : place + TOLD] = [True] * TOLD
    return "".join(letter for letter, before, here in zip(thought, known, new, strict=True) if here and not before)


def _runs(text: str, length: int) -> list[str]:
    return [text[place : place + length] for place in range(len(text) - length + 1)]


def _plain(text: str) -> str:
    """Return the text in plain width, with one mark for whatever is no letter or digit."""
    return "".join(letter if letter.isalnum() else "，" for letter in unicodedata.normalize("NFKC", text))
