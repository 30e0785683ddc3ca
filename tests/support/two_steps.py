"""Entries of formulas and herbs, written for the tests, and the points that they allow."""

from chimed.text.two_steps import points
from chimed.text.two_steps.gate import Entries
from chimed.text.two_steps.known import Told, read_told
from chimed.text.two_steps.point import Point
from chimed.text.two_steps.points import find_points

FORMULAS = {
    "麻黄汤": "【方剂名】麻黄汤\n【组成】麻黄9克、桂枝6克、杏仁9克、甘草3克。\n【功效】发汗解表，宣肺平喘。",
    "四逆汤": "【方剂名】四逆汤\n【组成】附子15克、干姜9克、甘草6克。\n【功效】回阳救逆。",
}
HERBS = {
    "麻黄": "【中药名】麻黄\n【性味归经】味辛、微苦，性温。归肺、膀胱经。\n【功效】发汗散寒，宣肺平喘，利水消肿。\n"
    "【用法用量】煎服，2～10克。\n【使用禁忌】表虚自汗者慎用，高血压患者不宜多用。",
    "桂枝": "【中药名】桂枝\n【性味归经】味辛、甘，性温。归心、肺、膀胱经。\n【功效】温通经脉，助阳化气，平冲降气。\n"
    "【用法用量】煎服，3～10克。\n【使用禁忌】孕妇慎用。",
    "杏仁": "【中药名】杏仁\n【性味归经】味苦，性微温，有小毒。归肺、大肠经。\n【功效】降气止咳，润肠通便。\n"
    "【用法用量】煎服，5～10克。\n【使用禁忌】内服不宜过量。",
    "甘草": "【中药名】甘草\n【性味归经】味甘，性平。归心、肺、脾、胃经。\n"
    "【功效】补脾益气，缓急止痛，调和诸药。\n"
    "【用法用量】煎服，2～10克。\n【使用禁忌】不宜与海藻、大戟、甘遂、芫花同用。",
    "附子": "【中药名】附子\n【性味归经】味辛、甘，性大热，有毒。归心、肾、脾经。\n"
    "【功效】回阳救逆，补火助阳，散寒止痛。\n"
    "【用法用量】先煎，3～15克。\n【使用禁忌】孕妇慎用。不宜与半夏、瓜蒌同用。",
    "干姜": "【中药名】干姜\n【性味归经】味辛，性热。归脾、胃、肾、心、肺经。\n【功效】温中散寒，温肺化饮。\n"
    "【用法用量】煎服，3～10克。\n【使用禁忌】阴虚内热者慎用。",
}


def told(kind: str, texts: dict[str, str]) -> list[Told]:
    """Return entries; the row of a text is its key, which may have a # and a number behind the title."""
    found = []
    for row, text in texts.items():
        entry = read_told(row.partition("#")[0], text)
        if entry and entry.kind == kind:
            found.append(Told(row, entry, text))
    return found


def points_of(formulas: dict[str, str], herbs: dict[str, str]) -> list[Point]:
    """Return the points that some entries allow."""
    return find_points(told("formula", formulas), told("herb", herbs))


def all_points(monkeypatch) -> dict[str, tuple[Point, Entries]]:
    """Return the points of the entries above by `<formula> <asks> <relation>`, without a limit, with both texts."""
    monkeypatch.setattr(points, "MOST_OF_A_FORMULA", 99)
    found = points_of(FORMULAS, HERBS)
    return {
        f"{one.formula} {one.asks} {one.relation}": (one, Entries(FORMULAS[one.formula_row], HERBS[one.herb_row]))
        for one in found
    }
