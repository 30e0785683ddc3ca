"""Define what `clean` removes, and in which order: markup, courtesies, single characters, boilerplate, layout.

A rule names its noise; none goes by the Unicode category of a character, so that numbers, signs of measurements,
lacunas and rare herbs stay (paper §3.2). Rust's regular expressions take linear time whatever a page contains.
"""

import polars as pl

from chimed.text import control_tokens
from chimed.text.noise.boilerplate import BOILERPLATE
from chimed.text.noise.courtesies import COURTESIES
from chimed.text.noise.markup import MARKUP
from chimed.text.noise.net import FOLDED, GUARDED, INVISIBLE
from chimed.text.noise.rules import Rule, any_sooner, removal_rule

# --- single characters ---------------------------------------------------------------------------------------------

# stars, hearts, flowers, hands, weather, music, blocks; no arrow, circle, square, tick or sign of a measurement
_SIGNS = "★☆✩✪✰⭐⭕❀✿❁❃❤❥♡♥❣☎☏✆☀☁☂☃☼☺☻☹✌✍✎✏✐✑✒✈✂✄✁✃☕♨♪♫♬♩✨❄❅❆✳✴❇❈❉❊❋⚡⛄⛅☔♠♣♦♤♧♢☜☞☝☟☛☚❖◈▓▒░█▌▐▀▄〓"
_EMOJI = (
    r"\x{1F000}-\x{1F0FF}\x{1F1E6}-\x{1F1FF}\x{1F200}-\x{1F2FF}\x{1F300}-\x{1F64F}\x{1F680}-\x{1F6FF}"
    r"\x{1F780}-\x{1F7FF}\x{1F900}-\x{1FAFF}"
)
_PICTURE = f"[{_SIGNS}{_EMOJI}]"
_BULLET = "[●◆◇▲▼▽►▶◀◄•◎▪▫]"
_FOLDED_ONES = f"[{''.join(FOLDED)}]"
# a stroke drawn for 一, as old texts typed by hand have it: before a unit and after no other stroke
_DRAWN = r"(\A|[^─━—-])─([钱两分斤升合枚个片味日次剂服帖斗寸尺岁碗盏匙粒丸字把根茎条])"


def _folded(column: pl.Series) -> pl.Series:
    return column.str.replace_many(FOLDED)


def _without_pictures(column: pl.Series) -> pl.Series:
    """Remove pictographs; numbers, units and signs on both sides of one stay separate."""
    for _ in range(2):  # 1★2★3: the first look ends at 2
        column = column.str.replace_all(f"([{GUARDED}]){_PICTURE}+([{GUARDED}])", "$1 $2")
    return column.str.replace_all(_PICTURE, "")


# --- layout --------------------------------------------------------------------------------------------------------

# a line goes on in the next, unless that begins a field or an item of a list
_GOES_ON = r"([，、])\n([^【\n0-9]|[0-9]+[^0-9、.．)）\n])"
_MAYBE_VERSE = r"(?m)^\p{Han}{4,8}[，、]\n\p{Han}{4,8}[。；！？，]?$"


def _joined(column: pl.Series) -> pl.Series:
    """Join lines that are broken at a comma, except verses: lines of equal length."""
    verses = column.str.contains(_MAYBE_VERSE).arg_true()
    if len(verses):
        held = column.gather(verses)
        for n in (4, 5, 6, 7, 8):
            verse = rf"(?m)(^|\x01)(\p{{Han}}{{{n}}}[，、])\n(\p{{Han}}{{{n}}}[。；！？，]?)(\x01|$)"
            for _ in range(3):  # a match ends where the next one begins, and the second look has that too
                held = held.str.replace_all(verse, "$1$2\x01$3$4")
            held = held.str.replace_all(rf"(\x01\p{{Han}}{{{n}}}[，、])\n", "$1\x01")  # the last verse is a line too
        held = held.str.replace_all(_GOES_ON, "$1$2").str.replace_all("\x01", "\n", literal=True)
    joined = column.str.replace_all(_GOES_ON, "$1$2")
    return joined.scatter(verses, held) if len(verses) else joined


# --- in order ------------------------------------------------------------------------------------------------------

WORDS = (
    Rule("letter or digit in another form", _FOLDED_ONES, _folded, _FOLDED_ONES, "kept"),
    removal_rule("letter or digit in another form", "([0-9A-Za-z])．", "$1.", sooner="．"),
    # what a chat model's tokenizer takes for the end of a turn; here, where no entity and no wide letter hides one
    removal_rule("control token", control_tokens.PATTERN, " ", net="form"),
    removal_rule("numeral drawn as a line", _DRAWN, "${1}一$2", sooner="─"),
    removal_rule("invisible character", INVISIBLE),
    Rule("picture", _PICTURE, _without_pictures, _PICTURE, "kept"),
    removal_rule("bullet", rf"(?m)^[ \t　]*{_BULLET}+[ \t　]*", sooner=_BULLET),
    removal_rule("colon", "[∶﹕︰]", "："),
    *BOILERPLATE,
    # one line end, no line broken at a comma or before a stop
    removal_rule("line end", r" \n[ \n]*|\n[ \n]+", "\n"),
    Rule("broken line", _GOES_ON, _joined, "，\n|、\n", "kept"),
    removal_rule(
        "broken line",
        r"([^。！？；\n])\n([，。、；：！？）】》”])",
        "$1$2",
        sooner="\n，|\n。|\n、|\n；|\n：|\n！|\n？|\n）|\n】|\n》|\n”",
    ),
)
# Rules of single characters: all are looked for at once, and one by one only in the texts that hold any of them
OF_UNCOMMON = frozenset(
    ("letter or digit in another form", "numeral drawn as a line", "invisible character", "picture", "bullet", "colon")
)
UNCOMMON = any_sooner(*(rule for rule in WORDS if rule.name in OF_UNCOMMON))
GROUPS = (*MARKUP, COURTESIES)
ANY = any_sooner(*(rule for group in GROUPS for rule in group), *WORDS)  # a text without any of it is clean
