"""Reduce texts to what is compared: letters, digits, and the signs that change what a measurement says (ours).

Layout, punctuation, full-width and traditional forms carry no content; but `<4` and `>4`, `(+)` and `(-)`, 1.5 and 15,
10⁹ and 109 differ. Works on whole columns as arrays of code points: one table lookup per character instead of a Python
loop, in batches that stay in the processor's cache.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import opencc
import polars as pl

# --- letters, digits and signs -----------------------------------------------------------------------------------

BATCH_CHARACTERS = 300_000  # characters: what is made of them stays in the processor's cache
_LIKE = {  # signs and what else is written for them; what they become hangs on what stands beside them
    "-": "-‐‑‒–—―−－﹣⁻₋ー", "~": "~～∼〜˜", ".": ".．﹒·", "/": "/／⁄∕", ":": ":：∶︰﹕", ",": ",", ";": "，、；;",
    "(": "(（[【〔﹝［", ")": ")）]】〕﹞］", "+": "+＋﹢⁺₊", "<": "<＜﹤", ">": ">＞﹥", "=": "=＝﹦⁼₌", "%": "%％﹪",
    "×": "×✕╳*＊⁎", "°": "°º˚", "^": "^＾", "○": "○◯", "□": "□▢☐⬜", "↑": "↑⬆", "↓": "↓⬇",
    "‰": "‰", "±": "±", "÷": "÷", "≠": "≠", "≈": "≈",
}  # fmt: skip
_RAISED = {raised: chr(0x2070 + n) for n, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}  # in a row, as Unicode has but some
RAISED = "".join(_RAISED.values())  # a digit that is raised, as `Points` has it
_SPELLED_OUT = {
    "≥": ">=",
    "≧": ">=",
    "⩾": ">=",
    "≮": ">=",
    "≤": "<=",
    "≦": "<=",
    "⩽": "<=",
    "≯": "<=",
    "℃": "c",
    "℉": "f",
}
NUMERALS = "〇零一二三四五六七八九十百千万亿半两廿卅"
_TO = "至到"
_LAST_POINT = 0x30000

# classes of points, by what may stand beside a sign
_OTHER, _LATIN, _HAN_NUMBER, _DIGIT, _HIGH, _SIGN = range(6)
_IS_NUMBER = np.array([False, False, True, True, False, False])


@dataclass(frozen=True)
class Points:
    """The compared code points of several texts in a row.

    lengths: of each text. points: u32, with `gap` NULs after each text, so that no shingle spans two texts.
    """

    points: np.ndarray
    lengths: np.ndarray


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Return what each code point becomes (0: nothing), and its class."""
    simplified = opencc.OpenCC("t2s").convert
    like = {ord(other): ord(sign) for sign, others in _LIKE.items() for other in others}
    like |= {ord(raised): ord(kept) for raised, kept in _RAISED.items()}
    becomes = np.zeros(_LAST_POINT, np.uint32)
    for code in range(1, _LAST_POINT):
        one = chr(code)
        if code in like:
            becomes[code] = like[code]
        elif unicodedata.category(one) == "Co":
            becomes[code] = code  # herbs whose characters no font had
        elif unicodedata.category(one)[0] in "LN":
            folded = unicodedata.normalize("NFKC", one).lower()[0]
            becomes[code] = ord(folded) if unicodedata.category(folded)[0] in "LN" else 0
    han = np.flatnonzero((becomes >= 0x3400) & (becomes < 0xA000))
    modern = simplified("\n".join(chr(code) for code in becomes[han])).split("\n")
    becomes[han] = [ord(one) if ord(one) < _LAST_POINT else old for one, old in zip(modern, becomes[han], strict=True)]
    classes = np.full(_LAST_POINT, _OTHER, np.uint8)
    for letters, name in (("abcdefghijklmnopqrstuvwxyz", _LATIN), (NUMERALS, _HAN_NUMBER), ("0123456789", _DIGIT)):
        classes[[ord(one) for one in letters]] = name
    classes[[ord(one) for one in [*_LIKE, *_TO, "x"]]] = _SIGN
    classes[[ord(one) for one in RAISED]] = _HIGH
    return becomes, classes


@cache
def _spelled_out_characters() -> tuple[str, dict[str, str]]:
    """Return characters that stand for several (㎎, Ⅲ, ½, ≥), as a pattern, and what they stand for."""
    found = dict(_SPELLED_OUT)
    for code in range(0xA0, 0xFFFF):
        told = unicodedata.normalize("NFKC", chr(code)) if not 0xD800 <= code < 0xE000 else ""
        bare = "".join(one for one in told if unicodedata.category(one)[0] in "LN" or one in "/⁄%°.")
        if bare and len(told) > 1 and chr(code) not in found and not 0xFB00 <= code < 0xFF00:
            found[chr(code)] = bare
    return f"[{''.join(found)}]", found


def compared_points(texts: pl.Series, gap: int) -> Points:
    """Return the compared points of a column's texts (no nulls), with `gap` NULs after each."""
    pattern, told = _spelled_out_characters()
    rows = texts.str.contains(pattern).arg_true()
    if len(rows):
        texts = texts.clone().scatter(rows, texts.gather(rows).str.replace_many(told))
    lengths = texts.str.len_chars().to_numpy().astype(np.int64)
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths) // BATCH_CHARACTERS)) + 1
    bounds = [0, *cuts.tolist(), len(texts)]
    found = [_points(texts.slice(a, b - a), lengths[a:b], gap) for a, b in pairwise(bounds)]
    return Points(np.concatenate([one.points for one in found]), np.concatenate([one.lengths for one in found]))


def _points(texts: pl.Series, lengths: np.ndarray, gap: int) -> Points:
    joined = "".join(texts.to_list())
    raw = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    becomes, _ = _tables()
    found, ends = becomes[np.minimum(raw, _LAST_POINT - 1)], np.cumsum(lengths)
    found, ends = _remove_points(found, found == 0, ends)
    dashes = (found == ord("-")) | (found == ord("~"))
    again = np.zeros(len(found), bool)
    again[1:] = dashes[1:] & (found[1:] == found[:-1])
    again[ends[:-1][ends[:-1] < len(found)]] = False
    if again.any():
        found, ends = _remove_points(found, again, ends)
    found, ends = _remove_points(*_normalize_signs(found, ends), ends)
    out = np.zeros(len(found) + gap * len(texts), np.uint32)
    within = np.ones(len(out), bool)
    within[((ends + gap * np.arange(len(texts)))[:, None] + np.arange(gap)).ravel()] = False
    out[within] = found
    return Points(out, np.diff(ends, prepend=0))


def _remove_points(points: np.ndarray, gone: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the remaining points and the new end of each text."""
    return points[~gone], ends - np.searchsorted(np.flatnonzero(gone), ends)


def _normalize_signs(points: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points with each sign in the form it counts as at its place, and which signs do not count there.

    A sign counts only beside what it modifies: a hyphen between digits is a range, before a digit a minus, else layout.
    """
    _, classes = _tables()
    padded = np.concatenate([[0], points, [0, 0, 0, 0]]).astype(np.uint32)
    kinds = classes[padded]
    kinds[0] = kinds[-4:] = _OTHER
    starts_text = np.zeros(len(padded) + 1, bool)
    starts_text[np.concatenate([[0], ends]) + 1] = True  # the point at this place of `padded` begins a text
    at = np.flatnonzero(kinds >= _HIGH)
    sign = padded[at]
    no_left, no_right = starts_text[at], starts_text[at + 1]
    left, right = np.where(no_left, 0, padded[at - 1]), np.where(no_right, 0, padded[at + 1])
    left_kind, right_kind = np.where(no_left, _OTHER, kinds[at - 1]), np.where(no_right, _OTHER, kinds[at + 1])

    def among(points: np.ndarray, several: str) -> np.ndarray:
        table = np.zeros(_LAST_POINT, bool)
        table[[ord(one) for one in several]] = True
        return table[points]

    def are(several: str) -> np.ndarray:
        return among(sign, several)

    digits = (left_kind == _DIGIT) & (right_kind == _DIGIT)
    numbers = _IS_NUMBER[left_kind] & _IS_NUMBER[right_kind]
    word = (left_kind == _DIGIT) | (left_kind == _LATIN)
    letters = are(_TO + "x")
    becomes = np.where(are("+%‰±↑↓□÷≠≈") | letters | are("./:") & digits, sign, np.uint32(0))
    dash = are("-")
    becomes[numbers & (dash | are(_TO + "~"))] = ord("~")
    times = digits & are("x") | are("×") & (word | (right_kind == _DIGIT))
    becomes[times] = ord("×")
    in_brackets = (left == ord("(")) & (right == ord(")"))
    minus = in_brackets | word & among(right, "),;.\0") | (right_kind == _DIGIT) & ~_IS_NUMBER[left_kind] & ~word
    becomes[dash & minus] = ord("-")
    three = kinds[np.minimum(at[:, None] + np.arange(1, 4), len(kinds) - 1)] == _DIGIT
    thousands = three.all(axis=1) & (kinds[np.minimum(at + 4, len(kinds) - 1)] != _DIGIT)
    becomes[digits & (are(";") | are(",") & ~thousands)] = ord(",")
    of_something = (right_kind < _HIGH) & (right != 0)
    compares = are("<>") & (of_something | (right == ord("="))) & (left != sign) & (left != ord("-"))
    becomes[compares] = sign[compares]
    equal = are("=") & of_something & ((left_kind < _HIGH) & (left != 0) | among(left, "<>"))
    becomes[equal] = ord("=")
    degree = are("°") & (left_kind == _DIGIT) & ~among(right, "cf")
    becomes[degree] = ord("°")
    nought = are("○") & (_IS_NUMBER[left_kind] | (right_kind == _HAN_NUMBER) | (left == sign) | (right == sign))
    becomes[nought] = ord("〇")
    # raised digits, and what stands behind a ^: the first of them is marked where a number stands before
    high = (sign >= 0x2070) & (sign <= 0x2079)
    marked = high & (left_kind == _DIGIT)
    becomes[high] = np.where(marked, sign, sign - 0x2070 + ord("0"))[high]
    padded[at] = becomes
    power = at[are("^") & digits]
    padded[power + 1] += 0x2070 - ord("0")
    found = padded[1 : len(points) + 1]
    return found, found == 0


# --- what may not differ, at a glance ----------------------------------------------------------------------------

_TELLING = f"0123456789{NUMERALS}{RAISED}+-<>=~×%‰±↑↓□°÷≠≈.,/:abcdefghijklmnopqrstuvwxyz不无没未非勿莫忌禁左右"


def hash_facts(points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return a hash (u64) of each row's numbers, signs, negations and sides in order. ends: the end of each row.

    Copies usually have equal hashes and variants different ones. The hash is a sum of mixed (character, rank) pairs, so
    that all rows come from one cumulative sum; multiplication and shift are those of a splitmix-like finalizer.
    """
    tells = np.zeros(_LAST_POINT, bool)
    tells[[ord(one) for one in _TELLING]] = True
    at = np.flatnonzero(tells[points])
    bounds = np.searchsorted(at, np.concatenate([[0], ends]))
    rank = np.arange(len(at)) - np.repeat(bounds[:-1], np.diff(bounds))
    mixed = (points[at].astype(np.uint64) + (rank.astype(np.uint64) << np.uint64(24))) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xD6E8FEB86659FD93)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed ^ (mixed >> np.uint64(32)))])
    return total[bounds[1:]] - total[bounds[:-1]]
