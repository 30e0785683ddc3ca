"""Tell the words of a turn from what a consultation site puts beside them: labels, stamps, places, buttons. Ours.

A line leaves only by its full form, never by its first word: 8:00 and 2026-09-01 may be the answer to a question, and
来自中药黄连 is what somebody said. What stands in an element of its own (`of_no_words`) needs no form. Pure functions.
"""

import re

from chimed.roles import ASKER, DOCTOR
from chimed.sources.text import of_class

_TITLES = "医生|医师|大夫|专家|主任|教授|药师"
_ANSWERING = "追答|补充回答|补充回复|回复追问|回复|答复|回答|解答|补充"
_ASKING = "追加提问|补充提问|继续追问|再次追问|追问|提问者|提问|患者|网友|用户"
_NAMES_ROLE = ((re.compile(f"追答|{_TITLES}"), DOCTOR), (re.compile(_ASKING), ASKER), (re.compile(_ANSWERING), DOCTOR))
_LABEL = re.compile(
    rf"\A(?:(?:{_TITLES}|患者|网友|用户|提问者)?的?(?:{_ANSWERING}|{_ASKING})|{_TITLES})\s{{0,4}}([:：]?)\s{{0,4}}\Z"
)
_ASKER_LED = re.compile(rf"\A(?:{_ASKING})(?:补充|追问)?\s{{0,4}}[:：]\s*+")
_DOCTOR_LED = re.compile(rf"\A(?:(?:{_TITLES})?的?(?:{_ANSWERING})|{_TITLES})\s{{0,4}}[:：]\s*+")
_NAMED_DOCTOR = re.compile(rf"\A([\u4e00-\u9fff·]{{2,8}}?)(?:{_TITLES})(?:{_ANSWERING})\s{{0,4}}[:：]\s*+")
_NO_NAME = re.compile(rf"{_TITLES}|{_ANSWERING}|{_ASKING}|[副主治住院]|来自|[^\u4e00-\u9fff]")
_TITLE = re.compile(r"(?:副?主任|主治|住院)?(?:医师|医生|大夫|教授)\Z")

# --- stamps: both sites write 2026-09-01 19:02, with seconds or without --------------------------------------------
_DAY = r"(?:19|20)\d\d[-/]\d{1,2}[-/]\d{1,2}"
_CLOCK = r"\d{1,2}[:：]\d{2}(?:[:：]\d{2})?"
_TO_THE_SECOND = rf"{_DAY}\s{{0,4}}\d{{1,2}}[:：]\d{{2}}[:：]\d{{2}}"
_SAID_AT = rf"(?:{_ANSWERING}|{_ASKING}|发表|提交)"
_STAMP = re.compile(rf"\A{_DAY}\s{{0,4}}{_CLOCK}\Z")
_MACHINE_STAMP = re.compile(rf"\A{_TO_THE_SECOND}\Z")  # nobody types seconds
_LABELLED_STAMP = re.compile(
    rf"\A{_SAID_AT}(?:(?:时间|于)\s{{0,4}}[:：]?\s{{0,4}}(?:{_DAY}\s{{0,4}}(?:{_CLOCK})?|{_CLOCK})"
    rf"|\s{{0,4}}[:：]?\s{{0,4}}{_DAY}\s{{0,4}}{_CLOCK})\Z"
)
_ONLY_A_TIME = re.compile(rf"\A(?:{_DAY}\s{{0,4}}(?:{_CLOCK})?|{_CLOCK})\Z")
_STAMP_AT_END = re.compile(
    rf"(?:\s?{_SAID_AT}于\s?{_DAY}\s{_CLOCK}|\s?{_TO_THE_SECOND}|(?<=[。！？!?…～~）)])\s?{_DAY}\s{_CLOCK})\Z"
)
_SENTENCE_ENDS = ("。", "！", "？", "!", "?", "…", "～", "~", "）", ")")

# --- places: 来自江苏 南京 stands beside what an asker says ----------------------------------------------------------
_PROVINCES = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南"
    "|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
_PLACE = re.compile(
    rf"\A(?:来自|所在地[:：]|地区[:：])[:：]?\s*(?:{_PROVINCES})(?:省|市|(?:壮族|回族|维吾尔)?自治区|特别行政区)?"
    r"(?:[\u4e00-\u9fff]{1,8}[市县区州盟旗])?(?:[ ·,，-]{1,3}[\u4e00-\u9fff]{2,8}){0,2}(?:的?(?:网友|用户|患者))?\Z"
)
# 来自江苏南京: a town right behind its province; 来自云南白药 is a medicine
_TOWN = re.compile(rf"\A来自(?:{_PROVINCES})省?(?![^\n]{{0,3}}[药丸散膏片汤胶丹酒])[\u4e00-\u9fff]{{2,4}}\Z")

# --- buttons -------------------------------------------------------------------------------------------------------
_DOES = "追问|咨询|提问|回复|回答|评价"
_BUTTON = re.compile(
    rf"\A(?:(?:(?:我要|继续|再次|点击)(?:{_DOES})|(?:{_DOES})[>＞]|[向问](?:他|她|TA|ta|医生)提问|举报|投诉"
    r"|查看(?:更多|全部)(?:问题|回答|回复|追问|答案|评论)?|(?:有用|没用|赞|感谢)[(（]\d{0,6}[)）])[>＞\s]{0,9})+\Z"
)
_BUTTON_OR_WORD = re.compile(rf"\A(?:(?:{_DOES}|找医生|取消|提交|收起|展开|举报|投诉)[>＞\s]{{0,9}})+\Z")


def of_no_words() -> str:
    """Return an XPath condition for the elements of a stamp: `<time>`, and a short text whose class says so."""
    stamp = of_class("time", "date", "addtime", "add_time", "pubtime")
    return f"self::time or (({stamp}) and string-length(normalize-space(.)) < 30)"


def words(lines: list[str], role: str, doctor: str) -> str:
    """Return the words of a turn's lines, joined with line feeds; empty if they have none.

    A day or a clock alone is words. A stamp (a day and a clock) leaves as the first or the last of several lines, and a
    word that may be a button, such as 取消, as the last.
    """
    left = [_STAMP_AT_END.sub("", line).strip() or line for line in (_without_lead(one, role, doctor) for one in lines)]
    left = [line for line in left if line and not _is_beside(line, role, doctor)]
    while len(left) > 1 and (_STAMP.match(left[0]) or is_label(left[0])):
        left = left[1:]
    while len(left) > 1 and _may_leave_at_end(left[-2], left[-1]):
        left = left[:-1]
    return "" if len(left) == 1 and (_MACHINE_STAMP.match(left[0]) or is_label(left[0])) else "\n".join(left)


def words_in_label(label: str, role: str, doctor: str) -> str:
    """Return the words behind the colon of a label; empty if it has none. A time in a label is when it was said."""
    said = _without_lead(label, role, doctor)
    return "" if said == label or _ONLY_A_TIME.match(said) else words([said], role, doctor)


def _is_beside(line: str, role: str, doctor: str) -> bool:
    """Return whether a line is none of the words wherever it stands."""
    if (doctor and line == doctor) or _LABELLED_STAMP.match(line) or _BUTTON.match(line):
        return True
    return is_label_with_colon(line) or (role == ASKER and bool(_PLACE.match(line) or _TOWN.match(line)))


def _may_leave_at_end(before: str, line: str) -> bool:
    if _STAMP.match(line):
        return bool(_MACHINE_STAMP.match(line)) or before.endswith(_SENTENCE_ENDS)
    return bool(_BUTTON_OR_WORD.match(line))


def is_label(line: str) -> bool:
    """Return whether a line is only a label, such as 追问 or 医生回复："""
    return bool(_LABEL.match(line))


def is_label_with_colon(line: str) -> bool:
    """Return whether a line is only a label that ends with a colon: without one it may be a button or a word."""
    found = _LABEL.match(line)
    return bool(found and found[1])


def role_in(label: str) -> str | None:
    """Return who speaks by the words of a label; None if they do not say."""
    return next((role for names, role in _NAMES_ROLE if names.search(label)), None)


def role_by_lead(line: str, doctor: str) -> str | None:
    """Return who speaks by the label before a line's words; None if there is none. doctor: the answer's."""
    if _ASKER_LED.match(line):
        return ASKER
    named = doctor and _DOCTOR_LED.match(line.removeprefix(doctor))
    return DOCTOR if named or _DOCTOR_LED.match(line) or _NAMED_DOCTOR.match(line) else None


def is_other_doctor(label: str, line: str, doctor: str) -> bool:
    """Return whether a label, or the name before a line, names another doctor than the answer's."""
    led = _NAMED_DOCTOR.match(line)
    names = [name for name in (_NO_NAME.sub("", label), led[1] if led else "") if 1 <= len(name) <= 8]
    return bool(doctor) and any(_TITLE.sub("", name) not in doctor for name in names)


def _without_lead(line: str, role: str, doctor: str) -> str:
    """Return a line without the label before its words."""
    if role == ASKER:
        return _ASKER_LED.sub("", line, count=1) if _ASKER_LED.match(line) else line
    rest = line.removeprefix(doctor) if doctor else line
    for lead in (_DOCTOR_LED, _NAMED_DOCTOR):
        if found := lead.match(rest):
            return rest[found.end() :]
    return line
