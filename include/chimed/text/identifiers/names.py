"""Find full names of people (患者李秀兰, 王建国主任医师, 我叫张建军) by rule: surname, given-name letters, a context.

Ours; the paper leaves names to a prompt (§3.2). Of the segmenters in a single package, jieba tags one word per record
as a name that is none (维生素, 老公, 建议您), so a name needs a context: a field (姓名：), an introduction (我叫), a
word for a patient before it, a title after it, or sex and age or a telephone number after it. 王医生, 李女士 and 张某
name nobody. Historical physicians and authors, public figures of medicine, and herbs that are named like people
(`names.yaml`) are not private names; classical Chinese is not searched.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

DOCTOR, PATIENT, PERSON = "doctor's name", "patient's name", "person's name"
KINDS = (DOCTOR, PATIENT, PERSON)
MOST = 4  # letters of a name

_TITLE = (
    r"(?:副?主任(?:中医|护|药|技)?医?师?|主治(?:中医)?医?[师生]|住院医师|执业医师|实习医生|老?中医师?|医[生师]|大夫|"
    r"副?教授|护士长?|[药技]师|副?[院所]长|科主任|博[士导]|专家|导师|治疗师|营养师|咨询师)"
)
_COURTESY = r"(?:先生|女士|小姐|太太|同[志学]|老师|阿姨|大[爷妈]|奶奶|爷爷|叔叔|患者|病友|家属|老人)"
_WHO = (
    r"(?:经办人|委托人|授权人|申请人|负责人|投诉人|举报人|代办人|送检人|签字人|紧急联系人|病员|"
    r"患者|病人|患儿|产妇|孕妇|受检者|就诊人|参保人|家属|家长|监护人|持卡人|开户人|收件人|收货人|联系人)"
)
_FIELD = (
    rf"(?:(?:{_WHO}|真实|本人|孩子|宝宝)?(?:姓[ \u3000]{{0,3}}名|名字)|{_WHO}|户名|签名|签字)"
    r"(?:叫|是|为)?[ \u3000]?[:：=][ \u3000]{0,3}"
)
_FIELD_OF_DOCTOR = (
    r"(?:医[生师]|大夫|主任|专家|主刀|术者|教授|护士长?|[药技护]师|助手|审核|复核|记录者|麻醉师)"
    r"(?:姓名|签名|签字)?(?:是|为)?[ \u3000]?[:：=][ \u3000]{0,3}"
)
_KIN = (
    r"(?:孩子|小孩|宝宝|儿子|女儿|老公|丈夫|妻子|老婆|爱人|母亲|父亲|妈妈|爸爸|[男女](?:朋)?友|同事|朋友"
    r"|同学|邻居|读者|网友|病友|岳[父母]|公公|婆婆|"
    r"外[婆公]|奶奶|爷爷|姐姐|弟弟|妹妹|哥哥|舅舅|家属|家长|女士|先生|患者|病人|病患|病员|伤员|患儿"
    r"|[产孕]妇|[死伤逝]者|受害者|老人|[村市]民|"
    r"(?:联系|收货|收件|经办|委托|授权|申请|投诉|举报|代办|送检)人)"
)
_INTRODUCED = (
    rf"(?:我(?:的名字)?叫|名叫|(?:他|她|{_KIN})(?:名字)?叫|名字(?:叫|是)|全名|[本大真]名|姓名|署名|落款)"
    r"(?:做|是|为|叫)?[ :：\"“「]{0,2}"
)
_IS = r"(?:^|(?<=[，,。！!？?；;：:\s]))(?:(?:我|本人)就?是|本人)[ \"“]?"
_RELATIVE = (  # 我是张桂芬的儿子
    r"(?:儿子|女儿|老公|丈夫|妻子|老婆|爱人|母亲|父亲|妈妈|爸爸|家属|家人|孙子|孙女|姐姐|弟弟|妹妹|哥哥"
    r"|儿媳|女婿|同事|朋友|邻居)"
)
_OPENS = r"[ \"“「(（]?"
_DOCTOR_BEFORE = rf"(?:{_TITLE}|名医|院士|国医大师)[ \"“「(（:：]?"
# What may stand behind a name that only a word before it announces: no Han letter, or the beginning of a predicate
_AFTER = (
    "男女先同今现因于在的是为最近说突出来到住家已曾患身年性电手主自诉确入被术后经从得了去一直总老反感觉怎可能需想要有和与跟告建表介指认提给开"
    "做看把对让医教大向等咳发吃上这那昏头腹胸腰血痛疼晕死不生"
)
_GOES_ON = rf"(?=$|[^\u4e00-\u9fff]|[{_AFTER}])"
# What may stand before a name that only a title behind it announces
_BEGINS = (
    r"(?:^|(?<=[^\u4e00-\u9fff])|(?<=[请找让问由是的谢系荐挂跟和与及有向给到经被叫约我院科部室级为名对致看去教访见])|"
    r"(?<=主任)|(?<=教授)|(?<=大夫)|(?<=医生)|(?<=专家)|(?<=院长)|(?<=咨询)|(?<=预约)|(?<=医师)|(?<=患者)"
    r"|(?<=中心)|(?<=团队)|"
    r"(?<=老师)|(?<=著名)|(?<=师从)|(?<=主治)|(?<=主刀)|(?<=来自)|(?<=今天)|(?<=昨天)|(?<=当地)|(?<=传人))"
)
_PRAISES = "人很非特态技真超水医"  # what people say of a doctor: 孟凡英人特别好
_AGE = r"(?:\d{1,3}|[一二三四五六七八九十]{1,3}) ?(?:岁|周岁|个月|月|$|[，,])"
_SEX = r"(?:性别[:：]?)?[男女]性?"
_SEX_AND_AGE = (
    rf"(?=[ \u3000]?[，,、;；:：/|(（ ]{{1,3}}{_SEX}(?:$|[^\u4e00-\u9fff]{{1,3}}(?:年龄[:：]?)?(?:{_AGE}|$|"
    rf"[\u4e00-\u9fff])))"
)
_AGE_ALONE = r"(?=[ \u3000]?[，,、]\d{1,3} ?周?岁)"
# Names of other tongues: 买买提·艾合买提 has a dot, 扎西顿珠 only a people behind it, Michael Johnson a sex or an age
_PEOPLE = (
    r"(?:维吾尔|哈萨克|柯尔克孜|塔吉克|乌孜别克|塔塔尔|蒙古|藏|回|彝|壮|苗|侗|瑶|傣|白|羌|满|朝鲜|土家|布依"
    r"|哈尼|佤|景颇|"
    r"傈僳|拉祜|纳西|达斡尔|鄂温克|鄂伦春|锡伯|撒拉|东乡|土|黎|畲|水|裕固|门巴|珞巴)族"
)
_DOTTED = r"[\u4e00-\u9fff]{2,8}(?:·[\u4e00-\u9fff]{1,8}){1,3}"
_LATIN = r"[A-Z][a-z]{1,15}(?: [A-Z]\.?)?[ ·][A-Z][a-z]{1,15}"
_OF_A_PATIENT = (
    r"(?:患者|病人|病员|患儿|产妇|孕妇|死者|伤者|送检人)(?:姓名)?(?:叫|是|为)?[ \u3000]?[:：]?[ \u3000]{0,3}"
)
_PERSON_BEHIND = rf"(?=[ \u3000]?[，,、(（ \u3000]{{1,3}}(?:性别[:：]?)?(?:男|女|\d{{1,3}} ?周?岁|{_PEOPLE}))"
_OF_A_PEOPLE = rf"(?=[，,、 ]{{1,2}}(?:[男女][，,、 ]{{1,2}})?{_PEOPLE})"
_WITH_NUMBER = (
    r"(?=[ \u3000]?[，,、:：/|(（\s]{0,3}(?:联系)?(?:电话|手机|微信|身份证|Tel|tel|QQ|qq)?(?:号码?)?[:：是\s]{0,3}"
    r"(?:1[3-9]\d[- ]?\d{4}[- ]?\d{4}|[1-9]\d{16}[\dXx]|0\d{2,3}-?\d{7,8}))"
)


# A disease or a thing that is called after somebody: 格林·巴利综合征, Barrett Esophagus
_NO_PERSON = re.compile(
    r"(?:·[\u4e00-\u9fff]{1,8}?(?:病|征|症|瘤|氏|型|试验|定律|奖|大学|医院|舞蹈|综合)"
    r"|(?:Disease|Syndrome|Sign|Test|Type|Grade|Stage|Score|Cancer|Tumou?r|Esophagus|Virus|Cell|Index|Criteria|"
    r"[a-z]{2,30}(?:oma|itis|osis|emia|pathy|trophy)))"
)


class Name(NamedTuple):
    """A full name. kind: of `KINDS`. [start, end) of the name in the text, without its context."""

    kind: str
    start: int
    end: int


@cache
def _known() -> dict[str, str]:
    return yaml.load((Path(__file__).parent / "names.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


@cache
def _spared() -> re.Pattern[str]:
    """Return a pattern for words that look like a name but are not a private one."""
    words = " ".join(_known()[part] for part in ("history", "public", "herbs", "words")).split()
    return re.compile("|".join(sorted(map(re.escape, words), key=len, reverse=True)))


@cache
def _letters() -> tuple[str, str, str, str]:
    """Return surnames of one letter, those that are also words, surnames of two, and letters of given names."""
    known = _known()
    one, words, given = ("".join(known[part].split()) for part in ("surnames", "surnames_in_fields", "given"))
    return one, words, "|".join(known["two_letter_surnames"].split()), given


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...]:
    """Return (kind, filter, pattern with the name in group 1), the surest context first.

    A filter begins with one of a few letters, and is found ten times as fast as the pattern.
    """
    surname, words, two, given = _letters()
    begins = f"(?:[{surname}]|{two})"  # a name; said first, it spares the look at what stands before every letter
    field = re.compile(r"[名字人员者儿妇属长签](?:叫|是|为)?[ \u3000]?[:：=]")
    foreign = re.compile(r"·|[A-Z][a-z]")
    people = re.compile("族")
    kin = re.compile(rf"[子孩宝儿公夫婆人亲妈爸友事学居者父母奶爷姐弟妹哥舅属长士生患员妇民][ \"“「(（]?{begins}")
    before_title = re.compile(rf"[{given}]{_TITLE}")
    behind_title = re.compile(rf"[任医护药技师生夫授士长导家][ \"“「(（:：]?{begins}")
    introduced = re.compile(rf"[叫是名款][做是为叫]?[ :：\"“「]{{0,2}}{begins}")
    age = re.compile(r"[，,、]\d{1,3} ?周?岁")
    anything = re.compile("")
    name = f"(?:(?:{two})[{given}]{{1,2}}|[{surname}][{given}]{{1,2}}|[{surname}][{surname}][{given}]{{1,2}})"
    long_name = f"(?:(?:{two})[{given}]{{1,2}}|[{surname}][{given}]{{2}})"
    title = "先生|女士|小姐|太太|医|大夫|主任|教授|老师|护士|同[学志]|阿姨|院长|某|氏|总|家|姓"
    field_name = f"(?:{two}|[{surname}{words}])(?!{title})[\u4e00-\u9fff]{{1,2}}"
    # a field ends where the next begins, so the letters of its value are not looked at
    ends = (
        r"(?=$|[^\u4e00-\u9fff]|先生|女士|性别|男|女|年龄|电话|手机|住址|地址|因|身份证|联系|科室|医[生师]|主任|"
        r"大夫|教授|床号|住院|门诊)"
    )
    sure = rf"(?<![\u4e00-\u9fff])(?:{two}|[{surname}{words}])[{given}]{{1,2}}"
    return (
        (DOCTOR, anything, re.compile(rf"{_FIELD_OF_DOCTOR}({field_name}?){ends}")),
        (PATIENT, field, re.compile(rf"{_FIELD}({field_name}?){ends}")),
        (
            PATIENT,
            field,
            re.compile(
                rf"姓[ \u3000]{{0,3}}名[ \u3000]?[:：=][ \u3000]{{0,3}}"
                rf"([{surname}{words}][ \u3000]{{1,3}}[\u4e00-\u9fff]{{1,2}}){ends}"
            ),
        ),
        (DOCTOR, foreign, re.compile(rf"{_FIELD_OF_DOCTOR}({_DOTTED})")),
        (
            PATIENT,
            foreign,
            re.compile(
                rf"(?:{_FIELD}|{_OF_A_PATIENT})({_DOTTED}|{_LATIN})(?![\u4e00-\u9fff]{{0,3}}(?:病|征|综合征|瘤))"
            ),
        ),
        (PERSON, foreign, re.compile(rf"{_INTRODUCED}({_DOTTED}|{_LATIN})")),
        (PATIENT, people, re.compile(rf"(?:{_FIELD}|{_OF_A_PATIENT})([\u4e00-\u9fff]{{2,7}}){_OF_A_PEOPLE}")),
        (PATIENT, foreign, re.compile(rf"(?<![\u4e00-\u9fff·])({_DOTTED}){_PERSON_BEHIND}")),
        (PERSON, introduced, re.compile(rf"{_INTRODUCED}({name}){_GOES_ON}")),
        (PERSON, re.compile("我就?是|本人"), re.compile(rf"{_IS}({long_name})(?=$|[，,。！!？?；;\s])")),
        (PERSON, anything, re.compile(rf"我是({name})的{_RELATIVE}")),
        (PERSON, anything, re.compile(rf"我姓([{surname}{words}][，, ]?单?名叫?[{given}]{{1,2}}){_GOES_ON}")),
        (PATIENT, kin, re.compile(rf"{_KIN}{_OPENS}({name}){_GOES_ON}")),
        (PATIENT, kin, re.compile(rf"{_KIN}{_OPENS}({long_name})")),
        (DOCTOR, before_title, re.compile(rf"(?={begins}){_BEGINS}({name})(?={_TITLE})")),
        (DOCTOR, before_title, re.compile(rf"({long_name})(?={_TITLE})")),
        (
            PERSON,
            re.compile(rf"[{given}] ?{_COURTESY}"),
            re.compile(rf"(?={begins}){_BEGINS}({long_name})(?=[ ]?{_COURTESY})"),
        ),
        (DOCTOR, behind_title, re.compile(rf"{_DOCTOR_BEFORE}({long_name}){_GOES_ON}")),
        (
            DOCTOR,
            behind_title,
            re.compile(rf"(?:护士长?|主任|大夫|教授|医[生师])({long_name})(?=[{_PRAISES}])"),
        ),
        (
            DOCTOR,
            re.compile("[，,][他她](?:是|的|今年|在)"),
            re.compile(rf"(?={begins}){_BEGINS}({long_name})(?=[，,][他她](?:是|的|今年|在))"),
        ),
        (PATIENT, anything, re.compile(rf"({sure}){_SEX_AND_AGE}")),
        (PATIENT, anything, re.compile(rf"(?<=[着为是叫即名写])({long_name}){_SEX_AND_AGE}")),
        (PATIENT, age, re.compile(rf"(?<![\u4e00-\u9fff])({long_name}){_AGE_ALONE}")),
        (PERSON, re.compile(r"\d{4}"), re.compile(rf"({name}){_WITH_NUMBER}")),
    )


def find_full_names(text: str) -> list[Name]:
    """Return every full name in the text, in order, each once."""
    found: list[Name] = []
    taken = bytearray(len(text))
    for kind, held, pattern in _patterns():
        for match in pattern.finditer(text) if held.search(text) else ():
            start, end = match.span(1)
            if _is_spared(text, start, end) or any(taken[start:end]):
                continue
            taken[start:end] = b"\1" * (end - start)
            found.append(Name(kind, start, end))
    return sorted(found, key=lambda one: one.start)


def _is_spared(text: str, start: int, end: int) -> bool:
    """Return whether a word that is no private name begins here and covers the name (何首乌, 张仲景, 高血压)."""
    if _NO_PERSON.search(text, start, min(len(text), end + 4)):
        return True
    word = _spared().match(text, start)
    return bool(word and (word.end() >= end or word.end() - start >= 3 or text[word.end()] in "好和一上下中大同在"))


@cache
def triggers() -> dict[str, str]:
    """Return Rust regular expressions, one of which matches every text with a name, with a fast filter for the slow
    ones.

    There are several, since a large one exceeds the size up to which its automaton is built, and is twenty times
    slower.
    """
    surname, _, two, given = _letters()
    name = f"(?:[{surname}][{given}{surname}]|(?:{two}))"
    behind = rf"[{given}]{{0,2}}(?:$|[^\p{{Han}}]|[{_AFTER}])"
    long_name = f"(?:[{surname}][{given}]|{two})[{given}]"
    announced = (
        r"(?:姓名|名字|经办人|委托人|授权人|申请人|负责人|投诉人|举报人|代办人|送检人|签字人|病员"
        r"|[药技护]师|助手|审核|复核|记录者|联系人|收件人|收货人|户名|持卡人|开户人|监护人|家属|家长|患者"
        r"|病人|患儿|产妇|受检者|就诊人|署名|签名|签字|投稿人|医[生师]|大夫|主任|专家|"
        r"主刀|术者|教授|护士)[ \x{3000}]?(?:叫|是|为)?[ \x{3000}]?[:：∶=＝]"
        rf"|(?:叫[做是为]?|名[字]?[叫是为]?|落款|[我人]就?是|本人)[ :：\"“「]{{0,2}}{name}"
        rf"|(?:患者|病人|病患|病员|伤员|[件货系办托权请诉报检]人|患儿|[产孕]妇|[死伤逝读]者|老人|[村市]民"
        rf"|儿子|女儿|老公|丈夫|妻子|老婆|爱人|[母父]亲|妈妈|爸爸|孩子|[男女]友|朋友|同[事学]|邻居|"
        rf"网友|病友|岳[父母]|公公|婆婆|外[婆公]|奶奶|爷爷|姐姐|弟弟|妹妹|哥哥|舅舅|小孩|宝宝|受害者|家[属长]|女士|"
        rf"先生)[ \"“「(（]?(?:{name}{behind}|{long_name})"
        rf"|(?:主任|医[生师]|师|大夫|教授|护士长?|[院所]长|博士|博导|专家|名医|院士)[ \"“「(（:：]?{name}{behind}"
    )
    # what the letter of a name is followed by: all in one, since each of them begins with any of many letters
    followed = (
        rf"[{surname}{given}][{given}] ?(?:副?主任|主治|住院医|执业医|老?中医|医[生师]|大夫|副?教授|护士|[药技]师|"
        rf"副?[院所]长|科主任|博|专家|导师|"
        r"治疗师|营养师|咨询师|先生|女士|小姐|太太|同志|老师|阿姨|大爷|大妈|奶奶|爷爷|叔叔|同学|患者|病友|家属|老人)"
        rf"|[{given}][ \x{{3000}}，,、;；:：/|(（]{{1,4}}(?:性别|[男女]性?(?:[^\p{{Han}}]|$))"
        rf"|[{given}][ \x{{3000}}，,、:：/|(（\s]{{0,4}}(?:联系|电话|手机|微信|身份证|(?i:tel|qq))?(?:电话|"
        rf"号码?)?[:：是\s]{{0,3}}(?:1[3-9]\d[- ]?\d{{4}}|[1-9]\d{{9}}|0\d\d)"
        rf"|[{given}][，,][他她](?:是|的|今年|在)"
        rf"|[{given}]{{2}}[ \x{{3000}}]?[，,、][0-9０-９]{{1,3}} ?周?岁"
    )
    who = r"(?:患者|病[人员]|患儿|[产孕]妇|[死伤]者|送检人|叫|姓名|签[名字])"
    dots = "·•・‧∙⋅●"
    return {
        announced: "",
        followed: "",
        rf"[{dots}]\p{{Han}}{{1,8}}[ \x{{3000}}]?[，,、(（ \x{{3000}}]{{1,3}}(?:性别|[男女]|[0-9０-９]"
        rf"|\p{{Han}}{{1,4}}族)": "",
        rf"(?:者|[病人名叫员童儿妇是为:：字])[ \x{{3000}}]{{0,3}}[:：]?\p{{Han}}{{2,8}}[{dots}]\p{{Han}}": f"[{dots}]",
        rf"{who}[ \x{{3000}}]{{0,3}}[:：]?[ \x{{3000}}]{{0,3}}[A-Z][a-z]+[ {dots}](?:[A-Z]\.? )?[A-Z][a-z]"
        rf"|姓[ \x{{3000}}]{{1,3}}名": "",
        rf"{who}[^\n。；]{{2,14}}[，,、 ]\p{{Han}}{{1,4}}族": "族",
        r"我姓\p{Han}[，, ]?单?名|我是\p{Han}{2,4}的(?:[儿女孙]|[母父]亲|[爸妈姐弟妹哥]|老[公婆]|丈夫|妻子"
        r"|爱人|家[属人]|同事|朋友|邻居)": "",
        rf"(?:护士长?|主任|大夫|教授|医[生师])[{surname}][{given}]{{2}}[{_PRAISES}]": "",
    }
