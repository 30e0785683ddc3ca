"""Does every negation of a classical text survive in the modern one? Used by `fidelity`.

Clauses of the two texts are aligned by the characters they share; a clause that says fewer times no than its source,
with no neighbour that could make up for a wrong alignment, has lost a negation. Turns of phrase that modern Chinese
says without one (无不 → 都, 不寐 → 失眠) are allowed for.
"""

import re
from functools import lru_cache

_OLD = re.compile(r"[不勿无毋莫弗未非忌禁罔靡匪]|戒(?=[之食酒])")
_NEW = re.compile(r"[不无未勿莫忌禁戒]|没有?|非|别(?=[再去吃喝用服乱随轻急让给把])|避免|切莫|难以|并非")
# No negation in either language, or one that modern Chinese need not keep
_NEUTRAL = re.compile(
    r"非常|无非|未尝不|不独|不惟|不但|不仅|不特|非但|非特|非独|非徒|不过(?![一二三四五六七八九十百\d])|不论|无论|不拘|不问|不管|"
    r"不若|不如|莫若|莫如|莫过|不同|不一|不久|未几|无何|不日|不由|不禁|除非|无比|不妨|未免|不然|否则|有无|特别|不断|不少|无辜|不错|无策"
)
# What an old negation may become, and the modern words that stand for it
_TURNED = (
    (r"[无莫]不", r"都|皆|全"),
    (r"不[可得能]不", r"必须|一定|务必|应当|应该|只好"),
    (r"非[^，。；]{1,8}不", r"只有|必须|才"),
    (r"不寐|不得[卧眠]|不眠|不瞑|不能寐", r"失眠|难以入睡"),
    (r"不仁", r"麻木|失去知觉"),
    (r"不[遂随用举]", r"瘫痪|偏瘫|失灵|阳痿"),
    (r"不[调和]|失调", r"失调|失和|紊乱"),
    (r"不足", r"亏虚|虚弱|缺乏|亏损|虚"),
    (r"不[已止绝休]|无休|未已", r"持续|连续|反复|绵延"),
    (r"不[食思纳]|不欲[食饮]|恶食", r"厌食|食欲减退|食欲差"),
    (r"不[利通畅爽行]", r"困难|受阻|阻塞|堵塞|涩|艰难|闭塞|停滞"),
    (r"不[固摄]|无[权制]", r"失[去固摄]|失禁"),
    (r"不[易]", r"难"),
    (r"不[久远]", r"很快|近"),
    (r"不[愈差瘥]|未[愈瘥]", r"还在|仍"),
    (r"不语|不[能得]言", r"失语|沉默"),
    (r"无[子嗣]|不[孕育]", r"不孕|不育"),
    (r"[勿禁忌]", r"停止|戒除|远离|杜绝|慎用"),
)


@lru_cache(maxsize=4096)
def _clauses(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[，,。；;！!？?：:\n]", text)))


def lost(source: str, modern: str) -> str | None:
    """The clause of the source whose negation the modern text has lost; or None."""
    groups = aligned(_clauses(source), _clauses(modern))
    spare = [_said(new) - _wanted(old, new) for old, new in groups]
    for n, missing in enumerate(spare):
        if missing < 0:
            if _alike_enough(*groups[n]):
                return groups[n][0]
            around = sum(max(0, spare[k]) for k in (n - 1, n + 1) if 0 <= k < len(spare))
            if around + missing < 0:
                return groups[n][0]
    return None


def _wanted(old: str, new: str) -> int:
    """How many negations of the old clause must be found in the new one."""
    bare = _NEUTRAL.sub("", old)
    turned = 0
    for before, after in _TURNED:
        phrases = re.findall(before, bare)
        turned += sum(len(_OLD.findall(phrase)) for phrase in phrases[: len(re.findall(after, new))])
    return max(0, len(_OLD.findall(bare)) - turned)


def _said(new: str) -> int:
    return len(_NEW.findall(_NEUTRAL.sub("", new)))


def aligned(old: tuple[str, ...], new: tuple[str, ...]) -> list[tuple[str, str]]:
    """Clauses of both texts in order, joined into pairs that share most characters: 1–1, 1–2, 1–3, 2–1, 2–2, 3–1."""
    steps = ((1, 1), (1, 2), (2, 1), (1, 3), (2, 2), (3, 1), (1, 0), (0, 1))
    best: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for i in range(len(old) + 1):
        for j in range(len(new) + 1):
            for di, dj in steps:
                before = best.get((i - di, j - dj))
                if before is None:
                    continue
                score = (
                    before[0] + _alike("".join(old[i - di : i]), "".join(new[j - dj : j])) - 0.4 * (di + dj - 2) ** 2
                )
                if (i, j) not in best or score > best[i, j][0]:
                    best[i, j] = score, (di, dj)
    pairs, i, j = [], len(old), len(new)
    while (i, j) != (0, 0):
        di, dj = best[i, j][1]
        pairs.append(("，".join(old[i - di : i]), "，".join(new[j - dj : j])))
        i, j = i - di, j - dj
    return pairs[::-1]


def _alike_enough(old: str, new: str) -> bool:
    """Whether two clauses surely belong together: half of the old one's characters are in the new one."""
    said = set(old) - set("，之者也而则其以不勿无毋莫弗未非忌禁可")
    return bool(said) and len(said & set(new)) >= len(said) / 2


def _alike(one: str, two: str) -> float:
    """How much two stretches have in common: shared characters, less what their lengths differ by."""
    if not one or not two:
        return -1.0
    return len(set(one) & set(two)) - 0.15 * abs(len(two) - 1.6 * len(one))
