"""Turn bytes into lines of text: charsets, the text of nodes, and days (paper §3.1).

Pure functions that every site's parser uses; no network.
"""

import codecs
import html
import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Any, BinaryIO

from lxml import etree
from parsel import Selector, SelectorList

from chimed.text.raised import subscript_to_text, superscript_to_text

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
    """Decode a page's bytes. The declared charset is that of the Content-Type header, else of `<meta>`, else `default`.

    The declaration may be wrong, so the bytes decide between UTF-8, gb18030 (a superset of every GB charset, which
    decodes nearly any bytes) and Big5. Valid UTF-8 with Chinese characters is UTF-8 whatever was declared, and stays so
    with a few broken bytes. Otherwise the charset that yields the most common characters wins. What does not decode
    becomes U+FFFD.
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
    """Decode bytes as gb18030, resynchronizing after a broken byte.

    After a broken byte all others may be paired wrongly up to the next ASCII byte. Whether it was the first or the
    second of a pair is decided by which continuation has more common characters.
    """
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
    """Return how many of the most common Chinese characters a text has: text decoded wrongly has hardly any."""
    return len(_COMMON.findall(text))


def charset(file: BinaryIO) -> str:
    """Return the charset of a file without a declaration, UTF-8 or gb18030, as `decode` would; rewind the file."""
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
    """Return an XPath condition for elements that have one of the classes (whole names)."""
    return " or ".join(f'contains(concat(" ", normalize-space(@class), " "), " {name} ")' for name in names)


def outside(nodes: SelectorList[Selector], condition: str) -> SelectorList[Selector]:
    """Return the nodes that are not within an element matching the XPath condition."""
    inside = _compiled(f"ancestor-or-self::*[{condition}]")
    return SelectorList(node for node in nodes if not inside(node.root))


@cache
def _compiled(xpath: str) -> etree.XPath:
    """Return a compiled XPath; the same one is applied to many nodes."""
    return etree.XPath(xpath)


def outermost(nodes: SelectorList[Selector]) -> SelectorList[Selector]:
    """Return the nodes that are not within another of them, so that no text is read twice."""
    chosen = {id(node.root) for node in nodes}
    return SelectorList(node for node in nodes if not any(id(one) in chosen for one in node.root.iterancestors()))


def lines_of(nodes: Iterable[Selector] | Selector, skip: str = "") -> list[str]:
    """Return the text of nodes as lines: inline elements are joined, block elements and `<br>` break; empty lines are
    dropped.

    skip: XPath condition for elements to leave out with their content, such as `contains(@class, "advert")`.
    """
    pieces: list[str] = []
    for node in [nodes] if isinstance(nodes, Selector) else nodes:
        skipped = _compiled(f".//*[{skip}]")(node.root) if skip and len(node.root) else ()
        left_out = {id(one): (one, "") for one in skipped}
        _collect(node.root, left_out, pieces)
        pieces.append("\x00")
    return [line for line in map(tidy, "".join(pieces).split("\x00")) if line]


def lines_within(element: Any, instead: Mapping[int, tuple[Any, str]]) -> list[str]:
    """Return the text of an element as the lines of `lines_of`, with a line in place of some elements within it.

    instead: the id of an element → the element and its line; an empty line leaves it out with its content.
    """
    pieces: list[str] = []
    _collect_within(element, instead, pieces)
    return [line for line in map(tidy, "".join(pieces).split("\x00")) if line]


def text_of(nodes: Iterable[Selector] | Selector, skip: str = "") -> str:
    """Return the lines of `lines_of`, joined with line feeds."""
    return "\n".join(lines_of(nodes, skip))


def _collect(element, instead: Mapping[int, tuple[Any, str]], pieces: list[str]) -> None:
    if isinstance(element, str):
        pieces.append(element)
        return
    if id(element) in instead:
        line = instead[id(element)][1]
        pieces.append(f"\x00{line}\x00" if line else "")
        return
    tag = element.tag if isinstance(element.tag, str) else None  # comments have none
    if tag in ("sup", "sub"):
        inner: list[str] = []
        _collect_within(element, instead, inner)
        said = "".join(inner).replace("\x00", "")
        before = next((piece for piece in reversed(pieces) if piece), "")
        pieces.append(
            superscript_to_text(said, before, element.tail or "") if tag == "sup" else subscript_to_text(said)
        )
    elif tag and tag not in _SILENT:
        breaks = tag in _BLOCKS
        if breaks:
            pieces.append("\x00")
        _collect_within(element, instead, pieces)
        if breaks:
            pieces.append("\x00")


def _collect_within(element, instead: Mapping[int, tuple[Any, str]], pieces: list[str]) -> None:
    pieces.append(element.text or "")
    for child in element:
        _collect(child, instead, pieces)
        pieces.append(child.tail or "")


def tidy(text: str) -> str:
    """Return one clean line: doubly escaped entities, hard and ideographic spaces, stray `BR>` and runs of spaces
    corrected.
    """
    if not _UNTIDY.search(text):
        return text
    text = html.unescape(text) if "&" in text else text
    text = text.replace("\xa0", " ").replace("\u3000", " ").replace("\u200b", "").replace("\ufeff", "").strip()
    text = _STRAY_BREAK.sub("", text)
    text = _SPACE_IN_CJK.sub("", text)  # a line break in the source of the page is no space in Chinese
    return _SPACE_AT_STOP.sub("", re.sub(r"\s+", " ", text)).strip()


def day_in(text: str | None) -> date | None:
    """Return the first valid day in a text, as 2026-11-16, 2026/11/16 or 2026年11月16日; None if it has none."""
    for year, month, day in _DAY.findall(text or ""):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def day_beside(entry: Selector) -> date | None:
    """Return the day of a list entry, from a text that says little else, so that a day in a title does not count."""
    said = (text.strip() for text in entry.css("*::text").getall())
    return next(filter(None, (day_in(text) for text in said if _ONLY_A_DAY.match(text))), None)


def first_text(selector: Selector, *queries: str) -> str:
    """Return the text of the first CSS query that matches one, on one line; empty if none does."""
    for query in queries:
        for node in selector.css(query):
            found = " ".join(lines_of(node))
            if found:
                return found[:_LONGEST_TITLE]
    return ""


def merged(*parts: str) -> str:
    """Return the parts of one question as lines, without those that an earlier or longer one contains."""
    bare: dict[str, str] = {}  # what a text is known by → the text
    for part in parts:
        bare.setdefault(_bare(part), part.strip())
    bare.pop("", None)
    longest = sorted(bare, key=len, reverse=True)[:_MOST_PARTS]
    within = {one for place, longer in enumerate(longest) for one in longest[place + 1 :] if one in longer}
    return "\n".join(part for one, part in bare.items() if one not in within)


def _bare(text: str) -> str:
    """Return the text without spaces and punctuation, for comparing."""
    return re.sub(r"[\W_]+", "", text)
