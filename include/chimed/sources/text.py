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

from chimed.sources.raised import above, below

_LONGEST_TITLE = 300
_BLOCK_TAGS = (
    "address article aside blockquote br center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr "
    "li main nav ol p pre section table tbody td th tr ul"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SILENT_TAGS = "script style noscript textarea audio video select option iframe button rt rp"
_SILENT = frozenset(_SILENT_TAGS.split())
_UNTIDY = re.compile(r"[\s&<>\u200b\ufeff]")
_STRAY_BREAK = re.compile(r"^(?:\s*<?\s*/?\s*BR\s*/?\s*>)+", re.I)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]+)", re.I)
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-/年.](\d{1,2})[-/月.](\d{1,2})(?!\d)")
_ONLY_A_DAY = re.compile(
    r"^[^\d]{0,12}(?:19|20)\d\d[-/年.]\d{1,2}[-/月.]\d{1,2}日?(?:\s*\d{1,2}:\d{2}(?::\d{2})?)?\D{0,6}$"
)
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f"
_HAN = re.compile("[\u3400-\u9fff]")
_SPACE_IN_CJK = re.compile(rf"(?<=[{_CJK}])[ ]*\n\s*(?=[{_CJK}])")
_SPACE_AT_STOP = re.compile(r"(?<=[，。；：、！？）】》”]) | (?=[，。；：、！？）】》”])")

# --- bytes -------------------------------------------------------------------------------------------------------


def decode(body: bytes, header: str | None, default: str) -> str:
    """A page's bytes as text: charset of the Content-Type header, else of `<meta>`, else `default`.

    What is said may be wrong, so the bytes decide between UTF-8 and gb18030, which holds every GB charset and takes
    nearly any bytes: whole UTF-8 with Chinese in it is UTF-8 whatever was said, and a few broken bytes do not turn it
    into the other. What does not decode becomes U+FFFD.
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
    other = body.decode("gb18030", errors="replace")
    return other if is_gb or other.count("\ufffd") < broken else text


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
    held = {id(inner) for node in nodes for inner in node.root.iterdescendants()}
    return SelectorList(node for node in nodes if id(node.root) not in held)


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
    kept: list[str] = []
    for part in (part.strip() for part in parts):
        bare = _bare(part)
        if not bare or any(bare in _bare(one) for one in kept):
            continue
        kept = [one for one in kept if _bare(one) not in bare] + [part]
    return "\n".join(kept)


def _bare(text: str) -> str:
    """What two texts must share to be the same: no spaces, no punctuation."""
    return re.sub(r"[\W_]+", "", text)
