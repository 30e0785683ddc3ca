"""Rules for what identifies a person in China, checked by checksum where the number has one. Used by `screen`.

Ours: the paper leaves all of it to a prompt. A rule names its kind and where it matched; it never says no by itself.
"""

import re
from dataclasses import dataclass
from datetime import date

REDACTED = "【已隐去】"

# GB 11643-1999, ISO 7064 MOD 11-2
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK = "10X98765432"

_ID18 = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{16}[0-9Xx](?![0-9A-Za-z])")
_ID15 = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{14}(?![0-9A-Za-z])")
_MOBILE = re.compile(r"(?<!\d)(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)")
_LANDLINE = re.compile(r"(?<!\d)(?:\(0\d{2,3}\)|（0\d{2,3}）|0\d{2,3}[- ])\s?[2-8]\d{6,7}(?!\d)")
_HOTLINE = re.compile(r"(?<!\d)[48]00[- ]\d{3,4}[- ]?\d{3,4}(?!\d)")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,10}")
_QQ = re.compile(r"(?:QQ|扣扣|企鹅)(?:号|群)?(?:码)?\s*[:：是为]?\s*([1-9]\d{4,11})(?!\d)", re.IGNORECASE)
_WECHAT = re.compile(
    r"(?:微信|威信|薇信|V信|加V|weixin|wechat)(?:号|码)?\s*[:：是为]?\s*([A-Za-z][A-Za-z0-9_-]{5,19})", re.I
)
_CARD = re.compile(r"(?<!\d)[3-6](?:[ -]?\d){15,18}(?!\d)")
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·• ]?"
    r"[A-HJ-NP-Z0-9]{5,6}(?![A-Za-z0-9])"
)
_PASSPORT = re.compile(r"(?:护照|通行证|回乡证|台胞证)(?:号码?)?\s*[:：是为]?\s*([A-Z]{1,2}\d{7,10})", re.IGNORECASE)
_ADDRESS = re.compile(
    r"[\u4e00-\u9fff]{2,8}(?:省|市|区|县)[\u4e00-\u9fff]{1,12}(?:路|街|道|巷|村|小区|花园)\d{1,5}(?:号|弄|幢|栋|单元)"
)


@dataclass(frozen=True)
class Identifier:
    """What kind of identifier stands at [start, end) of the text."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[Identifier]:
    """Every identifier in the text, in order; a stretch of text is reported once, by the most specific kind."""
    found: list[Identifier] = []

    def add(kind: str, matches) -> None:
        for start, end in matches:
            if not any(start < one.end and one.start < end for one in found):
                found.append(Identifier(kind, start, end))

    def spans(pattern: re.Pattern, valid=lambda said: True) -> list[tuple[int, int]]:
        return [match.span() for match in pattern.finditer(text) if valid(match[0])]

    add("ID card", spans(_ID18, id_card))
    add("ID card, 15 digits", spans(_ID15, lambda said: _day("19" + said[6:12])))
    add("bank card", spans(_CARD, bank_card))
    add("mobile number", spans(_MOBILE))
    add("landline", spans(_LANDLINE) + spans(_HOTLINE))
    add("e-mail address", spans(_EMAIL))
    add("QQ number", spans(_QQ))
    add("WeChat id", spans(_WECHAT))
    add("licence plate", spans(_PLATE, lambda said: any(c.isdigit() for c in said)))
    add("passport or permit", spans(_PASSPORT))
    add("street address", spans(_ADDRESS))
    return sorted(found, key=lambda one: one.start)


def redacted(text: str) -> str:
    """The text with `REDACTED` in the place of every identifier."""
    for one in reversed(find(text)):
        text = text[: one.start] + REDACTED + text[one.end :]
    return text


def id_card(number: str) -> bool:
    """Whether an 18-character ID card number holds: a real birthday and the ISO 7064 MOD 11-2 check character."""
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, number[:17], strict=True))
    return _day(number[6:14]) and _ID_CHECK[total % 11] == number[17].upper()


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
