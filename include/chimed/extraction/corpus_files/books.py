"""Read books in text or Markdown: one document per chapter, found by marks, headings or blank lines (paper §3.1).

A file is first scanned (`detect_shape`), line by line, then read (`read_chapters`); memory holds one chapter at a time.

- classics as they circulate: `<篇名>`, `<目录>`, 书名：, 内容：, and lines broken within sentences
- books: headings such as 第一章 (or 篇, 卷, 节 …), else 一、 二、 …, else short lines between blank ones
- without any of these one document, or, if it is long, pieces of whole paragraphs
- Markdown: `#` headings, and titles underlined with `===` or `---`
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from chimed.extraction.corpus_files.lines import MAX_CELL_LENGTH, TOO_LONG, TooLong, read_lines
from chimed.extraction.corpus_files.rows import NULS_REMOVED
from chimed.sources.page import Miss
from chimed.sources.parsed import Document
from chimed.sources.text import tidy

Headings = Literal["classic", "numbered chapters", "listed", "alone", "markdown", "none"]

PIECE_LENGTH = 20_000  # characters from which a text without headings is divided, at the ends of paragraphs
MAX_HEADING_LENGTH = 40  # characters of a line that may be a heading
EMPTY_HEADINGS = "headings without a text under them, left out"

_HEAD = re.compile(r"^(书名|作者|朝代|年份)[：∶:](.*)$")
_BODY = re.compile(r"^(?:内容|属性)[：∶:]\s*")
_MARK = re.compile(r"<(篇名|目录)>")
_ITEM = re.compile(r"^(?:\d{1,3}[．.、]|[（(][一二三四五六七八九十\d]+[)）])")
_ENDS = tuple("。！？；：”』」）!?;:")
_GOES_ON = tuple("，、,")
_WRAPPED = 0.6  # of the file's usual line; a shorter line was ended by its author: a verse, a heading
_LONGEST_LINE = 4_096  # characters that are told apart where lines are measured

_CHAPTER = re.compile(
    r"^第\s?[零〇○一二三四五六七八九十百千两\d]{1,7}\s?([部编編篇卷章回讲講课課节節])(?=[\s　：:、.．·—]|$|[^的，。])"
)
_LEVELS = {**dict.fromkeys("部编編篇卷", 1), **dict.fromkeys("章回讲講课課", 2), **dict.fromkeys("节節", 3)}
_LISTED = re.compile(r"^[一二三四五六七八九十百]{1,4}、\s?\S")
_STOPS = tuple("。！？；，、：,;!?:…")
_TITLE = re.compile("^[\u4e00-\u9fff《〈「『（(]")
_MAX_BARE_HEADING = 20  # characters of a heading that only its blank lines tell
_MIN_HEADINGS = {"numbered chapters": 2, "listed": 3, "alone": 3}  # so many headings make a form


@dataclass(frozen=True)
class Shape:
    """The result of scanning a book. usual: length of its longer lines. wrapped: whether its lines break within
    sentences.
    """

    headings: Headings
    usual: int = 0
    wrapped: bool = False


@dataclass(frozen=True)
class Head:
    """A heading; level 0 names the book, 1 is the outermost below it."""

    level: int
    title: str


def detect_shape(name: str, text: TextIO) -> Shape:
    """Return how a book marks its chapters and breaks its lines."""
    if Path(name).suffix.lower() == ".md":
        return Shape("markdown")
    lengths: Counter[int] = Counter()
    broken: Counter[int] = Counter()  # of them, lines that end within a sentence
    found: Counter[str] = Counter()
    before, last = "", ""
    for line in (one.strip() for one in read_lines(text) if isinstance(one, str)):
        length = min(len(line), _LONGEST_LINE)
        lengths[length] += 1
        broken[length] += not line.endswith(_ENDS)
        found["classic"] += bool(_MARK.match(line))
        found["numbered chapters"] += _level(line) is not None
        found["listed"] += _is_listed(line)
        found["alone"] += not before and not line and _may_stand_alone(last)
        before, last = last, line
    usual = _percentile(lengths, 0.95)
    long = [length for length in lengths if length >= max(10, _WRAPPED * usual)]
    wrapped = sum(broken[length] for length in long) > 0.5 * sum(lengths[length] for length in long)
    if found["classic"]:
        return Shape("classic", usual, True)
    form = next((form for form, least in _MIN_HEADINGS.items() if found[form] >= least), "none")
    return Shape(form, usual, wrapped and usual < 200)  # type: ignore[arg-type]


@dataclass
class _Chapter:
    """The chapter that is being read. path: titles by level. held: characters of its lines. over: it is too long.

    pieces: how many pieces of it were given already, where the text has no headings.
    """

    shape: Shape
    path: dict[int, str]
    body: list[str] = field(default_factory=list)
    held: int = 0
    pieces: int = 0
    over: bool = False

    def document(self) -> Document | Miss | None:
        """Return what was read as a document, the last piece where there were others; None where it has no text."""
        return self._document(self.pieces + 1 if self.pieces else 0)

    def _document(self, piece: int) -> Document | Miss | None:
        if self.over:
            return Miss(TOO_LONG)
        usual = self.shape.usual
        text = _join_lines(self.body, usual) if self.shape.wrapped else "\n".join(filter(None, map(tidy, self.body)))
        title = "·".join(dict.fromkeys(filter(None, (self.path[level] for level in sorted(self.path)))))
        return Document(f"{title}（{piece}）" if piece else title, text, "") if text else None

    def begin(self, head: Head) -> None:
        """Begin the next chapter under a heading."""
        above = {level: title for level, title in self.path.items() if level < head.level}
        self.path = above | {head.level: head.title}
        self.body, self.held, self.pieces, self.over = [], 0, 0, False

    def add(self, line: str) -> Document | Miss | None:
        """Take a line in; return the piece before it, where a text without headings has grown long enough."""
        piece = None
        if self.shape.headings == "none" and self.held >= PIECE_LENGTH and (not line or self.body[-1].endswith(_ENDS)):
            self.pieces += 1
            piece = self._document(self.pieces)
            self.body, self.held = [], 0
        self.body.append(line)
        self.held += len(line)
        return piece


def read_chapters(name: str, text: TextIO, shape: Shape, notes: Counter[str]) -> Iterator[Document | Miss]:
    """Yield one document per chapter; headings without text give none and are counted in `notes`."""
    chapter = _Chapter(shape, {0: _NUMBER.sub("", Path(name).stem) or Path(name).stem})
    for one in _marked(text, shape):
        found = None
        if isinstance(one, Head) and one.level == 0:
            chapter.path[0] = chapter.path[0] if chapter.held else one.title
        elif isinstance(one, Head):
            found = chapter.document()
            if not found and len(chapter.path) > 1 and one.level <= max(chapter.path):
                notes[EMPTY_HEADINGS] += 1  # a part's heading, which has its chapters under it, is not counted
            chapter.begin(one)
        elif isinstance(one, TooLong) or chapter.held + len(one) > MAX_CELL_LENGTH:
            chapter.over, chapter.body = True, []
        else:
            if "\0" in one:
                notes[NULS_REMOVED] += one.count("\0")
            found = chapter.add(one.replace("\0", ""))
        if found:
            yield found
    if found := chapter.document():
        yield found


def _marked(text: TextIO, shape: Shape) -> Iterator[Head | str | TooLong]:
    """Yield the lines of a book with its headings marked, by its form."""
    match shape.headings:
        case "classic":
            return _classic(read_lines(text))
        case "markdown":
            return _markdown(read_lines(text))
        case _:
            return _headed(read_lines(text), shape.headings)


# --- where chapters begin ----------------------------------------------------------------------------------------


def _classic(source: Iterable[str | TooLong]) -> Iterator[Head | str | TooLong]:
    started = False  # whether the chapter has a line: 书名： and the like stand before
    for line in source:
        if isinstance(line, TooLong):
            yield line
            continue
        line = line.strip().replace("∶", "：").replace("\\x", "")
        mark, head = _MARK.match(line), _HEAD.match(line)
        if mark:
            started = False
            yield Head(1 if mark.group(1) == "目录" else 2, tidy(line[mark.end() :].replace("\\", "·")))
        elif head and not started:
            if head.group(1) == "书名" and head.group(2).strip():
                yield Head(0, tidy(head.group(2)))
        else:
            started = True
            yield _BODY.sub("", line)


def _headed(source: Iterable[str | TooLong], form: str) -> Iterator[Head | str | TooLong]:
    """Yield lines with their headings marked; a heading without a number is recognized by the blank line after it."""
    waiting, before = None, ""  # a line that may be a heading, and what stood before it
    for one in source:
        line = one if isinstance(one, TooLong) else one.strip()
        if waiting is not None:
            yield Head(1, tidy(waiting)) if line == "" else waiting
            waiting = None
        if isinstance(line, TooLong):
            yield line
        elif form == "numbered chapters" and (level := _level(line)):
            yield Head(level, tidy(line))
        elif form == "listed" and _is_listed(line):
            yield Head(1, tidy(line))
        elif form == "alone" and not before and _may_stand_alone(line):
            waiting = line
        else:
            yield line
        before = line if isinstance(line, str) else "…"
    if waiting is not None:
        yield waiting


def _level(line: str) -> int | None:
    """Return the level of a heading such as 第一章 绪论;

    None for any other line, such as a sentence that begins like one.
    """
    found = _CHAPTER.match(line) if len(line) <= MAX_HEADING_LENGTH and line.startswith("第") else None
    return _LEVELS[found.group(1)] if found and not line.endswith(_STOPS) else None


def _is_listed(line: str) -> bool:
    return len(line) <= MAX_HEADING_LENGTH and not line.endswith(_STOPS) and bool(_LISTED.match(line))


def _may_stand_alone(line: str) -> bool:
    return 0 < len(line) <= _MAX_BARE_HEADING and not line.endswith((*_STOPS, *_ENDS)) and bool(_TITLE.match(line))


def _percentile(lengths: Counter[int], share: float) -> int:
    """Return the length that this share of the lines does not exceed."""
    place = int(lengths.total() * share)
    for length in sorted(lengths):
        place -= lengths[length]
        if place < 0:
            return length
    return 0


def _join_lines(source: list[str], usual: int) -> str:
    """Return a chapter's paragraphs as lines: a line broken only for its width is joined with the next."""
    paragraphs: list[str] = []
    goes_on = False
    for line in source:
        if not line:
            goes_on = False
            continue
        if goes_on and paragraphs and not _ITEM.match(line):
            paragraphs[-1] += line
        else:
            paragraphs.append(line)
        goes_on = line.endswith(_GOES_ON) or (len(line) >= _WRAPPED * usual and not line.endswith(_ENDS))
    return "\n".join(filter(None, map(tidy, paragraphs)))


# --- Markdown ----------------------------------------------------------------------------------------------------

_HASHES = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_UNDERLINE = re.compile(r"^ {0,3}(?:=+|-{2,})\s*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
# each part ends where the next may begin, so that these take linear time
_IMAGE = re.compile(r"!\[[^\[\]\n]{0,200}\]\([^()\n]{0,2000}\)")
_LINK = re.compile(r"\[([^\[\]\n]{1,500})\]\([^()\n]{0,2000}\)")
_STRONG = re.compile(r"(\*\*|__)(?=\S)([^*_\n]{1,500})\1")
_NUMBER = re.compile(r"^(?:\d+[-_. ]+|0\d+(?=[\u4e00-\u9fff]))")  # of a file, before its book's name
_ANCHOR = re.compile(r"\s{0,20}\{#[^{}]{1,100}\}$")
_FRONT = re.compile(r"^(?:[\w.-]{1,100}\s*:(?:\s|$)|\s|- |#|$)")  # a line of YAML before a text
_LONGEST_FRONT = 500  # lines
_FRONT_TITLE = re.compile(r"""^title:\s*["']?(.{1,200}?)["']?\s*$""")


def _markdown(source: Iterable[str | TooLong]) -> Iterator[Head | str | TooLong]:
    """Yield lines without Markdown's marks for images, links and emphasis; fenced text stays unchanged."""
    fence = ""
    waiting = ""  # a line that the next one may underline
    for one in _without_front_matter(source):
        if isinstance(one, TooLong | Head):
            yield one
            continue
        line = one.rstrip()
        mark, heading = _FENCE.match(line), None if fence else _HASHES.match(line)
        if waiting and not fence and _UNDERLINE.match(line):
            yield Head(1 if "=" in line else 2, _plain(waiting))
            waiting = ""
            continue
        if waiting:
            yield _plain(waiting)
            waiting = ""
        if mark and fence in ("", mark.group(1)):
            fence = "" if fence else mark.group(1)
        elif heading:
            title = _ANCHOR.sub("", (heading.group(2) or "").rstrip(" #\t"))
            yield Head(len(heading.group(1)), _plain(title))
        elif fence or not 0 < len(line) <= 2 * MAX_HEADING_LENGTH:
            yield line if fence else _plain(line)
        else:
            waiting = line
    if waiting:
        yield _plain(waiting)


def _without_front_matter(source: Iterable[str | TooLong]) -> Iterator[Head | str | TooLong]:
    """Yield the lines without YAML front matter, except its title; a mere rule (`---`) is not front matter."""
    rest = iter(source)
    held: list[str | TooLong] = []
    for one in rest:
        held.append(one)
        line = one.rstrip() if isinstance(one, str) else None
        if len(held) > 1 and line in ("---", "..."):
            titles = [_FRONT_TITLE.match(said.rstrip()) for said in held if isinstance(said, str)]
            yield from (Head(0, tidy(title.group(1))) for title in titles if title)
            held = []
            break
        inside = line is not None and len(held) <= _LONGEST_FRONT and _FRONT.match(line)
        if line != "---" if len(held) == 1 else not inside:
            break
    yield from held
    yield from rest


def _plain(line: str) -> str:
    line = _LINK.sub(r"\1", _IMAGE.sub("", line))
    return re.sub(r"^ {0,3}> ?", "", _STRONG.sub(r"\2", line)).strip()
