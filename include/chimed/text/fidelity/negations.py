"""Check that every negation of a classical text survives in the modern one, and that none is added. Used by `fidelity`.

Clauses of the two texts are aligned by the characters they share. A clause with fewer negations than its source, and no
neighbour that could make up for a wrong alignment, lost a negation; one that forbids what its source does not added
one. Expressions that modern Chinese says without a negation (无不 → 都, 不寐 → 失眠), or only with one (独 → 不仅, 难 →
不容易), are allowed for.
"""

import re
from functools import lru_cache
from itertools import accumulate

_OLD = re.compile(r"[不勿无毋莫弗未非忌禁罔靡匪]|戒(?=[之食酒])")
_NEW = re.compile(
    r"[不无未勿莫忌禁戒]|没有?|非|(?<![特分区辨差个级性鉴告识类判])别(?![的人处称名号致具论提开])|避免|切莫|难以|并非|绝非|杜绝"
)
# No negation in either language, or one that modern Chinese need not keep
_NEUTRAL = re.compile(
    r"非常|无非|未尝不|不独|不惟|不但|不仅仅?|不特|非但|非特|非独|非徒|不过(?![一二三四五六七八九十百\d量多])|不论|无论|不拘|不问|不管|"
    r"不若|不如|莫若|莫如|莫过|不同|不一(?=[，。；样]|$)|不久|未几|无何|不日|不由得|不禁|除非|无比|不妨|未免|不然|否则|有无|特别|不断|不少(?!于)|无辜|不错|无策|"
    r"不时|无端|不觉|不意|不知不觉|何不|无花果|没药|莫名|不得已|未必然|毫不|不已(?=[，。；者])|不外乎?|禁不住|五禁|陷没|淹没|沉没|埋没|出没|没落|没收|不啻|不宁惟是|是不是|能不能|要不然|了不起|禁口"
)
# What an old negation may become, and the modern words that stand for it
_TURNED = (
    (r"[无莫罔靡]所?不|[无莫]非|无不|未有不", r"都|皆|全|什么|凡是|任何|所有|一切|没有不|样样"),
    (r"不[可得能]不|不能无|不可无", r"必须|一定|务必|应当|应该|只好|得"),
    (r"非[^，。；]{1,8}(?:不|莫|无|弗|未)", r"只有|必须|才|除了"),
    (r"不寐|不得[卧眠寐]|不眠|不瞑|不能[寐眠卧]|不睡", r"失眠|难以入睡|睡不|睡眠差|难眠|睡眠困难"),
    (r"不仁", r"麻木|失去知觉|迟钝|感觉"),
    (r"不[遂随用举收伸]", r"瘫痪|偏瘫|失灵|阳痿|废|困难|萎"),
    (r"不[调和匀]|失调|不谐", r"失调|失和|紊乱|失常|失于"),
    (r"不[足及]|无[力气]|不胜|不任|不支|无以", r"亏虚|虚弱|缺乏|亏损|虚|欠缺|短|乏|疲|倦|软弱|弱|少|受"),
    (
        r"不[已止绝休歇间住停辍断]|无[休已度时间]|未[已止休]|不[可能]止",
        r"持续|连续|反复|绵延|一直|连连|频频|缠绵|淋漓|时时|老是|总是|仍|还在",
    ),
    (
        r"不[食思纳进饥]|不[欲能][食饮]|恶食|不喜食|不下食|不知味|无味",
        r"厌食|食欲|胃口|吃得|难以下咽|恶心|绝食|拒食|淡",
    ),
    (
        r"不[利通畅爽行宣舒快便达开伸顺]|不得[息出溺小大通]",
        r"困难|受阻|阻塞|堵塞|涩|艰难|闭|停滞|阻滞|壅|拘|滞|憋|喘|窒|短促",
    ),
    (r"不[固摄藏守禁约收敛]|无[权制]|不能[约固摄]", r"失[去固摄守]|失禁|滑|散|松|外泄|遗"),
    (r"不[易]|未易|不[可能]轻易", r"难"),
    (r"不[久远移]|无几", r"很快|近|马上|立刻|随即|暂|片刻"),
    (
        r"不[愈差瘥效应痊解退除消散化去减罢]|未[愈瘥差除退解尽消净罢清去散化]|不尽|无[效功济益]",
        r"尚存|尚在|犹存|存在|未|还在|仍|依然|残|余|滞留|留|还有|尚|剩|失效|顽固|缠绵|枉|白白|徒劳|淋漓",
    ),
    (r"不[语言]|不[能得][言语]|无声|不出声", r"失语|沉默|失音|嘶哑|哑|缄|静"),
    (r"无[子嗣]|不[孕育]|不能?有子", r"不孕|不育|不能生|没有(?:孩子|子女|后代)"),
    (r"[未不]尝|[未不]曾|未[间断废辍]|不[间断废辍]", r"一直|始终|坚持|从|照旧"),
    (r"不[节]", r"放纵|过度|纵|无度|失节"),
    (r"[勿禁忌莫毋]", r"戒除|远离|杜绝|慎用|避|停用|停服|免"),
    (r"不[省知识]人|不省|不知", r"昏|失去|丧失"),
    (r"无[恙虞患忧妨害碍]|不妨", r"平安|健康|安然|安全|放心|痊愈|康复|安好|保住|好"),
    (r"中无|[内中]无|无(?=[，。；也者])", r"空|缺|消失|断|尽|失|裸"),
    (r"无[故端因]|不[虞意期料]", r"突然|忽然|莫名|意外|平白|居然|竟"),
    (r"不[当宜应合]", r"误|错|有害|违|失当|应(?:该)?避"),
    (r"未[成发形定闻经熟出至]|不[成及]|未[病]", r"之前|以前|还|先|幼|生(?:的|果)|早|青"),
    (r"不(?:明|清|聪|见|闻|辨)|无[光神所]?见?", r"昏|模糊|失明|耳聋|盲|聋|暗|黯|呆|浑浊|混|糊涂|看错"),
    (r"不[宁安静定]|不[能自]?自?[安宁持]", r"烦|躁|惊|慌|乱|忐忑|动荡|难受"),
    (r"无[汗]", r"闭汗|汗出受阻"),
    (r"无痰", r"干咳|干嗽"),
    (r"不[得能]", r"难|受不了|失去"),
    (r"无[形迹]|不[可]见", r"看似|隐|消散"),
    (r"不[起苏醒]", r"卧床|昏|死|倒"),
    (r"不[多甚大深厚重]|不[至甚]", r"少|轻|稍|略|微|薄|浅|小|较|有限"),
    (r"不[治救]", r"难治|死|治不好|绝症|没救"),
    (r"不[异殊]|无[异殊二别]|不[变改易]|无他", r"相同|一样|同样|一致|依旧|如旧|照旧|仍旧|只是|就是"),
    (r"不[止仅]|不(?:特|啻)", r"而且|还|也|超过|多于"),
    (r"非[^，。；]{1,4}即", r"不外|要么|或者?|不是|就是|无非"),
    (r"非[^，。；]{1,6}[也乎]?", r"而是|除外|错|除了|以外"),
    (r"不[信服从听]", r"怀疑|拒绝|违|固执"),
    (r"不[出过逾超]", r"之内|以内|最多|至多|只|内"),
    (r"不[华荣泽润]|无[华泽津液]", r"枯|干|燥|憔悴|萎|苍|黯|暗|晦"),
    (r"不[化运磨消]", r"积|停|滞|阻|失运|完谷"),
    (r"不[胜]|不[禁堪耐]|不可[忍耐当堪]|难忍", r"剧|难|厉害|极|受"),
    (r"不[顾恤惜计]|不[畏恶惧]|无[所]?[畏惧]", r"大胆|敢|冒|任|喜"),
    (r"不[语识]", r"糊涂"),
)
# A modern text forbids in these words
_FORBID = re.compile(
    r"不(?:可以?|宜|要|应当?|应该|得(?!已|不)|准|许|该|适宜|适合|当(?=[用服吃])|建议|推荐)|切勿|切莫|切忌|千万[不别勿]|禁[止用忌服食]|忌(?!惮)|严禁|避免|勿"
)
# A classical text gives reason to forbid, or to say no, in these
_REASON = re.compile(
    r"[不勿无毋莫弗未非忌禁罔靡匪戒慎止避免难岂焉安何胡恶罕鲜绝断去除远畏怕反妨误害伤殆戕犯谬否休]|切[戒记]|最?怕"
)
_NO_REASON = re.compile(
    r"[不勿无毋莫弗未非忌禁罔靡匪戒慎止避免难岂焉安何胡恶罕鲜绝断去除远畏怕反妨误害伤失空独但惟唯只仅徒虽虚脱亡离阻滞闭秘塞痞痹痿瘫聋盲瞽喑瘖哑呆痴"
    r"默少乏缺弱衰竭枯燥涩淋癃噤厌痼废挛拘强隐伏迷昏闷悸忡烦躁乱狂妄惊恐怯羸倦怠懈泄滑遗漏崩尽休罢息歇残尚仍犹才方甫始初寡孤异别殊怪奇忽卒暴骤勉稍略微薄浅或若如苟假设倘只"
    r"偏违逆僵顽久常每屡几过甚极太最更愈益多重大急速立即便遂永终拒嫌讨厌]|自[汗利]|盗汗|失|如常"
)
_NEEDLESS = re.compile(r"不必(?!然|定)|不需要?|无需|无须|用不着")
_DENIED = re.compile(
    r"(?:没有|[不未没无])(?:会|能|可以?|必|需要?|须|应该?|应当|得|要|用|宜|想|肯|敢|再|是)?([\u3400-\u9fff]{1,2})"
)
_RHETORIC = re.compile(r"[拒闭怕畏恶难岂何焉安罕鲜少失止绝断缺乏独唯惟但]")
_PLAIN_NO = re.compile(r"没有|[不未没]|并非")


@lru_cache(maxsize=512)
def _clauses(text: str) -> tuple[str, ...]:
    clauses = re.split(r"[，,。；;！!？?：:\n]", text)
    return tuple(one for clause in clauses for one in re.split(r"、(?=[不无非未勿莫])", clause) if one.strip())


@lru_cache(maxsize=64)
def group_clauses(source: str, modern: str) -> tuple[tuple[str, str], ...]:
    """Return the clauses of both texts, aligned (`align_clauses`).

    A clause without a counterpart joins those before it if the modern text has room for it: a translation may say three
    short clauses in one.
    """
    joined: list[tuple[str, str]] = []
    for old, new in align_clauses(_clauses(source), _clauses(modern)):
        if not new and joined and len(joined[-1][1]) >= len(joined[-1][0]) + len(old):
            joined[-1] = (f"{joined[-1][0]}，{old}", joined[-1][1])
        else:
            joined.append((old, new))
    return tuple(joined)


def find_lost(source: str, modern: str) -> str | None:
    """Return the clause of the source whose negation the modern text lost; or None."""
    pairs = group_clauses(source, modern)
    spare = [_said(new) - _wanted(old, new) for old, new in pairs]
    for n, missing in enumerate(spare):
        old, new = pairs[n]
        if _affirmed(old, new):
            return old
        if missing >= 0:
            continue
        sure = _alike_enough(old, new)
        around = sum(
            max(0, spare[k]) for k in (n - 1, n + 1) if 0 <= k < len(spare) and not (sure and _alike_enough(*pairs[k]))
        )
        moved = len(new) < 1.2 * len(old)  # what is said of it stands with its neighbours
        near = "".join(modern for _, modern in pairs[max(0, n - 1) : n + 2]) if moved else new
        if around + missing < 0 and _wanted(old, near) > _said(new) + around:
            return old
    return None


def _affirmed(old: str, new: str) -> bool:
    """Return whether what the old clause denies is in the new one without a negation: 不利 and 小便利."""
    bare, denies = _NEUTRAL.sub("", old), _NEUTRAL.sub("", new)
    if len(_OLD.findall(bare)) != 1:
        return False
    for match in _DENIES.finditer(bare):
        word = match[1]
        if (
            word in _ASIDE
            or bare.count(word) > 1
            or any(re.search(before, bare) and re.search(after, new) for before, after in _TURNED)
        ):
            continue
        places = [found.start() for found in re.finditer(word, denies)]
        if places and not any(
            _NO_BEFORE.search(denies[max(0, at - 8) : at]) or _NO_BEHIND.match(denies, at + 1) for at in places
        ):
            return True
    return False


_DENIES = re.compile(
    r"[不未勿非无弗毋莫](?:可|得|能|宜|当|欲|敢|甚|大|复|再|更|必|肯|自|相|妄|轻|久|多|点以)*((?![大子])[\u3400-\u9fff])"
)
_NO_BEHIND = re.compile(r"[^，。；]{0,2}[不没]")
_NO_BEFORE = re.compile(r"[不无未勿莫忌禁没非别难免失停止拒绝戒少缺避](?:[^，。；]*)$")


def find_added(source: str, modern: str) -> str | None:
    """Return the modern clause that forbids or denies something without a reason in its source; or None."""
    pairs = group_clauses(source, modern)
    forbidden = [len(_FORBID.findall(_NEUTRAL.sub("", new))) for _, new in pairs]
    grounds = [_NEUTRAL.sub("", old).replace("无毒", "") for old, _ in pairs]
    reasons = [len(_REASON.findall(old)) for old in grounds]
    before = ["，".join(old for old, _ in pairs[max(0, n - 1) : n + 2]) for n in range(len(pairs))]
    for n, (old, new) in enumerate(pairs):
        around = slice(max(0, n - 1), n + 2)
        if _NEEDLESS.search(new) and not re.search(r"[不无勿毋莫弗未非何岂奚止]", "".join(grounds[around])):
            return new
        goes_on = n and reasons[n - 1] and re.match("[也又更亦且或]|同样|以及", new)
        shared = reasons[n] and _LIST.search(old)  # 忌铁器及萝卜: 忌用铁器，忌食萝卜
        if forbidden[n] > reasons[n] and sum(forbidden[around]) > sum(reasons[around]) and not (goes_on or shared):
            return new
        bare = _NEUTRAL.sub("", new.replace("不同", "不＊"))
        if _PLAIN_NO.search(bare) and not _NO_REASON.search(old) and _alike_enough(old, new):
            return new
        if not _RHETORIC.search(old) and _said(new) > len(_OLD.findall(_NEUTRAL.sub("", old))):
            denied = _denied(before[n], _OLD)
            held = set(old) - _ASIDE - denied
            if any(held & set(match[1]) and not denied & set(match[1]) for match in _DENIED.finditer(bare)):
                return new
        both = pairs[n : n + 2] if n + 1 < len(pairs) and len(old) + len(pairs[n + 1][0]) <= SHORT else pairs[n : n + 1]
        if turned := _turned(*("，".join(each) for each in zip(*both, strict=True))):
            return turned
    return None


_LIST = re.compile(r"[、及与和并皆俱均诸]")
_WHEN = re.compile(r"[一二三四五六七八九十百数半两]{1,12}[日月年夜天岁旬]")


def _turned(old: str, new: str) -> str | None:
    """Return the clause in which yes and no are swapped: 宜通不宜涩 and 应当收涩而不应当通利; or None."""
    if re.search(r"非[^，。；]{1,8}[不莫无弗]|不[可得能]不|[无莫罔]不|不[可能]无", old):
        return None  # twice no is yes
    old, new = (_WHEN.sub("", text).replace("小便", "溺").replace("大便", "屎") for text in (old, new))
    denied_before, denied_now = _denied(old, _OLD), _denied(new, _NEW)
    said_before, said_now = set(old) - denied_before - _ASIDE, set(new) - denied_now - _ASIDE
    if denied_before & said_now - denied_now and said_before & denied_now - said_now and _alike_enough(old, new):
        return new
    return None


def _denied(text: str, no: re.Pattern[str]) -> set[str]:
    """Return the characters after a negation, within its clause."""
    found: set[str] = set()
    for clause in re.split(r"[，,则故就而仍才便即]|(?<=..)(?=[不未没无勿莫])", text):
        if match := no.search(clause):
            before = 0 if re.search("[皆俱均并]$", clause[: match.start()]) else max(0, match.start() - 1)
            found |= set(clause[match.end() :]) | set(clause[before : match.start()])
    return found - _ASIDE


def _wanted(old: str, new: str) -> int:
    """Return how many negations of the old clause the new one must have."""
    bare = _NEUTRAL.sub("", old)
    turned = 0
    for before, after in _TURNED:
        phrases = re.findall(before, bare)
        if phrases:
            turned += sum(len(_OLD.findall(phrase)) for phrase in phrases[: len(re.findall(after, new))])
    return max(0, len(_OLD.findall(bare)) - turned)


def _said(new: str) -> int:
    return len(_NEW.findall(_NEUTRAL.sub("", new)))


SHORT = 12  # characters of two clauses that may have changed places
_STEPS = ((1, 1), (1, 2), (2, 1), (1, 3), (2, 2), (3, 1), (1, 4), (2, 3), (3, 2), (1, 0), (0, 1))
BAND = 6  # clauses that the two texts may run apart


def align_clauses(old: tuple[str, ...], new: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the clauses of both texts in order, joined into pairs that share most characters: 1–1, 1–2, 2–1, 2–2, …

    Dynamic programming over both sequences, as for sentence alignment of parallel texts (Gale and Church 1993), with
    shared characters as the score.
    """
    rows, columns = len(old), len(new)
    bits: dict[str, int] = {}
    marks = [[sum({bits.setdefault(one, 1 << len(bits)) for one in clause}) for clause in old]]
    marks.append([sum({bits.get(one, 0) for one in clause}) for clause in new])
    ones, others = (_runs(each, most) for each, most in zip(marks, (3, 4), strict=True))
    sizes, lengths = ([0, *accumulate(map(len, each))] for each in (old, new))
    best: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for i in range(rows + 1):
        middle = i * columns // max(1, rows)
        for j in range(max(0, middle - BAND), min(columns, middle + BAND) + 1):
            for di, dj in _STEPS:
                before = best.get((i - di, j - dj))
                if before is None:
                    continue
                if di and dj:
                    apart = abs(lengths[j] - lengths[j - dj] - 1.6 * (sizes[i] - sizes[i - di]))
                    alike = (ones[i][di] & others[j][dj]).bit_count() - 0.15 * apart
                else:
                    alike = -1.0
                score = before[0] + alike - 0.4 * (di + dj - 2) ** 2
                if (i, j) not in best or score > best[i, j][0]:
                    best[i, j] = score, (di, dj)
    pairs, i, j = [], rows, columns
    while (i, j) != (0, 0):
        di, dj = best[i, j][1]
        pairs.append(("，".join(old[i - di : i]), "，".join(new[j - dj : j])))
        i, j = i - di, j - dj
    return pairs[::-1]


def _runs(marks: list[int], most: int) -> list[list[int]]:
    """Return, for each place, the characters of the 0, 1, … `most` clauses before it as bit masks."""
    runs = []
    for n in range(len(marks) + 1):
        together, row = 0, [0]
        for d in range(1, min(most, n) + 1):
            together |= marks[n - d]
            row.append(together)
        runs.append(row)
    return runs


_ASIDE = frozenset("，之者也矣而则其以不勿无毋莫弗未非忌禁可")


def _alike_enough(old: str, new: str) -> bool:
    """Return whether two clauses certainly belong together: the new one has half of the old one's characters."""
    said = set(old) - _ASIDE
    return bool(said) and len(said & set(new)) >= len(said) / 2
