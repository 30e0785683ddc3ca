"""Detect the encoding of a text file: UTF-8, GB18030, Big5, or UTF-16 with and without a byte order mark.

Each candidate encoding is scored by how probable the decoded characters are in Chinese text. Characters fall into
classes: the most common ones, those that the national standards rank as frequent (the first levels of GB 2312 and of
Big5), the rest, and those that no text has. The same bytes decoded correctly are more probable than in any other
encoding by many powers of ten, after only a few characters. For a large file, the beginning, the middle and the end are
scored. Then the whole file is decoded, and if that fails, the surroundings of the failure are scored too. The certainty
is always reported with the result.
"""

import codecs
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

from chimed.errors import UserError
from chimed.extraction.corpus_files import by_line

CANDIDATES = ("utf-8", "gb18030", "big5hkscs", "utf-16-le", "utf-16-be")
NAMES = {
    "big5hkscs": "Big5", "gb18030": "GB18030", "utf-8": "UTF-8", "utf-16-le": "UTF-16LE", "utf-16-be": "UTF-16BE",
    by_line.codec_name("gb18030"): "UTF-8 and GB18030, line by line",
    by_line.codec_name("big5hkscs"): "UTF-8 and Big5, line by line",
}  # fmt: skip
SAMPLE_BYTES = 64 * 1024  # bytes looked at in one place of a file
SAMPLE_COUNT = 3  # the beginning, the middle, the end
MAX_RETRIES = 4  # how often a failed decoding is looked at before it is taken as it is
_CHUNK_BYTES = 1 << 20

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# the commonest characters of Chinese text, modern and classical, by public frequency lists; then their other script
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种"
    "事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日者意无力它与长把机十民第公此"
    "已工使情明性知全三又关点正业外将两高间由问很最重并物手应向头文体相见被利什二等产或新己制身果加西月话合回特代内信表"
    "化老给世位次度门任常先通教原东声提立及比员解水名真论处走义各入几口认条平系气题活更别女变四神总何数安少结反受目太量"
    "再感做接必件计管期直命金指许统区保至形便空决治科五书非则听白却光放强即像难且完式色路品类求据边死该交规万取觉术清今"
    "切院识候带病医药症痛血脉热寒汤阴阳虚实风湿火肝肾脾胃肺服汁草味毒主伤检查疗患您吃建议妇乳炎压癌腹咳曰乎哉矣焉若凡故"
    "這個們來說時國會為爲對發後過開點無還進動經現當樣實間問關應體見產與將長東話種師學麼於會從兩並頭業內門員聲論處義條系"
    "氣題變總數結計統區決聽強難類據邊該規萬覺術識帶醫藥癥熱湯陰陽虛風濕腎傷檢療婦壓議書則"
)
_PUNCTUATION = frozenset("，。、；：？！“”‘’（）《》【】〈〉「」『』—…·～∶○〇□％\u3000")

# how probable a character of each kind is in Chinese text: the share of the kind, over how many characters it has
_SHARES = {
    "common": (0.50, 400),
    "frequent": (0.20, 4_000),
    "punctuation": (0.11, 40),
    "ascii": (0.15, 97),
    "full width": (0.004, 100),
    "sign": (0.006, 1_000),
    "rare": (0.02, 17_000),
    "very rare": (0.002, 70_000),
    "foreign": (0.0005, 5_000),
    "never": (1e-6, 10_000),
}
_LOG = {kind: math.log(share / size) for kind, (share, size) in _SHARES.items()}
# ASCII stands in words: behind a letter another is likely, else a long English text would be UTF-16 of rare characters
_NEXT_ASCII = math.log(0.9 / 60) - _LOG["ascii"]
_ASCII_RUN = re.compile(r"[\t\n\r -~]{2,}")
_BROKEN = -25.0  # natural logarithm, for a byte that is no character


@dataclass(frozen=True)
class Encoding:
    """A detected encoding. name: Python's codec. certainty: 0 to 1, against the other encodings.

    broken: places in the whole file that do not decode. first_broken: byte offset of the first. said: who declared it,
    a person or a byte order mark.
    """

    name: str
    certainty: float
    broken: int = 0
    first_broken: int | None = None
    said: str = ""

    def __str__(self) -> str:
        name = NAMES.get(self.name, self.name)
        why = f"as {self.said} says" if self.said else f"certainty {self.certainty:.4f}"
        places = "1 place is" if self.broken == 1 else f"{self.broken} places are"
        broken = f", {places} no character in it" if self.broken else ""
        return f"{name} ({why}{broken})"


def detect_encoding(file: BinaryIO, asked: str | None = None) -> Encoding:
    """Return the encoding of a seekable file, and rewind it.

    asked: the encoding a person chose. Raises UserError if Python has none of that name.
    """
    if asked is not None:
        return _verify(file, Encoding(_resolve(asked), 1.0, said="--encoding"))
    file.seek(0)
    head = file.read(4)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return _verify(file, Encoding(name, 1.0, said="its byte order mark"))
    size = file.seek(0, 2)
    samples = [_read_sample(file, start, size) for start in _sample_starts(size)]
    for _ in range(MAX_RETRIES):
        best, certainty = most_probable(samples)
        found = _verify(file, Encoding(best, certainty))
        if found.first_broken is None or any(start <= found.first_broken < end for start, end, _ in samples):
            break
        samples.append(_read_sample(file, max(0, found.first_broken - SAMPLE_BYTES // 2) // 2 * 2, size))
    return _try_line_by_line(file, found) if found.broken else found


def most_probable(samples: Iterable[tuple[int, int, bytes]]) -> tuple[str, float]:
    """Return the most probable encoding of samples (start, end, bytes) of a file, and its certainty.

    The certainty is the posterior probability under equal priors, so it is 1.0 if all encodings give the same text
    (ASCII).
    """
    samples = list(samples)
    logs: dict[str, float] = {}
    texts: dict[str, tuple[str, ...]] = {}
    for name in CANDIDATES:
        read = tuple(_decode(name, body) for _, _, body in samples)
        logs[name], texts[name] = sum(map(log_probability, read)), read
    best = max(CANDIDATES, key=lambda name: logs[name])  # of equals the first
    others = [logs[name] - logs[best] for name in CANDIDATES if texts[name] != texts[best]]
    return best, 1 / (1 + sum(map(math.exp, others)))


def log_probability(text: str) -> float:
    """Return the natural logarithm of a text's probability as Chinese, in the script that suits it better.

    Characters are treated as independent, except that ASCII after ASCII is likely: otherwise a long English text would
    look like UTF-16 of rare characters.
    """
    counts = Counter(text)
    behind_ascii = sum(len(run) - 1 for run in _ASCII_RUN.findall(text))
    either = (sum(n * _log_of_character(char, script) for char, n in counts.items()) for script in ("gb2312", "big5"))
    return max(either) + behind_ascii * _NEXT_ASCII


def _try_line_by_line(file: BinaryIO, found: Encoding) -> Encoding:
    """Return two encodings if a file with broken places has lines in UTF-8 and lines in another encoding."""
    if found.name not in ("utf-8", *by_line.OTHERS) or not by_line.has_both(file):
        return found
    seen = {other: by_line.count_lines(file, other, log_probability) for other in by_line.OTHERS}
    best = max(seen, key=lambda other: seen[other].won)
    if seen[best].utf8 and seen[best].other and seen[best].broken < found.broken:
        return Encoding(by_line.codec_name(best), seen[best].certainty, seen[best].broken)
    return found


# --- a file ------------------------------------------------------------------------------------------------------


def _resolve(asked: str) -> str:
    try:
        found = codecs.lookup(asked)
    except LookupError:
        found = None
    if (
        found is None
        or not getattr(found, "_is_text_encoding", True)
        or found.name in ("idna", "punycode", "undefined")
    ):
        raise UserError(
            f"--encoding {asked!r} is unknown; write utf-8, gb18030, big5, utf-16-le, utf-16-be, or another of Python's"
        )
    return {"big5": "big5hkscs", "cp950": "big5hkscs", "gb2312": "gb18030", "gbk": "gb18030"}.get(
        found.name, found.name
    )


def _sample_starts(size: int) -> list[int]:
    """Return where samples begin, at even bytes, so that UTF-16 is not split."""
    if size <= SAMPLE_COUNT * SAMPLE_BYTES:
        return [0]
    return [0, (size // 2 - SAMPLE_BYTES // 2) // 2 * 2, (size - SAMPLE_BYTES) // 2 * 2]


def _read_sample(file: BinaryIO, start: int, size: int) -> tuple[int, int, bytes]:
    """Return (start, end, bytes) of a sample; one within the file begins and ends between characters.

    A byte below 0x30 is a whole character in every encoding of one to four bytes.
    """
    file.seek(start)
    body = file.read(SAMPLE_BYTES if size > SAMPLE_COUNT * SAMPLE_BYTES else SAMPLE_COUNT * SAMPLE_BYTES)
    end = start + len(body)
    if start:
        cut = next((n for n, byte in enumerate(body[:4096]) if byte < 0x30), -1) + 1
        start, body = start + cut + cut % 2, body[cut + cut % 2 :]
    return start, end, body[: len(body) // 2 * 2] if end < size else body


def _decode(name: str, body: bytes) -> str:
    """Return the bytes as text, with U+FFFD for what does not decode; a character cut by the sample's end is left out.

    A sample of odd length ends with its file, so half a UTF-16 character in it is broken.
    """
    return codecs.getincrementaldecoder(name)("replace").decode(body, final="16" in name and len(body) % 2 == 1)


def _verify(file: BinaryIO, chosen: Encoding) -> Encoding:
    """Return the encoding with the places that do not decode, counted over the whole file; rewind the file."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(chosen.name)("strict")
    broken, first, place = 0, None, 0
    while piece := file.read(_CHUNK_BYTES):
        state = decoder.getstate()
        try:
            decoder.decode(piece, final=False)
        except UnicodeDecodeError as error:
            if first is None:
                first = place - len(state[0]) + error.start
            broken += _count_broken(chosen.name, state, piece, decoder)
        place += len(piece)
    if cut := decoder.getstate()[0]:  # the file ends within a character
        broken, first = broken + 1, place - len(cut) if first is None else first
    file.seek(0)
    return Encoding(chosen.name, chosen.certainty, broken, first, chosen.said)


def _count_broken(name: str, state: tuple[bytes, int], piece: bytes, decoder: codecs.IncrementalDecoder) -> int:
    """Return how many places of a piece do not decode, not counting a real U+FFFD; the decoder continues after the
    piece.

    state: the decoder's before the piece, whose first character may have begun there.
    """
    counts = []
    for errors in ("replace", "ignore"):
        one = codecs.getincrementaldecoder(name)(errors)
        one.setstate(state)
        counts.append(one.decode(piece, final=False).count("\ufffd"))
        decoder.reset()
        decoder.setstate(one.getstate())
    return counts[0] - counts[1]


# --- a character -------------------------------------------------------------------------------------------------


@cache
def _log_of_character(char: str, script: str) -> float:
    return _BROKEN if char == "\ufffd" else _LOG[_kind(char, script)]


def _kind(char: str, script: str) -> str:
    code = ord(char)
    if code < 0x7F:
        return "ascii" if code >= 0x20 or char in "\t\r\n" else "never"
    if char in _COMMON:
        return "common"
    if char in _PUNCTUATION:
        return "punctuation"
    if 0x4E00 <= code <= 0x9FFF:
        return "frequent" if _is_frequent(char, script) else "rare"
    if 0xFF01 <= code <= 0xFF5E:
        return "full width"
    if 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x323AF or 0xF900 <= code <= 0xFAFF:
        return "very rare"
    if 0x2010 <= code <= 0x27BF or 0x3000 <= code <= 0x303F or 0xA1 <= code <= 0xF7 or 0x391 <= code <= 0x3C9:
        return "sign"
    if code < 0xA0 or 0xD800 <= code <= 0xF8FF or 0xFFF0 <= code <= 0xFFFF or code >= 0xE0000:
        return "never"
    return "foreign"


def _is_frequent(char: str, script: str) -> bool:
    """Return whether a character is in the standard's first level: 3,755 of GB 2312, 5,401 of Big5."""
    try:
        lead = char.encode(script)[0]
    except UnicodeEncodeError:
        return False
    return 0xB0 <= lead <= 0xD7 if script == "gb2312" else 0xA4 <= lead <= 0xC6


by_line.register(log_probability)
