"""Say a quantity in one unit, so that 两天 is 48小时 and 0.5克 is 500毫克. Used by `reasoning` and `conditions`. Ours.

Days and hours convert exactly; a month has 28 to 31 days, so lengths of months are compared with that much room.
"""

import re
from collections.abc import Collection

from chimed.text.fidelity.doses import parse_number
from chimed.text.grounding.wording import split_words

_INTO: dict[str, tuple[str, float]] = {
    "秒": ("小时", 1 / 3600), "分钟": ("小时", 1 / 60), "小时": ("小时", 1), "日": ("小时", 24), "周": ("小时", 168),
    "月": ("月", 1), "年": ("月", 12), "岁": ("月", 12),
    "微克": ("克", 1e-6), "毫克": ("克", 1e-3), "克": ("克", 1), "千克": ("克", 1e3), "斤": ("克", 500),
    "毫升": ("毫升", 1), "升": ("毫升", 1e3),
    "毫米": ("厘米", 0.1), "厘米": ("厘米", 1), "米": ("厘米", 100),
}  # fmt: skip
TIMES = ("小时", "月")  # the base units of lengths of time
HOURS_OF_A_MONTH = (28 * 24, 31 * 24)
_QUANTITY = re.compile(r"#(?P<low>[\d.e+-]+)(?:~(?P<high>[\d.e+-]+))?(?P<unit>\D*)")
_COUNTING = re.compile(r"#\d(?:种|个|项|步|点|类|味|位|例|方|面|条|者|句)?|#1[次日年月]")
_AND_A_HALF = re.compile(
    r"(?P<number>\d{1,3}|[一二两三四五六七八九])(?:个半(?P<unit>小时|钟头|月|星期)|(?P<behind>年|天|小时)半(?!载|夜|路))"
)
_EACH_WEEK = re.compile(r"(?<=每)(?=周|星期)")
_EACH_HOURS = re.compile(r"每隔?([1-9]\d?|[一二两三四六八]|十二)个?(?:小时|钟头)")
_TIMES_A_DAY = re.compile(r"(?:每|一|1)[日天][^，。；]{0,6}?([1-9]|[一二两三四六八])次")
_DIGITS = {digit: str(place + 1) for place, digit in enumerate("一二三四五六七八九")} | {"两": "2"}


def spelt_out(text: str) -> str:
    """Return the text with times in plain units: 一昼夜 → 24小时, 一个半月 → 1.5个月, 一年半 → 1.5年, 礼拜 → 星期."""
    text = re.sub(r"(?:一昼夜|一天一夜|一整天)", "24小时", text).replace("礼拜", "星期")
    return _AND_A_HALF.sub(_with_half, text)


def _with_half(match: re.Match[str]) -> str:
    number = _DIGITS.get(match["number"], match["number"])
    return f"{number}.5{'个' + match['unit'] if match['unit'] else match['behind']}"


def find_quantities(text: str) -> dict[str, str]:
    """Return the numbers with units of a text in their base unit, each with how it was said; no points of argument."""
    return {
        in_base_unit(word): word.lstrip("#")
        for word in split_words(spelt_out(text)).value
        if word.startswith("#") and not _COUNTING.fullmatch(word)
    }


def find_known(text: str) -> set[str]:
    """Return the quantities of a text and those it says in other words: 每周 is 7天, 每8小时 is three times a day."""
    text = spelt_out(text)
    known = set(find_quantities(_EACH_WEEK.sub("1", text)))
    for match in _EACH_HOURS.finditer(text):
        known.add(f"#{24 / parse_number(match[1]):.6g}次")
    for match in _TIMES_A_DAY.finditer(text):
        known.add(f"#{24 / parse_number(match[1]):.6g}小时")
    return known


def in_base_unit(quantity: str) -> str:
    """Return a quantity of `split_words` in the base unit of its kind: #2日 → #48小时; others as they are."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None or match["unit"] not in _INTO:
        return quantity
    unit, factor = _INTO[match["unit"]]
    high = f"~{float(match['high']) * factor:.6g}" if match["high"] else ""
    return f"#{float(match['low']) * factor:.6g}{high}{unit}"


def read_quantity(text: str) -> str | None:
    """Return the first number with unit of a text in its base unit, 1天 among them; None if there is none."""
    return next((in_base_unit(word) for word in split_words(text).value if word.startswith("#")), None)


def unit_of(quantity: str) -> str:
    """Return the unit of a quantity."""
    match = _QUANTITY.fullmatch(quantity)
    return match["unit"] if match else ""


def is_among(quantity: str, known: Collection[str]) -> bool:
    """Return whether a quantity in its base unit is one of the known ones, 12周 among them where 3个月 is known."""
    return quantity in known or any(_is_as_long(quantity, one) or _is_as_long(one, quantity) for one in known)


def _is_as_long(hours: str, months: str) -> bool:
    one, other = _QUANTITY.fullmatch(hours), _QUANTITY.fullmatch(months)
    if one is None or other is None or (one["unit"], other["unit"]) != ("小时", "月"):
        return False
    ends = [(one["low"], other["low"]), (one["high"] or one["low"], other["high"] or other["low"])]
    least, most = HOURS_OF_A_MONTH
    return all(least * float(month) <= float(hour) <= most * float(month) for hour, month in ends)
