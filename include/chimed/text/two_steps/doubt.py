"""Whether an entry states without doubt who must take care, or with what a herb is not given. Ours.

A fact is a few words; whether they hold may stand before or behind them: 外用时, 小量除外, 今研究认为可用. And two
entries of one herb may contradict each other. What is in doubt is no answer.
"""

import re
from collections.abc import Iterable

from chimed.text.graph.fact import Fact
from chimed.text.two_steps.asking import strengths

_CARE = re.compile(r"忌|禁|慎|不宜|不可|不得|不能|勿|避免|反|畏|恶")
_SENTENCE = re.compile(r"[^。；;！!\n]+")
_CLAUSE = re.compile(r"[^，,。；;！!\n：:】]+")
_LABEL = re.compile(r"^[ \t\u3000]*【[^】\n]{1,20}】[：:]?|(?:使用)?(?:禁忌|注意|宜忌)[：:]")
_DOUBT = re.compile(  # under a condition, with an exception, or disputed
    r"若|如(?!下)|时|除|例外|今|现代|近代|近年|研究|实验|临床上?|传统|古人|前人|旧说|一般|认为|一说|或谓|有说|但|然|不过|惟|唯|虽|报道|依据|证据|"
    r"(?<!不)可[用服以与]|可酌|亦可|无妨|无碍|不忌|不禁|不必|外用|内服|外敷|生用|生品|生者|熟用|鲜[品用者]|[炙制炒煅炮]用|[炙制炒煅]品|过大|大量|大剂|重剂|"
    r"小量|少量|小剂|微量|超量|过量[者则]|必要|酌情|酌用|遵医|医[师生]|单用|单独|久服则|多服则|[者则]?方可|始可|才可|倘|凡.{1,8}则|非.{1,12}[勿不]"
)
_TOGETHER = "(?:同用|配伍|合用|并用|同服|一起[使服]?用|配伍使用)"
_PLAIN = re.compile(  # a clause that forbids and says nothing else
    rf"[^，,]{{0,80}}(?:[慎忌禁][用服]|不宜[用服]|不宜使用|不宜服用|不宜(?:过量|多用|久服|多服|久用|过服)?|[慎忌禁])"
    rf"|(?:本品)?(?:不宜|不可|不能|不得|切忌|禁忌|忌|禁止?|勿)[与和同][\u3400-\u9fff、]{{1,80}}{_TOGETHER}"
    rf"|(?:本品)?[反畏恶][\u3400-\u9fff、]{{1,80}}"
)
_TAKES_BACK = re.compile(  # at the beginning of the sentence behind
    r"\s{0,9}(?:\d[.、]\s{0,9})?(?:但|然|惟|唯|不过|今|现|近|小量|少量|如|若|除|传统|必要|倘|确|经|外用|炮制|制后|个别|亦有|也有|有人|此说|本说|其实|对此)"
)
_ALLOWS = re.compile(
    r"(?<!不)可(?:用|服|以|与|放心|同|配)?|无妨|无碍|不忌|不禁|无须|不必|(?<!不)宜(?![慎忌禁])|(?<!不)适用|安全"
)


def is_certain(fact: Fact, text: str) -> bool:
    """Whether each clause of a fact's sentence only forbids, on no condition, and what follows takes nothing back."""
    if fact.condition is not None:
        return False
    low = max(text.rfind(mark, 0, fact.start) for mark in "。；;！!\n") + 1
    ends = [at for mark in "。；;！!\n" if (at := text.find(mark, fact.end)) >= 0]
    end = min(ends, default=len(text))
    sentence = _LABEL.sub("", text[low:end])
    behind = text[end + 1 : end + 40]
    plain = all(_PLAIN.fullmatch(clause.strip()) for clause in re.split("[，,]", sentence))
    return plain and not (_DOUBT.search(sentence) or re.search(r"[：:（(]", sentence) or _TAKES_BACK.match(behind))


def agree(words: str, said: str, texts: Iterable[str]) -> bool:
    """Whether all clauses of a herb's entries that have such words forbid as strongly as what is said, or say nothing.

    words: a pattern; said: the clause that forbids; texts: the entries.
    """
    wanted = strengths(said)
    for text in texts:
        for clause in _CLAUSE.finditer(text):
            if re.search(words, clause[0]):
                behind = re.match(r"[，,]?([^，,。；;\n]*)", text[clause.end() :])
                both = clause[0] + (behind[1] if behind else "")
                if _ALLOWS.search(both) or (strengths(clause[0]) and strengths(clause[0]) != wanted):
                    return False
    return len(wanted) == 1


def tells_care(text: str) -> str:
    """Return the sentences of an entry that may tell who must take care."""
    return "\n".join(match[0] for match in _SENTENCE.finditer(text) if _CARE.search(match[0]))
