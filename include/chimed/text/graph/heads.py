"""Find the conditions that stand before what holds under them: 生首乌：…；制首乌：…, 外用：…, 孕妇：…. Ours.

A head is a preparation, a way of giving or a person, at the beginning of a clause and before a colon. It holds to the
end of its clause. The name of a field within its field (功效：) is none.
"""

import re
from collections.abc import Iterator

_CLAUSE = re.compile(r"[^。；;！!\n]+")
_PREPARED = r"(?:[生熟鲜干清法]|[炒炙制煅炮煨焦]|[酒醋盐蜜姜麸土][炒炙制]?)[\u4e00-\u9fff]{0,4}"
_WAYS = "外用|内服|外敷|外洗|煎服|水煎服?|煎汤|入煎剂|研末|入丸散?|含服|冲服|吞服|泡酒|浸酒|熬膏|捣汁|捣敷|单用"
_PERSONS = "孕妇|产妇|妇女|哺乳期妇女|小儿|儿童|婴幼儿|婴儿|老人|老年人|成人|[\u4e00-\u9fff]{2,6}(?:患者|者)"
_HEAD = re.compile(rf"({_PREPARED}|{_WAYS}|{_PERSONS})[ \t\u3000]{{0,4}}[:：][ \t\u3000]{{0,4}}")
_FIELD = re.compile(
    r"(?:功效|功用|功能|作用|性味|归经|用量|用法|用法用量|禁忌|别名)[ \t\u3000]{0,4}[:：][ \t\u3000]{0,4}"
)


def read_head(text: str, low: int, high: int) -> tuple[str | None, int]:
    """Return the condition at the beginning of a clause, and where what holds under it begins; None if it has none."""
    if field := _FIELD.match(text, low, high):
        return None, field.end()
    match = _HEAD.match(text, low, high)
    return (match[1], match.end()) if match and match.end() < high else (None, low)


def clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int, str | None]]:
    """Yield where each clause is, without the spaces around it, and the condition that stands at its head."""
    for match in _CLAUSE.finditer(text, start, end):
        inner = match[0].strip()
        if inner:
            low = match.start() + match[0].index(inner)
            head, begin = read_head(text, low, low + len(inner))
            yield begin, low + len(inner), head
