"""Find what identifies a person in China by rule: numbers, contacts, addresses, names.

Ours: the paper leaves all of it to a prompt (§3.2). A rule reports its kind and where it matched. Rules read the text
in plain form (`plain_forms`), which undoes obfuscation. They run before `clean` changes a letter, and again in
`screen`: what tells a person from a dose (❤, a link, a zero-width space between digits) is what cleaning removes.

A linear-time regular expression selects the few texts of a column in which a family of rules may find something; only
those are read by the rules.

Not covered, and left to the prompts: partly masked numbers (138****5678), an address without number and village,
numbers spelled out in whole sentences, plates without a digit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

import polars as pl

from chimed import turns
from chimed.concurrency import map_ahead
from chimed.text.identifiers import addresses, contacts, names, numbers
from chimed.text.identifiers.plain_forms import Plain, to_plain_form

REDACTED = "【已隐去】"
WRITTEN = ("title", "text", "question", "answer", "rejected")
_TURN = "turns."  # and its number: the field of what was found in a turn

_HAN = r"\p{Han}"
# A digit in any form, and what stands between two of one number
_DIGIT = (
    r"[0-9０-９零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖\x{2460}-\x{2468}\x{2474}-\x{247C}\x{2488}-\x{2490}\x{24EA}"
    r"\x{24F5}-\x{24FD}\x{2776}-\x{277E}\x{2780}-\x{2788}\x{278A}-\x{2792}\x{1D7CE}-\x{1D7FF}]"
)
_MARK = r"[-\p{Pd}\p{Mn}\p{Me}\p{Cf}\x{FE0F}\x{20E3} 　.。·•・‧∙_＿*＊/／～~、,，|()（）+=:：…【】\[\]]"


@dataclass(frozen=True)
class Identifier:
    """An identifier of this kind at [start, end) of the text."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Family:
    """Rules with common triggers: one of these Rust regular expressions matches every text in which they find
    something.

    given: the triggers; or listed: what makes them of a list of words, with what is looked for first where one is slow.
    """

    given: tuple[str, ...]
    rules: Callable[[str], Iterator[tuple[str, numbers.Spans]]]
    listed: Callable[[], Mapping[str, str]] | None = None

    @property
    def triggers(self) -> tuple[str, ...]:
        """The regular expressions."""
        return (*self.given, *self.sooner)

    @property
    def sooner(self) -> Mapping[str, str]:
        """Of a trigger that is slow to look for, what is looked for first (or nothing)."""
        return self.listed() if self.listed else {}


Found = tuple[str, int, list[Identifier]]  # field, row and what is there


def _names(text: str) -> Iterator[tuple[str, numbers.Spans]]:
    found = names.find_full_names(text)
    for kind in names.KINDS:
        yield kind, [(one.start, one.end) for one in found if one.kind == kind]


_PLACE_DIGIT = r"[0-9０-９一二三四五六七八九十百零〇]"
FAMILIES = {
    "numbers": Family(
        (
            rf"(?i){_DIGIT}(?:{_MARK}{{0,3}}{_DIGIT}){{9}}"
            # a label, and a number that is too short to be seen without one
            r"|(?:证|照|[证照卡]?号码?[是为]?|卡|编号|簿|本|ID|No\.?|病历|病案|passport(?: number)?|"
            r"第)[^\p{Han}\n]{0,6}[A-ZＡ-Ｚ]{0,4}[-(（]?[0-9０-９]{4}"
            rf"|(?:电话|手机|手機|座机|固话|传真|热线|话机|拨打|致电|联系方式|联系我|联系|号码|咨询|微信"
            rf"|tel|phone|fax|call|mobile)(?:号码?|是|为|打)?"
            rf"[^\p{{Han}}\n]{{0,5}}(?:{_DIGIT}|[lI|])(?:(?:{_MARK}|\n){{0,3}}(?:{_DIGIT}|[OolI])){{5}}"
            r"|(?:出生|生日|生于|生辰|dob|birth)[^\n]{0,8}[12１２一二][0-9０-９零〇○一二三四五六七八九]{3}"
            r"|日(?:出生|诞生|生人)|[0-9０-９][日号]?[ ,，)）]?(?:出生|生|诞生)"
            r"|[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][ 　·]?[A-ZＡ-Ｚ]"
            r"[^\p{Han}\n]{0,3}[A-Z0-9Ａ-Ｚ０-９]{4}",
        ),
        numbers.rules,
    ),
    "contacts": Family(
        (
            r"(?i)[@＠\x{24B6}-\x{24E9}\x{1F110}-\x{1F189}\x{1D400}-\x{1D7FF}]|艾特|圈a|小老鼠"
            r"|[^a-z]a(?:t[^a-z]|[)）\]])|tel:|mailto:"
            # hosts of the links that lead to a person; any other link costs nothing
            r"|alipay|mqq|wxp:|douyin|kuaishou|xhslink|xiaohongshu|weibo|qzone|bilibili|zhihu|weidian|lin\.ee"
            r"|(?-u:\b)(?:t|wa|line)\.me/|[ａ-ｚＡ-Ｚ．\x{0400}-\x{04FF}][^\s\p{Han}]{1,40}/"
            r"|(?:qq|163|126|139|189|sina|gmail|hotmail|outlook|sohu|foxmail|yeah|aliyun|live|msn|icloud|yahoo|tom|"
            r"21cn|vip) ?[.。．·点]"
            r"|[qｑ][^\p{Han}a-z0-9]{0,2}[qｑ]|扣扣|叩叩|抠抠|寇寇|蔻蔻|球球|扣|[加进][群裙]|[群裙]号"
            r"|腾讯号|个人号|鹅|秋秋|🐧|[qｑ][号群:：]|(?:加|联系?|[+＋的我])[qｑ]"
            r"|[微威薇葳徽徵维嶶危巍溦喂唯][^\p{Han}a-z0-9]{0,5}(?:信|芯|心|x)"
            r"|[微薇威][^\p{Han}\n]{1,4}[a-z]"
            r"|[微威薇葳徽徵维][^\p{Han}a-z0-9]{0,4}[\x{2661}\x{2665}\x{2764}\x{1F493}-\x{1F49E}\x{1F5A4}]"
            r"|[vwｖｗ][^\p{Han}a-z0-9]{0,4}[xｘ信心芯\x{2661}\x{2665}\x{2764}\x{1F493}-\x{1F49E}\x{1F5A4}]|"
            r"[wｗ] ?[xｘ]|we ?chat|weixin|wei信|绿泡泡|绿色软件|卫星"
            r"|[加+＋➕十][^\p{Han}a-z0-9]{0,3}[微薇威卫徽vｖwｗ]|[^a-z0-9][vwｖｗ] ?[:：∶]|^[vwｖｗ] ?[:：∶]"
            r"|[抖斗逗豆]音|快手|小.书|闲鱼|转转|微店|discord|bilibili|viber|(?:[^a-z]|^)(?:dy|xhs|zfb)"
            r"|红薯|微博|博客|知乎|陌陌|探探|头条|视频号|钉钉|飞书|支付宝|淘宝|旺旺|拼多多|[bＢ]站|哔哩"
            r"|豆瓣|贴吧|百度|脉脉|易信|米聊|skype|"
            r"whats ?app|telegram|电报|纸飞机|facebook|脸书|instagram|twitter|推特|line|signal|kakao|ins|tg|fb|ig"
            r"|扫一扫|扫[^\n]{0,8}码|加[^\n]{0,6}扫|(?:长按|识别)[^\n]{0,10}[码图加]|二维码",
        ),
        contacts.rules,
    ),
    "addresses": Family(
        (
            rf"(?:路|街|道|巷|胡同|弄|里|村|屯|庄|镇|区|园|苑|寓|院|场|坊|条|城|府|湾"
            rf"|段)\s?[甲乙丙附]?{_PLACE_DIGIT}{{1,6}}[-－—0-9]{{0,12}}\s?"
            r"(?:号|弄|幢|栋|座|单元|组|队|社|小队)"
            rf"|(?:大队|[乡镇县团场]\s?{_PLACE_DIGIT}{{1,3}}(?:村|大?队|连))\s?{_PLACE_DIGIT}"
            rf"|{_PLACE_DIGIT}排{_PLACE_DIGIT}|[0-9０-９][舍斋]\s?[0-9０-９]"
            rf"|{_PLACE_DIGIT}{{1,4}}(?:号楼|栋|幢|座|号院"
            rf"|号)\s?(?:[0-9]{{1,3}}号楼)?\s?[0-9A-D一二三四五六七八九十０-９]{{1,4}}"
            r"|[苑园寓村院里屯坊府城庭都馆舍楼区同][0-9]{1,3}[-#—][0-9]"
            rf"|(?:省|市|区|州|县){_HAN}{{1,7}}\s?(?:市|县|区|旗|镇|乡|街道){_HAN}{{1,38}}(?:村|屯|庄|社区|小区|寨|坪)"
            rf"|(?:住址|地址|家住|现住|户籍|住在|老家)[:：在是为于\s]{{0,3}}{_HAN}{{1,7}}(?:省|市|自治区|州"
            rf"|县|区|旗|镇|乡|街道)\s?{_HAN}{{1,7}}(?:省|市|自治区|州|县|区|旗|镇|乡|街道)"
            rf"|(?:家住|现住|住址|住在|地址|住处|暂住|寄|送[到至]|户籍|家在|租|搬到"
            rf"|住)[^\n]{{0,5}}[0-9０-９]{{1,3}}(?:号楼|栋|幢)",
        ),
        addresses.rules,
    ),
    "names": Family((), _names, names.triggers),
}


def find_identifiers(text: str, families: tuple[str, ...] = tuple(FAMILIES)) -> list[Identifier]:
    """Return every identifier in the text, in order; a range is reported once, with the most specific kind.

    families: of `FAMILIES`, the rules to apply.
    """
    simple = to_plain_form(text)
    return _found(simple, families)


def _found(simple: Plain, families: tuple[str, ...]) -> list[Identifier]:
    found: list[Identifier] = []
    taken = bytearray(len(simple.text))
    for family in families:
        for kind, spans in FAMILIES[family].rules(simple.text):
            for start, end in spans:
                if not any(taken[start:end]):
                    taken[start:end] = b"\1" * (end - start)
                    found.append(Identifier(kind, start, end))
    ordered = sorted(found, key=lambda one: one.start)
    return [Identifier(one.kind, *simple.span(one.start, one.end)) for one in ordered]


def redact(text: str, families: tuple[str, ...] = tuple(FAMILIES)) -> str:
    """Return the text with `REDACTED` for every identifier and name."""
    return _without(text, find_identifiers(text, families))


def _without(text: str, found: list[Identifier]) -> str:
    edges = [0, *(edge for one in found for edge in (one.start, one.end)), len(text)]
    return REDACTED.join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))


# --- whole tables ------------------------------------------------------------------------------------------------


def mark_identifiers(records: pl.DataFrame, redact: bool = False) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the records with their findings in the column `identifiers`, or redacted; and the number of findings by
    kind.

    records: columns of `RECORD`. Without `redact` the column gets strings `kind field[start:end]`, or null if nothing
    was found; the field of a turn is `turns.<number>`. With it, the words have `REDACTED` instead, and the column
    stays. Names are not searched for in classical Chinese (`lzh`): people named there are historical.
    """
    found = list(_in_table(records))
    kinds: dict[str, set[int]] = {}
    for _, row, several in found:
        for one in several:
            kinds.setdefault(one.kind, set()).add(row)
    records = _replaced(records, found) if redact else records.with_columns(_entries(found, len(records)))
    return records, {kind: len(rows) for kind, rows in sorted(kinds.items())}


def _entries(found: list[Found], length: int) -> pl.Series:
    """Return the column `identifiers` of a table with this many rows."""
    entries: dict[int, list[str]] = {}
    for field, row, several in found:
        entries.setdefault(row, []).extend(f"{one.kind} {field}[{one.start}:{one.end}]" for one in several)
    said = pl.DataFrame(
        {"row": list(entries), "identifiers": list(entries.values())},
        schema={"row": pl.UInt32, "identifiers": pl.List(pl.String)},
    )
    rows = pl.DataFrame({"row": pl.int_range(length, dtype=pl.UInt32, eager=True)})
    return rows.join(said, on="row", how="left", maintain_order="left")["identifiers"]


def _replaced(records: pl.DataFrame, found: list[Found]) -> pl.DataFrame:
    changed: dict[str, dict[int, str]] = {}
    later: dict[tuple[int, int], list[Identifier]] = {}
    for field, row, several in found:
        if field.startswith(_TURN):
            later[row, int(field.removeprefix(_TURN))] = several
        else:
            changed.setdefault(field, {})[row] = _without(records[field][row], several)
    records = records.with_columns(
        records[field].clone().scatter(list(texts), list(texts.values())) for field, texts in changed.items()
    )
    if not later:
        return records
    spread = turns.spread(records)
    texts = spread["text"].to_list()
    for n, place in enumerate(_places(spread)):
        if place in later:
            texts[n] = _without(texts[n], later[place])
    return turns.gathered(records, spread.with_columns(pl.Series("text", texts)))


def _places(spread: pl.DataFrame) -> list[tuple[int, int]]:
    """Return for each turn the row of its record, and its number there."""
    numbers = spread.select("row", number=pl.int_range(pl.len()).over("row"))
    return list(numbers.iter_rows())


def kind_of(entry: str) -> str:
    """Return the kind in an entry of the column `identifiers`."""
    return entry.rsplit(" ", 1)[0]


def reason_of(entry: str) -> str:
    """Return why a record with that entry is dropped: `identifier: <kind>`, or `name: <kind>` for a full name."""
    kind = kind_of(entry)
    return f"{'name' if kind in names.KINDS else 'identifier'}: {kind}"


def _in_table(records: pl.DataFrame) -> Iterator[Found]:
    """Yield field, row and findings for the texts that a trigger selects."""
    fields = [field for field in WRITTEN if records[field].null_count() < len(records)]
    if not fields:
        return
    spread = turns.spread(records)
    # as one column: a trigger takes as long to compile as to look for it in a short one
    words = pl.concat([*(records[field] for field in fields), spread["text"]])
    is_modern = (records["language"] != "lzh").fill_null(False)
    modern = pl.concat([*([is_modern] * len(fields)), is_modern.gather(spread["row"])])
    looking: dict[int, tuple[str, ...]] = {}
    for family, picked in zip(FAMILIES, map_ahead(lambda family: _picked(words, family), FAMILIES), strict=True):
        for place in (picked & modern if family == "names" else picked).arg_true():
            looking[place] = (*looking.get(place, ()), family)
    places, end = sorted(looking), len(fields) * len(records)
    later = _places(spread) if places and places[-1] >= end else []
    for place, text in zip(places, words.gather(places), strict=True):
        if found := find_identifiers(text, looking[place]):
            if place < end:
                yield fields[place // len(records)], place % len(records), found
            else:
                row, number = later[place - end]
                yield f"{_TURN}{number}", row, found


def _picked(words: pl.Series, family: str) -> pl.Series:
    """Return which texts the family's trigger selects."""
    this = FAMILIES[family]
    return reduce(or_, (_triggered(words, trigger, this.sooner.get(trigger)) for trigger in this.triggers))


def _triggered(words: pl.Series, trigger: str, sooner: str | None) -> pl.Series:
    """Return which texts match a trigger."""
    if not sooner:
        return words.str.contains(trigger).fill_null(False)
    found = words.str.contains(sooner).fill_null(False)
    places = found.arg_true()
    return found.scatter(places, words.gather(places).str.contains(trigger)) if len(places) else found
