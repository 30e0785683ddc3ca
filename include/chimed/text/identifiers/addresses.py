"""Find where a person lives: streets with a house number, buildings with a flat, villages. Used by `identifiers`.

A street and a number alone are not an address (神门路3号, 街3组): a town before them, a label (家住, 地址), or a flat
after them makes one. Wards, windows and rooms of a hospital, bus lines and institutions' addresses are ignored. A
pattern begins with a part that every address has (区, 路, 花园, 3号楼), so that it is tried at few places of a text;
letters before it that belong to the address are added afterwards.
"""

import re
from collections.abc import Iterator

from chimed.text.identifiers.numbers import Spans

_HAN = r"[\u4e00-\u9fff]"
_N = r"[甲乙丙附]?(?:\d{1,5}(?:-\d{1,4}){0,3}|[一二三四五六七八九十百零〇]{1,6})"
_LABEL = (
    r"(?:家住|现住|住址|住在|地址|住处|暂住|(?<!桑)寄(?!生)[到往至给]?|送[到至]|收货|收件|户籍|户口|家在"
    r"|老家|邮寄|搬到|租住|租在|居住[于在]|籍贯|住)"
    r"[:：于在是为\s]{0,4}"
)
# A house number, and no ward, window, room, bus line, building of a hospital
_HOUSE = (
    r"(?:小队|号(?!线|文|床|染|导|方|窗|台|公|病|诊|抢|手术|房间|穴|坑|车|令|通知)|弄|幢|栋|座(?!谈)|单元|"
    r"[组队社](?![穴织长员区会]))"
)
_ROAD = (
    r"(?:路|街|大道|大街|巷|胡同|弄|里|村|屯|庄|镇|小区|花园|花苑|苑|公寓|家园|新村|新区|大院|广场|坊|条|城"
    r"|府|湾|社区|大队)"
    rf"(?:[东西南北中]?[一二三四五六]?段|[东西南北]里)?\s?{_N}\s?{_HOUSE}"
)
_NAME = r"[^\W\da-zA-Z_省市州区县旗镇乡街]"  # no letter of a level: what ends a level is never inside it
_LEVEL = rf"{_NAME}{{1,7}}(?:[镇乡县州区]?[市区县]|[省州旗镇乡]|街道)\s?"
_LEVELS = (  # three levels and a village need no number: 河南省周口市太康县符草楼镇张庄村
    rf"(?:{_LEVEL}){{2,5}}+{_NAME}{{1,8}}(?<=[村屯庄寨坪])"
    rf"|(?:{_LEVEL}){{2,5}}+{_NAME}{{1,8}}社区"
    # said to be where somebody lives, a street or a third level will do
    rf"|(?:住址|地址|家住|现住|户籍|住在|老家)[:：在是为于\s]{{0,3}}"
    rf"(?:(?:{_LEVEL}){{2,5}}+{_NAME}{{1,8}}(?:街|区|(?<=[路巷村屯庄]))"
    rf"|(?:{_LEVEL}){{3,5}}+|(?:{_LEVEL}){{2,5}}+(?<=[一二三四五六七八九十]区))"
    # villages by number: 乌帕尔乡8村2组, 143团12连
    rf"|[乡镇县团场]\s?(?:\d{{1,3}}|[一二三四五六七八九十]{{1,3}})(?:村|大?队|连)\s?(?:\d{{1,3}}"
    rf"|[一二三四五六七八九十]{{1,3}})(?:小?[组队]|社|号)"
)
_FLAT = (  # a flat in a house: 3栋2单元501室, 5号楼2单元
    r"(?:\d{1,4}|[一二三四五六七八九十]{1,3})(?:号楼|栋|幢|座|号院|号)\s?(?:\d{1,3}号楼)?\s?"
    r"(?:[\dA-D一二三四五六七八九十]{1,3}(?:单元|门)\s?(?:\d{1,2}[层楼]\s?)?(?:\d{3,4}(?:室|号|房|户)?|[东西]户)?"
    r"|\d{3,4}(?:室|户)|\d{1,2}[层楼]\d{3,4}(?:室|户))"
)
_HOME = (
    r"(?:[东西南北]?[一二三四五六七八九十东西南北]区|小区|花园|花苑|苑|公寓|家园|新村|大院|里|屯|坊|府|嘉园|华庭|名都|"
    r"公馆|宿舍|家属[院楼]|胡同)"
)
_BUILDING = r"(?:\s?\d{1,3}排\d{1,3}[号户]|\s?(?:[A-Z]区)?[A-Z]?\d{1,3}(?:号楼|栋|幢|座)(?:\s?\d{3,4})?)"
_ADDRESS = re.compile(
    rf"(?:[省市区县旗镇乡]\s?{_HAN}{{1,12}}?|{_LABEL}{_HAN}{{1,14}}?){_ROAD}"
    rf"|{_LEVELS}|{_FLAT}"
    rf"|(?:[市区县镇路街]\s?|{_LABEL}){_HAN}{{1,12}}?{_HOME}{_BUILDING}"
    rf"|{_HOME}\s?\d{{1,3}}(?:号楼|栋|幢|座|[-#])\s?(?:\d{{1,2}}[-#门])?\s?\d{{3,4}}(?!\d|[m克年])"
    rf"|{_LABEL}[^\n，,。;；]{{0,16}}?[A-Z]?\d{{1,3}}(?:号楼|栋|幢|[舍斋])\s?\d{{3,4}}(?!\d)"
    r"|(?:路|街|道|里)\s?\d{1,5}弄\s?\d{1,4}号"  # a lane and a number in it, as in Shanghai
)
# What goes on within an address: a yard, a house, a flat
_REST = re.compile(
    r"(?:[-—,，、 ]?(?:院|宿舍|家属院)?(?:附?[A-Z]?\d{1,4}[A-Z]?|[A-Z]|[一二三四五六七八九十]{1,3}|[东西南北])"
    r"(?:号院|号楼|号|弄|栋|幢|座|单元|门|室|房|户|层|楼|舍|组|小?队)|(?:院|宿舍)(?=[^\u4e00-\u9fff])){1,6}"
    r"(?:[- ]?\d{2,4}(?![\d.年月%]))?"
    r"|(?<=[村屯庄寨])[\u4e00-\u9fff]{1,4}[组屯](?![\u4e00-\u9fff])|[- ]?\d{3,4}(?![\d.年月%m])",
)
# No place of a person: what the span itself holds, what stands before it, what stands behind
_PUBLIC = re.compile(
    r"医院(?!路|街)|病房|门诊|住院部|急诊|抢救|手术室|检验科|药房|诊室|研究所|(?:大学|学院)(?!路|街|城"
    r"|[^，。\n]{0,14}(?:\d舍|宿舍|公寓|校区))|公司|制药|药厂|出版社|疾控|卫健委|"
    r"农村|山村|乡村|某[村市县镇乡]|遗址|卫生院|诊所|试验|分为|染色体|公交|地铁|区域|路上|养老院|学校|中医院|实验"
)
_OF_AN_INSTITUTION = re.compile(
    r"(?:医院|院|门诊|诊所|公司|工厂|厂|企业|生产|注册|药店|单位|出版社|编辑部|学校|来院|乘车|就诊|坐诊"
    r"|出诊|主?产|采集?|采自|分布|种植|栽培|基地|产地)"
    r"(?:的|详细)?(?:地址|地点|路线|位置|位于|坐落于|在)?[:：(（在于是\s]{0,3}$"
)
_BEHIND = re.compile(
    r"\s?[(（]?(?:路|线|公交|窗口|诊室|床|病房|病区|[\u4e00-\u9fff]{0,6}(?:医院|诊所|门诊部|公司|药店|卫生院))"
)
# not 于 and 为, with which names of counties begin
_SAID_BEFORE = re.compile(r"\A(?:.*(?:住[在址]?|地址|位于|寄|[在到往至我是]))?([\u4e00-\u9fff]{0,24})$")


# No address crosses one of these marks, and a stretch between two of them holds one only where it holds a number of a
# house, a village or a flat, or two levels one behind the other
_STRETCH = re.compile(r"[^，,。;；]+")
_MAYBE_ADDRESS = re.compile(
    r"[\d一二三四五六七八九十百零〇]\s?[小号弄幢栋座单组队社村大连排舍斋#-]"
    r"|[市区县省州旗镇乡道]\s?\w{1,9}[市区县省州旗镇乡道]"
)


def rules(text: str) -> Iterator[tuple[str, Spans]]:
    """Yield kind and spans of the addresses of a text in plain form."""
    found = [
        match.span()
        for stretch in _STRETCH.finditer(text)
        if _MAYBE_ADDRESS.search(text, *stretch.span())
        for match in _ADDRESS.finditer(text, *stretch.span())
    ]
    yield (
        "street address",
        [(_beginning(text, start), _ending(text, end)) for start, end in found if _is_home(text, start, end)],
    )


def _beginning(text: str, start: int) -> int:
    """Return where an address begins that has a part at `start`: at most 24 Han letters before it."""
    before = re.search(rf"{_HAN}{{0,24}}$", text[max(0, start - 24) : start])
    said = _SAID_BEFORE.search(before[0]) if before else None
    return start - len(said[1]) if said else start


def _ending(text: str, end: int) -> int:
    """Return where an address ends that a rule found up to `end`: after the house and the flat that follow."""
    rest = _REST.match(text, end)
    return rest.end() if rest else end


def _is_home(text: str, start: int, end: int) -> bool:
    """Return whether a person may live there, judging by the address and its context."""
    begins = _beginning(text, start)
    if _PUBLIC.search(text, begins, end) or _BEHIND.match(text, end):
        return False
    return not any(_OF_AN_INSTITUTION.search(text, max(0, place - 12), place) for place in (start, begins))
