"""Read who must not take a medicine, and the herbs that it must not be given with: 孕妇禁用，反藜芦. Ours.

What holds only under a condition says so (外用时，孕妇慎用), also where the condition stands behind it
(孕妇禁用，小量除外).
What the entry itself takes back (传统认为反藜芦，今无依据) is no statement of it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from chimed.text.graph.fact import Fact
from chimed.text.graph.heads import clauses
from chimed.text.terms import is_herb

LONGEST_TABOO = 200  # characters; a longer clause is no statement of an entry
LONGEST_CONDITION = 24
MOST_CONDITIONS = 4  # of one statement
LONGEST_HERB = 8
LONGEST_LIST = 80  # characters of herbs' names without a mark between them
_PART = re.compile(r"[^，,]+")
_TABOO = re.compile(r"忌|禁|慎|不宜|不可|不得|不能|勿|避免|(?<!无)毒")
_SAYS_NOTHING = re.compile(r"尚不明确|不详|暂无|未见|无特殊|谨慎用药|无(?:明显|绝对)?(?:使用)?禁忌|无此忌")
_NO_TABOO = re.compile(
    r"不可信|不[可必]拘泥|不必[避禁忌]\w?|不[再]?[忌禁反畏恶]|[无毋]此?[须需]?(?:[避禁]?忌|[禁毒])|不?慎用即可"
)
_FORBIDDEN = r"(?:不宜|不可|不能|不得|不应|不要|忌|禁|勿|避免)"
_TOGETHER = r"(?:同用|配伍|合用|并用|同服|一起|伍用|配用|联用|共用|混用|同时[服使]?用)"
_NOT_WITH = re.compile(
    rf"{_FORBIDDEN}[与同和跟](?P<herbs>[\u3400-\u9fff、，,]{{1,80}}?){_TOGETHER}"
    rf"|不[与同](?P<not_with>[\u3400-\u9fff、]{{1,80}}?){_TOGETHER}"
    rf"|[与同和跟](?P<apart>[\u3400-\u9fff、]{{1,80}}?)(?:{_FORBIDDEN}{_TOGETHER}|相[反恶畏])"
    r"|(?<![不无非未相])[反畏恶](?![应胃复映心寒热化性光而射露阻风食酸疮血气臭冷])(?P<bare>[^\W\d_反畏恶相a-zA-Z]{1,40}(?:、[^\W\d_反畏恶a-zA-Z]{1,20}){0,20})"
)
_BETWEEN_HERBS = re.compile(r"[^、，,]+")
_AND = re.compile(r"[^和及与]+")
_BEHIND_HERBS = re.compile(r"(?:等药?|之?类|诸药|同用|配伍|合用|者|药){1,6}$")
# conditions: as a part of its own, at the head of a part, in brackets, and what a following part takes out
_MANNER = (
    r"(?:[超大小少过]剂?量|长期|久服|单独|未经?炮制|炮制不[当透])(?:[服使]?用|者)?"
    r"|[酒醋姜蜜]?[生鲜炒炙制煅](?:[服使]用|用|品|者)|外用|内服|外敷|外洗|注射|煎服|泡酒服?"
)
_ALONE = re.compile(
    rf"(?:若|如果?|倘若?|一旦|假如)[^、]{{2,20}}|[^、]{{1,16}}(?:时|的情况下|情况下|期间|的话)|(?:[服用煎煮炒制]|炮制)[^、]{{0,4}}[前后]"
    rf"|{_MANNER}|(?:用量|剂量|药量)(?:过|较|偏|太)?[大多重]|除(?:了|非)?[^、]{{1,14}}|非[^、]{{1,8}}|与[^、]{{1,12}}{_TOGETHER}"
)
_AHEAD = re.compile(
    rf"(?:(?:若|如果?|当|倘若?)?[^、者]{{1,16}}?(?:时(?![疫行令邪])|的情况下|期间)|(?:若|如果?|倘若?|一旦)[^、]{{2,16}}?[者则]"
    rf"|与[^、]{{1,12}}?{_TOGETHER}(?=[孕产妇女小婴老儿经哺阴阳虚实脾肝体])|(?:用量|剂量)(?:过|较|偏|太)[大多重])(?=.)"
)
_MANNER_AHEAD = re.compile(rf"(?:{_MANNER})(?=.)")
_HELD = re.compile(
    r"(?:传统|古[人书籍代]|旧[说时]|过去|前人|历[代来]|相传|民间|旧?本草|以往|既往|从前|文献|据载|据?《[^》]{1,12}》|有人|一说|虽[云言谓]|有[\u4e00-\u9fff]{0,4}[言云谓]其?)"
    r"[上中]?(?:认为|记载|多?[载说谓称]|以为|有)?(?=.)"
)
_EXCEPTS = re.compile(
    r"亦有|除外|例外|不[限拘]|不在此[限例]|不[禁忌]|无妨|无碍|不受|(?:可|尚可|亦可|则可|即可|方可|才可)[以酌]?(?:[用服]|[使应]用|$)|酌[情用]|可.{0,6}[使应]用|除非|以外|之外"
)
_BRACKETED = re.compile(r"[（(]([^（()）]{2,24})[）)]")
_TAKES_BACK = re.compile(
    r"(?:^[今现]|现[代今在]|近[代年来]|目前|当代|当今|如今|后世|后人|实际|实践|实验|临床|研究|事实|[然但]|其实|已)[^。；]{0,20}?"
    r"(?:可以?(?:[用服]|同用|配|合)|[无没]有?(?:明确|充分|科学|足够|可靠)?(?:[依根证]据|此说|此忌|禁忌|毒|害|妨|不良)|并[不无非]"
    r"|不[成]?立|不足[信凭为]|不可信|不[必须]|[无毋][须需]|不再?[禁忌反]|未[见必]|未[能]?(?:发现|证实|获)|尚无|同用|配伍|合用|安全|存疑|不拘"
    r"|争议|否[定认]|推翻|不支持|不尽然|拘泥|慎用即可|纠正|取消|不确|有误|错误)"
    r"|^(?:此说|其说|此论|该说法?)[^。；]{0,8}(?:不|无|误|非|存疑|可疑)|^(?:并?无|缺乏|没有)(?:任何|科学)?[依根证]据"
)
_OF_A_WAY = re.compile(
    r"外用|内服|[小少微适]剂?量|[炒炙制煅生鲜煎熟][用品制]?(?:者|后|则|不|无|可)|医[生师嘱]|短期|必要|辨证|病情|有故|确[需有]|指导|者(?=可|尚|不|除)|除外|例外|以外"
)


_SAME_SUBJECT = re.compile(r"[亦也且并又故则更尤均都应须当以]{0,2}(?:不|[忌禁慎勿]|宜慎|避免)")


@dataclass
class _Statement:
    """Parts of a clause that hold under the same conditions."""

    parts: list[tuple[int, int]]
    conditions: list[str] = field(default_factory=list)
    only_one: bool = False  # the condition is said of the first part alone
    forbids: bool = False  # a part says that something must not be

    def condition(self) -> str | None:
        return "，".join(dict.fromkeys(self.conditions)) or None


def find_taboos(text: str, start: int, end: int) -> Iterator[Fact]:
    """Yield who must not take it (relation has_taboo), in the text's own words, and the herbs that it must not be given
    with (not_given_with). condition: under which it holds, in front of it or behind it."""
    stated: list[_Statement] = []
    for low, high, head in clauses(text, start, end):
        if not _SAYS_NOTHING.search(text, low, high) or _is_taken_back(text[low:high]):
            _read_clause(text, low, high, head, stated)
    for one in stated:
        if not one.parts:
            continue
        low, high = one.parts[0][0], one.parts[-1][1]
        for at, name in _herbs_against(text, low, high):
            yield Fact("not_given_with", "herb", name, None, one.condition(), at, at + len(name))
        said = text[low:high]
        if len(said) <= LONGEST_TABOO and (_TABOO.search(said) or _NOT_WITH.search(said)):
            yield Fact("has_taboo", None, None, said, one.condition(), low, high)


def _read_clause(text: str, low: int, high: int, head: str | None, stated: list[_Statement]) -> None:
    """Add what a clause states. A part that takes something back or out speaks of what stands before it."""
    given = [head] if head else []
    current: _Statement | None = None
    for match in _PART.finditer(text, low, high):
        words = match[0].strip()
        if not words or any(_is_taken_back(note) for note in _BRACKETED.findall(words)):
            continue
        begin = match.start() + match[0].index(words)
        forbids = _TABOO.search(_NO_TABOO.sub("", words)) is not None or _NOT_WITH.search(words) is not None
        if not forbids and _amends(text, words, stated):
            current = None
            continue
        alone = not forbids and len(words) <= LONGEST_CONDITION and match.end() < high and bool(_ALONE.fullmatch(words))
        ahead, only_one = ([words], False) if alone else _conditions_of(words)
        if current is not None and current.parts and not current.forbids and ahead:  # 肾病患者，长期服用时慎用
            current.conditions, current.only_one = [*current.conditions, *ahead][:MOST_CONDITIONS], only_one
        elif current is None or ahead or _is_another(current, words):
            current = _Statement([], [*_going_on(current, ahead, given), *ahead], only_one)
            stated.append(current)
            if alone:
                continue
        current.parts.append((begin, begin + len(words)))
        current.forbids |= forbids


def _amends(text: str, words: str, stated: list[_Statement]) -> bool:
    """Apply a part that takes back what was stated last, or takes something out of it, and return whether it is one."""
    if not stated or not stated[-1].parts:
        return False
    if _is_taken_back(words):
        _take_back(text, stated[-1])
        return True
    if len(words) <= LONGEST_CONDITION and _EXCEPTS.search(words) and not _ALONE.fullmatch(words):
        stated[-1].conditions = [*stated[-1].conditions, words][:MOST_CONDITIONS]
        return True
    return False


def _is_another(current: _Statement, words: str) -> bool:
    """Whether a part no longer speaks of the preparation or the way that the part before it named."""
    forbids = _TABOO.search(words.replace("毒", "")) is not None
    return current.only_one and current.forbids and forbids and not _SAME_SUBJECT.match(words)


def _going_on(current: _Statement | None, ahead: list[str], given: list[str]) -> list[str]:
    """Return the conditions that hold for a new statement as they did for the one before it."""
    return given if current is None or current.only_one or ahead else current.conditions or given


def _conditions_of(words: str) -> tuple[list[str], bool]:
    """Return the conditions within a part, and whether they are said of this part alone (内服不宜过量，孕妇禁用)."""
    found, at = [], 0
    if held := _HELD.match(words):
        found.append(held[0])
        at = held.end()
    if (ahead := _AHEAD.match(words, at)) and not _TABOO.search(ahead[0]) and _TABOO.search(words, ahead.end()):
        return [*found, ahead[0]], False
    manner = _MANNER_AHEAD.match(words, at)
    while manner and len(found) < MOST_CONDITIONS and _TABOO.search(words, manner.end()):
        found.append(manner[0])
        manner = _MANNER_AHEAD.match(words, manner.end())
    found += [note for note in _BRACKETED.findall(words) if _EXCEPTS.search(note) or _ALONE.fullmatch(note)]
    return found, bool(found)


def _is_taken_back(words: str) -> bool:
    return _TAKES_BACK.search(words) is not None and not _OF_A_WAY.search(words)


def _take_back(text: str, statement: _Statement) -> None:
    """Remove the last part, and of several parts about herbs all."""
    of_herbs = True
    while statement.parts and of_herbs:
        begin, end = statement.parts.pop()
        of_herbs = bool(_NOT_WITH.search(text, begin, end)) or bool(_split_herbs(text[begin:end]))


def _herbs_against(text: str, low: int, high: int) -> Iterator[tuple[int, str]]:
    """Yield where each herb stands that it must not be given with, and its name."""
    for against in _NOT_WITH.finditer(text, low, high):
        group = next(name for name in ("herbs", "not_with", "apart", "bare") if against[name])
        begin, end = against.span(group)
        if group == "bare":  # 反甘草，大戟，芫花
            for part in _PART.finditer(text, end, high):
                if text[end] not in "，," or not all(_split_herbs(one) for one in _BETWEEN_HERBS.findall(part[0])):
                    break
                end = part.end()
        for item in _BETWEEN_HERBS.finditer(text, begin, end):
            whole = [item] if _split_herbs(item[0]) else _AND.finditer(text, *item.span())  # 白及 has such a word
            for one in whole:
                at = one.start()
                for name in _split_herbs(one[0]) or _split_herbs(_BEHIND_HERBS.sub("", one[0])):
                    yield at, name
                    at += len(name)


def _split_herbs(words: str) -> list[str]:
    """Return the herbs' names that words are made of, as few as can be: 甘遂大戟; empty where a rest names none."""
    if len(words) > LONGEST_LIST:
        return []
    best: list[list[str] | None] = [[], *[None] * len(words)]
    for end in range(1, len(words) + 1):
        for begin in range(max(0, end - LONGEST_HERB), end):
            so_far = best[begin]
            if so_far is None or not is_herb(words[begin:end]):
                continue
            known = best[end]
            if known is None or len(so_far) + 1 < len(known):
                best[end] = [*so_far, words[begin:end]]
    return best[-1] or []
