"""From bytes to lines of text: charsets, a node's text, and days (paper §3.1).

Pure functions that every site's parser uses; no network.
"""

import codecs
import html
import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import BinaryIO

from lxml import etree
from parsel import Selector, SelectorList

from chimed.text.raised import above, below

_LONGEST_TITLE = 300
_MOST_BROKEN = 200  # bytes of a page after which each is looked at; with more it is no text
_MOST_PARTS = 100  # of a question that are compared with each other; a question has ten
_BLOCK_TAGS = (
    "address article aside blockquote br center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr "
    "li main nav ol p pre section table tbody td th tr ul"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT_TAGS = "script style noscript textarea audio video select option iframe button rt rp"
_SILENT = frozenset(_SILENT_TAGS.split())
_UNTIDY = re.compile(r"[\s&<>\u200b\ufeff]")
# possessive: each part takes all it can and gives nothing back, so that a thousand spaces are read once
_STRAY_BREAK = re.compile(r"^(?:\s*+<?+\s*+/?+\s*+BR\s*+/?+\s*+>)++", re.I)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]+)", re.I)
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-/年.](\d{1,2})[-/月.](\d{1,2})(?!\d)")
_ONLY_A_DAY = re.compile(
    r"^[^\d]{0,12}(?:19|20)\d\d[-/年.]\d{1,2}[-/月.]\d{1,2}日?(?:\s*\d{1,2}:\d{2}(?::\d{2})?)?\D{0,6}$"
)
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f"
_COMMON = re.compile(
    "[的一是不了在有人我他這这個个上們们來来到時时大地為为子中你說说出要就可以和也對对會会生病治醫医藥药方用熱热氣气血]"
)
_HAN = re.compile("[\u3400-\u9fff]")
_SPACE_IN_CJK = re.compile(rf"(?<=[{_CJK}])[ ]*\n\s*(?=[{_CJK}])")
_SPACE_AT_STOP = re.compile(r"(?<=[，。；：、！？）】》”]) | (?=[，。；：、！？）】》”])")

# --- bytes -------------------------------------------------------------------------------------------------------


def decode(body: bytes, header: str | None, default: str) -> str:
    """A page's bytes as text: charset of the Content-Type header, else of `<meta>`, else `default`.

    What is said may be wrong, so the bytes decide between UTF-8, gb18030, which holds every GB charset and takes nearly
    any bytes, and Big5: whole UTF-8 with Chinese in it is UTF-8 whatever was said, and a few broken bytes do not turn
    it into another; of the others it is the one that makes common words. What does not decode becomes U+FFFD.
    """
    said = re.search(r"charset\s*=\s*[\"']?([\w-]+)", header or "", re.I)
    meta = _DECLARED.search(body[:4096])
    name = said.group(1) if said else meta.group(1).decode() if meta else default
    is_gb = name.lower().startswith(("gb", "cp936", "x-gbk"))
    text = body.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    if broken == 0 and (not is_gb or _HAN.search(text)):
        return text
    if broken * 10 < len(_HAN.findall(text)):
        return text
    other = _gb18030(body)
    big5 = body.decode("big5hkscs", errors="replace")
    if _common(big5) > 2 * _common(other) and big5.count("\ufffd") * 20 < len(_HAN.findall(big5)):
        return big5
    return other if is_gb or other.count("\ufffd") < broken else text


def _gb18030(body: bytes) -> str:
    """Bytes as gb18030. After a byte that is broken the others may be paired wrongly, up to the next ASCII one: whether
    it was the first or the second of a pair is told by what reads better."""
    view, place, pieces = memoryview(body), 0, []
    for _ in range(_MOST_BROKEN):
        try:
            pieces.append(str(view[place:], "gb18030"))
            return "".join(pieces)
        except UnicodeDecodeError as error:
            broken = place + error.start
            pieces += [str(view[place:broken], "gb18030"), "\ufffd"]
            ahead = [str(view[broken + skip : broken + skip + 60], "gb18030", "replace") for skip in (1, 2)]
            place = broken + (2 if _common(ahead[1]) > _common(ahead[0]) else 1)
    return "".join([*pieces, str(view[place:], "gb18030", "replace")])


def _common(text: str) -> int:
    """How many of the most common Chinese characters stand in a text: in one decoded wrongly hardly any do."""
    return len(_COMMON.findall(text))


def charset(file: BinaryIO) -> str:
    """What decodes a file that says nothing of itself, UTF-8 or gb18030, as `decode` would; leaves it at its start."""
    decoder, broken, han = codecs.getincrementaldecoder("utf-8")("replace"), 0, 0
    piece = b"\0"
    while piece:
        piece = file.read(1 << 20)
        text = decoder.decode(piece, final=not piece)
        broken, han = broken + text.count("\ufffd"), han + len(_HAN.findall(text))
    file.seek(0)
    return "utf-8" if broken * 10 < han else "gb18030"


# --- nodes -------------------------------------------------------------------------------------------------------


def of_class(*names: str) -> str:
    """XPath condition on elements that have one of the classes, whole names only."""
    return " or ".join(f'contains(concat(" ", normalize-space(@class), " "), " {name} ")' for name in names)


def outside(nodes: SelectorList, condition: str) -> SelectorList:
    """The nodes that lie in no element of the XPath condition."""
    inside = _compiled(f"ancestor-or-self::*[{condition}]")
    return SelectorList(node for node in nodes if not inside(node.root))


@cache
def _compiled(xpath: str) -> etree.XPath:
    """An XPath that is asked of many nodes, made once."""
    return etree.XPath(xpath)


def outermost(nodes: SelectorList) -> SelectorList:
    """The nodes that do not lie in another of them, so that no text is read twice."""
    chosen = {id(node.root) for node in nodes}
    return SelectorList(node for node in nodes if not any(id(one) in chosen for one in node.root.iterancestors()))


def lines_of(nodes: Iterable[Selector] | Selector, skip: str = "") -> list[str]:
    """The text of nodes as lines: inline elements joined, block elements and `<br>` break; empty lines left out.

    skip: XPath condition on elements left out with all they hold, such as `contains(@class, "advert")`.
    """
    pieces: list[str] = []
    for node in [nodes] if isinstance(nodes, Selector) else nodes:
        left_out = {id(one): one for one in _compiled(f".//*[{skip}]")(node.root)} if skip and len(node.root) else {}
        _collect(node.root, left_out, pieces)
        pieces.append("\x00")
    return [line for line in map(tidy, "".join(pieces).split("\x00")) if line]


def text_of(nodes: Iterable[Selector] | Selector, skip: str = "") -> str:
    """`lines_of`, joined with line feeds."""
    return "\n".join(lines_of(nodes, skip))


def _collect(element, left_out: dict, pieces: list[str]) -> None:
    if isinstance(element, str):
        pieces.append(element)
        return
    tag = element.tag if isinstance(element.tag, str) else None  # comments have none
    if tag in ("sup", "sub") and id(element) not in left_out:
        inner: list[str] = []
        _collect_within(element, left_out, inner)
        said = "".join(inner).replace("\x00", "")
        before = next((piece for piece in reversed(pieces) if piece), "")
        pieces.append(above(said, before, element.tail or "") if tag == "sup" else below(said))
    elif tag and tag not in _SILENT and id(element) not in left_out:
        breaks = tag in _BLOCKS
        if breaks:
            pieces.append("\x00")
        _collect_within(element, left_out, pieces)
        if breaks:
            pieces.append("\x00")


def _collect_within(element, left_out: dict, pieces: list[str]) -> None:
    pieces.append(element.text or "")
    for child in element:
        _collect(child, left_out, pieces)
        pieces.append(child.tail or "")


def tidy(text: str) -> str:
    """One line: entities that were escaped twice, hard and ideographic spaces, stray `BR>`, runs of spaces."""
    if not _UNTIDY.search(text):
        return text
    text = html.unescape(text) if "&" in text else text
    text = text.replace("\xa0", " ").replace("\u3000", " ").replace("\u200b", "").replace("\ufeff", "").strip()
    text = _STRAY_BREAK.sub("", text)
    text = _SPACE_IN_CJK.sub("", text)  # a line break in the source of the page is no space in Chinese
    return _SPACE_AT_STOP.sub("", re.sub(r"\s+", " ", text)).strip()


def day_in(text: str | None) -> date | None:
    """The first day written in a text as 2026-11-16, 2026/11/16 or 2026年11月16日, if it is a day of the calendar."""
    for year, month, day in _DAY.findall(text or ""):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def day_beside(entry: Selector) -> date | None:
    """The day of an entry of a list: in a text that says little else, so that a day in a title is not taken for it."""
    said = (text.strip() for text in entry.css("*::text").getall())
    return next(filter(None, (day_in(text) for text in said if _ONLY_A_DAY.match(text))), None)


def first_text(selector: Selector, *queries: str) -> str:
    """The text of the first CSS query that finds one, on one line; empty where none does."""
    for query in queries:
        for node in selector.css(query):
            found = " ".join(lines_of(node))
            if found:
                return found[:_LONGEST_TITLE]
    return ""


def merged(*parts: str) -> str:
    """Texts of one question as lines, without those that an earlier or longer one repeats."""
    bare: dict[str, str] = {}  # what a text is known by → the text
    for part in parts:
        bare.setdefault(_bare(part), part.strip())
    bare.pop("", None)
    longest = sorted(bare, key=len, reverse=True)[:_MOST_PARTS]
    within = {one for place, longer in enumerate(longest) for one in longest[place + 1 :] if one in longer}
    return "\n".join(part for one, part in bare.items() if one not in within)


def _bare(text: str) -> str:
    """What two texts must share to be the same: no spaces, no punctuation."""
    return re.sub(r"[\W_]+", "", text)
