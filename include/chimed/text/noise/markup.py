"""Remove markup left in a text: entities, tags, styles, addresses, page numbers, spaces. Part of `clean` (§3.2).

A tag is recognized by its name and the form of its attributes, a style by CSS's own names and values: WBC <LLN 或 ALT
>3×ULN and Height:170cm;Weight:65kg are neither. Superscripts and subscripts keep their meaning (`chimed.text.raised`).
"""

import html
import re

import polars as pl

from chimed.text.noise.rules import Rule, any_of, removal_rule
from chimed.text.raised import subscript_to_text, superscript_to_text

_ENTITY = r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});"

# --- tags ----------------------------------------------------------------------------------------------------------

_NAMES = any_of(
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big body button canvas caption "
    "center cite code col colgroup data datalist del details dfn dialog dir em embed fieldset figcaption figure font "
    "footer form frame frameset head header hr html i iframe img input ins kbd label legend link main map mark marquee "
    "menu meta nav nobr noframes noscript object optgroup option output param picture pre q rb rp rt rtc ruby s samp "
    "script select small source span strike strong style summary svg template textarea tfoot thead tbody time title "
    "track tt u var video wbr"
)
_BLOCKS = any_of("p div br li ul ol tr table h[1-6] dd dt dl section blockquote")
_GAP = r"[ \t\r\n]"
_QUOTED = r"(?:\"[^\"<>]*\"|'[^'<>]*')"
_VALUE = rf"(?:{_QUOTED}|[^\"'<> \t\r\n][^<> \t\r\n]*|[^<>\n。，；]*)"
_ATTRIBUTE = rf"[a-zA-Z_:@][a-zA-Z0-9_:.-]*{_GAP}*={_GAP}*{_VALUE}"
_SWITCH = any_of("nowrap noshade checked disabled selected hidden compact async defer allowfullscreen")
_INSIDE = rf"(?:{_GAP}+(?:{_ATTRIBUTE}|{_SWITCH}))*{_GAP}*/?"
# <o:p>, and any name whose attributes are all quoted
_UNKNOWN = (
    rf"</?[a-z][a-z0-9]*:[a-z0-9]+(?:{_GAP}+{_ATTRIBUTE})*{_GAP}*/?>"
    rf"|<[a-z][a-z0-9-]*(?:{_GAP}+[a-z-]+={_QUOTED})+{_GAP}*/?>"
)
# what is left of a tag that a page was cut in: its end at the start of a text, its start at the end
_OFTEN = any_of("style class id href src alt title width height target align valign border color face size name rel")
_CUT = (
    rf"(?i)\A\s*(?:(?:{_OFTEN})={_QUOTED}{_GAP}*)+/?>|</(?:{_NAMES}|{_BLOCKS}){_GAP}*\z"
    rf"|<(?:{_NAMES}|{_BLOCKS}){_GAP}+[a-z-]+=[^<>\p{{Han}}]*\z"
)
_COMMENT = r"(?is)<!--.*?-->|<!doctype[^<>]{0,300}>|<\?xml[^<>]{0,300}\?>|<!\[CDATA\[|\]\]>"

# --- forums' tags ---------------------------------------------------------------------------------------------------

_FORUM = any_of(
    "b i u s url img color size font backcolor align quote center left right list table tr td p email media"
)
_FORUM_PICTURE = r"(?i)\[img(?:=[^\[\]\n]{0,100})?\][^\[\]\n]{0,500}\[/img\]"
_FORUM_PAIR = rf"(?i)\[{_FORUM}(?:=[^\[\]\n]{{0,300}})?\]((?:[^\[\]]|\[[0-9]+\])*)\[/{_FORUM}\]"

# --- above and below the line --------------------------------------------------------------------------------------

_RAISED = r"(?i)(.?)<(sup|sub)>([^<>]{0,40})</(?:sup|sub)>([C℃]?)"
_FRACTION = r"(?i)<sup>\s*([0-9]{1,3})\s*</sup>\s*[/⁄∕]\s*<sub>\s*([0-9]{1,3})\s*</sub>"

# --- styles --------------------------------------------------------------------------------------------------------

_HYPHENED = any_of(
    "font line text margin padding border background list letter word white vertical min max z overflow mso "
    "-webkit -moz -ms"
)
_PROPERTY = any_of(
    "color font margin padding border background display width height float position left top overflow cursor clear"
)
_SIZE = r"-?[0-9.]+(?:px|pt|em|rem)"
_SIZES = r"(?:-?[0-9.]+(?:px|pt|em|rem|%)?|auto)"
_KEYWORD = any_of("auto none block inline inline-block inherit hidden absolute relative fixed bold both pointer")
_COLOUR = r"(?:#[0-9a-fA-F]{3,8}|rgba?\([0-9,.% ]+\)|url\([^()\s]*\))"
_NAMED_COLOUR = r"color:(?:red|blue|black|white|green|gray|grey|yellow|orange|purple|windowtext)"
_DECLARED = (
    rf"(?:{_HYPHENED}-[a-z]+(?:-[a-z]+)*\s*:\s*[^;{{}}\n\p{{Han}}]+"
    rf"|{_PROPERTY}\s*:\s*(?:{_COLOUR}|{_SIZE}|{_SIZES}(?:\s+{_SIZES}){{1,3}}|{_KEYWORD})(?:\s*!important)?"
    rf"|{_NAMED_COLOUR})\s*;"
)
_SHEET = rf"[a-z0-9.#,*_ -]+\{{\s*(?:{_PROPERTY}|line|text)(?:-[a-z]+)*\s*:[^{{}}\p{{Han}}]*\}}"
_STYLE = rf"(?i)(?:{_SHEET}|(?-u:\b){_DECLARED}(?:\s*\}})?)"

# --- addresses -----------------------------------------------------------------------------------------------------

_DIVIDER = r"(?m)^[ \t　]*(?:-{4,}|={4,}|_{4,}|\*{4,}|~{4,}|#{4,}|—{4,}|─{4,}|━{4,})[ \t　]*$"
_SPACES = r"[ \t\x{00A0}\x{3000}]{2,}|[\t\x{00A0}\x{3000}]"
_ADDRESS = r"[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%|\[\]]"


def _unescaped(column: pl.Series) -> pl.Series:
    """Replace HTML's entities by their characters, all of a text's at once: the result is not unescaped again."""
    entities = column.str.extract_all(_ENTITY).list.explode().unique().drop_nulls()
    return column.str.replace_many({entity: html.unescape(entity) for entity in entities})


def _lowered(column: pl.Series) -> pl.Series:
    """Put superscripts and subscripts on the line: 10<sup>9</sup> is 10^9, <sup>1</sup>/<sub>2</sub> is 1/2."""
    column = column.str.replace_all(f"([0-9]){_FRACTION}", "$1 $2/$3").str.replace_all(_FRACTION, "$1/$2")
    spans = column.str.extract_all(_RAISED).list.explode().unique().drop_nulls()
    said = {span: _on_the_line(match) for span in spans if (match := re.fullmatch(_RAISED, span, re.S))}
    column = column.str.replace_many(said)
    column = column.str.replace_all("(?i)([0-9])<sup>([0-9])", "$1^$2")  # one that is never closed
    return column.str.replace_all(r"(?i)</?su[pb](\s[^<>]{0,200})?/?>", "")


def _on_the_line(match: re.Match[str]) -> str:
    before, where, said, after = match.groups()
    return (
        before
        + (superscript_to_text(said, before, after) if where.lower() == "sup" else subscript_to_text(said))
        + after
    )


# Groups in order; a text is looked at for a group's rules one by one only where it holds something of one of them.
# What a group looks for first begins with few and rare letters, which are found ten times as fast.
MARKUP = (
    (Rule("entity", _ENTITY, _unescaped, _ENTITY, "form"),),
    (
        removal_rule(
            "script or style", r"(?is)<(script|style)\b.*?</(script|style)\s*>", net="form", sooner="(?i)<s[ct]"
        ),
        removal_rule("comment", _COMMENT, net="form", sooner=r"<[!?]|\]\]>"),
        removal_rule("cell tag", rf"(?i)</?t[dh]{_INSIDE}>", "\t", net="form", sooner="(?i)</?t[dh]"),
        removal_rule("reading", r"(?is)<(rt|rp)>[^<>]{0,40}</(rt|rp)>", net="form", sooner="(?i)<r[tp]>"),
        removal_rule("superscript", r"(?i)<(/?su[pb])\s[^<>]{0,200}>", "<$1>", net="form", sooner=r"(?i)<su[pb]\s"),
    ),
    (removal_rule("block tag", rf"(?i)</?{_BLOCKS}{_INSIDE}>", "\n", net="form", sooner="<"),),
    (
        removal_rule("tag", rf"(?i)</?{_NAMES}{_INSIDE}>|{_UNKNOWN}", net="form", sooner="<[a-zA-Z/]"),
        removal_rule("tag", _CUT, net="form", sooner="<[a-zA-Z/]|=[\"']"),
    ),
    (
        Rule("superscript", "(?i)</?su[pb]", _lowered, "</?[sS][uU]", "raised"),
        removal_rule("style", _STYLE, net="form", sooner=r":\s*[a-zA-Z0-9#.'\"-]"),
        removal_rule("forum's tag", _FORUM_PICTURE, net="form", sooner=r"\[/"),
        removal_rule("forum's tag", _FORUM_PAIR, "$1", net="form", sooner=r"\[/"),
        removal_rule("URL", rf"(?i)(?:https?|s?ftp)://{_ADDRESS}+", net="form", sooner="://"),
        removal_rule("URL", r"(?i)(?-u:\b)www\.[a-z0-9-]+\.[a-z0-9./?=&_%-]+", net="form", sooner="ww|WW"),
        removal_rule("page numbers", r"(?m)^[\s　]*(\[\d{1,4}\]\s*)+(下一页)?[\s　]*$", net="form", sooner=r"\[\d+\]"),
    ),
    (removal_rule("divider", _DIVIDER, net="form", sooner="----|====|____|[*]{4}|~~~~|####|————|────|━━━━"),),
    (removal_rule("space", _SPACES, " ", net="form", sooner=r"  |[\t\x{00A0}\x{3000}]"),),
)
