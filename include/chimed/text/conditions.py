"""Find where two texts say the contrary under the same condition. Used by `contrary_words`. Ours.

A sentence that names both of two contraries compares them: 48小时内应冷敷，48小时后改为热敷. It is contradicted by the
sentence that exchanges them, by one that turns the condition round (72小时内 and 72小时以后), and by one that begins or
stops at another time. Times are compared in hours, so 头两天 is 48小时内.
"""

import re
from collections.abc import Iterator
from itertools import pairwise, permutations

from chimed.text.amounts import read_quantity, spelt_out
from chimed.text.writing import simplify

_NUMBER = r"(?:\d{1,6}(?:\.\d{1,3})?|[一二两三四五六七八九十百半]{1,4})"
_UNIT = (
    r"(?:分钟|个?小时|个?钟头|h|日|天|个?星期|周岁|周|个?月|年|岁"
    r"|℃|°C|度|mmHg|毫米汞柱|公斤|千克|kg|毫克|克|毫升|升|次|片|粒|厘米|斤)"
)
_BOUNDED = re.compile(
    rf"(?P<not>(?:不[能可宜要得应必用]|别|勿|无需)[^，。；]{{0,6}}?)?"
    rf"(?P<event>[\u4e00-\u9fff](?<![然而此之以最目先的了在于和是])(?:之|以)?(?P<side>[前后]))?"
    r"(?P<lead>不超过|不多于|不到|未满|未超过|不足|低于|小于|少于|[≤<＜]|超过|大于|高于|多于|[≥>＞]|(?<!每)间?隔|过了|过|满|[头前](?=[一二两三四五六七八九十\d])"
    r"|最初|最开始|起初|开始)?的?第?"
    rf"(?P<amount>{_NUMBER}\s?{_UNIT})(?![前后]{{2}})"
    r"(?P<bound>以内|之内|内|里|以后|之后|过后|后|开外|以上|以下|以前|之前|前|及以上|及以下)?"
)
_WITHIN = frozenset(["以内", "之内", "内", "里", "以下", "及以下", "以前", "之前", "前"])
_UP_TO = re.compile(r"不|未|低|小于|少于|[≤<＜]|头|前|最初|最开始|起初|开始")
_AFTERWARDS = re.compile(r"^(?:之后|此后|以后|然后|其后|随后|后来)")
_OPPOSITE = {"≤": "＞", "＞": "≤", "前": "后", "后": "前"}
_SIGN = re.compile(r"〔(?P<bound>[≤＞前后])(?P<amount>[^〔〕]{1,60})〕")
_FORBIDS = re.compile(r"不(?:能|可|要|宜|得|应|必|用|该|允许)|禁|忌|勿|避免|别")

_BEHIND_CLAUSES = re.compile(r"(?<=[，,。；;！!？?\n])")
_CLAUSES, _SENTENCES = re.compile(r"[，,。；;！!？?\n]"), re.compile(r"[。；;！!？?\n]")
_FIRST_THEN = re.compile(r"(先[^，。；]{1,12}?)(?=(?:然后|再|后)[^，。；])")
_TOKEN = re.compile(r"〔[^〔〕]{1,60}〕|\d+(?:\.\d+)?|[A-Za-z]+|[\u4e00-\u9fff]")
# Characters that carry no condition and no advice
_EMPTY = frozenset("的了为是应该当可以则改用要就才也都在于把被将与和及者时并而且所因此故那么每次服宜需须能会")

LONGEST = 14  # characters of their own that two parts of an answer may have, to be compared as 甲用子，乙用丑 are
APART = 2  # clauses between the two that exchange them
SAID = 0.5  # of a part's own characters that the end says at all: a subject need not be said again
MOST = 0.8  # of those, what the two clauses of an exchange say, or the one of a repetition

_EVENT = "怀孕|受孕|妊娠|孕|分娩|生产|产|手术|术|月经|经|断奶|出院|接种"
_POINT = rf"(?P<event>{_EVENT})(?:之|以)?(?P<side>[前后]|满)?第?(?P<amount>{_NUMBER}\s?{_UNIT})?"
_STARTS = (re.compile(rf"[从自由]{_POINT}"), re.compile(rf"{_POINT}(?:就|便|时)?(?:开始|起)"))
_STOPS = (
    re.compile(rf"(?:(?<!不)[到至]|直到|直至){_POINT}"),
    re.compile(rf"{_POINT}(?:以?后|时)?(?:就|即|便|可以?|能|应){{0,3}}(?:停|不再)"),
)
_EVENTS = {"怀孕": "孕", "受孕": "孕", "妊娠": "孕", "分娩": "产", "生产": "产", "手术": "术", "月经": "经"}


def find_turned_condition(end: str, answer: str) -> str | None:
    """Return which condition of an answer the end of a reasoning turns round; None if there is none.

    Both texts: only what they assert, since 若超过72小时 says nothing of when to begin.
    """
    return _find_turned_bound(_marked(end), _marked(answer)) or _find_other_span(end, answer)


def find_exchange(end: str, answer: str) -> str | None:
    """Return the two parts of an answer whose advice the end of a reasoning exchanges; None if there are none."""
    return _find_exchange(_with_afterwards(_marked(end)), _with_afterwards(_marked(answer)))


def are_complements(end: str, answer: str) -> bool:
    """Return whether two texts speak of the two sides of one bound: 6岁以下禁用 and 6岁以上才可用 agree."""
    said, wanted = (
        {(match["bound"], match["amount"]) for match in _SIGN.finditer(_marked(one))} for one in (end, answer)
    )
    return bool(said) and not said & wanted and any((_OPPOSITE[bound], amount) in wanted for bound, amount in said)


def _marked(text: str) -> str:
    """Return the text with each bounded quantity as one sign: 两天内 and 头两天 → 〔≤#48小时〕."""
    clauses = []
    for clause in _BEHIND_CLAUSES.split(_FIRST_THEN.sub(r"\1，", spelt_out(simplify(text)))):
        marked = _BOUNDED.sub(_sign, clause)
        clauses.append(re.sub(r"(?<=[^，])(?=〔)", "，", marked) if len(_SIGN.findall(marked)) > 1 else marked)
    return "".join(clauses)


def _with_afterwards(marked: str) -> str:
    """Return the text with the other side of the last bound for a 之后 that begins a clause."""
    clauses, last = [], ""
    for clause in _BEHIND_CLAUSES.split(marked):
        clauses.append(_AFTERWARDS.sub(last, clause) if last else clause)
        if found := list(_SIGN.finditer(clauses[-1])):
            last = f"〔{_OPPOSITE[found[-1]['bound']]}{found[-1]['amount']}〕"
    return "".join(clauses)


def _sign(match: re.Match[str]) -> str:
    amount = read_quantity(match["amount"])
    side, lead, bound = match["side"], match["lead"], match["bound"]
    if amount is None:
        return match[0]
    if bound:
        sign = "≤" if bound in _WITHIN else "＞"
    elif lead:
        sign = "≤" if _UP_TO.match(lead) else "＞"
    elif side:
        sign = side
    else:
        return match[0]
    if match["not"] and re.search(r"[等拖晚迟]|超过|大于|过", match["not"] + (lead or "")):
        return match[0]  # 不能拖到72小时以后 says 72小时内 in another way
    return f"{match['not'] or ''}〔{sign}{amount}〕"


def _find_exchange(end: str, answer: str) -> str | None:
    for how, by in ((_CLAUSES, _CLAUSES), (_SENTENCES, _CLAUSES), (_SENTENCES, _SENTENCES)):
        parts = [one for one in how.split(answer) if one.strip()][:12]
        said = [one for one in by.split(end) if one.strip()][:12]
        tokens = [set(_tokens(clause)) for clause in said]
        everything = set().union(*tokens)
        for one, other in pairwise(parts):
            first, second = set(_tokens(one)), set(_tokens(other))
            first, second = first - second, second - first
            if not all(
                len(part) <= LONGEST and len(part & everything) >= max(2, SAID * len(part)) for part in (first, second)
            ):
                continue
            first, second = first & everything, second & everything
            if any(_repeats(clause, first, second) or _repeats(clause, second, first) for clause in tokens):
                continue
            forbids = {bool(_FORBIDS.search(part)) for part in (one, other)}
            fit = [(n, each) for n, each in enumerate(tokens) if bool(_FORBIDS.search(said[n])) in forbids]
            if any(
                abs(n - m) <= APART and _is_exchanged(a, b, first, second) for (n, a), (m, b) in permutations(fit, 2)
            ):
                return f"{_readable(one)}；{_readable(other)}：说反"
    return None


def _repeats(clause: set[str], part: set[str], other: set[str]) -> bool:
    """Return whether a clause says what one part of an answer says, and nothing of the other."""
    return len(clause & part) >= MOST * len(part) and not clause & other


def _is_exchanged(one: set[str], other: set[str], first: set[str], second: set[str]) -> bool:
    """Return whether two clauses share out what belongs together in each of two parts of an answer."""
    both = one & other  # 痰 in 干咳宜化痰，痰多宜润肺 tells the two apart in neither
    crossed = (one & first, one & second, other & first, other & second)
    return (
        all(part - both for part in crossed)
        and len(crossed[0] | crossed[2]) >= MOST * len(first)
        and len(crossed[1] | crossed[3]) >= MOST * len(second)
    )


def _tokens(clause: str) -> Iterator[str]:
    return (token for token in _TOKEN.findall(clause) if token not in _EMPTY)


def _readable(clause: str) -> str:
    return clause.strip().replace("〔", "").replace("〕", "").replace("#", "")[:20]


def _find_turned_bound(end: str, answer: str) -> str | None:
    """Return a quantity that the answer bounds from one side and the end from the other."""
    said, wanted = _bounds(end), _bounds(answer)
    for amount in said.keys() & wanted.keys():
        for bound, forbids in wanted[amount]:
            turned = _OPPOSITE[bound]
            if (turned, forbids) in said[amount] and not {one for one, _ in said[amount]} & {
                one for one, _ in wanted[amount]
            }:
                return f"{turned}{amount} ≠ {bound}{amount}".replace("#", "")
    return None


def _bounds(text: str) -> dict[str, set[tuple[str, bool]]]:
    """Return for each bounded quantity its bounds, each with whether the clause forbids something."""
    found: dict[str, set[tuple[str, bool]]] = {}
    for clause in _CLAUSES.split(text):
        for match in _SIGN.finditer(clause):
            found.setdefault(match["amount"], set()).add((match["bound"], bool(_FORBIDS.search(clause))))
    return found


def _find_other_span(end: str, answer: str) -> str | None:
    """Return where the end begins or stops at another point than the answer: 从孕后 and 自孕前3个月."""
    for patterns in (_STARTS, _STOPS):
        said, wanted = (_points(text, patterns) for text in (end, answer))
        if said and wanted and not said & wanted:
            return f"{''.join(min(said))} ≠ {''.join(min(wanted))}".replace("#", "")
    return None


def _points(text: str, patterns: tuple[re.Pattern[str], ...]) -> set[tuple[str, str, str]]:
    plain = spelt_out(simplify(text))
    return {
        (
            _EVENTS.get(match["event"], match["event"]),
            "前" if match["side"] == "前" else "后",
            read_quantity(match["amount"] or "") or "",
        )
        for pattern in patterns
        for match in pattern.finditer(plain)
    }
