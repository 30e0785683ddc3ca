"""Rules for what identifies a person in China, checked by checksum where the number has one. Used by `screen`.

Ours: the paper leaves all of it to a prompt (§3.2). A rule names its kind and where it matched; it never says no by
itself. Full-width and Chinese digits, spaces and dashes inside a number are seen through; numbers that their label
calls something else (订单号, 批准文号, 住院号…) or that carry a unit (copies/mL, 个) are left alone.

Not covered, and left to the prompts: names, birthdays, record numbers of hospitals, accounts of other platforms, an
address without a house number, numbers hidden on purpose (1三8…, digits among other words), plates without a digit.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

REDACTED = "【已隐去】"

# GB 11643-1999, ISO 7064 MOD 11-2
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK = "10X98765432"
# GB/T 2260: the first two digits of an ID card
_PROVINCES = {
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82,
}  # fmt: skip

# One character for one, so that spans hold: full-width forms, ideographic space, dashes of all kinds
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "} | dict.fromkeys(map(ord, "—–‐‑−"), "-")
_CHINESE_DIGITS = str.maketrans("零〇一二三四五六七八九幺", "001234567891")
_SPELT = re.compile(r"[零〇一二三四五六七八九幺]{7,}")

# What a number is called when it is no identifier, right before it
_OTHER_NUMBER = re.compile(
    r"(?:(?:订单|单据|票据|运单|快递单?|物流|流水|交易|发票|编|批|文|备案|许可证?|注册证?|登记|住院|门诊|病历|病案|检查|检验|"
    r"标本|样本|样品|条形?|条形码|追溯|监管|电子监管|序列|产品|货|商品|专利|申请|标准|课题|项目|基金|索引|档案|案|合同|保单|批准文|处方|"
    r"挂号|受理|统一社会信用|邮政|菌株|登录|基因|探针|试剂|试验注册|伦理)(?:编号|代码|号码|单号|号|码)"
    r"|I[SC][BS][NR]|DOI|PMID|CAS|GenBank|SN|NO|LOT|GB/?T?|YY/?T?|ChiCTR|NCT|CN|Z[LC]|编号)[.:：#是为\s/-]*$",
    re.IGNORECASE,
)
_LETTERS = re.compile(
    r"(?:^|[^A-Za-z])(?!(?:tel|phone|mobile|mob|call|vx?|wx|weixin|wechat|qq?|t|m|v)$)[A-Za-z/_]+$", re.IGNORECASE
)
_UNIT = re.compile(
    r"\s*(?:/\s?[A-Za-zμ]|[\^*×%]|copies|拷贝|IU|U/|mg|ml|μ|ug|ng|g(?![a-z])|kg|bp|CFU|cells|"
    r"个(?!人)|元|万|亿|[毫微][克升摩]|克|单位(?!电话)|年(?!级)|次|株|例)",
    re.IGNORECASE,
)

_ID18 = re.compile(r"(?<![0-9A-Za-z])[1-9](?:[ -]?\d){16}[ -]?[0-9Xx](?![0-9A-Za-z])")
_ID15 = re.compile(r"(?<![0-9A-Za-z.])[1-9]\d{14}(?![0-9A-Za-z])")
_ID_LABEL = re.compile(r"身份证(?:件)?(?:号码?)?(?:[:：是为\s]|尾号)*$")
_CARD = re.compile(r"(?<![\d.])(?:[3-6]|9558)(?:[ -]?\d){15,18}(?!\d)")
_S = r"[- .·]"
_MOBILE = re.compile(
    r"(?<!\d)(?<!\d\.)(?:\(?(?:\+|00)?86\)?[- ]{0,2})?"
    rf"(?:1[3-9]\d{_S}?\d{{4}}{_S}?\d{{4}}|1[3-9]\d{{2}}{_S}\d{{3}}{_S}\d{{4}}|1[3-9]\d{{2}}{_S}\d{{4}}{_S}\d{{3}}|"
    rf"1[3-9]\d{_S}\d{{3}}{_S}\d{{5}}|1[- ][3-9](?:[- ]\d){{9}})(?!\d)"
)
_AREA = r"0(?:10|2\d|[3-9]\d{2})"
_LANDLINE = re.compile(
    rf"(?<!\d)(?<!\d\.)(?:(?:\+|00)?86-)?(?:\({_AREA}\)\s?-?|{_AREA}(?: ?- ?| ))[2-8]\d{{2,3}}[- ]?\d{{4}}(?!\d)"
    r"|(?<!\d)(?:\+|00)86[- ]?(?:10|2\d|[3-9]\d{2})[- ][2-8]\d{6,7}(?!\d)"
)
_HOTLINE = re.compile(r"(?<![\d.-])[48]00(?:[- ]?\d{3}[- ]?\d{4}|[- ]\d{4}[- ]?\d{3})(?![\d-])")
_CALLED = re.compile(
    r"(?:电话|座机|固话|传真|热线|话机|(?<![A-Za-z])(?:Tel|Phone|Fax))(?:号码?)?[.:：是为\s]*"
    rf"({_AREA}[2-8]\d{{6,7}}|[2-8]\d{{2,3}}[- ]?\d{{4}})(?!\d)",
    re.IGNORECASE,
)
_EMAIL = re.compile(
    r"[A-Za-z0-9._%+-]{1,64}\s?(?:@|[(\[]\s?at\s?[)\]]|#(?=(?:qq|163|126|sina|gmail|hotmail|outlook|sohu|139|foxmail)\.))\s?"
    r"(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,10}",
    re.IGNORECASE,
)
_QQ = re.compile(
    r"(?:Q ?Q|扣扣|球球|企鹅|(?<![A-Za-z])Q(?=[号群:：])|(?<=[加联])Q(?![A-Za-z]))\s?(?:号|群)?(?:码|号)?"
    r"(?:是|为|[:：\s])*([1-9]\d{4,11})(?!\d|年|月)",
    re.IGNORECASE,
)
_WECHAT_LABEL = r"(?:微信|威信|薇信|徽信|微 信|v信|(?<![A-Za-z])[vw]x|加v|加微|weixin|wechat)"
_WECHAT = re.compile(
    rf"{_WECHAT_LABEL}\s?(?:(?:号|码|号码|ID)?\s?(?:[:：]|是|为)|号码?|ID)\s*([A-Za-z][A-Za-z0-9_-]{{5,19}})(?![A-Za-z0-9_])"
    rf"|{_WECHAT_LABEL}\s*([A-Za-z](?=[A-Za-z_-]*[0-9_-])[A-Za-z0-9_-]{{5,19}})(?![A-Za-z0-9_])",
    re.IGNORECASE,
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼] ?[A-HJ-NP-Z][·•. -]?"
    r"(?:[A-HJ-NP-Z0-9]{5,6}|[A-HJ-NP-Z0-9]{4}[挂学警港澳])(?![A-Za-z0-9])"
)
_PASSPORT = re.compile(
    r"(?:护照|通行证|回乡证|台胞证|港澳居民居住证|(?:香港|澳门)(?:居民)?身份证|Passport)(?:证件)?(?:号码?|\s?No\.?)?"
    r"[:：是为\s]*([A-Z]{0,2}\d{7,10}(?:\(\d\))?|[A-Z]\d{6}\(\d\))(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_HAN = r"[\u4e00-\u9fff]"
_NUMBER = r"\s?[甲乙丙附]?(?:\d{1,5}(?:-\d{1,4})?|[一二三四五六七八九十百零〇]{1,6})\s?"
_STREET = (
    r"(?:路|街|大道|巷|胡同|里|村|屯|镇|小区|花园|花苑|苑|公寓|家园|新村|新区|大院)"
    rf"(?:[东西南北中一二三四五]段|[东西南北]里)?{_NUMBER}(?:号(?!线|文|床|染|导|方|窗|台)|弄|幢|栋|座|单元|组|队)"
)
_ADDRESS = re.compile(
    rf"(?:{_HAN}{{1,8}}(?:省|市|自治区|区|县|旗|镇|乡)\s?{_HAN}{{1,12}}?"
    rf"|(?:家住|现住|住址|住在|地址|住处|暂住|寄到|送到|户籍)[:：于在是为\s]*{_HAN}{{1,14}}?){_STREET}"
    r"|\d{1,4}(?:号楼|栋|幢|座|号院)\s?(?:\d{1,3}号楼)?\s?[\d一二三四五六七八九十]{1,3}单元"
)


@dataclass(frozen=True)
class Identifier:
    """What kind of identifier stands at [start, end) of the text."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[Identifier]:
    """Every identifier in the text, in order; a stretch of text is reported once, by the most specific kind."""
    plain = _SPELT.sub(lambda match: match[0].translate(_CHINESE_DIGITS), text.translate(_WIDE))
    found: list[Identifier] = []
    for kind, spans in _rules(plain):
        for start, end in spans:
            if not any(start < one.end and one.start < end for one in found):
                found.append(Identifier(kind, start, end))
    return sorted(found, key=lambda one: one.start)


def _rules(text: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Kind and spans, the most specific kind first."""

    def spans(pattern: re.Pattern, valid: Callable[[re.Match], bool] = lambda match: True) -> list[tuple[int, int]]:
        return [match.span() for match in pattern.finditer(text) if valid(match)]

    def bare(match: re.Match) -> bool:
        return not _is_another_number(text, match.start(), match.end())

    def labelled_id(match: re.Match) -> bool:
        return id_card(match[0]) or bool(_ID_LABEL.search(text, max(0, match.start() - 12), match.start()))

    yield "ID card", spans(_ID18, labelled_id)
    yield "passport or permit", spans(_PASSPORT)
    yield "ID card, 15 digits", spans(_ID15, lambda match: _old_id_card(match[0]) and bare(match))
    yield "bank card", spans(_CARD, lambda match: bank_card(match[0]) and bare(match))
    yield "e-mail address", spans(_EMAIL)
    yield "QQ number", spans(_QQ)
    yield "WeChat id", spans(_WECHAT)
    yield "mobile number", spans(_MOBILE, bare)
    yield "landline", spans(_LANDLINE, bare) + spans(_HOTLINE, bare) + spans(_CALLED)
    yield "licence plate", spans(_PLATE, lambda match: any(c.isdigit() for c in match[0]))
    yield "street address", spans(_ADDRESS)


def _is_another_number(text: str, start: int, end: int) -> bool:
    """Whether a label, letters or a unit around a number say that it is nobody's."""
    before = text[max(0, start - 16) : start]
    return bool(_OTHER_NUMBER.search(before) or _LETTERS.search(before) or _UNIT.match(text, end))


def redacted(text: str) -> str:
    """The text with `REDACTED` in the place of every identifier."""
    for one in reversed(find(text)):
        text = text[: one.start] + REDACTED + text[one.end :]
    return text


def id_card(number: str) -> bool:
    """Whether an 18-character ID card number holds: province, a real birthday, and ISO 7064's check character."""
    bare = re.sub(r"[ -]", "", number)
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, bare[:17], strict=True))
    return int(bare[:2]) in _PROVINCES and _day(bare[6:14]) and _ID_CHECK[total % 11] == bare[17].upper()


def _old_id_card(number: str) -> bool:
    return int(number[:2]) in _PROVINCES and _day("19" + number[6:12])


def bank_card(number: str) -> bool:
    """Whether a card number of 16 to 19 digits has the Luhn check digit."""
    digits = [int(c) for c in number if c.isdigit()]
    doubled = [d if n % 2 == 0 else d * 2 - 9 * (d > 4) for n, d in enumerate(reversed(digits))]
    return 16 <= len(digits) <= 19 and sum(doubled) % 10 == 0


def _day(text: str) -> bool:
    try:
        return 1900 <= date(int(text[:4]), int(text[4:6]), int(text[6:8])).year <= date.today().year
    except ValueError:
        return False
