"""Text that was decoded with a wrong charset, found by evidence: read anew, its bytes say markedly better Chinese.

What is asked of a suspicious stretch is not how strange it looks, but whether undoing a known mistake makes it common:
UTF-8 read as GBK (鎰熷啋), UTF-8 or GBK read as a western charset (æ„Ÿ, ÖÐÒ½), Big5 read as GB18030, and any two of
them one after the other. Both readings are weighed by how frequent their characters are, and a stretch is damaged only
where the other reading wins by a wide margin. So × in a measurement, rare herbs, private-use characters, pinyin and
names with accents stay. Bytes that no charset explains have left U+FFFD behind: a single one is a broken letter, many
of them are a damaged sentence (paper §3.1: noise removal).

The mistakes are undone in `misread`, characters weighed in `surprise`; here is what is done about damage. Pure
functions; `SUSPECT` says at column speed which texts need the closer look.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chimed.text.encoding.misread import STRAY, WESTERN, stretches

LACUNA = "□"  # the mark that editors put where a letter cannot be read
MOST_DAMAGE = 0.5  # of a text's characters: with more, what is left of it says nothing
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

_BROKEN = re.compile("(?:\ufffd|锟斤拷|锟斤|(?<=\ufffd)锟)+")
# scripts that no page here has, from which GBK's bytes read as UTF-8 take letters
_STRANGE = re.compile("[\u0180-\u01cc\u01dd-\u024f\u02b0-\u02c6\u0300-\u036f\u0500-\u085f]")
_LEAST_SOUND = 4  # letters of a sentence beside its damage; with fewer the whole sentence leaves
_SENTENCE = re.compile("[^。！？!?；;\n]*[。！？!?；;\n]*[”』」）)]*")

_FIRST_LEADS = [(0xE3, range(0x80, 0x84)), *((n, range(0x80, 0xC0)) for n in range(0xE4, 0xEA)),
                (0xEF, range(0xBC, 0xBE)), (0xE2, range(0x80, 0x81))]  # fmt: skip
_FIRST = "".join(bytes((lead, trail)).decode("gb18030") for lead, trails in _FIRST_LEADS for trail in trails)
_NEXT = "".join(_plane_letter for lead in range(0x81, 0xC0) for _plane_letter in (
    bytes((lead, trail)).decode("gb18030", errors="ignore") for trail in range(0xE2, 0xF0)))  # fmt: skip
_WESTERN_SIGNS = "".join(sorted(letter for letter in WESTERN if not letter.isascii()))
_TWICE = "".join(bytes((lead, trail)).decode("gb18030") for lead in (0xC2, 0xC3) for trail in range(0x80, 0xC0))
# where to look: two letters one after the other as a mistake leaves them, or a broken one (Rust's and Python's `re`)
SUSPECT = (
    f"\ufffd|锟斤|[{_FIRST}][{_NEXT}\ufffd]|[À-ÖØ-öø-ÿ][{_WESTERN_SIGNS}]|[\u0080-\u009f{_WESTERN_SIGNS}][À-ÖØ-öø-ÿ]"
    f"|[\u0080-\u009f][0-9]?[\u0080-\u009f]|[\ue000-\ue765]|[{_TWICE}]{{3}}|[{STRAY}][{STRAY}{_HAN}]?[{STRAY}]|{_STRANGE.pattern}"
)
_SUSPECT = re.compile(SUSPECT)


@dataclass(frozen=True)
class Mended:
    """A text without its damage. text: what is left. damage: what was cut or marked, as it stood. lost: about how many
    characters of the text no longer stand."""

    text: str
    damage: tuple[str, ...] = ()
    lost: float = 0.0


def mended(text: str) -> Mended:
    """A text without its damaged sentences, and with `LACUNA` for single damaged places; itself where it is sound."""
    if not _SUSPECT.search(text):
        return Mended(text)
    lines: list[str] = []
    damage: list[str] = []
    lost = 0.0
    for line in text.split("\n"):
        if _SUSPECT.search(line):
            one = _mended_line(line)
            damage += one.damage
            lost += one.lost
            if one.text.strip() or not one.damage:
                lines.append(one.text)
        else:
            lines.append(line)
    return Mended("\n".join(lines), tuple(damage), lost)


def garbled(text: str) -> bool:
    """Whether most of a text is damaged, so that what is left of it says nothing."""
    return mostly_lost(mended(text))


def mostly_lost(one: Mended) -> bool:
    """Whether what is left of a text is less than its damage."""
    return bool(one.damage) and one.lost > MOST_DAMAGE * (one.lost + _weight(one.text))


def _weight(text: str) -> float:
    """About how many Chinese characters a text is, or was: where each became three western letters, a third."""
    wide = sum(letter >= "\u2e80" for letter in text)
    return wide + (len(text) - wide - text.count("\n")) / 3


def _mended_line(line: str) -> Mended:
    places = _places(line)
    if not places:
        return Mended(line)
    pieces: list[str] = []
    damage: list[str] = []
    lost = 0.0
    for match in _SENTENCE.finditer(line):
        within = [(max(start, match.start()), min(end, match.end())) for start, end in places]
        within = [(start, end) for start, end in within if start < end]
        sentence = match.group()
        broken = sum(end - start for start, end in within)
        sound = _weight(sentence) - sum(_weight(line[start:end]) for start, end in within)
        if not broken:
            pieces.append(sentence)
        elif sound < _LEAST_SOUND:
            damage.append(sentence)
            lost += _weight(sentence)
        else:
            at = match.start()
            for start, end in within:
                damage.append(line[start:end])
                lost += _weight(line[start:end])
                pieces += [line[at:start], "" if not line[end:].strip() and line[start] == "\ufffd" else LACUNA]
                at = end
            pieces.append(line[at : match.end()])
    return Mended("".join(pieces), tuple(damage), lost)


def _places(line: str) -> list[tuple[int, int]]:
    """Damaged places of a line, in order, none within another."""
    found = [(start, end) for start, end, _ in stretches(line)]
    found += [match.span() for match in _BROKEN.finditer(line)]
    found += _unreadable(line)
    places: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if places and start <= places[-1][1]:
            places[-1] = places[-1][0], max(end, places[-1][1])
        else:
            places.append((start, end))
    return places


def _unreadable(line: str) -> Iterator[tuple[int, int]]:
    """Stretches of bytes that no charset explains (GBK read as UTF-8): broken letters, and ones of strange scripts."""
    bad = [match.start() for match in re.finditer(f"\ufffd|锟|斤|拷|{_STRANGE.pattern}", line)]
    blocks = {ord(line[n]) >> 7 for n in bad}
    if len(bad) < 2 or ("\ufffd" not in line and "锟" not in line and (len(bad) < 3 or len(blocks) < 3)):
        return
    start = before = bad[0]
    count = 1
    for n in [*bad[1:], len(line) + 9]:
        if n - before > 4:
            if count >= 2 and count >= 0.3 * (before - start + 1):
                yield start, before + 1
            start, count = n, 0
        before, count = n, count + 1
