"""Text that was decoded with a wrong charset, found by evidence: read anew, its bytes say markedly better Chinese.

What is asked of a suspicious stretch is not how strange it looks, but whether undoing a known mistake makes it common:
UTF-8 read as GBK (鎰熷啋), UTF-8 or GBK read as a western charset (æ„Ÿ, ÖÐÒ½), Big5 read as GB18030, and any two of
them one after the other. Both readings are weighed by how frequent their characters are, and a stretch is damaged only
where the other reading wins by a wide margin. So × in a measurement, rare herbs, private-use characters, pinyin and
names with accents stay. Bytes that no charset explains have left U+FFFD behind: a single one is a broken letter, many
of them are a damaged sentence (paper §3.1: noise removal).

Pure functions; `SUSPECT` says at column speed which texts need the closer look.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

LACUNA = "□"  # the mark that editors put where a letter cannot be read
MARGIN = 16.0  # nats by which the other reading must win: e^16 to one
MOST_DAMAGE = 0.5  # of a text's characters: with more, what is left of it says nothing
_LONGEST_GAP = 6  # bytes between two stretches of one damage: a lost byte leaves U+FFFD, four bytes of gb18030
_FOREIGN = 15.0  # nats of a letter of another script in what bytes are read as
_COMMON = 8.5  # nats of a letter that is no damage by itself
_BESIDE = 3  # characters on a side of damaged bytes that sound letters beside them may make
_LEAST_PIECE = 6.0  # nats of each of two stretches that are joined
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

# --- how frequent characters are -----------------------------------------------------------------------------------

# Frequent characters of modern and medical Chinese, in both scripts; GB2312 and Big5 rank the rest by their planes.
_FREQUENT = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么"
    "去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又"
    "关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通"
    "教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市"
    "直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张"
    "该交规万取拉格望觉术领共确传师观清今切院让识候带导争运病症药患疗痛医血肝肾脾胃肺脉虚热寒湿风痰食饮服汤丸散钱脓疮毒炎压糖检查针灸"
    "舌苔黄苦甘辛温凉腹胸腰咳嗽喘汗尿泻呕吐晕眩悸眠孕胎妇婴骨筋皮肤咽喉鼻耳牙齿脑癌瘤细胞菌染素酸钠钾钙维剂片胶囊液射注每宜忌勿未煎煮末"
    "研蜜酒姜枣参芪归芎芍草苓陈半夏柴芩连柏桂麻杏仁附干葛根升桔梗枳厚朴香砂青木肉鱼蛋奶菜瘦胖岁男孩宝妈爸父母议休息诊复减轻增降低控预防"
    "危害影响引致状疾慢急冒烧怀验阳阴抗疫苗免功异标脂胆石肠肛痔列腺宫颈卵巢乳房淋巴甲脏冠塞栓静硬曰味火六七八九若谓亦令补乃足甚皆余伤"
    "吃您怎康持续效留较施般止始适早够近激终断调护精型消态极养具易积专质良朋友按晚虑避备首建助促红白粉茶汁炒肿胀裂乏弱困盗梦烦怒忧恐"
)
_FREQUENT_TRADITIONAL = (
    "這個們來爲為國說時會對於過發後裡裏種經麼學現當沒動還進樣開從實軍無與長機關點業將兩間問並應戰頭體見產話內給門兒東聲員論處義幾認條"
    "氣題爾別變總電數報結務場計資許統區隊決馬書則聽卻達強難權設記類據邊張該規萬術領確傳師觀讓識帶導爭運藥療醫腎脈虛熱濕溼風飲湯錢膿瘡"
    "壓檢鍼針黃溫涼瀉嘔暈婦嬰膚齒腦細鈉鉀鈣維劑膠棗參歸陳連幹乾魚歲寶媽議診復減輕預響狀燒懷驗陽陰異標膽腸宮頸髒臟靜覺藏證謂補餘傷蔘"
)
_STOPS = frozenset("，。、；：？！（）“”‘’《》【】…—·～")


def _plane(charset: str, leads: range) -> Iterator[str]:
    for lead in leads:
        for trail in range(0x40, 0xFF):
            try:
                yield bytes((lead, trail)).decode(charset)
            except UnicodeDecodeError:
                continue


@cache
def _nats() -> dict[str, float]:
    """How surprising each Chinese character is, in nats; what is not there is rarer than all of them."""
    nats = dict.fromkeys(_plane("gb2312", range(0xD8, 0xF8)), 12.0)  # its second plane: 3,008 rarer ones
    common = [*_plane("big5", range(0xA4, 0xC7)), *_plane("gb2312", range(0xB0, 0xD8))]
    nats |= dict.fromkeys(common, 9.5)
    nats |= dict.fromkeys(_FREQUENT_TRADITIONAL, 7.0) | dict.fromkeys(_FREQUENT, 6.5)
    return nats | dict.fromkeys(_STOPS, 4.5)


def _surprise(text: str) -> list[float]:
    """How surprising each character is where it stands: a letter of a foreign script is less so after another."""
    nats, found, before = _nats(), [], ""
    for letter in text:
        cost = nats.get(letter)
        script = ""
        if cost is None:
            cost, script = _foreign(letter, before)
        found.append(cost)
        before = script
    return found


def _foreign(letter: str, before: str) -> tuple[float, str]:
    """Nats of what is not Chinese, and its script, by the script of the letter before it."""
    code = ord(letter)
    if code < 0x80:
        return 4.5, "western" if letter.isalpha() else ""
    if code < 0xA0 or letter == "\ufffd":
        return 14.0, ""
    if code < 0x250 and letter.isalpha():
        return (8.0, "accented") if before == "western" else (11.5, "accented")
    if code < 0x370:
        return 7.0, ""
    if code < 0x530 or 0x3040 <= code < 0x3100:  # Greek, Cyrillic; kana
        script = "kana" if code > 0x530 else "greek" if code < 0x400 else "cyrillic"
        return (5.0, script) if before == script else (9.5, script)
    if 0x2000 <= code < 0x2600 or 0x3000 <= code < 0x3040 or 0xFF00 <= code < 0xFFF0:
        return 8.0, ""
    return 15.0, ""  # rare Chinese characters, private use, everything else


# --- the known mistakes, undone ------------------------------------------------------------------------------------

_UTF8 = re.compile(
    rb"(?:[\xe2-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|[\xc2-\xdf][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2})+"
)
_GB = re.compile(rb"(?:[\x81-\xfe][0-9][\x81-\xfe][0-9]|[\x81-\xfe][\x40-\x7e\x80-\xfe])+")
_ACCENTED = re.compile("[À-ÖØ-öø-ÿ]")
_WESTERN = {
    bytes((code,)).decode("cp1252", errors="ignore") or chr(code): bytes((code,)) for code in range(0x80, 0x100)
} | {chr(code): bytes((code,)) for code in range(0x100)}

Stretch = tuple[int, int, float]  # from, to, nats that the other reading wins


def _utf8_read_as_gb(text: str, depth: int) -> Iterator[Stretch]:
    """鎰熷啋 was 感冒."""
    encoded = [letter.encode("gb18030", errors="replace") for letter in text]
    yield from _read_anew(text, encoded, _UTF8, "utf-8", depth)


def _utf8_read_as_western(text: str, depth: int) -> Iterator[Stretch]:
    """æ„Ÿ was 感."""
    encoded = [_WESTERN.get(letter, b"\n") for letter in text]
    yield from _with_their_like(list(_read_anew(text, encoded, _UTF8, "utf-8", depth)))


def _gb_read_as_western(text: str, depth: int) -> Iterator[Stretch]:
    """ÖÐÒ½ was 中医: two letters with accents at least, for · and × stand in rows too."""
    encoded = [_WESTERN.get(letter, b"\n") for letter in text]
    found = list(_read_anew(text, encoded, _GB, "gb18030", depth))
    letters = [len(set(_ACCENTED.findall(text[start:end]))) for start, end, _ in found]
    controls = [re.search("[\x80-\x9f]", text[start:end]) is not None for start, end, _ in found]
    sure = any(won >= MARGIN and (n >= 2 or c) for (_, _, won), n, c in zip(found, letters, controls, strict=True))
    yield from _with_their_like(found) if sure else ()


def _with_their_like(found: list[Stretch]) -> Iterator[Stretch]:
    """Stretches of western letters; beside one that is surely damaged, shorter ones are too."""
    sure = any(won >= MARGIN for _, _, won in found)
    yield from ((start, end, max(won, MARGIN) if sure and won > 0 else won) for start, end, won in found)


def _read_anew(text: str, encoded: list[bytes], form: re.Pattern[bytes], charset: str, depth: int) -> Iterator[Stretch]:
    """Stretches whose bytes have the form of the charset, and how much better they read in it."""
    raw = b"".join(encoded)
    letter_of = [n for n, piece in enumerate(encoded) for _ in piece]
    before, nats = _surprise(text), _nats()
    for match in form.finditer(raw):
        start, end = letter_of[match.start()], letter_of[match.end() - 1] + 1
        said = match.group().decode(charset, errors="replace")
        # a page here says little that is neither Chinese nor ASCII
        costs = [
            max(cost, _FOREIGN * (one not in nats and one > "\x7f"))
            for one, cost in zip(said, _surprise(said), strict=True)
        ]
        if charset == "utf-8":
            first, last, begin, behind = _own_bytes(match, said, costs, before, letter_of)
            said, costs = said[first:last], costs[first:last]
            start, end = letter_of[begin], letter_of[behind - 1] + 1
        won = sum(before[start:end]) - sum(costs)
        if depth and won > -MARGIN * len(said):
            won += _won_within(said, depth - 1)
        yield start, end, won


def _own_bytes(
    match: re.Match[bytes], said: str, costs: list[float], before: list[float], letter_of: list[int]
) -> tuple[int, int, int, int]:
    """The first of the characters that bytes read as, the one behind the last, and their bytes, without the sound
    letters beside them: the end of 查 and 。 are three bytes that might be UTF-8, and stand before many a sentence."""
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
def _won_within(text: str, depth: int) -> float:
    """The nats that the best stretch of a text wins."""
    return max((won for _, _, won in _stretches(text, depth)), default=0.0)


def _big5_read_as_gb(text: str, depth: int) -> Iterator[Stretch]:
    """稰玙 was 感冒: a character became a character, so the best stretch is that of the largest sum."""
    before = _surprise(text)
    start, won, best = 0, 0.0, (0, 0, 0.0)
    for n, letter in enumerate(text):
        gain = -MARGIN if letter.isascii() else before[n] - _surprise(_as_big5(letter))[0]
        if letter.isspace() or (letter.isascii() and won > 0):
            gain = -0.5
        elif letter == "\ufffd":
            gain = 3.0  # a pair that GBK does not have: here it speaks for Big5, alone for nothing
        won, start = (won + gain, start) if won > 0 else (gain, n)
        if won > best[2]:
            best = start, n + 1, won
        elif best[2] and (won <= 0 or won < best[2] - MARGIN):
            yield from _surely_big5(text, best)
            won, best = 0.0, (0, 0, 0.0)
    yield from _surely_big5(text, best)


_BIG5_STOP = "\ue4c6", "\ue504"  # what becomes of Big5's full stops and commas: private use


def _surely_big5(text: str, stretch: Stretch) -> Iterator[Stretch]:
    """Both readings are Chinese, so more is asked for: letters of other scripts in between, as Big5 leaves them."""
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


def _stretches(text: str, depth: int = 1) -> list[Stretch]:
    """Damaged stretches, near ones of one mistake joined."""
    found: list[Stretch] = []
    for mistake in (_utf8_read_as_gb, _utf8_read_as_western, _gb_read_as_western, _big5_read_as_gb):
        joined: list[Stretch] = []
        for start, end, won in mistake(text, depth):
            if joined and start - joined[-1][1] <= _LONGEST_GAP // 2 and min(won, joined[-1][2]) > _LEAST_PIECE:
                joined[-1] = joined[-1][0], end, joined[-1][2] + won
            else:
                joined.append((start, end, won))
        found += [one for one in joined if one[2] >= MARGIN]
    return sorted(found)


# --- what is done about it -----------------------------------------------------------------------------------------

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
_WESTERN_SIGNS = "".join(sorted(letter for letter in _WESTERN if not letter.isascii()))
_TWICE = "".join(bytes((lead, trail)).decode("gb18030") for lead in (0xC2, 0xC3) for trail in range(0x80, 0xC0))
_STRAY = "\u0370-\u04ff\u3041-\u312f\u2500-\u257f\ue000-\uf8ff"
# where to look: two letters one after the other as a mistake leaves them, or a broken one (Rust's and Python's `re`)
SUSPECT = (
    f"\ufffd|锟斤|[{_FIRST}][{_NEXT}\ufffd]|[À-ÖØ-öø-ÿ][{_WESTERN_SIGNS}]|[\u0080-\u009f{_WESTERN_SIGNS}][À-ÖØ-öø-ÿ]"
    f"|[\u0080-\u009f][0-9]?[\u0080-\u009f]|[\ue000-\ue765]|[{_TWICE}]{{3}}|[{_STRAY}][{_STRAY}{_HAN}]?[{_STRAY}]|{_STRANGE.pattern}"
)
_SUSPECT = re.compile(SUSPECT)
_IS_STRAY = re.compile(f"[{_STRAY}\ufffd]")


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
    found = [(start, end) for start, end, _ in _stretches(line)]
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
