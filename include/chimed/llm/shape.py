"""What a reply in words is, before anything is asked of what it says: an answer, or a model that will not answer.

Not of the paper, which takes replies as they are. Used by the stages whose models write freely.
"""

import re

from chimed.build.contract import UnusableReply

REFUSAL_PREFIX = 60  # characters in which a model says that it will not
_AI = r"(?:AI|人工智能|大?(?:型)?语言模型|(?:智能|虚拟|医疗|问答|聊天){1,3}(?:助手|助理|机器人))"
_REFUSES = re.compile(
    rf"作为(?:一[个名款位]|您的|你的)?[^，。,\n]{{0,8}}?{_AI}|我(?:只)?是(?:一[个名款位])?[^，。,\n]{{0,8}}?{_AI}"
    r"|(?:抱歉|对不起|不好意思|很遗憾)[^。！!\n]{0,30}?(?:无法|不能|没办法|没有办法|没法|不便|不会|难以|不可以|未能|暂不|拒绝)"
    r"|(?:我|本人|本助手|我们)(?:目前|暂时|现在|确实|恐怕|实在|并)?(?:无法|不能|没办法|没有办法|没法|不便|不可以|拒绝|不会)"
    r"(?:为您|为你|帮您|帮你|给您|给你|直接|继续|再)?"
    r"(?:提供|回答|给出|协助|翻译|完成|生成|满足|处理|回复|讨论|执行|进行|诊断|开具|做出|作出|参与)"
    r"|\b(?:i'?m|i am) (?:sorry|unable|not able|just an? |an ai)|\bi (?:can ?not|can'?t|won'?t|am unable)"
    r"|\bas an? (?:ai|artificial|large language|language model)|\bsorry, (?:but )?i\b",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Say whether a reply begins with a model that says what it is, or that it cannot or will not answer."""
    return _REFUSES.search(text[:REFUSAL_PREFIX]) is not None


def read_answer(text: str) -> str:
    """Return the text of a reply that answers. Raises UnusableReply where the model refuses."""
    if is_refusal(text):
        raise UnusableReply("model's refusal")
    return text.strip()
