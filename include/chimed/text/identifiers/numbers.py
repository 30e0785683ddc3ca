"""Find numbers that identify a person in China: cards, telephones, documents, hospital records. Used by `identifiers`.

A number with a check digit must have the right one (ID card, bank card). One without must not look like anything else:
a label (订单号, 批准文号, 批号…) or a unit (copies/mL, 个) beside it shows that it is nobody's. All texts are in plain
form. Public service numbers (120, 12320, 95588) are too short for any rule; 400 and 800 numbers count, since on a forum
they are what a clinic advertises.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date

Spans = list[tuple[int, int]]

# GB 11643-1999, ISO 7064 MOD 11-2
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK = "10X98765432"
# GB/T 2260: the first two digits of an ID card
_PROVINCES = {
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82,
}  # fmt: skip

# What a number is called when it is no identifier, right before it
_OTHER_NUMBER = re.compile(
    r"(?:(?:订单|单据|票据|运单|快递单?|物流|流水|交易|发票|编|批|文|备案|许可证?|注册证?|机构登记|登记证"
    r"|检验|检查单|检验单|"
    r"标本|样本|样品|条形?|条形码|追溯|监管|电子监管|序列|产品|货|商品|专利|申请|标准|课题|项目|基金|索引"
    r"|档案|案|合同|保单|批准文|处方|"
    r"受理|统一社会信用|邮政|菌株|登录|基因|探针|试剂|试验注册|伦理|目录|设备|机身|型|货架|分组"
    r"|随机)(?:编号|代码|号码|单号|号|码)"
    r"|国药准字|国械注[准进]|卫[药食]准字|国食健字|批号"
    r"|I[SC][BS][NR]|DOI|PMID|CAS|GenBank|SN|NO|LOT|GB/?T?|YY/?T?|ChiCTR|NCT|CN|Z[LC]|编号|条码"
    r"|尾号)[.:：#是为\s/-]{0,4}$",
    re.IGNORECASE,
)
_LETTERS = re.compile(
    r"(?:^|[^A-Za-z])(?!(?:tel|phone|mobile|mob|call|vx?|wx|weixin|wechat|qq?|t|m|v|id|p)$)[A-Za-z/_]{1,14}$",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r" {0,2}(?:/ ?(?:[A-Za-zμ]|\d?[A-Za-z高低])|[\^×%]|copies|拷贝|IU|U/|mg|ml|μ|ug|ng|g(?![a-z])|kg|bp|CFU|cells|细胞|"
    r"个(?!人)|元|万|亿|[毫微][克升摩]|克|单位(?!电话)|年(?!级)|次|株|例|片|粒|丸|人次)",
    re.IGNORECASE,
)

_S = r"[- .·_*/~]"  # one mark between two digits
_ID18 = re.compile(rf"(?<![0-9A-Za-z])[1-9](?:{_S}?\d){{16}}{_S}?[0-9Xx](?![0-9A-Za-z])")
_ID15 = re.compile(rf"(?<![0-9A-Za-z.])[1-9](?:\d{{14}}|(?:{_S}?\d){{14}})(?![0-9A-Za-z])")
_ID_LABEL = re.compile(r"(?:身份证?(?:件)?|公民身份)(?:号码?|证号)?[(（]?(?:[:：是为 ]|尾号){0,4}$")
_CARD = re.compile(rf"(?<![\d.])(?:[3-6]|9558)(?:{_S}?\d){{15,18}}(?!\d)")

_G = r"[- .·_*/~、,，|:+=…()【】\[\]]{1,3}"  # marks between groups of digits
_3, _4, _7 = r"1[3-9]\d", r"\d{4}", r"1[3-9]\d{5}"
_BEFORE = r"(?=[(+018])(?<!\d)(?<!\d\.)(?:\(?(?:\+|00)?86\)?[- ]{0,2})?(?:\(0\) ?|0(?=1[3-9]\d))?"
_MOBILE = re.compile(
    rf"{_BEFORE}(?:1[3-9]\d{{9}}|\({_3}\) ?\d{{4}}[- ]?\d{{4}}|{_3}{_G}{_4}{_G}{_4}|{_3}\d{_G}\d{{3}}{_G}{_4}"
    rf"|{_3}\d{_G}{_4}{_G}\d{{3}}|{_3}{_G}\d{{3}}{_G}\d{{5}}|{_3}(?!\.){_G}\d{{8}}|{_7}(?!\.){_G}{_4}"
    rf"|{_3}{_G}{_4}{_G}\d\d{_G}\d\d|{_3}{_G}\d\d{_G}\d\d{_G}\d\d{_G}\d\d"
    rf"|1([-.·_*/~、,，| ]{{1,2}})[3-9](?:\1\d){{9}}|{_3}([-.·_*/~、,，| ])\d(?:\2\d){{7}})(?!\d)"
)
# Digits with letters among them: l38OO138OOO
_WITH_LETTERS = re.compile(r"(?<![0-9A-Za-z.])[1lI][3-9][0-9OolI]{9}(?![0-9A-Za-z])")
# Called a telephone number, it may be written in any groups, and with letters for digits: l38OO138OOO
_TELEPHONE = (
    r"(?:电话|手机|手機|联系方式|联系我|联系|号码|微信|咨询|拨打|致电|热线|(?<![A-Za-z])(?:tel|phone|call|mobile))"
)
_CALLED_MOBILE = re.compile(
    rf"{_TELEPHONE}(?:号码?|是|为|打)?[^0-9A-Za-z]{{0,4}}"
    r"([1lI|](?:[- .·_*/~\n]{0,3}[0-9OoQlI|]){10})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_EXTENSION = r"(?: ?(?:转|分机|ext\.?) ?\d{1,5}(?!\d))?"
_AREA = r"0(?:10|2\d|[3-9]\d{2})"
_LANDLINE = re.compile(
    rf"(?<!\d)(?<!\d\.)(?:(?:\+|00)?86-)?(?:\({_AREA}\) ?-?|{_AREA}(?: ?[-_·*/~.] ?|"
    rf" ))[2-8]\d{{2,3}}[- ·_*]?\d{{4}}(?!\d){_EXTENSION}"
    rf"|(?<!\d)(?:\+|00)86[- ]?(?:10|2\d|[3-9]\d{{2}})[- ][2-8]\d{{2,3}}[- ]?\d{{4}}(?!\d){_EXTENSION}"
    # Hong Kong, Macao, Taiwan
    r"|(?<!\d)\(?(?:\+|00)(?:85[23]\)?[- ]{0,2}[2-9]\d{3}[- ]?\d{4}|886\)?[- ]{0,2}0?9\d{2}[- ]?\d{3}[- ]?\d{3})(?!\d)"
)
_HOTLINE = re.compile(
    rf"(?<![\d.-])[48]00(?:[- ·_*]?\d{{3}}[- ·_*]?\d{{4}}|[- ·_*]\d{{4}}[- ·_*]?\d{{3}})(?![\d-]){_EXTENSION}"
)
_CALLED = re.compile(
    r"(?:电话|座机|固话|传真|热线|总机|话机|拨打|致电|(?<![A-Za-z])(?:Tel|Phone|Fax))(?:号码?)?[.:：是为 ]{0,4}"
    rf"({_AREA}[2-8]\d{{2,3}}[- ]?\d{{4}}|[2-8]\d{{2,3}}[- ]?\d{{4}})(?!\d){_EXTENSION}",
    re.IGNORECASE,
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][ ·]?[A-HJ-NP-Z](?:[·•. -]| - )?"
    r"(?:[A-HJ-NP-Z0-9]{5,6}|[A-HJ-NP-Z0-9]{4}[挂学警港澳])(?![A-Za-z0-9])"
)
# Between a label and its number
_IS = r"(?:\s?(?:证件)?(?:字?编?号码?|number|No\.?|ID)?[\s:：#是为()（）【】\[\]-]{0,4})"
_PASSPORT = re.compile(
    rf"(?:护照|通行证|回乡证|台胞证|港澳居民居住证|居留证|居留身份证|永居证|(?:香港|澳门"
    rf"|台湾)(?:居民)?身份证|Passport){_IS}"
    r"([A-Z]{0,3} ?\d{7,12}(?:\(\d\))?|[A-Z]\d{6}\(\d\)|[A-Z]\d{8,9})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_DOCUMENT = re.compile(
    r"(?:驾(?=照)|军官|士兵|士官|警官|文职|军人保障|残疾人?|驾驶|行驶|出生(?:医学)?|出生医学证明|准生|结婚"
    r"|离婚|退休|老年|学生|工作|独生子女|"
    rf"接种|户口|低保|优待|(?:[医药][师生]|护士)?(?:执业|资格))(?:证明|证书|证|簿|本|卡|照)(?:档案)?{_IS}"
    r"((?:[A-Z\u4e00-\u9fff]{0,2}字)?第? ?[A-Z]{0,2}\d[\dA-Z-]{4,19})号?(?![0-9A-Za-z])"
    r"|(?:工号|学号|警号|户号)[:：是为 ]{0,3}([A-Z]{0,3}\d{4,14})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_RECORD = re.compile(
    r"(?:病历|病案|住院|门诊|就诊|就医|诊疗|挂号|医保|社保|社会保障|社会保险|医疗保险|农合|新农合|合作医疗"
    r"|参保|居民健康|健康|体检|影像|"
    r"病理|病人|患者|放射|超声|就诊人|诊疗卡|[Xx]光|[Xx]线|CT|MRI?|PET|DR|检查|[BＢ]超|彩超|[胃肠内]镜|核磁|心电图?)"
    r"(?:片|卡|证|本|手册|登记|检查|个人)?(?:编号|号码|卡号|证号|账号|ID号?|号)"
    r"[\s:：#是为()（）【】-]{0,4}([A-Za-z]{0,4}-?\d[\dA-Za-z-]{3,20})(?![0-9A-Za-z])"
    r"|(?:就诊卡|诊疗卡|医保卡|社保卡|农合证|健康卡|病案|病历)[\s:：#]{0,3}([A-Za-z]{0,4}\d{6,20})(?![0-9A-Za-z])"
    # of nothing else, said at the beginning of a field
    r"|(?:^|(?<=[\s,，。;；(（]))(?:登记号|ID号)[:：是为 ]{0,3}(\d{6,12})(?![0-9A-Za-z])",
    re.MULTILINE,
)
_DAY = r"((?:19|20)\d{2})[-./年 ]{1,2}(\d{1,2})[-./月 ]{1,2}(\d{1,2})[日号]?|((?:19|20)\d{2})(\d{2})(\d{2})"
_BORN = (
    r"(?:出生(?:日期|年月日?|时间|于|在|：|:)|生日|生辰|生于|诞生于|(?<![A-Za-z])(?:DOB"
    r"|(?:date of )?birth(?:day|date)?))"
    r"[:：是为于在 (（]{0,4}(?:(?:[公农阴阳]历)[:： ]?)?"
)
# 一九五八年九月十四日: plain forms leave so short a run as it is
_DAY_IN_WORDS = (
    r"[一二][九零〇○][零〇○一二三四五六七八九]{2}年"
    r"[正一二三四五六七八九十]{1,2}月[初廿一二三四五六七八九十]{1,3}[日号]?"
)
_BIRTH_IN_WORDS = re.compile(rf"{_BORN}{_DAY_IN_WORDS}|{_DAY_IN_WORDS}(?:出生|诞生|生人)", re.IGNORECASE)
_BIRTH = re.compile(
    rf"{_BORN}(?:{_DAY})(?!\d)"
    rf"|(?<!\d)(?:{_DAY})[ ,，)）]?(?:出生(?!率|后|缺陷)|生人|诞生|生(?=$|[，,。；;、 \n]))",
    re.IGNORECASE,
)


# What a text must hold before a pattern above can match, found ten times as fast: it begins with one of a few letters
_SAYS_BORN = re.compile(r"出生|生日|生[辰于人]|诞生|[日号\d][ ,，)）]?生|[bB][iıIİ][rR]|[dD][oO][bB]")
_SAYS_CALL = re.compile(
    "电话|手[机機]|联系|号码|微信|咨询|拨打|致电|热线|座机|固话|传真|总机|话机|[tTpPcCmMfF][eEhHaAoO][lLoObBxX]"
)
_SAYS_DOCUMENT = re.compile(
    "驾|军官|士[兵官]|警官|文职|军人|残疾|行驶|出生|准生|[结离]婚|退休|老年|学生|工作|独生|接种|户口|低保|优待"
    "|执业|资格|[工学警户]号"
)
_SAYS_PASSPORT = re.compile("[照证]|[sSſ]{2}")
_SAYS_RECORD = re.compile(r"[号码D卡证案历]号?[\s:：#是为()（）【】-]{0,4}[A-Za-z]{0,4}-?\d")
_SEVERAL_DIGITS = re.compile(rf"[\d](?:{_S}?\d){{14}}")
_MAYBE_MOBILE = re.compile(r"1[-.·_*/~、,，| ]{0,2}[3-9]")
_MAYBE_LANDLINE = re.compile(r"0(?:10|2\d|[3-9]\d\d)[-) _·*/~.]|[+0]0?8[568]")
_MAYBE_HOTLINE = re.compile("[48]00")


def rules(text: str) -> Iterator[tuple[str, Spans]]:
    """Yield kind and spans in a text in plain form, the most specific kind first."""

    def bare(match: re.Match[str]) -> bool:
        return not _is_another_number(text, match.start(), match.end())

    def labelled_id(match: re.Match[str]) -> bool:
        return id_card(match[0]) or bool(_ID_LABEL.search(text, max(0, match.start() - 14), match.start()))

    def old_id(match: re.Match[str]) -> bool:
        said = match[0].isdigit() or bool(_ID_LABEL.search(text, max(0, match.start() - 14), match.start()))
        return said and _old_id_card(match[0]) and bare(match)

    long = bool(_SEVERAL_DIGITS.search(text))
    yield "ID card", _spans(_ID18, text, labelled_id) if long else []
    yield "passport or permit", _spans(_PASSPORT, text) if _SAYS_PASSPORT.search(text) else []
    yield "record number", _spans(_RECORD, text, _is_number) if _SAYS_RECORD.search(text) else []
    yield "document number", _spans(_DOCUMENT, text) if _SAYS_DOCUMENT.search(text) else []
    yield "ID card, 15 digits", _spans(_ID15, text, old_id) if long else []
    yield "bank card", _spans(_CARD, text, lambda match: bank_card(match[0]) and bare(match)) if long else []
    born = bool(_SAYS_BORN.search(text))
    yield "birth date", _spans(_BIRTH, text, _is_day) + _spans(_BIRTH_IN_WORDS, text) if born else []
    is_called = bool(_SAYS_CALL.search(text))
    called = [
        match.span(1)
        for match in (_CALLED_MOBILE.finditer(text) if is_called else ())
        if _is_mobile(match[1]) and not _is_another_number(text, *match.span(1))
    ]
    called += [match.span() for match in _WITH_LETTERS.finditer(text) if _is_mobile(match[0]) and bare(match)]
    yield "mobile number", (_spans(_MOBILE, text, bare) if _MAYBE_MOBILE.search(text) else []) + called
    lines = _spans(_LANDLINE, text, bare) if _MAYBE_LANDLINE.search(text) else []
    hotlines = _spans(_HOTLINE, text, bare) if _MAYBE_HOTLINE.search(text) else []
    yield "landline", lines + hotlines + (_spans(_CALLED, text) if is_called else [])
    yield "licence plate", _spans(_PLATE, text, lambda match: any(c.isdigit() for c in match[0]) and bare(match))


def _spans(pattern: re.Pattern[str], text: str, valid: Callable[[re.Match[str]], bool] = lambda match: True) -> Spans:
    return [match.span() for match in pattern.finditer(text) if valid(match)]


def _is_another_number(text: str, start: int, end: int) -> bool:
    """Return whether a label, letters or a unit around a number show that it is nobody's."""
    before = text[max(0, start - 16) : start]
    return bool(_OTHER_NUMBER.search(before) or _LETTERS.search(before) or _UNIT.match(text, end))


def _is_number(match: re.Match[str]) -> bool:
    return sum(letter.isdigit() for letter in match[1] or match[2] or match[3]) >= 4


def _is_mobile(written: str) -> bool:
    """Return whether something called a telephone number is a mobile one, with at least five real digits."""
    digits = re.sub(r"[^0-9OoQlI|]", "", written)
    if sum(one.isdigit() for one in digits) < 5:
        return False
    read = digits.translate(str.maketrans("OoQlI|", "000111"))
    return len(read) == 11 and read[0] == "1" and read[1] in "3456789"


def _is_day(match: re.Match[str]) -> bool:
    year, month, day = [one for one in match.groups() if one is not None]
    return _day(f"{year}{month:0>2}{day:0>2}")


def id_card(number: str) -> bool:
    """Return whether an 18-character ID card number is valid: province, a real birthday, and ISO 7064's check
    character.
    """
    bare = re.sub(r"[^0-9Xx]", "", number)
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, bare[:17], strict=True))
    return int(bare[:2]) in _PROVINCES and _day(bare[6:14]) and _ID_CHECK[total % 11] == bare[17].upper()


def _old_id_card(number: str) -> bool:
    number = re.sub(r"\D", "", number)
    return int(number[:2]) in _PROVINCES and _day("19" + number[6:12])


def bank_card(number: str) -> bool:
    """Return whether a card number of 16 to 19 digits has the Luhn check digit."""
    digits = [int(c) for c in number if c.isdigit()]
    doubled = [d if n % 2 == 0 else d * 2 - 9 * (d > 4) for n, d in enumerate(reversed(digits))]
    return 16 <= len(digits) <= 19 and sum(doubled) % 10 == 0


def _day(text: str) -> bool:
    try:
        return 1900 <= date(int(text[:4]), int(text[4:6]), int(text[6:8])).year <= date.today().year
    except ValueError:
        return False
