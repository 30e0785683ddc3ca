"""Find and repair mojibake by evidence: decoded again, its bytes are much more probable Chinese.

The test for a suspicious range is not how strange it looks, but whether undoing a known mistake makes it ordinary text:
UTF-8 read as GBK (鎰熷啋), UTF-8 or GBK read as a western charset (æ„Ÿ, ÖÐÒ½), Big5 read as GB18030, and any two of
them in a row. Both readings are scored by character frequency, and a range is damaged only if the other reading wins by
a wide margin. So × in a measurement, rare herbs, private-use characters, pinyin and accented names stay. Bytes that no
charset explains have left U+FFFD behind: a single one is a broken letter, many are a damaged sentence (paper §3.1:
noise removal).

`misread` undoes the mistakes and `surprise` scores characters; this module decides what to do about damage. Pure
functions; `SUSPECT` tells at column speed which texts need a closer look.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chimed.text.encoding.misread import STRAY, WESTERN, find_damage

LACUNA = "□"  # the mark that editors put where a letter cannot be read
MAX_DAMAGE = 0.5  # of a text's characters: with more, what is left of it says nothing
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
class Repaired:
    """A text without its damage. text: what is left. damage: what was cut or marked. lost: number of characters,
    roughly.
    """

    text: str
    damage: tuple[str, ...] = ()
    lost: float = 0.0


def repair(text: str) -> Repaired:
    """Return a text without damaged sentences, and with `LACUNA` for single damaged places."""
    if not _SUSPECT.search(text):
        return Repaired(text)
    lines: list[str] = []
    damage: list[str] = []
    lost = 0.0
    for line in text.split("\n"):
        if _SUSPECT.search(line):
            one = _repair_line(line)
            damage += one.damage
            lost += one.lost
            if one.text.strip() or not one.damage:
                lines.append(one.text)
        else:
            lines.append(line)
    return Repaired("\n".join(lines), tuple(damage), lost)


def is_garbled(text: str) -> bool:
    """Return whether most of a text is damaged, so that the rest is meaningless."""
    return is_mostly_lost(repair(text))


def is_mostly_lost(one: Repaired) -> bool:
    """Return whether less of a text is left than was damaged."""
    return bool(one.damage) and one.lost > MAX_DAMAGE * (one.lost + _weight(one.text))


def _weight(text: str) -> float:
    """Return about how many Chinese characters a text has or had: damaged ones became three western letters each."""
    wide = sum(letter >= "\u2e80" for letter in text)
    return wide + (len(text) - wide - text.count("\n")) / 3


def _repair_line(line: str) -> Repaired:
    places = _damaged_places(line)
    if not places:
        return Repaired(line)
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
    return Repaired("".join(pieces), tuple(damage), lost)


def _damaged_places(line: str) -> list[tuple[int, int]]:
    """Return the damaged places of a line, in order, without overlap."""
    found = [(start, end) for start, end, _ in find_damage(line)]
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
    """Yield ranges of bytes that no charset explains (GBK read as UTF-8): broken letters, and letters of strange
    scripts.
    """
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
