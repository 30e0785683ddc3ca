"""What `clean` takes for noise, rule by rule and in order: markup, addresses, courtesies, boilerplate, layout (paper §3.2).

A rule names its noise; none goes by the class of a character alone. Each says what the net under it (`net`) has to
know: whether the spans it takes out may hold numbers. Rust regular expressions: linear time whatever a page holds.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from chimed.sources.raised import above, below
from chimed.stages import courtesies
from chimed.stages.net import FOLDED, INVISIBLE


@dataclass(frozen=True)
class Rule:
    """One kind of noise. pattern: its spans. rewritten: a column without it. sooner: what is looked for first, where
    the pattern itself is slow to look for.

    net: how its rows are checked. `spans`: it takes spans out, which may hold nothing guarded but `may_hold`. `form`:
    the pattern's own form vouches for its spans (a tag, an address). `kept`: nothing guarded changes at all.
    """

    name: str
    pattern: str
    rewritten: Callable[[pl.Series], pl.Series]
    sooner: str
    net: str
    may_hold: str = r"\A\z"


def _taking(
    name: str, pattern: str, instead: str = "", net: str = "kept", sooner: str = "", may_hold: str = r"\A\z"
) -> Rule:
    return Rule(name, pattern, lambda column: column.str.replace_all(pattern, instead), sooner or pattern, net, may_hold)


# --- markup --------------------------------------------------------------------------------------------------------

_NAMES = (
    "a|abbr|acronym|address|applet|area|article|aside|audio|b|base|basefont|bdi|bdo|big|body|button|canvas|caption|"
    "center|cite|code|col|colgroup|data|datalist|del|details|dfn|dialog|dir|em|embed|fieldset|figcaption|figure|font|"
    "footer|form|frame|frameset|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|link|main|map|mark|marquee|"
    "menu|meta|nav|nobr|noframes|noscript|object|ol|optgroup|option|output|param|picture|pre|q|rb|rp|rt|rtc|ruby|s|samp|"
    "script|select|small|source|span|strike|strong|style|summary|svg|template|textarea|tfoot|thead|tbody|time|title|"
    "track|tt|u|ul|var|video|wbr"
)
_BLOCKS = "p|div|br|li|ul|ol|tr|table|h[1-6]|dd|dt|dl|section|blockquote"
# a name alone, or with what has the form of attributes: <LLN 或 ALT > is none
_VALUE = r"[ \t\r\n]*=[ \t\r\n]*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\"'<> \t\r\n][^<> \t\r\n]*|[^<>\n。，；]*)"
_ATTRIBUTE = rf"[a-zA-Z_:@][a-zA-Z0-9_:.-]*{_VALUE}"
_SWITCH = "nowrap|noshade|checked|disabled|selected|hidden|compact|async|defer|allowfullscreen"
_INSIDE = rf"(?:[ \t\r\n]+(?:{_ATTRIBUTE}|{_SWITCH}))*[ \t\r\n]*/?"
_UNKNOWN = rf"</?[a-z][a-z0-9]*:[a-z0-9]+(?:[ \t\r\n]+{_ATTRIBUTE})*[ \t\r\n]*/?>|<[a-z][a-z0-9-]*(?:[ \t\r\n]+[a-z-]+=(?:\"[^\"<>]*\"|'[^'<>]*'))+[ \t\r\n]*/?>"
_RAISED = r"(?i)(.?)<(sup|sub)>([^<>]{0,40})</(?:sup|sub)>([C℃]?)"
_FRACTION = r"(?i)<sup>\s*([0-9]{1,3})\s*</sup>\s*[/⁄∕]\s*<sub>\s*([0-9]{1,3})\s*</sub>"
_ENTITY = r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});"
# a declaration is style where its name or its value is CSS's own: Height:170cm; and Background: Hypertension; are none
_HYPHENED = (
    r"(?:font|line|text|margin|padding|border|background|list|letter|word|white|vertical|min|max|z|overflow|mso|-webkit|-moz|-ms)"
    r"-[a-z]+(?:-[a-z]+)*\s*:\s*[^;{}\n\p{Han}]+"
)
_PLAIN = (
    r"(?:color|font|margin|padding|border|background|display|width|height|float|position|left|top|overflow|cursor|clear)\s*:\s*"
    r"(?:#[0-9a-fA-F]{3,8}|rgba?\([0-9,.% ]{1,30}\)|-?[0-9.]+(?:px|pt|em|rem)|(?:-?[0-9.]+(?:px|pt|em|rem|%)?|auto)(?:\s+(?:-?[0-9.]+(?:px|pt|em|rem|%)?|auto)){1,3}|auto|none|block|inline|"
    r"inline-block|inherit|hidden|absolute|relative|fixed|bold|both|pointer|url\([^()\s]*\))(?:\s*!important)?"
)
_COLOUR = r"color:(?:red|blue|black|white|green|gray|grey|yellow|orange|purple|windowtext)"
_DECLARED = rf"(?:{_HYPHENED}|{_PLAIN}|{_COLOUR})\s*;"
_SHEET = r"[a-z0-9.#,*_ -]+\{\s*(?:color|font|margin|padding|border|background|display|width|height|line|text)(?:-[a-z]+)*\s*:[^{}\p{Han}]*\}"
_STYLE = rf"(?i)(?:{_SHEET}|(?-u:\b){_DECLARED}(?:\s*\}})?)"
_ADDRESS = r"[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%|\[\]]"


def _unescaped(column: pl.Series) -> pl.Series:
    """HTML's entities as the characters they stand for, all of a text's at once: what they make is not read again."""
    entities = column.str.extract_all(_ENTITY).list.explode().unique().drop_nulls()
    return column.str.replace_many({entity: html.unescape(entity) for entity in entities})


def _lowered(column: pl.Series) -> pl.Series:
    """Superscripts and subscripts on the line: 10<sup>9</sup> is 10^9, <sup>1</sup>/<sub>2</sub> is 1/2."""
    column = column.str.replace_all(f"([0-9]){_FRACTION}", "$1 $2/$3").str.replace_all(_FRACTION, "$1/$2")
    spans = column.str.extract_all(_RAISED).list.explode().unique().drop_nulls()
    said = {span: _on_the_line(match) for span in spans if (match := re.fullmatch(_RAISED, span, re.S))}
    column = column.str.replace_many(said)
    column = column.str.replace_all("(?i)([0-9])<sup>([0-9])", "$1^$2")  # one that is never closed
    return column.str.replace_all(r"(?i)</?su[pb](\s[^<>]{0,200})?/?>", "")


def _on_the_line(match: re.Match[str]) -> str:
    before, where, said, after = match.groups()
    return before + (above(said, before, after) if where.lower() == "sup" else below(said)) + after


# --- single characters ---------------------------------------------------------------------------------------------

# stars, hands, faces, hearts, weather, blocks; no arrow, circle, square, tick, sex, or sign of a measurement
_PICTURES = (
    r"★☆✩✪✰⭐⭕❀✿❁❃❤❥♡♥❣☎☏✆☀☁☂☃☼☺☻☹✌✍✎✏✐✑✒✓?✉✈✂✄✁✃☕♨♪♫♬♩✨❄❅❆✳✴❇❈❉❊❋⚡⛄⛅☔♠♣♦♤♧♢☜☞☝☟☛☚❖◈▓▒░█▌▐▀▄〓※?"
)
_PICTURE = (
    rf"[{_PICTURES.replace('?', '')}\x{{1F000}}-\x{{1F0FF}}\x{{1F1E6}}-\x{{1F1FF}}\x{{1F200}}-\x{{1F2FF}}\x{{1F300}}-\x{{1F64F}}"
    r"\x{1F680}-\x{1F6FF}\x{1F780}-\x{1F7FF}\x{1F900}-\x{1FAFF}]"
).replace("✓", "").replace("※", "")
_BULLETS = r"(?m)^[ \t　]*[●◆◇▲▼▽►▶◀◄•◎▪▫]+[ \t　]*"


def _without_pictures(column: pl.Series) -> pl.Series:
    """No picture is left, and numbers that stood on its two sides stay two."""
    return column.str.replace_all(rf"([0-9])(?:{_PICTURE})+([0-9])", "$1 $2").str.replace_all(_PICTURE, "")


# --- layout --------------------------------------------------------------------------------------------------------

_GOES_ON = r"([，、])\n"
_MAYBE_VERSE = r"(?m)^\p{Han}{4,8}[，、]\n\p{Han}{4,8}[。；！？，]?$"


def _joined(column: pl.Series) -> pl.Series:
    """No line is broken at a comma, but those of verses: lines of one length."""
    verses = column.str.contains(_MAYBE_VERSE).arg_true()
    if len(verses):
        held = column.gather(verses)
        for n in (4, 5, 6, 7, 8):
            verse = rf"(?m)(^|\x01)(\p{{Han}}{{{n}}}[，、])\n(\p{{Han}}{{{n}}}[。；！？，]?)$"
            held = held.str.replace_all(verse, "$1$2\x01$3").str.replace_all(verse, "$1$2\x01$3")
        column = column.clone().scatter(verses, held)
    return column.str.replace_all(_GOES_ON, "$1").str.replace_all("\x01", "\n", literal=True)


_CLAUSE_BEGINS = r"(\A|[\s。！!？?；;，,：:”）】])"
_LABELS = "健康咨询描述|曾经的治疗情况和效果|想得到怎样的帮助|病情分析|指导意见|处理意见|指导建议|意见建议"

MARKUP = (
    Rule("entity", _ENTITY, _unescaped, _ENTITY, "form"),
    _taking("script or style", r"(?is)<(script|style)\b.*?</(script|style)\s*>", net="form", sooner="(?i)<(script|style)"),
    _taking("comment", r"(?is)<!--.*?-->|<!doctype[^<>]{0,300}>|<\?xml[^<>]{0,300}\?>|<!\[CDATA\[|\]\]>", net="form", sooner=r"<[!?]|\]\]>"),
    _taking("block tag", rf"(?i)</?(?:{_BLOCKS}){_INSIDE}>", "\n", net="form", sooner="<"),
    _taking("cell tag", rf"(?i)</?t[dh]{_INSIDE}>", "\t", net="form", sooner="(?i)<t[dh]"),
    _taking("superscript", r"(?i)<(/?su[pb])\s[^<>]{0,200}>", "<$1>", net="form"),
    _taking("reading", r"(?is)<(rt|rp)>[^<>]{0,40}</(rt|rp)>", net="form", sooner="(?i)<r[tp]>"),
    _taking("tag", rf"(?i)</?(?:{_NAMES}){_INSIDE}>|(?i:{_UNKNOWN})", net="form", sooner="<[a-zA-Z/]"),
    Rule("superscript", r"(?i)</?su[pb]", _lowered, r"(?i)</?su[pb]", "raised"),
    _taking("style", _STYLE, net="form", sooner=r"[a-zA-Z]\s*:[^;{}\n\p{Han}]*[;}]"),
    _taking("URL", rf"(?i)(?-u:\b)(https?|ftp)://{_ADDRESS}+", net="form", sooner="://"),
    _taking("URL", r"(?i)(?-u:\b)www\.[a-z0-9-]+\.[a-z0-9./?=&_%-]+", net="form", sooner="(?i)www"),
    _taking("page numbers", r"(?m)^[\s　]*(\[\d{1,4}\]\s*)+(下一页)?[\s　]*$", net="form", sooner=r"\[\d+\]"),
)
COURTESIES = (
    _taking("field's label", rf"{_CLAUSE_BEGINS}(?:{_LABELS})[：:∶]", "$1", net="spans", sooner=f"(?:{_LABELS})[：:∶]", may_hold=rf"{_CLAUSE_BEGINS}分析|[：:∶]|分析"),
    *(_taking(name, pattern, instead, net="spans", sooner=sooner, may_hold=courtesies.MAY_HOLD)
    for name, (pattern, instead), sooner in (
        ("greeting", courtesies.GREETINGS, courtesies.GREETS),
        ("greeting", courtesies.SERVICES, "高兴|荣幸"),
        ("greeting", courtesies.GLUED_GREETINGS, "[你您]好"),
        ("courtesy", courtesies.SENTENCES, courtesies.SAYS),
    )),
)
WORDS = (
    Rule("letter or digit in another form", f"[{''.join(FOLDED)}]", lambda column: column.str.replace_many(FOLDED), f"[{''.join(FOLDED)}]", "kept"),
    _taking("numeral drawn as a line", r"(\A|[^─━—-])─([钱两分斤升合枚个片味日次剂服帖斗寸尺岁碗盏匙粒丸字把根茎条])", "${1}一$2", sooner="─"),
    _taking("invisible character", INVISIBLE),
    Rule("picture", _PICTURE, _without_pictures, _PICTURE, "kept"),
    _taking("bullet", _BULLETS, sooner="[●◆◇▲▼▽►▶◀◄•◎▪▫]"),
    _taking("colon", r"[∶﹕︰]", "："),
    _taking("disclaimer", r"(?m)^[\s　]*温馨提示：?以上资料仅供参考[^\n]*", net="spans", sooner="以上资料仅供参考", may_hold="[：:.]|不|无|非|请勿"),
    _taking(
        "menu",
        r"(?m)^[\s　]*(上一页|下一页|查看更多问题>*|我要咨询|找医生|向医生提问|举报|取消|提交|相关推荐文章)[\s　]*$|您的浏览器不支持\s*audio\s*元素[。.]?",
        net="spans",
        sooner="一页|查看更多问题|我要咨询|找医生|向医生提问|举报|取消|提交|相关推荐文章|您的浏览器不支持",
        may_hold="一页|不支持|audio|>",
    ),
    # layout: one space, one line end, no line broken at a comma or before a stop
    _taking("space", r"[ \t\x{00A0}\x{3000}]{2,}|[\t\x{00A0}\x{3000}]", " ", sooner=r"  |[\t\x{00A0}\x{3000}]"),
    _taking("line end", r" \n[ \n]*|\n[ \n]+", "\n"),
    Rule("broken line", _GOES_ON, _joined, _GOES_ON, "kept"),
    _taking("broken line", r"([^。！？；\n])\n([，。、；：！？）】》”])", "$1$2", sooner=r"\n[，。、；：！？）】》”]"),
)
# Rules of single characters, and what none of them touches: a text without another is not looked at five times
OF_UNCOMMON = frozenset({"letter or digit in another form", "numeral drawn as a line", "invisible character", "picture", "bullet", "colon"})
UNCOMMON = r"[^\n\t\x{00A0}\x{3000} -~\x{3400}-\x{4DB5}\x{4E00}-\x{9FA5}，。、；：？！“”‘’（）《》【】…—·～]"
RULES = (*MARKUP, *COURTESIES, *WORDS)
ANY = "|".join(dict.fromkeys(f"(?:{rule.sooner})" for rule in RULES))  # a text without it is clean
