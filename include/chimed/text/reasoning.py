"""Check what a model thought before its answer: may it be learnt from? Used by `reason`.

Ours. A right answer does not make its reasoning right: models think in English, turn in circles, name a dose that
nobody gave, or conclude something else than they answer. These rules see form and contradiction, not sense; what they
reject has a reason of its own, the same few words for each kind.
"""

import re
import unicodedata
from collections.abc import Collection

from chimed.text import identifiers
from chimed.text.amounts import TIMES, find_known, find_quantities, is_among, unit_of
from chimed.text.conditions import are_complements
from chimed.text.contrary_words import find_contrary
from chimed.text.control_tokens import PATTERN
from chimed.text.exams.options import LETTERS
from chimed.text.grounding.questions import is_yes_or_no
from chimed.text.repetition import find_loop, find_repeated_sentence
from chimed.text.terms import find_names, other_names

LENGTHS = (20, 1_200)  # characters: below there is no thought, and above an answer is cut in training
HAN_SHARE = 0.7  # share of letters that are Chinese characters: units and abbreviations are not
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_ENGLISH = re.compile(r"(?:[A-Za-z]{1,30}[ ,.;:'’\-]{1,3}){7,60}[A-Za-z]")  # eight words of a sentence in English
_CONTROL = re.compile(PATTERN)
# What only somebody says who has a text before him; a reader of the question has none
_OF_THE_TEXT = re.compile(
    r"文档|原文|上文|文中|本文|该文|(?:给出|提供|所给|上述|以上|上面|这段|该段|题干外)的?(?:材料|资料|内容|文字|信息|文本|知识|段落)"
    r"|(?:根据|按照|依据|参考|阅读|从)(?:材料|资料|文本|文字|上述|以上)|(?:材料|资料|文本)(?:中|里|提到|指出|显示|表明|说)"
)
_CONCLUDES = re.compile(r"(?:所以|因此|因而|故此|综上|总之|可见|由此|由上|答案)")
_LETTERS = r"(?<![A-Za-z])[A-H](?:[ 、，,和与及]{0,3}[A-H]){0,7}(?![A-Za-z])"
# An option that is named as the right one: 答案是C, 故选A, 应选择 B、D, C正确; not one that is ruled out: 不选A
_CHOSEN = re.compile(
    rf"(?:(?<![不别非未])(?<!不[应能可该])(?:应该|应当|应|故|所以|因此|可以|只能)?选择?|答案|正确的?选?项|正确的|符合题意的)"
    rf"(?:应该|应当|应)?(?:是|为|就是|即|选)?[：:]? {{0,2}}(?:选项)?(?P<behind>{_LETTERS})"
    rf"|(?P<before>{_LETTERS})(?:选?项)? {{0,2}}(?:是|为|最|才是?|说法)?(?:最佳|正确|符合|对的|为宜)(?!与否)"
)
# What is chosen for the sake of argument, or by others, up to the conclusion that a clause draws itself
_OTHERS_CHOICE = re.compile(
    r"(?:若|如果|假如|假设|假定|倘若|要是|先设|再设|有人|有些人|不少|很多|许多|容易|易误|误|错|看似|似乎|乍看|好像|看起来|虽)[^则就故]{0,20}$"
)
_WHO_CHOSE = re.compile(r"[^，。；]{0,6}(?:的(?:人|同学|考生|理由|话)|者)")
_WRAPPED = re.compile(r"[*_`\"'“”‘’【】\[\](){}$\u200b-\u200f\ufeff]|\\boxed")
_CHOICE = re.compile(
    r"(?:正确|答案|选项|应选|选|[是为: ]){0,6}(?P<letters>[A-H](?:[、, 和]{0,3}[A-H]){0,7})"
    r"(?P<rest>(?![A-Za-z]).{0,400})",
    re.DOTALL,
)
_NEGATED = re.compile(r"不(?:能|可以?|宜|应该?|要|得|建议|行|是|会|需|必)|没有|未[能见证发]|禁|忌|勿|否")
_FORBIDS = re.compile(r"不(?:能|可以?|宜|应该?|要|得|建议)|禁|忌|勿|慎|避免")
_ALLOWS = re.compile(r"(?<!不)(?:可以|能够|可放心|可安全|(?<![不适])宜|推荐|适合|放心)")


def find_fault(reasoning: str) -> tuple[str, str] | None:
    """Return what is wrong with a reasoning alone (reason, detail), whatever it is about; None if nothing."""
    if len(reasoning) < LENGTHS[0]:
        return "reasoning too short", str(len(reasoning))
    if len(reasoning) > LENGTHS[1]:
        return "reasoning too long", str(len(reasoning))
    if token := _CONTROL.search(reasoning):
        return "control token in the reasoning", token[0]
    if found := identifiers.find_identifiers(reasoning):
        return "identifier in the reasoning", found[0].kind
    if (share := han_share(reasoning)) < HAN_SHARE:
        return "reasoning not in Chinese", f"{share:.0%} Chinese"
    if english := _ENGLISH.search(reasoning):
        return "reasoning not in Chinese", english[0][:40]
    if piece := find_loop(reasoning) or find_repeated_sentence(reasoning):
        return "reasoning repeats itself", piece
    return None


def han_share(text: str) -> float:
    """Return the share of a text's letters that are Chinese characters; 0 without letters."""
    letters = sum(letter.isalpha() for letter in text)
    return len(_HAN.findall(text)) / letters if letters else 0.0


def find_other_choice(reasoning: str, right: str, options: dict[str, str]) -> tuple[str, str] | None:
    """Return how a reasoning contradicts the right letters of a choice (reason, detail); None if it does not.

    The last option that it names as the right one counts. One that names none must not end with another option's text.
    """
    plain = _plain(reasoning)
    chosen = [match["behind"] or match["before"] for match in _CHOSEN.finditer(plain) if _is_meant(plain, match)]
    if chosen:
        said = letters_in(chosen[-1])
        return None if said == right else ("reasoning contradicts the answer", f"concludes {said}, answers {right}")
    end = _conclusion(reasoning)
    named = [
        letter for letter, text in options.items() if len(text) > 1 and text in end and not _is_ruled_out(end, text)
    ]
    if named and not set(named) & set(right):
        return "reasoning contradicts the answer", f"ends with {named[0]}, answers {right}"
    return None


def _is_meant(text: str, match: re.Match[str]) -> bool:
    """Return whether a choice is the thought's own: 若选A, 有人会选A, 看似选A and 选A的人 are not."""
    clause = re.split(r"[，,。；;！？\n]", text[max(0, match.start() - 30) : match.start()])[-1]
    return not _OTHERS_CHOICE.search(clause) and not _WHO_CHOSE.match(text, match.end())


def read_choice(answer: str, options: dict[str, str]) -> str:
    """Return the letters that an answer chooses, sorted; empty where it says anything but letters or their option.

    C, AB, A、C, 选C, (C) and C. 黄芪 choose; C或D and C错误，选B do not.
    """
    match = _CHOICE.fullmatch(_plain(answer).strip())
    letters = letters_in(match["letters"]) if match else ""
    rest = match["rest"].strip(" .、:。,") if match else ""
    return (
        letters if not rest or any(rest == _plain(options.get(letter, "")).strip(" 。") for letter in letters) else ""
    )


def _plain(text: str) -> str:
    """Return the text in plain width, without marks of emphasis, quotation and brackets."""
    return _WRAPPED.sub("", unicodedata.normalize("NFKC", text))


def letters_in(text: str) -> str:
    """Return the letters of options in a text that names nothing else, sorted."""
    return "".join(sorted(set(text) & set(LETTERS)))


def _is_ruled_out(end: str, text: str) -> bool:
    at = end.find(text)
    return bool(re.search(r"[不非未]|排除|错误", end[max(0, at - 6) : at] + end[at + len(text) :][:6]))


def find_contradiction(reasoning: str, question: str, answer: str) -> tuple[str, str] | None:
    """Return how a reasoning's conclusion contradicts the answer it leads to (reason, detail); None if it does not.

    Their quantities of one unit are compared, yes and no where that is asked, whether one forbids what the other
    allows, words that exclude each other, such as 饭前 and 饭后, and what each says under which condition.
    """
    end = _conclusion(reasoning)
    concluded, answered = (find_quantities(text) for text in (end, answer))
    units, known = {unit_of("#" + said) for said in answered.values()}, {*answered, *find_quantities(question)}
    for one, said in sorted(concluded.items()):
        if unit_of("#" + said) in units and not is_among(one, known):
            return "reasoning contradicts the answer", f"concludes {said}"
    times = [[one for one in several if unit_of(one) in TIMES] for several in (concluded, answered)]
    if all(len(several) == 1 for several in times) and not is_among(times[0][0], {*known, times[1][0]}):
        return "reasoning contradicts the answer", f"concludes {concluded[times[0][0]]}"
    if is_yes_or_no(question) and bool(_NEGATED.search(end)) != bool(_NEGATED.search(answer)):
        return "reasoning contradicts the answer", f"concludes {end[:40]}"
    for one, other in () if are_complements(end, answer) else ((end, answer), (answer, end)):
        only_forbids = _FORBIDS.search(one) and not _ALLOWS.search(one)
        if only_forbids and _ALLOWS.search(other) and not _FORBIDS.search(other):
            return "reasoning contradicts the answer", f"concludes {end[:40]}"
    if contrary := find_contrary(end, answer, reasoning):
        return "reasoning contradicts the answer", contrary
    return None


def find_strange_quantity(reasoning: str, known: Collection[str]) -> tuple[str, str] | None:
    """Return a quantity of the reasoning that none of the known texts has (reason, detail); None if there is none."""
    there = set().union(*map(find_known, known))
    strange = sorted(said for one, said in find_quantities(reasoning).items() if not is_among(one, there))
    return ("reasoning states a quantity of its own", strange[0]) if strange else None


def find_other_subject(reasoning: str, question: str) -> tuple[str, str] | None:
    """Return the name that a reasoning speaks of instead of those in the question (reason, detail).

    Names are those of herbs, formulas and acupoints in the list of terms, with their aliases.
    """
    asked, named = (
        {other for name in find_names(text) for other in (name, *other_names(name))} for text in (question, reasoning)
    )
    if not asked or not named or asked & named:
        return None
    return "reasoning about something else", sorted(named)[0]


def find_mention(reasoning: str) -> tuple[str, str] | None:
    """Return how a reasoning speaks of the text that it was given (reason, detail); None if it does not."""
    found = _OF_THE_TEXT.search(reasoning)
    return ("reasoning speaks of the document", found[0]) if found else None


def _conclusion(reasoning: str) -> str:
    """Return the end of a reasoning: from its last 所以 or 因此, or else its last sentence."""
    last = max((match.start() for match in _CONCLUDES.finditer(reasoning)), default=None)
    if last is not None:
        return reasoning[last:]
    sentences = [one for one in re.split(r"[。！？；\n]", reasoning) if one.strip()]
    return sentences[-1] if sentences else ""
