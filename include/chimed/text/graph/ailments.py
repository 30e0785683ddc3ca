"""Read what a herb or a formula is said to treat: 主治外感风寒，恶寒发热. Ours.

Ailments are diseases, syndromes and symptoms in the text's own words. Signs of the tongue and the pulse are none, nor
is what an entry says that it must not be given for (不适用于风热感冒), nor the herbs that it is given with.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chimed.text.graph.fact import Fact
from chimed.text.terms import is_herb

_FIT = r"适[合宜应]?用?于|适[合宜应]用?于|应用于|使用于|用于?治疗|用治|用于|用在|主治疗?|治疗"
_TREATS = re.compile(
    rf"(?P<outside>外用|外敷|外洗)?(?:可|常|多|亦|又|善|能|适)?(?:{_FIT}|(?<![不主防难久医经诊救根调施])治(?!法|则|愈|病求本))"
)
# 不可用于, 忌治, 非适用于, 不宜长期单独用于; not 不仅用于, which says more and not less
_NOT_FOR = re.compile(
    r"(?:并?不|[勿莫忌禁慎非]|避免|未曾?|无法|难以|严禁|切忌|谨慎)"
    r"(?:可以?|[宜能得应该须常多再作用是被当要将其以]|建议|推荐|主张|单独|单纯|单用|长期|直接|轻易|盲目|贸然|随意|作为|用来|用以|获准|批准|本[品方药]){0,4}"
    rf"(?:{_FIT}|适[合宜应用]|误用|滥用|使用|应用|选用|投用?|治(?!之症)|[服用](?![手力药餐水]))"
    rf"(?:[于在来作以]?(?:{_FIT})|[于在])?|禁忌[证症]?|不良反应|副作用|毒副反应|误[用服投]|不主(?![要张动导])"
)
# before a word such as 治疗 in its clause: 不能替代抗生素治疗肺炎, 没有治疗哮喘的作用
_DENIED_BEFORE = re.compile(
    r"(?:不[能可宜得应要用]|不作为?|[勿忌]用|[切请]勿|禁[止用]|慎用|避免|没有|并?无(?=[治法])|未见|未能)[^，,；;、而但只却多]{0,12}$"
)
_UNFIT = re.compile(  # at the end of what it speaks of: 风热感冒者忌用
    r"(?:不[可宜能得应要][与同和跟]|(?<![不失])[忌禁慎勿][用服食投之与]|(?<![不失])[忌禁慎]$|(?<!适)不宜|不[可能得应要该](?:[用服食投使应]|$)|不适[合宜应用]|避免|无效|不效|效果?不[佳好]|除外|以外|之外"
    r"|不在此[例列限]|不属|[非不]本[方品药]|非其?所宜|不包括|不予|(?:不是|并?非|不为|不在|不属).{0,8}(?:适应|主治|所[宜治]|范围|能治|可治|适用))"
)
_OTHER_THAN = re.compile(r"[而但]非|而不是|并非|不是|不属于?|不含|不包括|不同于|有别于|除(?=.{1,12}(?:外|以外|之外))")
_CAUSE_DENIED = re.compile(
    r"(?:非|不是|不由|不因|除)(?:由|因|于)?[^，。、]{1,12}?(?:所致|所见|引起|导致|造成)|除[^，。、]{1,12}?外"
)
_CLAUSE = re.compile(r"[^，,；;]+")
_WITH_OTHERS = re.compile(
    r"^(?:(?:临床|每|常|多|可|宜|须|应|若|如|需|则|亦|也|均|又|或|并){0,3}(?:与|配|佐以|伍以?|同(?!时|样)用?|合(?!并)用?|加(?!重|剧)))"
    r"|相须|相使|为伍|为佐|[同并合]用$|配[伍合]"
)
_SENTENCE = re.compile(r"[^。\n]+")
_ITEM = re.compile(r"[^、，,；;：:\s或及和与]+|[与和及]")
_LED = re.compile(
    r"^(?:[^\u3400-\u9fff]*(?:主治疗?|用治|用于治疗|用于|治疗|适用于|(?:善|可|能|又|亦|兼)?治(?!法|则))|[\u3400-\u9fff]{2,10}(?:所见|所致|引起)的?|症见|证见|也有用治|以及|兼见|兼有|并治|不论|无论|凡|因|如|对|或)+"
)
_TRAILS = re.compile(r"(?:等[证症病]?[候状]?|诸[证症]|之[证症]|者|属[^，。]{1,8}者)$")
_AS_ABOVE = re.compile(r"(?:而?[见兼]|具?有|兼有|符合|表现为)(?:上述|以上|上列|前述)(?:[证症][候状]?|表现|症候)者?$")
_AILMENT = re.compile(r"[\u3400-\u9fff·]{2,12}")
_NONE = re.compile(
    r"[可宜忌服煎敷克研]|^(?:舌(?![炎疮肿强痛衄謇蹇癌裂])|苔|脉(?!管|痹|络|绝)|本品|常|配|多|单用|外用|内服|其|也|均|有|无|不宜|若|为|以|用|与|同|能|对)|^[^\u4e00-\u9fff]"
    r"|用量|适量|[中西本]药|药物|药$|方[中剂]?$|[散汤丸]$|作用|有效|治疗|疗效|主要|偏于|长于|擅长|善于|引起|所致|所见|为主|后[期者]?$|本方|性$|^非(?!典|酒精|小细胞|.{1,4}性)"
)
_NO_ILLNESS = re.compile(  # a person or a time
    r"(?:妇[人女]|女[子性]|男[子性]|小儿|婴幼?儿|儿童|老[人年]人?|成人|患者|病人)?"
    r"(?:月?经期|孕期|妊娠期?|哺乳期|产褥期|恢复期|缓解期|发作期|[初早中晚末]期|期间|产前|产时|胎前|术[前时]|经[前时]|[饭食]前|平素|日久)?"
)
_SIGN = re.compile(
    r"^[伴兼见其]?(?:舌(?![炎疮肿强痛衄謇蹇癌裂])|苔|(?:[寸关尺两六双人气]|右|左)?[手部口]?脉(?!管|痹|络|绝))"
)
_ONLY_SIGNS = re.compile(  # 左弦而右缓 behind 脉两关不调
    r"[左右两双寸关尺浮沉迟数滑涩弦细弱虚实紧缓洪大濡芤促结代长短微伏牢革散动疾而兼有无力和则带略重轻按甚尤偏尖于俱均红绛淡紫暗苔边根"
    r"中胖嫩老薄厚白黄腻燥润滑少多剥瘀点斑齿痕裂纹芒刺津不匀取举]+"
)
_CAUSED = re.compile(r"所致|引起|所见|导致|造成")
_GOES_ON_BEHIND = ("及", "、")  # a list goes on there behind a sign: 脉结代以及脾胃虚弱
_BEGINS_ANEW = re.compile(r"[^\u3400-\u9fff]|[可常多亦又善能并兼还也均皆故专]")
_BRACKETS = re.compile(r"[（(][^（()）]{0,60}[）)]")
_NUMBER = re.compile(r"^[（(]?[\d①-⑳]{1,2}[.．)）]?")
_ALSO = re.compile(r"[，,；;、\s(（][又亦也并兼还另且但而故则]{0,2}[可常多善应均]?[当须]?$")
_A_LIST_FOLLOWS = re.compile(
    r"(?:的?情况|的?病[证症]|者|有|下列|以下){0,3}(?:[：:]|\s{0,9}(?:$|[（(]?[1①一][.、．)）]?))"
)
_NOTHING = re.compile(r"[者之的于]?(?=[，,；;。\n]|$)")
_AN_EFFECT = re.compile(r"[清活祛补健益解化疏利滋养行理平安通固润宣凉泻降散温调止][\u3400-\u9fff]{1,7}")
_NUMBERED = re.compile(r"[\s（(]{0,9}[\d①-⑳一二三四五六七八九十][、.．）)]?")
MOST_AILMENTS = 100  # of one field


@dataclass(frozen=True)
class _Stretch:
    """Where ailments are listed. condition: 外用 and the like, which stands before the list."""

    start: int
    end: int
    condition: str | None = None


def find_ailments(text: str, start: int, end: int, named: bool, led: bool = False) -> Iterator[Fact]:
    """Yield what a field says that it treats (relation treats).

    named: whether the whole field is about ailments; else they follow a word that says so, to the end of its sentence.
    led: whether effects stand before such a word in this field, so that only what is behind it is an ailment.
    """
    text = text[:start] + _BRACKETS.sub(_without_denial, text[start:end]) + text[end:]
    count, denied, first = 0, False, True
    for sentence in _SENTENCE.finditer(text, start, end):
        if denied and _NUMBERED.match(text, sentence.start()):
            continue  # 不适用于：1.…。2.…。
        marks = _marks(text, *sentence.span())
        positive = any(not mark.denies for mark in marks)
        denied = bool(marks) and marks[-1].denies and bool(_A_LIST_FOLLOWS.match(text, marks[-1].end, sentence.end()))
        if named and not positive and not first and _UNFIT.search(sentence[0]):
            continue  # a sentence of its own about who must not have it
        for stretch in _stretches(text, sentence, marks, named, led):
            for fact in _listed(text, stretch, named):
                yield fact
                count += 1
                if count == MOST_AILMENTS:
                    return
        named = named and bool(_GOES_ON.search(sentence[0]) or not positive)
        first = False


def _without_denial(note: re.Match[str]) -> str:
    """Return brackets without a word that denies something; what stands before them is no plain ailment then."""
    denies = _NOT_FOR.search(note[0]) or _UNFIT.search(note[0])
    return "（" * len(note[0]) if denies else note[0]


@dataclass(frozen=True)
class _Mark:
    """A word that says what is treated (用于), or denies it (不可用于). outside: 外用 and the like before it."""

    start: int
    end: int
    denies: bool
    also: bool = False  # 又治 goes on with a list
    outside: str | None = None


def _marks(text: str, start: int, end: int) -> list[_Mark]:
    """Return the words of a sentence that say or deny what is treated, in order."""
    found = [_Mark(*one.span(), denies=True) for one in _NOT_FOR.finditer(text, start, end)]
    denied = {place for one in found for place in range(one.start, one.end)}
    listed = False
    for one in _TREATS.finditer(text, start, end):
        later = listed and one[0] == "治" and not _BEGINS_ANEW.match(text, one.start() - 1)  # 久患不治之湿疹
        if one.end() - 1 in denied or later or _NOTHING.match(text, one.end()):  # 高脂血症的辅助治疗
            continue
        denies = _DENIED_BEFORE.search(text[max(start, one.start() - 16) : one.start()]) is not None
        listed = listed or not denies
        found.append(_Mark(*one.span(), denies, one[0][0] in "又亦", one["outside"]))
    return sorted(found, key=lambda mark: mark.start)


def _stretches(text: str, sentence: re.Match[str], marks: list[_Mark], named: bool, led: bool) -> Iterator[_Stretch]:
    """Yield where ailments are listed: from a word that says so to the next word that says or denies it.

    In a field of ailments what stands before the first such word is a list, too, unless it lists effects.
    """
    starts = [sentence.start(), *(mark.end for mark in marks)]
    ends = [_end_before(text, start, mark) for start, mark in zip(starts[:-1], marks, strict=True)] + [sentence.end()]
    says = bool(marks) and not marks[0].denies
    if named and not (says and (led or _lists_effects(text[sentence.start() : ends[0]]))):
        yield _Stretch(sentence.start(), ends[0])
    for mark, end in zip(marks, ends[1:], strict=True):
        if not mark.denies:
            yield _Stretch(mark.end, end, mark.outside)


def _end_before(text: str, start: int, mark: _Mark) -> int:
    """Return where the list before a word ends: in 虚寒腹痛，本方不可用于 before 本方."""
    words = text[start : mark.start]
    if mark.also and not mark.denies:
        return mark.start
    closed = _ALSO.search(words)
    if closed and mark.denies and _NOTHING.match(text, mark.end):  # 风寒感冒；风热感冒，忌用
        words, closed = words[: closed.start()], None
    if closed:
        return start + closed.start()
    return start + max(0, *(words.rfind(sign) for sign in ("，,；;" if mark.denies else "，,；;、")))


def _lists_effects(words: str) -> bool:
    return any(_AN_EFFECT.fullmatch(item) for item in re.split(r"[，,；;、\s]", words))


def _listed(text: str, stretch: _Stretch, named: bool) -> Iterator[Fact]:
    """Yield the ailments of a list, clause by clause, up to one that tells what it is given with."""
    of_signs = False
    for clause in _CLAUSE.finditer(text, stretch.start, stretch.end):
        if _WITH_OTHERS.search(clause[0].strip()):
            return
        said = _BRACKETS.sub("", clause[0])
        if _UNFIT.search(said) or _CAUSE_DENIED.search(said):
            continue
        other, above = _OTHER_THAN.search(clause[0]), _AS_ABOVE.search(clause[0])
        condition = "，".join(filter(None, [stretch.condition, above and above[0]])) or None
        stop = clause.start() + (other.start() if other else above.start() if above else len(clause[0]))
        items, of_signs = _without_signs(text, clause.start(), stop, of_signs)
        for at, item in items:
            if not named and at > stretch.start and text[at - 1] in "：:":
                return  # a recipe for what stands before the colon
            found = _ailment(item)
            if found and is_herb(found):
                break
            if found:
                begin = at + item.index(found)
                yield Fact("treats", "ailment", found, None, condition, begin, begin + len(found))
            elif not named and not _LED.match(item) and _ENDS_A_LIST.search(item):
                return


def _without_signs(text: str, start: int, end: int, before: bool) -> tuple[list[tuple[int, str]], bool]:
    """Return a clause's items without signs of tongue and pulse, and whether it ends with such a sign.

    before: whether the clause before it did, so that 左弦而右缓 goes on with it.
    """
    items: list[tuple[int, str]] = []
    sign = False
    for item in _ITEM.finditer(text, start, end):
        if item[0] in "与和及":
            items.append((item.start(), item[0]))  # names nothing
        elif _SIGN.match(item[0]) or ((sign or before) and _ONLY_SIGNS.fullmatch(item[0])):
            sign = True
        elif not sign or text[item.start() - 1] in _GOES_ON_BEHIND:
            sign = False
            if items and text[item.start() - 1] == "或" and _CAUSED.search(item[0]):
                items.pop()  # 肺燥或阴虚引起的干咳: both are causes
            items.append((item.start(), item[0]))
    return items, sign


_ENDS_A_LIST = re.compile(r"配|煎|研|克|\d|外用|内服|常|本品|单用")
_GOES_ON = re.compile(r"[证症]$")


def _ailment(item: str) -> str | None:
    words = _LED.sub("", _NUMBER.sub("", item)).strip()
    words = _TRAILS.sub("", _TRAILS.sub("", words))
    words = words.removesuffix("等")
    if not _AILMENT.fullmatch(words) or _NONE.search(words) or _NO_ILLNESS.fullmatch(words):
        return None
    return words
