"""Where a person lives: streets with a house number, buildings with a flat, villages. Used by `identifiers`.

A street and a number alone are no address (神门路3号, 街3组): a town before them, a label (家住, 地址), or a flat behind says
that they are. Wards, windows and rooms of a hospital, bus lines and the addresses of institutions are left alone.
"""

import re
from collections.abc import Iterator

from chimed.stages.numbers import Spans

_HAN = r"[\u4e00-\u9fff]"
_N = r"[甲乙丙附]?(?:\d{1,5}(?:-\d{1,4}){0,3}|[一二三四五六七八九十百零〇]{1,6})"
_LABEL = r"(?:家住|现住|住址|住在|地址|住处|暂住|寄到|寄往|寄至|送到|送至|收货|收件|户籍|户口|家在|老家|邮寄|搬到|租住|租在|居住于|居住在|籍贯|住)"
# A house number, and no ward, window, room, bus line, building of a hospital
_HOUSE = r"(?:号(?!线|文|床|染|导|方|窗|台|公|病|诊|抢|手术|房间|穴|坑|公交|车|令|通知|文件)|弄|幢|栋|座(?!谈))"
_STREET = (
    r"(?:路|街|大道|大街|巷|胡同|里弄|里|村|屯|庄|镇|小区|花园|花苑|苑|公寓|家园|新村|新区|大院|广场|坊|条|城|府|湾|社区)"
    rf"(?:[东西南北中]?[一二三四五六]?段|[东西南北]里)?\s?{_N}\s?(?:{_HOUSE}|单元|(?:组|队|社)(?!穴|织|长|员|区|会))"
)
_TOWN = rf"{_HAN}{{1,8}}(?:省|市|自治区|区|县|旗|镇|乡)\s?"
_LEVELS = (  # three levels and a village need no number: 河南省周口市太康县符草楼镇张庄村
    rf"{_HAN}{{2,7}}(?:省|市|自治区|州)\s?(?:{_HAN}{{1,7}}(?:市|县|区|旗|镇|乡|街道)\s?){{1,4}}"
    rf"{_HAN}{{1,8}}(?:村|屯|庄|社区|小区|寨|坪)"
    # said to be where somebody lives, a street or a third level will do
    rf"|(?:住址|地址|家住|现住|户籍|住在|老家)[:：在是为于\s]{{0,3}}(?:{_HAN}{{1,7}}(?:省|市|自治区|州|县|区|旗|镇|乡|街道)\s?){{2,4}}"
    rf"(?:{_HAN}{{1,8}}(?:路|街|巷|村|镇|乡|屯|庄|社区|小区)|(?<=[镇乡])|(?<=街道))"
)
_FLAT = (  # a flat in a house: 阳光花园3栋2单元501室, 三里屯5号楼301, 幸福里12-3-501
    rf"(?:{_HAN}{{2,8}})?(?:\d{{1,4}}|[一二三四五六七八九十]{{1,3}})(?:号楼|栋|幢|座|号院|号)\s?(?:\d{{1,3}}号楼)?\s?"
    rf"(?:[\dA-D一二三四五六七八九十]{{1,3}}(?:单元|门)\s?(?:\d{{1,2}}[层楼]\s?)?(?:\d{{3,4}}(?:室|号|房|户)?|[东西]户)?"
    r"|\d{3,4}(?:室|户)|\d{1,2}[层楼]\d{3,4}(?:室|户))"
)
_HOME = r"(?:[东西南北]?[一二三四五六七八九十东西南北]区|小区|花园|花苑|苑|公寓|家园|新村|大院|里|屯|坊|府|嘉园|华庭|名都|公馆|宿舍|家属院|家属楼|胡同)"
_ADDRESS = re.compile(
    rf"(?:{_TOWN}{_HAN}{{1,12}}?|{_LABEL}[:：于在是为\s]{{0,4}}{_HAN}{{1,14}}?){_STREET}"
    rf"|{_LEVELS}"
    rf"|{_FLAT}"
    rf"|(?:{_LABEL}[:：于在是为\s]{{0,4}}|{_HAN}{{1,8}}(?:市|区|县|镇|路|街)\s?){_HAN}{{1,12}}?{_HOME}\s?"
    r"(?:[A-Z]区)?[A-Z]?\d{1,3}(?:号楼|栋|幢|座)(?:\s?\d{3,4})?"
    rf"|{_HAN}{{2,10}}{_HOME}\s?\d{{1,3}}(?:号楼|栋|幢|座|[-#])\s?(?:\d{{1,2}}[-#门])?\s?\d{{3,4}}(?!\d|[m克年])"
    rf"|{_LABEL}[^\n，,。;；]{{0,16}}?[A-Z]?\d{{1,3}}(?:号楼|栋|幢)\s?\d{{3,4}}(?!\d)"
)
# No place of a person: what the span itself holds, what stands before it, what stands behind
_PUBLIC = re.compile(
    r"医院(?!路|街)|病房|门诊|住院部|急诊|抢救|手术室|检验科|药房|诊室|研究所|大学(?!路|街|城)|学院(?!路|街)|公司|制药|药厂|出版社|疾控|卫健委|农村|山村|乡村|某村|某市|遗址|"
    r"卫生院|诊所|试验|分为|染色体|公交|地铁|区域|路上|养老院|学校|中医院|实验"
)
_OF_AN_INSTITUTION = re.compile(
    r"(?:医院|院|门诊|诊所|公司|工厂|厂|企业|生产|注册|药店|单位|出版社|编辑部|学校|来院|乘车|就诊|坐诊|出诊|主?产|采集?|采自|分布|种植|栽培|基地|产地)(?:的|详细)?"
    r"(?:地址|地点|路线|位置|位于|坐落于|在)?[:：(（在于是\s]{0,3}$"
)
_BEHIND = re.compile(
    r"\s?[(（]?(?:路|线|公交|窗口|诊室|床|病房|病区|[\u4e00-\u9fff]{0,6}(?:医院|诊所|门诊部|公司|药店|卫生院))"
)
_LINE = re.compile(r"路\s?\d{1,3}路")


def rules(text: str) -> Iterator[tuple[str, Spans]]:
    """Kind and spans of the addresses of a text in plain form."""
    yield "street address", [match.span() for match in _ADDRESS.finditer(text) if _is_home(text, match)]


def _is_home(text: str, match: re.Match) -> bool:
    said = match[0]
    if _PUBLIC.search(said) or _BEHIND.match(text, match.end()):
        return False
    return not _OF_AN_INSTITUTION.search(text, max(0, match.start() - 12), match.start())
