"""Undo known decoding mistakes: find ranges of a text that become much more probable Chinese when decoded again.

UTF-8 read as GBK (鎰熷啋), UTF-8 or GBK read as a western charset (æ„Ÿ, ÖÐÒ½), Big5 read as GB18030, and any two of
them in a row. Each candidate is a likelihood-ratio test: `MIN_MARGIN` nats is how much more probable the other reading
must be. Used by `mojibake`.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from chimed.text.encoding.surprise import character_nats, measure_surprise

MIN_MARGIN = 16.0  # nats by which the other reading must win: e^16 to one
_LONGEST_GAP = 6  # bytes between two stretches of one damage: a lost byte leaves U+FFFD, four bytes of gb18030
_FOREIGN = 15.0  # nats of a letter of another script in what bytes are read as
_COMMON = 8.5  # nats of a letter that is no damage by itself
_BESIDE = 3  # characters on a side of damaged bytes that sound letters beside them may make
_LEAST_PIECE = 6.0  # nats of each of two stretches that are joined
STRAY = "\u0370-\u04ff\u3041-\u312f\u2500-\u257f\ue000-\uf8ff"  # what Big5 leaves between Chinese characters

_UTF8 = re.compile(
    rb"(?:[\xe2-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|[\xc2-\xdf][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2})+"
)
_IS_STRAY = re.compile(f"[{STRAY}\ufffd]")
_GB = re.compile(rb"(?:[\x81-\xfe][0-9][\x81-\xfe][0-9]|[\x81-\xfe][\x40-\x7e\x80-\xfe])+")
_ACCENTED = re.compile("[À-ÖØ-öø-ÿ]")
WESTERN = {
    bytes((code,)).decode("cp1252", errors="ignore") or chr(code): bytes((code,)) for code in range(0x80, 0x100)
} | {chr(code): bytes((code,)) for code in range(0x100)}

Stretch = tuple[int, int, float]  # from, to, nats that the other reading wins


def _utf8_read_as_gb(text: str, depth: int) -> Iterator[Stretch]:
    """Yield ranges of UTF-8 that was read as GBK: 鎰熷啋 was 感冒."""
    encoded = [letter.encode("gb18030", errors="replace") for letter in text]
    yield from _redecode(text, encoded, _UTF8, "utf-8", depth)


def _utf8_read_as_western(text: str, depth: int) -> Iterator[Stretch]:
    """Yield ranges of UTF-8 that was read as a western charset: æ„Ÿ was 感."""
    encoded = [WESTERN.get(letter, b"\n") for letter in text]
    yield from _with_their_like(list(_redecode(text, encoded, _UTF8, "utf-8", depth)))


def _gb_read_as_western(text: str, depth: int) -> Iterator[Stretch]:
    """Yield ranges of GBK that was read as a western charset: ÖÐÒ½ was 中医.

    At least two accented letters are required, since · and × also occur in rows.
    """
    encoded = [WESTERN.get(letter, b"\n") for letter in text]
    found = list(_redecode(text, encoded, _GB, "gb18030", depth))
    letters = [len(set(_ACCENTED.findall(text[start:end]))) for start, end, _ in found]
    controls = [re.search("[\x80-\x9f]", text[start:end]) is not None for start, end, _ in found]
    sure = any(won >= MIN_MARGIN and (n >= 2 or c) for (_, _, won), n, c in zip(found, letters, controls, strict=True))
    yield from _with_their_like(found) if sure else ()


def _with_their_like(found: list[Stretch]) -> Iterator[Stretch]:
    """Yield ranges of western letters; next to one that is certainly damaged, shorter ones count too."""
    sure = any(won >= MIN_MARGIN for _, _, won in found)
    yield from ((start, end, max(won, MIN_MARGIN) if sure and won > 0 else won) for start, end, won in found)


def _redecode(text: str, encoded: list[bytes], form: re.Pattern[bytes], charset: str, depth: int) -> Iterator[Stretch]:
    """Yield ranges whose bytes are valid in the charset, and by how many nats they are more probable in it."""
    raw = b"".join(encoded)
    letter_of = [n for n, piece in enumerate(encoded) for _ in piece]
    before, known = measure_surprise(text), character_nats()
    for match in form.finditer(raw):
        start, end = letter_of[match.start()], letter_of[match.end() - 1] + 1
        said = match.group().decode(charset, errors="replace")
        # a page here says little that is neither Chinese nor ASCII
        costs = [
            max(cost, _FOREIGN * (one not in known and one > "\x7f"))
            for one, cost in zip(said, measure_surprise(said), strict=True)
        ]
        if charset == "utf-8":
            first, last, begin, behind = _own_bytes(match, said, costs, before, letter_of)
            said, costs = said[first:last], costs[first:last]
            start, end = letter_of[begin], letter_of[behind - 1] + 1
        won = sum(before[start:end]) - sum(costs)
        if depth and won > -MIN_MARGIN * len(said):
            won += _best_margin(said, depth - 1)
        yield start, end, won


def _own_bytes(
    match: re.Match[bytes], said: str, costs: list[float], before: list[float], letter_of: list[int]
) -> tuple[int, int, int, int]:
    """Return the decoded characters that are really damaged (first, end), and their bytes, without sound letters beside
    them.

    The end of 查 and 。 are three bytes that could be UTF-8, and occur before many a sentence.
    """
    ends = [match.start(), *(match.start() + len(said[: n + 1].encode()) for n in range(len(said)))]

    def sound(n: int) -> bool:
        letters = {letter_of[byte] for byte in range(ends[n], ends[n + 1])}
        return all(before[one] < _COMMON for one in letters) and sum(before[one] for one in letters) < costs[n]

    first, last = 0, len(said)
    while last - first > 1 and first < _BESIDE and sound(first):
        first += 1
    while last - first > 1 and len(said) - last < _BESIDE and sound(last - 1):
        last -= 1
    return first, last, ends[first], ends[last]


@lru_cache(maxsize=1 << 14)  # sound text has the same few characters by chance again and again
def _best_margin(text: str, depth: int) -> float:
    """Return the nats by which the best range of a text is more probable when decoded again."""
    return max((won for _, _, won in find_damage(text, depth)), default=0.0)


def _big5_read_as_gb(text: str, depth: int) -> Iterator[Stretch]:
    """Yield ranges of Big5 that was read as GB18030: 稰玙 was 感冒.

    Each character became one character, so the best range is the one with the largest sum of gains (Kadane's
    algorithm).
    """
    before = measure_surprise(text)
    start, won, best = 0, 0.0, (0, 0, 0.0)
    for n, letter in enumerate(text):
        gain = -MIN_MARGIN if letter.isascii() else before[n] - measure_surprise(_as_big5(letter))[0]
        if letter.isspace() or (letter.isascii() and won > 0):
            gain = -0.5
        elif letter == "\ufffd":
            gain = 3.0  # a pair that GBK does not have: here it speaks for Big5, alone for nothing
        won, start = (won + gain, start) if won > 0 else (gain, n)
        if won > best[2]:
            best = start, n + 1, won
        elif best[2] and (won <= 0 or won < best[2] - MIN_MARGIN):
            yield from _surely_big5(text, best)
            won, best = 0.0, (0, 0, 0.0)
    yield from _surely_big5(text, best)


_BIG5_STOP = "\ue4c6", "\ue504"  # what becomes of Big5's full stops and commas: private use


def _surely_big5(text: str, stretch: Stretch) -> Iterator[Stretch]:
    """Yield the range if it certainly was Big5.

    Both readings are Chinese, so letters of other scripts in between are required, as Big5 leaves them.
    """
    start, end, won = stretch
    letters = [letter for letter in text[start:end] if not letter.isascii()]
    strays = [letter for letter in letters if _IS_STRAY.match(letter)]
    kinds = {ord(letter) >> 8 for letter in strays}
    if len(letters) < 3 or won < 1.5 * len(letters):
        return
    private = any("\ue000" <= letter < "\uf900" for letter in strays)
    mixed = len(kinds) >= 2 or private or len(strays) < len(letters) / 2
    stops = any(_BIG5_STOP[0] <= letter <= _BIG5_STOP[1] for letter in letters)
    if stops or (mixed and len(strays) >= max(2, len(letters) / 8)):
        yield stretch


@cache
def _as_big5(letter: str) -> str:
    return letter.encode("gb18030", errors="replace").decode("big5hkscs", errors="replace")[:1] or "\ufffd"


def find_damage(text: str, depth: int = 1) -> list[Stretch]:
    """Return damaged ranges; near ones of one mistake are joined."""
    found: list[Stretch] = []
    for mistake in (_utf8_read_as_gb, _utf8_read_as_western, _gb_read_as_western, _big5_read_as_gb):
        joined: list[Stretch] = []
        for start, end, won in mistake(text, depth):
            if joined and start - joined[-1][1] <= _LONGEST_GAP // 2 and min(won, joined[-1][2]) > _LEAST_PIECE:
                joined[-1] = joined[-1][0], end, joined[-1][2] + won
            else:
                joined.append((start, end, won))
        found += [one for one in joined if one[2] >= MIN_MARGIN]
    return sorted(found)
