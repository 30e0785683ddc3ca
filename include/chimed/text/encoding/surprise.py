"""Score characters by their frequency in modern and medical Chinese, to compare two readings of the same bytes.

A score is in nats: roughly the negative logarithm of a character's share of a text. Sums of scores are then negative
log-likelihoods of a unigram model, and their difference a log-likelihood ratio. Used by `misread`.
"""

from collections.abc import Iterator
from functools import cache

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
def character_nats() -> dict[str, float]:
    """Return the score of each Chinese character, in nats; a character without one is rarer than all of them."""
    found = dict.fromkeys(_plane("gb2312", range(0xD8, 0xF8)), 12.0)  # its second plane: 3,008 rarer ones
    common = [*_plane("big5", range(0xA4, 0xC7)), *_plane("gb2312", range(0xB0, 0xD8))]
    found |= dict.fromkeys(common, 9.5)
    found |= dict.fromkeys(_FREQUENT_TRADITIONAL, 7.0) | dict.fromkeys(_FREQUENT, 6.5)
    return found | dict.fromkeys(_STOPS, 4.5)


def measure_surprise(text: str) -> list[float]:
    """Return the score of each character in its place: a letter of a foreign script costs less after another one."""
    known, found, before = character_nats(), [], ""
    for letter in text:
        cost = known.get(letter)
        script = ""
        if cost is None:
            cost, script = _foreign(letter, before)
        found.append(cost)
        before = script
    return found


def _foreign(letter: str, before: str) -> tuple[float, str]:
    """Return the score and the script of a character that is not Chinese, given the script of the letter before it."""
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
