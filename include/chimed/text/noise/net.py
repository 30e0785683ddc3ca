"""Check for every row that `clean` did not lose anything important: the safety net under its rules (paper §3.2; ours).

Outside the spans that rules remove, the sequence of digits, Chinese numerals, ○ 〇 □, units, signs and negations must
stay the same, and no two numbers may merge. If a rule breaks this for a row, the row keeps its earlier text for that
rule and is counted under the rule's name. The same applies to a row whose text ended whole and would end torn. Works on
whole columns.
"""

import unicodedata

import polars as pl

# Letters and digits that Unicode holds twice; never a sign that NFKC changes the sense of: ～ ℃ ㎎ ⁹ ½
_TWICE = [*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), *range(0x2F00, 0x2FD6),
          *range(0xF900, 0xFB00), 0xFF05, 0xFF0B, 0xFF0F, 0xFF61, 0xFF64]  # fmt: skip
FOLDED = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in _TWICE}

_NUMERALS = "零一二三四五六七八九十百千万亿两兩半双廿卅壹贰叁肆伍陆柒捌玖拾○◯〇□■─"
_UNITS = "克钱錢分升斤合斗斛厘毫米寸尺碗盏匙枚粒丸片次天岁周度倍滴支瓶剂帖"
_NEGATIONS = "不无無未勿忌禁非没沒莫毋弗否"
_SIGNS = r"<>＜＞≤≥≦≧=＝≠≈±×÷+＋−\-%％‰‱°℃℉˚^`～~/／.．↑↓→←∶:："
# Latin letters are units too (mg, mmol), and Greek ones (μg)
GUARDED = rf"\p{{N}}\p{{Latin}}\p{{Greek}}{_NUMERALS}{_UNITS}{_NEGATIONS}{_SIGNS}"
_OTHERS = f"[^{GUARDED}]+"
_SAME = FOLDED | {"．": ".", "─": "一", "∶": "：", ":": "：", "﹕": "：", "︰": "："}

# zero-width characters, controls and noncharacters; rare characters and private use stay, herbs are written with them
INVISIBLE = r"[\p{Cc}\p{Cf}\x{FE00}-\x{FE0F}\x{20E3}\x{FDD0}-\x{FDEF}\x{FFFE}\x{FFFF}&&[^\n\t]]"
_WHOLE = r"[。！？!?…”』」）)】》.～~][\s]*\z"


def guarded_sequence(texts: pl.Series) -> pl.Series:
    """Return what no rule may change of each text, with one space for what is between, so that two numbers stay two."""
    return texts.str.replace_all(INVISIBLE, "").str.replace_all(_OTHERS, " ").str.strip_chars().str.replace_many(_SAME)


def without_spaces(texts: pl.Series) -> pl.Series:
    """Return texts without spaces and line ends: equal ones differ in layout only, and need no further check."""
    return texts.str.replace_all(" ", "", literal=True).str.replace_all("\n", "", literal=True)


def find_changed(before: pl.Series, after: pl.Series) -> pl.Series:
    """Return the rows in which something guarded changed."""
    return (guarded_sequence(before) != guarded_sequence(after)).arg_true()


def find_changed_form(before: pl.Series, after: pl.Series, spans: str) -> pl.Series:
    """Return the rows of `find_changed`, ignoring the form of digits and what marks them as raised (tags and ^)."""
    one, two = (
        texts.str.replace_all(rf"{spans}[^<>]*>|\^|[\s°○o0O]", "").str.normalize("NFKC").str.replace_all("[−–⁄∕]", "-")
        for texts in (before, after)
    )
    return (guarded_sequence(one).str.replace_all(" ", "") != guarded_sequence(two).str.replace_all(" ", "")).arg_true()


def find_guarded_spans(texts: pl.Series, spans: str, may_hold: str) -> pl.Series:
    """Return the texts from which a rule removes a span that has something guarded, other than `may_hold`."""
    found = pl.DataFrame({"row": pl.arange(len(texts), eager=True), "span": texts.str.extract_all(spans)})
    found = found.explode("span").drop_nulls()
    each = found["span"].unique()
    taken = each
    if spans.startswith("(") and not spans.startswith("(?"):  # what stands before a span is group 1, and stays
        stays = each.str.extract(spans, 1).fill_null("")
        taken = pl.Series([span.removeprefix(kept) for span, kept in zip(each, stays, strict=True)], dtype=pl.String)
    wrong = each.filter(taken.str.replace_all(may_hold, "").str.contains(f"[{GUARDED}]"))
    return (
        found.filter(pl.col("span").is_in(wrong.implode()))["row"].unique().sort()
        if len(wrong)
        else wrong.clear().cast(pl.Int64)
    )


def find_torn(before: pl.Series, after: pl.Series) -> pl.Series:
    """Return the texts that ended whole and would not any more: not even with a line that was one before."""
    before, after = before.str.strip_chars_end(), after.str.strip_chars_end()
    places = (before.str.contains(_WHOLE) & ~after.str.contains(_WHOLE) & (after != "")).fill_null(False).arg_true()
    pairs = zip(before.gather(places), after.gather(places), strict=True)  # few texts come so far
    torn = [f"{made.rsplit(chr(10), 1)[-1]}\n" not in was for was, made in pairs]
    return places.filter(pl.Series(torn, dtype=pl.Boolean))
